//! Tables: a polars frame with a name and a caption, its plain, CSV, Markdown and HTML forms, and what one does with tables.

mod cell;
mod csv;
mod query;
mod show;
#[cfg(test)]
mod tests;

use polars::prelude::{Column, DataFrame};

pub use cell::Cell;

use super::estimate::Estimate;
use super::quantity::{UNCERTAINTY, machine, quantity};
use crate::error::{Error, Result};

/// A named table.
///
/// A column whose name is that of another with [`UNCERTAINTY`] appended holds its standard errors: readable forms show both as
/// `value ± error`. What columns mean, and their units, is told by [`Table::legend`].
///
/// Titles are for readers (`error of mean ±`); files and frames have machine names (`error_of_mean_se`). Calls that take the
/// name of a column take either.
#[derive(Debug, Clone)]
pub struct Table {
    /// Short name, as used for file names.
    pub name: String,
    /// One or two sentences: what is shown, in which units.
    pub caption: String,
    /// The data.
    frame: DataFrame,
    /// Readable forms show everything.
    all: bool,
    /// Rows that readable forms show; all if none is named.
    first: Option<usize>,
}

/// NaN means "not defined here" in results and becomes a missing entry of a table.
pub(crate) fn known(x: f64) -> Option<f64> {
    x.is_finite().then_some(x)
}

/// A column of values and, with [`UNCERTAINTY`] in its title, one of their standard errors.
pub(crate) fn estimates(title: &str, estimates: impl Iterator<Item = Estimate>) -> [Column; 2] {
    let (values, errors): (Vec<_>, Vec<_>) =
        estimates.map(|estimate| (known(estimate.value), known(estimate.value).and(known(estimate.error)))).unzip();
    [Column::new(title.into(), values), Column::new(format!("{title}{UNCERTAINTY}").into(), errors)]
}

/// What the frame says of a column.
fn failed(error: polars::error::PolarsError) -> Error {
    Error::Table(error.to_string())
}

impl Table {
    /// A table from columns of equal length.
    ///
    /// # Errors
    /// Columns of different length or with the same name.
    pub fn new(name: impl Into<String>, caption: impl Into<String>, columns: Vec<Column>) -> Result<Self> {
        let height = columns.first().map_or(0, Column::len);
        let frame = DataFrame::new(height, columns).map_err(failed)?;
        Ok(Self { name: name.into(), caption: caption.into(), frame, all: false, first: None })
    }

    /// The same table under another name.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.frame.height()
    }

    /// The columns, as they are.
    pub(crate) fn columns(&self) -> impl Iterator<Item = &Column> {
        self.frame.columns().iter()
    }

    /// The data, as a frame of their own whose columns have machine names, those of the CSV file.
    ///
    /// # Errors
    /// Two titles with one machine name.
    pub fn frame(&self) -> Result<DataFrame> {
        // Anew: a frame that has been asked for a name keeps a map of names, whose hash seed is another in every cell of a notebook.
        let columns = self.columns().map(|column| column.clone().with_name(machine(column.name()).into()));
        DataFrame::new(self.rows(), columns.collect()).map_err(failed)
    }

    /// The column of that title or machine name, found by looking at all of them ([`Table::frame`] says why).
    fn column(&self, name: &str) -> Result<&Column> {
        let known = || self.columns().map(|column| column.name().as_str());
        let found = self.columns().find(|column| column.name() == name);
        found.or_else(|| self.columns().find(|column| machine(column.name()) == name)).ok_or_else(|| {
            let what =
                format!("{} has no column `{name}`; it has: {}", self.name, known().collect::<Vec<_>>().join(", "));
            Error::Table(what)
        })
    }

    /// A column of numbers; missing entries are NaN.
    ///
    /// # Errors
    /// No such column, or not numbers.
    pub fn numbers(&self, column: &str) -> Result<Vec<f64>> {
        let column = self.column(column)?;
        let number = |cell: Cell| match cell {
            Cell::Missing => Ok(f64::NAN),
            cell => cell.number().ok_or_else(|| {
                Error::Table(format!("column `{}` of {} holds {cell:?}, which is no number", column.name(), self.name))
            }),
        };
        cell::cells(column).into_iter().map(number).collect()
    }

    /// A column as text, of full precision.
    ///
    /// # Errors
    /// No such column.
    pub fn texts(&self, column: &str) -> Result<Vec<String>> {
        let text = |cell| match cell {
            Cell::Missing => String::new(),
            Cell::Flag(flag) => flag.to_string(),
            Cell::Integer(i) => i.to_string(),
            Cell::Number(x) => x.to_string(),
            Cell::Text(text) => text,
        };
        Ok(cell::cells(self.column(column)?).into_iter().map(text).collect())
    }

    /// What the columns are: their titles, machine names, units and meanings.
    ///
    /// # Errors
    /// None in practice.
    pub fn legend(&self) -> Result<Self> {
        let of = |column: &Column| quantity(&self.name, column.name());
        let text = |pick: &dyn Fn(&Column) -> String| self.columns().map(pick).collect::<Vec<_>>();
        let columns = vec![
            Column::new("column".into(), text(&|column| column.name().to_string())),
            Column::new("machine name".into(), text(&|column| machine(column.name()))),
            Column::new("unit".into(), text(&|column| of(column).map_or("", |quantity| quantity.unit).into())),
            Column::new("meaning".into(), text(&|column| of(column).map_or("", |quantity| quantity.meaning).into())),
        ];
        Self::new("legend", format!("The columns of {}.", self.name), columns)
    }
}
