//! Loops and products on plain f32 arrays: what networks are made of, forwards and backwards. Nothing here knows a network.
//!
//! Fields are channels-last, (point, channel), so that pointwise layers are one matrix product, the transforms of a spectral
//! convolution fill vector registers with channels, and a row of a 3×3 convolution reads three runs of contiguous memory.

pub(crate) mod fork_join;
pub(crate) mod idle;
pub(crate) mod lanes;
pub(crate) mod matrix;
pub(crate) mod panel;
pub(crate) mod pointwise;
pub(crate) mod pointwise_back;
pub(crate) mod resize;
pub(crate) mod spectral;
pub(crate) mod spectral_back;
pub(crate) mod stencil;
pub(crate) mod stencil_back;
pub(crate) mod upsample;
pub(crate) mod waves;
pub(crate) mod winograd;
pub(crate) mod winograd_back;

pub use idle::Idle;
pub use matrix::square_product;
pub use resize::resampling;
