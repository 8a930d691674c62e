//! Offline scores as a result of their own: measured once, read by every table and figure that shows them.

use super::Lab;
use crate::artifact::{Artifact, write_atomically};
use crate::data::{Dataset, Pairs};
use crate::error::{Error, Result};
use crate::eval::{Offline, Table};

/// The tables of [`Offline`], by file stem.
const TABLES: [&str; 3] = ["summary", "noise", "budget"];

impl Lab {
    /// Offline scores of every closure, with the results they come from; measured now where they are missing.
    pub(super) fn offline_scores(&self) -> Result<(Offline, Vec<Artifact>)> {
        let stage = self.config.offline_stage()?;
        let artifact = match self.store.find(&stage)? {
            Some(found) => found,
            None => self.measure_offline()?,
        };
        let [summary, noise, budget] = TABLES.map(|name| read(&artifact, name));
        let measured = Offline { summary: summary?, noise: noise?, budget: budget? };
        Ok((measured, vec![artifact]))
    }

    fn measure_offline(&self) -> Result<Artifact> {
        let data = self.data_artifact()?;
        let test: Pairs = Dataset::open(&data.folder)?.test.load()?;
        let (closures, mut parents) = self.closures()?;
        let work = self.store.begin(&self.config.offline_stage()?)?;
        let seeds = self.config.seeds();
        let measured = Offline::measure(&self.config, &test, &closures, &seeds)?;
        for (name, table) in TABLES.into_iter().zip([&measured.summary, &measured.noise, &measured.budget]) {
            write_atomically(&work.path(&format!("{name}.csv")), table.to_csv()?.as_bytes())?;
            let about = serde_json::json!({ "name": table.name, "caption": table.caption });
            write_atomically(&work.path(&format!("{name}.json")), about.to_string().as_bytes())?;
        }
        parents.push(data);
        work.finish(&[seeds.label()], &parents.iter().collect::<Vec<_>>(), "cpu")
    }
}

fn read(artifact: &Artifact, name: &str) -> Result<Table> {
    let text = |extension: &str| {
        let path = artifact.path(&format!("{name}.{extension}"));
        std::fs::read_to_string(&path).map_err(Error::io(&path))
    };
    let about: serde_json::Value = serde_json::from_str(&text("json")?)
        .map_err(|error| Error::Artifact { path: artifact.path(&format!("{name}.json")), what: error.to_string() })?;
    let word = |key: &str| about[key].as_str().unwrap_or_default().to_string();
    Table::from_csv(word("name"), word("caption"), &text("csv")?)
}
