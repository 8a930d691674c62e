//! Offline scores against closed forms.

use lacuna::closure::{AnyClosure, Closure, Deterministic, EXACT_LAW, ExactLaw};
use lacuna::config::{Config, FlowConfig, Preset};
use lacuna::data::Pairs;
use lacuna::eval::Offline;
use lacuna::flow::{Solver, initial_vorticity};
use lacuna::rng::{SeedTree, Stream};
use lacuna::{Error, Result};
use ndarray::{Array3, ArrayView2, ArrayViewMut2, Axis};

const N: usize = 32;

fn config() -> Config {
    let mut config = Config::preset(Preset::Smoke);
    config.flow = FlowConfig { n: N, ..FlowConfig::default() };
    config.data.n = N;
    config.eval.conditions = 4;
    config.eval.samples = 24;
    config
}

/// Pairs as the solver records them, from random fields.
fn pairs(trajectories: usize, per_trajectory: usize) -> Pairs {
    let config = config();
    let seeds = SeedTree::new(5).child("pairs");
    let shape = (trajectories * per_trajectory, N, N);
    let (mut w, mut h) = (Array3::zeros(shape), Array3::zeros(shape));
    for i in 0..trajectories {
        let mut solver = Solver::new(&config.flow).unwrap();
        solver.set_vorticity(initial_vorticity(&config.flow, &seeds.child(i)).unwrap().view()).unwrap();
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
    let table = &offline.summary;
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
    let w1 = table.numbers("W1").unwrap();
    assert!(w1[0] < 0.5 * w1[1] && w1[0] < 0.5 * w1[2] && w1[3] > w1[0], "{w1:?}");
    assert!(table.numbers("ms/draw").unwrap().iter().all(|&ms| ms > 0.0));
    let ratio = offline.noise.numbers("ratio").unwrap();
    let shells = N / 2 + 1;
    for shell in 0..6 {
        // The variance of one shell has few degrees of freedom: 2 π shell, at least one.
        let tolerance = 3.0 * (2.0 / (48.0 * 23.0 * (6.0 * shell as f64).max(1.0))).sqrt();
        assert!((ratio[shell] - 1.0).abs() < tolerance, "shell {shell}: {}", ratio[shell]);
        assert!((ratio[2 * shells + shell] / 4.0 - 1.0).abs() < tolerance, "shell {shell}");
        assert!(ratio[3 * shells + shell].abs() < 1e-9, "shell {shell}");
    }
    assert!(ratio[shells - 1].is_nan());
}

#[test]
fn offline_does_not_depend_on_the_company_and_refuses_wrong_data() {
    let config = config();
    let law = ExactLaw::new(&config.flow, N).unwrap();
    let double = AnyClosure::new(Wrong { law: law.clone(), mean: 1.0, fluctuation: 2.0 });
    let test = pairs(2, 4);
    let run = |closures: &[AnyClosure]| Offline::measure(&config, &test, closures, &SeedTree::new(9)).unwrap().summary;
    let (alone, third) =
        (run(&[double.clone()]), run(&[AnyClosure::new(law), AnyClosure::new(lacuna::closure::NoClosure), double]));
    assert_eq!(alone.numbers("bias").unwrap()[1].to_bits(), third.numbers("bias").unwrap()[2].to_bits());
    assert_eq!(third.rows(), 3);
    let wrong = Pairs { per_trajectory: 3, ..test };
    assert!(matches!(Offline::measure(&config, &wrong, &[], &SeedTree::new(9)), Err(Error::Shape { .. })));
}
