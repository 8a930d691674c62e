//! Room `spectral`.
