//! One entry of a table.

use std::cmp::Ordering;

use polars::prelude::{AnyValue, Column, DataType};

use crate::eval::names;
use crate::eval::quantity::Kind;

/// An entry of a table. It compares with what one would write: `cell == "joint"`, `cell > 40.0`; a missing entry with nothing.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Not known, or not defined here.
    Missing,
    /// Yes or no.
    Flag(bool),
    /// A whole number.
    Integer(i64),
    /// A number.
    Number(f64),
    /// Text.
    Text(String),
}

impl Cell {
    /// The entry as a number, if it is one.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Number(x) => Some(*x),
            Self::Integer(i) => Some(*i as f64),
            Self::Flag(_) | Self::Text(_) | Self::Missing => None,
        }
    }

    /// What sorting goes by: numbers, then text, missing entries last.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        let class = |cell: &Self| match cell {
            Self::Missing => 2,
            Self::Text(_) => 1,
            _ => 0,
        };
        let value = |cell: &Self| match cell {
            Self::Flag(flag) => f64::from(u8::from(*flag)),
            other => other.number().unwrap_or(0.0),
        };
        class(self).cmp(&class(other)).then_with(|| match (self, other) {
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            _ => value(self).total_cmp(&value(other)),
        })
    }
}

/// By key or by the name that readers see.
impl PartialEq<&str> for Cell {
    fn eq(&self, other: &&str) -> bool {
        matches!(self, Self::Text(text) if text == other || names::display(text) == *other)
    }
}

impl PartialEq<f64> for Cell {
    fn eq(&self, other: &f64) -> bool {
        self.number() == Some(*other)
    }
}

impl PartialOrd<f64> for Cell {
    fn partial_cmp(&self, other: &f64) -> Option<Ordering> {
        self.number()?.partial_cmp(other)
    }
}

impl PartialEq<i64> for Cell {
    fn eq(&self, other: &i64) -> bool {
        matches!(self, Self::Integer(i) if i == other)
    }
}

impl PartialOrd<i64> for Cell {
    fn partial_cmp(&self, other: &i64) -> Option<Ordering> {
        self.number()?.partial_cmp(&(*other as f64))
    }
}

impl PartialEq<bool> for Cell {
    fn eq(&self, other: &bool) -> bool {
        matches!(self, Self::Flag(flag) if flag == other)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<f64> for Cell {
    fn from(x: f64) -> Self {
        if x.is_nan() { Self::Missing } else { Self::Number(x) }
    }
}

impl From<i64> for Cell {
    fn from(i: i64) -> Self {
        Self::Integer(i)
    }
}

impl From<bool> for Cell {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<AnyValue<'_>> for Cell {
    fn from(value: AnyValue) -> Self {
        match value {
            AnyValue::Null => Self::Missing,
            AnyValue::Boolean(flag) => Self::Flag(flag),
            AnyValue::String(text) => text.into(),
            AnyValue::StringOwned(text) => text.to_string().into(),
            AnyValue::Float64(x) => x.into(),
            AnyValue::Float32(x) => f64::from(x).into(),
            other => other.try_extract::<i64>().map_or_else(|_| other.to_string().into(), Self::Integer),
        }
    }
}

/// What a column holds.
pub(super) fn kind(column: &Column) -> Kind {
    match column.dtype() {
        DataType::Boolean => Kind::Flag,
        DataType::Float32 | DataType::Float64 => Kind::Number,
        other if other.is_primitive_numeric() => Kind::Integer,
        _ => Kind::Text,
    }
}

/// A column of cells; what is not of its kind is missing.
pub(super) fn column(name: &str, kind: Kind, cells: impl IntoIterator<Item = Cell>) -> Column {
    let cells = cells.into_iter();
    match kind {
        Kind::Text => {
            let texts = cells.map(|cell| match cell {
                Cell::Text(text) => Some(text),
                _ => None,
            });
            Column::new(name.into(), texts.collect::<Vec<_>>())
        }
        Kind::Integer => {
            let integers = cells.map(|cell| match cell {
                Cell::Integer(i) => Some(i),
                _ => None,
            });
            Column::new(name.into(), integers.collect::<Vec<_>>())
        }
        Kind::Number => Column::new(name.into(), cells.map(|cell| cell.number()).collect::<Vec<_>>()),
        Kind::Flag => {
            let flags = cells.map(|cell| match cell {
                Cell::Flag(flag) => Some(flag),
                _ => None,
            });
            Column::new(name.into(), flags.collect::<Vec<_>>())
        }
    }
}

/// The entries of a column.
pub(super) fn cells(column: &Column) -> Vec<Cell> {
    (0..column.len()).map(|row| column.get(row).map_or(Cell::Missing, Cell::from)).collect()
}
