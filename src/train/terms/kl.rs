//! The published KL term.

use super::LatentTerm;
use crate::train::moments::moments;

/// Keeps ln finite for a dimension without variance, as published.
const KL_EPSILON: f64 = 1e-8;

/// Mean over dimensions of ½(v + m² − 1 − ln(v + 1e-8)), m and (biased) v mean and variance of a dimension over the samples: the
/// divergence of independent Gaussians from N(0, 1) (arXiv 2506.20771, joint training).
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Kl;

/// The divergence of one dimension.
pub(in super::super) fn kl_of_dimension(mean: f64, variance: f64) -> f64 {
    0.5 * (variance + mean * mean - 1.0 - (variance + KL_EPSILON).ln())
}

impl LatentTerm for Kl {
    fn value(&self, z: &[f32], x: &[&[f32]]) -> f64 {
        let dims = z.len() / x.len();
        let (means, variance) = moments(z, dims);
        means.iter().zip(&variance).map(|(&m, &v)| kl_of_dimension(m, v)).sum::<f64>() / dims as f64
    }

    /// (m + (z − m)(1 − 1/(v + ε)))/(dims · samples), since mean and variance of a dimension are functions of all samples.
    fn gradient(&self, z: &[f32], x: &[&[f32]]) -> Vec<f32> {
        let dims = z.len() / x.len();
        let (means, variance) = moments(z, dims);
        let slope = |(i, &value): (usize, &f32)| {
            let (m, v) = (means[i % dims], variance[i % dims]);
            ((m + (f64::from(value) - m) * (1.0 - 1.0 / (v + KL_EPSILON))) / z.len() as f64) as f32
        };
        z.iter().enumerate().map(slope).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::gradient_is_the_difference;
    use super::*;
    use crate::train::LatentDiagnostics;

    /// Rounding of some tens of f64 operations.
    const ROUNDING: f64 = 1e-12;

    #[test]
    fn the_gradient_of_the_kl_term_is_its_finite_difference() {
        let values: Vec<f32> = (0..20).map(|i| ((i * 7) % 11) as f32 * 0.3 - 1.2).collect();
        let x = [[].as_slice(); 5];
        assert!((Kl.value(&values, &x) - LatentDiagnostics::new(&values, 4).kl).abs() < ROUNDING);
        gradient_is_the_difference(&Kl, &values, &x);
    }
}
