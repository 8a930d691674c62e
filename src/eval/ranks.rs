//! Rank of the truth among the members.

use ndarray::s;
use polars::prelude::Column;

use super::closed_loop::{alive, check};
use super::names;
use super::sampling::thinned_points;
use super::table::Table;
use crate::error::{Error, Result};
use crate::rollout::{Ensemble, Reference};

/// Rank histograms of ensembles at one time.
#[derive(Debug, Clone)]
pub struct RankHistogram {
    /// The time.
    pub t: f64,
    /// By closure: the share of points at which the truth has rank 0, 1, …, M among M living members.
    pub rows: Vec<(String, Vec<f64>)>,
}

/// Rank of the true vorticity among the members, by closure, at snapshot `k`: flat for a calibrated ensemble.
///
/// Every fourth grid point of every realisation counts once; ties cannot occur in a stochastic ensemble.
///
/// # Errors
/// As [`super::closed_loop()`]; no such snapshot.
pub fn rank_histogram(reference: &Reference, ensembles: &[Ensemble], k: usize) -> Result<RankHistogram> {
    let Some(&t) = reference.times.get(k) else {
        return Err(Error::config("snapshot", format!("{k} of {}", reference.times.len())));
    };
    let mut rows = Vec::with_capacity(ensembles.len());
    for ensemble in ensembles {
        check(reference, ensemble)?;
        let members = alive(ensemble, k);
        let mut counts = vec![0usize; members.len() + 1];
        for outcome in reference.fields.slice(s![k, .., .., ..]).outer_iter() {
            for at in thinned_points(outcome.nrows()) {
                counts[members.iter().filter(|member| member[at] < outcome[at]).count()] += 1;
            }
        }
        let total = counts.iter().sum::<usize>() as f64;
        rows.push((ensemble.closure.clone(), counts.iter().map(|&count| count as f64 / total).collect()));
    }
    Ok(RankHistogram { t, rows })
}

impl RankHistogram {
    /// As a table.
    ///
    /// # Errors
    /// None in practice.
    pub fn table(&self) -> Result<Table> {
        let entries: Vec<(&str, i64, f64)> = self
            .rows
            .iter()
            .flat_map(|(name, shares)| {
                shares.iter().enumerate().map(|(rank, share)| (name.as_str(), rank as i64, *share))
            })
            .collect();
        Table::new(
            "rank-histogram",
            format!("Share of grid points by rank of the truth among the members at t = {}.", names::time(self.t)),
            vec![
                Column::new("closure".into(), entries.iter().map(|entry| entry.0).collect::<Vec<_>>()),
                Column::new("rank".into(), entries.iter().map(|entry| entry.1).collect::<Vec<_>>()),
                Column::new("share".into(), entries.iter().map(|entry| entry.2).collect::<Vec<_>>()),
            ],
        )
    }
}
