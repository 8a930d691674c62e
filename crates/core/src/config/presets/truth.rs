//! What else is to be known of the models of [`desk`]: other regimes, other amounts of data.

use super::desk::desk;
use super::*;

/// On the data and with the models of `desk`: its laws in flows that they were not trained on, and what they make of a few trajectories.
pub(super) fn truth() -> Config {
    let desk = desk();
    let mut models = BTreeMap::new();
    for name in ["spectral", "joint", "regression", "quadratic"] {
        models.insert(name.to_string(), desk.models[name].clone());
    }
    // Of the stored pairs, as all others: what the closed form is worth without the many that a solver makes on the way.
    models.insert("quadratic-stored".into(), ModelConfig::quadratic(28, true));
    let closures = names(&["none", "exact", "spectral", "joint", "regression", "quadratic"]);
    let change = |viscosity, forcing| RegimeConfig { viscosity, forcing };
    Config {
        preset: "truth".into(),
        rollout: RolloutConfig { closures: closures.clone(), ..desk.rollout.clone() },
        eval: EvalConfig { offline_only: names(&["quadratic-stored"]), ..desk.eval.clone() },
        study: StudyConfig {
            frontier: FrontierConfig { models: Vec::new(), ..desk.study.frontier.clone() },
            horizon: HorizonConfig { closures: names(&["none"]), members: 1, ..desk.study.horizon.clone() },
            ensemble: EnsembleConfig { closures: names(&["none"]), members: 1 },
            starts: None,
            regimes: Some(RegimesConfig {
                changes: vec![
                    change(2.0, 1.0),
                    change(0.5, 1.0),
                    change(0.25, 1.0),
                    change(1.0, 0.5),
                    change(1.0, 2.0),
                ],
                members: 8,
                closures,
            }),
            amounts: Some(DataAmountsConfig {
                trajectories: vec![2, 5, 10, 20, 40, 90],
                models: names(&["spectral", "regression", "quadratic-stored"]),
            }),
            ..desk.study.clone()
        },
        models,
        ..desk
    }
}
