//! Impossible values, refused by name before anything runs.

use super::closure::is_reserved;
use super::limits::{
    BATCH, CHANNELS, EMBEDDING, GRID, LAYERS, MEMBERS, SAMPLING_STEPS, STEPS, VALUES, WEIGHTS, name, product, within,
};
use super::{
    Config, FilterConfig, FlowConfig, Hold, LatentConfig, Law, LearningRate, MissingTerm, ModelConfig, Quadratic,
    ResolvedModes, RolloutConfig, Stepper, TrainConfig, TransportKind, halvings,
};
use crate::error::{Error, Result, shown};

/// Intervals count as multiples of the time step within this many steps: a thousandth of one, far more than the round-off of
/// decimal fractions and far less than anybody means.
const WHOLE: f64 = 1e-3;

/// `interval` in time steps `dt`.
///
/// # Errors
/// [`Error::Config`] at `field` where that is no whole number, or more than [`STEPS`].
pub fn whole_steps(field: &str, interval: f64, dt: f64) -> Result<usize> {
    let steps = interval / dt;
    let whole = steps.is_finite() && steps >= 0.0 && (steps - steps.round()).abs() < WHOLE;
    let what = || format!("{interval}; must be a multiple of flow.dt = {dt}, and is {steps} times that");
    if !whole {
        return Err(Error::config(field, what()));
    }
    // What is beyond 64 bits saturates.
    within(field, steps.round() as usize, 0..=STEPS)?;
    Ok(steps.round() as usize)
}

/// As [`whole_steps`], at least one.
///
/// # Errors
/// As [`whole_steps`]; [`Error::Config`] for an interval below one time step.
pub fn some_steps(field: &str, interval: f64, dt: f64) -> Result<usize> {
    match whole_steps(field, interval, dt)? {
        0 => Err(Error::config(field, format!("{interval}; at least one time step of {dt} is needed"))),
        steps => Ok(steps),
    }
}

/// Refuses grids that have no transform: `n` points per side of a square of side `length`.
///
/// # Errors
/// [`Error::Config`] where `n` is odd or below 4, or `length` is not a positive finite number.
pub fn check_grid(n: usize, length: f64) -> Result<()> {
    if n < 4 || n % 2 == 1 {
        return Err(Error::config("flow.n", format!("{n} points per side; must be even and at least 4")));
    }
    within("flow.n", n, 4..=GRID)?;
    check("flow.length", length, length > 0.0, "must be positive")
}

impl RolloutConfig {
    /// Solver steps `dt` between snapshots, at least 1; `field` is where the interval stands.
    ///
    /// # Errors
    /// [`Error::Config`] where the interval is not a positive whole number of steps.
    pub fn snapshot_stride(&self, field: &str, dt: f64) -> Result<usize> {
        some_steps(field, self.duration / self.snapshots as f64, dt)
    }

    /// Refuses ensembles that a tensor device cannot make: those of a subgrid term, whose advection it lacks, and hold policies
    /// that draw a fluctuation at every step.
    ///
    /// # Errors
    /// [`Error::Config`] with the field that asks for it.
    pub fn check_device(&self, term: MissingTerm) -> Result<()> {
        if term != MissingTerm::Physics {
            return Err(Error::config("data.term", "subgrid; ensembles on a device are for the missing physics"));
        }
        if !matches!(self.hold, Hold::Held | Hold::Rescaled | Hold::Paper) {
            let what = format!("{}; ensembles on a device know held, rescaled and paper", self.hold.name());
            return Err(Error::config("rollout.hold", what));
        }
        Ok(())
    }
}

impl FlowConfig {
    /// Refuses impossible values.
    ///
    /// # Errors
    /// [`Error::Config`] with the dotted path of the first field that is wrong and its value.
    pub fn validate(&self) -> Result<()> {
        check_grid(self.n, self.length)?;
        for (field, value) in [
            ("flow.dt", self.dt),
            ("flow.noise.alpha", self.noise.alpha),
            ("flow.initial.tau", self.initial.tau),
            ("flow.max_courant", self.max_courant),
        ] {
            check(field, value, value > 0.0, "must be positive")?;
        }
        for (field, value) in [
            ("flow.viscosity", self.viscosity),
            ("flow.friction", self.friction),
            ("flow.noise.kappa", self.noise.kappa),
            ("flow.noise.sigma", self.noise.sigma),
        ] {
            check(field, value, value >= 0.0, "must not be negative")?;
        }
        check("flow.forcing", self.forcing, true, "must be finite")?;
        check("flow.beta", self.beta, true, "must be finite")?;
        if self.beta != 0.0 && self.stepper == Stepper::CnEuler {
            let what = "cn-euler; Rossby waves (flow.beta) grow in it, choose cn-ab2 or etdrk4";
            return Err(Error::config("flow.stepper", what));
        }
        // Beyond the mask a wave would be forced and damped, and not carried along.
        within("flow.forcing_pattern", self.forcing_pattern.reach(), 1..=self.n / 3)?;
        check("flow.initial.alpha", self.initial.alpha, true, "must be finite")?;
        check("flow.initial.amplitude", self.initial.amplitude, true, "must be finite")?;
        if let Some(modes) = self.initial.modes {
            within("flow.initial.modes", modes, 1..=GRID)?;
        }
        within("flow.viscosity_order", self.viscosity_order as usize, 1..=16)?;
        self.hidden.as_ref().map_or(Ok(()), |hidden| hidden.validate(self))
    }
}

impl Config {
    /// Refuses impossible values.
    ///
    /// # Errors
    /// [`Error::Config`] with the dotted path of the first field that is wrong and its value.
    pub fn validate(&self) -> Result<()> {
        // Folders of figures bear it.
        name("preset", &self.preset)?;
        self.flow.validate()?;
        self.validate_data()?;
        for (name, model) in &self.models {
            self.validate_model(name, model)?;
        }
        self.checkpoints.keys().try_for_each(|name| validate_name("checkpoints", name))?;
        self.validate_rollout("rollout")?;
        self.validate_study()?;
        self.scored()?;
        within("eval.conditions", self.eval.conditions, 1..=MEMBERS)?;
        within("eval.samples", self.eval.samples, 2..=MEMBERS)?;
        product("eval.samples", &[self.eval.samples, self.data.n, self.data.n], VALUES, "values")
    }

    fn validate_data(&self) -> Result<()> {
        let (flow, data) = (&self.flow, &self.data);
        if data.n < 4 || data.n % 2 == 1 || data.n > flow.n || flow.n % data.n != 0 {
            let what = format!("{}; must be even, at least 4, and divide flow.n = {}", data.n, flow.n);
            return Err(Error::config("data.n", what));
        }
        for (field, count) in [("train", data.train), ("validation", data.validation), ("test", data.test)] {
            within(format!("data.{field}"), count, 1..=MEMBERS)?;
        }
        if data.source.is_none() {
            self.validate_snapshots()?;
        }
        let MissingTerm::Subgrid { filter, resolved } = data.term else {
            if flow.beta != 0.0 {
                return Err(Error::config(
                    "flow.beta",
                    format!("{}; the missing physics has no β-plane, only subgrid terms", flow.beta),
                ));
            }
            return Ok(());
        };
        let kept = match resolved {
            ResolvedModes::TwoThirds => data.n / 3,
            ResolvedModes::All => data.n / 2 - 1,
        };
        if flow.forcing_pattern.reach() > kept {
            let what = format!(
                "{} waves; a model on data.n = {} points resolves {kept}",
                flow.forcing_pattern.reach(),
                data.n
            );
            return Err(Error::config("flow.forcing_pattern", what));
        }
        if kept > flow.n / 3 {
            let what = format!(
                "{}; it would resolve {kept} waves, the solver on flow.n = {} points has {}",
                data.n,
                flow.n,
                flow.n / 3
            );
            return Err(Error::config("data.n", what));
        }
        if data.n == flow.n {
            return Err(Error::config("data.term", "a subgrid term needs data.n below flow.n"));
        }
        match filter {
            FilterConfig::Gaussian { width } => check("data.term.filter.width", width, width > 0.0, "must be positive"),
            FilterConfig::Sharp | FilterConfig::Truncation => Ok(()),
        }
    }

    /// When snapshots are simulated.
    fn validate_snapshots(&self) -> Result<()> {
        let (flow, data) = (&self.flow, &self.data);
        check("data.burn_in", data.burn_in, data.burn_in >= 0.0, "must not be negative")?;
        let later = format!("must be later than data.burn_in = {}", data.burn_in);
        check("data.final_time", data.final_time, data.final_time > data.burn_in, &later)?;
        let burn_in = whole_steps("data.burn_in", data.burn_in, flow.dt)?;
        check("data.interval", data.interval, data.interval > 0.0, "must be positive")?;
        let stride = some_steps("data.interval", data.interval, flow.dt)?;
        if let Some(hidden) = &flow.hidden {
            // In between a term is known from the pair before.
            for (field, steps) in [("data.burn_in", burn_in), ("data.interval", stride)] {
                if !steps.is_multiple_of(hidden.every()) {
                    let what = format!("{steps} steps; must be a multiple of flow.hidden.every = {}", hidden.every());
                    return Err(Error::config(field, what));
                }
            }
        }
        // Where it ends need be no multiple of the step.
        within("data.final_time", (data.final_time / flow.dt).round() as usize, 1..=STEPS)?;
        let snapshots = ((data.final_time - data.burn_in) / data.interval).ceil() as usize;
        product("data.final_time", &[3, snapshots, data.n, data.n], VALUES, "values of a trajectory")?;
        let largest = data.train.max(data.validation).max(data.test);
        product("data.train", &[largest, snapshots, data.n, data.n], VALUES, "values of a split")
    }

    pub(super) fn validate_model(&self, name: &str, model: &super::ModelConfig) -> Result<()> {
        let field = |rest: &str| format!("models.{name}.{rest}");
        validate_name("models", name)?;
        model.check_sizes(&format!("models.{name}"))?;
        model.latent.check(&field("latent"), self.data.n)?;
        if let Some(train) = model.latent.first_phase() {
            validate_train(&field("latent.training.train"), train)?;
        }
        if model.latent.is_joint() && model.law != Law::Diffusion {
            return Err(Error::config(field("law"), "joint training is for the diffusion law"));
        }
        if model.transport != TransportKind::default() && model.law != Law::Diffusion {
            let name = model.transport.name();
            let what = format!("{name}; the law {:?} is drawn without one, leave it out", model.law);
            return Err(Error::config(field("transport"), what));
        }
        if model.base.is_some() && !(model.law.is_noisy() && model.latent.truncation().is_some()) {
            let what = format!(
                "{:?} in {}; the law of a residual is a diffusion or a generator in a spectral latent",
                model.law, model.latent
            );
            return Err(Error::config(field("base"), what));
        }
        if let Some((part, Quadratic { every: None, averaged: true, .. })) = model.solved() {
            let what = "true; it is of pairs from running solvers, and `every` says which";
            return Err(Error::config(field(&format!("{part}.averaged")), what));
        }
        if let Some((part, Quadratic { every: Some(every), .. })) = model.solved() {
            within(field(&format!("{part}.every")), every.get(), 1..=STEPS)?;
        }
        if let Law::Generator { .. } = model.law
            && model.sampler != Default::default()
        {
            return Err(Error::config(field("sampler"), "a generator is drawn by one evaluation, leave it out"));
        }
        if let Law::Quadratic(_) = model.law {
            if model.latent.truncation().is_none() {
                let what = format!("{}; the quadratic law is solved in a spectral latent", model.latent);
                return Err(Error::config(field("latent"), what));
            }
            for (part, none) in [
                ("network", model.network.is_none()),
                ("train", model.train.is_none()),
                ("sampler", model.sampler == Default::default()),
            ] {
                if !none {
                    return Err(Error::config(field(part), "the quadratic law has none, leave it out"));
                }
            }
            return Ok(());
        }
        let n = model.latent.n(self.data.n);
        let network = &model.network;
        if let LatentConfig::Autoencoder { width, .. } = model.latent {
            // The deepest layers multiply all channels with all.
            let deepest = width << halvings(self.data.n, n).unwrap_or(0);
            product(field("latent.width"), &[64, deepest, deepest], WEIGHTS, "weights")?;
        }
        if 2 * network.modes > n {
            let what = format!("{}; a grid of {n} points has {} modes", network.modes, n / 2);
            return Err(Error::config(field("network.modes"), what));
        }
        validate_train(&field("train"), &model.train)?;
        product(field("train.batch"), &[model.train.batch, self.data.n, self.data.n], VALUES, "values")?;
        let levels = model.train.levels;
        if levels != 1 && model.law != Law::Diffusion {
            return Err(Error::config(
                field("train.levels"),
                format!("{levels}; only a diffusion law is trained on noise levels"),
            ));
        }
        product(field("train.levels"), &[levels, model.train.batch, n, n], VALUES, "values")?;
        let augment = model.train.augment;
        if !augment.is_none() && model.latent.is_trained() {
            let what = "only fields are rotated and jittered, and a trained latent is none";
            return Err(Error::config(field("train.augment"), what));
        }
        check(&field("train.augment.jitter"), augment.jitter, augment.jitter >= 0.0, "must not be negative")?;
        model.check_sampler(&field("sampler"))
    }

    /// Checks the closed loop, which stands in the configuration at `path`.
    pub(super) fn validate_rollout(&self, path: &str) -> Result<()> {
        let rollout = &self.rollout;
        let field = |rest: &str| format!("{path}.{rest}");
        if rollout.init.is_some() {
            check("rollout.start", rollout.start, true, "must be finite")?;
        } else {
            check("rollout.start", rollout.start, rollout.start >= 0.0, "must not be negative")?;
            whole_steps("rollout.start", rollout.start, self.flow.dt)?;
        }
        check(&field("duration"), rollout.duration, rollout.duration > 0.0, "must be positive")?;
        within(field("snapshots"), rollout.snapshots, 1..=MEMBERS)?;
        rollout.snapshot_stride(&field("duration / snapshots"), self.flow.dt)?;
        for (field, count) in [(field("members"), rollout.members), ("rollout.references".into(), rollout.references)] {
            within(&field, count, 1..=MEMBERS)?;
            product(&field, &[count, rollout.snapshots + 1, self.data.n, self.data.n], VALUES, "values")?;
        }
        if let Some(dt) = rollout.dt {
            if self.data.term == MissingTerm::Physics {
                let what = format!("{dt}; a law of the missing physics holds at flow.dt, leave it out");
                return Err(Error::config("rollout.dt", what));
            }
            some_steps("rollout.dt", dt, self.flow.dt)?;
            rollout.snapshot_stride(&field("duration / snapshots"), dt)?;
        }
        within("rollout.every", rollout.redraw_interval, 1..=STEPS)?;
        rollout.closures.iter().try_for_each(|name| self.closure_at(&field("closures"), name).map(drop))
    }
}

impl ModelConfig {
    /// Refuses sizes that no network has; `path` is where the model stands.
    ///
    /// # Errors
    /// [`Error::Config`] with the field and its value.
    pub fn check_sizes(&self, path: &str) -> Result<()> {
        let field = |rest: &str| format!("{path}.{rest}");
        within(field("latent.n"), self.latent.n(GRID), 2..=GRID)?;
        if let Law::Quadratic(_) = self.law {
            return Ok(());
        }
        let network = &self.network;
        within(field("network.width"), network.width, 1..=CHANNELS)?;
        within(field("network.layers"), network.layers, 1..=LAYERS)?;
        within(field("network.modes"), network.modes, 1..=GRID / 2)?;
        within(field("network.embed"), network.embed, 2..=EMBEDDING)?;
        if network.embed % 2 == 1 {
            return Err(Error::config(field("network.embed"), format!("{}; must be even", network.embed)));
        }
        let (width, modes) = (network.width, network.modes);
        product(field("network.width"), &[4, width, width, modes, modes, network.layers], WEIGHTS, "weights")?;
        if let LatentConfig::Autoencoder { width, .. } = self.latent {
            within(field("latent.width"), width, 1..=CHANNELS)?;
        }
        within(field("train.batch"), self.train.batch, 1..=BATCH)?;
        within(field("sampler.steps"), self.sampler.steps, 1..=SAMPLING_STEPS)
    }
}

fn validate_name(table: &str, given: &str) -> Result<()> {
    name(format!("{table}.{}", shown(given)), given)?;
    if is_reserved(given) {
        let what = "the name of a closure that needs no model; choose another";
        return Err(Error::config(format!("{table}.{given}"), what));
    }
    Ok(())
}

fn validate_train(path: &str, train: &TrainConfig) -> Result<()> {
    let field = |rest: &str| format!("{path}.{rest}");
    within(field("steps"), train.steps, 1..=STEPS)?;
    within(field("batch"), train.batch, 1..=BATCH)?;
    within(field("levels"), train.levels, 1..=BATCH)?;
    within(field("validate_every"), train.validate_every, 1..=STEPS)?;
    within(field("warmup"), train.warmup, 0..=STEPS)?;
    // Their product is compared with steps.
    within(field("patience"), train.patience, 0..=MEMBERS)?;
    check(&field("learning_rate"), train.learning_rate, train.learning_rate > 0.0, "must be positive")?;
    check(&field("ema"), train.ema, (0.0..1.0).contains(&train.ema), "must be in [0, 1)")?;
    check(&field("clip"), train.clip, train.clip > 0.0, "must be positive")?;
    match train.schedule {
        LearningRate::Steps { every, factor } => {
            within(field("schedule.every"), every, 1..=STEPS)?;
            reduction(&field("schedule.factor"), factor)
        }
        LearningRate::Plateau { patience, factor } => {
            within(field("schedule.patience"), patience, 1..=STEPS)?;
            reduction(&field("schedule.factor"), factor)
        }
        LearningRate::Cosine | LearningRate::Constant => Ok(()),
    }
}

fn reduction(field: &str, factor: f64) -> Result<()> {
    check(field, factor, factor > 0.0 && factor <= 1.0, "must be in (0, 1]")
}

fn check(field: &str, value: f64, right: bool, what: &str) -> Result<()> {
    match (value.is_finite(), right) {
        (true, true) => Ok(()),
        (true, false) => Err(Error::config(field, format!("{value}; {what}"))),
        (false, _) => Err(Error::config(field, format!("{value}; must be finite"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_whole_numbers_of_steps_up_to_round_off() {
        for (interval, dt, steps) in [(0.3, 0.1, 3), (0.0, 0.1, 0), (20.0, 1e-3, 20_000), (0.7, 0.001, 700)] {
            assert_eq!(whole_steps("x", interval, dt).unwrap(), steps);
        }
        for (interval, dt) in [(0.0105, 1e-3), (-0.1, 0.1), (f64::NAN, 0.1), (1.0, 0.0), (0.1, 1.0)] {
            let error = whole_steps("data.interval", interval, dt).unwrap_err().to_string();
            assert!(error.contains("data.interval") && error.contains("multiple of flow.dt"), "{error}");
        }
    }
}
