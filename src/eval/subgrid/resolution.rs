//! Whether the full flow is resolved: the same flow on twice as many points per side, in half the time step.

use std::sync::atomic::{AtomicUsize, Ordering};

use polars::prelude::Column;

use crate::config::{Config, FlowConfig, some_steps};
use crate::error::Result;
use crate::eval::table::{Table, known};
use crate::flow::{Solver, in_precision, initial_vorticity};
use crate::pool::{Task, run_all};
use crate::rng::SeedTree;
use crate::spectral::{energy_spectrum, shell_spectrum, truncate};
use crate::stop;

/// Snapshots, equally spaced over the second half of a run: by then small scales have filled.
const SNAPSHOTS: usize = 20;

/// What is counted of the flow on one grid.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// Points per side.
    pub n: usize,
    /// Time step.
    pub dt: f64,
    /// Mean energy by shell ([`energy_spectrum`]).
    pub energy: Vec<f64>,
    /// Mean enstrophy by shell ([`shell_spectrum`]).
    pub enstrophy: Vec<f64>,
    /// ν⟨|∇ω|²⟩, the mean rate at which viscosity takes enstrophy: Σ_s 2ν(2πs/L)^2p Z(s) over shells.
    pub dissipation: f64,
}

/// The flow of a configuration and the same flow on twice as many points per side, both from one random field of the coarser grid over a time
/// `duration`; node `resolution` of the seed tree. Means are over the second half.
///
/// # Errors
/// Impossible values; a run that blows up.
pub fn resolution(config: &Config, duration: f64, progress: &mut dyn FnMut(&str)) -> Result<[Resolved; 2]> {
    let flow = &config.flow;
    let seeds = config.seeds().child("resolution");
    let start = initial_vorticity(flow, &seeds.child("initial"))?;
    let stride = some_steps("study.resolution", duration / (2 * SNAPSHOTS) as f64, flow.dt)?;
    // The longer run first.
    let finer = |factor: usize| FlowConfig { n: factor * flow.n, dt: flow.dt / factor as f64, ..flow.clone() };
    let run = |job: usize, done: &AtomicUsize| {
        let factor = 2 - job;
        let flow = finer(factor);
        let start = truncate(start.view(), flow.n)?;
        measure(&flow, &start, factor * stride, &seeds, done)
    };
    let steps = 3 * 2 * SNAPSHOTS * stride;
    let task = Task { what: "flow on two grids", unit: "runs", steps, threads: 0 };
    let mut made = [None, None];
    run_all(
        &task,
        &[0, 1],
        run,
        |job, resolved| {
            made[1 - job] = Some(resolved);
            Ok(())
        },
        progress,
    )?;
    let [Some(own), Some(finer)] = made else { unreachable!("both runs have ended") };
    Ok([own, finer])
}

fn measure(
    flow: &FlowConfig,
    start: &crate::spectral::Field,
    stride: usize,
    seeds: &SeedTree,
    done: &AtomicUsize,
) -> Result<Resolved> {
    let (mut energy, mut enstrophy) = (vec![0.0; flow.n / 2 + 1], vec![0.0; flow.n / 2 + 1]);
    let mut rng = seeds.child("noise").stream();
    in_precision!(flow, T => {
        let mut solver = Solver::<T>::with_scalar(flow)?;
        solver.set_vorticity(start.view())?;
        for snapshot in 1..=2 * SNAPSHOTS {
            for _ in 0..stride {
                stop::check()?;
                solver.step(Some(&mut rng))?;
                done.fetch_add(1, Ordering::Relaxed);
            }
            if snapshot > SNAPSHOTS {
                let w = solver.vorticity();
                for (sums, values) in
                    [(&mut energy, energy_spectrum(w.view(), flow.length)), (&mut enstrophy, shell_spectrum(w.view()))]
                {
                    sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value / SNAPSHOTS as f64);
                }
            }
        }
    });
    let dissipation = enstrophy.iter().enumerate().map(|(shell, enstrophy)| {
        let k2 = (std::f64::consts::TAU * shell as f64 / flow.length).powi(2);
        2.0 * flow.viscosity * k2.powi(flow.viscosity_order as i32) * enstrophy
    });
    Ok(Resolved { n: flow.n, dt: flow.dt, dissipation: dissipation.sum(), energy, enstrophy })
}

impl Resolved {
    /// The name of the table of sums.
    pub const NAME: &'static str = "resolution";
    /// The name of that of spectra.
    pub const SPECTRA: &'static str = "resolution-spectra";

    /// What the flow is called in tables and figures.
    pub fn label(&self) -> String {
        format!("{0}² points", self.n)
    }

    /// Tables of sums and of spectra, the configuration's own grid first.
    ///
    /// # Errors
    /// None in practice.
    pub fn tables(both: &[Self; 2], duration: f64) -> Result<[Table; 2]> {
        let column = |name: &str, of: &dyn Fn(&Self) -> f64| {
            Column::new(name.into(), both.iter().map(|one| known(of(one))).collect::<Vec<_>>())
        };
        let sum = |spectrum: &[f64]| spectrum.iter().sum::<f64>();
        let [own, finer] = both;
        let sums = Table::new(
            Self::NAME,
            format!(
                "The full flow on its grid and on one twice as fine in half the time step, from one field: energy, enstrophy, and what viscosity \
                 takes of it, means over the second half of {duration} time units; enstrophy distance, decades per shell between the two \
                 up to a third of the coarser grid's points."
            ),
            vec![
                Column::new("flow".into(), both.iter().map(Self::label).collect::<Vec<_>>()),
                column("time step", &|one| one.dt),
                column("energy", &|one| sum(&one.energy)),
                column("enstrophy", &|one| sum(&one.enstrophy)),
                column("dissipation", &|one| one.dissipation),
                Column::new("enstrophy distance".into(), [None, known(distance(own, finer))]),
            ],
        )?;
        let shells: Vec<(String, usize, f64, f64)> = both
            .iter()
            .flat_map(|one| (0..one.energy.len()).map(|s| (one.label(), s, one.energy[s], one.enstrophy[s])))
            .collect();
        let spectra = Table::new(
            Self::SPECTRA,
            "Energy and enstrophy by shell round(|n|) of the full flow on two grids, from one field.",
            vec![
                Column::new("flow".into(), shells.iter().map(|row| row.0.as_str()).collect::<Vec<_>>()),
                Column::new("shell".into(), shells.iter().map(|row| row.1 as i64).collect::<Vec<_>>()),
                Column::new("energy".into(), shells.iter().map(|row| known(row.2)).collect::<Vec<_>>()),
                Column::new("enstrophy".into(), shells.iter().map(|row| known(row.3)).collect::<Vec<_>>()),
            ],
        )?;
        Ok([sums, spectra])
    }
}

/// Mean |log₁₀ Z(s)/Z'(s)| over the shells that both grids hold after dealiasing.
fn distance(own: &Resolved, finer: &Resolved) -> f64 {
    let most = own.n / 3;
    (1..=most).map(|s| (own.enstrophy[s] / finer.enstrophy[s]).log10().abs()).sum::<f64>() / most as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Preset;

    fn of(viscosity: f64) -> [Resolved; 2] {
        let mut config = Config::preset(Preset::Turbulence);
        config.flow = FlowConfig { n: 32, dt: 4e-3, viscosity, ..config.flow };
        config.flow.initial.modes = Some(8);
        resolution(&config, 1.6, &mut |_| ()).unwrap()
    }

    #[test]
    fn a_resolved_flow_is_the_same_on_a_finer_grid_and_another_is_not() {
        // With viscosity enough for 32² both grids agree; with a twentieth of it enstrophy piles up at the coarser one's end.
        let [smooth, rough] = [2e-3, 1e-4].map(of);
        assert_eq!([smooth[0].n, smooth[1].n], [32, 64]);
        let ratio = |both: &[Resolved; 2]| both[0].dissipation / both[1].dissipation;
        assert!((ratio(&smooth) - 1.0).abs() < 0.01, "{}", ratio(&smooth));
        assert!(distance(&smooth[0], &smooth[1]) < 0.1 * distance(&rough[0], &rough[1]));
        let [sums, spectra] = Resolved::tables(&smooth, 1.6).unwrap();
        assert_eq!(sums.numbers("dissipation").unwrap().len(), 2);
        assert_eq!(spectra.numbers("enstrophy").unwrap().len(), 17 + 33);
    }
}
