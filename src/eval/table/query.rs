//! Rows and columns chosen, put together and averaged. Every call returns a table of its own.

use std::collections::BTreeMap;

use polars::prelude::Column;

use super::Table;
use super::cell::{self, Cell, cells};
use crate::error::{Error, Result};
use crate::eval::quantity::{BETWEEN, Kind, Quantity, Role, UNCERTAINTY, machine, quantity};

impl Table {
    /// The table with a column in front that is the same in all rows.
    ///
    /// ```
    /// # use lacuna::eval::{Column, Table};
    /// # let table = Table::new("t", "", vec![Column::new("closure".into(), ["joint"])])?;
    /// assert_eq!(table.tag("machine", "laptop")?.texts("machine")?, ["laptop"]);
    /// # Ok::<(), lacuna::Error>(())
    /// ```
    ///
    /// # Errors
    /// There is a column of that name.
    pub fn tag(&self, name: &str, value: impl Into<Cell>) -> Result<Self> {
        let value = value.into();
        let kind = match &value {
            Cell::Text(_) => Kind::Text,
            Cell::Integer(_) => Kind::Integer,
            Cell::Flag(_) => Kind::Flag,
            Cell::Number(_) | Cell::Missing => Kind::Number,
        };
        let front = cell::column(name, kind, (0..self.rows()).map(|_| value.clone()));
        self.with(std::iter::once(front).chain(self.columns().cloned()).collect())
    }

    /// Tables below each other, by the names of their columns; what one of them lacks is missing in its rows.
    ///
    /// # Errors
    /// No table; columns of one name that hold text in one table and numbers in another.
    pub fn concat(tables: &[Self]) -> Result<Self> {
        let Some(first) = tables.first() else {
            return Err(Error::Table("there is no table to put together".into()));
        };
        let mut titles: Vec<&str> = Vec::new();
        for column in tables.iter().flat_map(Self::columns) {
            if !titles.contains(&column.name().as_str()) {
                titles.push(column.name());
            }
        }
        let mut columns = Vec::with_capacity(titles.len());
        for title in titles {
            let parts: Vec<Option<&Column>> = tables.iter().map(|table| table.column(title).ok()).collect();
            let mut kinds: Vec<Kind> = parts.iter().flatten().map(|part| cell::kind(part)).collect();
            kinds.dedup();
            let numbers = kinds.iter().all(|kind| matches!(kind, Kind::Integer | Kind::Number));
            let kind = match kinds[..] {
                [kind] => kind,
                _ if numbers => Kind::Number,
                _ => return Err(Error::Table(format!("column `{title}` is {kinds:?} in the tables to put together"))),
            };
            let entries = tables
                .iter()
                .zip(&parts)
                .flat_map(|(table, part)| part.map_or_else(|| vec![Cell::Missing; table.rows()], cells));
            columns.push(cell::column(title, kind, entries));
        }
        first.with(columns)
    }

    /// The rows whose entry in a column is as wanted: `filter("closure", |c| c == "joint")`, `filter("t", |t| t > 40.0)`.
    /// A missing entry compares with nothing.
    ///
    /// # Errors
    /// No such column.
    pub fn filter(&self, column: &str, wanted: impl Fn(Cell) -> bool) -> Result<Self> {
        let cells = cells(self.column(column)?);
        let rows: Vec<usize> =
            cells.into_iter().enumerate().filter(|(_, cell)| wanted(cell.clone())).map(|(row, _)| row).collect();
        self.rows_at(&rows)
    }

    /// The rows in ascending order of a column, missing entries last; equal ones stay in their order.
    ///
    /// # Errors
    /// No such column.
    pub fn sort_by(&self, column: &str) -> Result<Self> {
        let cells = cells(self.column(column)?);
        let mut rows: Vec<usize> = (0..cells.len()).collect();
        rows.sort_by(|&a, &b| cells[a].order(&cells[b]));
        self.rows_at(&rows)
    }

    /// The rows from the last to the first.
    ///
    /// # Errors
    /// None in practice.
    pub fn reversed(&self) -> Result<Self> {
        self.rows_at(&(0..self.rows()).rev().collect::<Vec<_>>())
    }

    /// Some columns, in that order, each with its standard errors. All of them are shown.
    ///
    /// # Errors
    /// No such column.
    pub fn select(&self, columns: &[&str]) -> Result<Self> {
        let mut chosen: Vec<Column> = Vec::new();
        for name in columns {
            let column = self.column(name)?;
            let errors = self.column(&format!("{}{UNCERTAINTY}", column.name())).ok();
            chosen.extend(std::iter::once(column).chain(errors).cloned());
        }
        Ok(self.with(chosen)?.all())
    }

    /// The columns of both tables in the rows whose entries agree in the columns `on`: every row of this table with every row of
    /// the other that fits. A column of the other whose name is taken has its table's name behind it.
    ///
    /// # Errors
    /// A column of `on` that one of them lacks.
    pub fn join(&self, other: &Self, on: &[&str]) -> Result<Self> {
        let keys = |table: &Self| on.iter().map(|name| Ok(cells(table.column(name)?))).collect::<Result<Vec<_>>>();
        let (left, right) = (keys(self)?, keys(other)?);
        let same = |a: usize, b: usize| left.iter().zip(&right).all(|(x, y)| x[a] == y[b] && x[a] != Cell::Missing);
        let pairs: Vec<(usize, usize)> = (0..self.rows())
            .flat_map(|a| (0..other.rows()).map(move |b| (a, b)))
            .filter(|&(a, b)| same(a, b))
            .collect();
        let gathered = |column: &Column, name: &str, rows: &mut dyn Iterator<Item = usize>| {
            let cells = cells(column);
            cell::column(name, cell::kind(column), rows.map(|row| cells[row].clone()))
        };
        let mut columns: Vec<Column> = self
            .columns()
            .map(|column| gathered(column, column.name(), &mut pairs.iter().map(|pair| pair.0)))
            .collect();
        for column in other.columns() {
            let name = column.name().as_str();
            if on.iter().any(|key| *key == name || *key == machine(name)) {
                continue;
            }
            let free = if self.column(name).is_err() { name.to_string() } else { format!("{name} {}", other.name) };
            columns.push(gathered(column, &free, &mut pairs.iter().map(|pair| pair.1)));
        }
        self.with(columns)
    }

    /// Rows that agree in the columns `by` as one: the mean of every number, its standard error (`±`), the standard deviation
    /// between the rows (`(sd)`), and the number of rows. Of tables of several seeds this is the spread between seeds.
    ///
    /// # Errors
    /// No such column.
    pub fn mean_by(&self, by: &[&str]) -> Result<Self> {
        let keys = by.iter().map(|name| self.column(name)).collect::<Result<Vec<_>>>()?;
        let entries: Vec<Vec<Cell>> = keys.iter().map(|column| cells(column)).collect();
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for row in 0..self.rows() {
            match groups.iter_mut().find(|group| entries.iter().all(|cells| cells[group[0]] == cells[row])) {
                Some(group) => group.push(row),
                None => groups.push(vec![row]),
            }
        }
        let mut columns: Vec<Column> = keys
            .iter()
            .zip(&entries)
            .map(|(column, cells)| {
                cell::column(column.name(), cell::kind(column), groups.iter().map(|group| cells[group[0]].clone()))
            })
            .collect();
        columns.push(Column::new("rows".into(), groups.iter().map(|group| group.len() as i64).collect::<Vec<_>>()));
        for column in self.columns() {
            let name = column.name().as_str();
            let identity = quantity(&self.name, name).is_some_and(|quantity| quantity.role == Role::Identity);
            let number = matches!(cell::kind(column), Kind::Integer | Kind::Number);
            if identity || !number || name.ends_with(UNCERTAINTY) || keys.iter().any(|key| key.name() == name) {
                continue;
            }
            let cells = cells(column);
            let statistics: Vec<[Option<f64>; 3]> = groups
                .iter()
                .map(|group| mean_and_spread(&group.iter().filter_map(|&row| cells[row].number()).collect::<Vec<_>>()))
                .collect();
            for (at, end) in ["", UNCERTAINTY, BETWEEN].into_iter().enumerate() {
                let values: Vec<Option<f64>> = statistics.iter().map(|statistics| statistics[at]).collect();
                columns.push(Column::new(format!("{name}{end}").into(), values));
            }
        }
        self.with(columns)
    }

    /// One row for each number: `preset`, `seed`, `configuration`, `table`, `closure` (or model), `t`, `case` (what else tells the
    /// row apart), `quantity` (its name outside), `value`, `se`, `unit`. Tables of any kind can then be put together.
    ///
    /// # Errors
    /// None in practice.
    pub fn tidy(&self) -> Result<Self> {
        let known: Vec<(&Column, Option<Quantity>, Vec<Cell>)> =
            self.columns().map(|column| (column, quantity(&self.name, column.name()), cells(column))).collect();
        let key = |(column, known, _): &&(&Column, Option<Quantity>, Vec<Cell>)| {
            known.map_or(cell::kind(column) == Kind::Text, |quantity| quantity.role == Role::Key)
        };
        let at = |name: &str, row: usize| {
            let found = known.iter().find(|(column, ..)| column.name() == name);
            found.map_or(Cell::Missing, |(.., cells)| cells[row].clone())
        };
        let mut lines: BTreeMap<&str, Vec<Cell>> = BTreeMap::new();
        let mut put = |name: &'static str, cell: Cell| lines.entry(name).or_default().push(cell);
        for row in 0..self.rows() {
            let closure =
                ["closure", "model"].map(|name| at(name, row)).into_iter().find(|cell| *cell != Cell::Missing);
            let case: Vec<String> = known
                .iter()
                .filter(key)
                .filter(|(column, ..)| !["closure", "model", "t"].contains(&column.name().as_str()))
                .filter_map(|(column, _, cells)| Some(format!("{}={}", machine(column.name()), plain(&cells[row])?)))
                .collect();
            for entry in &known {
                let (column, quantity, cells) = entry;
                let title = column.name().as_str();
                let value = quantity.is_none_or(|quantity| quantity.role == Role::Value);
                let number = match (&cells[row], matches!(cell::kind(column), Kind::Integer | Kind::Number)) {
                    (Cell::Flag(flag), _) => Some(f64::from(u8::from(*flag))),
                    (cell, true) => cell.number(),
                    _ => None,
                };
                let (true, Some(number)) = (value && !title.ends_with(UNCERTAINTY), number) else { continue };
                for name in ["preset", "seed", "configuration"] {
                    put(name, at(name, row));
                }
                put("table", self.name.as_str().into());
                put("closure", closure.clone().unwrap_or(Cell::Missing));
                put("t", at("t", row));
                put("case", case.join(", ").into());
                put("quantity", machine(title).into());
                put("value", number.into());
                put("se", at(&format!("{title}{UNCERTAINTY}"), row));
                put("unit", quantity.map_or("", |quantity| quantity.unit).into());
            }
        }
        let kinds = [
            ("preset", Kind::Text),
            ("seed", Kind::Integer),
            ("configuration", Kind::Text),
            ("table", Kind::Text),
            ("closure", Kind::Text),
            ("t", Kind::Number),
            ("case", Kind::Text),
            ("quantity", Kind::Text),
            ("value", Kind::Number),
            ("se", Kind::Number),
            ("unit", Kind::Text),
        ];
        let column = |(name, kind)| cell::column(name, kind, lines.remove(name).unwrap_or_default());
        let columns = kinds.map(column).into_iter().collect();
        Self::new("tidy", "One number a row.", columns)
    }

    fn rows_at(&self, rows: &[usize]) -> Result<Self> {
        let gathered = self.columns().map(|column| {
            let cells = cells(column);
            cell::column(column.name(), cell::kind(column), rows.iter().map(|&row| cells[row].clone()))
        });
        self.with(gathered.collect())
    }

    /// Other columns under the same name and caption, all rows shown.
    fn with(&self, columns: Vec<Column>) -> Result<Self> {
        Ok(Self { all: self.all, ..Self::new(self.name.clone(), self.caption.clone(), columns)? })
    }
}

/// Mean, its standard error and the standard deviation of some numbers.
fn mean_and_spread(numbers: &[f64]) -> [Option<f64>; 3] {
    let n = numbers.len() as f64;
    if numbers.is_empty() {
        return [None; 3];
    }
    let mean = numbers.iter().sum::<f64>() / n;
    let square = numbers.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
    let deviation = (n > 1.0).then(|| (square / (n - 1.0)).sqrt());
    [Some(mean), deviation.map(|deviation| deviation / n.sqrt()), deviation]
}

/// A key as it stands in a case.
fn plain(cell: &Cell) -> Option<String> {
    match cell {
        Cell::Missing => None,
        Cell::Flag(flag) => Some(flag.to_string()),
        Cell::Integer(i) => Some(i.to_string()),
        Cell::Number(x) => Some(x.to_string()),
        Cell::Text(text) => Some(text.clone()),
    }
}
