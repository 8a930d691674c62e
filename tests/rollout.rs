//! The closed loop against closed forms, the full solver, interruption and failure.

use std::panic::{AssertUnwindSafe, catch_unwind};

use lacuna::Result;
use lacuna::artifact::Store;
use lacuna::closure::{AnyClosure, Closure, EXACT_LAW, ExactLaw, NoClosure, Subgrid};
use lacuna::config::{
    ClosureRef, Coarsening, Config, FilterConfig, FlowConfig, Hold, MissingTerm, NoiseConfig, Precision, Preset,
    ResolvedModes, RolloutConfig,
};
use lacuna::flow::{Solver, initial_vorticity};
use lacuna::rng::{SeedTree, Stream};
use lacuna::rollout::{Ensemble, Reference, reference, rollout, rollout_shard, run_ensemble};
use lacuna::spectral::{Field, truncate};
use ndarray::{Array2, ArrayView2, ArrayView4, ArrayViewMut2, Axis, s};
use rand::RngExt;

const N: usize = 32;

fn flow() -> FlowConfig {
    FlowConfig { n: N, ..FlowConfig::default() }
}

/// Nothing but noise: from rest the flow is a Wiener process with known covariance.
fn noise_only() -> FlowConfig {
    FlowConfig { viscosity: 0.0, forcing: 0.0, ..flow() }
}

fn loop_of(steps: usize, members: usize, every: usize, hold: Hold) -> RolloutConfig {
    RolloutConfig {
        start: 2.0,
        duration: steps as f64 * 1e-3,
        members,
        dt: None,
        redraw_interval: every,
        hold,
        snapshots: 1,
        references: 1,
        closures: Vec::new(),
        precision: Precision::F32,
        init: None,
        start_state: 0,
    }
}

fn exact(config: &FlowConfig) -> AnyClosure {
    AnyClosure::new(ExactLaw::new(config, N).unwrap())
}

fn start() -> Field {
    initial_vorticity(&flow(), &SeedTree::new(3)).unwrap()
}

fn seeds() -> SeedTree {
    SeedTree::new(11).child("rollout")
}

/// Mean square over members and points of snapshot `k`.
fn power(fields: ArrayView4<f32>, k: usize) -> f64 {
    let fields = fields.index_axis(Axis(0), k);
    fields.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / fields.len() as f64
}

/// κσ²Σq/L² per unit time, summed here and now.
fn growth(config: &FlowConfig) -> f64 {
    let k2 = |n: i32| (std::f64::consts::TAU * f64::from(n) / config.length).powi(2);
    let q: f64 = (-20..=20).map(|n| (-config.noise.alpha * k2(n)).exp()).sum();
    config.noise.kappa * config.noise.sigma.powi(2) * q * q / config.length.powi(2)
}

#[test]
fn every_hold_policy_integrates_the_noise_to_its_documented_variance() {
    /// The variance estimate has (Σq)²/Σq² = 31.8 degrees of freedom per member: a standard error of 0.25/√60 = 3.2 %.
    /// Three of them.
    const MONTE_CARLO: f64 = 0.1;
    let (steps, members, m) = (100, 60, 5);
    let config = noise_only();
    let true_variance = growth(&config) * steps as f64 * config.dt;
    let rest = Array2::zeros((N, N));
    let phi = (-1.0 / m as f64).exp();
    let lag = 2.0 * phi * (1.0 - phi.powi(steps)) / (1.0 - phi * phi);
    for (every, hold, expected) in [
        (1, Hold::Held, 1.0),
        (1, Hold::Rescaled, 1.0),
        (m, Hold::Held, m as f64),
        (m, Hold::Rescaled, 1.0),
        (m, Hold::Redrawn, 1.0),
        (m, Hold::Ar1, 1.0 - lag / f64::from(steps)),
        (m, Hold::Paper, m as f64),
    ] {
        let plan = loop_of(steps as usize, members, every, hold);
        let ensemble = run_ensemble(&config, rest.view(), &exact(&config), &plan, &seeds(), 0).unwrap();
        let ratio = power(ensemble.fields.view(), 1) / true_variance;
        assert!((ratio / expected - 1.0).abs() < MONTE_CARLO, "{hold:?}, every {every}: {ratio}, expected {expected}");
        let per_step = matches!(hold, Hold::Redrawn | Hold::Ar1);
        assert_eq!(ensemble.cost.draws, if per_step { 100 } else { 100 / every });
    }
}

#[test]
fn with_a_draw_at_every_step_the_exact_law_is_the_full_solver_path_by_path() {
    /// Two arrangements of the same sums over 200 steps, then single precision of the stored fields.
    const ROUND_OFF: f32 = 1e-6;
    let config = flow();
    // Modes inside the mask, where both advect alike.
    let start = truncate(truncate(start().view(), 2 * (N / 3)).unwrap().view(), N).unwrap();
    let ensemble =
        run_ensemble(&config, start.view(), &exact(&config), &loop_of(200, 2, 1, Hold::Held), &seeds(), 0).unwrap();
    for m in 0..2 {
        let mut solver = Solver::new(&config).unwrap();
        solver.set_vorticity(start.view()).unwrap();
        let mut rng = seeds().child(m).stream();
        for _ in 0..200 {
            solver.step(Some(&mut rng)).unwrap();
        }
        let w = solver.vorticity();
        let found = ensemble.fields.slice(s![1, m, .., ..]);
        let worst = found.iter().zip(&w).map(|(a, &b)| (a - b as f32).abs()).fold(0.0, f32::max);
        assert!(worst < ROUND_OFF, "member {m}: {worst}");
    }
    assert_eq!(ensemble.times, [2.0, 2.0 + 200.0 * 1e-3]);
    assert!(ensemble.fields.slice(s![0, 0, .., ..]).iter().zip(&start).all(|(&a, &b)| a == b as f32));
}

#[test]
fn members_depend_neither_on_threads_nor_on_each_other() {
    let run = |members, threads| {
        let plan = loop_of(50, members, 5, Hold::Redrawn);
        run_ensemble(&flow(), start().view(), &exact(&flow()), &plan, &seeds(), threads).unwrap().fields
    };
    let one = run(5, 1);
    assert_eq!(run(5, 3), one);
    assert_eq!(run(2, 2), one.slice(s![.., ..2, .., ..]));
    assert_ne!(one.slice(s![1, 0, .., ..]), one.slice(s![1, 1, .., ..]));
}

/// H = rate·ω, or NaN from a time on, for members whose first random number is below a half.
#[derive(Clone)]
struct Bomb {
    rate: f64,
    nan_from: f64,
    armed: Option<bool>,
}

impl Closure for Bomb {
    fn name(&self) -> String {
        "bomb".into()
    }

    fn sample(&mut self, w: ArrayView2<f64>, t: f64, rng: &mut Stream, mut h: ArrayViewMut2<f64>) -> Result<()> {
        let armed = *self.armed.get_or_insert_with(|| rng.random::<f64>() < 0.5);
        let rate = if !armed {
            0.0
        } else if t >= self.nan_from {
            f64::NAN
        } else {
            self.rate
        };
        h.zip_mut_with(&w, |h, w| *h = rate * w);
        Ok(())
    }
}

#[test]
fn a_member_that_blows_up_is_a_result_and_the_others_go_on() {
    let mut plan = loop_of(60, 8, 2, Hold::Held);
    plan.snapshots = 6;
    let growing = Bomb { rate: 500.0, nan_from: f64::INFINITY, armed: None };
    let poisoned = Bomb { rate: 0.0, nan_from: 2.034, armed: None };
    for (bomb, earliest, latest) in [(growing, 2.01, 2.05), (poisoned, 2.034, 2.034)] {
        let ensemble = run_ensemble(&flow(), start().view(), &AnyClosure::new(bomb), &plan, &seeds(), 0).unwrap();
        let failed = ensemble.failures.iter().flatten().count();
        assert!(failed > 0 && failed < 8, "{:?}", ensemble.failures);
        for (m, failure) in ensemble.failures.iter().enumerate() {
            for (k, t) in ensemble.times.iter().enumerate() {
                let alive = ensemble.fields.slice(s![k, m, .., ..]).iter().all(|x| x.is_finite());
                assert_eq!(alive, failure.is_none_or(|failed| *t < failed), "member {m} at {t}: {failure:?}");
            }
            assert!(failure.is_none_or(|t| t > earliest - 1e-9 && t < latest + 1e-9), "{failure:?}");
        }
        assert!(ensemble.cost.steps < 60);
    }
}

#[test]
fn what_a_loop_cannot_do_is_refused_by_name() {
    let bomb = AnyClosure::new(Bomb { rate: 0.0, nan_from: 9.0, armed: None });
    let run = |plan: &RolloutConfig, closure: &AnyClosure, n: usize| {
        run_ensemble(&flow(), Array2::zeros((n, n)).view(), closure, plan, &seeds(), 1).unwrap_err().to_string()
    };
    let message = run(&loop_of(10, 1, 5, Hold::Rescaled), &bomb, N);
    assert!(message.contains("rollout.hold") && message.contains("bomb"), "{message}");
    assert!(run(&loop_of(10, 1, 0, Hold::Held), &bomb, N).contains("rollout.every"));
    assert!(run(&loop_of(0, 1, 5, Hold::Held), &bomb, N).contains("rollout.duration"));
    assert!(run(&RolloutConfig { duration: 0.0105, ..loop_of(1, 1, 5, Hold::Held) }, &bomb, N).contains("10.5"));
    let message = run(&loop_of(10, 1, 5, Hold::Held), &exact(&flow()), 16);
    assert!(message.contains("exact law") && message.contains("(32, 32)"), "{message}");
}

/// Stages at a size for tests: 200 steps to the start, 400 steps of rollout.
fn config(n: usize) -> Config {
    let mut config = Config::preset(Preset::Smoke);
    config.flow.n = n;
    config.data.n = N;
    config.rollout = RolloutConfig { snapshots: 4, references: 3, ..loop_of(400, 4, 5, Hold::Rescaled) };
    config.rollout.start = 0.2;
    config
}

fn law(config: &Config) -> ClosureRef {
    config.exact_law().unwrap()
}

fn run_both(config: &Config, store: &Store, name: &str, closure: AnyClosure) -> Ensemble {
    let made = rollout(config, &config.closure(name).unwrap(), closure, &[], store, &mut |_| ()).unwrap();
    assert_eq!(made.entry.parents.len(), 1);
    Ensemble::load(&made.path(Ensemble::FILE)).unwrap()
}

#[test]
fn the_exact_law_follows_the_true_flow_and_no_closure_does_not() {
    /// The exact law's only errors are the hold over 5 steps and the difference of two noise paths.
    const FACTOR: f64 = 30.0;
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let config = config(N);
    let ours = run_both(&config, &store, "exact", exact(&config.flow));
    let none = run_both(&config, &store, "none", AnyClosure::new(NoClosure));
    let truth =
        Reference::load(&store.find(&config.reference_stage()).unwrap().unwrap().path(Reference::FILE)).unwrap();
    let error = |ensemble: &Ensemble| {
        let mean = ensemble.fields.index_axis(Axis(0), 4).mean_axis(Axis(0)).unwrap();
        let truth = truth.fields.slice(s![4, 0, .., ..]);
        let square = |a: &dyn Fn(f32, f32) -> f32| mean.iter().zip(&truth).map(|(&x, &y)| a(x, y)).sum::<f32>();
        f64::from(square(&|x, y| (x - y).powi(2)) / square(&|_, y| y * y)).sqrt()
    };
    assert!(error(&none) > FACTOR * error(&ours), "{} against {}", error(&none), error(&ours));
    assert_eq!((ours.closure.as_str(), ours.times.len()), (EXACT_LAW, 5));
    assert_eq!(ours.device, "cpu");
    assert_eq!((ours.cost.steps, ours.cost.draws), (400, 80));
    assert!(ours.cost.closure_s > 0.0 && ours.cost.closure_s < ours.cost.thread_s);
    assert!(rollout(&config, &law(&config), exact(&config.flow), &[], &store, &mut |_| ()).unwrap().cached);
}

#[test]
fn the_reference_is_the_full_solver_coarsened_at_the_times_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    for coarsening in [Coarsening::Truncate, Coarsening::Stride] {
        let mut config = config(2 * N);
        config.data.coarsening = coarsening;
        config.rollout.references = 1;
        let made = reference(&config, &store, &mut |_| ()).unwrap();
        let truth = Reference::load(&made.path(Reference::FILE)).unwrap();
        assert_eq!(made.entry.files.len(), 1, "{:?}", made.entry.files.keys());
        let seeds = config.seeds().child("reference");
        let mut solver = Solver::new(&config.flow).unwrap();
        solver.set_vorticity(initial_vorticity(&config.flow, &seeds.child("initial")).unwrap().view()).unwrap();
        let mut rng = seeds.child("to-start").stream();
        for _ in 0..200 {
            solver.step(Some(&mut rng)).unwrap();
        }
        let coarse = |w: Field| match coarsening {
            Coarsening::Truncate => truncate(w.view(), N).unwrap(),
            Coarsening::Stride => w.slice(s![..;2, ..;2]).to_owned(),
        };
        let full = solver.vorticity();
        assert_eq!(truth.start, coarse(full.clone()));
        solver.set_vorticity(full.view()).unwrap();
        let mut rng = seeds.child(0).stream();
        for step in 1..=400 {
            solver.step(Some(&mut rng)).unwrap();
            if step % 100 == 0 {
                let w = coarse(solver.vorticity()).mapv(|w| w as f32);
                assert_eq!(truth.fields.slice(s![step / 100, 0, .., ..]), w);
                assert!((truth.times[step / 100] - 0.2 - step as f64 * 1e-3).abs() < 1e-12);
            }
        }
    }
}

#[test]
fn an_interrupted_run_goes_on_with_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(N);
    let whole = Store::open(folder.path().join("whole")).unwrap();
    let expected = run_both(&config, &whole, "exact", exact(&config.flow));
    let truth = |store: &Store| {
        Reference::load(&store.find(&config.reference_stage()).unwrap().unwrap().path(Reference::FILE)).unwrap().fields
    };
    let store = Store::open(folder.path().join("killed")).unwrap();
    // Killed with all realisations, then with all members computed, but nothing assembled. That line is always said; how many
    // parts a kill in the middle would leave is a matter of timing, so two are then taken away by hand.
    let mut lines: Vec<String> = Vec::new();
    for (stage, fatal) in [
        (config.reference_stage(), ": 3/3 realisations"),
        (config.rollout_stage(&law(&config)).unwrap(), ": 4/4 members"),
    ] {
        let killed = catch_unwind(AssertUnwindSafe(|| {
            rollout(&config, &law(&config), exact(&config.flow), &[], &store, &mut |line| {
                lines.push(line.into());
                assert!(!line.contains(fatal), "killed on purpose: {line}");
            })
        }));
        assert!(killed.is_err());
        let part = |m: usize| store.root().join(format!("{}.partial/member-{m:05}.h5", stage.folder()));
        std::fs::remove_file(part(0)).unwrap();
        // One that was being written when the power went.
        let bytes = std::fs::read(part(2)).unwrap();
        std::fs::write(part(2), &bytes[..bytes.len() / 2]).unwrap();
    }
    // A bit of a field, in a file that HDF5 reads without a word.
    let spoiled =
        store.root().join(format!("{}.partial/member-00003.h5", config.rollout_stage(&law(&config)).unwrap().folder()));
    let mut bytes = std::fs::read(&spoiled).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&spoiled, bytes).unwrap();
    let made =
        rollout(&config, &law(&config), exact(&config.flow), &[], &store, &mut |line| lines.push(line.into())).unwrap();
    for there in ["1 of 3 realisations are there", "1 of 4 members are there", "member-00003.h5: changed"] {
        assert!(lines.iter().any(|line| line.contains(there)), "{there}: {lines:?}");
    }
    let starts = lines.iter().filter(|line| line.contains("1/1 trajectories")).count();
    assert_eq!(starts, 1, "the start state is kept: {lines:?}");
    assert_eq!(Ensemble::load(&made.path(Ensemble::FILE)).unwrap().fields, expected.fields);
    assert_eq!(truth(&store), truth(&whole));
    assert_eq!(made.entry.files.len(), 1, "{:?}", made.entry.files.keys());
}

#[test]
fn shards_make_the_same_ensemble() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(N);
    let whole = Store::open(folder.path().join("whole")).unwrap();
    let expected = run_both(&config, &whole, "exact", exact(&config.flow));
    let store = Store::open(folder.path().join("shards")).unwrap();
    reference(&config, &store, &mut |_| ()).unwrap();
    let run = |shard| rollout_shard(&config, &law(&config), exact(&config.flow), &[], shard, &store, &mut |_| ());
    assert!(run((2, 3)).unwrap().is_none());
    assert!(run((1, 3)).unwrap().is_none());
    let made = run((3, 3)).unwrap().unwrap();
    assert_eq!(Ensemble::load(&made.path(Ensemble::FILE)).unwrap().fields, expected.fields);
    assert!(run((1, 3)).unwrap().unwrap().cached);
    for wrong in [(0, 3), (4, 3)] {
        assert!(run(wrong).unwrap_err().to_string().contains("of 3"));
    }
}

#[test]
fn without_noise_there_is_one_path() {
    let quiet = FlowConfig { noise: NoiseConfig { sigma: 0.0, ..flow().noise }, ..flow() };
    let plan = loop_of(20, 2, 5, Hold::Rescaled);
    let fields = run_ensemble(&quiet, start().view(), &exact(&quiet), &plan, &seeds(), 0).unwrap().fields;
    assert_eq!(fields.slice(s![1, 0, .., ..]), fields.slice(s![1, 1, .., ..]));
}

#[test]
fn a_subgrid_problem_rolls_out_with_its_own_advection() {
    /// Two arrangements of the same sums over 400 steps, then single precision of the stored fields.
    const ROUND_OFF: f32 = 1e-6;
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let mut config = config(2 * N);
    config.data.term = MissingTerm::Subgrid { filter: FilterConfig::Sharp, resolved: ResolvedModes::TwoThirds };
    config.rollout.members = 1;
    config.rollout.references = 1;
    let closed = run_both(&config, &store, "leith", AnyClosure::new(Subgrid::leith(1.0, N, 1.0).unwrap()));
    let open = run_both(&config, &store, "none", AnyClosure::new(NoClosure));
    let truth =
        Reference::load(&store.find(&config.reference_stage()).unwrap().unwrap().path(Reference::FILE)).unwrap();
    // Without a closure it is the full solver of the coarse grid, without noise.
    let mut solver = Solver::new(&flow()).unwrap();
    solver.set_vorticity(truth.start.view()).unwrap();
    for k in 0..=4 {
        let found = open.fields.slice(s![k, 0, .., ..]);
        let worst = found.iter().zip(&solver.vorticity()).map(|(a, &b)| (a - b as f32).abs()).fold(0.0, f32::max);
        assert!(worst < ROUND_OFF, "snapshot {k}: {worst}");
        (0..100).for_each(|_| solver.step(None).unwrap());
    }
    // The closure takes enstrophy, from the same start on.
    assert_eq!(closed.fields.slice(s![0, .., .., ..]), open.fields.slice(s![0, .., .., ..]));
    for k in 1..=4 {
        assert!(power(closed.fields.view(), k) < power(open.fields.view(), k), "snapshot {k}");
    }
}
