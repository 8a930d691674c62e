//! Evaluation: proper scores against the exact law, closed-loop errors, what latent spaces lose, and the tables that hold them.
//!
//! Scores are values in lists ([`metric`]); results are typed rows, of which tables are made last ([`Table`]).

mod bias;
mod budget;
mod calibration;
mod claim;
mod closed_loop;
mod cost;
mod estimate;
mod findings;
mod latents;
mod ledger;
pub mod metric;
pub mod metrics;
mod missing_term;
pub mod names;
mod offline;
mod quantity;
mod ranks;
pub(crate) mod rates;
mod reconstruction;
mod samplers;
mod sampling;
mod series;
mod shape;
mod shapes;
mod shells;
mod spectra;
mod study;
mod subgrid;
mod table;

pub use bias::{BiasSpectra, BiasSpectrum, bias_spectra};
pub use budget::{EnstrophyBudget, enstrophy_budget};
pub use calibration::{Calibration, CalibrationPoint, CalibrationRow, LEAST_P, MOST_ERROR, RIGHT_SPREAD, calibration};
pub use claim::claim;
pub use closed_loop::{ClosedLoop, RolloutScores, closed_loop};
pub use cost::{cost, device};
pub use estimate::Estimate;
pub use findings::{FINDINGS, Finding, Findings, Results, findings};
pub use latents::{LatentStatistics, latent_statistics};
pub use ledger::{Ours, ledger};
pub use metric::{Compared, Condition, LawAt, Metric, Point, Pool, Snapshot};
pub use missing_term::{MissingTermSplit, missing_term};
pub use names::TRUE_FLOW;
pub use offline::{Offline, OfflineScores};
pub use polars::prelude::{Column, DataFrame};
pub use quantity::{BETWEEN, Kind, Quantity, Role, UNCERTAINTY, machine, quantity};
pub use ranks::{RankHistogram, RankTest, rank_histogram};
pub use reconstruction::{LatentSpace, Reconstruction, ReconstructionRow, reconstruction, reconstruction_spectra};
pub use samplers::{SamplerBias, SamplerRow, sampler_bias};
pub use series::{Climate, ClimateRow, Forecasts, climate, forecast_table, forecasts};
pub use shape::Shape;
pub use shapes::Shapes;
pub use shells::{NoiseRow, NoiseSpectrum, TransferRow, Transfers, transfers};
pub use spectra::{Spectra, Spectrum, Statistics, StatisticsRow, spectra, spectra_at, statistics};
pub use study::{Study, hold_settings, study};
pub use subgrid::{
    APriori, APrioriRow, Growth, GrowthRow, Histogram, LongRun, LongRunRow, Resolved, RunStatistics, Tuned, Tuning,
};
pub use subgrid::{a_priori, growth, long_run, resolution, run_from, statistics_of_test_set, tune};
pub(crate) use table::estimates;
pub use table::{Cell, Table};
