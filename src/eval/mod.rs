//! Evaluation: proper scores against the exact law, closed-loop errors, and the tables that hold them.

mod against_data;
mod closed_loop;
mod cost;
mod ledger;
pub mod metrics;
mod offline;
mod sampling;
mod shells;
mod study;
mod table;

pub use against_data::against_data;
pub use closed_loop::{ClosedLoop, closed_loop, rank_histogram};
pub use cost::{cost, device};
pub use ledger::{Ours, ledger};
pub use offline::{Offline, offline};
pub use polars::prelude::{Column, DataFrame};
pub use shells::{TRUE_FLOW, spectra, statistics, transfers};
pub use study::{hold_settings, study};
pub use table::{Table, UNCERTAINTY};
