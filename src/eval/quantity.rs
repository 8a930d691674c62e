//! Quantities: what the columns of tables are, in which unit, and what they are called outside.
//!
//! Scores are described in their own lists ([`super::metric`]); everything else is here.

use super::metric::{CALIBRATION, CLOSED_LOOP, OFFLINE};

/// What the entries of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// Whole numbers.
    Integer,
    /// Numbers.
    Number,
    /// Yes or no.
    Flag,
}

/// What a column is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It says of which configuration and time the row is.
    Identity,
    /// It tells rows apart: of what, when, where.
    Key,
    /// It is a result.
    Value,
    /// It is said beside a result.
    Note,
}

/// A column of tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quantity {
    /// The title in tables.
    pub name: &'static str,
    /// In what it is measured; empty for a pure number.
    pub unit: &'static str,
    /// What its entries are.
    pub kind: Kind,
    /// What it is for.
    pub role: Role,
    /// Is it shown unless all columns are asked for?
    pub headline: bool,
    /// What it is.
    pub meaning: &'static str,
}

const fn new(name: &'static str, unit: &'static str, kind: Kind, role: Role, meaning: &'static str) -> Quantity {
    Quantity { name, unit, kind, role, headline: true, meaning }
}

const fn identity(name: &'static str, kind: Kind, meaning: &'static str) -> Quantity {
    new(name, "", kind, Role::Identity, meaning)
}

const fn label(name: &'static str, meaning: &'static str) -> Quantity {
    new(name, "", Kind::Text, Role::Key, meaning)
}

const fn note(name: &'static str, meaning: &'static str) -> Quantity {
    new(name, "", Kind::Text, Role::Note, meaning)
}

const fn place(name: &'static str, unit: &'static str, kind: Kind, meaning: &'static str) -> Quantity {
    new(name, unit, kind, Role::Key, meaning)
}

const fn number(name: &'static str, unit: &'static str, meaning: &'static str) -> Quantity {
    new(name, unit, Kind::Number, Role::Value, meaning)
}

const fn count(name: &'static str, meaning: &'static str) -> Quantity {
    new(name, "", Kind::Integer, Role::Value, meaning)
}

const fn beside(quantity: Quantity) -> Quantity {
    Quantity { headline: false, ..quantity }
}

/// Every column but the scores.
static LISTED: &[Quantity] = &[
    identity("preset", Kind::Text, "the preset that the configuration started from"),
    identity("seed", Kind::Integer, "the root seed"),
    identity("configuration", Kind::Text, "the first digits of the configuration's hash"),
    label("table", "the table that the number stands in"),
    label("closure", "the closure, or the true flow"),
    label("model", "the model"),
    label("latent", "the latent space and its points"),
    label("of", "the field, or what the stage is of"),
    label("regime", "what is changed about the flow that models were trained on"),
    label("hold", "what happens to a draw until the next one"),
    label("sampler", "the sampler"),
    label("term", "the term of the budget"),
    label("part", "the part of the loss"),
    label("quantity", "the quantity"),
    label("case", "what else tells the row apart"),
    label("stage", "the stage of the pipeline"),
    note("work", "what the stage has to do"),
    note("folder", "the folder of the result"),
    note("state", "is the result there?"),
    label("source", "where the published number stands"),
    label("method", "the published method"),
    label("of preset", "the preset of our result"),
    note("relation", "is the published number a value or a bound?"),
    beside(note("artifact", "the folder of the result behind our number")),
    note("remark", "why there is no number of ours, or what to mind"),
    // Of a table of one time its caption tells it.
    Quantity { unit: "time", ..identity("t", Kind::Number, "simulated time") },
    place("lead", "time", Kind::Number, "time since the start of the forecast"),
    place("shell", "", Kind::Integer, "wavenumber shell round(|n|)"),
    place("rank", "", Kind::Integer, "members below the truth"),
    place("every", "steps", Kind::Integer, "solver steps from draw to draw"),
    place("steps", "", Kind::Integer, "sampling steps of a draw, or optimiser steps of a training"),
    place("step", "", Kind::Integer, "optimiser step"),
    place("tau max", "", Kind::Number, "pseudo-time at which the published sampler starts"),
    place("amplitude", "", Kind::Number, "decoded amplitude of the hidden forcing: of a cell 0 when off and 1 when on"),
    place("probability", "", Kind::Number, "mean probability of the cells given ω"),
    number("density", "", "of the decoded amplitudes"),
    number("frequency", "", "share of draws that have the cell switched on"),
    place("λ_KL", "", Kind::Number, "weight of the KL term in the joint loss"),
    place("λ_score", "", Kind::Number, "weight of the score term in the joint loss"),
    place("latent n", "", Kind::Integer, "points per side of the latent fields"),
    place("dimension", "", Kind::Integer, "latent dimension, by variance"),
    count("members", "members of the ensemble"),
    count("failures", "members that blew up"),
    place("trajectories", "", Kind::Integer, "training trajectories"),
    count("pairs", "training pairs (ω, H)"),
    count("states", "start states, each with a true flow and noise of its own"),
    number(
        "rank statistic",
        "",
        "χ² of the ranks of the truth over its mean if the truth were a member: 1 where ranks are flat but for chance",
    ),
    number("p-value", "", "probability of so large a χ² if the truth were one of the members"),
    new(
        "calibrated",
        "",
        Kind::Flag,
        Role::Value,
        "are error/exact, spread/skill and p-value what the caption asks for?",
    ),
    place("level", "", Kind::Number, "share of outcomes that the central interval of the members should hold"),
    number("coverage", "", "share of points whose true vorticity it holds"),
    number("first failure", "time", "simulated time at which the first member blew up"),
    count("alive", "members that have not failed"),
    number("ms/step", "ms", "cost of a solver step and member on one thread, closure included"),
    beside(number("ms/draw", "ms", "cost of a draw on one thread")),
    number("closure share", "", "the closure's share of the cost of a step"),
    new("frontier", "", Kind::Flag, Role::Value, "is no other variation both cheaper and closer to the truth in CRPS?"),
    number("encode", "ms", "ω to its latent"),
    number("denoise", "ms", "sampling in the latent space"),
    number("decode", "ms", "the latent draw to H"),
    number("draw", "ms", "a draw of H"),
    number("mean()", "ms", "the conditional mean at a state just drawn at"),
    number("solver step", "ms", "a step of the reduced solver without closure"),
    number("per step", "ms", "what the closed loop pays per solver step"),
    beside(number("cheaper", "", "the draw of the dearest closure over this one's")),
    number("sampled", "1/time⁴", "variance of the draws about their mean, ½Σ|ĥ|² of the shell"),
    number("exact", "1/time⁴", "variance of the exact law in the shell"),
    number("ratio", "", "sampled variance over the exact one"),
    number("enstrophy transfer", "1/time³", "rate at which the mean closure term changes the shell's enstrophy"),
    number("energy transfer", "length²/time³", "rate at which the mean closure term changes the shell's energy"),
    number("enstrophy flux", "1/time³", "enstrophy passed on to larger shells"),
    number("energy flux", "length²/time³", "energy passed on to larger shells"),
    number("energy", "length²/time²", "kinetic energy ½⟨|u|²⟩, of the shell or of the flow"),
    number("enstrophy", "1/time²", "enstrophy ½⟨ω²⟩, of the shell or of the flow"),
    number("spectral distance", "decades", "mean |log₁₀ E/E_true| over the energetic shells"),
    number("share", "", "share of grid points, or of latent dimensions"),
    number("bias/spread", "", "error of the mean in exact standard deviations"),
    number("std", "", "standard deviation of the latents"),
    count("units", "latent dimensions"),
    number("effective rank", "", "(tr C)²/tr C² of the latents' covariance C"),
    count("active units", "dimensions with more than a hundredth of the mean variance"),
    number("KL", "", "the published KL term: distance of the latents' law from a standard normal one"),
    number("rough", "", "share of the variance beyond half of the latent grid's wavenumbers"),
    number(
        "amplification",
        "",
        "relative change of H per relative change of its latent by white noise; 1 for an isometry",
    ),
    number("variance", "", "variance of the latent dimension relative to the mean over dimensions"),
    count("parameters", "trained numbers"),
    count("kept", "optimiser step whose weights were kept"),
    number("validation loss", "", "loss on the validation trajectories, in the model's own space"),
    number("relative loss", "", "validation loss over its first value"),
    number("loss", "", "the part on the validation trajectories"),
    number("seconds", "s", "time of the run that finished the training"),
    number("D_MSE ω", "1/time²", "mean square error of ω, encoded and decoded"),
    number("D_RE ω", "", "relative Frobenius error of ω, encoded and decoded"),
    number("D_MSE H", "1/time⁴", "mean square error of H, encoded and decoded"),
    number("D_RE H", "", "relative Frobenius error of H, encoded and decoded"),
    number("mean of H", "1/time⁴", "½|H|² of the conditional mean in the shell"),
    number("rest of H", "1/time⁴", "½|H|² of what is left in the shell"),
    number("H", "1/time⁴", "½|H|² of the missing term in the shell"),
    number("lost", "1/time⁴", "½|H|² of what the latent space loses in the shell"),
    number("here", "", "of the data set"),
    number("theory", "", "as the law of the forcing gives it"),
    number("published", "", "the published number"),
    number("published excess", "", "published D_RE of a draw less what the published noise implies"),
    number("recipe excess", "", "excess of D_RE of a draw over the exact law's, by the published recipe"),
    number("own excess", "", "the same, by the models of the configuration"),
    number("published error", "rms ω", "published error of the ensemble mean at the final time"),
    number("recipe error", "rms ω", "the same, by the published recipe"),
    number("own error", "rms ω", "the same, by the models of the configuration"),
    number("constant", "", "the model's constant in the configuration"),
    number("tuned", "", "the constant that fits the stored term best"),
    number("share back", "", "share of the energy that the model gives back, in the configuration"),
    number("share back tuned", "", "the share that fits the stored term best"),
    number("misfit", "", "what the tuned model leaves of the stored term's transfers by shell, relative"),
    number("enstrophy given", "", "enstrophy given to the resolved flow over what the stored term gives"),
    number("energy given", "", "energy given to the resolved flow over what the stored term gives"),
    number("relative error", "", "root mean square of mean term minus stored term over that of the stored term"),
    number(
        "enstrophy backscatter",
        "",
        "share of a draw's enstrophy transfer, point by point, that goes to the resolved flow",
    ),
    number(
        "energy backscatter",
        "",
        "share of a draw's energy transfer, point by point, that goes to the resolved flow",
    ),
    place("H/std", "", Kind::Number, "value of the term in standard deviations of the stored one"),
    place("ω/std", "", Kind::Number, "vorticity in standard deviations of the true one"),
    number("density", "", "probability density"),
    number("time to failure", "time", "time from the start to the first failure of a run"),
    number("energy distance", "decades", "mean |log₁₀ E/E_true| over shells"),
    number("enstrophy distance", "decades", "the same of the enstrophy spectrum"),
    number("similarity", "", "1 − energy distance over that without closure: 1 is the true spectrum"),
    number("enstrophy/true", "", "enstrophy over the true flow's"),
    number("exact mean", "", "spectrum of the exact conditional mean, over its mean square"),
    number(
        "test error",
        "",
        "spectrum of the error of the conditional mean on test pairs, over the mean square of the exact one",
    ),
    number("training error", "", "the same on pairs that were learned from"),
    number("truncation", "", "of the exact mean what the latent space cannot hold"),
    number("estimation", "", "of the training error the noise of the pairs that were learned from"),
    number("tail 3 std", "", "share of |ω| beyond three standard deviations of the true flow, over the true flow's"),
    number("tail 4 std", "", "the same beyond four"),
    number("tail 5 std", "", "the same beyond five"),
    number("cost/true", "", "cost of a simulated time unit over that of the full solver, on one thread"),
    number("ensemble variance", "", "variance of the members in the shell over the true flow's enstrophy there"),
    number("distance", "", "enstrophy of the distance from the true flow in the shell over twice the true one"),
    number("ours", "", "our number"),
    number("KS", "", "Kolmogorov–Smirnov distance of the law of X to the truth's"),
    number("mean of X", "", "mean of X over time, runs and sites"),
    number("std of X", "", "standard deviation of X"),
    number("memory error", "", "largest difference of the autocorrelation of X to the truth's"),
    number("CRPS of X", "", "continuous ranked probability score of the ensemble"),
    number("error of mean X", "", "root mean square error of the ensemble mean"),
    number("spread of X", "", "what the error would be if the truth were one of the members"),
    number("mean rate", "1/time³", "mean rate of change of enstrophy"),
    number("of the largest (%)", "%", "relative to the largest term"),
    number("value", "", "the number, in its unit"),
    number("se", "", "its standard error"),
    note("unit", "the unit of the number"),
    count("rows", "rows of which this is the mean"),
];

/// Ending of a column of standard errors of the column to its left.
pub const UNCERTAINTY: &str = " ±";
/// Ending of a column of standard deviations between the rows of which a mean was taken.
pub const BETWEEN: &str = " (sd)";

/// A title without what says that its column is beside another one.
pub fn stem(title: &str) -> &str {
    title.strip_suffix(UNCERTAINTY).or_else(|| title.strip_suffix(BETWEEN)).unwrap_or(title)
}

/// The quantity of a column, in the table of that name: names of scores on test conditions, or over start states, come before the
/// others in tables of such scores.
pub fn quantity(table: &str, title: &str) -> Option<Quantity> {
    let name = stem(title);
    let listed = || LISTED.iter().find(|quantity| quantity.name == name).copied();
    let offline = || OFFLINE.iter().find(|m| m.name == name).map(|m| score(m.name, m.unit, m.headline, m.caption));
    let closed = || CLOSED_LOOP.iter().find(|m| m.name == name).map(|m| score(m.name, m.unit, m.headline, m.caption));
    let starts = || CALIBRATION.iter().find(|m| m.name == name).map(|m| score(m.name, m.unit, m.headline, m.caption));
    if table.ends_with("offline") {
        return offline().or_else(listed);
    }
    let of_table = if table.contains("calibration") { starts() } else { None };
    of_table.or_else(listed).or_else(closed).or_else(offline).or_else(starts)
}

fn score(name: &'static str, unit: &'static str, headline: bool, meaning: &'static str) -> Quantity {
    Quantity { headline, ..number(name, unit, meaning) }
}

/// The name of a column outside: `error of mean ±` is `error_of_mean_se`, `std/exact` is `std_over_exact`.
pub fn machine(title: &str) -> String {
    let (name, end) = match (title.strip_suffix(UNCERTAINTY), title.strip_suffix(BETWEEN)) {
        (Some(name), _) => (name, "_se"),
        (_, Some(name)) => (name, "_sd"),
        _ => (title, ""),
    };
    let per = if name.starts_with("ms/") { " per " } else { " over " };
    let spelled =
        name.to_lowercase().replace('/', per).replace('%', "percent").replace('ω', "w").replace('λ', "lambda");
    let words: Vec<&str> = spelled.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    format!("{}{end}", words.join("_"))
}

/// Names of all scores.
fn scores() -> impl Iterator<Item = &'static str> {
    let loops = CLOSED_LOOP.iter().map(|m| m.name).chain(CALIBRATION.iter().map(|m| m.name));
    OFFLINE.iter().map(|m| m.name).chain(loops)
}

/// The title of a column that [`machine`] named; what it did not name keeps its name.
pub fn title(name: &str) -> String {
    let known =
        |name: &str| LISTED.iter().map(|quantity| quantity.name).chain(scores()).find(|title| machine(title) == name);
    let ends = [("_se", UNCERTAINTY), ("_sd", BETWEEN)];
    let beside = ends.iter().find_map(|(end, said)| Some(format!("{}{said}", known(name.strip_suffix(end)?)?)));
    known(name).map(String::from).or(beside).unwrap_or_else(|| name.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_outside_are_distinct_and_lead_back() {
        let titles: std::collections::BTreeSet<&str> = LISTED.iter().map(|q| q.name).chain(scores()).collect();
        for name in titles {
            for end in ["", UNCERTAINTY, BETWEEN] {
                let whole = format!("{name}{end}");
                assert_eq!(title(&machine(&whole)), whole, "{}", machine(&whole));
                assert!(machine(&whole).chars().all(|c| c.is_ascii_alphanumeric() || c == '_'), "{whole}");
            }
        }
        assert_eq!(machine("D_RE single excess ±"), "d_re_single_excess_se");
        assert_eq!(machine("ms/step"), "ms_per_step");
        assert_eq!(machine("coverage 50 %"), "coverage_50_percent");
        assert_eq!(title("mine"), "mine");
    }

    #[test]
    fn a_score_is_found_in_its_own_table() {
        assert_eq!(quantity("les-offline", "CRPS ±").unwrap().unit, "rms H");
        assert_eq!(quantity("closed-loop", "CRPS").unwrap().unit, "rms ω");
        assert!(quantity("calibration-curves", "spread").unwrap().meaning.contains("start states"));
        assert_eq!(quantity("statistics", "energy").unwrap().unit, "length²/time²");
        assert_eq!(quantity("x", "nobody's"), None);
    }
}
