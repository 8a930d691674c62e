//! The second-order translation-equivariant closure, described.

use serde::{Deserialize, Serialize};

use super::{Init, Param};
use crate::config::limits::{GRID, WEIGHTS, product, within};
use crate::error::Result;

/// A wavenumber (n_x, n_y).
pub type Wavenumber = [i32; 2];

/// Linear and quadratic terms of a Volterra series, mode by mode:
///
/// ```text
/// Ĥ_k = a_k ω̂_k + Σ_{{p, q}: p + q = k} c_{p,q} ω̂_p ω̂_q,        |k_x|, |k_y|, |p_x|, … ≤ modes
/// ```
///
/// with ω̂ the Fourier coefficients (of exp i k·x, so that a constant field has ω̂_0 equal to it): every law that is at most
/// quadratic in ω and commutes with translations. Real a and c are those that commute with the point reflection x → −x, too, as
/// advection does. Coefficients do not know the grid.
///
/// Advection −u·∇ω is a = 0, c_{p,q} = (p × q)(1/|q|² − 1/|p|²); the gradient models of large-eddy simulation (c_{p,q} that times a
/// polynomial in the components of p and q) and eddy viscosity (c = 0, a_k = −ν_e |k|²) are special cases, too.
///
/// Weights: a_k of every [`Quadratic::outputs`], then for each of them c of its [`Quadratic::pairs`], {p, q} once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quadratic {
    /// Largest wavenumber per direction, of ω and of H.
    pub modes: usize,
}

impl Quadratic {
    /// [`super::Network::check_sizes`].
    pub(super) fn check_sizes(&self) -> Result<()> {
        within("network.modes", self.modes, 0..=GRID / 2)?;
        // Every output has a product for each pair, which are fewer than half of all wavenumbers.
        let side = 2 * self.modes + 1;
        product("network.modes", &[side, side, side, side], 4 * WEIGHTS, "pairs of wavenumbers")
    }

    fn largest(&self) -> i32 {
        i32::try_from(self.modes).unwrap_or(i32::MAX)
    }

    /// Wavenumbers k of which H has a coefficient: one of k and −k.
    pub fn outputs(&self) -> impl Iterator<Item = Wavenumber> + use<> {
        let m = self.largest();
        (-m..=m).flat_map(move |x| (0..=m).map(move |y| [x, y])).filter(|&[x, y]| y > 0 || x >= 0)
    }

    /// The pairs (p, q) with p + q = k, each once: p before q, by n_x and then n_y, or the same.
    pub fn pairs(&self, k: Wavenumber) -> impl Iterator<Item = [Wavenumber; 2]> + use<> {
        let m = self.largest();
        let (x, y) = (span(m, k[0]), span(m, k[1]));
        let pairs = x.flat_map(move |px| y.clone().map(move |py| [[px, py], [k[0] - px, k[1] - py]]));
        pairs.filter(|[p, q]| p <= q)
    }

    /// Multiply-adds of one evaluation, without the transforms.
    pub fn operations(&self) -> usize {
        4 * self.outputs().map(|k| 1 + self.pairs(k).count()).sum::<usize>()
    }

    pub(super) fn params(&self) -> Vec<Param> {
        let products = self.outputs().map(|k| self.pairs(k).count()).sum();
        [("linear", self.outputs().count()), ("quadratic", products)]
            .map(|(name, count)| Param::new(name, &[count], Init::Constant(0.0)))
            .into()
    }
}

/// Components p with |p|, |k − p| ≤ m.
fn span(m: i32, k: i32) -> std::ops::RangeInclusive<i32> {
    (k - m).max(-m)..=(k + m).min(m)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_stands_once() {
        let quadratic = Quadratic { modes: 3 };
        assert_eq!(quadratic.outputs().count(), 7 * 7 / 2 + 1);
        for k in quadratic.outputs() {
            let pairs: Vec<_> = quadratic.pairs(k).collect();
            let mut seen = std::collections::BTreeSet::new();
            for [p, q] in pairs {
                assert_eq!([p[0] + q[0], p[1] + q[1]], k);
                assert!([p, q].iter().flatten().all(|n| n.abs() <= 3));
                assert!(seen.insert([p, q]) && (p == q || !seen.contains(&[q, p])));
            }
            // Ordered pairs are the points of the overlap of two squares.
            let overlap = (7 - k[0].abs()) * (7 - k[1].abs());
            let doubled = seen.iter().filter(|[p, q]| p != q).count();
            assert_eq!(seen.len() + doubled, overlap as usize);
        }
    }
}
