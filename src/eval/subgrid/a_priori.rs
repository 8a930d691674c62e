//! Subgrid closures against the stored term, snapshot by snapshot.

use ndarray::{Array2, Axis};
use polars::prelude::Column;
use rayon::prelude::*;

use super::histogram::Histogram;
use crate::closure::{AnyClosure, Closure};
use crate::config::Config;
use crate::data::Pairs;
use crate::error::Result;
use crate::eval::estimate::Estimate;
use crate::eval::metrics::jackknife;
use crate::eval::sampling::{check_pairs, evenly_spaced};
use crate::eval::shells::{ShellSums, TransferRow, Transfers, transfers};
use crate::eval::table::{Table, estimates};
use crate::rng::SeedTree;
use crate::spectral::{Field, Grid, irfft2, rfft2};
use crate::stop;

/// What the stored term is called.
pub const STORED: &str = "truth";

/// Subgrid closures before they run.
#[derive(Debug, Clone)]
pub struct APriori {
    /// The stored term, then closure by closure.
    pub rows: Vec<APrioriRow>,
    /// Enstrophy and energy that the terms give to each shell, likewise.
    pub transfers: Vec<TransferRow>,
}

/// One closure, or the stored term itself.
#[derive(Debug, Clone)]
pub struct APrioriRow {
    /// The closure, or the stored term.
    pub closure: String,
    /// Of its mean term m with the stored h: Σhm/(Σh² Σm²)^½.
    pub correlation: Estimate,
    /// (Σ|m − h|²/Σh²)^½.
    pub error: Estimate,
    /// What the mean term gives to the resolved enstrophy, ⟨ω̄m⟩, and energy, ⟨ψ̄m⟩, over what the stored one gives.
    pub given: [Estimate; 2],
    /// Share of what a draw H gives back: Σmax(ω̄H, 0)/Σ|ω̄H| over points and snapshots, and the same of ψ̄H.
    pub backscatter: [Estimate; 2],
    /// Of the draws' values, in standard deviations of the stored term.
    pub values: Histogram,
}

/// Sums of one trajectory for one closure.
struct Sums {
    /// Σhm, Σh², Σm², Σ|m − h|²; ⟨ω̄m⟩, ⟨ω̄h⟩, ⟨ψ̄m⟩, ⟨ψ̄h⟩; positive part and size of ω̄H, of ψ̄H.
    terms: [f64; 12],
    transfer: ShellSums<2>,
    values: Histogram,
}

/// Measures `closures` on `config.eval.conditions` conditions of every test trajectory: their conditional mean where they have one, else
/// a draw, and for values and backscatter a draw. Streams: `a-priori/<condition>`, common to all closures.
///
/// # Errors
/// Impossible data; whatever a closure cannot do.
pub fn a_priori(config: &Config, test: &Pairs, closures: &[AnyClosure], seeds: &SeedTree) -> Result<APriori> {
    let n = check_pairs(test)?;
    let square = test.h.iter().map(|&h| f64::from(h).powi(2)).sum::<f64>() / test.h.len() as f64;
    let (std, seeds) = (square.sqrt(), seeds.child("a-priori"));
    let trajectories: Vec<Vec<Sums>> = (0..test.trajectories)
        .into_par_iter()
        .map(|trajectory| {
            let empty = || Sums { terms: [0.0; 12], transfer: ShellSums::new(n), values: Histogram::new() };
            let mut sums: Vec<Sums> = (0..=closures.len()).map(|_| empty()).collect();
            let mut closures = closures.to_vec();
            for snapshot in evenly_spaced(config.eval.conditions, test.per_trajectory) {
                stop::check()?;
                let index = trajectory * test.per_trajectory + snapshot;
                let field = |all: &ndarray::Array3<f32>| all.index_axis(Axis(0), index).mapv(f64::from);
                let (w, h) = (field(&test.w), field(&test.h));
                let psi = stream_function(&w, config.flow.length);
                let t = config.data.burn_in + snapshot as f64 * config.data.interval;
                let length = config.flow.length;
                sums[0].add([&w, &psi, &h], [&h, &h], std, length);
                for (sums, closure) in sums[1..].iter_mut().zip(&mut closures) {
                    let (mut mean, mut draw) = (Array2::zeros((n, n)), Array2::zeros((n, n)));
                    closure.sample(w.view(), t, &mut seeds.child(index).stream(), draw.view_mut())?;
                    if !closure.mean(w.view(), t, mean.view_mut())? {
                        mean.assign(&draw);
                    }
                    sums.add([&w, &psi, &h], [&mean, &draw], std, length);
                }
            }
            Ok(sums)
        })
        .collect::<Result<_>>()?;
    let names: Vec<String> = std::iter::once(STORED.to_string()).chain(closures.iter().map(Closure::name)).collect();
    let rows = names.iter().enumerate().map(|(c, name)| row(name, trajectories.iter().map(|sums| &sums[c]).collect()));
    let by_closure = names
        .iter()
        .enumerate()
        .map(|(c, name)| (name.as_str(), trajectories.iter().map(|sums| &sums[c].transfer).collect::<Vec<_>>()));
    Ok(APriori { rows: rows.collect(), transfers: Transfers::new(by_closure).rows })
}

/// ψ of −∇²ψ = ω.
fn stream_function(w: &Field, length: f64) -> Field {
    let grid = Grid { n: w.nrows(), length };
    let mut modes = rfft2(w.view());
    for ((i, j), mode) in modes.indexed_iter_mut() {
        let k2 = grid.k2(i, j);
        *mode *= if k2 > 0.0 { 1.0 / k2 } else { 0.0 };
    }
    irfft2(&modes, grid.n)
}

impl Sums {
    fn add(&mut self, [w, psi, h]: [&Field; 3], [mean, draw]: [&Field; 2], std: f64, length: f64) {
        let dot = |a: &Field, b: &Field| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let parts = |a: &Field| {
            a.iter().zip(draw).fold([0.0, 0.0], |[up, size], (a, h)| [up + (a * h).max(0.0), size + (a * h).abs()])
        };
        let ([z_up, z_size], [e_up, e_size]) = (parts(w), parts(psi));
        let difference = mean - h;
        let terms = [
            dot(h, mean),
            dot(h, h),
            dot(mean, mean),
            dot(&difference, &difference),
            dot(w, mean),
            dot(w, h),
            dot(psi, mean),
            dot(psi, h),
            z_up,
            z_size,
            e_up,
            e_size,
        ];
        self.terms.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
        self.transfer.add(1.0, transfers(w.view(), mean.view(), length));
        self.values.add(draw.iter().map(|h| h / std));
    }
}

fn row(name: &str, trajectories: Vec<&Sums>) -> APrioriRow {
    let terms: Vec<[f64; 12]> = trajectories.iter().map(|sums| sums.terms).collect();
    let estimate = |statistic: &dyn Fn(&[f64; 12]) -> f64| Estimate::from(jackknife(&terms, statistic));
    let mut values = Histogram::new();
    for sums in &trajectories {
        values.counts.iter_mut().zip(&sums.values.counts).for_each(|(sum, count)| *sum += count);
    }
    APrioriRow {
        closure: name.into(),
        correlation: estimate(&|t| t[0] / (t[1] * t[2]).sqrt()),
        error: estimate(&|t| (t[3] / t[1]).sqrt()),
        given: [estimate(&|t| t[4] / t[5]), estimate(&|t| t[6] / t[7])],
        backscatter: [estimate(&|t| t[8] / t[9]), estimate(&|t| t[10] / t[11])],
        values,
    }
}

impl APriori {
    /// The names of its tables.
    pub const NAME: &'static str = "a-priori";
    /// See [`APriori::NAME`].
    pub const TRANSFERS: &'static str = "subgrid-transfers";
    /// See [`APriori::NAME`].
    pub const VALUES: &'static str = "subgrid-values";

    /// Scores, transfers by shell, and densities of values, as tables.
    ///
    /// # Errors
    /// None in practice.
    pub fn tables(&self) -> Result<Vec<Table>> {
        let rows = &self.rows;
        let pick = |title: &str, pick: &dyn Fn(&APrioriRow) -> Estimate| estimates(title, rows.iter().map(pick));
        let mut columns =
            vec![Column::new("closure".into(), rows.iter().map(|row| row.closure.as_str()).collect::<Vec<_>>())];
        columns.extend(pick("correlation", &|row| row.correlation));
        columns.extend(pick("relative error", &|row| row.error));
        columns.extend(pick("enstrophy given", &|row| row.given[0]));
        columns.extend(pick("energy given", &|row| row.given[1]));
        columns.extend(pick("enstrophy backscatter", &|row| row.backscatter[0]));
        columns.extend(pick("energy backscatter", &|row| row.backscatter[1]));
        let caption = "Subgrid closures against the stored term on test conditions: correlation and relative error of the mean term, enstrophy \
                       and energy that it gives to the resolved flow over what the stored term gives, share of what a draw gives back at \
                       a point; ± jackknife over test trajectories.";
        let scores = Table::new(Self::NAME, caption, columns)?;
        let transfers = Transfers { rows: self.transfers.clone() }.table()?.named(Self::TRANSFERS);
        let cells: Vec<(&str, f64, f64)> = rows
            .iter()
            .flat_map(|row| {
                let density = row.values.density().into_iter().enumerate();
                density.map(move |(bin, density)| (row.closure.as_str(), Histogram::middle(bin), density))
            })
            .collect();
        let values = Table::new(
            Self::VALUES,
            "Probability density of the values of the subgrid term, in standard deviations of the stored one; the outermost bins hold all \
             beyond.",
            vec![
                Column::new("closure".into(), cells.iter().map(|cell| cell.0).collect::<Vec<_>>()),
                Column::new("H/std".into(), cells.iter().map(|cell| cell.1).collect::<Vec<_>>()),
                Column::new("density".into(), cells.iter().map(|cell| cell.2).collect::<Vec<_>>()),
            ],
        )?;
        Ok(vec![scores, transfers, values])
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;
    use crate::closure::NoClosure;
    use crate::config::Preset;

    const N: usize = 16;

    /// ω = cos 2πx + ¼cos 4πy with H = −0.3ω, in two trajectories of two snapshots of different size.
    fn pairs() -> Pairs {
        let wave = |i: usize, j: usize| {
            let at = |k: usize| std::f64::consts::TAU * k as f64 / N as f64;
            at(i).cos() + 0.25 * (2.0 * at(j)).cos()
        };
        let w = Array3::from_shape_fn((4, N, N), |(k, i, j)| ((1.0 + 0.5 * k as f64) * wave(i, j)) as f32);
        Pairs { h: w.mapv(|w| -0.3 * w), w, trajectories: 2, per_trajectory: 2 }
    }

    #[test]
    fn scores_of_multiples_of_the_stored_term_are_known() {
        /// Stored fields are single precision.
        const ROUND_OFF: f64 = 1e-5;
        let mut config = Config::preset(Preset::Turbulence);
        config.eval.conditions = 2;
        let multiple = |name: &str, factor: f64| {
            AnyClosure::from_fn(name, move |w: &[f64], h: &mut [f64], _: &mut crate::rng::Stream| {
                h.iter_mut().zip(w).for_each(|(h, w)| *h = factor * w);
            })
        };
        let closures = [multiple("half", -0.15), multiple("wrong", 0.3), AnyClosure::new(NoClosure)];
        let found = a_priori(&config, &pairs(), &closures, &SeedTree::new(1)).unwrap();
        let near = |a: f64, b: f64| assert!((a - b).abs() < ROUND_OFF, "{a}, expected {b}");
        for (row, [correlation, error, given, back]) in
            found.rows.iter().zip([[1.0, 0.0, 1.0, 0.0], [1.0, 0.5, 0.5, 0.0], [-1.0, 2.0, -1.0, 1.0]])
        {
            near(row.correlation.value, correlation);
            near(row.error.value, error);
            row.given.iter().for_each(|value| near(value.value, given));
            near(row.backscatter[0].value, back);
        }
        assert!(found.rows[3].correlation.value.is_nan());
        // ψω is negative where the two waves differ in sign.
        assert!(found.rows[1].backscatter[1].value > 0.0 && found.rows[1].backscatter[1].value < 0.1);
        // Enstrophy ½⟨ω²⟩ of mode (1, 0) is ¼ of its amplitude squared; it changes at −2·0.3 times that: −0.3·½·A² in shell 1.
        let amplitude2 = [1.0, 1.5, 2.0, 2.5].map(|a: f64| a * a).iter().sum::<f64>() / 4.0;
        let shell = found.transfers.iter().find(|row| row.closure == STORED && row.shell == 1).unwrap();
        near(shell.transfer[0].value / (-0.3 * 0.5 * amplitude2), 1.0);
        near(shell.transfer[1].value * std::f64::consts::TAU.powi(2) / (-0.3 * 0.5 * amplitude2), 1.0);
        assert_eq!(found.rows[1].values.total(), (4 * N * N) as f64);
        assert_eq!(found.tables().unwrap().len(), 3);
    }
}
