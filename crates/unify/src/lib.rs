//! No code: a list of features (see `Cargo.toml`).
