//! Rank of the truth among the members, and whether it is that of one more member.
//!
//! # The test
//! Truth and members are M + 1 fields. If they are exchangeable, which is what calibration means, each of them was equally likely to
//! be the truth, in every start state independently. With c_s(j, r) the number of points of state s at which field j has rank r
//! among all fields, and j_s the field that is taken for the truth, the counts n_r = Σ_s c_s(j_s, r) of n = Σ_r n_r points give
//!
//! ```text
//! χ² = Σ_r (n_r − e)²/e,   e = n/(M + 1)
//! ```
//!
//! Neighbouring points have almost the same rank, so that χ² has nothing of its tabulated law, which is for independent ones. Its law
//! over random (j_s) is known, however: it needs no correlation length and no thinning. The p-value is the share of draws, the
//! observed one among them, whose χ² is not below that of the truth; it is exact for any number of members and draws (Phipson &
//! Smyth 2010, doi:10.2202/1544-6115.1585). Since Σ_j c_s(j, r) is the number of points, the mean of χ² is
//!
//! ```text
//! ⟨χ²⟩ = Σ_s Σ_r Var_j c_s(j, r)/e
//! ```
//!
//! and χ²/⟨χ²⟩ says how far a histogram is from flat beside one that is flat but for chance. What rank histograms look like, and why they
//! mislead where points are correlated: Hamill 2001, `doi:10.1175/1520-0493(2001)129<0550:IORHFV>2.0.CO;2`.
//!
//! One state with M members has no p-value below 1/(M + 1): several states are what gives the test power.

use ndarray::{Array2, ArrayView2, Axis, s};
use polars::prelude::Column;
use rand::RngExt;

use super::closed_loop::{alive, check};
use super::names;
use super::sampling::thinned_points;
use super::table::Table;
use crate::error::{Error, Result};
use crate::rng::Stream;
use crate::rollout::{Ensemble, Reference};

/// Random choices of the truth: p-values are known to some 0.007 at 0.05, and are at least a thousandth.
const DRAWS: usize = 999;

/// How often each of M + 1 fields has each rank among them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RankCounts {
    /// (field, rank) in points; the truth is the last field.
    counts: Array2<f64>,
}

impl RankCounts {
    /// Of every fourth grid point in each direction. Fields that are equal at a point share their ranks.
    pub fn new(members: &[ArrayView2<f32>], truth: ArrayView2<f32>) -> Self {
        let fields = members.len() + 1;
        let mut counts = Array2::zeros((fields, fields));
        let mut sorted: Vec<(f32, usize)> = Vec::with_capacity(fields);
        for at in thinned_points(truth.nrows()) {
            sorted.clear();
            sorted.extend(members.iter().chain([&truth]).enumerate().map(|(field, values)| (values[at], field)));
            sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let mut rank = 0;
            for equal in sorted.chunk_by(|a, b| a.0 == b.0) {
                let share = 1.0 / equal.len() as f64;
                for (_, field) in equal {
                    counts.slice_mut(s![*field, rank..rank + equal.len()]).map_inplace(|count| *count += share);
                }
                rank += equal.len();
            }
        }
        Self { counts }
    }

    /// Of an ensemble and the first realisation of the true flow at snapshot `k`; `None` where a member has failed.
    pub fn at(reference: &Reference, ensemble: &Ensemble, k: usize) -> Option<Self> {
        let members = alive(ensemble, k);
        let whole = members.len() == ensemble.fields.shape()[1];
        whole.then(|| Self::new(&members, reference.fields.slice(s![k, 0, .., ..])))
    }

    /// By rank, if that field is the truth.
    fn of(&self, field: usize) -> impl Iterator<Item = f64> + '_ {
        self.counts.row(field).into_iter().copied()
    }

    fn fields(&self) -> usize {
        self.counts.nrows()
    }
}

/// What the ranks of the truth say.
#[derive(Debug, Clone, PartialEq)]
pub struct RankTest {
    /// Share of points, of all start states, at which the truth has rank 0, 1, …, M.
    pub shares: Vec<f64>,
    /// χ²/⟨χ²⟩: 1 on average for a calibrated ensemble, large where the histogram is not flat.
    pub statistic: f64,
    /// Probability of so large a χ² if the truth were one of the members.
    pub p_value: f64,
}

impl RankTest {
    /// The test over start states, each an own experiment; `None` without any, where their ensembles have different sizes, and where
    /// all fields are one, as at the start.
    pub(super) fn new(states: &[RankCounts], rng: &mut Stream) -> Option<Self> {
        let fields = states.first()?.fields();
        if states.iter().any(|state| state.fields() != fields) {
            return None;
        }
        let points: f64 = states.iter().map(|state| state.counts.row(0).sum()).sum();
        let even = points / fields as f64;
        let pooled = |choice: &mut dyn FnMut() -> usize| {
            let mut sums = vec![0.0; fields];
            for state in states {
                sums.iter_mut().zip(state.of(choice())).for_each(|(sum, count)| *sum += count);
            }
            sums
        };
        let chi_square = |sums: &[f64]| sums.iter().map(|n| (n - even).powi(2)).sum::<f64>() / even;
        let mean: f64 = states.iter().map(|state| state.counts.var_axis(Axis(0), 0.0).sum() / even).sum();
        if mean <= 0.0 {
            return None;
        }
        let counts = pooled(&mut || fields - 1);
        let found = chi_square(&counts);
        let above = (0..DRAWS).filter(|_| chi_square(&pooled(&mut || rng.random_range(0..fields))) >= found).count();
        Some(Self {
            shares: counts.iter().map(|count| count / points).collect(),
            statistic: found / mean,
            p_value: (1 + above) as f64 / (1 + DRAWS) as f64,
        })
    }

    /// Share of points whose truth is inside the central interval of the members that should hold a share `level`: the share of
    /// each rank's stretch \[r, r + 1\]/(M + 1) that is between (1 − level)/2 and (1 + level)/2, as in
    /// [`super::metrics::coverage`].
    pub fn coverage(&self, level: f64) -> f64 {
        let ranks = self.shares.len() as f64;
        let (low, high) = (0.5 * (1.0 - level) * ranks, 0.5 * (1.0 + level) * ranks);
        let inside = |rank: f64| ((rank + 1.0).min(high) - rank.max(low)).max(0.0);
        self.shares.iter().enumerate().map(|(rank, share)| share * inside(rank as f64)).sum()
    }
}

/// Rank histograms of ensembles at one time.
#[derive(Debug, Clone)]
pub struct RankHistogram {
    /// The time.
    pub t: f64,
    /// By closure: the share of points at which the truth has rank 0, 1, …, M among M living members.
    pub rows: Vec<(String, Vec<f64>)>,
}

/// Rank of the true vorticity among the members, by closure, at snapshot `k`: flat for a calibrated ensemble.
///
/// Every fourth grid point of every realisation counts once; ties cannot occur in a stochastic ensemble.
///
/// # Errors
/// As [`super::closed_loop()`]; no such snapshot.
pub fn rank_histogram(reference: &Reference, ensembles: &[Ensemble], k: usize) -> Result<RankHistogram> {
    let Some(&t) = reference.times.get(k) else {
        return Err(Error::config("snapshot", format!("{k} of {}", reference.times.len())));
    };
    let mut rows = Vec::with_capacity(ensembles.len());
    for ensemble in ensembles {
        check(reference, ensemble)?;
        let members = alive(ensemble, k);
        let mut counts = vec![0.0; members.len() + 1];
        for outcome in reference.fields.slice(s![k, .., .., ..]).outer_iter() {
            let ranks = RankCounts::new(&members, outcome);
            counts.iter_mut().zip(ranks.of(members.len())).for_each(|(sum, count)| *sum += count);
        }
        let total = counts.iter().sum::<f64>();
        rows.push((ensemble.closure.clone(), counts.iter().map(|&count| count / total).collect()));
    }
    Ok(RankHistogram { t, rows })
}

impl RankHistogram {
    /// As a table.
    ///
    /// # Errors
    /// None in practice.
    pub fn table(&self) -> Result<Table> {
        let entries: Vec<(&str, i64, f64)> = self
            .rows
            .iter()
            .flat_map(|(name, shares)| {
                shares.iter().enumerate().map(|(rank, share)| (name.as_str(), rank as i64, *share))
            })
            .collect();
        Table::new(
            "rank-histogram",
            format!("Share of grid points by rank of the truth among the members at t = {}.", names::time(self.t)),
            vec![
                Column::new("closure".into(), entries.iter().map(|entry| entry.0).collect::<Vec<_>>()),
                Column::new("rank".into(), entries.iter().map(|entry| entry.1).collect::<Vec<_>>()),
                Column::new("share".into(), entries.iter().map(|entry| entry.2).collect::<Vec<_>>()),
            ],
        )
    }
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use ndarray::Array2;
    use rand_distr::StandardNormal;

    use super::*;
    use crate::eval::metrics::coverage;
    use crate::rng::SeedTree;

    /// Points per side: 16 thinned ones of a field.
    const N: usize = 16;

    /// A smooth random field: a few waves with random amplitudes, so that all points are correlated.
    fn field(rng: &mut Stream) -> Array2<f32> {
        let wave: Vec<f64> = (0..6).map(|_| rng.sample::<f64, _>(StandardNormal)).collect();
        Array2::from_shape_fn((N, N), |(i, j)| {
            let (x, y): (f64, f64) = [i, j].map(|i| std::f64::consts::TAU * i as f64 / N as f64).into();
            let waves = [1.0, x.sin(), x.cos(), y.sin(), y.cos(), (x + y).sin()];
            waves.iter().zip(&wave).map(|(f, a)| f * a).sum::<f64>() as f32
        })
    }

    /// Counts of `states` states in which members are a truth's equals but for a factor and a shift in standard deviations.
    fn states(states: usize, members: usize, factor: f32, shift: f32, rng: &mut Stream) -> Vec<RankCounts> {
        let state = |_| {
            let fields: Vec<Array2<f32>> = (0..members).map(|_| field(rng).mapv(|x| factor * x + shift)).collect();
            let views: Vec<_> = fields.iter().map(|field| field.view()).collect();
            RankCounts::new(&views, field(rng).view())
        };
        (0..states).map(state).collect()
    }

    #[test]
    fn counts_by_hand() {
        // Points 0 and 4 of each direction: one row of values a field.
        let of = |values: [f32; 4]| Array2::from_shape_fn((8, 8), |(i, j)| values[2 * (i / 4) + j / 4]);
        let (a, b, truth) = (of([1.0, 1.0, 5.0, 2.0]), of([2.0, 2.0, 5.0, 2.0]), of([3.0, 1.5, 0.0, 2.0]));
        let counts = RankCounts::new(&[a.view(), b.view()], truth.view()).counts;
        // Truth above both, between them, below two equals, equal to both: there everybody has a third of every rank.
        let third = 1.0 / 3.0;
        let wanted = [[2.0, 0.5, 0.5], [0.0, 1.5, 1.5], [1.0, 1.0, 1.0]];
        for (field, row) in wanted.iter().enumerate() {
            for (rank, count) in row.iter().enumerate() {
                assert_relative_eq!(counts[(field, rank)], count + third, max_relative = 1e-12);
            }
        }
    }

    #[test]
    fn p_values_of_exchangeable_fields_are_uniform_though_points_are_correlated() {
        /// Four standard errors of 400 trials: of the mean of a uniform variable, and of a share of a tenth.
        const MEAN: f64 = 0.06;
        const SHARE: f64 = 0.06;
        /// Four standard errors of a mean whose standard deviation is at most 1 in a trial.
        const STATISTIC: f64 = 0.2;
        let mut rng = SeedTree::new(1).child("ranks").stream();
        let trials = 400;
        let tests: Vec<RankTest> = (0..trials)
            .map(|_| RankTest::new(&states(4, 6, 1.0, 0.0, &mut rng), &mut SeedTree::new(2).stream()).unwrap())
            .collect();
        let mean = |of: &dyn Fn(&RankTest) -> f64| tests.iter().map(of).sum::<f64>() / f64::from(trials);
        assert!((mean(&|test| test.p_value) - 0.5).abs() < MEAN, "{}", mean(&|test| test.p_value));
        for level in [0.1, 0.5, 0.9] {
            let below = mean(&|test| f64::from(u8::from(test.p_value <= level)));
            assert!((below - level).abs() < SHARE, "{below} of p-values below {level}");
        }
        assert!((mean(&|test| test.statistic) - 1.0).abs() < STATISTIC, "{}", mean(&|test| test.statistic));
        // The tabulated law of χ² would reject most of them: 16 points of a state have few ranks of their own.
        for level in [0.5, 0.8, 0.95] {
            assert!((mean(&|test| test.coverage(level)) - level).abs() < MEAN);
        }
    }

    #[test]
    fn overconfident_and_biased_ensembles_are_found_out() {
        let mut rng = SeedTree::new(3).child("ranks").stream();
        for (factor, shift) in [(0.2, 0.0), (1.0, 4.0), (5.0, 0.0)] {
            let test = RankTest::new(&states(8, 16, factor, shift, &mut rng), &mut SeedTree::new(2).stream()).unwrap();
            assert!(test.p_value <= 0.01 && test.statistic > 2.0, "× {factor} + {shift}: {test:?}");
        }
    }

    #[test]
    fn coverage_follows_from_ranks_as_from_values() {
        let mut rng = SeedTree::new(5).child("ranks").stream();
        let fields: Vec<Array2<f32>> = (0..5).map(|_| field(&mut rng)).collect();
        let (views, truth): (Vec<_>, _) = (fields.iter().map(|field| field.view()).collect(), field(&mut rng));
        let test = RankTest::new(&[RankCounts::new(&views, truth.view())], &mut rng).unwrap();
        for level in [0.3, 0.5, 0.8, 0.95] {
            let points: Vec<f64> = thinned_points(N)
                .map(|at| {
                    let members: Vec<f64> = views.iter().map(|view| f64::from(view[at])).collect();
                    coverage(&members, f64::from(truth[at]), level)
                })
                .collect();
            let mean = points.iter().sum::<f64>() / points.len() as f64;
            assert_relative_eq!(test.coverage(level), mean, max_relative = 1e-10);
        }
    }

    #[test]
    fn nothing_is_said_of_fields_that_are_one_or_of_ensembles_of_different_sizes() {
        let mut rng = SeedTree::new(4).stream();
        let same = field(&mut rng);
        assert_eq!(RankTest::new(&[RankCounts::new(&[same.view()], same.view())], &mut rng), None);
        let mixed = [states(1, 2, 1.0, 0.0, &mut rng), states(1, 3, 1.0, 0.0, &mut rng)].concat();
        assert_eq!(RankTest::new(&mixed, &mut rng), None);
        assert_eq!(RankTest::new(&[], &mut rng), None);
    }
}
