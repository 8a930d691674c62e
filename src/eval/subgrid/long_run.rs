//! RunStatistics of long runs from many start states: what a large-eddy model makes of the flow once it has forgotten where it began.

use ndarray::{ArrayView2, Axis, s};
use polars::prelude::Column;

use super::histogram::Histogram;
use crate::closure::AnyClosure;
use crate::config::{Config, RolloutConfig};
use crate::data::Pairs;
use crate::error::{Error, Result};
use crate::eval::estimate::Estimate;
use crate::eval::names::TRUE_FLOW;
use crate::eval::sampling::check_pairs;
use crate::eval::table::{Table, estimates, known};
use crate::rng::SeedTree;
use crate::rollout::EnsembleRun;
use crate::spectral::{energy_spectrum, shell_spectrum};

/// Share of a run that is not counted: it still knows its start.
const SPIN_OFF: f64 = 0.1;
/// Distances between spectra leave out what lies beyond this share of the resolved shells: there the cut-off itself acts.
const KEPT: f64 = 2.0 / 3.0;
/// Tails, in standard deviations of the true vorticity.
pub const TAILS: [f64; 3] = [3.0, 4.0, 5.0];

/// What is counted of one run, or of one trajectory of the true flow.
#[derive(Debug, Clone, PartialEq)]
pub struct RunStatistics {
    /// Time from start to failure, if it failed.
    pub failed_after: Option<f64>,
    /// Mean energy by shell ([`energy_spectrum`]).
    pub energy: Vec<f64>,
    /// Mean enstrophy by shell ([`shell_spectrum`]).
    pub enstrophy: Vec<f64>,
    /// Values of ω in standard deviations of the true flow.
    pub values: Histogram,
    /// Seconds of one thread per simulated time unit; unknown of the true flow.
    pub seconds: f64,
}

impl RunStatistics {
    /// Of fields in the order of time, the first tenth left out; `std` is the standard deviation of the true vorticity.
    pub fn new<'a>(
        fields: impl ExactSizeIterator<Item = ArrayView2<'a, f32>>,
        n: usize,
        length: f64,
        std: f64,
    ) -> Self {
        let from = (SPIN_OFF * fields.len() as f64).ceil() as usize;
        let (mut energy, mut enstrophy, mut values) = (vec![0.0; n / 2 + 1], vec![0.0; n / 2 + 1], Histogram::new());
        let mut count = 0.0;
        for field in fields.skip(from) {
            if field.iter().any(|w| !w.is_finite()) {
                break;
            }
            let w = field.mapv(f64::from);
            for (sums, values) in
                [(&mut energy, energy_spectrum(w.view(), length)), (&mut enstrophy, shell_spectrum(w.view()))]
            {
                sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
            }
            values.add(w.iter().map(|w| w / std));
            count += 1.0;
        }
        let mean = |sums: Vec<f64>| sums.into_iter().map(|sum| sum / count).collect();
        Self { failed_after: None, energy: mean(energy), enstrophy: mean(enstrophy), values, seconds: f64::NAN }
    }
}

/// Root mean square of ω over all snapshots.
fn rms(pairs: &Pairs) -> f64 {
    (pairs.w.iter().map(|&w| f64::from(w).powi(2)).sum::<f64>() / pairs.w.len() as f64).sqrt()
}

/// The true flow along every test trajectory.
///
/// # Errors
/// Impossible data.
pub fn statistics_of_test_set(config: &Config, test: &Pairs) -> Result<Vec<RunStatistics>> {
    let (n, std) = (check_pairs(test)?, rms(test));
    let of = |trajectory: usize| {
        let first = trajectory * test.per_trajectory;
        let fields = test.w.slice(s![first..first + test.per_trajectory, .., ..]);
        RunStatistics::new(fields.axis_iter(Axis(0)), n, config.flow.length, std)
    };
    Ok((0..test.trajectories).map(of).collect())
}

/// A closure in the closed loop of `config` from the start of every test trajectory, over its length; stream `long-run/<trajectory>`.
///
/// # Errors
/// As [`EnsembleRun::run`]; test trajectories of one snapshot. A run that fails is a result.
pub fn run_from(config: &Config, test: &Pairs, closure: &AnyClosure, seeds: &SeedTree) -> Result<Vec<RunStatistics>> {
    let (n, std, snapshots) = (check_pairs(test)?, rms(test), test.per_trajectory - 1);
    if snapshots == 0 {
        return Err(Error::config(
            "data.final_time",
            "test trajectories of one snapshot; a long run takes as long as they do",
        ));
    }
    let duration = snapshots as f64 * config.data.interval;
    let rollout =
        RolloutConfig { start: config.data.burn_in, duration, snapshots, members: 1, ..config.rollout.clone() };
    let seeds = seeds.child("long-run");
    let run = |trajectory: usize| {
        let start = test.w.index_axis(Axis(0), trajectory * test.per_trajectory).mapv(f64::from);
        let run = EnsembleRun {
            term: config.data.term,
            flow: &config.flow,
            start: start.view(),
            closure,
            rollout: &rollout,
            threads: 0,
        };
        let made = run.run(&seeds.child(trajectory))?;
        let fields = made.fields.index_axis(Axis(1), 0);
        let failed_after = made.failures[0].map(|t| t - rollout.start);
        let seconds = made.cost.thread_s / failed_after.unwrap_or(duration);
        Ok(RunStatistics {
            failed_after,
            seconds,
            ..RunStatistics::new(fields.axis_iter(Axis(0)), n, config.flow.length, std)
        })
    };
    // One after the other: they are timed.
    (0..test.trajectories).map(run).collect()
}

/// RunStatistics of runs beside those of the true flow.
#[derive(Debug, Clone)]
pub struct LongRun {
    /// Closure by closure.
    pub rows: Vec<LongRunRow>,
    /// Start states.
    pub starts: usize,
    /// Largest shell in distances between spectra.
    pub most: usize,
}

/// One closure; ± jackknife over start states.
#[derive(Debug, Clone)]
pub struct LongRunRow {
    /// The closure.
    pub closure: String,
    /// Runs that failed.
    pub failures: usize,
    /// Time to the first failure.
    pub first_failure: Option<f64>,
    /// Mean |log₁₀ E(s)/E_true(s)| over shells, of energy.
    pub energy_distance: Estimate,
    /// The same of enstrophy: in a shell both are the same but for |k|² within it.
    pub enstrophy_distance: Estimate,
    /// Enstrophy over the true flow's.
    pub enstrophy: Estimate,
    /// Share of |ω| beyond 3, 4, 5 standard deviations of the true flow, over the true flow's.
    pub tails: [Estimate; 3],
    /// 1 − d/d₀, d being the distance of the energy spectra and d₀ that without closure.
    pub similarity: f64,
    /// Cost of a simulated time unit over that of the true flow, on one thread.
    pub cost: f64,
}

/// All but one.
fn without(all: &[RunStatistics], left_out: Option<usize>) -> Vec<&RunStatistics> {
    all.iter().enumerate().filter(|(k, _)| Some(*k) != left_out).map(|(_, one)| one).collect()
}

/// Compares runs by closure with the true flow. `most` is the largest resolved shell, `none` the name of no closure, `true_seconds`
/// what a time unit of the true flow takes.
pub fn long_run(
    truth: &[RunStatistics],
    runs: &[(String, Vec<RunStatistics>)],
    most: usize,
    none: &str,
    true_seconds: f64,
) -> LongRun {
    let most = (KEPT * most as f64).floor() as usize;
    let mean = |all: &[&RunStatistics], of: &dyn Fn(&RunStatistics) -> f64| {
        all.iter().map(|one| of(one)).sum::<f64>() / all.len() as f64
    };
    let distance = |own: &[&RunStatistics], truth: &[&RunStatistics], of: &dyn Fn(&RunStatistics, usize) -> f64| {
        let one = |shell: usize| {
            let at = |statistics: &RunStatistics| of(statistics, shell);
            (mean(own, &at) / mean(truth, &at)).log10().abs()
        };
        (1..=most).map(one).sum::<f64>() / most as f64
    };
    type Statistic<'a> = &'a dyn Fn(&[&RunStatistics], &[&RunStatistics]) -> f64;
    let estimate = |own: &[RunStatistics], statistic: Statistic| {
        // Run and true flow of one start state are left out together.
        let of = |left_out: Option<usize>| statistic(&without(own, left_out), &without(truth, left_out));
        let count = own.len() as f64;
        let left_out: Vec<f64> = (0..own.len()).filter(|_| count > 1.0).map(|k| of(Some(k))).collect();
        let mean = left_out.iter().sum::<f64>() / count;
        let square = left_out.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
        let error = if count > 1.0 { ((count - 1.0) / count * square).sqrt() } else { f64::NAN };
        Estimate { value: of(None), error }
    };
    let mut rows: Vec<LongRunRow> = runs
        .iter()
        .map(|(closure, own)| {
            let failures: Vec<f64> = own.iter().filter_map(|run| run.failed_after).collect();
            let tail = |level: f64| {
                estimate(own, &|own, truth| {
                    let beyond = |statistics: &RunStatistics| statistics.values.beyond(level);
                    mean(own, &beyond) / mean(truth, &beyond)
                })
            };
            LongRunRow {
                closure: closure.clone(),
                failures: failures.len(),
                first_failure: failures.iter().copied().reduce(f64::min),
                energy_distance: estimate(own, &|own, truth| distance(own, truth, &|one, shell| one.energy[shell])),
                enstrophy_distance: estimate(own, &|own, truth| {
                    distance(own, truth, &|one, shell| one.enstrophy[shell])
                }),
                enstrophy: estimate(own, &|own, truth| {
                    let total = |statistics: &RunStatistics| statistics.enstrophy.iter().sum::<f64>();
                    mean(own, &total) / mean(truth, &total)
                }),
                tails: TAILS.map(tail),
                similarity: f64::NAN,
                cost: own.iter().map(|run| run.seconds).sum::<f64>() / own.len() as f64 / true_seconds,
            }
        })
        .collect();
    if let Some(worst) = rows.iter().find(|row| row.closure == none).map(|row| row.energy_distance.value) {
        rows.iter_mut().for_each(|row| row.similarity = 1.0 - row.energy_distance.value / worst);
    }
    LongRun { rows, starts: truth.len(), most }
}

impl LongRun {
    /// The name of its table.
    pub const NAME: &'static str = "long-run";

    /// As a table.
    ///
    /// # Errors
    /// None in practice.
    pub fn table(&self) -> Result<Table> {
        let rows = &self.rows;
        let pick = |title: &str, pick: &dyn Fn(&LongRunRow) -> Estimate| estimates(title, rows.iter().map(pick));
        let mut columns = vec![
            Column::new("closure".into(), rows.iter().map(|row| row.closure.as_str()).collect::<Vec<_>>()),
            Column::new("failures".into(), rows.iter().map(|row| row.failures as i64).collect::<Vec<_>>()),
            Column::new("time to failure".into(), rows.iter().map(|row| row.first_failure).collect::<Vec<_>>()),
        ];
        columns.extend(pick("energy distance", &|row| row.energy_distance));
        columns.extend(pick("enstrophy distance", &|row| row.enstrophy_distance));
        columns
            .push(Column::new("similarity".into(), rows.iter().map(|row| known(row.similarity)).collect::<Vec<_>>()));
        columns.extend(pick("enstrophy/true", &|row| row.enstrophy));
        for (level, title) in ["tail 3 std", "tail 4 std", "tail 5 std"].into_iter().enumerate() {
            columns.extend(pick(title, &|row| row.tails[level]));
        }
        columns.push(Column::new("cost/true".into(), rows.iter().map(|row| known(row.cost)).collect::<Vec<_>>()));
        let caption = format!(
            "Long runs from {} states, against the true flow from there, a first tenth left out: distance of the spectra in decades per shell \
             up to {}; similarity, 1 − that of energy over that without closure; enstrophy, and shares of |ω| beyond 3, 4 and 5 standard \
             deviations, over the true flow's; ± jackknife over start states. Cost: a time unit on one thread, over the true flow's.",
            self.starts, self.most
        );
        Table::new(Self::NAME, caption, columns)
    }
}

/// Spectra and densities of the true flow and of runs as stored tables, and back.
impl RunStatistics {
    /// The names of the tables.
    pub const SPECTRA: &'static str = "long-run-spectra";
    /// See [`RunStatistics::SPECTRA`].
    pub const VALUES: &'static str = "long-run-values";

    /// Mean spectra and densities of flows over start states; the true flow is called [`TRUE_FLOW`].
    ///
    /// # Errors
    /// None in practice.
    pub fn tables(truth: &[Self], runs: &[(String, Vec<Self>)]) -> Result<[Table; 2]> {
        let all =
            || std::iter::once((TRUE_FLOW, truth)).chain(runs.iter().map(|(name, own)| (name.as_str(), &own[..])));
        let mean = |own: &[Self], of: &dyn Fn(&Self) -> f64| own.iter().map(of).sum::<f64>() / own.len() as f64;
        let shells: Vec<(&str, usize, f64, f64)> = all()
            .flat_map(|(name, own)| {
                let count = own.first().map_or(0, |one| one.energy.len());
                (0..count).map(move |s| (name, s, mean(own, &|one| one.energy[s]), mean(own, &|one| one.enstrophy[s])))
            })
            .collect();
        let bins: Vec<(&str, f64, f64)> = all()
            .flat_map(|(name, own)| {
                let densities: Vec<Vec<f64>> = own.iter().map(|one| one.values.density()).collect();
                (0..Histogram::BINS).map(move |bin| {
                    let density = densities.iter().map(|density| density[bin]).sum::<f64>() / densities.len() as f64;
                    (name, Histogram::middle(bin), density)
                })
            })
            .collect();
        let spectra = Table::new(
            Self::SPECTRA,
            "Energy and enstrophy by shell round(|n|), means over long runs from all start states.",
            vec![
                Column::new("closure".into(), shells.iter().map(|row| row.0).collect::<Vec<_>>()),
                Column::new("shell".into(), shells.iter().map(|row| row.1 as i64).collect::<Vec<_>>()),
                Column::new("energy".into(), shells.iter().map(|row| known(row.2)).collect::<Vec<_>>()),
                Column::new("enstrophy".into(), shells.iter().map(|row| known(row.3)).collect::<Vec<_>>()),
            ],
        )?;
        let values = Table::new(
            Self::VALUES,
            "Probability density of the vorticity in standard deviations of the true flow's, means over long runs from all start states; \
             the outermost bins hold all beyond.",
            vec![
                Column::new("closure".into(), bins.iter().map(|row| row.0).collect::<Vec<_>>()),
                Column::new("ω/std".into(), bins.iter().map(|row| row.1).collect::<Vec<_>>()),
                Column::new("density".into(), bins.iter().map(|row| known(row.2)).collect::<Vec<_>>()),
            ],
        )?;
        Ok([spectra, values])
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;

    const N: usize = 24;

    /// `count` snapshots of `amplitude` (cos of shell 2 + cos of shell 3).
    fn flow(amplitude: f64, count: usize) -> Vec<Array2<f32>> {
        let at = |shell: usize, i: usize| (std::f64::consts::TAU * (shell * i) as f64 / N as f64).cos();
        let field = Array2::from_shape_fn((N, N), |(i, j)| (amplitude * (at(2, i) + at(3, j))) as f32);
        vec![field; count]
    }

    fn of(fields: &[Array2<f32>]) -> RunStatistics {
        RunStatistics::new(fields.iter().map(|field| field.view()), N, 1.0, 1.0)
    }

    #[test]
    fn statistics_of_waves_are_known() {
        let one = of(&flow(1.0, 20));
        // ½⟨ω²⟩ = ¼ in each shell; energy is that over |k|².
        for (shell, k) in [(2, 2.0), (3, 3.0)] {
            assert!((one.enstrophy[shell] - 0.25).abs() < 1e-6);
            assert!((one.energy[shell] * (std::f64::consts::TAU * k).powi(2) - 0.25).abs() < 1e-6);
        }
        // The first two of 20 are left out, and all from the first that is not finite on.
        assert_eq!(one.values.total(), (18 * N * N) as f64);
        let mut failed = flow(1.0, 20);
        failed[10].fill(f32::NAN);
        assert_eq!(of(&failed).values.total(), (8 * N * N) as f64);
    }

    #[test]
    fn a_flow_ten_times_too_weak_is_two_decades_away_and_itself_none() {
        // Only shells that both have can be compared: two, of which distances are means.
        let keep = |mut statistics: RunStatistics| {
            (statistics.energy, statistics.enstrophy) =
                (statistics.energy[1..].to_vec(), statistics.enstrophy[1..].to_vec());
            statistics
        };
        let truth = [keep(of(&flow(1.0, 10))), keep(of(&flow(1.0, 10)))];
        let weak: Vec<RunStatistics> = vec![keep(of(&flow(0.1, 10))), keep(of(&flow(0.1, 10)))];
        let mut failed = truth.to_vec();
        failed[1].failed_after = Some(3.5);
        let runs = [("none".to_string(), weak), ("same".to_string(), failed)];
        let found = long_run(&truth, &runs, 3, "none", 1.0);
        assert_eq!((found.most, found.starts), (2, 2));
        let [none, same] = &found.rows[..] else { panic!("two closures") };
        for estimate in [none.energy_distance, none.enstrophy_distance] {
            assert!((estimate.value - 2.0).abs() < 1e-5 && estimate.error.abs() < 1e-9, "{estimate:?}");
        }
        assert!((none.enstrophy.value - 0.01).abs() < 1e-6 && none.similarity == 0.0);
        assert!((same.energy_distance.value, same.similarity) == (0.0, 1.0));
        assert_eq!((none.first_failure, same.first_failure, same.failures), (None, Some(3.5), 1));
        assert_eq!(found.table().unwrap().rows(), 2);
        assert_eq!(RunStatistics::tables(&truth, &runs).unwrap()[1].rows(), 3 * Histogram::BINS);
    }
}
