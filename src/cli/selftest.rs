//! `lacuna selftest`: does a device compute what the plain-array programs compute?

use clap::Args;

use crate::config::Precision;
use crate::error::{Error, Result};
use crate::train::selftest;

/// Compares a device with the plain-array programs: networks, losses, gradients, samplers.
#[derive(Debug, Clone, Args)]
pub struct Selftest {
    /// cpu or cuda.
    #[arg(long, env = crate::lab::DEVICE_VARIABLE, default_value = "cpu")]
    device: String,
    /// In what the networks multiply: f32, or bf16 to see what its rounding costs (products only, everything else is f32).
    #[arg(long, default_value = "f32")]
    precision: Precision,
}

impl Selftest {
    pub(super) fn run(&self) -> Result<()> {
        let checks = selftest(&self.device, self.precision)?;
        let width = checks.iter().map(|check| check.what.chars().count()).max().unwrap_or(0);
        say!("{:width$}  {:>9}  {:>9}", "", "error", "allowed");
        for check in &checks {
            let verdict = if check.passed() { "ok" } else { "FAILED" };
            say!("{:width$}  {:9.1e}  {:9.1e}  {verdict}", check.what, check.error, check.allowed);
        }
        let place = format!("{} in {}", self.device, self.precision.name());
        let failed = checks.iter().filter(|check| !check.passed()).count();
        if failed > 0 {
            let what = format!("selftest on {place}: {failed} of {} comparisons failed", checks.len());
            return Err(Error::Process { what });
        }
        say!("selftest on {place}: all {} comparisons agree", checks.len());
        Ok(())
    }
}
