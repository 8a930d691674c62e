//! Closing the loop: the reduced solver with a closure inside, as ensembles beside the true stochastic flow.

mod store;

use ndarray::{Array2, Array4};

/// What a rollout cost. Times are of the machine it ran on and no part of its reproducible content.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Cost {
    /// Solver steps per member.
    pub steps: usize,
    /// Closure draws per member.
    pub draws: usize,
    /// Elapsed wall-clock seconds of the whole ensemble.
    pub wall_s: f64,
    /// Seconds of one thread, summed over members.
    pub thread_s: f64,
    /// The part of `thread_s` spent inside the closure.
    pub closure_s: f64,
}

/// Members of one closure's rollout from one start state.
#[derive(Debug, Clone, PartialEq)]
pub struct Ensemble {
    /// The closure's name.
    pub closure: String,
    /// Label of the seed-tree node the members' streams hang from.
    pub seeds: String,
    /// Hash of the configuration, as [`crate::config::hash`] of the whole.
    pub config_hash: String,
    /// Snapshot times, the start included.
    pub times: Vec<f64>,
    /// Vorticity (snapshot, member, n, n); NaN from a member's failure on.
    pub fields: Array4<f32>,
    /// Simulated time at which each member failed, if it did.
    pub failures: Vec<Option<f64>>,
    /// What it cost.
    pub cost: Cost,
}

/// The true stochastic flow from one start state.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    /// Label of the seed-tree node the realisations' streams hang from.
    pub seeds: String,
    /// Hash of the configuration.
    pub config_hash: String,
    /// The common start state on the reduced grid.
    pub start: Array2<f64>,
    /// Snapshot times, the start included.
    pub times: Vec<f64>,
    /// Vorticity (snapshot, realisation, n, n) on the reduced grid.
    pub fields: Array4<f32>,
    /// Elapsed wall-clock seconds.
    pub wall_s: f64,
}
