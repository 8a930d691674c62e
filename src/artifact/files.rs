//! Names of the files that training leaves in its results. They stand here since readers do without the learning layer that
//! writes them; [`crate::rollout::Ensemble::FILE`] and [`crate::rollout::Reference::FILE`] stand with their writers.

/// The trained model: the weights of the best validation.
pub const CHECKPOINT: &str = "checkpoint.lacuna";
/// The model at the last step.
pub const LAST: &str = "last.lacuna";
/// Latent diagnostics of ω and of H over the validation samples.
pub const LATENT: &str = "latent.json";
/// The log: one JSON object a line.
pub const LOG: &str = "log.jsonl";
