//! Enstrophy budget of the true flow.

use ndarray::Array2;
use polars::prelude::Column;

use super::table::Table;
use crate::closure::ExactLaw;
use crate::config::{Config, FlowConfig};
use crate::error::Result;
use crate::flow::{QWiener, Solver, initial_vorticity};
use crate::rng::SeedTree;
use crate::spectral::{Field, Grid, rfft2};

/// Time over which the budget is taken, in simulated time units: a few turnovers.
const WINDOW: f64 = 4.0;
/// The row of the hidden forcing, where there is one.
const HIDDEN: &str = "hidden forcing";

/// Mean rates (1/time³) in dZ/dt = ⟨ωf⟩ − ν⟨|∇ω|²⟩ − 2rZ + ½κσ²Σq_n/L², Z = ½⟨ω²⟩, of a developed flow over a few turnovers.
#[derive(Debug, Clone, Copy)]
pub struct EnstrophyBudget {
    /// ⟨ωf⟩ of the steady forcing.
    pub forcing: f64,
    /// −ν⟨|∇ω|²⟩.
    pub viscosity: f64,
    /// −r⟨ω²⟩.
    pub friction: f64,
    /// ½κσ²Σq_n/L², the mean of what the noise gives.
    pub noise: f64,
    /// The same of the hidden forcing at the start of the window; 0 without.
    pub hidden: f64,
    /// Measured dZ/dt.
    pub change: f64,
}

/// The budget of the flow of a configuration, from its random initial field through the burn-in.
///
/// # Errors
/// A run that blows up.
pub fn enstrophy_budget(config: &Config, seeds: &SeedTree) -> Result<EnstrophyBudget> {
    let flow = &config.flow;
    let grid = Grid::new(flow.n, flow.length)?;
    let mut solver = Solver::new(flow)?;
    solver.set_vorticity(initial_vorticity(flow, &seeds.child("initial"))?.view())?;
    let mut rng = seeds.child("noise").stream();
    while solver.time() + 0.5 * flow.dt < config.data.burn_in {
        solver.step(Some(&mut rng))?;
    }
    let force = Array2::from_shape_fn((flow.n, flow.n), |(i, j)| {
        let at = |k: usize| k as f64 / flow.n as f64;
        flow.forcing * flow.forcing_pattern.at(at(i), at(j))
    });
    let mean = |a: &Field, b: &Field| (a * b).sum() / (flow.n * flow.n) as f64;
    let dissipation = |w: &Field| {
        let mut sum = 0.0;
        for ((i, j), value) in rfft2(w.view()).indexed_iter() {
            let weight = if j == 0 || j == flow.n / 2 { 1.0 } else { 2.0 };
            sum += weight * value.norm_sqr() * grid.k2(i, j).powi(flow.viscosity_order as i32);
        }
        flow.viscosity * sum / (flow.n as f64).powi(4)
    };
    let start = solver.vorticity();
    let hidden = injected(flow, &start)?;
    let steps = (WINDOW / flow.dt).round() as usize;
    let (mut forced, mut dissipated, mut drag) = (0.0, 0.0, 0.0);
    for _ in 0..steps {
        let w = solver.vorticity();
        forced += mean(&w, &force);
        dissipated += dissipation(&w);
        drag += flow.friction * mean(&w, &w);
        solver.step(Some(&mut rng))?;
    }
    let end = solver.vorticity();
    let per_step = 1.0 / steps as f64;
    Ok(EnstrophyBudget {
        forcing: forced * per_step,
        viscosity: -dissipated * per_step,
        friction: -drag * per_step,
        noise: 0.5 * QWiener::new(flow)?.std().powi(2) * flow.dt,
        hidden: hidden / 2.0,
        change: 0.5 * (mean(&end, &end) - mean(&start, &start)) / (steps as f64 * flow.dt),
    })
}

/// Variance of the hidden forcing at vorticity `w` times twice its correlation time: what a term that is held for the time Δ and then
/// remembers the share κ = e^{−Δ/τ} of itself adds to ⟨ω²⟩ per unit time, Δ(1 + κ)/(1 − κ) times its variance.
fn injected(flow: &FlowConfig, w: &Field) -> Result<f64> {
    let Some(hidden) = &flow.hidden else { return Ok(0.0) };
    let variance = ExactLaw::new(flow, flow.n)?.std_at(w.view())?.powi(2) - QWiener::new(flow)?.std().powi(2);
    let held = hidden.every() as f64 * flow.dt;
    let kept = hidden.kept(flow.dt);
    Ok(variance * held * (1.0 + kept) / (1.0 - kept))
}

impl EnstrophyBudget {
    /// As a table; the last row is what the terms leave unexplained (first-order time stepping, and the noise that happened
    /// instead of its mean).
    ///
    /// # Errors
    /// None in practice.
    pub fn table(&self) -> Result<Table> {
        let terms = [self.forcing, self.viscosity, self.friction, self.noise, self.hidden];
        let mut rows = vec![
            ("steady forcing ⟨ωf⟩", terms[0]),
            ("viscosity −ν⟨|∇ω|²⟩", terms[1]),
            ("friction −r⟨ω²⟩", terms[2]),
            ("noise ½κσ²Σq/L²", terms[3]),
            (HIDDEN, terms[4]),
            ("sum of the terms", terms.iter().sum()),
            ("measured dZ/dt", self.change),
            ("unexplained", self.change - terms.iter().sum::<f64>()),
        ];
        rows.retain(|(name, rate)| *name != HIDDEN || *rate != 0.0);
        let largest = terms.iter().fold(0.0_f64, |most, term| most.max(term.abs()));
        let share = |(_, rate): &(&str, f64)| 100.0 * rate / largest;
        Table::new(
            "budget",
            format!("Enstrophy budget over {WINDOW} time units of a developed flow (1/time³)."),
            vec![
                Column::new("term".into(), rows.iter().map(|row| row.0).collect::<Vec<_>>()),
                Column::new("mean rate".into(), rows.iter().map(|row| row.1).collect::<Vec<_>>()),
                Column::new("of the largest (%)".into(), rows.iter().map(share).collect::<Vec<_>>()),
            ],
        )
    }
}
