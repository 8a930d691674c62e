//! What the optimiser loop sees of a model.

use crate::error::Result;

/// A loss, the named parts it is made of, and what is to be said about it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Loss {
    /// What is minimised.
    pub total: f64,
    /// Components and diagnostics by name, for the log.
    pub parts: Vec<(&'static str, f64)>,
    /// A finding that deserves a line of its own, such as a collapsed latent space.
    pub note: Option<String>,
}

impl From<f64> for Loss {
    fn from(total: f64) -> Self {
        Self { total, ..Self::default() }
    }
}

/// What is minimised. Randomness (batch, noise) must come from the step's own stream, e.g. `seeds.child(step)`.
pub trait Objective {
    /// Loss of step `step` at `params`; its gradient is written to `gradient`. `buffers` are what the objective carries from
    /// step to step besides the weights (running statistics); they are saved and restored with the state.
    ///
    /// # Errors
    /// Whatever the model reports.
    fn gradient(&mut self, step: usize, params: &[f32], buffers: &mut [f64], gradient: &mut [f32]) -> Result<Loss>;

    /// Validation loss, the same for the same `params` and `buffers`.
    ///
    /// # Errors
    /// Whatever the model reports.
    fn validate(&mut self, params: &[f32], buffers: &[f64]) -> Result<Loss>;
}
