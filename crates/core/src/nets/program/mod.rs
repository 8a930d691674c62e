//! Networks as programs on plain f32 arrays.
//!
//! Weights are packed and scratch is allocated when a program is made; a call allocates nothing. It uses the threads of the rayon
//! pool that it is called in, and one outside of any.

mod conv;
mod fno;

pub use conv::{ConvAdjoint, ConvProgram, Tape};
pub use fno::{FnoAdjoint, FnoProgram, FnoTape};
