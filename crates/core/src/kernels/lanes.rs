//! Arrays of values that functions take through their steps side by side.
//!
//! Long functions of one value after another leave the processor waiting for each step: it looks ahead over few of them. Step by
//! step over some vectors it need not.

/// Values taken side by side through long functions: some vectors of any processor.
pub(crate) const LANES: usize = 64;

/// f(a), value by value.
#[inline(always)]
pub(crate) fn each<const L: usize>(a: &[f32; L], f: impl Fn(f32) -> f32) -> [f32; L] {
    // Loops, not `from_fn`, whose closure was seen to be compiled apart, without the vector unit.
    let mut out = [0.0; L];
    for lane in 0..L {
        out[lane] = f(a[lane]);
    }
    out
}

/// f(a, b), value by value.
#[inline(always)]
pub(crate) fn both<const L: usize>(a: &[f32; L], b: &[f32; L], f: impl Fn(f32, f32) -> f32) -> [f32; L] {
    let mut out = [0.0; L];
    for lane in 0..L {
        out[lane] = f(a[lane], b[lane]);
    }
    out
}

/// exp(x) to 2e-7 relative for −87 ≤ x ≤ 88; clamped beyond.
///
/// x = k ln 2 + r with |r| ≤ ln(2)/2, Taylor polynomial of degree 7 in r (remainder 5e-9), 2^k by its exponent bits.
#[inline(always)]
pub(crate) fn exps<const L: usize>(x: &[f32; L]) -> [f32; L] {
    // Adding 1.5·2²³ rounds to the nearest integer and leaves it in the low bits.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts; the first has few bits, so its product with k is exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = each(x, |x| x.clamp(-87.0, 88.0));
    let shifted = each(&x, |x| x * std::f32::consts::LOG2_E + ROUND);
    let k = each(&shifted, |shifted| shifted - ROUND);
    let r = both(&x, &k, |x, k| x - k * LN2_HIGH - k * LN2_LOW);
    let mut sum = [1.0 / 5040.0; L];
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        sum = both(&sum, &r, |sum, r| sum * r + coefficient);
    }
    let power = |shifted: f32| f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0f32.to_bits()));
    both(&sum, &shifted, |sum, shifted| sum * power(shifted))
}

/// tanh(x), as [`tanhs`].
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    tanhs(&[x])[0]
}

/// tanh x = 1 − 2/(1 + e^{2x}), to 1e-7.
#[inline(always)]
pub(crate) fn tanhs<const L: usize>(x: &[f32; L]) -> [f32; L] {
    each(&exps(&each(x, |x| 2.0 * x)), |exp| 1.0 - 2.0 / (1.0 + exp))
}
