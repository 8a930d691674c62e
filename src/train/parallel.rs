//! Gradients of a batch on several cores, with the same bits on any number of them.
//!
//! A batch is cut into a fixed number of chunks; each is differentiated on its own graph by one thread, and the results are
//! added in the order of the chunks. Inside a chunk the tensor library must not spread its own work over the cores (it would
//! compete with the other chunks for them), so every thread works inside a rayon pool of one thread.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::nn::Spare;
use crate::pool::cores;

/// Threads that work through the chunks of a batch.
pub struct Workers {
    pools: Vec<rayon::ThreadPool>,
    spare: Spare,
}

impl Workers {
    /// `threads` workers; 0: one per core.
    ///
    /// # Errors
    /// The system does not give the threads.
    pub fn new(threads: usize) -> Result<Self> {
        let count = cores(threads);
        let pool = |_| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
            pool.map_err(|error| Error::Process { what: format!("cannot start a worker thread: {error}") })
        };
        Ok(Self { pools: (0..count).map(pool).collect::<Result<_>>()?, spare: Spare::default() })
    }

    /// What networks keep from one step to the next.
    pub fn spare(&self) -> &Spare {
        &self.spare
    }

    /// `work(chunk)` for every chunk below `chunks`, in their order whatever the number of threads.
    ///
    /// # Errors
    /// The error of the first chunk that has one.
    pub fn map<T: Send>(&self, chunks: usize, work: impl Fn(usize) -> Result<T> + Sync) -> Result<Vec<T>> {
        let mut all = Vec::with_capacity(chunks);
        self.in_order(chunks, work, |made| all.push(made))?;
        Ok(all)
    }

    /// Hands `work(chunk)` of every chunk below `chunks` to `take`, in their order whatever the number of threads: as soon as all
    /// chunks before are done, so that few results wait in memory.
    ///
    /// # Errors
    /// The error of the first chunk that has one; `take` has seen those before it.
    pub fn in_order<T: Send>(
        &self,
        chunks: usize,
        work: impl Fn(usize) -> Result<T> + Sync,
        take: impl FnMut(T) + Send,
    ) -> Result<()> {
        struct Line<T, F> {
            waiting: BTreeMap<usize, Result<T>>,
            next: usize,
            take: F,
            failed: Option<Error>,
        }
        let line = Mutex::new(Line { waiting: BTreeMap::new(), next: 0, take, failed: None });
        let first = AtomicUsize::new(0);
        let task = || {
            loop {
                let chunk = first.fetch_add(1, Ordering::Relaxed);
                if chunk >= chunks {
                    return;
                }
                let result = work(chunk);
                let mut line = line.lock().unwrap_or_else(PoisonError::into_inner);
                let Line { waiting, next, take, failed } = &mut *line;
                waiting.insert(chunk, result);
                while let Some(result) = waiting.remove(next) {
                    *next += 1;
                    match result {
                        Ok(made) if failed.is_none() => take(made),
                        Ok(_) => {}
                        Err(error) => *failed = failed.take().or(Some(error)),
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            for pool in &self.pools[..self.pools.len().min(chunks)] {
                scope.spawn(|| pool.install(task));
            }
        });
        let line = line.into_inner().unwrap_or_else(PoisonError::into_inner);
        line.failed.map_or(Ok(()), Err)
    }
}

/// The samples of chunk `chunk` when `batch` samples are cut into `chunks` as equal as they can be.
pub fn chunk_range(batch: usize, chunks: usize, chunk: usize) -> std::ops::Range<usize> {
    batch * chunk / chunks..batch * (chunk + 1) / chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_taken_in_order_up_to_the_first_error() {
        for threads in [1, 3] {
            let workers = Workers::new(threads).unwrap();
            let mut seen = Vec::new();
            let slow = |chunk: usize| {
                std::thread::sleep(std::time::Duration::from_millis(if chunk.is_multiple_of(3) { 3 } else { 0 }));
                Ok(chunk)
            };
            workers.in_order(17, slow, |chunk| seen.push(chunk)).unwrap();
            assert_eq!(seen, (0..17).collect::<Vec<_>>());
            let mut count = 0;
            let fails = |chunk: usize| match chunk {
                0..4 => Ok(chunk),
                _ => Err(Error::config("chunk", format!("number {chunk}"))),
            };
            let error = workers.in_order(9, fails, |_| count += 1).unwrap_err();
            assert!(error.to_string().contains("number 4") && count == 4, "{error}, {count} taken");
        }
    }
}
