//! Several labs beside each other: seeds of one configuration, or presets.

use super::{Exhibit, Gallery, Lab, Shown};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::eval::Table;

/// Labs whose tables are put together: their rows say of which preset, seed and configuration they are.
///
/// ```no_run
/// use lacuna::prelude::*;
/// let labs = Labs::seeds(&Lab::open("smoke")?, [1, 2, 3])?;
/// let scores = labs.table(Exhibit::ClosedLoop)?;
/// println!("{}", scores.mean_by(&["closure"])?); // means over seeds, and the spread between them
/// # Ok::<(), lacuna::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Labs(Vec<Lab>);

impl Labs {
    /// The labs of a configuration with other seeds: everything is simulated, trained and drawn anew for each. Results lie in the
    /// lab's folder; figures and tables of other seeds than its own in folders `seed-SEED` of its gallery.
    ///
    /// # Errors
    /// No seed.
    pub fn seeds(lab: &Lab, seeds: impl IntoIterator<Item = u64>) -> Result<Self> {
        let with_seed = |seed: u64| {
            if seed == lab.config.seed {
                return lab.clone();
            }
            let gallery = Gallery::new(lab.gallery.folder().join(format!("seed-{seed}")));
            Lab { config: Config { seed, ..lab.config.clone() }, gallery, ..lab.clone() }
        };
        Self::new(seeds.into_iter().map(with_seed).collect())
    }

    /// The labs of some presets.
    ///
    /// # Errors
    /// No preset, or no such one.
    pub fn presets(names: &[&str]) -> Result<Self> {
        Self::new(names.iter().map(|name| Lab::open(name)).collect::<Result<_>>()?)
    }

    /// Labs of your own.
    ///
    /// # Errors
    /// No lab.
    pub fn new(labs: Vec<Lab>) -> Result<Self> {
        if labs.is_empty() {
            return Err(Error::config("labs", "there is none; name at least one seed or preset"));
        }
        Ok(Self(labs))
    }

    /// The labs.
    pub fn labs(&self) -> &[Lab] {
        &self.0
    }

    /// A table of all labs below each other; of a figure the table beside it.
    ///
    /// # Errors
    /// As [`Lab::show`]; an exhibit without a table.
    pub fn table(&self, exhibit: Exhibit) -> Result<Table> {
        Table::concat(&self.0.iter().map(|lab| exhibit.table(lab)).collect::<Result<Vec<_>>>()?)
    }
}

impl Exhibit<'_> {
    /// The table of a lab to work with, made as by [`Lab::show`]; of a figure the table beside it.
    ///
    /// # Errors
    /// As [`Lab::show`]; an exhibit without a table.
    pub fn table(&self, lab: &Lab) -> Result<Table> {
        let (shown, beside) = lab.present(*self)?;
        let table = shown.table().cloned().or(beside);
        table.ok_or_else(|| Error::config(format!("Exhibit::{self}"), "it has no table"))
    }
}

/// Every number of every table of a lab and of its studies of long horizons and large ensembles, one a row ([`Table::tidy`]).
/// What is missing is computed, as by [`Lab::run`].
///
/// # Errors
/// As [`Lab::show`].
pub fn tidy(lab: &Lab) -> Result<Table> {
    let mut tables = Vec::new();
    let mut collect = |lab: &Lab, exhibits: &[Exhibit]| -> Result<()> {
        for exhibit in exhibits.iter().filter(|exhibit| exhibit.has_table() && exhibit.missing(lab.config()).is_none())
        {
            let (shown, beside) = lab.present(*exhibit)?;
            let own = match shown {
                Shown::Table(table) => Some(table),
                Shown::Figure(_) | Shown::Findings(_) => None,
            };
            for table in own.into_iter().chain(beside) {
                tables.push(table.tidy()?);
            }
        }
        Ok(())
    };
    collect(lab, &Exhibit::all(lab.config()))?;
    for study in lab.studies() {
        collect(&lab.study(study)?, study.exhibits())?;
    }
    Table::concat(&tables)
}
