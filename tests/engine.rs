//! The training engine: convergence, exact resume, early stopping, logs, refusal of broken losses.

use std::path::Path;

use lacuna::config::{LearningRate, TrainConfig};
use lacuna::error::Error;
use lacuna::train::{LOG_FILE, Loss, Objective, Outcome, Run, STATE_FILE, State, Workers, fit, learning_rate};
use lacuna::{Result, SeedTree};
use rand::Rng;

/// ½|p − target|² with gradient noise from the step's stream. One buffer counts the steps.
struct Bowl {
    /// NaN from this step on.
    broken: usize,
    /// The process "dies" at this step.
    killed: usize,
}

const WHOLE: Bowl = Bowl { broken: usize::MAX, killed: usize::MAX };

impl Objective for Bowl {
    fn gradient(&mut self, step: usize, params: &[f32], buffers: &mut [f64], gradient: &mut [f32]) -> Result<Loss> {
        if step == self.killed {
            return Err(Error::Process { what: "killed".into() });
        }
        let mut rng = SeedTree::new(3).child(step).stream();
        for (i, (g, p)) in gradient.iter_mut().zip(params).enumerate() {
            *g = p - i as f32 + 0.1 * (rng.next_u32() as f32 / u32::MAX as f32 - 0.5);
        }
        buffers[0] += 1.0;
        if step >= self.broken { Ok(f64::NAN.into()) } else { self.validate(params, buffers) }
    }

    fn validate(&mut self, params: &[f32], buffers: &[f64]) -> Result<Loss> {
        let total = params.iter().enumerate().map(|(i, p)| 0.5 * f64::from(p - i as f32).powi(2)).sum();
        Ok(Loss { total, parts: vec![("count", buffers[0])], note: None })
    }
}

pub(crate) fn config() -> TrainConfig {
    TrainConfig {
        steps: 400,
        batch: 1,
        learning_rate: 0.1,
        warmup: 10,
        schedule: LearningRate::Cosine,
        ema: 0.9,
        clip: 1.0,
        validate_every: 20,
        patience: 0,
        ..TrainConfig::default()
    }
}

/// Trains in `folder`, with the lines of progress.
fn run(
    config: &TrainConfig,
    mut bowl: Bowl,
    folder: &Path,
    mut stop: impl FnMut(usize) -> bool,
) -> (Result<(State, Outcome)>, Vec<String>) {
    let mut lines = Vec::new();
    let mut progress = |line: &str| lines.push(line.to_string());
    let mut run = Run { label: "bowl", folder, progress: &mut progress, stop: &mut stop };
    let result = fit(config, &mut bowl, State::new(vec![0.0; 5], vec![0.0]), &mut run);
    (result, lines)
}

fn never(_: usize) -> bool {
    false
}

#[test]
fn resumed_training_is_bit_identical_and_its_log_has_no_gap_or_repetition() {
    let folders = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let (whole, lines) = run(&config(), WHOLE, folders[0].path(), never);
    let whole = whole.unwrap();
    assert_eq!(whole.1, Outcome::Finished);
    assert!(whole.0.best_loss.unwrap() < 1e-2, "{:?}", whole.0.best_loss);
    assert_eq!(whole.0.buffers, [400.0]);
    // Short work is spoken of every tenth at most, and at its end.
    assert!((1..=10).contains(&lines.len()), "{}", lines.len());
    let last = &lines[lines.len() - 1];
    assert!(last.contains("(100 %)") && last.contains("steps/s") && last.contains("left") && !last.contains('\r'));

    // Killed at 207: the state file holds step 200, the log more.
    let (killed, _) = run(&config(), Bowl { killed: 207, ..WHOLE }, folders[1].path(), never);
    assert!(killed.is_err());
    let (resumed, lines) = run(&config(), WHOLE, folders[1].path(), never);
    assert!(lines[0].contains("resumed at step 200"), "{}", lines[0]);
    assert_eq!(resumed.unwrap(), whole);

    // Asked to stop at 133: the state file holds step 133.
    let (stopped, _) = run(&config(), WHOLE, folders[2].path(), |step| step == 133);
    let stopped = stopped.unwrap();
    assert_eq!((stopped.0.step, stopped.1), (133, Outcome::Stopped));
    assert_eq!(run(&config(), WHOLE, folders[2].path(), never).0.unwrap(), whole);

    let log = |i: usize| std::fs::read_to_string(folders[i].path().join(LOG_FILE)).unwrap();
    assert_eq!(log(0).lines().count(), 400 + 20);
    assert!(log(0) == log(1) && log(0) == log(2));
    let last: serde_json::Value = serde_json::from_str(log(0).lines().last().unwrap()).unwrap();
    assert_eq!((last["kind"].as_str(), last["step"].as_u64()), (Some("validation"), Some(400)));
    assert_eq!(last["parts"]["count"].as_f64(), Some(400.0));
}

#[test]
fn a_log_that_was_changed_cut_or_left_without_its_checksum_is_not_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    assert!(run(&config(), Bowl { killed: 207, ..WHOLE }, folder.path(), never).0.is_err());
    let [log, record] = ["", ".sha256"].map(|end| folder.path().join(format!("{LOG_FILE}{end}")));
    let (text, sum) = (std::fs::read_to_string(&log).unwrap(), std::fs::read_to_string(&record).unwrap());
    let refused = |word: &str| {
        let error = run(&config(), WHOLE, folder.path(), never).0.unwrap_err().to_string();
        assert!(error.contains(LOG_FILE) && error.contains(word) && error.contains("delete"), "{error}");
    };
    // One digit of a loss, as a number it is as good.
    let at = 100 + text[100..].find("\"loss\":0.").unwrap() + 9;
    let other = if &text[at..=at] == "1" { "2" } else { "1" };
    std::fs::write(&log, format!("{}{other}{}", &text[..at], &text[at + 1..])).unwrap();
    refused("changed since it was written");
    std::fs::write(&log, &text[..text.len() / 2]).unwrap();
    refused("cut off");
    std::fs::write(&log, &text).unwrap();
    std::fs::write(&record, "x").unwrap();
    refused("checksum");
    std::fs::remove_file(&record).unwrap();
    refused("checksum is missing");
    // What came after the last state is of no use to anybody.
    std::fs::write(&record, sum).unwrap();
    std::fs::write(&log, format!("{text}torn")).unwrap();
    run(&config(), WHOLE, folder.path(), never).0.unwrap();
}

#[test]
fn a_state_that_is_damaged_or_of_another_model_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(STATE_FILE);
    let state = State::new(vec![1.0; 5], vec![2.0]);
    state.save(&path).unwrap();
    assert_eq!(State::load(&path, &state).unwrap(), state);
    let other = State::new(vec![0.0; 6], vec![]);
    let error = State::load(&path, &other).unwrap_err().to_string();
    assert!(error.contains("5 parameters and 1 buffers, expected 6 and 0"), "{error}");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert!(State::load(&path, &state).unwrap_err().to_string().contains("damaged"));
}

#[test]
fn a_state_in_parts_is_read_back_and_a_lost_part_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(STATE_FILE);
    let state = State::new((0..1000).map(|i| i as f32).collect(), vec![2.0; 7]);
    state.save_in_parts(&path, 4096).unwrap();
    assert_eq!(State::load(&path, &state).unwrap(), state);
    let files = || std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    assert!(files().all(|file| file.metadata().unwrap().len() <= 4096));
    let part = files().find(|file| file.extension().is_some_and(|e| e == "part")).unwrap();
    std::fs::remove_file(&part).unwrap();
    let error = State::load(&path, &state).unwrap_err().to_string();
    assert!(error.contains(part.file_name().unwrap().to_str().unwrap()), "{error}");
    // Saved whole, it leaves no part behind.
    state.save(&path).unwrap();
    assert_eq!(files().count(), 1);
}

#[test]
fn a_diverging_run_stops_with_an_error_and_keeps_the_last_state() {
    let folder = tempfile::tempdir().unwrap();
    let error = run(&config(), Bowl { broken: 50, ..WHOLE }, folder.path(), never).0.unwrap_err();
    assert!(error.to_string().contains("training of `bowl` diverged at step 50"), "{error}");
    let path = folder.path().join(STATE_FILE);
    assert_eq!(State::load(&path, &State::new(vec![0.0; 5], vec![0.0])).unwrap().step, 40);
}

#[test]
fn training_stops_early_at_the_same_step_whether_interrupted_or_not() {
    // At this constant rate the loss soon wanders about its floor.
    let config = TrainConfig { schedule: LearningRate::Constant, patience: 4, steps: 100_000, ..config() };
    let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let whole = run(&config, WHOLE, folders[0].path(), never).0.unwrap();
    assert_eq!(whole.1, Outcome::Plateau);
    assert_eq!(whole.0.step, whole.0.best_step + 4 * 20);
    let cut = whole.0.best_step + 50;
    assert!(run(&config, Bowl { killed: cut, ..WHOLE }, folders[1].path(), never).0.is_err());
    assert_eq!(run(&config, WHOLE, folders[1].path(), never).0.unwrap(), whole);
}

#[test]
fn learning_rates_follow_their_schedules() {
    let config = config();
    assert_eq!(learning_rate(&config, 0, 0), 0.01);
    assert_eq!(learning_rate(&config, 9, 0), 0.1);
    assert!((learning_rate(&config, 205, 0) - 0.05).abs() < 1e-12);
    assert!(learning_rate(&config, 399, 0) < 1e-5);
    let steps = TrainConfig { schedule: LearningRate::Steps { every: 100, factor: 0.5 }, warmup: 0, ..config.clone() };
    assert_eq!([0, 99, 100, 350].map(|step| learning_rate(&steps, step, 0)), [0.1, 0.1, 0.05, 0.0125]);
    let constant = TrainConfig { schedule: LearningRate::Constant, ..config.clone() };
    assert_eq!(learning_rate(&constant, 399, 0), 0.1);
    let plateau = TrainConfig { schedule: LearningRate::Plateau { patience: 3, factor: 0.5 }, ..config };
    assert_eq!([0, 1, 3].map(|reductions| learning_rate(&plateau, 50, reductions)), [0.1, 0.05, 0.0125]);
}

#[test]
fn a_plateau_reduces_the_rate_and_a_resumed_run_remembers_it() {
    let schedule = LearningRate::Plateau { patience: 2, factor: 0.5 };
    let config = TrainConfig { schedule, steps: 800, ..config() };
    let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let whole = run(&config, WHOLE, folders[0].path(), never).0.unwrap();
    assert!(whole.0.reductions > 2, "{}", whole.0.reductions);
    // Every reduction takes two validations without improvement.
    let log = std::fs::read_to_string(folders[0].path().join(LOG_FILE)).unwrap();
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (mut waited, mut reductions) = (0, 0);
    for line in &lines {
        match line["best"].as_bool() {
            Some(best) => {
                waited = if best { 0 } else { waited + 1 };
                if waited == 2 {
                    (waited, reductions) = (0, reductions + 1);
                }
            }
            None if line["step"].as_u64() > Some(10) => {
                assert_eq!(line["rate"].as_f64(), Some(0.1 * 0.5f64.powi(reductions)), "{line}");
            }
            None => {}
        }
    }
    assert_eq!(reductions as usize, whole.0.reductions);
    assert!(run(&config, Bowl { killed: 610, ..WHOLE }, folders[1].path(), never).0.is_err());
    assert_eq!(run(&config, WHOLE, folders[1].path(), never).0.unwrap(), whole);
}

#[test]
fn workers_return_results_in_order_and_the_first_error() {
    let squares = |threads: usize| Workers::new(threads).unwrap().map(7, |i| Ok(i * i)).unwrap();
    assert_eq!(squares(1), [0, 1, 4, 9, 16, 25, 36]);
    assert_eq!(squares(3), squares(1));
    let inner = Workers::new(2).unwrap().map(4, |_| Ok(rayon::current_num_threads())).unwrap();
    assert_eq!(inner, [1; 4]);
    let failing = |i: usize| if i < 2 { Ok(i) } else { Err(Error::Process { what: format!("chunk {i}") }) };
    assert_eq!(Workers::new(4).unwrap().map(5, failing).unwrap_err().to_string(), "chunk 2");
}
