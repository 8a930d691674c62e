//! Fields in files of others, checked where they are read.

use std::ops::Range;
use std::path::Path;

use hdf5::H5Type;
use ndarray::{Array3, ArrayView2, Axis};
use sha2::{Digest, Sha256};

use super::record::Recorder;
use crate::artifact::h5;
use crate::config::{Axes, Config, MissingTerm, StartConfig};
use crate::error::{Error, Result};
use crate::file::hex;
use crate::flow::Real;
use crate::spectral::{Field, Grid, check_square, irfft2, rfft2, truncate};

/// Share of the mean square beyond the 2/3 rule that goes without saying: thousands of times what rounding to f32 leaves there.
const UNSAID: f64 = 1e-10;

/// A dataset of square fields: (N, N), or such fields along axes before these.
pub struct FieldSet {
    numbers: h5::Numbers,
    /// Axes before the last two.
    lead: Vec<usize>,
    n: usize,
}

impl FieldSet {
    /// The dataset `name` of an open file; nothing but its description is read.
    ///
    /// # Errors
    /// As [`h5::Numbers::open`]; it holds no square fields with an even number of points, or no fields at all. The message names file
    /// and dataset.
    pub fn open(file: &hdf5::File, path: &Path, name: &str, axes: Option<Axes>) -> Result<Self> {
        let numbers = h5::Numbers::open(file, path, name, axes)?;
        let (label, shape) = (numbers.label(), numbers.shape());
        let Some(rank) = shape.len().checked_sub(2) else {
            return Err(Error::shape(label, "(N, N), or (…, N, N) for several fields", shape));
        };
        let n = check_square(&label, &shape[rank..])?;
        let lead = shape[..rank].to_vec();
        if lead.contains(&0) {
            return Err(Error::shape(label, "at least one field", shape));
        }
        Ok(Self { numbers, lead, n })
    }

    /// Points per side.
    pub fn n(&self) -> usize {
        self.n
    }

    /// The axes before those of a field.
    pub fn lead(&self) -> &[usize] {
        &self.lead
    }

    /// Fields in all.
    pub fn count(&self) -> usize {
        self.lead.iter().product()
    }

    /// Fields `range` of all, the last of the axes before a field running fastest; (fields, n, n).
    ///
    /// # Errors
    /// As [`h5::Numbers::fields`].
    pub fn read<T: Real + H5Type>(&self, range: Range<usize>) -> Result<Array3<T>> {
        self.numbers.fields(range)
    }

    /// The field that `index` names along the leading axes; without one, the only field.
    ///
    /// # Errors
    /// There is no such field, or there are several; and as [`FieldSet::read`].
    pub fn one(&self, index: &[usize]) -> Result<Field> {
        let shape = || format!("({:?}, {1}, {1})", self.lead, self.n).replace(['[', ']'], "");
        let label = format!("{}, field", self.numbers.label());
        let whole = if index.is_empty() && self.count() == 1 { vec![0; self.lead.len()] } else { index.to_vec() };
        let inside = whole.len() == self.lead.len() && whole.iter().zip(&self.lead).all(|(i, length)| i < length);
        if !inside {
            let expected = format!("one index for each axis before the last two of {}", shape());
            return Err(Error::shape(label, expected, index));
        }
        let at = whole.iter().zip(&self.lead).fold(0, |at, (i, length)| at * length + i);
        Ok(self.read(at..at + 1)?.index_axis_move(Axis(0), 0))
    }
}

/// The start field of a configuration, and its SHA-256: that of the number of points and the values, row by row, as little-endian
/// doubles.
///
/// # Errors
/// As [`FieldSet::one`]; other values than the configuration says.
pub fn start_field(init: &StartConfig) -> Result<(Field, String)> {
    let StartConfig { path, dataset, field, axes, sha256 } = init;
    let file = h5::foreign(path, &[dataset])?;
    let found = FieldSet::open(&file, path, dataset, *axes)?.one(field)?;
    let mut digest = Sha256::new();
    digest.update((found.nrows() as u64).to_le_bytes());
    found.iter().for_each(|value| digest.update(value.to_le_bytes()));
    let digest = hex(&digest.finalize());
    match sha256 {
        Some(expected) if *expected != digest => {
            let what = format!("dataset `{dataset}` has SHA-256 {digest}; rollout.init.sha256 is {expected}");
            Err(Error::Hdf5 { path: path.clone(), what })
        }
        _ => Ok((found, digest)),
    }
}

/// What is to be said of a start field that holds more than rounding beyond the 2/3 rule, where the solver's products alias.
///
/// # Errors
/// Its number of points is odd or below 4.
pub(crate) fn aliasing(field: ArrayView2<f64>) -> Result<Option<String>> {
    let grid = Grid::new(field.nrows(), 1.0)?;
    let mut spectrum = rfft2(field);
    grid.dealias(&mut spectrum);
    let square = |field: &Field| field.iter().map(|w| w * w).sum::<f64>();
    let share = square(&(&field - &irfft2(&spectrum, grid.n))) / square(&field.to_owned());
    let text = || {
        let modes = grid.cutoff();
        format!(
            "{share:.1e} of its mean square lies in modes beyond {modes}: their products alias until they have decayed"
        )
    };
    Ok((share > UNSAID).then(text))
}

/// A start field as the full solver begins with it, and as the reduced one does.
///
/// A field on `flow.n` points is coarsened like the data. One on `data.n` points is the reduced solver's own, and the full one begins
/// with its trigonometric interpolation; that is for the missing physics, since a subgrid model's state is a filtered field, whose
/// full one nobody knows.
///
/// # Errors
/// A field on another grid.
pub fn start_pair(config: &Config, init: &StartConfig, field: Field) -> Result<(Field, Field)> {
    let (full, reduced, n) = (config.flow.n, config.data.n, field.nrows());
    if n == full {
        let start = Recorder::new(config)?.coarsen(field.view())?;
        return Ok((field, start));
    }
    let physics = config.data.term == MissingTerm::Physics;
    if n == reduced && physics {
        return Ok((truncate(field.view(), full)?, field));
    }
    let label = format!("{}: dataset `{}`", init.path.display(), init.dataset);
    let or = if physics { format!(" or data.n = {reduced}") } else { String::new() };
    Err(Error::shape(label, format!("fields on flow.n = {full}{or} points per side"), &[n, n]))
}
