//! Tables: a polars frame with a name and a caption, and its plain, CSV, Markdown and HTML forms.

use std::fmt::{self, Write as _};

use polars::prelude::{AnyValue, Column, DataFrame};

use super::estimate::Estimate;
use crate::error::{Error, Result};

/// Suffix of a column that holds the standard error of the column to its left.
pub const UNCERTAINTY: &str = " ±";

/// A named table.
///
/// A column whose name is that of its left neighbour with [`UNCERTAINTY`] appended holds standard errors: the readable
/// forms show both as `value ± error`, CSV keeps them apart at full precision.
#[derive(Debug, Clone)]
pub struct Table {
    /// Short name, as used for file names.
    pub name: String,
    /// One or two sentences: what is shown, in which units.
    pub caption: String,
    /// The data.
    frame: DataFrame,
}

/// A table as text, ready for a layout: merged cells and the columns that hold numbers.
struct Cells {
    header: Vec<String>,
    numeric: Vec<bool>,
    rows: Vec<Vec<String>>,
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
        Ok(Self { name: name.into(), caption: caption.into(), frame: DataFrame::new(height, columns).map_err(failed)? })
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

    /// The data, as a frame of their own.
    ///
    /// # Errors
    /// None: the columns make a frame.
    pub fn frame(&self) -> Result<DataFrame> {
        // Anew: a frame that has been asked for a name keeps a map of names, whose hash seed is another in every cell of a notebook.
        DataFrame::new(self.rows(), self.frame.columns().to_vec()).map_err(failed)
    }

    /// The column of that name, found by looking at all of them ([`Table::frame`] says why).
    fn column(&self, name: &str) -> Result<&Column> {
        let columns = self.frame.columns();
        columns.iter().find(|column| column.name() == name).ok_or_else(|| {
            let known: Vec<&str> = columns.iter().map(|column| column.name().as_str()).collect();
            Error::Table(format!("{} has no column `{name}`; it has: {}", self.name, known.join(", ")))
        })
    }

    /// A column of numbers; missing entries are NaN.
    ///
    /// # Errors
    /// No such column, or not numbers.
    pub fn numbers(&self, column: &str) -> Result<Vec<f64>> {
        let column = self.column(column)?;
        (0..column.len())
            .map(|row| match column.get(row).map_err(failed)? {
                // A column without any entry comes back from CSV as text.
                AnyValue::Null | AnyValue::String("") => Ok(f64::NAN),
                value => value.try_extract::<f64>().map_err(failed),
            })
            .collect()
    }

    /// A column as text.
    ///
    /// # Errors
    /// No such column.
    pub fn texts(&self, column: &str) -> Result<Vec<String>> {
        let column = self.column(column)?;
        (0..column.len()).map(|row| Ok(exact(&column.get(row).map_err(failed)?))).collect()
    }

    /// Comma-separated values with a header line; numbers are written so that they read back exactly.
    ///
    /// # Errors
    /// None in practice; writing to memory is infallible.
    pub fn to_csv(&self) -> Result<String> {
        let wrong = |error: csv::Error| Error::Process { what: format!("table {} as CSV: {error}", self.name) };
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(self.frame.columns().iter().map(|column| column.name().as_str())).map_err(wrong)?;
        for row in 0..self.rows() {
            let cells: Vec<String> = self
                .frame
                .columns()
                .iter()
                .map(|column| Ok(exact(&column.get(row).map_err(failed)?)))
                .collect::<Result<_>>()?;
            writer.write_record(&cells).map_err(wrong)?;
        }
        let bytes = writer.into_inner().map_err(|error| Error::Process { what: error.to_string() })?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Reads what [`Table::to_csv`] wrote. Columns whose entries are all integers, numbers or empty become numbers.
    ///
    /// # Errors
    /// Lines of different length.
    pub fn from_csv(name: impl Into<String>, caption: impl Into<String>, text: &str) -> Result<Self> {
        let name = name.into();
        let wrong = |error: csv::Error| Error::Process { what: format!("table {name} from CSV: {error}") };
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let header = reader.headers().map_err(wrong)?.clone();
        let records: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().map_err(wrong)?;
        let columns = header
            .iter()
            .enumerate()
            .map(|(index, title)| {
                let cells: Vec<&str> = records.iter().map(|record| &record[index]).collect();
                if let Some(values) = parse::<i64>(&cells) {
                    Column::new(title.into(), values)
                } else if let Some(values) = parse::<f64>(&cells) {
                    Column::new(title.into(), values)
                } else {
                    Column::new(title.into(), cells)
                }
            })
            .collect();
        Self::new(name.clone(), caption, columns)
    }

    /// A GitHub-flavoured Markdown table under its caption.
    pub fn to_markdown(&self) -> String {
        let cells = self.cells();
        let clean = |text: &str| text.replace('|', "\\|");
        let mut out = format!("**{}.** {}\n\n|", self.name, self.caption);
        for title in &cells.header {
            let _ = write!(out, " {} |", clean(title));
        }
        out.push_str("\n|");
        for &numeric in &cells.numeric {
            out.push_str(if numeric { "---:|" } else { "---|" });
        }
        out.push('\n');
        for row in &cells.rows {
            out.push('|');
            for cell in row {
                let _ = write!(out, " {} |", clean(cell));
            }
            out.push('\n');
        }
        out
    }

    /// A self-contained HTML table (inline style only, text escaped).
    pub fn to_html(&self) -> String {
        let cells = self.cells();
        let align = |numeric: bool| if numeric { "right" } else { "left" };
        let mut out = format!(
            "<table style=\"border-collapse:collapse;font-variant-numeric:tabular-nums\"><caption \
             style=\"text-align:left;padding:4px 0\"><b>{}.</b> {}</caption><thead><tr>",
            escape(&self.name),
            escape(&self.caption)
        );
        for (title, &numeric) in cells.header.iter().zip(&cells.numeric) {
            let _ = write!(
                out,
                "<th style=\"text-align:{};padding:2px 10px;white-space:nowrap;border-bottom:1px solid #888\">{}</th>",
                align(numeric),
                escape(title)
            );
        }
        out.push_str("</tr></thead><tbody>");
        for row in &cells.rows {
            out.push_str("<tr>");
            for (cell, &numeric) in row.iter().zip(&cells.numeric) {
                let _ = write!(
                    out,
                    "<td style=\"text-align:{};padding:2px 10px;white-space:nowrap\">{}</td>",
                    align(numeric),
                    escape(cell)
                );
            }
            out.push_str("</tr>");
        }
        out.push_str("</tbody></table>");
        out
    }

    fn cells(&self) -> Cells {
        let columns = self.frame.columns();
        let mut cells = Cells { header: Vec::new(), numeric: Vec::new(), rows: vec![Vec::new(); self.rows()] };
        let mut index = 0;
        while index < columns.len() {
            let column = &columns[index];
            let error = columns.get(index + 1).filter(|next| next.name() == &format!("{}{UNCERTAINTY}", column.name()));
            cells.header.push(column.name().to_string());
            cells.numeric.push(column.dtype().is_primitive_numeric());
            for (row, line) in cells.rows.iter_mut().enumerate() {
                // The row index is in range by construction, so the fallback is never seen.
                let value = column.get(row).unwrap_or(AnyValue::Null);
                let error = error.and_then(|error| error.get(row).ok()).and_then(|e| e.try_extract::<f64>().ok());
                line.push(readable(&value, error));
            }
            index += 1 + usize::from(error.is_some());
        }
        cells
    }
}

impl fmt::Display for Table {
    /// Fixed-width text: caption, header, rule, rows; numbers to the right.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cells = self.cells();
        let width: Vec<usize> = (0..cells.header.len())
            .map(|j| {
                let longest = cells.rows.iter().map(|row| row[j].chars().count()).max().unwrap_or(0);
                longest.max(cells.header[j].chars().count())
            })
            .collect();
        let line = |row: &[String]| {
            let padded = row.iter().zip(&width).zip(&cells.numeric).map(|((cell, &width), &numeric)| {
                if numeric { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
            });
            padded.collect::<Vec<_>>().join("  ").trim_end().to_string()
        };
        writeln!(f, "{}: {}", self.name, self.caption)?;
        writeln!(f, "{}", line(&cells.header))?;
        let rule = width.iter().sum::<usize>() + 2 * width.len().saturating_sub(1);
        write!(f, "{}", "─".repeat(rule))?;
        for row in &cells.rows {
            write!(f, "\n{}", line(row))?;
        }
        Ok(())
    }
}

fn parse<T: std::str::FromStr>(cells: &[&str]) -> Option<Vec<Option<T>>> {
    if cells.iter().all(|cell| cell.is_empty()) {
        return None;
    }
    cells.iter().map(|cell| if cell.is_empty() { Some(None) } else { cell.parse().ok().map(Some) }).collect()
}

/// Full precision: Rust prints the shortest digits that read back to the same number.
fn exact(value: &AnyValue) -> String {
    match value {
        AnyValue::Null => String::new(),
        AnyValue::String(text) => (*text).to_string(),
        AnyValue::StringOwned(text) => text.to_string(),
        AnyValue::Boolean(flag) => flag.to_string(),
        AnyValue::Float64(x) => x.to_string(),
        AnyValue::Float32(x) => x.to_string(),
        other => other.to_string(),
    }
}

fn readable(value: &AnyValue, error: Option<f64>) -> String {
    match value {
        AnyValue::Null => "–".into(),
        AnyValue::Float32(_) | AnyValue::Float64(_) => number(value.try_extract().unwrap_or(f64::NAN), error),
        other => exact(other),
    }
}

/// Four significant digits, or as many decimals as two digits of the standard error need.
fn number(x: f64, error: Option<f64>) -> String {
    /// Numbers outside this range read better in scientific notation.
    const PLAIN: std::ops::Range<f64> = 1e-4..1e6;
    if !x.is_finite() {
        return x.to_string();
    }
    let magnitude = |x: f64| x.abs().log10().floor() as i32;
    // A standard error at the level of rounding is that of identical members: none is shown.
    const ROUNDING: f64 = 1e-12;
    match error.filter(|error| error.is_finite() && *error > ROUNDING * x.abs()) {
        Some(error) if x.abs() < PLAIN.end && error >= PLAIN.start * 1e-2 => {
            let decimals = usize::try_from(1 - magnitude(error)).unwrap_or(0);
            format!("{x:.decimals$} ± {error:.decimals$}")
        }
        Some(error) => format!("{x:.3e} ± {error:.1e}"),
        None if x == 0.0 => "0".into(),
        None if PLAIN.contains(&x.abs()) => {
            let decimals = usize::try_from(3 - magnitude(x)).unwrap_or(0);
            format!("{x:.decimals$}")
        }
        None => format!("{x:.3e}"),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        Table::new(
            "demo",
            "a < b & c",
            vec![
                Column::new("closure".into(), ["exact, law", "a|b"]),
                Column::new("error".into(), [Some(0.112_345_6), None]),
                Column::new("error ±".into(), [Some(0.001_234), None]),
                Column::new("failures".into(), [0i64, 3]),
                Column::new("ms".into(), [1234.567, 1e-7]),
            ],
        )
        .unwrap()
    }

    #[test]
    fn text_forms_merge_errors_align_and_escape() {
        let text = table().to_string();
        assert!(text.contains("0.1123 ± 0.0012"), "{text}");
        assert_eq!(number(0.2866, Some(1.5e-15)), "0.2866");
        assert!(!text.contains("error ±"), "{text}");
        assert!(text.contains("1.000e-7") && text.contains("1235"), "{text}");
        let markdown = table().to_markdown();
        assert!(markdown.contains("| a\\|b | – | 3 |"), "{markdown}");
        let html = table().to_html();
        assert!(html.contains("a &lt; b &amp; c") && !html.contains("a < b"), "{html}");
    }

    #[test]
    fn csv_reads_back_the_same() {
        let before = table();
        let text = before.to_csv().unwrap();
        assert!(text.contains("\"exact, law\",0.1123456,0.001234,0,1234.567"), "{text}");
        let after = Table::from_csv("demo", "", &text).unwrap();
        assert_eq!(after.numbers("ms").unwrap(), before.numbers("ms").unwrap());
        assert!(after.numbers("error").unwrap()[1].is_nan());
        assert_eq!(after.texts("closure").unwrap(), ["exact, law", "a|b"]);
        assert_eq!(after.to_csv().unwrap(), text);
        let empty = Table::from_csv("empty", "", "a,b\n1,\n2,\n").unwrap();
        assert!(empty.numbers("b").unwrap().iter().all(|x| x.is_nan()));
    }

    #[test]
    fn columns_of_different_length_are_refused() {
        let columns = vec![Column::new("a".into(), [1i64, 2]), Column::new("b".into(), [1i64])];
        assert!(matches!(Table::new("x", "", columns), Err(Error::Table(_))));
    }
}
