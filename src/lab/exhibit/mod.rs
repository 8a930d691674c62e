//! Exhibits: the tables and figures that a [`Lab`] shows, as values.
//!
//! What makes one, which files it makes and what it needs stand beside it in one list; [`Exhibit::all`] has those of a
//! configuration. Its provenance is the value itself, written as Rust.

mod calibration;
mod draws;
mod files;
mod latents;
mod need;
mod published;
mod regimes;
mod rollouts;
mod run;
mod shape;
mod shown;
mod studies;
mod subgrid;
mod training;
mod transports;
mod truth;

use std::fmt;

pub use files::Files;
pub use need::Need;
pub use shown::Shown;

use files::{chart, panel, stem, table};

use super::{Lab, Source};
use crate::artifact::Artifact;
use crate::closure::{AnyClosure, Closure};
use crate::config::{Config, FlowConfig, SHORT};
use crate::error::{Error, Result};
use crate::eval::{Cell, Table};
use crate::plot::Figure;

/// Exhibits, each with what makes it, the files that it makes, and what it needs.
macro_rules! exhibits {
    ($(
        $(#[$about:meta])*
        $exhibit:ident $(($($argument:ident: $type:ty),+))? => $make:path, $files:expr, $needs:expr;
    )*) => {
        /// A table or figure of a [`Lab`], see [`Lab::show`].
        #[derive(Debug, Clone, Copy)]
        pub enum Exhibit<'a> {
            $($(#[$about])* $exhibit $(($($type),+))?,)*
        }

        impl Exhibit<'_> {
            /// The files that it makes.
            pub fn files(&self) -> Vec<Files> {
                #[allow(unused_variables)]
                match self {
                    $(Self::$exhibit $(($($argument),+))? => Vec::from($files),)*
                }
            }

            /// What it cannot be made without.
            pub fn needs(&self) -> &'static [Need] {
                #[allow(unused_variables)]
                match self {
                    $(Self::$exhibit $(($($argument),+))? => $needs,)*
                }
            }

            fn make(&self, lab: &Lab) -> Result<Made> {
                match self {
                    $(Self::$exhibit $(($($argument),+))? => $make(lab $($(, $argument)+)?),)*
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
    DataSpectra => truth::data_spectra, [chart("data-spectra"), table("data-spectra")], &[];
    /// Enstrophy budget of a developed flow ([`crate::eval::EnstrophyBudget`]).
    Budget => truth::budget, [table("budget")], &[];
    /// Spectrum of H split into its conditional mean and the rest, beside the exact law of the rest.
    MissingTerm => truth::missing_term, [chart("missing-term"), table("missing-term")], &[Need::ExactLaw];
    /// What the data are, against what theory and the published data say.
    Truth => truth::truth, [table("truth")], &[Need::ExactLaw];
    /// Errors of ω and H after encoding and decoding (arXiv 2506.20771, autoencoder experiment), for truncations and trained
    /// autoencoders, on the test set.
    ReconstructionErrors => latents::reconstruction_errors, [table("reconstruction")], &[];
    /// One test pair, what latent spaces make of it, and the errors.
    Reconstruction => latents::reconstruction, [panel("reconstruction")], &[Need::LatentSpace];
    /// Spectrum of the reconstruction error of H, beside that of H itself.
    ReconstructionSpectra => latents::reconstruction_spectra, [chart("reconstruction-spectra"), table("reconstruction-spectra")], &[Need::LatentSpace];
    /// Every model's training, made now where it is missing.
    Training => training::training, [table("training")], &[Need::Model];
    /// Validation loss of every model against the optimiser step, each relative to its first value.
    Losses => training::losses, [chart("loss"), table("loss")], &[Need::Model];
    /// Components of a model's loss on the validation trajectories during training, and how its H latents are used.
    LossParts(model: &'a str) => training::loss_parts, [chart(format!("loss-parts-{model}"))], &[];
    /// How every model's latent space is used and how rough it is. Columns: *std*, standard deviation of the latents; *units*,
    /// their number; *effective rank*, (tr C)²/tr C² of their covariance; *active units*, those with more than a hundredth of the
    /// mean variance; *KL*, the published distance from a standard normal law; *rough*, share of the variance beyond half of the
    /// latent grid's wavenumbers; *amplification*, relative change of H per relative change of its latent, 1 for an isometry.
    Latents => latents::latents, [table("latents")], &[Need::Model];
    /// Variance of every dimension of the H latents over the validation set, largest first, relative to their mean, for trained
    /// latent spaces. A collapsed latent falls steeply.
    LatentVariance => latents::latent_variance, [chart("latent-variance"), table("latent-variance")], &[Need::TrainedLatent];
    /// Spread and mean of samples drawn from a narrow Gaussian with a known denoiser, against the number of steps.
    SamplerBias => draws::sampler_bias, [chart("samplers"), table("samplers")], &[];
    /// For one test field, H of the data, its exact conditional mean, one draw of every model, and the distances of the draws
    /// from that mean.
    Samples => draws::samples, [panel("samples")], &[Need::ExactLaw];
    /// Every closure's law on the test set. Columns that are shown: *bias*, distance of the mean of the draws from the exact
    /// conditional mean, relative to rms H; *std/exact*, standard deviation of the draws over the exact law's; *D_RE single*,
    /// relative error of one draw against one noisy truth, and its *excess* over the exact law's on the same conditions;
    /// *CRPS/exact*, continuous ranked probability score over the exact law's, 1 is perfect; *W1*, distance of the distributions
    /// of values, relative to rms H. Where the exact law is not known: *correlation* with the stored term, *std*, *CRPS*, and the
    /// *enstrophy* and *energy* given to the flow over what the stored term gives. More with `.all()`; every score is described in
    /// [`crate::eval::metric::OFFLINE`] and by [`Table::legend`].
    Offline => draws::offline, [table("offline")], &[];
    /// Squared error of every model's conditional mean by shell, over the mean square of the exact mean, which is shown, too. Columns of its
    /// table: *test error*, *training error*, on pairs of either set; *truncation*, *estimation*, two causes of it ([`crate::eval::BiasSpectra`]).
    BiasSpectra => draws::bias_spectra, [chart("bias-spectra"), table("bias-spectra")], &[Need::ExactLaw, Need::Model];
    /// Of [`Exhibit::BiasSpectra`], one model and its causes.
    BiasParts(model: &'a str) => draws::bias_parts, [chart(format!("bias-parts-{model}"))], &[Need::ExactLaw];
    /// Variance of the sampled fluctuation by shell, relative to the exact law's.
    NoiseSpectra => draws::noise_spectra, [chart("noise"), table("noise-spectrum")], &[Need::ExactLaw];
    /// How well draws have the shape of a law of several modes: scores of the amplitudes of the hidden forcing that they decode to.
    /// Columns: *std/exact*, *CRPS/exact* of the fields, which hardly see it; *W1* and *KS*, distance of the decoded amplitudes from
    /// their law; their *CRPS*; *valley mass*, share in no mode; *probability error* and *Brier*, of the states; *correlation of cells*;
    /// *surprise*, how untypical draws are; *third cumulant*, 0 of a Gaussian.
    Shape => shape::scores, [table("shape")], &[Need::Hidden];
    /// Density of decoded amplitudes of the hidden forcing, where the two states of a cell are about equally probable.
    Decoded => shape::decoded, [chart("decoded"), table("decoded")], &[Need::Hidden];
    /// Frequency with which draws have a cell switched on, against its probability given ω.
    Reliability => shape::reliability, [chart("reliability"), table("reliability")], &[Need::Cells];
    /// Rates at which every closure's mean term changes enstrophy and energy by shell, and the flux that this makes.
    Transfers => draws::transfers, [table("transfers")], &[Need::ExactLaw];
    /// Whether the full flow is resolved: enstrophy by shell on its grid and on one twice as fine ([`crate::eval::Resolved`]).
    Resolution => subgrid::resolution, [chart("resolution"), table("resolution")], &[Need::Resolution];
    /// Constants of the classical subgrid models that fit the stored term of the validation set best ([`crate::eval::tune`]), beside those of
    /// the configuration.
    Constants => subgrid::constants, [table("constants")], &[Need::Subgrid];
    /// Subgrid closures against the stored term on test conditions ([`crate::eval::APrioriRow`] has the columns).
    APriori => subgrid::a_priori, [table("a-priori")], &[Need::Subgrid];
    /// Enstrophy and energy that subgrid terms give to the resolved flow by shell, the stored one first.
    SubgridTransfers => subgrid::subgrid_transfers, [chart("subgrid-transfers"), table("subgrid-transfers")], &[Need::Subgrid];
    /// Probability density of the values of subgrid terms to ±6 standard deviations.
    SubgridValues => subgrid::subgrid_values, [chart("subgrid-values"), table("subgrid-values")], &[Need::Subgrid];
    /// What a draw of every closure costs, in milliseconds on one thread. Columns: *encode*, *denoise*, *decode*, the parts of a
    /// *draw*; *mean()*, the conditional mean alone; *solver step*, a step without closure; *per step*, what the closed loop pays.
    Cost => draws::cost, [table("cost")], &[];
    /// The true flow and one member of a closure's rollout over time, and their difference.
    Rollout(closure: &'a str) => rollouts::rollout, [panel(stem("rollout", &[closure]))], &[];
    /// The true flow, one member without closure, one with the closure named, and its error, as an animation.
    Film(closure: &'a str) => rollouts::film, [panel(stem("film", &[closure]))], &[];
    /// The true flow, one member without closure and one with each of two closures, as an animation.
    SideBySide(classical: &'a str, learned: &'a str) => rollouts::side_by_side, [panel(stem("film", &[classical, learned]))], &[];
    /// Every rollout against the true flow at the final time. Columns that are shown: *members* and *failures*, how many blew up;
    /// *error of mean*, of the ensemble-mean vorticity relative to its rms; *spread*, standard deviation of the members, and over
    /// the exact law's; *spread/skill*, spread over the error of the mean, 1 where an ensemble knows its own error; *CRPS*,
    /// continuous ranked probability score; *skill*, 1 − error over that without closure; *ms/step*, cost of a solver step and
    /// member. More with `.all()`; every score is described in [`crate::eval::metric::CLOSED_LOOP`] and by [`Table::legend`].
    ClosedLoop => rollouts::closed_loop, [table("closed-loop")], &[Need::Rollout];
    /// Relative error of each ensemble mean over time, with the bootstrap standard error as a band.
    ErrorCurves => rollouts::error_curves, [chart("error"), table("closed-loop-curves")], &[Need::Rollout];
    /// Ensemble spread over time, beside the error that it should predict.
    SpreadCurves => rollouts::spread_curves, [chart("spread")], &[Need::Spread];
    /// Rank of the true vorticity among the members at the final time, relative to a flat histogram.
    Ranks => rollouts::ranks, [chart("ranks"), table("rank-histogram")], &[Need::Closure];
    /// Do ensembles know their error? Judged from several start states (`study.starts`) at the final time. Columns that are shown: error
    /// of the ensemble mean and *spread*, roots of mean squares over states; *error/exact* and *CRPS/exact*, over those of the exact law;
    /// *spread/skill*, 1 where an ensemble knows its own error; *coverage* of central intervals; *rank statistic* and *p-value*, whether
    /// the truth could be one more member ([`crate::eval::RankTest`]); *calibrated*, whether all of that is as it should be.
    Calibration => calibration::scores, [table("calibration")], &[Need::Starts];
    /// Of [`Exhibit::Calibration`]: share of points inside central intervals against the share that these should hold.
    CalibrationCoverage => calibration::coverage, [chart("calibration-coverage"), table("calibration-coverage")], &[Need::Starts];
    /// Of [`Exhibit::Calibration`]: ranks of the truth among the members, relative to a flat histogram.
    CalibrationRanks => calibration::ranks, [chart("calibration-ranks"), table("calibration-ranks")], &[Need::Starts];
    /// Of [`Exhibit::Calibration`]: error of the ensemble mean over time, and the error that the spread predicts.
    CalibrationCurves => calibration::curves, [chart("calibration-error"), table("calibration-curves")], &[Need::Starts];
    /// The true flow, one member of each rollout at the final time, and the errors of the members.
    Vorticity => rollouts::vorticity, [panel("vorticity")], &[];
    /// As [`Exhibit::Vorticity`], of the closures named; only their rollouts are computed.
    Closures(closures: &'a [&'a str]) => rollouts::closures, [panel("closures")], &[];
    /// Kinetic energy by shell at the final time, the mean over members.
    Spectra => rollouts::spectra, [chart("spectra"), table("spectra")], &[];
    /// Distance of each ensemble's energy spectrum from the true flow's over time, in decades per shell, averaged over the
    /// energetic shells.
    Statistics => rollouts::statistics, [chart("statistics"), table("statistics")], &[Need::Rollout];
    /// How fast ensembles lose the true flow from scale to scale ([`crate::eval::GrowthRow`] has the columns).
    Growth => subgrid::growth, [chart("growth"), table("growth")], &[Need::Subgrid, Need::Rollout];
    /// Statistics of long runs from the start of every test trajectory beside the true flow's ([`crate::eval::LongRunRow`] has the columns).
    LongRun => subgrid::long_run, [table("long-run")], &[Need::Subgrid, Need::Rollout];
    /// Enstrophy by shell in these runs, over the true flow's.
    LongRunSpectra => subgrid::long_run_spectra, [chart("long-run-spectra"), table("long-run-spectra")], &[Need::Subgrid, Need::Rollout];
    /// Probability density of the vorticity in these runs.
    LongRunValues => subgrid::long_run_values, [chart("long-run-values"), table("long-run-values")], &[Need::Subgrid, Need::Rollout];
    /// Closures of your own in the rollout of this configuration, beside no closure and the exact law. Draws of closures without
    /// a known conditional mean are held, whatever the configuration says of rescaling.
    Compare(closures: &'a [AnyClosure]) => studies::compare, [table("compare")], &[];
    /// Error and cost of one closure against the redraw interval and the policy in between. Columns: *hold*, what happens to a
    /// draw until the next one (held: nothing; rescaled: its fluctuation is 1/√every as large; redrawn: the mean is held, the
    /// Gaussian part new at every step; ar1: the fluctuation is an AR(1) sequence with a correlation time of *every* steps; paper:
    /// held, plus white noise that accumulates, as in the published code); *every*, solver steps between draws; *closure share*,
    /// of the cost of a step; *frontier*, no other variation is both cheaper and closer to the truth in CRPS.
    HoldStudy(closure: &'a str) => studies::hold_study, [table("hold-study")], if *closure == "exact" { &[Need::ExactLaw] } else { &[] };
    /// Error of the ensemble mean at the final time against the cost of a step, for every model, number of sampling steps and
    /// redraw interval of `study.frontier`. Columns of its table: *latent n*, points per side of the latent fields; *steps* of the
    /// sampler; *every*, solver steps between draws; *frontier*, no other variation is both cheaper and closer in CRPS.
    Frontier => studies::frontier, [chart("frontier"), table("frontier")], &[Need::FrontierPoint];
    /// The draws of the models of `study.samplers` with other settings of the published sampler: the pseudo-time *tau_max* at which it
    /// starts, and its *steps*; scores as in [`Exhibit::Offline`].
    SamplerStudy => published::sampler_study, [table("sampler-study")], &[Need::ExactLaw, Need::Samplers];
    /// One law by every transport, in few evaluations and in many, from `study.few_steps`, and by the models that need one. Columns:
    /// *transport*; *steps*; *evaluations* of the network for a draw, and *ms/draw*, what it costs on one thread; scores as in
    /// [`Exhibit::Offline`].
    FewSteps => transports::few_steps, [table("few-steps")], &[Need::ExactLaw, Need::FewSteps];
    /// Of [`Exhibit::FewSteps`]: CRPS above the exact law's against the cost of a draw.
    FewStepsCost => transports::few_steps_cost, [chart("few-steps-cost")], &[Need::ExactLaw, Need::FewSteps];
    /// Of [`Exhibit::FewSteps`]: spread of the draws over the exact law's against the evaluations of a draw; 1 is right.
    FewStepsSpread => transports::few_steps_spread, [chart("few-steps-spread")], &[Need::ExactLaw, Need::FewSteps];
    /// What holds a jointly trained latent up: short trainings with other weights of the KL and of the score term
    /// (`study.weights`). Spread of the H latents against reconstruction error, one line for each weight of the score; to the left latents
    /// collapse, at the top reconstruction breaks. Columns of its table: *λ_KL*, *λ_score*; *std*, *effective rank* and *active units*
    /// of the H latents; *D_RE H*, of reconstruction; *D_RE single*, *std/exact*, *bias* of the draws.
    LossWeights => published::loss_weights, [chart("loss-weights"), table("loss-weights")], &[Need::ExactLaw, Need::LossWeights];
    /// Closures in flows that models were not trained on (`study.regimes`): CRPS on test conditions over the exact law's, and error of the
    /// closed loop, closure by regime. Columns of its table: *regime*, what is changed about the flow; scores as in [`Exhibit::Offline`]
    /// and [`Exhibit::ClosedLoop`]; *error/exact*, over that of the exact law in the same regime.
    Regimes => regimes::regimes, [chart("regimes"), table("regimes")], &[Need::ExactLaw, Need::Regimes];
    /// How much data models need (`study.amounts`): bias against the number of training pairs. Columns of its table: *trajectories*,
    /// *pairs*, of the training; scores as in [`Exhibit::Offline`].
    DataAmounts => regimes::amounts, [chart("data-amounts"), table("data-amounts")], &[Need::ExactLaw, Need::DataAmounts];
    /// The paper's claim and what became of it: published errors of draws, those of the published recipe at the published data sizes
    /// (preset `published`, from its tables in the figures folder), and those of this configuration's models, all as *excess* over the exact
    /// law's on the same conditions.
    Claim => published::claim, [table("claim")], &[Need::ExactLaw, Need::Rollout];
    /// Every published number with a counterpart here, beside ours; the rows that carry the story first, the rest with `.all()`.
    /// Columns: *relation*, whether the published number is a value or a bound; *remark*, why a number of ours is missing.
    Ledger => published::ledger, [table("ledger")], &[Need::ExactLaw, Need::Rollout];
    /// What the results say, in sentences with their numbers ([`crate::eval::FINDINGS`]).
    Findings => findings, [Files::Text("findings".into())], &[];
}

/// The name of no closure in configurations.
const NONE: &str = "none";
/// The classical closure of films of large-eddy simulation, where it runs.
const CLASSICAL: &str = "jhl";
/// The closure of the film.
const FILMED: &str = "spectral";
/// Closures without parameters, for a quick look.
const PLAIN: [&[&str]; 2] = [&[NONE], &[NONE, "exact"]];

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
            Self::BiasSpectra,
        ]);
        let models = config.rollout.closures.iter().filter(|name| config.models.contains_key(*name));
        all.extend(models.map(|model| Self::BiasParts(model)));
        all.extend([
            Self::NoiseSpectra,
            Self::Shape,
            Self::Decoded,
            Self::Reliability,
            Self::Transfers,
            Self::Resolution,
            Self::Constants,
            Self::APriori,
            Self::SubgridTransfers,
            Self::SubgridValues,
            Self::Cost,
        ]);
        all.extend(config.rollout.closures.iter().map(|closure| Self::Rollout(closure)));
        // One film is enough of a large file: of the first latent model, or of what comes last.
        let latent = config.rollout.closures.iter().find(|closure| *closure == FILMED);
        let classical = config.rollout.closures.iter().find(|closure| *closure == CLASSICAL);
        all.extend(latent.or(config.rollout.closures.last()).map(|closure| match classical {
            Some(classical) => Self::SideBySide(classical, closure),
            None => Self::Film(closure),
        }));
        all.extend([
            Self::ClosedLoop,
            Self::ErrorCurves,
            Self::SpreadCurves,
            Self::Ranks,
            Self::Calibration,
            Self::CalibrationCoverage,
            Self::CalibrationRanks,
            Self::CalibrationCurves,
            Self::Vorticity,
            Self::Closures(PLAIN[law]),
            Self::Spectra,
            Self::Statistics,
            Self::Growth,
            Self::LongRun,
            Self::LongRunSpectra,
            Self::LongRunValues,
            Self::Compare(&[]),
            Self::HoldStudy(super::variations::HELD),
            Self::Frontier,
            Self::SamplerStudy,
            Self::FewSteps,
            Self::FewStepsCost,
            Self::FewStepsSpread,
            Self::LossWeights,
            Self::Regimes,
            Self::DataAmounts,
            Self::Claim,
            Self::Ledger,
            Self::Findings,
        ]);
        all
    }

    /// Is one of its files a table?
    pub fn has_table(&self) -> bool {
        self.files().iter().any(|files| matches!(files, Files::Table(_)))
    }

    /// Refuses names and closures that do not fit, before anything is computed.
    fn check(&self, lab: &Lab) -> Result<()> {
        let config = &lab.config;
        let closure = |name: &str| lab.check_rollout(&config.closure(name)?, false).map(drop);
        match *self {
            Self::Rollout(name) | Self::HoldStudy(name) | Self::Film(name) => closure(name),
            Self::SideBySide(classical, learned) => closure(classical).and(closure(learned)),
            Self::Closures(names) => names.iter().try_for_each(|name| closure(name)),
            Self::LossParts(model) | Self::BiasParts(model) => config.model(model).map(drop),
            Self::Compare(closures) => {
                // Any field of the grid shows whether a closure takes one.
                let n = config.data.n;
                let w = crate::flow::initial_vorticity(&FlowConfig { n, ..config.flow.clone() }, &config.seeds())?;
                let mut h = w.clone();
                closures.iter().try_for_each(|closure| {
                    closure.clone().mean(w.view(), config.rollout.start, h.view_mut()).map(drop)
                })
            }
            _ => Ok(()),
        }
    }

    /// Why it does not apply to a configuration, if it does not.
    pub fn missing(&self, config: &Config) -> Option<&'static str> {
        self.needs().iter().find_map(|need| need.missing(config))
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
        let caption = caption.into();
        Self { shown: Shown::Figure(figure.captioned(&caption)), caption, beside: None, parents: parents.into() }
    }

    fn beside(self, table: Table) -> Self {
        Self { beside: Some(table), ..self }
    }
}

/// Sentences are an exhibit.
fn findings(lab: &Lab) -> Result<Made> {
    let (findings, parents) = studies::findings(lab)?;
    let caption = "What the results say.".into();
    Ok(Made { shown: Shown::Findings(findings), caption, beside: None, parents })
}

impl Lab {
    /// Makes a table or figure, from results that are computed where they are missing, and puts it into the gallery.
    ///
    /// # Errors
    /// It does not apply to this configuration ([`Exhibit::missing`]); what its stages report.
    pub fn show(&self, exhibit: Exhibit) -> Result<Shown> {
        Ok(self.present(exhibit)?.0)
    }

    /// [`Lab::show`], and the table beside a figure.
    pub(super) fn present(&self, exhibit: Exhibit) -> Result<(Shown, Option<Table>)> {
        if let Some(missing) = exhibit.missing(&self.config) {
            return Err(Error::config(format!("Exhibit::{exhibit}"), missing));
        }
        exhibit.check(self)?;
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
        let identified = |table: Table| {
            let name = named(&table.name);
            self.identified(table.named(name))
        };
        let beside = made.beside.map(identified).transpose()?;
        if let Some(table) = &beside {
            self.gallery.put_table(table, &source(&table.caption))?;
        }
        let shown = match made.shown {
            Shown::Figure(figure) => {
                let figure = Figure { name: named(&figure.name), ..figure };
                self.gallery.put_figure(&figure, &source(&made.caption))?;
                Shown::Figure(figure)
            }
            Shown::Table(table) => {
                let table = identified(table)?;
                self.gallery.put_table(&table, &source(&made.caption))?;
                Shown::Table(table)
            }
            Shown::Findings(findings) => {
                let file = format!("{}.md", named("findings"));
                self.gallery.put_text(&file, &findings.to_markdown(), &source(&made.caption))?;
                Shown::Findings(findings)
            }
        };
        Ok((shown, beside))
    }

    /// A table with the columns that say of which configuration it is.
    fn identified(&self, table: Table) -> Result<Table> {
        let seed =
            i64::try_from(self.config.seed).map_or_else(|_| Cell::from(self.config.seed.to_string()), Cell::from);
        let configuration = &self.config.hash()[..SHORT];
        table.tag("configuration", configuration)?.tag("seed", seed)?.tag("preset", self.config.preset.as_str())
    }
}
