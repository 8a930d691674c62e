//! Lorenz-96 with a conditional Markov chain: scheme, chain and closures against closed forms, rollouts, climates and forecasts.

use lacuna::closure::{AnyClosure, Closure, NoClosure};
use lacuna::config::{Hold, Precision, RolloutConfig};
use lacuna::eval::{Climate, Forecasts};
use lacuna::lab::{Gallery, LorenzLab, LorenzPlan};
use lacuna::lorenz96::{Ar1, ConditionalGaussian, Lorenz96, OfSites, SiteLaw, Truth, White};
use lacuna::rng::SeedTree;
use lacuna::rollout::run_in;
use lacuna::system::System;
use ndarray::{Array2, s};

fn seeds() -> SeedTree {
    SeedTree::new(3)
}

/// X after `time` from a rough state, under a constant term.
fn solution(dt: f64, time: f64) -> Vec<f64> {
    let system = Lorenz96 { dt, ..Lorenz96::default() };
    let mut model = system.reduced().unwrap();
    let field = |f: &dyn Fn(f64) -> f64| Array2::from_shape_fn((1, 18), |(_, k)| f(k as f64));
    model.set_state(field(&|k| 4.0 + 4.0 * (2.0 * k).sin()).view()).unwrap();
    let u = field(&|k| 5.0 * (3.0 * k).cos());
    for _ in 0..(time / dt).round() as usize {
        model.step(u.view()).unwrap();
    }
    model.x().to_vec()
}

#[test]
fn the_scheme_is_of_fourth_order_and_exact_polynomials_of_linear_decay() {
    let reference = solution(1.0 / 3200.0, 0.5);
    let error = |dt: f64| {
        let difference = solution(dt, 0.5).iter().zip(&reference).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
        difference.sqrt()
    };
    let errors = [0.02, 0.01, 0.005].map(error);
    for pair in errors.windows(2) {
        let order = (pair[0] / pair[1]).log2();
        assert!((order - 4.0).abs() < 0.3, "order {order}: {errors:?}");
    }
    // A uniform state decays towards F + U, each step by the Taylor polynomial of e^{−δ}.
    let system = Lorenz96::default();
    let mut model = system.reduced().unwrap();
    model.set_state(Array2::from_elem((1, 18), -3.0).view()).unwrap();
    let u = Array2::from_elem((1, 18), 2.0);
    (0..100).for_each(|_| model.step(u.view()).unwrap());
    let h = system.dt;
    let factor = 1.0 - h + h * h / 2.0 - h.powi(3) / 6.0 + h.powi(4) / 24.0;
    let expected = 10.0 - 13.0 * factor.powi(100);
    assert!(model.x().iter().all(|x| (x - expected).abs() < 1e-12), "{:?}, expected {expected}", model.x());
}

/// Mean, variance, correlation at lag one, and largest magnitude of draws at frozen X.
fn moments(mut closure: AnyClosure, x: f64) -> [f64; 4] {
    let (draws, sites) = (4000, 50);
    let (w, mut h) = (Array2::from_elem((1, sites), x), Array2::zeros((1, sites)));
    let mut rng = seeds().child("moments").stream();
    let mut all = Array2::zeros((draws, sites));
    for mut row in all.rows_mut() {
        closure.sample(w.view(), 0.0, &mut rng, h.view_mut()).unwrap();
        row.assign(&h.row(0));
    }
    let mean = all.mean().unwrap();
    let about = all.mapv(|u| u - mean);
    let lagged = (&about.slice(s![1.., ..]) * &about.slice(s![..draws - 1, ..])).mean().unwrap();
    let variance = (&about * &about).mean().unwrap();
    [mean, variance, lagged / variance, all.iter().fold(0.0, |most: f64, u| most.max(u.abs()))]
}

#[test]
fn the_chain_and_the_gaussian_closures_have_their_moments_at_frozen_x() {
    // A fast chain, so that 4000 draws are 500 memory times or more at each of 50 sites: some 10⁴ independent values, of which a
    // variance is known to 1.5 %. Four standard errors.
    const MONTE_CARLO: f64 = 0.06;
    let system = Lorenz96 { tau: 0.04, ..Lorenz96::default() };
    let phi = (-0.005_f64 / 0.04).exp();
    assert!((system.memory(1) - phi).abs() < 1e-15);
    for x in [-1.0, 2.5, 4.0] {
        let up = 1.0 / (1.0 + (-(x - 2.5_f64) / 1.5).exp());
        let (mean, variance) = (8.0 * (2.0 * up - 1.0), 256.0 * up * (1.0 - up));
        let gaussian: [AnyClosure; 3] = [
            AnyClosure::new(OfSites::new(Ar1::new(&system, 1), 1)),
            AnyClosure::new(OfSites::new(ConditionalGaussian::new(&system, 1), 1)),
            AnyClosure::new(OfSites::new(White::new(&system), 1)),
        ];
        let [ar1, conditional, white] = gaussian;
        let factor = (1.0 + phi) / (1.0 - phi);
        for (closure, variance, memory) in [
            (system.exact(), variance, phi),
            (ar1, variance, phi),
            (conditional, variance, phi),
            (white, factor * variance, 0.0),
        ] {
            let name = closure.name();
            let found = moments(closure, x);
            let std = variance.sqrt();
            assert!((found[0] - mean).abs() < MONTE_CARLO * std, "{name} at {x}: mean {}, expected {mean}", found[0]);
            assert!(
                (found[1] / variance - 1.0).abs() < MONTE_CARLO,
                "{name} at {x}: {}, expected {variance}",
                found[1]
            );
            assert!((found[2] - memory).abs() < MONTE_CARLO, "{name} at {x}: memory {}, expected {memory}", found[2]);
            // The exact law has two values and no others.
            assert_eq!(found[3] == 8.0, name == "exact law", "{name}: {}", found[3]);
        }
        // Over several steps at once, too.
        let phi = phi.powi(4);
        let held = moments(AnyClosure::new(OfSites::new(lacuna::lorenz96::Chain::new(&system, 4), 1)), x);
        assert!((held[2] - phi).abs() < MONTE_CARLO, "{held:?}, expected {phi}");
    }
}

#[test]
fn the_reduced_model_with_the_exact_closure_is_the_full_system_bit_for_bit() {
    let system = Lorenz96::default();
    let start = system.simulate(&seeds(), 1, 20).unwrap();
    let mut truth = Truth::new(&system, start.state(1).view(), start.previous(1).view()).unwrap();
    let (mut model, mut closure) = (system.reduced().unwrap(), system.exact());
    model.set_state(start.state(1).view()).unwrap();
    closure.set_previous(start.previous(1).view());
    let mut streams = [0, 1].map(|_| seeds().child("chain").stream());
    let (mut x, mut u) = (start.state(1), Array2::zeros((1, 18)));
    for step in 0..2000 {
        truth.step(&mut streams[0]).unwrap();
        closure.sample(x.view(), f64::from(step) * system.dt, &mut streams[1], u.view_mut()).unwrap();
        model.step(u.view()).unwrap();
        model.state_into(x.view_mut());
        assert_eq!(truth.x(), model.x(), "step {step}");
        assert_eq!(truth.u(), u, "step {step}");
    }
    // Switches have switched.
    assert!(start.previous(1) != u);
}

fn plan(steps: usize, members: usize, hold: Hold) -> RolloutConfig {
    RolloutConfig {
        dt: None,
        start: 1.0,
        duration: steps as f64 * 0.005,
        members,
        redraw_interval: 1,
        hold,
        snapshots: 2,
        references: 1,
        closures: Vec::new(),
        precision: Precision::F32,
        init: None,
        start_state: 0,
    }
}

#[test]
fn rollouts_run_any_system_with_memory_in_every_member() {
    let system = Lorenz96::default();
    let (model, start) = (system.reduced().unwrap(), system.simulate(&seeds(), 1, 20).unwrap());
    let mut closure = system.exact();
    closure.set_previous(start.previous(0).view());
    let state = start.state(0);
    let run = |threads| run_in(&model, state.view(), &closure, &plan(100, 3, Hold::Held), &seeds(), threads).unwrap();
    let made = run(1);
    assert_eq!(made.fields, run(3).fields);
    assert_eq!(made.fields.shape(), [3, 3, 1, 18]);
    assert_eq!(made.times, [1.0, 1.25, 1.5]);
    for member in 0..3 {
        let mut truth = Truth::new(&system, state.view(), start.previous(0).view()).unwrap();
        let mut rng = seeds().child(member).stream();
        (0..100).for_each(|_| truth.step(&mut rng).unwrap());
        let kept = made.fields.slice(s![2, member, 0, ..]);
        assert!(kept.iter().zip(truth.x()).all(|(kept, x)| *kept == *x as f32), "member {member}");
    }
    // What the hash is of.
    let other = Lorenz96 { forcing: 9.0, ..system }.reduced().unwrap();
    let other = run_in(&other, state.view(), &closure, &plan(100, 3, Hold::Held), &seeds(), 1).unwrap();
    assert_ne!(made.config_hash, other.config_hash);
    // What cannot be.
    let refused = |state: &Array2<f64>, hold| {
        let error = run_in(&model, state.view(), &closure, &plan(100, 3, hold), &seeds(), 1).unwrap_err();
        error.to_string()
    };
    assert!(refused(&state, Hold::Paper).contains("rollout.hold"), "{}", refused(&state, Hold::Paper));
    let wrong = refused(&Array2::zeros((2, 9)), Hold::Held);
    assert!(wrong.contains("start state") && wrong.contains("(1, 18)"), "{wrong}");
    // What leaves every bound is a failure of the member.
    let blast = AnyClosure::from_fn("blast", |_, u, _| u.fill(1e6));
    let failed = run_in(&model, state.view(), &blast, &plan(100, 2, Hold::Held), &seeds(), 1).unwrap();
    assert!(failed.failures.iter().all(Option::is_some) && failed.fields[[2, 0, 0, 0]].is_nan());
}

#[test]
fn laws_of_sites_hold_their_draws_and_forget_where_they_began() {
    /// U counts its draws.
    #[derive(Clone)]
    struct Counter;
    impl SiteLaw for Counter {
        fn name(&self) -> String {
            "counter".into()
        }
        fn draw(&mut self, _x: &[f64], memory: &[f64], _rng: &mut lacuna::rng::Stream, u: &mut [f64]) {
            u.iter_mut().zip(memory).for_each(|(u, memory)| *u = memory + 1.0);
        }
        fn forgets_after(&self) -> usize {
            10
        }
    }
    let mut closure = OfSites::new(Counter, 3);
    let mut rng = seeds().stream();
    let mut draw = |closure: &mut OfSites<Counter>| {
        let mut u = Array2::zeros((1, 4));
        closure.sample(Array2::zeros((1, 4)).view(), 0.0, &mut rng, u.view_mut()).unwrap();
        u[[0, 3]]
    };
    assert_eq!([0; 7].map(|_| draw(&mut closure)), [11.0, 11.0, 11.0, 12.0, 12.0, 12.0, 13.0]);
    closure.set_previous(Array2::from_elem((1, 4), 5.0).view());
    assert_eq!([0; 4].map(|_| draw(&mut closure)), [6.0, 6.0, 6.0, 7.0]);
    let mut small = Array2::zeros((1, 3));
    let error = closure.sample(Array2::zeros((1, 3)).view(), 0.0, &mut seeds().stream(), small.view_mut());
    assert!(error.unwrap_err().to_string().contains("(1, 4)"));
}

#[test]
fn impossible_values_are_refused_by_name() {
    let good = Lorenz96::default();
    for (field, system) in [
        ("sites", Lorenz96 { sites: 3, ..good.clone() }),
        ("tau", Lorenz96 { tau: 0.0, ..good.clone() }),
        ("width", Lorenz96 { width: f64::NAN, ..good.clone() }),
        ("dt", Lorenz96 { dt: 0.1, ..good.clone() }),
        ("amplitude", Lorenz96 { amplitude: f64::INFINITY, ..good.clone() }),
    ] {
        let error = system.reduced().unwrap_err().to_string();
        assert!(error.contains(&format!("lorenz96.{field}")), "{error}");
    }
    assert!(good.simulate(&seeds(), 0, 1).unwrap_err().to_string().contains("snapshots"));
}

/// A third of the runs of the default plan, of half the length: the distance of the truth to itself is then some 0.015.
fn lab(folder: &std::path::Path) -> LorenzLab {
    let plan = LorenzPlan {
        runs: 8,
        duration: 50.0,
        starts: 10,
        members: 10,
        lead: 3.0,
        learning: 400.0,
        ..LorenzPlan::default()
    };
    LorenzLab::new(Lorenz96::default(), plan, Gallery::new(folder.to_path_buf())).unwrap()
}

fn distance(climate: &Climate, closure: &str) -> f64 {
    climate.rows.iter().find(|row| row.closure == closure).unwrap().ks.value
}

#[test]
fn climates_and_forecasts_tell_the_closures_apart() {
    let folder = tempfile::tempdir().unwrap();
    let lab = lab(folder.path());
    let system = lab.system();
    let data = lab.data().unwrap();
    let mut closures = vec![system.exact(), system.exact_every(20)];
    closures.extend(system.gaussian_closures());
    closures.push(lab.fitted(&data).unwrap());
    let climate = lab.climate(&closures).unwrap();
    for row in &climate.rows {
        println!("{}: {:?} {:?} {:?} {:?}", row.closure, row.ks, row.mean, row.std, row.memory);
    }
    // Distances in runs six times as long: 0.005, 0.005, 0.03, 0.156, 0.08, 0.153, 0.215 and 0.137. These runs have an error of 0.01.
    const SAMPLING: f64 = 0.03;
    for (closure, expected) in [
        ("exact law", 0.005),
        ("exact law, every 20", 0.005),
        ("conditional Gaussian", 0.03),
        ("AR(1)", 0.156),
        ("AR(1), fitted", 0.08),
        ("deterministic", 0.153),
        ("white noise", 0.215),
        ("no closure", 0.137),
    ] {
        let found = distance(&climate, closure);
        assert!((found - expected).abs() < SAMPLING, "{closure}: {found}, expected {expected}");
    }
    assert!(climate.rows.iter().skip(1).all(|row| row.ks.error > 0.0 && row.ks.error < SAMPLING));

    let chosen = [&closures[0], &closures[3]].map(Clone::clone);
    let forecasts = lab.forecasts(&chosen).unwrap();
    let at = |of: &Forecasts, lead: usize| (of.crps[lead].value, of.error[lead].value / of.spread[lead].value);
    // One time unit: the exact law is the truth's, and knows how wrong it is; 10 starts of 18 sites leave a tenth.
    let [exact, deterministic] = [0, 1].map(|of| at(&forecasts[of], 10));
    assert!(exact.0 < 0.9 * deterministic.0, "{exact:?} {deterministic:?}");
    assert!((exact.1 - 1.0).abs() < 0.25, "{exact:?}");
    assert!(deterministic.1 > 2.0, "{deterministic:?}: members without noise agree with each other");
    assert_eq!(forecasts[0].crps[0].value, 0.0);

    lab.path().unwrap();
    lab.densities(&climate).unwrap();
    lab.autocorrelations(&climate).unwrap();
    lab.climate_table(&climate).unwrap();
    lab.crps(&forecasts).unwrap();
    lab.spread_skill(&forecasts).unwrap();
    for file in
        ["path.svg", "climate.svg", "climate.csv", "autocorrelation.svg", "crps.svg", "forecasts.csv", "spread.svg"]
    {
        assert!(folder.path().join(format!("lorenz96-{file}")).is_file(), "{file}");
    }
}

#[test]
fn a_lone_trajectory_gives_pairs_in_causal_order() {
    let truth = Lorenz96::default().simulate(&seeds(), 50, 20).unwrap();
    let pairs = truth.pairs();
    assert_eq!((pairs.len(), pairs.every, pairs.is_empty()), (50 * 18, 20, false));
    for (at, (snapshot, site)) in (0..50).flat_map(|i| (0..18).map(move |k| (i, k))).enumerate() {
        assert_eq!(pairs.x[at], truth.x[[snapshot, site]] as f32);
        assert_eq!(f64::from(pairs.previous[at]), truth.u[[snapshot, site]]);
        assert_eq!(f64::from(pairs.next[at]), truth.u[[snapshot + 1, site]]);
    }
    assert_ne!(pairs.previous, pairs.next);
    let none: AnyClosure = AnyClosure::new(NoClosure);
    assert_eq!(none.name(), "no closure");
}

#[cfg(feature = "learn")]
#[test]
fn a_law_learned_in_seconds_has_the_climate_of_the_exact_one() {
    let folder = tempfile::tempdir().unwrap();
    let lab = lab(folder.path());
    let data = lab.data().unwrap();
    let (learned, losses) = lab.learn(&data).unwrap();
    println!("{losses:?}");
    // How often U changes its sign within the 20 steps of a draw, by X and the previous U: as often as in the data.
    let pairs = data.pairs();
    let mut rng = seeds().child("learned").stream();
    let draws = 4000;
    for (low, high) in [(-3.0, -1.0), (1.5, 3.5), (6.0, 8.0)] {
        for previous in [-8.0_f32, 8.0] {
            let seen: Vec<bool> = (0..pairs.len())
                .filter(|&i| pairs.previous[i] == previous && (low..high).contains(&pairs.x[i]))
                .map(|i| pairs.next[i] != previous)
                .collect();
            let expected = seen.iter().filter(|changed| **changed).count() as f64 / seen.len() as f64;
            let mut closure = learned.clone();
            closure.set_previous(Array2::from_elem((1, draws), f64::from(previous)).view());
            let x = Array2::from_shape_fn((1, draws), |(_, i)| {
                f64::from(low + (high - low) * (i as f32 + 0.5) / draws as f32)
            });
            let mut u = Array2::zeros((1, draws));
            closure.sample(x.view(), 0.0, &mut rng, u.view_mut()).unwrap();
            let changed = u.iter().filter(|u| **u * f64::from(previous) < 0.0).count() as f64 / draws as f64;
            let valley = u.iter().filter(|u| u.abs() < 6.0).count() as f64 / draws as f64;
            println!(
                "X in {low}..{high}, U = {previous}: {changed:.4}, data {expected:.4} of {}; valley {valley:.4}",
                seen.len()
            );
            // Sampling errors of draws and data are below 0.008 together.
            assert!((changed - expected).abs() < 0.03, "{changed}, data {expected}");
            assert!(valley < 0.05, "{valley} of the draws are neither up nor down");
        }
    }
    let climate = lab.climate(&[learned]).unwrap();
    let row = &climate.rows[1];
    println!("{:?} {:?} {:?} {:?}", row.ks, row.mean, row.std, row.memory);
    // The target, far below the 0.156 of the Gaussian closure of the literature.
    assert!(row.ks.value < 0.03, "{:?}", row.ks);
}
