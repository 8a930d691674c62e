//! The solver against closed forms, budgets, orders and the published law of its noise.

use lacuna::config::{FlowConfig, NoiseConfig, Stepper};
use lacuna::flow::{Advection, QWiener, Reduced, Solver, Trajectory, initial_vorticity, run_batch};
use lacuna::rng::SeedTree;
use lacuna::spectral::{Field, Grid, Spectrum, irfft2, rfft2, truncate};
use ndarray::{Array2, ArrayView2};
use num_complex::Complex64;

const TAU: f64 = std::f64::consts::TAU;
/// Round-off of a few transforms, relative to the largest value.
const ROUND_OFF: f64 = 1e-12;

fn quiet(n: usize) -> FlowConfig {
    FlowConfig {
        n,
        forcing: 0.0,
        noise: NoiseConfig { sigma: 0.0, ..FlowConfig::default().noise },
        ..FlowConfig::default()
    }
}

fn field(n: usize, f: impl Fn(f64, f64) -> f64) -> Field {
    Array2::from_shape_fn((n, n), |(i, j)| f(i as f64 / n as f64, j as f64 / n as f64))
}

fn rms(a: ArrayView2<f64>) -> f64 {
    (a.iter().map(|x| x * x).sum::<f64>() / a.len() as f64).sqrt()
}

fn distance(a: &Field, b: &Field) -> f64 {
    rms((a - b).view()) / rms(b.view()).max(f64::MIN_POSITIVE)
}

/// The published algorithm, transform by transform: u and ∇ω from all modes, product masked afterwards.
fn published_advection(w: ArrayView2<f64>, length: f64) -> Field {
    let n = w.nrows();
    let grid = Grid::new(n, length).unwrap();
    let w_hat = rfft2(w);
    let part = |f: &dyn Fn(f64, f64, f64) -> Complex64| -> Field {
        let mut out: Spectrum = w_hat.clone();
        for ((i, j), value) in out.indexed_iter_mut() {
            *value *= f(grid.kx(i), grid.ky(j), if i + j == 0 { 1.0 } else { grid.k2(i, j) });
        }
        irfft2(&out, n)
    };
    let im = Complex64::i();
    let (u, v) = (part(&|_, ky, k2| im * ky / k2), part(&|kx, _, k2| -im * kx / k2));
    let (wx, wy) = (part(&|kx, _, _| im * kx), part(&|_, ky, _| im * ky));
    let mut product = rfft2((u * wx + v * wy).view());
    for ((i, j), value) in product.indexed_iter_mut() {
        *value *= if grid.dealiased(i, j) { -1.0 } else { 0.0 };
    }
    irfft2(&product, n)
}

fn rough(n: usize, seed: u64) -> Field {
    initial_vorticity(&quiet(n), &SeedTree::new(seed)).unwrap()
}

#[test]
fn advection_is_the_published_one_for_masked_and_for_any_fields() {
    for n in [16, 24, 48, 64, 100] {
        for length in [1.0, 3.0] {
            let mut advection = Advection::new(n, length).unwrap();
            let mut out = Array2::zeros((n, n));
            // Modes up to N/2, then modes inside the mask only.
            let inside = truncate(truncate(rough(n, 3).view(), 2 * (n / 3)).unwrap().view(), n).unwrap();
            for w in [rough(n, 3), inside] {
                let expected = published_advection(w.view(), length);
                advection.eval(w.view(), out.view_mut());
                assert!(distance(&out, &expected) < ROUND_OFF, "n = {n}: {}", distance(&out, &expected));
            }
        }
    }
    // White in space: the Nyquist modes matter.
    let n = 32;
    let mut state = 1u64;
    let white = Array2::from_shape_simple_fn((n, n), || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64 - 0.5
    });
    let mut out = Array2::zeros((n, n));
    Advection::new(n, 1.0).unwrap().eval(white.view(), out.view_mut());
    assert!(distance(&out, &published_advection(white.view(), 1.0)) < ROUND_OFF);
}

#[test]
fn manufactured_advection() {
    // ω = cos kx + cos ly: u = −sin(ly)/l, v = sin(kx)/k.
    let n = 32;
    let w = field(n, |x, y| (TAU * x).cos() + (2.0 * TAU * y).cos());
    let expected = field(n, |x, y| {
        let (k, l) = (TAU, 2.0 * TAU);
        let (u, v) = (-(l * y).sin() / l, (k * x).sin() / k);
        -(u * -k * (k * x).sin() + v * -l * (l * y).sin())
    });
    let mut out = Array2::zeros((n, n));
    Advection::new(n, 1.0).unwrap().eval(w.view(), out.view_mut());
    assert!(distance(&out, &expected) < ROUND_OFF);
}

#[test]
fn the_dealiased_jacobian_conserves_energy_and_enstrophy() {
    let n = 64;
    let grid = Grid::new(n, 1.0).unwrap();
    let mut w_hat = rfft2(rough(n, 5).view());
    w_hat.indexed_iter_mut().for_each(|((i, j), w)| *w *= f64::from(grid.dealiased(i, j)));
    let w = irfft2(&w_hat, n);
    w_hat.indexed_iter_mut().for_each(|((i, j), w)| *w *= if i + j == 0 { 0.0 } else { 1.0 / grid.k2(i, j) });
    let psi = irfft2(&w_hat, n);
    let mut out = Array2::zeros((n, n));
    Advection::new(n, 1.0).unwrap().eval(w.view(), out.view_mut());
    let scale = |a: &Field| rms(a.view()) * rms(out.view());
    assert!((&w * &out).mean().unwrap().abs() < ROUND_OFF * scale(&w));
    assert!((&psi * &out).mean().unwrap().abs() < ROUND_OFF * scale(&psi));
}

#[test]
fn a_single_mode_decays_as_the_scheme_says() {
    let wave = |x: f64, y: f64| (TAU * (3.0 * x + 2.0 * y)).cos();
    for (stepper, order) in [(Stepper::CnEuler, 1), (Stepper::CnAb2, 2), (Stepper::Etdrk4, 1)] {
        let config = FlowConfig {
            stepper,
            viscosity: 1e-2f64.powi(order as i32 * 2),
            viscosity_order: order,
            friction: 0.3,
            ..quiet(32)
        };
        let mut solver = Solver::new(&config).unwrap();
        solver.set_vorticity(field(32, wave).view()).unwrap();
        let steps = 200;
        (0..steps).for_each(|_| solver.step(None).unwrap());
        let z = config.dt * (config.viscosity * (13.0 * TAU * TAU).powi(order as i32) + 0.3);
        let factor = if stepper == Stepper::Etdrk4 { (-z).exp() } else { (1.0 - z / 2.0) / (1.0 + z / 2.0) };
        let expected = field(32, wave) * factor.powi(steps);
        assert!(distance(&solver.vorticity(), &expected) < ROUND_OFF, "{stepper:?}");
    }
}

#[test]
fn taylor_green_decays_exactly() {
    let config = FlowConfig { stepper: Stepper::Etdrk4, ..quiet(64) };
    let vortices = field(64, |x, y| 2.0 * (TAU * x).sin() * (TAU * y).sin());
    let mut solver = Solver::new(&config).unwrap();
    solver.set_vorticity(vortices.view()).unwrap();
    (0..1000).for_each(|_| solver.step(None).unwrap());
    let expected = &vortices * (-2.0 * TAU * TAU * config.viscosity).exp();
    assert!(distance(&solver.vorticity(), &expected) < ROUND_OFF);
}

/// ω at t = 0.8 from a smooth, fully nonlinear start.
fn run(stepper: Stepper, steps: usize) -> Field {
    let config = FlowConfig { stepper, dt: 0.8 / steps as f64, forcing: 0.1, ..quiet(32) };
    let start = field(32, |x, y| (TAU * x).sin() * 3.0 + (TAU * (x + 2.0 * y)).cos() * 2.0 + (TAU * 2.0 * y).sin());
    let mut solver = Solver::new(&config).unwrap();
    solver.set_vorticity(start.view()).unwrap();
    (0..steps).for_each(|_| solver.step(None).unwrap());
    solver.vorticity()
}

#[test]
fn steppers_have_their_orders() {
    let exact = run(Stepper::Etdrk4, 1600);
    // Slack: the next term of the error expansion at these steps.
    for (stepper, coarse, order, slack) in
        [(Stepper::CnEuler, 400, 1.0, 0.1), (Stepper::CnAb2, 200, 2.0, 0.15), (Stepper::Etdrk4, 50, 4.0, 0.3)]
    {
        let errors = [distance(&run(stepper, coarse), &exact), distance(&run(stepper, 2 * coarse), &exact)];
        let measured = (errors[0] / errors[1]).log2();
        assert!((measured - order).abs() < slack, "{stepper:?}: order {measured}, errors {errors:?}");
    }
}

#[test]
fn lamb_dipole_translates_at_its_speed() {
    // Lamb, Hydrodynamics (6th ed.), §165: ω = −2κU J₁(κr) sin θ/J₀(κa) inside r < a, κa = 3.8317; moves along x at U.
    let (n, a, speed, root) = (128, 0.08, 1.0, 3.831_705_970_207_512);
    let kappa = root / a;
    let bessel = |order: i32, x: f64| {
        // Integral representation by the trapezoidal rule, exact to round-off for these arguments.
        let m = 64;
        (0..m)
            .map(|p| {
                let t = TAU * p as f64 / m as f64;
                (order as f64 * t - x * t.sin()).cos()
            })
            .sum::<f64>()
            / m as f64
    };
    let j0 = bessel(0, root);
    let dipole = field(n, |x, y| {
        let (x, y) = (x - 0.3, y - 0.5);
        let r = x.hypot(y);
        if r < a { -2.0 * kappa * speed * bessel(1, kappa * r) * (y / r.max(1e-300)) / j0 } else { 0.0 }
    });
    let config = FlowConfig { stepper: Stepper::Etdrk4, dt: 1e-3, viscosity: 1e-6, ..quiet(n) };
    let mut solver = Solver::new(&config).unwrap();
    let start = truncate(truncate(dipole.view(), 84).unwrap().view(), n).unwrap();
    solver.set_vorticity(start.view()).unwrap();
    let centre = |w: &Field| {
        // Centroid of ω² along x: the dipole stays away from the seam.
        let mass = w.iter().map(|w| w * w).sum::<f64>();
        w.indexed_iter().map(|((i, _), w)| w * w * i as f64 / n as f64).sum::<f64>() / mass
    };
    let before = centre(&start);
    let steps = 200;
    (0..steps).for_each(|_| solver.step(None).unwrap());
    let moved = (centre(&solver.vorticity()) - before) / (steps as f64 * config.dt);
    // The dipole's impulse per mass is 2πa²U. On a periodic square without mean flow, its images move it back at half of
    // that per unit area: U(1 − πa²/L²); what is left is O(a⁴) and the resolution of the vorticity's kink at r = a.
    let expected = speed * (1.0 - std::f64::consts::PI * a * a);
    assert!((moved / expected - 1.0).abs() < 0.01, "speed {moved}, expected {expected}");
}

#[test]
fn noise_has_the_published_covariance() {
    let config = FlowConfig { n: 32, ..FlowConfig::default() };
    let (n, samples) = (32usize, 4000);
    let grid = Grid::new(n, 1.0).unwrap();
    let mut noise = QWiener::new(&config).unwrap();
    assert!((noise.std() - 0.019947).abs() < 1e-5, "{}", noise.std());
    let mut rng = SeedTree::new(1).stream();
    let mut power = Array2::<f64>::zeros((n, n / 2 + 1));
    let mut square = 0.0;
    let mut h = Array2::zeros((n, n));
    for _ in 0..samples {
        noise.sample_into(&mut rng, h.view_mut());
        square += rms(h.view()).powi(2) / samples as f64;
        power.zip_mut_with(&rfft2(h.view()), |p, c| *p += c.norm_sqr() / samples as f64);
    }
    assert!((square.sqrt() / noise.std() - 1.0).abs() < 0.01, "{}", square.sqrt());
    let unit = config.noise.kappa * config.noise.sigma.powi(2) * (n as f64).powi(4) / config.dt;
    for ((i, j), &p) in power.indexed_iter() {
        let expected = unit * (-config.noise.alpha * grid.k2(i, j)).exp();
        if expected > 1e-12 * unit {
            // |ĥ|² is exponential (relative deviation 1), of a real mode χ²₁ (√2); 5 standard errors over 400 modes.
            let error = 5.0 * 2f64.sqrt() / (samples as f64).sqrt();
            assert!((p / expected - 1.0).abs() < error, "mode ({i}, {j}): {}", p / expected);
        }
    }
}

#[test]
fn one_draw_has_the_law_of_ten_summed_ones() {
    // Sum of κ = 10 draws at κ = 1 against one at κ = 10: equal variance per mode and Gaussian kurtosis.
    let one = FlowConfig { n: 16, ..FlowConfig::default() };
    let tenth = FlowConfig { noise: NoiseConfig { kappa: 1.0, ..one.noise.clone() }, ..one.clone() };
    let moments = |config: &FlowConfig, draws: usize, seed: u64| {
        let mut noise = QWiener::new(config).unwrap();
        let mut rng = SeedTree::new(seed).stream();
        let (mut second, mut fourth, samples) = (0.0, 0.0, 4000);
        let mut h = Array2::zeros((16, 16));
        for _ in 0..samples {
            let mut sum = Array2::<f64>::zeros((16, 16));
            for _ in 0..draws {
                noise.sample_into(&mut rng, h.view_mut());
                sum += &h;
            }
            second += sum.mapv(|x| x.powi(2)).mean().unwrap() / samples as f64;
            fourth += sum.mapv(|x| x.powi(4)).mean().unwrap() / samples as f64;
        }
        (second, fourth / second.powi(2))
    };
    let (a, b) = (moments(&one, 1, 1), moments(&tenth, 10, 2));
    // About 25 independent patches per field: standard errors 0.4 % and 1 %.
    assert!((a.0 / b.0 - 1.0).abs() < 0.03, "{a:?} {b:?}");
    assert!((a.1 - 3.0).abs() < 0.1 && (b.1 - 3.0).abs() < 0.1, "{a:?} {b:?}");
}

#[test]
fn enstrophy_budget_closes_with_the_injected_noise() {
    // From rest, without viscosity or forcing: d/dt ½⟨ω²⟩ = ½κσ²Σq/L². Loud noise, many short runs.
    let (steps, runs) = (20, 400);
    let config = FlowConfig { viscosity: 0.0, forcing: 0.0, n: 32, ..FlowConfig::default() };
    let mut solver = Solver::new(&config).unwrap();
    let rest = Array2::zeros((32, 32));
    let mut enstrophy = 0.0;
    for run in 0..runs {
        let mut rng = SeedTree::new(9).child(run).stream();
        solver.set_vorticity(rest.view()).unwrap();
        (0..steps).for_each(|_| solver.step(Some(&mut rng)).unwrap());
        enstrophy += 0.5 * rms(solver.vorticity().view()).powi(2) / runs as f64;
    }
    let rate = 0.5 * QWiener::new(&config).unwrap().std().powi(2) * config.dt;
    let ratio = enstrophy / (rate * steps as f64 * config.dt);
    // Relative standard error (2/(25 patches · 400 runs))^½ = 1.4 %.
    assert!((ratio - 1.0).abs() < 0.06, "{ratio}");
}

#[test]
fn snapshots_show_the_draw_of_the_next_step() {
    let config = FlowConfig { n: 64, ..FlowConfig::default() };
    let start = truncate(truncate(rough(64, 4).view(), 42).unwrap().view(), 64).unwrap();
    let (mut rng, mut other) = (SeedTree::new(2).stream(), SeedTree::new(2).stream());
    let mut solver = Solver::new(&config).unwrap();
    let mut silent = Solver::new(&config).unwrap();
    let mut reduced = Reduced::new(&config).unwrap();
    for target in [&mut solver, &mut silent] {
        target.set_vorticity(start.view()).unwrap();
    }
    reduced.set_vorticity(start.view()).unwrap();
    for _ in 0..5 {
        let pair = solver.snapshot(Some(&mut rng));
        assert!(distance(&reduced.vorticity(), &pair.vorticity) < ROUND_OFF);
        reduced.step(pair.closure.view()).unwrap();
        solver.step(Some(&mut rng)).unwrap();
        silent.step(Some(&mut other)).unwrap();
    }
    // The reduced solver with the true H is the solver, and looking does not change the run.
    assert!(distance(&reduced.vorticity(), &solver.vorticity()) < ROUND_OFF);
    assert_eq!(silent.vorticity(), solver.vorticity());
}

#[test]
fn both_forms_and_both_precisions_agree_over_a_run() {
    let start = truncate(truncate(rough(64, 8).view(), 42).unwrap().view(), 64).unwrap();
    let mut spoiled = start.clone();
    spoiled += &field(64, |x, _| 1e-9 * (TAU * 30.0 * x).cos());
    let mut solvers = [Solver::new(&quiet(64)).unwrap(), Solver::new(&quiet(64)).unwrap()];
    let mut single = Solver::<f32>::with_scalar(&quiet(64)).unwrap();
    solvers[0].set_vorticity(start.view()).unwrap();
    solvers[1].set_vorticity(spoiled.view()).unwrap();
    single.set_vorticity(start.view()).unwrap();
    for _ in 0..100 {
        solvers.iter_mut().for_each(|solver| solver.step(None).unwrap());
        single.step(None).unwrap();
    }
    let [a, b] = solvers.map(|mut solver| solver.vorticity());
    // The spoiled run carries a perturbation of 1e-9 and uses the general form throughout.
    assert!(distance(&b, &a) < 1e-8, "{}", distance(&b, &a));
    // 100 steps of single precision.
    assert!(distance(&single.vorticity(), &a) < 1e-5, "{}", distance(&single.vorticity(), &a));
}

#[test]
fn batches_do_not_depend_on_the_number_of_threads() {
    let config = FlowConfig { n: 32, ..FlowConfig::default() };
    let batch = || -> Vec<Trajectory> {
        (0..3)
            .map(|i| {
                let mut solver = Solver::new(&config).unwrap();
                solver.set_vorticity(rough(32, i).view()).unwrap();
                Trajectory { solver, noise: Some(SeedTree::new(i).stream()) }
            })
            .collect()
    };
    let outcome = |threads| {
        let mut batch = batch();
        let seen = std::sync::Mutex::new(Vec::new());
        run_batch(&mut batch, 90, 30, threads, |i, step, _| {
            seen.lock().unwrap().push((i, step));
            Ok(())
        })
        .unwrap();
        let mut seen = seen.into_inner().unwrap();
        seen.sort_unstable();
        (batch.iter_mut().map(|member| member.solver.vorticity()).collect::<Vec<_>>(), seen)
    };
    let (one, seen) = outcome(1);
    assert_eq!(seen, (0..3).flat_map(|i| [0, 30, 60, 90].map(|step| (i, step))).collect::<Vec<_>>());
    assert_eq!((one, seen), outcome(3));
}

#[test]
fn a_run_that_blows_up_keeps_its_last_good_state() {
    let config = FlowConfig { dt: 0.5, viscosity: 0.0, ..quiet(32) };
    let start = rough(32, 1) * 10.0;
    let mut solver = Solver::new(&config).unwrap();
    solver.set_vorticity(start.view()).unwrap();
    let error = loop {
        match solver.step(None) {
            Ok(()) => assert!(solver.steps() < 100, "a run at this step cannot be stable"),
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("Courant"), "{error}");
    assert!(solver.vorticity().iter().all(|w| w.is_finite()));
    let mut bad = start;
    bad[(3, 4)] = f64::NAN;
    assert!(solver.set_vorticity(bad.view()).unwrap_err().to_string().contains("not finite"));
    assert!(solver.set_vorticity(Array2::zeros((16, 16)).view()).is_err());
}

#[test]
fn statistics_are_those_of_the_paper() {
    // rms ω = 0.976 and rms H = 0.2155 for t in [20, 40) over 24 trajectories; here two trajectories, one half of that
    // time: individual trajectories differ by tens of per cent.
    let config = FlowConfig { dt: 4e-3, n: 32, ..FlowConfig::default() };
    let mut batch: Vec<Trajectory> = (0..4)
        .map(|i| {
            let seeds = SeedTree::new(40 + i);
            let mut solver = Solver::new(&config).unwrap();
            solver.set_vorticity(initial_vorticity(&config, &seeds.child("initial")).unwrap().view()).unwrap();
            Trajectory { solver, noise: Some(seeds.child("noise").stream()) }
        })
        .collect();
    let sums = std::sync::Mutex::new((0.0, 0.0, 0usize));
    run_batch(&mut batch, 7500, 250, 0, |_, step, member| {
        if step >= 5000 {
            let pair = member.solver.snapshot(member.noise.as_mut());
            let mut sums = sums.lock().unwrap();
            sums.0 += rms(pair.vorticity.view()).powi(2);
            sums.1 += rms(pair.closure.view()).powi(2);
            sums.2 += 1;
        }
        Ok(())
    })
    .unwrap();
    let (w, h, count) = sums.into_inner().unwrap();
    let (w, h) = ((w / count as f64).sqrt(), (h / count as f64).sqrt());
    assert!((0.8..1.2).contains(&w), "rms ω = {w}");
    assert!((0.15..0.32).contains(&h), "rms H = {h}");
}

#[derive(clap::Parser)]
struct Simulate {
    #[command(flatten)]
    args: lacuna::cli::simulate::SimulateArgs,
}

/// `lacuna simulate` with `options` on `fields`; the message of its error, or `vorticity` and `t`.
fn simulate(
    fields: &ndarray::Array3<f64>,
    dataset: &str,
    options: &str,
) -> (Result<(), String>, Option<(ndarray::Array4<f64>, Vec<f64>)>) {
    use clap::Parser;
    let folder = tempfile::tempdir().unwrap();
    let (init, out) = (folder.path().join("init.h5"), folder.path().join("out.h5"));
    let file = hdf5::File::create(&init).unwrap();
    file.new_dataset_builder().with_data(fields).create("batch").unwrap();
    let single = fields.index_axis(ndarray::Axis(0), 0).mapv(|w| w as f32);
    file.new_dataset_builder().with_data(&single).create("single").unwrap();
    file.close().unwrap();
    let line = format!("simulate --init {} --dataset {dataset} --out {} {options}", init.display(), out.display());
    let outcome = lacuna::cli::simulate::run(&Simulate::parse_from(line.split_whitespace()).args);
    let written = out.exists().then(|| {
        let file = hdf5::File::open(&out).unwrap();
        let w = file.dataset("vorticity").unwrap().read().unwrap();
        (w, file.dataset("t").unwrap().read_raw().unwrap())
    });
    // Nothing half-written stays behind.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1 + usize::from(written.is_some()));
    (outcome.map_err(|error| error.to_string()), written)
}

#[test]
fn simulate_follows_the_published_algorithm() {
    let n = 36;
    let starts = ndarray::stack![ndarray::Axis(0), rough(n, 1), rough(n, 2), rough(n, 3)];
    let (outcome, written) = simulate(&starts, "batch", "--steps 60 --every 20 --no-noise");
    outcome.unwrap();
    let (w, t) = written.unwrap();
    assert_eq!(w.dim(), (3, 4, n, n));
    assert!(t.iter().zip([0.0, 0.02, 0.04, 0.06]).all(|(a, b)| (a - b).abs() < 1e-15));
    let (grid, dt, nu) = (Grid::new(n, 1.0).unwrap(), 1e-3, 1e-3);
    let force = rfft2(field(n, |x, y| 0.1 * ((TAU * (x + y)).sin() + (TAU * (x + y)).cos())).view());
    for (start, member) in starts.outer_iter().zip(w.outer_iter()) {
        assert_eq!(start, member.index_axis(ndarray::Axis(0), 0));
        let mut state = start.to_owned();
        for step in 1..=60 {
            let rate = rfft2(published_advection(state.view(), 1.0).view()) + &force;
            let mut w_hat = rfft2(state.view());
            for ((i, j), w) in w_hat.indexed_iter_mut() {
                let half = 0.5 * dt * nu * grid.k2(i, j);
                *w = (*w * (1.0 - half) + rate[(i, j)] * dt) / (1.0 + half);
            }
            state = irfft2(&w_hat, n);
            if step % 20 == 0 {
                let ours = member.index_axis(ndarray::Axis(0), step / 20).to_owned();
                assert!(distance(&ours, &state) < 1e-11, "step {step}: {}", distance(&ours, &state));
            }
        }
    }
}

#[test]
fn simulate_takes_single_fields_and_explains_its_errors() {
    let starts = ndarray::stack![ndarray::Axis(0), rough(16, 1), rough(16, 2)];
    let (outcome, written) = simulate(&starts, "single", "--steps 5 --every 2 --stepper etdrk4 --viscosity 2e-3");
    outcome.unwrap();
    assert_eq!(written.unwrap().0.dim(), (1, 3, 16, 16));
    let (outcome, written) = simulate(&starts, "missing", "--steps 5 --every 2");
    assert!(outcome.unwrap_err().contains("batch") && written.is_none());
    // A run that blows up keeps what it has.
    let (outcome, written) = simulate(&(starts * 100.0), "batch", "--steps 50 --every 1 --dt 0.05 --no-noise");
    assert!(outcome.unwrap_err().contains("Courant"));
    let (w, t) = written.unwrap();
    assert!(w.len_of(ndarray::Axis(1)) == t.len() && !t.is_empty() && w.iter().all(|w| w.is_finite()));
}
