//! A whole convolutional network as one node of the autodiff graph on a CPU.
//!
//! The tensor library differentiates operation by operation, each a pass over memory; here the plain-array program of
//! [`crate::infer`] runs forwards and backwards instead. Other devices, and networks with attention, use the composition
//! in [`super::conv`], which is also the oracle of this path.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::{Autodiff, Flex};
use burn::tensor::{Device, Tensor, TensorData};

use crate::infer::{Conv, ConvAdjoint, ConvProgram, Network, Tape};

type Tracked = Autodiff<Flex, NoCheckpointing>;

/// Output (batch, m, m) of the network for `input` (batch, n, n) and its flat `weights`; `None` where this path does not apply.
pub(super) fn run(desc: &Conv, encoder: bool, weights: Tensor<1>, input: Tensor<3>) -> Option<Tensor<3>> {
    if desc.attention {
        return None;
    }
    let [batch, n, _] = input.dims();
    let input = input.try_into_primitive::<Tracked>().ok()?;
    let weights = weights.try_into_primitive::<Tracked>().ok()?;
    let parents = [input.node(), weights.node()];
    let (input, weights) = (values::<3>(input.into_primitive()), values::<1>(weights.into_primitive()));
    let mut adjoint = ConvAdjoint::new(desc, encoder, &weights, n)?;
    let mut tapes = Vec::with_capacity(batch);
    let mut out = Vec::new();
    for field in input.chunks_exact(n * n) {
        let mut tape = Tape::default();
        out.extend(adjoint.forward(field, n, &mut tape));
        tapes.push(tape);
    }
    let m = if encoder { desc.latent_n(n)? } else { desc.field_n(n)? };
    let out = primitive(out, [batch, m, m]);
    let state = State { adjoint, tapes, weights: weights.len(), shape: [batch, n, n], m };
    let out = match Node.prepare::<NoCheckpointing>(parents).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish(state, out),
        OpsKind::UnTracked(prepared) => prepared.finish(out),
    };
    Some(Tensor::from_primitive::<Tracked>(out))
}

/// As [`run`] with the resampled input added, where nothing is differentiated: the program of [`crate::infer`], with or without
/// attention.
pub(super) fn evaluate(desc: &Conv, encoder: bool, weights: Tensor<1>, input: Tensor<3>) -> Option<Tensor<3>> {
    let [batch, n, _] = input.dims();
    let input = values::<3>(input.try_into_primitive::<Flex>().ok()?);
    let weights = values::<1>(weights.try_into_primitive::<Flex>().ok()?);
    let network = if encoder { Network::Encoder(desc.clone()) } else { Network::Decoder(desc.clone()) };
    let mut program = ConvProgram::new(&network, &weights, n).ok()?;
    let m = program.output_n();
    let mut out = vec![0.0; batch * m * m];
    for (field, out) in input.chunks_exact(n * n).zip(out.chunks_exact_mut(m * m)) {
        program.eval(field, out);
    }
    Some(Tensor::from_data(TensorData::new(out, [batch, m, m]), &Device::flex()))
}

/// The values of a primitive, row-major.
fn values<const D: usize>(tensor: burn::backend::tensor::FloatTensor<Flex>) -> Vec<f32> {
    match Tensor::<D>::from_primitive::<Flex>(tensor).into_data().as_slice::<f32>() {
        Ok(values) => values.to_vec(),
        Err(error) => unreachable!("values of an f32 tensor: {error:?}"),
    }
}

fn primitive<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> burn::backend::tensor::FloatTensor<Flex> {
    let tensor = Tensor::<D>::from_data(TensorData::new(values, shape), &Device::flex());
    match tensor.try_into_primitive::<Flex>() {
        Ok(primitive) => primitive,
        Err(error) => unreachable!("a tensor made on this device: {error:?}"),
    }
}

#[derive(Debug)]
struct Node;

#[derive(Debug, Clone)]
struct State {
    adjoint: ConvAdjoint,
    tapes: Vec<Tape>,
    weights: usize,
    shape: [usize; 3],
    /// Points per side of the output.
    m: usize,
}

impl Backward<Flex, 2> for Node {
    type State = State;

    fn backward(self, ops: Ops<State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let d_out = values::<3>(grads.consume::<Flex>(&ops.node));
        let State { mut adjoint, tapes, weights, shape, m } = ops.state;
        let mut d_input = Vec::with_capacity(shape.iter().product());
        let mut d_weights = vec![0.0; weights];
        for (d_out, tape) in d_out.chunks_exact(m * m).zip(tapes) {
            d_input.extend(adjoint.backward(d_out, m, tape, &mut d_weights));
        }
        let [input_node, weights_node] = ops.parents;
        if let Some(node) = input_node {
            grads.register::<Flex>(node.id, primitive(d_input, shape));
        }
        if let Some(node) = weights_node {
            grads.register::<Flex>(node.id, primitive(d_weights, [weights]));
        }
    }
}
