//! Impossible values, refused by name before anything runs.

use super::{Config, Law, LearningRate, MissingTerm, TrainConfig, TransportKind};
use crate::error::{Error, Result};
use crate::transport::Recipe;

/// Closures that need no model, by their names in `rollout.closures`.
pub const BUILT_IN_CLOSURES: [&str; 2] = ["none", "exact"];

/// Classical subgrid models, by their names in `rollout.closures`; they are for subgrid terms only.
pub const SUBGRID_CLOSURES: [&str; 4] = ["smagorinsky", "dynamic-smagorinsky", "leith", "hyperviscosity"];

/// The constant of a classical subgrid model; `None` for one without. With these each takes about as much enstrophy out of the
/// resolved flow of preset `les` as the stored term does (with 0.17, 1.0 and 4.0 it was 0.81, 12.5 and 2.2 times as much).
/// That of hyperviscosity is the rate at which the smallest dealiased scale is damped, per unit time.
pub fn subgrid_constant(closure: &str) -> Option<f64> {
    match closure {
        "smagorinsky" => Some(0.19),
        "leith" => Some(0.43),
        "hyperviscosity" => Some(1.8),
        _ => None,
    }
}

/// Whether a closure needs no training.
pub fn is_built_in(closure: &str) -> bool {
    BUILT_IN_CLOSURES.contains(&closure) || SUBGRID_CLOSURES.contains(&closure)
}

/// Intervals count as multiples of the time step within this many steps: a thousandth of one.
const WHOLE: f64 = 1e-3;

impl Config {
    /// Refuses impossible values.
    ///
    /// # Errors
    /// [`Error::Config`] with the dotted path of the first field that is wrong and its value.
    pub fn validate(&self) -> Result<()> {
        self.validate_flow()?;
        self.validate_data()?;
        for (name, model) in &self.models {
            self.validate_model(name, model)?;
        }
        self.validate_rollout("rollout")?;
        self.validate_study()?;
        at_least("eval.conditions", self.eval.conditions, 1)?;
        at_least("eval.samples", self.eval.samples, 2)
    }

    fn validate_flow(&self) -> Result<()> {
        let flow = &self.flow;
        crate::spectral::Grid::new(flow.n, flow.length)?;
        for (field, value) in [
            ("flow.dt", flow.dt),
            ("flow.noise.alpha", flow.noise.alpha),
            ("flow.initial.tau", flow.initial.tau),
            ("flow.max_courant", flow.max_courant),
        ] {
            check(field, value, value > 0.0, "must be positive")?;
        }
        for (field, value) in [
            ("flow.viscosity", flow.viscosity),
            ("flow.friction", flow.friction),
            ("flow.noise.kappa", flow.noise.kappa),
            ("flow.noise.sigma", flow.noise.sigma),
        ] {
            check(field, value, value >= 0.0, "must not be negative")?;
        }
        check("flow.forcing", flow.forcing, true, "must be finite")?;
        check("flow.initial.alpha", flow.initial.alpha, true, "must be finite")?;
        at_least("flow.viscosity_order", flow.viscosity_order as usize, 1)
    }

    fn validate_data(&self) -> Result<()> {
        let (flow, data) = (&self.flow, &self.data);
        if data.n < 4 || data.n % 2 == 1 || data.n > flow.n || flow.n % data.n != 0 {
            let what = format!("{}; must be even, at least 4, and divide flow.n = {}", data.n, flow.n);
            return Err(Error::config("data.n", what));
        }
        at_least("data.train", data.train, 1)?;
        at_least("data.validation", data.validation, 1)?;
        at_least("data.test", data.test, 1)?;
        check("data.burn_in", data.burn_in, data.burn_in >= 0.0, "must not be negative")?;
        let later = format!("must be later than data.burn_in = {}", data.burn_in);
        check("data.final_time", data.final_time, data.final_time > data.burn_in, &later)?;
        for (field, value) in [("data.burn_in", data.burn_in), ("data.interval", data.interval)] {
            self.whole_steps(field, value)?;
        }
        check("data.interval", data.interval, data.interval > 0.0, "must be positive")?;
        if matches!(data.term, MissingTerm::Subgrid { .. }) && data.n == flow.n {
            return Err(Error::config("data.term", "a subgrid term needs data.n below flow.n"));
        }
        Ok(())
    }

    /// `value` in time steps, which must be a whole number.
    fn whole_steps(&self, field: &str, value: f64) -> Result<()> {
        let steps = value / self.flow.dt;
        let whole = (steps - steps.round()).abs() < WHOLE;
        check(field, value, whole, &format!("must be a multiple of flow.dt = {}", self.flow.dt))
    }

    fn validate_model(&self, name: &str, model: &super::ModelConfig) -> Result<()> {
        let field = |rest: &str| format!("models.{name}.{rest}");
        if is_built_in(name) || name.is_empty() || !name.chars().all(allowed) {
            let what = "letters, digits, `-` and `_` make a name; those of closures that need no model are taken";
            return Err(Error::config(format!("models.{name}"), what));
        }
        model.latent.check(&field("latent"), self.data.n)?;
        if let Some(train) = model.latent.first_phase() {
            validate_train(&field("latent.training.train"), train)?;
        }
        if model.latent.is_joint() && model.law != Law::Diffusion {
            return Err(Error::config(field("law"), "joint training is for the diffusion law"));
        }
        if model.transport != TransportKind::default() && model.law != Law::Diffusion {
            let what = format!("{:?}; the law {:?} is drawn without one, leave it out", model.transport, model.law);
            return Err(Error::config(field("transport"), what));
        }
        let n = model.latent.n(self.data.n);
        let network = &model.network;
        at_least(&field("network.width"), network.width, 1)?;
        at_least(&field("network.layers"), network.layers, 1)?;
        at_least(&field("network.modes"), network.modes, 1)?;
        at_least(&field("network.embed"), network.embed, 2)?;
        if 2 * network.modes > n {
            let what = format!("{}; a grid of {n} points has {} modes", network.modes, n / 2);
            return Err(Error::config(field("network.modes"), what));
        }
        if network.embed % 2 == 1 {
            return Err(Error::config(field("network.embed"), format!("{}; must be even", network.embed)));
        }
        validate_train(&field("train"), &model.train)?;
        at_least(&field("sampler.steps"), model.sampler.steps, 1)?;
        Recipe::new(model).transport.check(&field("sampler"), &model.sampler)
    }

    /// Checks the closed loop, which stands in the configuration at `path`.
    pub(super) fn validate_rollout(&self, path: &str) -> Result<()> {
        let rollout = &self.rollout;
        let field = |rest: &str| format!("{path}.{rest}");
        check("rollout.start", rollout.start, rollout.start >= 0.0, "must not be negative")?;
        check(&field("duration"), rollout.duration, rollout.duration > 0.0, "must be positive")?;
        self.whole_steps("rollout.start", rollout.start)?;
        at_least(&field("snapshots"), rollout.snapshots, 1)?;
        self.whole_steps(&field("duration / snapshots"), rollout.duration / rollout.snapshots as f64)?;
        at_least(&field("members"), rollout.members, 1)?;
        at_least("rollout.every", rollout.every, 1)?;
        at_least("rollout.references", rollout.references, 1)?;
        for closure in rollout.closures.iter().chain(&self.eval.also) {
            let (base, _) = split_mean(closure);
            let subgrid = matches!(self.data.term, MissingTerm::Subgrid { .. });
            let wrong_term = if subgrid { base == "exact" } else { SUBGRID_CLOSURES.contains(&base) };
            if wrong_term || !(is_built_in(base) || self.models.contains_key(base)) {
                let built_in: &[&str] = if subgrid { &SUBGRID_CLOSURES } else { &["exact"] };
                let models = self.models.keys().map(String::as_str);
                let known: Vec<&str> = ["none"].iter().chain(built_in).copied().chain(models).collect();
                let what =
                    format!("unknown closure `{closure}`; known: {}, each with or without `/mean`", known.join(", "));
                return Err(Error::config(field("closures"), what));
            }
        }
        Ok(())
    }
}

/// A closure's name without the suffix `/mean`, and whether it had one: the conditional mean alone.
pub fn split_mean(closure: &str) -> (&str, bool) {
    closure.strip_suffix("/mean").map_or((closure, false), |base| (base, true))
}

/// How often an autoencoder between `grid` and `latent` points per side halves the grid: as often as `latent` allows, a
/// resizing does the rest. `None` for an odd latent, fewer than 4 points, more than half the grid, or a grid that cannot be
/// halved as often.
pub fn halvings(grid: usize, latent: usize) -> Option<usize> {
    if latent < 4 || latent % 2 == 1 || 2 * latent > grid {
        return None;
    }
    let levels = (grid / latent).ilog2();
    grid.is_multiple_of(1 << levels).then_some(levels as usize)
}

fn validate_train(path: &str, train: &TrainConfig) -> Result<()> {
    let field = |rest: &str| format!("{path}.{rest}");
    at_least(&field("steps"), train.steps, 1)?;
    at_least(&field("batch"), train.batch, 1)?;
    at_least(&field("validate_every"), train.validate_every, 1)?;
    check(&field("learning_rate"), train.learning_rate, train.learning_rate > 0.0, "must be positive")?;
    check(&field("ema"), train.ema, (0.0..1.0).contains(&train.ema), "must be in [0, 1)")?;
    check(&field("clip"), train.clip, train.clip > 0.0, "must be positive")?;
    match train.schedule {
        LearningRate::Steps { every, factor } => {
            at_least(&field("schedule.every"), every, 1)?;
            reduction(&field("schedule.factor"), factor)
        }
        LearningRate::Plateau { patience, factor } => {
            at_least(&field("schedule.patience"), patience, 1)?;
            reduction(&field("schedule.factor"), factor)
        }
        LearningRate::Cosine | LearningRate::Constant => Ok(()),
    }
}

fn reduction(field: &str, factor: f64) -> Result<()> {
    check(field, factor, factor > 0.0 && factor <= 1.0, "must be in (0, 1]")
}

fn allowed(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '-' || letter == '_'
}

fn check(field: &str, value: f64, right: bool, what: &str) -> Result<()> {
    if right && value.is_finite() { Ok(()) } else { Err(Error::config(field, format!("{value}; {what}"))) }
}

fn at_least(field: &str, value: usize, least: usize) -> Result<()> {
    if value >= least { Ok(()) } else { Err(Error::config(field, format!("{value}; at least {least} is needed"))) }
}
