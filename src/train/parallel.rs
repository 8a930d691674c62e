//! Gradients of a batch on several cores, with the same bits on any number of them.
//!
//! A batch is cut into a fixed number of chunks; each is differentiated on its own graph by one thread, and the results are
//! added in the order of the chunks. Inside a chunk the tensor library must not spread its own work over the cores (it would
//! compete with the other chunks for them), so every thread works inside a rayon pool of one thread.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Result};

/// Threads that work through the chunks of a batch.
pub struct Workers {
    pools: Vec<rayon::ThreadPool>,
}

impl Workers {
    /// `threads` workers; 0: one per core.
    ///
    /// # Errors
    /// The system does not give the threads.
    pub fn new(threads: usize) -> Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let count = if threads == 0 { cores } else { threads };
        let pool = |_| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
            pool.map_err(|error| Error::Process { what: format!("cannot start a worker thread: {error}") })
        };
        Ok(Self { pools: (0..count).map(pool).collect::<Result<_>>()? })
    }

    /// `work(chunk)` for every chunk below `chunks`, in their order whatever the number of threads.
    ///
    /// # Errors
    /// The error of the first chunk that has one.
    pub fn map<T: Send>(&self, chunks: usize, work: impl Fn(usize) -> Result<T> + Sync) -> Result<Vec<T>> {
        let next = AtomicUsize::new(0);
        let done: Mutex<Vec<(usize, Result<T>)>> = Mutex::new(Vec::with_capacity(chunks));
        let task = || {
            loop {
                let chunk = next.fetch_add(1, Ordering::Relaxed);
                if chunk >= chunks {
                    return;
                }
                let result = work(chunk);
                done.lock().unwrap_or_else(PoisonError::into_inner).push((chunk, result));
            }
        };
        std::thread::scope(|scope| {
            for pool in &self.pools[..self.pools.len().min(chunks)] {
                scope.spawn(|| pool.install(task));
            }
        });
        let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.sort_by_key(|&(chunk, _)| chunk);
        done.into_iter().map(|(_, result)| result).collect()
    }
}

impl Drop for Workers {
    /// The end of training: prepared networks are kept for no next step.
    fn drop(&mut self) {
        crate::nn::forget();
    }
}

/// The samples of chunk `chunk` when `batch` samples are cut into `chunks` as equal as they can be.
pub fn chunk_range(batch: usize, chunks: usize, chunk: usize) -> std::ops::Range<usize> {
    batch * chunk / chunks..batch * (chunk + 1) / chunks
}
