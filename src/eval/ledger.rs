//! The ledger: every published number that has a counterpart here, beside ours.

use std::collections::BTreeMap;

use polars::prelude::Column;

use super::metric::{
    D_MSE_MEAN, D_MSE_SINGLE, D_RE_MEAN, D_RE_SINGLE, ERROR_OF_MEAN, ERROR_OF_MEMBER, LoopMetric, OfflineMetric,
    STD_OVER_EXACT,
};
use super::quantity::UNCERTAINTY;
use super::reconstruction::{D_MSE, D_RE};
use super::table::Table;
use crate::closure::{EXACT_LAW, NO_CLOSURE};
use crate::error::Result;

/// One of our sides of the ledger: the finished tables of a preset and where they come from.
#[derive(Debug, Clone, Default)]
pub struct Ours {
    /// The preset.
    pub preset: String,
    /// [`super::Offline::summary`]'s table.
    pub offline: Option<Table>,
    /// Errors of reconstruction, by latent space: the closure's name and the size.
    pub reconstruction: Option<Table>,
    /// Curves of [`super::closed_loop`].
    pub curves: Option<Table>,
    /// Summary of [`super::closed_loop`].
    pub summary: Option<Table>,
    /// Folder of the result behind each closure's row: the training for offline scores, the rollout for closed loops; keys
    /// are `offline/CLOSURE` and `rollout/CLOSURE`.
    pub artifacts: BTreeMap<String, String>,
}

/// Where our counterpart of a number stands.
#[derive(Debug, Clone, Copy)]
enum Counterpart {
    /// A score of the offline table.
    Offline(&'static OfflineMetric),
    /// A column of the table of reconstructions.
    Reconstruction(&'static str),
    /// A score of the closed-loop curves at a time.
    Curve(&'static LoopMetric, f64),
    /// Cost per step of the first closure over that of the second.
    CostRatio(&'static str),
    /// Nothing of the kind is computed here.
    None,
}

/// Which of our results stand beside a published number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    /// Those of the published recipe.
    Recipe,
    /// Those of the configuration's own models.
    Own,
}

/// A published number.
#[derive(Clone)]
struct Published {
    side: Side,
    source: &'static str,
    method: &'static str,
    /// The closure here that the method corresponds to.
    closure: &'static str,
    quantity: &'static str,
    relation: &'static str,
    value: f64,
    ours: Counterpart,
}

const PAPER: &str = "arXiv 2506.20771";
const DEMO: &str = "arXiv 2506.20771, authors' demo notebook (100 members)";
const TIMING: &str = "arXiv 2506.20771, authors' timing arrays";
const FOLLOW_UP: &str = "arXiv 2602.17089, authors' notebooks (10 conditions, 100 samples)";
const IMPLIED: &str = "implied by the published noise";
/// Pointwise standard deviation of the published noise, by which published sample deviations are divided.
const NOISE_STD: f64 = 0.019_947;

/// The rows that carry the story, by closure, quantity and side.
const STORY: [(&str, &str, Side); 10] = [
    (NO_CLOSURE, "error at t = 50", Side::Own),
    (EXACT_LAW, "D_RE single", Side::Own),
    ("two-phase", "D_RE single", Side::Recipe),
    ("two-phase", "D_RE single", Side::Own),
    ("joint", "D_RE single", Side::Recipe),
    ("joint", "D_RE single", Side::Own),
    ("p-cdm", "error of the mean at t = 50", Side::Recipe),
    ("joint", "error of the mean at t = 50", Side::Recipe),
    ("joint", "error of the mean at t = 50", Side::Own),
    ("p-cdm", "cost ratio, 1000 members", Side::Recipe),
];

/// The ledger of all published numbers with a counterpart, and of those of sibling models without one.
///
/// Columns: source, the published method, the closure here and the preset of its results, the quantity, the published value (`relation`
/// says whether it is a value or a bound), ours ± standard error, result folder, remark. A counterpart that was not computed is a
/// missing entry with a remark, never a number. The rows that carry the story come first, and are shown alone unless all are
/// asked for. `recipe` are the results of the published recipe, `own` those of other models.
///
/// # Errors
/// A table lacks the columns that its maker gives it.
pub fn ledger(recipe: &Ours, own: &Ours) -> Result<Table> {
    let side = |row: &Published| if row.side == Side::Recipe { recipe } else { own };
    let mut rows = rows();
    let mut story = Vec::with_capacity(STORY.len());
    for told in STORY {
        // Where several sources have a quantity, the first one tells the story.
        let at = rows.iter().position(|row| (row.closure, row.quantity, row.side) == told);
        story.extend(at.map(|at| rows.remove(at)));
    }
    let told = story.len();
    let rows: Vec<Published> = story.into_iter().chain(rows).collect();
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        found.push(counterpart(side(row), row)?);
    }
    let text = |pick: fn(&Published) -> &'static str| rows.iter().map(pick).collect::<Vec<_>>();
    let mut folders = Vec::new();
    let mut remarks = Vec::new();
    for (row, found) in rows.iter().zip(&found) {
        let ours = side(row);
        let folder = match row.ours {
            Counterpart::Offline(_) | Counterpart::Reconstruction(_) => {
                ours.artifacts.get(&format!("offline/{}", row.closure))
            }
            Counterpart::Curve(..) | Counterpart::CostRatio(_) => {
                ours.artifacts.get(&format!("rollout/{}", row.closure))
            }
            Counterpart::None => None,
        };
        folders.push(found.and(folder.cloned()));
        remarks.push(match (row.ours, found) {
            (Counterpart::None, _) => "no counterpart here",
            (Counterpart::CostRatio(_), Some(_)) => "another machine; ratio of costs per step and member",
            (_, Some(_)) => "",
            (_, None) if row.side == Side::Recipe => "not computed: `make figures PRESET=published`",
            (_, None) => "not computed in this configuration",
        });
    }
    let table = Table::new(
        "ledger",
        "Published numbers and ours. Errors of H: against one noisy truth, so that the exact law itself scores the implied \
         values; closed loop: relative error of the ensemble-mean vorticity.",
        vec![
            Column::new("source".into(), text(|row| row.source)),
            Column::new("method".into(), text(|row| row.method)),
            Column::new("closure".into(), text(|row| row.closure)),
            Column::new("of preset".into(), rows.iter().map(|row| side(row).preset.as_str()).collect::<Vec<_>>()),
            Column::new("quantity".into(), text(|row| row.quantity)),
            Column::new("relation".into(), text(|row| row.relation)),
            Column::new("published".into(), rows.iter().map(|row| row.value).collect::<Vec<_>>()),
            Column::new("ours".into(), found.iter().map(|f| f.map(|f| f.0)).collect::<Vec<_>>()),
            Column::new(
                format!("ours{UNCERTAINTY}").into(),
                found.iter().map(|f| f.and_then(|f| f.1)).collect::<Vec<_>>(),
            ),
            Column::new("artifact".into(), folders),
            Column::new("remark".into(), remarks),
        ],
    )?;
    Ok(table.showing(told))
}

/// Our value and its standard error.
fn counterpart(ours: &Ours, row: &Published) -> Result<Option<(f64, Option<f64>)>> {
    /// Snapshot times are sums of steps.
    const SAME_TIME: f64 = 1e-6;
    match row.ours {
        Counterpart::None => Ok(None),
        Counterpart::Offline(score) => at(ours.offline.as_ref(), "closure", row.closure, score.name, |_| Ok(true)),
        Counterpart::Reconstruction(column) => {
            at(ours.reconstruction.as_ref(), "latent", row.closure, column, |_| Ok(true))
        }
        Counterpart::Curve(score, t) => at(ours.curves.as_ref(), "closure", row.closure, score.name, |i| {
            let times = ours.curves.as_ref().map_or(Ok(Vec::new()), |table| table.numbers("t"))?;
            Ok((times[i] - t).abs() < SAME_TIME)
        }),
        Counterpart::CostRatio(other) => {
            let cost = |closure| at(ours.summary.as_ref(), "closure", closure, "ms/step", |_| Ok(true));
            Ok(match (cost(row.closure)?, cost(other)?) {
                (Some((a, _)), Some((b, _))) => Some((a / b, None)),
                _ => None,
            })
        }
    }
}

/// The entry of a closure's row that `wanted` accepts, the closure being named in column `key`, alone or before a size; with the uncertainty in the neighbouring column where there is one.
pub(super) fn at(
    table: Option<&Table>,
    key: &str,
    closure: &str,
    column: &str,
    wanted: impl Fn(usize) -> Result<bool>,
) -> Result<Option<(f64, Option<f64>)>> {
    let Some(table) = table else { return Ok(None) };
    let values = table.numbers(column)?;
    let errors = table.numbers(&format!("{column}{UNCERTAINTY}")).ok();
    for (i, name) in table.texts(key)?.iter().enumerate() {
        let named = name == closure
            || name.strip_prefix(closure).is_some_and(|size| size.starts_with(' ') && size.ends_with('²'));
        if named && wanted(i)? {
            let error = errors.as_ref().map(|errors| errors[i]).filter(|error| error.is_finite());
            return Ok(Some((values[i], error)).filter(|(value, _)| value.is_finite()));
        }
    }
    Ok(None)
}

fn rows() -> Vec<Published> {
    use Counterpart::{CostRatio, Curve, None, Offline, Reconstruction};
    let row = |source, method, closure, quantity, value, ours| Published {
        side: Side::Recipe,
        source,
        method,
        closure,
        quantity,
        relation: "=",
        value,
        ours,
    };
    let below = |row: Published| Published { relation: "<", ..row };
    let about = |row: Published| Published { relation: "≈", ..row };
    let own = |row: Published| Published { side: Side::Own, ..row };
    let end = |score| Curve(score, 50.0);
    // What the text says, as published and with our repairs.
    let text = [
        about(row(PAPER, "conventional L-CDM", "two-phase", "D_RE single", 0.29, Offline(&D_RE_SINGLE))),
        about(row(PAPER, "joint L-CDM", "joint", "D_RE single", 0.11, Offline(&D_RE_SINGLE))),
        row(PAPER, "no closure", NO_CLOSURE, "error at t = 50", 0.816, end(&ERROR_OF_MEAN)),
        below(row(PAPER, "joint L-CDM", "joint", "error of one trajectory at t = 50", 0.15, end(&ERROR_OF_MEMBER))),
        below(row(PAPER, "joint L-CDM", "joint", "error of the mean at t = 50", 0.10, end(&ERROR_OF_MEAN))),
        below(row(PAPER, "P-CDM", "p-cdm", "error of one trajectory at t = 50", 0.15, end(&ERROR_OF_MEMBER))),
        below(row(PAPER, "P-CDM", "p-cdm", "error of the mean at t = 50", 0.10, end(&ERROR_OF_MEAN))),
        row(PAPER, "P-CDM over joint", "p-cdm", "cost ratio, 1000 members", 8652.0 / 1236.0, CostRatio("joint")),
        below(row(PAPER, "autoencoder", "two-phase", "reconstruction D_MSE of ω", 1e-4, Reconstruction(D_MSE[0]))),
        below(row(PAPER, "autoencoder", "two-phase", "reconstruction D_RE of ω", 0.02, Reconstruction(D_RE[0]))),
    ];
    let mut rows: Vec<Published> = text.into_iter().flat_map(|row| [row.clone(), own(row)]).collect();
    for (method, closure, values) in [
        ("no closure", NO_CLOSURE, [0.7607, 1.0685, 1.1548, 0.9941]),
        ("P-CDM", "p-cdm", [0.0226, 0.0379, 0.0591, 0.0854]),
        ("joint L-CDM", "joint", [0.0330, 0.0397, 0.0488, 0.0661]),
    ] {
        let names = ["error at t = 35", "error at t = 40", "error at t = 45", "error at t = 50"];
        for ((name, t), value) in names.into_iter().zip([35.0, 40.0, 45.0, 50.0]).zip(values) {
            rows.push(row(DEMO, method, closure, name, value, Curve(&ERROR_OF_MEAN, t)));
        }
    }
    let both = "P-CDM over joint";
    rows.push(row(TIMING, both, "p-cdm", "cost ratio, 1 member", 180.2 / 145.5, CostRatio("joint")));
    rows.push(row(TIMING, both, "p-cdm", "cost ratio, 100 members", 824.2 / 315.2, CostRatio("joint")));
    rows.push(row(TIMING, both, "p-cdm", "cost ratio, 1500 members", 13821.0 / 2764.0, CostRatio("joint")));
    let implied = [(&D_MSE_MEAN, 3.98e-4), (&D_RE_MEAN, 0.080), (&D_MSE_SINGLE, 7.96e-4), (&D_RE_SINGLE, 0.113)];
    for (score, value) in implied {
        rows.push(own(about(row(IMPLIED, "perfect sampler", EXACT_LAW, score.name, value, Offline(score)))));
    }
    // Mean MSE, mean RE, single RE, single MSE, std; NaN: not printed.
    let nan = f64::NAN;
    for (method, closure, values) in [
        ("P-DM, 50 steps", "p-cdm", [4.29e-4, 0.0833, nan, nan, 0.0194]),
        ("joint L-DM, 10 steps", "joint", [4.93e-4, 0.0897, 0.116, 8.31e-4, 0.0183]),
        ("L-DM without regularisation, 10 steps", "two-phase", [6.62e-3, 0.329, 0.346, 7.32e-3, 0.0238]),
    ] {
        let scores = [&D_MSE_MEAN, &D_RE_MEAN, &D_RE_SINGLE, &D_MSE_SINGLE];
        for (score, value) in scores.into_iter().zip(values).filter(|(_, value)| value.is_finite()) {
            rows.push(row(FOLLOW_UP, method, closure, score.name, value, Offline(score)));
        }
        rows.push(row(FOLLOW_UP, method, closure, "std/exact", values[4] / NOISE_STD, Offline(&STD_OVER_EXACT)));
    }
    for (quantity, column, value) in [
        ("reconstruction D_MSE of ω", D_MSE[0], 6.3e-6),
        ("reconstruction D_RE of ω", D_RE[0], 0.00249),
        ("reconstruction D_MSE of H", D_MSE[1], 1.0e-4),
        ("reconstruction D_RE of H", D_RE[1], 0.0403),
    ] {
        rows.push(row(FOLLOW_UP, "joint L-DM, autoencoder", "joint", quantity, value, Reconstruction(column)));
    }
    for (method, mean) in [
        ("P-FM, 50 steps", 0.0856),
        ("P-SI Gaussian, 50 steps", 0.0862),
        ("P-SI empirical, 50 steps", 0.0855),
        ("L-DM geometry aware, 10 steps", 0.0899),
        ("L-DM metric preserving, 10 steps", 0.0828),
        ("L-FM geometry aware, 10 steps", 0.0867),
        ("L-FM metric preserving, 100 steps", 0.0830),
        ("joint L-FM, 1000 steps", 0.0880),
        ("joint L-SI Gaussian, 10 steps", 0.0915),
        ("joint L-SI empirical, 100 steps", 1.18),
    ] {
        rows.push(row(FOLLOW_UP, method, "", "D_RE mean", mean, None));
    }
    rows
}
