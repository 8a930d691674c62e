//! What few steps cost: samplers on a law whose denoiser is known.

use polars::prelude::Column;

use super::Lab;
use crate::config::SamplerKind;
use crate::error::Result;
use crate::eval::Table;
use crate::plot::{Chart, Figure, Scale, Series};
use crate::rng::Stream;
use crate::transport::{SIGMA_MAX, SIGMA_MIN, Schedule, Scratch, sample};

/// Numbers of steps shown.
const STEPS: [usize; 5] = [2, 5, 10, 20, 50];
/// Independent draws per point: the standard error of a standard deviation is 1/√(2·20000) = 0.5 %.
const DRAWS: usize = 20_000;
/// Mean of the law in units of the data's rms.
const MEAN: f32 = 1.0;
/// Its standard deviation: that of H given ω relative to rms H, with the published numbers (0.01995/0.2486).
const SPREAD: f32 = 0.0802;

const SAMPLERS: [(SamplerKind, &str); 4] = [
    (SamplerKind::EulerMaruyama, "Euler–Maruyama"),
    (SamplerKind::Ancestral, "ancestral"),
    (SamplerKind::Heun, "Heun (two evaluations a step)"),
    (SamplerKind::Multistep, "multistep"),
];

impl Lab {
    /// Figure and table `samplers`: spread and mean of samples drawn from a Gaussian as narrow as p(H | ω), whose denoiser is
    /// known exactly, against the number of steps: all that is wrong here is the sampler's.
    ///
    /// # Errors
    /// None in practice.
    pub fn sampler_bias(&self) -> Result<Figure> {
        let mut rows: Vec<(&str, i64, f64, f64)> = Vec::new();
        let mut series = Vec::new();
        for (kind, name) in SAMPLERS {
            let mut spreads = Vec::new();
            for steps in STEPS {
                let mut rng = self.config.seeds().child("lab").child("samplers").child(name).child(steps).stream();
                let (mean, spread) = moments(kind, steps, &mut rng)?;
                rows.push((
                    name,
                    steps as i64,
                    spread / f64::from(SPREAD),
                    (mean - f64::from(MEAN)) / f64::from(SPREAD),
                ));
                spreads.push(spread / f64::from(SPREAD));
            }
            series.push(Series::new(name, STEPS.iter().map(|&s| s as f64).collect(), spreads));
        }
        let table = Table::new(
            "samplers",
            format!(
                "Samplers on N({MEAN}, {SPREAD}²) with its exact denoiser, {DRAWS} draws: spread relative to the exact one, and bias of the mean in spreads."
            ),
            vec![
                Column::new("sampler".into(), rows.iter().map(|r| r.0).collect::<Vec<_>>()),
                Column::new("steps".into(), rows.iter().map(|r| r.1).collect::<Vec<_>>()),
                Column::new("spread/exact".into(), rows.iter().map(|r| r.2).collect::<Vec<_>>()),
                Column::new("bias/spread".into(), rows.iter().map(|r| r.3).collect::<Vec<_>>()),
            ],
        )?;
        let chart = Chart {
            name: "samplers".into(),
            title: String::new(),
            x_label: "sampling steps".into(),
            y_label: "spread relative to the exact law".into(),
            x_scale: Scale::Log,
            y_scale: Scale::Log,
            levels: vec![(1.0, "exact".into())],
            series,
        };
        let caption = "Spread of samples of a narrow Gaussian with a known denoiser, relative to the exact one, by sampler and steps.";
        self.gallery.put_table(&table, &self.source("lab.sampler_bias()", &table.caption, &[]))?;
        self.keep(chart.draw()?, &self.source("lab.sampler_bias()", caption, &[]))
    }
}

/// Mean and standard deviation of draws.
fn moments(kind: SamplerKind, steps: usize, rng: &mut Stream) -> Result<(f64, f64)> {
    let schedule = Schedule::edm(steps, SIGMA_MIN, SIGMA_MAX)?;
    let mut denoiser = |x: &[f32], sigma: f32, out: &mut [f32]| {
        let weight = SPREAD * SPREAD / (SPREAD * SPREAD + sigma * sigma);
        out.iter_mut().zip(x).for_each(|(out, x)| *out = MEAN + weight * (x - MEAN));
    };
    let mut out = vec![0.0; DRAWS];
    sample(kind, &schedule, &mut denoiser, &mut Scratch::new(DRAWS), rng, &mut out);
    let mean = out.iter().map(|&x| f64::from(x)).sum::<f64>() / DRAWS as f64;
    let variance = out.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / (DRAWS - 1) as f64;
    Ok((mean, variance.sqrt()))
}
