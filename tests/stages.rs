//! The identity of every stage of every preset: what is computed under one hash today is found under it tomorrow.

use std::fmt::Write as _;
use std::path::Path;

use lacuna::config::{Config, Hold, MissingTerm, Preset, RolloutConfig, Stage};

fn rollout(config: &Config, closure: &str) -> Stage {
    config.rollout_stage(&config.closure(closure).unwrap()).unwrap()
}

/// Every stage that a configuration can ask for.
fn stages(config: &Config) -> Vec<Stage> {
    let mut stages = vec![config.data_stage(), config.reference_stage(), config.offline_stage().unwrap()];
    stages.push(config.reconstruction_stage().unwrap());
    stages.push(config.cost_stage().unwrap());
    if matches!(config.data.term, MissingTerm::Subgrid { .. }) {
        stages.extend([config.a_priori_stage().unwrap(), config.long_run_stage().unwrap()]);
    }
    for model in config.models.keys() {
        stages.extend(config.autoencoder_stage(model).unwrap());
        stages.push(config.train_stage(model).unwrap());
        stages.push(rollout(config, model));
        stages.push(rollout(config, &format!("{model}/mean")));
    }
    stages.extend(config.rollout.closures.iter().map(|closure| rollout(config, closure)));
    let frontier = &config.study.frontier;
    for model in &frontier.models {
        for &every in &frontier.every {
            for &steps in &frontier.steps {
                stages.push(rollout(&config.frontier_point(model, steps, every).unwrap(), model));
            }
        }
    }
    for study in config.closed_loops() {
        stages.push(study.reference_stage());
        stages.extend(study.rollout.closures.iter().map(|closure| rollout(&study, closure)));
    }
    for (_, regime) in config.regimes() {
        stages.extend([regime.data_stage(), regime.offline_stage().unwrap(), regime.reference_stage()]);
        stages.extend(regime.rollout.closures.iter().map(|closure| rollout(&regime, closure)));
    }
    for (_, varied) in config.data_amounts().unwrap() {
        stages.extend([varied.data_stage(), varied.offline_stage().unwrap()]);
        stages.extend(varied.models.keys().map(|model| varied.train_stage(model).unwrap()));
    }
    for every in [1, 5, 20] {
        for hold in [Hold::Held, Hold::Rescaled, Hold::Redrawn, Hold::Ar1, Hold::Paper] {
            let held = RolloutConfig { redraw_interval: every, hold, ..config.rollout.clone() };
            let config = Config { rollout: held, ..config.clone() };
            stages.extend(config.exact_law().map(|law| config.rollout_stage(&law).unwrap()));
        }
    }
    stages
}

/// One line a stage, each once. A line that changes orphans results: results of others, and those that are committed.
#[test]
fn hashes_of_all_stages_of_all_presets_are_those_on_record() {
    let mut found = String::new();
    for preset in Preset::ALL {
        let config = Config::preset(preset);
        writeln!(found, "{} {}", config.preset, config.hash()).unwrap();
        let mut lines: Vec<String> = stages(&config)
            .iter()
            .map(|stage| format!("{} {} {} {}", config.preset, stage.kind, stage.label, stage.hash))
            .collect();
        lines.sort();
        lines.dedup();
        lines.iter().for_each(|line| writeln!(found, "{line}").unwrap());
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/stages.txt");
    let record = std::fs::read_to_string(&path).unwrap_or_default();
    if record != found {
        let changed: Vec<&str> = found.lines().filter(|line| !record.lines().any(|known| known == *line)).collect();
        let lost: Vec<&str> = record.lines().filter(|line| !found.lines().any(|known| known == *line)).collect();
        let written = std::env::temp_dir().join("stages.txt");
        std::fs::write(&written, &found).unwrap();
        panic!(
            "stages with another hash, now in {}:\n{}\nno longer there:\n{}",
            written.display(),
            changed.join("\n"),
            lost.join("\n")
        );
    }
}
