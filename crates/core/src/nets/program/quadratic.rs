//! The quadratic closure as a program.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use ndarray::Array2;
use num_complex::Complex64;

use crate::error::{Error, Result};
use crate::nets::network::Named;
use crate::nets::{Network, Quadratic};
use crate::spectral::{Fft2, Spectrum};

/// A [`Quadratic`] with its coefficients laid out for one grid; owns its scratch, so calls do not allocate. Clones share the
/// coefficients.
///
/// The sum over p runs in rows: for each k_x, p_x ≤ q_x and p_y all k_y ≥ 0 at once, with coefficients that are zero where q leaves
/// the band: half as many products again as there are, in loops that vectorise.
#[derive(Clone)]
pub struct QuadraticProgram {
    m: usize,
    n: usize,
    table: Arc<Table>,
    /// ω̂ at (k_x + m, k_y + m), real and imaginary part; zero beyond k_y = m.
    w: [Vec<f32>; 2],
    /// Ĥ at (k_x + m, k_y).
    h: [Vec<f32>; 2],
    fft: Fft2,
    field: Array2<f64>,
    spectrum: Spectrum,
}

struct Table {
    /// a at (k_x + m, k_y).
    linear: Vec<f32>,
    rows: Vec<Row>,
}

/// What the rows p_x and q_x = k_x − p_x of ω̂ add to the row k_x of Ĥ; wavenumbers are counted from −m.
struct Row {
    k: usize,
    p: usize,
    q: usize,
    /// c at (p_y + m, k_y).
    c: Vec<f32>,
}

impl Table {
    fn new(desc: &Quadratic, weights: &[f32]) -> Result<Self> {
        let m = desc.modes;
        let network = Network::Quadratic(*desc);
        let named = Named::new(&network, weights)?;
        let at = |number: i32| usize::try_from(number + m as i32).unwrap_or_default();
        let mut linear = vec![0.0; (2 * m + 1) * (m + 1)];
        let mut rows: BTreeMap<[i32; 2], Vec<f32>> = BTreeMap::new();
        let mut add = |k: [i32; 2], p: [i32; 2], c: f32| {
            let row = rows.entry([k[0], p[0]]).or_insert_with(|| vec![0.0; (2 * m + 1) * (m + 1)]);
            row[at(p[1]) * (m + 1) + k[1] as usize] += c;
        };
        let mut coefficients = named.get("quadratic").iter();
        for (k, &a) in desc.outputs().zip(named.get("linear")) {
            // The row k_y = 0 holds k and −k.
            let signs: &[i32] = if k[1] == 0 && k[0] != 0 { &[1, -1] } else { &[1] };
            for sign in signs {
                linear[at(sign * k[0]) * (m + 1) + k[1] as usize] = a;
            }
            for (pair, &c) in desc.pairs(k).zip(&mut coefficients) {
                for sign in signs {
                    let [k, p, q] = [k, pair[0], pair[1]].map(|number| number.map(|n| sign * n));
                    match p[0].cmp(&q[0]) {
                        Ordering::Less => add(k, p, c),
                        Ordering::Greater => add(k, q, c),
                        // One row meets {p, q} as (p, q) and as (q, p).
                        Ordering::Equal => [p, q].into_iter().for_each(|p| add(k, p, 0.5 * c)),
                    }
                }
            }
        }
        let rows = rows.into_iter().map(|([k, p], c)| Row { k: at(k), p: at(p), q: at(k - p), c }).collect();
        Ok(Self { linear, rows })
    }
}

impl QuadraticProgram {
    /// For fields of n × n points.
    ///
    /// # Errors
    /// Another number of weights; a grid without the modes.
    pub fn new(desc: &Quadratic, weights: &[f32], n: usize) -> Result<Self> {
        let m = desc.modes;
        if n % 2 == 1 || n < 4 || n / 2 <= m {
            let what = format!("{n} × {n} grid for a quadratic closure of {m} modes; at least {} points", 2 * m + 2);
            return Err(Error::config("checkpoint", what));
        }
        let two = |columns: usize| [(); 2].map(|()| vec![0.0; (2 * m + 1) * columns]);
        Ok(Self {
            m,
            n,
            table: Arc::new(Table::new(desc, weights)?),
            w: two(3 * m + 1),
            h: two(m + 1),
            fft: Fft2::new(n),
            field: Array2::zeros((n, n)),
            spectrum: Spectrum::zeros((n, n / 2 + 1)),
        })
    }

    /// Takes ω, n² values row by row, as the condition of the calls that follow.
    ///
    /// # Panics
    /// On another number of values.
    pub fn condition(&mut self, w: &[f32]) {
        let (m, n) = (self.m, self.n);
        assert_eq!(w.len(), n * n, "ω of a program for {n} × {n} points");
        self.field.iter_mut().zip(w).for_each(|(to, &from)| *to = f64::from(from));
        self.fft.forward(self.field.view(), &mut self.spectrum);
        let (columns, scale) = (3 * m + 1, 1.0 / (n * n) as f64);
        for x in 0..=2 * m {
            for y in 0..=m {
                let mode = self.spectrum[((x + n - m) % n, y)] * scale;
                for (w, value, sign) in [(0, mode.re, 1.0), (1, mode.im, -1.0)] {
                    let w = &mut self.w[w];
                    w[(2 * m - x) * columns + m - y] = sign * value as f32;
                    w[x * columns + m + y] = value as f32;
                }
            }
        }
    }

    /// Writes H of the last condition to `out`, n² values row by row.
    ///
    /// # Panics
    /// On another number of values.
    pub fn forward(&mut self, out: &mut [f32]) {
        let (m, n) = (self.m, self.n);
        assert_eq!(out.len(), n * n, "output of a program for {n} × {n} points");
        self.multiply();
        self.spectrum.fill(Complex64::ZERO);
        let scale = (n * n) as f64;
        for x in 0..=2 * m {
            for y in 0..=m {
                let [re, im] = [0, 1].map(|part| f64::from(self.h[part][x * (m + 1) + y]));
                self.spectrum[((x + n - m) % n, y)] = Complex64::new(re, im) * scale;
            }
        }
        self.fft.inverse(&self.spectrum, self.field.view_mut());
        out.iter_mut().zip(&self.field).for_each(|(to, &from)| *to = from as f32);
    }

    fn multiply(&mut self) {
        let (m, width, columns) = (self.m, self.m + 1, 3 * self.m + 1);
        let [w_re, w_im] = &self.w;
        let [h_re, h_im] = &mut self.h;
        for x in 0..=2 * m {
            let (h, w) = (x * width..(x + 1) * width, x * columns + m..x * columns + m + width);
            let a = &self.table.linear[h.clone()];
            h_re[h.clone()].iter_mut().zip(a).zip(&w_re[w.clone()]).for_each(|((h, a), w)| *h = a * w);
            h_im[h].iter_mut().zip(a).zip(&w_im[w]).for_each(|((h, a), w)| *h = a * w);
        }
        for Row { k, p, q, c } in &self.table.rows {
            let h = k * width..(k + 1) * width;
            let (h_re, h_im) = (&mut h_re[h.clone()], &mut h_im[h]);
            for (y, c) in c.chunks_exact(width).enumerate() {
                // p_y = y − m; q_y = k_y − p_y begins at m − y, 2m − y places into its row.
                let (p, q) = (p * columns + y, q * columns + 2 * m - y);
                let (p_re, p_im) = (w_re[p], w_im[p]);
                let (q_re, q_im) = (&w_re[q..q + width], &w_im[q..q + width]);
                for i in 0..width {
                    h_re[i] += c[i] * (p_re * q_re[i] - p_im * q_im[i]);
                    h_im[i] += c[i] * (p_re * q_im[i] + p_im * q_re[i]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spectral::Grid;

    /// Products of f32 numbers of order one, added up some hundred times.
    const ROUNDING: f64 = 1e-5;

    /// Coefficients of advection, −u·∇ω.
    fn advection(desc: &Quadratic) -> Vec<f32> {
        let inverse = |[x, y]: [i32; 2]| if x == 0 && y == 0 { 0.0 } else { 1.0 / f64::from(x * x + y * y) };
        let linear = desc.outputs().map(|_| 0.0);
        let pairs = desc.outputs().flat_map(|k| desc.pairs(k).collect::<Vec<_>>());
        let products = pairs.map(|[p, q]| (f64::from(p[0] * q[1] - p[1] * q[0]) * (inverse(q) - inverse(p))) as f32);
        linear.chain(products).collect()
    }

    fn waves(n: usize, m: usize) -> Array2<f64> {
        let mut spectrum = Spectrum::zeros((n, n / 2 + 1));
        for x in 0..=2 * m {
            for y in 0..=m {
                let phase = (x * 31 + y * 17) as f64;
                spectrum[((x + n - m) % n, y)] = Complex64::from_polar((n * n) as f64 / (1 + x + y) as f64, phase);
            }
        }
        let mut field = Array2::zeros((n, n));
        Fft2::new(n).inverse(&spectrum, field.view_mut());
        field
    }

    #[test]
    fn advection_is_a_quadratic_closure_on_every_grid() {
        let desc = Quadratic { modes: 5 };
        let weights = advection(&desc);
        for n in [12, 16, 24] {
            let w = waves(n, 5);
            // Products of fields of five modes have ten: aliases miss the band from 16 points on.
            let fine = 32;
            let mut program = QuadraticProgram::new(&desc, &weights, n).unwrap();
            let values: Vec<f32> = w.iter().map(|&x| x as f32).collect();
            let mut out = vec![0.0; n * n];
            program.condition(&values);
            program.forward(&mut out);
            let wanted = naive_advection(&waves(fine, 5));
            let mut spectrum = Spectrum::zeros((n, n / 2 + 1));
            let made = Array2::from_shape_vec((n, n), out.iter().map(|&x| f64::from(x)).collect()).unwrap();
            Fft2::new(n).forward(made.view(), &mut spectrum);
            let mut largest = 0.0_f64;
            for x in 0..=10 {
                for y in 0..=5 {
                    let made = spectrum[((x + n - 5) % n, y)] / (n * n) as f64;
                    let wanted = wanted[((x + fine - 5) % fine, y)] / (fine * fine) as f64;
                    largest = largest.max((made - wanted).norm());
                }
            }
            let size = wanted.iter().map(|mode| mode.norm()).fold(0.0, f64::max) / (fine * fine) as f64;
            assert!(largest < ROUNDING * size, "{n}: {largest} of {size}");
        }
    }

    /// Spectrum of −∂ψ/∂y ∂ω/∂x + ∂ψ/∂x ∂ω/∂y with −∇²ψ = ω, wavenumbers in units of one.
    fn naive_advection(w: &Array2<f64>) -> Spectrum {
        let n = w.nrows();
        let grid = Grid::new(n, std::f64::consts::TAU).unwrap();
        let mut fft = Fft2::new(n);
        let mut spectrum = Spectrum::zeros((n, n / 2 + 1));
        fft.forward(w.view(), &mut spectrum);
        let mut part = |of: &dyn Fn([f64; 2]) -> Complex64| {
            let mut made = spectrum.clone();
            made.indexed_iter_mut().for_each(|((i, j), mode)| *mode *= of([grid.kx(i), grid.ky(j)]));
            let mut field = Array2::zeros((n, n));
            fft.inverse(&made, field.view_mut());
            field
        };
        let i = Complex64::I;
        let inverse = |k: [f64; 2]| if k == [0.0; 2] { 0.0 } else { 1.0 / (k[0] * k[0] + k[1] * k[1]) };
        let (psi_x, psi_y) = (part(&|k| i * k[0] * inverse(k)), part(&|k| i * k[1] * inverse(k)));
        let (w_x, w_y) = (part(&|k| i * k[0]), part(&|k| i * k[1]));
        let made = psi_x * w_y - psi_y * w_x;
        fft.forward(made.view(), &mut spectrum);
        spectrum
    }
}
