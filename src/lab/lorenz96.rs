//! The object that notebooks talk to about Lorenz-96: its truth, its closures, their climates and forecasts, and the figures.

use ndarray::{Array3, Array4, ArrayView2, ArrayView3, Axis, s};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Gallery, Lab, Source};
use crate::closure::{AnyClosure, Closure};
use crate::config::{Hold, Precision, RolloutConfig, hash};
use crate::error::{Error, Result};
use crate::eval::{Climate, Forecasts, Table, climate, forecast_table, forecasts, names};
use crate::lorenz96::{Lorenz96, OfSites, PolynomialAr1, SPIN_UP, Trajectory};
use crate::plot::{Chart, Figure, Series};
use crate::pool::{Task, run_all};
use crate::rng::SeedTree;
use crate::rollout::run_in;

/// How long and how often.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LorenzPlan {
    /// Root seed.
    pub seed: u64,
    /// Long runs of the truth, and of each closure.
    pub runs: usize,
    /// Time units of each, after a spin-up of [`SPIN_UP`].
    pub duration: f64,
    /// Steps between snapshots; also how far a learned law looks ahead.
    pub every: usize,
    /// Longest lag of the autocorrelation.
    pub longest_lag: f64,
    /// Forecasts.
    pub starts: usize,
    /// Members of each.
    pub members: usize,
    /// Time units of each.
    pub lead: f64,
    /// Time units of the trajectory that is learned from.
    pub learning: f64,
}

impl Default for LorenzPlan {
    /// 24 runs of 100 time units, 40 forecasts of 20 members over 4, 2000 time units to learn from: seconds on one core.
    fn default() -> Self {
        Self {
            seed: 7,
            runs: 24,
            duration: 100.0,
            every: 20,
            longest_lag: 4.0,
            starts: 40,
            members: 20,
            lead: 4.0,
            learning: 2000.0,
        }
    }
}

/// Lorenz-96 with a plan of what is computed, its truth, and a folder of figures.
#[derive(Debug, Clone)]
pub struct LorenzLab {
    system: Lorenz96,
    plan: LorenzPlan,
    gallery: Gallery,
    truth: Vec<Trajectory>,
}

impl LorenzLab {
    /// Simulates the truth of the default system and plan; figures go where those of [`Lab::from_env`] go.
    ///
    /// # Errors
    /// As [`Lab::from_env`].
    pub fn from_env() -> Result<Self> {
        Self::new(Lorenz96::default(), LorenzPlan::default(), Lab::from_env()?.gallery().clone())
    }

    /// Simulates the truth of a system.
    ///
    /// # Errors
    /// [`Error::Config`] for impossible values, by field.
    pub fn new(system: Lorenz96, plan: LorenzPlan, gallery: Gallery) -> Result<Self> {
        system.validate()?;
        let mut lab = Self { system, plan, gallery, truth: Vec::new() };
        let (snapshots, seeds) = (lab.snapshots("duration", lab.plan.duration)?, lab.seeds().child("truth"));
        let runs: Vec<usize> = (0..lab.plan.runs).collect();
        lab.truth = all("truth", &runs, |run| lab.system.simulate(&seeds.child(run), snapshots, lab.plan.every))?;
        Ok(lab)
    }

    /// The system.
    pub fn system(&self) -> &Lorenz96 {
        &self.system
    }

    /// The plan.
    pub fn plan(&self) -> &LorenzPlan {
        &self.plan
    }

    /// Long runs of the truth.
    pub fn truth(&self) -> &[Trajectory] {
        &self.truth
    }

    /// The trajectory that laws are learned from, none of [`LorenzLab::truth`].
    ///
    /// # Errors
    /// As [`LorenzLab::new`].
    pub fn data(&self) -> Result<Trajectory> {
        let snapshots = self.snapshots("learning", self.plan.learning)?;
        self.system.simulate(&self.seeds().child("data"), snapshots, self.plan.every)
    }

    /// The stochastic closure of the literature fitted to `data` ([`PolynomialAr1`]).
    ///
    /// # Errors
    /// As [`PolynomialAr1::fit`].
    pub fn fitted(&self, data: &Trajectory) -> Result<AnyClosure> {
        Ok(AnyClosure::new(OfSites::new(PolynomialAr1::fit(data)?, 1)))
    }

    /// A diffusion model of U trained on `data`, a closure that is drawn once for every snapshot of them and held in between, and
    /// the validation losses by optimiser step. Progress is printed.
    ///
    /// # Errors
    /// As [`crate::train::SiteTraining::run`].
    #[cfg(feature = "learn")]
    pub fn learn(&self, data: &Trajectory) -> Result<(AnyClosure, Vec<(usize, f64)>)> {
        use crate::progress::say;
        use crate::train::SiteTraining;
        let (pairs, seeds) = (data.pairs(), self.seeds().child("learn"));
        let trained = SiteTraining::run(&pairs, &SiteTraining::quick(), &seeds, &mut say)?;
        Ok((AnyClosure::new(OfSites::new(trained.law, pairs.every)), trained.losses))
    }

    /// Long runs of every closure, each from a state of its own, beside those of the truth.
    ///
    /// # Errors
    /// What a closure cannot do; two runs at least must stay in bounds.
    pub fn climate(&self, closures: &[AnyClosure]) -> Result<Climate> {
        let plan = &self.plan;
        let (spin_up, snapshots) = (self.snapshots("spin-up", SPIN_UP)?, self.snapshots("duration", plan.duration)?);
        let starts: Vec<usize> = (0..plan.runs).collect();
        let from = self.system.simulate(&self.seeds().child("starts"), plan.runs, spin_up * plan.every)?;
        let of_closure = |closure| {
            let members = self.ensembles(closure, &from, &starts, spin_up + snapshots, 1, "climate")?;
            let runs: Vec<_> = members.iter().map(|run| run.slice(s![spin_up.., 0, 0, ..])).collect();
            stacked(&runs)
        };
        let runs = closures.iter().map(of_closure).collect::<Result<Vec<_>>>()?;
        let truth: Vec<_> = self.truth.iter().map(|run| run.x.mapv(|x| x as f32)).collect();
        let truth = stacked(&truth.iter().map(|run| run.view()).collect::<Vec<_>>())?;
        let names: Vec<String> = closures.iter().map(Closure::name).collect();
        let all: Vec<(&str, ArrayView3<f32>)> = std::iter::once((names::TRUE_FLOW, truth.view()))
            .chain(names.iter().map(String::as_str).zip(runs.iter().map(|runs| runs.view())))
            .collect();
        climate(&all, plan.every as f64 * self.system.dt, plan.longest_lag)
    }

    /// Ensemble forecasts of every closure from states of a trajectory of the truth, whose switches each closure knows at the start.
    ///
    /// # Errors
    /// What a closure cannot do.
    pub fn forecasts(&self, closures: &[AnyClosure]) -> Result<Vec<Forecasts>> {
        let plan = &self.plan;
        let snapshots = self.snapshots("lead", plan.lead)?;
        let truth = self.system.simulate(&self.seeds().child("forecasts"), snapshots * plan.starts, plan.every)?;
        let leads: Vec<f64> = (0..=snapshots).map(|i| (i * plan.every) as f64 * self.system.dt).collect();
        let starts: Vec<usize> = (0..plan.starts).map(|start| start * snapshots).collect();
        let outcome = |start: usize| truth.x.slice(s![start..=start + snapshots, ..]).mapv(|x| x as f32);
        let of_closure = |closure: &AnyClosure| {
            let made = self.ensembles(closure, &truth, &starts, snapshots, plan.members, "forecast")?;
            let pairs: Vec<_> = made.iter().zip(&starts).map(|(made, &start)| (made.view(), outcome(start))).collect();
            forecasts(&closure.name(), leads.clone(), &pairs)
        };
        closures.iter().map(of_closure).collect()
    }

    /// Members (snapshot, member, 1, site) of a closure from each of the snapshots `starts` of a trajectory.
    fn ensembles(
        &self,
        closure: &AnyClosure,
        from: &Trajectory,
        starts: &[usize],
        snapshots: usize,
        members: usize,
        seeds: &str,
    ) -> Result<Vec<Array4<f32>>> {
        let rollout = RolloutConfig {
            dt: None,
            start: 0.0,
            duration: snapshots as f64 * self.plan.every as f64 * self.system.dt,
            snapshots,
            members,
            references: 1,
            redraw_interval: 1,
            hold: Hold::Held,
            closures: Vec::new(),
            precision: Precision::F32,
            init: None,
            start_state: 0,
        };
        let (model, seeds) = (self.system.reduced()?, self.seeds().child(seeds));
        let run = |start: usize| {
            let mut closure = closure.clone();
            closure.set_previous(from.previous(start).view());
            let seeds = seeds.child(start);
            Ok(run_in(&model, from.state(start).view(), &closure, &rollout, &seeds, 1)?.fields)
        };
        all(&closure.name(), starts, run)
    }

    /// Snapshots in a time.
    fn snapshots(&self, field: &str, time: f64) -> Result<usize> {
        let interval = self.plan.every as f64 * self.system.dt;
        crate::config::some_steps(&format!("lorenz96.plan.{field}"), time, interval)
    }

    fn seeds(&self) -> SeedTree {
        SeedTree::new(self.plan.seed).child("lorenz96")
    }

    /// X and U at one site of the truth over 20 time units, as `lorenz96-path`.
    ///
    /// # Errors
    /// I/O.
    pub fn path(&self) -> Result<Figure> {
        let steps = (20.0 / self.system.dt) as usize;
        let run = self.system.simulate(&self.seeds().child("path"), steps / 5, 5)?;
        let t: Vec<f64> = (0..run.x.nrows()).map(|i| (i * run.every) as f64 * self.system.dt).collect();
        let chart = Chart::new("lorenz96-path", "time t", "at one site")
            .with([
                Series::new("X", t.clone(), run.x.column(0).to_vec()),
                Series::new("U", t, run.u.column(0).to_vec()),
            ])
            .captioned("The resolved variable X of the truth and the missing term U = ±A that drives it, at one site.");
        self.keep_chart(&chart, "lab.path()")
    }

    /// The laws of X, as `lorenz96-climate`.
    ///
    /// # Errors
    /// I/O.
    pub fn densities(&self, climate: &Climate) -> Result<Figure> {
        let curves = climate.rows.iter().map(|row| Series::new(&row.closure, climate.x.clone(), row.density.clone()));
        let chart = Chart::new("lorenz96-climate", "X", "probability density")
            .with(curves)
            .captioned("Law of X in long runs with each closure beside the truth's.");
        self.keep_chart(&chart, "lab.densities(&climate)")
    }

    /// Autocorrelations of X, as `lorenz96-autocorrelation`.
    ///
    /// # Errors
    /// I/O.
    pub fn autocorrelations(&self, climate: &Climate) -> Result<Figure> {
        let curves = climate.rows.iter().map(|row| {
            let values = row.autocorrelation.iter().map(|at| at.value).collect();
            Series::new(&row.closure, climate.lags.clone(), values)
        });
        let chart = Chart::new("lorenz96-autocorrelation", "lag", "autocorrelation of X")
            .with(curves)
            .captioned("Autocorrelation of X at one site in long runs with each closure beside the truth's.");
        self.keep_chart(&chart, "lab.autocorrelations(&climate)")
    }

    /// The climates as a table, kept as `lorenz96-climate`.
    ///
    /// # Errors
    /// I/O.
    pub fn climate_table(&self, climate: &Climate) -> Result<Table> {
        self.keep_table(climate.table()?.named("lorenz96-climate"), "lab.climate_table(&climate)")
    }

    /// CRPS against lead time, as `lorenz96-crps`; the numbers are kept as table `lorenz96-forecasts`.
    ///
    /// # Errors
    /// I/O.
    pub fn crps(&self, all: &[Forecasts]) -> Result<Figure> {
        let table = self.keep_table(forecast_table(all)?.named("lorenz96-forecasts"), "lab.crps(&forecasts)")?;
        let chart = Chart::new("lorenz96-crps", "lead time", "CRPS of X")
            .with(table.series("lead", "CRPS of X", "closure")?)
            .captioned(
                "Forecasts of X with each closure from states of the truth: CRPS against lead time, less is better.",
            );
        self.keep_chart(&chart, "lab.crps(&forecasts)")
    }

    /// The spread of forecasts over the error of their mean against lead time, as `lorenz96-spread`.
    ///
    /// # Errors
    /// I/O.
    pub fn spread_skill(&self, all: &[Forecasts]) -> Result<Figure> {
        let curve = |of: &Forecasts| {
            let ratio = of.spread.iter().zip(&of.error).map(|(spread, error)| spread.value / error.value);
            // There is none at lead time 0.
            Series::new(&of.closure, of.leads[1..].to_vec(), ratio.skip(1).collect())
        };
        let chart = Chart::new("lorenz96-spread", "lead time", "spread / error of the mean")
            .with(all.iter().map(curve))
            .with_level(1.0, "calibrated")
            .captioned(
                "Spread of forecasts of X over the error of their mean, against lead time: below 1 an ensemble is surer than \
                 it should be.",
            );
        self.keep_chart(&chart, "lab.spread_skill(&forecasts)")
    }

    fn keep_chart(&self, chart: &Chart, call: &str) -> Result<Figure> {
        let figure = chart.draw()?;
        self.gallery.put_figure(&figure, &self.source(call, &figure.caption))?;
        Ok(figure)
    }

    fn keep_table(&self, table: Table, call: &str) -> Result<Table> {
        self.gallery.put_table(&table, &self.source(call, &table.caption))?;
        Ok(table)
    }

    fn source(&self, call: &str, caption: &str) -> Source {
        Source {
            call: call.into(),
            caption: caption.into(),
            config_hash: hash(&json!({ "lorenz96": self.system, "plan": self.plan })),
            seed: self.plan.seed,
            parents: Vec::new(),
        }
    }

    /// Prints the line that proves that a notebook ran to its end.
    pub fn done(&self) {
        crate::notebook::done();
    }
}

/// The results of independent jobs, on all cores, in the order of `jobs`.
fn all<T: Send>(what: &str, jobs: &[usize], run: impl Fn(usize) -> Result<T> + Sync) -> Result<Vec<T>> {
    let task = Task { what, unit: "runs", steps: jobs.len(), threads: 0 };
    let mut made = Vec::with_capacity(jobs.len());
    let keep = |job: usize, result: T| {
        made.push((job, result));
        Ok(())
    };
    run_all(&task, jobs, |job, _| run(job), keep, &mut |_| ())?;
    made.sort_by_key(|(job, _)| *job);
    Ok(made.into_iter().map(|(_, result)| result).collect())
}

/// Runs (time, site) side by side, (time, run, site).
fn stacked(runs: &[ArrayView2<f32>]) -> Result<Array3<f32>> {
    ndarray::stack(Axis(1), runs)
        .map_err(|error| Error::config("lorenz96.plan.runs", format!("{}; {error}", runs.len())))
}
