//! What few steps cost: samplers on a law whose denoiser is known.

use polars::prelude::Column;

use super::table::Table;
use crate::config::SamplerKind;
use crate::error::Result;
use crate::rng::{SeedTree, Stream};
use crate::stop;
use crate::transport::{SIGMA_MAX, SIGMA_MIN, Schedule, Scratch, sample};

/// Numbers of steps shown.
const STEPS: [usize; 5] = [2, 5, 10, 20, 50];
/// Independent draws per point: the standard error of a standard deviation is 1/√(2·20000) = 0.5 %.
const DRAWS: usize = 20_000;
/// Mean of the law in units of the data's rms.
const MEAN: f32 = 1.0;
/// Its standard deviation: that of H given ω relative to rms H, with the published numbers (0.01995/0.2486).
const STD: f32 = 0.0802;

const SAMPLERS: [(SamplerKind, &str); 4] = [
    (SamplerKind::EulerMaruyama, "Euler–Maruyama"),
    (SamplerKind::Ancestral, "ancestral"),
    (SamplerKind::Heun, "Heun (two evaluations a step)"),
    (SamplerKind::Multistep, "multistep"),
];

/// Samplers on a Gaussian as narrow as p(H | ω), whose denoiser is known exactly: all that is wrong is the sampler's.
#[derive(Debug, Clone)]
pub struct SamplerBias {
    /// Sampler by sampler, by number of steps.
    pub rows: Vec<SamplerRow>,
}

/// One sampler with some steps.
#[derive(Debug, Clone)]
pub struct SamplerRow {
    /// Its name.
    pub sampler: &'static str,
    /// Sampling steps.
    pub steps: usize,
    /// Standard deviation of the samples over the exact one.
    pub std_ratio: f64,
    /// Error of their mean in exact standard deviations.
    pub bias: f64,
}

/// Measures all samplers.
///
/// # Errors
/// None in practice.
pub fn sampler_bias(seeds: &SeedTree) -> Result<SamplerBias> {
    let mut rows = Vec::new();
    for (kind, sampler) in SAMPLERS {
        for steps in STEPS {
            stop::check()?;
            let (mean, std) = mean_and_std(kind, steps, &mut seeds.child(sampler).child(steps).stream())?;
            let (std_ratio, bias) = (std / f64::from(STD), (mean - f64::from(MEAN)) / f64::from(STD));
            rows.push(SamplerRow { sampler, steps, std_ratio, bias });
        }
    }
    Ok(SamplerBias { rows })
}

/// Mean and standard deviation of draws.
fn mean_and_std(kind: SamplerKind, steps: usize, rng: &mut Stream) -> Result<(f64, f64)> {
    let schedule = Schedule::edm(steps, SIGMA_MIN, SIGMA_MAX)?;
    let mut denoiser = |x: &[f32], sigma: f32, out: &mut [f32]| {
        let weight = STD * STD / (STD * STD + sigma * sigma);
        out.iter_mut().zip(x).for_each(|(out, x)| *out = MEAN + weight * (x - MEAN));
    };
    let mut out = vec![0.0; DRAWS];
    sample(kind, &schedule, &mut denoiser, &mut Scratch::new(DRAWS), rng, &mut out);
    let mean = out.iter().map(|&x| f64::from(x)).sum::<f64>() / DRAWS as f64;
    let variance = out.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / (DRAWS - 1) as f64;
    Ok((mean, variance.sqrt()))
}

impl SamplerBias {
    /// As a table.
    ///
    /// # Errors
    /// None in practice.
    pub fn table(&self) -> Result<Table> {
        let rows = &self.rows;
        Table::new(
            "samplers",
            format!(
                "Samplers on N({MEAN}, {STD}²) with its exact denoiser, {DRAWS} draws: spread relative to the exact one, and bias of the mean in spreads."
            ),
            vec![
                Column::new("sampler".into(), rows.iter().map(|r| r.sampler).collect::<Vec<_>>()),
                Column::new("steps".into(), rows.iter().map(|r| r.steps as i64).collect::<Vec<_>>()),
                Column::new("spread/exact".into(), rows.iter().map(|r| r.std_ratio).collect::<Vec<_>>()),
                Column::new("bias/spread".into(), rows.iter().map(|r| r.bias).collect::<Vec<_>>()),
            ],
        )
    }
}
