//! Offline scores against closed forms.

use std::collections::BTreeMap;
use std::path::Path;

use lacuna::closure::{AnyClosure, Closure, Deterministic, EXACT_LAW, ExactLaw, NO_CLOSURE, NoClosure, Scaled};
use lacuna::config::{
    Config, FilterConfig, FlowConfig, Hold, MissingTerm, Precision, Preset, ResolvedModes, RolloutConfig,
};
use lacuna::data::Pairs;
use lacuna::eval::metric::{CALIBRATION, CLOSED_LOOP, OFFLINE, SPREAD};
use lacuna::eval::{Column, Offline, TRUE_FLOW, closed_loop, hold_settings, rank_histogram, spectra, study, transfers};
use lacuna::flow::{Advection, Solver, initial_vorticity};
use lacuna::rng::{SeedTree, Stream};
use lacuna::rollout::{Cost, Ensemble, Reference, run_ensemble};
use lacuna::spectral::{Field, energy_spectrum, shell_spectrum, truncate};
use lacuna::{Error, Result};
use ndarray::{Array2, Array3, Array4, ArrayView2, ArrayViewMut2, Axis, s};

const N: usize = 32;

fn config() -> Config {
    let mut config = Config::preset(Preset::Smoke);
    config.flow = FlowConfig { n: N, ..FlowConfig::default() };
    config.data.n = N;
    config.eval.conditions = 4;
    config.eval.samples = 24;
    config
}

/// A random field inside the mask.
fn inside(config: &FlowConfig, seeds: &SeedTree) -> Field {
    let w = initial_vorticity(config, seeds).unwrap();
    truncate(truncate(w.view(), 2 * (N / 3)).unwrap().view(), N).unwrap()
}

/// Pairs as the solver records them, from random fields.
fn pairs(trajectories: usize, per_trajectory: usize) -> Pairs {
    let config = config();
    let seeds = SeedTree::new(5).child("pairs");
    let shape = (trajectories * per_trajectory, N, N);
    let (mut w, mut h) = (Array3::zeros(shape), Array3::zeros(shape));
    for i in 0..trajectories {
        let mut solver = Solver::new(&config.flow).unwrap();
        solver.set_vorticity(inside(&config.flow, &seeds.child(i)).view()).unwrap();
        let mut rng = seeds.child(i).child("noise").stream();
        for k in 0..per_trajectory {
            let pair = solver.snapshot(Some(&mut rng));
            let at = i * per_trajectory + k;
            w.index_axis_mut(Axis(0), at).assign(&pair.vorticity.mapv(|x| x as f32));
            h.index_axis_mut(Axis(0), at).assign(&pair.closure.mapv(|x| x as f32));
            for _ in 0..20 {
                solver.step(Some(&mut rng)).unwrap();
            }
        }
    }
    Pairs { w, h, trajectories, per_trajectory }
}

/// The exact law with its mean and its fluctuation multiplied.
#[derive(Clone)]
struct Wrong {
    law: ExactLaw,
    mean: f64,
    fluctuation: f64,
}

impl Closure for Wrong {
    fn name(&self) -> String {
        format!("mean × {}, fluctuation × {}", self.mean, self.fluctuation)
    }

    fn sample(&mut self, w: ArrayView2<f64>, t: f64, rng: &mut Stream, mut h: ArrayViewMut2<f64>) -> Result<()> {
        let mut mean = h.to_owned();
        self.law.mean(w, t, mean.view_mut())?;
        self.law.fluctuation(w, t, mean.view(), rng, h.view_mut())?;
        h.zip_mut_with(&mean, |h, mean| *h = self.mean * mean + self.fluctuation * *h);
        Ok(())
    }
}

/// Wasserstein-1 distance of the pooled values of H from the exact law's over rms H, by a route of its own: the law of a
/// pooled value is the mean over its points of N(factor · m, (factor · s)²), and W1 is the area between two cumulative laws.
fn wasserstein_of_pools(config: &Config, test: &Pairs, law: &ExactLaw, factors: [(f64, f64); 4]) -> [f64; 4] {
    /// Cells of the quadrature, which spans every value with ten standard deviations of the widest law.
    const CELLS: usize = 2000;
    let (mut law, std) = (law.clone(), law.std());
    let mut sums = [0.0; 4];
    for trajectory in 0..test.trajectories {
        let mut means = Vec::new();
        let mut mean = Array2::zeros((N, N));
        let parts = 2 * config.eval.conditions;
        for at in (0..config.eval.conditions).map(|i| (2 * i + 1) * test.per_trajectory / parts) {
            let index = trajectory * test.per_trajectory + at;
            law.mean(test.w.index_axis(Axis(0), index).mapv(f64::from).view(), 0.0, mean.view_mut()).unwrap();
            means.extend(mean.slice(s![..;4, ..;4]).iter().copied());
        }
        let end = means.iter().fold(0.0_f64, |end, m| end.max(1.1 * m.abs())) + 10.0 * std;
        let width = 2.0 * end / CELLS as f64;
        let below = |x: f64, (mean, fluctuation): (f64, f64)| {
            let std = (fluctuation * std).max(1e-3 * width);
            means.iter().map(|m| normal_below((x - mean * m) / std)).sum::<f64>() / means.len() as f64
        };
        for cell in 0..CELLS {
            let x = -end + (cell as f64 + 0.5) * width;
            let exact = below(x, (1.0, 1.0));
            for (sum, factor) in sums.iter_mut().zip(factors) {
                *sum += width * (below(x, factor) - exact).abs();
            }
        }
    }
    let conditions: Vec<usize> = (0..test.trajectories * test.per_trajectory).collect();
    let square = conditions
        .iter()
        .map(|&k| test.h.index_axis(Axis(0), k).iter().map(|&h| f64::from(h).powi(2)).sum::<f64>())
        .sum::<f64>();
    let rms = (square / test.h.len() as f64).sqrt();
    sums.map(|sum| sum / test.trajectories as f64 / rms)
}

/// Φ(x), to 1e-7 (Abramowitz & Stegun, 26.2.17).
fn normal_below(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * x.abs());
    let polynomial =
        t * (0.319_381_530 + t * (-0.356_563_782 + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
    let above = (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt() * polynomial;
    if x > 0.0 { 1.0 - above } else { above }
}

#[test]
fn the_readme_shows_the_scores_that_the_lists_call_headlines() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join("columns.json");
    let stored: BTreeMap<String, Vec<String>> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let offline: Vec<&str> = OFFLINE.iter().filter(|metric| metric.headline).map(|metric| metric.name).collect();
    let closed: Vec<&str> = CLOSED_LOOP.iter().filter(|metric| metric.headline).map(|metric| metric.name).collect();
    assert_eq!(stored["offline"], offline, "scripts/columns.json");
    assert_eq!(stored["closed-loop"], closed, "scripts/columns.json");
    let starts: Vec<&str> = CALIBRATION.iter().filter(|metric| metric.headline).map(|metric| metric.name).collect();
    assert_eq!(stored["calibration"], starts, "scripts/columns.json");
}

#[test]
fn a_draw_is_timed_in_milliseconds() {
    /// What a draw sleeps, in milliseconds: long beside what else a call costs.
    const ASLEEP: f64 = 20.0;
    /// A machine with other work wakes up late.
    const LATE: f64 = 20.0;
    #[derive(Clone)]
    struct Sleeper;
    impl Closure for Sleeper {
        fn name(&self) -> String {
            "sleeper".into()
        }
        fn sample(&mut self, _w: ArrayView2<f64>, _t: f64, _rng: &mut Stream, mut h: ArrayViewMut2<f64>) -> Result<()> {
            std::thread::sleep(std::time::Duration::from_secs_f64(1e-3 * ASLEEP));
            h.fill(0.0);
            Ok(())
        }
    }
    let mut config = config();
    (config.eval.conditions, config.eval.samples) = (1, 2);
    let offline = Offline::measure(&config, &pairs(1, 1), &[AnyClosure::new(Sleeper)], &SeedTree::new(9)).unwrap();
    let found = offline.rows[1].ms_per_draw;
    assert!((ASLEEP..LATE * ASLEEP).contains(&found), "{found} ms");
}

#[test]
fn offline_scores_have_their_closed_forms() {
    /// 48 conditions of 24 samples, 32 degrees of freedom each: variances to 0.7 %, the pointwise scores to about as much.
    const MONTE_CARLO: f64 = 0.03;
    let config = config();
    let law = ExactLaw::new(&config.flow, N).unwrap();
    let wrong = |mean, fluctuation| AnyClosure::new(Wrong { law: law.clone(), mean, fluctuation });
    let closures = [wrong(1.1, 1.0), wrong(1.0, 2.0), AnyClosure::new(Deterministic(law.clone()))];
    let test = pairs(12, 8);
    let offline = Offline::measure(&config, &test, &closures, &SeedTree::new(9)).unwrap();
    let table = &offline.summary().unwrap();
    assert_eq!(table.texts("closure").unwrap()[0], EXACT_LAW);
    let near = |column: &str, row: usize, expected: f64, tolerance: f64| {
        let found = table.numbers(column).unwrap()[row];
        assert!((found - expected).abs() < tolerance, "{column}, row {row}: {found}, expected {expected}\n{table}");
    };
    let rms = |a: &Array3<f32>| (a.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / a.len() as f64).sqrt();
    let (s, h) = (law.std(), rms(&test.h));
    // What the Monte-Carlo part leaves of an unbiased closure: V/M is known to √(2/(32 · 48)); three standard errors.
    let left = |factor: f64| factor * s / h * (3.0 / 24.0 * (2.0_f64 / (32.0 * 48.0)).sqrt()).sqrt();
    for (row, factor) in [(0, 1.0), (2, 2.0), (3, 0.0)] {
        near("bias", row, 0.0, left(factor) + 1e-9);
    }
    // A tenth of the mean, ‖m‖² = ‖H‖² − s²; the squares of bias and Monte-Carlo part add.
    let bias = 0.1 * (1.0 - (s / h).powi(2)).sqrt();
    near("bias", 1, bias, left(1.0).powi(2) / bias + 0.003);
    assert!(table.numbers("bias of mean()").unwrap()[1].is_nan());
    near("bias of mean()", 3, 0.0, 1e-9);
    for (row, factor) in [(0, 1.0), (1, 1.0), (2, 2.0), (3, 0.0)] {
        near("std/exact", row, factor, factor * MONTE_CARLO + 1e-6);
        // E(H − x)² = s² + f²s² (+ bias²), for the mean of M samples s² + f²s²/M.
        let extra = if row == 1 { 0.01 * (h * h - s * s) } else { 0.0 };
        near("D_MSE single", row, (1.0 + factor * factor) * s * s + extra, 5.0 * MONTE_CARLO * s * s);
        near("D_MSE mean", row, (1.0 + factor * factor / 24.0) * s * s + extra, 5.0 * MONTE_CARLO * s * s);
        near("D_MSE single excess", row, (factor * factor - 1.0) * s * s + extra, 5.0 * MONTE_CARLO * s * s);
    }
    near("D_RE mean", 0, table.numbers("D_MSE mean").unwrap()[0].sqrt() / h, 0.3 * s / h);
    near("D_RE single excess", 0, 0.0, 1e-12);
    near("CRPS/exact", 0, 1.0, MONTE_CARLO);
    // N(m, 4s²) against N(m, s²): √10 − 2; a point forecast: √2.
    near("CRPS/exact", 2, 10.0_f64.sqrt() - 2.0, MONTE_CARLO);
    near("CRPS/exact", 3, 2.0_f64.sqrt(), MONTE_CARLO);
    near("energy/exact", 0, 1.0, MONTE_CARLO);
    // In many dimensions distances concentrate: (√(1 + 4) − √8/2)/(√2/2) and (1 − 0)/(√2/2).
    near("energy/exact", 2, (5.0_f64.sqrt() - 2.0_f64.sqrt()) * 2.0_f64.sqrt(), MONTE_CARLO);
    near("energy/exact", 3, 2.0_f64.sqrt(), MONTE_CARLO);
    for (column, level) in [("coverage 50 %", 0.5), ("coverage 80 %", 0.8), ("coverage 95 %", 0.95)] {
        // One outcome for each of 48 conditions, of as many degrees of freedom.
        near(column, 0, level, 3.0 * (level * (1.0 - level) / (32.0 * 48.0)).sqrt());
        // A point forecast has the truth at either end of 25 ranks, of which the interval takes a part or nothing.
        near(column, 3, (1.0 - 25.0 * 0.5 * (1.0 - level)).max(0.0), 1e-9);
    }
    let w1 = table.numbers("W1").unwrap();
    let expected = wasserstein_of_pools(&config, &test, &law, [(1.0, 1.0), (1.1, 1.0), (1.0, 2.0), (1.0, 0.0)]);
    /// Sampling of both pools moves their distance by less than about √2 times the floor, which the exact law against itself
    /// shows.
    const FLOORS: f64 = 1.5;
    for (row, &expected) in expected.iter().enumerate().skip(1) {
        near("W1", row, expected, FLOORS * w1[0]);
    }
    // A tenth of the mean is far enough away for a factor of 3 to leave those bounds.
    assert!(expected[1] > 1.5 * FLOORS * w1[0], "{} beside the floor {}", expected[1], w1[0]);
    let noise = offline.noise.as_ref().unwrap();
    let ratio: Vec<f64> = noise.rows.iter().map(|row| row.ratio.value).collect();
    let shells = N / 2 + 1;
    for shell in 0..6 {
        // The variance of one shell has few degrees of freedom: 2 π shell, at least one.
        let tolerance = 3.0 * (2.0 / (48.0 * 23.0 * (6.0 * shell as f64).max(1.0))).sqrt();
        assert!((ratio[shell] - 1.0).abs() < tolerance, "shell {shell}: {}", ratio[shell]);
        assert!((ratio[2 * shells + shell] / 4.0 - 1.0).abs() < tolerance, "shell {shell}");
        assert!(ratio[3 * shells + shell].abs() < 1e-9, "shell {shell}");
    }
    assert!(ratio[shells - 1].is_nan());
    /// Single precision of the stored ω.
    const SINGLE: f64 = 1e-6;
    // Samples without fluctuation move what the mean moves; the true advection only redistributes.
    let transfers = &offline.transfers.as_ref().unwrap().rows;
    let moved: Vec<f64> = transfers.iter().map(|row| row.transfer[0].value).collect();
    let size = moved[..shells].iter().fold(0.0_f64, |max, x| max.max(x.abs()));
    assert!(moved[..shells].iter().sum::<f64>().abs() < SINGLE * size);
    let last = transfers[shells - 1].flux[0].value;
    assert!(last.abs() < SINGLE * size, "flux through the last shell: {last}");
    for shell in 0..shells {
        assert!((moved[3 * shells + shell] - moved[shell]).abs() < 1e-12 * size, "shell {shell}");
    }
}

#[test]
fn scores_against_data_have_their_closed_forms() {
    /// Single precision of the stored fields.
    const SINGLE: f64 = 1e-5;
    let mut config = config();
    config.data.term = MissingTerm::Subgrid { filter: FilterConfig::Sharp, resolved: ResolvedModes::TwoThirds };
    let mut test = pairs(3, 4);
    // A stored term of which half is the closure's: H = −2ω and drag 1.
    test.h = test.w.mapv(|w| -2.0 * w);
    let drag = AnyClosure::new(Scaled::new(-1.0, Copycat));
    let right = AnyClosure::new(Scaled::new(-2.0, Copycat)).named("right");
    let table = Offline::measure(&config, &test, &[drag, right], &SeedTree::new(9)).unwrap().summary().unwrap();
    let near = |column: &str, expected: [f64; 2]| {
        for (found, expected) in table.numbers(column).unwrap().iter().zip(expected) {
            assert!((found - expected).abs() < SINGLE, "{column}: {found}, expected {expected}\n{table}");
        }
    };
    near("D_RE single", [0.5, 0.0]);
    near("D_RE mean", [0.5, 0.0]);
    near("correlation", [1.0, 1.0]);
    // The mean of equal samples is not quite one of them, but that is no spread.
    assert_eq!(table.numbers("std").unwrap(), [0.0, 0.0]);
    near("enstrophy", [0.5, 1.0]);
    near("energy", [0.5, 1.0]);
    // Of a point forecast: the mean absolute error, here of ω beside 2ω, over rms H. The score takes every fourth point.
    let thinned = test.w.slice(s![.., ..;4, ..;4]);
    let absolute = thinned.iter().map(|&w| f64::from(w).abs()).sum::<f64>() / thinned.len() as f64;
    let rms = (test.h.iter().map(|&h| f64::from(h).powi(2)).sum::<f64>() / test.h.len() as f64).sqrt();
    near("CRPS", [absolute / rms, 0.0]);
}

/// H = ω.
#[derive(Clone)]
struct Copycat;

impl Closure for Copycat {
    fn name(&self) -> String {
        "vorticity".into()
    }

    fn sample(&mut self, w: ArrayView2<f64>, _t: f64, _rng: &mut Stream, mut h: ArrayViewMut2<f64>) -> Result<()> {
        h.assign(&w);
        Ok(())
    }
}

fn rough(seed: u64) -> Field {
    inside(&config().flow, &SeedTree::new(seed))
}

#[test]
fn transfers_of_drag_and_of_advection() {
    /// Sums of a thousand terms of order one, in double precision.
    const ROUND_OFF: f64 = 1e-12;
    let w = rough(1);
    let [enstrophy, energy] = transfers(w.view(), (-3.0 * &w).view(), 2.0);
    let expected = shell_spectrum(w.view());
    for (shell, (found, spectrum)) in enstrophy.iter().zip(&expected).enumerate() {
        assert!((found + 6.0 * spectrum).abs() < ROUND_OFF, "shell {shell}");
    }
    // Drag takes twice the energy of each shell, six times with the rate 3.
    for (shell, (found, spectrum)) in energy.iter().zip(energy_spectrum(w.view(), 2.0)).enumerate() {
        assert!((found + 6.0 * spectrum).abs() < ROUND_OFF, "shell {shell}");
    }
    let mut h = Array2::zeros((N, N));
    Advection::new(N, 2.0).unwrap().eval(w.view(), h.view_mut());
    for by_shell in transfers(w.view(), h.view(), 2.0) {
        let size: f64 = by_shell.iter().map(|x| x.abs()).sum();
        assert!(by_shell.iter().sum::<f64>().abs() < ROUND_OFF * size && size > 0.0);
    }
}

/// Members that differ from a reference field by given constants at the second of two snapshots.
fn offsets(name: &str, offsets: &[f32]) -> (Reference, Ensemble) {
    let field = rough(4).mapv(|w| w as f32);
    let fields = Array4::from_shape_fn((2, offsets.len(), N, N), |(k, m, i, j)| {
        field[(i, j)] + if k == 0 { 0.0 } else { offsets[m] }
    });
    let truth = Array4::from_shape_fn((2, 1, N, N), |(_, _, i, j)| field[(i, j)]);
    let times = vec![1.0, 2.0];
    let reference = Reference {
        seeds: String::new(),
        config_hash: String::new(),
        start: rough(4),
        times: times.clone(),
        fields: truth,
        wall_s: 0.0,
    };
    let failures = offsets.iter().map(|x| x.is_nan().then_some(1.5)).collect();
    let cost = Cost { steps: 10, draws: 2, wall_s: 1.0, thread_s: 1.0, closure_s: 0.5 };
    let (closure, device, [seeds, config_hash]) = (name.into(), "cpu".into(), [(); 2].map(|()| String::new()));
    (reference, Ensemble { closure, seeds, device, config_hash, times, fields, failures, cost })
}

#[test]
fn closed_loop_scores_have_their_closed_forms() {
    /// Single precision of the fields.
    const SINGLE: f64 = 1e-5;
    let (reference, none) = offsets(NO_CLOSURE, &[1.0, 3.0]);
    let (_, law) = offsets(EXACT_LAW, &[0.1, -0.1, 0.3, f32::NAN]);
    let scores = closed_loop(&reference, &[none.clone(), law.clone()], &SeedTree::new(1)).unwrap();
    let (summary, curves) = (scores.summary().unwrap(), scores.curves().unwrap());
    let rms = (reference.start.iter().map(|w| w * w).sum::<f64>() / (N * N) as f64).sqrt();
    let near = |column: &str, expected: [f64; 2]| {
        let found = summary.numbers(column).unwrap();
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < SINGLE / rms, "{column}: {found}, expected {expected}");
        }
    };
    near("error of mean", [2.0 / rms, 0.1 / rms]);
    near("error of member", [2.0 / rms, 0.5 / 3.0 / rms]);
    near("spread", [2.0_f64.sqrt() / rms, 0.2 / rms]);
    // Variance 2 and 0.04, sizes 2 and 3 (the fourth failed).
    near("spread/skill", [(1.5_f64 * 2.0).sqrt() / 2.0, (4.0 / 3.0 * 0.04_f64).sqrt() / 0.1]);
    // Fair CRPS: mean |x| less half the mean distance of different members.
    near("CRPS", [(2.0 - 1.0) / rms, (0.5 / 3.0 - 0.8 / 6.0) / rms]);
    near("skill/exact", [0.0, 1.0]);
    // The truth is below two members, rank 0 of 2, which stands for [0, 1/3]; and the second of three, for [1/4, 1/2].
    near("coverage 50 %", [0.25, 1.0]);
    near("coverage 80 %", [0.7, 1.0]);
    near("coverage 95 %", [0.925, 1.0]);
    near("failures", [0.0, 1.0]);
    // A second on one thread for 10 steps and half of it for 2 draws, of 2 and of 4 members.
    near("ms/step", [50.0, 25.0]);
    near("ms/draw", [125.0, 62.5]);
    assert_eq!(curves.numbers("alive").unwrap(), [2.0, 2.0, 4.0, 3.0]);
    assert_eq!(curves.numbers("skill/exact").unwrap()[1..].iter().filter(|x| x.is_finite()).count(), 2);
    let ranks = rank_histogram(&reference, &[law], 1).unwrap();
    assert_eq!(ranks.rows[0].1, [0.0, 1.0, 0.0, 0.0]);
    // Members that agree have no spread, and none that is uncertain: exactly.
    let (_, same) = offsets("same", &[0.3, 0.3, 0.3]);
    let same = closed_loop(&reference, &[same], &SeedTree::new(1)).unwrap();
    let spread = same.rollouts[0].points[1].of(&SPREAD);
    assert_eq!((spread.value, spread.error), (0.0, 0.0));
    let moved = Reference { times: vec![1.0, 2.1], ..reference };
    assert!(closed_loop(&moved, &[none], &SeedTree::new(1)).is_err());
}

#[test]
fn spectra_sum_to_what_the_fields_hold() {
    let (reference, ensemble) = offsets("a", &[0.0, f32::NAN, 0.0]);
    /// Single precision of the fields.
    const SINGLE: f64 = 1e-5;
    let table = spectra(&reference, &[ensemble], 1.0).table().unwrap();
    assert_eq!(table.texts("closure").unwrap()[0], TRUE_FLOW);
    let (enstrophy, shells) = (table.numbers("enstrophy").unwrap(), N / 2 + 1);
    assert_eq!(enstrophy.len(), 4 * shells);
    let half = 0.5 * reference.start.iter().map(|w| w * w).sum::<f64>() / (N * N) as f64;
    for block in enstrophy.chunks(shells) {
        assert!((block.iter().sum::<f64>() / half - 1.0).abs() < SINGLE);
    }
    // Two living members that agree, and a single true flow.
    let errors = table.numbers("enstrophy ±").unwrap();
    assert!(errors[0].is_nan() && errors[3 * shells] == 0.0);
}

#[test]
fn the_hold_study_shows_the_price_of_holding() {
    /// Twelve members of 32 degrees of freedom, common random numbers: 10 %; two of them.
    const MONTE_CARLO: f64 = 0.2;
    let mut config = config();
    config.rollout = RolloutConfig {
        start: 1.0,
        duration: 0.1,
        members: 12,
        snapshots: 2,
        references: 1,
        dt: None,
        redraw_interval: 5,
        hold: Hold::Held,
        closures: Vec::new(),
        precision: Precision::F32,
        init: None,
        start_state: 0,
    };
    let law = AnyClosure::new(ExactLaw::new(&config.flow, N).unwrap());
    let seeds = SeedTree::new(3);
    let every_step = RolloutConfig { redraw_interval: 1, members: 1, ..config.rollout.clone() };
    let truth = run_ensemble(&config.flow, rough(4).view(), &law, &every_step, &seeds.child("truth"), 0).unwrap();
    let (reference, _) = offsets("", &[]);
    let reference = Reference { fields: truth.fields, times: truth.times, start: rough(4), ..reference };
    let holds = [Hold::Held, Hold::Rescaled, Hold::Ar1];
    let settings = hold_settings(&[1, 5], &holds);
    let ensembles: Vec<Ensemble> = settings
        .iter()
        .map(|&(every, hold)| {
            let rollout = RolloutConfig { redraw_interval: every, hold, ..config.rollout.clone() };
            run_ensemble(&config.flow, rough(4).view(), &law, &rollout, &seeds.child("study"), 0).unwrap()
        })
        .collect();
    let labels = vec![Column::new("hold".into(), settings.iter().map(|(_, hold)| hold.name()).collect::<Vec<_>>())];
    let table = study("hold", &reference, &ensembles, &seeds).unwrap().table("hold", "", labels).unwrap();
    assert_eq!(table.texts("hold").unwrap(), ["held", "ar1", "held", "rescaled", "ar1"]);
    let spread = table.numbers("spread").unwrap();
    assert!((spread[2] / spread[3] / 5.0_f64.sqrt() - 1.0).abs() < MONTE_CARLO, "{table}");
    assert!((spread[3] / spread[0] - 1.0).abs() < MONTE_CARLO, "{table}");
    assert!(table.texts("frontier").unwrap().contains(&"true".to_string()));
    let share = table.numbers("closure share").unwrap();
    assert!(share.iter().all(|&x| x > 0.0 && x < 1.0));
    assert!(study("hold", &reference, &[], &seeds).unwrap_err().to_string().contains("study.hold"));
}

#[test]
fn offline_does_not_depend_on_the_company_and_refuses_wrong_data() {
    let config = config();
    let law = ExactLaw::new(&config.flow, N).unwrap();
    let double = AnyClosure::new(Wrong { law: law.clone(), mean: 1.0, fluctuation: 2.0 });
    let test = pairs(2, 4);
    let run = |closures: &[AnyClosure]| {
        Offline::measure(&config, &test, closures, &SeedTree::new(9)).unwrap().summary().unwrap()
    };
    let (alone, third) =
        (run(std::slice::from_ref(&double)), run(&[AnyClosure::new(law), AnyClosure::new(NoClosure), double]));
    assert_eq!(alone.numbers("bias").unwrap()[1].to_bits(), third.numbers("bias").unwrap()[2].to_bits());
    assert_eq!(third.rows(), 3);
    let wrong = Pairs { per_trajectory: 3, ..test };
    assert!(matches!(Offline::measure(&config, &wrong, &[], &SeedTree::new(9)), Err(Error::Shape { .. })));
}
