//! Metric preservation.

use super::LatentTerm;

/// Mean over the samples i and their k nearest neighbours j within the batch of (‖z_i − z_j‖ − ‖x_i − x_j‖)²: latents lie as far
/// apart as the fields that they stand for, where these are close (arXiv 2602.17089, metric-preserving autoencoder; its code
/// has k = 5 and the weight 1e-2). Neighbours are those of the fields, distances 2-norms over all points, not normalised.
#[derive(Debug, Clone, Copy)]
pub(super) struct MetricPreservation {
    /// k; where a batch is smaller, all others.
    pub neighbours: usize,
}

fn distance(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum::<f64>().sqrt()
}

impl MetricPreservation {
    /// Pairs of a sample and a neighbour, with the distance of their fields.
    fn pairs(&self, x: &[&[f32]]) -> Vec<(usize, usize, f64)> {
        let mut pairs = Vec::new();
        for (i, at) in x.iter().enumerate() {
            let others = x.iter().enumerate().filter(|&(j, _)| j != i);
            let mut others: Vec<(usize, usize, f64)> = others.map(|(j, other)| (i, j, distance(at, other))).collect();
            others.sort_by(|a, b| a.2.total_cmp(&b.2));
            pairs.extend(others.into_iter().take(self.neighbours));
        }
        pairs
    }
}

impl LatentTerm for MetricPreservation {
    fn value(&self, z: &[f32], x: &[&[f32]]) -> f64 {
        let pairs = self.pairs(x);
        let latents: Vec<&[f32]> = z.chunks_exact(z.len() / x.len()).collect();
        let sum = pairs.iter().map(|&(i, j, wanted)| (distance(latents[i], latents[j]) - wanted).powi(2)).sum::<f64>();
        sum / pairs.len().max(1) as f64
    }

    fn gradient(&self, z: &[f32], x: &[&[f32]]) -> Vec<f32> {
        let (pairs, dims) = (self.pairs(x), z.len() / x.len());
        let mut gradient = vec![0.0; z.len()];
        for &(i, j, wanted) in &pairs {
            let (a, b) = (&z[i * dims..(i + 1) * dims], &z[j * dims..(j + 1) * dims]);
            let found = distance(a, b);
            if found == 0.0 {
                // No direction leads away; the others of the batch will.
                continue;
            }
            let slope = 2.0 * (found - wanted) / (found * pairs.len() as f64);
            for k in 0..dims {
                let part = slope * (f64::from(a[k]) - f64::from(b[k]));
                gradient[i * dims + k] += part;
                gradient[j * dims + k] -= part;
            }
        }
        gradient.into_iter().map(|g| g as f32).collect()
    }

    /// Mean over batches: among more samples the neighbours are nearer.
    fn validation(&self, z: &[f32], x: &[&[f32]], batch: usize) -> f64 {
        let dims = z.len() / x.len();
        let parts = z.chunks(batch * dims).zip(x.chunks(batch));
        parts.map(|(z, x)| x.len() as f64 * self.value(z, x)).sum::<f64>() / x.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::gradient_is_the_difference;
    use super::*;

    /// Rounding of f32 values and some tens of f64 operations.
    const ROUNDING: f64 = 1e-6;

    /// Seven points, neither isometric nor collapsed.
    fn cloud() -> (Vec<f32>, Vec<Vec<f32>>) {
        let number = |i: usize, scale: f32| scale * (((i * 37) % 23) as f32 / 11.0 - 1.0);
        let z = (0..14).map(|i| number(i, 0.8)).collect();
        (z, (0..7).map(|i| (0..5).map(|k| number(5 * i + k + 3, 1.3)).collect()).collect())
    }

    #[test]
    fn the_gradient_of_metric_preservation_is_its_finite_difference() {
        let (z, x) = cloud();
        let x: Vec<&[f32]> = x.iter().map(Vec::as_slice).collect();
        for neighbours in [1, 3, 20] {
            gradient_is_the_difference(&MetricPreservation { neighbours }, &z, &x);
        }
    }

    #[test]
    fn an_isometry_costs_nothing_and_a_collapse_the_square_of_the_nearest_distances() {
        // Three fields on a line, at 0, 1 and 3: nearest neighbours at 1, 1 and 2.
        let x = [[0.0, 0.0, 0.0], [0.6, 0.8, 0.0], [1.8, 2.4, 0.0]];
        let x: Vec<&[f32]> = x.iter().map(|x| x.as_slice()).collect();
        let term = MetricPreservation { neighbours: 1 };
        assert!(term.value(&[5.0, 4.0, 2.0], &x) < ROUNDING);
        let collapsed = [1.0; 3];
        assert!((term.value(&collapsed, &x) - (1.0 + 1.0 + 4.0) / 3.0).abs() < ROUNDING);
        assert_eq!(term.gradient(&collapsed, &x), [0.0; 3]);
        // Blocks of two: 0 and 1 are neighbours, 3 has none.
        assert!((term.validation(&collapsed, &x, 2) - 2.0 / 3.0).abs() < ROUNDING);
    }
}
