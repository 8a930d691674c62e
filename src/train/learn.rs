//! From pairs of fields to trained weights, model by model.

use burn::tensor::Device;
use ndarray::{ArrayView2, ArrayView3};

use super::batches::{Fields, Samples};
use super::engine::{Outcome, Run, fit};
use super::parallel::Workers;
use super::score::Score;
use super::state::State;
use crate::config::{LatentConfig, ModelConfig};
use crate::data::Stats;
use crate::error::Result;
use crate::infer::{Fno, Network};
use crate::rng::SeedTree;
use crate::spectral::truncate;

/// ω and H, (samples, n, n) each.
#[derive(Debug, Clone, Copy)]
pub struct Fieldset<'a> {
    /// Vorticity.
    pub w: ArrayView3<'a, f32>,
    /// The missing term.
    pub h: ArrayView3<'a, f32>,
}

fn reduce(latent: &LatentConfig, fields: ArrayView3<f32>, rms: f64) -> Result<Fields> {
    let n = match latent {
        LatentConfig::Spectral { n } => *n,
        _ => fields.dim().1,
    };
    let mut values = Vec::new();
    for field in fields.outer_iter() {
        let field = field.mapv(|x| f64::from(x) / rms);
        values.extend(truncate(ArrayView2::from(&field), n)?.iter().map(|&x| x as f32));
    }
    Ok(Fields { n, values })
}

pub fn learn_score(
    model: &ModelConfig,
    stats: &Stats,
    train: Fieldset,
    validation: Fieldset,
    seeds: &SeedTree,
    workers: &Workers,
    device: Device,
    chunks: usize,
    run: &mut Run,
) -> Result<(State, Outcome, Fno)> {
    let sample = |set: Fieldset| -> Result<Samples> {
        Ok(Samples { w: reduce(&model.latent, set.w, stats.w_rms)?, h: reduce(&model.latent, set.h, stats.h_rms)? })
    };
    let (train, validation) = (sample(train)?, sample(validation)?);
    let fno = Fno::new(&model.network, model.law);
    let network = Network::Fno(fno.clone());
    let start = State::new(network.init(&mut seeds.child("init").stream()), Vec::new());
    let mut score =
        Score::new(fno.clone(), (&train, &validation), &model.train, seeds, workers, (device, chunks));
    let (state, outcome) = fit(&model.train, &mut score, start, run)?;
    Ok((state, outcome, fno))
}
