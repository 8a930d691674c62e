//! The solver against closed forms, budgets, orders and the published law of its noise.

use lacuna::config::{Config, FlowConfig, ForcingPattern, Preset, Stepper};
use lacuna::flow::{Advection, QWiener, Solver, Trajectory, initial_vorticity, run_batch};
use lacuna::rng::SeedTree;
use lacuna::spectral::{Field, Grid, irfft2, rfft2, truncate};
use ndarray::Array2;

use crate::fields::{ROUND_OFF, TAU, distance, field, published_advection, quiet, rms, rough};

/// Relative error of the speed of a dipole whose vorticity has a kink at ten grid points from its centre.
const DIPOLE: f64 = 0.01;
/// A mode beyond the mask, large enough that the solver does not take it for round-off.
const SPOIL: f64 = 1e-9;
/// Round-off of 100 steps in single precision (6e-8), which add up and do not cancel.
const SINGLE: f64 = 1e-5;

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
    let (n, white) = (32, white(32));
    let mut out = Array2::zeros((n, n));
    Advection::new(n, 1.0).unwrap().eval(white.view(), out.view_mut());
    assert!(distance(&out, &published_advection(white.view(), 1.0)) < ROUND_OFF);
}

/// A field that is white in space.
fn white(n: usize) -> Field {
    let mut state = 1u64;
    Array2::from_shape_simple_fn((n, n), || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64 - 0.5
    })
}

#[test]
fn the_mirror_image_of_a_white_field_runs_as_the_mirror_image() {
    let run = |start: Field| {
        let mut solver = Solver::new(&quiet(32)).unwrap();
        solver.set_vorticity(start.view()).unwrap();
        (0..300).for_each(|_| solver.step(None).unwrap());
        solver.vorticity()
    };
    // x and y exchanged, which turns vortices the other way round.
    let mirrored = |w: &Field| -w.t().to_owned();
    let (image, other) = (mirrored(&run(white(32))), run(mirrored(&white(32))));
    assert!(distance(&image, &other) < ROUND_OFF, "{}", distance(&image, &other));
}

#[test]
fn fields_of_the_presets_have_no_nyquist_modes() {
    for preset in Preset::ALL {
        let flow = Config::preset(preset).flow;
        let n = flow.n;
        let start = initial_vorticity(&flow, &SeedTree::new(7)).unwrap();
        let mut draw = Array2::zeros((n, n));
        QWiener::new(&flow).unwrap().sample_into(&mut SeedTree::new(8).stream(), draw.view_mut());
        for field in [start, draw] {
            let modes = rfft2(field.view());
            let largest =
                |modes: &mut dyn Iterator<Item = &num_complex::Complex64>| modes.map(|z| z.norm()).fold(0.0, f64::max);
            let (row, column) = (largest(&mut modes.row(n / 2).iter()), largest(&mut modes.column(n / 2).iter()));
            assert!(row.max(column) <= 1e-13 * largest(&mut modes.iter()), "{preset:?}: {row} {column}");
        }
    }
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
fn steady_forcings_are_their_patterns() {
    for pattern in [
        ForcingPattern::Diagonal,
        ForcingPattern::Waves { x: 4, y: 4 },
        ForcingPattern::Waves { x: 3, y: 0 },
        ForcingPattern::Waves { x: 0, y: 5 },
    ] {
        let config = FlowConfig { forcing: -1.7, forcing_pattern: pattern, ..quiet(24) };
        let known = Solver::new(&config).unwrap().snapshot(None).known;
        let expected = field(24, |x, y| -1.7 * pattern.at(x, y));
        assert!(distance(&known, &expected) < ROUND_OFF, "{pattern:?}");
        // Both mirror images of a real field's modes are forced, in the line n_y = 0, too.
        let mut solver = Solver::new(&config).unwrap();
        solver.step(None).unwrap();
        let modes = solver.state().modes;
        let mirrored =
            |i: usize| (modes[2 * i] - modes[2 * (24 - i)]).abs() + (modes[2 * i + 1] + modes[2 * (24 - i) + 1]).abs();
        assert!((1..24).all(|i| mirrored(i) < ROUND_OFF), "{pattern:?}");
        let (wave, other) = ((TAU * 3.0 / 8.0).cos(), (TAU * 5.0 / 8.0).cos());
        let by_hand = match pattern {
            ForcingPattern::Diagonal => (TAU / 4.0).sin() + (TAU / 4.0).cos(),
            ForcingPattern::Waves { x: 4, .. } => 2.0 * (TAU / 2.0).cos(),
            ForcingPattern::Waves { x: 3, .. } => wave,
            ForcingPattern::Waves { .. } => other,
        };
        assert!((pattern.at(0.125, 0.125) - by_hand).abs() < ROUND_OFF, "{pattern:?}");
    }
}

#[test]
fn rossby_waves_travel_west_at_their_speed() {
    // One mode moves no other: ω = cos(k·x − Ωt) with Ω = −βk_x/|k|².
    let (beta, k2) = (30.0, 13.0 * TAU * TAU);
    let frequency = -beta * 3.0 * TAU / k2;
    // Of second order in Ωh = 1e-3 per step, and to round-off.
    for (stepper, tolerance) in [(Stepper::CnAb2, 1e-5), (Stepper::Etdrk4, 1e-11)] {
        let config = FlowConfig { stepper, beta, viscosity: 0.0, ..quiet(32) };
        config.validate().unwrap();
        let mut solver = Solver::new(&config).unwrap();
        solver.set_vorticity(field(32, |x, y| (TAU * (3.0 * x + 2.0 * y)).cos()).view()).unwrap();
        (0..500).for_each(|_| solver.step(None).unwrap());
        let phase = frequency * 500.0 * config.dt;
        let expected = field(32, |x, y| (TAU * (3.0 * x + 2.0 * y) - phase).cos());
        let apart = distance(&solver.vorticity(), &expected);
        assert!(apart < tolerance, "{stepper:?}: {apart}");
    }
    let refused = FlowConfig { beta, ..quiet(32) }.validate().unwrap_err().to_string();
    assert!(refused.contains("flow.stepper") && refused.contains("cn-ab2"), "{refused}");
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
    assert!((moved / expected - 1.0).abs() < DIPOLE, "speed {moved}, expected {expected}");
}

#[test]
fn both_forms_and_both_precisions_agree_over_a_run() {
    let start = truncate(truncate(rough(64, 8).view(), 42).unwrap().view(), 64).unwrap();
    let mut spoiled = start.clone();
    spoiled += &field(64, |x, _| SPOIL * (TAU * 30.0 * x).cos());
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
    // The spoiled run uses the general form throughout; its perturbation is of rms ω near 0.5 and may grow a little.
    assert!(distance(&b, &a) < 10.0 * SPOIL, "{}", distance(&b, &a));
    assert!(distance(&single.vorticity(), &a) < SINGLE, "{}", distance(&single.vorticity(), &a));
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
fn statistics_are_those_of_the_published_algorithm() {
    // rms ω and rms H for t in [20, 40) by the published algorithm in NumPy, transform by transform and κ draws at a time, with
    // the same grid and step, other random numbers and REFERENCES trajectories.
    const REFERENCES: usize = 64;
    let references = [("ω", 0.9642), ("H", 0.2110)];
    let config = FlowConfig { dt: 4e-3, n: 32, ..FlowConfig::default() };
    let trajectories = 16;
    let mut batch: Vec<Trajectory> = (0..trajectories)
        .map(|i| {
            let seeds = SeedTree::new(40 + i);
            let mut solver = Solver::new(&config).unwrap();
            solver.set_vorticity(initial_vorticity(&config, &seeds.child("initial")).unwrap().view()).unwrap();
            Trajectory { solver, noise: Some(seeds.child("noise").stream()) }
        })
        .collect();
    // Mean squares of every trajectory, which are independent of each other; times within one are not.
    let sums = std::sync::Mutex::new(vec![[0.0; 2]; batch.len()]);
    let (start, end, every) = (5000, 10_000, 250);
    run_batch(&mut batch, end, every, 0, |i, step, member| {
        if (start..end).contains(&step) {
            let snapshot = member.solver.snapshot(member.noise.as_mut());
            let share = every as f64 / (end - start) as f64;
            let sum = &mut sums.lock().unwrap()[i];
            sum[0] += rms(snapshot.vorticity.view()).powi(2) * share;
            sum[1] += rms(snapshot.closure.view()).powi(2) * share;
        }
        Ok(())
    })
    .unwrap();
    let squares = sums.into_inner().unwrap();
    let count = squares.len() as f64;
    for (k, (name, reference)) in references.into_iter().enumerate() {
        let mean = squares.iter().map(|square| square[k]).sum::<f64>() / count;
        let variance = squares.iter().map(|square| (square[k] - mean).powi(2)).sum::<f64>() / (count - 1.0);
        // Standard error of the difference of both means, as that of an rms.
        let error = (variance * (1.0 / count + 1.0 / REFERENCES as f64)).sqrt() / (2.0 * mean.sqrt());
        let measured = mean.sqrt();
        assert!((measured - reference).abs() < 4.0 * error, "rms {name} = {measured} ± {error}, published {reference}");
        // A scatter that would hide an error of a sixth would make this no test.
        assert!(4.0 * error < 0.1 * reference, "rms {name} is known to ± {error} only");
    }
}
