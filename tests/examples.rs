//! The programs of `examples/`, on a problem of seconds.

use std::path::Path;

use lacuna::config::Config;
use lacuna::lab::Lab;

#[allow(dead_code)] // their `main`
#[path = "../examples/own_closure.rs"]
mod own_closure;
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
    let compared = std::fs::read_to_string(figures.join("compare.md")).unwrap();
    assert!(compared.contains("mean damped by 0.1"), "{compared}");
}
