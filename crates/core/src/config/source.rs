//! Files of one's own: pairs to learn from, a field to start from, weights to draw with.

use std::fmt;
use std::path::PathBuf;

use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

/// Pairs (ω, H) in files instead of simulated ones, `data.source`.
///
/// A path alone stands for files in the published layout, as in `data.source = "pairs"`. The bytes of the files are part of what a
/// result depends on, the path is not.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SourceConfig {
    /// A folder, or one file.
    pub path: PathBuf,
    /// Dataset of ω, in files that are not of the published layout: (samples, n, n) or (trajectories, times, n, n).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vorticity: Option<String>,
    /// Dataset of H, of the same shape.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub term: Option<String>,
    /// Which axis comes first in a field; x where nothing is said, which files written by MATLAB need to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub axes: Option<Axes>,
    /// Whether H follows the law of this configuration's equation, so that the exact law is known. Only who knows where the pairs
    /// come from can say so.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub exact: bool,
    /// SHA-256 of the files, filled in when they are opened. Where it is given, other bytes are refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// A field in a file as the start of the closed loop, `rollout.init`, at time `rollout.start`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartConfig {
    /// An HDF5 file.
    pub path: PathBuf,
    /// Dataset with the vorticity: one field (N, N), or several with axes before these.
    pub dataset: String,
    /// Which of several fields: its indices along the axes before the last two.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub field: Vec<usize>,
    /// As in [`SourceConfig`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub axes: Option<Axes>,
    /// SHA-256 of the field's values, filled in when it is read. Where it is given, other values are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// A trained model in a file, `checkpoints.NAME`; a path alone will do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "Weights")]
pub struct CheckpointConfig {
    /// The checkpoint.
    pub path: PathBuf,
    /// SHA-256 of the file, filled in when it is opened. Where it is given, other bytes are refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Weights {
    Path(PathBuf),
    Table { path: PathBuf, sha256: Option<String> },
}

impl From<Weights> for CheckpointConfig {
    fn from(given: Weights) -> Self {
        match given {
            Weights::Path(path) => Self { path, sha256: None },
            Weights::Table { path, sha256 } => Self { path, sha256 },
        }
    }
}

/// In which order a file has the two axes of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Axes {
    /// As here: x first.
    Xy,
    /// y first: fields are transposed when they are read.
    Yx,
}

impl std::str::FromStr for Axes {
    type Err = crate::error::Error;

    fn from_str(name: &str) -> crate::error::Result<Self> {
        match name {
            "xy" => Ok(Self::Xy),
            "yx" => Ok(Self::Yx),
            other => Err(crate::error::Error::config("axes", format!("`{other}`; known: xy, yx"))),
        }
    }
}

impl SourceConfig {
    /// Files in the published layout.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), vorticity: None, term: None, axes: None, exact: false, sha256: None }
    }

    /// What results depend on: everything but the place.
    pub(super) fn settings(&self) -> Value {
        let mut settings = json!(self);
        settings.as_object_mut().map(|fields| fields.remove("path"));
        settings
    }
}

impl StartConfig {
    /// The one field of a dataset.
    pub fn new(path: impl Into<PathBuf>, dataset: impl Into<String>) -> Self {
        let (path, dataset) = (path.into(), dataset.into());
        Self { path, dataset, field: Vec::new(), axes: None, sha256: None }
    }
}

/// What a table may hold; a path alone is the other form.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    path: PathBuf,
    vorticity: Option<String>,
    term: Option<String>,
    axes: Option<Axes>,
    #[serde(default)]
    exact: bool,
    sha256: Option<String>,
}

impl<'de> Deserialize<'de> for SourceConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = SourceConfig;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a path, or a table with `path`")
            }

            fn visit_str<E: serde::de::Error>(self, path: &str) -> Result<SourceConfig, E> {
                PathBuf::deserialize(StrDeserializer::new(path)).map(SourceConfig::new)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SourceConfig, A::Error> {
                let Table { path, vorticity, term, axes, exact, sha256 } =
                    Table::deserialize(MapAccessDeserializer::new(map))?;
                Ok(SourceConfig { path, vorticity, term, axes, exact, sha256 })
            }
        }
        deserializer.deserialize_any(Either)
    }
}
