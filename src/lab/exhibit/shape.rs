//! Amplitudes of the hidden forcing that draws decode to.

use polars::prelude::Column;

use super::Made;
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
    let chart = Chart::new("decoded", "decoded amplitude of a cell (0: off, 1: on)", "density").log_y();
    let chart = chart.with(table.series("amplitude", "density", "closure")?);
    let caption = table.caption.clone();
    Ok(Made::figure(chart.draw()?, caption, [artifact]).beside(table))
}

pub(super) fn reliability(lab: &Lab) -> Result<Made> {
    let (tables, artifact) = lab.offline_tables()?;
    let table = named(tables, Shapes::RELIABILITY, &artifact)?;
    let chart = Chart::new("reliability", "probability that the cell is on, given ω", "frequency in draws");
    let diagonal = Series::new("right", vec![0.0, 1.0], vec![0.0, 1.0]);
    let chart = chart.with([diagonal]).with(table.series("probability", "frequency", "closure")?);
    let caption = table.caption.clone();
    Ok(Made::figure(chart.draw()?, caption, [artifact]).beside(table))
}
