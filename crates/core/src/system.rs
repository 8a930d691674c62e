//! What a closure is put into: one trait, and any number of dynamical systems.

use ndarray::{ArrayView2, ArrayViewMut2};
use serde_json::Value;

use crate::error::Result;

/// A model that lacks a term: its known terms, and a step that takes the rest as given.
///
/// Rollouts clone one system for every member. States and missing terms are fields of the same shape, a vector being one row.
/// [`crate::flow::Reduced`] and [`crate::lorenz96::Reduced`] are such systems.
///
/// # Memory
/// A system has none of the closure's: what a law of the missing term must know of its own past it keeps itself
/// ([`crate::closure::Closure::set_previous`]). Rollouts clone the closure for every member, and each clone sees the states of
/// its member alone, in their order.
pub trait System: Clone + Send + Sync {
    /// Rows and columns of a state.
    fn shape(&self) -> [usize; 2];

    /// Time that a step takes.
    fn time_step(&self) -> f64;

    /// Largest magnitude of a value of the state; beyond it, a run has failed.
    fn bound(&self) -> f64;

    /// What the results depend on, as the configuration writes it: part of their hashes.
    fn settings(&self) -> Value;

    /// Replaces the state.
    ///
    /// # Errors
    /// [`crate::Error::Shape`].
    fn set_state(&mut self, state: ArrayView2<f64>) -> Result<()>;

    /// Writes the state.
    ///
    /// # Panics
    /// Where `out` has another shape.
    fn state_into(&mut self, out: ArrayViewMut2<f64>);

    /// One step with the missing term `h` held over it. The state stays as it was on an error.
    ///
    /// # Errors
    /// [`crate::Error::Shape`]; [`crate::Error::BlowUp`] where `h` is not finite or the step cannot be taken.
    fn step(&mut self, h: ArrayView2<f64>) -> Result<()>;
}
