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

/// The score of `draws` (pairs × [`DRAWS`], n, n), those of a pair one after the other, for the `truth`, as often: summed over pairs,
/// and n² times its mean over the points of a field. For the logarithmic score the draws of a pair are its mean and ln s.
pub(super) fn proper_score(score: ProperScore, draws: Tensor<3>, truth: Tensor<3>) -> Tensor<1> {
    let [all, n, _] = draws.dims();
    let halves = |of: Tensor<3>| -> [Tensor<3>; DRAWS] {
        [0, 1].map(|at| of.clone().reshape([all / DRAWS, DRAWS, n, n]).narrow(1, at, 1).squeeze_dim::<3>(1))
    };
    let [first, second] = halves(draws.clone());
    if score == ProperScore::Log {
        let [truth, _] = halves(truth);
        return (((truth - first) / second.clone().exp()).square() * 0.5 + second).sum();
    }
    let (difference, errors) = (distance(score, first - second), draws - truth);
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
        ProperScore::Log => unreachable!("a density, no distance"),
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
                ProperScore::SpectralCrps | ProperScore::Log => unreachable!("not here"),
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
            let found = values(proper_score(score, draws, truth))[0];
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
        values(proper_score(score, draws, truth))[0] / (pairs * n * n) as f32
    }

    #[test]
    fn the_logarithmic_score_is_best_at_mean_and_spread_of_the_truth() {
        let (n, pairs, mean, std) = (4, 4000, 0.4_f32, 0.7_f32);
        let mut rng = SeedTree::new(4).stream();
        let mut truth = Vec::new();
        for _ in 0..pairs {
            let mut value = || -> f32 { mean + std * Distribution::<f32>::sample(&StandardNormal, &mut rng) };
            let z: Vec<f32> = (0..n * n).map(|_| value()).collect();
            truth.extend([z.clone(), z].concat());
        }
        let score = |mean: f32, std: f32| {
            let one = [vec![mean; n * n], vec![std.ln(); n * n]].concat();
            let [draws, truth] = [one.repeat(pairs), truth.clone()].map(|fields| tensor3(fields, n, &Device::flex()));
            values(proper_score(ProperScore::Log, draws, truth))[0] / (pairs * n * n) as f32
        };
        let best = score(mean, std);
        // ½ + ln s, up to the scatter of 64,000 values.
        assert!((best - (0.5 + std.ln())).abs() < 0.01, "{best}");
        for (shift, factor) in [(0.1, 1.0), (-0.1, 1.0), (0.0, 0.9), (0.0, 1.1)] {
            let wrong = score(mean + shift, factor * std);
            assert!(wrong > best + 0.005, "{shift} {factor}: {wrong}, right {best}");
        }
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
