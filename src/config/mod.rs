//! The typed description of an experiment: what is simulated, learned, rolled out and measured.
//!
//! A [`Config`] is plain data. It comes from a [`Preset`], optionally a TOML file laid over it, and `--set
//! path.to.field=value` overrides; [`Config::validate`] refuses impossible values by name. Each stage is identified by
//! the SHA-256 of the canonical JSON of exactly the parts it depends on ([`hash`]).

mod load;
mod presets;
mod stage;
mod validate;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use presets::Preset;
pub use stage::{SHORT, Stage};
pub use validate::BUILT_IN_CLOSURES;

/// Everything that determines a run's numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Name of the preset this started from.
    pub preset: String,
    /// Root of the seed tree ([`crate::rng::SeedTree`]).
    pub seed: u64,
    /// The equation, its discretisation and its stochastic forcing.
    pub flow: FlowConfig,
    /// Which snapshots are stored, from how many trajectories, and how they are split.
    pub data: DataConfig,
    /// The models of p(H | ω) to train and compare, by name.
    pub models: BTreeMap<String, ModelConfig>,
    /// The closed loop.
    pub rollout: RolloutConfig,
    /// How much is evaluated offline.
    pub eval: EvalConfig,
}

/// 2-D vorticity equation ∂ω/∂t + u·∇ω = ν∇²ω − rω + f + σ dW/dt on a periodic square (METHOD: arXiv 2506.20771, eq. for the
/// stochastic Navier–Stokes example).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowConfig {
    /// Grid points per side of the solver (even).
    pub n: usize,
    /// Side of the periodic square.
    pub length: f64,
    /// Kinematic viscosity ν, or the hyperviscosity coefficient where `viscosity_order` > 1.
    pub viscosity: f64,
    /// p in −ν(−∇²)^p; 1 is ordinary viscosity.
    pub viscosity_order: u32,
    /// Linear friction r.
    pub friction: f64,
    /// Time step.
    pub dt: f64,
    /// Time-stepping scheme.
    pub stepper: Stepper,
    /// Amplitude A of the steady forcing A[sin 2π(x+y)/L + cos 2π(x+y)/L].
    pub forcing: f64,
    /// Stochastic forcing.
    pub noise: NoiseConfig,
    /// Initial field.
    pub initial: InitialConfig,
    /// A run stops with an error when the Courant number (max|u| + max|v|)·dt/dx exceeds this.
    pub max_courant: f64,
}

/// Time-stepping schemes, all with the linear terms implicit or exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stepper {
    /// The paper's: Crank–Nicolson diffusion, forward Euler for advection, forcing and noise.
    CnEuler,
    /// Crank–Nicolson and second-order Adams–Bashforth.
    CnAb2,
    /// Exponential time differencing, fourth-order Runge–Kutta.
    Etdrk4,
}

/// Q-Wiener forcing σ dW/dt with root spectrum exp(−α|k|²/2) per unit time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoiseConfig {
    /// Smoothness α: spatial covariance ∝ exp(−r²/4α).
    pub alpha: f64,
    /// Variance multiplier κ (the published code sums κ draws).
    pub kappa: f64,
    /// Amplitude σ; 0 switches the noise off.
    pub sigma: f64,
}

/// Periodic Gaussian random field with spectrum ∝ (4π²|n|² + τ²)^−α, scaled by τ^(α−1).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InitialConfig {
    /// Decay α of the spectrum.
    pub alpha: f64,
    /// Inverse length τ.
    pub tau: f64,
}

/// Snapshots and their split; the split is by trajectory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Grid points per side of the stored fields; divides `flow.n`.
    pub n: usize,
    /// How stored fields are made from solver fields.
    pub coarsening: Coarsening,
    /// What the reduced model lacks.
    pub term: MissingTerm,
    /// Trajectories for training.
    pub train: usize,
    /// Trajectories for validation (model selection).
    pub validation: usize,
    /// Trajectories for testing only.
    pub test: usize,
    /// Simulated time before the first snapshot.
    pub burn_in: f64,
    /// Simulated time at which a trajectory ends (exclusive for snapshots).
    pub final_time: f64,
    /// Time between snapshots.
    pub interval: f64,
}

/// Named coarsening operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Coarsening {
    /// Every (N/n)-th point, as published; aliases what lies beyond n/2.
    Stride,
    /// Spectral truncation: modes |n_x|, |n_y| < n/2 are kept.
    Truncate,
}

/// What the reduced model lacks, and hence what H is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum MissingTerm {
    /// The whole advection and the stochastic forcing: H = −D\[u·∇ω\] + σ dW/dt (arXiv 2506.20771, main experiment).
    Physics,
    /// The subgrid term of a large-eddy simulation, H = −Π, Π = bar(D\[u·∇ω\]) − D\[ū·∇ω̄\] (arXiv 2506.20771, Appendix E).
    Subgrid {
        /// The filter that makes ω̄ of ω before truncation.
        filter: FilterConfig,
    },
}

/// Low-pass filters of the subgrid split.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum FilterConfig {
    /// exp(−Δ²|k|²/24).
    Gaussian {
        /// Δ in spacings of the coarse grid.
        width: f64,
    },
    /// |k| ≤ πn/L of the coarse grid, a circle.
    Sharp,
}

/// One model of p(H | ω): where it works, what law it represents, how big it is, how it is trained and sampled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Space in which samples are drawn.
    pub latent: LatentConfig,
    /// What is learned of the law.
    pub law: Law,
    /// The network.
    pub network: NetworkConfig,
    /// Its training (with a joint latent: of everything at once).
    pub train: TrainConfig,
    /// How samples are drawn.
    pub sampler: SamplerConfig,
}

/// What a model represents of p(H | ω).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Law {
    /// Everything: a conditional diffusion model.
    Diffusion,
    /// The conditional mean only: least-squares regression of H on ω, without noise.
    Mean,
    /// Regression, plus Gaussian noise whose covariance, mode by mode, is that of the residual on training data.
    Gaussian,
}

/// The conditional two-branch FNO (arXiv 2506.20771, score network; regression networks keep the ω branch only).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// Channels.
    pub width: usize,
    /// Fourier modes kept per direction by spectral convolutions: −modes ≤ n_x < modes, 0 ≤ n_y < modes.
    pub modes: usize,
    /// Fourier layers per branch.
    pub layers: usize,
    /// Size of the noise-level embedding.
    pub embed: usize,
    /// As published, or improved.
    pub variant: Variant,
}

/// Latent spaces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum LatentConfig {
    /// Physical space: P-CDM.
    Identity,
    /// Spectral truncation to an n × n grid; no parameters.
    Spectral {
        /// Points per side of the latent field.
        n: usize,
    },
    /// A pair of trained convolutional autoencoders, one for ω and one for H.
    Autoencoder {
        /// Points per side of the latent field: `data.n` divided by 2, 4 or 8 (a decoder doubles).
        n: usize,
        /// Base width: 64 as published, 8 to 16 on a CPU.
        width: usize,
        /// Self-attention at the latent resolution, as published.
        attention: bool,
        /// What convolutions see beyond the edge.
        padding: Padding,
        /// When the autoencoders are trained.
        training: LatentTraining,
    },
}

/// What convolutions see beyond the edge of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Padding {
    /// The other side of the periodic square.
    Periodic,
    /// Zeros, as published.
    Zero,
}

/// When the autoencoders of a latent space are trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum LatentTraining {
    /// First, on reconstruction (+ `kl` times the KL term); then they are frozen ("conventional L-CDM").
    TwoPhase {
        /// Weight of the KL term; the published code has runs with 0 and with 1e-2.
        kl: f64,
        /// Training of each autoencoder.
        train: TrainConfig,
    },
    /// Together with the score model: L = w_H MSE_H + w_ω MSE_ω + w_s L_DSM + w_KL KL (arXiv 2506.20771, joint training).
    Joint {
        /// w_H; published ratios are 100 : 1 : 1 : 0.1.
        closure: f64,
        /// w_ω.
        vorticity: f64,
        /// w_s.
        score: f64,
        /// w_KL.
        kl: f64,
        /// Latents are normalised by running statistics (gradient stopped) before noise is added; published: not.
        normalise: bool,
    },
}

/// Paper-faithful or improved networks and noise levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Variant {
    /// As published: coordinate channels, plain FNO layers, output divided by the noise level, VE noise levels 30^τ.
    Paper,
    /// Periodic, residual, gated FNO layers; unit-variance data; preconditioned denoiser; matched noise levels.
    Gated,
}

/// Training of one network (or of several at once).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Optimiser steps.
    pub steps: usize,
    /// Pairs per step.
    pub batch: usize,
    /// Peak learning rate of Adam.
    pub learning_rate: f64,
    /// Steps of linear warm-up before `schedule` begins.
    pub warmup: usize,
    /// What the learning rate does after the warm-up.
    pub schedule: LearningRate,
    /// Decay of the exponential moving average of the weights; 0 keeps the weights themselves.
    pub ema: f64,
    /// Largest norm of the gradient; longer ones are scaled down.
    pub clip: f64,
    /// Steps between validations; best weights are kept by validation loss, and a resumable checkpoint is written.
    pub validate_every: usize,
    /// Validations without improvement after which training stops; 0 never stops early.
    pub patience: usize,
}

/// Learning-rate schedules.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum LearningRate {
    /// Half a cosine from the peak to zero at the last step.
    Cosine,
    /// Multiplied by `factor` every `every` steps (published: 0.5 every 100 epochs).
    Steps {
        /// Steps between reductions.
        every: usize,
        /// Factor of each reduction.
        factor: f64,
    },
    /// Always the peak.
    Constant,
}

/// Sampling schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SamplerConfig {
    /// Sampler.
    pub kind: SamplerKind,
    /// Network evaluations steps (for second-order samplers: steps, each of two evaluations but the last).
    pub steps: usize,
    /// Pseudo-time τ (paper variant) at which sampling starts.
    pub tau_max: f64,
    /// Smallest pseudo-time of the paper's schedule.
    pub tau_min: f64,
}

/// Samplers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SamplerKind {
    /// The paper's reverse SDE by Euler–Maruyama.
    EulerMaruyama,
    /// Ancestral sampling: exact Gaussian posterior between noise levels.
    Ancestral,
    /// Second-order probability-flow sampler (Heun; arXiv 2206.00364, Algorithm 1).
    Heun,
    /// Ancestral sampling made second-order by what the step before knew (SDE-DPM-Solver++ 2M; arXiv 2211.01095).
    Multistep,
}

/// The closed loop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RolloutConfig {
    /// Time of the start state, taken from a fresh reference trajectory.
    pub start: f64,
    /// Simulated duration.
    pub duration: f64,
    /// Ensemble members.
    pub members: usize,
    /// Solver steps between draws of the closure.
    pub every: usize,
    /// What happens to the drawn term on the steps in between.
    pub hold: Hold,
    /// Closures to compare: `none`, `exact`, or names of `models`.
    pub closures: Vec<String>,
    /// Number of equally spaced snapshots kept after the start.
    pub snapshots: usize,
    /// Reference realisations (truth trajectories from the same start state) compared against.
    pub references: usize,
}

/// What a rollout does with a drawn term until the next draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hold {
    /// The sample is held: the integrated noise variance is `every` times too large.
    Held,
    /// The sample's fluctuation is scaled by 1/√every about the closure's mean, so that the integrated variance is right.
    Rescaled,
    /// The mean is held, the Gaussian part is redrawn at every step.
    Redrawn,
    /// The fluctuation is an AR(1) sequence of correlation time `every` steps, redrawn at every step in part; the mean is held.
    Ar1,
    /// The published code: held, plus white noise of amplitude σ accumulating at every grid point.
    Paper,
}

/// Offline evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvalConfig {
    /// Conditions per test trajectory, spread evenly over its snapshots.
    pub conditions: usize,
    /// Samples per condition.
    pub samples: usize,
}

/// Short content hash (SHA-256 of the canonical JSON: keys sorted, shortest round-trip floats), as hex.
///
/// # Panics
/// Never for the types of this module; a value that JSON cannot hold is a bug.
pub fn hash(value: &impl Serialize) -> String {
    use sha2::{Digest, Sha256};
    // serde_json's map is sorted by key, so going through `Value` makes the text canonical.
    let canonical = serde_json::to_value(value).expect("config types serialise").to_string();
    hex(&Sha256::digest(canonical.as_bytes()))
}

/// A digest in hexadecimal digits.
pub(crate) fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
