//! The files that exhibits make.

/// Files of an exhibit, without the prefix of a study.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Files {
    /// Fields: PNG.
    Panel(String),
    /// Curves: SVG and PNG.
    Chart(String),
    /// CSV and Markdown.
    Table(String),
    /// Markdown.
    Text(String),
}

pub(super) fn panel(stem: impl Into<String>) -> Files {
    Files::Panel(stem.into())
}

pub(super) fn chart(stem: impl Into<String>) -> Files {
    Files::Chart(stem.into())
}

pub(super) fn table(stem: impl Into<String>) -> Files {
    Files::Table(stem.into())
}

/// The name of a figure of closures: the signs of sums and means, which file systems and shells take for theirs, become hyphens.
pub(super) fn stem(what: &str, closures: &[&str]) -> String {
    format!("{what}-{}", closures.join("-")).replace(['*', '+', '/'], "-")
}

impl Files {
    /// Their names.
    pub fn names(&self) -> Vec<String> {
        let (stem, extensions): (_, &[&str]) = match self {
            Self::Panel(stem) => (stem, &["png"]),
            Self::Chart(stem) => (stem, &["svg", "png"]),
            Self::Table(stem) => (stem, &["csv", "md"]),
            Self::Text(stem) => (stem, &["md"]),
        };
        extensions.iter().map(|extension| format!("{stem}.{extension}")).collect()
    }
}
