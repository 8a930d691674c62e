//! Curves over one axis: errors in time, spectra, losses.

use crate::error::Result;
use crate::plot::Figure;
use crate::plot::axes::Scale;
use crate::plot::series::Series;

/// Curves on common axes, with a legend beside the frame, so that it never covers data.
///
/// ```
/// # use lacuna::plot::Chart;
/// let t: Vec<f64> = (0..100).map(|i| 0.1 * f64::from(i)).collect();
/// let decay = t.iter().map(|t| (-t).exp()).collect();
/// Chart::new("decay", "time t", "amplitude").log_y().curve("exp(−t)", t, decay).draw()?;
/// # Ok::<(), lacuna::Error>(())
/// ```
///
/// At the end of a notebook's cell a chart draws itself. Every curve has the colour and dash of its name, in every figure.
#[derive(Debug, Clone, Default)]
pub struct Chart {
    /// File name without extension.
    pub name: String,
    /// Quantity and unit of the abscissa.
    pub x_label: String,
    /// Quantity and unit of the ordinate.
    pub y_label: String,
    /// Scale of the abscissa.
    pub x_scale: Scale,
    /// Scale of the ordinate.
    pub y_scale: Scale,
    /// What is shown, in a sentence.
    pub caption: String,
    /// Reference lines y = value with a note each.
    pub levels: Vec<(f64, String)>,
    /// The curves.
    pub series: Vec<Series>,
}

impl Chart {
    /// A chart without curves, on linear axes.
    pub fn new(name: impl Into<String>, x_label: impl Into<String>, y_label: impl Into<String>) -> Self {
        Self { name: name.into(), x_label: x_label.into(), y_label: y_label.into(), ..Self::default() }
    }

    /// The same chart on a logarithmic abscissa; values that are not positive leave a gap.
    #[must_use]
    pub fn log_x(self) -> Self {
        Self { x_scale: Scale::Log, ..self }
    }

    /// The same chart on a logarithmic ordinate; values that are not positive leave a gap.
    #[must_use]
    pub fn log_y(self) -> Self {
        Self { y_scale: Scale::Log, ..self }
    }

    /// The same chart with one more curve.
    #[must_use]
    pub fn curve(self, label: impl Into<String>, x: Vec<f64>, y: Vec<f64>) -> Self {
        self.with([Series::new(label, x, y)])
    }

    /// The same chart with more curves, for instance those of a table ([`crate::eval::Table::series`]).
    #[must_use]
    pub fn with(mut self, series: impl IntoIterator<Item = Series>) -> Self {
        self.series.extend(series);
        self
    }

    /// The same chart with a reference line at `value`; the legend says what it is.
    #[must_use]
    pub fn with_level(mut self, value: f64, note: &str) -> Self {
        self.levels.push((value, note.into()));
        self
    }

    /// The same chart with a caption.
    #[must_use]
    pub fn captioned(self, caption: impl Into<String>) -> Self {
        Self { caption: caption.into(), ..self }
    }
}

/// Relative error of the ensemble mean against time, on a logarithmic ordinate.
///
/// # Errors
/// As [`Chart::draw`].
pub fn error_curves(name: &str, series: Vec<Series>) -> Result<Figure> {
    Chart::new(name, "time t", "relative error of the ensemble mean").log_y().with(series).draw()
}

/// Shell-summed spectra against the shell number, both logarithmic.
///
/// # Errors
/// As [`Chart::draw`].
pub fn spectra(name: &str, y_label: &str, series: Vec<Series>) -> Result<Figure> {
    Chart::new(name, "wavenumber |n|  (k = 2πn/L)", y_label).log_x().log_y().with(series).draw()
}

/// Curves against the optimiser step, on a logarithmic ordinate.
///
/// # Errors
/// As [`Chart::draw`].
pub fn training_curves(name: &str, y_label: &str, series: Vec<Series>) -> Result<Figure> {
    Chart::new(name, "optimiser step", y_label).log_y().with(series).draw()
}

/// [`training_curves`] of losses.
///
/// # Errors
/// As there.
pub fn loss_curves(name: &str, series: Vec<Series>) -> Result<Figure> {
    training_curves(name, "loss", series)
}
