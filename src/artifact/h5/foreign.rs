//! Files of others are read by a process of its own first: what ends the HDF5 library there is an error here.

#![cfg_attr(not(feature = "cli"), allow(dead_code))]

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use hdf5::types::VarLenUnicode;

use super::{EXPANSION, Numbers, has, open};
use crate::artifact::{keep_files, program};
use crate::config::Axes;
use crate::error::{Error, Result, shown};
use crate::stop;

/// Longest that the reading takes, but for a second for each `SLOWEST` bytes of the file.
const PATIENCE: Duration = Duration::from_secs(30);
const SLOWEST: u64 = 4 << 20;
/// Address space of the reading process: for a small file, and for any. Beyond the former it has what a compressed file expands to.
const MEMORY: [u64; 2] = [1 << 30, 8 << 30];
/// Bytes of numbers that it reads at once.
const BLOCK: usize = 64 << 20;
/// Name of the command that reads.
pub const COMMAND: &str = "read-hdf5";

/// Files with the length, the time of the last change and the datasets that were read.
type Known = BTreeSet<(PathBuf, u64, Option<SystemTime>, Vec<String>)>;

/// Opens a file of somebody else's, of which the datasets `names` are about to be read, as far as they are there.
///
/// The program `lacuna` does so first, in limited memory and time, and reads them: a file at which the HDF5 library crashes or does
/// not come to an end is an error. Where there is no such program (a library without it), the file is opened at once.
///
/// # Errors
/// As [`open`]; the reading process did not survive.
pub fn foreign(path: &Path, names: &[&str]) -> Result<hdf5::File> {
    static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let about = std::fs::metadata(path).map_err(Error::io(path))?;
    let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
    let this = (path.to_path_buf(), about.len(), about.modified().ok(), names);
    if !known().contains(&this)
        && let Ok(program) = program()
    {
        survived(&program, path, &this.3, PATIENCE + Duration::from_secs(about.len() / SLOWEST))?;
        known().insert(this);
    }
    open(path)
}

/// Reads in another process and waits for its end.
fn survived(program: &Path, path: &Path, names: &[String], patience: Duration) -> Result<()> {
    let wrong = |what: String| Error::Hdf5 { path: path.into(), what };
    let failed = |error: std::io::Error| Error::Process { what: format!("{}: {error}", program.display()) };
    let mut command = Command::new(program);
    command.arg(COMMAND).arg("--").arg(path).args(names);
    keep_files(&mut command);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().map_err(failed)?;
    let clock = Instant::now();
    let mut pause = Duration::from_millis(1);
    let status = loop {
        let ended = child.try_wait().map_err(failed)?;
        let asked = stop::check();
        let late = clock.elapsed() > patience;
        match ended {
            Some(status) => {
                asked?;
                break status;
            }
            None if late || asked.is_err() => {
                // One that has just ended needs no more.
                let _ = child.kill();
                let _ = child.wait();
                asked?;
                let what = format!("the HDF5 library has not read it after {} s: it is damaged", patience.as_secs());
                return Err(wrong(what));
            }
            None => std::thread::sleep(pause),
        }
        pause = (2 * pause).min(Duration::from_millis(20));
    };
    let mut said = String::new();
    let _ = child.stderr.take().map(|pipe| pipe.take(1 << 12).read_to_string(&mut said));
    match status.code() {
        // 2: a program of an earlier version, which has no such command.
        Some(0 | 2) => Ok(()),
        Some(1) => {
            let said = said.trim().trim_start_matches("error: ");
            Err(wrong(shown(said.strip_prefix(&format!("{}: ", path.display())).unwrap_or(said))))
        }
        _ => Err(wrong(format!(
            "the HDF5 library does not survive reading it ({status}): it is damaged, or made for that"
        ))),
    }
}

/// What the reading process does. Errors of datasets are left to whoever reads the file in earnest, and says more of them.
///
/// # Errors
/// No memory, or what the file holds cannot be listed: that may be for want of memory, too, which nobody else lacks.
pub fn read_all(path: &Path, names: &[String]) -> Result<()> {
    limit(std::fs::metadata(path).map_or(0, |about| about.len()));
    let Ok(file) = open(path) else { return Ok(()) };
    let unlisted = |error: hdf5::Error| Error::Hdf5 {
        path: path.into(),
        what: format!("what it holds cannot be listed in limited memory: it is damaged, or made for that ({error})"),
    };
    for name in file.attr_names().map_err(unlisted)? {
        let _ = file.attr(&name).map(|value| (value.read_scalar::<VarLenUnicode>(), value.read_raw::<f64>()));
    }
    for name in file.member_names().map_err(unlisted)? {
        let _ = file.dataset(&name).map(|data| (data.shape(), data.dtype()));
    }
    names.iter().try_for_each(|name| {
        let outcome = has(&file, path, name).and_then(|there| if there { read(&file, path, name) } else { Ok(()) });
        outcome.or_else(|error| if is_starved(&error) { Err(error) } else { Ok(()) })
    })
}

/// Whether memory has run out, of which the library may lack what it takes to say so.
fn is_starved(error: &Error) -> bool {
    let text = error.to_string();
    text.contains("memory") || text.contains("Could not get errorstack")
}

fn read(file: &hdf5::File, path: &Path, name: &str) -> Result<()> {
    // Whatever the axes are called: nobody looks at the values.
    let Ok(numbers) = Numbers::open(file, path, name, Some(Axes::Xy)) else {
        let data = super::dataset(file, path, name)?;
        let _ = (data.read_raw::<u64>(), data.read_raw::<bool>());
        return Ok(());
    };
    let (lead, last) = numbers.shape().split_at(numbers.shape().len().saturating_sub(2));
    if last.len() < 2 {
        return numbers.array::<f64, ndarray::IxDyn>().map(drop);
    }
    let block = (BLOCK / (size_of::<f64>() * last.iter().product::<usize>()).max(1)).max(1);
    let all: usize = lead.iter().product();
    // Of values that lie there as they are a block is enough: what follows is copied.
    let all = if numbers.is_flat() { all.min(block) } else { all };
    (0..all).step_by(block).try_for_each(|at| match numbers.fields::<f64>(at..all.min(at + block)) {
        // A value that is none is no harm.
        Err(error) if !error.to_string().contains("must be finite") => Err(error),
        _ => Ok(()),
    })
}

/// Limits the memory of this process, which reads a file of so many bytes.
fn limit(length: u64) {
    let [least, most] = MEMORY;
    let memory = length.saturating_mul(EXPANSION).saturating_add(least).min(most);
    #[cfg(unix)]
    for (what, most) in [(libc::RLIMIT_AS, memory), (libc::RLIMIT_CORE, 0)] {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: both calls take one structure, which is there. Where they are refused, there is no limit.
        unsafe {
            if libc::getrlimit(what, &mut limit) == 0 {
                limit.rlim_cur = limit.rlim_cur.min(most as libc::rlim_t);
                libc::setrlimit(what, &limit);
            }
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_reader_that_does_not_end_or_dies_is_an_error_that_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let (program, path) = (folder.path().join("reader"), folder.path().join("in.h5"));
        for (does, words) in [
            ("exec sleep 60", "has not read it after 0 s"),
            ("kill -SEGV $$", "does not survive"),
            ("echo no memory for it >&2; exit 1", "no memory for it"),
            (r#"test "$1 $2 ${3##*/} $4" = "read-hdf5 -- in.h5 w""#, ""),
        ] {
            std::fs::write(&program, format!("#!/bin/sh\n{does}\n")).unwrap();
            std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
            let patience = if words.contains("not read") { Duration::from_millis(100) } else { PATIENCE };
            match survived(&program, &path, &["w".into()], patience) {
                Ok(()) => assert_eq!(words, "", "{does}"),
                Err(error) => {
                    let text = error.to_string();
                    assert!(text.contains("in.h5") && text.contains(words) && !words.is_empty(), "{does}: {text}");
                }
            }
        }
    }
}
