//! Tables as comma-separated values.

use super::Table;
use super::cell::{self, Cell, cells};
use crate::error::{Error, Result};
use crate::eval::quantity::{Kind, Quantity, machine, quantity, title};

/// What a number that is not known is written as: readers of CSV take an empty entry for text where a whole column is empty.
const UNKNOWN: &str = "NaN";

impl Table {
    /// Comma-separated values with a header line of machine names ([`Table::frame`]).
    ///
    /// Every entry shows its type: numbers are written so that they read back to the same bits and always with a point or an
    /// exponent, numbers that are not known as `NaN`; text that could be taken for a number is quoted.
    pub fn to_csv(&self) -> String {
        let header: Vec<String> = self.columns().map(|column| quoted(&machine(column.name()))).collect();
        let columns: Vec<(Kind, Vec<Cell>)> =
            self.columns().map(|column| (cell::kind(column), cells(column))).collect();
        let mut out = header.join(",") + "\n";
        for row in 0..self.rows() {
            let line: Vec<String> = columns.iter().map(|(kind, cells)| entry(*kind, &cells[row])).collect();
            out += &line.join(",");
            out.push('\n');
        }
        out
    }

    /// Reads what [`Table::to_csv`] wrote. A column that this library knows has the type that it always has; of others, those
    /// whose entries are all integers, numbers or truth values have these.
    ///
    /// # Errors
    /// Lines of different length, or the same column twice.
    pub fn from_csv(name: impl Into<String>, caption: impl Into<String>, text: &str) -> Result<Self> {
        let name = name.into();
        let wrong = |error: csv::Error| Error::Process { what: format!("table {name} from CSV: {error}") };
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let header = reader.headers().map_err(wrong)?.clone();
        let records: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().map_err(wrong)?;
        let columns = header
            .iter()
            .enumerate()
            .map(|(index, column)| {
                let title = title(column);
                let entries: Vec<&str> = records.iter().map(|record| &record[index]).collect();
                let known = quantity(&name, &title).map(|quantity| of_column(&quantity, &title));
                let kinds = known.into_iter().chain([Kind::Integer, Kind::Number, Kind::Flag]);
                let said = entries.iter().any(|entry| !entry.is_empty());
                let kind = kinds
                    .filter(|_| said || known.is_some())
                    .find(|kind| entries.iter().all(|entry| read(*kind, entry).is_some()));
                let kind = kind.unwrap_or(Kind::Text);
                cell::column(&title, kind, entries.iter().map(|entry| read(kind, entry).unwrap_or(Cell::Missing)))
            })
            .collect();
        Self::new(name.clone(), caption, columns)
    }
}

/// What the entries of a column are, which may be the errors of the quantity.
pub(super) fn of_column(quantity: &Quantity, title: &str) -> Kind {
    if quantity.name == title { quantity.kind } else { Kind::Number }
}

fn entry(kind: Kind, cell: &Cell) -> String {
    match cell {
        Cell::Missing if kind == Kind::Number => UNKNOWN.into(),
        Cell::Missing => String::new(),
        Cell::Flag(flag) => flag.to_string(),
        Cell::Integer(i) => i.to_string(),
        // Zero has no sign in a table.
        Cell::Number(x) => format!("{:?}", x + 0.0),
        Cell::Text(text) => quoted(text),
    }
}

/// Text as CSV wants it.
fn quoted(text: &str) -> String {
    let mistaken = text.parse::<f64>().is_ok() || text.parse::<bool>().is_ok();
    if mistaken || text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.into()
    }
}

/// An entry as a cell of that kind; nothing if it is none.
fn read(kind: Kind, entry: &str) -> Option<Cell> {
    if entry.is_empty() {
        return Some(Cell::Missing);
    }
    match kind {
        Kind::Text => Some(entry.into()),
        Kind::Integer => entry.parse().ok().map(Cell::Integer),
        Kind::Number => entry.parse::<f64>().ok().map(Cell::from),
        Kind::Flag => entry.parse().ok().map(Cell::Flag),
    }
}
