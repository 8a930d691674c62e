//! Measured tables as results of their own: scores and costs are taken once and read by every table and figure that shows
//! them, so that a second run changes nothing.

use super::Lab;
use crate::artifact::files::CHECKPOINT;
use crate::artifact::{Artifact, Begun, write_atomically};
use crate::closure::{AnyClosure, Learned};
use crate::config::{SamplerConfig, Stage};
use crate::data::{Dataset, Pairs};
use crate::error::{Error, Result};
use crate::eval::{self, ClosedLoop, LatentSpace, Offline, Reconstruction, Table};
use crate::file::{TEXT_BYTES, read_text};
use crate::nets::Checkpoint;
use crate::progress::say;
use crate::rollout::{Ensemble, Reference};

/// File with the names of a result's tables.
const TABLES: &str = "tables.json";
/// The table of offline scores.
pub(super) const OFFLINE: &str = "offline";
/// States at which draws are timed.
const STATES: usize = 8;
/// Grid sizes of spectral latents that reconstructions are measured for.
const TRUNCATIONS: [usize; 4] = [12, 16, 20, 24];

/// The true flow and rollouts, with the results that they come from.
pub(super) struct Runs {
    pub reference: Reference,
    pub ensembles: Vec<Ensemble>,
    pub parents: Vec<Artifact>,
}

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
        self.once(stage, || {
            // Who comes second waits and takes the tables: nothing is measured twice.
            let work = match self.store.begin(stage, &mut say)? {
                Begun::Found(found) => return Ok((read_all(&found)?, found)),
                Begun::Work(work) => work,
            };
            let (tables, parents) = measure()?;
            for table in &tables {
                write_atomically(&work.path(&format!("{}.csv", table.name)), table.to_csv().as_bytes())?;
            }
            let about: Vec<[&str; 2]> =
                tables.iter().map(|table| [table.name.as_str(), table.caption.as_str()]).collect();
            write_atomically(&work.path(TABLES), serde_json::json!(about).to_string().as_bytes())?;
            let parents: Vec<&Artifact> = parents.iter().collect();
            let made = work.finish(&[self.config.seeds().label()], &parents, "cpu")?;
            Ok((tables, made))
        })
    }

    /// Offline scores of every closure: the summary and, where the exact law is known, the spectrum of the fluctuation and
    /// the transfers.
    pub(super) fn offline_tables(&self) -> Result<(Vec<Table>, Artifact)> {
        self.measured(&self.config.offline_stage()?, || {
            let (test, closures, parents) = self.on_test_set()?;
            let scores = Offline::measure(&self.config, &test, &closures, &self.config.seeds())?;
            Ok((scores.tables()?, parents))
        })
    }

    /// What latent spaces lose of the test set.
    pub(super) fn reconstruction_scores(&self) -> Result<(Table, Artifact)> {
        let (tables, artifact) = self.measured(&self.config.reconstruction_stage()?, || {
            let (set, data) = self.dataset()?;
            let (mut spaces, mut parents) = self.latent_spaces(&TRUNCATIONS)?;
            parents.push(data);
            Ok((vec![eval::reconstruction(&mut spaces, &set.test.load()?)?.table()?], parents))
        })?;
        Ok((named(tables, Reconstruction::NAME, &artifact)?, artifact))
    }

    /// Latent spaces: truncations, and the trained ones with the results they come from.
    pub(super) fn latent_spaces(&self, truncations: &[usize]) -> Result<(Vec<LatentSpace>, Vec<Artifact>)> {
        let usable = truncations.iter().filter(|&&n| n < self.config.data.n);
        let mut spaces: Vec<LatentSpace> = usable.map(|&n| LatentSpace::truncation(n)).collect();
        let mut parents = Vec::new();
        for model in self.config.autoencoder_models() {
            let artifact = self.train_artifact(model)?;
            spaces.push(LatentSpace::trained(model, &Checkpoint::load(&artifact.path(CHECKPOINT))?)?);
            parents.push(artifact);
        }
        Ok((spaces, parents))
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
    pub(super) fn on_test_set(&self) -> Result<(Pairs, Vec<AnyClosure>, Vec<Artifact>)> {
        let (set, data) = self.dataset()?;
        let (mut closures, mut parents) = (Vec::new(), Vec::new());
        for closure in self.config.scored()? {
            closures.push(self.law(&closure)?);
            parents.extend(self.trained_for(&closure)?);
        }
        parents.push(data);
        Ok((set.test.load()?, closures, parents))
    }

    /// The data set, with the result it comes from.
    pub(super) fn dataset(&self) -> Result<(Dataset, Artifact)> {
        let artifact = self.data_artifact()?;
        Ok((Dataset::open(&artifact.folder)?, artifact))
    }

    /// The true flow and the ensembles of all closures, computed where missing.
    pub(super) fn loop_results(&self) -> Result<Runs> {
        let closures: Vec<&str> = self.config.rollout.closures.iter().map(String::as_str).collect();
        self.loop_results_of(&closures)
    }

    /// As [`Lab::loop_results`], of some closures.
    pub(super) fn loop_results_of(&self, closures: &[&str]) -> Result<Runs> {
        closures.iter().try_for_each(|closure| self.config.closure(closure).map(drop))?;
        let artifact = self.reference_artifact()?;
        let reference = self.load_reference(&artifact)?;
        let (mut ensembles, mut parents) = (Vec::new(), vec![artifact]);
        for closure in closures {
            let artifact = self.rollout_artifact(closure)?;
            ensembles.push(self.load_ensemble(&artifact)?);
            parents.push(artifact);
        }
        Ok(Runs { reference, ensembles, parents })
    }

    /// Scores of all rollouts, with the results they come from.
    pub(super) fn loop_scores(&self) -> Result<(ClosedLoop, Vec<Artifact>)> {
        let Runs { reference, ensembles, parents } = self.loop_results()?;
        Ok((eval::closed_loop(&reference, &ensembles, &self.config.seeds())?, parents))
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

pub(super) fn read_all(artifact: &Artifact) -> Result<Vec<Table>> {
    let path = artifact.path(TABLES);
    let text = read_text(&path, TEXT_BYTES)?;
    let about: Vec<[String; 2]> =
        serde_json::from_str(&text).map_err(|error| Error::Artifact { path, what: error.to_string() })?;
    let table = |[name, caption]: [String; 2]| {
        let path = artifact.path(&format!("{name}.csv"));
        let text = read_text(&path, TEXT_BYTES)?;
        Table::from_csv(name, caption, &text).map_err(|error| Error::Artifact { path, what: error.to_string() })
    };
    about.into_iter().map(table).collect()
}
