//! Probability densities of values, far into their tails.

/// Counts of values in bins of [`Histogram::WIDTH`] standard deviations up to ±[`Histogram::MOST`], with all that lies beyond in the
/// outermost ones.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// In order of the values.
    pub counts: Vec<f64>,
}

impl Histogram {
    /// Width of a bin, in standard deviations.
    pub const WIDTH: f64 = 0.25;
    /// Where the outermost bins begin, in standard deviations.
    pub const MOST: f64 = 8.0;
    /// Number of bins.
    pub const BINS: usize = (2.0 * (Self::MOST / Self::WIDTH + 1.0)) as usize;

    /// No values yet.
    pub fn new() -> Self {
        Self { counts: vec![0.0; Self::BINS] }
    }

    /// Counts values in units of their standard deviation.
    pub fn add(&mut self, values: impl IntoIterator<Item = f64>) {
        for value in values.into_iter().filter(|value| value.is_finite()) {
            let bin = (value / Self::WIDTH).floor() + (Self::BINS / 2) as f64;
            self.counts[bin.clamp(0.0, Self::BINS as f64 - 1.0) as usize] += 1.0;
        }
    }

    /// The middle of a bin, in standard deviations.
    pub fn middle(bin: usize) -> f64 {
        (bin as f64 - (Self::BINS / 2) as f64 + 0.5) * Self::WIDTH
    }

    /// Values in all.
    pub fn total(&self) -> f64 {
        self.counts.iter().sum()
    }

    /// Probability density in units of the standard deviation; that of the outermost bins counts all beyond.
    pub fn density(&self) -> Vec<f64> {
        let scale = 1.0 / (self.total() * Self::WIDTH);
        self.counts.iter().map(|count| count * scale).collect()
    }

    /// Share of values beyond ±`level`, a multiple of [`Histogram::WIDTH`] up to [`Histogram::MOST`].
    pub fn beyond(&self, level: f64) -> f64 {
        let bins = self.counts.iter().enumerate();
        let outside = bins.filter(|(bin, _)| Self::middle(*bin).abs() > level).map(|(_, count)| count).sum::<f64>();
        outside / self.total()
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::SeedTree;
    use rand_distr::{Distribution, StandardNormal};

    #[test]
    fn tails_of_known_values_are_their_shares() {
        let mut histogram = Histogram::new();
        histogram.add([-5.1, -3.0, -0.1, 0.0, 0.1, 2.99, 3.01, 100.0, f64::NAN]);
        assert_eq!(histogram.total(), 8.0);
        // −5.1, 3.01 and 100; the bin [−3, −2.75) is inside.
        assert_eq!(histogram.beyond(3.0), 3.0 / 8.0);
        assert_eq!(histogram.beyond(5.0), 2.0 / 8.0);
        assert!((histogram.density().iter().sum::<f64>() * Histogram::WIDTH - 1.0).abs() < 1e-12);
        let middle = (Histogram::BINS / 2, Histogram::middle(Histogram::BINS / 2));
        assert_eq!((middle.1, histogram.counts[middle.0]), (0.125, 2.0));
    }

    #[test]
    fn a_normal_law_has_its_density_and_tails() {
        let mut rng = SeedTree::new(1).stream();
        let mut histogram = Histogram::new();
        histogram.add((0..200_000).map(|_| -> f64 { StandardNormal.sample(&mut rng) }));
        // P(|x| > 3) = 0.0027: ± 5 % of 540 events.
        assert!((histogram.beyond(3.0) / 0.0026998 - 1.0).abs() < 0.15, "{}", histogram.beyond(3.0));
        for (bin, density) in
            histogram.density().iter().enumerate().filter(|(bin, _)| Histogram::middle(*bin).abs() < 2.0)
        {
            let exact = (-0.5 * Histogram::middle(bin).powi(2)).exp() / (2.0 * std::f64::consts::PI).sqrt();
            assert!((density / exact - 1.0).abs() < 0.05, "bin {bin}: {density}, {exact}");
        }
    }
}
