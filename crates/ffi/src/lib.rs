//! Trained closures for solvers in other languages: a checkpoint is opened, and draws of H given ω are asked for.
//!
//! Fields are n × n doubles, row-major, axis 0 = x (Fortran: the array `w(n, n)` with y first), n that of [`lacuna_grid`].
//! A handle may be used by several threads; one waits for the other, and draws come from its one stream in the order of the
//! calls. [`lacuna_copy`] gives each thread a handle of its own, and different handles do not wait. A draw allocates nothing
//! after the first. Nothing unwinds across the border: what goes wrong is a status of −1 (or a null pointer), and
//! [`lacuna_last_error`] says what it was.
//!
//! `include/lacuna.h` is made from this file (`cargo test -p lacuna-ffi` sees to it that it is up to date).

#![warn(missing_docs)]

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use lacuna_core::closure::{Closure, Learned};
use lacuna_core::rng::{SeedTree, Stream};
use lacuna_core::{Error, Result};
use ndarray::{ArrayView2, ArrayViewMut2};

/// A trained closure, ready to be drawn from, with a random stream of its own.
pub struct LacunaModel(Mutex<Model>);

struct Model {
    closure: Learned,
    stream: Stream,
}

thread_local! {
    static LAST_ERROR: RefCell<CString> = RefCell::default();
}

/// Keeps a message for [`lacuna_last_error`].
fn failed(message: &str) {
    // Bytes of zero would end the text.
    let text = CString::new(message.replace('\0', " ")).unwrap_or_default();
    // A thread that ends has no place for it any more.
    let _ = LAST_ERROR.try_with(|last| *last.borrow_mut() = text);
}

/// What `work` makes; a default where it fails or panics.
fn guarded<T>(otherwise: T, work: impl FnOnce() -> Result<T>) -> T {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(made)) => made,
        Ok(Err(error)) => {
            failed(&error.to_string());
            otherwise
        }
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
            failed(&format!("a defect of the library, please report it: {text}"));
            otherwise
        }
    }
}

/// The text at `text`.
///
/// # Safety
/// Null, or a string that ends with a zero.
unsafe fn text<'a>(what: &str, text: *const c_char) -> Result<&'a str> {
    if text.is_null() {
        return Err(Error::config(what, "a null pointer"));
    }
    // SAFETY: the caller's promise.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map_err(|_| Error::config(what, "not UTF-8"))
}

/// Calls `work` with a model.
///
/// # Safety
/// `model` is null, or of [`lacuna_open`] or [`lacuna_copy`] and not closed.
unsafe fn with<T>(model: *const LacunaModel, work: impl FnOnce(&mut Model) -> Result<T>) -> Result<T> {
    // SAFETY: the caller's promise.
    let model = unsafe { model.as_ref() }.ok_or_else(|| Error::config("model", "a null pointer"))?;
    work(&mut model.0.lock().unwrap_or_else(PoisonError::into_inner))
}

/// The draw's fields have the closure's size, and its time is a number.
fn check(closure: &Learned, n: c_int, t: f64) -> Result<usize> {
    let own = closure.n();
    if usize::try_from(n) != Ok(own) {
        return Err(Error::config("n", format!("{n}; fields of this closure have {own} points per side")));
    }
    if !t.is_finite() {
        return Err(Error::config("t", format!("{t}; must be finite")));
    }
    Ok(own)
}

/// A field to read.
///
/// # Safety
/// `values` is null or points to n² doubles that nobody writes meanwhile.
unsafe fn field<'a>(what: &str, values: *const f64, n: usize) -> Result<ArrayView2<'a, f64>> {
    if values.is_null() {
        return Err(Error::config(what, "a null pointer"));
    }
    // SAFETY: the caller's promise.
    let field = unsafe { ArrayView2::from_shape_ptr((n, n), values) };
    match field.indexed_iter().find(|(_, value)| !value.is_finite()) {
        None => Ok(field),
        Some(((i, j), value)) => Err(Error::config(what, format!("{value} at ({i}, {j})"))),
    }
}

/// A field to write.
///
/// # Safety
/// `values` is null or points to n² doubles that nobody else uses meanwhile.
unsafe fn field_mut<'a>(what: &str, values: *mut f64, n: usize) -> Result<ArrayViewMut2<'a, f64>> {
    if values.is_null() {
        return Err(Error::config(what, "a null pointer"));
    }
    // SAFETY: the caller's promise.
    Ok(unsafe { ArrayViewMut2::from_shape_ptr((n, n), values) })
}

/// The version of the library.
#[unsafe(no_mangle)]
pub extern "C" fn lacuna_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// What went wrong last in this thread; valid until the next call that fails. Empty if nothing did.
#[unsafe(no_mangle)]
pub extern "C" fn lacuna_last_error() -> *const c_char {
    LAST_ERROR.try_with(|last| last.borrow().as_ptr()).unwrap_or(c"".as_ptr())
}

/// Opens a checkpoint; null if that fails. Its stream is that of seed 0 until lacuna_seed chooses another.
///
/// # Safety
/// `path` is a string that ends with a zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lacuna_open(path: *const c_char) -> *mut LacunaModel {
    guarded(std::ptr::null_mut(), || {
        // SAFETY: the caller's promise.
        let path = unsafe { text("path", path) }?;
        let closure = Learned::load(Path::new(path), None)?;
        let model = Model { closure, stream: SeedTree::new(0).stream() };
        Ok(Box::into_raw(Box::new(LacunaModel(Mutex::new(model)))))
    })
}

/// A second handle with the same weights and the same state of the stream; null if that fails.
///
/// # Safety
/// `model` is an open handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lacuna_copy(model: *const LacunaModel) -> *mut LacunaModel {
    guarded(std::ptr::null_mut(), || {
        let copy = |model: &mut Model| Ok(Model { closure: model.closure.clone(), stream: model.stream.clone() });
        // SAFETY: the caller's promise.
        let copy = unsafe { with(model, copy) }?;
        Ok(Box::into_raw(Box::new(LacunaModel(Mutex::new(copy)))))
    })
}

/// Closes a handle, which is not to be used again; a null pointer is none.
///
/// # Safety
/// `model` is null or an open handle that no other thread uses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lacuna_close(model: *mut LacunaModel) {
    guarded((), || {
        if !model.is_null() {
            // SAFETY: the caller's promise.
            drop(unsafe { Box::from_raw(model) });
        }
        Ok(())
    });
}

/// Points per side of the fields; -1 if that fails.
///
/// # Safety
/// `model` is an open handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lacuna_grid(model: *const LacunaModel) -> c_int {
    // SAFETY: the caller's promise.
    guarded(-1, || unsafe { with(model, |model| Ok(model.closure.n() as c_int)) })
}

/// Begins the random stream `path` of the seed tree of `seed` (member 3 of an ensemble draws from "rollout/3"): the same draws
/// follow whenever it is begun. 0, or -1 if that fails.
///
/// # Safety
/// `model` is an open handle, `path` a string that ends with a zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lacuna_seed(model: *const LacunaModel, seed: u64, path: *const c_char) -> c_int {
    guarded(-1, || {
        // SAFETY: the caller's promise.
        let path = unsafe { text("path", path) }?;
        let node =
            path.split('/').filter(|part| !part.is_empty()).fold(SeedTree::new(seed), |node, part| node.child(part));
        // SAFETY: the caller's promise.
        unsafe {
            with(model, |model| {
                model.stream = node.stream();
                Ok(0)
            })
        }
    })
}

/// Writes a sample of H given the vorticity `w` at time `t` to `h`, fields of `n` points per side. 0, or -1 if that fails.
///
/// # Safety
/// `model` is an open handle; `w` and `h` point to n*n doubles each and do not overlap.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lacuna_sample(
    model: *const LacunaModel,
    n: c_int,
    w: *const f64,
    t: f64,
    h: *mut f64,
) -> c_int {
    guarded(-1, || {
        // SAFETY: the caller's promise.
        unsafe {
            with(model, |Model { closure, stream }| {
                let n = check(closure, n, t)?;
                closure.sample(field("w", w, n)?, t, stream, field_mut("h", h, n)?)?;
                Ok(0)
            })
        }
    })
}

/// Writes the conditional mean of H given the vorticity `w` at time `t` to `h`, fields of `n` points per side. 0, or -1 if that
/// fails.
///
/// # Safety
/// As lacuna_sample.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lacuna_mean(model: *const LacunaModel, n: c_int, w: *const f64, t: f64, h: *mut f64) -> c_int {
    guarded(-1, || {
        // SAFETY: the caller's promise.
        unsafe {
            with(model, |Model { closure, .. }| {
                let n = check(closure, n, t)?;
                closure.mean(field("w", w, n)?, t, field_mut("h", h, n)?)?;
                Ok(0)
            })
        }
    })
}

/// Writes a sample of H minus the conditional mean to `h`, given the vorticity `w` at time `t` and its `mean` by lacuna_mean,
/// fields of `n` points per side: for loops that hold the mean and scale or redraw the rest. 0, or -1 if that fails.
///
/// # Safety
/// As lacuna_sample; `mean` points to n*n doubles.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lacuna_fluctuation(
    model: *const LacunaModel,
    n: c_int,
    w: *const f64,
    t: f64,
    mean: *const f64,
    h: *mut f64,
) -> c_int {
    guarded(-1, || {
        // SAFETY: the caller's promise.
        unsafe {
            with(model, |Model { closure, stream }| {
                let n = check(closure, n, t)?;
                closure.fluctuation(field("w", w, n)?, t, field("mean", mean, n)?, stream, field_mut("h", h, n)?)?;
                Ok(0)
            })
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last() -> String {
        // SAFETY: a string that ends with a zero.
        unsafe { CStr::from_ptr(lacuna_last_error()) }.to_str().unwrap().into()
    }

    #[test]
    fn a_panic_stops_at_the_border_and_is_told() {
        assert_eq!(guarded(-1, || panic!("stop at {}", 7)), -1);
        assert_eq!(last(), "a defect of the library, please report it: stop at 7");
        assert_eq!(guarded(-1, || std::panic::panic_any(7)), -1);
        assert!(last().ends_with("no message"));
        assert_eq!(guarded(-1, || panic!("a\0b")), -1);
        assert!(last().ends_with("a b"), "{}", last());
    }

    /// Every function that can fail hands all of its work to [`guarded`].
    #[test]
    fn every_function_is_guarded() {
        let source = include_str!("lib.rs");
        let mut functions = 0;
        for whole in source.split("pub extern \"C\" fn ").skip(1) {
            let (name, body) = (whole.split('(').next().unwrap(), whole.split("#[").next().unwrap());
            assert!(["lacuna_version", "lacuna_last_error"].contains(&name), "{name} can fail");
            assert!(!body.contains("unwrap()") && !body.contains("expect("), "{name}");
        }
        for whole in source.split("pub unsafe extern \"C\" fn ").skip(1) {
            let (name, rest) = whole.split_once('(').unwrap();
            let body = rest.split_once("{\n").unwrap().1.trim_start();
            let body = body
                .split_once("// SAFETY: the caller's promise.\n")
                .filter(|(before, _)| before.is_empty())
                .map_or(body, |(_, after)| after.trim_start());
            assert!(body.starts_with("guarded("), "{name} works outside of `guarded`: {body}");
            functions += 1;
        }
        assert_eq!(functions, 8);
    }
}
