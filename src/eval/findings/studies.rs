//! What studies say beyond one closed loop.

use std::collections::BTreeSet;

use super::{Results, is_given, short};
use crate::closure::NO_CLOSURE;
use crate::error::Result;
use crate::eval::calibration::{CalibrationPoint, CalibrationRow};
use crate::eval::metric::{STARTS_ERROR_OVER_EXACT, STARTS_SPREAD_OVER_SKILL};
use crate::eval::names::display;

/// What is calibrated over several start states, and what is not, with the numbers that say so.
pub(super) fn calibration(results: &Results) -> Result<Option<String>> {
    let Some(all) = results.calibration else { return Ok(None) };
    let judged = all.rows.iter().filter(|row| row.closure != NO_CLOSURE);
    let judged: Vec<(&CalibrationRow, &CalibrationPoint, bool)> = judged
        .filter_map(|row| row.points.last().and_then(|point| Some((row, point, point.is_calibrated()?))))
        .collect();
    let said = |wanted: bool| {
        let rows = judged.iter().filter(|(.., calibrated)| *calibrated == wanted).map(|(row, point, _)| {
            format!(
                "{} (error {} times the exact law's, spread/skill {}, p = {} of its ranks)",
                display(&row.closure),
                short(point.of(&STARTS_ERROR_OVER_EXACT).value),
                short(point.of(&STARTS_SPREAD_OVER_SKILL).value),
                short(point.ranks.as_ref().map_or(f64::NAN, |ranks| ranks.p_value))
            )
        });
        let rows: Vec<String> = rows.collect();
        if rows.is_empty() { "nothing".into() } else { rows.join(", ") }
    };
    Ok((all.states > 1 && !judged.is_empty()).then(|| {
        format!(
            "From {} start states ensembles are calibrated with {}; they are not with {}",
            all.states,
            said(true),
            said(false)
        )
    }))
}

/// Every learned law in its worst regime, beside that of its training, which comes first.
pub(super) fn regimes(results: &Results) -> Result<Option<String>> {
    let Some(table) = results.regimes else { return Ok(None) };
    let (regimes, closures) = (table.texts("regime")?, table.texts("closure")?);
    let ratios = table.numbers(STARTS_ERROR_OVER_EXACT.name)?;
    let mut said: Vec<String> = Vec::new();
    for (i, closure) in closures.iter().enumerate().filter(|(i, _)| regimes[*i] == regimes[0]) {
        let own = |k: &usize| closures[*k] == *closure && ratios[*k].is_finite();
        let worst = (0..closures.len()).filter(own).max_by(|a, b| ratios[*a].total_cmp(&ratios[*b]));
        if let Some(worst) = worst.filter(|_| !is_given(closure)) {
            let (here, there) = (short(ratios[i]), short(ratios[worst]));
            said.push(format!(
                "{} {here} where it was trained, at most {there} ({})",
                display(closure),
                regimes[worst]
            ));
        }
    }
    let all = regimes.iter().collect::<BTreeSet<_>>().len();
    let text = || {
        let said = said.join("; ");
        format!("Over {all} regimes the error of the ensemble mean is so many times that of the exact law: {said}")
    };
    Ok((!said.is_empty()).then(text))
}
