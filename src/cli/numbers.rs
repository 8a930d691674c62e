//! Numbers on the command line, in every notation that is exact.

use std::time::Duration;

/// A finite number: `-1e-3`, `.5`, `1.`.
pub(super) fn real(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        _ => Err(format!("`{text}`; must be a finite number")),
    }
}

/// A whole number, not below 0: `1000`, `1e3`.
pub(super) fn whole(text: &str) -> Result<u64, String> {
    /// Beyond it not every whole number is a floating-point number.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let exact = |value: &f64| value.fract() == 0.0 && (0.0..=EXACT).contains(value);
    let number = text.parse::<u64>().ok().or_else(|| text.parse::<f64>().ok().filter(exact).map(|value| value as u64));
    number.ok_or_else(|| format!("`{text}`; must be a whole number from 0 to {}", u64::MAX))
}

/// [`whole`], as a number of things.
pub(super) fn count(text: &str) -> Result<usize, String> {
    whole(text).and_then(|count| usize::try_from(count).map_err(|_| format!("`{text}`; is too many")))
}

/// A positive number of minutes, fractions allowed.
pub(super) fn minutes(text: &str) -> Result<Duration, String> {
    let time = text.parse().ok().and_then(|minutes: f64| Duration::try_from_secs_f64(60.0 * minutes).ok());
    time.filter(|time| !time.is_zero()).ok_or_else(|| format!("`{text}`; must be a positive number of minutes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_where_they_are_exact() {
        assert_eq!([".5", "1.", "-1e-3", "1.e-3"].map(real), [Ok(0.5), Ok(1.0), Ok(-1e-3), Ok(1e-3)]);
        assert_eq!(["7", "1e3", "18446744073709551615"].map(whole), [Ok(7), Ok(1000), Ok(u64::MAX)]);
        for wrong in ["-1", "1.5", "1e30", "many", "NaN", ""] {
            assert!(whole(wrong).is_err_and(|what| what.contains(wrong)), "{wrong}");
        }
        assert!(["inf", "NaN", "x"].iter().all(|text| real(text).is_err()));
    }
}
