//! The quadratic law, solved: least squares for the coefficients of every wavenumber ([`Quadratic`] has the equation).
//!
//! Wavenumbers do not mix. For each k the coefficients x = (a_k, c_{p,q}) minimise
//!
//! ```text
//! Σ_samples |Ĥ_k − a_k ω̂_k − Σ c_{p,q} ω̂_p ω̂_q|² + λ Σ_i G_ii x_i²
//! ```
//!
//! with G the Gram matrix of the terms; λ is the one of [`RIDGES`], the same for all k, that the validation trajectories like best. In an
//! isotropic law the coefficients of a wavenumber are those of its images under the symmetries of the square, whose samples count
//! together.

use std::collections::HashMap;

use faer::linalg::matmul::triangular::{BlockStructure, matmul};
use faer::linalg::solvers::{Llt, Solve};
use faer::{Accum, Mat, MatRef, Par, Side};
use ndarray::{Array2, Array3};
use num_complex::Complex64;

use super::batches::Samples;
use super::engine::Run;
use super::parallel::Workers;
use crate::error::{Error, Result};
use crate::nets::{Quadratic, QuadraticProgram, Wavenumber};
use crate::progress::Meter;
use crate::spectral::Fft2;

/// Candidates of λ: from what a solution in f64 needs to what shrinks coefficients by a tenth.
const RIDGES: [f64; 7] = [1e-9, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2];
/// Samples whose terms are multiplied at a time: some hundred rows that fit the cache.
const BLOCK: usize = 32;

/// Wavenumbers whose sums are made between two looks at whether to stop.
const TOGETHER: usize = 16;
/// Blocks of samples that are made and held in memory at a time.
const AT_ONCE: usize = 4;

/// A term of Ĥ_k: ω̂_k, or ω̂_p ω̂_q with p + q = k and p before q.
type Term = (Wavenumber, Option<Wavenumber>);

/// A symmetry of the square, k → (r_xx k_x + r_xy k_y, r_yx k_x + r_yy k_y).
#[derive(Clone, Copy)]
struct Symmetry([[i32; 2]; 2]);

impl Symmetry {
    const IDENTITY: Self = Self([[1, 0], [0, 1]]);
    /// One of each pair ±g: real coefficients have the point reflection already.
    const SQUARE: [Self; 4] =
        [Self::IDENTITY, Self([[0, -1], [1, 0]]), Self([[1, 0], [0, -1]]), Self([[0, 1], [1, 0]])];

    fn of(self, [x, y]: Wavenumber) -> Wavenumber {
        self.0.map(|[of_x, of_y]| of_x * x + of_y * y)
    }

    fn of_term(self, (p, q): Term) -> Term {
        let (p, q) = (self.of(p), q.map(|q| self.of(q)));
        match q {
            Some(q) if q < p => (q, Some(p)),
            _ => (p, q),
        }
    }

    /// Factor of the coefficient of a term: reflections change the sign of ω and of H, and so that of every product beside H.
    fn sign(self, (_, q): Term) -> f64 {
        let [[a, b], [c, d]] = self.0;
        if q.is_some() { f64::from(a * d - b * c) } else { 1.0 }
    }
}

/// What is solved, and how well.
pub(super) struct Solution {
    /// Weights of the [`Quadratic`].
    pub weights: Vec<f32>,
    /// λ.
    pub ridge: f64,
    /// Mean square error over training and over validation samples, in their units.
    pub loss: [f64; 2],
}

/// Where the training samples come from.
pub(super) enum Source<'a> {
    /// All of them are there.
    Stored(&'a Samples),
    /// So many blocks, each made when it is its turn and forgotten.
    Made(usize, &'a (dyn Fn(usize) -> Result<Samples> + Sync)),
}

/// Solves for the coefficients of `desc`, one wavenumber a thread, so that bits do not depend on their number; `None` where the run is
/// asked to stop, with nothing to go on from: minutes at most.
pub(super) fn solve(
    desc: &Quadratic,
    isotropic: bool,
    train: &Source,
    validation: &Samples,
    workers: &Workers,
    run: &mut Run,
) -> Result<Option<Solution>> {
    let symmetries = if isotropic { &Symmetry::SQUARE[..] } else { &[Symmetry::IDENTITY] };
    // With the symmetries of the square an eighth of the plane stands for all of it.
    let outputs = desc.outputs().filter(|&[x, y]| !isotropic || (0 <= y && y <= x));
    let systems: Vec<System> = outputs.map(|k| System::new(desc, k, symmetries)).collect();
    let blocks = if let Source::Made(blocks, _) = *train { blocks } else { 1 };
    let mut sums: Vec<Sums> = systems.iter().map(|system| Sums::none(system.terms.len())).collect();
    let all = systems.len() * blocks.div_ceil(AT_ONCE);
    let (mut meter, mut done) = (Meter::new(run.label, all), 0);
    for first in (0..blocks).step_by(AT_ONCE) {
        let modes = match train {
            Source::Stored(samples) => vec![Modes::of(desc, samples)],
            Source::Made(_, make) => {
                let count = AT_ONCE.min(blocks - first);
                workers.map(count, |at| make(first + at).map(|samples| Modes::of(desc, &samples)))?
            }
        };
        for (some, sums) in systems.chunks(TOGETHER).zip(sums.chunks_mut(TOGETHER)) {
            if (run.stop)(0) {
                return Ok(None);
            }
            for modes in &modes {
                let more = workers.map(some.len(), |at| Ok(some[at].sums(modes)))?;
                sums.iter_mut().zip(more).for_each(|(sums, more)| sums.add(&more));
            }
            done += some.len();
            if meter.due(done, true) {
                (run.progress)(&meter.line(done, &format!(" {done}/{all} sums of wavenumbers")));
            }
        }
    }
    let validation = Modes::of(desc, validation);
    let solved = workers.map(systems.len(), |at| systems[at].solve(&sums[at], &systems[at].sums(&validation)))?;
    let loss = |ridge: usize, set: usize| solved.iter().map(|candidates| candidates[ridge].loss[set]).sum::<f64>();
    let best = (0..RIDGES.len()).min_by(|&a, &b| loss(a, 1).total_cmp(&loss(b, 1))).unwrap_or(0);
    let mut known: HashMap<Term, f64> = HashMap::new();
    for (system, candidates) in systems.iter().zip(&solved) {
        for (&term, &value) in system.terms.iter().zip(&candidates[best].coefficients) {
            for &symmetry in symmetries {
                let (p, q) = symmetry.of_term(term);
                let value = symmetry.sign(term) * value;
                known.insert((p, q), value);
                let minus = |[x, y]: Wavenumber| [-x, -y];
                known.insert(q.map_or((minus(p), None), |q| (minus(q), Some(minus(p)))), value);
            }
        }
    }
    let weights = desc.outputs().map(|k| (k, None)).chain(desc.outputs().flat_map(|k| products(desc, k)));
    let weights = weights.map(|term| known.get(&term).map_or(0.0, |&value| value as f32)).collect();
    let solution = Solution { weights, ridge: RIDGES[best], loss: [loss(best, 0), loss(best, 1)] };
    Ok(Some(solution))
}

/// What the solution leaves of the H of `samples`, (samples, n, n).
pub(super) fn residuals(
    desc: &Quadratic,
    weights: &[f32],
    samples: &Samples,
    workers: &Workers,
) -> Result<Array3<f32>> {
    let (all, n) = (samples.h.len(), samples.h.n);
    let program = QuadraticProgram::new(desc, weights, n)?;
    let residuals = workers.map(all.div_ceil(BLOCK), |block| {
        let mut program = program.clone();
        let mut out = vec![0.0; n * n];
        let of = |at: usize| {
            program.condition(samples.w.field(at));
            program.forward(&mut out);
            samples.h.field(at).iter().zip(&out).map(|(h, made)| h - made).collect::<Vec<f32>>()
        };
        Ok((block * BLOCK..all.min((block + 1) * BLOCK)).flat_map(of).collect::<Vec<f32>>())
    })?;
    Array3::from_shape_vec((all, n, n), residuals.concat())
        .map_err(|_| Error::shape("residuals", format!("({all}, {n}, {n})"), &[]))
}

fn products(desc: &Quadratic, k: Wavenumber) -> Vec<Term> {
    desc.pairs(k).map(|[p, q]| (p, Some(q))).collect()
}

/// Fourier coefficients of samples in the band, all of them: (sample, n_x + m, n_y + m).
struct Modes {
    m: usize,
    count: usize,
    w: Vec<Complex64>,
    h: Vec<Complex64>,
}

impl Modes {
    fn of(desc: &Quadratic, samples: &Samples) -> Self {
        let (m, n, count) = (desc.modes, samples.w.n, samples.w.len());
        let mut fft = Fft2::new(n);
        let (mut field, mut spectrum) = (Array2::zeros((n, n)), Array2::zeros((n, n / 2 + 1)));
        let scale = 1.0 / (n * n) as f64;
        let mut modes = |values: &[f32]| {
            let side = 2 * m + 1;
            let mut out = vec![Complex64::ZERO; side * side];
            field.iter_mut().zip(values).for_each(|(to, &from)| *to = f64::from(from));
            fft.forward(field.view(), &mut spectrum);
            for x in 0..side {
                for y in 0..=m {
                    let mode = spectrum[((x + n - m) % n, y)] * scale;
                    out[(side - 1 - x) * side + m - y] = mode.conj();
                    out[x * side + m + y] = mode;
                }
            }
            out
        };
        let w = (0..count).flat_map(|at| modes(samples.w.field(at))).collect();
        let h = (0..count).flat_map(|at| modes(samples.h.field(at))).collect();
        Self { m, count, w, h }
    }

    /// Place of a wavenumber within a sample.
    fn place(&self, k: Wavenumber) -> usize {
        let [x, y] = k.map(|n| usize::try_from(n + self.m as i32).unwrap_or_default());
        x * (2 * self.m + 1) + y
    }
}

/// The least-squares problem of one wavenumber and its images.
struct System {
    terms: Vec<Term>,
    images: Vec<(Symmetry, Wavenumber)>,
    /// Different wavenumbers among the images and their negatives.
    orbit: usize,
}

/// The solution for one λ.
struct Candidate {
    coefficients: Vec<f64>,
    /// Sum over the orbit of the mean |Ĥ_k − …|², over training and over validation samples.
    loss: [f64; 2],
}

/// Sums over samples: of products of terms (lower triangle), of terms with H, and |H|².
struct Sums {
    gram: Mat<f64>,
    right: Vec<f64>,
    square: f64,
    count: usize,
}

impl System {
    fn new(desc: &Quadratic, k: Wavenumber, symmetries: &[Symmetry]) -> Self {
        let terms = std::iter::once((k, None)).chain(products(desc, k)).collect();
        let images: Vec<_> = symmetries.iter().map(|&symmetry| (symmetry, symmetry.of(k))).collect();
        let orbit: std::collections::BTreeSet<_> = images.iter().flat_map(|&(_, [x, y])| [[x, y], [-x, -y]]).collect();
        Self { terms, images, orbit: orbit.len() }
    }

    fn sums(&self, modes: &Modes) -> Sums {
        let count = self.terms.len();
        let mut sums = Sums::none(count);
        // Where the factors of every term lie, and its sign, image by image.
        let images: Vec<(_, Vec<_>)> = self
            .images
            .iter()
            .map(|&(symmetry, k)| {
                let term = |&term: &Term| {
                    let (p, q) = symmetry.of_term(term);
                    (modes.place(p), q.map(|q| modes.place(q)), symmetry.sign(term))
                };
                (modes.place(k), self.terms.iter().map(term).collect())
            })
            .collect();
        let side = (2 * modes.m + 1).pow(2);
        let mut rows: Vec<f64> = Vec::new();
        for block in (0..modes.count).step_by(BLOCK) {
            rows.clear();
            for at in block..modes.count.min(block + BLOCK) {
                let (w, h) = (&modes.w[at * side..][..side], &modes.h[at * side..][..side]);
                for (k, terms) in &images {
                    let value = |&(p, q, sign): &(usize, Option<usize>, f64)| q.map_or(w[p], |q| w[p] * w[q]) * sign;
                    let row = rows.len();
                    rows.extend(terms.iter().map(|term| value(term).re));
                    rows.extend(terms.iter().map(|term| value(term).im));
                    let (re, im) = rows[row..].split_at(count);
                    let h = h[*k];
                    for ((right, re), im) in sums.right.iter_mut().zip(re).zip(im) {
                        *right += re * h.re + im * h.im;
                    }
                    sums.square += h.norm_sqr();
                    sums.count += 1;
                }
            }
            let rows = MatRef::from_row_major_slice(&rows, rows.len() / count, count);
            let (lower, all) = (BlockStructure::TriangularLower, BlockStructure::Rectangular);
            matmul(&mut sums.gram, lower, Accum::Add, rows.transpose(), all, rows, all, 1.0, Par::Seq);
        }
        sums
    }

    /// One candidate for each of [`RIDGES`].
    fn solve(&self, train: &Sums, validation: &Sums) -> Result<Vec<Candidate>> {
        let count = self.terms.len();
        // Terms in units of their root mean square; one that is always zero gets no coefficient.
        let scale: Vec<f64> =
            (0..count).map(|i| 1.0 / train.gram[(i, i)].sqrt()).map(|s| if s.is_finite() { s } else { 0.0 }).collect();
        let candidate = |&ridge: &f64| {
            let matrix = Mat::from_fn(count, count, |i, j| {
                let diagonal = if i == j { if scale[i] > 0.0 { ridge } else { 1.0 } } else { 0.0 };
                if i >= j { train.gram[(i, j)] * scale[i] * scale[j] + diagonal } else { 0.0 }
            });
            let factors = Llt::new(matrix.as_ref(), Side::Lower).map_err(|error| {
                let what =
                    format!("the normal equations of wavenumber {:?} with ridge {ridge}: {error:?}", self.terms[0].0);
                Error::Process { what }
            })?;
            let right = Mat::from_fn(count, 1, |i, _| train.right[i] * scale[i]);
            let solution = factors.solve(&right);
            let coefficients: Vec<f64> = (0..count).map(|i| solution[(i, 0)] * scale[i]).collect();
            let loss = [train, validation].map(|sums| self.orbit as f64 * sums.error(&coefficients));
            Ok(Candidate { coefficients, loss })
        };
        RIDGES.iter().map(candidate).collect()
    }
}

impl Sums {
    fn none(terms: usize) -> Self {
        Self { gram: Mat::zeros(terms, terms), right: vec![0.0; terms], square: 0.0, count: 0 }
    }

    fn add(&mut self, other: &Self) {
        self.gram += &other.gram;
        self.right.iter_mut().zip(&other.right).for_each(|(sum, more)| *sum += more);
        self.square += other.square;
        self.count += other.count;
    }

    /// Mean of |H − x·terms|².
    fn error(&self, x: &[f64]) -> f64 {
        let mut error = self.square;
        for (i, xi) in x.iter().enumerate() {
            let row: f64 = x[..i].iter().enumerate().map(|(j, xj)| self.gram[(i, j)] * xj).sum();
            error += xi * (2.0 * row + self.gram[(i, i)] * xi - 2.0 * self.right[i]);
        }
        error / self.count.max(1) as f64
    }
}
