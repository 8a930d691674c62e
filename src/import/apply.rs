//! Networks on fields in files.

use std::path::Path;

use ndarray::Array3;

use crate::artifact::h5;
use crate::error::{Error, Result, shown};
use crate::latent::{Operation, apply};
use crate::nets::Checkpoint;

/// [`apply`] from file to file: reads dataset `name` (and `condition`) of `input`, each (n, n) or (samples, n, n), and writes
/// dataset `output`, (samples, n, n), to `out`. `notice` is told what the reader did to the fields, if anything.
///
/// # Errors
/// I/O, missing datasets, fields that are none or not finite, and what [`apply`] reports.
pub fn apply_file(
    checkpoint: &Checkpoint,
    operation: Operation,
    input: &Path,
    name: &str,
    condition: Option<&str>,
    out: &Path,
    notice: &mut dyn FnMut(&str),
) -> Result<()> {
    h5::check_name(out)?;
    let file = h5::open(input)?;
    let mut read = |name: &str| h5::fields(&file, input, name, notice);
    let fields: Array3<f32> = read(name)?;
    let condition = condition.map(&mut read).transpose()?;
    let output = apply(checkpoint, operation, fields.view(), condition.as_ref().map(|c| c.view()))?;
    if let Some(((k, i, j), value)) = output.indexed_iter().find(|(_, value)| !value.is_finite()) {
        let what = format!("the network makes {value} of field {k} of dataset `{}` at point ({i}, {j})", shown(name));
        return Err(Error::Hdf5 { path: input.into(), what });
    }
    h5::create(out, |file| {
        let made = file.new_dataset_builder().with_data(&output).create("output");
        made.map_err(h5::error(out)).map(|_| ())
    })
}
