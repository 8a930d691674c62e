//! What readers call closures, flows and fields: one list for tables and figures.
//!
//! Configurations, files and frames have keys (`two-phase`); what is shown has names (two-phase L-CDM).

use crate::closure::{EXACT_LAW, MATCHED_GAUSSIAN, MEMORYLESS, NO_CLOSURE};

/// What the true flow is called in tables.
pub const TRUE_FLOW: &str = "true flow";

/// Keys with a name of their own. A key may carry more, a variant (`joint-paper`) or a setting (`joint, every 5`).
const NAMES: [(&str, &str); 37] = [
    (TRUE_FLOW, "truth"),
    ("none", NO_CLOSURE),
    (NO_CLOSURE, NO_CLOSURE),
    ("exact", EXACT_LAW),
    (EXACT_LAW, EXACT_LAW),
    ("matched-gaussian", MATCHED_GAUSSIAN),
    (MATCHED_GAUSSIAN, MATCHED_GAUSSIAN),
    ("memoryless", MEMORYLESS),
    (MEMORYLESS, MEMORYLESS),
    ("p-cdm", "P-CDM"),
    ("joint", "joint L-CDM"),
    ("two-phase", "two-phase L-CDM"),
    ("spectral", "spectral L-CDM"),
    ("regression", "regression + noise"),
    ("quadratic", "quadratic"),
    ("flow", "flow matching"),
    ("generator", "generator"),
    ("residual-diffusion", "residual diffusion"),
    ("residual-flow", "residual flow matching"),
    ("residual-gaussian", "residual Gaussian, mean and variance"),
    ("residual-generator", "residual generator"),
    ("smagorinsky", "Smagorinsky"),
    ("smagorinsky-mean", "Smagorinsky, domain mean"),
    ("dynamic-smagorinsky", "dynamic Smagorinsky"),
    ("dsmag", "DSMAG"),
    ("dsmag-clipped", "DSMAG, clipped"),
    ("leith", "Leith"),
    ("leith-mean", "Leith, domain mean"),
    ("dleith", "DLEITH"),
    ("dleith-clipped", "DLEITH, clipped"),
    ("gm2", "GM2"),
    ("gm4", "GM4"),
    ("deconvolution", "deconvolution"),
    ("jhs", "JHS"),
    ("jhl", "JHL"),
    ("hyperviscosity", "hyperviscosity"),
    ("truth", "truth"),
];

/// What the variants of a model are called.
const VARIANTS: [(&str, &str); 3] = [("paper", "as published"), ("crps", "CRPS"), ("energy", "energy score")];

/// Endings of the key of a closure that is only its conditional mean: in configurations, and in results.
const MEANS: [&str; 2] = ["/mean", " (mean)"];

/// A key taken apart: the known key that it begins with, and what follows.
///
/// What follows begins with a sign that keys do not go on with: a hyphen, a comma, a slash, a bracket.
pub fn base(key: &str) -> Option<(&'static str, &str)> {
    let parts = NAMES.iter().filter_map(|(known, _)| Some((*known, key.strip_prefix(known)?)));
    let whole =
        parts.filter(|(_, rest)| rest.is_empty() || rest.starts_with(['-', ',', '/']) || rest.starts_with(" ("));
    whole.min_by_key(|(_, rest)| rest.len())
}

/// The parts of the key of a sum of closures (`0.5*quadratic+0.5*jhs`), each with its weight; `None` for all other keys.
pub fn parts(key: &str) -> Option<Vec<(&str, &str)>> {
    if !key.contains(['*', '+']) || key.contains(' ') {
        return None;
    }
    Some(key.split('+').map(|part| part.split_once('*').unwrap_or(("", part))).collect())
}

/// What readers call the closure, flow or model of a key; what is not known keeps its key.
pub fn display(key: &str) -> String {
    if let Some(parts) = parts(key) {
        let part = |&(weight, key): &(&str, &str)| format!("{weight} {}", display(key)).trim().to_string();
        return parts.iter().map(part).collect::<Vec<_>>().join(" + ");
    }
    if let Some(rest) = key.strip_prefix(EXACT_LAW).or(key.strip_prefix("exact"))
        && MEANS.contains(&rest)
    {
        return "exact mean".into();
    }
    for mean in MEANS {
        if let Some(of) = key.strip_suffix(mean) {
            return format!("{}, mean only", display(of));
        }
    }
    let Some((known, rest)) = base(key) else { return key.into() };
    let name = NAMES.iter().find(|(key, _)| *key == known).map_or(known, |(_, name)| name);
    match rest.strip_prefix('-') {
        None => format!("{name}{rest}"),
        Some(rest) => {
            let (variant, setting) = rest.find(',').map_or((rest, ""), |at| rest.split_at(at));
            let said = VARIANTS.iter().find(|(key, _)| *key == variant).map(|(_, said)| (*said).to_string());
            let size = variant.parse::<usize>().ok().map(|n| format!("{n}²"));
            format!("{name} ({}){setting}", said.or(size).unwrap_or_else(|| variant.into()))
        }
    }
}

/// A simulated time without the digits of its round-off.
pub fn time(t: f64) -> String {
    let text = format!("{t:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_names_and_strangers_keep_theirs() {
        for (key, name) in [
            ("p-cdm", "P-CDM"),
            ("joint", "joint L-CDM"),
            ("joint-paper", "joint L-CDM (as published)"),
            ("spectral-12, 2 steps", "spectral L-CDM (12²), 2 steps"),
            ("spectral, every 5", "spectral L-CDM, every 5"),
            ("regression (mean)", "regression + noise, mean only"),
            ("exact/mean", "exact mean"),
            ("exact law (mean)", "exact mean"),
            ("true flow", "truth"),
            ("none", "no closure"),
            ("dynamic-smagorinsky", "dynamic Smagorinsky"),
            ("dsmag-clipped", "DSMAG, clipped"),
            ("leith-mean", "Leith, domain mean"),
            ("gm4/mean", "GM4, mean only"),
            ("0.5*quadratic/mean+jhs", "0.5 quadratic, mean only + JHS"),
            ("regression + noise", "regression + noise"),
            ("jointly", "jointly"),
            ("drag 0.01", "drag 0.01"),
            ("exactly mine", "exactly mine"),
        ] {
            assert_eq!(display(key), name);
        }
    }
}
