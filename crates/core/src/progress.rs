//! What is said of long work while it goes on: rate, remaining time, and when to speak of them.

use std::time::{Duration, Instant};

/// Per cent of the work between two progress lines, and the shortest and the longest silence.
const PER_CENT: usize = 5;
const PAUSE: Duration = Duration::from_secs(1);
const SILENCE: Duration = Duration::from_secs(30);
/// Rate and remaining time of steps that are counted from some number on.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    clock: Instant,
    first: usize,
}

impl Pace {
    /// A pace that begins now, after `first` steps.
    pub fn new(first: usize) -> Self {
        Self { clock: Instant::now(), first }
    }

    /// Steps per second since the beginning; `steps` counts the first ones, too.
    pub fn rate(&self, steps: usize) -> f64 {
        steps.saturating_sub(self.first) as f64 / self.clock.elapsed().as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// Seconds until `total` steps are done at the rate so far.
    pub fn left(&self, steps: usize, total: usize) -> f64 {
        total.saturating_sub(steps) as f64 / self.rate(steps)
    }
}

/// Rate and remaining time of a number of steps, and when to speak of them.
pub struct Meter {
    what: String,
    total: usize,
    pace: Pace,
    /// Per cent and time of the last line.
    said: (usize, Instant),
}

impl Meter {
    /// A meter of `total` steps that start now; `what` begins each line.
    pub fn new(what: &str, total: usize) -> Self {
        let now = Instant::now();
        Self { what: what.into(), total: total.max(1), pace: Pace::new(0), said: (0, now) }
    }

    fn per_cent(&self, steps: usize) -> usize {
        (100.0 * steps as f64 / self.total as f64) as usize
    }

    /// Whether to speak: a few per cent have been done since the last line, and it is a while ago or a job has just
    /// `finished`; or nothing has been said for long.
    pub fn due(&self, steps: usize, finished: bool) -> bool {
        let silent = self.said.1.elapsed();
        let pause = finished || silent >= PAUSE;
        silent >= SILENCE || (pause && self.per_cent(steps) >= self.said.0 + PER_CENT)
    }

    /// `rollout of exact law: 3/8 members, 37 %, 4200 steps/s, 35 s left`; `detail` is what stands between colon and per
    /// cent.
    pub fn line(&mut self, steps: usize, detail: &str) -> String {
        self.said = (self.per_cent(steps), Instant::now());
        let head = format!("{}:{detail}", self.what);
        if steps == 0 {
            return head;
        }
        let (rate, left) = (self.pace.rate(steps), self.pace.left(steps, self.total));
        let comma = if detail.is_empty() { "" } else { "," };
        format!("{head}{comma} {} %, {rate:.0} steps/s, {} left", self.said.0, duration(left))
    }
}

/// Seconds in words: `7.4 s`, `42 s`, `2 min 05 s`, `2 h 01 min`.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        // What would read as 10.0 is a whole number already.
        _ if seconds < 9.95 => format!("{seconds:.1} s"),
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        let words = [7.44, 9.96, 59.4, 59.6, 125.0, 3599.7, 7260.0].map(duration);
        assert_eq!(words, ["7.4 s", "10 s", "59 s", "1 min 00 s", "2 min 05 s", "1 h 00 min", "2 h 01 min"]);
    }

    #[test]
    fn a_pace_counts_from_where_it_began() {
        let pace = Pace { clock: Instant::now() - Duration::from_secs(10), first: 100 };
        assert!((pace.rate(300) / 20.0 - 1.0).abs() < 0.1, "{}", pace.rate(300));
        assert!((pace.left(300, 500) / 10.0 - 1.0).abs() < 0.1, "{}", pace.left(300, 500));
    }
}
