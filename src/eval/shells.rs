//! What happens at which scale: where a closure puts energy and enstrophy, and how its fluctuation is spread over shells.

use ndarray::ArrayView2;
use polars::prelude::Column;

use super::estimate::Estimate;
use super::metrics::jackknife;
use super::quantity::UNCERTAINTY;
use super::table::{Table, estimates, known};
use crate::error::Result;
use crate::spectral::{Grid, rfft2};

/// Shells whose exact variance is below this share of the largest have no meaningful ratio.
const SILENT: f64 = 1e-6;

/// Σ Re(ω̂* Ĥ)/N⁴ and Σ Re(ψ̂* Ĥ)/N⁴ by shell: the rates at which a closure term H changes enstrophy ½⟨ω²⟩ and energy
/// ½⟨|u|²⟩ = ½⟨ψω⟩ there. Shells round(|n|) = 0 … N/2.
///
/// # Panics
/// Where the fields are not square and of one size.
pub fn transfers(w: ArrayView2<f64>, h: ArrayView2<f64>, length: f64) -> [Vec<f64>; 2] {
    let n = w.nrows();
    let grid = Grid { n, length };
    let unit = std::f64::consts::TAU / length;
    let mut out = [vec![0.0; n / 2 + 1], vec![0.0; n / 2 + 1]];
    let h_hat = rfft2(h);
    for ((i, j), w) in rfft2(w).indexed_iter() {
        let k2 = grid.k2(i, j);
        // Parseval weight: columns 0 and N/2 are their own mirror images.
        let weight = if j == 0 || j == n / 2 { 1.0 } else { 2.0 };
        let product = weight * (w.conj() * h_hat[(i, j)]).re / (n as f64).powi(4);
        let shell = (k2.sqrt() / unit).round() as usize;
        if shell <= n / 2 {
            out[0][shell] += product;
            out[1][shell] += if k2 > 0.0 { product / k2 } else { 0.0 };
        }
    }
    out
}

/// `K` quantities by shell, summed over the conditions of one trajectory.
pub(super) struct ShellSums<const K: usize> {
    pub conditions: f64,
    pub by_shell: [Vec<f64>; K],
}

impl<const K: usize> ShellSums<K> {
    /// Nothing yet, on a grid of `n` × `n`.
    pub fn new(n: usize) -> Self {
        Self { conditions: 0.0, by_shell: std::array::from_fn(|_| vec![0.0; n / 2 + 1]) }
    }

    pub fn add(&mut self, conditions: f64, values: [Vec<f64>; K]) {
        self.conditions += conditions;
        for (sums, values) in self.by_shell.iter_mut().zip(values) {
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        }
    }
}

impl ShellSums<1> {
    /// The mean spectrum over the conditions of all trajectories.
    pub fn mean_spectrum(trajectories: &[&Self]) -> Vec<f64> {
        let shells = trajectories.first().map_or(0, |t| t.by_shell[0].len());
        let conditions: f64 = trajectories.iter().map(|t| t.conditions).sum();
        (0..shells).map(|k| trajectories.iter().map(|t| t.by_shell[0][k]).sum::<f64>() / conditions).collect()
    }
}

/// The mean over conditions of what `sum` picks from the sums of each trajectory, ± jackknife over trajectories.
fn mean<const K: usize>(trajectories: &[&ShellSums<K>], sum: impl Fn(&[Vec<f64>; K]) -> f64) -> Estimate {
    let sums: Vec<[f64; 2]> = trajectories.iter().map(|t| [sum(&t.by_shell), t.conditions]).collect();
    jackknife(&sums, |[sum, count]| sum / count).into()
}

/// What the mean closure term does to enstrophy and energy, by shell.
#[derive(Debug, Clone)]
pub struct Transfers {
    /// Closure by closure, shell by shell.
    pub rows: Vec<TransferRow>,
}

/// One closure's mean term in one shell; the first entry of each pair is enstrophy, the second energy.
#[derive(Debug, Clone)]
pub struct TransferRow {
    /// The closure.
    pub closure: String,
    /// The shell round(|n|).
    pub shell: usize,
    /// Rate of change in this shell ([`transfers`]).
    pub transfer: [Estimate; 2],
    /// Flux through the shell's outer edge, −Σ of the rates up to this shell.
    pub flux: [Estimate; 2],
}

impl Transfers {
    /// The name of its table.
    pub const NAME: &'static str = "transfers";

    pub(super) fn new<'a>(closures: impl Iterator<Item = (&'a str, Vec<&'a ShellSums<2>>)>) -> Self {
        let mut rows = Vec::new();
        for (closure, trajectories) in closures {
            for shell in 0..trajectories.first().map_or(0, |t| t.by_shell[0].len()) {
                let transfer = [0, 1].map(|part| mean(&trajectories, |by_shell| by_shell[part][shell]));
                let flux =
                    [0, 1].map(|part| mean(&trajectories, |by_shell| -by_shell[part][..=shell].iter().sum::<f64>()));
                rows.push(TransferRow { closure: closure.into(), shell, transfer, flux });
            }
        }
        Self { rows }
    }

    /// As a table.
    ///
    /// # Errors
    /// None in practice.
    pub fn table(&self) -> Result<Table> {
        let rows = &self.rows;
        let mut columns = vec![
            Column::new("closure".into(), rows.iter().map(|row| row.closure.as_str()).collect::<Vec<_>>()),
            Column::new("shell".into(), rows.iter().map(|row| row.shell as i64).collect::<Vec<_>>()),
        ];
        columns.extend(estimates("enstrophy transfer", rows.iter().map(|row| row.transfer[0])));
        columns.extend(estimates("energy transfer", rows.iter().map(|row| row.transfer[1])));
        columns.extend(estimates("enstrophy flux", rows.iter().map(|row| row.flux[0])));
        columns.extend(estimates("energy flux", rows.iter().map(|row| row.flux[1])));
        let caption = "Rate at which the mean closure term changes enstrophy and energy by shell round(|n|), and the flux to \
                       larger shells that this makes; the exact law's mean is the true advection; ± jackknife over test \
                       trajectories.";
        Table::new(Self::NAME, caption, columns)
    }
}

/// Variance of the fluctuation H − E\[H | ω\] by shell, ½Σ|ĥ_n/N²|².
#[derive(Debug, Clone)]
pub struct NoiseSpectrum {
    /// Closure by closure, shell by shell.
    pub rows: Vec<NoiseRow>,
}

/// One closure's fluctuation in one shell.
#[derive(Debug, Clone)]
pub struct NoiseRow {
    /// The closure.
    pub closure: String,
    /// The shell round(|n|).
    pub shell: usize,
    /// Variance of the draws about their mean.
    pub sampled: f64,
    /// Variance of the exact law.
    pub exact: f64,
    /// Their ratio, ± jackknife over test trajectories; unknown where the exact law has nearly nothing.
    pub ratio: Estimate,
}

/// Titles of the stored table, which is read back.
const CLOSURE: &str = "closure";
const SHELL: &str = "shell";
const SAMPLED: &str = "sampled";
const EXACT: &str = "exact";
const RATIO: &str = "ratio";

impl NoiseSpectrum {
    /// The name of its table.
    pub const NAME: &'static str = "noise-spectrum";

    pub(super) fn new<'a>(exact: &[f64], closures: impl Iterator<Item = (&'a str, Vec<&'a ShellSums<1>>)>) -> Self {
        let peak = exact.iter().copied().fold(0.0, f64::max);
        let mut rows = Vec::new();
        for (closure, trajectories) in closures {
            for (shell, &exact) in exact.iter().enumerate() {
                let sampled = mean(&trajectories, |by_shell| by_shell[0][shell]);
                let audible = exact > SILENT * peak;
                let ratio = Estimate { value: sampled.value / exact, error: sampled.error / exact };
                let ratio = if audible { ratio } else { Estimate::NONE };
                rows.push(NoiseRow { closure: closure.into(), shell, sampled: sampled.value, exact, ratio });
            }
        }
        Self { rows }
    }

    /// As a table.
    ///
    /// # Errors
    /// None in practice.
    pub fn table(&self) -> Result<Table> {
        let rows = &self.rows;
        let mut columns = vec![
            Column::new(CLOSURE.into(), rows.iter().map(|row| row.closure.as_str()).collect::<Vec<_>>()),
            Column::new(SHELL.into(), rows.iter().map(|row| row.shell as i64).collect::<Vec<_>>()),
            Column::new(SAMPLED.into(), rows.iter().map(|row| known(row.sampled)).collect::<Vec<_>>()),
            Column::new(EXACT.into(), rows.iter().map(|row| row.exact).collect::<Vec<_>>()),
        ];
        columns.extend(estimates(RATIO, rows.iter().map(|row| row.ratio)));
        let caption = "Variance of the fluctuation H − E[H | ω] by shell round(|n|), ½Σ|ĥ_n/N²|²: sampled, exact, and their ratio; ± jackknife \
             over test trajectories.";
        Table::new(Self::NAME, caption, columns)
    }

    /// Reads what [`NoiseSpectrum::table`] made.
    ///
    /// # Errors
    /// Another table.
    pub fn read(table: &Table) -> Result<Self> {
        let (closures, shells) = (table.texts(CLOSURE)?, table.numbers(SHELL)?);
        let [sampled, exact, value, error] =
            [SAMPLED, EXACT, RATIO, &format!("{RATIO}{UNCERTAINTY}")].map(|title| table.numbers(title));
        let (sampled, exact, value, error) = (sampled?, exact?, value?, error?);
        let row = |(k, closure)| NoiseRow {
            closure,
            shell: shells[k] as usize,
            sampled: sampled[k],
            exact: exact[k],
            ratio: Estimate { value: value[k], error: error[k] },
        };
        Ok(Self { rows: closures.into_iter().enumerate().map(row).collect() })
    }
}
