//! Fourier coefficients of lines of real points, for a few wavenumbers.
//!
//! cos 2πkj/n is the same at j and n − j, sin 2πkj/n has the other sign: sums and differences of mirrored points go in, half the
//! multiplications remain. Columns (fields, channels) are taken as many as fill registers, in an order that does not depend on
//! how many those are.

use std::f64::consts::TAU;

use super::channels::by_channels;
use crate::simd::vectorised;

/// cos 2πkj/n and sin 2πkj/n, k = 0, 1, …, times a factor for each k.
#[derive(Debug, Clone)]
pub(crate) struct RealDft {
    n: usize,
    wavenumbers: usize,
    /// (j ≤ n/2, wavenumber): cosine and sine.
    table: Vec<[f32; 2]>,
}

/// Where lines of points and their coefficients lie, in values.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StridedLines {
    /// Columns transformed together.
    pub(crate) width: usize,
    /// From a point to the next.
    pub(crate) point: usize,
    /// From a wavenumber to the next; its `width` cosines and then its `width` sines lie side by side.
    pub(crate) wave: usize,
}

impl RealDft {
    /// For lines of `n` points, an even number.
    pub(crate) fn new(n: usize, wavenumbers: usize, factor: impl Fn(usize) -> f64) -> Self {
        let entry = |j: usize, k: usize| {
            let angle = TAU * (k * j % n) as f64 / n as f64;
            // Where k j is a multiple of n/2 the sine is zero, and not what rounding makes of it.
            let sine = if (2 * k * j).is_multiple_of(n) { 0.0 } else { angle.sin() };
            [factor(k) * angle.cos(), factor(k) * sine].map(|x| x as f32)
        };
        let table = (0..=n / 2).flat_map(|j| (0..wavenumbers).map(move |k| (j, k)));
        Self { n, wavenumbers, table: table.map(|(j, k)| entry(j, k)).collect() }
    }

    /// Points of a line.
    pub(crate) fn n(&self) -> usize {
        self.n
    }

    pub(crate) fn wavenumbers(&self) -> usize {
        self.wavenumbers
    }

    /// `waves` ← coefficients of the lines `points`.
    pub(crate) fn analyse(&self, lines: StridedLines, points: &[f32], waves: &mut [f32]) {
        analyse(&self.table, [self.n, self.wavenumbers], lines, points, waves);
    }

    /// `points` ← the lines with the coefficients `waves`.
    pub(crate) fn synthesise(&self, lines: StridedLines, waves: &[f32], points: &mut [f32]) {
        synthesise(&self.table, [self.n, self.wavenumbers], lines, false, waves, points);
    }

    /// `points` ← `points` + the lines with the coefficients `waves`.
    pub(crate) fn add(&self, lines: StridedLines, waves: &[f32], points: &mut [f32]) {
        synthesise(&self.table, [self.n, self.wavenumbers], lines, true, waves, points);
    }
}

vectorised! {
    fn analyse(table: &[[f32; 2]], size: [usize; 2], lines: StridedLines, points: &[f32], waves: &mut [f32]) {
        by_channels!(lines.width, analyse_columns, table, size, lines, points, waves);
    }
}

/// `L` columns from `column` on.
#[inline(always)]
fn analyse_columns<const L: usize>(
    column: usize,
    table: &[[f32; 2]],
    size: [usize; 2],
    lines: StridedLines,
    points: &[f32],
    waves: &mut [f32],
) -> usize {
    let (points, waves) = (&points[column..], &mut waves[column..]);
    let mut k = 0;
    while k < size[1] {
        let waves = &mut waves[k * lines.wave..];
        // As many sums as hide the latency of an addition, in equal parts.
        k += match size[1] - k {
            6 | 12.. => analyse_tile::<L, 6>(table, size, k, lines, points, waves),
            4 | 7.. => analyse_tile::<L, 4>(table, size, k, lines, points, waves),
            3.. => analyse_tile::<L, 3>(table, size, k, lines, points, waves),
            2 => analyse_tile::<L, 2>(table, size, k, lines, points, waves),
            _ => analyse_tile::<L, 1>(table, size, k, lines, points, waves),
        };
    }
    L
}

/// `K` wavenumbers of `L` columns.
#[inline(always)]
fn analyse_tile<const L: usize, const K: usize>(
    table: &[[f32; 2]],
    [n, wavenumbers]: [usize; 2],
    first: usize,
    lines: StridedLines,
    points: &[f32],
    waves: &mut [f32],
) -> usize {
    let (mut even, mut odd) = ([[0.0f32; L]; K], [[0.0f32; L]; K]);
    let point = |j: usize| points[j * lines.point..].first_chunk::<L>();
    for (j, factors) in table.chunks_exact(wavenumbers).take(n / 2 + 1).enumerate() {
        let (Some(factors), Some(a)) = (factors[first..].first_chunk::<K>(), point(j)) else { return K };
        if j == 0 || j == n / 2 {
            for k in 0..K {
                add(&mut even[k], factors[k][0], a);
            }
            continue;
        }
        let Some(b) = point(n - j) else { return K };
        let (mut sum, mut difference) = ([0.0f32; L], [0.0f32; L]);
        for lane in 0..L {
            sum[lane] = a[lane] + b[lane];
            difference[lane] = a[lane] - b[lane];
        }
        for k in 0..K {
            add(&mut even[k], factors[k][0], &sum);
            add(&mut odd[k], factors[k][1], &difference);
        }
    }
    for k in 0..K {
        waves[k * lines.wave..][..L].copy_from_slice(&even[k]);
        waves[k * lines.wave + lines.width..][..L].copy_from_slice(&odd[k]);
    }
    K
}

vectorised! {
    fn synthesise(
        table: &[[f32; 2]],
        size: [usize; 2],
        lines: StridedLines,
        add: bool,
        waves: &[f32],
        points: &mut [f32],
    ) {
        by_channels!(lines.width, synthesise_columns, table, size, lines, add, waves, points);
    }
}

/// `L` columns from `column` on.
#[inline(always)]
fn synthesise_columns<const L: usize>(
    column: usize,
    table: &[[f32; 2]],
    [n, wavenumbers]: [usize; 2],
    lines: StridedLines,
    add: bool,
    waves: &[f32],
    points: &mut [f32],
) -> usize {
    let (waves, points) = (&waves[column..], &mut points[column..]);
    let mut j = 0;
    while j <= n / 2 {
        let table = &table[j * wavenumbers..];
        j += match n / 2 + 1 - j {
            4.. => synthesise_tile::<L, 4>(table, [n, wavenumbers], j, lines, add, waves, points),
            2.. => synthesise_tile::<L, 2>(table, [n, wavenumbers], j, lines, add, waves, points),
            _ => synthesise_tile::<L, 1>(table, [n, wavenumbers], j, lines, add, waves, points),
        };
    }
    L
}

/// `J` points and their mirror images, of `L` columns.
#[inline(always)]
fn synthesise_tile<const L: usize, const J: usize>(
    table: &[[f32; 2]],
    [n, wavenumbers]: [usize; 2],
    first: usize,
    lines: StridedLines,
    onto: bool,
    waves: &[f32],
    points: &mut [f32],
) -> usize {
    let (mut even, mut odd) = ([[0.0f32; L]; J], [[0.0f32; L]; J]);
    let mut factors = [&table[..wavenumbers]; J];
    for j in 1..J {
        factors[j] = &table[j * wavenumbers..][..wavenumbers];
    }
    for k in 0..wavenumbers {
        let waves = &waves[k * lines.wave..];
        let (Some(cosine), Some(sine)) = (waves.first_chunk::<L>(), waves[lines.width..].first_chunk::<L>()) else {
            return J;
        };
        for j in 0..J {
            add(&mut even[j], factors[j][k][0], cosine);
            add(&mut odd[j], factors[j][k][1], sine);
        }
    }
    // Indices that the compiler knows keep the sums in registers.
    macro_rules! write_each {
        ($($i:literal)*) => { $(
            if $i < J {
                let j = first + $i;
                write(&even[$i], &odd[$i], 1.0, onto, &mut points[j * lines.point..]);
                if j > 0 && j < n / 2 {
                    write(&even[$i], &odd[$i], -1.0, onto, &mut points[(n - j) * lines.point..]);
                }
            }
        )* };
    }
    write_each!(0 1 2 3);
    J
}

/// The values of one point.
#[inline(always)]
fn write<const L: usize>(even: &[f32; L], odd: &[f32; L], sign: f32, onto: bool, point: &mut [f32]) {
    let Some(point) = point.first_chunk_mut::<L>() else { return };
    let mut value = *even;
    for lane in 0..L {
        value[lane] += sign * odd[lane];
    }
    if onto {
        for lane in 0..L {
            value[lane] += point[lane];
        }
    }
    *point = value;
}

/// sums ← sums + factor · x.
#[inline(always)]
fn add<const L: usize>(sums: &mut [f32; L], factor: f32, x: &[f32; L]) {
    for lane in 0..L {
        sums[lane] = factor.mul_add(x[lane], sums[lane]);
    }
}

#[cfg(test)]
mod tests {
    use super::super::wave;
    use super::*;

    /// Sums of up to 24 products of numbers below one, times factors below three, in f32.
    const BOUND: f64 = 1e-5;

    fn factor(k: usize) -> f64 {
        2.0 - k as f64 / 8.0
    }

    /// Grids, wavenumbers and widths that meet every size of tile.
    const SIZES: [(usize, usize, usize); 8] =
        [(16, 8, 20), (16, 9, 24), (12, 3, 31), (24, 12, 5), (2, 1, 1), (8, 4, 40), (10, 5, 7), (20, 7, 17)];

    #[test]
    fn coefficients_are_the_sums_that_define_them() {
        for (n, wavenumbers, width) in SIZES {
            let lines = StridedLines { width, point: width + 3, wave: 2 * width + 1 };
            let points = wave(n * lines.point, 0.7);
            let mut waves = vec![f32::NAN; wavenumbers * lines.wave];
            RealDft::new(n, wavenumbers, factor).analyse(lines, &points, &mut waves);
            for k in 0..wavenumbers {
                for column in 0..width {
                    let sum = |wave: fn(f64) -> f64| -> f64 {
                        let angle = |j: usize| TAU * (j * k) as f64 / n as f64;
                        (0..n).map(|j| factor(k) * wave(angle(j)) * f64::from(points[j * lines.point + column])).sum()
                    };
                    let at = k * lines.wave + column;
                    for (value, sum) in [(waves[at], sum(f64::cos)), (waves[at + width], sum(f64::sin))] {
                        assert!((f64::from(value) - sum).abs() < BOUND, "{n} {wavenumbers} {width}: {k} {column}");
                    }
                }
            }
        }
    }

    #[test]
    fn synthesis_is_the_adjoint_of_analysis() {
        for (n, wavenumbers, width) in SIZES {
            let (mut lines, transform) =
                (StridedLines { width, point: width, wave: 2 * width }, RealDft::new(n, wavenumbers, factor));
            let (points, waves) = (wave(n * width, 0.7), wave(wavenumbers * 2 * width, 0.4));
            let (mut made, mut found) = (vec![f32::NAN; n * width], vec![f32::NAN; waves.len()]);
            transform.synthesise(lines, &waves, &mut made);
            transform.analyse(lines, &points, &mut found);
            let dot = |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum() };
            let (left, right) = (dot(&points, &made), dot(&found, &waves));
            assert!((left - right).abs() < BOUND * (n * width) as f64, "{n} {wavenumbers} {width}: {left}, {right}");

            // On top of what is there, further apart, and nothing between.
            lines.point = width + 2;
            let mut sums = vec![1.0; n * lines.point];
            transform.add(lines, &waves, &mut sums);
            for (sums, made) in sums.chunks(lines.point).zip(made.chunks(width)) {
                assert!(sums.iter().zip(made).all(|(sum, made)| *sum == 1.0 + made));
                assert_eq!(sums[width..], [1.0; 2]);
            }
        }
    }

    #[test]
    fn columns_have_the_same_bits_in_any_company() {
        let (n, wavenumbers, width) = (16, 6, 29);
        let transform = RealDft::new(n, wavenumbers, factor);
        let points = wave(n * width, 0.7);
        let mut waves = vec![0.0; wavenumbers * 2 * width];
        transform.analyse(StridedLines { width, point: width, wave: 2 * width }, &points, &mut waves);
        for column in 0..width {
            let mut alone = vec![0.0; wavenumbers * 2];
            transform.analyse(StridedLines { width: 1, point: width, wave: 2 }, &points[column..], &mut alone);
            assert!((0..wavenumbers).all(|k| alone[2 * k] == waves[2 * k * width + column]));
            assert!((0..wavenumbers).all(|k| alone[2 * k + 1] == waves[(2 * k + 1) * width + column]));
        }
    }
}
