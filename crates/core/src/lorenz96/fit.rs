//! The closure of the literature, fitted to a trajectory.

use rand_distr::{Distribution, StandardNormal};

use super::{SiteLaw, Trajectory};
use crate::error::{Error, Result};
use crate::rng::Stream;

/// Degree of the polynomial (Arnold, Moroz & Palmer 2013, doi:10.1098/rsta.2011.0479).
const DEGREE: usize = 3;

/// U = P(X) + e with a cubic polynomial P, fitted by least squares, and a Gaussian residual e that is autoregressive of first order
/// with one standard deviation and one correlation for all X (Wilks 2005, doi:10.1256/qj.04.03), drawn at every step.
///
/// Beyond the X of its data P stays what it is at their ends.
#[derive(Debug, Clone, PartialEq)]
pub struct PolynomialAr1 {
    polynomial: Polynomial,
    std: f64,
    memory: f64,
}

impl PolynomialAr1 {
    /// Of the pairs (X, U) at the snapshots of a trajectory; their correlation from one to the next gives that of a step.
    ///
    /// # Errors
    /// [`Error::Config`] where there are too few snapshots, or U is a polynomial of X.
    pub fn fit(data: &Trajectory) -> Result<Self> {
        let (x, u): (Vec<f64>, Vec<f64>) = data.x.iter().zip(&data.u).map(|(x, u)| (*x, *u)).unzip();
        let polynomial = Polynomial::fit(&x, &u);
        let residual: Vec<f64> = x.iter().zip(&u).map(|(x, u)| u - polynomial.at(*x)).collect();
        // One snapshot later is one row later.
        let pairs = residual.iter().zip(&residual[data.x.ncols()..]);
        let (mut lagged, mut square) = (0.0, 0.0);
        for (now, later) in pairs {
            lagged += now * later;
            square += now * now;
        }
        let correlation = lagged / square;
        if !(correlation > 0.0 && correlation < 1.0) {
            let what = format!("{} snapshots give the correlation {correlation} of residuals", data.x.nrows());
            return Err(Error::config("trajectory", what));
        }
        let std = (residual.iter().map(|e| e * e).sum::<f64>() / residual.len() as f64).sqrt();
        Ok(Self { polynomial, std, memory: correlation.powf((data.every as f64).recip()) })
    }
}

impl SiteLaw for PolynomialAr1 {
    fn name(&self) -> String {
        "AR(1), fitted".into()
    }

    fn draw(&mut self, x: &[f64], memory: &[f64], rng: &mut Stream, u: &mut [f64]) {
        let fresh = self.std * (1.0 - self.memory * self.memory).sqrt();
        for ((u, &x), &residual) in u.iter_mut().zip(x).zip(memory) {
            let normal: f64 = StandardNormal.sample(rng);
            *u = self.polynomial.at(x) + self.memory * residual + fresh * normal;
        }
    }

    /// The residual.
    fn remember(&self, x: f64, u: f64) -> f64 {
        u - self.polynomial.at(x)
    }

    /// Seven memory times.
    fn forgets_after(&self) -> usize {
        (-7.0 / self.memory.ln()).ceil() as usize
    }
}

/// Σ c_j p_j(x) with polynomials p_j that are orthogonal on the data, p_{j+1} = (x − a_j) p_j − b_j p_{j−1} (Forsythe 1957,
/// doi:10.1137/0105007): a least-squares fit without a system of equations.
#[derive(Debug, Clone, PartialEq)]
struct Polynomial {
    /// (a_j, b_j, c_j).
    terms: [[f64; 3]; DEGREE + 1],
    range: [f64; 2],
}

impl Polynomial {
    fn fit(x: &[f64], y: &[f64]) -> Self {
        let (mut before, mut now) = (vec![0.0; x.len()], vec![1.0; x.len()]);
        let (mut terms, mut norm_before) = ([[0.0; 3]; DEGREE + 1], f64::INFINITY);
        for term in &mut terms {
            let product = |f: &dyn Fn(usize) -> f64| (0..x.len()).map(|i| now[i] * f(i)).sum::<f64>();
            let norm = product(&|i| now[i]);
            let (a, b, c) = (product(&|i| x[i] * now[i]) / norm, norm / norm_before, product(&|i| y[i]) / norm);
            *term = [a, b, c];
            norm_before = norm;
            for i in 0..x.len() {
                let next = (x[i] - a) * now[i] - b * before[i];
                (before[i], now[i]) = (now[i], next);
            }
        }
        let ends = x.iter().fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], x| [low.min(*x), high.max(*x)]);
        Self { terms, range: ends }
    }

    fn at(&self, x: f64) -> f64 {
        // Not `clamp`, which panics where there were no data.
        let x = x.max(self.range[0]).min(self.range[1]);
        let (mut before, mut now, mut sum) = (0.0, 1.0, 0.0);
        for [a, b, c] in self.terms {
            sum += c * now;
            (before, now) = (now, (x - a) * now - b * before);
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cubic_is_found_and_goes_on_flat() {
        /// Round-off of some hundred terms of order a hundred.
        const ROUND_OFF: f64 = 1e-10;
        let cubic = |x: f64| 1.0 - 2.0 * x + 0.5 * x * x - 0.1 * x.powi(3);
        let x: Vec<f64> = (0..200).map(|i| -4.0 + 0.05 * f64::from(i) + 0.3 * f64::from(i).sin()).collect();
        let y: Vec<f64> = x.iter().map(|x| cubic(*x)).collect();
        let found = Polynomial::fit(&x, &y);
        for x in [-3.0, 0.0, 2.5, 5.0] {
            assert!((found.at(x) - cubic(x)).abs() < ROUND_OFF, "{x}: {} {}", found.at(x), cubic(x));
        }
        assert_eq!(found.at(1e6), found.at(found.range[1]));
    }
}
