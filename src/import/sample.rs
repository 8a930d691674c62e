//! Draws of a model at given fields.

use std::path::Path;

use ndarray::{Array2, Axis, s};

use crate::artifact::{h5, netcdf};
use crate::closure::{Closure, Learned};
use crate::data::FieldSet;
use crate::error::{Error, Result};
use crate::nets::Checkpoint;
use crate::rng::SeedTree;

/// What [`sample_file`] draws.
#[derive(Debug, Clone)]
pub struct Draws {
    /// Draws at each condition.
    pub count: usize,
    /// The conditional mean instead.
    pub mean: bool,
    /// Draw k at condition i, counted as in the file, takes the stream `SEED:/sample/i/k`.
    pub seed: u64,
    /// Conditions from the first to before the second, all by default; along several axes the last one runs fastest.
    pub conditions: Option<std::ops::Range<usize>>,
    /// Steps of the sampler instead of the checkpoint's.
    pub steps: Option<usize>,
}

/// Draws H at the vorticity fields of a dataset and writes `h` (conditions, draws, n, n), f32, beside `condition`, their numbers;
/// returns how many conditions there were.
///
/// # Errors
/// Fields of another grid than the model's; a model without the networks that its law needs; I/O.
pub fn sample_file(checkpoint: &Checkpoint, conditions: &FieldSet, draws: &Draws, out: &Path) -> Result<usize> {
    let mut sampler = checkpoint.model.sampler.clone();
    sampler.steps = draws.steps.unwrap_or(sampler.steps);
    let mut law = Learned::new(checkpoint, &sampler)?;
    let n = law.n();
    if conditions.n() != n {
        return Err(Error::shape("conditions", format!("({n}, {n}) as the model"), &[conditions.n(), conditions.n()]));
    }
    let chosen = draws.conditions.clone().unwrap_or(0..conditions.count());
    if chosen.is_empty() || chosen.end > conditions.count() {
        let what = format!("conditions {}..{} of {}", chosen.start, chosen.end, conditions.count());
        return Err(Error::config("fields", what));
    }
    let count = if draws.mean { 1 } else { draws.count };
    let seeds = SeedTree::new(draws.seed).child("sample");
    let wrong = h5::error(out);
    h5::create(out, |file| {
        let shape = (chosen.len(), count, n, n);
        let to = file.new_dataset::<f32>().shape(shape).create("h").map_err(wrong)?;
        let mut h = Array2::zeros((n, n));
        for (at, i) in chosen.clone().enumerate() {
            let w = conditions.read(i..i + 1)?.index_axis_move(Axis(0), 0);
            for k in 0..count {
                if draws.mean {
                    law.mean(w.view(), 0.0, h.view_mut())?;
                } else {
                    law.sample(w.view(), 0.0, &mut seeds.child(i).child(k).stream(), h.view_mut())?;
                }
                to.write_slice(&h.mapv(|h| h as f32), s![at, k, .., ..]).map_err(wrong)?;
            }
        }
        let numbers: Vec<u64> = chosen.clone().map(|i| i as u64).collect();
        let write = || -> hdf5::Result<()> {
            netcdf::title(file, "draws of the missing term")?;
            netcdf::coordinate(file, "condition", &numbers, "number of the field that is the condition")?;
            netcdf::count(file, "draw", count)?;
            netcdf::plane(file, n)?;
            netcdf::variable(file, "h", &["condition", "draw", "x", "y"], "missing term H")?;
            h5::set_text(file, "seeds", &format!("{}/<condition>/<draw>", seeds.label()))?;
            h5::set_text(file, "law", &law.name())?;
            h5::set_text(file, "version", env!("CARGO_PKG_VERSION"))
        };
        write().map_err(wrong)
    })?;
    Ok(chosen.len())
}
