//! Independent jobs on all cores, with progress lines.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::error::Result;

/// Longest silence between two progress lines.
const SILENCE: Duration = Duration::from_secs(10);

/// What a pool works on, in the words of its progress lines.
pub(super) struct Task<'a> {
    /// What is computed, e.g. `rollout of exact law`.
    pub what: &'a str,
    /// What one job is, in the plural.
    pub unit: &'a str,
    /// Solver steps of all jobs together.
    pub steps: usize,
    /// Threads; 0 is one per core.
    pub threads: usize,
}

/// Runs `work(job, steps done)` for every job on a pool of threads and hands each result to `finished` on the calling
/// thread, in the order of completion. Jobs must not depend on each other, so that results do not depend on the threads.
///
/// # Errors
/// The first error of `work` or `finished`; jobs under way are waited for, others not begun.
pub(super) fn run_all<T: Send>(
    task: &Task,
    jobs: &[usize],
    work: impl Fn(usize, &AtomicUsize) -> Result<T> + Sync,
    mut finished: impl FnMut(usize, T) -> Result<()>,
    progress: &mut dyn FnMut(&str),
) -> Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if task.threads == 0 { cores } else { task.threads }.clamp(1, jobs.len().max(1));
    let (next, done, stop) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    let clock = Instant::now();
    let (sender, receiver) = channel();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let sender = sender.clone();
            let (next, done, stop, work) = (&next, &done, &stop, &work);
            scope.spawn(move || {
                while let Some(&job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if stop.load(Ordering::Relaxed) || sender.send((job, work(job, done))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let (mut outcome, mut count) = (Ok(()), 0);
        loop {
            match receiver.recv_timeout(SILENCE) {
                Ok((job, result)) => {
                    count += 1;
                    if outcome.is_ok() {
                        outcome = result.and_then(|result| finished(job, result));
                        stop.store(outcome.is_err(), Ordering::Relaxed);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return outcome,
            }
            if outcome.is_ok() {
                progress(&line(task, count, jobs.len(), done.load(Ordering::Relaxed), clock.elapsed()));
            }
        }
    })
}

/// `rollout of exact law: 3/8 members, 4200 steps/s, 35 s left`.
fn line(task: &Task, count: usize, jobs: usize, steps: usize, elapsed: Duration) -> String {
    let rate = steps as f64 / elapsed.as_secs_f64().max(f64::MIN_POSITIVE);
    let head = format!("{}: {count}/{jobs} {}", task.what, task.unit);
    if steps == 0 {
        return head;
    }
    let left = task.steps.saturating_sub(steps) as f64 / rate;
    format!("{head}, {rate:.0} steps/s, {} left", span(left))
}

/// Seconds in words.
fn span(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..100 => format!("{whole} s"),
        100..6000 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    fn task(threads: usize) -> Task<'static> {
        Task { what: "squares", unit: "numbers", steps: 5, threads }
    }

    #[test]
    fn every_job_is_done_once_and_lines_count_them() {
        for threads in [1, 3] {
            let (mut squares, mut lines) = ([0; 5], Vec::new());
            let work = |job: usize, done: &AtomicUsize| {
                done.fetch_add(1, Ordering::Relaxed);
                Ok(job * job)
            };
            let finished = |job: usize, square| {
                squares[job] += square;
                Ok(())
            };
            run_all(&task(threads), &[0, 1, 2, 3, 4], work, finished, &mut |line| lines.push(line.to_string()))
                .unwrap();
            assert_eq!(squares, [0, 1, 4, 9, 16]);
            assert!(lines.last().unwrap().starts_with("squares: 5/5 numbers"), "{lines:?}");
        }
    }

    #[test]
    fn an_error_stops_the_work() {
        let fail = |job: usize, _: &AtomicUsize| if job == 1 { Err(Error::config("job", "1")) } else { Ok(job) };
        let mut seen = Vec::new();
        let keep = |job: usize, _| {
            seen.push(job);
            Ok(())
        };
        let error = run_all(&task(1), &[0, 1, 2], fail, keep, &mut |_| ()).unwrap_err();
        assert!(error.to_string().contains("job"));
        assert_eq!(seen, [0]);
    }

    #[test]
    fn spans_read_well() {
        assert_eq!((span(7.4), span(125.0), span(7260.0)), ("7 s".into(), "2 min 05 s".into(), "2 h 01 min".into()));
    }
}
