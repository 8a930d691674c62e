//! The programs of `examples/`, on a problem of seconds.

use std::path::Path;

use lacuna::config::Config;
use lacuna::lab::Lab;

#[allow(dead_code)] // their `main`
#[path = "../examples/own_closure.rs"]
mod own_closure;
#[allow(dead_code)]
#[path = "../examples/own_data.rs"]
mod own_data;
#[allow(dead_code)]
#[path = "../examples/quickstart.rs"]
mod quickstart;

#[test]
fn examples_run() {
    let folder = tempfile::tempdir().unwrap();
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("workflow/tiny.toml");
    let config = Config::load("smoke", Some(&tiny), &[]).unwrap();
    let figures = folder.path().join("figures");
    let lab = Lab::new(config, Some(&folder.path().join("data")), Some(&figures)).unwrap();
    quickstart::run(&lab).unwrap();
    own_closure::run(&lab).unwrap();
    for name in ["offline.md", "closed-loop.csv", "closures.png", "compare.md"] {
        assert!(figures.join(name).is_file(), "{name} is missing");
    }
    // The lab's pairs as if they were a user's.
    let (pairs, dataset) = (folder.path().join("pairs"), lab.data().unwrap().dataset);
    std::fs::create_dir(&pairs).unwrap();
    for (key, split) in [("train", &dataset.train), ("test", &dataset.test)] {
        let split = split.load().unwrap();
        let times: Vec<f64> = (0..split.per_trajectory).map(|k| 0.1 * k as f64).collect();
        split.save(&pairs.join(format!("{key}.h5")), key, &times).unwrap();
    }
    let own = folder.path().join("own");
    own_data::run(lab.config().clone(), &pairs, Some(&own)).unwrap();
    let scores = std::fs::read_to_string(own.join("figures/offline.md")).unwrap();
    assert!(scores.contains("quadratic") && scores.contains("against the stored term"), "{scores}");
    let compared = std::fs::read_to_string(figures.join("compare.md")).unwrap();
    assert!(compared.contains("mean damped by 0.1"), "{compared}");
}
