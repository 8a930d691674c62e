//! Pairs as a network might have met them: turned, reflected, a little off.

use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};

use super::batches::Samples;
use crate::config::Augment;
use crate::rng::Stream;

/// Does to `samples` what `how` says.
pub(super) fn augment(how: Augment, samples: &mut Samples, rng: &mut Stream) {
    let n = samples.w.n;
    if how.isotropic {
        let mut scratch = vec![0.0; n * n];
        let fields = samples.w.values.chunks_exact_mut(n * n).zip(samples.h.values.chunks_exact_mut(n * n));
        for (w, h) in fields {
            let symmetry = Symmetry { turns: rng.random_range(0..4), reflected: rng.random() };
            for field in [w, h] {
                scratch.copy_from_slice(field);
                symmetry.apply(&scratch, n, field);
            }
        }
    }
    if how.jitter > 0.0 {
        let mut noise = || -> f32 { StandardNormal.sample(rng) };
        samples.w.values.iter_mut().for_each(|w| *w += how.jitter as f32 * noise());
    }
}

/// A symmetry of the square: a reflection about the diagonal x = y, then turns by 90°. Vorticity, and its rate of change, are
/// pseudo-scalars: a reflection changes their sign.
#[derive(Debug, Clone, Copy)]
struct Symmetry {
    turns: usize,
    reflected: bool,
}

impl Symmetry {
    /// Writes `field` (n × n points, row-major) under the symmetry to `out`.
    fn apply(self, field: &[f32], n: usize, out: &mut [f32]) {
        let minus = |i: usize| (n - i) % n;
        for i in 0..n {
            for j in 0..n {
                // Where the value at (i, j) was before the turns: at R⁻ᵗ(i, j).
                let (x, y) = match self.turns {
                    0 => (i, j),
                    1 => (j, minus(i)),
                    2 => (minus(i), minus(j)),
                    _ => (minus(j), i),
                };
                out[i * n + j] = if self.reflected { -field[y * n + x] } else { field[x * n + y] };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, ArrayView2};

    use super::*;
    use crate::closure::ExactLaw;
    use crate::config::FlowConfig;
    use crate::rng::SeedTree;
    use crate::train::batches::Fields;

    const N: usize = 16;
    const POINTS: usize = N * N;
    /// Single precision of sums of terms of order ten.
    const TOLERANCE: f32 = 1e-4;

    /// Advection of smooth noise: fields of N × N points one after the other.
    fn pairs(count: usize) -> Samples {
        let mut law = ExactLaw::new(&FlowConfig::default(), N).unwrap();
        let mut rng = SeedTree::new(3).stream();
        let wave =
            |a: usize, b: usize, i: usize, j: usize| ((a * i + b * j) as f64 * std::f64::consts::TAU / N as f64).sin();
        let (mut w, mut h) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let parts: Vec<[f64; 2]> = (0..4).map(|_| [rng.random(), rng.random()]).collect();
            let field = Array2::from_shape_fn((N, N), |(i, j)| {
                (1..).zip(&parts).map(|(a, [p, q])| p * wave(a, 1, i, j) + q * wave(1, a, i + 3, j)).sum()
            });
            let mut term = Array2::zeros((N, N));
            law.advect(field.view(), term.view_mut()).unwrap();
            w.extend(field.iter().map(|&x| x as f32));
            h.extend(term.iter().map(|&x| x as f32));
        }
        Samples { w: Fields { n: N, values: w }, h: Fields { n: N, values: h } }
    }

    fn close(a: &[f32], b: &[f32]) -> bool {
        a.iter().zip(b).all(|(a, b)| (a - b).abs() < TOLERANCE)
    }

    #[test]
    fn a_law_of_the_flow_holds_under_every_symmetry_and_all_of_them_are_drawn() {
        let before = pairs(200);
        let mut after = before.clone();
        augment(Augment { isotropic: true, jitter: 0.0 }, &mut after, &mut SeedTree::new(1).stream());
        let mut law = ExactLaw::new(&FlowConfig::default(), N).unwrap();
        let mut term = Array2::zeros((N, N));
        for (w, h) in after.w.values.chunks(POINTS).zip(after.h.values.chunks(POINTS)) {
            let w: Vec<f64> = w.iter().map(|&x| f64::from(x)).collect();
            law.advect(ArrayView2::from_shape((N, N), &w).unwrap(), term.view_mut()).unwrap();
            assert!(close(&term.iter().map(|&x| x as f32).collect::<Vec<_>>(), h));
        }
        let all = [false, true].map(|reflected| (0..4).map(move |turns| Symmetry { turns, reflected }));
        for symmetry in all.into_iter().flatten() {
            let mut out = vec![0.0; POINTS];
            let fields = before.w.values.chunks(POINTS).zip(after.w.values.chunks(POINTS));
            let drawn = fields.filter(|(before, after)| {
                symmetry.apply(before, N, &mut out);
                out == *after
            });
            // One in eight of 200: 25, and five standard deviations of 4.7 less.
            assert!(drawn.count() > 2, "{symmetry:?}");
        }
    }

    #[test]
    fn jitter_has_its_size_and_leaves_the_term_alone() {
        const STD: f64 = 0.1;
        let before = pairs(50);
        let mut after = before.clone();
        augment(Augment { isotropic: false, jitter: STD }, &mut after, &mut SeedTree::new(1).stream());
        assert_eq!(before.h, after.h);
        let squares = before.w.values.iter().zip(&after.w.values).map(|(a, b)| f64::from(a - b).powi(2));
        let std = (squares.sum::<f64>() / before.w.values.len() as f64).sqrt();
        // 12,800 values: ±0.6 %, five times.
        assert!((std / STD - 1.0).abs() < 0.03, "{std}");
        let mut same = before.clone();
        augment(Augment::default(), &mut same, &mut SeedTree::new(1).stream());
        assert_eq!(same, before);
    }
}
