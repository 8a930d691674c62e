//! Datasets of numbers, believed as far as their file bears them out.

use std::ops::Range;
use std::path::Path;

use hdf5::dataset::Layout;
use hdf5::types::TypeDescriptor;
use ndarray::{Array, Array3, ArrayD, Dimension, s};

use crate::error::{Error, Result, shown};
use crate::flow::Real;
use crate::spectral::check_square;

/// Most bytes of an array that is read at once: 64 GiB.
const ARRAY_BYTES: u64 = 1 << 36;
/// As much is asked for whatever the file holds of it.
const HARMLESS: u64 = 1 << 26;
/// Bytes that a compressed one becomes at most: deflate's longest match, 258, stands in two bits.
const EXPANSION: u64 = 1032;
/// Most bytes of a virtual dataset, whose values lie in other files.
const VIRTUAL_BYTES: u64 = 1 << 32;
/// Attributes that say how integers stand for numbers (CF conventions 1.11, section 8.1), and which of them stand for none.
const PACKING: [&str; 2] = ["scale_factor", "add_offset"];
const MISSING: [&str; 2] = ["_FillValue", "missing_value"];
/// The attribute by which MATLAB says what it has written; it writes the axes of an array in reverse order.
const MATLAB: &str = "MATLAB_class";

/// A dataset of floating-point numbers, or of integers that stand for such, whose size its file bears out.
#[derive(Debug)]
pub struct Numbers<'a> {
    path: &'a Path,
    name: &'a str,
    data: hdf5::Dataset,
    shape: Vec<usize>,
    /// Factor and offset.
    packing: Option<[f64; 2]>,
    /// Stored values that stand for none.
    missing: Vec<f64>,
    mirrored: bool,
}

impl<'a> Numbers<'a> {
    /// Looks at the dataset `name` of an open file: nothing of its size is asked for.
    ///
    /// # Errors
    /// There is none of that name; its values are no floating-point numbers; it claims more of them than the file holds; it is a
    /// MATLAB array whose axes cannot be told apart.
    pub fn open(file: &hdf5::File, path: &'a Path, name: &'a str) -> Result<Self> {
        let data = super::dataset(file, path, name)?;
        let wrong =
            |what: String| Error::Hdf5 { path: path.into(), what: format!("dataset `{}`: {what}", shown(name)) };
        let failed = |error: hdf5::Error| wrong(error.to_string());
        let number = |name: &str| -> Result<Option<f64>> {
            let Ok(attribute) = data.attr(name) else { return Ok(None) };
            let value = if attribute.size() == 1 { attribute.read_raw::<f64>().ok() } else { None };
            let value = value.and_then(|value| value.first().copied());
            value.map(Some).ok_or_else(|| wrong(format!("its attribute {name} is no number")))
        };
        let [factor, offset] = PACKING.map(number);
        let packing = match (factor?, offset?) {
            (None, None) => None,
            (factor, offset) => Some([factor.unwrap_or(1.0), offset.unwrap_or(0.0)]),
        };
        let missing = MISSING.into_iter().filter_map(|name| number(name).transpose()).collect::<Result<_>>()?;
        let kind = data.dtype().map_err(failed)?;
        match kind.to_descriptor() {
            Ok(TypeDescriptor::Float(_)) => {}
            Ok(TypeDescriptor::Integer(_) | TypeDescriptor::Unsigned(_)) if packing.is_some() => {}
            Ok(TypeDescriptor::Integer(_) | TypeDescriptor::Unsigned(_)) => {
                let [factor, offset] = PACKING;
                let what = format!(
                    "integers; store floating-point numbers, or say by {factor} and {offset} what they stand for"
                );
                return Err(wrong(what));
            }
            // Floats of sizes that the description lacks: half and long double.
            Err(_) if kind.size() == 2 || (10..=16).contains(&kind.size()) => {}
            Ok(other) => return Err(wrong(format!("values of type {other}; floating-point numbers are read"))),
            Err(error) => return Err(failed(error)),
        }
        let shape = data.shape();
        believe(&data, &shape, kind.size() as u64).map_err(wrong)?;
        let mirrored = data.attr(MATLAB).is_ok();
        if mirrored && shape.len() == 3 && shape[0] == shape[1] && shape[1] == shape[2] {
            let what = format!(
                "a MATLAB array of {0} × {0} × {0}, of which nothing says which axis counts the fields",
                shape[0]
            );
            return Err(wrong(format!("{what}; store one field more or less")));
        }
        Ok(Self { path, name, data, shape, packing, missing, mirrored })
    }

    /// Its shape, that of a MATLAB array with the last two axes exchanged: (x, y), (field, x, y).
    pub fn shape(&self) -> Vec<usize> {
        let mut shape = self.shape.clone();
        if let (true, [.., a, b]) = (self.mirrored, &mut shape[..]) {
            std::mem::swap(a, b);
        }
        shape
    }

    /// What to tell who gave the file: that its axes were exchanged.
    pub fn notice(&self) -> Option<String> {
        self.mirrored.then(|| {
            let (path, name) = (self.path.display(), shown(self.name));
            format!("{path}: dataset `{name}` was written by MATLAB, as ω(x, y, field): its axes are exchanged")
        })
    }

    /// All values.
    ///
    /// # Errors
    /// Another number of axes, no memory, or the file is damaged.
    pub fn array<T: Real + hdf5::H5Type, D: Dimension>(&self) -> Result<Array<T, D>> {
        let values = self.read(|| self.data.read_dyn::<T>(), || self.data.read_dyn::<f64>())?;
        self.oriented(values).into_dimensionality().map_err(|_| {
            let what = format!("{}: dataset `{}`", self.path.display(), shown(self.name));
            Error::shape(what, format!("{} axes", D::NDIM.unwrap_or(0)), &self.shape)
        })
    }

    /// The values of some of the fields, (field, x, y); all of a single field (x, y) for 0..1.
    ///
    /// # Errors
    /// Another number of axes, no such fields, no memory, or the file is damaged.
    pub fn fields<T: Real + hdf5::H5Type>(&self, range: Range<usize>) -> Result<Array3<T>> {
        let there = if self.shape.len() == 2 { 1 } else { self.shape[0] };
        if self.shape.len() < 2 || self.shape.len() > 3 || range.start > range.end || range.end > there {
            return Err(self.wrong(format!("fields {range:?} of the shape {:?}", self.shape)));
        }
        if self.shape.len() == 2 {
            return Ok(self.array::<T, ndarray::Ix2>()?.insert_axis(ndarray::Axis(0)));
        }
        let part = s![range, .., ..];
        let values = self.read(
            || self.data.read_slice::<T, _, ndarray::Ix3>(part).map(Array::into_dyn),
            || self.data.read_slice::<f64, _, ndarray::Ix3>(part).map(Array::into_dyn),
        )?;
        self.oriented(values).into_dimensionality().map_err(|error| self.wrong(error.to_string()))
    }

    /// Reads by `plain`, or by `wide` where stored values stand for others.
    fn read<T: Real + hdf5::H5Type>(
        &self,
        plain: impl Fn() -> hdf5::Result<ArrayD<T>>,
        wide: impl Fn() -> hdf5::Result<ArrayD<f64>>,
    ) -> Result<ArrayD<T>> {
        let wrong = |error: hdf5::Error| self.wrong(error.to_string());
        if self.packing.is_none() && self.missing.is_empty() {
            return plain().map_err(wrong);
        }
        let [factor, offset] = self.packing.unwrap_or([1.0, 0.0]);
        let meant = |stored: f64| if self.missing.contains(&stored) { f64::NAN } else { stored * factor + offset };
        Ok(wide().map_err(wrong)?.mapv(|stored| T::of(meant(stored))))
    }

    fn oriented<T: Clone>(&self, mut values: ArrayD<T>) -> ArrayD<T> {
        if self.mirrored && values.ndim() > 1 {
            let last = values.ndim() - 1;
            values.swap_axes(last - 1, last);
            return values.as_standard_layout().into_owned();
        }
        values
    }

    fn wrong(&self, what: String) -> Error {
        Error::Hdf5 { path: self.path.into(), what: format!("dataset `{}`: {what}", shown(self.name)) }
    }
}

/// The fields of a dataset, (n, n) or (fields, n, n): at least one, square, of even size, and finite. `notice` is told if axes were
/// exchanged.
///
/// # Errors
/// As [`Numbers::open`]; another shape; a value that is not finite, with its place.
pub fn fields<T: Real + hdf5::H5Type>(
    file: &hdf5::File,
    path: &Path,
    name: &str,
    notice: &mut dyn FnMut(&str),
) -> Result<Array3<T>> {
    let data = Numbers::open(file, path, name)?;
    let label = || format!("{}: dataset `{}`", path.display(), shown(name));
    let count = match data.shape()[..] {
        [_, _] => 1,
        [count, _, _] if count > 0 => count,
        ref shape => return Err(Error::shape(label(), "(N, N) or (batch, N, N), batch at least 1", shape)),
    };
    check_square(&label(), &data.shape()[data.shape().len() - 2..])?;
    data.notice().into_iter().for_each(|line| notice(&line));
    let values = data.fields::<T>(0..count)?;
    match values.indexed_iter().find(|(_, value)| !value.is_finite()) {
        None => Ok(values),
        Some(((k, i, j), value)) => {
            Err(data.wrong(format!("{} at field {k}, point ({i}, {j}); all values must be finite", value.wide())))
        }
    }
}

/// Refuses a shape that the file does not bear out: `size` bytes a value.
fn believe(data: &hdf5::Dataset, shape: &[usize], size: u64) -> Result<(), String> {
    let count = shape.iter().try_fold(1u64, |product, &length| product.checked_mul(length as u64));
    let bytes = |size: u64| count.and_then(|count| count.checked_mul(size));
    let most = |most: u64| format!("claims {shape:?} values; at most {most} bytes of numbers are read at once");
    // In memory values are of eight bytes for a while.
    let memory = bytes(size.max(8)).filter(|&memory| memory <= ARRAY_BYTES).ok_or_else(|| most(ARRAY_BYTES))?;
    let claimed = bytes(size).ok_or_else(|| most(ARRAY_BYTES))?;
    let plist = data.dcpl().map_err(|error| error.to_string())?;
    if !plist.external().is_empty() {
        return Err("its values lie in other files, which are not read".into());
    }
    // Of the file that holds it, to which a link may lead.
    let length = data.file().map_or(0, |file| file.size());
    let held = data.storage_size().min(length);
    let enough = match plist.layout() {
        Layout::Compact | Layout::Contiguous => held >= claimed,
        Layout::Chunked => held > 0 && (claimed <= HARMLESS || held.saturating_mul(EXPANSION) >= claimed),
        _ => memory <= VIRTUAL_BYTES,
    };
    if claimed > 0 && !enough {
        return Err(format!("claims {shape:?} values in {claimed} bytes, of which the file holds {held}"));
    }
    // What was never written would be read as zeros.
    if let (Some(chunk), Some(written)) = (plist.chunk(), data.num_chunks()) {
        let all: usize = shape.iter().zip(&chunk).map(|(&length, &part)| length.div_ceil(part.max(1))).product();
        if written < all {
            return Err(format!("only {written} of its {all} chunks were written"));
        }
    }
    let mut room = Vec::<u8>::new();
    room.try_reserve_exact(memory as usize).map_err(|_| format!("no memory for {shape:?} values, {memory} bytes"))
}
