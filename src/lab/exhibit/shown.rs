//! What a cell of a notebook gets.

use std::fmt;

use crate::error::{Error, Result};
use crate::eval::{Findings, Table};
use crate::plot::{Figure, Vega};

/// A finished exhibit.
#[derive(Debug, Clone)]
pub enum Shown {
    /// A figure.
    Figure(Figure),
    /// A table.
    Table(Table),
    /// Sentences.
    Findings(Findings),
}

impl Shown {
    /// The exhibit as a notebook shows it.
    pub fn evcxr_display(&self) {
        match self {
            Self::Figure(figure) => figure.evcxr_display(),
            Self::Table(table) => table.evcxr_display(),
            Self::Findings(findings) => findings.evcxr_display(),
        }
    }

    /// The table, if it is one.
    pub fn table(&self) -> Option<&Table> {
        match self {
            Self::Table(table) => Some(table),
            Self::Figure(_) | Self::Findings(_) => None,
        }
    }

    /// The figure, if it is one.
    pub fn figure(&self) -> Option<&Figure> {
        match self {
            Self::Figure(figure) => Some(figure),
            Self::Table(_) | Self::Findings(_) => None,
        }
    }

    /// The table with all its columns and rows; anything else as it is.
    #[must_use]
    pub fn all(&self) -> Self {
        match self {
            Self::Table(table) => Self::Table(table.all()),
            other => other.clone(),
        }
    }

    /// The figure's curves as Vega-Lite ([`Figure::vega`]).
    ///
    /// # Errors
    /// No figure, or one without curves.
    pub fn vega(&self) -> Result<Vega> {
        let none = || Error::Figure { name: self.to_string(), what: "no figure".into() };
        self.figure().ok_or_else(none)?.vega()
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Figure(figure) => write!(f, "figure {}", figure.name),
            Self::Table(table) => table.fmt(f),
            Self::Findings(findings) => findings.fmt(f),
        }
    }
}
