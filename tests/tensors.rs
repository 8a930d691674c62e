//! Networks on tensors: the naive sums, and gradients against finite differences.

use burn::tensor::{Device, Tensor, TensorData};
use lacuna::config::{Padding, Variant};
use lacuna::nets::{Conv, ConvProgram, Fno, FnoProgram, Network};
use lacuna::nn::{Weights, compose_conv, compose_fno, decode, encode, fno};

use crate::networks::{SINGLE, VARIANTS, small};
use crate::oracle::{Naive, distance, field, randomised};

/// Central differences in f32 with a step of 1e-2: truncation and round-off.
const DIFFERENCE: f64 = 2e-2;

fn tensor(values: &[f32], batch: usize, n: usize, device: &Device) -> Tensor<3> {
    Tensor::from_data(TensorData::new(values.to_vec(), [batch, n, n]), device)
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().as_slice::<f32>().unwrap().to_vec()
}

/// Both interpreters on two fields of n × n points: tensors and programs.
fn both(desc: &Fno, n: usize) -> (Vec<f32>, Vec<f32>) {
    let device = Device::flex();
    let network = Network::Fno(desc.clone());
    let flat = randomised(&network, 11);
    let weights = Weights::new(&network, &flat, &device);
    let (w, x) = ([field(n, 1), field(n, 2)].concat(), [field(n, 3), field(n, 4)].concat());
    let levels = [0.3f32, 0.02];
    let input = |v: &[f32]| tensor(v, 2, n, &device);
    let level = Tensor::<1>::from_data(TensorData::new(levels.to_vec(), [2]), &device);
    let tensors = if desc.noisy {
        compose_fno(desc, &weights, Some(input(&x)), input(&w), Some(level))
    } else {
        compose_fno(desc, &weights, None, input(&w), None)
    };
    let mut program = FnoProgram::new(desc, &flat, n).unwrap();
    let mut out = vec![0.0; 2 * n * n];
    for (i, out) in out.chunks_mut(n * n).enumerate() {
        let at = i * n * n..(i + 1) * n * n;
        program.condition(&w[at.clone()]);
        program.forward(&x[at], levels[i], out);
    }
    (values(tensors), out)
}

#[test]
fn operators_on_tensors_are_the_naive_sums() {
    for n in [8, 6, 10] {
        for (variant, noisy) in VARIANTS {
            let desc = small(variant, noisy);
            let flat = randomised(&Network::Fno(desc.clone()), 11);
            let naive = Naive { desc: &desc, weights: &flat, n };
            let (tensors, _) = both(&desc, n);
            let first = naive.eval(noisy.then_some((&field(n, 3), 0.3)), &field(n, 1));
            let second = naive.eval(noisy.then_some((&field(n, 4), 0.02)), &field(n, 2));
            let error = distance(&tensors, &[first, second].concat());
            assert!(error < SINGLE, "{variant:?} noisy {noisy} n {n}: {error}");
        }
    }
}

#[test]
fn programs_and_tensors_agree() {
    for (variant, noisy) in VARIANTS {
        // Sizes of the presets: latent and physical, gated and published.
        for (width, modes, n) in [(32, 8, 16), (12, 6, 24), (20, 4, 16)] {
            let desc = Fno { variant, width, modes, layers: 3, layers_x: 3, embed: 16, noisy };
            let (tensors, program) = both(&desc, n);
            let error = distance(&program, &tensors);
            assert!(error < SINGLE, "{variant:?} noisy {noisy} width {width} n {n}: {error}");
        }
    }
}

#[test]
fn convolutional_programs_and_tensors_agree() {
    let device = Device::flex();
    for (width, levels, attention, padding, ratio) in [
        (8, 2, false, Padding::Periodic, [1, 1]),
        (4, 3, true, Padding::Periodic, [1, 1]),
        (16, 1, true, Padding::Zero, [1, 1]),
        (3, 1, false, Padding::Zero, [1, 1]),
        (4, 1, true, Padding::Periodic, [3, 4]),
        (4, 1, false, Padding::Zero, [3, 4]),
    ] {
        let desc = Conv { ratio, ..Conv::new(width, levels, attention, padding) };
        let (n, latent) = (16, (16 >> levels) * ratio[0] / ratio[1]);
        let (encoder, decoder) = (Network::Encoder(desc.clone()), Network::Decoder(desc.clone()));
        let (flat_e, flat_d) = (randomised(&encoder, 7), randomised(&decoder, 8));
        let (input, z) = (field(n, 1), field(latent, 2));
        let mut made = vec![0.0; latent * latent];
        let mut program = ConvProgram::new(&encoder, &flat_e, n).unwrap();
        // The second call finds the scratch of the first.
        program.forward(&field(n, 9), &mut made);
        program.forward(&input, &mut made);
        let weights = Weights::new(&encoder, &flat_e, &device);
        let expected = values(compose_conv(&desc, &weights, tensor(&input, 1, n, &device), true));
        let error = distance(&made, &expected);
        assert!(error < SINGLE, "encoder {desc:?}: {error}");

        let mut made = vec![0.0; n * n];
        ConvProgram::new(&decoder, &flat_d, latent).unwrap().forward(&z, &mut made);
        let weights = Weights::new(&decoder, &flat_d, &device);
        let expected = values(compose_conv(&desc, &weights, tensor(&z, 1, latent, &device), false));
        let error = distance(&made, &expected);
        assert!(error < SINGLE, "decoder {desc:?}: {error}");
    }
}

/// Compares the gradient of Σ_i c_i out_i along one random direction per parameter array with central differences.
fn check_gradient(network: &Network, forward: impl Fn(&Weights) -> Tensor<3>) {
    let device = Device::flex().autodiff();
    let flat = randomised(network, 12);
    let loss = |flat: &[f32], gradient: Option<&mut [f32]>| -> f64 {
        let weights = Weights::new(network, flat, &device);
        let out = forward(&weights);
        let dims = out.dims();
        let count: usize = dims.iter().product();
        let projection: Vec<f32> = (0..count).map(|i| (0.7 * i as f32).sin()).collect();
        let loss = out * Tensor::from_data(TensorData::new(projection.clone(), dims), &device);
        if let Some(gradient) = gradient {
            let mut grads = loss.clone().sum().backward();
            gradient.copy_from_slice(&weights.gradient(&mut grads));
        }
        // Summed in f64: the differences are small.
        values(loss).iter().map(|&v| f64::from(v)).sum()
    };
    let mut gradient = vec![0.0; flat.len()];
    loss(&flat, Some(&mut gradient));
    let total = gradient.iter().map(|g| g * g).sum::<f32>().sqrt();
    let mut at = 0;
    for param in network.params() {
        let range = at..at + param.len();
        at += param.len();
        if !param.trained() {
            assert!(gradient[range].iter().all(|&g| g == 0.0), "{}", param.name);
            continue;
        }
        // Along the gradient itself of this array: the derivative is its norm, which no sign error survives.
        let norm = gradient[range.clone()].iter().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt();
        assert!(norm > 0.0, "{} has no gradient", param.name);
        let step = 1e-2;
        let moved = |sign: f64| {
            let mut flat = flat.clone();
            for i in range.clone() {
                flat[i] += (sign * step * f64::from(gradient[i]) / norm) as f32;
            }
            loss(&flat, None)
        };
        let difference = (moved(1.0) - moved(-1.0)) / (2.0 * step);
        let allowed = DIFFERENCE * norm.max(0.01 * f64::from(total));
        assert!((difference - norm).abs() < allowed, "{}: {difference} against {norm}", param.name);
    }
}

#[test]
fn gradients_of_fourier_networks_are_finite_differences() {
    let n = 6;
    for variant in [Variant::Gated, Variant::Switching, Variant::Paper, Variant::Predecessor] {
        let desc = small(variant, true);
        check_gradient(&Network::Fno(desc.clone()), |weights| {
            let input = |seed| tensor(&[field(n, seed), field(n, seed + 1)].concat(), 2, n, weights.device());
            let level = Tensor::<1>::from_data(TensorData::new(vec![0.3f32, -0.2], [2]), weights.device());
            fno(&desc, weights, Some(input(1)), input(3), Some(level))
        });
    }
}

#[test]
fn gradients_of_convolutional_networks_are_finite_differences() {
    for (padding, attention) in [(Padding::Periodic, false), (Padding::Zero, true)] {
        let desc = Conv::new(4, 1, attention, padding);
        let input = |seed, n, device: &Device| tensor(&[field(n, seed), field(n, seed + 1)].concat(), 2, n, device);
        check_gradient(&Network::Encoder(desc.clone()), |weights| {
            encode(&desc, weights, input(1, 8, weights.device()))
        });
        check_gradient(&Network::Decoder(desc.clone()), |weights| {
            decode(&desc, weights, input(1, 4, weights.device()))
        });
    }
}

#[test]
fn the_fused_convolutional_networks_have_the_gradients_of_the_composition() {
    let device = Device::flex().autodiff();
    for (width, levels, attention, padding, ratio) in [
        (8, 2, false, Padding::Periodic, [1, 1]),
        (3, 1, false, Padding::Zero, [1, 1]),
        // Enough channels for transformed tiles, at both edges.
        (16, 3, false, Padding::Periodic, [1, 1]),
        (16, 2, false, Padding::Zero, [1, 1]),
        (4, 1, false, Padding::Periodic, [3, 4]),
        (4, 2, true, Padding::Periodic, [1, 1]),
        (8, 1, true, Padding::Zero, [1, 1]),
    ] {
        let desc = Conv { ratio, ..Conv::new(width, levels, attention, padding) };
        for encoder in [true, false] {
            let network = if encoder { Network::Encoder(desc.clone()) } else { Network::Decoder(desc.clone()) };
            let n = if encoder { 16 } else { (16 >> levels) * ratio[0] / ratio[1] };
            let flat = randomised(&network, 21);
            let both = [field(n, 1), field(n, 2)].concat();
            let evaluate = |fused: bool| {
                let weights = Weights::new(&network, &flat, &device);
                let input = tensor(&both, 2, n, &device).require_grad();
                let out = match (fused, encoder) {
                    (false, _) => compose_conv(&desc, &weights, input.clone(), encoder),
                    (true, true) => encode(&desc, &weights, input.clone()),
                    (true, false) => decode(&desc, &weights, input.clone()),
                };
                let mut grads = (out.clone() * out.clone().sin()).sum().backward();
                let gradient = weights.gradient(&mut grads);
                (values(out), values(input.grad(&grads).unwrap()), gradient)
            };
            let (fused, plain) = (evaluate(true), evaluate(false));
            let what = format!("{desc:?}, encoder {encoder}");
            assert_ne!(fused.0, plain.0, "{what}: the composition was compared with itself");
            assert!(distance(&fused.0, &plain.0) < SINGLE, "{what}: value {}", distance(&fused.0, &plain.0));
            assert!(distance(&fused.1, &plain.1) < GRADIENT, "{what}: input {}", distance(&fused.1, &plain.1));
            check_parameters(&network, &fused.2, &plain.2, &what);
        }
    }
}

/// Gradients are sums over points, channels and layers in another order.
const GRADIENT: f32 = 5e-5;

#[test]
fn the_fused_fourier_networks_have_the_values_and_gradients_of_the_composition() {
    let device = Device::flex().autodiff();
    // The last batch is larger than a group of fields, and no multiple of it.
    for (width, modes, n, batch) in [(5, 3, 6, 2), (20, 4, 16, 3), (12, 3, 8, 1), (32, 3, 8, 2), (9, 2, 32, 17)] {
        for (variant, noisy) in VARIANTS {
            let desc = Fno {
                variant,
                width,
                modes,
                layers: 3,
                layers_x: if variant.is_published() { 3 } else { 2 },
                embed: 16,
                noisy,
            };
            let network = Network::Fno(desc.clone());
            let flat = randomised(&network, 21);
            let fields = |first: u64| -> Vec<f32> { (0..batch as u64).flat_map(|i| field(n, first + i)).collect() };
            let evaluate = |fused: bool| {
                let weights = Weights::new(&network, &flat, &device);
                let w = tensor(&fields(1), batch, n, &device).require_grad();
                let x = tensor(&fields(100), batch, n, &device).require_grad();
                let levels: Vec<f32> = (0..batch).map(|i| 0.3 - 0.07 * i as f32).collect();
                let level = Tensor::<1>::from_data(TensorData::new(levels, [batch]), &device).require_grad();
                let inputs = if noisy { (Some(x.clone()), Some(level.clone())) } else { (None, None) };
                let run = if fused { fno } else { compose_fno };
                let out = run(&desc, &weights, inputs.0, w.clone(), inputs.1);
                let mut grads = (out.clone() * out.clone().sin()).sum().backward();
                let gradient = weights.gradient(&mut grads);
                let mut inputs = vec![values(w.grad(&grads).unwrap())];
                if noisy {
                    inputs.extend([values(x.grad(&grads).unwrap()), values(level.grad(&grads).unwrap())]);
                }
                (values(out), inputs, gradient)
            };
            let (fused, plain) = (evaluate(true), evaluate(false));
            let what = format!("{desc:?}, n {n}");
            assert_ne!(fused.0, plain.0, "{what}: the composition was compared with itself");
            assert!(distance(&fused.0, &plain.0) < SINGLE, "{what}: value {}", distance(&fused.0, &plain.0));
            for (i, (fused, plain)) in fused.1.iter().zip(&plain.1).enumerate() {
                assert!(distance(fused, plain) < GRADIENT, "{what}: input {i} {}", distance(fused, plain));
            }
            check_parameters(&network, &fused.2, &plain.2, &what);
        }
    }
}

/// Compares gradients parameter by parameter, relative to the largest entry of the parameter, or to a hundredth of the largest of
/// all.
fn check_parameters(network: &Network, made: &[f32], expected: &[f32], what: &str) {
    let largest = expected.iter().fold(0.0f32, |m, g| m.max(g.abs()));
    let mut at = 0;
    for param in network.params() {
        let range = at..at + param.len();
        at += param.len();
        let difference = made[range.clone()].iter().zip(&expected[range.clone()]).map(|(a, b)| (a - b).abs());
        let own = expected[range].iter().fold(1e-2 * largest, |m, g| m.max(g.abs()));
        let error = difference.fold(0.0, f32::max) / own;
        assert!(error < GRADIENT, "{what}: {} {error}", param.name);
    }
}
