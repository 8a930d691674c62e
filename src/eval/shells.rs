//! What happens at which scale: spectra over time, and where a closure puts energy and enstrophy.

use ndarray::{ArrayView2, ArrayView3, Axis, s};
use polars::prelude::Column;

use super::metrics::jackknife;
use super::table::{Table, UNCERTAINTY};
use crate::error::Result;
use crate::rollout::{Ensemble, Reference};
use crate::spectral::{Grid, energy_spectrum, rfft2, shell_spectrum};

/// What the true flow is called in tables.
pub const TRUE_FLOW: &str = "true flow";

/// Energy and enstrophy spectra of the true flow and of rollouts at every snapshot, without smoothing: shell sums of
/// ½|û|² and ½|ω̂|² over round(|n|) ([`energy_spectrum`], [`shell_spectrum`]), averaged over living members, ± standard error
/// over members. `length` is the side of the square.
///
/// # Errors
/// None for what rollouts return.
pub fn spectra(reference: &Reference, ensembles: &[Ensemble], length: f64) -> Result<Table> {
    let mut rows = Rows::default();
    let mut times = Vec::new();
    let all = ensembles.iter().map(|e| (e.closure.as_str(), &e.times, &e.fields));
    for (name, snapshots, fields) in [(TRUE_FLOW, &reference.times, &reference.fields)].into_iter().chain(all) {
        for (k, &t) in snapshots.iter().enumerate() {
            let members = fields.index_axis(Axis(0), k);
            let before = rows.names.len();
            rows.add_members(name, members, length);
            times.extend(std::iter::repeat_n(t, rows.names.len() - before));
        }
    }
    let mut columns = rows.columns(["energy", "enstrophy"]);
    columns.insert(1, Column::new("t".into(), times));
    let caption =
        "Spectra of energy ½|û|² and enstrophy ½|ω̂|² by shell round(|n|), averaged over members, ± standard error.";
    Table::new("spectra", caption, columns)
}

/// A shell counts as energetic where the true flow has at least this share of its energy in it.
const ENERGETIC: f64 = 1e-4;

/// Statistics of the true flow and of rollouts at every snapshot: kinetic energy ½⟨|u|²⟩ and enstrophy ½⟨ω²⟩ of the mean over
/// living members, and the *spectral distance* mean_s |log₁₀ E(s)/E_true(s)| over the shells in which the true flow has more
/// than a ten-thousandth of its energy: what an ensemble is to keep when the fields themselves cannot be predicted any more.
///
/// # Errors
/// None for what rollouts return.
pub fn statistics(reference: &Reference, ensembles: &[Ensemble], length: f64) -> Result<Table> {
    let table = spectra(reference, ensembles, length)?;
    let (names, t) = (table.texts("closure")?, table.numbers("t")?);
    let (energy, enstrophy) = (table.numbers("energy")?, table.numbers("enstrophy")?);
    // One block of rows for each closure and snapshot; those of the true flow come first.
    let mut blocks: Vec<std::ops::Range<usize>> = Vec::new();
    for row in 0..names.len() {
        match blocks.last_mut() {
            Some(block) if names[block.start] == names[row] && t[block.start] == t[row] => block.end = row + 1,
            _ => blocks.push(row..row + 1),
        }
    }
    let total = |values: &[f64], block: &std::ops::Range<usize>| values[block.clone()].iter().sum::<f64>();
    let distance = |block: &std::ops::Range<usize>| {
        let truth = blocks.iter().find(|truth| names[truth.start] == TRUE_FLOW && t[truth.start] == t[block.start])?;
        let floor = ENERGETIC * total(&energy, truth);
        let ratios: Vec<f64> = energy[truth.clone()]
            .iter()
            .zip(&energy[block.clone()])
            .filter(|&(&truth, _)| truth > floor)
            .map(|(truth, own)| (own / truth).log10().abs())
            .collect();
        let mean = ratios.iter().sum::<f64>() / ratios.len() as f64;
        mean.is_finite().then_some(mean)
    };
    Table::new(
        "statistics",
        "Kinetic energy ½⟨|u|²⟩, enstrophy ½⟨ω²⟩ and distance of the energy spectrum from the true flow's, in decades per \
         energetic shell, averages over members.",
        vec![
            Column::new("closure".into(), blocks.iter().map(|b| names[b.start].clone()).collect::<Vec<_>>()),
            Column::new("t".into(), blocks.iter().map(|b| t[b.start]).collect::<Vec<_>>()),
            Column::new("energy".into(), blocks.iter().map(|b| total(&energy, b)).collect::<Vec<_>>()),
            Column::new("enstrophy".into(), blocks.iter().map(|b| total(&enstrophy, b)).collect::<Vec<_>>()),
            Column::new("spectral distance".into(), blocks.iter().map(distance).collect::<Vec<_>>()),
        ],
    )
}

/// Σ Re(ω̂* Ĥ)/N⁴ and Σ Re(ψ̂* Ĥ)/N⁴ by shell: the rates at which a closure term H changes enstrophy ½⟨ω²⟩ and energy
/// ½⟨|u|²⟩ = ½⟨ψω⟩ there. Shells round(|n|) = 0 … N/2.
///
/// # Panics
/// Where the fields are not square and of one size.
pub fn transfers(w: ArrayView2<f64>, h: ArrayView2<f64>, length: f64) -> [Vec<f64>; 2] {
    let n = w.nrows();
    let grid = Grid { n, length };
    let unit = std::f64::consts::TAU / length;
    let mut out = [vec![0.0; n / 2 + 1], vec![0.0; n / 2 + 1]];
    let h_hat = rfft2(h);
    for ((i, j), w) in rfft2(w).indexed_iter() {
        let k2 = grid.k2(i, j);
        // Parseval weight: columns 0 and N/2 are their own mirror images.
        let weight = if j == 0 || j == n / 2 { 1.0 } else { 2.0 };
        let product = weight * (w.conj() * h_hat[(i, j)]).re / (n as f64).powi(4);
        let shell = (k2.sqrt() / unit).round() as usize;
        if shell <= n / 2 {
            out[0][shell] += product;
            out[1][shell] += if k2 > 0.0 { product / k2 } else { 0.0 };
        }
    }
    out
}

/// Shell sums of one trajectory and the number of conditions in them.
pub(super) struct Transfer {
    pub conditions: f64,
    /// Enstrophy and energy.
    pub by_shell: [Vec<f64>; 2],
}

/// The budget table of closures: transfer by shell, and its flux through the shell's outer edge, −Σ_{s' ≤ s} T(s'); ± jackknife
/// over trajectories. `blocks[c][trajectory]` belongs to closure `names[c]`.
pub(super) fn budget(names: &[String], blocks: &[Vec<&Transfer>]) -> Result<Table> {
    let titles = ["enstrophy transfer", "energy transfer", "enstrophy flux", "energy flux"];
    let (mut closures, mut shells) = (Vec::new(), Vec::new());
    let mut cells: [[Vec<Option<f64>>; 2]; 4] = Default::default();
    for (name, trajectories) in names.iter().zip(blocks) {
        let count = trajectories.first().map_or(0, |t| t.by_shell[0].len());
        for shell in 0..count {
            closures.push(name.clone());
            shells.push(shell as i64);
            for (which, cell) in cells.iter_mut().enumerate() {
                let (part, flux) = (which % 2, which >= 2);
                let pick = |t: &&Transfer| {
                    let by_shell = &t.by_shell[part];
                    let sum = if flux { -by_shell[..=shell].iter().sum::<f64>() } else { by_shell[shell] };
                    [sum, t.conditions]
                };
                let sums: Vec<[f64; 2]> = trajectories.iter().map(pick).collect();
                let (value, error) = jackknife(&sums, |[sum, count]| sum / count);
                cell[0].push(value.is_finite().then_some(value));
                cell[1].push(error.is_finite().then_some(error));
            }
        }
    }
    let mut columns = vec![Column::new("closure".into(), closures), Column::new("shell".into(), shells)];
    for (title, [values, errors]) in titles.into_iter().zip(cells) {
        columns.push(Column::new(title.into(), values));
        columns.push(Column::new(format!("{title}{UNCERTAINTY}").into(), errors));
    }
    let caption = "Rate at which the mean closure term changes enstrophy and energy by shell round(|n|), and the flux to \
                   larger shells that this makes; the exact law's mean is the true advection; ± jackknife over test \
                   trajectories.";
    Table::new("budget", caption, columns)
}

/// Rows of two spectra under construction.
#[derive(Default)]
struct Rows {
    names: Vec<String>,
    shells: Vec<i64>,
    values: [Vec<Option<f64>>; 2],
    errors: [Vec<Option<f64>>; 2],
}

impl Rows {
    fn add_members(&mut self, name: &str, members: ArrayView3<f32>, length: f64) {
        let n = members.shape()[1];
        let living: Vec<[Vec<f64>; 2]> = (0..members.shape()[0])
            .map(|m| members.slice(s![m, .., ..]))
            .filter(|field| field.iter().all(|x| x.is_finite()))
            .map(|field| field.mapv(f64::from))
            .map(|w| [energy_spectrum(w.view(), length), shell_spectrum(w.view())])
            .collect();
        let m = living.len() as f64;
        for shell in 0..=n / 2 {
            self.names.push(name.into());
            self.shells.push(shell as i64);
            for part in 0..2 {
                let mean = living.iter().map(|spectra| spectra[part][shell]).sum::<f64>() / m;
                let square = living.iter().map(|spectra| (spectra[part][shell] - mean).powi(2)).sum::<f64>();
                self.values[part].push(mean.is_finite().then_some(mean));
                self.errors[part].push((m > 1.0).then(|| (square / (m * (m - 1.0))).sqrt()));
            }
        }
    }

    fn columns(self, titles: [&str; 2]) -> Vec<Column> {
        let mut columns = vec![Column::new("closure".into(), self.names), Column::new("shell".into(), self.shells)];
        for ((title, values), errors) in titles.into_iter().zip(self.values).zip(self.errors) {
            columns.push(Column::new(title.into(), values));
            columns.push(Column::new(format!("{title}{UNCERTAINTY}").into(), errors));
        }
        columns
    }
}
