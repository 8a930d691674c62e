//! Independent jobs on all cores, with progress lines.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::progress::Meter;
use crate::stop;

/// How often the count of steps is looked at.
const POLL: Duration = Duration::from_millis(200);

/// What a pool works on, in the words of its progress lines.
pub struct Task<'a> {
    /// What is computed, e.g. `rollout of exact law`.
    pub what: &'a str,
    /// What one job is, in the plural.
    pub unit: &'a str,
    /// Solver steps of all jobs together.
    pub steps: usize,
    /// Threads; 0 is one per core.
    pub threads: usize,
}

/// Most threads that help with one draw: its loops take 20 to 200 µs each, and more threads would wait for each other.
const MAX_HELPERS: usize = 4;

/// `work` inside a pool of up to `threads` threads, over which draws of large networks then spread; as it is for fewer than two.
///
/// The other threads stay awake meanwhile: to wake one takes some 25 µs, as long as the loops that it is wanted for.
///
/// # Errors
/// The system does not give the threads.
pub fn with_spinning_pool<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> Result<T> {
    let threads = threads.min(MAX_HELPERS);
    if threads < 2 {
        return Ok(work());
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let failed = |error| Error::Process { what: format!("cannot start a thread: {error}") };
    let awake = AtomicBool::new(true);
    Ok(pool.map_err(failed)?.scope(|scope| {
        // Other threads take the oldest job first: these are taken before anything that `work` waits for.
        for _ in 1..threads {
            scope.spawn(|_| {
                while awake.load(Ordering::Relaxed) {
                    // Does what there is to do.
                    rayon::yield_now();
                }
            });
        }
        let _until_here = End(&awake);
        work()
    }))
}

/// Clears the flag at the end of a scope, also of one that panics.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// `threads`, or one per core for 0.
pub fn cores(threads: usize) -> usize {
    if threads == 0 { std::thread::available_parallelism().map_or(1, usize::from) } else { threads }
}

/// Runs `work(job, steps done)` for every job on a pool of threads and hands each result to `finished` on the calling
/// thread, in the order of completion. Jobs must not depend on each other, so that results do not depend on the threads.
///
/// # Errors
/// The first error of `work` or `finished`, or a request to stop ([`crate::stop`]); jobs under way are waited for, others not begun.
pub fn run_all<T: Send>(
    task: &Task,
    jobs: &[usize],
    work: impl Fn(usize, &AtomicUsize) -> Result<T> + Sync,
    mut finished: impl FnMut(usize, T) -> Result<()>,
    progress: &mut dyn FnMut(&str),
) -> Result<()> {
    let threads = cores(task.threads).clamp(1, jobs.len().max(1));
    let (next, done, failed) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    let mut meter = Meter::new(task.what, task.steps);
    let (sender, receiver) = channel();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let sender = sender.clone();
            let (next, done, failed, work) = (&next, &done, &failed, &work);
            scope.spawn(move || {
                while let Some(&job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if failed.load(Ordering::Relaxed) {
                        return;
                    }
                    let made = stop::check().and_then(|()| work(job, done));
                    if sender.send((job, made)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let (mut outcome, mut count) = (Ok(()), 0);
        loop {
            let before = count;
            match receiver.recv_timeout(POLL) {
                Ok((job, result)) => {
                    count += 1;
                    // What was ready before it heard of a request to stop is kept, too.
                    if matches!(outcome, Ok(()) | Err(Error::Stopped { .. })) {
                        match result.and_then(|result| finished(job, result)) {
                            Ok(()) => {}
                            Err(error) => outcome = outcome.and(Err(error)),
                        }
                        failed.store(outcome.is_err(), Ordering::Relaxed);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return outcome,
            }
            let steps = done.load(Ordering::Relaxed);
            if outcome.is_ok() && (meter.due(steps, count > before) || count == jobs.len()) {
                progress(&meter.line(steps, &format!(" {count}/{} {}", jobs.len(), task.unit)));
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn work_within_a_pool_has_its_threads_and_may_fail() {
        let seen = |threads: usize| {
            with_spinning_pool(threads, || (rayon::current_thread_index(), rayon::current_num_threads()))
        };
        assert_eq!(seen(1).unwrap().0, None);
        let (index, count) = seen(3).unwrap();
        assert!(index.is_some() && count == 3);
        let sums = with_spinning_pool(2, || rayon::join(|| (0..100).sum::<u32>(), || (100..200).sum::<u32>())).unwrap();
        assert_eq!(sums, (4950, 14950));
        // A panic ends the waiting of the others, too.
        assert!(std::panic::catch_unwind(|| with_spinning_pool(2, || panic!("on purpose"))).is_err());
    }
}
