//! Axes: ticks at round numbers, their labels, and the map from values to points on the page.

/// Linear or logarithmic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Scale {
    /// Linear.
    #[default]
    Linear,
    /// Logarithm to base ten; values that are not positive leave a gap.
    Log,
}

/// Below so many decades, a logarithmic axis has ticks at 1, 2 and 5.
const FEW_DECADES: f64 = 2.3;

/// Values below this are written with a power of ten.
const SMALLEST: f64 = 1e-3;

/// A value axis between two ends of the page.
#[derive(Debug, Clone)]
pub struct Axis {
    scale: Scale,
    low: f64,
    high: f64,
    /// Page coordinates of `low` and `high`.
    page: (f64, f64),
}

impl Axis {
    /// An axis from `low` to `high`.
    pub fn new(scale: Scale, low: f64, high: f64, page: (f64, f64)) -> Self {
        Self { scale, low, high, page }
    }

    /// Page coordinate of a value; `None` for what a logarithmic axis cannot show and for NaN.
    pub fn place(&self, value: f64) -> Option<f64> {
        let t = match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Log if value <= 0.0 => return None,
            Scale::Log => (value / self.low).log10() / (self.high / self.low).log10(),
        };
        t.is_finite().then_some(self.page.0 + t * (self.page.1 - self.page.0))
    }

    /// Ticks with labels, about `wanted` of them.
    pub fn ticks(&self, wanted: usize) -> Vec<(f64, String)> {
        match self.scale {
            Scale::Linear => self.even(wanted),
            Scale::Log => {
                let (first, last) = (exponent_up(self.low), exponent_down(self.high));
                let decades = last - first + 1;
                if (self.high / self.low).log10() >= FEW_DECADES {
                    let every = (decades as usize).div_ceil(wanted).max(1);
                    (first..=last).step_by(every).map(|e| (10f64.powi(e), power(e))).collect()
                } else {
                    // 1, 2, 5 of each decade, written out; even ones where that gives too few.
                    let usual: Vec<(f64, String)> = (first - 1..=last)
                        .flat_map(|e| [1.0, 2.0, 5.0].map(|m| m * 10f64.powi(e)))
                        .filter(|v| *v >= self.low * (1.0 - 1e-9) && *v <= self.high * (1.0 + 1e-9))
                        .map(|v| (v, plain(v)))
                        .collect();
                    if usual.len() < 3 { self.even(wanted) } else { usual }
                }
            }
        }
    }

    /// Ticks at even distances.
    fn even(&self, wanted: usize) -> Vec<(f64, String)> {
        let step = round_step((self.high - self.low) / wanted as f64);
        let digits = (-step.log10().floor()).max(0.0) as usize;
        let (first, last) = ((self.low / step - 1e-9).ceil() as i64, (self.high / step + 1e-9).floor() as i64);
        let small = self.low.abs().max(self.high.abs()) < SMALLEST;
        let label = |v: f64| if small { plain(v) } else { minus(&format!("{v:.digits$}")) };
        (first..=last).map(|i| i as f64 * step).map(|v| (v, label(v))).collect()
    }

    /// Unlabelled ticks of a logarithmic axis: 2 … 9 of each decade.
    pub fn minor(&self) -> Vec<f64> {
        match self.scale {
            Scale::Linear => Vec::new(),
            Scale::Log if (self.high / self.low).log10() > 12.0 => Vec::new(),
            Scale::Log => (exponent_up(self.low) - 1..=exponent_down(self.high))
                .flat_map(|e| (2..10).map(move |m| f64::from(m) * 10f64.powi(e)))
                .filter(|v| *v > self.low && *v < self.high)
                .collect(),
        }
    }
}

/// Range of the values that the scale can show, widened a little; `None` if there are none.
pub fn range(scale: Scale, values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let usable = values.filter(|v| v.is_finite() && (scale == Scale::Linear || *v > 0.0));
    let (low, high) = usable.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    if low > high {
        return None;
    }
    Some(match scale {
        Scale::Linear => {
            let margin = if high > low { 0.04 * (high - low) } else { 0.5 * low.abs().max(1.0) };
            (low - margin, high + margin)
        }
        Scale::Log => {
            let margin = if high > low { (high / low).powf(0.05) } else { 2.0 };
            (low / margin, high * margin)
        }
    })
}

/// The largest of 1, 2, 5 × 10^k not much below `rough`.
fn round_step(rough: f64) -> f64 {
    let power = 10f64.powf(rough.log10().floor());
    let mantissa = rough / power;
    power
        * if mantissa < 1.5 {
            1.0
        } else if mantissa < 3.5 {
            2.0
        } else if mantissa < 7.5 {
            5.0
        } else {
            10.0
        }
}

fn exponent_up(value: f64) -> i32 {
    (value.log10() - 1e-9).ceil() as i32
}

fn exponent_down(value: f64) -> i32 {
    (value.log10() + 1e-9).floor() as i32
}

/// 10ᵉ with a raised exponent.
fn power(exponent: i32) -> String {
    let raised = |c: char| match c {
        '-' => '⁻',
        digit => ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'][digit as usize - '0' as usize],
    };
    std::iter::once("10".to_string()).chain([exponent.to_string().chars().map(raised).collect()]).collect()
}

/// A short number as one would write it.
pub fn plain(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(SMALLEST..1e5).contains(&size) {
        let exponent = size.log10().floor() as i32;
        let mantissa = value / 10f64.powi(exponent);
        return format!("{}·{}", minus(&format!("{}", (mantissa * 100.0).round() / 100.0)), power(exponent));
    }
    minus(&format!("{}", (value * 1e6).round() / 1e6))
}

/// A true minus sign.
fn minus(text: &str) -> String {
    text.replace('-', "−")
}

/// The smallest of 1, 1.5, 2, 2.5, 3, 4, 5, 6, 8 × 10^k that is at least `value`: a round end for a colour scale.
pub fn round_up(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    let steps = [1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];
    power * steps.into_iter().find(|step| *step * power >= value * (1.0 - 1e-9)).unwrap_or(10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let labels = |axis: &Axis| axis.ticks(5).into_iter().map(|t| t.1).collect::<Vec<_>>();
        let axis = Axis::new(Scale::Linear, 29.8, 50.2, (0.0, 1.0));
        assert_eq!(labels(&axis), ["30", "35", "40", "45", "50"]);
        let axis = Axis::new(Scale::Log, 3e-5, 20.0, (0.0, 1.0));
        assert_eq!(labels(&axis), ["10⁻⁴", "10⁻²", "10⁰"]);
        let axis = Axis::new(Scale::Log, 0.03, 0.6, (0.0, 1.0));
        assert_eq!(labels(&axis), ["0.05", "0.1", "0.2", "0.5"]);
        let axis = Axis::new(Scale::Log, 0.024, 0.07, (0.0, 1.0));
        assert_eq!(labels(&axis), ["0.03", "0.04", "0.05", "0.06", "0.07"]);
        // Between two neighbours of 1, 2, 5 there are ticks, too.
        let axis = Axis::new(Scale::Log, 0.0216, 0.0242, (0.0, 1.0));
        assert_eq!(labels(&axis), ["0.0220", "0.0225", "0.0230", "0.0235", "0.0240"]);
        let axis = Axis::new(Scale::Linear, 0.0, 2.1e-4, (0.0, 1.0));
        assert_eq!(labels(&axis), ["0", "5·10⁻⁵", "1·10⁻⁴", "1.5·10⁻⁴", "2·10⁻⁴"]);
        assert_eq!(Axis::new(Scale::Linear, -1.0, 1.0, (0.0, 1.0)).ticks(4)[0].1, "−1.0");
    }

    #[test]
    fn places_and_refuses() {
        let axis = Axis::new(Scale::Log, 1.0, 100.0, (0.0, 10.0));
        assert!((axis.place(10.0).unwrap() - 5.0).abs() < 1e-12);
        assert_eq!(axis.place(0.0), None);
        assert_eq!(axis.place(f64::NAN), None);
        assert_eq!(range(Scale::Log, [0.0, -1.0, f64::NAN].into_iter()), None);
        assert!((round_up(0.13) - 0.15).abs() < 1e-12);
        assert_eq!(round_up(2.0), 2.0);
    }
}
