//! Colours of fields and of curves.

use std::sync::LazyLock;

use crate::eval::names;

/// Red, green, blue.
pub type Rgb = [u8; 3];

/// Ink of axes and text.
pub const INK: Rgb = [0x22, 0x22, 0x22];
/// Grid lines.
pub const GRID: Rgb = [0xe2, 0xe2, 0xe2];
/// Paper.
pub const PAPER: Rgb = [0xff, 0xff, 0xff];

/// Dash pattern: lengths on, off, … in points; empty for a solid line.
pub type Dash = &'static [f64];

/// The truth is black, and nothing else is.
pub const TRUTH: Rgb = [0x00, 0x00, 0x00];
const GREY: Rgb = [0x7a, 0x7a, 0x7a];
const VERMILION: Rgb = [0xd5, 0x5e, 0x00];
const BLUE: Rgb = [0x00, 0x72, 0xb2];
const GREEN: Rgb = [0x00, 0x9e, 0x73];
const PURPLE: Rgb = [0xcc, 0x79, 0xa7];
const AMBER: Rgb = [0xe6, 0x9f, 0x00];
const SKY: Rgb = [0x56, 0xb4, 0xe9];
const BROWN: Rgb = [0x8b, 0x5a, 0x2b];
const VIOLET: Rgb = [0x5b, 0x3a, 0x8e];

const SOLID: Dash = &[];
const DOTS: Dash = &[1.5, 2.5];

/// Styles that belong to names ([`crate::eval::names`]); black is the truth.
///
/// The colours are Okabe and Ito's for all kinds of colour vision (Color Universal Design, 2008), without yellow, which
/// disappears on paper, and three more for the classical models, which are told apart by their dashes.
const ROLES: [(&str, Rgb, Dash); 64] = [
    ("true flow", TRUTH, SOLID),
    ("truth", TRUTH, SOLID),
    ("data", TRUTH, SOLID),
    ("H", TRUTH, SOLID),
    ("none", GREY, &[3.0, 3.0]),
    ("no closure", GREY, &[3.0, 3.0]),
    ("exact", VERMILION, SOLID),
    ("exact law", VERMILION, SOLID),
    ("its formula", TRUTH, SOLID),
    ("right", TRUTH, SOLID),
    ("matched-gaussian", GREY, SOLID),
    ("matched Gaussian", GREY, SOLID),
    ("memoryless", VIOLET, &[7.0, 3.0]),
    ("law without memory", VIOLET, &[7.0, 3.0]),
    ("p-cdm", BLUE, &[7.0, 3.0]),
    ("joint", GREEN, &[2.0, 2.5]),
    ("two-phase", PURPLE, &[9.0, 2.5, 2.0, 2.5]),
    ("spectral", AMBER, &[12.0, 4.0]),
    ("regression", SKY, &[4.0, 2.0, 1.0, 2.0, 1.0, 2.0]),
    ("quadratic", BROWN, SOLID),
    ("flow", GREEN, SOLID),
    ("generator", VIOLET, SOLID),
    ("residual-diffusion", AMBER, DOTS),
    ("residual-flow", GREEN, DOTS),
    ("residual-gaussian", BLUE, DOTS),
    ("residual-generator", VIOLET, DOTS),
    ("smagorinsky", BROWN, &[5.0, 2.0]),
    ("dynamic-smagorinsky", BROWN, &[2.0, 2.0]),
    ("leith", VIOLET, &[9.0, 2.5, 2.0, 2.5]),
    ("hyperviscosity", VIOLET, &[12.0, 4.0]),
    ("deterministic", BROWN, &[5.0, 2.0]),
    ("white noise", PURPLE, &[9.0, 2.5, 2.0, 2.5]),
    ("AR(1)", AMBER, &[12.0, 4.0]),
    ("AR(1), fitted", AMBER, DOTS),
    ("conditional Gaussian", GREEN, &[2.0, 2.5]),
    ("diffusion", BLUE, &[7.0, 3.0]),
    ("X", BLUE, SOLID),
    ("U", VERMILION, SOLID),
    // What stands in figures of one kind.
    ("published, λ_score = 0.1", SKY, SOLID),
    ("published, λ_score = 1", BLUE, SOLID),
    ("published, λ_score = 10", VIOLET, SOLID),
    ("normalised, λ_score = 0.1", AMBER, &[7.0, 3.0]),
    ("normalised, λ_score = 1", VERMILION, &[7.0, 3.0]),
    ("normalised, λ_score = 10", BROWN, &[7.0, 3.0]),
    ("training", GREY, SOLID),
    ("validation", VERMILION, SOLID),
    ("noise", GREY, &[3.0, 3.0]),
    ("kinetic energy", BLUE, SOLID),
    ("enstrophy", VERMILION, &[7.0, 3.0]),
    ("mean: −D[u·∇ω]", BLUE, &[7.0, 3.0]),
    ("rest: H − mean", GREEN, SOLID),
    ("exact law of the rest", VERMILION, &[2.0, 2.5]),
    ("Euler–Maruyama", VERMILION, &[9.0, 2.5, 2.0, 2.5]),
    ("ancestral", PURPLE, SOLID),
    ("Heun (two evaluations a step)", BLUE, &[7.0, 3.0]),
    ("multistep", GREEN, &[2.0, 2.5]),
    ("total", GREY, SOLID),
    ("score", VERMILION, &[7.0, 3.0]),
    ("mse h", BLUE, SOLID),
    ("mse w", SKY, &[7.0, 3.0]),
    ("kl h", GREEN, &[2.0, 2.5]),
    ("std h", PURPLE, &[9.0, 2.5, 2.0, 2.5]),
    ("rank h", AMBER, &[12.0, 4.0]),
    ("kl w", BROWN, &[2.0, 2.5]),
];

/// Dashes of variants of what has a style, and of names that have none.
const DASHES: [Dash; 7] = [
    SOLID,
    &[7.0, 3.0],
    &[2.0, 2.5],
    &[9.0, 2.5, 2.0, 2.5],
    &[12.0, 4.0],
    &[4.0, 2.0, 1.0, 2.0, 1.0, 2.0],
    &[3.0, 3.0],
];
/// Colours of names that have no style.
const COLOURS: [Rgb; 6] = [BLUE, VERMILION, GREEN, PURPLE, AMBER, SKY];

/// Colour and dash pattern of a curve, by its name, the same in every figure.
///
/// A variant of a known name (`joint-paper`, `spectral, every 5`, `error, joint 16²`) has its colour and another dash, its
/// conditional mean and sums that begin with it are dotted; names that nobody knows have a style that depends on nothing but the name.
pub fn style(name: &str) -> (Rgb, Dash) {
    let head = name.strip_prefix("error, ").unwrap_or(name);
    // A latent space is named after its model and its size, `joint 16²`.
    let head = head.strip_suffix('²').and_then(|sized| sized.rsplit_once(' ')).map_or(head, |(model, _)| model);
    let role = |name: &str| ROLES.iter().find(|(role, ..)| *role == name).map(|(_, colour, dash)| (*colour, *dash));
    if let Some(style) = role(head) {
        return style;
    }
    let slot = |text: &str, count: usize| (hash(text) % count as u64) as usize;
    if let Some((_, first)) = names::parts(head).and_then(|parts| parts.first().copied())
        && let Some((colour, _)) = names::base(first).and_then(|(known, _)| role(known))
    {
        // A sum of closures.
        return (colour, DOTS);
    }
    match names::base(head).and_then(|(known, rest)| Some((role(known)?, rest))) {
        Some(((colour, _), " (mean)" | "/mean")) => (colour, DOTS),
        Some(((colour, _), rest)) => (colour, DASHES[slot(rest, DASHES.len())]),
        None => free(slot(head, DASHES.len() * COLOURS.len())),
    }
}

/// The styles of curves that stand in one figure: [`style`], and where two names have the same one, the next free one.
pub fn styles(names: &[&str]) -> Vec<(Rgb, Dash)> {
    let mut taken: Vec<(Rgb, Dash)> = Vec::with_capacity(names.len());
    for name in names {
        let wanted = style(name);
        // Of the same colour first.
        let dashes = DASHES.iter().map(|dash| (wanted.0, *dash));
        let others = (0..DASHES.len() * COLOURS.len()).map(free);
        let all = std::iter::once(wanted).chain(dashes).chain(others);
        taken.push(all.into_iter().find(|style| !taken.contains(style)).unwrap_or(wanted));
    }
    taken
}

/// Styles of strangers: colours change faster than dashes.
fn free(slot: usize) -> (Rgb, Dash) {
    (COLOURS[slot % COLOURS.len()], DASHES[slot / COLOURS.len()])
}

/// FNV-1a: the same on every machine.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

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
    fn a_style_belongs_to_a_name() {
        assert_eq!(style("truth"), (TRUTH, SOLID));
        assert_eq!(style("exact law"), style("exact"));
        assert_eq!(style("error, joint 16²"), style("joint"));
        assert_eq!(style("joint-paper").0, style("joint").0);
        assert_ne!(style("joint-paper").1, style("joint").1);
        assert_eq!(style("spectral (mean)"), (AMBER, DOTS));
        // Written down: a style may not change from one release, machine or figure to the next.
        assert_eq!(style("drag 0.01"), (AMBER, DASHES[5]));
        let known: Vec<(Rgb, Dash)> = [
            "truth",
            "none",
            "exact",
            "p-cdm",
            "joint",
            "two-phase",
            "spectral",
            "regression",
            "quadratic",
            "smagorinsky",
            "dynamic-smagorinsky",
            "leith",
            "hyperviscosity",
        ]
        .map(style)
        .to_vec();
        assert!((1..known.len()).all(|i| !known[..i].contains(&known[i])), "two closures look the same");
        let many: Vec<String> = (1..=20).map(|every| format!("spectral, every {every}")).collect();
        let drawn = styles(&many.iter().map(String::as_str).collect::<Vec<_>>());
        assert!((1..drawn.len()).all(|i| !drawn[..i].contains(&drawn[i])), "two curves of a figure look the same");
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
