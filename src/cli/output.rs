//! Files that commands write.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Where a command writes, and whether it may replace what is there.
#[derive(Debug, Clone, clap::Args)]
pub struct Output {
    /// File to write.
    #[arg(long)]
    pub out: PathBuf,
    /// Replaces a file that is there already.
    #[arg(long)]
    pub force: bool,
}

impl Output {
    /// Refuses to replace one of the `inputs` and, unless it is forced, any file.
    pub(super) fn check(&self, inputs: &[&Path]) -> Result<()> {
        let wrong = |what: String| Err(Error::Artifact { path: self.out.clone(), what });
        let Ok(there) = self.out.canonicalize() else { return Ok(()) };
        if let Some(input) = inputs.iter().find(|input| input.canonicalize().is_ok_and(|input| input == there)) {
            return wrong(format!("is the input {}; results need another name", input.display()));
        }
        // What is no regular file is never replaced, and refused where it would be.
        if there.is_file() && !self.force {
            return wrong("is there already; --force replaces it".into());
        }
        Ok(())
    }
}
