//! Datasets of numbers: what is read of them is what they mean.

use std::ops::Range;
use std::path::{Path, PathBuf};

use hdf5::dataset::Layout;
use hdf5::types::TypeDescriptor;
use hdf5::{Hyperslab, SliceOrIndex};
use ndarray::{Array, Array3, ArrayD, Axis, Dimension, IxDyn};

use crate::config::Axes;
use crate::error::{Error, Result, shown};
use crate::flow::Real;

/// Most bytes that are read at once: 64 GiB.
const ARRAY_BYTES: usize = 1 << 36;
/// Attributes that say how integers stand for numbers (CF conventions 1.11, section 8.1), and which of them stand for none.
const PACKING: [&str; 2] = ["scale_factor", "add_offset"];
const MISSING: [&str; 2] = ["_FillValue", "missing_value"];
/// The attribute by which MATLAB says what it has written; it writes the axes of an array in reverse order.
const MATLAB: &str = "MATLAB_class";

/// A dataset of floating-point numbers, or of integers that stand for such, whose size its file bears out.
///
/// Packed values (CF conventions: `scale_factor`, `add_offset`, `_FillValue`) are unpacked. Integers without these, and arrays of
/// MATLAB of which nobody has said which axis is x, are refused.
#[derive(Debug)]
pub struct Numbers {
    path: PathBuf,
    name: String,
    data: hdf5::Dataset,
    shape: Vec<usize>,
    /// Factor and offset.
    packing: Option<[f64; 2]>,
    /// Stored values that stand for none.
    missing: Vec<f64>,
    /// Whether y comes before x.
    transposed: bool,
}

impl Numbers {
    /// Looks at the dataset `name` of an open file: nothing of its size is asked for. `axes` are those of its fields, as far as
    /// somebody has said.
    ///
    /// # Errors
    /// There is none of that name; its values are no floating-point numbers; it claims more of them than the file holds; MATLAB has
    /// written it, and its axes are not said.
    pub fn open(file: &hdf5::File, path: &Path, name: &str, axes: Option<Axes>) -> Result<Self> {
        let data = super::dataset(file, path, name)?;
        let wrong =
            |what: String| Error::Hdf5 { path: path.into(), what: format!("dataset `{}`: {what}", shown(name)) };
        let attributes = data.attr_names().map_err(|error| wrong(error.to_string()))?;
        let has = |name: &str| attributes.iter().any(|there| there == name);
        let number = |name: &str| -> Result<Option<f64>> {
            if !has(name) {
                return Ok(None);
            }
            let attribute = data.attr(name).map_err(|error| wrong(error.to_string()))?;
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
        let kind = data.dtype().map_err(|error| wrong(error.to_string()))?;
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
            Err(error) => return Err(wrong(error.to_string())),
        }
        let shape = data.shape();
        // A list is the same in either order.
        let several = shape.iter().filter(|&&length| length > 1).count() > 1;
        if axes.is_none() && several && has(MATLAB) {
            return Err(wrong(
                "written by MATLAB, which reverses the order of axes: say whether x (axes xy) or y (axes yx) is the one before the \
                 last as HDF5 shows it; mirrored vortices would turn the other way"
                    .into(),
            ));
        }
        let transposed = axes == Some(Axes::Yx);
        Ok(Self { path: path.into(), name: name.into(), data, shape, packing, missing, transposed })
    }

    /// Whether its values lie in the file one after the other as they are: not in chunks, which are found and unpacked.
    pub(super) fn is_flat(&self) -> bool {
        self.data.dcpl().is_ok_and(|about| matches!(about.layout(), Layout::Compact | Layout::Contiguous))
    }

    /// Its shape, as the file has it.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// File and dataset, for messages.
    pub fn label(&self) -> String {
        format!("{}: dataset `{}`", self.path.display(), shown(&self.name))
    }

    /// All values, as the file has them.
    ///
    /// # Errors
    /// Another number of axes, no memory, or the file is damaged.
    pub fn array<T: Real + hdf5::H5Type, D: Dimension>(&self) -> Result<Array<T, D>> {
        let all = SliceOrIndex::Unlimited { start: 0, step: 1, block: 1 };
        let values = self.read(vec![all; self.shape.len()], self.shape.iter().product())?;
        values
            .into_dimensionality()
            .map_err(|_| Error::shape(self.label(), format!("{} axes", D::NDIM.unwrap_or(0)), &self.shape))
    }

    /// Fields from the first to before the second of all along the axes before the last two, the last of these running fastest:
    /// (fields, x, y).
    ///
    /// # Errors
    /// Fewer than two axes, no such fields, no memory, a value that is missing or not finite (with its place), or the file is damaged.
    pub fn fields<T: Real + hdf5::H5Type>(&self, range: Range<usize>) -> Result<Array3<T>> {
        let (lead, last) = self.shape.split_at(self.shape.len().saturating_sub(2));
        let there: usize = lead.iter().product();
        let [a, b] = *last else { return Err(self.wrong(format!("no fields: its shape is {:?}", self.shape))) };
        if range.start > range.end || range.end > there {
            return Err(self.wrong(format!("fields {}..{} of {there}", range.start, range.end)));
        }
        let mut out = Array3::from_shape_simple_fn((0, a, b), || T::of(0.0));
        while out.len_of(Axis(0)) < range.len() {
            let (index, run) = run(lead, range.start + out.len_of(Axis(0)), range.end);
            let mut selection: Vec<SliceOrIndex> = index.iter().map(|&i| SliceOrIndex::Index(i)).collect();
            if let (Some(last), Some(&start)) = (selection.last_mut(), index.last()) {
                *last = SliceOrIndex::SliceCount { start, step: 1, count: run, block: 1 };
            }
            selection.extend([SliceOrIndex::Unlimited { start: 0, step: 1, block: 1 }; 2]);
            let part = self.read(selection, run * a * b)?.into_shape_with_order((run, a, b));
            let part = part.map_err(|error| self.wrong(error.to_string()))?;
            if run == range.len() {
                out = part;
            } else {
                out.append(Axis(0), part.view()).map_err(|error| self.wrong(error.to_string()))?;
            }
        }
        if let Some(((k, i, j), value)) = out.indexed_iter().find(|(_, value)| !value.is_finite()) {
            let value = match &self.missing[..] {
                [fill, ..] if value.wide().is_nan() => format!("the fill value {fill}, or NaN,"),
                _ => value.wide().to_string(),
            };
            let place = format!("at field {}, point ({i}, {j})", range.start + k);
            return Err(self.wrong(format!("{value} {place}; all values must be finite")));
        }
        if self.transposed {
            out.swap_axes(1, 2);
            out = out.as_standard_layout().into_owned();
        }
        Ok(out)
    }

    /// Reads `count` values; those that stand for others are what they mean, NaN for none.
    fn read<T: Real + hdf5::H5Type>(&self, selection: Vec<SliceOrIndex>, count: usize) -> Result<ArrayD<T>> {
        let plain = self.packing.is_none() && self.missing.is_empty();
        let bytes = count.saturating_mul(if plain { size_of::<T>() } else { size_of::<f64>() });
        let mut room = Vec::<u8>::new();
        if bytes > ARRAY_BYTES || room.try_reserve_exact(bytes).is_err() {
            return Err(
                self.wrong(format!("no memory for {count} of its values, {bytes} bytes of at most {ARRAY_BYTES}"))
            );
        }
        drop(room);
        let selection = Hyperslab::from(selection);
        let wrong = |error: hdf5::Error| self.wrong(error.to_string());
        if plain {
            return self.data.read_slice::<T, _, IxDyn>(selection).map_err(wrong);
        }
        let [factor, offset] = self.packing.unwrap_or([1.0, 0.0]);
        let meant = |stored: f64| if self.missing.contains(&stored) { f64::NAN } else { stored * factor + offset };
        let stored = self.data.read_slice::<f64, _, IxDyn>(selection).map_err(wrong)?;
        Ok(stored.mapv(|stored| T::of(meant(stored))))
    }

    pub(crate) fn wrong(&self, what: String) -> Error {
        Error::Hdf5 { path: self.path.clone(), what: format!("dataset `{}`: {what}", shown(&self.name)) }
    }
}

/// Indices of field `at` along the leading axes, and how many fields from there to before `end` one selection reads.
fn run(lead: &[usize], at: usize, end: usize) -> (Vec<usize>, usize) {
    let (mut index, mut rest) = (vec![0; lead.len()], at);
    for (index, &length) in index.iter_mut().zip(lead).rev() {
        (*index, rest) = (rest % length, rest / length);
    }
    let run = match (index.last(), lead.last()) {
        (Some(&first), Some(&length)) => (length - first).min(end - at),
        _ => 1,
    };
    (index, run)
}
