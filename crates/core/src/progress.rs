//! What is said of long work while it goes on: rate, remaining time, and when to speak of them.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::stop;

/// Prints a line on standard output at once, also where that is a pipe. One that cannot be written is reported to
/// [`stop::lost`]; work goes on unless that is a reason to stop.
pub fn say(line: &str) {
    let mut out = std::io::stdout();
    if let Err(error) = writeln!(out, "{line}").and_then(|()| out.flush()) {
        stop::lost("standard output", &error);
    }
}

/// [`say`] on standard error.
pub fn warn(line: &str) {
    if let Err(error) = writeln!(std::io::stderr(), "{line}") {
        stop::lost("standard error", &error);
    }
}

/// Work of less than so many seconds is short.
const SHORT: f64 = 60.0;
/// Per cent of short and of other work between two progress lines, and the shortest and the longest silence.
const PER_CENT: [usize; 2] = [10, 5];
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
        Self::from(what, 0, total)
    }

    /// A meter of `total` steps of which the first ones are done.
    pub fn from(what: &str, first: usize, total: usize) -> Self {
        let (total, now) = (total.max(1), Instant::now());
        Self { what: what.into(), total, pace: Pace::new(first), said: (per_cent(first, total), now) }
    }

    /// Whether to speak: some per cent have been done since the last line, and it is a while ago or a job has just `finished`;
    /// or nothing has been said for long.
    pub fn due(&self, steps: usize, finished: bool) -> bool {
        let silent = self.said.1.elapsed();
        let whole = self.pace.clock.elapsed().as_secs_f64() + self.pace.left(steps, self.total);
        let share = PER_CENT[usize::from(whole >= SHORT)];
        let pause = finished || silent >= PAUSE;
        silent >= SILENCE || (pause && per_cent(steps, self.total) >= self.said.0 + share)
    }

    /// Steps per second and the remaining time in words, for a line that is said now.
    pub fn rate(&mut self, steps: usize) -> (f64, String) {
        self.said = (per_cent(steps, self.total), Instant::now());
        (self.pace.rate(steps), duration(self.pace.left(steps, self.total)))
    }

    /// `rollout of exact law: 3/8 members, 37 %, 4200 steps/s, 35 s left`; `detail` is what stands between colon and per
    /// cent.
    pub fn line(&mut self, steps: usize, detail: &str) -> String {
        let (rate, left) = self.rate(steps);
        let head = format!("{}:{detail}", self.what);
        if steps == 0 {
            return head;
        }
        let comma = if detail.is_empty() { "" } else { "," };
        format!("{head}{comma} {} %, {rate:.0} steps/s, {left} left", self.said.0)
    }
}

fn per_cent(steps: usize, total: usize) -> usize {
    (100.0 * steps as f64 / total as f64) as usize
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
    fn short_work_is_spoken_of_every_tenth_and_long_work_every_twentieth() {
        let began = |seconds: u64, total| Meter {
            what: String::new(),
            total,
            pace: Pace { clock: Instant::now() - Duration::from_secs(seconds), first: 0 },
            said: (0, Instant::now() - 2 * PAUSE),
        };
        // 7 of 100 steps in one second, and in ten.
        assert!(!began(1, 100).due(7, true) && began(1, 100).due(10, true));
        assert!(began(10, 100).due(7, true) && !began(10, 100).due(4, true));
        // A resumed work begins where it is.
        assert!(!Meter::from("", 50, 100).due(55, true));
    }

    #[test]
    fn a_pace_counts_from_where_it_began() {
        let pace = Pace { clock: Instant::now() - Duration::from_secs(10), first: 100 };
        assert!((pace.rate(300) / 20.0 - 1.0).abs() < 0.1, "{}", pace.rate(300));
        assert!((pace.left(300, 500) / 10.0 - 1.0).abs() < 0.1, "{}", pace.left(300, 500));
    }
}
