//! What a network is for.

use serde::{Deserialize, Serialize};

use crate::config::Law;
use crate::error::{Error, Result};

/// What a network of a checkpoint is for. The order is the alphabetical one of the names: that of weights in files, and of a
/// jointly trained weight vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Latent to H.
    DecodeH,
    /// Latent to ω.
    DecodeW,
    /// H to latent.
    EncodeH,
    /// ω to latent.
    EncodeW,
    /// Draws of the H latent from white noise.
    Generator,
    /// Conditional mean of the H latent.
    Regression,
    /// Denoiser, score or velocity of the H latent.
    Score,
}

impl Role {
    /// Every role, in order.
    pub const ALL: [Self; 7] =
        [Self::DecodeH, Self::DecodeW, Self::EncodeH, Self::EncodeW, Self::Generator, Self::Regression, Self::Score];

    /// Of the network that makes a law.
    pub fn of(law: Law) -> Self {
        match law {
            Law::Diffusion => Self::Score,
            Law::Generator { .. } => Self::Generator,
            Law::Mean | Law::Gaussian | Law::Quadratic(_) => Self::Regression,
        }
    }

    /// The role's name, as in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::DecodeH => "decode_h",
            Self::DecodeW => "decode_w",
            Self::EncodeH => "encode_h",
            Self::EncodeW => "encode_w",
            Self::Generator => "generator",
            Self::Regression => "regression",
            Self::Score => "score",
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

impl std::str::FromStr for Role {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            Error::config("role", format!("unknown role `{name}`; known: {known}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_in_the_order_of_their_names_and_written_as_such() {
        assert!(Role::ALL.is_sorted() && Role::ALL.map(Role::name).is_sorted());
        for role in Role::ALL {
            assert_eq!(role.name().parse::<Role>().unwrap(), role);
            assert_eq!(serde_json::to_string(&role).unwrap(), format!("\"{role}\""));
        }
        assert!("scores".parse::<Role>().unwrap_err().to_string().contains("score"));
    }
}
