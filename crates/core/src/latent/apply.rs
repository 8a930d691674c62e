//! One network of a checkpoint on many fields.

use ndarray::{Array3, ArrayView3, Axis};

use super::ModelDenoiser;
use crate::error::{Error, Result};
use crate::nets::{Checkpoint, ConvProgram, Role};
use crate::transport::Recipe;

/// What [`apply`] evaluates. Networks see the fields as given: nothing is normalised.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Operation {
    /// H autoencoder: physical to latent.
    Encode,
    /// H autoencoder: latent to physical.
    Decode,
    /// H autoencoder: there and back.
    Reconstruct,
    /// The score s(x, τ | ω) at pseudo-time τ of the paper's SDE, noise level std(τ).
    Score {
        /// τ.
        tau: f64,
    },
}

/// Evaluates a network on `input` (samples, n, n); scores need a `condition` of the same shape.
///
/// # Errors
/// A network that the checkpoint lacks; shapes it cannot take; a score without its condition or outside 0 < τ ≤ 1.
pub fn apply(
    checkpoint: &Checkpoint,
    operation: Operation,
    input: ArrayView3<f32>,
    condition: Option<ArrayView3<f32>>,
) -> Result<Array3<f32>> {
    let (_, n, m) = input.dim();
    if n != m || n == 0 {
        return Err(Error::shape("input fields", "(samples, n, n)", input.shape()));
    }
    let conv = |role: Role, n: usize| -> Result<ConvProgram> {
        let (network, weights) = checkpoint.network(role)?;
        ConvProgram::new(network, weights, n)
    };
    match operation {
        Operation::Encode => run(&mut [conv(Role::EncodeH, n)?], input),
        Operation::Decode => run(&mut [conv(Role::DecodeH, n)?], input),
        Operation::Reconstruct => {
            let encoder = conv(Role::EncodeH, n)?;
            let latent = encoder.output_n();
            run(&mut [encoder, conv(Role::DecodeH, latent)?], input)
        }
        Operation::Score { tau } => {
            let condition = condition.ok_or_else(|| Error::config("condition", "a score needs a condition"))?;
            if condition.shape() != input.shape() {
                return Err(Error::shape("condition", format!("{:?}", input.shape()), condition.shape()));
            }
            if !(tau > 0.0 && tau <= 1.0) {
                return Err(Error::config("tau", format!("{tau}; 0 < tau <= 1 is needed")));
            }
            let (desc, weights) = checkpoint.fno(Role::Score)?;
            let transport = Recipe::new(&checkpoint.model).transport;
            let mut model = ModelDenoiser::new(desc, transport, weights, n)?;
            let sigma = transport.pseudo_time().unwrap_or_default().std(tau);
            let mut out = Array3::zeros(input.dim());
            for ((x, w), mut out) in
                input.axis_iter(Axis(0)).zip(condition.axis_iter(Axis(0))).zip(out.axis_iter_mut(Axis(0)))
            {
                let (x, w): (Vec<f32>, Vec<f32>) = (x.iter().copied().collect(), w.iter().copied().collect());
                let mut score = vec![0.0; n * n];
                model.condition(&w);
                model.score(&x, sigma, &mut score);
                out.iter_mut().zip(score).for_each(|(out, score)| *out = score);
            }
            Ok(out)
        }
    }
}

/// One program after the other on every field.
fn run(programs: &mut [ConvProgram], input: ArrayView3<f32>) -> Result<Array3<f32>> {
    let n = programs.last().map_or(0, ConvProgram::output_n);
    let mut out = Array3::zeros((input.dim().0, n, n));
    for (field, mut out) in input.axis_iter(Axis(0)).zip(out.axis_iter_mut(Axis(0))) {
        let mut values: Vec<f32> = field.iter().copied().collect();
        for program in &mut *programs {
            let mut next = vec![0.0; program.output_n() * program.output_n()];
            program.forward(&values, &mut next);
            values = next;
        }
        out.iter_mut().zip(values).for_each(|(out, value)| *out = value);
    }
    Ok(out)
}
