//! All states of a few cells at once.

/// Sums over b ∈ {0, 1}^m with weights exp(l·b − ½ bᵀQb): 2^m of them, in a few passes of additions and one of exponentials.
#[derive(Debug, Clone, Default)]
pub(super) struct States {
    weights: Vec<f64>,
    field: Vec<f64>,
}

impl States {
    /// ln Σ_b exp(l·b − ½ bᵀQb), and the mean of b under these weights into `means`; Q is symmetric.
    pub fn sum(&mut self, linear: &[f64], coupling: impl Fn(usize, usize) -> f64, means: &mut Vec<f64>) -> f64 {
        let all = 1 << linear.len();
        self.weights.resize(all, 0.0);
        self.field.resize(all, 0.0);
        let (energy, field) = (&mut self.weights, &mut self.field);
        energy[0] = 0.0;
        // States that hold cell c are those below it, shifted: their energy changes by what c has alone and with each of them.
        for (c, linear) in linear.iter().enumerate() {
            field[0] = linear - 0.5 * coupling(c, c);
            for d in 0..c {
                let (of, (without, with)) = (coupling(c, d), field.split_at_mut(1 << d));
                with[..1 << d].iter_mut().zip(without).for_each(|(with, without)| *with = *without - of);
            }
            let (without, with) = energy.split_at_mut(1 << c);
            for ((with, without), field) in with.iter_mut().zip(without).zip(field.iter()) {
                *with = *without + field;
            }
        }
        let top = energy.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        energy.iter_mut().for_each(|energy| *energy = (*energy - top).exp());
        means.clear();
        means.resize(linear.len(), 0.0);
        for c in (0..linear.len()).rev() {
            let (without, with) = energy[..2 << c].split_at_mut(1 << c);
            means[c] = with.iter().sum();
            without.iter_mut().zip(with).for_each(|(without, with)| *without += *with);
        }
        let total = energy[0];
        means.iter_mut().for_each(|mean| *mean /= total);
        top + total.ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Round-off of 2^5 terms.
    const ROUNDING: f64 = 1e-12;

    #[test]
    fn sums_are_those_of_all_states_one_by_one() {
        let linear = [0.3, -1.2, 2.0, 0.1, -0.4];
        let coupling = |c: usize, d: usize| if c == d { 1.5 } else { 0.7 / (1.0 + c.abs_diff(d) as f64) };
        let (mut total, mut of) = (0.0, [0.0; 5]);
        for state in 0..32_usize {
            let b: Vec<f64> = (0..5).map(|c| (state >> c & 1) as f64).collect();
            let pairs = (0..5).flat_map(|c| (0..5).map(move |d| (c, d)));
            let energy = b.iter().zip(linear).map(|(b, l)| b * l).sum::<f64>()
                - 0.5 * pairs.map(|(c, d)| b[c] * b[d] * coupling(c, d)).sum::<f64>();
            total += energy.exp();
            of.iter_mut().zip(&b).for_each(|(of, b)| *of += b * energy.exp());
        }
        let (mut states, mut means) = (States::default(), Vec::new());
        assert!((states.sum(&linear, coupling, &mut means) - total.ln()).abs() < ROUNDING);
        assert!(means.iter().zip(of).all(|(mean, of)| (mean - of / total).abs() < ROUNDING), "{means:?}");
    }
}
