//! Spectra of rollouts over time.

use std::ops::Range;

use ndarray::{ArrayView2, ArrayView3, Axis};
use polars::prelude::Column;

use super::estimate::Estimate;
use super::names::TRUE_FLOW;
use super::table::{Table, estimates};
use crate::error::Result;
use crate::rollout::{Ensemble, Reference};
use crate::spectral::{energy_spectrum, shell_spectrum};

/// A shell counts as energetic where the true flow has at least this share of its energy in it.
const ENERGETIC: f64 = 1e-4;

/// Spectra of the true flow and of rollouts at every snapshot.
#[derive(Debug, Clone)]
pub struct Spectra {
    /// Flow by flow, the true one first, snapshot by snapshot.
    pub rows: Vec<Spectrum>,
}

/// One flow at one time: shell sums over round(|n|), averaged over living members, ± standard error over members.
#[derive(Debug, Clone)]
pub struct Spectrum {
    /// The closure, or [`TRUE_FLOW`].
    pub flow: String,
    /// Simulated time.
    pub t: f64,
    /// Energy ½|û|² by shell 0 … N/2 ([`energy_spectrum`]).
    pub energy: Vec<Estimate>,
    /// Enstrophy ½|ω̂|² by shell ([`shell_spectrum`]).
    pub enstrophy: Vec<Estimate>,
}

/// Energy and enstrophy spectra of the true flow and of rollouts at every snapshot, without smoothing. `length` is the side of
/// the square.
pub fn spectra(reference: &Reference, ensembles: &[Ensemble], length: f64) -> Spectra {
    at(0..reference.times.len(), reference, ensembles, length)
}

/// [`spectra`] at snapshot `k`.
pub fn spectra_at(k: usize, reference: &Reference, ensembles: &[Ensemble], length: f64) -> Spectra {
    at(k..k + 1, reference, ensembles, length)
}

fn at(snapshots: Range<usize>, reference: &Reference, ensembles: &[Ensemble], length: f64) -> Spectra {
    let all = ensembles.iter().map(|e| (e.closure.as_str(), &e.times, &e.fields));
    let mut rows = Vec::new();
    for (flow, times, fields) in [(TRUE_FLOW, &reference.times, &reference.fields)].into_iter().chain(all) {
        for (k, &t) in times.iter().enumerate().filter(|(k, _)| snapshots.contains(k)) {
            let members = fields.index_axis(Axis(0), k);
            let energy = average(members, |w| energy_spectrum(w, length));
            rows.push(Spectrum { flow: flow.into(), t, energy, enstrophy: average(members, shell_spectrum) });
        }
    }
    Spectra { rows }
}

/// Mean over living members by shell, ± its standard error.
fn average(members: ArrayView3<f32>, spectrum: impl Fn(ArrayView2<f64>) -> Vec<f64>) -> Vec<Estimate> {
    let living: Vec<Vec<f64>> = members
        .outer_iter()
        .filter(|field| field.iter().all(|x| x.is_finite()))
        .map(|field| spectrum(field.mapv(f64::from).view()))
        .collect();
    let m = living.len() as f64;
    (0..=members.shape()[1] / 2)
        .map(|shell| {
            let value = living.iter().map(|spectrum| spectrum[shell]).sum::<f64>() / m;
            let square = living.iter().map(|spectrum| (spectrum[shell] - value).powi(2)).sum::<f64>();
            Estimate { value, error: if m > 1.0 { (square / (m * (m - 1.0))).sqrt() } else { f64::NAN } }
        })
        .collect()
}

impl Spectra {
    /// As a table.
    ///
    /// # Errors
    /// None in practice.
    pub fn table(&self) -> Result<Table> {
        let shells: Vec<(&Spectrum, usize)> =
            self.rows.iter().flat_map(|row| (0..row.energy.len()).map(move |shell| (row, shell))).collect();
        let mut columns = vec![
            Column::new("closure".into(), shells.iter().map(|(row, _)| row.flow.as_str()).collect::<Vec<_>>()),
            Column::new("t".into(), shells.iter().map(|(row, _)| row.t).collect::<Vec<_>>()),
            Column::new("shell".into(), shells.iter().map(|(_, shell)| *shell as i64).collect::<Vec<_>>()),
        ];
        columns.extend(estimates("energy", shells.iter().map(|&(row, shell)| row.energy[shell])));
        columns.extend(estimates("enstrophy", shells.iter().map(|&(row, shell)| row.enstrophy[shell])));
        let caption =
            "Spectra of energy ½|û|² and enstrophy ½|ω̂|² by shell round(|n|), averaged over members, ± standard error.";
        Table::new("spectra", caption, columns)
    }
}

/// Statistics of the true flow and of rollouts at every snapshot.
#[derive(Debug, Clone)]
pub struct Statistics {
    /// Flow by flow, the true one first, snapshot by snapshot.
    pub rows: Vec<StatisticsRow>,
}

/// One flow at one time.
#[derive(Debug, Clone)]
pub struct StatisticsRow {
    /// The closure, or [`TRUE_FLOW`].
    pub flow: String,
    /// Simulated time.
    pub t: f64,
    /// Kinetic energy ½⟨|u|²⟩ of the mean over living members.
    pub energy: f64,
    /// Enstrophy ½⟨ω²⟩, likewise.
    pub enstrophy: f64,
    /// mean_s |log₁₀ E(s)/E_true(s)| over the shells in which the true flow has more than a ten-thousandth of its energy: what
    /// an ensemble is to keep when the fields themselves cannot be predicted any more. Missing where a shell has nothing.
    pub spectral_distance: Option<f64>,
}

/// Statistics of what [`spectra`] measures.
pub fn statistics(reference: &Reference, ensembles: &[Ensemble], length: f64) -> Statistics {
    let spectra = spectra(reference, ensembles, length).rows;
    let total = |values: &[Estimate]| values.iter().map(|shell| shell.value).sum::<f64>();
    let distance = |row: &Spectrum| {
        let truth = spectra.iter().find(|truth| truth.flow == TRUE_FLOW && truth.t == row.t)?;
        let floor = ENERGETIC * total(&truth.energy);
        let ratios: Vec<f64> = truth
            .energy
            .iter()
            .zip(&row.energy)
            .filter(|(truth, _)| truth.value > floor)
            .map(|(truth, own)| (own.value / truth.value).log10().abs())
            .collect();
        let mean = ratios.iter().sum::<f64>() / ratios.len() as f64;
        mean.is_finite().then_some(mean)
    };
    let rows = spectra.iter().map(|row| StatisticsRow {
        flow: row.flow.clone(),
        t: row.t,
        energy: total(&row.energy),
        enstrophy: total(&row.enstrophy),
        spectral_distance: distance(row),
    });
    Statistics { rows: rows.collect() }
}

impl Statistics {
    /// As a table.
    ///
    /// # Errors
    /// None in practice.
    pub fn table(&self) -> Result<Table> {
        let rows = &self.rows;
        Table::new(
            "statistics",
            "Kinetic energy ½⟨|u|²⟩, enstrophy ½⟨ω²⟩ and distance of the energy spectrum from the true flow's, in decades per \
             energetic shell, averages over members.",
            vec![
                Column::new("closure".into(), rows.iter().map(|row| row.flow.as_str()).collect::<Vec<_>>()),
                Column::new("t".into(), rows.iter().map(|row| row.t).collect::<Vec<_>>()),
                Column::new("energy".into(), rows.iter().map(|row| row.energy).collect::<Vec<_>>()),
                Column::new("enstrophy".into(), rows.iter().map(|row| row.enstrophy).collect::<Vec<_>>()),
                Column::new(
                    "spectral distance".into(),
                    rows.iter().map(|row| row.spectral_distance).collect::<Vec<_>>(),
                ),
            ],
        )
    }
}
