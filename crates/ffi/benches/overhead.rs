//! What the border costs: draws by the functions of lacuna.h and by the crate that they call, one after the other in one run.
//!
//! `cargo bench --workspace --bench overhead`: prints both and their ratio, and fails where the border costs more than its share
//! of a draw. The checks of the border read the field once; a draw reads it for every evaluation of the network.

#[path = "../tests/common/mod.rs"]
mod common;

use std::ffi::c_int;
use std::process::ExitCode;
use std::time::Instant;

use common::{N, checkpoint, vorticity};
use lacuna_core::closure::{Closure, Learned};
use lacuna_core::rng::SeedTree;
use lacuna_ffi::*;
use ndarray::{ArrayView2, ArrayViewMut2};

/// Most that the border may add to a draw.
const SHARE: f64 = 0.02;
/// Draws of each, in turn: the fastest counts, since whatever else the machine does only slows, and a draw is shorter than a
/// turn of the scheduler.
const DRAWS: usize = 4000;

fn main() -> ExitCode {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = checkpoint(folder.path());
    let mut closure = Learned::load(path.to_str().expect("UTF-8").as_ref(), None).expect("a checkpoint");
    let mut stream = SeedTree::new(0).stream();
    let (mut w, mut h) = (vorticity(), vec![0.0; N * N]);
    // SAFETY: a string that ends with a zero.
    let model = unsafe { lacuna_open(path.as_ptr()) };
    assert!(!model.is_null());
    // A look at the programs by `cargo test --benches` is no measurement.
    let draws = if std::env::args().any(|argument| argument == "--bench") { DRAWS } else { 1 };
    let mut fastest = [f64::INFINITY; 2];
    for _ in 0..draws {
        // Another state at each draw, or it would not be encoded again.
        w[0] += 1e-6;
        let clock = Instant::now();
        let field = ArrayView2::from_shape((N, N), &w).expect("the closure's size");
        let room = ArrayViewMut2::from_shape((N, N), &mut h).expect("the closure's size");
        closure.sample(field, 0.0, &mut stream, room).expect("a draw");
        fastest[0] = fastest[0].min(clock.elapsed().as_secs_f64());
        w[0] += 1e-6;
        let clock = Instant::now();
        // SAFETY: an open handle and fields of its size.
        let status = unsafe { lacuna_sample(model, N as c_int, w.as_ptr(), 0.0, h.as_mut_ptr()) };
        fastest[1] = fastest[1].min(clock.elapsed().as_secs_f64());
        assert_eq!(status, 0);
    }
    // SAFETY: an open handle.
    unsafe { lacuna_close(model) };
    let [rust, c] = fastest.map(|time| 1e6 * time);
    let share = c / rust - 1.0;
    println!("draw on {N}²: {rust:.1} µs by Rust, {c:.1} µs by C; the border adds {:.2} %", 100.0 * share);
    if draws == DRAWS && share > SHARE {
        eprintln!("more than {} %", 100.0 * SHARE);
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
