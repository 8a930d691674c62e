//! Measured tables as results of their own: scores and costs are taken once and read by every table and figure that shows
//! them, so that a second run changes nothing.

use super::Lab;
use super::stages::CHECKPOINT;
use crate::artifact::{Artifact, write_atomically};
use crate::closure::{AnyClosure, Learned};
use crate::config::{MissingTerm, SamplerConfig, Stage};
use crate::data::{Dataset, Pairs};
use crate::error::{Error, Result};
use crate::eval::{self, Offline, Table};

/// File with the names of a result's tables.
const TABLES: &str = "tables.json";
/// States at which draws are timed.
const STATES: usize = 8;

impl Lab {
    /// The tables of a stage: read, or measured now by `measure`, which also says what they were made from.
    pub(super) fn measured(
        &self,
        stage: &Stage,
        measure: impl FnOnce() -> Result<(Vec<Table>, Vec<Artifact>)>,
    ) -> Result<(Vec<Table>, Artifact)> {
        if let Some(found) = self.store.find(stage)? {
            return Ok((read_all(&found)?, found));
        }
        let (tables, parents) = measure()?;
        let work = self.store.begin(stage)?;
        for table in &tables {
            write_atomically(&work.path(&format!("{}.csv", table.name)), table.to_csv()?.as_bytes())?;
        }
        let about: Vec<[&str; 2]> = tables.iter().map(|table| [table.name.as_str(), table.caption.as_str()]).collect();
        write_atomically(&work.path(TABLES), serde_json::json!(about).to_string().as_bytes())?;
        let parents: Vec<&Artifact> = parents.iter().collect();
        let made = work.finish(&[self.config.seeds().label()], &parents, "cpu")?;
        Ok((tables, made))
    }

    /// Offline scores of every closure: the summary and, where the exact law is known, the spectrum of the fluctuation and the
    /// budget.
    pub(super) fn offline_scores(&self) -> Result<(Vec<Table>, Vec<Artifact>)> {
        let (tables, artifact) = self.measured(&self.config.offline_stage()?, || {
            let (test, closures, parents) = self.on_test_set()?;
            let seeds = self.config.seeds();
            let tables = match self.config.data.term {
                MissingTerm::Physics => {
                    let Offline { summary, noise, budget } = Offline::measure(&self.config, &test, &closures, &seeds)?;
                    vec![summary, noise, budget]
                }
                MissingTerm::Subgrid { .. } => vec![eval::against_data(&self.config, &test, &closures, &seeds)?],
            };
            Ok((tables, parents))
        })?;
        Ok((tables, vec![artifact]))
    }

    /// Costs of every closure's draws.
    pub(super) fn cost_scores(&self) -> Result<(Table, Artifact)> {
        let (tables, artifact) = self.measured(&self.config.cost_stage()?, || {
            let (test, mut closures, mut parents) = self.on_test_set()?;
            // The models of the frontier, at its numbers of sampling steps.
            let study = &self.config.study.frontier;
            for model in &study.models {
                let trained = self.train_artifact(model)?;
                for &steps in &study.steps {
                    let sampler = SamplerConfig { steps, ..self.config.model(model)?.sampler.clone() };
                    let law = Learned::load(&trained.path(CHECKPOINT), Some(&sampler))?;
                    closures.push(AnyClosure::new(law).named(format!("{model}, {steps} steps")));
                }
                parents.push(trained);
            }
            let step = (test.w.dim().0 / STATES).max(1);
            let states = test.w.slice(ndarray::s![..;step, .., ..]).to_owned();
            Ok((vec![eval::cost(&self.config, &states, &closures, &self.config.seeds())?], parents))
        })?;
        Ok((named(tables, "cost", &artifact)?, artifact))
    }

    /// Test pairs and closures, with the results they come from.
    fn on_test_set(&self) -> Result<(Pairs, Vec<AnyClosure>, Vec<Artifact>)> {
        let data = self.data_artifact()?;
        let test = Dataset::open(&data.folder)?.test.load()?;
        let (closures, mut parents) = self.closures()?;
        parents.push(data);
        Ok((test, closures, parents))
    }
}

/// The table of that name.
pub(super) fn named(tables: Vec<Table>, name: &str, artifact: &Artifact) -> Result<Table> {
    let there: Vec<String> = tables.iter().map(|table| table.name.clone()).collect();
    tables.into_iter().find(|table| table.name == name).ok_or_else(|| Error::Artifact {
        path: artifact.folder.clone(),
        what: format!("no table `{name}`; measured here: {}", there.join(", ")),
    })
}

fn read_all(artifact: &Artifact) -> Result<Vec<Table>> {
    let path = artifact.path(TABLES);
    let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
    let about: Vec<[String; 2]> =
        serde_json::from_str(&text).map_err(|error| Error::Artifact { path, what: error.to_string() })?;
    let table = |[name, caption]: [String; 2]| {
        let path = artifact.path(&format!("{name}.csv"));
        let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
        Table::from_csv(name, caption, &text)
    };
    about.into_iter().map(table).collect()
}
