//! Variations of the closed loop, and closures of a reader's own.

use polars::prelude::Column;

use super::{Exhibit, Made, Need, calibration, regimes};
use crate::artifact::Artifact;
use crate::closure::{AnyClosure, Closure};
use crate::config::{Config, Hold, MissingTerm, RolloutConfig};
use crate::error::Result;
use crate::eval::metric::ERROR_OF_MEAN;
use crate::eval::{self, Findings, LongRun, Offline, Results, Study, names};
use crate::lab::Lab;
use crate::lab::scores::{OFFLINE, named};
use crate::lab::variations::{frontier_settings, frontier_variations, hold_settings, hold_variations};
use crate::plot::{Chart, Figure, Series};
use crate::rollout::EnsembleRun;

pub(super) fn compare(lab: &Lab, closures: &[AnyClosure]) -> Result<Made> {
    let config = &lab.config;
    let beside: Vec<String> = config.baselines().iter().map(ToString::to_string).collect();
    let mut runs = lab.loop_results_of(&beside.iter().map(String::as_str).collect::<Vec<_>>())?;
    let start = &runs.reference.start;
    let seeds = config.loop_seeds("rollout");
    let mut scratch = start.clone();
    for closure in closures {
        let known = closure.clone().mean(start.view(), config.rollout.start, scratch.view_mut())?;
        let hold = if known { config.rollout.hold } else { Hold::Held };
        let rollout = RolloutConfig { hold, ..config.rollout.clone() };
        let (term, start) = (config.data.term, start.view());
        let run = EnsembleRun { term, flow: &config.flow, start, closure, rollout: &rollout, threads: 0 };
        runs.ensembles.push(run.run(&seeds)?);
    }
    let mut table = eval::closed_loop(&runs.reference, &runs.ensembles, &config.seeds())?.summary()?;
    table.name = "compare".into();
    Ok(Made::table(table, runs.parents))
}

pub(super) fn hold_study(lab: &Lab, closure: &str) -> Result<Made> {
    let settings = hold_settings();
    let runs = lab.variations(&hold_variations(&lab.config, closure))?;
    let labels = vec![
        Column::new("hold".into(), settings.iter().map(|(_, hold)| hold.name()).collect::<Vec<_>>()),
        Column::new("every".into(), settings.iter().map(|&(every, _)| every as i64).collect::<Vec<_>>()),
    ];
    let study = eval::study("hold-study", &runs.reference, &runs.ensembles, &lab.config.seeds())?;
    let caption = format!("{} with different redraw intervals and hold policies", names::display(closure));
    Ok(Made::table(study.table("hold-study", &caption, labels)?, runs.parents))
}

pub(super) fn frontier(lab: &Lab) -> Result<Made> {
    let settings = frontier_settings(&lab.config);
    let runs = lab.variations(&frontier_variations(&lab.config)?)?;
    let integers = |name: &str, pick: &dyn Fn(usize) -> usize| {
        Column::new(name.into(), (0..settings.len()).map(|i| pick(i) as i64).collect::<Vec<_>>())
    };
    let labels = vec![
        Column::new("model".into(), settings.iter().map(|&(model, ..)| model).collect::<Vec<_>>()),
        integers("latent n", &|i| latent_n(&lab.config, settings[i].0)),
        integers("steps", &|i| settings[i].2),
        integers("every", &|i| settings[i].1),
    ];
    let study = eval::study("frontier", &runs.reference, &runs.ensembles, &lab.config.seeds())?;
    let caption = "Cost and accuracy of sampling steps, latent sizes and redraw intervals";
    let table = study.table("frontier", caption, labels)?;
    let steps: Vec<String> = lab.config.study.frontier.steps.iter().map(ToString::to_string).collect();
    let caption = format!(
        "Error of the ensemble mean at the final time against the cost of a step; along each line {} sampling steps.",
        steps.join(", ")
    );
    Ok(Made::figure(cost_and_error(&study, &settings)?, caption, runs.parents).beside(table))
}

/// One line for each model and redraw interval.
fn cost_and_error(study: &Study, settings: &[(&str, usize, usize)]) -> Result<Figure> {
    let mut rollouts = study.scores.rollouts.iter();
    let lines = settings.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)).map(|line| {
        let points = rollouts.by_ref().take(line.len());
        let error = |point: &eval::Point| point.of(&ERROR_OF_MEAN).value;
        let (x, y): (Vec<f64>, Vec<f64>) =
            points.map(|r| (r.ms_per_step, r.points.last().map_or(f64::NAN, error))).unzip();
        Series::new(format!("{}, every {}", line[0].0, line[0].1), x, y)
    });
    let x = "cost per solver step and member (ms, one thread)";
    Chart::new("frontier", x, "error of the ensemble mean").log_x().log_y().with(lines).draw()
}

/// Points per side of a model's latent fields.
fn latent_n(config: &Config, model: &str) -> usize {
    let grid = config.data.n;
    config.models.get(model).map_or(grid, |model| model.latent.n(grid))
}

pub(super) fn findings(lab: &Lab) -> Result<(Findings, Vec<Artifact>)> {
    let (scores, mut parents) = lab.loop_scores()?;
    let (offline, artifact) = lab.offline_tables()?;
    let offline = Offline::read(&named(offline, OFFLINE, &artifact)?)?;
    let (cost, timed) = lab.cost_scores()?;
    parents.extend([artifact, timed]);
    let long_run = match lab.config.data.term {
        MissingTerm::Subgrid { .. } => {
            let (tables, artifact) = lab.long_run_tables()?;
            let table = named(tables, LongRun::NAME, &artifact)?;
            parents.push(artifact);
            Some(table)
        }
        MissingTerm::Physics => None,
    };
    let calibration = Need::Starts.missing(&lab.config).is_none().then(|| calibration::measured(lab)).transpose()?;
    let known = Exhibit::Regimes.missing(&lab.config).is_none();
    let regimes = known.then(|| regimes::measured(lab)).transpose()?;
    let ((calibration, states), (regimes, others)) = (calibration.unzip(), regimes.unzip());
    // The first state's may be those of the closed loop.
    for more in states.into_iter().chain(others).flatten() {
        if !parents.contains(&more) {
            parents.push(more);
        }
    }
    let (preset, calibration, long_run) = (&lab.config.preset, calibration.as_ref(), long_run.as_ref());
    let (closed_loop, regimes, offline, cost) = (&scores, regimes.as_ref(), &offline, &cost);
    let results = Results { preset, closed_loop, calibration, regimes, offline, cost, long_run };
    Ok((eval::findings(&results)?, parents))
}
