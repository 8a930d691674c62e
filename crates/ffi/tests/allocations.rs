//! A draw through the border allocates nothing after the first, and a refused call only its message.

mod common;
#[path = "../../core/tests/counting/mod.rs"]
mod counting;

use std::ffi::c_int;
use std::sync::atomic::Ordering;

use common::{N, checkpoint, vorticity};
use counting::ALLOCATIONS;
use lacuna_ffi::*;

/// One test: what another does at the same time would be counted.
#[test]
fn draws_allocate_nothing_after_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let path = checkpoint(folder.path());
    let (mut w, mut mean, mut h) = (vorticity(), vec![0.0; N * N], vec![0.0; N * N]);
    let n = N as c_int;
    // SAFETY: an open handle and fields of its size.
    unsafe {
        let model = lacuna_open(path.as_ptr());
        assert!(!model.is_null());
        let mut draw = || {
            // Another state at each call, or it would not be encoded again.
            w[0] += 0.1;
            assert_eq!(lacuna_sample(model, n, w.as_ptr(), 0.0, h.as_mut_ptr()), 0);
            assert_eq!(lacuna_mean(model, n, w.as_ptr(), 0.0, mean.as_mut_ptr()), 0);
            assert_eq!(lacuna_fluctuation(model, n, w.as_ptr(), 0.0, mean.as_ptr(), h.as_mut_ptr()), 0);
        };
        draw();
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        draw();
        draw();
        assert_eq!(ALLOCATIONS.load(Ordering::Relaxed) - before, 0);
        assert_eq!(lacuna_sample(model, n, std::ptr::null(), 0.0, h.as_mut_ptr()), -1);
        assert_ne!(ALLOCATIONS.load(Ordering::Relaxed) - before, 0, "the count sees a message");
        lacuna_close(model);
    }
}
