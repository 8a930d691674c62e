//! What holds for any input: transforms and truncations undo each other, a configuration survives its file.

use lacuna::config::{Config, Preset};
use lacuna::spectral::{irfft2, rfft2, truncate};
use ndarray::Array2;
use proptest::prelude::*;

use crate::fields::{ROUND_OFF, distance};

/// Square fields of 4 to 40 points per side, even, with values up to 1e3 of either sign.
fn any_field() -> impl Strategy<Value = Array2<f64>> {
    (2usize..=20).prop_flat_map(|half| {
        let n = 2 * half;
        prop::collection::vec(-1e3..1e3, n * n)
            .prop_map(move |values| Array2::from_shape_vec((n, n), values).expect("n² values"))
    })
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
        std::fs::write(&file, config.to_toml()).unwrap();
        let read = Config::load("smoke", Some(&file), &[]).unwrap();
        prop_assert_eq!(read.hash(), config.hash());
        prop_assert_eq!(read, config);
    }
}
