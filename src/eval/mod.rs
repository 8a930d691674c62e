//! Evaluation: proper scores against the exact law, closed-loop errors, and the tables that hold them.

mod closed_loop;
pub mod metrics;
mod offline;
mod table;

pub use closed_loop::{ClosedLoop, closed_loop, rank_histogram};
pub use offline::{Offline, offline};
pub use polars::prelude::{Column, DataFrame};
pub use table::{Table, UNCERTAINTY};
