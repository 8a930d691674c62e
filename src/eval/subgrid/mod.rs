//! What large-eddy models are judged by: before they run (a priori), and by the statistics of the flows that they make (a posteriori).

mod a_priori;
mod growth;
mod histogram;
mod long_run;
mod resolution;
mod tuning;

pub use a_priori::{APriori, APrioriRow, a_priori};
pub use growth::{Growth, GrowthRow, growth};
pub use histogram::Histogram;
pub use long_run::{LongRun, LongRunRow, RunStatistics, long_run, run_from, statistics_of_test_set};
pub use resolution::{Resolved, resolution};
pub use tuning::{Tuned, Tuning, tune};
