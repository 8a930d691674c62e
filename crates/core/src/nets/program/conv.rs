//! Convolutional encoders and decoders as programs ([`Conv`](crate::nets::Conv) has the layout), one field at a time,
//! channels-last.
//!
//! The forward pass keeps the input of every layer and the statistics of every norm; the backward pass makes everything else
//! again.

mod attention;
mod layers;

use std::sync::Arc;

use self::attention::Attention;
use self::layers::{Conv3, Cutter, Layer, NormConv, Residual};
use super::workspace::{Tape, Workspace};
use crate::error::{Error, Result};
use crate::kernels::conv3::Kernel;
use crate::kernels::gemm::product;
use crate::kernels::matrix::Matrix;
use crate::kernels::resize::{Resize, resampling};
use crate::nets::network::Named;
use crate::nets::{Block, Network, scaled};

/// The layers of an encoder or a decoder, prepared for one grid.
#[derive(Debug)]
pub(super) struct ConvLayers {
    /// Points per side.
    pub(super) input: usize,
    pub(super) output: usize,
    layers: Vec<Box<dyn Layer>>,
    /// The matrix (output, input) by which the input is resampled and added to the output, if it is.
    resampling: Option<Vec<f32>>,
}

impl ConvLayers {
    /// For inputs of `n` points per side; with `adjoint` to go backwards, too.
    pub(super) fn new(network: &Network, weights: &[f32], n: usize, adjoint: bool) -> Result<Self> {
        let (desc, encoder) = match network {
            Network::Encoder(desc) => (desc, true),
            Network::Decoder(desc) => (desc, false),
            other => {
                return Err(Error::config("network.kind", format!("{}; expected encoder or decoder", other.kind())));
            }
        };
        let made = if encoder { desc.latent_n(n) } else { desc.field_n(n) };
        if made.is_none() {
            let (halvings, [over, under]) = (desc.levels, desc.ratio);
            let what = if encoder {
                format!(
                    "{n} points per side; the network halves the grid {halvings} times, to 2 or more, and resizes it by {over}/{under}"
                )
            } else {
                format!("{n} points per side; the network resizes the latent by {under}/{over}, from 2 points or more")
            };
            return Err(Error::config("latent.n", what));
        }
        let cut = Cutter { named: Named::new(network, weights)?, padding: desc.padding, adjoint };
        let (mut layers, mut at): (Vec<Box<dyn Layer>>, _) = (Vec::new(), n);
        let mut blocks = desc.blocks(encoder).into_iter();
        while let Some(block) = blocks.next() {
            layers.push(match block {
                Block::Conv { name, from, to, stride } => {
                    let layer = Conv3::new(&cut, &name, |weight| Kernel::new(weight, from, to, at, stride));
                    at /= stride;
                    Box::new(layer)
                }
                Block::Residual { name, from, to } => Box::new(Residual::new(&cut, &name, from, to, at)),
                Block::Attention { name, channels, heads } => Box::new(Attention::new(&cut, &name, channels, heads)),
                Block::Resize { channels, ratio } => {
                    // Whole, as `made` says.
                    let to = scaled(at, ratio).unwrap_or(at);
                    Box::new(Resize::new(std::mem::replace(&mut at, to), to, channels))
                }
                // The layout has a convolution after each of these.
                Block::Upsample => match blocks.next() {
                    Some(Block::Conv { name, from, to, .. }) => {
                        at *= 2;
                        Box::new(Conv3::new(&cut, &name, |weight| Kernel::up(weight, from, to, at / 2)))
                    }
                    other => unreachable!("a convolution follows an upsampling, not {other:?}"),
                },
                Block::NormSilu { name, .. } => match blocks.next() {
                    Some(Block::Conv { name: conv, from, to, .. }) => {
                        Box::new(NormConv::new(&cut, [&name, &conv], from, to, at))
                    }
                    other => unreachable!("a convolution follows the last norm, not {other:?}"),
                },
            });
        }
        let resampling = desc.resamples().then(|| resampling(n, at));
        Ok(Self { input: n, output: at, layers, resampling })
    }

    /// Writes the network's output at `input`, n² values, to `out`; with a tape that of the layers alone, to which the resampled
    /// input is added where the layers are one part of a graph.
    pub(super) fn forward(&self, input: &[f32], out: &mut [f32], ws: &mut Workspace, tape: &mut Tape) {
        let first = ws.copy(input);
        let made = self.layers.iter().fold(first, |h, layer| layer.forward(h, ws, tape));
        out.copy_from_slice(&made);
        ws.release(made);
        if let Some(matrix) = self.resampling.as_ref().filter(|_| !tape.keep) {
            let (n, m) = (self.input, self.output);
            let (matrix, mut half) = (Matrix::strided(matrix, n), ws.acquire(m * n));
            product([m, n, n], matrix, Matrix::strided(input, n), &mut half, n, false);
            product([m, n, m], Matrix::strided(&half, n), matrix.t(), out, m, true);
            ws.release(half);
        }
    }

    /// Writes the gradient with respect to the input to `d_input`, given that with respect to the output; adds that of the
    /// weights to `gradient`.
    pub(super) fn backward(
        &self,
        d_out: &[f32],
        d_input: &mut [f32],
        ws: &mut Workspace,
        tape: &mut Tape,
        gradient: &mut [f32],
    ) {
        let last = ws.copy(d_out);
        let d = self.layers.iter().rev().fold(last, |d, layer| layer.backward(d, ws, tape, gradient));
        d_input.copy_from_slice(&d);
        ws.release(d);
    }
}

/// An encoder or a decoder prepared for one grid; one field at a time, no allocation per call. Clones share the weights.
#[derive(Debug, Clone)]
pub struct ConvProgram {
    layers: Arc<ConvLayers>,
    ws: Workspace,
}

impl ConvProgram {
    /// Prepares an encoder or a decoder with the given flat weights; `n` is the number of points per side of its input.
    ///
    /// # Errors
    /// A network of another kind, weights of another length, or an `n` that the network cannot halve or resize.
    pub fn new(network: &Network, weights: &[f32], n: usize) -> Result<Self> {
        let layers = Arc::new(ConvLayers::new(network, weights, n, false)?);
        let mut program = Self { ws: Workspace::default(), layers };
        // Scratch grows to its size once, here, and not within a call that somebody times or that must not allocate.
        program.forward(&vec![0.0; n * n], &mut vec![0.0; program.output_n().pow(2)]);
        Ok(program)
    }

    /// Points per side of the output.
    pub fn output_n(&self) -> usize {
        self.layers.output
    }

    /// Evaluates the network on `input`, n² values, into `out`, [`ConvProgram::output_n`]² values.
    ///
    /// # Panics
    /// On other numbers of values.
    pub fn forward(&mut self, input: &[f32], out: &mut [f32]) {
        let (n, m) = (self.layers.input, self.layers.output);
        assert_eq!(input.len(), n * n, "input of a program for {n} × {n} points");
        assert_eq!(out.len(), m * m, "output of a program that makes {m} × {m} points");
        self.layers.forward(input, out, &mut self.ws, &mut Tape::new(false));
    }
}
