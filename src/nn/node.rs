//! A network as one node of the autodiff graph on a CPU.
//!
//! The tensor library differentiates operation by operation, each a pass over memory; here a program of [`crate::nets`] runs
//! forwards and backwards instead, whichever network it is. Other devices use the compositions in [`super::conv`] and
//! [`super::fno`], which are also the oracles of this path.

use std::sync::Arc;

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::tensor::{Tensor, TensorData};

use super::cpu::Tracked;
use super::{Spare, Weights};
use crate::nets::{BatchProgram, Pass};

/// The network of `weights` on `fields`, each (batch, n, n), and on one `level` for each sample if it has such an input; `None`
/// where this path does not apply.
pub(super) fn network(weights: &Weights, fields: Vec<Tensor<3>>, level: Option<Tensor<1>>) -> Option<Tensor<3>> {
    if !weights.programs_fit() {
        return None;
    }
    let [_, n, _] = fields.first()?.dims();
    if !weights.device().is_autodiff() {
        let mut inputs: Vec<TensorData> = fields.into_iter().map(Tensor::into_data).collect();
        inputs.extend(level.map(Tensor::into_data));
        let program = weights.program(n, false)?;
        let out = program.evaluate(&slices(&inputs)?);
        return Some(Tensor::from_primitive::<Flex>(output(&program, out)));
    }
    let mut parents = vec![weights.flat().try_into_primitive::<Tracked>().ok()?];
    for field in fields {
        parents.push(field.try_into_primitive::<Tracked>().ok()?);
    }
    if let Some(level) = level {
        parents.push(level.try_into_primitive::<Tracked>().ok()?);
    }
    let program = weights.program(n, true)?;
    // The number of parents is part of the node's type.
    let out = match parents.len() {
        2 => attach::<2>(program, weights.spare(), parents.try_into().ok()?)?,
        4 => attach::<4>(program, weights.spare(), parents.try_into().ok()?)?,
        _ => return None,
    };
    Some(Tensor::from_primitive::<Tracked>(out))
}

/// Evaluates the network; `parents` are the weights and its inputs.
fn attach<const N: usize>(
    program: Arc<BatchProgram>,
    spare: &Spare,
    parents: [FloatTensor<Tracked>; N],
) -> Option<FloatTensor<Tracked>> {
    let nodes = parents.each_ref().map(|parent| parent.node());
    let inputs: Vec<TensorData> = parents.into_iter().skip(1).map(|p| p.into_primitive().into_data()).collect();
    let (out, pass) = program.forward(&slices(&inputs)?);
    let out = output(&program, out);
    let shapes = inputs.iter().map(|input| input.shape().to_vec()).collect();
    let state = State { program, pass, spare: spare.clone(), shapes };
    Some(match Node.prepare::<NoCheckpointing>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(node) => node.finish(state, out),
        OpsKind::UnTracked(node) => node.finish(out),
    })
}

fn slices(inputs: &[TensorData]) -> Option<Vec<&[f32]>> {
    inputs.iter().map(|input| input.as_slice().ok()).collect()
}

fn primitive(values: Vec<f32>, shape: Vec<usize>) -> FloatTensor<Flex> {
    FloatTensor::<Flex>::from_data(TensorData::new(values, shape))
}

/// (batch, m, m).
fn output(program: &BatchProgram, values: Vec<f32>) -> FloatTensor<Flex> {
    let m = program.output_n();
    let batch = values.len() / (m * m);
    primitive(values, vec![batch, m, m])
}

#[derive(Debug)]
struct Node;

/// What the way back needs.
#[derive(Debug, Clone)]
struct State {
    program: Arc<BatchProgram>,
    pass: Pass,
    spare: Spare,
    /// Of the inputs.
    shapes: Vec<Vec<usize>>,
}

impl<const N: usize> Backward<Flex, N> for Node {
    type State = State;

    fn backward(self, ops: Ops<State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let State { program, pass, spare, shapes } = ops.state;
        let d_out = grads.consume::<Flex>(&ops.node).into_data();
        let Ok(d_out) = d_out.as_slice::<f32>() else { unreachable!("every tensor of this crate is f32") };
        let mut d_weights = spare.gradient(program.weights());
        let d_inputs = program.backward(d_out, pass, &mut d_weights);
        let made = std::iter::once((d_weights.keep(), vec![program.weights()])).chain(d_inputs.into_iter().zip(shapes));
        for (parent, (values, shape)) in ops.parents.into_iter().zip(made) {
            if let Some(node) = parent {
                grads.register::<Flex>(node.id, primitive(values, shape));
            }
        }
    }
}
