//! The whole path on a tiny problem: computed once, rebuilt where something is missing, the same bits again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use lacuna::config::Config;
use lacuna::eval::metric::{Against, CLOSED_LOOP, OFFLINE};
use lacuna::eval::{Table, machine};
use lacuna::lab::{Exhibit, Lab, Labs, Study};

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
        "study.starts.members=2",
        "study.starts.closures=[\"none\", \"exact\"]",
        "study.regimes.closures=[\"none\", \"exact\"]",
        "study.amounts.trajectories=[2]",
        "study.amounts.models=[\"spectral\"]",
        // Of the published network, whose sampler has a pseudo-time.
        "models.two-phase.network.variant=\"paper\"",
        "study.samplers=[\"two-phase\"]",
        "study.weights.kl=[0.1, 1.0]",
        "study.weights.score=[1.0]",
        "eval.conditions=2",
        "eval.samples=2",
    ];
    let mut config = Config::load("smoke", None, &settings.map(String::from)).unwrap();
    let joint = config.models["joint"].clone();
    config.study.weights.models = BTreeMap::from([("joint".into(), joint)]);
    config
}

/// Large-eddy simulation as tiny.
fn les() -> Config {
    let settings = [
        "flow.n=32",
        "data.n=16",
        "data.train=1",
        "data.validation=1",
        "data.test=2",
        "data.burn_in=1.0",
        "data.final_time=2.0",
        "models.p-cdm.train.steps=6",
        "models.p-cdm.train.validate_every=3",
        "models.p-cdm.network.width=4",
        "models.regression.train.steps=6",
        "models.regression.train.validate_every=3",
        "models.regression.network.width=4",
        "rollout.start=1.0",
        "rollout.duration=0.8",
        "rollout.members=2",
        "rollout.snapshots=2",
        "study.horizon.duration=1.6",
        "study.horizon.snapshots=2",
        "study.horizon.members=2",
        "study.ensemble.members=3",
        "eval.conditions=2",
        "eval.samples=2",
    ];
    Config::load("les", None, &settings.map(String::from)).unwrap()
}

fn lab_of(config: Config, folder: &Path) -> Lab {
    Lab::new(config, Some(&folder.join("data")), Some(&folder.join("figures"))).unwrap()
}

fn lab(folder: &Path) -> Lab {
    lab_of(config(), folder)
}

fn table(lab: &Lab, exhibit: Exhibit) -> Table {
    lab.show(exhibit).unwrap().table().unwrap().clone()
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let kept = entries.filter(|path| path.is_file() && path.extension().is_some_and(|e| e != "lock"));
    kept.map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap())).collect()
}

/// The files that exhibits make in a lab of some study.
fn expected(lab: &Lab, study: Option<Study>, exhibits: &[Exhibit]) -> BTreeSet<String> {
    let prefix = study.map_or(String::new(), |study| format!("{}-", study.prefix()));
    let made = exhibits.iter().filter(|exhibit| exhibit.missing(lab.config()).is_none());
    let files = made.flat_map(Exhibit::files).flat_map(|files| files.names());
    files.map(|name| format!("{prefix}{name}")).collect()
}

/// Everything that a run leaves, from the list of exhibits.
fn expected_of_a_run(lab: &Lab) -> BTreeSet<String> {
    let mut all = expected(lab, None, &Exhibit::all(lab.config()));
    for study in lab.studies() {
        all.extend(expected(&lab.study(study).unwrap(), Some(study), study.exhibits()));
    }
    all.extend(["index.md", "manifest.jsonl"].map(String::from));
    all
}

#[test]
fn everything_is_computed_once_and_comes_back_the_same_after_a_loss() {
    let folder = tempfile::tempdir().unwrap();
    let lab = lab(folder.path());
    assert!(lab.plan().unwrap().texts("state").unwrap().iter().all(|state| state == "to do"));
    lab.run().unwrap();
    assert!(lab.plan().unwrap().texts("state").unwrap().iter().all(|state| state == "done"));
    assert!(lab.store().verify(|_| ()).unwrap().is_empty());
    let closed_loop = table(&lab, Exhibit::ClosedLoop);
    let error = |name: &str| {
        let row = closed_loop.texts("closure").unwrap().iter().position(|closure| closure == name).unwrap();
        closed_loop.numbers("error of mean").unwrap()[row]
    };
    assert!(error("no closure") > CLEARLY_BETTER * error("exact law"), "{closed_loop}");
    let first = files(lab.gallery().folder());
    assert_eq!(first.keys().cloned().collect::<BTreeSet<_>>(), expected_of_a_run(&lab));
    tables_are_described_and_keep_their_types(&first);
    let numbers = lacuna::lab::tidy(&lab).unwrap();
    assert_eq!(numbers.texts("preset").unwrap().into_iter().collect::<BTreeSet<_>>(), ["smoke".to_string()].into());
    let error = numbers.filter("quantity", |q| q == "error_of_mean").unwrap().filter("table", |t| t == "closed-loop");
    let error = error.unwrap().filter("closure", |c| c == "no closure").unwrap();
    assert_eq!(error.texts("unit").unwrap(), ["rms ω"]);
    let none = closed_loop.filter("closure", |c| c == "no closure").unwrap();
    assert_eq!(error.numbers("value").unwrap(), none.numbers("error of mean").unwrap());
    let found = String::from_utf8(first["findings.md"].clone()).unwrap();
    assert!(found.starts_with("- After 0.8 time units") && found.contains("(preset smoke)"), "{found}");
    let manifest = String::from_utf8(first["manifest.jsonl"].clone()).unwrap();
    for call in [
        r#"lab.show(Exhibit::Rollout(\"spectral\"))"#,
        r#"lab.show(Exhibit::Closures(&[\"none\", \"exact\"]))"#,
        r#"lab.study(Study::Horizon).or_fail().show(Exhibit::Statistics)"#,
    ] {
        assert!(manifest.contains(&format!(r#""call":"{call}""#)), "{call} is not in\n{manifest}");
    }

    // A second run finds everything, costs included, and writes the same bytes.
    lab.run().unwrap();
    let second = files(lab.gallery().folder());
    assert_eq!(first.len(), second.len());
    for (name, bytes) in &first {
        assert!(*bytes == second[name], "{name} differs");
    }
    assert!(lab.train("spectral").unwrap().artifact.cached);
    assert!(lab.rollout("exact").unwrap().artifact.cached);

    // What is lost is made again, and nothing else.
    let before = lab.train("spectral").unwrap();
    let weights = std::fs::read(&before.checkpoint).unwrap();
    std::fs::remove_dir_all(&before.artifact.folder).unwrap();
    let states = lab.plan().unwrap();
    assert_eq!(states.texts("state").unwrap().iter().filter(|state| *state == "to do").count(), 1);
    let again = lab.train("spectral").unwrap();
    assert!(!again.artifact.cached);
    assert_eq!(std::fs::read(&again.checkpoint).unwrap(), weights, "the same training gave other weights");
    assert!(lab.rollout("p-cdm").unwrap().artifact.cached, "a rollout that does not depend on it was computed again");
    lab.show(Exhibit::Losses).unwrap();
    assert!(first["loss.svg"] == files(lab.gallery().folder())["loss.svg"], "the same training has another log");
}

/// Every column of every file has a meaning, and the file, read and written, is the same.
fn tables_are_described_and_keep_their_types(files: &BTreeMap<String, Vec<u8>>) {
    let mut seen = 0;
    for (name, bytes) in files.iter().filter(|(name, _)| name.ends_with(".csv")) {
        let text = String::from_utf8(bytes.clone()).unwrap();
        let table = Table::from_csv(name.trim_end_matches(".csv"), "", &text).unwrap();
        assert_eq!(table.to_csv(), text, "{name}");
        let legend = table.legend().unwrap();
        for (column, meaning) in legend.texts("column").unwrap().iter().zip(legend.texts("meaning").unwrap()) {
            assert!(!meaning.is_empty(), "{name}: nobody says what `{column}` is");
        }
        assert!(text.starts_with("preset,seed,configuration,"), "{name}");
        seen += 1;
    }
    assert!(seen > 10, "{seen} tables");
}

/// The names of a table's columns outside.
fn header(lab: &Lab, file: &str) -> Vec<String> {
    let text = String::from_utf8(files(lab.gallery().folder())[file].clone()).unwrap();
    text.lines().next().unwrap().split(',').map(String::from).collect()
}

/// What a table of scores has as columns, whatever the problem.
fn names_of_scores<'a>(before: &[&str], scores: impl Iterator<Item = (&'a str, bool)>, after: &[&str]) -> Vec<String> {
    let identity = ["preset", "seed", "configuration"].iter().chain(before).map(ToString::to_string);
    let scores = scores
        .flat_map(|(name, errors)| std::iter::once(machine(name)).chain(errors.then(|| machine(&format!("{name} ±")))));
    identity.chain(scores).chain(after.iter().map(ToString::to_string)).collect()
}

#[test]
fn a_run_of_another_problem_leaves_out_what_does_not_apply() {
    let folder = tempfile::tempdir().unwrap();
    let lab = lab_of(les(), folder.path());
    lab.run().unwrap();
    let made: BTreeSet<String> = files(lab.gallery().folder()).into_keys().collect();
    assert_eq!(made, expected_of_a_run(&lab));
    tables_are_described_and_keep_their_types(&files(lab.gallery().folder()));
    // The same columns as in the other problem, so that tables can be put together.
    let shared = OFFLINE.iter().filter(|metric| metric.rule.against != Against::Hidden);
    let offline = shared.map(|metric| (metric.name, true));
    assert_eq!(header(&lab, "offline.csv"), names_of_scores(&["closure"], offline, &["ms_per_draw"]));
    let closed = CLOSED_LOOP.iter().map(|metric| (metric.name, metric.rule.has_errors()));
    let before = ["closure", "t", "members", "failures", "first_failure"];
    assert_eq!(header(&lab, "closed-loop.csv"), names_of_scores(&before, closed, &["ms_per_step", "ms_per_draw"]));
    for absent in ["frontier.csv", "hold-study.csv", "ledger.csv", "truth.csv"] {
        assert!(!made.contains(absent), "{absent}");
    }
    assert!(lab.plan().unwrap().texts("state").unwrap().iter().all(|state| state == "done"));
    let error = lab.show(Exhibit::HoldStudy("exact")).unwrap_err().to_string();
    assert!(error.contains("HoldStudy") && error.contains("subgrid"), "{error}");
    let error = lab.show(Exhibit::Frontier).unwrap_err().to_string();
    assert!(error.contains("study.frontier"), "{error}");
    // Members of a deterministic closure are one and the same flow.
    let scores = table(&lab, Exhibit::ClosedLoop);
    let row = scores.texts("closure").unwrap().iter().position(|closure| closure == "smagorinsky").unwrap();
    assert_eq!(scores.numbers("spread").unwrap()[row], 0.0);
    assert_eq!(scores.numbers("spread ±").unwrap()[row], 0.0);
    let scores = table(&lab, Exhibit::Offline);
    let row = scores.texts("closure").unwrap().iter().position(|closure| closure == "smagorinsky").unwrap();
    assert_eq!(scores.numbers("std").unwrap()[row], 0.0);
}

/// Ensembles without spread, no frontier, and one figure that cannot be written.
#[test]
fn a_run_makes_what_it_can_and_names_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = les();
    config.rollout.closures = vec!["none".into(), "smagorinsky".into()];
    config.study.horizon.closures = vec!["none".into(), "leith/mean".into()];
    config.study.ensemble.members = 1;
    config.data.test = 1;
    let lab = lab_of(config, folder.path());
    let blocked = lab.gallery().folder().join("flow.png");
    std::fs::create_dir_all(&blocked).unwrap();
    let error = lab.run().unwrap_err().to_string();
    assert!(error.starts_with("1 exhibit(s) could not be made") && error.contains("Exhibit::Flow: "), "{error}");
    let mut expected = expected_of_a_run(&lab);
    expected.remove("flow.png");
    let made: BTreeSet<String> = files(lab.gallery().folder()).into_keys().collect();
    assert_eq!(made, expected);
    assert!(!made.iter().any(|name| name.contains("spread")), "{made:?}");
    // One trajectory has no scatter, and its caption speaks of none.
    let offline = table(&lab, Exhibit::Offline);
    assert!(offline.caption.contains("one test trajectory") && !offline.caption.contains('±'), "{}", offline.caption);
    std::fs::remove_dir(&blocked).unwrap();
    lab.run().unwrap();
}

#[test]
fn a_stage_that_fails_is_tried_once_in_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = les();
    // Blows up in the first trajectory.
    config.flow.max_courant = 1e-9;
    let lab = lab_of(config, folder.path());
    let error = lab.run().unwrap_err().to_string();
    let failed = error.matches(": trajectory ").count();
    assert!(failed > 5, "every exhibit says why it is missing: {error}");
    assert!(files(lab.gallery().folder()).contains_key("samplers.svg"), "what needs no data is made");
}

#[test]
fn wrong_names_and_grids_are_refused_before_anything_is_computed() {
    use lacuna::closure::{AnyClosure, ExactLaw};
    let folder = tempfile::tempdir().unwrap();
    let lab = lab(folder.path());
    let other = [AnyClosure::new(ExactLaw::new(&lab.config().flow, 16).unwrap())];
    for (exhibit, word) in [
        (Exhibit::Rollout("spectrl"), "spectrl"),
        (Exhibit::Closures(&["none", "spectrl"]), "spectrl"),
        (Exhibit::HoldStudy("spectrl"), "spectrl"),
        (Exhibit::LossParts("spectrl"), "spectrl"),
        (Exhibit::Compare(&other), "16"),
    ] {
        let error = lab.show(exhibit).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
    assert!(!folder.path().join("data").exists(), "something was computed");
}

#[test]
fn provenance_is_the_exhibit_as_it_is_written() {
    // What is written here compiles; what is shown must be the same.
    macro_rules! same {
        ($($exhibit:expr),* $(,)?) => { $(
            assert_eq!(format!("Exhibit::{}", $exhibit), stringify!($exhibit));
        )* };
    }
    same!(
        Exhibit::ErrorCurves,
        Exhibit::LossParts("joint"),
        Exhibit::Rollout("spectral"),
        Exhibit::HoldStudy("exact"),
        Exhibit::Closures(&["none", "exact", "spectral"]),
    );
    assert_eq!(format!("{:?}", Study::LargeEnsemble), "LargeEnsemble");
    let names: Vec<String> = Exhibit::all(&config()).iter().map(ToString::to_string).collect();
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{names:?}");
}

#[test]
fn an_unknown_model_and_a_damaged_checkpoint_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let lab = lab(folder.path());
    assert!(
        lab.train("nonsense").unwrap_err().to_string().contains("known: joint, p-cdm, quadratic, spectral, two-phase")
    );
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

#[test]
fn tables_of_several_seeds_lie_below_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let lab = lab(folder.path());
    let labs = Labs::seeds(&lab, [lab.config().seed, 99]).unwrap();
    let budgets = labs.table(Exhibit::Budget).unwrap();
    let seeds = [lab.config().seed, 99].map(|seed| seed.to_string());
    assert_eq!(budgets.texts("seed").unwrap().into_iter().collect::<BTreeSet<_>>(), seeds.into());
    let mean = budgets.mean_by(&["term"]).unwrap();
    assert_eq!(mean.rows() * 2, budgets.rows());
    let rates = budgets.filter("term", |term| term == "unexplained").unwrap().numbers("mean rate").unwrap();
    let spread = (rates[0] - rates[1]).abs() / 2f64.sqrt();
    let found = mean.filter("term", |term| term == "unexplained").unwrap().numbers("mean_rate_sd").unwrap()[0];
    assert!(spread > 0.0 && (found - spread).abs() < 1e-12 * spread, "{found}, {spread}");
    // Another seed has a folder of its own in the gallery.
    assert!(lab.gallery().folder().join("seed-99").join("budget.csv").is_file());
    assert!(labs.table(Exhibit::Flow).unwrap_err().to_string().contains("no table"));
    assert!(Labs::seeds(&lab, []).is_err());
}
