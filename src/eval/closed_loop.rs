//! How far rollouts stay with the truth, and whether their spread says so.

use ndarray::{ArrayView2, s};
use polars::prelude::Column;
use rand::RngExt;

use super::metrics::{Gram, crps};
use super::table::{Table, UNCERTAINTY};
use crate::closure::{EXACT_LAW, NO_CLOSURE};
use crate::error::{Error, Result};
use crate::rng::{SeedTree, Stream};
use crate::rollout::{Ensemble, Reference};

/// Bootstrap replicates over members: enough for two digits of a standard error.
const REPLICATES: usize = 200;

/// Every how many grid points (per direction) scores by point are taken: neighbours are strongly correlated.
const THINNING: usize = 4;

/// Errors of all rollouts against the reference.
#[derive(Debug, Clone)]
pub struct ClosedLoop {
    /// One row per closure at the final time.
    pub summary: Table,
    /// One row per closure and snapshot, for curves.
    pub curves: Table,
}

/// One closure at one snapshot; fields relative to the reference's rms vorticity.
#[derive(Debug, Clone, Copy)]
struct Point {
    /// Ensemble mean against the reference.
    error: f64,
    /// Its bootstrap standard error over members.
    error_se: f64,
    /// Average error of single members.
    member: f64,
    /// Root of the mean ensemble variance.
    spread: f64,
    /// Its bootstrap standard error over members.
    spread_se: f64,
    /// √((M+1)/M) spread / error of the mean: 1 for a calibrated ensemble.
    ratio: f64,
    crps: f64,
    energy: f64,
    alive: usize,
}

/// Compares rollouts with the true stochastic flow from the same start state (arXiv 2506.20771, section 4: relative
/// Frobenius error of the ensemble-mean vorticity), adding spread, spread–skill ratio, fair CRPS and energy score.
///
/// With several reference realisations all scores are averages over them. Members that failed are counted in
/// `failures` and left out of the statistics from their failure on. Skill is 1 − e/e₀ with e₀ the error of the mean without
/// closure; skill/exact is (e₀ − e)/(e₀ − e₁) with e₁ that of the exact law: 0 without closure, 1 for the exact law.
///
/// # Errors
/// Snapshot times or grids of reference and ensembles differ.
pub fn closed_loop(reference: &Reference, ensembles: &[Ensemble], seeds: &SeedTree) -> Result<ClosedLoop> {
    let points: Vec<Vec<Point>> = ensembles
        .iter()
        .map(|ensemble| {
            check(reference, ensemble)?;
            let mut rng = seeds.child("eval").child("bootstrap").stream();
            Ok((0..reference.times.len()).map(|k| point(reference, ensemble, k, &mut rng)).collect())
        })
        .collect::<Result<_>>()?;
    let find = |name: &str| ensembles.iter().position(|ensemble| ensemble.closure == name).map(|i| &points[i]);
    Ok(ClosedLoop {
        summary: summary(reference, ensembles, &points, find(NO_CLOSURE), find(EXACT_LAW))?,
        curves: curves(reference, ensembles, &points, find(NO_CLOSURE), find(EXACT_LAW))?,
    })
}

fn check(reference: &Reference, ensemble: &Ensemble) -> Result<()> {
    let (expected, found) = (reference.fields.shape(), ensemble.fields.shape());
    if expected[0] != found[0] || expected[2..] != found[2..] {
        let expected = format!("({}, members, {}, {})", expected[0], expected[2], expected[3]);
        return Err(Error::shape(format!("rollout of {}", ensemble.closure), expected, found));
    }
    /// Times are the same sums of steps on both sides; anything beyond round-off is another protocol.
    const SAME_TIME: f64 = 1e-6;
    match reference.times.iter().zip(&ensemble.times).find(|(a, b)| (*a - *b).abs() > SAME_TIME) {
        Some((a, b)) => Err(Error::config(
            "rollout",
            format!("snapshot of {} at t = {b}, of the reference at t = {a}", ensemble.closure),
        )),
        None => Ok(()),
    }
}

/// The members that have not failed at snapshot `k`.
fn alive(ensemble: &Ensemble, k: usize) -> Vec<ArrayView2<'_, f32>> {
    (0..ensemble.fields.shape()[1])
        .map(|m| ensemble.fields.slice(s![k, m, .., ..]))
        .filter(|field| field.iter().all(|x| x.is_finite()))
        .collect()
}

fn point(reference: &Reference, ensemble: &Ensemble, k: usize, rng: &mut Stream) -> Point {
    let members = alive(ensemble, k);
    let m = members.len();
    let realisations = reference.fields.shape()[1];
    let mut point = Point {
        error: 0.0,
        error_se: 0.0,
        member: 0.0,
        spread: 0.0,
        spread_se: f64::NAN,
        ratio: f64::NAN,
        crps: 0.0,
        energy: 0.0,
        alive: m,
    };
    if m == 0 {
        let nan = f64::NAN;
        return Point { error: nan, error_se: nan, member: nan, spread: nan, crps: nan, energy: nan, ..point };
    }
    let share = 1.0 / realisations as f64;
    let (mut error2, mut variance) = (0.0, 0.0);
    // The same members are redrawn for every realisation, so that the replicates carry their common part.
    let (mut replicates, mut spreads) = (vec![0.0; REPLICATES], vec![0.0; REPLICATES]);
    let weights: Vec<Vec<f64>> = (0..REPLICATES).map(|_| resampled(m, rng)).collect();
    for r in 0..realisations {
        let outcome = reference.fields.slice(s![k, r, .., ..]);
        let scale = (outcome.iter().map(|&y| f64::from(y).powi(2)).sum::<f64>() / outcome.len() as f64).sqrt();
        let gram = Gram::new(&members, outcome);
        let square = gram.mean_error2(&vec![1.0 / m as f64; m]);
        point.error += share * square.sqrt() / scale;
        point.member += share * gram.member_error() / scale;
        point.spread += share * gram.variance().sqrt() / scale;
        point.energy += share * gram.energy_score() / scale;
        point.crps += share * mean_crps(&members, outcome) / scale;
        error2 += share * square / (scale * scale);
        variance += share * gram.variance() / (scale * scale);
        for ((replicate, spread), weights) in replicates.iter_mut().zip(&mut spreads).zip(&weights) {
            *replicate += share * gram.mean_error2(weights).sqrt() / scale;
            *spread += share * gram.replicate_variance(weights).sqrt() / scale;
        }
    }
    if m > 1 && error2 > 0.0 {
        point.ratio = ((m as f64 + 1.0) / m as f64 * variance / error2).sqrt();
    }
    if m > 1 {
        (point.error_se, point.spread_se) = (deviation(&replicates), deviation(&spreads));
    } else {
        point.error_se = f64::NAN;
    }
    point
}

/// Standard deviation of bootstrap replicates.
fn deviation(replicates: &[f64]) -> f64 {
    /// Replicates of members that agree differ by round-off, which is no uncertainty.
    const ROUND_OFF: f64 = 1e-12;
    let mean = replicates.iter().sum::<f64>() / REPLICATES as f64;
    let square = replicates.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (REPLICATES as f64 - 1.0);
    if square.sqrt() > ROUND_OFF * mean { square.sqrt() } else { 0.0 }
}

/// Weights of one bootstrap replicate: how often each of `m` members was drawn, over m.
fn resampled(m: usize, rng: &mut Stream) -> Vec<f64> {
    let mut weights = vec![0.0; m];
    for _ in 0..m {
        weights[rng.random_range(0..m)] += 1.0 / m as f64;
    }
    weights
}

fn mean_crps(members: &[ArrayView2<f32>], outcome: ArrayView2<f32>) -> f64 {
    let (mut values, mut sum, mut count) = (vec![0.0; members.len()], 0.0, 0);
    for ((i, j), &y) in outcome.indexed_iter().filter(|((i, j), _)| i % THINNING == 0 && j % THINNING == 0) {
        for (value, member) in values.iter_mut().zip(members) {
            *value = f64::from(member[(i, j)]);
        }
        sum += crps(&mut values, f64::from(y));
        count += 1;
    }
    sum / f64::from(count)
}

/// Milliseconds per solver step and member, and per closure draw, of one thread.
fn cost(ensemble: &Ensemble) -> (f64, f64) {
    let members = ensemble.fields.shape()[1] as f64;
    let per = |seconds: f64, count: usize| 1e3 * seconds / (count as f64 * members);
    (per(ensemble.cost.thread_s, ensemble.cost.steps), per(ensemble.cost.closure_s, ensemble.cost.draws))
}

fn summary(
    reference: &Reference,
    ensembles: &[Ensemble],
    points: &[Vec<Point>],
    none: Option<&Vec<Point>>,
    exact: Option<&Vec<Point>>,
) -> Result<Table> {
    let last = reference.times.len() - 1;
    let at = |pick: fn(&Point) -> f64| points.iter().map(|p| known(pick(&p[last]))).collect::<Vec<_>>();
    let skill = |p: &Vec<Point>| none.map_or(f64::NAN, |none| 1.0 - p[last].error / none[last].error);
    let relative = |p: &Vec<Point>| match (none, exact) {
        (Some(none), Some(exact)) => (none[last].error - p[last].error) / (none[last].error - exact[last].error),
        _ => f64::NAN,
    };
    // Ratio of two independent ensembles, to first order in their errors.
    let spread = |p: &Vec<Point>| match exact.map(|exact| exact[last]) {
        Some(_) if exact.is_some_and(|exact| std::ptr::eq(exact, p)) => (1.0, 0.0),
        Some(law) if p[last].spread > 0.0 && law.spread > 0.0 => {
            let (own, ratio) = (p[last], p[last].spread / law.spread);
            (ratio, ratio * (own.spread_se / own.spread).hypot(law.spread_se / law.spread))
        }
        _ => (f64::NAN, f64::NAN),
    };
    let spreads: Vec<(f64, f64)> = points.iter().map(spread).collect();
    let failures: Vec<i64> = ensembles.iter().map(|e| e.failures.iter().flatten().count() as i64).collect();
    let first = ensembles.iter().map(|e| e.failures.iter().flatten().copied().reduce(f64::min));
    let costs: Vec<(f64, f64)> = ensembles.iter().map(cost).collect();
    let realisations = reference.fields.shape()[1];
    Table::new(
        "closed-loop",
        format!(
            "Rollouts at t = {:.4} from one state at t = {:.4}, against {realisations} realisation(s) of the true flow; errors \
             of vorticity relative to its rms, ± bootstrap over members; skill is 0 without closure. Costs: one thread, per \
             member.",
            reference.times[last], reference.times[0]
        ),
        vec![
            Column::new("closure".into(), ensembles.iter().map(|e| e.closure.clone()).collect::<Vec<_>>()),
            Column::new("members".into(), ensembles.iter().map(|e| e.failures.len() as i64).collect::<Vec<_>>()),
            Column::new("error of mean".into(), at(|p| p.error)),
            Column::new(format!("error of mean{UNCERTAINTY}").into(), at(|p| p.error_se)),
            Column::new("error of member".into(), at(|p| p.member)),
            Column::new("spread".into(), at(|p| p.spread)),
            Column::new(format!("spread{UNCERTAINTY}").into(), at(|p| p.spread_se)),
            Column::new("spread/exact".into(), spreads.iter().map(|s| known(s.0)).collect::<Vec<_>>()),
            Column::new(
                format!("spread/exact{UNCERTAINTY}").into(),
                spreads.iter().map(|s| known(s.1)).collect::<Vec<_>>(),
            ),
            Column::new("spread/skill".into(), at(|p| p.ratio)),
            Column::new("CRPS".into(), at(|p| p.crps)),
            Column::new("energy score".into(), at(|p| p.energy)),
            Column::new("skill".into(), points.iter().map(|p| known(skill(p))).collect::<Vec<_>>()),
            Column::new("skill/exact".into(), points.iter().map(|p| known(relative(p))).collect::<Vec<_>>()),
            Column::new("failures".into(), failures),
            Column::new("first failure".into(), first.collect::<Vec<_>>()),
            Column::new("ms/step".into(), costs.iter().map(|c| known(c.0)).collect::<Vec<_>>()),
            Column::new("ms/draw".into(), costs.iter().map(|c| known(c.1)).collect::<Vec<_>>()),
        ],
    )
}

fn curves(
    reference: &Reference,
    ensembles: &[Ensemble],
    points: &[Vec<Point>],
    none: Option<&Vec<Point>>,
    exact: Option<&Vec<Point>>,
) -> Result<Table> {
    let rows: Vec<(&Ensemble, usize, &Point)> = ensembles
        .iter()
        .zip(points)
        .flat_map(|(ensemble, points)| points.iter().enumerate().map(move |(k, point)| (ensemble, k, point)))
        .collect();
    let column = |pick: fn(&Point) -> f64| rows.iter().map(|(_, _, p)| known(pick(p))).collect::<Vec<_>>();
    let skill = |k: usize, p: &Point| none.and_then(|none| known(1.0 - p.error / none[k].error));
    let relative = |k: usize, p: &Point| {
        let (none, exact) = (none?[k].error, exact?[k].error);
        known((none - p.error) / (none - exact))
    };
    Table::new(
        "closed-loop-curves",
        "Errors of rollouts over time; columns as in the table at the final time.",
        vec![
            Column::new("closure".into(), rows.iter().map(|(e, ..)| e.closure.clone()).collect::<Vec<_>>()),
            Column::new("t".into(), rows.iter().map(|(_, k, _)| reference.times[*k]).collect::<Vec<_>>()),
            Column::new("error of mean".into(), column(|p| p.error)),
            Column::new(format!("error of mean{UNCERTAINTY}").into(), column(|p| p.error_se)),
            Column::new("error of member".into(), column(|p| p.member)),
            Column::new("spread".into(), column(|p| p.spread)),
            Column::new("spread/skill".into(), column(|p| p.ratio)),
            Column::new("CRPS".into(), column(|p| p.crps)),
            Column::new("energy score".into(), column(|p| p.energy)),
            Column::new("skill".into(), rows.iter().map(|(_, k, p)| skill(*k, p)).collect::<Vec<_>>()),
            Column::new("skill/exact".into(), rows.iter().map(|(_, k, p)| relative(*k, p)).collect::<Vec<_>>()),
            Column::new("alive".into(), rows.iter().map(|(.., p)| p.alive as i64).collect::<Vec<_>>()),
        ],
    )
}

/// NaN means "not defined here" in the numbers above and becomes a missing entry.
fn known(x: f64) -> Option<f64> {
    x.is_finite().then_some(x)
}

/// Rank of the true vorticity among the members, by closure, at snapshot `k`: flat for a calibrated ensemble.
///
/// Every fourth grid point of every realisation counts once; ties cannot occur in a stochastic ensemble.
///
/// # Errors
/// As [`closed_loop`]; no such snapshot.
pub fn rank_histogram(reference: &Reference, ensembles: &[Ensemble], k: usize) -> Result<Table> {
    if k >= reference.times.len() {
        return Err(Error::config("snapshot", format!("{k} of {}", reference.times.len())));
    }
    let (mut names, mut ranks, mut shares) = (Vec::new(), Vec::new(), Vec::new());
    for ensemble in ensembles {
        check(reference, ensemble)?;
        let members = alive(ensemble, k);
        let mut counts = vec![0usize; members.len() + 1];
        for r in 0..reference.fields.shape()[1] {
            let outcome = reference.fields.slice(s![k, r, .., ..]);
            for ((i, j), &y) in outcome.indexed_iter().filter(|((i, j), _)| i % THINNING == 0 && j % THINNING == 0) {
                counts[members.iter().filter(|member| member[(i, j)] < y).count()] += 1;
            }
        }
        let total = counts.iter().sum::<usize>() as f64;
        for (rank, count) in counts.iter().enumerate() {
            names.push(ensemble.closure.clone());
            ranks.push(rank as i64);
            shares.push(*count as f64 / total);
        }
    }
    Table::new(
        "rank-histogram",
        format!("Share of grid points by rank of the truth among the members at t = {:.4}.", reference.times[k]),
        vec![
            Column::new("closure".into(), names),
            Column::new("rank".into(), ranks),
            Column::new("share".into(), shares),
        ],
    )
}
