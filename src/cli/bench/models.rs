//! Models of presets, as they are timed.

use crate::config::{Config, LatentConfig, ModelConfig, Padding, Preset};
use crate::error::Result;

/// Points per side of the physical fields.
pub(super) const N: usize = 64;
/// Base width of the published autoencoders, which alone have attention.
const PUBLISHED_WIDTH: usize = 64;

/// The model `name` of the desk preset.
pub(super) fn desk(name: &str) -> Result<ModelConfig> {
    Config::preset(Preset::Desk).model(name).cloned()
}

/// The published model `name`.
pub(super) fn published(name: &str) -> Result<ModelConfig> {
    Config::preset(Preset::Paper).model(name).cloned()
}

/// The published model `name` with autoencoders of base width `width`.
pub(super) fn published_of_width(name: &str, width: usize) -> Result<ModelConfig> {
    let mut model = published(name)?;
    if let LatentConfig::Autoencoder { width: w, attention, padding, .. } = &mut model.latent {
        (*w, *attention, *padding) = (width, width == PUBLISHED_WIDTH, Padding::Zero);
    }
    Ok(model)
}
