//! What holds for any input: transforms and truncations are what defines them and undo each other, a configuration survives
//! its file.

use lacuna::config::{Config, Preset};
use lacuna::spectral::{Field, irfft2, rfft2, truncate};
use ndarray::Array2;
use num_complex::Complex64;
use proptest::prelude::*;

use crate::fields::{ROUND_OFF, TAU, distance, rms};

/// Square fields of 4 to 40 points per side, even, with values up to 1e3 of either sign.
fn any_field() -> impl Strategy<Value = Array2<f64>> {
    (2usize..=20).prop_flat_map(|half| {
        let n = 2 * half;
        prop::collection::vec(-1e3..1e3, n * n)
            .prop_map(move |values| Array2::from_shape_vec((n, n), values).expect("n² values"))
    })
}

/// φ̂(n) = Σₓ φ(x) e^{−2πi n·x/N}, term by term.
fn mode(field: &Field, x: i64, y: i64) -> Complex64 {
    let n = field.nrows() as i64;
    let turn = |at: (usize, usize)| (x * at.0 as i64 + y * at.1 as i64).rem_euclid(n) as f64 / n as f64;
    field.indexed_iter().map(|(at, &value)| Complex64::from_polar(value, -TAU * turn(at))).sum()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn a_transform_and_its_inverse_give_the_field_back(field in any_field()) {
        let n = field.nrows();
        let back = irfft2(&rfft2(field.view()), n);
        prop_assert!(distance(&back, &field) < ROUND_OFF);
    }

    #[test]
    fn every_mode_is_the_sum_that_defines_it(field in any_field(), x in 0usize..40, y in 0usize..40) {
        let n = field.nrows();
        let (i, j) = (x % n, y % (n / 2 + 1));
        let size = rms(field.view()) * (n * n) as f64;
        prop_assert!((rfft2(field.view())[(i, j)] - mode(&field, i as i64, j as i64)).norm() < ROUND_OFF * size);
    }

    #[test]
    fn truncation_keeps_every_mode_below_nyquist(field in any_field(), coarse in 2usize..20, x in 0i64..40, y in 0i64..40) {
        let (from, n) = (field.nrows(), 2 * coarse);
        let least = (from.min(n) / 2) as i64;
        let (x, y) = (x % (2 * least - 1) - least + 1, y % least);
        let out = truncate(field.view(), n).unwrap();
        // Values are kept, so that mode amplitudes per point are.
        let [kept, had] = [(&out, n), (&field, from)].map(|(field, n)| mode(field, x, y) / (n * n) as f64);
        prop_assert!((kept - had).norm() < ROUND_OFF * rms(field.view()), "mode ({x}, {y}): {kept}, {had}");
    }

    #[test]
    fn parseval_holds_in_the_half_spectrum(field in any_field()) {
        let n = field.nrows();
        let spectrum = rfft2(field.view());
        let weight = |j: usize| if j == 0 || j == n / 2 { 1.0 } else { 2.0 };
        let modes: f64 = spectrum.indexed_iter().map(|((_, j), value)| weight(j) * value.norm_sqr()).sum();
        let points: f64 = field.iter().map(|x| x * x).sum();
        prop_assert!((modes / (n * n) as f64 / points - 1.0).abs() < ROUND_OFF);
    }

    #[test]
    fn a_truncated_field_is_its_own_truncation_on_any_finer_grid(field in any_field(), finer in 0usize..20) {
        let n = field.nrows();
        // Without Nyquist modes, which truncation drops.
        let field = truncate(truncate(field.view(), n + 2).unwrap().view(), n).unwrap();
        let fine = truncate(field.view(), n + 2 * finer).unwrap();
        prop_assert!(distance(&truncate(fine.view(), n).unwrap(), &field) < ROUND_OFF);
    }

    #[test]
    fn a_configuration_survives_its_file_bit_for_bit(
        seed in any::<u32>(),
        viscosity in 1e-6..1.0f64,
        forcing in -10.0..10.0f64,
        friction in 0.0..1.0f64,
        learning_rate in 1e-8..1.0f64,
        trajectories in 1usize..1000,
    ) {
        let mut config = Config::preset(Preset::Smoke);
        config.seed = seed.into();
        config.flow.viscosity = viscosity;
        config.flow.forcing = forcing;
        config.flow.friction = friction;
        config.data.train = trajectories;
        config.models.get_mut("spectral").expect("a model of the preset").train.learning_rate = learning_rate;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.toml");
        let text = config.to_toml();
        // What the file says, read without the loader.
        let written = |key: &str| {
            let flow = text.lines().skip_while(|line| *line != "[flow]");
            let value = flow.filter_map(|line| line.strip_prefix(key)?.trim().strip_prefix('=')).next();
            value.and_then(|value| value.trim().parse::<f64>().ok())
        };
        prop_assert_eq!([written("viscosity"), written("forcing"), written("friction")], [viscosity, forcing, friction].map(Some));
        std::fs::write(&file, text).unwrap();
        let read = Config::load("smoke", Some(&file), &[]).unwrap();
        prop_assert_eq!(read.hash(), config.hash());
        prop_assert_eq!(read, config);
    }
}
