//! The classical subgrid models that configurations name, and their constants.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// Classical subgrid models; [`crate::closure::Subgrid`] has the equations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubgridModel {
    /// Smagorinsky's eddy viscosity, from place to place.
    Smagorinsky,
    /// Smagorinsky's eddy viscosity, one value for the domain.
    SmagorinskyMean,
    /// Smagorinsky's eddy viscosity with Germano's coefficient, found as the flow goes on from the tensors of Lilly.
    DynamicSmagorinsky,
    /// Smagorinsky's eddy viscosity with the dynamic coefficient of the vorticity equation, positive parts averaged (DSMAG).
    Dsmag,
    /// The same, the average clipped at zero.
    DsmagClipped,
    /// Leith's eddy viscosity, from place to place.
    Leith,
    /// Leith's eddy viscosity, one value for the domain.
    LeithMean,
    /// Leith's eddy viscosity with the dynamic coefficient of the vorticity equation, positive parts averaged (DLEITH).
    Dleith,
    /// The same, the average clipped at zero.
    DleithClipped,
    /// The gradient model of second order in the filter width.
    Gm2,
    /// The gradient model of fourth order.
    Gm4,
    /// Approximate deconvolution: the term of the field whose filtered modes these are, as far as the grid holds it.
    Deconvolution,
    /// Jansen and Held's backscatter with Smagorinsky's scaling of its biharmonic viscosity.
    Jhs,
    /// Jansen and Held's backscatter with Leith's.
    Jhl,
    /// −ν(−∇²)²ω.
    Hyperviscosity,
}

impl SubgridModel {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Smagorinsky,
        Self::SmagorinskyMean,
        Self::DynamicSmagorinsky,
        Self::Dsmag,
        Self::DsmagClipped,
        Self::Leith,
        Self::LeithMean,
        Self::Dleith,
        Self::DleithClipped,
        Self::Gm2,
        Self::Gm4,
        Self::Deconvolution,
        Self::Jhs,
        Self::Jhl,
        Self::Hyperviscosity,
    ];

    /// Its name as in configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::Smagorinsky => "smagorinsky",
            Self::SmagorinskyMean => "smagorinsky-mean",
            Self::DynamicSmagorinsky => "dynamic-smagorinsky",
            Self::Dsmag => "dsmag",
            Self::DsmagClipped => "dsmag-clipped",
            Self::Leith => "leith",
            Self::LeithMean => "leith-mean",
            Self::Dleith => "dleith",
            Self::DleithClipped => "dleith-clipped",
            Self::Gm2 => "gm2",
            Self::Gm4 => "gm4",
            Self::Deconvolution => "deconvolution",
            Self::Jhs => "jhs",
            Self::Jhl => "jhl",
            Self::Hyperviscosity => "hyperviscosity",
        }
    }

    /// Its standard constants: C of the eddy viscosities; C of the biharmonic viscosity and the share C_B of the energy that comes back,
    /// of Jansen and Held's; of hyperviscosity, the rate per unit time at which the smallest dealiased scale, k = 2πn/3L, is damped. Models
    /// that find their own coefficient, or need none, have no constant.
    ///
    /// With those of Smagorinsky, Leith and hyperviscosity each takes about as much enstrophy out of the resolved flow of preset `les` as the
    /// stored term does (with 0.17, 1.0 and 4.0 it was 0.81, 12.5 and 2.2 times as much). Those of the others fit the
    /// subgrid term of a smaller flow like preset `turbulence`'s, 128² filtered to 32² (`lacuna tune`); [`super::Config::subgrid`] has those of
    /// a configuration.
    pub fn standard(self) -> &'static [f64] {
        match self {
            Self::Smagorinsky => &[0.19],
            Self::SmagorinskyMean => &[0.11],
            Self::Leith => &[0.43],
            Self::LeithMean => &[0.24],
            Self::Jhs => &[0.41, 0.51],
            Self::Jhl => &[0.5, 0.51],
            Self::Hyperviscosity => &[1.8],
            Self::DynamicSmagorinsky
            | Self::Dsmag
            | Self::DsmagClipped
            | Self::Dleith
            | Self::DleithClipped
            | Self::Gm2
            | Self::Gm4
            | Self::Deconvolution => &[],
        }
    }
}

impl fmt::Display for SubgridModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Constants of subgrid models that differ from the standard ones, lists of numbers by the models' names.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, Vec<f64>>")]
pub struct SubgridConstants(BTreeMap<&'static str, Vec<f64>>);

impl TryFrom<BTreeMap<String, Vec<f64>>> for SubgridConstants {
    type Error = Error;

    fn try_from(given: BTreeMap<String, Vec<f64>>) -> Result<Self, Error> {
        let mut own = Self::default();
        for (name, constants) in given {
            let Some(model) = SubgridModel::ALL.into_iter().find(|model| model.name() == name) else {
                let known: Vec<&str> = SubgridModel::ALL
                    .iter()
                    .filter(|model| !model.standard().is_empty())
                    .map(|model| model.name())
                    .collect();
                let what = format!("no subgrid model with constants; known: {}", known.join(", "));
                return Err(Error::config(format!("subgrid.{name}"), what));
            };
            own.set(model, constants)?;
        }
        Ok(own)
    }
}

impl SubgridConstants {
    pub(super) fn is_standard(&self) -> bool {
        self.0.is_empty()
    }

    /// The constants of a model, as [`SubgridModel::standard`] lists them.
    pub fn of(&self, model: SubgridModel) -> &[f64] {
        self.0.get(model.name()).map_or(model.standard(), Vec::as_slice)
    }

    /// Gives a model other constants.
    ///
    /// # Errors
    /// [`Error::Config`] for another number of constants than it has, or for one that is negative or not finite.
    pub fn set(&mut self, model: SubgridModel, constants: Vec<f64>) -> Result<(), Error> {
        let count = model.standard().len();
        let right = constants.len() == count && constants.iter().all(|c| c.is_finite() && *c >= 0.0);
        if !right {
            let what = format!("{constants:?}; {count} finite number(s), not negative, are needed");
            return Err(Error::config(format!("subgrid.{model}"), what));
        }
        if constants == model.standard() {
            self.0.remove(model.name());
        } else {
            self.0.insert(model.name(), constants);
        }
        Ok(())
    }

    /// Those of every model that has some, for others to be laid over them.
    pub(super) fn all(&self) -> BTreeMap<&'static str, &[f64]> {
        let models = SubgridModel::ALL.into_iter().map(|model| (model.name(), self.of(model)));
        models.filter(|(_, constants)| !constants.is_empty()).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Preset, SubgridModel};

    #[test]
    fn constants_that_are_the_standard_ones_leave_no_trace() {
        let plain = Config::preset(Preset::Les);
        let load = |settings: &[&str]| {
            let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
            Config::load("les", None, &settings)
        };
        assert_eq!(load(&["subgrid.leith=[0.43]"]).unwrap().hash(), plain.hash());
        let other = load(&["subgrid.leith=[1]", "subgrid.jhl=[0.8, 0.5]"]).unwrap();
        assert_eq!(other.subgrid.of(SubgridModel::Leith), [1.0]);
        assert_eq!(other.subgrid.of(SubgridModel::Smagorinsky), plain.subgrid.of(SubgridModel::Smagorinsky));
        let hash = |config: &Config, name: &str| config.rollout_stage(&config.closure(name).unwrap()).unwrap().hash;
        assert_ne!(hash(&other, "leith"), hash(&plain, "leith"));
        assert_eq!(hash(&other, "smagorinsky"), hash(&plain, "smagorinsky"));
        assert_eq!(Config::from_toml("les", &other.to_toml()).unwrap(), other);
        for (wrong, said) in [
            ("subgrid.leith=[1, 2]", "subgrid.leith"),
            ("subgrid.leith=[-1]", "subgrid.leith"),
            ("subgrid.gm4=[1]", "subgrid.gm4"),
            ("subgrid.other=[1]", "known"),
        ] {
            let error = load(&[wrong]).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
