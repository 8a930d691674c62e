//! The program `lacuna` for what the library has done in a process of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::error::{Error, Result};

/// Environment variable with the path of the program.
const VARIABLE: &str = "LACUNA_BIN";

/// The path of this process where it is the program.
static THIS: OnceLock<PathBuf> = OnceLock::new();

/// Says that this process is the program.
#[cfg(feature = "cli")]
pub(crate) fn this_is_the_program() {
    // Where the system does not tell its path it is looked for as by everybody else.
    if let Ok(path) = std::env::current_exe() {
        let _ = THIS.set(path);
    }
}

/// The folder of this project: the nearest one upwards that holds `Cargo.toml` and `notebooks`, or the current one.
pub(crate) fn project_root() -> PathBuf {
    let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
    let found =
        here.ancestors().find(|folder| folder.join("Cargo.toml").is_file() && folder.join("notebooks").is_dir());
    found.map_or_else(|| here.clone(), Path::to_path_buf)
}

/// The program: the one that `LACUNA_BIN` names, this process, or the one that is built in this project.
///
/// # Errors
/// It is not there; the message says how to make it.
pub(crate) fn program() -> Result<PathBuf> {
    let named = std::env::var_os(VARIABLE).map(PathBuf::from).or_else(|| THIS.get().cloned());
    let path = named.unwrap_or_else(|| project_root().join("target").join("release").join("lacuna"));
    if path.is_file() {
        return Ok(path);
    }
    let what = format!("{} is missing: run `make build`, or name it in {VARIABLE}", path.display());
    Err(Error::Process { what })
}

/// Makes a command pass no open file on: the HDF5 library opens files without saying so, and its locks on them would live as long as the process.
pub(crate) fn keep_files(command: &mut Command) {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::process::CommandExt;
        let closed_on_exec = || {
            // SAFETY: a call without pointers, allowed between fork and exec. Where the kernel has it not, files are passed on.
            unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
            Ok(())
        };
        // SAFETY: the closure allocates nothing and takes no lock.
        unsafe { command.pre_exec(closed_on_exec) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = command;
}
