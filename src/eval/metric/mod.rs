//! What is measured. A metric is one value: what tables call it, what it means, how it comes out of a case and how cases are
//! put together, with the uncertainty. [`OFFLINE`] lists the scores on test conditions, [`CLOSED_LOOP`] those of rollouts,
//! [`CALIBRATION`] those of rollouts from several start states; the columns of tables, their CSV and what README.md shows of them follow from these lists. A new metric is a formula in
//! [`super::metrics`] and an entry in its list.

/// A list of metrics, each of which is a value of its own, too; its caption is its documentation.
macro_rules! metrics {
    (
        $(#[$about:meta])*
        $list:ident: $kind:ty =>
        $($metric:ident {
            name: $name:literal,
            caption: $caption:literal,
            unit: $unit:expr,
            headline: $headline:literal,
            rule: $rule:expr,
        })*
    ) => {
        $(
            #[doc = concat!("*", $name, "*: ", $caption, ".")]
            pub static $metric: $kind =
                Metric { name: $name, caption: $caption, unit: $unit, headline: $headline, rule: $rule };
        )*
        $(#[$about])*
        pub static $list: &[&$kind] = &[$(&$metric),*];
    };
}

mod calibration;
mod closed_loop;
mod condition;
mod offline;
mod snapshot;

pub use calibration::*;
pub use closed_loop::*;
pub use condition::{Against, Condition, LawAt, OfflineMetric, OfflineRule, Pool, Terms};
pub use offline::*;
pub use snapshot::{Compared, LoopMetric, LoopRule, Point, Snapshot};

/// A score.
#[derive(Debug)]
pub struct Metric<Rule: 'static> {
    /// The column's title, and the key by which results are asked for it.
    pub name: &'static str,
    /// What it is.
    pub caption: &'static str,
    /// In what it is measured; empty for a pure number.
    pub unit: &'static str,
    /// Is it among the columns that README.md shows?
    pub headline: bool,
    /// How it comes about.
    pub rule: Rule,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_asked_for_by_names_that_are_there_once() {
        let once = |names: Vec<&str>| {
            let mut sorted = names.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(sorted.len(), names.len(), "{names:?}");
        };
        once(OFFLINE.iter().map(|metric| metric.name).collect());
        once(CLOSED_LOOP.iter().map(|metric| metric.name).collect());
        once(CALIBRATION.iter().map(|metric| metric.name).collect());
    }
}
