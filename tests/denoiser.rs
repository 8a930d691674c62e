//! The exact denoiser of hidden cells, and samplers on it.

use lacuna::SeedTree;
use lacuna::closure::{Closure, Decoder, ExactDenoiser, ExactLaw};
use lacuna::config::{CellsConfig, FlowConfig, HiddenConfig, SamplerKind};
use lacuna::spectral::{Fft2, Field};
use lacuna::transport::{Denoiser, Schedule, Scratch, sample};
use ndarray::Array2;
use rand_distr::{Distribution, StandardNormal};

use crate::cells::{N, SIGMAS, cells, draws, flow, pattern, probabilities, transform, vorticity};

/// C_n, the variance of the modes of the noise.
fn variance(flow: &FlowConfig, i: usize, j: usize) -> f64 {
    let k2 = (i.min(N - i).pow(2) + j * j) as f64 * std::f64::consts::TAU.powi(2);
    let unit = flow.noise.kappa * flow.noise.sigma.powi(2) / flow.dt * (N as f64).powi(4);
    unit * (-flow.noise.alpha * k2).exp()
}

/// The posterior mean by summing over all states in the space of fields, mode by mode.
fn naive_denoiser(config: &CellsConfig, flow: &FlowConfig, w: &Field, y: &Field, noise: f64) -> Field {
    let mut law = ExactLaw::new(flow, N).unwrap();
    let mut mean = Array2::zeros((N, N));
    law.advect(w.view(), mean.view_mut()).unwrap();
    let p = probabilities(config, w);
    let white = (noise * N as f64).powi(2);
    let count = p.len();
    let (mut total, mut sum, mut shift) = (0.0, Array2::zeros((N, N)), None);
    for state in 0..1_usize << count {
        let mut centre = mean.clone();
        let mut log_weight = 0.0;
        for (c, p) in p.iter().enumerate() {
            let b = (state >> c & 1) as f64;
            centre.scaled_add(config.amplitude * (b - p), &pattern(config, c));
            log_weight += if b > 0.5 { p.ln() } else { (1.0 - p).ln() };
        }
        let mut off = transform(&(y - &centre));
        for ((i, j), mode) in off.indexed_iter_mut() {
            let (c, pair) = (variance(flow, i, j), if j == 0 || j == N / 2 { 1.0 } else { 2.0 });
            log_weight -= 0.5 * pair * mode.norm_sqr() / (c + white);
            *mode *= c / (c + white);
        }
        let mut step = Array2::zeros((N, N));
        Fft2::new(N).inverse(&off, step.view_mut());
        let shift = *shift.get_or_insert(log_weight);
        let weight = f64::exp(log_weight - shift);
        total += weight;
        sum.scaled_add(weight, &(centre + step));
    }
    sum / total
}

#[test]
fn the_exact_denoiser_is_the_mean_over_all_states() {
    // f32 of fields of order one.
    const SINGLE: f64 = 2e-6;
    let (config, w) = (cells(), vorticity());
    let flow = flow(HiddenConfig::Cells(config.clone()));
    let mut law = ExactLaw::new(&flow, N).unwrap();
    let scale = 0.5;
    let mut denoiser = ExactDenoiser::new(&mut law, &flow, w.view(), scale).unwrap();
    let mut rng = SeedTree::new(9).stream();
    let mut unsure = 0;
    for h in draws(&mut law, &w, 3) {
        for sigma in [0.05_f32, 0.4, 1.5] {
            let mut noise = || -> f64 { StandardNormal.sample(&mut rng) };
            let y = h.mapv(|h| (h / scale + f64::from(sigma) * noise()) as f32);
            let mut out = vec![0.0; N * N];
            denoiser.denoise(y.as_slice().unwrap(), sigma, &mut out);
            let fields = y.mapv(|y| f64::from(y) * scale);
            let exact = naive_denoiser(&config, &flow, &w, &fields, f64::from(sigma) * scale);
            let error =
                exact.iter().zip(&out).fold(0.0_f64, |most, (a, b)| most.max((a / scale - f64::from(*b)).abs()));
            assert!(error < SINGLE, "σ = {sigma}: {error}");
            unsure += usize::from(exact.iter().zip(&h).any(|(a, b)| (a - b).abs() > 0.05));
        }
    }
    assert!(unsure > 0, "no noise level leaves a doubt about the state");
}

#[test]
fn the_denoiser_of_the_matched_gaussian_solves_its_equations() {
    // f32 of denoised fields over the variance of the white noise, relative to fields of order one.
    const SINGLE: f64 = 1e-4;
    let (config, w, scale) = (cells(), vorticity(), 0.5);
    let flow = flow(HiddenConfig::Cells(config.clone()));
    let (mut law, p) = (ExactLaw::new(&flow, N).unwrap(), probabilities(&config, &w));
    let mut mean = Array2::zeros((N, N));
    law.advect(w.view(), mean.view_mut()).unwrap();
    let fields = draws(&mut law, &w, 2);
    let mut denoiser = ExactDenoiser::new(&mut law.matched_gaussian(), &flow, w.view(), scale).unwrap();
    let mut rng = SeedTree::new(9).stream();
    for h in fields {
        for sigma in [0.4_f32, 1.5] {
            let mut noise = || -> f64 { StandardNormal.sample(&mut rng) };
            let y = h.mapv(|h| (h / scale + f64::from(sigma) * noise()) as f32);
            let mut out = vec![0.0; N * N];
            denoiser.denoise(y.as_slice().unwrap(), sigma, &mut out);
            // With x = m + (Σ + τ²) r the mean of the clean field is x − τ² r; Σ is C, and a² p (1 − p) G Gᵀ of every cell.
            let square = (f64::from(sigma) * scale).powi(2);
            let x = y.mapv(|y| f64::from(y) * scale);
            let r = Array2::from_shape_fn((N, N), |(i, j)| (x[(i, j)] - f64::from(out[i * N + j]) * scale) / square);
            let mut spectrum = transform(&r);
            spectrum.indexed_iter_mut().for_each(|((i, j), mode)| *mode *= variance(&flow, i, j) / (N * N) as f64);
            let mut left = Array2::zeros((N, N));
            Fft2::new(N).inverse(&spectrum, left.view_mut());
            left += &(&mean + &(square * &r));
            for (c, p) in p.iter().enumerate() {
                let g = pattern(&config, c);
                left.scaled_add(config.amplitude.powi(2) * p * (1.0 - p) * (&g * &r).sum(), &g);
            }
            let error = left.iter().zip(&x).fold(0.0_f64, |most, (a, b)| most.max((a - b).abs()));
            assert!(error < SINGLE, "σ = {sigma}: {error}");
        }
    }
}

#[test]
fn samplers_reach_all_states_of_the_exact_denoiser() {
    const DRAWS: usize = 300;
    let (config, w) = (cells(), vorticity());
    let flow = flow(HiddenConfig::Cells(config.clone()));
    let p = probabilities(&config, &w);
    let mut law = ExactLaw::new(&flow, N).unwrap();
    let mut mean = Array2::zeros((N, N));
    law.mean(w.view(), 0.0, mean.view_mut()).unwrap();
    // Of unit mean square: at a noise level of 20 nothing is left of where a field lies.
    let scale = (&mean * &mean).mean().unwrap().sqrt() + law.std_at(w.view()).unwrap();
    let mut decoder = Decoder::new(&flow, N).unwrap().unwrap();
    let mut denoiser = ExactDenoiser::new(&mut law, &flow, w.view(), scale).unwrap();
    let mut shares = |kind: SamplerKind, steps: usize| {
        let schedule = Schedule::edm(steps, 0.005, 20.0).unwrap();
        let mut rng = SeedTree::new(4).stream();
        let (mut scratch, mut z) = (Scratch::new(N * N), vec![0.0; N * N]);
        let (mut on, mut lost) = (vec![0.0; p.len()], 0.0);
        for _ in 0..DRAWS {
            sample(kind, &schedule, &mut denoiser, &mut scratch, &mut rng, &mut z);
            let h = Array2::from_shape_fn((N, N), |(i, j)| f64::from(z[i * N + j]) * scale);
            let mut y = Vec::new();
            decoder.decode((&h - &mean).view(), &mut y);
            for (c, y) in y.iter().enumerate() {
                let b = y + p[c];
                on[c] += f64::from(u8::from(b > 0.5)) / DRAWS as f64;
                let near = |mode: f64| (b - mode).abs() < 4.0 * decoder.std();
                lost += f64::from(u8::from(!near(0.0) && !near(1.0))) / (DRAWS * p.len()) as f64;
            }
        }
        (on, lost)
    };
    for (kind, steps) in [(SamplerKind::Heun, 20), (SamplerKind::Multistep, 30), (SamplerKind::Ancestral, 80)] {
        let (on, lost) = shares(kind, steps);
        println!("{kind:?}, {steps} steps: on {on:.3?} of {p:.3?}, lost {lost:.4}");
        for (on, p) in on.iter().zip(&p) {
            assert!((on - p).abs() < SIGMAS * (p * (1.0 - p) / DRAWS as f64).sqrt() + 0.01, "{kind:?}: {on} of {p}");
        }
        // The exact law loses 6e-5 at four standard deviations; a few steps more spread or less.
        assert!(lost < 0.01, "{kind:?}: {lost} in no mode");
    }
    // One step is the mean: in no mode.
    let (_, lost) = shares(SamplerKind::Heun, 1);
    assert!(lost > 0.5, "{lost}");
}
