//! Heavy stages in the release binary, as a child process that passes its progress on.

#![cfg_attr(feature = "learn", allow(dead_code))]

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};

use super::Lab;
use crate::artifact::{keep_files, program};
use crate::error::{Error, Result};

impl Lab {
    /// Runs `lacuna COMMAND… --attached --out DIR --device DEVICE` with this lab's configuration, which goes to its standard input as
    /// one line; lines it prints go to `progress`.
    ///
    /// That pipe stays open as long as this process lives and waits. When it closes, because a kernel was interrupted, shut down or
    /// has crashed, the child keeps its state and ends.
    ///
    /// # Errors
    /// No binary, or it failed; the message is its own.
    pub(super) fn child(&self, command: &[&str], progress: &mut dyn FnMut(&str)) -> Result<()> {
        let binary = program()?;
        let shown = format!("{} {}", binary.display(), command.join(" "));
        let failed = |what: String| Error::Process { what };
        let mut process = Command::new(&binary);
        keep_files(&mut process);
        let mut child = process
            .args(command)
            .args(["--attached", "--preset", &self.config().preset, "--device", &self.device])
            .arg("--out")
            .arg(self.store().root())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| failed(format!("{shown}: {error}")))?;
        let mut input = child.stdin.take();
        // A text always serialises. A child that does not read has failed, and says why below.
        let configuration = serde_json::to_string(&self.config().to_toml()).unwrap_or_default();
        let _ = input.as_mut().map(|pipe| writeln!(pipe, "{configuration}"));
        // Both pipes are drained at once: a child that fills one of them would wait for ever.
        let stderr = child.stderr.take();
        let warnings = std::thread::spawn(move || {
            let mut text = String::new();
            stderr.map(|mut pipe| pipe.read_to_string(&mut text)).transpose().map(|_| text)
        });
        for line in child.stdout.take().into_iter().flat_map(|pipe| BufReader::new(pipe).lines()) {
            progress(&line.map_err(|error| failed(format!("{shown}: {error}")))?);
        }
        let status = child.wait().map_err(|error| failed(format!("{shown}: {error}")))?;
        drop(input);
        if status.success() {
            return Ok(());
        }
        let warnings = warnings.join().ok().and_then(|text| text.ok()).unwrap_or_default();
        Err(failed(format!("{shown}: {status}\n{}", warnings.trim())))
    }
}
