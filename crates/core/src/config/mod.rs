//! The typed description of an experiment: what is simulated, learned, rolled out and measured.
//!
//! A [`Config`] is plain data. It comes from a [`Preset`], optionally a TOML file laid over it, and `--set
//! path.to.field=value` overrides; [`Config::validate`] refuses impossible values by name. Each stage is identified by
//! the SHA-256 of the canonical JSON of exactly the parts it depends on ([`hash`]).

mod closure;
mod forcing;
mod hidden;
mod latent;
pub mod limits;
mod load;
mod model;
mod presets;
mod regimes;
mod sampler;
mod source;
mod stage;
mod study;
mod subgrid;
mod training;
mod validate;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::file::hex;

pub use closure::{ClosureKind, ClosureRef};
pub use forcing::ForcingPattern;
pub use hidden::{CellsConfig, HiddenConfig, RingConfig};
pub use latent::{LatentConfig, LatentLoss, LatentTraining, Padding, halvings};
pub use model::{Base, Law, ModelConfig, NetworkConfig, ProperScore, Quadratic, TransportKind, Variant};
pub use presets::Preset;
pub use regimes::{DataAmountsConfig, RegimeConfig, RegimesConfig, TrainedOn};
pub use sampler::{SamplerConfig, SamplerKind};
pub use source::{Axes, CheckpointConfig, SourceConfig, StartConfig};
pub use stage::{SHORT, Stage, StageKind};
pub use study::{
    EnsembleConfig, FewStepsConfig, FrontierConfig, HorizonConfig, LossWeightsConfig, MemoryConfig, StartsConfig,
    StudyConfig,
};
pub use subgrid::{SubgridConstants, SubgridModel};
pub use training::{Augment, LearningRate, Precision, TrainConfig};
pub use validate::{check_grid, some_steps, whole_steps};

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
    /// Models whose weights are read from files instead of trained, by name. What stands in `models` under such a name is replaced
    /// by what the file says.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub checkpoints: BTreeMap<String, CheckpointConfig>,
    /// The closed loop.
    pub rollout: RolloutConfig,
    /// How much is evaluated offline.
    pub eval: EvalConfig,
    /// Variations of the closed loop.
    pub study: StudyConfig,
    /// Constants of the classical subgrid models, where they are not the standard ones.
    #[serde(default, skip_serializing_if = "SubgridConstants::is_standard")]
    pub subgrid: SubgridConstants,
    /// What models are trained on, if it is another flow than this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trained_on: Option<TrainedOn>,
}

/// 2-D vorticity equation ∂ω/∂t + u·∇ω + βv = ν∇²ω − rω + f + σ dW/dt on a periodic square (arXiv 2506.20771, the stochastic
/// Navier–Stokes example of its main experiment).
///
/// All numbers are non-dimensional: they are in units of one length and one time, which need not be named. With L = `length`
/// and U the rms speed at t = 20 … 40, measured over three trajectories, the Reynolds number UL/ν is
///
/// | preset | n | U | ν | UL/ν |
/// |---|---|---|---|---|
/// | `smoke`, `desk` | 64 | 0.12 | 1e-3 | 120 |
/// | `paper` | 256 | 0.12 | 1e-3 | 120 |
/// | `les` | 128 | 0.19 | 1e-4 | 1900 |
/// | `turbulence` | 512 | 0.25 | 1.27e-6 | 2·10⁵ |
///
/// Good values are those of the presets. With another forcing, viscosity or grid choose `dt` for a Courant number below one
/// half, and n so large that the spectrum falls by some decades before the cut-off N/3 of the 2/3 rule.
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
    /// The numbers that the full flow of data and references is computed in.
    #[serde(default, skip_serializing_if = "FloatKind::is_default")]
    pub precision: FloatKind,
    /// Amplitude A of the steady forcing, by default A[sin 2π(x+y)/L + cos 2π(x+y)/L].
    pub forcing: f64,
    /// The pattern that A multiplies.
    #[serde(default, skip_serializing_if = "ForcingPattern::is_default")]
    pub forcing_pattern: ForcingPattern,
    /// β, the gradient of the planetary vorticity along y.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub beta: f64,
    /// Stochastic forcing.
    pub noise: NoiseConfig,
    /// Random forcing whose law is no Gaussian, beside the noise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden: Option<HiddenConfig>,
    /// Initial field.
    pub initial: InitialConfig,
    /// A run stops with an error when the Courant number (max|u| + max|v|)·dt/dx exceeds this.
    pub max_courant: f64,
}

impl FlowConfig {
    /// Whether anything in the flow is random.
    pub fn is_random(&self) -> bool {
        self.hidden.is_some() || (self.noise.sigma > 0.0 && self.noise.kappa > 0.0)
    }
}

/// Floating-point numbers of a solver.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FloatKind {
    /// Double precision.
    #[default]
    F64,
    /// Single precision, in 0.5 to 0.7 of the time: for turbulence, whose trajectories round-off changes and whose statistics it does not.
    F32,
}

impl FloatKind {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
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

impl Stepper {
    /// The scheme's name as in configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::CnEuler => "cn-euler",
            Self::CnAb2 => "cn-ab2",
            Self::Etdrk4 => "etdrk4",
        }
    }
}

impl std::str::FromStr for Stepper {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "cn-euler" => Ok(Self::CnEuler),
            "cn-ab2" => Ok(Self::CnAb2),
            "etdrk4" => Ok(Self::Etdrk4),
            other => {
                Err(Error::config("stepper", format!("unknown scheme `{other}`; known: cn-euler, cn-ab2, etdrk4")))
            }
        }
    }
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

/// Periodic Gaussian random field with spectrum ∝ (4π²|n|² + τ²)^−α, scaled by τ^(α−1): mean square a²/(2π(α − 1)) for an amplitude a.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InitialConfig {
    /// Decay α of the spectrum.
    pub alpha: f64,
    /// Inverse length τ.
    pub tau: f64,
    /// Amplitude, 1 unless another is given.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub amplitude: f64,
    /// Largest |n_x| or |n_y| that it has; without, all of the grid, whose modes beyond the 2/3 rule then decay by viscosity alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modes: Option<usize>,
}

/// Snapshots and their split; the split is by trajectory.
///
/// With `source` the pairs are read from files. All their trajectories are used; where the files do not say which belong to which
/// split, `train`, `validation` and `test` are the proportions.
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
    /// Pairs of one's own instead of simulated ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceConfig>,
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
        /// Which modes of its grid the reduced model has.
        #[serde(default, skip_serializing_if = "ResolvedModes::is_default")]
        resolved: ResolvedModes,
    },
}

impl MissingTerm {
    /// The modes of its grid that the reduced model has.
    pub fn resolved(&self) -> ResolvedModes {
        match *self {
            Self::Physics => ResolvedModes::TwoThirds,
            Self::Subgrid { resolved, .. } => resolved,
        }
    }
}

/// Which modes of its grid of n × n points a large-eddy model has, and how it multiplies fields without aliasing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResolvedModes {
    /// |n_x|, |n_y| ≤ n/3: products are taken at the points of the grid (2/3 rule).
    #[default]
    TwoThirds,
    /// |n_x|, |n_y| < n/2, all that the grid can hold: products are taken at 3/2 as many points per side (3/2 rule).
    All,
}

impl ResolvedModes {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
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
    /// No filter beside the truncation to the modes of the coarse grid, a square: the sharp spectral cut-off.
    Truncation,
}

impl FilterConfig {
    /// Δ in spacings of the coarse grid; that of a cut-off is 2, a wavelength of the smallest scale that is kept being two spacings.
    pub fn width(self) -> f64 {
        match self {
            Self::Gaussian { width } => width,
            Self::Sharp | Self::Truncation => 2.0,
        }
    }
}

/// The closed loop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RolloutConfig {
    /// Time of the start state, taken from a fresh reference trajectory unless `init` gives it.
    pub start: f64,
    /// Simulated duration.
    pub duration: f64,
    /// Ensemble members.
    pub members: usize,
    /// Solver steps between draws of the closure, `every` in configurations.
    #[serde(rename = "every")]
    pub redraw_interval: usize,
    /// What happens to the drawn term on the steps in between.
    pub hold: Hold,
    /// Time step of the reduced model, a multiple of `flow.dt`, which it is without; for subgrid terms, whose law does not depend on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dt: Option<f64>,
    /// Closures to compare, by the names that [`Config::closure`] knows: `none`; `exact` for the missing physics; those of
    /// [`SubgridModel`] for a subgrid term; models. `NAME/mean` is the conditional mean alone.
    pub closures: Vec<String>,
    /// Number of equally spaced snapshots kept after the start.
    pub snapshots: usize,
    /// Reference realisations (truth trajectories from the same start state) compared against.
    pub references: usize,
    /// In what the networks of diffusion models multiply, which on a CPU is f32.
    #[serde(default, skip_serializing_if = "Precision::is_default")]
    pub precision: Precision,
    /// A start state of one's own: on `flow.n` points, or on `data.n` for the missing physics, whose true flow then starts from the
    /// field's trigonometric interpolation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<StartConfig>,
    /// Which of the start states that are drawn independently of each other, and with it all noise from there on: a name in the seed
    /// tree ([`Config::loop_seeds`]). With `init` the field is the same for all, and the noise another.
    #[serde(default, skip_serializing_if = "is_first")]
    pub start_state: usize,
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

impl Hold {
    /// The policy of the same law that is least work: with a draw at every step there is nothing to hold or to rescale.
    pub fn simplest(self, redraw_interval: usize) -> Self {
        match self {
            Self::Rescaled | Self::Redrawn if redraw_interval == 1 => Self::Held,
            other => other,
        }
    }

    /// The policy's name as in configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Rescaled => "rescaled",
            Self::Redrawn => "redrawn",
            Self::Ar1 => "ar1",
            Self::Paper => "paper",
        }
    }
}

/// Offline evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvalConfig {
    /// Conditions per test trajectory, spread evenly over its snapshots.
    pub conditions: usize,
    /// Samples per condition.
    pub samples: usize,
    /// Closures that are scored offline besides those of `rollout.closures`, `also` in configurations.
    #[serde(rename = "also")]
    pub offline_only: Vec<String>,
}

fn one() -> f64 {
    1.0
}

fn is_one(x: &f64) -> bool {
    *x == 1.0
}

fn is_zero(x: &f64) -> bool {
    *x == 0.0
}

fn is_first(index: &usize) -> bool {
    *index == 0
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
