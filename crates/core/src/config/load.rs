//! Where a configuration comes from: a preset, a TOML file laid over it, single values laid over both.

use std::path::Path;

use serde_json::{Value, json};

use super::{Config, HiddenConfig, MissingTerm, Precision, Preset};
use crate::error::{Error, Result, shown};
use crate::file::read_text;

/// Most bytes of a configuration file.
const CONFIG_BYTES: u64 = 1 << 20;

impl Config {
    /// A preset by name, with an optional TOML file and `path.to.field=value` settings laid over it, validated.
    ///
    /// The file holds any subset of the configuration; a table under `models` may name a new model, which is either
    /// complete or starts as a copy of the model named by its key `like`.
    ///
    /// ```
    /// let config = lacuna_core::config::Config::load("smoke", None, &["flow.viscosity=2e-3".into()])?;
    /// assert_eq!(config.flow.viscosity, 2e-3);
    /// let error = lacuna_core::config::Config::load("smoke", None, &["flow.viscosty=1".into()]).unwrap_err();
    /// assert!(error.to_string().contains("flow.viscosty"));
    /// # Ok::<(), lacuna_core::Error>(())
    /// ```
    ///
    /// The preset is the one that is asked for here, whatever the file says ([`Config::preset_in`]).
    ///
    /// # Errors
    /// [`Error::Config`] with the dotted path of an unknown field or an impossible value; [`Error::Io`].
    pub fn load(preset: &str, file: Option<&Path>, settings: &[String]) -> Result<Self> {
        Self::layered(preset, file.map(table).transpose()?, settings)
    }

    /// As [`Config::load`], with the text of a TOML file.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn from_toml(preset: &str, text: &str) -> Result<Self> {
        Self::layered(preset, Some(table_of(text, "configuration")?), &[])
    }

    /// The preset that a TOML file names, if it names one.
    ///
    /// # Errors
    /// The file cannot be read, or its `preset` is no text.
    pub fn preset_in(file: &Path) -> Result<Option<String>> {
        match table(file)?.remove("preset") {
            None => Ok(None),
            Some(toml::Value::String(name)) => Ok(Some(name)),
            Some(other) => Err(Error::config("preset", format!("{other}; must be the name of a preset in quotes"))),
        }
    }

    fn layered(preset: &str, file: Option<toml::Table>, settings: &[String]) -> Result<Self> {
        let base = Self::preset(preset.parse::<Preset>()?);
        let mut value = spelled_out(&base)?;
        if let Some(mut table) = file {
            table.remove("preset");
            let table = serde_json::to_value(table).map_err(unreadable)?;
            overlay(&mut value, table, "")?;
        }
        for setting in settings {
            let (path, text) = setting
                .split_once('=')
                .ok_or_else(|| Error::config(setting.as_str(), "expected path.to.field=value"))?;
            set(&mut value, path.trim(), text.trim())?;
        }
        let mut config: Self = typed(value)?;
        config.drop_unknown_law(&base);
        config.validate()?;
        Ok(config)
    }

    /// The configuration as TOML, as [`Config::load`] reads it.
    ///
    /// # Panics
    /// Never: every value of the configuration has a TOML form.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("config types have a TOML form")
    }
}

/// A configuration with the settings that are not written where they have their default value, for others to be laid over it.
fn spelled_out(config: &Config) -> Result<Value> {
    let mut value = serde_json::to_value(config).map_err(unreadable)?;
    let mut say = |path: &str, field: &str, setting: Value| {
        if let Some(Value::Object(table)) = pointer_mut(&mut value, path) {
            table.insert(field.into(), setting);
        }
    };
    let precision = |precision: Precision| precision.name().into();
    let checkpoints = serde_json::to_value(&config.checkpoints).map_err(unreadable)?;
    say("rollout", "precision", precision(config.rollout.precision));
    say("rollout", "init", serde_json::to_value(&config.rollout.init).map_err(unreadable)?);
    say("rollout", "dt", json!(config.rollout.dt));
    say("rollout", "start_state", json!(config.rollout.start_state));
    say("flow", "forcing_pattern", json!(config.flow.forcing_pattern));
    say("flow", "beta", json!(config.flow.beta));
    say("flow", "precision", json!(config.flow.precision));
    say("flow.initial", "amplitude", json!(config.flow.initial.amplitude));
    say("flow.initial", "modes", json!(config.flow.initial.modes));
    if let MissingTerm::Subgrid { resolved, .. } = config.data.term {
        say("data.term", "resolved", json!(resolved));
    }
    say("study", "samplers", json!(config.study.samplers));
    say("study", "few_steps", json!(config.study.few_steps));
    say("study", "weights", json!(config.study.weights));
    say("study", "memory", json!(config.study.memory));
    say("study", "ring", json!(config.study.ring));
    say("study", "resolution", json!(config.study.resolution));
    say("study", "starts", json!(config.study.starts));
    say("study", "regimes", json!(config.study.regimes));
    say("study", "amounts", json!(config.study.amounts));
    say("flow", "hidden", json!(config.flow.hidden));
    if let Some(HiddenConfig::Cells(cells)) = &config.flow.hidden {
        say("flow.hidden", "memory", cells.memory.into());
    }
    say("data", "source", serde_json::to_value(&config.data.source).map_err(unreadable)?);
    for (name, model) in &config.models {
        let path = format!("models.{name}");
        say(&path, "base", json!(model.base));
        say(&path, "transport", serde_json::to_value(model.transport).map_err(unreadable)?);
        say(&format!("{path}.sampler"), "spread", model.sampler.spread.into());
        say(&format!("{path}.train"), "precision", precision(model.train.precision));
        say(&format!("{path}.train"), "levels", model.train.levels.into());
        if !model.latent.is_trained() {
            say(&format!("{path}.train"), "augment", json!(model.train.augment));
        }
        if let Some(train) = model.latent.first_phase() {
            say(&format!("{path}.latent.training.train"), "precision", precision(train.precision));
        }
        if model.latent.is_trained() {
            let losses = serde_json::to_value(model.latent.losses()).map_err(unreadable)?;
            say(&format!("{path}.latent"), "losses", losses);
        }
    }
    value["checkpoints"] = checkpoints;
    value["trained_on"] = json!(config.trained_on);
    value["subgrid"] = json!(config.subgrid.all());
    Ok(value)
}

fn table(path: &Path) -> Result<toml::Table> {
    table_of(&read_text(path, CONFIG_BYTES)?, &path.display().to_string())
}

fn table_of(text: &str, name: &str) -> Result<toml::Table> {
    text.parse().map_err(|error: toml::de::Error| Error::config(name, error.to_string()))
}

fn unreadable(error: serde_json::Error) -> Error {
    Error::config("config", error.to_string())
}

/// The typed configuration; an error names the path of the field it is about.
fn typed(value: Value) -> Result<Config> {
    match serde_json::from_value(value.clone()) {
        Ok(config) => Ok(config),
        Err(error) => {
            // serde does not say where: the field is the first one whose value alone a preset does not take.
            let base = spelled_out(&Config::preset(Preset::Desk)).unwrap_or(Value::Null);
            let path = culprit(&base, &value).unwrap_or_else(|| "config".into());
            Err(Error::config(path, error.to_string()))
        }
    }
}

/// The leaf in which `value` differs from the valid `base` and which makes the latter invalid.
fn culprit(base: &Value, value: &Value) -> Option<String> {
    let (Value::Object(_), Value::Object(wanted)) = (base, value) else { return None };
    for key in wanted.keys() {
        let mut path = key.clone();
        loop {
            let found = pointer(value, &path)?;
            let mut trial = base.clone();
            *pointer_mut(&mut trial, &path)? = found.clone();
            if serde_json::from_value::<Config>(trial).is_ok() {
                break;
            }
            let Value::Object(children) = found else { return Some(path) };
            let inner = children.keys().find(|child| {
                let longer = format!("{path}.{child}");
                let mut trial = base.clone();
                match (pointer_mut(&mut trial, &longer), pointer(value, &longer)) {
                    (Some(slot), Some(found)) => {
                        *slot = found.clone();
                        serde_json::from_value::<Config>(trial).is_err()
                    }
                    _ => true,
                }
            });
            match inner {
                Some(child) => path = format!("{path}.{child}"),
                None => return Some(path),
            }
        }
    }
    None
}

fn pointer<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(value, |value, key| value.get(key))
}

fn pointer_mut<'a>(value: &'a mut Value, path: &str) -> Option<&'a mut Value> {
    path.split('.').try_fold(value, |value, key| value.get_mut(key))
}

/// A value as TOML reads it, or a number or a list of words as one writes them in a hurry (`.5`, `1.`, `[none, exact]`); anything
/// else is text. `None` for numbers that are not finite.
fn parse(text: &str) -> Option<Value> {
    let table = format!("value = {text}").parse::<toml::Table>();
    if let Some(value) = table.ok().and_then(|mut table| table.remove("value")) {
        return serde_json::to_value(value).ok().filter(finite);
    }
    if let Ok(number) = text.parse::<u64>() {
        return Some(number.into());
    }
    if let Ok(number) = text.parse::<f64>() {
        return Some(number.into()).filter(finite);
    }
    match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        // Brackets within brackets are no words.
        Some(words) if !words.contains(['[', ']']) => words.split(',').map(|word| parse(word.trim())).collect(),
        _ => Some(text.into()),
    }
}

/// Numbers that JSON has no form for become null.
fn finite(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Array(values) => values.iter().all(finite),
        Value::Object(values) => values.values().all(finite),
        _ => true,
    }
}

fn not_finite(path: &str, text: &str) -> Error {
    Error::config(path, format!("{}; must be finite", shown(text)))
}

fn set(root: &mut Value, path: &str, text: &str) -> Result<()> {
    if path == "preset" {
        return Err(Error::config("preset", format!("{text}; a preset is chosen by --preset, not laid over another")));
    }
    let mut slot = root;
    let mut seen = String::new();
    for key in path.split('.') {
        seen = if seen.is_empty() { key.into() } else { format!("{seen}.{key}") };
        if let (Some(name), Some(files)) = (seen.strip_prefix("checkpoints."), slot.as_object_mut()) {
            files.entry(name).or_insert(Value::Null);
        }
        let known = slot.as_object().map(|map| map.keys().cloned().collect::<Vec<_>>().join(", "));
        slot = slot.get_mut(key).ok_or_else(|| {
            let what = match known {
                Some(known) => format!("unknown field `{key}` in `{path}`; known: {known}"),
                None => "not a table".to_string(),
            };
            Error::config(seen.as_str(), what)
        })?;
    }
    let new = parse(text).ok_or_else(|| not_finite(path, text))?;
    *slot = fit(path, slot, new, text)?;
    Ok(())
}

/// `new` in the form of the field that it is for, now `old`: `dt=1` and `dt=1.0` are one configuration, and so are `steps=1000`
/// and `steps=1e3`. `text` is what was written.
///
/// # Errors
/// Text for a number, a fraction for a whole number, something else than a list for a list.
fn fit(path: &str, old: &Value, new: Value, text: &str) -> Result<Value> {
    /// Beyond it not every whole number is a floating-point number.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let wrong = |what: &str| Err(Error::config(path, format!("{}; {what}", shown(text))));
    match (old, new) {
        (Value::Number(old), Value::Number(new)) if old.is_f64() => Ok(new.as_f64().map_or(new.into(), Value::from)),
        (Value::Number(_), Value::Number(new)) if new.is_f64() => match new.as_f64() {
            Some(value) if value.fract() == 0.0 && (0.0..=EXACT).contains(&value) => Ok(Value::from(value as u64)),
            _ => wrong("must be a whole number"),
        },
        (Value::Number(old), Value::Number(new)) if old.is_u64() && new.as_i64().is_some_and(|new| new < 0) => {
            wrong("must be a whole number, not below 0")
        }
        (Value::Number(_), Value::Number(new)) => Ok(new.into()),
        (Value::Number(_), _) => wrong("must be a number"),
        (Value::Array(old), Value::Array(new)) => match old.first() {
            Some(old) => new.into_iter().map(|value| fit(path, old, value, text)).collect(),
            None => Ok(new.into()),
        },
        (Value::Array(_), _) => wrong("must be a list: [a, b] or [1, 2]"),
        (Value::Bool(_), Value::Bool(new)) => Ok(new.into()),
        (Value::Bool(_), _) => wrong("must be true or false"),
        (_, new) => Ok(new),
    }
}

/// Lays `table` over `base`, refusing fields that `base` does not have; models may be added.
fn overlay(base: &mut Value, table: Value, path: &str) -> Result<()> {
    let Value::Object(entries) = table else {
        let text = table.to_string();
        if !finite(&table) {
            return Err(not_finite(path, "nan or inf"));
        }
        *base = fit(path, base, table, &text)?;
        return Ok(());
    };
    if base.is_null() {
        *base = Value::Object(entries);
        return Ok(());
    }
    // A table of another kind (`kind = ...`) replaces the old one: its fields are different.
    let kind = |value: &Value| value.get("kind").cloned();
    if let Some(new_kind) = entries.get("kind")
        && kind(base).as_ref() != Some(new_kind)
    {
        *base = Value::Object(entries);
        return Ok(());
    }
    for (key, mut value) in entries {
        let longer = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        if path == "checkpoints" {
            base[&key] = value;
            continue;
        }
        if path == "models" && base.get(&key).is_none() {
            match value.as_object_mut().and_then(|model| model.remove("like")) {
                Some(like) => {
                    let start = like.as_str().and_then(|like| base.get(like)).cloned();
                    base[&key] = start.ok_or_else(|| {
                        Error::config(format!("{longer}.like"), format!("{like}; must be the name of a known model"))
                    })?;
                }
                // Without a model to start from the table must be complete, which its conversion checks.
                None => {
                    base[&key] = value;
                    continue;
                }
            }
        }
        let slot =
            base.get_mut(&key).ok_or_else(|| Error::config(longer.as_str(), format!("unknown field `{key}`")))?;
        overlay(slot, value, &longer)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(setting: &str) -> String {
        Config::load("smoke", None, &[setting.into()]).unwrap_err().to_string()
    }

    #[test]
    fn settings_change_values_and_refuse_what_is_wrong_by_name() {
        let config = Config::load("smoke", None, &["models.p-cdm.train.steps=7".into()]).unwrap();
        assert_eq!(config.models["p-cdm"].train.steps, 7);
        assert!(error("flow.viscosty=1").contains("flow.viscosty"), "{}", error("flow.viscosty=1"));
        assert!(error("flow.stepper=leapfrog").contains("flow.stepper"), "{}", error("flow.stepper=leapfrog"));
        for (setting, value) in [
            ("models.p-cdm.train.steps=1e3", "1000"),
            ("flow.viscosity=.001", "0.001"),
            ("flow.viscosity=1.", "1"),
            ("flow.viscosity=1.e-3", "0.001"),
            ("seed=18446744073709551615", "18446744073709551615"),
            ("rollout.closures=[none, exact]", "[\"none\",\"exact\"]"),
            ("study.frontier.steps=[1e1, 2]", "[10,2]"),
        ] {
            let config = Config::load("smoke", None, &[setting.into()]).unwrap();
            let path = format!("/{}", setting.split_once('=').unwrap().0.replace('.', "/"));
            let found = serde_json::to_value(&config).unwrap().pointer(&path).unwrap().to_string();
            assert_eq!(found.trim_end_matches(".0"), value, "{setting}");
        }
        for wrong in ["flow.viscosity=nan", "flow.viscosity=-inf", "study.frontier.steps=[nan]"] {
            assert!(error(wrong).contains("must be finite"), "{}", error(wrong));
        }
        assert!(error("seed=1.5").contains("seed"), "{}", error("seed=1.5"));
        assert!(error("flow.n=-3").contains("flow.n"), "{}", error("flow.n=-3"));
        assert!(error("flow.viscosity=-1").contains("flow.viscosity"));
        assert!(error("data.n=48").contains("data.n"));
        assert!(error("flow.dt=0.3").contains("multiple of flow.dt"), "{}", error("flow.dt=0.3"));
        assert!(error("nonsense").contains("nonsense"));
        let half = "models.two-phase.latent.training.train.precision=bf16";
        let settings = [half, "models.p-cdm.train.precision=bf16", "rollout.precision=f32"].map(String::from);
        let half = Config::load("smoke", None, &settings).unwrap();
        assert_eq!(half.models["p-cdm"].train.precision, Precision::Bf16);
        assert_eq!(half.to_toml().matches("precision = \"bf16\"").count(), 2);
        let wrong = error("models.p-cdm.train.precision=f16");
        assert!(wrong.contains("models.p-cdm.train.precision") && wrong.contains("f16"), "{wrong}");
        assert!(error("rollout.closures=[\"other\"]").contains("other"));
        for (setting, words) in [
            ("rollout.closures=none", ["rollout.closures", "must be a list"]),
            ("models.p-cdm.train.steps=2.5", ["models.p-cdm.train.steps", "whole number"]),
            ("models.p-cdm.train.steps=many", ["models.p-cdm.train.steps", "must be a number"]),
            ("seed=-1", ["seed", "not below 0"]),
            ("seed=1e30", ["seed", "whole number"]),
            ("flow.viscosity=inf", ["flow.viscosity", "inf; must be finite"]),
            ("flow.viscosity=nan", ["flow.viscosity", "nan; must be finite"]),
            ("preset=../x", ["preset", "--preset"]),
        ] {
            let message = error(setting);
            assert!(words.iter().all(|word| message.contains(word)) && !message.contains("expected"), "{message}");
        }
        assert!(error("rollout.duration=0.0105").contains("rollout.duration / snapshots"));
        let flat = Config::load("les", None, &["data.term.filter.width=0.0".into()]).unwrap_err().to_string();
        assert!(flat.contains("data.term.filter.width"), "{flat}");
    }

    #[test]
    fn numbers_are_understood_in_every_notation_that_is_exact() {
        let load = |settings: &[&str]| {
            Config::load("smoke", None, &settings.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap()
        };
        let plain = load(&["seed=1000", "models.p-cdm.train.steps=1000", "flow.viscosity=0.001", "flow.forcing=1.0"]);
        for other in [
            ["seed=1e3", "models.p-cdm.train.steps=1e3", "flow.viscosity=.001", "flow.forcing=1."],
            ["seed=1000.0", "models.p-cdm.train.steps=1.e3", "flow.viscosity=1.e-3", "flow.forcing=1"],
        ] {
            assert_eq!(load(&other), plain);
        }
        assert_eq!(load(&["seed=18446744073709551615"]).seed, u64::MAX);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.toml");
        std::fs::write(&path, "seed = 1e3\n[models.p-cdm.train]\nsteps = 1e3\n").unwrap();
        let config = Config::load("smoke", Some(&path), &[]).unwrap();
        assert_eq!((config.seed, config.models["p-cdm"].train.steps), (1000, 1000));
    }

    #[test]
    fn a_file_names_its_preset_and_what_is_asked_for_wins() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.toml");
        std::fs::write(&path, "preset = \"smoke\"\nseed = 3\n").unwrap();
        assert_eq!(Config::preset_in(&path).unwrap().as_deref(), Some("smoke"));
        assert_eq!(Config::load("les", Some(&path), &[]).unwrap().preset, "les");
        let smoke = Config::load("smoke", Some(&path), &[]).unwrap();
        assert_eq!(Config::from_toml("smoke", &smoke.to_toml()).unwrap(), smoke);
        std::fs::write(&path, "preset = 3\n").unwrap();
        assert!(Config::preset_in(&path).unwrap_err().to_string().contains("`preset`: 3"));
    }

    #[test]
    fn a_file_overlays_and_round_trips() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.toml");
        std::fs::write(
            &path,
            "seed = 3\nrollout.closures = [\"none\", \"leith\", \"wide\"]\nstudy.horizon.closures = [\"none\"]\nstudy.ensemble.closures = [\"none\"]\n[flow]\nn = 128\nviscosity = 2e-3\n[models.wide]\nlike = \"spectral\"\nnetwork.width = 24\n\
             [data.term]\nkind = \"subgrid\"\nfilter = { kind = \"sharp\" }\n",
        )
        .unwrap();
        let config = Config::load("smoke", Some(&path), &[]).unwrap();
        assert_eq!((config.seed, config.flow.viscosity, config.models["wide"].network.width), (3, 2e-3, 24));
        std::fs::write(&path, config.to_toml()).unwrap();
        assert_eq!(Config::load("desk", Some(&path), &[]).unwrap().flow, config.flow);
        std::fs::write(&path, "[flow]\nviscocity = 2e-3\n").unwrap();
        assert!(Config::load("smoke", Some(&path), &[]).unwrap_err().to_string().contains("flow.viscocity"));
        assert!(matches!(Config::load("smoke", Some(Path::new("missing.toml")), &[]), Err(Error::Io { .. })));
    }

    #[test]
    fn every_preset_is_valid() {
        for preset in Preset::ALL.map(Preset::name) {
            Config::load(preset, None, &[]).unwrap();
        }
        assert!(
            Config::load("huge", None, &[])
                .unwrap_err()
                .to_string()
                .contains("known: smoke, desk, truth, published, transports, cells, paper")
        );
    }
}
