//! A whole network as one node of the autodiff graph on a CPU.
//!
//! The tensor library differentiates operation by operation, each a pass over memory; here the plain-array program of
//! [`crate::nets`] runs forwards and backwards instead. Other devices use the compositions in
//! [`super::conv`] and [`super::fno`], which are also the oracles of this path.

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex};
use burn::tensor::{Device, Tensor, TensorData};

use crate::kernels::Idle;
use crate::nets::{Conv, ConvAdjoint, ConvProgram, Fno, FnoAdjoint, FnoTape, Network, Tape};

type Tracked = Autodiff<Flex, NoCheckpointing>;

/// Output (batch, m, m) of the network for `input` (batch, n, n) and its flat `weights`; `None` where this path does not apply.
pub(super) fn conv(desc: &Conv, encoder: bool, weights: Tensor<1>, input: Tensor<3>) -> Option<Tensor<3>> {
    let [batch, n, _] = input.dims();
    let input = input.try_into_primitive::<Tracked>().ok()?;
    let weights = weights.try_into_primitive::<Tracked>().ok()?;
    let parents = [input.node(), weights.node()];
    let (input, weights) = (values::<3>(input.into_primitive()), weights.into_primitive());
    let flat = weights.as_slice::<f32>()?;
    let count = flat.len();
    let mut adjoint = ConvAdjoint::new(desc, encoder, flat, weights.data_arc(), n)?;
    let mut tapes = Vec::with_capacity(batch);
    let mut out = Vec::new();
    for field in input.chunks_exact(n * n) {
        let mut tape = Tape::default();
        out.extend(adjoint.forward(field, n, &mut tape));
        tapes.push(tape);
    }
    let m = if encoder { desc.latent_n(n)? } else { desc.field_n(n)? };
    let out = primitive(out, [batch, m, m]);
    let state = ConvState { adjoint, tapes, weights: count, shape: [batch, n, n], m };
    let out = match ConvNode.prepare::<NoCheckpointing>(parents).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish(state, out),
        OpsKind::UnTracked(prepared) => prepared.finish(out),
    };
    Some(Tensor::from_primitive::<Tracked>(out))
}

/// As [`conv`] with the resampled input added, where nothing is differentiated: the program of [`crate::nets`], with or without
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

/// Output (batch, n, n) of the network for ω and, with a noisy input, for x and the levels; `None` where this path does not
/// apply.
pub(super) fn fno(
    desc: &Fno,
    weights: Tensor<1>,
    w: Tensor<3>,
    noisy: Option<(Tensor<3>, Tensor<1>)>,
) -> Option<Tensor<3>> {
    let [batch, n, _] = w.dims();
    let tracked = w.device().is_autodiff();
    let shape = [batch, n, n];
    let prepare = |weights: &[f32]| FnoAdjoint::new(desc, weights, n).ok();
    if !tracked {
        let plain = |tensor: Tensor<3>| Some(values::<3>(tensor.try_into_primitive::<Flex>().ok()?));
        let w = plain(w)?;
        let (x, levels) = match noisy {
            Some((x, level)) => (plain(x)?, values::<1>(level.try_into_primitive::<Flex>().ok()?)),
            None => (Vec::new(), Vec::new()),
        };
        let weights = values::<1>(weights.try_into_primitive::<Flex>().ok()?);
        let mut adjoint = prepare(&weights)?;
        let (out, _) = adjoint.forward(&w, &x, &levels, false);
        adjoint.rest();
        return Some(Tensor::from_primitive::<Flex>(primitive(out, shape)));
    }
    let (weights, w) = (weights.try_into_primitive::<Tracked>().ok()?, w.try_into_primitive::<Tracked>().ok()?);
    let first = [weights.node(), w.node()];
    let (weights, w) = (values::<1>(weights.into_primitive()), values::<3>(w.into_primitive()));
    let mut adjoint = prepare(&weights)?;
    let state = |adjoint, tape| FnoState { adjoint, tape, weights: weights.len(), shape };
    // The number of parents is part of the node's type.
    let out = match noisy {
        Some((x, level)) => {
            let (x, level) = (x.try_into_primitive::<Tracked>().ok()?, level.try_into_primitive::<Tracked>().ok()?);
            let [weights, condition] = first;
            let parents = [weights, condition, x.node(), level.node()];
            let (x, level) = (values::<3>(x.into_primitive()), values::<1>(level.into_primitive()));
            let (out, tape) = adjoint.forward(&w, &x, &level, true);
            let out = primitive(out, shape);
            match FnoNode.prepare::<NoCheckpointing>(parents).compute_bound().stateful() {
                OpsKind::Tracked(prepared) => prepared.finish(state(adjoint, tape), out),
                OpsKind::UnTracked(prepared) => prepared.finish(out),
            }
        }
        None => {
            let (out, tape) = adjoint.forward(&w, &[], &[], true);
            let out = primitive(out, shape);
            match FnoNode.prepare::<NoCheckpointing>(first).compute_bound().stateful() {
                OpsKind::Tracked(prepared) => prepared.finish(state(adjoint, tape), out),
                OpsKind::UnTracked(prepared) => prepared.finish(out),
            }
        }
    };
    Some(Tensor::from_primitive::<Tracked>(out))
}

/// Frees the prepared networks that wait for the next step.
pub(super) fn forget() {
    ConvAdjoint::forget();
    FnoAdjoint::forget();
    GRADIENTS.clear();
}

/// The values of a primitive, row-major.
fn values<const D: usize>(tensor: FloatTensor<Flex>) -> Vec<f32> {
    if let Some(values) = tensor.as_slice::<f32>() {
        return values.to_vec();
    }
    super::values(Tensor::<D>::from_primitive::<Flex>(tensor))
}

/// Gradients that were added up.
static GRADIENTS: Idle<Vec<f32>> = Idle::new();

/// Takes a gradient back for the next one of its length.
pub(super) fn give(gradient: Vec<f32>) {
    GRADIENTS.give(gradient);
}

/// A gradient of `len` weights with nothing added yet.
fn zeros(len: usize) -> Vec<f32> {
    match GRADIENTS.take(|gradient| (gradient.len() == len).then_some(0)) {
        Some(mut gradient) => {
            gradient.fill(0.0);
            gradient
        }
        None => vec![0.0; len],
    }
}

fn primitive<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> FloatTensor<Flex> {
    let tensor = Tensor::<D>::from_data(TensorData::new(values, shape), &Device::flex());
    match tensor.try_into_primitive::<Flex>() {
        Ok(primitive) => primitive,
        Err(error) => unreachable!("a tensor made on this device: {error:?}"),
    }
}

fn register<const D: usize>(grads: &mut Gradients, node: NodeId, values: Vec<f32>, shape: [usize; D]) {
    grads.register::<Flex>(node, primitive(values, shape));
}

#[derive(Debug)]
struct ConvNode;

#[derive(Debug, Clone)]
struct ConvState {
    adjoint: ConvAdjoint,
    tapes: Vec<Tape>,
    weights: usize,
    shape: [usize; 3],
    /// Points per side of the output.
    m: usize,
}

impl Backward<Flex, 2> for ConvNode {
    type State = ConvState;

    fn backward(self, ops: Ops<ConvState, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let d_out = values::<3>(grads.consume::<Flex>(&ops.node));
        let ConvState { mut adjoint, tapes, weights, shape, m } = ops.state;
        let mut d_input = Vec::with_capacity(shape.iter().product());
        let mut d_weights = zeros(weights);
        for (d_out, tape) in d_out.chunks_exact(m * m).zip(tapes) {
            d_input.extend(adjoint.backward(d_out, m, tape, &mut d_weights));
        }
        adjoint.rest();
        let [input_node, weights_node] = ops.parents;
        if let Some(node) = input_node {
            register(grads, node.id, d_input, shape);
        }
        if let Some(node) = weights_node {
            register(grads, node.id, d_weights, [weights]);
        }
    }
}

/// Parents: weights, ω, and for a noisy network x and the levels.
#[derive(Debug)]
struct FnoNode;

#[derive(Debug, Clone)]
struct FnoState {
    adjoint: FnoAdjoint,
    tape: FnoTape,
    weights: usize,
    shape: [usize; 3],
}

impl<const N: usize> Backward<Flex, N> for FnoNode {
    type State = FnoState;

    fn backward(self, ops: Ops<FnoState, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let d_out = values::<3>(grads.consume::<Flex>(&ops.node));
        let FnoState { mut adjoint, tape, weights, shape } = ops.state;
        let mut d_weights = zeros(weights);
        let inputs = adjoint.backward(&d_out, tape, &mut d_weights);
        adjoint.rest();
        let mut nodes = ops.parents.into_iter();
        let mut next = || nodes.next().flatten().map(|node| node.id);
        if let Some(id) = next() {
            register(grads, id, d_weights, [weights]);
        }
        if let Some(id) = next() {
            register(grads, id, inputs.w, shape);
        }
        if let Some(id) = next() {
            register(grads, id, inputs.x, shape);
        }
        if let Some(id) = next() {
            register(grads, id, inputs.levels, [shape[0]]);
        }
    }
}
