//! A value and how well it is known.

/// A value with its standard error; NaN for what is not defined.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The value.
    pub value: f64,
    /// Its standard error.
    pub error: f64,
}

impl Estimate {
    /// Nothing known.
    pub const NONE: Self = Self { value: f64::NAN, error: f64::NAN };

    /// A value without a standard error.
    pub fn bare(value: f64) -> Self {
        Self { value, error: f64::NAN }
    }
}

impl From<(f64, f64)> for Estimate {
    fn from((value, error): (f64, f64)) -> Self {
        Self { value, error }
    }
}
