//! Large-eddy simulation of forced homogeneous isotropic turbulence.

use super::desk::desk;
use super::*;

/// The case of the field: two-dimensional turbulence that is forced by waves of wavenumber 4 in both directions and braked by friction,
/// 512² filtered to 64². In a square of side 2π its numbers are ν = 5·10⁻⁵, r = 0.1, f = −4 cos 4x − 4 cos 4y; here they are those of
/// the unit square, ω and t being the same: ν/4π², r, f. It turns over in about 1/rms ω = 0.2.
///
/// The filter is Gaussian, Δ = 2L/64, with all modes that 64² hold; [`cutoff`] has the sharp cut-off alone.
pub(super) fn turbulence() -> Config {
    let desk = desk();
    let spectral = &desk.models["spectral"];
    let model = ModelConfig {
        latent: LatentConfig::Identity,
        // A network that sees all modes of the grid: the term lives at the smallest scales that are resolved.
        network: NetworkConfig { width: 16, modes: 32, layers: 2, ..spectral.network.clone() },
        train: TrainConfig { steps: 1500, batch: 16, ..spectral.train.clone() },
        ..spectral.clone()
    };
    Config {
        preset: "turbulence".into(),
        flow: FlowConfig {
            n: 512,
            viscosity: 1.2665e-6,
            friction: 0.1,
            // Explicit Adams–Bashforth takes the same time for a unit of time at a quarter of the step, and is unstable, if slowly, at the
            // smallest scales where the flow is fastest.
            dt: 2e-3,
            stepper: Stepper::Etdrk4,
            precision: FloatKind::F32,
            max_courant: 3.0,
            forcing: -4.0,
            forcing_pattern: ForcingPattern::Waves { x: 4, y: 4 },
            noise: NoiseConfig { sigma: 0.0, ..FlowConfig::default().noise },
            // As turbulent as the flow will be: from a quiet start the forcing would drive a laminar flow up to many times the energy before
            // it breaks, and friction would take long to make that forgotten.
            initial: InitialConfig { alpha: 2.5, tau: 25.0, amplitude: 8.0, modes: Some(64) },
            ..FlowConfig::default()
        },
        data: DataConfig {
            n: 64,
            term: MissingTerm::Subgrid { filter: FilterConfig::Gaussian { width: 2.0 }, resolved: ResolvedModes::All },
            train: 4,
            validation: 1,
            test: 3,
            // Fifty turnovers, 1/r, and then two hundred.
            burn_in: 10.0,
            final_time: 50.0,
            interval: 0.1,
            ..desk.data
        },
        models: BTreeMap::from([
            ("p-cdm".to_string(), model.clone()),
            // All modes and all products of two of them: the gradient models are among them.
            ("quadratic".to_string(), ModelConfig::quadratic(64, true)),
            ("regression".to_string(), ModelConfig { law: Law::Gaussian, ..model }),
        ]),
        rollout: RolloutConfig {
            start: 10.0,
            duration: 10.0,
            members: 4,
            redraw_interval: 2,
            hold: Hold::Held,
            closures: names(&[
                "none",
                "smagorinsky",
                "leith",
                "dsmag",
                "dleith",
                "gm2",
                "gm4",
                "deconvolution",
                "jhs",
                "jhl",
                "hyperviscosity",
                "p-cdm",
                "regression",
                "quadratic",
            ]),
            snapshots: 40,
            ..desk.rollout
        },
        study: StudyConfig {
            frontier: FrontierConfig { models: Vec::new(), ..desk.study.frontier },
            horizon: HorizonConfig {
                // Long runs are a stage of their own.
                duration: 10.0,
                snapshots: 40,
                members: 1,
                closures: names(&["none"]),
            },
            ensemble: EnsembleConfig { members: 16, closures: names(&["none", "quadratic"]) },
            resolution: Some(4.0),
            starts: None,
            ..desk.study
        },
        eval: EvalConfig { samples: 8, ..desk.eval },
        subgrid: constants(),
        ..desk
    }
}

/// [`turbulence`] with the sharp spectral cut-off. Its data come from the same simulations: `lacuna data --preset turbulence --beside cutoff`.
pub(super) fn cutoff() -> Config {
    let turbulence = turbulence();
    let term = MissingTerm::Subgrid { filter: FilterConfig::Truncation, resolved: ResolvedModes::All };
    Config { preset: "cutoff".into(), data: DataConfig { term, ..turbulence.data.clone() }, ..turbulence }
}

/// Constants that fit the subgrid term of a smaller flow of the kind, 128² filtered to 32², ν = 2·10⁻⁵ (`lacuna tune`). They agree with those in
/// use for two-dimensional turbulence, 0.11 for Smagorinsky's model and 0.22 for Leith's.
fn constants() -> SubgridConstants {
    let mut constants = SubgridConstants::default();
    let tuned = [(SubgridModel::Smagorinsky, 0.098), (SubgridModel::Leith, 0.22), (SubgridModel::Hyperviscosity, 1.7)];
    for (model, constant) in tuned {
        constants.set(model, vec![constant]).expect("one positive constant each");
    }
    constants
}
