//! How well a latent space is used: variance per dimension, effective rank, active units, and the KL term.

use serde::{Deserialize, Serialize};

use super::moments::moments;
use super::terms::kl_of_dimension;
use crate::latent::ACTIVE;

/// Latents are collapsed when their effective rank is below this share of that of the fields they stand for …
const RANK_SHARE: f64 = 0.25;
/// … or when fewer than this share of their units is active.
const ACTIVE_SHARE: f64 = 0.1;
/// Unnormalised latents are too small for noise levels made for unit variance when their standard deviation is below this.
const SHRUNK: f64 = 0.1;

/// Statistics of latents over a set of samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LatentDiagnostics {
    /// Mean over samples and dimensions.
    pub mean: f64,
    /// Standard deviation over samples and dimensions.
    pub std: f64,
    /// Variance of each dimension over the samples (biased).
    pub variance: Vec<f64>,
    /// (tr C)²/tr C² of their covariance C: the number of directions if all carried the same variance.
    pub rank: f64,
    /// Dimensions with more than a hundredth of the mean variance.
    pub active: usize,
    /// Mean over dimensions of ½(v + m² − 1 − ln(v + 1e-8)), m and v mean and variance of a dimension: the published KL term.
    pub kl: f64,
}

impl LatentDiagnostics {
    /// Of samples of `dims` values each, one after the other.
    pub fn new(values: &[f32], dims: usize) -> Self {
        let samples = (values.len() / dims.max(1)).max(1);
        let (means, variance) = moments(values, dims);
        let kl = means.iter().zip(&variance).map(|(&m, &v)| kl_of_dimension(m, v)).sum::<f64>() / dims as f64;
        let mean = means.iter().sum::<f64>() / dims as f64;
        let square = values.iter().map(|&z| f64::from(z).powi(2)).sum::<f64>() / values.len().max(1) as f64;
        let centred: Vec<f64> = values.iter().enumerate().map(|(i, &z)| f64::from(z) - means[i % dims]).collect();
        let trace: f64 = variance.iter().sum();
        let rank = if trace > 0.0 { trace * trace / square_of_covariance(&centred, dims, samples) } else { 0.0 };
        let threshold = ACTIVE * trace / dims as f64;
        let active = variance.iter().filter(|&&v| v > threshold).count();
        Self { mean, std: (square - mean * mean).max(0.0).sqrt(), variance, rank, active, kl }
    }

    /// Says so if the latents are collapsed, given the effective rank of the fields they stand for; and if they are too small
    /// for the noise levels, unless they are `normalised` before noise is added.
    pub fn warning(&self, name: &str, rank_of_fields: f64, normalised: bool) -> Option<String> {
        let dims = self.variance.len();
        let mut found = Vec::new();
        if self.rank < RANK_SHARE * rank_of_fields.min(dims as f64) {
            found.push(format!("effective rank {:.1}, that of the fields is {rank_of_fields:.1}", self.rank));
        }
        if (self.active as f64) < ACTIVE_SHARE * dims as f64 {
            found.push(format!("{} of {dims} units active", self.active));
        }
        let mut text = (!found.is_empty()).then(|| format!("{name} latents collapsed: {}", found.join("; ")));
        if !normalised && self.std < SHRUNK {
            let shrunk = format!("{name} latents shrunk to std {:.3}, the noise levels are made for one", self.std);
            text = Some(text.map_or(shrunk.clone(), |text| format!("{text}; {shrunk}")));
        }
        text
    }
}

/// tr C² of C = ZᵀZ/samples, from the smaller of the two Gram matrices.
fn square_of_covariance(centred: &[f64], dims: usize, samples: usize) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let rows: Vec<Vec<f64>> = if samples <= dims {
        centred.chunks_exact(dims).map(<[f64]>::to_vec).collect()
    } else {
        (0..dims).map(|j| centred.iter().skip(j).step_by(dims).copied().collect()).collect()
    };
    let mut total = 0.0;
    for (i, a) in rows.iter().enumerate() {
        total += dot(a, a).powi(2) + 2.0 * rows[..i].iter().map(|b| dot(a, b).powi(2)).sum::<f64>();
    }
    (total / (samples as f64).powi(2)).max(f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_diagnostics_of_a_known_cloud() {
        // Two uncorrelated dimensions of variance 4 and 1, one constant: rank (4 + 1)²/(16 + 1).
        let cloud = [2.0, 1.0, 3.0, -2.0, 1.0, 3.0, 2.0, -1.0, 3.0, -2.0, -1.0, 3.0];
        let latents = LatentDiagnostics::new(&cloud, 3);
        assert_eq!(latents.variance, [4.0, 1.0, 0.0]);
        assert!((latents.rank - 25.0 / 17.0).abs() < 1e-12);
        assert_eq!(latents.active, 2);
        let kl = (kl_of_dimension(0.0, 4.0) + kl_of_dimension(0.0, 1.0) + kl_of_dimension(3.0, 0.0)) / 3.0;
        assert!((latents.kl - kl).abs() < 1e-12);
        // The same, by the other Gram matrix.
        let twice = [cloud, cloud].concat();
        assert!((LatentDiagnostics::new(&twice, 3).rank - latents.rank).abs() < 1e-12);
        let line = LatentDiagnostics { rank: 0.5, active: 0, ..latents.clone() };
        let warning = line.warning("H", 3.0, true).unwrap();
        assert!(warning.contains("effective rank 0.5") && warning.contains("0 of 3 units"), "{warning}");
        assert_eq!(latents.warning("H", 3.0, true), None);
        let small: Vec<f32> = cloud.iter().map(|z| (z - 3.0) * 0.01).collect();
        assert!(LatentDiagnostics::new(&small, 3).warning("H", 3.0, false).unwrap().contains("shrunk to std 0.0"));
    }
}
