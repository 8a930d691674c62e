//! The engine: convergence, exact resume, refusal of broken losses.

use lacuna::config::{Config, Preset, TrainConfig};
use lacuna::train::{Objective, State, fit};
use lacuna::{Result, SeedTree};
use rand::Rng;

/// ½|p − target|² with gradient noise from the step's stream; NaN from step `broken` on.
struct Bowl {
    broken: usize,
}

impl Objective for Bowl {
    fn gradient(&mut self, step: usize, params: &[f32], gradient: &mut [f32]) -> Result<f64> {
        let mut rng = SeedTree::new(3).child(step).stream();
        for (i, (g, p)) in gradient.iter_mut().zip(params).enumerate() {
            *g = p - i as f32 + 0.1 * (rng.next_u32() as f32 / u32::MAX as f32 - 0.5);
        }
        if step >= self.broken { Ok(f64::NAN) } else { self.validate(params) }
    }

    fn validate(&mut self, params: &[f32]) -> Result<f64> {
        Ok(params.iter().enumerate().map(|(i, p)| 0.5 * f64::from(p - i as f32).powi(2)).sum())
    }
}

fn config() -> TrainConfig {
    TrainConfig {
        steps: 400,
        learning_rate: 0.1,
        warmup: 10,
        validate_every: 20,
        ema: 0.9,
        ..Config::preset(Preset::Smoke).models["spectral"].train.clone()
    }
}

#[test]
fn resumed_training_is_bit_identical_and_converges() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("last.state");
    let mut whole = State::new(vec![0.0; 5]);
    fit(&config(), &mut Bowl { broken: usize::MAX }, &mut whole, 400, &path, |_, _, _| ()).unwrap();
    assert!(whole.best_loss.unwrap() < 1e-2, "{:?}", whole.best_loss);

    let mut first = State::new(vec![0.0; 5]);
    // Killed at 207: the file holds step 200.
    fit(&config(), &mut Bowl { broken: usize::MAX }, &mut first, 207, &path, |_, _, _| ()).unwrap();
    let mut resumed = State::load(&path, 5).unwrap();
    assert_eq!(resumed.step, 200);
    fit(&config(), &mut Bowl { broken: usize::MAX }, &mut resumed, 400, &path, |_, _, _| ()).unwrap();
    assert_eq!(resumed, whole);
    assert!(State::load(&path, 6).is_err());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert!(State::load(&path, 5).unwrap_err().to_string().contains("damaged"));
}

#[test]
fn a_broken_loss_stops_with_an_error_and_keeps_the_last_state() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("last.state");
    let mut state = State::new(vec![0.0; 5]);
    let error = fit(&config(), &mut Bowl { broken: 50 }, &mut state, 400, &path, |_, _, _| ()).unwrap_err();
    assert!(error.to_string().contains("not finite"), "{error}");
    assert_eq!(State::load(&path, 5).unwrap().step, 40);
}
