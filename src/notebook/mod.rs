//! Room `notebook`.
