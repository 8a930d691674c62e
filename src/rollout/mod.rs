//! Closing the loop: the reduced solver with a closure inside, as ensembles beside the true stochastic flow. Any other
//! [`crate::system::System`] is closed by [`run_in`].
//!
//! # Time
//! Step j takes the state from t_j = start + jΔt to t_{j+1}. A draw at step j (j a multiple of `rollout.every`) sees the state at
//! t_j. Snapshot k is the state *after* k·stride steps, at start + k·stride·Δt, k = 0 being the start itself, in ensembles and
//! reference alike.
//!
//! # What is done between two draws
//! Let M = `rollout.every`, m(ω) = E\[H | ω\] and ξ a draw of the fluctuation H − m with covariance C at one point or mode. In the true
//! flow the ξ of different steps are independent, so that M steps add Δt²·MC of noise to ω. The policies
//! ([`crate::config::Hold`]) differ in what they add over the M steps between two draws at ω₀:
//!
//! | policy | H at the i-th step | noise variance of M steps | calls of the closure |
//! |---|---|---|---|
//! | `held` | m(ω₀) + ξ₀ | Δt²·M²C: M times too much | 1 sample |
//! | `rescaled` | m(ω₀) + ξ₀/√M | Δt²·MC | 1 mean, 1 fluctuation |
//! | `redrawn` | m(ω₀) + ξ_i | Δt²·MC, white as in the true flow | 1 mean, M fluctuations |
//! | `ar1` | m(ω₀) + x_i, x_i = φx_{i−1} + s√(1−φ²) ξ_i | Δt²·(M − 2φ(1−φ^M)/(1−φ²))C, Δt²·C per step in the long run | 1 mean, M fluctuations |
//! | `paper` | H_{i−1} + ση_i, η white in space | Δt²·M²C as `held`, plus ≤ Δt²·M³σ²/3 | 1 sample |
//!
//! with φ = exp(−1/M), the correlation time being M steps, and s² = (1−φ)/(1+φ), so that Σ_τ Cov(x_i, x_{i+τ}) = C. `paper` is the
//! published loop: its noise between draws has the amplitude σ of the forcing instead of its pointwise standard deviation
//! (0.01995 against 5e-5), which changes nothing visible. With M = 1 `held`, `rescaled`, `redrawn` and `paper` are the same
//! law, that of the true flow.
//!
//! # Failure
//! A member fails where its closure term or state is not finite or exceeds [`crate::system::System::bound`] somewhere, of the
//! flow where |ω|Δt exceeds `flow.max_courant`. That is a
//! result: the time is kept, the fields are NaN from there on, the others go on.

#[cfg(feature = "learn")]
mod device;
mod hold;
mod member;
mod parts;
mod run;
mod store;

#[cfg(feature = "learn")]
pub use device::{OnDevice, run_on_device};
#[cfg(feature = "learn")]
pub use run::rollout_on_device;
pub use run::{EnsembleRun, reference, rollout, rollout_shard, run_ensemble, run_in};

use ndarray::{Array2, Array4};

/// What a rollout cost. Times are of the machine it ran on and no part of its reproducible content.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Cost {
    /// Solver steps per member (their average where members failed).
    pub steps: usize,
    /// Closure draws per member, samples and fluctuations alike.
    pub draws: usize,
    /// Elapsed wall-clock seconds of the run that finished the ensemble; members kept from interrupted runs took none of it.
    pub wall_s: f64,
    /// Seconds of one thread, summed over members; for members on a device, seconds of the device's batches.
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
    /// Where it was made, `cpu` or `cuda`.
    pub device: String,
    /// Hash of the settings that it depends on ([`crate::config::hash`]).
    pub config_hash: String,
    /// Snapshot times, the start included.
    pub times: Vec<f64>,
    /// States (snapshot, member, rows, columns), of the flow vorticity (…, n, n); NaN from a member's failure on.
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
    /// Hash of the settings that it depends on.
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
