//! Networks on fields in files.

use std::path::Path;

use ndarray::Array3;

use crate::artifact::h5;
use crate::config::Axes;
use crate::data::FieldSet;
use crate::error::{Error, Result, shown};
use crate::latent::{Operation, apply};
use crate::nets::Checkpoint;

/// [`apply`] from file to file: reads dataset `name` (and `condition`) of `input`, each (n, n) or (samples, n, n), and writes
/// dataset `output`, (samples, n, n), to `out`. `axes` are those of the fields, which files written by MATLAB need.
///
/// # Errors
/// I/O, missing datasets, fields that are none or not finite, and what [`apply`] reports.
pub fn apply_file(
    checkpoint: &Checkpoint,
    operation: Operation,
    input: &Path,
    name: &str,
    condition: Option<&str>,
    axes: Option<Axes>,
    out: &Path,
) -> Result<()> {
    h5::check_name(out)?;
    let file = h5::foreign(input, &[Some(name), condition].into_iter().flatten().collect::<Vec<_>>())?;
    let read = |name: &str| -> Result<Array3<f32>> {
        let set = FieldSet::open(&file, input, name, axes)?;
        if set.lead().len() > 1 {
            let what = format!("{}: dataset `{}`", input.display(), shown(name));
            return Err(Error::shape(what, "(n, n) or (samples, n, n)", &[set.lead(), &[set.n(); 2]].concat()));
        }
        set.read(0..set.count())
    };
    let fields = read(name)?;
    let condition = condition.map(read).transpose()?;
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
