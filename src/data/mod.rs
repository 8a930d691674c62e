//! Room `data`.

use serde::{Deserialize, Serialize};

/// Root mean squares over the training set.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// Of ω.
    pub w_rms: f64,
    /// Of H.
    pub h_rms: f64,
    /// Of the known part.
    pub known_rms: f64,
}
