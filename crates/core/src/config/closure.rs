//! Closures as configurations name them.

use std::fmt::{self, Write};

use serde::{Serialize, Serializer};

use super::{Config, MissingTerm, SourceConfig, SubgridModel};
use crate::error::{Error, Result};

/// Suffix of a name that stands for the closure's conditional mean alone.
const MEAN: &str = "/mean";
/// Signs of sums: no other name has them.
const PLUS: char = '+';
const TIMES: char = '*';
/// Names of the closures that are neither subgrid models nor trained.
const NONE: &str = "none";
const EXACT: &str = "exact";
const MATCHED_GAUSSIAN: &str = "matched-gaussian";
const MEMORYLESS: &str = "memoryless";

/// A closure that exists for a configuration's problem; only [`Config::closure`] makes one.
///
/// It is shown, and stored, as the name it was made of: `none`, `exact`, `matched-gaussian`, a subgrid model, or a model of `models`, each with
/// `/mean` for its conditional mean alone; or a weighted sum of such, `0.5*quadratic+0.5*jhs`.
#[derive(Debug, Clone, PartialEq)]
pub struct ClosureRef {
    kind: ClosureKind,
    mean_only: bool,
}

/// What a closure is.
#[derive(Debug, Clone, PartialEq)]
pub enum ClosureKind {
    /// H = 0.
    None,
    /// The true law, which is known for the missing physics only.
    Exact,
    /// The Gaussian of its mean and covariance, where the exact law is none: the flow has a hidden forcing.
    MatchedGaussian,
    /// The exact law without its memory, where it has one.
    Memoryless,
    /// A classical model, for subgrid terms only.
    Subgrid(SubgridModel),
    /// The model of that name in [`Config::models`].
    Learned(String),
    /// Several, each times its weight: a mixed model, as large-eddy simulation calls a structural model with an eddy viscosity.
    Sum(Vec<(f64, ClosureRef)>),
}

impl ClosureRef {
    /// What it is; for [`ClosureRef::mean_only`], what it is the mean of.
    pub fn kind(&self) -> &ClosureKind {
        &self.kind
    }

    /// Whether it is the conditional mean alone.
    pub fn mean_only(&self) -> bool {
        self.mean_only
    }

    /// The trained model that it is, by name.
    pub fn model(&self) -> Option<&str> {
        match &self.kind {
            ClosureKind::Learned(model) => Some(model),
            _ => None,
        }
    }

    /// All trained models that it draws from.
    pub fn models(&self) -> Vec<&str> {
        match &self.kind {
            ClosureKind::Sum(parts) => parts.iter().flat_map(|(_, part)| part.models()).collect(),
            _ => self.model().into_iter().collect(),
        }
    }
}

impl fmt::Display for ClosureRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.kind, if self.mean_only { MEAN } else { "" })
    }
}

impl fmt::Display for ClosureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sum(parts) => {
                for (k, (weight, part)) in parts.iter().enumerate() {
                    if k > 0 {
                        f.write_char(PLUS)?;
                    }
                    if *weight != 1.0 {
                        write!(f, "{weight}{TIMES}")?;
                    }
                    write!(f, "{part}")?;
                }
                return Ok(());
            }
            Self::None => NONE,
            Self::Exact => EXACT,
            Self::MatchedGaussian => MATCHED_GAUSSIAN,
            Self::Memoryless => MEMORYLESS,
            Self::Subgrid(model) => model.name(),
            Self::Learned(model) => model,
        })
    }
}

impl Serialize for ClosureRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Whether a name is that of a closure that needs no training, whatever the problem.
pub(super) fn is_reserved(name: &str) -> bool {
    [NONE, EXACT, MATCHED_GAUSSIAN, MEMORYLESS].contains(&name)
        || SubgridModel::ALL.iter().any(|model| model.name() == name)
}

impl Config {
    /// The closure of that name: `none`, `exact` (missing physics only), `matched-gaussian` (with a hidden forcing only), a [`SubgridModel`] (subgrid terms only), or a model of
    /// `models`, each with or without `/mean`; or a sum of such with weights, `0.5*quadratic+0.5*jhs`.
    ///
    /// # Errors
    /// [`Error::Config`] that lists the names there are for this configuration's problem; a weight that is no number.
    pub fn closure(&self, name: &str) -> Result<ClosureRef> {
        self.closure_at("closure", name)
    }

    /// The closures of the closed loop, `rollout.closures`.
    ///
    /// # Errors
    /// As [`Config::closure`].
    pub fn closures(&self) -> Result<Vec<ClosureRef>> {
        self.rollout.closures.iter().map(|name| self.closure_at("rollout.closures", name)).collect()
    }

    /// Closures that are scored offline: those of the closed loop, then `eval.also`.
    ///
    /// # Errors
    /// As [`Config::closure`].
    pub fn scored(&self) -> Result<Vec<ClosureRef>> {
        let mut all = self.closures()?;
        for name in &self.eval.offline_only {
            all.push(self.closure_at("eval.also", name)?);
        }
        Ok(all)
    }

    /// The exact law, where the problem has one that is known: the missing physics, learned from pairs that follow this
    /// configuration's equation.
    pub fn exact_law(&self) -> Option<ClosureRef> {
        let own = self.data.source.as_ref().is_none_or(|source| source.exact);
        let known = self.data.term == MissingTerm::Physics && own;
        known.then_some(ClosureRef { kind: ClosureKind::Exact, mean_only: false })
    }

    /// What every closure is compared with: none at all and, where it is known, the exact law.
    pub fn baselines(&self) -> Vec<ClosureRef> {
        let none = ClosureRef { kind: ClosureKind::None, mean_only: false };
        std::iter::once(none).chain(self.exact_law()).collect()
    }

    /// Takes the exact law off every list of closures that is still `base`'s, where the law is not known: a preset compares with it,
    /// and pairs of one's own have none.
    pub(super) fn drop_unknown_law(&mut self, base: &Self) {
        if self.exact_law().is_some() {
            return;
        }
        let base = base.clone();
        let starts = self.study.starts.as_mut().zip(base.study.starts);
        let starts = starts.map(|(starts, before)| (&mut starts.closures, before.closures));
        let regimes = self.study.regimes.as_mut().zip(base.study.regimes);
        let regimes = regimes.map(|(regimes, before)| (&mut regimes.closures, before.closures));
        for (list, before) in [
            (&mut self.rollout.closures, base.rollout.closures),
            (&mut self.eval.offline_only, base.eval.offline_only),
            (&mut self.study.horizon.closures, base.study.horizon.closures),
            (&mut self.study.ensemble.closures, base.study.ensemble.closures),
        ]
        .into_iter()
        .chain(starts)
        .chain(regimes)
        {
            if *list == before {
                list.retain(|name| name.strip_suffix(MEAN).unwrap_or(name) != EXACT);
            }
        }
    }

    /// This configuration with pairs of one's own instead of simulated ones. Unless they are said to follow its equation, the exact
    /// law is not known, and the lists of closures do without it.
    pub fn with_data(mut self, source: SourceConfig) -> Self {
        let base = self.clone();
        self.data.source = Some(source);
        self.drop_unknown_law(&base);
        self
    }

    /// [`Config::closure`] of a name that stands at `field`.
    pub(super) fn closure_at(&self, field: &str, name: &str) -> Result<ClosureRef> {
        if !name.contains([PLUS, TIMES]) {
            return self.single(field, name);
        }
        let part = |text: &str| {
            let (weight, name) = text.split_once(TIMES).unwrap_or(("1", text));
            match weight.trim().parse::<f64>() {
                Ok(weight) if weight.is_finite() => Ok((weight, self.single(field, name.trim())?)),
                _ => Err(Error::config(field, format!("`{weight}` in `{name}`; the weight of a closure is a number"))),
            }
        };
        let parts = name.split(PLUS).map(part).collect::<Result<_>>()?;
        Ok(ClosureRef { kind: ClosureKind::Sum(parts), mean_only: false })
    }

    /// A closure that is no sum.
    fn single(&self, field: &str, name: &str) -> Result<ClosureRef> {
        let (base, mean_only) = name.strip_suffix(MEAN).map_or((name, false), |base| (base, true));
        let mut known = self.baselines();
        if let (Some(hidden), Some(_)) = (&self.flow.hidden, self.exact_law()) {
            let memoryless = (hidden.kept(self.flow.dt) > 0.0).then_some(ClosureKind::Memoryless);
            let kinds = std::iter::once(ClosureKind::MatchedGaussian).chain(memoryless);
            known.extend(kinds.map(|kind| ClosureRef { kind, mean_only: false }));
        }
        if matches!(self.data.term, MissingTerm::Subgrid { .. }) {
            let subgrid = SubgridModel::ALL.map(ClosureKind::Subgrid);
            known.extend(subgrid.map(|kind| ClosureRef { kind, mean_only: false }));
        }
        let files = self.checkpoints.keys().filter(|name| !self.models.contains_key(*name));
        let models = self.models.keys().chain(files).cloned().map(ClosureKind::Learned);
        known.extend(models.map(|kind| ClosureRef { kind, mean_only: false }));
        match known.iter().find(|closure| closure.to_string() == base) {
            Some(closure) => Ok(ClosureRef { mean_only, ..closure.clone() }),
            None => {
                let names: Vec<String> = known.iter().map(ToString::to_string).collect();
                let why = match (base, self.data.source.is_some()) {
                    (EXACT, true) => "; the law of pairs of one's own is not known, unless data.source.exact says so",
                    _ => "",
                };
                let what =
                    format!("unknown closure `{name}`; known: {}, each with or without `/mean`{why}", names.join(", "));
                Err(Error::config(field, what))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Preset;

    #[test]
    fn names_are_those_of_the_problem_and_come_back_as_they_were() {
        for (preset, known, other) in
            [(Preset::Smoke, &["exact", "p-cdm"][..], "leith"), (Preset::Les, &["leith", "hyperviscosity"], "exact")]
        {
            let config = Config::preset(preset);
            for name in known.iter().chain(&["none"]) {
                for (name, mean) in [(name.to_string(), false), (format!("{name}/mean"), true)] {
                    let closure = config.closure(&name).unwrap();
                    assert_eq!((closure.to_string(), closure.mean_only()), (name.clone(), mean));
                    assert_eq!(serde_json::to_value(&closure).unwrap(), name);
                }
            }
            for wrong in [other, "other", "none/mean/mean", "/mean", ""] {
                let error = config.closure(wrong).unwrap_err().to_string();
                let listed = error.split_once("known: ").unwrap().1;
                assert!(known.iter().all(|name| listed.contains(name)) && !listed.contains(other), "{error}");
            }
        }
        let les = Config::preset(Preset::Les);
        let sum = les.closure("0.5*regression/mean + jhs+-0.25 * leith").unwrap();
        assert_eq!(sum.to_string(), "0.5*regression/mean+jhs+-0.25*leith");
        assert_eq!(les.closure(&sum.to_string()).unwrap(), sum);
        assert_eq!((sum.models(), sum.model()), (vec!["regression"], None));
        for (wrong, named) in
            [("half*jhs", "`half`"), ("0.5*", "closure ``"), ("jhs+other", "`other`"), ("inf*jhs", "`inf`")]
        {
            let error = les.closure(wrong).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
        let smoke = Config::preset(Preset::Smoke);
        assert_eq!(smoke.closure("p-cdm/mean").unwrap().model(), Some("p-cdm"));
        assert_eq!(smoke.closure("exact").unwrap().kind(), &ClosureKind::Exact);
    }
}
