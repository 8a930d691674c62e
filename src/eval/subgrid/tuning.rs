//! Constants of the classical subgrid models, from validation pairs.

use ndarray::{Array2, Axis};
use polars::prelude::Column;

use crate::closure::{Closure, Subgrid};
use crate::config::{Config, SubgridModel};
use crate::data::Pairs;
use crate::error::Result;
use crate::eval::sampling::{check_pairs, evenly_spaced};
use crate::eval::shells::transfers;
use crate::eval::table::Table;
use crate::stop;

/// Most pairs that constants are found from.
const PAIRS: usize = 200;

/// A model with the constants that fit the stored term best.
#[derive(Debug, Clone)]
pub struct Tuned {
    /// The model.
    pub model: SubgridModel,
    /// Its constants in the configuration.
    pub before: Vec<f64>,
    /// Those that fit.
    pub constants: Vec<f64>,
    /// What is left of the transfers by shell with those, relative to the stored term's: root mean square of enstrophy and energy.
    pub misfit: f64,
    /// Enstrophy and energy that it then gives to the resolved flow over what the stored term gives.
    pub given: [f64; 2],
}

/// Constants of all models that have some.
#[derive(Debug, Clone)]
pub struct Tuning {
    /// Model by model.
    pub rows: Vec<Tuned>,
    /// Pairs that they were found from.
    pub pairs: usize,
}

/// How the terms of a model depend on its constants: H = Σ_l a_l H_l.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Amplitude {
    /// a = C^p.
    Power(i32),
    /// a = C^p and C^p C_B.
    Backscatter(i32),
}

fn amplitude(model: SubgridModel) -> Option<Amplitude> {
    match model {
        SubgridModel::Smagorinsky | SubgridModel::SmagorinskyMean => Some(Amplitude::Power(2)),
        SubgridModel::Leith | SubgridModel::LeithMean => Some(Amplitude::Power(3)),
        SubgridModel::Hyperviscosity => Some(Amplitude::Power(1)),
        SubgridModel::Jhs => Some(Amplitude::Backscatter(4)),
        SubgridModel::Jhl => Some(Amplitude::Backscatter(5)),
        SubgridModel::DynamicSmagorinsky
        | SubgridModel::Dsmag
        | SubgridModel::DsmagClipped
        | SubgridModel::Dleith
        | SubgridModel::DleithClipped
        | SubgridModel::Gm2
        | SubgridModel::Gm4
        | SubgridModel::Deconvolution => None,
    }
}

/// Transfers of enstrophy and energy by shell ([`transfers`]), averaged over pairs.
type Rates = [Vec<f64>; 2];

/// The constants of every model that has some, for which its mean transfers of enstrophy and energy by shell are closest to those of the
/// stored terms of `pairs`:
///
/// ```text
/// Σ_q Σ_s [T_q(s) − Σ_l a_l T_ql(s)]² / Σ_s T_q(s)²  →  least,    a_l ≥ 0,    q: enstrophy, energy
/// ```
///
/// All models are linear in powers of their constants, so that this is a linear problem and has one solution. `pairs` should be those of
/// validation: what is tested on must not be tuned on.
///
/// # Errors
/// Pairs that do not fit each other.
pub fn tune(config: &Config, pairs: &Pairs) -> Result<Tuning> {
    let n = check_pairs(pairs)?;
    let chosen = evenly_spaced(PAIRS, pairs.w.dim().0);
    let length = config.flow.length;
    let stored = mean_rates(&chosen, n, |k, rates| {
        let (w, h) = pair(pairs, k);
        add(rates, transfers(w.view(), h.view(), length));
        Ok(())
    })?;
    let mut rows = Vec::new();
    for model in SubgridModel::ALL {
        let Some(amplitude) = amplitude(model) else { continue };
        let of = |constants: &[f64]| -> Result<Rates> {
            let mut closure = Subgrid::with_constants(model, constants, config)?;
            let mut h = Array2::zeros((n, n));
            mean_rates(&chosen, n, |k, rates| {
                stop::check()?;
                let (w, _) = pair(pairs, k);
                closure.mean(w.view(), 0.0, h.view_mut())?;
                add(rates, transfers(w.view(), h.view(), length));
                Ok(())
            })
        };
        let terms = match amplitude {
            Amplitude::Power(_) => vec![of(&[1.0])?],
            Amplitude::Backscatter(_) => {
                let (plain, whole) = (of(&[1.0, 0.0])?, of(&[1.0, 1.0])?);
                let back = [0, 1].map(|q| whole[q].iter().zip(&plain[q]).map(|(whole, plain)| whole - plain).collect());
                vec![plain, back]
            }
        };
        let fit = least(&stored, &terms);
        let (left, given) = rest(&stored, &terms, &fit);
        let constants = match amplitude {
            Amplitude::Power(p) => vec![fit[0].powf(1.0 / f64::from(p))],
            Amplitude::Backscatter(p) => {
                let share = if fit[0] > 0.0 { fit[1] / fit[0] } else { 0.0 };
                vec![fit[0].powf(1.0 / f64::from(p)), share]
            }
        };
        let before = config.subgrid.of(model).to_vec();
        rows.push(Tuned { model, before, constants, misfit: (0.5 * left).sqrt(), given });
    }
    Ok(Tuning { rows, pairs: chosen.len() })
}

fn pair(pairs: &Pairs, k: usize) -> (Array2<f64>, Array2<f64>) {
    let field = |all: &ndarray::Array3<f32>| all.index_axis(Axis(0), k).mapv(f64::from);
    (field(&pairs.w), field(&pairs.h))
}

fn add(sums: &mut Rates, values: Rates) {
    for (sums, values) in sums.iter_mut().zip(values) {
        sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
    }
}

fn mean_rates(chosen: &[usize], n: usize, mut each: impl FnMut(usize, &mut Rates) -> Result<()>) -> Result<Rates> {
    let mut sums = [vec![0.0; n / 2 + 1], vec![0.0; n / 2 + 1]];
    chosen.iter().try_for_each(|&k| each(k, &mut sums))?;
    Ok(sums.map(|sums| sums.into_iter().map(|sum| sum / chosen.len() as f64).collect()))
}

/// Σ_q Σ_s x_q(s) y_q(s)/Σ_s T_q(s)².
fn product(stored: &Rates, x: &Rates, y: &Rates) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    (0..2).map(|q| dot(&x[q], &y[q]) / dot(&stored[q], &stored[q])).sum()
}

/// The amplitudes ≥ 0 of one term, or of two.
fn least(stored: &Rates, terms: &[Rates]) -> Vec<f64> {
    let one = |term: &Rates| (product(stored, stored, term) / product(stored, term, term)).max(0.0);
    let [first, second] = terms else { return terms.iter().map(one).collect() };
    let of = |x: &Rates, y: &Rates| product(stored, x, y);
    let (aa, ab, bb) = (of(first, first), of(first, second), of(second, second));
    let (a, b) = (of(stored, first), of(stored, second));
    let determinant = aa * bb - ab * ab;
    let (x, y) = ((a * bb - b * ab) / determinant, (b * aa - a * ab) / determinant);
    // The second one alone is no model: without the first there is nothing to return.
    if x > 0.0 && y > 0.0 { vec![x, y] } else { vec![one(first), 0.0] }
}

/// The sum of squares that is left, and the enstrophy and energy given over what is to be given.
fn rest(stored: &Rates, terms: &[Rates], fit: &[f64]) -> (f64, [f64; 2]) {
    let mut model = stored.clone().map(|rates| vec![0.0; rates.len()]);
    for (term, &amplitude) in terms.iter().zip(fit) {
        add(&mut model, term.clone().map(|rates| rates.into_iter().map(|rate| amplitude * rate).collect()));
    }
    let mut left = stored.clone();
    add(&mut left, model.clone().map(|rates| rates.into_iter().map(|rate| -rate).collect()));
    let total = |rates: &[f64]| rates.iter().sum::<f64>();
    (product(stored, &left, &left), [0, 1].map(|q| total(&model[q]) / total(&stored[q])))
}

impl Tuning {
    /// The name of its table.
    pub const NAME: &'static str = "constants";

    /// As a table.
    ///
    /// # Errors
    /// None in practice.
    pub fn table(&self) -> Result<Table> {
        let rows = &self.rows;
        let number = |pick: &dyn Fn(&Tuned) -> Option<f64>| rows.iter().map(pick).collect::<Vec<_>>();
        let caption = format!(
            "Constants of the classical subgrid models for which their mean transfers of enstrophy and energy by shell are closest to the \
             stored term's, over {} validation pairs, beside those of the configuration; misfit: what is left, relative.",
            self.pairs
        );
        Table::new(
            Self::NAME,
            caption,
            vec![
                Column::new("closure".into(), rows.iter().map(|row| row.model.name()).collect::<Vec<_>>()),
                Column::new("constant".into(), number(&|row| row.before.first().copied())),
                Column::new("tuned".into(), number(&|row| row.constants.first().copied())),
                Column::new("share back".into(), number(&|row| row.before.get(1).copied())),
                Column::new("share back tuned".into(), number(&|row| row.constants.get(1).copied())),
                Column::new("misfit".into(), number(&|row| Some(row.misfit))),
                Column::new("enstrophy given".into(), number(&|row| Some(row.given[0]))),
                Column::new("energy given".into(), number(&|row| Some(row.given[1]))),
            ],
        )
    }

    /// As a table of a configuration file.
    pub fn toml(&self) -> String {
        let lines = self.rows.iter().map(|row| {
            let constants: Vec<String> = row.constants.iter().map(|c| format!("{c:.4}")).collect();
            format!("{} = [{}]\n", row.model, constants.join(", "))
        });
        std::iter::once("[subgrid]\n".to_string()).chain(lines).collect()
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;
    use crate::config::{FlowConfig, Preset};
    use crate::flow::initial_vorticity;
    use crate::rng::SeedTree;

    /// Pairs whose term is that of a model.
    fn pairs_of(model: SubgridModel, constants: &[f64], config: &Config) -> Pairs {
        let n = config.data.n;
        let mut closure = Subgrid::with_constants(model, constants, config).unwrap();
        let (mut w, mut h) = (Array3::zeros((3, n, n)), Array3::zeros((3, n, n)));
        for k in 0..3 {
            let flow = FlowConfig { n, ..config.flow.clone() };
            let field = initial_vorticity(&flow, &SeedTree::new(k as u64)).unwrap() * 10.0;
            let mut term = Array2::zeros((n, n));
            closure.mean(field.view(), 0.0, term.view_mut()).unwrap();
            w.index_axis_mut(Axis(0), k).assign(&field.mapv(|x| x as f32));
            h.index_axis_mut(Axis(0), k).assign(&term.mapv(|x| x as f32));
        }
        Pairs { w, h, trajectories: 1, per_trajectory: 3 }
    }

    #[test]
    fn the_constants_of_a_model_are_found_from_its_own_terms() {
        /// Stored fields are single precision.
        const ROUND_OFF: f64 = 1e-4;
        let mut config = Config::preset(Preset::Turbulence);
        config.data.n = 32;
        for (model, constants) in [
            (SubgridModel::Smagorinsky, vec![0.23]),
            (SubgridModel::SmagorinskyMean, vec![0.11]),
            (SubgridModel::Leith, vec![0.5]),
            (SubgridModel::LeithMean, vec![0.7]),
            (SubgridModel::Hyperviscosity, vec![2.5]),
            (SubgridModel::Jhs, vec![0.5, 0.4]),
            (SubgridModel::Jhl, vec![0.7, 0.9]),
        ] {
            let tuning = tune(&config, &pairs_of(model, &constants, &config)).unwrap();
            let own = tuning.rows.iter().find(|row| row.model == model).unwrap();
            let near = own.constants.iter().zip(&constants).all(|(a, b)| (a / b - 1.0).abs() < ROUND_OFF);
            assert!(near && own.misfit < ROUND_OFF, "{model}: {own:?}");
            assert!(own.given.iter().all(|given| (given - 1.0).abs() < ROUND_OFF));
            let others = tuning.rows.iter().filter(|row| row.model != model);
            assert!(others.clone().count() == 6 && others.clone().all(|row| row.misfit > own.misfit));
            let told = Config::from_toml("turbulence", &tuning.toml()).unwrap();
            assert!((told.subgrid.of(model)[0] / constants[0] - 1.0).abs() < 1e-3);
        }
        // A term that gives enstrophy back asks for no viscosity at all; only backscatter has an answer to it.
        let mut backwards = pairs_of(SubgridModel::Leith, &[0.5], &config);
        backwards.h.mapv_inplace(|h| -h);
        let rows = tune(&config, &backwards).unwrap().rows;
        assert!(rows.iter().filter(|row| row.constants.len() == 1).all(|row| row.constants[0] == 0.0));
    }
}
