//! Tables of the shape of conditional laws, of all closures.

use polars::prelude::Column;

use super::shape::{BINS, Shape};
use super::table::Table;
use crate::error::Result;

/// Probabilities of the cells that the density is shown of: both states are frequent.
const UNDECIDED: (f64, f64) = (0.25, 0.75);
/// Bins of decoded states, and where they begin and end.
const STATES: (usize, f64, f64) = (60, -1.0, 2.0);

/// Densities of decoded amplitudes and frequencies of states, of all closures.
#[derive(Debug, Clone)]
pub struct Shapes {
    /// Density of the decoded amplitudes.
    pub density: Table,
    /// Frequency of the state against its probability; none for a ring.
    pub reliability: Option<Table>,
}

impl Shapes {
    /// The name of the table of densities.
    pub const DENSITY: &'static str = "decoded";
    /// The name of the table of frequencies.
    pub const RELIABILITY: &'static str = "reliability";
    /// How the law itself is called in it.
    pub const EXACT: &'static str = "its formula";

    /// Of closures by name, each with what it has by trajectory.
    pub(super) fn new<'a>(closures: impl Iterator<Item = (&'a str, Vec<&'a Shape>)>) -> Result<Self> {
        let (mut names, mut at, mut density) = (Vec::new(), Vec::new(), Vec::new());
        let (mut of, mut p, mut frequency) = (Vec::new(), Vec::new(), Vec::new());
        for (c, (closure, parts)) in closures.enumerate() {
            let Some(first) = parts.first() else { continue };
            let (bins, low, high) = first.ring().map_or(STATES, |mode| (STATES.0, 0.0, 2.0 * mode));
            let width = (high - low) / bins as f64;
            let undecided = |p: f64| p.is_nan() || (UNDECIDED.0..=UNDECIDED.1).contains(&p);
            let all = || parts.iter().flat_map(|part| part.decoded());
            let (mut counts, mut total, mut mean) = (vec![0.0; bins], 0.0, 0.0);
            for &(p, y) in all().filter(|(p, _)| undecided(*p)) {
                total += 1.0;
                mean += p;
                let bin = ((y - low) / width).floor();
                if bin >= 0.0 && (bin as usize) < bins {
                    counts[bin as usize] += 1.0;
                }
            }
            mean /= total;
            let mut rows = |name: &str, value: &dyn Fn(usize) -> f64| {
                for bin in 0..bins {
                    names.push(name.to_string());
                    at.push(low + (bin as f64 + 0.5) * width);
                    density.push(value(bin));
                }
            };
            if c == 0 {
                let below = |bin: usize| first.distribution(mean, low + bin as f64 * width);
                rows(Self::EXACT, &|bin| (below(bin + 1) - below(bin)) / width);
            }
            rows(closure, &|bin| counts[bin] / (total * width));
            for bin in 0..BINS {
                let inside = || all().filter(move |(p, _)| !p.is_nan() && (p * BINS as f64) as usize == bin);
                let count = inside().count() as f64;
                if count > 0.0 {
                    of.push(closure.to_string());
                    p.push(inside().map(|(p, _)| p).sum::<f64>() / count);
                    frequency.push(inside().filter(|(_, y)| *y > 0.5).count() as f64 / count);
                }
            }
        }
        let caption = format!(
            "Density of decoded amplitudes of the hidden forcing, of cells whose probability is {} to {}.",
            UNDECIDED.0, UNDECIDED.1
        );
        let columns = vec![
            Column::new("closure".into(), names),
            Column::new("amplitude".into(), at),
            Column::new("density".into(), density),
        ];
        let caption_of =
            "Frequency with which draws have a cell switched on, against its probability given ω, in ten bins.";
        let reliability = (!of.is_empty()).then(|| {
            let columns = vec![
                Column::new("closure".into(), of),
                Column::new("probability".into(), p),
                Column::new("frequency".into(), frequency),
            ];
            Table::new(Self::RELIABILITY, caption_of, columns)
        });
        Ok(Self { density: Table::new(Self::DENSITY, caption, columns)?, reliability: reliability.transpose()? })
    }

    /// Its tables.
    pub(super) fn tables(&self) -> impl Iterator<Item = Table> {
        std::iter::once(self.density.clone()).chain(self.reliability.clone())
    }
}
