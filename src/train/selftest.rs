//! Does a device compute what the plain-array programs compute? Networks, losses, gradients, samplers.
//!
//! The programs of [`crate::nets`] share no code with the tensors of `nn`, so agreement says that both are right, on this
//! device, with its own order of summation and its own arithmetic. Inputs and weights come from named seeds. With products in
//! bf16 the same comparisons show what the rounding costs.

use burn::tensor::{Device, Tensor, TensorData};
use rand_distr::{Distribution, StandardNormal};

use super::batches::tensor3;
use super::noise::{NoisyBatch, NoisyTarget};
use super::score::{loss_scale, square_error, sum};
use crate::config::{Padding, Precision, SamplerKind, Variant};
use crate::error::Result;
use crate::nets::{BatchProgram, Conv, ConvProgram, Fno, FnoProgram, Network, WorkspacePool};
use crate::nn::{Product, Weights, compose_conv, compose_fno, values};
use crate::rng::SeedTree;
use crate::transport::{Edm, FlowMatching, Published, Schedule, Scratch, Transport, sample};

/// Relative error allowed between two implementations of a network, a loss or a gradient in f32: sums of up to 10⁴ terms in
/// different orders differ by 1e-6 to 1e-5, while arithmetic with shorter mantissas (TF32: 5e-4) does not pass.
pub const AGREEMENT: f64 = 1e-4;
/// The same for one product in bf16, whose mantissa has 8 bits: 2⁻⁹ in each operand and in the result, and a result of many terms
/// averages over theirs. 6e-4 was seen.
pub const ROUNDING_BF16: f64 = 4e-3;
/// The same for networks with products in bf16: 2⁻⁹ doubled by each layer that multiplies two halves of its channels, five in the
/// deepest network here, whose weights are random and large. There 0.05 was seen, elsewhere 2e-3 to 1.3e-2.
pub const AGREEMENT_BF16: f64 = 1.0 / 16.0;
/// Relative error allowed between a gradient and central differences of the loss in f32: truncation and round-off of the
/// differences, not of the gradient; 3e-4 was seen.
pub const DIFFERENCE: f64 = 5e-3;
/// Standard errors allowed between moments of independent samples; one of a dozen numbers exceeds five with probability 1e-5.
pub const STANDARD_ERRORS: f64 = 5.0;
/// Relative error allowed of the covariance drawn by the multistep sampler in 20 steps: its own bias, 3 %, and the
/// statistical error.
pub const COVARIANCE: f64 = 0.06;

/// Draws of a sampler: the standard error of a variance is √(2/20000) = 1 %.
const DRAWS: usize = 20_000;
/// Steps of a sampler.
const STEPS: usize = 20;
/// Fields in a batch.
const BATCH: usize = 4;
/// A law like that of H given ω in units of its rms: mean of order one, spread near 0.08, correlated.
const MEAN: [f32; 2] = [0.8, -0.5];
const LAW: [[f64; 2]; 2] = [[0.0100, 0.0048], [0.0048, 0.0064]];

/// One comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// What was compared with what.
    pub what: String,
    /// The error found.
    pub error: f64,
    /// The largest allowed.
    pub allowed: f64,
}

impl Check {
    fn new(what: impl Into<String>, error: f64, allowed: f64) -> Self {
        Self { what: what.into(), error, allowed }
    }

    /// Whether the error is allowed; NaN is not.
    pub fn passed(&self) -> bool {
        self.error <= self.allowed
    }
}

/// What is tested.
#[derive(Clone, Copy)]
struct Place<'a> {
    device: &'a Device,
    precision: Precision,
}

impl Place<'_> {
    /// Error allowed between two implementations of a product.
    fn rounding(self) -> f64 {
        match self.precision {
            Precision::F32 => AGREEMENT,
            Precision::Bf16 => ROUNDING_BF16,
        }
    }

    /// Error allowed between two implementations of a network.
    fn agreement(self) -> f64 {
        match self.precision {
            Precision::F32 => AGREEMENT,
            Precision::Bf16 => AGREEMENT_BF16,
        }
    }

    /// Error allowed between a gradient and differences.
    fn difference(self) -> f64 {
        match self.precision {
            Precision::F32 => DIFFERENCE,
            Precision::Bf16 => AGREEMENT_BF16,
        }
    }

    /// Whether tensors on a CPU in f32 are something else.
    fn differs(self) -> bool {
        *self.device != Device::flex() || self.precision != Precision::F32
    }

    fn weights(self, network: &Network, flat: &[f32]) -> Weights {
        Weights::new(network, flat, self.device).with_precision(self.precision)
    }

    /// Weights with gradients.
    fn leaves(self, network: &Network, flat: &[f32]) -> Weights {
        Weights::new(network, flat, &self.device.clone().autodiff()).with_precision(self.precision)
    }
}

/// All comparisons on the device named `cpu` or `cuda`, with products in `precision`, against programs in f32.
///
/// # Errors
/// An unknown device, or one that this build or machine lacks. Disagreement is no error: see [`Check::passed`].
pub fn selftest(device: &str, precision: Precision) -> Result<Vec<Check>> {
    let device = &super::device(device)?;
    let place = Place { device, precision };
    let seeds = SeedTree::new(0).child("selftest");
    let mut checks = Vec::new();
    for (name, desc, transport, n) in operators() {
        operator((name, &desc, transport, n), place, &seeds.child(name), &mut checks)?;
    }
    for (name, desc) in autoencoders() {
        autoencoder(name, &desc, place, &seeds.child(name), &mut checks)?;
    }
    samplers(place, &seeds.child("samplers"), &mut checks)?;
    Ok(checks)
}

/// Fourier networks as the presets have them, what they are trained by, and their grids.
fn operators() -> [(&'static str, Fno, &'static dyn Transport, usize); 5] {
    let gated = Fno { variant: Variant::Gated, width: 24, modes: 8, layers: 3, layers_x: 2, embed: 64, noisy: true };
    let physical = Fno { width: 16, layers: 2, layers_x: 1, ..gated.clone() };
    let mean = Fno { noisy: false, ..gated.clone() };
    let paper = Fno { variant: Variant::Paper, width: 20, modes: 4, layers: 4, layers_x: 4, embed: 256, noisy: true };
    [
        ("denoiser 20²", gated.clone(), &Edm, 20),
        ("denoiser 64²", physical, &Edm, 64),
        ("regression 20²", mean, &Edm, 20),
        ("paper score 16²", paper, &Published::PAPER, 16),
        ("velocity 20²", gated, &FlowMatching, 20),
    ]
}

/// Autoencoders: the default one, and the published kind with attention and zero padding, on 32² points.
fn autoencoders() -> [(&'static str, Conv); 2] {
    let desk = Conv::new(4, 2, false, Padding::Periodic);
    [("autoencoder", desk), ("paper autoencoder", Conv::new(8, 2, true, Padding::Zero))]
}

/// Relative distance ‖a − b‖/‖b‖.
fn distance(a: &[f32], b: &[f32]) -> f64 {
    let square = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>();
    let difference = square(&mut a.iter().zip(b).map(|(&a, &b)| f64::from(a) - f64::from(b)));
    (difference / square(&mut b.iter().map(|&b| f64::from(b)))).sqrt()
}

fn normals(count: usize, seeds: &SeedTree) -> Vec<f32> {
    let mut rng = seeds.stream();
    (0..count).map(|_| StandardNormal.sample(&mut rng)).collect()
}

/// Initial weights with nothing left at zero, where what lies before it would not be seen.
fn weights(network: &Network, seeds: &SeedTree) -> Vec<f32> {
    let mut weights = network.init(&mut seeds.child("init").stream());
    let shift = normals(weights.len(), &seeds.child("shift"));
    weights.iter_mut().zip(shift).for_each(|(weight, shift)| *weight += 0.05 * shift);
    weights
}

/// A Fourier network: its values, the loss of training, the gradient of that.
fn operator(
    (name, desc, transport, n): (&str, &Fno, &'static dyn Transport, usize),
    place: Place,
    seeds: &SeedTree,
    checks: &mut Vec<Check>,
) -> Result<()> {
    let device = place.device;
    let network = Network::Fno(desc.clone());
    let flat = weights(&network, seeds);
    let size = n * n;
    let (w, z) = (normals(BATCH * size, &seeds.child("w")), normals(BATCH * size, &seeds.child("z")));
    let mut rng = seeds.child("noise").stream();
    let noise = if desc.noisy { NoisyBatch::draw(transport, BATCH, 1, n, &mut rng) } else { NoisyBatch::none(n) };
    // What the network is asked, as plain numbers.
    let plain = Device::flex();
    let (x, level, target) = if desc.noisy {
        let NoisyTarget { input, level, target } = noise.targets(tensor3(z.clone(), n, &plain), 0..BATCH, &plain);
        (values(input), values(level), values(target))
    } else {
        (vec![0.0; BATCH * size], vec![0.0; BATCH], z.clone())
    };
    let program = |flat: &[f32]| -> Result<Vec<f32>> {
        let mut program = FnoProgram::new(desc, flat, n)?;
        let mut out = vec![0.0; BATCH * size];
        for (k, out) in out.chunks_exact_mut(size).enumerate() {
            program.condition(&w[k * size..(k + 1) * size]);
            program.forward(&x[k * size..(k + 1) * size], level[k], out);
        }
        Ok(out)
    };
    let scale = loss_scale(desc, transport, BATCH, n);
    let loss = |flat: &[f32]| -> Result<f64> {
        let square = |(a, b): (&f32, &f32)| (f64::from(*a) - f64::from(*b)).powi(2);
        Ok(scale * program(flat)?.iter().zip(&target).map(square).sum::<f64>())
    };

    let on_device = place.weights(&network, &flat);
    let input = |values: &[f32]| tensor3(values.to_vec(), n, device);
    let noisy =
        desc.noisy.then(|| (input(&x), Tensor::<1>::from_data(TensorData::new(level.clone(), [BATCH]), device)));
    let (x_in, level_in) = noisy.map_or((None, None), |(x, level)| (Some(x), Some(level)));
    let out = values(compose_fno(desc, &on_device, x_in, input(&w), level_in));
    checks.push(Check::new(
        format!("{name}: values against the program"),
        distance(&out, &program(&flat)?),
        place.agreement(),
    ));

    // Loss and gradient on a device, as a training step takes them.
    let step = |place: Place| {
        let weights = place.leaves(&network, &flat);
        let input = |values: &[f32]| tensor3(values.to_vec(), n, weights.device());
        let error = square_error(desc, &weights, input(&w), input(&z), &noise, 0..BATCH) * scale;
        let gradient = weights.gradient(&mut error.backward());
        (sum(error), gradient)
    };
    let (found, gradient) = step(place);
    let wanted = loss(&flat)?;
    checks.push(Check::new(
        format!("{name}: loss against the program"),
        (found / wanted - 1.0).abs(),
        place.agreement(),
    ));
    let what = format!("{name}: gradient against differences of the program");
    checks.push(Check::new(what, slope_error(&flat, &gradient, wanted, &loss)?, place.difference()));
    if place.differs() {
        let what = format!("{name}: gradient against the CPU's");
        let wanted = step(Place { device: &plain, precision: Precision::F32 }).1;
        checks.push(Check::new(what, distance(&gradient, &wanted), place.agreement()));
    }
    Ok(())
}

/// Relative error of the norm of a gradient at `flat`, where the loss is `value`, against central differences along it.
fn slope_error(flat: &[f32], gradient: &[f32], value: f64, loss: &dyn Fn(&[f32]) -> Result<f64>) -> Result<f64> {
    let norm = gradient.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt();
    // A step along the gradient that changes the loss by half a hundredth.
    let along = (0.005 * value.abs() / norm).min(0.02);
    let moved = |sign: f64| {
        let shift = |(&weight, &g): (&f32, &f32)| weight + (sign * along * f64::from(g) / norm) as f32;
        loss(&flat.iter().zip(gradient).map(shift).collect::<Vec<f32>>())
    };
    Ok(((moved(1.0)? - moved(-1.0)?) / (2.0 * along) / norm - 1.0).abs())
}

/// Encoder and decoder: values, and the gradient against that of the programs.
fn autoencoder(name: &str, desc: &Conv, place: Place, seeds: &SeedTree, checks: &mut Vec<Check>) -> Result<()> {
    for encoder in [true, false] {
        let role = if encoder { "encoder" } else { "decoder" };
        let (network, n) = match encoder {
            true => (Network::Encoder(desc.clone()), 32),
            false => (Network::Decoder(desc.clone()), 32 >> desc.levels),
        };
        let seeds = seeds.child(role);
        let flat = weights(&network, &seeds);
        let input = normals(BATCH * n * n, &seeds.child("input"));
        let m = ConvProgram::new(&network, &flat, n)?.output_n();
        let program = |flat: &[f32]| -> Result<Vec<f32>> {
            let mut program = ConvProgram::new(&network, flat, n)?;
            let mut out = vec![0.0; BATCH * m * m];
            input
                .chunks_exact(n * n)
                .zip(out.chunks_exact_mut(m * m))
                .for_each(|(field, out)| program.forward(field, out));
            Ok(out)
        };
        let wanted = program(&flat)?;
        let on_device = place.weights(&network, &flat);
        let out = values(compose_conv(desc, &on_device, tensor3(input.clone(), n, place.device), encoder));
        let what = format!("{name}, {role}: values against the program");
        checks.push(Check::new(what, distance(&out, &wanted), place.agreement()));

        // The gradient of Σ c_i out_i.
        let slope = normals(out.len(), &seeds.child("slope"));
        let step = |place: Place| {
            let weights = place.leaves(&network, &flat);
            let tensor = |values: &[f32], n: usize| tensor3(values.to_vec(), n, weights.device());
            let out = compose_conv(desc, &weights, tensor(&input, n), encoder);
            weights.gradient(&mut (out * tensor(&slope, m)).sum().backward())
        };
        let found = step(place);
        let program = BatchProgram::new(&network, &flat, n, true, &WorkspacePool::default())?;
        let mut wanted = vec![0.0; flat.len()];
        program.backward(&slope, program.forward(&[&input]).1, &mut wanted);
        let what = format!("{name}, {role}: gradient against the program");
        checks.push(Check::new(what, distance(&found, &wanted), place.agreement()));
        if place.differs() {
            let what = format!("{name}, {role}: gradient against the CPU's");
            let wanted = step(Place { device: &Device::flex(), precision: Precision::F32 });
            checks.push(Check::new(what, distance(&found, &wanted), place.agreement()));
        }
    }
    Ok(())
}

/// K(σ) = C(C + σ²)⁻¹, with which D(x, σ) = m + K(x − m) is the denoiser of N(m, C).
fn gain(sigma: f32) -> [[f32; 2]; 2] {
    let [[a, b], [_, d]] = LAW;
    let noise = f64::from(sigma).powi(2);
    let (p, q) = (a + noise, d + noise);
    let determinant = p * q - b * b;
    let entry = |x: f64| (x / determinant) as f32;
    [[entry(a * q - b * b), entry(b * p - a * b)], [entry(b * q - b * d), entry(d * p - b * b)]]
}

/// Draws of a correlated Gaussian with the denoiser on the device, against those with the denoiser on plain arrays.
fn samplers(place: Place, seeds: &SeedTree, checks: &mut Vec<Check>) -> Result<()> {
    let schedule = Schedule::edm(STEPS, crate::transport::SIGMA_MIN, crate::transport::SIGMA_MAX)?;
    let (device, product) = (place.device, Product(place.precision));
    let centre = Tensor::<2>::from_data(TensorData::new(MEAN.to_vec(), [1, 2]), device);
    let mut on_device = |x: &[f32], sigma: f32, out: &mut [f32]| {
        let x = Tensor::<2>::from_data(TensorData::new(x.to_vec(), [x.len() / 2, 2]), device);
        // Points are rows: (x − m) Kᵀ.
        let [[a, b], [c, d]] = gain(sigma);
        let gain = Tensor::<2>::from_data(TensorData::new(vec![a, c, b, d], [2, 2]), device);
        out.copy_from_slice(&values(product.matmul(x - centre.clone(), gain) + centre.clone()));
    };
    let mut plain = |x: &[f32], sigma: f32, out: &mut [f32]| {
        let [[a, b], [c, d]] = gain(sigma);
        for (x, out) in x.chunks_exact(2).zip(out.chunks_exact_mut(2)) {
            let (u, v) = (x[0] - MEAN[0], x[1] - MEAN[1]);
            (out[0], out[1]) = (MEAN[0] + a * u + b * v, MEAN[1] + c * u + d * v);
        }
    };
    for (kind, name) in [
        (SamplerKind::EulerMaruyama, "Euler–Maruyama"),
        (SamplerKind::Ancestral, "ancestral"),
        (SamplerKind::Heun, "Heun"),
        (SamplerKind::Multistep, "multistep"),
        (SamplerKind::Euler, "Euler"),
    ] {
        let mut draws = |on: bool, stream: &str| {
            let mut out = vec![0.0; 2 * DRAWS];
            let (mut scratch, mut rng) = (Scratch::new(out.len()), seeds.child(name).child(stream).stream());
            match on {
                true => sample(kind, &schedule, &mut on_device, &mut scratch, &mut rng, &mut out),
                false => sample(kind, &schedule, &mut plain, &mut scratch, &mut rng, &mut out),
            }
            out
        };
        let (here, same, other) = (draws(true, "a"), draws(false, "a"), draws(false, "b"));
        let what = format!("{name} sampler: draws against plain arrays, same noise");
        checks.push(Check::new(what, distance(&here, &same), place.rounding()));
        let what = format!("{name} sampler: moments against plain arrays, other noise (standard errors)");
        checks.push(Check::new(what, standard_errors(&here, &other), STANDARD_ERRORS));
        if kind == SamplerKind::Multistep {
            let (_, covariance) = moments(&here);
            let error = |i: usize, law: f64| (covariance[i] - law).abs() / LAW[0][0];
            let error = error(0, LAW[0][0]).max(error(1, LAW[1][1])).max(error(2, LAW[0][1]));
            checks.push(Check::new(format!("{name} sampler: covariance against the law"), error, COVARIANCE));
        }
    }
    Ok(())
}

/// Mean, and (c_00, c_11, c_01), of stacked 2-D points.
fn moments(points: &[f32]) -> ([f64; 2], [f64; 3]) {
    let n = (points.len() / 2) as f64;
    let column = |c: usize| points.iter().skip(c).step_by(2).map(|&x| f64::from(x));
    let mean = [0, 1].map(|c| column(c).sum::<f64>() / n);
    let product =
        |c: usize, d: usize| column(c).zip(column(d)).map(|(x, y)| (x - mean[c]) * (y - mean[d])).sum::<f64>() / n;
    (mean, [product(0, 0), product(1, 1), product(0, 1)])
}

/// Largest difference of the moments of two independent samples, in standard errors of a difference of Gaussian samples.
fn standard_errors(a: &[f32], b: &[f32]) -> f64 {
    let ((mean_a, cov_a), (mean_b, cov_b)) = (moments(a), moments(b));
    let two = 2.0 / (a.len() / 2) as f64;
    let [c, d, e] = cov_b;
    let variances = [two * c, two * d, two * 2.0 * c * c, two * 2.0 * d * d, two * (c * d + e * e)];
    let differences = mean_a.iter().zip(mean_b).map(|(a, b)| a - b).chain(cov_a.iter().zip(cov_b).map(|(a, b)| a - b));
    differences.zip(variances).map(|(difference, variance)| difference.abs() / variance.sqrt()).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_number_fails() {
        assert!(Check::new("", 1e-5, AGREEMENT).passed());
        assert!(!Check::new("", 2e-4, AGREEMENT).passed());
        assert!(!Check::new("", f64::NAN, AGREEMENT).passed());
        let (right, mut wrong) = (normals(1000, &SeedTree::new(1)), normals(1000, &SeedTree::new(1)));
        wrong.iter_mut().for_each(|x| *x *= 1.0 + 1.2e-4);
        assert!(distance(&wrong, &right) > AGREEMENT);
        let shifted: Vec<f32> = right.iter().map(|x| x + 0.5).collect();
        assert!(standard_errors(&shifted, &normals(1000, &SeedTree::new(2))) > STANDARD_ERRORS);
        assert!(standard_errors(&right, &normals(1000, &SeedTree::new(2))) < STANDARD_ERRORS);
    }

    #[test]
    fn rounded_products_cost_what_they_may_and_no_less() {
        let checks = selftest("cpu", Precision::Bf16).unwrap();
        for check in &checks {
            assert!(check.passed(), "{}: {} of {}", check.what, check.error, check.allowed);
        }
        // Rounded to 8 bits, and not passed by.
        let mut rounded = 0;
        for check in checks.iter().filter(|check| {
            ["values against", "gradient against the", "same noise"].iter().any(|what| check.what.contains(what))
        }) {
            assert!(check.error > 3.0 * AGREEMENT, "{}: {}", check.what, check.error);
            rounded += 1;
        }
        assert_eq!(rounded, 27, "{checks:?}");
    }

    #[test]
    fn the_gain_is_that_of_the_law() {
        // K (C + σ²) = C.
        let sigma = 0.3f32;
        let k = gain(sigma).map(|row| row.map(f64::from));
        let noise = f64::from(sigma).powi(2);
        for (i, row) in k.iter().enumerate() {
            for (j, &wanted) in LAW[i].iter().enumerate() {
                let product: f64 = (0..2).map(|l| row[l] * (LAW[l][j] + if l == j { noise } else { 0.0 })).sum();
                assert!((product - wanted).abs() < 1e-8, "({i}, {j}): {product}");
            }
        }
    }
}
