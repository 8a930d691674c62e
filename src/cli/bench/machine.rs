//! What the machine can do, measured beside what is done with it.

use std::time::Instant;

use serde::Serialize;

use crate::kernels::square_product;

/// Side of the matrices: large enough for full speed, small enough for the second-level cache.
const SIDE: usize = 384;
/// Values of one array of the bandwidth test: far beyond any cache.
const STREAM: usize = 8 << 20;
/// The best of so many measurements counts.
const ROUNDS: usize = 7;

/// Speed limits with the number of threads that the benchmark used, and the memory that it needed.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Machine {
    /// Threads.
    pub threads: usize,
    /// Matrix products in f32, in 10⁹ additions and multiplications per second.
    pub matrix_peak_gflops: f64,
    /// a ← b + s c on long arrays of f32, in 10⁹ bytes per second (three arrays counted).
    pub memory_gb_s: f64,
    /// Largest resident memory of the process before these measurements, in MB; `None` where the system does not say.
    pub peak_memory_mb: Option<f64>,
}

impl Machine {
    /// Measures.
    pub fn measure(threads: usize) -> Self {
        let peak_memory_mb = peak_memory();
        let all = |work: fn() -> f64| -> f64 {
            std::thread::scope(|scope| {
                let each: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
                each.into_iter().filter_map(|thread| thread.join().ok()).sum()
            })
        };
        Self { threads, matrix_peak_gflops: all(matrix_rate), memory_gb_s: all(stream_rate), peak_memory_mb }
    }
}

/// 10⁹ floating-point operations per second of one thread.
fn matrix_rate() -> f64 {
    let (a, b) = (vec![1.0; SIDE * SIDE], vec![1.0; SIDE * SIDE]);
    let mut out = vec![0.0; SIDE * SIDE];
    let repeats = 20;
    let seconds = best(|| (0..repeats).for_each(|_| square_product(SIDE, &a, &b, &mut out)));
    repeats as f64 * 2.0 * (SIDE as f64).powi(3) / seconds * 1e-9
}

/// 10⁹ bytes per second of one thread.
fn stream_rate() -> f64 {
    let (b, c) = (vec![1.0f32; STREAM], vec![2.0f32; STREAM]);
    let mut a = vec![0.0f32; STREAM];
    let seconds = best(|| {
        a.iter_mut().zip(&b).zip(&c).for_each(|((a, b), c)| *a = b + 0.5 * c);
        // Somebody might read it: the loop must run.
        std::hint::black_box(&mut a);
    });
    3.0 * std::mem::size_of_val(a.as_slice()) as f64 / seconds * 1e-9
}

fn best(mut work: impl FnMut()) -> f64 {
    let mut seconds = f64::INFINITY;
    for _ in 0..ROUNDS {
        let clock = Instant::now();
        work();
        seconds = seconds.min(clock.elapsed().as_secs_f64());
    }
    seconds
}

/// High-water mark of the resident memory, from Linux.
fn peak_memory() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: f64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kilobytes * 1024.0 * 1e-6)
}
