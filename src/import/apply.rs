//! Networks on fields in files.

use std::path::Path;

use ndarray::Array3;

use crate::artifact::h5;
use crate::error::{Error, Result};
use crate::latent::{Operation, apply};
use crate::nets::Checkpoint;

/// [`apply`] from file to file: reads dataset `name` (and `condition`) of `input`, each (samples, n, n), and writes dataset
/// `output` to `out`.
///
/// # Errors
/// I/O, missing datasets, and what [`apply`] reports.
pub fn apply_file(
    checkpoint: &Checkpoint,
    operation: Operation,
    input: &Path,
    name: &str,
    condition: Option<&str>,
    out: &Path,
) -> Result<()> {
    let file = h5::open(input)?;
    let wrong = h5::error(input);
    let read = |name: &str| -> Result<Array3<f32>> {
        let dataset = h5::dataset(&file, input, name)?;
        let shape = dataset.shape();
        if shape.len() != 3 {
            let what = format!("{}: dataset `{name}`", input.display());
            return Err(Error::shape(what, "(samples, n, n)", &shape));
        }
        dataset.read().map_err(wrong)
    };
    let fields = read(name)?;
    let condition = condition.map(read).transpose()?;
    let output = apply(checkpoint, operation, fields.view(), condition.as_ref().map(|c| c.view()))?;
    h5::create(out, |file| {
        let made = file.new_dataset_builder().with_data(&output).create("output");
        made.map_err(h5::error(out)).map(|_| ())
    })
}
