//! Room `closure`.
