//! Simulations for data: shared by several filters, and in steps as short as they need.

use lacuna::artifact::Store;
use lacuna::config::Config;
use lacuna::config::{FilterConfig, MissingTerm, ResolvedModes};
use lacuna::data::{Options, generate};

use crate::data::{ALL, make, pairs, tiny};

#[test]
fn one_simulation_makes_the_data_of_several_filters() {
    let mut one = tiny();
    one.flow.noise.sigma = 0.0;
    one.data.term =
        MissingTerm::Subgrid { filter: FilterConfig::Gaussian { width: 2.0 }, resolved: ResolvedModes::All };
    let mut other = one.clone();
    other.data.n = 8;
    other.data.term = MissingTerm::Subgrid { filter: FilterConfig::Truncation, resolved: ResolvedModes::All };
    let (alone, together) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let expected = [&one, &other].map(|config| pairs(&make(config, alone.path(), ALL).unwrap().folder));

    let beside = [other.clone()];
    let first = make(&one, together.path(), Options { beside: &beside, ..ALL }).unwrap();
    let mut lines = Vec::new();
    let store = Store::open(together.path()).unwrap();
    let second = generate(&other, &store, &ALL, &mut |line| lines.push(line.to_string())).unwrap().unwrap();
    assert_eq!([pairs(&first.folder), pairs(&second.folder)], expected);
    assert!(!lines.iter().any(|line| line.contains("steps/s")), "{lines:?}");

    // Other trajectories, and those whose snapshots draw noise.
    let refused = |change: &dyn Fn(&mut Config)| {
        let (mut one, mut other) = (one.clone(), other.clone());
        change(&mut other);
        one.flow.noise.sigma = other.flow.noise.sigma;
        one.same_simulation(&other).unwrap_err().to_string()
    };
    assert!(refused(&|other| other.data.interval *= 2.0).contains("data.n"));
    assert!(refused(&|other| other.flow.viscosity *= 2.0).contains("flow"));
    assert!(refused(&|other| other.flow.noise.sigma = 1e-5).contains("random"));
}

#[test]
fn a_trajectory_without_randomness_that_needs_shorter_steps_gets_them() {
    let mut config = tiny();
    config.flow.noise.sigma = 0.0;
    let alone = Options { threads: 1, ..ALL };
    let fails = |config: &Config| {
        let root = tempfile::tempdir().unwrap();
        let error = generate(config, &Store::open(root.path()).unwrap(), &alone, &mut |_| ()).unwrap_err().to_string();
        error.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    // Refused at a quarter of the step, too, the error has the Courant number of that, of the first trajectory.
    config.flow.max_courant = 1e-3;
    let quarter = fails(&config);
    // The step itself is too long, half of it is not.
    config.flow.max_courant = 3.0 * quarter;
    let made = |config: &Config| {
        let root = tempfile::tempdir().unwrap();
        pairs(&make(config, root.path(), ALL).unwrap().folder)[0].w.slice(ndarray::s![..3, .., ..]).to_owned()
    };
    let mut shorter = config.clone();
    shorter.flow.dt /= 2.0;
    assert_eq!(made(&config), made(&shorter));
    // With noise, whose law knows the step, it is an error.
    config.flow.noise.sigma = 1e-9;
    assert!(fails(&config) > config.flow.max_courant);
}
