//! Tables for readers: text, Markdown and HTML.

use std::fmt::{self, Write as _};

use super::Table;
use super::cell::{self, Cell, cells};
use crate::eval::names;
use crate::eval::quantity::{BETWEEN, Kind, Role, UNCERTAINTY, quantity, stem};

/// A table as text, ready for a layout: merged cells and the columns that hold numbers.
struct Page {
    header: Vec<String>,
    /// What each column is, for those who point at its title.
    meaning: Vec<String>,
    numeric: Vec<bool>,
    rows: Vec<Vec<String>>,
    /// What is not shown.
    rest: String,
}

/// Columns whose entries have names for readers.
const NAMED: [&str; 2] = ["closure", "model"];

impl Table {
    /// The same table with every column and row in its readable forms. Otherwise they leave out columns that README.md does
    /// not show either, those in which nothing is known, and what is the same in all rows (preset, seed, configuration).
    #[must_use]
    pub fn all(&self) -> Self {
        Self { all: true, first: None, ..self.clone() }
    }

    /// The same table, of which readable forms show so many rows unless [`Table::all`] are asked for.
    #[must_use]
    pub fn showing(self, rows: usize) -> Self {
        Self { first: Some(rows), ..self }
    }

    /// A GitHub-flavoured Markdown table under its caption.
    pub fn to_markdown(&self) -> String {
        let page = self.page();
        let clean = |text: &str| text.replace('|', "\\|");
        let mut out = if self.caption.is_empty() { "|".into() } else { format!("{}\n\n|", self.caption) };
        for title in &page.header {
            let _ = write!(out, " {} |", clean(title));
        }
        out.push_str("\n|");
        for &numeric in &page.numeric {
            out.push_str(if numeric { "---:|" } else { "---|" });
        }
        out.push('\n');
        for row in &page.rows {
            out.push('|');
            for cell in row {
                let _ = write!(out, " {} |", clean(cell));
            }
            out.push('\n');
        }
        out
    }

    /// A self-contained HTML table (inline style only, text escaped). Column titles say what they mean when pointed at.
    pub fn to_html(&self) -> String {
        let page = self.page();
        let align = |numeric: bool| if numeric { "right" } else { "left" };
        let mut out = format!(
            "<table style=\"border-collapse:collapse;font-variant-numeric:tabular-nums\"><caption \
             style=\"text-align:left;padding:4px 0;white-space:normal;max-width:60em\">{}</caption><thead><tr>",
            escape(&self.caption)
        );
        for ((title, meaning), &numeric) in page.header.iter().zip(&page.meaning).zip(&page.numeric) {
            let _ = write!(
                out,
                "<th title=\"{}\" style=\"text-align:{};padding:2px 10px;white-space:nowrap;border-bottom:1px solid #888\">{}</th>",
                escape(meaning),
                align(numeric),
                escape(title)
            );
        }
        out.push_str("</tr></thead><tbody>");
        for row in &page.rows {
            out.push_str("<tr>");
            for (cell, &numeric) in row.iter().zip(&page.numeric) {
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
        if !page.rest.is_empty() {
            let _ = write!(out, "<div style=\"font-size:85%;opacity:0.7;max-width:60em\">{}</div>", escape(&page.rest));
        }
        out
    }

    fn page(&self) -> Page {
        let height = self.first.map_or(self.rows(), |first| first.min(self.rows()));
        let mut page = Page {
            header: Vec::new(),
            meaning: Vec::new(),
            numeric: Vec::new(),
            rows: vec![Vec::new(); height],
            rest: String::new(),
        };
        let (mut hidden, mut same) = (Vec::new(), Vec::new());
        for column in self.columns().filter(|column| !column.name().ends_with(UNCERTAINTY)) {
            let title = column.name().as_str();
            let (kind, cells) = (cell::kind(column), cells(column));
            let known = quantity(&self.name, title);
            let identity = known.is_some_and(|quantity| quantity.role == Role::Identity);
            if identity && !cells.is_empty() && cells.iter().all(|cell| *cell == cells[0]) {
                same.push(match &cells[0] {
                    Cell::Number(t) => format!("{title} = {}", names::time(*t)),
                    cell => format!("{title} {}", readable(cell, None)),
                });
                continue;
            }
            let empty = kind != Kind::Text && !cells.is_empty() && cells.iter().all(|cell| *cell == Cell::Missing);
            if !self.all && empty {
                continue;
            }
            if !self.all && known.is_some_and(|quantity| !quantity.headline) {
                hidden.push(title.to_string());
                continue;
            }
            let errors = self.column(&format!("{title}{UNCERTAINTY}")).ok().map(super::cell::cells);
            page.header.push(title.into());
            page.meaning.push(known.map_or(String::new(), |quantity| {
                let of = if title.ends_with(BETWEEN) { "standard deviation between rows of: " } else { "" };
                let unit = if quantity.unit.is_empty() { String::new() } else { format!(" ({})", quantity.unit) };
                format!("{of}{}{unit}", quantity.meaning)
            }));
            page.numeric.push(matches!(kind, Kind::Integer | Kind::Number));
            for (row, line) in page.rows.iter_mut().enumerate() {
                let text = match &cells[row] {
                    Cell::Text(key) if NAMED.contains(&stem(title)) => names::display(key),
                    cell => readable(cell, errors.as_ref().and_then(|errors| errors[row].number())),
                };
                line.push(text);
            }
        }
        let more = (self.rows() - height > 0).then(|| format!("{} more rows", self.rows() - height));
        let hidden = (!hidden.is_empty()).then(|| format!("more columns: {}", hidden.join(", ")));
        let asked: Vec<String> = more.into_iter().chain(hidden).collect();
        let asked = (!asked.is_empty()).then(|| format!("{} (.all())", asked.join("; ")));
        let same = (!same.is_empty()).then(|| same.join(", "));
        page.rest = same.into_iter().chain(asked).collect::<Vec<_>>().join("; ");
        page
    }
}

impl fmt::Display for Table {
    /// Fixed-width text: caption, header, rule, rows; numbers to the right; what is not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let page = self.page();
        let width: Vec<usize> = (0..page.header.len())
            .map(|j| {
                let longest = page.rows.iter().map(|row| row[j].chars().count()).max().unwrap_or(0);
                longest.max(page.header[j].chars().count())
            })
            .collect();
        let line = |row: &[String]| {
            let padded = row.iter().zip(&width).zip(&page.numeric).map(|((cell, &width), &numeric)| {
                if numeric { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
            });
            padded.collect::<Vec<_>>().join("  ").trim_end().to_string()
        };
        if !self.caption.is_empty() {
            writeln!(f, "{}", self.caption)?;
        }
        writeln!(f, "{}", line(&page.header))?;
        let rule = width.iter().sum::<usize>() + 2 * width.len().saturating_sub(1);
        write!(f, "{}", "─".repeat(rule))?;
        for row in &page.rows {
            write!(f, "\n{}", line(row))?;
        }
        if page.rest.is_empty() { Ok(()) } else { write!(f, "\n{}", page.rest) }
    }
}

fn readable(cell: &Cell, error: Option<f64>) -> String {
    match cell {
        Cell::Missing => "–".into(),
        Cell::Flag(true) => "yes".into(),
        Cell::Flag(false) => "no".into(),
        Cell::Integer(i) => i.to_string(),
        Cell::Number(x) => number(*x, error),
        Cell::Text(text) => text.clone(),
    }
}

/// Four significant digits, or as many decimals as two digits of the standard error need.
pub(super) fn number(x: f64, error: Option<f64>) -> String {
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
