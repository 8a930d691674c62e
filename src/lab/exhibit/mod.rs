//! Exhibits: the tables and figures that a [`Lab`] shows, as values.
//!
//! [`Exhibit::all`] lists them; what one needs, which files it makes and what makes it are matched on the value, and its
//! provenance is the value itself, written as Rust.

mod draws;
mod latents;
mod rollouts;
mod studies;
mod training;
mod truth;

use std::fmt;

use super::{Lab, Source, Study};
use crate::artifact::Artifact;
use crate::closure::AnyClosure;
use crate::config::{Config, MissingTerm, split_mean};
use crate::error::{Error, Result};
use crate::eval::Table;
use crate::plot::Figure;

/// A table or figure of a [`Lab`], see [`Lab::show`].
#[derive(Debug, Clone, Copy)]
pub enum Exhibit<'a> {
    /// A trajectory of the full solver from its random initial field to the end of the burn-in.
    Flow,
    /// Vorticity and the missing term at a few times of one test trajectory.
    Fields,
    /// Kinetic energy and enstrophy by shell, averaged over the test set.
    DataSpectra,
    /// Enstrophy budget of a developed flow ([`crate::eval::EnstrophyBudget`]).
    Budget,
    /// Spectrum of H split into its conditional mean and the rest, beside the exact law of the noise.
    MissingTerm,
    /// What the data are, against what theory and the published data say.
    Truth,
    /// Errors of ω and H after encoding and decoding (arXiv 2506.20771, autoencoder experiment), for truncations and trained
    /// autoencoders, on the test set.
    ReconstructionErrors,
    /// One test pair, what latent spaces make of it, and the errors.
    Reconstruction,
    /// Spectrum of the reconstruction error of H, beside that of H itself.
    ReconstructionSpectra,
    /// Every model's training, made now where it is missing.
    Training,
    /// Validation loss of every model against the optimiser step, each relative to its first value.
    Losses,
    /// Components of a model's loss on the validation trajectories during training, and how its H latents are used.
    LossParts(&'a str),
    /// How every model's latent space is used (spread, effective rank, active units, KL) and how rough it is.
    Latents,
    /// Variance of every dimension of the H latents over the validation set, largest first, relative to their mean, for trained
    /// latent spaces. A collapsed latent falls steeply.
    LatentVariance,
    /// Spread and mean of samples drawn from a narrow Gaussian with a known denoiser, against the number of steps.
    SamplerBias,
    /// For one test field, H of the data, its exact conditional mean, one draw of every model, and the distances of the draws
    /// from that mean.
    Samples,
    /// Every closure's law on the test set: the scores of [`crate::eval::metric::OFFLINE`].
    Offline,
    /// Variance of the sampled fluctuation by shell, relative to the exact law's.
    NoiseSpectra,
    /// Rates at which every closure's mean term changes enstrophy and energy by shell, and the flux that this makes.
    Transfers,
    /// What a draw of every closure costs, split into encoding, sampling and decoding, beside a solver step.
    Cost,
    /// The true flow and one member of a closure's rollout over time, and their difference.
    Rollout(&'a str),
    /// Every rollout against the true flow at the final time: the scores of [`crate::eval::metric::CLOSED_LOOP`].
    ClosedLoop,
    /// Relative error of each ensemble mean over time, with the bootstrap standard error as a band.
    ErrorCurves,
    /// Ensemble spread over time, beside the error that it should predict.
    SpreadCurves,
    /// Rank of the true vorticity among the members at the final time, relative to a flat histogram.
    Ranks,
    /// The true flow, one member of each rollout at the final time, and the errors of the members.
    Vorticity,
    /// As [`Exhibit::Vorticity`], of the closures named; only their rollouts are computed.
    Closures(&'a [&'a str]),
    /// Kinetic energy by shell at the final time, the mean over members.
    Spectra,
    /// Distance of each ensemble's energy spectrum from the true flow's over time, in decades per shell, averaged over the
    /// energetic shells.
    Statistics,
    /// Closures of your own in the rollout of this configuration, beside no closure and the exact law. Draws of closures without
    /// a known conditional mean are held, whatever the configuration says of rescaling.
    Compare(&'a [AnyClosure]),
    /// Error and cost of one closure against the redraw interval and the policy in between.
    HoldStudy(&'a str),
    /// Error of the ensemble mean at the final time against the cost of a step, for every model, number of sampling steps and
    /// redraw interval of `study.frontier`.
    Frontier,
    /// Every published number with a counterpart here, beside ours.
    Ledger,
}

/// What a figure or table cannot be made without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The missing term is the missing physics, whose exact law is known.
    ExactLaw,
    /// A model.
    Model,
    /// A latent space smaller than the grid: a truncation or a trained one.
    LatentSpace,
    /// A model with a trained latent space.
    TrainedLatent,
    /// A rollout with a closure.
    Closure,
    /// A variation of `study.frontier`.
    FrontierPoint,
}

impl Need {
    /// What a configuration lacks, if it does.
    fn missing(self, config: &Config) -> Option<&'static str> {
        let (there, what) = match self {
            Self::ExactLaw => (
                matches!(config.data.term, MissingTerm::Physics),
                "data.term is a subgrid term, whose exact law nobody knows",
            ),
            Self::Model => (!config.models.is_empty(), "there is no model"),
            Self::LatentSpace => (
                config.data.n > latents::PANEL_TRUNCATION || config.autoencoder_models().next().is_some(),
                "no latent space is smaller than the grid",
            ),
            Self::TrainedLatent => {
                (config.autoencoder_models().next().is_some(), "no model has a trained latent space")
            }
            Self::Closure => (config.rollout.closures.iter().any(|name| name != NONE), "no rollout has a closure"),
            Self::FrontierPoint => (!super::studies::frontier_settings(config).is_empty(), "study.frontier is empty"),
        };
        (!there).then_some(what)
    }
}

/// The name of no closure in configurations.
const NONE: &str = "none";
/// Closures without parameters, for a quick look.
const PLAIN: [&[&str]; 2] = [&[NONE], &[NONE, "exact"]];

/// Files of an exhibit, without the prefix of a study.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Files {
    /// Fields: PNG.
    Panel(String),
    /// Curves: SVG and PNG.
    Chart(String),
    /// CSV and Markdown.
    Table(String),
}

impl Files {
    /// Their names.
    pub fn names(&self) -> Vec<String> {
        let (stem, extensions): (_, &[&str]) = match self {
            Self::Panel(stem) => (stem, &["png"]),
            Self::Chart(stem) => (stem, &["svg", "png"]),
            Self::Table(stem) => (stem, &["csv", "md"]),
        };
        extensions.iter().map(|extension| format!("{stem}.{extension}")).collect()
    }
}

/// As Rust, without `Exhibit::`.
impl fmt::Display for Exhibit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closures(names) => write!(f, "Closures(&{names:?})"),
            // Closures of a reader's own have no form that could be pasted.
            Self::Compare(_) => f.write_str("Compare(…)"),
            other => write!(f, "{other:?}"),
        }
    }
}

impl<'a> Exhibit<'a> {
    /// Every exhibit of a configuration, in the order in which they are read; those that lack something included
    /// ([`Exhibit::missing`]).
    pub fn all(config: &'a Config) -> Vec<Self> {
        let physics = usize::from(matches!(config.data.term, MissingTerm::Physics));
        let mut all = vec![
            Self::Flow,
            Self::Fields,
            Self::DataSpectra,
            Self::Budget,
            Self::MissingTerm,
            Self::Truth,
            Self::Training,
            Self::Losses,
        ];
        all.extend(config.autoencoder_models().map(Self::LossParts));
        all.extend([
            Self::ReconstructionErrors,
            Self::Reconstruction,
            Self::ReconstructionSpectra,
            Self::Latents,
            Self::LatentVariance,
            Self::SamplerBias,
            Self::Samples,
            Self::Offline,
            Self::NoiseSpectra,
            Self::Transfers,
            Self::Cost,
        ]);
        all.extend(config.rollout.closures.iter().map(|closure| Self::Rollout(closure)));
        all.extend([
            Self::ClosedLoop,
            Self::ErrorCurves,
            Self::SpreadCurves,
            Self::Ranks,
            Self::Vorticity,
            Self::Closures(PLAIN[physics]),
            Self::Spectra,
            Self::Statistics,
            Self::Compare(&[]),
            Self::HoldStudy(super::studies::HELD),
            Self::Frontier,
            Self::Ledger,
        ]);
        all
    }

    /// What it cannot be made without.
    pub fn needs(&self) -> Vec<Need> {
        match self {
            Self::MissingTerm | Self::Truth | Self::Samples | Self::NoiseSpectra | Self::Transfers | Self::Ledger => {
                vec![Need::ExactLaw]
            }
            Self::HoldStudy(closure) if split_mean(closure).0 == "exact" => vec![Need::ExactLaw],
            Self::Training | Self::Losses | Self::Latents => vec![Need::Model],
            Self::Reconstruction | Self::ReconstructionSpectra => vec![Need::LatentSpace],
            Self::LatentVariance => vec![Need::TrainedLatent],
            Self::SpreadCurves | Self::Ranks => vec![Need::Closure],
            Self::Frontier => vec![Need::FrontierPoint],
            _ => Vec::new(),
        }
    }

    /// Why it does not apply to a configuration, if it does not.
    pub fn missing(&self, config: &Config) -> Option<&'static str> {
        self.needs().into_iter().find_map(|need| need.missing(config))
    }

    /// The files that it makes.
    pub fn files(&self) -> Vec<Files> {
        let panel = |stem: &str| vec![Files::Panel(stem.into())];
        let chart = |stem: &str| vec![Files::Chart(stem.into())];
        let table = |stem: &str| vec![Files::Table(stem.into())];
        let both = |stem: &str, beside: &str| vec![Files::Chart(stem.into()), Files::Table(beside.into())];
        match self {
            Self::Flow => panel("flow"),
            Self::Fields => panel("fields"),
            Self::DataSpectra => chart("data-spectra"),
            Self::Budget => table("budget"),
            Self::MissingTerm => chart("missing-term"),
            Self::Truth => table("truth"),
            Self::ReconstructionErrors => table("reconstruction"),
            Self::Reconstruction => panel("reconstruction"),
            Self::ReconstructionSpectra => chart("reconstruction-spectra"),
            Self::Training => table("training"),
            Self::Losses => chart("loss"),
            Self::LossParts(model) => chart(&format!("loss-parts-{model}")),
            Self::Latents => table("latents"),
            Self::LatentVariance => chart("latent-variance"),
            Self::SamplerBias => both("samplers", "samplers"),
            Self::Samples => panel("samples"),
            Self::Offline => table("offline"),
            Self::NoiseSpectra => both("noise", "noise-spectrum"),
            Self::Transfers => table("transfers"),
            Self::Cost => table("cost"),
            Self::Rollout(closure) => panel(&format!("rollout-{closure}")),
            Self::ClosedLoop => table("closed-loop"),
            Self::ErrorCurves => both("error", "closed-loop-curves"),
            Self::SpreadCurves => chart("spread"),
            Self::Ranks => both("ranks", "rank-histogram"),
            Self::Vorticity => panel("vorticity"),
            Self::Closures(_) => panel("closures"),
            Self::Spectra => chart("spectra"),
            Self::Statistics => both("statistics", "statistics"),
            Self::Compare(_) => table("compare"),
            Self::HoldStudy(_) => table("hold-study"),
            Self::Frontier => both("frontier", "frontier"),
            Self::Ledger => table("ledger"),
        }
    }

    fn make(&self, lab: &Lab) -> Result<Made> {
        match self {
            Self::Flow => truth::flow(lab),
            Self::Fields => truth::fields(lab),
            Self::DataSpectra => truth::data_spectra(lab),
            Self::Budget => truth::budget(lab),
            Self::MissingTerm => truth::missing_term(lab),
            Self::Truth => truth::truth(lab),
            Self::ReconstructionErrors => latents::reconstruction_errors(lab),
            Self::Reconstruction => latents::reconstruction(lab),
            Self::ReconstructionSpectra => latents::reconstruction_spectra(lab),
            Self::Training => training::training(lab),
            Self::Losses => training::losses(lab),
            Self::LossParts(model) => training::loss_parts(lab, model),
            Self::Latents => latents::latents(lab),
            Self::LatentVariance => latents::latent_variance(lab),
            Self::SamplerBias => draws::sampler_bias(lab),
            Self::Samples => draws::samples(lab),
            Self::Offline => draws::offline(lab),
            Self::NoiseSpectra => draws::noise_spectra(lab),
            Self::Transfers => draws::transfers(lab),
            Self::Cost => draws::cost(lab),
            Self::Rollout(closure) => rollouts::rollout(lab, closure),
            Self::ClosedLoop => rollouts::closed_loop(lab),
            Self::ErrorCurves => rollouts::error_curves(lab),
            Self::SpreadCurves => rollouts::spread_curves(lab),
            Self::Ranks => rollouts::ranks(lab),
            Self::Vorticity => rollouts::vorticity(lab),
            Self::Closures(closures) => rollouts::closures(lab, closures),
            Self::Spectra => rollouts::spectra(lab),
            Self::Statistics => rollouts::statistics(lab),
            Self::Compare(closures) => studies::compare(lab, closures),
            Self::HoldStudy(closure) => studies::hold_study(lab, closure),
            Self::Frontier => studies::frontier(lab),
            Self::Ledger => studies::ledger(lab),
        }
    }
}

/// A finished exhibit.
#[derive(Debug, Clone)]
pub enum Shown {
    /// A figure.
    Figure(Figure),
    /// A table.
    Table(Table),
}

impl Shown {
    /// The exhibit as a notebook shows it.
    pub fn evcxr_display(&self) {
        match self {
            Self::Figure(figure) => figure.evcxr_display(),
            Self::Table(table) => table.evcxr_display(),
        }
    }

    /// The table, if it is one.
    pub fn table(&self) -> Option<&Table> {
        match self {
            Self::Figure(_) => None,
            Self::Table(table) => Some(table),
        }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Figure(figure) => write!(f, "figure {}", figure.name),
            Self::Table(table) => table.fmt(f),
        }
    }
}

/// An exhibit before it is kept: what is shown, a table beside it, and the results that both were made from.
struct Made {
    shown: Shown,
    caption: String,
    beside: Option<Table>,
    parents: Vec<Artifact>,
}

impl Made {
    fn table(table: Table, parents: impl Into<Vec<Artifact>>) -> Self {
        let caption = table.caption.clone();
        Self { shown: Shown::Table(table), caption, beside: None, parents: parents.into() }
    }

    fn figure(figure: Figure, caption: impl Into<String>, parents: impl Into<Vec<Artifact>>) -> Self {
        Self { shown: Shown::Figure(figure), caption: caption.into(), beside: None, parents: parents.into() }
    }

    fn beside(self, table: Table) -> Self {
        Self { beside: Some(table), ..self }
    }
}

impl Lab {
    /// Makes a table or figure, from results that are computed where they are missing, and puts it into the gallery.
    ///
    /// # Errors
    /// It does not apply to this configuration ([`Exhibit::missing`]); what its stages report.
    pub fn show(&self, exhibit: Exhibit) -> Result<Shown> {
        if let Some(missing) = exhibit.missing(&self.config) {
            return Err(Error::config(format!("Exhibit::{exhibit}"), missing));
        }
        let made = exhibit.make(self)?;
        let study = self.study.map_or(String::new(), |study| format!(".study(Study::{study:?}).or_fail()"));
        let source = |caption: &str| Source {
            call: format!("lab{study}.show(Exhibit::{exhibit})"),
            caption: caption.into(),
            config_hash: self.config.hash(),
            seed: self.config.seed,
            parents: made.parents.iter().map(Artifact::name).collect(),
        };
        let named = |name: &str| self.study.map_or(name.into(), |study| format!("{}-{name}", study.prefix()));
        if let Some(table) = &made.beside {
            let table = Table { name: named(&table.name), ..table.clone() };
            self.gallery.put_table(&table, &source(&table.caption))?;
        }
        Ok(match made.shown {
            Shown::Figure(figure) => {
                let figure = Figure { name: named(&figure.name), ..figure };
                self.gallery.put_figure(&figure, &source(&made.caption))?;
                Shown::Figure(figure)
            }
            Shown::Table(table) => {
                let table = Table { name: named(&table.name), ..table };
                self.gallery.put_table(&table, &source(&made.caption))?;
                Shown::Table(table)
            }
        })
    }

    /// All stages and all exhibits, with those of the studies of long horizons and large ensembles; what does not apply is left
    /// out, and said. Returns this configuration's own.
    ///
    /// # Errors
    /// As [`Lab::show`].
    pub fn run(&self) -> Result<Vec<(Exhibit<'_>, Shown)>> {
        let shown = self.show_all(Exhibit::all(&self.config))?;
        for study in [Study::Horizon, Study::LargeEnsemble] {
            self.study(study)?.show_all(study.exhibits().to_vec())?;
        }
        Ok(shown)
    }

    fn show_all<'a>(&self, exhibits: Vec<Exhibit<'a>>) -> Result<Vec<(Exhibit<'a>, Shown)>> {
        let mut shown = Vec::with_capacity(exhibits.len());
        for exhibit in exhibits {
            match exhibit.missing(&self.config) {
                Some(missing) => super::stages::say(&format!("Exhibit::{exhibit} is left out: {missing}")),
                None => shown.push((exhibit, self.show(exhibit)?)),
            }
        }
        Ok(shown)
    }
}
