//! The data's missing term, split into its conditional mean and the rest.

use ndarray::{Array2, s};
use polars::prelude::Column;

use super::table::Table;
use crate::closure::ExactLaw;
use crate::config::FlowConfig;
use crate::data::{Pairs, Stats};
use crate::error::Result;
use crate::flow::Advection;
use crate::spectral::shell_spectrum;

/// Most test snapshots that are split. No draws of the exact law are needed: the residual H − E\[H|ω\] is the noise itself.
const CONDITIONS: usize = 200;

/// H of the test set, split into its conditional mean −D\[u·∇ω\] and the rest.
#[derive(Debug, Clone)]
pub struct MissingTermSplit {
    /// Spectrum ½|H|² of the mean by shell 0 … N/2, averaged over snapshots (1/time⁴).
    pub mean: Vec<f64>,
    /// That of the rest.
    pub rest: Vec<f64>,
    /// That of the exact law's noise, σ²κq_n/(2L²Δt) summed over shells.
    pub exact: Vec<f64>,
    /// Standard deviation of the rest.
    pub rest_std: f64,
    /// That of the exact law, its square averaged over the pairs.
    pub exact_std: f64,
}

/// Splits the missing term of test pairs of the flow `flow`.
///
/// # Errors
/// Impossible values.
pub fn missing_term(flow: &FlowConfig, test: &Pairs) -> Result<MissingTermSplit> {
    let (count, n, _) = test.w.dim();
    let mut law = ExactLaw::new(flow, n)?;
    let mut advection = Advection::new(n, flow.length)?;
    let mut mean = Array2::zeros((n, n));
    let zeros = || vec![0.0; n / 2 + 1];
    let (mut of_mean, mut of_rest, mut exact) = (zeros(), zeros(), zeros());
    let (mut square, mut variance) = (0.0, 0.0);
    let chosen = (0..count).step_by(count.div_ceil(CONDITIONS));
    let used = chosen.len() as f64;
    let add = |sums: &mut [f64], values: Vec<f64>| sums.iter_mut().zip(values).for_each(|(sum, x)| *sum += x);
    for k in chosen {
        let w = test.w.slice(s![k, .., ..]).mapv(f64::from);
        advection.eval(w.view(), mean.view_mut());
        add(&mut exact, law.spectrum_at(w.view())?);
        variance += law.std_at(w.view())?.powi(2);
        let rest = test.h.slice(s![k, .., ..]).mapv(f64::from) - &mean;
        add(&mut of_mean, shell_spectrum(mean.view()));
        add(&mut of_rest, shell_spectrum(rest.view()));
        square += rest.iter().map(|x| x * x).sum::<f64>() / (n * n) as f64;
    }
    let average = |sums: Vec<f64>| sums.into_iter().map(|sum| sum / used).collect();
    Ok(MissingTermSplit {
        mean: average(of_mean),
        rest: average(of_rest),
        exact: average(exact),
        rest_std: (square / used).sqrt(),
        exact_std: (variance / used).sqrt(),
    })
}

impl MissingTermSplit {
    /// Table `truth`: what the data are, against what theory and the published data say.
    ///
    /// # Errors
    /// None in practice.
    pub fn table(&self, stats: &Stats) -> Result<Table> {
        let quantities = [
            ("rms of ω", stats.w_rms, None, Some(1.006)),
            ("rms of H", stats.h_rms, None, Some(0.2486)),
            ("std of H given ω", self.rest_std, Some(self.exact_std), Some(0.019947)),
        ];
        Table::new(
            "truth",
            "The data set against theory (the law of the forcing at this time step) and the published data \
             (arXiv 2506.20771; derived from printed error pairs).",
            vec![
                Column::new("quantity".into(), quantities.iter().map(|q| q.0).collect::<Vec<_>>()),
                Column::new("here".into(), quantities.iter().map(|q| q.1).collect::<Vec<_>>()),
                Column::new("theory".into(), quantities.iter().map(|q| q.2).collect::<Vec<_>>()),
                Column::new("published".into(), quantities.iter().map(|q| q.3).collect::<Vec<_>>()),
            ],
        )
    }
}
