//! Pictures of the truth: the flow as it develops, its spectra and budget, the law of the missing term.

use ndarray::{Array2, ArrayView2, s};
use polars::prelude::Column;

use super::Lab;
use super::pictures::{plot_time, wide};
use crate::config::FlowConfig;
use crate::data::Dataset;
use crate::error::Result;
use crate::eval::Table;
use crate::flow::{Advection, QWiener, Solver, initial_vorticity};
use crate::plot::{self, FieldGrid, FieldGroup, Figure, Series};
use crate::spectral::{Grid, energy_spectrum, rfft2, shell_spectrum};

/// Shares of the burn-in at which the developing flow is shown: the field of the start, its first folds, the turbulence.
const SHOWN: [f64; 4] = [0.0, 0.05, 0.25, 1.0];
/// Time over which the budget is taken, in simulated time units: a few turnovers.
const WINDOW: f64 = 4.0;
/// Draws of the exact law per test snapshot are not needed: the residual H − E\[H|ω\] of the data is the noise itself.
const CONDITIONS: usize = 200;

impl Lab {
    /// Figure `flow`: a trajectory of the full solver from its random initial field to the end of the burn-in.
    ///
    /// # Errors
    /// A run that blows up; I/O.
    pub fn flow_panel(&self) -> Result<Figure> {
        let (config, seeds) = (&self.config.flow, self.config.seeds().child("lab").child("flow"));
        let mut solver = Solver::new(config)?;
        solver.set_vorticity(initial_vorticity(config, &seeds.child("initial"))?.view())?;
        let mut rng = seeds.child("noise").stream();
        let (mut fields, mut columns) = (Vec::new(), Vec::new());
        for share in SHOWN {
            let until = share * self.config.data.burn_in;
            while solver.time() + 0.5 * config.dt < until {
                solver.step(Some(&mut rng))?;
            }
            fields.push(Some(solver.vorticity()));
            columns.push(format!("t = {}", plot_time(solver.time())));
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
        self.keep(plot::vorticity_panel(&grid)?, &self.source("lab.flow_panel()", caption, &[]))
    }

    /// Figure `data-spectra`: kinetic energy and enstrophy by shell, averaged over the test set.
    ///
    /// # Errors
    /// As [`Lab::data`].
    pub fn data_spectra(&self) -> Result<Figure> {
        let artifact = self.data_artifact()?;
        let pairs = Dataset::open(&artifact.folder)?.test.load()?;
        let length = self.config.flow.length;
        let average = |spectrum: &dyn Fn(ArrayView2<f64>) -> Vec<f64>| {
            let mut sum: Vec<f64> = Vec::new();
            for field in pairs.w.outer_iter() {
                add(&mut sum, &spectrum(wide(field).view()));
            }
            series(&sum, pairs.w.len_of(ndarray::Axis(0)) as f64, self.config.data.n)
        };
        let energy = average(&|field| energy_spectrum(field, length));
        let enstrophy = average(&|field| shell_spectrum(field));
        let curves =
            vec![Series::new("kinetic energy", energy.0, energy.1), Series::new("enstrophy", enstrophy.0, enstrophy.1)];
        let caption = "Energy (length²/time²) and enstrophy (1/time²) by shell, mean over the test set.";
        let source = self.source("lab.data_spectra()", caption, &[&artifact]);
        self.keep(plot::spectra("data-spectra", "per shell", curves)?, &source)
    }

    /// Figure `missing-term`: the spectrum of H split into its conditional mean −D\[u·∇ω\] and the rest, beside the exact law
    /// of the noise, σ²κq_n/(L²Δt) summed over shells.
    ///
    /// # Errors
    /// As [`Lab::data`].
    pub fn missing_term_spectra(&self) -> Result<Figure> {
        let artifact = self.data_artifact()?;
        let pairs = Dataset::open(&artifact.folder)?.test.load()?;
        let n = self.config.data.n;
        let count = pairs.w.len_of(ndarray::Axis(0));
        let mut advection = Advection::new(n, self.config.flow.length)?;
        let mut mean = Array2::zeros((n, n));
        let (mut of_mean, mut of_rest): (Vec<f64>, Vec<f64>) = (Vec::new(), Vec::new());
        let step = count.div_ceil(CONDITIONS);
        let chosen = (0..count).step_by(step);
        let used = chosen.len() as f64;
        for k in chosen {
            advection.eval(wide(pairs.w.slice(s![k, .., ..])).view(), mean.view_mut());
            add(&mut of_mean, &shell_spectrum(mean.view()));
            add(&mut of_rest, &shell_spectrum((wide(pairs.h.slice(s![k, .., ..])) - &mean).view()));
        }
        let law = QWiener::shell_spectrum(&FlowConfig { n: self.config.data.n, ..self.config.flow.clone() });
        let (x, y) = series(&of_mean, used, n);
        let (noise_x, noise_y) = series(&of_rest, used, n);
        let exact: Vec<(f64, f64)> =
            law.iter().enumerate().skip(1).filter(|(_, y)| **y > 1e-14).map(|(k, y)| (k as f64, *y)).collect();
        let floor = 1e-14;
        let cut = |x: Vec<f64>, y: Vec<f64>| -> (Vec<f64>, Vec<f64>) {
            x.into_iter().zip(y).filter(|(_, y)| *y > floor).unzip()
        };
        let ((x, y), (noise_x, noise_y)) = (cut(x, y), cut(noise_x, noise_y));
        let curves = vec![
            Series::new("mean: −D[u·∇ω]", x, y),
            Series::new("rest: H − mean", noise_x, noise_y),
            Series::new(
                "exact law of the noise",
                exact.iter().map(|p| p.0).collect(),
                exact.iter().map(|p| p.1).collect(),
            ),
        ];
        let caption = "Spectrum of the missing term: conditional mean, what is left, and the exact law of the noise.";
        let source = self.source("lab.missing_term_spectra()", caption, &[&artifact]);
        self.keep(plot::spectra("missing-term", "½|H|² per shell  (1/time⁴)", curves)?, &source)
    }

    /// Table `truth`: what the data are, against what theory and the published data say.
    ///
    /// # Errors
    /// As [`Lab::data`].
    pub fn truth_table(&self) -> Result<Table> {
        let artifact = self.data_artifact()?;
        let set = Dataset::open(&artifact.folder)?;
        let pairs = set.test.load()?;
        let n = self.config.data.n;
        let mut advection = Advection::new(n, self.config.flow.length)?;
        let mut mean = Array2::zeros((n, n));
        let (mut rest, mut rows) = (0.0, 0.0);
        let count = pairs.w.len_of(ndarray::Axis(0));
        for k in (0..count).step_by(count.div_ceil(CONDITIONS)) {
            advection.eval(wide(pairs.w.slice(s![k, .., ..])).view(), mean.view_mut());
            let field = wide(pairs.h.slice(s![k, .., ..])) - &mean;
            rest += field.iter().map(|x| x * x).sum::<f64>() / (n * n) as f64;
            rows += 1.0;
        }
        let law = QWiener::new(&self.config.flow)?.std();
        let quantities = [
            ("rms of ω", set.stats.w_rms, None, Some(1.006)),
            ("rms of H", set.stats.h_rms, None, Some(0.2486)),
            ("std of H given ω", (rest / rows).sqrt(), Some(law), Some(0.019947)),
        ];
        let table = Table::new(
            "truth",
            "The data set against theory (the law of the forcing at this time step) and the published data \
             (arXiv 2506.20771; derived from printed error pairs).",
            vec![
                Column::new("quantity".into(), quantities.iter().map(|q| q.0).collect::<Vec<_>>()),
                Column::new("here".into(), quantities.iter().map(|q| q.1).collect::<Vec<_>>()),
                Column::new("theory".into(), quantities.iter().map(|q| q.2).collect::<Vec<_>>()),
                Column::new("published".into(), quantities.iter().map(|q| q.3).collect::<Vec<_>>()),
            ],
        )?;
        let source = self.source("lab.truth_table()", &table.caption, &[&artifact]);
        self.keep_table(table, &source)
    }

    /// Table `budget`: enstrophy budget of a developed flow, dZ/dt = ⟨ωf⟩ − ν⟨|∇ω|²⟩ − 2rZ + ½κσ²Σq_n/L², Z = ½⟨ω²⟩, taken over
    /// a few turnovers; the last row is what the terms leave unexplained (first-order time stepping, and the noise that
    /// happened instead of its mean).
    ///
    /// # Errors
    /// A run that blows up; I/O.
    pub fn budget(&self) -> Result<Table> {
        let (config, seeds) = (&self.config.flow, self.config.seeds().child("lab").child("budget"));
        let grid = Grid::new(config.n, config.length)?;
        let mut solver = Solver::new(config)?;
        solver.set_vorticity(initial_vorticity(config, &seeds.child("initial"))?.view())?;
        let mut rng = seeds.child("noise").stream();
        while solver.time() + 0.5 * config.dt < self.config.data.burn_in {
            solver.step(Some(&mut rng))?;
        }
        let tau = 2.0 * std::f64::consts::PI;
        let force = Array2::from_shape_fn((config.n, config.n), |(i, j)| {
            let phase = tau * (i + j) as f64 / config.n as f64;
            config.forcing * (phase.sin() + phase.cos())
        });
        let mean = |a: &Array2<f64>, b: &Array2<f64>| (a * b).sum() / (config.n * config.n) as f64;
        let dissipation = |w: &Array2<f64>| {
            let mut sum = 0.0;
            for ((i, j), value) in rfft2(w.view()).indexed_iter() {
                let weight = if j == 0 || j == config.n / 2 { 1.0 } else { 2.0 };
                let k2 = grid.k2(i, j);
                sum += weight * value.norm_sqr() * k2.powi(config.viscosity_order as i32);
            }
            config.viscosity * sum / (config.n as f64).powi(4)
        };
        let start = solver.vorticity();
        let steps = (WINDOW / config.dt).round() as usize;
        let (mut forced, mut lost, mut rubbed) = (0.0, 0.0, 0.0);
        for _ in 0..steps {
            let w = solver.vorticity();
            forced += mean(&w, &force);
            lost += dissipation(&w);
            rubbed += config.friction * mean(&w, &w);
            solver.step(Some(&mut rng))?;
        }
        let end = solver.vorticity();
        let per = 1.0 / steps as f64;
        let change = 0.5 * (mean(&end, &end) - mean(&start, &start)) / (steps as f64 * config.dt);
        let noise = 0.5 * QWiener::new(config)?.std().powi(2) * config.dt;
        let terms = [forced * per, -lost * per, -rubbed * per, noise];
        let rows = [
            ("steady forcing ⟨ωf⟩", terms[0]),
            ("viscosity −ν⟨|∇ω|²⟩", terms[1]),
            ("friction −r⟨ω²⟩", terms[2]),
            ("noise ½κσ²Σq/L²", terms[3]),
            ("sum of the terms", terms.iter().sum()),
            ("measured dZ/dt", change),
            ("unexplained", change - terms.iter().sum::<f64>()),
        ];
        let largest = terms.iter().fold(0.0_f64, |most, term| most.max(term.abs()));
        let table = Table::new(
            "budget",
            format!("Enstrophy budget over {WINDOW} time units of a developed flow (1/time³)."),
            vec![
                Column::new("term".into(), rows.iter().map(|row| row.0).collect::<Vec<_>>()),
                Column::new("mean rate".into(), rows.iter().map(|row| row.1).collect::<Vec<_>>()),
                Column::new(
                    "of the largest (%)".into(),
                    rows.iter().map(|row| 100.0 * row.1 / largest).collect::<Vec<_>>(),
                ),
            ],
        )?;
        let source = self.source("lab.budget()", &table.caption, &[]);
        self.keep_table(table, &source)
    }
}

fn add(sum: &mut Vec<f64>, values: &[f64]) {
    sum.resize(values.len(), 0.0);
    sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
}

/// Shells 1 … of a sum of `count` spectra, up to the dealiasing mask: beyond it nothing moves.
fn series(sum: &[f64], count: f64, n: usize) -> (Vec<f64>, Vec<f64>) {
    let kept = sum.len().min(n / 3 + 1);
    ((1..kept).map(|k| k as f64).collect(), sum[1..kept].iter().map(|value| value / count).collect())
}
