//! The shape of the steady forcing.

use std::f64::consts::TAU;

use serde::{Deserialize, Serialize};

/// The steady forcing is `flow.forcing` times one of these, on a square of side L. Flows with the default do not write it down, so
/// that their hashes are those from before there was a choice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ForcingPattern {
    /// sin 2π(x+y)/L + cos 2π(x+y)/L, the forcing of arXiv 2506.20771.
    #[default]
    Diagonal,
    /// cos 2πmx/L + cos 2πny/L, the waves that force homogeneous isotropic turbulence; a wavenumber of 0 leaves its wave out.
    Waves {
        /// m.
        x: usize,
        /// n.
        y: usize,
    },
}

impl ForcingPattern {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Its value at the point (`x`, `y`), in units of L.
    pub fn at(self, x: f64, y: f64) -> f64 {
        match self {
            Self::Diagonal => {
                let phase = TAU * (x + y);
                phase.sin() + phase.cos()
            }
            Self::Waves { x: m, y: n } => {
                let wave =
                    |wavenumber: usize, x: f64| if wavenumber > 0 { (TAU * wavenumber as f64 * x).cos() } else { 0.0 };
                wave(m, x) + wave(n, y)
            }
        }
    }

    /// Largest |n_x| or |n_y| that it has.
    pub fn reach(self) -> usize {
        match self {
            Self::Diagonal => 1,
            Self::Waves { x, y } => x.max(y),
        }
    }
}
