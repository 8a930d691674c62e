//! Closed loops: the flow over time, errors, spread, calibration, spectra.

use ndarray::s;

use super::files::stem;
use super::{Made, NONE};
use crate::closure::NO_CLOSURE;
use crate::error::Result;
use crate::eval::metric::{ERROR_OF_MEAN, SPREAD};
use crate::eval::{self, ClosedLoop, Estimate, RankHistogram, Spectra, Statistics, TRUE_FLOW, names};
use crate::lab::{Lab, wide};
use crate::plot::{self, Bars, Chart, FieldGrid, FieldGroup, Figure, Film, Series};
use crate::rollout::{Ensemble, Reference};
use crate::spectral::Field;

/// Snapshots in the panel of a rollout, closures in that of the final fields.
const SHOWN: usize = 4;
const TIME: &str = "time t";

pub(super) fn rollout(lab: &Lab, closure: &str) -> Result<Made> {
    let runs = lab.loop_results_of(&[closure])?;
    let (reference, ensemble) = (&runs.reference, &runs.ensembles[0]);
    let last = reference.times.len() - 1;
    let chosen: Vec<usize> = (1..=SHOWN).map(|k| k * last / SHOWN).collect();
    let truth = |k: usize| wide(reference.fields.slice(s![k, 0, .., ..]));
    let member = |k: usize| {
        let field = wide(ensemble.fields.slice(s![k, 0, .., ..]));
        field.iter().all(|x| x.is_finite()).then_some(field)
    };
    let difference = |&k: &usize| member(k).map(|field| field - truth(k));
    let grid = FieldGrid {
        name: stem("rollout", &[closure]),
        columns: chosen.iter().map(|&k| format!("t = {}", names::time(reference.times[k]))).collect(),
        length: lab.config.flow.length,
        groups: vec![
            FieldGroup {
                label: "ω (1/time)".into(),
                limit: None,
                rows: vec![
                    ("truth".into(), chosen.iter().map(|&k| Some(truth(k))).collect()),
                    (names::display(&ensemble.closure), chosen.iter().map(|&k| member(k)).collect()),
                ],
            },
            FieldGroup {
                label: "error (1/time)".into(),
                limit: None,
                rows: vec![("difference".into(), chosen.iter().map(difference).collect())],
            },
        ],
    };
    let caption = format!(
        "Vorticity over time: the true flow, one member with {}, their difference.",
        names::display(&ensemble.closure)
    );
    Ok(Made::figure(plot::vorticity_panel(&grid)?, caption, runs.parents))
}

pub(super) fn film(lab: &Lab, closure: &str) -> Result<Made> {
    animation(lab, &[closure], true)
}

pub(super) fn side_by_side(lab: &Lab, classical: &str, learned: &str) -> Result<Made> {
    animation(lab, &[classical, learned], false)
}

/// The truth, one member without closure and one with each of `closures`; if `wrong`, the error of the last one.
fn animation(lab: &Lab, closures: &[&str], wrong: bool) -> Result<Made> {
    let runs = lab.loop_results_of(&[&[NONE], closures].concat())?;
    let (reference, ensembles) = (&runs.reference, &runs.ensembles);
    let truth = |k: usize| wide(reference.fields.slice(s![k, 0, .., ..]));
    let member = |ensemble: &Ensemble, k: usize| {
        let field = wide(ensemble.fields.slice(s![k, 0, .., ..]));
        field.iter().all(|x| x.is_finite()).then_some(field)
    };
    let error = |k: usize| ensembles.last().and_then(|last| member(last, k)).map(|field| field - truth(k));
    let shots = 0..reference.times.len();
    let scale = |fields: &mut dyn Iterator<Item = Field>, what: &str| {
        let most = fields.flat_map(|field| field.into_iter()).fold(0.0_f64, |most, x| most.max(x.abs()));
        (if most > 0.0 { plot::round_up(most) } else { 1.0 }, what.to_string())
    };
    let names: Vec<String> = ensembles.iter().map(|ensemble| names::display(&ensemble.closure)).collect();
    let mut columns = vec!["truth".to_string()];
    columns.extend(names.iter().cloned());
    let mut scales = vec![scale(&mut shots.clone().map(truth), "ω (1/time)"); columns.len()];
    if wrong {
        columns.push("its error".into());
        scales.push(scale(&mut shots.clone().filter_map(error), "error (1/time)"));
    }
    let frame = |k: usize| {
        let flows = std::iter::once(Some(truth(k))).chain(ensembles.iter().map(|ensemble| member(ensemble, k)));
        let fields = flows.chain(wrong.then(|| error(k))).collect();
        (format!("t = {}", names::time(reference.times[k])), fields)
    };
    let film = Film { name: stem("film", closures), columns, scales, frames: shots.map(frame).collect() };
    let with = names[1..].join(", one with ");
    let error = if wrong { ", and its error" } else { "" };
    let caption = format!("The flow over time: the truth, one member without closure, one with {with}{error}.");
    Ok(Made::figure(film.draw()?, caption, runs.parents))
}

pub(super) fn closed_loop(lab: &Lab) -> Result<Made> {
    let (scores, parents) = lab.loop_scores()?;
    Ok(Made::table(scores.summary()?, parents))
}

pub(super) fn error_curves(lab: &Lab) -> Result<Made> {
    let (scores, parents) = lab.loop_scores()?;
    let caption = "Relative error of the ensemble-mean vorticity over time; bands: one bootstrap standard error.";
    Ok(Made::figure(errors(&scores)?, caption, parents).beside(scores.curves()?))
}

fn errors(scores: &ClosedLoop) -> Result<Figure> {
    let curves = scores.rollouts.iter().map(|rollout| {
        banded(&rollout.closure, rollout.points.iter().map(|point| (point.t, point.of(&ERROR_OF_MEAN))))
    });
    plot::error_curves("error", curves.collect())
}

/// A curve of estimates over time with their standard errors as a band, which ends at half the value. Zeros are left out: the start has no error,
/// and a logarithmic axis no place for one.
pub(super) fn banded(closure: &str, points: impl Iterator<Item = (f64, Estimate)>) -> Series {
    let (mut x, mut y, mut low, mut high) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (t, error) in points.filter(|(_, error)| error.value > 0.0) {
        let width = if error.error.is_finite() { error.error } else { 0.0 };
        x.push(t);
        y.push(error.value);
        low.push((error.value - width).max(0.5 * error.value));
        high.push(error.value + width);
    }
    Series::new(closure, x, y).with_band(low, high)
}

pub(super) fn spread_curves(lab: &Lab) -> Result<Made> {
    let (scores, parents) = lab.loop_scores()?;
    let caption = "Spread of each ensemble over time; that of the exact law is what noise alone makes.";
    Ok(Made::figure(spreads(&scores)?, caption, parents))
}

fn spreads(scores: &ClosedLoop) -> Result<Figure> {
    let random = scores.rollouts.iter().filter(|rollout| rollout.closure != NO_CLOSURE);
    let series = random.map(|rollout| {
        let points = rollout.points.iter().map(|point| (point.t, point.of(&SPREAD).value));
        let (x, y): (Vec<f64>, Vec<f64>) = points.filter(|(_, spread)| *spread > 0.0).unzip();
        Series::new(&rollout.closure, x, y)
    });
    Chart::new("spread", TIME, "ensemble spread relative to rms ω").log_y().with(series).draw()
}

pub(super) fn ranks(lab: &Lab) -> Result<Made> {
    let runs = lab.loop_results()?;
    let histogram = eval::rank_histogram(&runs.reference, &runs.ensembles, runs.reference.times.len() - 1)?;
    let caption =
        "Rank histogram of the ensembles at the final time: flat if calibrated, U-shaped if the truth falls outside.";
    Ok(Made::figure(rank_shares(&histogram)?, caption, runs.parents).beside(histogram.table()?))
}

fn rank_shares(histogram: &RankHistogram) -> Result<Figure> {
    let random = histogram.rows.iter().filter(|(closure, _)| closure != NO_CLOSURE);
    let relative = |shares: &[f64]| shares.iter().map(|share| share * shares.len() as f64).collect();
    let bars = Bars {
        name: "ranks".into(),
        x_label: "rank of the truth among the members".into(),
        y_label: "share over a flat one".into(),
        level: Some(1.0),
        panels: random.map(|(closure, shares)| (closure.clone(), relative(shares))).collect(),
    };
    bars.draw()
}

pub(super) fn vorticity(lab: &Lab) -> Result<Made> {
    let runs = lab.loop_results()?;
    let grid = final_fields("vorticity", lab.config.flow.length, &runs.reference, &runs.ensembles);
    let caption = "Vorticity at the end of the closed loop: the true flow, one member of each rollout, and their \
                   errors (the error without closure may exceed the scale).";
    Ok(Made::figure(plot::vorticity_panel(&grid)?, caption, runs.parents))
}

pub(super) fn closures(lab: &Lab, closures: &[&str]) -> Result<Made> {
    let runs = lab.loop_results_of(closures)?;
    let grid = final_fields("closures", lab.config.flow.length, &runs.reference, &runs.ensembles);
    let caption = "Vorticity at the end of a closed loop: the true flow, one member with each closure, and their \
                   errors (the error without closure may exceed the scale).";
    Ok(Made::figure(plot::vorticity_panel(&grid)?, caption, runs.parents))
}

/// The final fields of the truth and of up to [`SHOWN`] ensembles that survived, with their errors below.
fn final_fields(name: &str, length: f64, reference: &Reference, ensembles: &[Ensemble]) -> FieldGrid {
    let last = reference.times.len() - 1;
    let truth = wide(reference.fields.slice(s![last, 0, .., ..]));
    let shown: Vec<&Ensemble> = ensembles
        .iter()
        .filter(|ensemble| ensemble.fields.slice(s![last, 0, .., ..]).iter().all(|x| x.is_finite()))
        .take(SHOWN)
        .collect();
    let fields: Vec<Field> = shown.iter().map(|ensemble| wide(ensemble.fields.slice(s![last, 0, .., ..]))).collect();
    let columns =
        std::iter::once("truth".to_string()).chain(shown.iter().map(|e| names::display(&e.closure))).collect();
    let values = std::iter::once(Some(truth.clone())).chain(fields.iter().map(|f| Some(f.clone()))).collect();
    let errors: Vec<Option<Field>> =
        std::iter::once(None).chain(fields.iter().map(|field| Some(field - &truth))).collect();
    let largest = |field: &Field| field.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
    // One scale for all errors; that of no closure would hide the others, so it may saturate.
    let limit = shown
        .iter()
        .zip(&errors[1..])
        .filter(|(ensemble, _)| ensemble.closure != NO_CLOSURE)
        .filter_map(|(_, error)| error.as_ref().map(largest))
        .fold(0.0, f64::max);
    FieldGrid {
        name: name.into(),
        columns,
        length,
        groups: vec![
            FieldGroup {
                label: "ω (1/time)".into(),
                limit: None,
                rows: vec![(format!("t = {}", names::time(reference.times[last])), values)],
            },
            FieldGroup {
                label: "error (1/time)".into(),
                limit: (limit > 0.0).then(|| plot::round_up(limit)),
                rows: vec![("error".into(), errors)],
            },
        ],
    }
}

pub(super) fn spectra(lab: &Lab) -> Result<Made> {
    let runs = lab.loop_results()?;
    let last = runs.reference.times.len() - 1;
    let spectra = eval::spectra_at(last, &runs.reference, &runs.ensembles, lab.config.flow.length);
    let caption = "Kinetic energy spectrum at the end of the closed loop, mean over members.";
    Ok(Made::figure(energies(&spectra, lab.config.data.n)?, caption, runs.parents).beside(spectra.table()?))
}

fn energies(spectra: &Spectra, n: usize) -> Result<Figure> {
    let curves = spectra.rows.iter().map(|row| {
        // Beyond the dealiasing mask nothing moves: viscosity leaves round-off of the 32-bit snapshots.
        let kept = (row.energy.len() - 1).min(2 * n.div_ceil(3) / 2);
        let (x, y): (Vec<f64>, Vec<f64>) = (1..=kept).map(|k| (k as f64, row.energy[k].value)).unzip();
        Series::new(&row.flow, x, y)
    });
    plot::spectra("spectra", "energy per shell  (length²/time²)", curves.collect())
}

pub(super) fn statistics(lab: &Lab) -> Result<Made> {
    let runs = lab.loop_results()?;
    let statistics = eval::statistics(&runs.reference, &runs.ensembles, lab.config.flow.length);
    let caption = "Distance of energy spectra from the true flow's over time: mean |log₁₀ ratio| over the shells that hold energy.";
    let figure = distances(&statistics, runs.reference.times[0])?;
    Ok(Made::figure(figure, caption, runs.parents).beside(statistics.table()?))
}

/// At the `start` all flows are the same field.
fn distances(statistics: &Statistics, start: f64) -> Result<Figure> {
    let flows = statistics.rows.chunk_by(|a, b| a.flow == b.flow).filter(|rows| rows[0].flow != TRUE_FLOW);
    let series = flows.map(|rows| {
        let later = rows.iter().filter(|row| row.t > start);
        let points = later.filter_map(|row| Some((row.t, row.spectral_distance.filter(|distance| *distance > 0.0)?)));
        let (x, y): (Vec<f64>, Vec<f64>) = points.unzip();
        Series::new(&rows[0].flow, x, y)
    });
    Chart::new("statistics", TIME, "distance of energy spectra (decades)").log_y().with(series).draw()
}
