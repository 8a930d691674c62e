//! Loops and products on plain f32 arrays: what networks are made of, forwards and backwards. Nothing here knows a network.
//!
//! Fields are channels-last, (point, channel), so that pointwise layers are one matrix product, the transforms of a spectral
//! convolution fill vector registers with channels, and a row of a 3×3 convolution reads three runs of contiguous memory.

pub(crate) mod activation;
pub(crate) mod border;
pub(crate) mod channels;
pub(crate) mod conv3;
pub(crate) mod fork_join;
pub(crate) mod gemm;
pub(crate) mod group_norm;
pub(crate) mod lanes;
pub(crate) mod matrix;
pub(crate) mod object_pool;
pub(crate) mod real_dft;
pub(crate) mod resize;
pub(crate) mod small_gemm;
pub(crate) mod spectral;
pub(crate) mod upsample;
pub(crate) mod winograd;

/// Numbers that repeat nothing soon: what tests compute with.
#[cfg(test)]
pub(crate) fn wave(len: usize, step: f32) -> Vec<f32> {
    (0..len).map(|i| (step * i as f32).sin()).collect()
}

pub use gemm::square_product;
pub(crate) use lanes::tanhs;
pub use object_pool::{ObjectPool, Pooled};
pub use resize::resampling;
