//! The paper's claim, and what became of it.

use polars::prelude::Column;

use super::ledger::{Ours, at};
use super::metric::{D_RE_SINGLE_EXCESS, ERROR_OF_MEAN};
use super::quantity::UNCERTAINTY;
use super::table::Table;
use crate::closure::{EXACT_LAW, NO_CLOSURE};
use crate::error::Result;

/// D_RE of a draw of the exact law that the published noise implies; published scores less this are their excess.
const FLOOR: f64 = 0.113;

/// Closures with what is published of them: D_RE of a draw (arXiv 2506.20771), relative error of the ensemble mean at t = 50
/// (its authors' demo notebook).
const CLAIMED: [(&str, Option<f64>, Option<f64>); 5] = [
    (NO_CLOSURE, None, Some(0.9941)),
    (EXACT_LAW, Some(FLOOR), None),
    ("p-cdm", None, Some(0.0854)),
    ("two-phase", Some(0.29), None),
    ("joint", Some(0.11), Some(0.0661)),
];

/// Excess of D_RE over the exact law's and error of the ensemble mean at the final time: as published, as the published recipe
/// has them here (`recipe`), and with the models of a configuration (`own`).
///
/// # Errors
/// A table lacks the columns that its maker gives it.
pub fn claim(recipe: &Ours, own: &Ours) -> Result<Table> {
    let mut columns = vec![Column::new("closure".into(), CLAIMED.map(|row| row.0).to_vec())];
    let published = |title: &str, values: Vec<Option<f64>>| Column::new(title.into(), values);
    let excess = CLAIMED.iter().map(|row| row.1.map(|score| score - FLOOR)).collect();
    columns.push(published("published excess", excess));
    columns.extend(ours([recipe, own], "excess", |side, closure| {
        at(side.offline.as_ref(), "closure", closure, D_RE_SINGLE_EXCESS.name, |_| Ok(true))
    })?);
    columns.push(published("published error", CLAIMED.iter().map(|row| row.2).collect()));
    columns.extend(ours([recipe, own], "error", |side, closure| {
        at(side.summary.as_ref(), "closure", closure, ERROR_OF_MEAN.name, |_| Ok(true))
    })?);
    let models =
        if own.preset.is_empty() { String::new() } else { format!(", and by the models of preset {}", own.preset) };
    let caption = format!(
        "Excess of D_RE of one draw over the exact law's, and relative error of the ensemble mean at the final time: published and by \
         the published recipe (preset {}){models}; ± as in their tables.",
        recipe.preset
    );
    Table::new("claim", caption, columns)
}

/// Values of both sides with their standard errors.
fn ours(
    sides: [&Ours; 2],
    what: &str,
    value: impl Fn(&Ours, &str) -> Result<Option<(f64, Option<f64>)>>,
) -> Result<Vec<Column>> {
    let mut columns = Vec::new();
    for (side, name) in sides.into_iter().zip(["recipe", "own"]) {
        let found = CLAIMED.iter().map(|row| value(side, row.0)).collect::<Result<Vec<_>>>()?;
        let title = format!("{name} {what}");
        columns
            .push(Column::new(title.as_str().into(), found.iter().map(|found| found.map(|f| f.0)).collect::<Vec<_>>()));
        let errors: Vec<Option<f64>> = found.iter().map(|found| found.and_then(|f| f.1)).collect();
        columns.push(Column::new(format!("{title}{UNCERTAINTY}").into(), errors));
    }
    Ok(columns)
}
