//! Evaluation: proper scores against the exact law, closed-loop errors, and the tables that hold them.

mod table;

pub use polars::prelude::{Column, DataFrame};
pub use table::{Table, UNCERTAINTY};
