//! Pictures of closed loops: the flow over time, calibration, studies, and the ledger of published numbers.

use std::collections::BTreeMap;

use ndarray::s;

use super::Lab;
use super::pictures::{distinct, plot_time, wide};
use crate::artifact::Artifact;
use crate::closure::{AnyClosure, Closure, NO_CLOSURE};
use crate::config::{Hold, RolloutConfig, SHORT};
use crate::error::Result;
use crate::eval::{self, Ours, Table};
use crate::plot::{self, Chart, FieldGrid, FieldGroup, Figure, Scale, Series};
use crate::rollout::EnsembleRun;

/// Snapshots in the panel of a rollout.
const SHOWN: usize = 4;

impl Lab {
    /// Figure `rollout-CLOSURE`: the true flow and one member of a closure's rollout over time, and their difference.
    ///
    /// # Errors
    /// As [`Lab::rollout`].
    pub fn rollout_panel(&self, closure: &str) -> Result<Figure> {
        let reference_artifact = self.reference_artifact()?;
        let reference = self.load_reference(&reference_artifact)?;
        let artifact = self.rollout_artifact(closure)?;
        let ensemble = self.load_ensemble(&artifact)?;
        let last = reference.times.len() - 1;
        let chosen: Vec<usize> = (1..=SHOWN).map(|k| k * last / SHOWN).collect();
        let truth = |k: usize| wide(reference.fields.slice(s![k, 0, .., ..]));
        let member = |k: usize| {
            let field = wide(ensemble.fields.slice(s![k, 0, .., ..]));
            field.iter().all(|x| x.is_finite()).then_some(field)
        };
        let grid = FieldGrid {
            name: format!("rollout-{closure}"),
            columns: chosen.iter().map(|&k| format!("t = {}", plot_time(reference.times[k]))).collect(),
            length: self.config.flow.length,
            groups: vec![
                FieldGroup {
                    label: "ω (1/time)".into(),
                    limit: None,
                    rows: vec![
                        ("truth".into(), chosen.iter().map(|&k| Some(truth(k))).collect()),
                        (ensemble.closure.clone(), chosen.iter().map(|&k| member(k)).collect()),
                    ],
                },
                FieldGroup {
                    label: "error (1/time)".into(),
                    limit: None,
                    rows: vec![(
                        "difference".into(),
                        chosen.iter().map(|&k| member(k).map(|field| field - truth(k))).collect(),
                    )],
                },
            ],
        };
        let caption =
            format!("Vorticity over time: the true flow, one member with closure {closure}, their difference.");
        let source =
            self.source(&format!("lab.rollout_panel(\"{closure}\")"), &caption, &[&reference_artifact, &artifact]);
        self.keep(plot::vorticity_panel(&grid)?, &source)
    }

    /// Figure `spread`: ensemble spread over time, beside the error that it should predict.
    ///
    /// # Errors
    /// As [`Lab::rollout`].
    pub fn spread_curves(&self) -> Result<Figure> {
        let (scores, parents) = self.scores()?;
        let curves = &scores.curves;
        let (names, t) = (curves.texts("closure")?, curves.numbers("t")?);
        let spread = curves.numbers("spread")?;
        let mut series = Vec::new();
        for name in distinct(&names).into_iter().filter(|name| name != NO_CLOSURE) {
            let (x, y) =
                (0..names.len()).filter(|&r| names[r] == name && spread[r] > 0.0).map(|r| (t[r], spread[r])).unzip();
            series.push(Series::new(name, x, y));
        }
        let chart = Chart {
            name: "spread".into(),
            title: String::new(),
            x_label: "time t".into(),
            y_label: "ensemble spread relative to rms ω".into(),
            x_scale: Scale::Linear,
            y_scale: Scale::Log,
            levels: Vec::new(),
            series,
        };
        let caption = "Spread of each ensemble over time; that of the exact law is what noise alone makes.";
        let source = self.source("lab.spread_curves()", caption, &parents.iter().collect::<Vec<_>>());
        self.keep(chart.draw()?, &source)
    }

    /// Figure `ranks`: rank of the true vorticity among the members at the final time, as a share of points relative to a
    /// flat histogram; its numbers go into table `rank-histogram`.
    ///
    /// # Errors
    /// As [`Lab::rollout`].
    pub fn rank_histogram(&self) -> Result<Figure> {
        let (reference, ensembles, parents) = self.loop_results()?;
        let table = eval::rank_histogram(&reference, &ensembles, reference.times.len() - 1)?;
        let (names, rank, share) = (table.texts("closure")?, table.numbers("rank")?, table.numbers("share")?);
        let mut series = Vec::new();
        for name in distinct(&names).into_iter().filter(|name| name != NO_CLOSURE) {
            let rows: Vec<usize> = (0..names.len()).filter(|&row| names[row] == name).collect();
            let count = rows.len() as f64;
            series.push(Series::new(
                name,
                rows.iter().map(|&row| rank[row]).collect(),
                rows.iter().map(|&row| share[row] * count).collect(),
            ));
        }
        let chart = Chart {
            name: "ranks".into(),
            title: String::new(),
            x_label: "rank of the truth among the members".into(),
            y_label: "share of points relative to a flat histogram".into(),
            x_scale: Scale::Linear,
            y_scale: Scale::Linear,
            levels: vec![(1.0, "calibrated".into())],
            series,
        };
        let parents: Vec<&Artifact> = parents.iter().collect();
        let caption = "Rank histogram of the ensembles at the final time: flat if calibrated, U-shaped if the truth falls outside.";
        self.keep_table(table.clone(), &self.source("lab.rank_histogram()", &table.caption, &parents))?;
        self.keep(chart.draw()?, &self.source("lab.rank_histogram()", caption, &parents))
    }

    /// Table `compare`: closures of your own in the rollout of this configuration, beside no closure and the exact law. Draws
    /// of closures without a known conditional mean are held, whatever the configuration says of rescaling.
    ///
    /// # Errors
    /// As [`Lab::rollout`]; whatever the closures report.
    pub fn compare(&self, closures: &[AnyClosure]) -> Result<Table> {
        let config = &self.config;
        let baselines: Vec<String> = config.baselines().iter().map(ToString::to_string).collect();
        let baselines: Vec<&str> = baselines.iter().map(String::as_str).collect();
        let (reference, mut ensembles, parents) = self.loop_results_of(&baselines)?;
        let seeds = config.seeds().child("rollout");
        let mut scratch = reference.start.clone();
        for closure in closures {
            let (start, term) = (reference.start.view(), config.data.term);
            let known = closure.clone().mean(start, config.rollout.start, scratch.view_mut())?;
            let hold = if known { config.rollout.hold } else { Hold::Held };
            let rollout = RolloutConfig { hold, ..config.rollout.clone() };
            let run = EnsembleRun { term, flow: &config.flow, start, closure, rollout: &rollout, threads: 0 };
            ensembles.push(run.run(&seeds)?);
        }
        let mut table = eval::closed_loop(&reference, &ensembles, &config.seeds())?.summary;
        table.name = "compare".into();
        let source = self.source("lab.compare(…)", &table.caption, &parents.iter().collect::<Vec<_>>());
        self.keep_table(table, &source)
    }

    /// Table `ledger`: every published number with a counterpart here, beside ours.
    ///
    /// # Errors
    /// As [`Lab::rollout`].
    pub fn ledger(&self) -> Result<Table> {
        let (offline, mut parents) = self.offline_scores()?;
        let (reconstruction, artifact) = self.reconstruction_scores()?;
        parents.push(artifact);
        let (scores, rollouts) = self.scores()?;
        let mut artifacts = BTreeMap::new();
        let rolled_out = self.config.closures()?;
        for closure in self.config.scored()? {
            let shown = self.law(&closure)?.name();
            if let Some(model) = closure.model() {
                artifacts.insert(format!("offline/{shown}"), self.config.train_stage(model)?.folder());
            }
            if rolled_out.contains(&closure) {
                artifacts.insert(format!("rollout/{shown}"), self.config.rollout_stage(&closure)?.folder());
            }
        }
        let table = eval::ledger(&Ours {
            offline: offline.first(),
            reconstruction: Some(&reconstruction),
            curves: Some(&scores.curves),
            summary: Some(&scores.summary),
            preset: &self.config.preset,
            config_hash: &self.config.hash()[..SHORT],
            artifacts: &artifacts,
        })?;
        parents.extend(rollouts);
        let source = self.source("lab.ledger()", &table.caption, &parents.iter().collect::<Vec<_>>());
        self.keep_table(table, &source)
    }
}
