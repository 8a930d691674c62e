//! Exhibits: the tables and figures that a [`Lab`] shows, as values.
//!
//! What makes one, which files it makes and what it needs stand beside it in one list; [`Exhibit::all`] has those of a
//! configuration. Its provenance is the value itself, written as Rust.

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
use crate::config::Config;
use crate::error::{Error, Result};
use crate::eval::Table;
use crate::plot::Figure;

/// Exhibits, each with what makes it, the files that it makes, and what it needs.
macro_rules! exhibits {
    ($(
        $(#[$about:meta])*
        $exhibit:ident $(($argument:ident: $type:ty))? => $make:path, $files:expr, $needs:expr;
    )*) => {
        /// A table or figure of a [`Lab`], see [`Lab::show`].
        #[derive(Debug, Clone, Copy)]
        pub enum Exhibit<'a> {
            $($(#[$about])* $exhibit $(($type))?,)*
        }

        impl Exhibit<'_> {
            /// The files that it makes.
            pub fn files(&self) -> Vec<Files> {
                #[allow(unused_variables)]
                match self {
                    $(Self::$exhibit $(($argument))? => Vec::from($files),)*
                }
            }

            /// What it cannot be made without.
            pub fn needs(&self) -> &'static [Need] {
                #[allow(unused_variables)]
                match self {
                    $(Self::$exhibit $(($argument))? => $needs,)*
                }
            }

            fn make(&self, lab: &Lab) -> Result<Made> {
                match self {
                    $(Self::$exhibit $(($argument))? => $make(lab $(, $argument)?),)*
                }
            }
        }
    };
}

exhibits! {
    /// A trajectory of the full solver from its random initial field to the end of the burn-in.
    Flow => truth::flow, [panel("flow")], &[];
    /// Vorticity and the missing term at a few times of one test trajectory.
    Fields => truth::fields, [panel("fields")], &[];
    /// Kinetic energy and enstrophy by shell, averaged over the test set.
    DataSpectra => truth::data_spectra, [chart("data-spectra")], &[];
    /// Enstrophy budget of a developed flow ([`crate::eval::EnstrophyBudget`]).
    Budget => truth::budget, [table("budget")], &[];
    /// Spectrum of H split into its conditional mean and the rest, beside the exact law of the noise.
    MissingTerm => truth::missing_term, [chart("missing-term")], &[Need::ExactLaw];
    /// What the data are, against what theory and the published data say.
    Truth => truth::truth, [table("truth")], &[Need::ExactLaw];
    /// Errors of ω and H after encoding and decoding (arXiv 2506.20771, autoencoder experiment), for truncations and trained
    /// autoencoders, on the test set.
    ReconstructionErrors => latents::reconstruction_errors, [table("reconstruction")], &[];
    /// One test pair, what latent spaces make of it, and the errors.
    Reconstruction => latents::reconstruction, [panel("reconstruction")], &[Need::LatentSpace];
    /// Spectrum of the reconstruction error of H, beside that of H itself.
    ReconstructionSpectra => latents::reconstruction_spectra, [chart("reconstruction-spectra")], &[Need::LatentSpace];
    /// Every model's training, made now where it is missing.
    Training => training::training, [table("training")], &[Need::Model];
    /// Validation loss of every model against the optimiser step, each relative to its first value.
    Losses => training::losses, [chart("loss")], &[Need::Model];
    /// Components of a model's loss on the validation trajectories during training, and how its H latents are used.
    LossParts(model: &'a str) => training::loss_parts, [chart(format!("loss-parts-{model}"))], &[];
    /// How every model's latent space is used (spread, effective rank, active units, KL) and how rough it is.
    Latents => latents::latents, [table("latents")], &[Need::Model];
    /// Variance of every dimension of the H latents over the validation set, largest first, relative to their mean, for trained
    /// latent spaces. A collapsed latent falls steeply.
    LatentVariance => latents::latent_variance, [chart("latent-variance")], &[Need::TrainedLatent];
    /// Spread and mean of samples drawn from a narrow Gaussian with a known denoiser, against the number of steps.
    SamplerBias => draws::sampler_bias, [chart("samplers"), table("samplers")], &[];
    /// For one test field, H of the data, its exact conditional mean, one draw of every model, and the distances of the draws
    /// from that mean.
    Samples => draws::samples, [panel("samples")], &[Need::ExactLaw];
    /// Every closure's law on the test set: the scores of [`crate::eval::metric::OFFLINE`].
    Offline => draws::offline, [table("offline")], &[];
    /// Variance of the sampled fluctuation by shell, relative to the exact law's.
    NoiseSpectra => draws::noise_spectra, [chart("noise"), table("noise-spectrum")], &[Need::ExactLaw];
    /// Rates at which every closure's mean term changes enstrophy and energy by shell, and the flux that this makes.
    Transfers => draws::transfers, [table("transfers")], &[Need::ExactLaw];
    /// What a draw of every closure costs, split into encoding, sampling and decoding, beside a solver step.
    Cost => draws::cost, [table("cost")], &[];
    /// The true flow and one member of a closure's rollout over time, and their difference.
    Rollout(closure: &'a str) => rollouts::rollout, [panel(format!("rollout-{closure}"))], &[];
    /// Every rollout against the true flow at the final time: the scores of [`crate::eval::metric::CLOSED_LOOP`].
    ClosedLoop => rollouts::closed_loop, [table("closed-loop")], &[];
    /// Relative error of each ensemble mean over time, with the bootstrap standard error as a band.
    ErrorCurves => rollouts::error_curves, [chart("error"), table("closed-loop-curves")], &[];
    /// Ensemble spread over time, beside the error that it should predict.
    SpreadCurves => rollouts::spread_curves, [chart("spread")], &[Need::Closure];
    /// Rank of the true vorticity among the members at the final time, relative to a flat histogram.
    Ranks => rollouts::ranks, [chart("ranks"), table("rank-histogram")], &[Need::Closure];
    /// The true flow, one member of each rollout at the final time, and the errors of the members.
    Vorticity => rollouts::vorticity, [panel("vorticity")], &[];
    /// As [`Exhibit::Vorticity`], of the closures named; only their rollouts are computed.
    Closures(closures: &'a [&'a str]) => rollouts::closures, [panel("closures")], &[];
    /// Kinetic energy by shell at the final time, the mean over members.
    Spectra => rollouts::spectra, [chart("spectra")], &[];
    /// Distance of each ensemble's energy spectrum from the true flow's over time, in decades per shell, averaged over the
    /// energetic shells.
    Statistics => rollouts::statistics, [chart("statistics"), table("statistics")], &[];
    /// Closures of your own in the rollout of this configuration, beside no closure and the exact law. Draws of closures without
    /// a known conditional mean are held, whatever the configuration says of rescaling.
    Compare(closures: &'a [AnyClosure]) => studies::compare, [table("compare")], &[];
    /// Error and cost of one closure against the redraw interval and the policy in between.
    HoldStudy(closure: &'a str) => studies::hold_study, [table("hold-study")], if *closure == "exact" { &[Need::ExactLaw] } else { &[] };
    /// Error of the ensemble mean at the final time against the cost of a step, for every model, number of sampling steps and
    /// redraw interval of `study.frontier`.
    Frontier => studies::frontier, [chart("frontier"), table("frontier")], &[Need::FrontierPoint];
    /// Every published number with a counterpart here, beside ours.
    Ledger => studies::ledger, [table("ledger")], &[Need::ExactLaw];
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
                config.exact_law().is_some(),
                "the exact law is not known, neither of a subgrid term nor of pairs of one's own",
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
            Self::FrontierPoint => {
                (!super::variations::frontier_settings(config).is_empty(), "study.frontier is empty")
            }
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

fn panel(stem: impl Into<String>) -> Files {
    Files::Panel(stem.into())
}

fn chart(stem: impl Into<String>) -> Files {
    Files::Chart(stem.into())
}

fn table(stem: impl Into<String>) -> Files {
    Files::Table(stem.into())
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
        let law = usize::from(config.exact_law().is_some());
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
        let trained = |model: &&str| !config.checkpoints.contains_key(*model);
        all.extend(config.autoencoder_models().filter(trained).map(Self::LossParts));
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
            Self::Closures(PLAIN[law]),
            Self::Spectra,
            Self::Statistics,
            Self::Compare(&[]),
            Self::HoldStudy(super::variations::HELD),
            Self::Frontier,
            Self::Ledger,
        ]);
        all
    }

    /// Why it does not apply to a configuration, if it does not.
    pub fn missing(&self, config: &Config) -> Option<&'static str> {
        self.needs().iter().find_map(|need| need.missing(config))
    }
}

impl Study {
    /// The exhibits that show it beside those of the configuration that it varies.
    pub fn exhibits(self) -> &'static [Exhibit<'static>] {
        match self {
            Self::Horizon => &[Exhibit::ClosedLoop, Exhibit::ErrorCurves, Exhibit::SpreadCurves, Exhibit::Statistics],
            Self::LargeEnsemble => &[Exhibit::ClosedLoop, Exhibit::SpreadCurves, Exhibit::Ranks],
            Self::Les => &[
                Exhibit::Fields,
                Exhibit::Offline,
                Exhibit::ClosedLoop,
                Exhibit::ErrorCurves,
                Exhibit::Spectra,
                Exhibit::Statistics,
                Exhibit::Cost,
            ],
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
            let table = table.clone().named(named(&table.name));
            self.gallery.put_table(&table, &source(&table.caption))?;
        }
        Ok(match made.shown {
            Shown::Figure(figure) => {
                let figure = Figure { name: named(&figure.name), ..figure };
                self.gallery.put_figure(&figure, &source(&made.caption))?;
                Shown::Figure(figure)
            }
            Shown::Table(table) => {
                let name = named(&table.name);
                let table = table.named(name);
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
