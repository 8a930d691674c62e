//! Models for others.

use std::path::Path;

use super::Lab;
use super::scores::{OFFLINE, named, read_all};
use crate::artifact::files::CHECKPOINT;
use crate::error::Result;
use crate::eval::Table;
use crate::import::exchange::{self, Card};
use crate::nets::Checkpoint;

impl Lab {
    /// Writes a model for others ([`exchange::export`]), trained now if need be, with the offline scores that are there.
    pub(crate) fn export(&self, model: &str, license: &[String], folder: &Path) -> Result<()> {
        let trained = self.train_artifact(model)?;
        let scores = match self.store.find(&self.config.offline_stage()?)? {
            None => String::new(),
            Some(found) => {
                let table = named(read_all(&found)?, OFFLINE, &found)?;
                let row = table.texts("closure")?.iter().position(|closure| closure == model);
                row.map(|row| one_row(&table, row)).transpose()?.unwrap_or_default()
            }
        };
        let card = Card { name: model.into(), scores, origin: trained.name(), license: license.to_vec() };
        exchange::export(&Checkpoint::load(&trained.path(CHECKPOINT))?, &card, folder)
    }
}

/// One row of a table, with its caption, as Markdown.
fn one_row(table: &Table, row: usize) -> Result<String> {
    let columns = table.frame()?.slice(row as i64, 1).columns().to_vec();
    Ok(Table::new(table.name.as_str(), table.caption.as_str(), columns)?.to_markdown())
}
