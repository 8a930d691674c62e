//! Where the error of a learned conditional mean comes from, shell by shell.

use ndarray::{Array2, s};
use polars::prelude::Column;

use super::table::Table;
use crate::closure::{AnyClosure, Closure, ExactLaw};
use crate::config::FlowConfig;
use crate::data::Pairs;
use crate::error::{Error, Result};
use crate::latent::Space;
use crate::spectral::{Field, shell_spectrum};

/// Most pairs of the test set, and of the training set, of which there are more since covariances scatter.
const CONDITIONS: [usize; 2] = [80, 400];

/// Spectra by shell 0 … N/2 over the mean square of the exact conditional mean m(ω): summed over shells they are squares of errors
/// relative to its rms.
///
/// With f the learned mean, f − m is what `test` and `training` hold, on pairs of either set. Three causes can be told apart where m
/// is known:
///
/// - *truncation*: m less what the latent space gives back of it;
/// - *estimation*: what f has of the noise ε = H − m of the pairs that it was learned from, ⟨ε (f − m)⟩ on these, which for a linear
///   fit is the variance of f under other noise, and for any the optimism of its training loss (Efron 1986). None where a closure learned
///   from pairs that are not stored;
/// - the rest of `training`: what architecture and optimiser have not reached.
#[derive(Debug, Clone)]
pub struct BiasSpectra {
    /// m itself.
    pub mean: Vec<f64>,
    /// Closure by closure.
    pub rows: Vec<BiasSpectrum>,
}

/// Of one closure, see [`BiasSpectra`].
#[derive(Debug, Clone)]
pub struct BiasSpectrum {
    /// The closure.
    pub closure: String,
    /// What its latent space cannot hold of m.
    pub truncation: Vec<f64>,
    /// Its error on training pairs.
    pub training: Vec<f64>,
    /// What of that is the noise of these pairs; of either sign where there is none of it.
    pub estimation: Vec<f64>,
    /// Its error on test pairs.
    pub test: Vec<f64>,
}

/// Sums of spectra.
struct Sum(Vec<f64>);

impl Sum {
    fn new(n: usize) -> Self {
        Self(vec![0.0; n / 2 + 1])
    }

    fn add(&mut self, factor: f64, field: &Field) {
        self.0.iter_mut().zip(shell_spectrum(field.view())).for_each(|(sum, value)| *sum += factor * value);
    }

    fn over(self, total: f64) -> Vec<f64> {
        self.0.into_iter().map(|sum| sum / total).collect()
    }
}

/// Errors of the means of closures, each with its latent space, in the flow `flow`.
///
/// # Errors
/// Impossible values; a closure without a mean.
pub fn bias_spectra(
    flow: &FlowConfig,
    [training, test]: [&Pairs; 2],
    closures: &mut [(String, AnyClosure, Space)],
) -> Result<BiasSpectra> {
    let n = test.w.dim().1;
    let mut law = ExactLaw::new(flow, n)?;
    let zero = || Array2::zeros((n, n));
    // ω, H and m.
    let mut chosen = |pairs: &Pairs, most: usize| -> Result<Vec<[Field; 3]>> {
        let of = |k: usize| {
            let [w, h] = [&pairs.w, &pairs.h].map(|all| all.slice(s![k, .., ..]).mapv(f64::from));
            let mut mean = zero();
            law.mean(w.view(), 0.0, mean.view_mut())?;
            Ok([w, h, mean])
        };
        let count = pairs.w.dim().0;
        (0..count).step_by(count.div_ceil(most).max(1)).map(of).collect()
    };
    let (test, training) = (chosen(test, CONDITIONS[0])?, chosen(training, CONDITIONS[1])?);
    let mut mean = Sum::new(n);
    test.iter().for_each(|[.., m]| mean.add(1.0, m));
    // Sums over pairs of either set, over the mean square of m.
    let square = mean.0.iter().sum::<f64>() / test.len() as f64;
    let [of_test, of_training] = [&test, &training].map(|pairs| square * pairs.len() as f64);
    let mut rows = Vec::new();
    for (name, closure, space) in closures {
        let mut error = |w: &Field, m: &Field| -> Result<Field> {
            let mut f = zero();
            if !closure.mean(w.view(), 0.0, f.view_mut())? {
                return Err(Error::config("closure", format!("{name} has no conditional mean of its own")));
            }
            Ok(f - m)
        };
        let [mut truncation, mut on_test, mut on_training, mut covariance] = [(); 4].map(|()| Sum::new(n));
        let mut z = vec![0.0; space.latent_n().pow(2)];
        for [w, _, m] in &test {
            on_test.add(1.0, &error(w, m)?);
            let mut back = zero();
            space.encode_h(&m.view(), &mut z)?;
            space.decode_h(&z, back.view_mut())?;
            truncation.add(1.0, &(back - m));
        }
        for [w, h, m] in &training {
            let (error, noise) = (error(w, m)?, h - m);
            on_training.add(1.0, &error);
            // ⟨a b⟩ = (⟨(a + b)²⟩ − ⟨(a − b)²⟩)/4, of spectra that hold half of squares.
            covariance.add(0.25, &(&error + &noise));
            covariance.add(-0.25, &(&error - &noise));
        }
        rows.push(BiasSpectrum {
            closure: name.clone(),
            truncation: truncation.over(of_test),
            training: on_training.over(of_training),
            estimation: covariance.over(of_training),
            test: on_test.over(of_test),
        });
    }
    Ok(BiasSpectra { mean: mean.over(of_test), rows })
}

impl BiasSpectra {
    /// The name of its table.
    pub const NAME: &'static str = "bias-spectra";

    /// As a table.
    ///
    /// # Errors
    /// None in practice.
    pub fn table(&self) -> Result<Table> {
        let all = || self.rows.iter().flat_map(|row| (0..self.mean.len()).map(move |shell| (row, shell)));
        let column = |title: &str, of: &dyn Fn(&BiasSpectrum, usize) -> f64| {
            Column::new(title.into(), all().map(|(row, shell)| of(row, shell)).collect::<Vec<_>>())
        };
        let caption = "Squared error of conditional means by shell, over the mean square of the exact one: on test pairs and on those \
                       learned from; what of it the latent space cannot hold, and what of it is the noise of the pairs learned from, as \
                       far as these are stored.";
        Table::new(
            Self::NAME,
            caption,
            vec![
                Column::new("closure".into(), all().map(|(row, _)| row.closure.as_str()).collect::<Vec<_>>()),
                Column::new("shell".into(), all().map(|(_, shell)| shell as i64).collect::<Vec<_>>()),
                column("exact mean", &|_, shell| self.mean[shell]),
                column("test error", &|row, shell| row.test[shell]),
                column("training error", &|row, shell| row.training[shell]),
                column("truncation", &|row, shell| row.truncation[shell]),
                column("estimation", &|row, shell| row.estimation[shell]),
            ],
        )
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, ArrayView2, ArrayViewMut2, Axis};
    use rand_distr::{Distribution, StandardNormal};

    use super::*;
    use crate::config::LatentConfig;
    use crate::flow::initial_vorticity;
    use crate::rng::{SeedTree, Stream};

    const N: usize = 16;
    /// Round-off of f32 fields and spectral truncation.
    const SINGLE: f64 = 1e-5;

    fn flow() -> FlowConfig {
        FlowConfig { n: N, ..FlowConfig::default() }
    }

    /// Pairs of the exact mean and noise of standard deviation `noise`.
    fn pairs(count: usize, name: &str, noise: f64) -> Pairs {
        let mut law = ExactLaw::new(&flow(), N).unwrap();
        let (mut w, mut h) = (Array3::zeros((count, N, N)), Array3::zeros((count, N, N)));
        for (i, (mut w, mut h)) in w.axis_iter_mut(Axis(0)).zip(h.axis_iter_mut(Axis(0))).enumerate() {
            let seeds = SeedTree::new(2).child(name).child(i);
            let field = initial_vorticity(&flow(), &seeds).unwrap().mapv(|x| f64::from(x as f32));
            let (mut mean, mut rng) = (Array2::zeros((N, N)), seeds.child("noise").stream());
            law.mean(field.view(), 0.0, mean.view_mut()).unwrap();
            let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
            w.assign(&field.mapv(|x| x as f32));
            h.assign(&mean.mapv(|x| (x + noise * normal()) as f32));
        }
        Pairs { w, h, trajectories: count, per_trajectory: 1 }
    }

    /// The exact mean, `much` of it too much, and on known pairs a `share` of their noise.
    #[derive(Clone)]
    struct Learned {
        law: ExactLaw,
        known: Pairs,
        share: f64,
        much: f64,
    }

    impl Closure for Learned {
        fn name(&self) -> String {
            "learned".into()
        }

        fn sample(&mut self, w: ArrayView2<f64>, t: f64, _: &mut Stream, h: ArrayViewMut2<f64>) -> Result<()> {
            self.mean(w, t, h).map(drop)
        }

        fn mean(&mut self, w: ArrayView2<f64>, t: f64, mut h: ArrayViewMut2<f64>) -> Result<bool> {
            self.law.mean(w, t, h.view_mut())?;
            let exact = h.to_owned();
            h *= 1.0 + self.much;
            let Pairs { w: all, h: terms, .. } = &self.known;
            let same = |k: &usize| all.index_axis(Axis(0), *k).iter().zip(&w).all(|(a, b)| f64::from(*a) == *b);
            if let Some(k) = (0..all.dim().0).find(same) {
                h += &((terms.index_axis(Axis(0), k).mapv(f64::from) - exact) * self.share);
            }
            Ok(true)
        }
    }

    #[test]
    fn causes_of_an_error_that_is_put_in_are_found() {
        let (training, test) = (pairs(30, "training", 0.1), pairs(20, "test", 0.1));
        let (known, share, much) = (training.clone(), 0.2, 0.1);
        let learned = AnyClosure::new(Learned { law: ExactLaw::new(&flow(), N).unwrap(), known, share, much });
        let space = || Space::fixed(&LatentConfig::Spectral { n: 8 }, N, (1.0, 1.0)).unwrap();
        let found = bias_spectra(&flow(), [&training, &test], &mut [("learned".into(), learned, space())]).unwrap();
        let row = &found.rows[0];
        let total = |spectrum: &[f64]| spectrum.iter().sum::<f64>();
        assert!((total(&found.mean) - 1.0).abs() < SINGLE);
        assert!((total(&row.test) - much * much).abs() < SINGLE, "{}", total(&row.test));
        // The noise of the training pairs in the units of the table, of the shells that it has.
        let mut law = ExactLaw::new(&flow(), N).unwrap();
        let mut per_pair = |pairs: &Pairs, noise: bool| {
            let all = pairs.w.axis_iter(Axis(0)).zip(pairs.h.axis_iter(Axis(0)));
            let of = all.map(|(w, h)| {
                let mut mean = Array2::zeros((N, N));
                law.mean(w.mapv(f64::from).view(), 0.0, mean.view_mut()).unwrap();
                total(&shell_spectrum(if noise { h.mapv(f64::from) - mean } else { mean }.view()))
            });
            of.sum::<f64>() / pairs.w.dim().0 as f64
        };
        let noise = per_pair(&training, true) / per_pair(&test, false);
        // The product of the noise of 30 fields of 256 values with a tenth of the mean scatters.
        assert!((total(&row.estimation) / (share * noise) - 1.0).abs() < 0.05, "{}", total(&row.estimation));
        let of_mean = much * much * per_pair(&training, false) / per_pair(&test, false);
        assert!((total(&row.training) / (share * share * noise + of_mean) - 1.0).abs() < 0.1);
        // A latent of 8² holds |n| ≤ 3 of the modes.
        let (inside, beyond) = row.truncation.split_at(3);
        let lost: f64 = beyond[2..].iter().zip(&found.mean[5..]).map(|(lost, mean)| (lost - mean).abs()).sum();
        assert!(total(inside) < SINGLE && total(beyond) > 1e-3 && lost < SINGLE, "{:?}", row.truncation);
        assert_eq!(found.table().unwrap().rows(), N / 2 + 1);
    }
}
