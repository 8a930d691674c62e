//! Where a configuration comes from: a preset, a TOML file laid over it, single values laid over both.

use std::path::Path;

use serde_json::Value;

use super::{Config, Precision, Preset};
use crate::error::{Error, Result};

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
    /// # Errors
    /// [`Error::Config`] with the dotted path of an unknown field or an impossible value; [`Error::Io`].
    pub fn load(preset: &str, file: Option<&Path>, settings: &[String]) -> Result<Self> {
        let base = Self::preset(preset.parse::<Preset>()?);
        let mut value = spelled_out(&base)?;
        if let Some(path) = file {
            let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
            let table: toml::Table = text
                .parse()
                .map_err(|error: toml::de::Error| Error::config(path.display().to_string(), error.to_string()))?;
            let table = serde_json::to_value(table).map_err(unreadable)?;
            overlay(&mut value, table, "")?;
        }
        for setting in settings {
            let (path, text) = setting
                .split_once('=')
                .ok_or_else(|| Error::config(setting.as_str(), "expected path.to.field=value"))?;
            set(&mut value, path.trim(), parse(text.trim()))?;
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
    say("data", "source", serde_json::to_value(&config.data.source).map_err(unreadable)?);
    for (name, model) in &config.models {
        let path = format!("models.{name}");
        say(&path, "transport", serde_json::to_value(model.transport).map_err(unreadable)?);
        say(&format!("{path}.sampler"), "spread", model.sampler.spread.into());
        say(&format!("{path}.train"), "precision", precision(model.train.precision));
        if let Some(train) = model.latent.first_phase() {
            say(&format!("{path}.latent.training.train"), "precision", precision(train.precision));
        }
        if model.latent.is_trained() {
            let losses = serde_json::to_value(model.latent.losses()).map_err(unreadable)?;
            say(&format!("{path}.latent"), "losses", losses);
        }
    }
    value["checkpoints"] = checkpoints;
    Ok(value)
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

/// A value as TOML reads it; what TOML does not read is text.
fn parse(text: &str) -> Value {
    format!("value = {text}")
        .parse::<toml::Table>()
        .ok()
        .and_then(|table| table.get("value").cloned())
        .and_then(|value| serde_json::to_value(value).ok())
        .unwrap_or_else(|| Value::String(text.into()))
}

fn set(root: &mut Value, path: &str, new: Value) -> Result<()> {
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
    *slot = fit(slot, new);
    Ok(())
}

/// Integers given for floating-point fields become such, so that `dt=1` and `dt=1.0` are one configuration.
fn fit(old: &Value, new: Value) -> Value {
    match (old, &new) {
        (Value::Number(old), Value::Number(n)) if old.is_f64() => n.as_f64().map_or(new.clone(), Value::from),
        _ => new,
    }
}

/// Lays `table` over `base`, refusing fields that `base` does not have; models may be added.
fn overlay(base: &mut Value, table: Value, path: &str) -> Result<()> {
    let Value::Object(entries) = table else {
        *base = fit(base, table);
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
        assert!(error("rollout.duration=0.0105").contains("rollout.duration / snapshots"));
        let flat = Config::load("les", None, &["data.term.filter.width=0.0".into()]).unwrap_err().to_string();
        assert!(flat.contains("data.term.filter.width"), "{flat}");
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
        for preset in ["smoke", "desk", "paper", "les"] {
            Config::load(preset, None, &[]).unwrap();
        }
        assert!(Config::load("huge", None, &[]).unwrap_err().to_string().contains("known: smoke, desk, paper"));
    }
}
