//! Ensembles from several start states: do they know their error?

use super::Made;
use super::rollouts::banded;
use crate::artifact::Artifact;
use crate::closure::NO_CLOSURE;
use crate::error::Result;
use crate::eval::metric::{STARTS_ERROR, STARTS_SPREAD_OVER_SKILL};
use crate::eval::{self, Calibration, CalibrationPoint};
use crate::lab::Lab;
use crate::plot::{Bars, Chart, Series};
use crate::rollout::{Ensemble, Reference};

/// The ensembles of every start state, one state after the other, and the results they come from.
pub(super) fn measured(lab: &Lab) -> Result<(Calibration, Vec<Artifact>)> {
    let mut parents = Vec::new();
    let states = lab.start_states()?.into_iter().map(|state| -> Result<(Reference, Vec<Ensemble>)> {
        let runs = state.loop_results()?;
        parents.extend(runs.parents);
        Ok((runs.reference, runs.ensembles))
    });
    let calibration = eval::calibration(states, &lab.config.seeds())?;
    Ok((calibration, parents))
}

pub(super) fn scores(lab: &Lab) -> Result<Made> {
    let (calibration, parents) = measured(lab)?;
    Ok(Made::table(calibration.summary()?, parents))
}

pub(super) fn coverage(lab: &Lab) -> Result<Made> {
    let (calibration, parents) = measured(lab)?;
    let table = calibration.coverage()?;
    let chart = Chart::new("calibration-coverage", "share that the interval should hold", "share of points in it");
    let diagonal = Series::new("right", vec![0.0, 1.0], vec![0.0, 1.0]);
    let seen = table.series("level", "coverage", "closure")?.into_iter().filter(|series| series.label != NO_CLOSURE);
    let chart = chart.with([diagonal]).with(seen);
    let caption = table.caption.clone();
    Ok(Made::figure(chart.draw()?, caption, parents).beside(table))
}

pub(super) fn ranks(lab: &Lab) -> Result<Made> {
    let (calibration, parents) = measured(lab)?;
    let random = calibration.histograms().into_iter().filter(|(closure, _)| *closure != NO_CLOSURE);
    let relative = |shares: &[f64]| shares.iter().map(|share| share * shares.len() as f64).collect();
    let bars = Bars {
        name: "calibration-ranks".into(),
        x_label: "rank of the truth among the members".into(),
        y_label: "share over a flat one".into(),
        level: Some(1.0),
        panels: random.map(|(closure, shares)| (closure.into(), relative(shares))).collect(),
    };
    let caption = format!(
        "Rank histogram of the ensembles from {} start states at the final time: flat if calibrated, U-shaped if the truth falls \
         outside.",
        calibration.states
    );
    Ok(Made::figure(bars.draw()?, caption, parents).beside(calibration.ranks()?))
}

pub(super) fn curves(lab: &Lab) -> Result<Made> {
    let (calibration, parents) = measured(lab)?;
    let mut series = Vec::new();
    for row in &calibration.rows {
        series.push(banded(&row.closure, row.points.iter().map(|point| (point.t, point.of(&STARTS_ERROR)))));
        let predicted =
            |point: &CalibrationPoint| point.of(&STARTS_ERROR).value * point.of(&STARTS_SPREAD_OVER_SKILL).value;
        let points = row.points.iter().map(|point| (point.t, predicted(point)));
        let (x, spread): (Vec<f64>, Vec<f64>) = points.filter(|(_, spread)| *spread > 0.0).unzip();
        if row.closure != NO_CLOSURE && !x.is_empty() {
            series.push(Series::new(format!("{}, spread", row.closure), x, spread));
        }
    }
    let caption = format!(
        "Error of the ensemble mean over time, root of the mean square over {} start states, with the jackknife's standard error as a \
         band; spread: the error that the spread predicts, √((M+1)/M) times it.",
        calibration.states
    );
    let chart = Chart::new("calibration-error", "time t", "error of the ensemble mean relative to rms ω").log_y();
    Ok(Made::figure(chart.with(series).draw()?, caption, parents).beside(calibration.curves()?))
}
