//! Closures against the exact law of the missing physics, condition by condition.

use ndarray::{Array2, ArrayView2, Axis};
use polars::prelude::Column;
use rayon::prelude::*;

use super::against_data::against_data;
use super::metrics::{d_mse, d_re, expected_crps, gaussian_crps_floor, jackknife};
use super::sampling::{check_pairs, column, draw, milliseconds, spread};
use super::shells::{Transfer, budget, transfers};
use super::table::{Table, UNCERTAINTY};
use crate::closure::{AnyClosure, Closure, EXACT_LAW, ExactLaw};
use crate::config::{Config, MissingTerm};
use crate::data::Pairs;
use crate::error::{Error, Result};
use crate::rng::SeedTree;
use crate::spectral::{Field, shell_spectrum};

/// Every how many grid points (per direction) pointwise scores are taken: neighbours are strongly correlated.
const THINNING: usize = 4;

/// Shells whose exact variance is below this share of the largest have no meaningful ratio.
const SILENT: f64 = 1e-6;

/// Scores of closures on test conditions.
#[derive(Debug, Clone)]
pub struct Offline {
    /// One row per closure, the exact law first.
    pub summary: Table,
    /// Variance of the sampled fluctuation by shell, beside the exact one.
    pub noise: Table,
    /// Enstrophy and energy that the mean closure term moves, by shell ([`super::transfers`]).
    pub budget: Table,
}

/// The summary of [`Offline::measure`]; for a subgrid term, whose exact law nobody knows, [`against_data`].
///
/// # Errors
/// As there.
pub fn offline(config: &Config, test: &Pairs, closures: &[AnyClosure], seeds: &SeedTree) -> Result<Table> {
    match config.data.term {
        MissingTerm::Physics => Ok(Offline::measure(config, test, closures, seeds)?.summary),
        MissingTerm::Subgrid { .. } => against_data(config, test, closures, seeds),
    }
}

/// What is summed over the conditions of one trajectory, for one closure; squares are means over grid points.
#[derive(Debug, Clone, Copy)]
enum Sum {
    Conditions,
    /// ‖H‖² of the data.
    H2,
    /// ‖x̄ − m‖² − V/M, unbiased for the squared bias.
    Bias2,
    /// ‖m̃ − m‖² of the closure's own conditional mean m̃.
    MeanBias2,
    /// Unbiased variance V of the samples.
    Variance,
    ExactVariance,
    /// D_MSE and D_RE of single samples and of the ensemble mean, against the data.
    MseSingle,
    ReSingle,
    MseMean,
    ReMean,
    Crps,
    CrpsFloor,
    Energy,
    EnergyFloor,
    Wasserstein,
    /// The exact law's [`Sum::MseSingle`] to [`Sum::ReMean`].
    Floor,
}

/// The published four, in the order of [`Sum`].
const PUBLISHED: [Sum; 4] = [Sum::MseSingle, Sum::ReSingle, Sum::MseMean, Sum::ReMean];

/// Number of sums.
const SUMS: usize = Sum::Floor as usize + PUBLISHED.len();

type Sums = [f64; SUMS];

/// What one trajectory says about one closure.
struct Block {
    sums: Sums,
    /// Shell spectrum of the fluctuation, summed over conditions.
    shells: Vec<f64>,
    /// Where the mean closure term puts enstrophy and energy.
    transfer: Transfer,
}

impl Offline {
    /// Measures `closures` on `config.eval.conditions` conditions of every test trajectory, spread evenly over its snapshots,
    /// with `config.eval.samples` draws of each (M below). The exact law, from `config.flow` and the grid of `test`, is
    /// measured in the same way on the same conditions and is the first row.
    ///
    /// - *bias*: ‖E x − m‖/‖H‖, m the exact conditional mean. Estimated from the samples themselves, ‖x̄ − m‖² less its
    ///   Monte-Carlo part V/M (clipped at zero), because that is the law the rollout sees; *bias of mean()* is that of the
    ///   closure's own `mean`, where it has one.
    /// - *std/exact*: pointwise sample standard deviation over the exact one.
    /// - *D_MSE, D_RE* of single samples and of the mean of M samples as published (arXiv 2506.20771, section 3), against the
    ///   data's one noisy H; *excess*: less the exact law's on the same conditions. Negative excess of single samples is
    ///   under-dispersion, not accuracy.
    /// - *CRPS*: fair, at every fourth point per direction, expectation over outcomes in closed form, over the exact law's
    ///   std/√π; *energy*: fair energy score over M outcomes drawn from the exact law, over the exact law's own. 1 is perfect
    ///   for both.
    /// - *W1*: Wasserstein-1 distance of the pooled pointwise values of H from the exact law's, over rms H, averaged over
    ///   trajectories; the exact law's own value is the sampling floor.
    /// - *ms/draw*: median of draws on one thread with nothing else running, the first one not counted.
    ///
    /// ± are jackknife standard errors over trajectories. Streams: `offline/<condition>/sample`, common to all closures, and
    /// `offline/<condition>/outcome`.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::Config`] for impossible data; whatever a closure cannot do.
    pub fn measure(config: &Config, test: &Pairs, closures: &[AnyClosure], seeds: &SeedTree) -> Result<Self> {
        if !matches!(config.data.term, MissingTerm::Physics) {
            return Err(Error::config(
                "data.term",
                "the exact law is known for `physics` only, not for a subgrid term",
            ));
        }
        let n = check_pairs(test)?;
        let law = ExactLaw::new(&config.flow, n)?;
        let mut all = vec![AnyClosure::new(law.clone())];
        all.extend(closures.iter().filter(|closure| closure.name() != EXACT_LAW).cloned());
        let trajectories: Vec<Vec<Block>> = (0..test.trajectories)
            .into_par_iter()
            .map(|trajectory| Conditions::new(config, test, trajectory, seeds).measure(&law, &all))
            .collect::<Result<_>>()?;
        let by_closure = |c: usize| trajectories.iter().map(|blocks| &blocks[c]).collect::<Vec<_>>();
        let blocks: Vec<Vec<&Block>> = (0..all.len()).map(by_closure).collect();
        let w = test.w.index_axis(Axis(0), 0).mapv(f64::from);
        let t = config.data.burn_in;
        let costs: Vec<f64> =
            all.iter().map(|closure| milliseconds(closure, w.view(), t, seeds)).collect::<Result<_>>()?;
        let names: Vec<String> = all.iter().map(Closure::name).collect();
        let moved: Vec<Vec<&Transfer>> =
            blocks.iter().map(|blocks| blocks.iter().map(|block| &block.transfer).collect()).collect();
        Ok(Self {
            summary: summary(config, test, &names, &blocks, &costs)?,
            noise: noise(&law, &names, &blocks)?,
            budget: budget(&names, &moved)?,
        })
    }
}

/// The conditions of one trajectory.
struct Conditions<'a> {
    config: &'a Config,
    test: &'a Pairs,
    trajectory: usize,
    /// Indices into the snapshots of the trajectory.
    at: Vec<usize>,
    seeds: SeedTree,
}

impl<'a> Conditions<'a> {
    fn new(config: &'a Config, test: &'a Pairs, trajectory: usize, seeds: &SeedTree) -> Self {
        let at = spread(config.eval.conditions, test.per_trajectory);
        Self { config, test, trajectory, at, seeds: seeds.child("offline") }
    }

    fn measure(&self, law: &ExactLaw, closures: &[AnyClosure]) -> Result<Vec<Block>> {
        let (law, mut closures) = (&mut law.clone(), closures.to_vec());
        let count = self.config.eval.samples;
        let n = self.test.w.shape()[1];
        let zeros = || vec![0.0; n / 2 + 1];
        let empty = || Block {
            sums: [0.0; SUMS],
            shells: zeros(),
            transfer: Transfer { conditions: 0.0, by_shell: [zeros(), zeros()] },
        };
        let mut blocks: Vec<Block> = closures.iter().map(|_| empty()).collect();
        let mut values: Vec<Vec<f64>> = vec![Vec::new(); closures.len()];
        let mut exact_values = Vec::new();
        let mut mean = Array2::zeros((n, n));
        for &snapshot in &self.at {
            let index = self.trajectory * self.test.per_trajectory + snapshot;
            let w = self.test.w.index_axis(Axis(0), index).mapv(f64::from);
            let h = self.test.h.index_axis(Axis(0), index).mapv(f64::from);
            let t = self.config.data.burn_in + snapshot as f64 * self.config.data.interval;
            let seeds = self.seeds.child(index);
            law.mean(w.view(), t, mean.view_mut())?;
            let truth = Truth { h: &h, mean: &mean, std: law.std() };
            let outcomes = draw(law, w.view(), t, count, &mut seeds.child("outcome").stream())?;
            let energy_floor = half_mean_distance(&outcomes);
            exact_values.extend(outcomes.iter().flat_map(thinned));
            for (c, closure) in closures.iter_mut().enumerate() {
                let samples = draw(closure, w.view(), t, count, &mut seeds.child("sample").stream())?;
                values[c].extend(samples.iter().flat_map(thinned));
                let mut add = |sum: Sum, value: f64| blocks[c].sums[sum as usize] += value;
                let average = truth.score(&samples, &mut add);
                let mut own = Array2::zeros((n, n));
                let known = closure.mean(w.view(), t, own.view_mut())?;
                add(Sum::MeanBias2, if known { d_mse(mean.view(), own.view()) } else { f64::NAN });
                add(Sum::Energy, mean_distance(&samples, &outcomes) - half_mean_distance(&samples));
                add(Sum::EnergyFloor, energy_floor);
                // The exact law's mean is known, no average of samples.
                let term = if c == 0 { &mean } else { &average };
                let moved = transfers(w.view(), term.view(), self.config.flow.length);
                let transfer = &mut blocks[c].transfer;
                transfer.conditions += 1.0;
                for (sums, by_shell) in transfer.by_shell.iter_mut().zip(moved) {
                    sums.iter_mut().zip(by_shell).for_each(|(sum, x)| *sum += x);
                }
                let factor = 1.0 / (samples.len() as f64 - 1.0);
                for sample in &samples {
                    let spectrum = shell_spectrum((sample - &average).view());
                    blocks[c].shells.iter_mut().zip(spectrum).for_each(|(sum, x)| *sum += factor * x);
                }
            }
        }
        let floor = PUBLISHED.map(|which| blocks[0].sums[which as usize]);
        exact_values.sort_unstable_by(f64::total_cmp);
        for (block, mut values) in blocks.iter_mut().zip(values) {
            values.sort_unstable_by(f64::total_cmp);
            block.sums[Sum::Floor as usize..].copy_from_slice(&floor);
            block.sums[Sum::Wasserstein as usize] = self.at.len() as f64 * wasserstein(&values, &exact_values);
        }
        Ok(blocks)
    }
}

/// One condition: what the data hold and what the exact law says.
struct Truth<'a> {
    h: &'a Field,
    mean: &'a Field,
    std: f64,
}

impl Truth<'_> {
    /// Adds the scores of `samples`; returns their mean.
    fn score(&self, samples: &[Field], add: &mut impl FnMut(Sum, f64)) -> Field {
        let m = samples.len() as f64;
        let average = samples.iter().fold(Array2::zeros(self.h.dim()), |sum, x| sum + x) / m;
        let variance = samples.iter().map(|x| d_mse(average.view(), x.view())).sum::<f64>() / (m - 1.0);
        let over = |score: fn(ArrayView2<f64>, ArrayView2<f64>) -> f64| {
            samples.iter().map(|x| score(self.h.view(), x.view())).sum::<f64>() / m
        };
        add(Sum::Conditions, 1.0);
        add(Sum::H2, self.h.iter().map(|h| h * h).sum::<f64>() / self.h.len() as f64);
        add(Sum::Bias2, d_mse(self.mean.view(), average.view()) - variance / m);
        add(Sum::Variance, variance);
        add(Sum::ExactVariance, self.std * self.std);
        add(Sum::MseSingle, over(d_mse));
        add(Sum::ReSingle, over(d_re));
        add(Sum::MseMean, d_mse(self.h.view(), average.view()));
        add(Sum::ReMean, d_re(self.h.view(), average.view()));
        let (mut values, mut crps, mut points) = (vec![0.0; samples.len()], 0.0, 0.0);
        for ((i, j), &mean) in self.mean.indexed_iter().filter(|((i, j), _)| i % THINNING == 0 && j % THINNING == 0) {
            values.iter_mut().zip(samples).for_each(|(value, sample)| *value = sample[(i, j)]);
            crps += expected_crps(&mut values, mean, self.std);
            points += 1.0;
        }
        add(Sum::Crps, crps / points);
        add(Sum::CrpsFloor, gaussian_crps_floor(self.std));
        average
    }
}

fn thinned(field: &Field) -> impl Iterator<Item = f64> + '_ {
    field.slice(ndarray::s![..;THINNING, ..;THINNING]).into_iter().copied()
}

/// Mean root-mean-square distance between the fields of two sets.
fn mean_distance(a: &[Field], b: &[Field]) -> f64 {
    let sum: f64 = a.iter().flat_map(|x| b.iter().map(move |y| d_mse(x.view(), y.view()).sqrt())).sum();
    sum / (a.len() * b.len()) as f64
}

/// Half the mean distance between two different fields of a set.
fn half_mean_distance(a: &[Field]) -> f64 {
    let pairs = a.iter().enumerate().flat_map(|(i, x)| a[..i].iter().map(move |y| d_mse(x.view(), y.view()).sqrt()));
    pairs.sum::<f64>() / (a.len() * (a.len() - 1)) as f64
}

/// Wasserstein-1 distance of two sorted samples of equal size: the mean difference of their order statistics.
fn wasserstein(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f64>() / a.len() as f64
}

fn summary(config: &Config, test: &Pairs, names: &[String], blocks: &[Vec<&Block>], costs: &[f64]) -> Result<Table> {
    let sums: Vec<Vec<Sums>> = blocks.iter().map(|blocks| blocks.iter().map(|block| block.sums).collect()).collect();
    let mut columns = vec![Column::new("closure".into(), names.to_vec())];
    let get = |sums: &Sums, which: Sum| sums[which as usize];
    let root = |x: f64| if x.is_nan() { x } else { x.max(0.0).sqrt() };
    columns.extend(column("bias", &sums, |s| root(get(s, Sum::Bias2) / get(s, Sum::H2))));
    columns.extend(column("bias of mean()", &sums, |s| root(get(s, Sum::MeanBias2) / get(s, Sum::H2))));
    columns.extend(column("std/exact", &sums, |s| root(get(s, Sum::Variance) / get(s, Sum::ExactVariance))));
    let titles = ["D_MSE single", "D_RE single", "D_MSE mean", "D_RE mean"];
    for (k, (name, which)) in titles.into_iter().zip(PUBLISHED).enumerate() {
        columns.extend(column(name, &sums, |s| get(s, which) / get(s, Sum::Conditions)));
        let excess = |s: &Sums| (get(s, which) - s[Sum::Floor as usize + k]) / get(s, Sum::Conditions);
        columns.extend(column(&format!("{name} excess"), &sums, excess));
    }
    columns.extend(column("CRPS/exact", &sums, |s| get(s, Sum::Crps) / get(s, Sum::CrpsFloor)));
    columns.extend(column("energy/exact", &sums, |s| get(s, Sum::Energy) / get(s, Sum::EnergyFloor)));
    let w1 =
        |s: &Sums| get(s, Sum::Wasserstein) / get(s, Sum::Conditions) / root(get(s, Sum::H2) / get(s, Sum::Conditions));
    columns.extend(column("W1", &sums, w1));
    columns.push(Column::new("ms/draw".into(), costs.to_vec()));
    let conditions = spread(config.eval.conditions, test.per_trajectory).len();
    Table::new(
        "offline",
        format!(
            "p(H | ω) against the exact law on {conditions} conditions of each of {} test trajectories, {} samples each; bias and \
             W1 relative to rms H, excess over the exact law on the same conditions; ± jackknife over trajectories.",
            test.trajectories, config.eval.samples
        ),
        columns,
    )
}

fn noise(law: &ExactLaw, closures: &[String], blocks: &[Vec<&Block>]) -> Result<Table> {
    let exact = law.spectrum();
    let peak = exact.iter().copied().fold(0.0, f64::max);
    let (mut names, mut shells, mut sampled, mut expected) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut ratios, mut errors) = (Vec::new(), Vec::new());
    for (closure, trajectories) in closures.iter().zip(blocks) {
        for (shell, &exact) in exact.iter().enumerate() {
            let sums: Vec<[f64; 2]> =
                trajectories.iter().map(|b| [b.shells[shell], b.sums[Sum::Conditions as usize]]).collect();
            let (value, error) = jackknife(&sums, |[sum, count]| sum / count);
            let audible = exact > SILENT * peak;
            names.push(closure.clone());
            shells.push(shell as i64);
            sampled.push(value.is_finite().then_some(value));
            expected.push(exact);
            ratios.push((audible && value.is_finite()).then(|| value / exact));
            errors.push((audible && error.is_finite()).then(|| error / exact));
        }
    }
    Table::new(
        "noise-spectrum",
        "Variance of the fluctuation H − E[H | ω] by shell round(|n|), ½Σ|ĥ_n/N²|²: sampled, exact, and their ratio; ± jackknife \
         over test trajectories.",
        vec![
            Column::new("closure".into(), names),
            Column::new("shell".into(), shells),
            Column::new("sampled".into(), sampled),
            Column::new("exact".into(), expected),
            Column::new("ratio".into(), ratios),
            Column::new(format!("ratio{UNCERTAINTY}").into(), errors),
        ],
    )
}
