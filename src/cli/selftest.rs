//! `lacuna selftest`: does a device compute what the plain-array programs compute?

use clap::Args;

use crate::error::{Error, Result};
use crate::train::selftest;

/// Compares a device with the plain-array programs: networks, losses, gradients, samplers.
#[derive(Debug, Clone, Args)]
pub struct Selftest {
    /// cpu or cuda.
    #[arg(long, env = crate::lab::DEVICE_VARIABLE, default_value = "cpu")]
    device: String,
}

impl Selftest {
    pub(super) fn run(&self) -> Result<()> {
        let checks = selftest(&self.device)?;
        let width = checks.iter().map(|check| check.what.chars().count()).max().unwrap_or(0);
        say!("{:width$}  {:>9}  {:>9}", "", "error", "allowed");
        for check in &checks {
            let verdict = if check.passed() { "ok" } else { "FAILED" };
            say!("{:width$}  {:9.1e}  {:9.1e}  {verdict}", check.what, check.error, check.allowed);
        }
        let failed = checks.iter().filter(|check| !check.passed()).count();
        if failed > 0 {
            let what = format!("selftest on {}: {failed} of {} comparisons failed", self.device, checks.len());
            return Err(Error::Process { what });
        }
        say!("selftest on {}: all {} comparisons agree", self.device, checks.len());
        Ok(())
    }
}
