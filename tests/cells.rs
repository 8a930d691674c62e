//! Hidden forcing: what the solver draws, what the exact law says of it, and samplers on its exact denoiser.

use lacuna::SeedTree;
use lacuna::closure::{AnyClosure, Closure, Decoder, ExactLaw, MATCHED_GAUSSIAN};
use lacuna::config::{CellsConfig, Config, FlowConfig, HiddenConfig, Preset, RingConfig, Stepper};
use lacuna::eval::Offline;
use lacuna::eval::metric::{
    BIAS, BRIER, CELLS_CRPS, CELLS_KS, CELLS_W1, CRPS_OVER_EXACT, OfflineMetric, PROBABILITY, STD_OVER_EXACT, SURPRISE,
    THIRD, VALLEY_MASS,
};
use lacuna::flow::{Hidden, Solver};
use lacuna::spectral::{Fft2, Field, shell_spectrum};
use ndarray::{Array2, Array3};
use num_complex::Complex64;

pub const N: usize = 16;
/// Round-off of sums over the modes of a small grid.
const ROUNDING: f64 = 1e-9;
/// Standard errors that a right value may be off: one false alarm in fifteen thousand.
pub const SIGMAS: f64 = 4.0;

/// Four cells on a small grid, with modes inside its mask.
pub fn cells() -> CellsConfig {
    CellsConfig { per_side: 2, radius: 0.125, ..CellsConfig::default() }
}

pub fn flow(hidden: HiddenConfig) -> FlowConfig {
    FlowConfig { n: N, hidden: Some(hidden), ..FlowConfig::default() }
}

/// Smooth vorticity of order one, which gives the cells different probabilities.
pub fn vorticity() -> Field {
    let tau = std::f64::consts::TAU;
    Array2::from_shape_fn((N, N), |(i, j)| {
        let (x, y) = (i as f64 / N as f64, j as f64 / N as f64);
        (tau * (x + y) + 0.4).sin() + 0.7 * (tau * x + 0.9).cos() + 0.5 * (tau * y + 0.3).sin() + 0.4
    })
}

pub fn transform(field: &Field) -> Array2<Complex64> {
    let mut spectrum = Array2::zeros((N, N / 2 + 1));
    Fft2::new(N).forward(field.view(), &mut spectrum);
    spectrum
}

/// The bump of cell (a, b) of K × K, truncated to the mask of the 2/3 rule, by the definition: image cells are summed.
fn bump(config: &CellsConfig, a: usize, b: usize) -> Field {
    let centre = |cell: usize| (cell as f64 + 0.5) / config.per_side as f64;
    let along = |i: usize, cell: usize| -> f64 {
        (-4..=4)
            .map(|image| (i as f64 / N as f64 - centre(cell) + f64::from(image)) / config.radius)
            .map(|d| (-0.5 * d * d).exp())
            .sum()
    };
    let full = Array2::from_shape_fn((N, N), |(i, j)| along(i, a) * along(j, b));
    let mut spectrum = transform(&full);
    for ((i, j), mode) in spectrum.indexed_iter_mut() {
        if i.min(N - i) > N / 3 || j > N / 3 {
            *mode = Complex64::ZERO;
        }
    }
    let mut out = Array2::zeros((N, N));
    Fft2::new(N).inverse(&spectrum, out.view_mut());
    out
}

/// p_c by the definition.
pub fn probabilities(config: &CellsConfig, w: &Field) -> Vec<f64> {
    let k = config.per_side;
    (0..k * k)
        .map(|c| {
            let g = bump(config, c / k, c % k);
            let z = (&g * w).sum() / g.sum();
            1.0 / (1.0 + (-config.steepness * (z - config.threshold)).exp())
        })
        .collect()
}

/// G_c: the bump without its mean.
pub fn pattern(config: &CellsConfig, c: usize) -> Field {
    let g = bump(config, c / config.per_side, c % config.per_side);
    let mean = g.mean().unwrap();
    g - mean
}

#[test]
fn probabilities_and_patterns_are_those_of_the_definition() {
    // Aliasing of a bump that the grid samples: its modes beyond N/2 hold exp(−2π²·8²/64) of the largest.
    const ALIASING: f64 = 1e-7;
    let (config, w) = (cells(), vorticity());
    let flow = flow(HiddenConfig::Cells(config.clone()));
    let mut law = ExactLaw::new(&flow, N).unwrap();
    let p = law.probabilities(w.view()).unwrap().to_vec();
    let naive = probabilities(&config, &w);
    assert!(p.iter().zip(&naive).all(|(p, naive)| (p - naive).abs() < ALIASING), "{p:?} {naive:?}");
    assert!(p.iter().any(|p| *p < 0.4) && p.iter().any(|p| *p > 0.6), "{p:?} tell nothing apart");
    // A draw without noise is the mean and patterns with b_c − p_c.
    let quiet = FlowConfig { noise: lacuna::config::NoiseConfig { sigma: 0.0, ..flow.noise.clone() }, ..flow.clone() };
    let mut law = ExactLaw::new(&quiet, N).unwrap();
    let (mut mean, mut h) = (Array2::zeros((N, N)), Array2::zeros((N, N)));
    law.mean(w.view(), 0.0, mean.view_mut()).unwrap();
    law.sample(w.view(), 0.0, &mut SeedTree::new(3).stream(), h.view_mut()).unwrap();
    let fluctuation = &h - &mean;
    let mut decoder = Decoder::new(&quiet, N).unwrap().unwrap();
    let mut y = Vec::new();
    decoder.decode(fluctuation.view(), &mut y);
    let mut rebuilt = Array2::zeros((N, N));
    for (c, y) in y.iter().enumerate() {
        let b = y + p[c];
        assert!(b.abs() < ROUNDING || (b - 1.0).abs() < ROUNDING, "cell {c} decodes to {b}");
        rebuilt.scaled_add(config.amplitude * y, &pattern(&config, c));
    }
    let error = (&rebuilt - &fluctuation).iter().fold(0.0_f64, |most, x| most.max(x.abs()));
    assert!(error < ALIASING, "{error}");
}

/// Draws of a law at one ω.
pub fn draws(law: &mut impl Closure, w: &Field, count: usize) -> Vec<Field> {
    let mut rng = SeedTree::new(7).child("cells").stream();
    (0..count)
        .map(|_| {
            let mut h = Array2::zeros((N, N));
            law.forget();
            law.sample(w.view(), 0.0, &mut rng, h.view_mut()).unwrap();
            h
        })
        .collect()
}

#[test]
fn the_law_and_the_gaussian_that_matches_it_share_mean_and_covariance_only() {
    const DRAWS: usize = 20_000;
    let (config, w) = (cells(), vorticity());
    let flow = flow(HiddenConfig::Cells(config.clone()));
    let p = probabilities(&config, &w);
    let mut decoder = Decoder::new(&flow, N).unwrap().unwrap();
    let mut mean = Array2::zeros((N, N));
    let mut law = ExactLaw::new(&flow, N).unwrap();
    law.mean(w.view(), 0.0, mean.view_mut()).unwrap();
    for gaussian in [false, true] {
        let mut law = ExactLaw::new(&flow, N).unwrap();
        if gaussian {
            law = law.matched_gaussian();
        }
        let (std, shells) = (law.std_at(w.view()).unwrap(), law.spectrum_at(w.view()).unwrap());
        let (mut total, mut square, mut spectrum) = (Array2::<f64>::zeros((N, N)), 0.0, vec![0.0; N / 2 + 1]);
        let mut moments = vec![[0.0; 3]; p.len()];
        for h in draws(&mut law, &w, DRAWS) {
            let x = h - &mean;
            square += x.iter().map(|x| x * x).sum::<f64>() / (N * N) as f64;
            spectrum.iter_mut().zip(shell_spectrum(x.view())).for_each(|(sum, x)| *sum += x);
            let mut y = Vec::new();
            decoder.decode(x.view(), &mut y);
            for (moments, y) in moments.iter_mut().zip(y) {
                moments.iter_mut().zip(1..).for_each(|(moment, k)| *moment += y.powi(k) / DRAWS as f64);
            }
            total += &x;
        }
        let count = DRAWS as f64;
        // The relative variance of a square is at most 2, of a mean over cells and modes less.
        let bound = SIGMAS * (2.0 / count).sqrt();
        assert!((square / count / (std * std) - 1.0).abs() < bound, "variance {} of {}", square / count, std * std);
        for (k, (sum, exact)) in spectrum.iter().zip(&shells).enumerate().filter(|(_, (_, exact))| **exact > 1e-12) {
            assert!((sum / count / exact - 1.0).abs() < bound, "shell {k}: {} instead of {exact}", sum / count);
        }
        let off = total.iter().fold(0.0_f64, |most, x| most.max((x / count).abs()));
        // Largest of 256 points, pointwise at most three times the mean standard deviation.
        assert!(off < 2.0 * SIGMAS * std / count.sqrt(), "mean off by {off}");
        for (c, ([first, second, third], p)) in moments.iter().zip(&p).enumerate() {
            let (v, noise) = (p * (1.0 - p), decoder.std().powi(2));
            let error = SIGMAS / count.sqrt();
            assert!(first.abs() < error * (v + noise).sqrt(), "cell {c}: mean {first}");
            assert!((second - v - noise).abs() < error, "cell {c}: variance {second} instead of {}", v + noise);
            let exact = if gaussian { 0.0 } else { v * (1.0 - 2.0 * p) };
            assert!((third - exact).abs() < error, "cell {c}: third moment {third} instead of {exact}");
        }
    }
}

#[test]
fn the_solver_draws_from_the_exact_law_and_holds_what_it_drew() {
    let config = cells();
    for stepper in [Stepper::CnEuler, Stepper::CnAb2, Stepper::Etdrk4] {
        let flow = FlowConfig { stepper, ..flow(HiddenConfig::Cells(config.clone())) };
        let mut solver = Solver::new(&flow).unwrap();
        solver.set_vorticity(vorticity().view()).unwrap();
        let (mut law, mut decoder) = (ExactLaw::new(&flow, N).unwrap(), Decoder::new(&flow, N).unwrap().unwrap());
        let mut rng = SeedTree::new(5).child("noise").stream();
        let (mut on, mut expected, mut variance) = (0.0, 0.0, 0.0);
        let mut held: Vec<f64> = Vec::new();
        for step in 0..2000 {
            let pair = solver.snapshot(Some(&mut rng));
            let w = pair.vorticity;
            let mut mean = Array2::zeros((N, N));
            law.advect(w.view(), mean.view_mut()).unwrap();
            let mut y = Vec::new();
            decoder.decode((&pair.closure - &mean).view(), &mut y);
            if step % config.every == 0 {
                let p = law.probabilities(w.view()).unwrap();
                for (y, p) in y.iter().zip(p) {
                    let b = y + p;
                    // Eight standard deviations of the noise.
                    let near = 8.0 * decoder.std();
                    assert!(b.abs() < near || (b - 1.0).abs() < near, "{stepper:?}: {b}");
                    on += f64::from(u8::from(b > 0.5));
                    expected += p;
                    variance += p * (1.0 - p);
                }
                held = y;
            } else {
                let worst = held.iter().zip(&y).fold(0.0_f64, |most, (a, b)| most.max((a - b).abs()));
                assert!(worst < 12.0 * decoder.std(), "{stepper:?}: not held at step {step}, {worst}");
            }
            solver.step(Some(&mut rng)).unwrap();
        }
        let off = (on - expected) / f64::sqrt(variance);
        assert!(off.abs() < SIGMAS, "{stepper:?}: {on} cells on, {expected} expected");
    }
}

#[test]
fn cells_with_memory_are_the_chain_that_the_documentation_gives() {
    const DRAWS: usize = 40_000;
    let config = CellsConfig { memory: 0.02, ..cells() };
    let flow = flow(HiddenConfig::Cells(config.clone()));
    let (spectrum, p) = (transform(&vorticity()), probabilities(&config, &vorticity()));
    let mut hidden = Hidden::new(&flow).unwrap().unwrap();
    let mut rng = SeedTree::new(11).stream();
    let kept = (-(config.every as f64) * flow.dt / config.memory).exp();
    let mut before: Option<Vec<f64>> = None;
    let (mut square, mut product) = (vec![0.0; p.len()], vec![0.0; p.len()]);
    for _ in 0..DRAWS {
        hidden.draw(|i, j| spectrum[(i, j)], &mut rng);
        let now = hidden.amplitudes().to_vec();
        for c in 0..p.len() {
            square[c] += now[c] * now[c];
            product[c] += before.as_ref().map_or(0.0, |before| before[c] * now[c]);
        }
        before = Some(now);
    }
    for c in 0..p.len() {
        let (variance, correlation) = (square[c] / DRAWS as f64, product[c] / square[c]);
        // Draws of memory κ count as (1 − κ)/(1 + κ) of independent ones.
        let bound = SIGMAS * ((1.0 + kept) / (1.0 - kept) / DRAWS as f64).sqrt();
        assert!((variance - p[c] * (1.0 - p[c])).abs() < bound, "cell {c}: variance {variance}");
        assert!((correlation - kept).abs() < bound, "cell {c}: correlation {correlation} instead of {kept}");
    }
    // A closure keeps its own draw, gives the mean that follows from it, and forgets it when told.
    let w = vorticity();
    let mut law = ExactLaw::new(&flow, N).unwrap();
    let (mut bare, mut mean, mut h) = (Array2::zeros((N, N)), Array2::zeros((N, N)), Array2::zeros((N, N)));
    law.advect(w.view(), bare.view_mut()).unwrap();
    law.mean(w.view(), 0.0, mean.view_mut()).unwrap();
    assert_eq!(bare, mean, "before the first draw");
    law.sample(w.view(), 0.0, &mut rng, h.view_mut()).unwrap();
    law.mean(w.view(), 0.0, mean.view_mut()).unwrap();
    let mut decoder = Decoder::new(&flow, N).unwrap().unwrap();
    let (mut drawn, mut next) = (Vec::new(), Vec::new());
    decoder.decode((&h - &bare).view(), &mut drawn);
    decoder.decode((&mean - &bare).view(), &mut next);
    for (c, (drawn, next)) in drawn.iter().zip(next).enumerate() {
        let state = f64::from(u8::from(drawn + p[c] > 0.5));
        assert!((next - (state - p[c]) * kept).abs() < 1e-6, "cell {c}: {next}");
    }
    law.forget();
    law.mean(w.view(), 0.0, mean.view_mut()).unwrap();
    assert_eq!(bare, mean, "after forgetting");
}

#[test]
fn a_stopped_solver_goes_on_bit_for_bit_with_its_cells() {
    let flow = flow(HiddenConfig::Cells(CellsConfig { memory: 0.05, ..cells() }));
    let begin = || {
        let mut solver = Solver::new(&flow).unwrap();
        solver.set_vorticity(vorticity().view()).unwrap();
        (solver, SeedTree::new(2).stream())
    };
    let (mut whole, mut rng) = begin();
    (0..33).for_each(|_| whole.step(Some(&mut rng)).unwrap());
    let (mut first, mut stream) = begin();
    // Between two draws of the cells.
    (0..17).for_each(|_| first.step(Some(&mut stream)).unwrap());
    let state = first.state();
    assert!(!state.hidden.is_empty());
    let mut second = Solver::new(&flow).unwrap();
    second.restore(&state).unwrap();
    (17..33).for_each(|_| second.step(Some(&mut stream)).unwrap());
    assert_eq!(whole.vorticity(), second.vorticity());
    let mut plain = Solver::new(&FlowConfig { hidden: None, ..flow.clone() }).unwrap();
    assert!(plain.restore(&state).is_err(), "a flow without cells takes their states");
}

/// Offline scores of closures on conditions around one vorticity.
fn scores(hidden: HiddenConfig, closures: &[AnyClosure]) -> Offline {
    let mut config = Config::preset(Preset::Smoke);
    config.flow = flow(hidden);
    config.data.n = N;
    (config.eval.conditions, config.eval.samples) = (4, 60);
    let (trajectories, per) = (3, 4);
    let mut law = ExactLaw::new(&config.flow, N).unwrap();
    let mut rng = SeedTree::new(6).stream();
    let zeros = || Array3::<f32>::zeros((trajectories * per, N, N));
    let (mut w, mut h) = (zeros(), zeros());
    for k in 0..trajectories * per {
        let state = vorticity() + 0.3 * (k as f64 - 5.0) / 5.0;
        let mut term = Array2::zeros((N, N));
        law.sample(state.view(), 0.0, &mut rng, term.view_mut()).unwrap();
        w.index_axis_mut(ndarray::Axis(0), k).assign(&state.mapv(|x| x as f32));
        h.index_axis_mut(ndarray::Axis(0), k).assign(&term.mapv(|x| x as f32));
    }
    let test = lacuna::data::Pairs { trajectories, per_trajectory: per, w, h };
    Offline::measure(&config, &test, closures, &SeedTree::new(1)).unwrap()
}

#[test]
fn scores_of_shape_tell_the_law_from_its_gaussian() {
    let hidden = HiddenConfig::Cells(cells());
    let gaussian = ExactLaw::new(&flow(hidden.clone()), N).unwrap().matched_gaussian();
    let scores = scores(hidden, &[AnyClosure::new(gaussian)]);
    let of = |row: usize, metric: &OfflineMetric| scores.rows[row].of(metric).value;
    assert_eq!(scores.rows[1].closure, MATCHED_GAUSSIAN);
    for row in 0..2 {
        assert!((of(row, &STD_OVER_EXACT) - 1.0).abs() < 0.05 && of(row, &BIAS) < 0.1, "row {row}");
    }
    // 2,880 decoded cells in some bins of 240 and more: a distribution function is known to 0.03.
    assert!(of(0, &CELLS_W1) < 0.04 && of(0, &CELLS_KS) < 0.08, "{} {}", of(0, &CELLS_W1), of(0, &CELLS_KS));
    assert!((of(0, &CELLS_CRPS) - 1.0).abs() < 0.02 && (of(0, &CRPS_OVER_EXACT) - 1.0).abs() < 0.05);
    assert!(of(0, &VALLEY_MASS) < 0.008 && of(0, &PROBABILITY) < 0.05 && (of(0, &BRIER) - 1.0).abs() < 0.02);
    assert!(of(0, &SURPRISE).abs() < 0.5 && (of(0, &THIRD) - 1.0).abs() < 0.3);
    // What the same moments leave open.
    assert!(of(1, &CELLS_W1) > 0.12 && of(1, &CELLS_KS) > 0.2 && of(1, &CELLS_CRPS) > 1.08);
    assert!(of(1, &VALLEY_MASS) > 0.4 && of(1, &SURPRISE) > 10.0 && of(1, &THIRD).abs() < 0.3);
    let text = scores.tables().unwrap().iter().map(|table| table.name.clone()).collect::<Vec<_>>();
    assert!(text.iter().any(|name| name == "decoded") && text.iter().any(|name| name == "reliability"), "{text:?}");
}

#[test]
fn a_ring_differs_from_its_gaussian_in_the_amplitude_alone() {
    let hidden = HiddenConfig::Ring(RingConfig::default());
    let gaussian = ExactLaw::new(&flow(hidden.clone()), N).unwrap().matched_gaussian();
    let scores = scores(hidden, &[AnyClosure::new(gaussian)]);
    let of = |row: usize, metric: &OfflineMetric| scores.rows[row].of(metric).value;
    for row in 0..2 {
        assert!((of(row, &STD_OVER_EXACT) - 1.0).abs() < 0.06, "row {row}: {}", of(row, &STD_OVER_EXACT));
    }
    // 720 amplitudes: four standard errors of a distribution function are 0.075.
    assert!(of(0, &CELLS_KS) < 0.075 && of(0, &VALLEY_MASS) < 0.015, "{}", of(0, &CELLS_KS));
    assert!((of(0, &CELLS_CRPS) - 1.0).abs() < 0.1, "{}", of(0, &CELLS_CRPS));
    // The largest difference of Rayleigh's distribution function from Rice's is 0.571 by quadrature; pools of 240 leave 0.03.
    let found = [&CELLS_KS, &CELLS_CRPS, &VALLEY_MASS].map(|metric| of(1, metric));
    assert!((found[0] - 0.571).abs() < 0.06 && found[1] > 5.0 && found[2] > 0.7, "{found:?}");
}

#[test]
fn impossible_cells_are_refused_by_name() {
    let refuse = |hidden: HiddenConfig, field: &str| {
        let error = flow(hidden).validate().unwrap_err().to_string();
        assert!(error.contains(&format!("flow.hidden.{field}")), "{error}");
    };
    let with = |change: fn(&mut CellsConfig)| {
        let mut config = cells();
        change(&mut config);
        HiddenConfig::Cells(config)
    };
    refuse(with(|c| c.per_side = 5), "per_side");
    refuse(with(|c| c.per_side = 0), "per_side");
    refuse(with(|c| c.amplitude = -1.0), "amplitude");
    refuse(with(|c| c.radius = 0.7), "radius");
    refuse(with(|c| c.every = 0), "every");
    refuse(with(|c| c.memory = f64::NAN), "memory");
    refuse(with(|c| c.threshold = f64::INFINITY), "threshold");
    refuse(HiddenConfig::Ring(RingConfig { waves: 6, ..RingConfig::default() }), "waves");
    // The Gaussian that matches is a closure only where the exact law is none.
    let error = Config::preset(Preset::Smoke).closure("matched-gaussian").unwrap_err().to_string();
    assert!(error.contains("unknown closure"), "{error}");
    assert!(Config::preset(Preset::Cells).closure("matched-gaussian").is_ok());
    // Pairs are recorded where the cells are drawn.
    let mut config = Config::preset(Preset::Cells);
    config.data.interval = 0.203;
    let error = config.validate().unwrap_err().to_string();
    assert!(error.contains("data.interval") && error.contains("flow.hidden.every"), "{error}");
    let mut config = Config::preset(Preset::Cells);
    config.study.ring = Some(RingConfig { amplitude: -1.0, ..RingConfig::default() });
    let error = config.validate().unwrap_err().to_string();
    assert!(error.contains("study.ring") && error.contains("amplitude"), "{error}");
}
