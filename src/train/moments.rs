//! First and second moments over samples.

/// Mean and biased variance of each dimension.
pub(super) fn moments(values: &[f32], dims: usize) -> (Vec<f64>, Vec<f64>) {
    let samples = (values.len() / dims.max(1)).max(1) as f64;
    let mut means = vec![0.0; dims];
    values.iter().enumerate().for_each(|(i, &z)| means[i % dims] += f64::from(z) / samples);
    let mut variance = vec![0.0; dims];
    values
        .iter()
        .enumerate()
        .for_each(|(i, &z)| variance[i % dims] += (f64::from(z) - means[i % dims]).powi(2) / samples);
    (means, variance)
}
