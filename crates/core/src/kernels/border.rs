//! Fields of n × n points with one more point around them, and buffers that grow.

use crate::config::Padding;

/// Rows that are read or written side by side when weights are packed.
pub(crate) const BLOCK: usize = 16;

/// Fills the frame of the (n + 2)² field `padded`, whose inside is set.
pub(crate) fn frame(padded: &mut [f32], n: usize, channels: usize, padding: Padding) {
    let (line, c) = ((n + 2) * channels, channels);
    match padding {
        Padding::Zero => {
            padded[..line].fill(0.0);
            padded[(n + 1) * line..][..line].fill(0.0);
            for row in padded.chunks_exact_mut(line).take(n + 2) {
                row[..c].fill(0.0);
                row[line - c..].fill(0.0);
            }
        }
        Padding::Periodic => {
            for row in padded.chunks_exact_mut(line).skip(1).take(n) {
                row.copy_within(n * c..(n + 1) * c, 0);
                row.copy_within(c..2 * c, line - c);
            }
            padded.copy_within(n * line..(n + 1) * line, 0);
            padded.copy_within(line..2 * line, (n + 1) * line);
        }
    }
}

/// The inside of row `x` of a padded field.
pub(crate) fn inside(padded: &mut [f32], x: usize, n: usize, channels: usize) -> &mut [f32] {
    &mut padded[((x + 1) * (n + 2) + 1) * channels..][..n * channels]
}

/// Makes `buffer` at least `len` long.
pub(crate) fn grow(buffer: &mut Vec<f32>, len: usize) {
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
}

/// The adjoint of a periodic [`frame`]: what the frame holds is added to the points that it repeats.
pub(crate) fn fold(padded: &mut [f32], n: usize, c: usize) {
    let line = (n + 2) * c;
    let mut add = |from: usize, to: usize, len: usize| {
        for k in 0..len {
            padded[to + k] += padded[from + k];
        }
    };
    add(0, n * line, line);
    add((n + 1) * line, line, line);
    for row in (1..=n).map(|x| x * line) {
        add(row, row + n * c, c);
        add(row + line - c, row + c, c);
    }
}

/// Copies the inside of a padded field to `out`, (n², channels).
pub(crate) fn unframe(padded: &mut [f32], n: usize, c: usize, out: &mut [f32]) {
    for (x, out) in out.chunks_exact_mut(n * c).enumerate() {
        out.copy_from_slice(inside(padded, x, n, c));
    }
}
