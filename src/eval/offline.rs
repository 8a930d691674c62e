//! Closures on test conditions: against the exact law of the missing physics where it is known, against the stored term
//! otherwise.

use ndarray::{Array2, Axis};
use polars::prelude::Column;
use rayon::prelude::*;

use super::estimate::Estimate;
use super::metric::{Against, Condition, LawAt, OFFLINE, OfflineMetric, Pool, Terms};
use super::metrics::{half_mean_distance, jackknife};
use super::quantity::UNCERTAINTY;
use super::sampling::{THINNING, check_pairs, draw, evenly_spaced, milliseconds};
use super::shape::{Shape, mean_surprise};
use super::shapes::Shapes;
use super::shells::{NoiseSpectrum, ShellSums, Transfers, transfers};
use super::table::{Table, estimates};
use crate::closure::{AnyClosure, Closure, Decoder, EXACT_LAW, ExactLaw};
use crate::config::Config;
use crate::data::Pairs;
use crate::error::Result;
use crate::rng::SeedTree;
use crate::spectral::Field;
use crate::stop;

/// Scores of closures on test conditions.
#[derive(Debug, Clone)]
pub struct Offline {
    /// By closure; the exact law comes first where it is known.
    pub rows: Vec<OfflineScores>,
    /// Variance of the sampled fluctuation by shell, where the exact law is known.
    pub noise: Option<NoiseSpectrum>,
    /// Enstrophy and energy that the mean closure term moves, by shell, where the exact law is known.
    pub transfers: Option<Transfers>,
    /// Decoded amplitudes, where the flow has a hidden forcing.
    pub shapes: Option<Shapes>,
    caption: String,
}

/// Scores of one closure.
#[derive(Debug, Clone)]
pub struct OfflineScores {
    /// The closure.
    pub closure: String,
    /// Median milliseconds of a draw on one thread with nothing else running, the first one not counted.
    pub ms_per_draw: f64,
    scores: Vec<(&'static str, Estimate)>,
}

impl OfflineScores {
    /// The value of a score; unknown if it was not measured.
    pub fn of(&self, metric: &OfflineMetric) -> Estimate {
        self.scores.iter().find(|(name, _)| *name == metric.name).map_or(Estimate::NONE, |(_, estimate)| *estimate)
    }
}

/// What one trajectory says about one closure.
struct Block {
    /// Decoded amplitudes, where there is a hidden forcing.
    shape: Option<Shape>,
    /// Spectrum of the exact law's fluctuation; of the first closure only.
    exact: ShellSums<1>,
    /// Terms of every metric, summed over conditions.
    terms: Vec<[f64; 3]>,
    /// Shell spectrum of the fluctuation.
    fluctuation: ShellSums<1>,
    /// Enstrophy and energy that the mean closure term gives to each shell.
    transfer: ShellSums<2>,
}

impl Offline {
    /// Measures `closures` on `config.eval.conditions` conditions of every test trajectory, spread evenly over its snapshots,
    /// with `config.eval.samples` draws of each: the scores of [`OFFLINE`]. Where the exact law is known ([`Config::exact_law`]), it is measured in the same way on the same conditions and is the first row.
    ///
    /// ± are jackknife standard errors over trajectories. Streams: `offline/<condition>/sample`, common to all closures, and
    /// `offline/<condition>/outcome`.
    ///
    /// # Errors
    /// [`crate::error::Error::Shape`] or [`crate::error::Error::Config`] for impossible data; whatever a closure cannot do.
    pub fn measure(config: &Config, test: &Pairs, closures: &[AnyClosure], seeds: &SeedTree) -> Result<Self> {
        let n = check_pairs(test)?;
        let (law, all) = match config.exact_law() {
            Some(_) => {
                let law = ExactLaw::new(&config.flow, n)?;
                let others = closures.iter().filter(|closure| closure.name() != EXACT_LAW).cloned();
                (Some(law.clone()), std::iter::once(AnyClosure::new(law)).chain(others).collect())
            }
            None => (None, closures.to_vec()),
        };
        let decoder = if law.is_some() { Decoder::new(&config.flow, n)? } else { None };
        let measured = |metric: &&OfflineMetric| match metric.rule.against {
            Against::Both => true,
            Against::Law => law.is_some(),
            Against::Data => law.is_none(),
            Against::Hidden => decoder.is_some(),
        };
        let metrics: Vec<&OfflineMetric> = OFFLINE.iter().copied().filter(measured).collect();
        let trajectories: Vec<Vec<Block>> = (0..test.trajectories)
            .into_par_iter()
            .map(|trajectory| {
                let known = law.as_ref().map(|law| (law.clone(), decoder.clone()));
                Conditions::new(config, test, trajectory, seeds).measure(&metrics, known, &all)
            })
            .collect::<Result<_>>()?;
        let w = test.w.index_axis(Axis(0), 0).mapv(f64::from);
        let mut rows = Vec::with_capacity(all.len());
        for (c, closure) in all.iter().enumerate() {
            let score = |(k, metric): (usize, &&'static OfflineMetric)| {
                let sums: Vec<[f64; 3]> = trajectories.iter().map(|blocks| blocks[c].terms[k]).collect();
                (metric.name, jackknife(&sums, metric.rule.statistic).into())
            };
            let ms_per_draw = milliseconds(closure, w.view(), config.data.burn_in, seeds)?;
            let scores = metrics.iter().enumerate().map(score).collect();
            rows.push(OfflineScores { closure: closure.name(), ms_per_draw, scores });
        }
        let conditions = evenly_spaced(config.eval.conditions, test.per_trajectory).len();
        let by_closure = || rows.iter().map(|row| row.closure.as_str()).enumerate();
        let blocks = |c: usize| trajectories.iter().map(move |blocks| &blocks[c]);
        Ok(Self {
            noise: law.as_ref().map(|_| {
                let sums = by_closure().map(|(c, name)| (name, blocks(c).map(|block| &block.fluctuation).collect()));
                let exact: Vec<&ShellSums<1>> = blocks(0).map(|block| &block.exact).collect();
                NoiseSpectrum::new(&ShellSums::mean_spectrum(&exact), sums)
            }),
            transfers: law.as_ref().map(|_| {
                Transfers::new(by_closure().map(|(c, name)| (name, blocks(c).map(|block| &block.transfer).collect())))
            }),
            shapes: match &decoder {
                Some(_) => Some(Shapes::new(
                    by_closure().map(|(c, name)| (name, blocks(c).filter_map(|block| block.shape.as_ref()).collect())),
                )?),
                None => None,
            },
            caption: caption(config, conditions, test.trajectories),
            rows,
        })
    }

    /// The scores as a table.
    ///
    /// # Errors
    /// None for what [`Offline::measure`] returns.
    pub fn summary(&self) -> Result<Table> {
        let names: Vec<&str> = self.rows.iter().map(|row| row.closure.as_str()).collect();
        let mut columns = vec![Column::new("closure".into(), names)];
        // Those that were not measured, too: tables of both problems have the same columns. Hidden forcing is another matter.
        let there = |metric: &&&OfflineMetric| {
            metric.rule.against != Against::Hidden || self.rows.iter().any(|row| !row.of(metric).value.is_nan())
        };
        for metric in OFFLINE.iter().filter(there) {
            columns.extend(estimates(metric.name, self.rows.iter().map(|row| row.of(metric))));
        }
        let costs: Vec<f64> = self.rows.iter().map(|row| row.ms_per_draw).collect();
        columns.push(Column::new("ms/draw".into(), costs));
        Table::new("offline", self.caption.clone(), columns)
    }

    /// Reads what [`Offline::summary`] made, also in releases that left out what was not measured.
    ///
    /// # Errors
    /// Another table.
    pub fn read(table: &Table) -> Result<Self> {
        let (closures, costs) = (table.texts("closure")?, table.numbers("ms/draw")?);
        let unknown = vec![f64::NAN; closures.len()];
        let column = |title: &str| table.numbers(title).unwrap_or_else(|_| unknown.clone());
        let columns: Vec<[Vec<f64>; 2]> = OFFLINE
            .iter()
            .map(|metric| [column(metric.name), column(&format!("{}{UNCERTAINTY}", metric.name))])
            .collect();
        let scores = |row: usize| {
            let estimates = columns.iter().map(|[values, errors]| Estimate { value: values[row], error: errors[row] });
            OFFLINE.iter().map(|metric| metric.name).zip(estimates).collect()
        };
        let rows = closures.into_iter().zip(costs).enumerate();
        Ok(Self {
            rows: rows
                .map(|(row, (closure, ms_per_draw))| OfflineScores { closure, ms_per_draw, scores: scores(row) })
                .collect(),
            noise: None,
            transfers: None,
            shapes: None,
            caption: table.caption.clone(),
        })
    }

    /// All tables: the scores and, where the exact law is known, the spectrum of the fluctuation and the transfers by shell.
    ///
    /// # Errors
    /// As [`Offline::summary`].
    pub fn tables(&self) -> Result<Vec<Table>> {
        let noise = self.noise.iter().map(NoiseSpectrum::table);
        let transfers = self.transfers.iter().map(Transfers::table);
        let shapes = self.shapes.iter().flat_map(Shapes::tables).map(Ok);
        std::iter::once(self.summary()).chain(noise).chain(transfers).chain(shapes).collect()
    }
}

fn caption(config: &Config, conditions: usize, trajectories: usize) -> String {
    let samples = config.eval.samples;
    let (what, scores) = if config.exact_law().is_some() {
        let scores = "bias and W1 relative to rms H, excess over the exact law on the same conditions";
        ("p(H | ω) against the exact law", scores)
    } else {
        let scores = "std and CRPS relative to rms H; enstrophy and energy given to the resolved flow relative to the stored term's";
        ("Closures against the stored term", scores)
    };
    // One trajectory says nothing of the scatter between trajectories.
    let (of, error) = match trajectories {
        1 => ("one test trajectory".to_string(), ""),
        _ => (format!("each of {trajectories} test trajectories"), "; ± jackknife over trajectories"),
    };
    let absent = if config.data.source.is_some() {
        let names: Vec<&str> =
            OFFLINE.iter().filter(|metric| metric.rule.against == Against::Law).map(|metric| metric.name).collect();
        format!(" Not there for pairs of one's own, whose exact law is not known: {}.", names.join(", "))
    } else {
        String::new()
    };
    format!("{what} on {conditions} conditions of {of}, {samples} samples each; {scores}{error}.{absent}")
}

/// The conditions of one trajectory.
struct Conditions<'a> {
    config: &'a Config,
    test: &'a Pairs,
    trajectory: usize,
    /// Indices into the snapshots of the trajectory.
    at: Vec<usize>,
    seeds: SeedTree,
}

impl<'a> Conditions<'a> {
    fn new(config: &'a Config, test: &'a Pairs, trajectory: usize, seeds: &SeedTree) -> Self {
        let at = evenly_spaced(config.eval.conditions, test.per_trajectory);
        Self { config, test, trajectory, at, seeds: seeds.child("offline") }
    }

    /// Blocks by closure; with `law`, the first closure is that law.
    fn measure(
        &self,
        metrics: &[&OfflineMetric],
        law: Option<(ExactLaw, Option<Decoder>)>,
        closures: &[AnyClosure],
    ) -> Result<Vec<Block>> {
        let (mut law, mut decoder) = law.map_or((None, None), |(law, decoder)| (Some(law), decoder));
        let mut closures = closures.to_vec();
        let (count, n) = (self.config.eval.samples, self.test.w.shape()[1]);
        let empty = || Block {
            shape: decoder.as_ref().map(Shape::new),
            exact: ShellSums::new(n),
            terms: vec![[0.0; 3]; metrics.len()],
            fluctuation: ShellSums::new(n),
            transfer: ShellSums::new(n),
        };
        let mut blocks: Vec<Block> = closures.iter().map(|_| empty()).collect();
        let mut values: Vec<Vec<f64>> = vec![Vec::new(); closures.len()];
        let (mut exact_values, mut h2) = (Vec::new(), 0.0);
        let mut mean = Array2::zeros((n, n));
        for &snapshot in &self.at {
            stop::check()?;
            let index = self.trajectory * self.test.per_trajectory + snapshot;
            let w = self.test.w.index_axis(Axis(0), index).mapv(f64::from);
            let h = self.test.h.index_axis(Axis(0), index).mapv(f64::from);
            let t = self.config.data.burn_in + snapshot as f64 * self.config.data.interval;
            let seeds = self.seeds.child(index);
            let (mut outcomes, mut std) = (Vec::new(), None);
            if let Some(law) = &mut law {
                law.mean(w.view(), t, mean.view_mut())?;
                outcomes = draw(law, w.view(), t, count, &mut seeds.child("outcome").stream())?;
                exact_values.extend(outcomes.iter().flat_map(thinned));
                std = Some(law.std_at(w.view())?);
                blocks[0].exact.add(1.0, [law.spectrum_at(w.view())?]);
            }
            let gaussian = law.as_ref().is_some_and(ExactLaw::is_homogeneous_gaussian);
            let mut amplitudes = None;
            if let (Some(law), Some(decoder)) = (&mut law, &mut decoder) {
                let probabilities = law.probabilities(w.view())?.to_vec();
                let decoded = decode(decoder, &probabilities, &mean, &outcomes);
                let surprise = mean_surprise(decoder, &probabilities, &decoded);
                amplitudes = Some((probabilities, surprise));
            }
            let mut exact = std.map(|std| LawAt {
                mean: &mean,
                std,
                gaussian,
                outcomes: &outcomes,
                half_mean_distance: half_mean_distance(&outcomes),
                published: [f64::NAN; 4],
            });
            for (c, closure) in closures.iter_mut().enumerate() {
                let samples = draw(closure, w.view(), t, count, &mut seeds.child("sample").stream())?;
                let mut condition = Condition::new(&w, &h, self.config.flow.length, &samples);
                if let Some(exact) = &mut exact {
                    let mut own = Array2::zeros((n, n));
                    condition.own_mean = closure.mean(w.view(), t, own.view_mut())?.then_some(own);
                    if c == 0 {
                        exact.published = condition.published;
                    }
                    values[c].extend(samples.iter().flat_map(thinned));
                    // The exact law's mean is known, no average of samples.
                    let term = if c == 0 { exact.mean } else { &condition.average };
                    blocks[c].transfer.add(1.0, transfers(w.view(), term.view(), self.config.flow.length));
                    condition.add_fluctuation(&mut blocks[c].fluctuation);
                }
                condition.law = exact;
                if let (Some(decoder), Some((probabilities, surprise)), Some(shape)) =
                    (&mut decoder, &amplitudes, &mut blocks[c].shape)
                {
                    let decoded = decode(decoder, probabilities, &mean, &samples);
                    shape.add(decoder, probabilities, &decoded, *surprise);
                }
                for (sums, metric) in blocks[c].terms.iter_mut().zip(metrics) {
                    if let Terms::Condition(terms) = metric.rule.terms {
                        add(sums, terms(&condition));
                    }
                }
                if c == 0 {
                    h2 += condition.h2;
                }
            }
        }
        exact_values.sort_unstable_by(f64::total_cmp);
        for (block, mut values) in blocks.iter_mut().zip(values) {
            values.sort_unstable_by(f64::total_cmp);
            let pool = Pool { conditions: self.at.len() as f64, h2, values: &values, exact: &exact_values };
            for (sums, metric) in block.terms.iter_mut().zip(metrics) {
                match (&metric.rule.terms, &block.shape) {
                    (Terms::Pool(terms), _) => add(sums, terms(&pool)),
                    (Terms::Shape(terms), Some(shape)) => add(sums, terms(shape)),
                    _ => {}
                }
            }
        }
        Ok(blocks)
    }
}

/// Decoded amplitudes of fields about the mean, (field, cell).
fn decode(decoder: &mut Decoder, probabilities: &[f64], mean: &Field, fields: &[Field]) -> Vec<Vec<f64>> {
    let decode = |field: &Field| {
        let mut y = Vec::new();
        decoder.decode((field - mean).view(), &mut y);
        y.iter_mut().zip(probabilities).for_each(|(y, p)| *y += p);
        y
    };
    fields.iter().map(decode).collect()
}

fn add(sums: &mut [f64; 3], terms: [f64; 3]) {
    sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
}

fn thinned(field: &Field) -> impl Iterator<Item = f64> + '_ {
    field.slice(ndarray::s![..;THINNING, ..;THINNING]).into_iter().copied()
}
