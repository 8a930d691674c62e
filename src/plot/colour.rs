//! Colours of fields and of curves.

use std::sync::LazyLock;

/// Red, green, blue.
pub type Rgb = [u8; 3];

/// Ink of axes and text.
pub const INK: Rgb = [0x22, 0x22, 0x22];
/// Grid lines.
pub const GRID: Rgb = [0xe2, 0xe2, 0xe2];
/// Paper.
pub const PAPER: Rgb = [0xff, 0xff, 0xff];

/// Colour and dash pattern (lengths on, off, … in points) of each curve, in order.
///
/// The colours are Okabe and Ito's for all kinds of colour vision (Color Universal Design, 2008), without yellow, which
/// disappears on paper; black comes first, for the truth.
pub const LINES: [(Rgb, &[f64]); 14] = [
    ([0x00, 0x00, 0x00], &[]),
    ([0xd5, 0x5e, 0x00], &[]),
    ([0x00, 0x72, 0xb2], &[7.0, 3.0]),
    ([0x00, 0x9e, 0x73], &[2.0, 2.5]),
    ([0xcc, 0x79, 0xa7], &[9.0, 2.5, 2.0, 2.5]),
    ([0xe6, 0x9f, 0x00], &[12.0, 4.0]),
    ([0x56, 0xb4, 0xe9], &[4.0, 2.0, 1.0, 2.0, 1.0, 2.0]),
    // The colours again, for crowded figures, each with another pattern.
    ([0x00, 0x00, 0x00], &[3.0, 3.0]),
    ([0xd5, 0x5e, 0x00], &[2.0, 2.5]),
    ([0x00, 0x72, 0xb2], &[]),
    ([0x00, 0x9e, 0x73], &[12.0, 4.0]),
    ([0xcc, 0x79, 0xa7], &[]),
    ([0xe6, 0x9f, 0x00], &[2.0, 2.5]),
    ([0x56, 0xb4, 0xe9], &[]),
];

/// Entries of one arm of the diverging map.
const ARM: usize = 512;

/// The diverging map: −1 deep blue, 0 near white, +1 deep red; values outside are clipped, NaN is mid-grey.
///
/// Both arms run through OKLab (B. Ottosson, "A perceptual color space for image processing", 2020) with the same
/// lightness, and are parametrised by arc length: equal steps of the value are equal steps of perceived colour.
pub fn diverging(value: f64) -> Rgb {
    static ARMS: LazyLock<[Vec<Rgb>; 2]> = LazyLock::new(|| [arm(BLUE_HUE), arm(RED_HUE)]);
    if value.is_nan() {
        return [0x80; 3];
    }
    let index = (value.abs().min(1.0) * (ARM - 1) as f64).round() as usize;
    ARMS[usize::from(value > 0.0)][index]
}

/// Hues of the two arms, in degrees of OKLCh: as far apart as blue and red can be at the same lightness and chroma.
const BLUE_HUE: f64 = 255.0;
const RED_HUE: f64 = 30.0;
/// Lightness at zero and at the ends of the arms.
const LIGHT: f64 = 0.975;
const DARK: f64 = 0.33;
/// Largest chroma, inside sRGB for both hues at the lightness where it is reached.
const CHROMA: f64 = 0.155;

/// One arm, from the centre outwards, uniform in OKLab arc length.
fn arm(hue: f64) -> Vec<Rgb> {
    const FINE: usize = 4096;
    let points: Vec<[f64; 3]> = (0..=FINE).map(|i| arm_point(i as f64 / FINE as f64, hue)).collect();
    let mut length = vec![0.0];
    for pair in points.windows(2) {
        let step = pair[0].iter().zip(&pair[1]).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
        length.push(length[length.len() - 1] + step);
    }
    let total = length[FINE];
    (0..ARM)
        .map(|i| {
            let wanted = total * i as f64 / (ARM - 1) as f64;
            let at = length.partition_point(|&l| l < wanted).min(FINE);
            to_srgb(points[at])
        })
        .collect()
}

/// OKLab coordinates at `s` ∈ [0, 1] of an arm: lightness falls, chroma rises to its maximum and falls a little.
fn arm_point(s: f64, hue: f64) -> [f64; 3] {
    let lightness = LIGHT + (DARK - LIGHT) * s.powf(1.15);
    // (1 − (1 − s/0.65)²) peaks at s = 0.65 with 1 and ends at 0.71.
    let chroma = CHROMA * (1.0 - (1.0 - s / 0.65).powi(2));
    let (sin, cos) = hue.to_radians().sin_cos();
    [lightness, chroma * cos, chroma * sin]
}

/// OKLab to 8-bit sRGB, clipped to the gamut.
fn to_srgb([l, a, b]: [f64; 3]) -> Rgb {
    let long = (l + 0.396_337_777_4 * a + 0.215_803_757_3 * b).powi(3);
    let medium = (l - 0.105_561_345_8 * a - 0.063_854_172_8 * b).powi(3);
    let short = (l - 0.089_484_177_5 * a - 1.291_485_548_0 * b).powi(3);
    [
        4.076_741_662_1 * long - 3.307_711_591_3 * medium + 0.230_969_929_2 * short,
        -1.268_438_004_6 * long + 2.609_757_401_1 * medium - 0.341_319_396_5 * short,
        -0.004_196_086_3 * long - 0.703_418_614_7 * medium + 1.707_614_701_0 * short,
    ]
    .map(|linear| {
        let linear = linear.clamp(0.0, 1.0);
        let encoded = if linear <= 0.003_130_8 { 12.92 * linear } else { 1.055 * linear.powf(1.0 / 2.4) - 0.055 };
        (255.0 * encoded).round() as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance (Rec. 709) of the displayed colour: what a grey copy shows.
    fn grey(rgb: Rgb) -> f64 {
        let linear = |c: u8| {
            let c = f64::from(c) / 255.0;
            if c <= 0.040_45 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * linear(rgb[0]) + 0.7152 * linear(rgb[1]) + 0.0722 * linear(rgb[2])
    }

    #[test]
    fn magnitude_can_be_read_in_grey() {
        for sign in [-1.0, 1.0] {
            let greys: Vec<f64> = (0..=50).map(|i| grey(diverging(sign * f64::from(i) / 50.0))).collect();
            assert!(greys.windows(2).all(|p| p[1] < p[0]), "not monotone in lightness");
        }
        // Same magnitude, same grey; OKLab's lightness and luminance differ a little between hues.
        const MATCH: f64 = 0.06;
        for i in 0..=20 {
            let v = f64::from(i) / 20.0;
            assert!((grey(diverging(v)) - grey(diverging(-v))).abs() < MATCH, "arms differ in grey at {v}");
        }
    }

    #[test]
    fn ends_centre_and_faults() {
        let [r, _, b] = diverging(1.0);
        assert!(r > b, "positive is red");
        let [r, _, b] = diverging(-1.0);
        assert!(b > r, "negative is blue");
        assert_eq!(diverging(7.0), diverging(1.0));
        assert!(diverging(0.0).iter().all(|&c| c > 240));
        assert_eq!(diverging(f64::NAN), [0x80; 3]);
    }
}
