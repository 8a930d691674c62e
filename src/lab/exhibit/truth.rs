//! The truth: the flow as it develops, its spectra and budget, the law of the missing term.

use ndarray::{Array3, ArrayView2, s};
use polars::prelude::Column;

use super::Made;
use crate::error::Result;
use crate::eval::{self, Table, names};
use crate::flow::{Solver, initial_vorticity};
use crate::lab::{Lab, wide};
use crate::plot::{self, FieldGrid, FieldGroup, Series};
use crate::spectral::{energy_spectrum, shell_spectrum};

/// Shares of the burn-in at which the developing flow is shown: the field of the start, its first folds, the turbulence.
const SHARES: [f64; 4] = [0.0, 0.05, 0.25, 1.0];
/// Snapshots in the panel of the data.
const SHOWN: usize = 4;
/// Spectra below this are round-off (1/time⁴).
const FLOOR: f64 = 1e-14;

pub(super) fn flow(lab: &Lab) -> Result<Made> {
    let (config, seeds) = (&lab.config.flow, lab.config.seeds().child("lab").child("flow"));
    let mut solver = Solver::new(config)?;
    solver.set_vorticity(initial_vorticity(config, &seeds.child("initial"))?.view())?;
    let mut rng = seeds.child("noise").stream();
    let (mut fields, mut columns) = (Vec::new(), Vec::new());
    for share in SHARES {
        let until = share * lab.config.data.burn_in;
        while solver.time() + 0.5 * config.dt < until {
            solver.step(Some(&mut rng))?;
        }
        fields.push(Some(solver.vorticity()));
        columns.push(format!("t = {}", names::time(solver.time())));
    }
    // Each field on its own scale would hide the decay; the first field's scale would hide the rest.
    let largest = fields[1..].iter().flatten().flat_map(|field| field.iter()).fold(0.0_f64, |m, x| m.max(x.abs()));
    let grid = FieldGrid {
        name: "flow".into(),
        columns,
        length: config.length,
        groups: vec![FieldGroup {
            label: "ω (1/time)".into(),
            limit: Some(plot::round_up(largest)),
            rows: vec![("vorticity".into(), fields)],
        }],
    };
    let caption = "Vorticity of one trajectory from its random initial field to the end of the burn-in.";
    Ok(Made::figure(plot::vorticity_panel(&grid)?, caption, []))
}

pub(super) fn fields(lab: &Lab) -> Result<Made> {
    let (set, artifact) = lab.dataset()?;
    let (pairs, times) = (set.test.load()?, set.test.times()?);
    let last = pairs.per_trajectory - 1;
    let chosen: Vec<usize> = (0..SHOWN).map(|k| k * last / (SHOWN - 1)).collect();
    let group = |label: &str, title: &str, fields: &Array3<f32>| FieldGroup {
        label: label.into(),
        limit: None,
        rows: vec![(title.into(), chosen.iter().map(|&k| Some(wide(fields.slice(s![k, .., ..])))).collect())],
    };
    let grid = FieldGrid {
        name: "fields".into(),
        columns: chosen.iter().map(|&k| format!("t = {}", names::time(times[k]))).collect(),
        length: lab.config.flow.length,
        groups: vec![group("ω (1/time)", "vorticity", &pairs.w), group("H (1/time²)", "missing term", &pairs.h)],
    };
    let caption = "Vorticity ω and missing term H along one test trajectory.";
    Ok(Made::figure(plot::vorticity_panel(&grid)?, caption, [artifact]))
}

pub(super) fn data_spectra(lab: &Lab) -> Result<Made> {
    let (set, artifact) = lab.dataset()?;
    let pairs = set.test.load()?;
    let (length, n) = (lab.config.flow.length, lab.config.data.n);
    let average = |spectrum: &dyn Fn(ArrayView2<f64>) -> Vec<f64>| {
        let mut sums = vec![0.0; n / 2 + 1];
        for field in pairs.w.outer_iter() {
            sums.iter_mut().zip(spectrum(wide(field).view())).for_each(|(sum, value)| *sum += value);
        }
        let count = pairs.w.dim().0 as f64;
        sums.iter().map(|sum| sum / count).collect::<Vec<f64>>()
    };
    let energy = average(&|field| energy_spectrum(field, length));
    let enstrophy = average(&|field| shell_spectrum(field));
    let curves = [("kinetic energy", &energy), ("enstrophy", &enstrophy)]
        .map(|(label, spectrum)| curve(label, spectrum, n, f64::NEG_INFINITY));
    let caption = "Energy (length²/time²) and enstrophy (1/time²) by shell, mean over the test set.";
    let table = by_shell("data-spectra", caption, &[("energy", &energy), ("enstrophy", &enstrophy)])?;
    Ok(Made::figure(plot::spectra("data-spectra", "per shell", curves.into())?, caption, [artifact]).beside(table))
}

/// Spectra side by side as a table.
fn by_shell(name: &str, caption: &str, spectra: &[(&str, &Vec<f64>)]) -> Result<Table> {
    let shells = spectra.iter().map(|(_, spectrum)| spectrum.len()).min().unwrap_or(0);
    let mut columns = vec![Column::new("shell".into(), (0..shells as i64).collect::<Vec<_>>())];
    columns.extend(spectra.iter().map(|(title, spectrum)| Column::new((*title).into(), &spectrum[..shells])));
    Table::new(name, caption, columns)
}

/// Shells 1 … of a spectrum up to the dealiasing mask, beyond which nothing moves, where it is above a floor.
fn curve(label: &str, spectrum: &[f64], n: usize, floor: f64) -> Series {
    let kept = spectrum.len().min(n / 3 + 1);
    let (x, y): (Vec<f64>, Vec<f64>) =
        (1..kept).filter(|&k| spectrum[k] > floor).map(|k| (k as f64, spectrum[k])).unzip();
    Series::new(label, x, y)
}

pub(super) fn budget(lab: &Lab) -> Result<Made> {
    let seeds = lab.config.seeds().child("lab").child("budget");
    Ok(Made::table(eval::enstrophy_budget(&lab.config, &seeds)?.table()?, []))
}

pub(super) fn missing_term(lab: &Lab) -> Result<Made> {
    let (set, artifact) = lab.dataset()?;
    let split = eval::missing_term(&lab.config.flow, &set.test.load()?)?;
    let n = lab.config.data.n;
    let curves = vec![
        curve("mean: −D[u·∇ω]", &split.mean, n, FLOOR),
        curve("rest: H − mean", &split.rest, n, FLOOR),
        // The noise reaches beyond the mask, so its law is shown whole.
        curve("exact law of the rest", &split.exact, 3 * n, FLOOR),
    ];
    let caption = "Spectrum of the missing term: conditional mean, what is left, and the exact law of the rest.";
    let figure = plot::spectra("missing-term", "½|H|² per shell  (1/time⁴)", curves)?;
    let spectra = [("mean of H", &split.mean), ("rest of H", &split.rest), ("exact", &split.exact)];
    Ok(Made::figure(figure, caption, [artifact]).beside(by_shell("missing-term", caption, &spectra)?))
}

pub(super) fn truth(lab: &Lab) -> Result<Made> {
    let (set, artifact) = lab.dataset()?;
    let split = eval::missing_term(&lab.config.flow, &set.test.load()?)?;
    Ok(Made::table(split.table(&set.stats)?, [artifact]))
}
