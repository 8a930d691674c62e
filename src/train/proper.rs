//! Losses of generators: proper scores of two draws against the truth ([`ProperScore`] has the equation).

use burn::tensor::{Device, Tensor, TensorData};

use crate::config::ProperScore;

/// Draws of a pair.
pub(super) const DRAWS: usize = 2;
/// α of the almost fair scores. With c = 1 − (1 − α)/2 the best Gaussian spread for a Gaussian truth is c/√(2 − c²) of it: 0.952
/// with the 0.95 of the literature (which has more draws), 0.990 here.
const ALPHA: f64 = 0.99;
/// Added to squared norms, whose root has no gradient at zero: far below the round-off of norms of order one.
const TINY: f64 = 1e-12;

/// The score of draws whose differences from the truth are `errors` (pairs × [`DRAWS`], n, n), those of a pair one after the other:
/// summed over pairs, and n² times its mean over the points of a field.
pub(super) fn proper_score(score: ProperScore, errors: Tensor<3>) -> Tensor<1> {
    let [all, n, _] = errors.dims();
    let [first, second] = [0, 1].map(|at| -> Tensor<3> {
        errors.clone().reshape([all / DRAWS, DRAWS, n, n]).narrow(1, at, 1).squeeze_dim::<3>(1)
    });
    let difference = distance(score, first - second);
    distance(score, errors) * 0.5 - difference * (0.5 * (1.0 - (1.0 - ALPHA) / DRAWS as f64))
}

/// d of differences (pairs, n, n), summed over pairs.
fn distance(score: ProperScore, difference: Tensor<3>) -> Tensor<1> {
    let [_, n, _] = difference.dims();
    match score {
        ProperScore::Crps => difference.abs().sum(),
        ProperScore::SpectralCrps => {
            let basis = fourier(n, &difference.device());
            let modes = basis.clone().matmul(difference.clone()).matmul(basis.swap_dims(1, 2));
            (difference.abs().sum() + modes.abs().sum()) * 0.5
        }
        // The norm of a field of unit differences is n: in units of the sums over n² points that others are.
        ProperScore::Energy => {
            let squares: Tensor<1> = difference.square().sum_dim(2).sum_dim(1).reshape([-1]);
            (squares + TINY).sqrt().sum() * n as f64
        }
    }
}

/// The orthonormal basis of cosines and sines of n points as the rows of a matrix, (1, n, n).
fn fourier(n: usize, device: &Device) -> Tensor<3> {
    let entry = |at: usize| {
        let (row, j) = (at / n, at % n);
        let (wavenumber, points) = (row.div_ceil(2), n as f64);
        let angle = std::f64::consts::TAU * ((wavenumber * j) % n) as f64 / points;
        let wave = if row % 2 == 1 { angle.cos() } else { angle.sin() };
        match row {
            0 => points.recip().sqrt(),
            _ if row == n - 1 && n.is_multiple_of(2) => angle.cos() / points.sqrt(),
            _ => wave * (2.0 / points).sqrt(),
        }
    };
    let values: Vec<f32> = (0..n * n).map(|at| entry(at) as f32).collect();
    Tensor::from_data(TensorData::new(values, [1, n, n]), device)
}

#[cfg(test)]
mod tests {
    use rand_distr::{Distribution, StandardNormal};

    use super::*;
    use crate::nn::values;
    use crate::rng::SeedTree;
    use crate::train::batches::tensor3;

    /// Rounding of f32 sums over a few hundred values.
    const ROUNDING: f32 = 1e-5;
    const SCORES: [ProperScore; 3] = [ProperScore::Crps, ProperScore::SpectralCrps, ProperScore::Energy];

    #[test]
    fn the_fourier_basis_is_orthonormal() {
        for n in [4, 8, 12] {
            let basis = fourier(n, &Device::flex());
            let product = values(basis.clone().matmul(basis.swap_dims(1, 2)));
            for (at, value) in product.iter().enumerate() {
                let expected = if at / n == at % n { 1.0 } else { 0.0 };
                assert!((value - expected).abs() < ROUNDING, "{n}: {at} {value}");
            }
        }
    }

    #[test]
    fn scores_are_those_of_their_definition() {
        let (n, device) = (4, Device::flex());
        let draws: Vec<f32> = (0..4 * 16).map(|i| (0.7 * i as f32).sin()).collect();
        let truth: Vec<f32> = (0..4 * 16).map(|i| (0.3 * (i / 32 * 32 + i % 16) as f32).cos()).collect();
        let field = |from: &[f32], at: usize| from[at * 16..(at + 1) * 16].to_vec();
        let d = |score: ProperScore, a: &[f32], b: &[f32]| -> f32 {
            let differences = a.iter().zip(b).map(|(a, b)| a - b);
            match score {
                ProperScore::Crps => differences.map(f32::abs).sum(),
                ProperScore::Energy => 4.0 * differences.map(|x| x * x).sum::<f32>().sqrt(),
                ProperScore::SpectralCrps => unreachable!("not here"),
            }
        };
        for score in [ProperScore::Crps, ProperScore::Energy] {
            let expected: f32 = (0..2)
                .map(|pair| {
                    let (x, y) = (field(&draws, 2 * pair), field(&draws, 2 * pair + 1));
                    let z = field(&truth, 2 * pair);
                    0.5 * (d(score, &x, &z) + d(score, &y, &z)) - 0.5 * 0.995 * d(score, &x, &y)
                })
                .sum();
            let [draws, truth] = [&draws, &truth].map(|fields| tensor3(fields.clone(), n, &device));
            let found = values(proper_score(score, draws - truth))[0];
            assert!((found / expected - 1.0).abs() < ROUNDING, "{score:?}: {found} {expected}");
        }
    }

    /// The mean score over many truths from N(0, 1) of draws from N(shift, std²) with neighbours of correlation ρ.
    fn mean_score(score: ProperScore, shift: f32, std: f32, correlation: f32) -> f32 {
        let (n, pairs) = (4, 4000);
        let mut rng = SeedTree::new(3).stream();
        let mut field = |shift: f32, std: f32, correlation: f32| -> Vec<f32> {
            let common: f32 = StandardNormal.sample(&mut rng);
            let mut value = || -> f32 {
                let own: f32 = StandardNormal.sample(&mut rng);
                correlation.sqrt() * common + (1.0 - correlation).sqrt() * own
            };
            (0..n * n).map(|_| shift + std * value()).collect()
        };
        let (mut draws, mut truth) = (Vec::new(), Vec::new());
        for _ in 0..pairs {
            let z = field(0.0, 1.0, 0.0);
            truth.extend([z.clone(), z].concat());
            draws.extend((0..DRAWS).flat_map(|_| field(shift, std, correlation)));
        }
        let [draws, truth] = [draws, truth].map(|fields| tensor3(fields, n, &Device::flex()));
        values(proper_score(score, draws - truth))[0] / (pairs * n * n) as f32
    }

    #[test]
    fn the_truth_scores_best_and_correlations_are_seen_by_the_scores_that_can() {
        for score in SCORES {
            let right = mean_score(score, 0.0, 1.0, 0.0);
            for (shift, std) in [(0.3, 1.0), (0.0, 0.6), (0.0, 1.5)] {
                let wrong = mean_score(score, shift, std, 0.0);
                assert!(wrong > 1.02 * right, "{score:?} ({shift}, {std}): {wrong}, right {right}");
            }
            let correlated = mean_score(score, 0.0, 1.0, 0.5);
            let seen = correlated > 1.02 * right;
            assert_eq!(seen, score != ProperScore::Crps, "{score:?}: {correlated}, right {right}");
        }
    }
}
