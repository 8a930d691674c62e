//! Every sampler against laws whose denoiser is known in closed form.

use lacuna::SeedTree;
use lacuna::config::{Config, ModelConfig, Preset, SamplerConfig, SamplerKind, Variant};
use lacuna::rng::Stream;
use lacuna::transport::{
    FlowMatching, Preconditioning, Published, Recipe, Schedule, ScoreDenoiser, Scratch, Transport, VeSde,
    conditional_mean, sample,
};
use rand_distr::{Distribution, StandardNormal};

/// Independent 2-D draws per measurement: the standard error of a variance is √(2/40000) = 0.7 %.
const DRAWS: usize = 40_000;
const KINDS: [SamplerKind; 5] = SamplerKind::ALL;
/// A law like that of H given ω in units of its rms: mean of order one, spread near 0.08, correlated.
const MEAN: [f64; 2] = [0.8, -0.5];
const COVARIANCE: [[f64; 2]; 2] = [[0.0100, 0.0048], [0.0048, 0.0064]];

/// D = m + C (C + σ²)⁻¹ (x − m), for any number of stacked 2-D points.
fn gaussian(x: &[f32], sigma: f32, out: &mut [f32]) {
    let [[a, b], [_, d]] = COVARIANCE;
    let noise = f64::from(sigma).powi(2);
    let (p, q) = (a + noise, d + noise);
    let determinant = p * q - b * b;
    for (x, out) in x.chunks_exact(2).zip(out.chunks_exact_mut(2)) {
        let (u, v) = (f64::from(x[0]) - MEAN[0], f64::from(x[1]) - MEAN[1]);
        let (s, t) = ((q * u - b * v) / determinant, (p * v - b * u) / determinant);
        out[0] = (MEAN[0] + a * s + b * t) as f32;
        out[1] = (MEAN[1] + b * s + d * t) as f32;
    }
}

/// Two unequal Gaussians on a line, 0.3 N(−1, 0.2²) + 0.7 N(1, 0.2²), each coordinate independently.
fn mixture(x: &[f32], sigma: f32, out: &mut [f32]) {
    let (spread, noise) = (0.04, f64::from(sigma).powi(2));
    for (&x, out) in x.iter().zip(out) {
        let x = f64::from(x);
        let log_odds = (0.7_f64 / 0.3).ln() + 2.0 * x / (spread + noise);
        let right = 1.0 / (1.0 + (-log_odds).exp());
        let component = |centre: f64| centre + spread / (spread + noise) * (x - centre);
        *out = (right * component(1.0) + (1.0 - right) * component(-1.0)) as f32;
    }
}

fn draw(law: fn(&[f32], f32, &mut [f32]), kind: SamplerKind, schedule: &Schedule) -> Vec<f32> {
    let mut out = vec![0.0; 2 * DRAWS];
    let mut law = law;
    let mut rng = SeedTree::new(1).child("transport").stream();
    sample(kind, schedule, &mut law, &mut Scratch::new(out.len()), &mut rng, &mut out);
    out
}

/// Mean, and (c_00, c_11, c_01), of stacked 2-D points.
fn moments(points: &[f32]) -> ([f64; 2], [f64; 3]) {
    let n = (points.len() / 2) as f64;
    let column = |c: usize| points.iter().skip(c).step_by(2).map(|&x| f64::from(x));
    let mean = [column(0).sum::<f64>() / n, column(1).sum::<f64>() / n];
    let product =
        |c: usize, d: usize| column(c).zip(column(d)).map(|(x, y)| (x - mean[c]) * (y - mean[d])).sum::<f64>() / n;
    (mean, [product(0, 0), product(1, 1), product(0, 1)])
}

/// Largest error of mean (in standard deviations) and covariance (relative to C's largest entry).
fn errors(points: &[f32]) -> (f64, f64) {
    let (mean, covariance) = moments(points);
    let wanted = [COVARIANCE[0][0], COVARIANCE[1][1], COVARIANCE[0][1]];
    let of_mean = (0..2).map(|c| (mean[c] - MEAN[c]).abs() / wanted[c].sqrt()).fold(0.0, f64::max);
    let of_covariance = (0..3).map(|c| (covariance[c] - wanted[c]).abs() / wanted[0]).fold(0.0, f64::max);
    (of_mean, of_covariance)
}

#[test]
fn the_paper_s_sde_and_schedule_have_the_published_numbers() {
    let sde = VeSde::default();
    for (tau, std) in [(1e-5, 0.00316), (1e-3, 0.0317), (0.1, 0.3785), (0.4, 1.4446), (0.5, 2.065), (1.0, 11.50)] {
        assert!((sde.std(tau) / std - 1.0).abs() < 1e-3, "std({tau}) = {}", sde.std(tau));
        assert!((sde.tau(sde.std(tau)) - tau).abs() < 1e-12);
        // d std²/dτ = g².
        let slope = (sde.std(tau * 1.0001).powi(2) - sde.std(tau * 0.9999).powi(2)) / (2e-4 * tau);
        assert!((slope / sde.g(tau).powi(2) - 1.0).abs() < 1e-5);
    }
    let schedule = Schedule::paper(sde, 10, 1e-3, 0.1).unwrap();
    for (sigma, tau) in schedule
        .levels()
        .iter()
        .map(|level| level.sigma())
        .zip([0.1, 0.0680, 0.0452, 0.0293, 0.0185, 0.0113, 0.0066, 0.0037, 0.0020, 0.0010, 0.0])
    {
        assert!((sde.tau(sigma) - tau).abs() < 6e-5, "{} instead of {tau}", sde.tau(sigma));
    }
    assert!(Schedule::paper(sde, 0, 1e-3, 0.1).is_err());
    assert!(Schedule::paper(sde, 5, 0.2, 0.1).is_err());
    assert!(Schedule::edm(5, f64::NAN, 1.0).is_err());
}

#[test]
fn preconditioning_keeps_inputs_and_targets_at_unit_variance() {
    let edm = Preconditioning { sigma_data: 0.7 };
    for sigma in [0.01, 0.3, 1.0, 20.0] {
        assert!((edm.c_in(sigma).powi(2) * (sigma * sigma + 0.49) - 1.0).abs() < 1e-12);
        // Var[x0 − c_skip (x0 + σξ)] = c_out².
        let target = (1.0 - edm.c_skip(sigma)).powi(2) * 0.49 + edm.c_skip(sigma).powi(2) * sigma * sigma;
        assert!((target / edm.c_out(sigma).powi(2) - 1.0).abs() < 1e-12);
        assert!((edm.weight(sigma) * edm.c_out(sigma).powi(2) - 1.0).abs() < 1e-12);
    }
}

#[test]
fn samplers_reach_a_correlated_gaussian_and_their_bias_shrinks_with_steps() {
    for kind in KINDS {
        let error =
            [5, 10, 20, 50, 200].map(|steps| errors(&draw(gaussian, kind, &Schedule::edm(steps, 0.005, 8.0).unwrap())));
        println!("{kind:?}: (mean, covariance) errors at 5, 10, 20, 50, 200 steps: {error:.3?}");
        // Monte-Carlo error: 4 standard errors are 0.02 of a standard deviation and 0.03 of a variance.
        for pair in error.windows(2) {
            assert!(pair[1].1 < pair[0].1 + 0.03, "{kind:?}: {error:?}");
        }
        assert!(error[3].1 < error[0].1, "{kind:?}: {error:?}");
        // The flow keeps a start's offset in units of the spread: N(0, 8²) is off by 0.8/8 from N(m, 8² + C); noise forgets it.
        let flow = matches!(kind, SamplerKind::Heun | SamplerKind::Euler);
        let offset = if flow { MEAN[0] / 8.0 } else { 0.0 };
        assert!(error[4].0 < 0.03 + offset && error[4].1 < 0.06, "{kind:?}: {error:?}");
    }
}

#[test]
fn ten_multistep_evaluations_give_the_spread_that_ancestral_sampling_misses() {
    let error = |kind| errors(&draw(gaussian, kind, &Schedule::edm(10, 0.02, 8.0).unwrap()));
    let (multistep, ancestral) = (error(SamplerKind::Multistep), error(SamplerKind::Ancestral));
    println!("(mean, covariance) errors: multistep {multistep:.3?}, ancestral {ancestral:.3?}");
    // By the recursion for a Gaussian of spread 0.09: 0.90 of the variance against 0.47, larger modes a little more.
    assert!(multistep.1 < 0.13, "{multistep:?}");
    assert!(ancestral.1 > 0.3, "{ancestral:?}");
}

#[test]
fn samplers_reach_a_mixture() {
    // Mean 0.4; variance 0.04 + 0.84; share of the right component 0.7.
    for kind in KINDS {
        let points = draw(mixture, kind, &Schedule::edm(100, 0.01, 20.0).unwrap());
        let (mean, covariance) = moments(&points);
        let right = points.iter().filter(|&&x| x > 0.0).count() as f64 / points.len() as f64;
        println!("{kind:?}: mean {mean:.3?}, covariance {covariance:.3?}, right {right:.4}");
        // Start from N(0, 20²) instead of N(0.4, 20² + 0.88) moves the share by less than 0.01; Monte Carlo 4 × 0.0016.
        assert!((right - 0.7).abs() < 0.017, "{kind:?}: {right}");
        assert!(
            (mean[0] - 0.4).abs() < 0.035 && (covariance[0] - 0.88).abs() < 0.05,
            "{kind:?}: {mean:?} {covariance:?}"
        );
        assert!(covariance[2].abs() < 0.02, "{kind:?}: coordinates are independent, {covariance:?}");
    }
}

#[test]
fn the_paper_s_sampler_converges_and_agrees_in_score_form() {
    let sde = VeSde::default();
    let error = [5, 10, 20, 50, 400].map(|steps| {
        let schedule = Schedule::paper(sde, steps, 1e-5, 1.0).unwrap();
        errors(&draw(gaussian, SamplerKind::EulerMaruyama, &schedule))
    });
    println!("paper: {error:.3?}");
    assert!(error[3].1 < error[0].1 && error[4].0 < 0.05 && error[4].1 < 0.1, "{error:?}");

    let schedule = Schedule::paper(sde, 10, 1e-3, 0.4).unwrap();
    let direct = draw(gaussian, SamplerKind::EulerMaruyama, &schedule);
    let score = move |x: &[f32], tau: f32, out: &mut [f32]| {
        let std = sde.std(f64::from(tau)) as f32;
        gaussian(x, std, out);
        out.iter_mut().zip(x).for_each(|(out, x)| *out = (*out - x) / (std * std));
    };
    let mut out = vec![0.0; 2 * DRAWS];
    let mut rng = SeedTree::new(1).child("transport").stream();
    let mut denoiser = ScoreDenoiser { sde, score };
    sample(SamplerKind::EulerMaruyama, &schedule, &mut denoiser, &mut Scratch::new(out.len()), &mut rng, &mut out);
    // f32 rounding of τ and of the division by σ².
    assert!(out.iter().zip(&direct).all(|(a, b)| (a - b).abs() < 1e-3));
}

#[test]
fn three_evaluations_give_the_conditional_mean() {
    let mut out = vec![0.0; 2 * DRAWS];
    let mut rng = SeedTree::new(2).stream();
    let mut law = gaussian;
    conditional_mean(&Schedule::edm(5, 0.02, 8.0).unwrap(), &mut law, &mut Scratch::new(out.len()), &mut rng, &mut out);
    // C/σ_max² times noise of 8: at most 5 standard deviations of 0.0021.
    assert!(out.chunks(2).all(|x| (x[0] - 0.8).abs() < 0.01 && (x[1] + 0.5).abs() < 0.01));
}

/// The denoiser of N(m, s²) on the states y = t z + (1 − t) ξ, t = 1/(1 + σ): its velocity is (D − y)/(1 − t).
fn straight(m: f64, s: f64) -> impl FnMut(&[f32], f32, &mut [f32]) {
    move |y, sigma, out| {
        let t = 1.0 / (1.0 + f64::from(sigma));
        let gain = t * s * s / ((t * s).powi(2) + (1.0 - t).powi(2));
        out.iter_mut().zip(y).for_each(|(out, &y)| *out = (m + gain * (f64::from(y) - t * m)) as f32);
    }
}

/// A standard normal number, as samplers draw them.
fn normal(rng: &mut Stream) -> f32 {
    StandardNormal.sample(rng)
}

/// Draws of flow matching from N(1, s²): spread relative to s, and mean.
fn flow(s: f64, steps: usize, spread: f64) -> (f64, f64) {
    let sampler = SamplerConfig { kind: SamplerKind::Euler, steps, spread, ..SamplerConfig::default() };
    let schedule = FlowMatching.schedule(&sampler).unwrap();
    let mut out = vec![0.0; 1000];
    let rng = || SeedTree::new(4).stream();
    sample(SamplerKind::Euler, &schedule, &mut straight(1.0, s), &mut Scratch::new(out.len()), &mut rng(), &mut out);
    // Relative to the start's own moments, so that nothing here is a matter of chance.
    let mut again = rng();
    let start: Vec<f64> = (0..out.len()).map(|_| f64::from(normal(&mut again))).collect();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let out: Vec<f64> = out.into_iter().map(f64::from).collect();
    let (from, to) = (mean(&start), mean(&out));
    let slope = start.iter().zip(&out).map(|(z, x)| (z - from) * (x - to)).sum::<f64>()
        / start.iter().map(|z| (z - from).powi(2)).sum::<f64>();
    (slope / s, to - slope * from)
}

#[test]
fn euler_flow_matching_loses_the_spread_that_its_recursion_says() {
    /// f32 draws of a value near 1, relative to a spread of 0.02.
    const ROUNDING: f64 = 1e-4;
    // By steps, for s = 0.02, 0.08, 0.3, 1: the recursion to two digits.
    for (steps, wanted) in [
        (1, [0.00, 0.00, 0.00, 0.00]),
        (2, [0.02, 0.08, 0.28, 0.50]),
        (3, [0.04, 0.16, 0.47, 0.64]),
        (5, [0.08, 0.30, 0.67, 0.77]),
        (10, [0.18, 0.55, 0.82, 0.88]),
        (20, [0.35, 0.76, 0.91, 0.94]),
        (50, [0.65, 0.90, 0.96, 0.97]),
    ] {
        for (s, wanted) in [0.02, 0.08, 0.3, 1.0].into_iter().zip(wanted) {
            let (found, mean) = flow(s, steps, 0.0);
            let factor = |i: usize| {
                let t = i as f64 / steps as f64;
                let c = (t * s * s - (1.0 - t)) / ((t * s).powi(2) + (1.0 - t).powi(2));
                1.0 + c / steps as f64
            };
            let exact = (0..steps).map(factor).product::<f64>() / s;
            println!("{steps} steps, s = {s}: {found:.4}");
            assert!((found - exact).abs() < ROUNDING, "{steps} steps, s = {s}: {found}, recursion {exact}");
            assert!((found - wanted).abs() < 0.005 + ROUNDING, "{steps} steps, s = {s}: {found}, wanted {wanted}");
            assert!((mean - 1.0).abs() < ROUNDING, "the mean is exact: {mean}");
            // The corrected last step gives a single step all of it, and takes nothing from others.
            let (corrected, mean) = flow(s, steps, s);
            assert!(corrected > found && (mean - 1.0).abs() < ROUNDING, "{steps} steps, s = {s}: {corrected}, {mean}");
            assert!(steps > 1 || (corrected - 1.0).abs() < ROUNDING, "s = {s}: {corrected}");
        }
    }
}

#[test]
fn flow_matching_gives_the_conditional_mean_with_three_evaluations() {
    let sampler = SamplerConfig { kind: SamplerKind::Euler, ..SamplerConfig::default() };
    let schedule = FlowMatching.schedule(&sampler).unwrap();
    let mut out = vec![0.0; 100];
    let mut rng = SeedTree::new(4).stream();
    conditional_mean(&schedule, &mut straight(1.0, 0.3), &mut Scratch::new(out.len()), &mut rng, &mut out);
    // Pure noise knows nothing of z, so that the first look is exact already; f32 rounding of values near one.
    assert!(out.iter().all(|x| (x - 1.0).abs() < 1e-6));
}

#[test]
fn a_recipe_is_read_off_the_configuration_and_settings_without_effect_are_refused() {
    let config = Config::preset(Preset::Smoke);
    let with = |change: &dyn Fn(&mut ModelConfig)| {
        let mut config = config.clone();
        change(config.models.get_mut("spectral").unwrap());
        config.validate().map_err(|error| error.to_string())
    };
    let transport = |variant, transport: &str| {
        let mut model = config.models["spectral"].clone();
        (model.network.variant, model.transport) = (variant, transport.parse().unwrap());
        format!("{:?}", Recipe::new(&model).transport)
    };
    assert_eq!(transport(Variant::Gated, "diffusion"), "Edm");
    assert_eq!(transport(Variant::Paper, "diffusion"), format!("{:?}", Published::PAPER));
    assert_eq!(transport(Variant::Predecessor, "diffusion"), format!("{:?}", Published::PREDECESSOR));
    assert_eq!(transport(Variant::Gated, "flow-matching"), "FlowMatching");
    assert_eq!(transport(Variant::Paper, "flow-matching"), "FlowMatching");
    let error = Config::load("smoke", None, &["models.spectral.transport=flow".into()]).unwrap_err().to_string();
    assert!(
        error.contains("models.spectral.transport") && error.contains("known: diffusion, flow-matching"),
        "{error}"
    );
    with(&|_| ()).unwrap();
    with(&|model| (model.network.variant, model.sampler.tau_max) = (Variant::Paper, 0.5)).unwrap();
    let error = with(&|model| model.sampler.tau_max = 0.5).unwrap_err();
    assert!(error.contains("models.spectral.sampler.tau_max") && error.contains("leave it at 0.4"), "{error}");
    let error = with(&|model| model.sampler.spread = 0.1).unwrap_err();
    assert!(error.contains("models.spectral.sampler.spread") && error.contains("euler"), "{error}");
    let error = with(&|model| model.transport = FlowMatching.kind()).unwrap_err();
    assert!(error.contains("models.spectral.sampler.kind") && error.contains("[Euler]"), "{error}");
    with(&|model| (model.transport, model.sampler.kind) = (FlowMatching.kind(), SamplerKind::Euler)).unwrap();
}
