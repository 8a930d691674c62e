//! Room `latent`.
