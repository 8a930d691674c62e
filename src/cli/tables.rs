//! `lacuna tables`.

use std::path::PathBuf;

use clap::Args;

use crate::config::Config;
use crate::error::Result;
use crate::eval::Table;
use crate::file::write_atomically;
use crate::lab::{Lab, tidy};

/// Writes every number of every table, one a row: preset, seed, configuration, table, closure, time, what else tells it apart,
/// quantity, value, standard error, unit.
#[derive(Debug, Clone, Args)]
pub struct Tables {
    /// Preset: smoke, desk, truth, published, transports, cells, paper, les, turbulence or cutoff; repeatable.
    #[arg(long, env = crate::lab::PRESET_VARIABLE, default_value = "desk")]
    preset: Vec<String>,
    /// Root seed instead of the preset's; repeatable. Every seed of every preset is computed where it is missing.
    #[arg(long)]
    seed: Vec<u64>,
    /// `path.to.field=value` laid over the presets; repeatable.
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    settings: Vec<String>,
    /// Folder of the results.
    #[arg(long, env = crate::lab::OUT_VARIABLE)]
    results: Option<PathBuf>,
    /// The CSV file.
    #[arg(long, value_name = "FILE", default_value = "tables.csv")]
    out: PathBuf,
}

impl Tables {
    pub(super) fn run(&self) -> Result<()> {
        let mut labs = Vec::new();
        for preset in &self.preset {
            let config = Config::load(preset, None, &self.settings)?;
            let lab = Lab::new(config, self.results.as_deref(), None)?;
            let seeds = if self.seed.is_empty() { vec![lab.config().seed] } else { self.seed.clone() };
            labs.extend_from_slice(crate::lab::Labs::seeds(&lab, seeds)?.labs());
        }
        let tables = labs.iter().map(tidy).collect::<Result<Vec<_>>>()?;
        let table = Table::concat(&tables)?;
        write_atomically(&self.out, table.to_csv().as_bytes())?;
        say!("{} numbers written to {}", table.rows(), self.out.display());
        Ok(())
    }
}
