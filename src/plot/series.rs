//! Curves, and tables as curves.

use crate::error::Result;
use crate::eval::{Cell, Table, UNCERTAINTY};

/// One curve, with an optional band about it.
#[derive(Debug, Clone, Default)]
pub struct Series {
    /// What it is of. The legend has the name that readers know ([`crate::eval::names`]); colour and dash belong to it.
    pub label: String,
    /// Abscissae.
    pub x: Vec<f64>,
    /// Ordinates, as many.
    pub y: Vec<f64>,
    /// Lower and upper edge of the band, as many each.
    pub band: Option<(Vec<f64>, Vec<f64>)>,
}

impl Series {
    /// A curve without a band.
    pub fn new(label: impl Into<String>, x: Vec<f64>, y: Vec<f64>) -> Self {
        Self { label: label.into(), x, y, band: None }
    }

    /// The same curve with a band.
    #[must_use]
    pub fn with_band(mut self, low: Vec<f64>, high: Vec<f64>) -> Self {
        self.band = Some((low, high));
        self
    }
}

impl Table {
    /// A curve for every entry of the column `by`, in the order in which they appear: `y` against `x`, with the standard errors
    /// of `y` as a band where there are any. Rows without `x` or `y` are left out.
    ///
    /// # Errors
    /// No such column, or not numbers.
    pub fn series(&self, x: &str, y: &str, by: &str) -> Result<Vec<Series>> {
        let names = self.texts(by)?;
        let mut seen: Vec<&str> = Vec::new();
        for name in &names {
            if !seen.contains(&name.as_str()) {
                seen.push(name);
            }
        }
        let mut curves = Vec::with_capacity(seen.len());
        for name in seen {
            let rows = self.filter(by, |cell| match cell {
                Cell::Text(text) => text == name,
                Cell::Integer(i) => i.to_string() == name,
                Cell::Number(x) => x.to_string() == name,
                Cell::Flag(flag) => flag.to_string() == name,
                Cell::Missing => name.is_empty(),
            })?;
            let (xs, ys) = (rows.numbers(x)?, rows.numbers(y)?);
            let errors =
                [format!("{y}{UNCERTAINTY}"), format!("{y}_se")].iter().find_map(|title| rows.numbers(title).ok());
            let kept: Vec<usize> = (0..xs.len()).filter(|&i| xs[i].is_finite() && ys[i].is_finite()).collect();
            let at = |values: &[f64]| kept.iter().map(|&i| values[i]).collect::<Vec<_>>();
            let curve = Series::new(name, at(&xs), at(&ys));
            let width = |errors: &[f64]| {
                at(errors).into_iter().map(|e| if e.is_finite() { e } else { 0.0 }).collect::<Vec<_>>()
            };
            curves.push(match errors.map(|errors| width(&errors)) {
                Some(width) if width.iter().any(|e| *e > 0.0) => {
                    let edge = |sign: f64| curve.y.iter().zip(&width).map(|(y, e)| y + sign * e).collect::<Vec<_>>();
                    let (low, high) = (edge(-1.0), edge(1.0));
                    curve.with_band(low, high)
                }
                _ => curve,
            });
        }
        Ok(curves)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::Column;

    #[test]
    fn a_table_becomes_curves_by_closure() {
        let columns = vec![
            Column::new("closure".into(), ["joint", "joint", "none"]),
            Column::new("t".into(), [1.0, 2.0, 1.0]),
            Column::new("error of mean".into(), [Some(0.5), Some(0.7), None]),
            Column::new("error of mean ±".into(), [Some(0.1), None, None]),
        ];
        let curves = Table::new("c", "", columns).unwrap().series("t", "error_of_mean", "closure").unwrap();
        assert_eq!(curves.len(), 2);
        assert_eq!((&curves[0].x, &curves[0].y), (&vec![1.0, 2.0], &vec![0.5, 0.7]));
        let (low, high) = curves[0].band.clone().unwrap();
        assert!((low[0] - 0.4).abs() < 1e-12 && (high[0] - 0.6).abs() < 1e-12 && low[1] == 0.7);
        assert!(curves[1].x.is_empty() && curves[1].band.is_none());
    }
}
