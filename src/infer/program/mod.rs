//! Networks as programs on plain f32 arrays.
//!
//! Fields are channels-last, (point, channel), so that pointwise layers are one matrix product, the transforms of a spectral
//! convolution fill vector registers with channels, and a row of a 3×3 convolution reads three runs of contiguous memory.
//! Weights are packed and scratch is allocated when a program is made; a call allocates nothing. It uses the threads of the rayon
//! pool that it is called in, and one outside of any.

mod conv;
mod fno;
#[cfg(feature = "learn")]
mod idle;
mod kernels;
#[cfg(feature = "learn")]
mod kernels_back;
mod lanes;
mod matrix;
mod panel;
mod resize;
mod spectral;
#[cfg(feature = "learn")]
mod spectral_back;
mod spread;
mod stencil;
#[cfg(feature = "learn")]
mod stencil_back;
mod upsample;
mod waves;
mod winograd;
#[cfg(feature = "learn")]
mod winograd_back;

pub use conv::ConvProgram;
#[cfg(feature = "learn")]
pub(crate) use conv::{ConvAdjoint, Tape};
pub use fno::FnoProgram;
#[cfg(feature = "learn")]
pub(crate) use fno::{FnoAdjoint, FnoTape};
#[cfg(all(feature = "learn", not(feature = "cuda")))]
pub(crate) use idle::Idle;
#[cfg(feature = "cli")]
pub(crate) use matrix::square_product;
