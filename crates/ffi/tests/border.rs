//! What a solver in another language can do wrong, and threads.

mod common;

use std::ffi::{CStr, CString, c_int};
use std::ptr::{null, null_mut};

use common::{N, checkpoint, vorticity};
use lacuna_core::closure::{Closure, Learned};
use lacuna_core::nets::Checkpoint;
use lacuna_core::rng::SeedTree;
use lacuna_ffi::*;
use ndarray::{Array2, ArrayView2};

fn last() -> String {
    // SAFETY: a string that ends with a zero.
    unsafe { CStr::from_ptr(lacuna_last_error()) }.to_str().unwrap().into()
}

/// An open handle; closed at the end.
struct Handle(*mut LacunaModel);

// SAFETY: as lacuna.h says, threads may share a handle.
unsafe impl Send for Handle {}
// SAFETY: the same.
unsafe impl Sync for Handle {}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: open, and nobody else's.
        unsafe { lacuna_close(self.0) };
    }
}

impl Handle {
    fn open(path: &CStr) -> Self {
        // SAFETY: a string that ends with a zero.
        let model = unsafe { lacuna_open(path.as_ptr()) };
        assert!(!model.is_null(), "{}", last());
        Self(model)
    }

    fn copy(&self) -> Self {
        // SAFETY: an open handle.
        let model = unsafe { lacuna_copy(self.0) };
        assert!(!model.is_null(), "{}", last());
        Self(model)
    }

    fn seed(&self, seed: u64, path: &CStr) {
        // SAFETY: an open handle and a string.
        assert_eq!(unsafe { lacuna_seed(self.0, seed, path.as_ptr()) }, 0, "{}", last());
    }

    fn draw(&self, w: &[f64]) -> Vec<f64> {
        let mut h = vec![0.0; N * N];
        // SAFETY: an open handle and fields of its size.
        let status = unsafe { lacuna_sample(self.0, N as c_int, w.as_ptr(), 0.0, h.as_mut_ptr()) };
        assert_eq!(status, 0, "{}", last());
        h
    }
}

#[test]
fn a_draw_is_that_of_the_library_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = checkpoint(folder.path());
    let (handle, w) = (Handle::open(&path), vorticity());
    // SAFETY: an open handle.
    assert_eq!(unsafe { lacuna_grid(handle.0) }, N as c_int);
    let mut closure = Learned::load(path.to_str().unwrap().as_ref(), None).unwrap();
    let field = ArrayView2::from_shape((N, N), &w).unwrap();
    let (mut mean, mut wanted) = (Array2::zeros((N, N)), Array2::zeros((N, N)));
    let mut stream = SeedTree::new(7).child("rollout").child("3").stream();
    handle.seed(7, c"rollout/3");
    for _ in 0..2 {
        closure.sample(field, 0.0, &mut stream, wanted.view_mut()).unwrap();
        assert_eq!(handle.draw(&w), wanted.as_slice().unwrap());
    }
    // An exported model and its folder are the same.
    let exported = folder.path().join("model.safetensors");
    Checkpoint::load(path.to_str().unwrap().as_ref()).unwrap().save_safetensors(&exported).unwrap();
    for path in [exported.as_path(), folder.path()] {
        let other = Handle::open(&CString::new(path.to_str().unwrap()).unwrap());
        other.seed(7, c"rollout/3");
        other.draw(&w);
        assert_eq!(other.draw(&w), wanted.as_slice().unwrap(), "{}", path.display());
    }
    closure.mean(field, 0.0, mean.view_mut()).unwrap();
    closure.fluctuation(field, 0.0, mean.view(), &mut stream, wanted.view_mut()).unwrap();
    let (mut h, mut rest) = (vec![0.0; N * N], vec![0.0; N * N]);
    // SAFETY: an open handle and fields of its size.
    unsafe {
        assert_eq!(lacuna_mean(handle.0, N as c_int, w.as_ptr(), 0.0, h.as_mut_ptr()), 0);
        let (n, mean, rest) = (N as c_int, h.as_ptr(), rest.as_mut_ptr());
        assert_eq!(lacuna_fluctuation(handle.0, n, w.as_ptr(), 0.0, mean, rest), 0);
    }
    assert_eq!(h, mean.as_slice().unwrap());
    assert_eq!(rest, wanted.as_slice().unwrap());
    // An unseeded handle draws from the stream of seed 0.
    closure.sample(field, 0.0, &mut SeedTree::new(0).stream(), wanted.view_mut()).unwrap();
    assert_eq!(Handle::open(&path).draw(&w), wanted.as_slice().unwrap());
}

#[test]
fn what_cannot_be_opened_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "no checkpoint").unwrap();
    let cut = folder.path().join("cut.lacuna");
    let whole = std::fs::read(checkpoint(folder.path()).to_str().unwrap()).unwrap();
    std::fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    for path in [folder.path().join("nowhere.lacuna"), folder.path().into(), text, cut] {
        let name = path.to_str().unwrap();
        let c = CString::new(name).unwrap();
        // SAFETY: a string that ends with a zero.
        assert!(unsafe { lacuna_open(c.as_ptr()) }.is_null(), "{name}");
        assert!(last().contains(name), "{name} is not in: {}", last());
    }
    // SAFETY: a string that ends with a zero; null, which is told.
    unsafe {
        assert!(lacuna_open(c"\xff\xfe.lacuna".as_ptr()).is_null());
        assert!(last().contains("`path`: not UTF-8"), "{}", last());
        assert!(lacuna_open(null()).is_null());
    }
    assert!(last().contains("`path`: a null pointer"), "{}", last());
}

#[test]
fn null_pointers_are_told_and_closing_null_is_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let handle = Handle::open(&checkpoint(folder.path()));
    let (w, mut h) = (vorticity(), vec![0.0; N * N]);
    let (model, n, w, h) = (handle.0.cast_const(), N as c_int, w.as_ptr(), h.as_mut_ptr());
    // SAFETY: null or what is asked for.
    unsafe {
        lacuna_close(null_mut());
        for (status, what) in [
            (|| lacuna_grid(null())) as fn() -> c_int,
            || lacuna_seed(null(), 1, c"rollout/0".as_ptr()),
            || lacuna_sample(null(), N as c_int, null(), 0.0, null_mut()),
            || lacuna_mean(null(), N as c_int, null(), 0.0, null_mut()),
            || lacuna_fluctuation(null(), N as c_int, null(), 0.0, null(), null_mut()),
            || if lacuna_copy(null()).is_null() { -1 } else { 0 },
        ]
        .map(|call| (call(), last()))
        {
            assert_eq!(status, -1);
            assert!(what.contains("`model`: a null pointer"), "{what}");
        }
        for (name, status) in [
            ("path", lacuna_seed(model, 1, null())),
            ("w", lacuna_sample(model, n, null(), 0.0, h)),
            ("h", lacuna_sample(model, n, w, 0.0, null_mut())),
            ("w", lacuna_mean(model, n, null(), 0.0, h)),
            ("h", lacuna_mean(model, n, w, 0.0, null_mut())),
            ("w", lacuna_fluctuation(model, n, null(), 0.0, w, h)),
            ("mean", lacuna_fluctuation(model, n, w, 0.0, null(), h)),
            ("h", lacuna_fluctuation(model, n, w, 0.0, w, null_mut())),
        ] {
            assert_eq!(status, -1, "{name}");
        }
        assert_eq!(lacuna_mean(model, n, w, 0.0, null_mut()), -1);
        assert!(last().contains("`h`: a null pointer"), "{}", last());
    }
}

#[test]
fn wrong_sizes_and_values_that_are_no_numbers_are_told_and_leave_the_stream_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = checkpoint(folder.path());
    let (handle, w) = (Handle::open(&path), vorticity());
    let mut h = vec![7.0; N * N];
    let mut refused = |n: usize, w: &[f64], t: f64, wanted: &str| {
        // SAFETY: an open handle; fields of another size are not touched.
        unsafe {
            assert_eq!(lacuna_sample(handle.0, n as c_int, w.as_ptr(), t, h.as_mut_ptr()), -1);
            assert!(last().contains(wanted), "{}", last());
            assert_eq!(lacuna_mean(handle.0, n as c_int, w.as_ptr(), t, h.as_mut_ptr()), -1);
            assert_eq!(lacuna_fluctuation(handle.0, n as c_int, w.as_ptr(), t, w.as_ptr(), h.as_mut_ptr()), -1);
        }
        assert!(h.iter().all(|h| *h == 7.0));
    };
    for n in [0, 1, N - 1, N + 1, 2 * N] {
        refused(n, &w, 0.0, &format!("`n`: {n}; fields of this closure have {N} points per side"));
    }
    for wrong in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let mut damaged = w.clone();
        damaged[3 * N + 5] = wrong;
        refused(N, &damaged, 0.0, &format!("`w`: {wrong} at (3, 5)"));
        refused(N, &w, wrong, &format!("`t`: {wrong}"));
    }
    // SAFETY: an open handle.
    assert_eq!(unsafe { lacuna_sample(handle.0, -1, w.as_ptr(), 0.0, h.as_mut_ptr()) }, -1);
    assert!(last().contains("`n`: -1"), "{}", last());
    assert_eq!(handle.draw(&w), Handle::open(&path).draw(&w), "a refused call took numbers from the stream");
}

#[test]
fn a_copy_goes_on_from_the_same_state_and_outlives_what_it_was_made_from() {
    let folder = tempfile::tempdir().unwrap();
    let (handle, w) = (Handle::open(&checkpoint(folder.path())), vorticity());
    handle.draw(&w);
    let copy = handle.copy();
    let wanted = handle.draw(&w);
    drop(handle);
    assert_eq!(copy.draw(&w), wanted);
    copy.seed(1, c"a");
    let other = copy.copy();
    other.seed(1, c"b");
    let (a, b) = (copy.draw(&w), other.draw(&w));
    assert_ne!(a, b);
    copy.seed(1, c"/a/");
    assert_eq!(copy.draw(&w), a, "empty parts of a path are none");
}

#[test]
fn every_thread_has_an_error_of_its_own() {
    // SAFETY: null, which is told.
    assert_eq!(unsafe { lacuna_grid(null()) }, -1);
    let mine = last();
    std::thread::spawn(|| {
        assert_eq!(last(), "");
        // SAFETY: a string that ends with a zero.
        assert!(unsafe { lacuna_open(c"elsewhere".as_ptr()) }.is_null());
        assert!(last().contains("elsewhere"));
    })
    .join()
    .unwrap();
    assert_eq!(last(), mine);
}

#[test]
fn threads_share_a_handle_or_have_their_own() {
    const DRAWS: usize = 20;
    let folder = tempfile::tempdir().unwrap();
    let (handle, w) = (Handle::open(&checkpoint(folder.path())), vorticity());
    let draws = |handle: &Handle, n: usize| -> Vec<Vec<f64>> { (0..n).map(|_| handle.draw(&w)).collect() };
    handle.seed(1, c"shared");
    let mut wanted = draws(&handle, 2 * DRAWS);
    // One stream: between them the threads get its draws, each once.
    handle.seed(1, c"shared");
    let mut found: Vec<Vec<f64>> = std::thread::scope(|scope| {
        let threads = [0, 1].map(|_| scope.spawn(|| draws(&handle, DRAWS)));
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    for all in [&mut wanted, &mut found] {
        all.sort_by(|a, b| a.partial_cmp(b).unwrap());
    }
    assert!(found == wanted, "draws of two threads are not those of one");
    // Two handles: each as if it were alone.
    let other = handle.copy();
    let alone = [(&handle, c"a"), (&other, c"b")].map(|(handle, path)| {
        handle.seed(1, path);
        draws(handle, DRAWS)
    });
    handle.seed(1, c"a");
    other.seed(1, c"b");
    let at_once = std::thread::scope(|scope| {
        [&handle, &other].map(|handle| scope.spawn(|| draws(handle, DRAWS))).map(|thread| thread.join().unwrap())
    });
    assert!(at_once == alone, "handles of two threads disturb each other");
}
