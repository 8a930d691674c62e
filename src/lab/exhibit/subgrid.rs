//! Large-eddy models: their constants, their terms beside the stored one, and what long runs make of the flow.

use ndarray::s;

use super::{Made, NONE};
use crate::artifact::Artifact;
use crate::closure::AnyClosure;
use crate::config::Stage;
use crate::error::{Error, Result};
use crate::eval::{self, APriori, Histogram, Resolved, RunStatistics, TRUE_FLOW, Table, Tuning, rates};
use crate::lab::scores::named;
use crate::lab::{Lab, wide};
use crate::plot::{self, Chart, Series};
use crate::progress::say;
use crate::spectral::Grid;

/// How far densities of values are shown, in standard deviations.
const SHOWN: f64 = 6.0;

impl Lab {
    /// The constants of subgrid models that fit the validation set best.
    pub(crate) fn tuning(&self) -> Result<(Tuning, Artifact)> {
        let (set, data) = self.dataset()?;
        Ok((eval::tune(&self.config, &set.validation.load()?)?, data))
    }

    /// Subgrid closures before they run.
    pub(in crate::lab) fn a_priori_tables(&self) -> Result<(Vec<Table>, Artifact)> {
        self.measured(&self.config.a_priori_stage()?, || {
            let (test, closures, parents) = self.on_test_set()?;
            Ok((eval::a_priori(&self.config, &test, &closures, &self.config.seeds())?.tables()?, parents))
        })
    }

    /// Long runs of the closures of the closed loop.
    pub(in crate::lab) fn long_run_tables(&self) -> Result<(Vec<Table>, Artifact)> {
        let stage: Stage = self.config.long_run_stage()?;
        self.measured(&stage, || {
            let config = &self.config;
            let (set, data) = self.dataset()?;
            let (test, mut parents) = (set.test.load()?, vec![data]);
            let mut runs = Vec::new();
            for closure in config.closures()? {
                parents.extend(self.trained_for(&closure)?);
                let law: AnyClosure = self.law(&closure)?;
                say(&format!("long runs of {closure} from {} states", test.trajectories));
                runs.push((closure.to_string(), eval::run_from(config, &test, &law, &config.seeds())?));
            }
            let truth = eval::statistics_of_test_set(config, &test)?;
            let most = Grid::new(config.data.n, config.flow.length)?.resolved(config.data.term.resolved());
            let true_seconds = rates::solver_step(&config.flow)? / config.flow.dt;
            let table = eval::long_run(&truth, &runs, most, NONE, true_seconds).table()?;
            let [spectra, values] = RunStatistics::tables(&truth, &runs)?;
            Ok((vec![table, spectra, values], parents))
        })
    }
}

pub(super) fn resolution(lab: &Lab) -> Result<Made> {
    let (Some(stage), Some(duration)) = (lab.config.resolution_stage(), lab.config.study.resolution) else {
        return Err(Error::config("study.resolution", "not given"));
    };
    let (tables, artifact) = lab.measured(&stage, || {
        let both = eval::resolution(&lab.config, duration, &mut say)?;
        Ok((Resolved::tables(&both, duration)?.into(), Vec::new()))
    })?;
    let spectra = named(tables.clone(), Resolved::SPECTRA, &artifact)?;
    let curves = enstrophy_by_shell(&spectra, "flow")?;
    let figure = plot::spectra("resolution", "enstrophy per shell  (1/time²)", curves)?;
    let caption = "Enstrophy by shell of the full flow on its grid and on one twice as fine, from one field.";
    Ok(Made::figure(figure, caption, [artifact.clone()]).beside(named(tables, Resolved::NAME, &artifact)?))
}

/// Curves of the column `enstrophy` against `shell`, one for each name in `of`, over the shells that hold some: what is left in masked ones is
/// round-off.
fn enstrophy_by_shell(table: &Table, of: &str) -> Result<Vec<Series>> {
    const ROUND_OFF: f64 = 1e-14;
    let held = |series: Series| {
        let least = ROUND_OFF * series.y.iter().copied().fold(0.0, f64::max);
        let points = series.x.iter().copied().zip(series.y.iter().copied());
        let (x, y): (Vec<f64>, Vec<f64>) = points.filter(|(x, y)| *x > 0.0 && *y > least).unzip();
        Series::new(series.label, x, y)
    };
    let curves = table.series("shell", "enstrophy", of)?.into_iter().map(held);
    Ok(curves.filter(|series| !series.x.is_empty()).collect())
}

pub(super) fn constants(lab: &Lab) -> Result<Made> {
    let (tuning, data) = lab.tuning()?;
    Ok(Made::table(tuning.table()?, [data]))
}

pub(super) fn a_priori(lab: &Lab) -> Result<Made> {
    let (tables, artifact) = lab.a_priori_tables()?;
    Ok(Made::table(named(tables, APriori::NAME, &artifact)?, [artifact]))
}

pub(super) fn subgrid_transfers(lab: &Lab) -> Result<Made> {
    let (tables, artifact) = lab.a_priori_tables()?;
    let table = named(tables, APriori::TRANSFERS, &artifact)?;
    let chart =
        Chart::new("subgrid-transfers", "wavenumber |n|  (k = 2πn/L)", "enstrophy given to the shell  (1/time³)");
    let figure =
        chart.with(table.series("shell", "enstrophy transfer", "closure")?).with_level(0.0, "nothing").draw()?;
    let caption = "Enstrophy that the mean subgrid term gives to the resolved flow by shell, over test conditions: negative where it drains.";
    Ok(Made::figure(figure, caption, [artifact]).beside(table))
}

pub(super) fn subgrid_values(lab: &Lab) -> Result<Made> {
    let (tables, artifact) = lab.a_priori_tables()?;
    let table = named(tables, APriori::VALUES, &artifact)?;
    let figure = densities("subgrid-values", "H over the standard deviation of the stored one", &table, "H/std")?;
    let caption = "Probability density of the values of the subgrid term on test conditions.";
    Ok(Made::figure(figure, caption, [artifact]).beside(table))
}

/// Densities of values, without the outermost bins.
fn densities(name: &str, x: &str, table: &Table, values: &str) -> Result<plot::Figure> {
    let shown = |series: Series| {
        let points = series.x.iter().copied().zip(series.y.iter().copied());
        let (x, y): (Vec<f64>, Vec<f64>) =
            points.filter(|(x, y)| x.abs() <= SHOWN + Histogram::WIDTH && *y > 0.0).unzip();
        Series::new(series.label, x, y)
    };
    let series =
        table.series(values, "density", "closure")?.into_iter().map(shown).filter(|series| !series.x.is_empty());
    Chart::new(name, x, "probability density").log_y().with(series).draw()
}

pub(super) fn long_run(lab: &Lab) -> Result<Made> {
    let (tables, artifact) = lab.long_run_tables()?;
    Ok(Made::table(named(tables, eval::LongRun::NAME, &artifact)?, [artifact]))
}

pub(super) fn long_run_spectra(lab: &Lab) -> Result<Made> {
    let (tables, artifact) = lab.long_run_tables()?;
    let table = named(tables, RunStatistics::SPECTRA, &artifact)?;
    let curves = enstrophy_by_shell(&table, "closure")?;
    let truth = curves.iter().find(|curve| curve.label == TRUE_FLOW).map(|curve| (curve.x.clone(), curve.y.clone()));
    let (shells, enstrophy) = truth.unwrap_or_default();
    // Curves within a tenth of each other over three decades: only over the true one can they be told apart.
    let over = |curve: &Series| {
        let at = |x: f64| shells.iter().position(|shell| *shell == x).map(|k| enstrophy[k]);
        let points = curve.x.iter().zip(&curve.y).filter_map(|(x, y)| Some((*x, y / at(*x)?)));
        let (x, y): (Vec<f64>, Vec<f64>) = points.unzip();
        Series::new(curve.label.clone(), x, y)
    };
    let figure = plot::spectra(
        "long-run-spectra",
        "enstrophy per shell over the true flow's",
        curves.iter().map(over).collect(),
    )?;
    let caption = "Enstrophy by shell in long runs from the start states of the test set, over that of the true flow.";
    Ok(Made::figure(figure, caption, [artifact]).beside(table))
}

pub(super) fn long_run_values(lab: &Lab) -> Result<Made> {
    let (tables, artifact) = lab.long_run_tables()?;
    let table = named(tables, RunStatistics::VALUES, &artifact)?;
    let figure = densities("long-run-values", "ω over the true flow's standard deviation", &table, "ω/std")?;
    let caption = "Probability density of the vorticity in long runs from the start states of the test set, beside the true flow.";
    Ok(Made::figure(figure, caption, [artifact]).beside(table))
}

pub(super) fn growth(lab: &Lab) -> Result<Made> {
    let runs = lab.loop_results()?;
    let growth = eval::growth(&runs.reference, &runs.ensembles);
    // The finest shell that holds a hundredth of the enstrophy of all tells of small scales what can be told.
    let truth = wide(runs.reference.fields.slice(s![0, 0, .., ..]));
    let enstrophy = crate::spectral::shell_spectrum(truth.view());
    let floor = 0.01 * enstrophy.iter().sum::<f64>();
    let fine = enstrophy.iter().rposition(|enstrophy| *enstrophy > floor).unwrap_or(1);
    let curves = growth.rows.chunk_by(|a, b| a.closure == b.closure).map(|rows| {
        let shown = rows.iter().filter(|row| row.shell == fine && row.error > 0.0);
        let (x, y): (Vec<f64>, Vec<f64>) = shown.map(|row| (row.t, row.error)).unzip();
        Series::new(&rows[0].closure, x, y)
    });
    let curves: Vec<Series> = curves.filter(|series| !series.x.is_empty()).collect();
    let chart = Chart::new("growth", "time t", "distance from the true flow, 1: nothing is known").log_y();
    let caption = format!(
        "Enstrophy of the distance from the true flow in shell {fine} over twice the true one, mean over members; the table has all shells, and \
         the variance of the members."
    );
    Ok(Made::figure(chart.with(curves).draw()?, caption, runs.parents).beside(growth.table()?))
}
