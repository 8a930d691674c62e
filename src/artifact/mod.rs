//! Room `artifact`.
