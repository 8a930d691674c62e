//! The whole path on a tiny problem: computed once, rebuilt where something is missing, the same bits again.

use std::collections::BTreeMap;
use std::path::Path;

use lacuna::config::Config;
use lacuna::lab::Lab;

/// Closed-loop error of no closure over that of the exact law at the end of a rollout: a sanity bound; the smoke preset
/// reaches more than ten.
const CLEARLY_BETTER: f64 = 3.0;

fn config() -> Config {
    let settings = [
        "flow.n=32",
        "data.n=32",
        "data.train=2",
        "data.validation=1",
        "data.test=1",
        "data.burn_in=2.0",
        "data.final_time=3.0",
        "models.p-cdm.train.steps=6",
        "models.p-cdm.train.validate_every=3",
        "models.spectral.train.steps=6",
        "models.spectral.train.validate_every=3",
        "models.joint.train.steps=6",
        "models.joint.train.validate_every=3",
        "models.two-phase.train.steps=6",
        "models.two-phase.train.validate_every=3",
        "models.two-phase.latent.training.train.steps=6",
        "models.two-phase.latent.training.train.validate_every=3",
        "models.joint.network.width=4",
        "models.two-phase.network.width=4",
        "models.p-cdm.network.width=4",
        "models.spectral.network.width=4",
        "rollout.start=2.0",
        "rollout.duration=0.8",
        "rollout.members=2",
        "rollout.snapshots=2",
        "study.horizon.duration=1.6",
        "study.horizon.snapshots=2",
        "eval.conditions=2",
        "eval.samples=2",
    ];
    Config::load("smoke", None, &settings.map(String::from)).unwrap()
}

fn lab(folder: &Path) -> Lab {
    Lab::in_folder(config(), &folder.join("data")).unwrap().with_figures(folder.join("figures"))
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let kept = entries.filter(|path| path.is_file() && path.extension().is_some_and(|e| e != "lock"));
    kept.map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap())).collect()
}

#[test]
fn everything_is_computed_once_and_comes_back_the_same_after_a_loss() {
    let folder = tempfile::tempdir().unwrap();
    let lab = lab(folder.path());
    assert!(lab.plan().unwrap().texts("state").unwrap().iter().all(|state| state == "to do"));
    let (_, closed_loop) = lab.run().unwrap();
    assert!(lab.plan().unwrap().texts("state").unwrap().iter().all(|state| state == "done"));
    assert!(lab.store().verify(|_| ()).unwrap().is_empty());
    let error = |name: &str| {
        let row = closed_loop.texts("closure").unwrap().iter().position(|closure| closure == name).unwrap();
        closed_loop.numbers("error of mean").unwrap()[row]
    };
    assert!(error("no closure") > CLEARLY_BETTER * error("exact law"), "{closed_loop}");
    let first = files(lab.gallery().folder());
    for name in ["fields.png", "loss.svg", "offline.csv", "closed-loop.md", "vorticity.png", "error.svg", "index.md"] {
        assert!(first.contains_key(name), "{name} is missing from {:?}", first.keys());
    }

    // A second run finds everything and draws the same bytes, costs aside: those are read from the ensembles.
    assert!(lab.train("spectral").unwrap().artifact.cached);
    assert!(lab.rollout("exact").unwrap().artifact.cached);
    let before = lab.train("spectral").unwrap();
    let weights = std::fs::read(&before.checkpoint).unwrap();
    std::fs::remove_dir_all(&before.artifact.folder).unwrap();
    let states = lab.plan().unwrap();
    assert_eq!(states.texts("state").unwrap().iter().filter(|state| *state == "to do").count(), 1);
    let again = lab.train("spectral").unwrap();
    assert!(!again.artifact.cached);
    assert_eq!(std::fs::read(&again.checkpoint).unwrap(), weights, "the same training gave other weights");
    assert!(lab.rollout("p-cdm").unwrap().artifact.cached, "a rollout that does not depend on it was computed again");
    lab.vorticity_panel().unwrap();
    lab.error_curves().unwrap();
    lab.reconstruction_table().unwrap();
    let second = files(lab.gallery().folder());
    for name in ["fields.png", "reconstruction.csv", "reconstruction.md", "vorticity.png", "error.svg"] {
        assert!(first[name] == second[name], "{name} differs");
    }
}

#[test]
fn an_unknown_model_and_a_damaged_checkpoint_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let lab = lab(folder.path());
    assert!(lab.train("nonsense").unwrap_err().to_string().contains("known: joint, p-cdm, spectral, two-phase"));
    assert!(lab.rollout("nonsense").unwrap_err().to_string().contains("nonsense"));
    let checkpoint = lab.train("spectral").unwrap().checkpoint;
    let mut bytes = std::fs::read(&checkpoint).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&checkpoint, &bytes).unwrap();
    let error = lab.rollout("spectral").unwrap_err().to_string();
    assert!(error.contains("checkpoint.lacuna"), "{error}");
    std::fs::write(&checkpoint, &bytes[..middle]).unwrap();
    let error = lab.rollout("spectral").unwrap_err().to_string();
    assert!(error.contains("checkpoint.lacuna") && error.contains("delete"), "{error}");
}
