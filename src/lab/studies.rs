//! Studies: the closed loop under other settings, each a result of its own that is computed once.

use polars::prelude::Column;

use super::Lab;
use crate::artifact::Artifact;
use crate::config::{Config, Hold, Preset, RolloutConfig, Stage};
use crate::error::Result;
use crate::eval::{self, Table};
use crate::plot::{Chart, Figure, Scale, Series};
use crate::rollout::Ensemble;

/// Redraw intervals of the hold study: every step to every twentieth.
const EVERY: [usize; 3] = [1, 5, 20];
/// Closure of the hold study among all studies: what is seen is then the policy and nothing else.
const HELD: &str = "exact";
/// Policies of the hold study.
const HOLDS: [Hold; 5] = [Hold::Held, Hold::Rescaled, Hold::Redrawn, Hold::Ar1, Hold::Paper];

impl Lab {
    /// This lab with another configuration and the same folders.
    fn with(&self, config: Config) -> Result<Self> {
        config.validate()?;
        Ok(Self { config, ..self.clone() })
    }

    /// The long-horizon study: this lab with the closed loop of `study.horizon`. Its figures and tables are named `horizon-…`.
    ///
    /// # Errors
    /// Impossible values.
    pub fn horizon(&self) -> Result<Self> {
        let lab = self.with(self.config.horizon())?;
        Ok(Self { view: "horizon".into(), ..lab })
    }

    /// The spread study: this lab with the ensembles of `study.ensemble`. Its figures and tables are named `large-…`.
    ///
    /// # Errors
    /// Impossible values.
    pub fn large_ensemble(&self) -> Result<Self> {
        let lab = self.with(self.config.large_ensemble())?;
        Ok(Self { view: "large".into(), ..lab })
    }

    /// Large-eddy simulation: preset `les` in this lab's folders. Its figures and tables are named `les-…`.
    ///
    /// # Errors
    /// None but for what [`Lab::horizon`] can report.
    pub fn les(&self) -> Result<Self> {
        let lab = self.with(Config::preset(Preset::Les))?;
        Ok(Self { view: "les".into(), ..lab })
    }

    /// Ensembles of variations of this configuration, computed where missing, with the reference's artifact.
    fn variations(&self, variations: &[(Config, String)]) -> Result<(Artifact, Vec<Ensemble>, Vec<Artifact>)> {
        let reference = self.reference_artifact()?;
        let (mut ensembles, mut parents) = (Vec::new(), vec![reference.clone()]);
        for (config, closure) in variations {
            let artifact = self.with(config.clone())?.rollout_artifact(closure)?;
            ensembles.push(self.load_ensemble(&artifact)?);
            parents.push(artifact);
        }
        Ok((reference, ensembles, parents))
    }

    /// The closed loops of all studies, as stages; each once.
    pub(super) fn study_stages(&self) -> Result<Vec<Stage>> {
        let mut stages = Vec::new();
        let points = self.frontier_settings();
        let points = points.iter().map(|&(model, every, steps)| -> Result<(Config, String)> {
            Ok((self.config.frontier_point(model, steps, every)?, model.to_string()))
        });
        let holds = self.hold_variations(HELD, &eval::hold_settings(&EVERY, &HOLDS)).into_iter().map(Ok);
        for variation in holds.chain(points) {
            let (config, closure) = variation?;
            stages.push(config.rollout_stage(&closure)?);
        }
        for study in [self.config.horizon(), self.config.large_ensemble()] {
            stages.push(study.reference_stage());
            for closure in &study.rollout.closures {
                stages.push(study.rollout_stage(closure)?);
            }
        }
        let mut seen = std::collections::BTreeSet::new();
        stages.retain(|stage| seen.insert(stage.folder()));
        Ok(stages)
    }

    fn hold_variations(&self, closure: &str, settings: &[(usize, Hold)]) -> Vec<(Config, String)> {
        let variation = |&(every, hold): &(usize, Hold)| {
            let rollout = RolloutConfig { every, hold, ..self.config.rollout.clone() };
            (Config { rollout, ..self.config.clone() }, closure.to_string())
        };
        settings.iter().map(variation).collect()
    }

    /// Model, redraw interval and sampling steps of every point of the frontier.
    fn frontier_settings(&self) -> Vec<(&str, usize, usize)> {
        let study = &self.config.study.frontier;
        let mut settings = Vec::new();
        for model in &study.models {
            for &every in &study.every {
                settings.extend(study.steps.iter().map(|&steps| (model.as_str(), every, steps)));
            }
        }
        settings
    }

    /// All studies: hold policies of the exact law, frontier, long horizon, large ensembles; tables and figures go into the
    /// gallery.
    ///
    /// # Errors
    /// As [`Lab::rollout`].
    pub fn studies(&self) -> Result<()> {
        self.hold_study(HELD)?;
        self.frontier()?;
        let horizon = self.horizon()?;
        horizon.closed_loop()?;
        horizon.error_curves()?;
        horizon.spread_curves()?;
        horizon.statistics()?;
        let large = self.large_ensemble()?;
        large.closed_loop()?;
        large.spread_curves()?;
        large.rank_histogram().map(|_| ())
    }

    /// Table `hold-study` of one closure: error and cost against the redraw interval and the policy in between.
    ///
    /// # Errors
    /// As [`Lab::rollout`].
    pub fn hold_study(&self, closure: &str) -> Result<Table> {
        let settings = eval::hold_settings(&EVERY, &HOLDS);
        let variations = self.hold_variations(closure, &settings);
        let (reference, ensembles, parents) = self.variations(&variations)?;
        let labels = vec![
            Column::new("hold".into(), settings.iter().map(|(_, hold)| hold.name()).collect::<Vec<_>>()),
            Column::new("every".into(), settings.iter().map(|&(every, _)| every as i64).collect::<Vec<_>>()),
        ];
        let caption = format!("{closure} with different redraw intervals and hold policies");
        let reference = self.load_reference(&reference)?;
        let table = eval::study("hold-study", &caption, labels, &reference, &ensembles, &self.config.seeds())?;
        let source = self.source(&format!("lab.hold_study(\"{closure}\")"), &table.caption, &refs(&parents));
        self.keep_table(table, &source)
    }

    /// Figure `frontier`: error of the ensemble mean at the final time against the cost of a step, for every model, number of
    /// sampling steps and redraw interval of `study.frontier`; its numbers go into table `frontier`.
    ///
    /// # Errors
    /// As [`Lab::rollout`].
    pub fn frontier(&self) -> Result<Figure> {
        let settings = self.frontier_settings();
        let variations = settings
            .iter()
            .map(|&(model, every, steps)| Ok((self.config.frontier_point(model, steps, every)?, model.to_string())))
            .collect::<Result<Vec<_>>>()?;
        let (reference, ensembles, parents) = self.variations(&variations)?;
        let integers = |name: &str, pick: &dyn Fn(usize) -> usize| {
            Column::new(name.into(), (0..settings.len()).map(|i| pick(i) as i64).collect::<Vec<_>>())
        };
        let labels = vec![
            Column::new("model".into(), settings.iter().map(|&(model, ..)| model).collect::<Vec<_>>()),
            integers("latent n", &|i| latent_n(&self.config, settings[i].0)),
            integers("steps", &|i| settings[i].2),
            integers("every", &|i| settings[i].1),
        ];
        let reference = self.load_reference(&reference)?;
        let caption = "Cost and accuracy of sampling steps, latent sizes and redraw intervals";
        let table = eval::study("frontier", caption, labels, &reference, &ensembles, &self.config.seeds())?;
        let (cost, error) = (table.numbers("ms/step")?, table.numbers("error of mean")?);
        let series = settings.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)).scan(0, |from, chunk| {
            let rows = *from..*from + chunk.len();
            *from = rows.end;
            let label = format!("{}, every {}", chunk[0].0, chunk[0].1);
            Some(Series::new(label, cost[rows.clone()].to_vec(), error[rows].to_vec()))
        });
        let chart = Chart {
            name: "frontier".into(),
            title: String::new(),
            x_label: "cost per solver step and member (ms, one thread)".into(),
            y_label: "error of the ensemble mean".into(),
            x_scale: Scale::Log,
            y_scale: Scale::Log,
            levels: Vec::new(),
            series: series.collect(),
        };
        let source = self.source("lab.frontier()", &table.caption, &refs(&parents));
        self.keep_table(table.clone(), &source)?;
        let steps: Vec<String> = self.config.study.frontier.steps.iter().map(ToString::to_string).collect();
        let caption = format!(
            "Error of the ensemble mean at the final time against the cost of a step; along each line {} sampling steps.",
            steps.join(", ")
        );
        self.keep(chart.draw()?, &self.source("lab.frontier()", &caption, &refs(&parents)))
    }

    /// Figure `statistics`: distance of each ensemble's energy spectrum from the true flow's over time, in decades per shell,
    /// averaged over the energetic shells; its numbers go into table `statistics`, with the kinetic energy.
    ///
    /// # Errors
    /// As [`Lab::rollout`].
    pub fn statistics(&self) -> Result<Figure> {
        let (reference, ensembles, parents) = self.loop_results()?;
        let table = eval::statistics(&reference, &ensembles, self.config.flow.length)?;
        let (names, t) = (table.texts("closure")?, table.numbers("t")?);
        let distance = table.numbers("spectral distance")?;
        let series = super::pictures::distinct(&names)
            .into_iter()
            .filter(|name| name != eval::TRUE_FLOW)
            .map(|name| {
                // At the start all are the same field.
                let later = |row: usize| t[row] > reference.times[0] && distance[row] > 0.0;
                let rows = (0..names.len()).filter(|&row| names[row] == name && later(row));
                let (x, y) = rows.map(|row| (t[row], distance[row])).unzip();
                Series::new(name, x, y)
            })
            .collect();
        let chart = Chart {
            name: "statistics".into(),
            title: String::new(),
            x_label: "time t".into(),
            y_label: "distance of energy spectra (decades)".into(),
            x_scale: Scale::Linear,
            y_scale: Scale::Log,
            levels: Vec::new(),
            series,
        };
        self.keep_table(table.clone(), &self.source("lab.statistics()", &table.caption, &refs(&parents)))?;
        let caption = "Distance of energy spectra from the true flow's over time: mean |log₁₀ ratio| over the shells that hold energy.";
        self.keep(chart.draw()?, &self.source("lab.statistics()", caption, &refs(&parents)))
    }
}

/// Points per side of a model's latent fields.
fn latent_n(config: &Config, model: &str) -> usize {
    let grid = config.data.n;
    config.models.get(model).map_or(grid, |model| model.latent.n(grid))
}

fn refs(artifacts: &[Artifact]) -> Vec<&Artifact> {
    artifacts.iter().collect()
}
