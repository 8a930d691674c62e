//! A request to stop, one for the whole process, at which every long loop looks.
//!
//! Whoever runs a command asks ([`ask`]): the command line does at a signal, when its output is lost, and when the library that
//! started it goes away. A loop answers with [`check`] between two steps, so that what is finished stays and the same command
//! goes on from there. Nothing but the command line asks; in a library of somebody else's this room does nothing.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use crate::error::{Error, Result};

/// Why to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// What is printed cannot be written, e.g. to a full disk.
    LostOutput = 1,
    /// The terminal is gone (SIGHUP).
    HangUp = 129,
    /// Control-C (SIGINT).
    Interrupt = 130,
    /// Nobody reads what is printed any more (SIGPIPE).
    ClosedPipe = 141,
    /// The system, a queue or the library that started the command asks (SIGTERM).
    Terminate = 143,
}

impl Reason {
    const ALL: [Self; 5] = [Self::LostOutput, Self::HangUp, Self::Interrupt, Self::ClosedPipe, Self::Terminate];

    /// The exit status of a command that stops for it: 128 and the number of the signal, as shells have it.
    pub fn status(self) -> u8 {
        self as u8
    }
}

/// The status of the first reason; 0 for none.
static ASKED: AtomicU8 = AtomicU8::new(0);
/// Whether lost output is a reason.
static PRINTING: AtomicBool = AtomicBool::new(false);
/// What was lost, and why.
static LOST: OnceLock<String> = OnceLock::new();

/// Asks the process to stop; the first reason counts.
pub fn ask(reason: Reason) {
    let _ = ASKED.compare_exchange(0, reason.status(), Ordering::Relaxed, Ordering::Relaxed);
}

/// Why the process was asked to stop, if it was.
pub fn asked() -> Option<Reason> {
    let status = ASKED.load(Ordering::Relaxed);
    Reason::ALL.into_iter().find(|reason| reason.status() == status)
}

/// # Errors
/// [`Error::Stopped`] once the process was asked to stop.
pub fn check() -> Result<()> {
    if ASKED.load(Ordering::Relaxed) == 0 { Ok(()) } else { Err(Error::Stopped { kept: String::new() }) }
}

/// From now on output that cannot be written is a reason to stop: what is printed is what the process is for.
pub fn at_lost_output() {
    PRINTING.store(true, Ordering::Relaxed);
}

/// Reports that a line could not be written to `stream`.
pub fn lost(stream: &str, error: &std::io::Error) {
    if PRINTING.load(Ordering::Relaxed) {
        let _ = LOST.set(format!("{stream}: {error}"));
        ask(if error.kind() == std::io::ErrorKind::BrokenPipe { Reason::ClosedPipe } else { Reason::LostOutput });
    }
}

/// The first output that was lost, and why.
pub fn lost_output() -> Option<&'static str> {
    LOST.get().map(String::as_str)
}
