//! Times of calls that repeat.

use std::time::{Duration, Instant};

/// Times of calls that repeat. The first few do not count: caches, page faults, clock frequency.
#[derive(Debug, Clone)]
pub(crate) struct Stopwatch {
    warm_up: usize,
    times: Vec<Duration>,
}

impl Stopwatch {
    /// A watch that does not count the first `warm_up` times.
    pub fn after(warm_up: usize) -> Self {
        Self { warm_up, times: Vec::new() }
    }

    /// Does `work` and takes its time.
    pub fn time<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let clock = Instant::now();
        let made = work();
        self.add(clock.elapsed());
        made
    }

    /// Takes a time.
    pub fn add(&mut self, time: Duration) {
        self.times.push(time);
    }

    /// Median in ms, of an even number of times the upper of the two in the middle; NaN before any counts.
    pub fn median(&self) -> f64 {
        let times = self.sorted();
        times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
    }

    /// Least in ms; NaN before any counts.
    #[cfg(any(feature = "cli", test))]
    pub fn least(&self) -> f64 {
        self.sorted().first().copied().unwrap_or(f64::NAN)
    }

    /// The times that count, in ms, ascending.
    fn sorted(&self) -> Vec<f64> {
        let mut times: Vec<f64> = self.times.iter().skip(self.warm_up).map(|time| 1e3 * time.as_secs_f64()).collect();
        times.sort_unstable_by(f64::total_cmp);
        times
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_before_the_warm_up_ends_does_not_count() {
        let mut watch = Stopwatch::after(2);
        for ms in [1, 9] {
            watch.add(Duration::from_millis(ms));
        }
        assert!(watch.median().is_nan() && watch.least().is_nan());
        for ms in [5, 3, 8, 4] {
            watch.add(Duration::from_millis(ms));
        }
        assert_eq!((watch.median(), watch.least()), (5.0, 3.0));
        assert_eq!(watch.time(|| 7), 7);
        assert_eq!(watch.median(), 4.0);
    }
}
