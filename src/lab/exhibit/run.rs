//! All exhibits, one after the other.

use std::sync::Arc;

use super::{Exhibit, Shown};
use crate::error::{Error, Result};
use crate::lab::{Lab, Study};
use crate::progress::say;
use crate::stop;

impl Lab {
    /// All stages and all exhibits, with those of the studies of long horizons and large ensembles; what does not apply is left
    /// out, and said. What fails does not keep the others from being made. Returns this configuration's own.
    ///
    /// # Errors
    /// Exhibits that could not be made, by name and each with the reason; a request to stop.
    pub fn run(&self) -> Result<Vec<(Exhibit<'_>, Shown)>> {
        let mut all = Vec::new();
        self.run_each(&mut |exhibit, shown| all.push((exhibit, shown)))?;
        Ok(all)
    }

    /// [`Lab::run`], each of this configuration's own exhibits as soon as it is made.
    pub(crate) fn run_each<'a>(&'a self, shown: &mut dyn FnMut(Exhibit<'a>, Shown)) -> Result<()> {
        // What fails is tried once and not again for every exhibit that needs it.
        let lab = Self { failed: Some(Arc::default()), ..self.clone() };
        let mut failures = Vec::new();
        lab.show_all(Exhibit::all(&self.config), shown, &mut failures)?;
        for study in lab.studies() {
            lab.study(study)?.show_all(study.exhibits().to_vec(), &mut |_, _| (), &mut failures)?;
        }
        if failures.is_empty() {
            return Ok(());
        }
        let what = format!("{} exhibit(s) could not be made:\n  {}", failures.len(), failures.join("\n  "));
        Err(Error::Process { what })
    }

    fn show_all<'a>(
        &self,
        exhibits: Vec<Exhibit<'a>>,
        shown: &mut dyn FnMut(Exhibit<'a>, Shown),
        failures: &mut Vec<String>,
    ) -> Result<()> {
        let study = self.study.map_or(String::new(), |study| format!(" of Study::{study:?}"));
        for exhibit in exhibits {
            stop::check()?;
            if let Some(missing) = exhibit.missing(&self.config) {
                say(&format!("Exhibit::{exhibit}{study} is left out: {missing}"));
                continue;
            }
            match self.show(exhibit) {
                Ok(made) => shown(exhibit, made),
                Err(stopped @ Error::Stopped { .. }) => return Err(stopped),
                Err(error) => {
                    say(&format!("Exhibit::{exhibit}{study} could not be made: {error}"));
                    failures.push(format!("Exhibit::{exhibit}{study}: {error}"));
                }
            }
        }
        Ok(())
    }
}

impl Study {
    /// The exhibits that show it beside those of the configuration that it varies.
    pub fn exhibits(self) -> &'static [Exhibit<'static>] {
        match self {
            Self::Horizon => &[Exhibit::ClosedLoop, Exhibit::ErrorCurves, Exhibit::SpreadCurves, Exhibit::Statistics],
            Self::LargeEnsemble => &[Exhibit::ClosedLoop, Exhibit::SpreadCurves, Exhibit::Ranks],
            Self::Memory => {
                &[Exhibit::ClosedLoop, Exhibit::ErrorCurves, Exhibit::SpreadCurves, Exhibit::Ranks, Exhibit::Vorticity]
            }
            Self::Ring => &[Exhibit::Decoded, Exhibit::Shape],
            Self::Les => &[
                Exhibit::Fields,
                Exhibit::Offline,
                Exhibit::ClosedLoop,
                Exhibit::ErrorCurves,
                Exhibit::Spectra,
                Exhibit::Statistics,
                Exhibit::Cost,
                Exhibit::Findings,
            ],
        }
    }
}
