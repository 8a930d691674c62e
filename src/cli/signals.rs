//! Signals that ask a command to stop.

#[cfg(unix)]
use crate::error::Error;
use crate::error::Result;
#[cfg(unix)]
use crate::stop::{self, Reason};

/// From now on SIGINT, SIGTERM and SIGHUP ask the long loops to stop; the second of them ends the process at once. What whoever
/// started the process has it ignore (`nohup`, a shell's `&`) stays ignored.
///
/// # Errors
/// The system refuses a thread or a handler.
#[cfg(unix)]
pub(super) fn listen() -> Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;

    let failed = |error: std::io::Error| Error::Process { what: format!("cannot wait for signals: {error}") };
    let ignored = ignored();
    let mut signals =
        Signals::new([SIGHUP, SIGINT, SIGTERM].into_iter().filter(|signal| ignored >> (signal - 1) & 1 == 0))
            .map_err(failed)?;
    let wait = move || {
        for signal in signals.forever() {
            if stop::asked().is_some() {
                // As if nobody had listened; it does not come back.
                let _ = signal_hook::low_level::emulate_default_handler(signal);
            }
            stop::ask(match signal {
                SIGHUP => Reason::HangUp,
                SIGINT => Reason::Interrupt,
                _ => Reason::Terminate,
            });
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(wait).map_err(failed)?;
    Ok(())
}

/// The signals that the process ignores, a bit each, where the system says so in `/proc`.
#[cfg(unix)]
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// Elsewhere the system ends the process.
#[cfg(not(unix))]
pub(super) fn listen() -> Result<()> {
    Ok(())
}
