//! Scores of states that are series of values rather than fields: climate and forecasts, as studies of Lorenz-96 have them.
//!
//! Climate: the Kolmogorov–Smirnov distance of two pooled laws of X, max|P(X ≤ x) − P_true(X ≤ x)| (Arnold, Moroz & Palmer 2013,
//! doi:10.1098/rsta.2011.0479, and Wilks 2005, doi:10.1256/qj.04.03, compare such laws), and the autocorrelation of X. Forecasts:
//! CRPS, error of the ensemble mean and spread against lead time. Errors are jackknife estimates over runs or starts.

use ndarray::{Array2, ArrayView3, ArrayView4, Axis};
use polars::prelude::Column;

use super::estimate::Estimate;
use super::metrics::{crps, jackknife};
use super::table::{Table, estimates};
use crate::error::{Error, Result};

/// Values of X at which distribution functions are compared, which are quantiles of the truth: the distance is known to 1/512, and
/// far better where the difference of two laws is smooth.
const EDGES: usize = 512;
/// Bins of a density between the outermost quantiles of the truth.
const BINS: usize = 60;
/// Share of values left out on either side of the figure of densities.
const TAIL: f64 = 1e-3;

/// The climate of runs beside that of the truth.
#[derive(Debug, Clone)]
pub struct Climate {
    /// By closure, the truth first.
    pub rows: Vec<ClimateRow>,
    /// X at the middle of the bins of [`ClimateRow::density`].
    pub x: Vec<f64>,
    /// Lags of [`ClimateRow::autocorrelation`].
    pub lags: Vec<f64>,
}

/// The climate of the runs of one closure.
#[derive(Debug, Clone)]
pub struct ClimateRow {
    /// The closure.
    pub closure: String,
    /// Kolmogorov–Smirnov distance to the truth; none of the truth itself.
    pub ks: Estimate,
    /// Mean of X.
    pub mean: Estimate,
    /// Standard deviation of X.
    pub std: Estimate,
    /// Largest difference of the autocorrelation to that of the truth.
    pub memory: Estimate,
    /// Share of values per unit of X.
    pub density: Vec<f64>,
    /// Of X at one site.
    pub autocorrelation: Vec<Estimate>,
}

/// Compares runs (time, run, site) of closures, by name, with those of the truth, which come first; snapshots are `interval` apart.
///
/// Runs that have failed, which hold values that are not finite, are left out.
///
/// # Errors
/// [`Error::Config`] where there is no truth, or fewer than two runs or lags are left of one of them.
pub fn climate(runs: &[(&str, ArrayView3<f32>)], interval: f64, longest_lag: f64) -> Result<Climate> {
    let Some((_, truth)) = runs.first() else { return Err(Error::config("runs", "none; the truth comes first")) };
    let lags = (longest_lag / interval).round() as usize + 1;
    let series: Vec<Vec<Run>> = runs.iter().map(|(_, runs)| split(runs)).collect();
    for ((name, runs), all) in series.iter().zip(runs).map(|(series, (name, all))| ((name, series), all)) {
        if runs.len() < 2 || all.len_of(Axis(0)) <= lags {
            let what =
                format!("{name}: {} whole runs of {} snapshots for {lags} lags", runs.len(), all.len_of(Axis(0)));
            return Err(Error::config("runs", what));
        }
    }
    let mut sorted: Vec<f32> = truth.iter().copied().filter(|x| x.is_finite()).collect();
    sorted.sort_unstable_by(f32::total_cmp);
    let quantile = |share: f64| f64::from(sorted[((sorted.len() - 1) as f64 * share).round() as usize]);
    let edges: Vec<f64> = (0..EDGES).map(|i| quantile((i as f64 + 0.5) / EDGES as f64)).collect();
    let (low, high) = (quantile(TAIL), quantile(1.0 - TAIL));
    let width = (high - low) / BINS as f64;

    let below: Vec<Vec<[f64; EDGES]>> =
        series.iter().map(|runs| runs.iter().map(|run| run.below(&edges)).collect()).collect();
    let correlations: Vec<Vec<Estimate>> = series.iter().map(|runs| autocorrelation(runs, lags)).collect();
    let rows = runs.iter().enumerate().map(|(row, (name, _))| {
        let runs = &series[row];
        let sums: Vec<[f64; 3]> = runs.iter().map(Run::sums).collect();
        let mut density = vec![0.0; BINS];
        for x in runs.iter().flat_map(|run| run.0.iter()) {
            let bin = (f64::from(*x) - low) / width;
            if (0.0..BINS as f64).contains(&bin) {
                density[bin as usize] += 1.0;
            }
        }
        let values: usize = runs.iter().map(|run| run.0.len()).sum();
        density.iter_mut().for_each(|count| *count /= values as f64 * width);
        let worst = (0..lags).map(|lag| (lag, (correlations[row][lag].value - correlations[0][lag].value).abs()));
        let (at, memory) = worst.fold((0, 0.0), |best, next| if next.1 > best.1 { next } else { best });
        let error = correlations[row][at].error.hypot(correlations[0][at].error);
        ClimateRow {
            closure: (*name).into(),
            ks: if row == 0 { Estimate::NONE } else { kolmogorov_smirnov(&below[0], &below[row]) },
            mean: jackknife(&sums, |[n, sum, _]| sum / n).into(),
            std: jackknife(&sums, |[n, sum, square]| (square / n - (sum / n).powi(2)).sqrt()).into(),
            memory: if row == 0 { Estimate::NONE } else { Estimate { value: memory, error } },
            density,
            autocorrelation: correlations[row].clone(),
        }
    });
    Ok(Climate {
        rows: rows.collect(),
        x: (0..BINS).map(|bin| low + (bin as f64 + 0.5) * width).collect(),
        lags: (0..lags).map(|lag| lag as f64 * interval).collect(),
    })
}

/// One run, (time, site).
struct Run(Array2<f32>);

/// The runs that have not failed.
fn split(runs: &ArrayView3<f32>) -> Vec<Run> {
    let whole = runs.axis_iter(Axis(1)).filter(|run| run.iter().all(|x| x.is_finite()));
    whole.map(|run| Run(run.to_owned())).collect()
}

impl Run {
    /// Number, sum and sum of squares.
    fn sums(&self) -> [f64; 3] {
        self.0.iter().fold([0.0; 3], |[n, sum, square], &x| {
            let x = f64::from(x);
            [n + 1.0, sum + x, square + x * x]
        })
    }

    /// Share of values at or below each of the edges.
    fn below(&self, edges: &[f64]) -> [f64; EDGES] {
        let mut counts = [0.0; EDGES];
        for x in &self.0 {
            if let Some(count) = counts.get_mut(edges.partition_point(|edge| *edge < f64::from(*x))) {
                *count += 1.0;
            }
        }
        let mut sum = 0.0;
        counts.map(|count| {
            sum += count;
            sum / self.0.len() as f64
        })
    }
}

/// The distance of two sets of runs, and its standard error: each set's jackknife over its runs.
fn kolmogorov_smirnov(truth: &[[f64; EDGES]], runs: &[[f64; EDGES]]) -> Estimate {
    let total = |runs: &[[f64; EDGES]]| -> [f64; EDGES] {
        std::array::from_fn(|edge| runs.iter().map(|run| run[edge]).sum::<f64>() / runs.len() as f64)
    };
    let count = runs.len() as f64;
    let (truth_mean, runs_mean) = (total(truth), total(runs));
    // Of sums over runs, of which one may be left out.
    let distance = |sums: &[f64; EDGES], other: &[f64; EDGES], kept: f64| {
        sums.iter().zip(other).map(|(sum, other)| (sum / kept - other).abs()).fold(0.0, f64::max)
    };
    let error = |blocks: &[[f64; EDGES]], other: &[f64; EDGES]| {
        let kept = blocks.len() as f64 - 1.0;
        let sums: [f64; EDGES] = std::array::from_fn(|edge| blocks.iter().map(|block| block[edge]).sum());
        let left_out: Vec<f64> = blocks
            .iter()
            .map(|block| distance(&std::array::from_fn(|edge| sums[edge] - block[edge]), other, kept))
            .collect();
        let mean = left_out.iter().sum::<f64>() / left_out.len() as f64;
        kept / (kept + 1.0) * left_out.iter().map(|x| (x - mean).powi(2)).sum::<f64>()
    };
    Estimate {
        value: distance(&runs_mean.map(|mean| mean * count), &truth_mean, count),
        error: (error(runs, &truth_mean) + error(truth, &runs_mean)).sqrt(),
    }
}

/// Autocorrelation at lags 0, 1, …, about the mean of all runs.
fn autocorrelation(runs: &[Run], lags: usize) -> Vec<Estimate> {
    let of_lag = |lag: usize| {
        let blocks: Vec<[f64; 6]> = runs
            .iter()
            .map(|Run(x)| {
                let kept = x.nrows() - lag;
                let (now, later) = (x.slice(ndarray::s![..kept, ..]), x.slice(ndarray::s![lag.., ..]));
                now.iter().zip(later).fold([0.0; 6], |[n, a, b, ab, aa, bb], (now, later)| {
                    let (now, later) = (f64::from(*now), f64::from(*later));
                    [n + 1.0, a + now, b + later, ab + now * later, aa + now * now, bb + later * later]
                })
            })
            .collect();
        jackknife(&blocks, |[n, a, b, ab, aa, bb]| {
            let covariance = ab / n - a * b / (n * n);
            covariance / ((aa / n - (a / n).powi(2)) * (bb / n - (b / n).powi(2))).sqrt()
        })
    };
    (0..lags).map(|lag| of_lag(lag).into()).collect()
}

impl Climate {
    /// One row for every closure, as a table.
    ///
    /// # Errors
    /// None in practice.
    pub fn table(&self) -> Result<Table> {
        let rows = &self.rows;
        let mut columns =
            vec![Column::new("closure".into(), rows.iter().map(|row| row.closure.as_str()).collect::<Vec<_>>())];
        columns.extend(estimates("KS", rows.iter().map(|row| row.ks)));
        columns.extend(estimates("mean of X", rows.iter().map(|row| row.mean)));
        columns.extend(estimates("std of X", rows.iter().map(|row| row.std)));
        columns.extend(estimates("memory error", rows.iter().map(|row| row.memory)));
        let caption = "Climate of X in long runs: distance to the truth's law, moments, and largest difference of the \
                       autocorrelation; ± jackknife over runs.";
        Table::new("climate", caption, columns)
    }
}

/// Forecasts of one closure from several states of the truth.
#[derive(Debug, Clone)]
pub struct Forecasts {
    /// The closure.
    pub closure: String,
    /// Lead times.
    pub leads: Vec<f64>,
    /// CRPS by lead time, mean over sites and starts.
    pub crps: Vec<Estimate>,
    /// Root mean square error of the ensemble mean.
    pub error: Vec<Estimate>,
    /// Root mean ensemble variance, times √((M + 1)/M): what the error would be if truth and members had one law.
    pub spread: Vec<Estimate>,
}

/// Scores ensembles (lead, member, 1, site), one for each start, against the truth (lead, site) from the same starts.
///
/// # Errors
/// [`Error::Shape`] where an ensemble does not fit its truth; [`Error::Config`] without starts or with one member.
pub fn forecasts(closure: &str, leads: Vec<f64>, ensembles: &[(ArrayView4<f32>, Array2<f32>)]) -> Result<Forecasts> {
    if ensembles.is_empty() {
        return Err(Error::config("starts", "none"));
    }
    let mut blocks: Vec<Vec<[f64; 4]>> = vec![Vec::with_capacity(ensembles.len()); leads.len()];
    for (ensemble, truth) in ensembles {
        let (times, members, rows, sites) = ensemble.dim();
        if truth.dim() != (leads.len(), sites) || (times, rows) != (leads.len(), 1) {
            let expected = format!("({}, members, 1, {})", leads.len(), truth.ncols());
            return Err(Error::shape(format!("forecast of {closure}"), expected, ensemble.shape()));
        }
        if members < 2 {
            return Err(Error::config("members", format!("{members}; at least 2 are needed")));
        }
        let mut values = vec![0.0; members];
        for (lead, block) in blocks.iter_mut().enumerate() {
            let mut sums = [0.0; 4];
            for site in 0..sites {
                let outcome = f64::from(truth[[lead, site]]);
                values.iter_mut().enumerate().for_each(|(m, x)| *x = f64::from(ensemble[[lead, m, 0, site]]));
                let mean = values.iter().sum::<f64>() / members as f64;
                let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (members as f64 - 1.0);
                let terms = [
                    1.0,
                    crps(&mut values, outcome),
                    (mean - outcome).powi(2),
                    variance * (members as f64 + 1.0) / members as f64,
                ];
                sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
            }
            block.push(sums);
        }
    }
    let of = |term: usize, finish: fn(f64) -> f64| {
        blocks.iter().map(|block| jackknife(block, |sums| finish(sums[term] / sums[0])).into()).collect::<Vec<_>>()
    };
    Ok(Forecasts {
        closure: closure.into(),
        leads,
        crps: of(1, |mean| mean),
        error: of(2, f64::sqrt),
        spread: of(3, f64::sqrt),
    })
}

/// Forecasts of several closures as a table, by closure and lead time.
///
/// # Errors
/// None in practice.
pub fn forecast_table(all: &[Forecasts]) -> Result<Table> {
    let closures = all.iter().flat_map(|of| of.leads.iter().map(|_| of.closure.as_str())).collect::<Vec<_>>();
    let leads = all.iter().flat_map(|of| of.leads.iter().copied()).collect::<Vec<_>>();
    let mut columns = vec![Column::new("closure".into(), closures), Column::new("lead".into(), leads)];
    for (title, pick) in [
        ("CRPS of X", (|of| &of.crps) as fn(&Forecasts) -> &Vec<Estimate>),
        ("error of mean X", |of| &of.error),
        ("spread of X", |of| &of.spread),
    ] {
        columns.extend(estimates(title, all.iter().flat_map(|of| pick(of).iter().copied())));
    }
    let caption = "Ensemble forecasts of X from states of the truth, by lead time; ± jackknife over starts.";
    Table::new("forecasts", caption, columns)
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, Array4};
    use rand_distr::{Distribution, StandardNormal};

    use super::*;
    use crate::rng::SeedTree;

    /// (time, run, site) of an autoregressive process with correlation `memory`, shifted.
    fn process(seed: usize, memory: f64, shift: f64) -> Array3<f32> {
        let mut rng = SeedTree::new(1).child(seed).stream();
        let mut runs = Array3::zeros((4000, 6, 4));
        for run in 0..6 {
            for site in 0..4 {
                let mut x: f64 = StandardNormal.sample(&mut rng);
                for t in 0..4000 {
                    let normal: f64 = StandardNormal.sample(&mut rng);
                    x = memory * x + (1.0 - memory * memory).sqrt() * normal;
                    runs[[t, run, site]] = (x + shift) as f32;
                }
            }
        }
        runs
    }

    #[test]
    fn shifted_gaussians_have_the_distance_and_the_memory_of_their_closed_forms() {
        /// Four standard errors: some 96000/4 independent values a set.
        const MONTE_CARLO: f64 = 0.025;
        let [truth, same, shifted] = [(1, 0.0), (2, 0.0), (3, 0.5)].map(|(seed, shift)| process(seed, 0.5, shift));
        let runs = [("true flow", truth.view()), ("same", same.view()), ("shifted", shifted.view())];
        let found = climate(&runs, 0.1, 0.3).unwrap();
        assert!(found.rows[0].ks.value.is_nan());
        assert!(found.rows[1].ks.value < MONTE_CARLO, "{:?}", found.rows[1].ks);
        // 2Φ(shift/2) − 1 = erf(0.25/√2).
        let distance = found.rows[2].ks;
        assert!((distance.value - 0.197_4).abs() < MONTE_CARLO, "{distance:?}");
        assert!(distance.error > 0.0 && distance.error < MONTE_CARLO, "{distance:?}");
        assert!(
            (found.rows[2].mean.value - 0.5).abs() < MONTE_CARLO && (found.rows[2].std.value - 1.0).abs() < MONTE_CARLO
        );
        for (lag, at) in found.rows[1].autocorrelation.iter().enumerate() {
            assert!((at.value - 0.5_f64.powi(lag as i32)).abs() < MONTE_CARLO, "{lag}: {at:?}");
        }
        assert!((found.lags[3] - 0.3).abs() < 1e-12 && found.lags.len() == 4);
        let mass: f64 = found.rows[0].density.iter().sum::<f64>() * (found.x[1] - found.x[0]);
        assert!((mass - 1.0).abs() < 3.0 * TAIL, "{mass}");
        assert_eq!(found.table().unwrap().rows(), 3);
    }

    #[test]
    fn failed_runs_are_left_out_and_too_few_refused() {
        let mut runs = process(1, 0.5, 0.0);
        runs[[7, 0, 0]] = f32::NAN;
        let whole = climate(&[("true flow", process(1, 0.5, 0.0).view()), ("x", runs.view())], 0.1, 0.2).unwrap();
        assert!(whole.rows[1].mean.value.is_finite());
        runs.fill(f32::NAN);
        let error = climate(&[("x", runs.view())], 0.1, 0.2).unwrap_err().to_string();
        assert!(error.contains("x: 0 whole runs"), "{error}");
    }

    #[test]
    fn forecasts_of_one_law_know_their_error() {
        /// Four standard errors of 3000 outcomes, and of the variances of 3000 ensembles of ten.
        const MONTE_CARLO: f64 = 0.06;
        const OF_SPREAD: f64 = 0.02;
        let mut rng = SeedTree::new(5).stream();
        let mut normal = || -> f32 { StandardNormal.sample(&mut rng) };
        let ensembles: Vec<(Array4<f32>, Array2<f32>)> = (0..300)
            .map(|_| {
                let members = Array4::from_shape_simple_fn((1, 10, 1, 10), &mut normal);
                (members, Array2::from_shape_simple_fn((1, 10), &mut normal))
            })
            .collect();
        let views: Vec<_> = ensembles.iter().map(|(members, truth)| (members.view(), truth.clone())).collect();
        let found = forecasts("same", vec![0.5], &views).unwrap();
        // 1/√π, and √(1 + 1/M) twice.
        assert!((found.crps[0].value - 0.5642).abs() < MONTE_CARLO, "{:?}", found.crps);
        assert!((found.error[0].value - 1.1_f64.sqrt()).abs() < MONTE_CARLO, "{:?}", found.error);
        assert!((found.spread[0].value - 1.1_f64.sqrt()).abs() < OF_SPREAD, "{:?}", found.spread);
        assert_eq!(forecast_table(&[found]).unwrap().rows(), 1);
        assert!(forecasts("x", vec![0.5, 1.0], &views).is_err());
    }
}
