//! Closures against stored pairs, for terms whose law is not known in closed form.

use ndarray::{Array2, Axis};
use polars::prelude::Column;
use rayon::prelude::*;

use super::metrics::{crps, d_mse, d_re};
use super::sampling::{check_pairs, column, draw, milliseconds, spread};
use super::shells::transfers;
use super::table::Table;
use crate::closure::{AnyClosure, Closure};
use crate::config::Config;
use crate::data::Pairs;
use crate::error::Result;
use crate::rng::SeedTree;
use crate::spectral::Field;

/// Every how many grid points (per direction) the CRPS is taken.
const THINNING: usize = 4;

/// What is summed over the conditions of one trajectory; squares are means over grid points.
#[derive(Debug, Clone, Copy)]
enum Sum {
    Conditions,
    H2,
    MseSingle,
    ReSingle,
    MseMean,
    ReMean,
    /// ⟨H x̄⟩ and ⟨x̄²⟩, for the correlation.
    Cross,
    Mean2,
    Variance,
    Crps,
    /// ⟨ωx̄⟩, ⟨ωH⟩, ⟨ψx̄⟩, ⟨ψH⟩: enstrophy and energy given to the resolved flow.
    Enstrophy,
    EnstrophyData,
    Energy,
    EnergyData,
}

const SUMS: usize = Sum::EnergyData as usize + 1;

type Sums = [f64; SUMS];

/// Measures `closures` against the stored H on the conditions of [`super::Offline::measure`], with `config.eval.samples` draws.
///
/// D_MSE and D_RE of single samples and of their mean as published (arXiv 2506.20771, section 3); *correlation* of the mean
/// with H; *std*: pointwise sample standard deviation over rms H; *CRPS*: fair, against the one stored H, over rms H (for one
/// that does not draw, the mean absolute error); *enstrophy* and *energy*: what the mean term gives to the resolved flow over
/// what the stored one gives, 1 is right, negative has the wrong sign; *ms/draw*: median on one thread. ± are jackknife
/// standard errors over trajectories.
///
/// # Errors
/// [`crate::Error::Shape`] for impossible data; whatever a closure cannot do.
pub fn against_data(config: &Config, test: &Pairs, closures: &[AnyClosure], seeds: &SeedTree) -> Result<Table> {
    check_pairs(test)?;
    let by_trajectory: Vec<Vec<Sums>> = (0..test.trajectories)
        .into_par_iter()
        .map(|trajectory| measure(config, test, trajectory, closures, seeds))
        .collect::<Result<_>>()?;
    let sums: Vec<Vec<Sums>> =
        (0..closures.len()).map(|c| by_trajectory.iter().map(|closures| closures[c]).collect()).collect();
    let get = |sums: &Sums, which: Sum| sums[which as usize];
    let mean = |which: Sum| move |s: &Sums| get(s, which) / get(s, Sum::Conditions);
    let mut columns = vec![Column::new("closure".into(), closures.iter().map(Closure::name).collect::<Vec<_>>())];
    columns.extend(column("D_MSE single", &sums, mean(Sum::MseSingle)));
    columns.extend(column("D_RE single", &sums, mean(Sum::ReSingle)));
    columns.extend(column("D_MSE mean", &sums, mean(Sum::MseMean)));
    columns.extend(column("D_RE mean", &sums, mean(Sum::ReMean)));
    columns
        .extend(column("correlation", &sums, |s| get(s, Sum::Cross) / (get(s, Sum::H2) * get(s, Sum::Mean2)).sqrt()));
    columns.extend(column("std", &sums, |s| (get(s, Sum::Variance) / get(s, Sum::H2)).sqrt()));
    columns.extend(column("CRPS", &sums, |s| get(s, Sum::Crps) / (get(s, Sum::H2) * get(s, Sum::Conditions)).sqrt()));
    columns.extend(column("enstrophy", &sums, |s| get(s, Sum::Enstrophy) / get(s, Sum::EnstrophyData)));
    columns.extend(column("energy", &sums, |s| get(s, Sum::Energy) / get(s, Sum::EnergyData)));
    let w = test.w.index_axis(Axis(0), 0).mapv(f64::from);
    let costs: Vec<f64> = closures
        .iter()
        .map(|closure| milliseconds(closure, w.view(), config.data.burn_in, seeds))
        .collect::<Result<_>>()?;
    columns.push(Column::new("ms/draw".into(), costs));
    let conditions = spread(config.eval.conditions, test.per_trajectory).len();
    let caption = format!(
        "Closures against the stored term on {conditions} conditions of each of {} test trajectories, {} samples each; std and \
         CRPS relative to rms H; enstrophy and energy given to the resolved flow relative to the stored term's; ± jackknife \
         over trajectories.",
        test.trajectories, config.eval.samples
    );
    Table::new("offline", caption, columns)
}

/// The sums of one trajectory, by closure.
fn measure(
    config: &Config,
    test: &Pairs,
    trajectory: usize,
    closures: &[AnyClosure],
    seeds: &SeedTree,
) -> Result<Vec<Sums>> {
    let mut closures = closures.to_vec();
    let mut out = vec![[0.0; SUMS]; closures.len()];
    let seeds = seeds.child("offline");
    for snapshot in spread(config.eval.conditions, test.per_trajectory) {
        let index = trajectory * test.per_trajectory + snapshot;
        let w = test.w.index_axis(Axis(0), index).mapv(f64::from);
        let h = test.h.index_axis(Axis(0), index).mapv(f64::from);
        let t = config.data.burn_in + snapshot as f64 * config.data.interval;
        let given =
            |term: &Field| transfers(w.view(), term.view(), config.flow.length).map(|by| by.iter().sum::<f64>());
        let [enstrophy, energy] = given(&h);
        for (closure, sums) in closures.iter_mut().zip(&mut out) {
            let mut rng = seeds.child(index).child("sample").stream();
            let samples = draw(closure, w.view(), t, config.eval.samples, &mut rng)?;
            let m = samples.len() as f64;
            let average = samples.iter().fold(Array2::zeros(h.dim()), |sum, x| sum + x) / m;
            let mut add = |sum: Sum, value: f64| sums[sum as usize] += value;
            let [mean_enstrophy, mean_energy] = given(&average);
            add(Sum::Conditions, 1.0);
            add(Sum::H2, product(&h, &h));
            add(Sum::MseSingle, samples.iter().map(|x| d_mse(h.view(), x.view())).sum::<f64>() / m);
            add(Sum::ReSingle, samples.iter().map(|x| d_re(h.view(), x.view())).sum::<f64>() / m);
            add(Sum::MseMean, d_mse(h.view(), average.view()));
            add(Sum::ReMean, d_re(h.view(), average.view()));
            add(Sum::Cross, product(&h, &average));
            add(Sum::Mean2, product(&average, &average));
            add(Sum::Variance, samples.iter().map(|x| d_mse(average.view(), x.view())).sum::<f64>() / (m - 1.0));
            add(Sum::Crps, thinned_crps(&samples, &h));
            add(Sum::Enstrophy, mean_enstrophy);
            add(Sum::EnstrophyData, enstrophy);
            add(Sum::Energy, mean_energy);
            add(Sum::EnergyData, energy);
        }
    }
    Ok(out)
}

/// ⟨ab⟩ over the grid.
fn product(a: &Field, b: &Field) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>() / a.len() as f64
}

fn thinned_crps(samples: &[Field], h: &Field) -> f64 {
    let (mut values, mut sum, mut points) = (vec![0.0; samples.len()], 0.0, 0.0);
    for ((i, j), &h) in h.indexed_iter().filter(|((i, j), _)| i % THINNING == 0 && j % THINNING == 0) {
        values.iter_mut().zip(samples).for_each(|(value, sample)| *value = sample[(i, j)]);
        sum += crps(&mut values, h);
        points += 1.0;
    }
    sum / points
}
