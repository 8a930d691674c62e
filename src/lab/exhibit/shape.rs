//! Amplitudes of the hidden forcing that draws decode to.

use polars::prelude::Column;

use super::Made;
use crate::closure::NO_CLOSURE;
use crate::config::HiddenConfig;
use crate::error::Result;
use crate::eval::metric::{
    BRIER, CELLS_CRPS, CELLS_KS, CELLS_W1, CRPS_OVER_EXACT, OfflineMetric, PAIRS, PROBABILITY, STD_OVER_EXACT,
    SURPRISE, THIRD, VALLEY_MASS,
};
use crate::eval::{self, Offline, Shapes, Table};
use crate::lab::Lab;
use crate::lab::scores::{OFFLINE, named};
use crate::plot::{Chart, Series};

const SCORES: [&OfflineMetric; 11] = [
    &STD_OVER_EXACT,
    &CRPS_OVER_EXACT,
    &CELLS_W1,
    &CELLS_KS,
    &CELLS_CRPS,
    &VALLEY_MASS,
    &PROBABILITY,
    &BRIER,
    &PAIRS,
    &SURPRISE,
    &THIRD,
];

/// Densities below are not shown: no draw is there.
const RARE: f64 = 1e-3;

/// Whether a curve is of something that draws: a deterministic closure has one state at each ω and no density.
fn is_drawn(series: &Series) -> bool {
    series.label != NO_CLOSURE && !series.label.ends_with("(mean)")
}

pub(super) fn scores(lab: &Lab) -> Result<Made> {
    let (tables, artifact) = lab.offline_tables()?;
    let table = named(tables, OFFLINE, &artifact)?;
    let rows = Offline::read(&table)?.rows;
    let mut columns = vec![
        Column::new("closure".into(), rows.iter().map(|row| row.closure.as_str()).collect::<Vec<_>>()),
        Column::new("ms/draw".into(), rows.iter().map(|row| row.ms_per_draw).collect::<Vec<_>>()),
    ];
    for metric in SCORES {
        let values: Vec<_> = rows.iter().map(|row| row.of(metric)).collect();
        if values.iter().any(|estimate| !estimate.value.is_nan()) {
            columns.extend(eval::estimates(metric.name, values.into_iter()));
        }
    }
    let caption =
        format!("Shape of the laws: amplitudes of the hidden forcing that draws decode to. {}", table.caption);
    Ok(Made::table(Table::new("shape", caption, columns)?, [artifact]))
}

pub(super) fn decoded(lab: &Lab) -> Result<Made> {
    let (tables, artifact) = lab.offline_tables()?;
    let table = named(tables, Shapes::DENSITY, &artifact)?;
    let axis = match lab.config.flow.hidden {
        Some(HiddenConfig::Ring(_)) => "decoded amplitude (1/time²)",
        _ => "decoded amplitude of a cell (0: off, 1: on)",
    };
    let seen = table.series("amplitude", "density", "closure")?.into_iter().filter(is_drawn).map(|mut series| {
        // A logarithmic axis leaves a gap where there is nothing.
        series.y.iter_mut().filter(|density| **density < RARE).for_each(|density| *density = 0.0);
        series
    });
    let chart = Chart::new("decoded", axis, "density").log_y().with(seen);
    let caption = table.caption.clone();
    Ok(Made::figure(chart.draw()?, caption, [artifact]).beside(table))
}

pub(super) fn reliability(lab: &Lab) -> Result<Made> {
    let (tables, artifact) = lab.offline_tables()?;
    let table = named(tables, Shapes::RELIABILITY, &artifact)?;
    let chart = Chart::new("reliability", "probability that the cell is on, given ω", "frequency in draws");
    let diagonal = Series::new("right", vec![0.0, 1.0], vec![0.0, 1.0]);
    let seen = table.series("probability", "frequency", "closure")?.into_iter().filter(is_drawn);
    let chart = chart.with([diagonal]).with(seen);
    let caption = table.caption.clone();
    Ok(Made::figure(chart.draw()?, caption, [artifact]).beside(table))
}
