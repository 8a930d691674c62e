//! The stochastic forcing: its law, the budgets it drives, the strong order of the schemes under it.

use lacuna::config::{FlowConfig, NoiseConfig, Stepper};
use lacuna::flow::{QWiener, Reduced, Solver};
use lacuna::rng::SeedTree;
use lacuna::spectral::{Field, Grid, irfft2, rfft2, truncate};
use ndarray::Array2;

use crate::fields::{ROUND_OFF, TAU, distance, field, quiet, rms, rough};

/// Smoothness of a noise that is white on the grid: its Nyquist modes weigh as much as any.
const WHITE: f64 = 1e-6;

#[test]
fn noise_has_the_published_covariance() {
    let paper = FlowConfig { n: 32, ..FlowConfig::default() };
    assert!((QWiener::new(&paper).unwrap().std() - 0.019947).abs() < 1e-5);
    let white = FlowConfig { noise: NoiseConfig { alpha: WHITE, ..paper.noise.clone() }, ..paper.clone() };
    for config in [paper, white] {
        let (n, samples) = (config.n, 4000);
        let grid = Grid::new(n, 1.0).unwrap();
        let mut noise = QWiener::new(&config).unwrap();
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
                // |ĥ|² is exponential (relative deviation 1), of a real mode χ²₁ (√2); 5 standard errors over 544 modes.
                let error = 5.0 * 2f64.sqrt() / (samples as f64).sqrt();
                assert!((p / expected - 1.0).abs() < error, "mode ({i}, {j}): {}", p / expected);
            }
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
fn energy_grows_at_the_injected_rate() {
    // From rest, without viscosity or forcing: d/dt ½⟨|u|²⟩ = ½κσ²Σq/(|k|²L²), mean mode excluded.
    let (steps, runs, n) = (20, 400, 32);
    let config = FlowConfig { viscosity: 0.0, forcing: 0.0, n, length: 1.5, ..FlowConfig::default() };
    let mut solver = Solver::new(&config).unwrap();
    let mut energy = 0.0;
    for run in 0..runs {
        let mut rng = SeedTree::new(19).child(run).stream();
        solver.set_vorticity(Array2::zeros((n, n)).view()).unwrap();
        (0..steps).for_each(|_| solver.step(Some(&mut rng)).unwrap());
        energy += lacuna::spectral::energy_spectrum(solver.vorticity().view(), config.length).iter().sum::<f64>();
    }
    let grid = Grid::new(n, config.length).unwrap();
    let full = (0..n).flat_map(|i| (0..n).map(move |j| (i, j))).map(|(i, j)| grid.kx(i).powi(2) + grid.kx(j).powi(2));
    let sum: f64 = full.filter(|&k2| k2 > 0.0).map(|k2| (-config.noise.alpha * k2).exp() / k2).sum();
    let rate = 0.5 * config.noise.kappa * config.noise.sigma.powi(2) * sum / config.length.powi(2);
    let ratio = energy / runs as f64 / (rate * steps as f64 * config.dt);
    // Dominated by the eight modes |n| ≤ √2, four of them independent complex ones: relative standard error of the mean
    // of 400 runs about (1/4/400)^½ = 2.5 %; three of those.
    assert!((ratio - 1.0).abs() < 0.075, "{ratio}");
}

#[test]
fn energy_and_enstrophy_budgets_close() {
    // Forced, damped, viscous, deterministic: dE/dt = ⟨ψf⟩ − ν⟨ω²⟩ − 2rE and dZ/dt = ⟨ωf⟩ − ν⟨|∇ω|²⟩ − 2rZ, integrated by the
    // trapezoidal rule along a fourth-order run.
    let n = 48;
    let config = FlowConfig { stepper: Stepper::Etdrk4, forcing: 2.0, friction: 0.5, viscosity: 5e-3, ..quiet(n) };
    let grid = Grid::new(n, 1.0).unwrap();
    let force = field(n, |x, y| 2.0 * ((TAU * (x + y)).sin() + (TAU * (x + y)).cos()));
    let mut solver = Solver::new(&config).unwrap();
    solver
        .set_vorticity(truncate(truncate(rough(n, 6).view(), 2 * (n / 3)).unwrap().view(), n).unwrap().view())
        .unwrap();
    // (E, Z) and their right-hand sides.
    let terms = |w: &Field| {
        let multiplied = |weight: &dyn Fn(f64) -> f64| {
            let mut spectrum = rfft2(w.view());
            spectrum.indexed_iter_mut().for_each(|((i, j), w)| *w *= weight(grid.k2(i, j)));
            irfft2(&spectrum, n)
        };
        let psi = multiplied(&|k2| if k2 > 0.0 { 1.0 / k2 } else { 0.0 });
        let minus_laplacian = multiplied(&|k2| k2);
        let mean = |a: &Field, b: &Field| (a * b).mean().unwrap();
        let (e, z) = (0.5 * mean(&psi, w), 0.5 * mean(w, w));
        let (nu, r) = (config.viscosity, config.friction);
        let de = mean(&psi, &force) - nu * mean(w, w) - 2.0 * r * e;
        let dz = mean(w, &force) - nu * mean(w, &minus_laplacian) - 2.0 * r * z;
        [[e, z], [de, dz]]
    };
    let steps = 300;
    let first = terms(&solver.vorticity());
    let (mut sums, mut turnover) = ([0.0; 2], [0.0; 2]);
    for step in 0..=steps {
        let now = terms(&solver.vorticity());
        let weight = if step == 0 || step == steps { 0.5 } else { 1.0 } * config.dt;
        for k in 0..2 {
            sums[k] += weight * now[1][k];
            turnover[k] += weight * now[1][k].abs();
        }
        if step == steps {
            for k in 0..2 {
                let gap = now[0][k] - first[0][k] - sums[k];
                // Second-order quadrature: about dt²/12 × rates of change of order 100 per time unit squared.
                assert!(gap.abs() < 1e-5 * turnover[k], "budget {k}: gap {gap} of {}", turnover[k]);
            }
            return;
        }
        solver.step(None).unwrap();
    }
}

#[test]
fn schemes_converge_strongly_along_one_brownian_path() {
    // Loud noise, one realisation of W on the finest step; a step of m·h takes the mean of m draws. Additive noise: all
    // three have strong order one. The reference is the finest fourth-order run, whose own error is 1/16 of that of the
    // finest compared one and is contained in the slack.
    let (n, finest, time) = (16, 1.0 / 2048.0, 0.5);
    let config = |stepper, dt| FlowConfig {
        stepper,
        dt,
        viscosity: 5e-3,
        noise: NoiseConfig { sigma: 0.2, ..FlowConfig::default().noise },
        ..FlowConfig { n, ..FlowConfig::default() }
    };
    let mut source = QWiener::new(&config(Stepper::CnEuler, finest)).unwrap();
    let start = field(n, |x, y| (TAU * x).sin() + (TAU * (x + 2.0 * y)).cos());
    let total = (time / finest).round() as usize;
    let (mut sums, paths) = (Vec::<Vec<f64>>::new(), 8);
    let cases = [Stepper::CnEuler, Stepper::CnAb2, Stepper::Etdrk4].map(|stepper| [64, 32, 16].map(|m| (stepper, m)));
    for path in 0..paths {
        let mut rng = SeedTree::new(31).child(path).stream();
        let draws: Vec<Field> = (0..total)
            .map(|_| {
                let mut xi = Array2::zeros((n, n));
                source.sample_into(&mut rng, xi.view_mut());
                xi
            })
            .collect();
        let run = |stepper, m: usize| {
            let mut solver = Solver::new(&config(stepper, finest * m as f64)).unwrap();
            solver.set_vorticity(start.view()).unwrap();
            for draws in draws.chunks(m) {
                let mean = draws.iter().fold(Array2::zeros((n, n)), |sum, xi| sum + xi) / m as f64;
                solver.step_given(mean.view()).unwrap();
            }
            solver.vorticity()
        };
        let exact = run(Stepper::Etdrk4, 1);
        let errors = cases.map(|case| case.map(|(stepper, m)| rms((run(stepper, m) - &exact).view()).powi(2))).concat();
        sums.push(errors);
    }
    let mean: Vec<f64> =
        (0..9).map(|k| (sums.iter().map(|errors| errors[k]).sum::<f64>() / paths as f64).sqrt()).collect();
    for (errors, stepper) in mean.chunks(3).zip(["cn-euler", "cn-ab2", "etdrk4"]) {
        for pair in errors.windows(2) {
            let order = (pair[0] / pair[1]).log2();
            assert!((order - 1.0).abs() < 0.2, "{stepper}: strong order {order}, errors {errors:?}");
        }
    }
}

#[test]
fn a_given_realisation_acts_as_a_drawn_one() {
    let config = FlowConfig { n: 32, ..FlowConfig::default() };
    let steppers = [Stepper::CnEuler, Stepper::CnAb2, Stepper::Etdrk4];
    for (stepper, alpha) in steppers.into_iter().flat_map(|stepper| [config.noise.alpha, WHITE].map(|a| (stepper, a))) {
        let noise = NoiseConfig { alpha, ..config.noise.clone() };
        let config = FlowConfig { stepper, noise, ..config.clone() };
        let (mut drawn, mut given) = (Solver::new(&config).unwrap(), Solver::new(&config).unwrap());
        for solver in [&mut drawn, &mut given] {
            solver.set_vorticity(rough(32, 2).view()).unwrap();
        }
        let (mut rng, mut same) = (SeedTree::new(5).stream(), SeedTree::new(5).stream());
        let mut noise = QWiener::new(&config).unwrap();
        let mut xi = Array2::zeros((32, 32));
        for _ in 0..20 {
            drawn.step(Some(&mut rng)).unwrap();
            noise.sample_into(&mut same, xi.view_mut());
            given.step_given(xi.view()).unwrap();
        }
        assert!(distance(&given.vorticity(), &drawn.vorticity()) < ROUND_OFF);
        assert!(given.step_given(Array2::zeros((8, 8)).view()).is_err());
    }
}
