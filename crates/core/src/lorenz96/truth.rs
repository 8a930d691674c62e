//! The full system, its trajectories, and the pairs that closures learn from.

use ndarray::{Array2, ArrayView2, s};
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};

use super::{Lorenz96, Reduced};
use crate::config::limits::{STEPS, within};
use crate::error::{Error, Result};
use crate::rng::{SeedTree, Stream};
use crate::stop;
use crate::system::System;

/// Time from random numbers to the first snapshot of a trajectory: errors double in a third of a time unit.
pub const SPIN_UP: f64 = 10.0;

/// The full system: X and its switches.
#[derive(Debug, Clone)]
pub struct Truth {
    system: Lorenz96,
    reduced: Reduced,
    memory: f64,
    /// (1, K).
    u: Array2<f64>,
}

impl Truth {
    /// From the state `x` (1, K), the term that drove it until then being `previous`.
    ///
    /// # Errors
    /// [`Error::Config`] for impossible values; [`Error::Shape`].
    pub fn new(system: &Lorenz96, x: ArrayView2<f64>, previous: ArrayView2<f64>) -> Result<Self> {
        let mut reduced = system.reduced()?;
        reduced.set_state(x)?;
        if previous.dim() != (1, system.sites) {
            let expected = format!("(1, {})", system.sites);
            return Err(Error::shape("previous term of Lorenz-96", expected, previous.shape()));
        }
        Ok(Self { system: system.clone(), reduced, memory: system.memory(1), u: previous.to_owned() })
    }

    /// One step: every switch, then X.
    ///
    /// # Errors
    /// [`Error::BlowUp`].
    pub fn step(&mut self, rng: &mut Stream) -> Result<()> {
        let Self { system, reduced, memory, u } = self;
        for (u, &x) in u.iter_mut().zip(reduced.x()) {
            let up = rng.random::<f64>() < system.next_up(x, system.is_up(*u), *memory);
            *u = if up { system.amplitude } else { -system.amplitude };
        }
        reduced.step(u.view())
    }

    /// X, site after site.
    pub fn x(&self) -> &[f64] {
        self.reduced.x()
    }

    /// U of the last step, (1, K).
    pub fn u(&self) -> ArrayView2<'_, f64> {
        self.u.view()
    }
}

/// Snapshots of the full system, in their order.
#[derive(Debug, Clone, PartialEq)]
pub struct Trajectory {
    /// Steps between snapshots.
    pub every: usize,
    /// X, (snapshot, K).
    pub x: Array2<f64>,
    /// U of the step that ended at the snapshot, (snapshot, K).
    pub u: Array2<f64>,
}

impl Trajectory {
    /// The state of snapshot `i`, (1, K).
    ///
    /// # Panics
    /// Where there is no such snapshot.
    pub fn state(&self, i: usize) -> Array2<f64> {
        self.x.slice(s![i..=i, ..]).to_owned()
    }

    /// The term that drove the system up to snapshot `i`, (1, K).
    ///
    /// # Panics
    /// Where there is no such snapshot.
    pub fn previous(&self, i: usize) -> Array2<f64> {
        self.u.slice(s![i..=i, ..]).to_owned()
    }

    /// What a law of U at one site learns from: all sites of all intervals between snapshots.
    pub fn pairs(&self) -> Pairs {
        let last = self.x.nrows() - 1;
        let values = |from: ArrayView2<f64>| from.iter().map(|&value| value as f32).collect();
        Pairs {
            every: self.every,
            x: values(self.x.slice(s![..last, ..])),
            previous: values(self.u.slice(s![..last, ..])),
            next: values(self.u.slice(s![1.., ..])),
        }
    }
}

/// Samples of the conditional law of U at one site, side by side.
#[derive(Debug, Clone, PartialEq)]
pub struct Pairs {
    /// Steps that the law looks ahead.
    pub every: usize,
    /// X at a time t.
    pub x: Vec<f32>,
    /// U of the step that ended there.
    pub previous: Vec<f32>,
    /// U of the step that ended `every` steps later.
    pub next: Vec<f32>,
}

impl Pairs {
    /// Number of samples.
    pub fn len(&self) -> usize {
        self.x.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.x.is_empty()
    }
}

impl Lorenz96 {
    /// A trajectory of the full system of `snapshots` intervals of `every` steps, after [`SPIN_UP`] from random numbers. Streams:
    /// `initial` and `chain` of `seeds`.
    ///
    /// # Errors
    /// [`Error::Config`] for impossible values.
    pub fn simulate(&self, seeds: &SeedTree, snapshots: usize, every: usize) -> Result<Trajectory> {
        self.validate()?;
        for (field, value) in [("snapshots", snapshots), ("every", every)] {
            within(field, value, 1..=STEPS)?;
        }
        let mut initial = seeds.child("initial").stream();
        let x = Array2::from_shape_simple_fn((1, self.sites), || -> f64 {
            self.centre + Distribution::<f64>::sample(&StandardNormal, &mut initial)
        });
        let u = x.mapv(|x| if initial.random::<f64>() < self.up(x) { self.amplitude } else { -self.amplitude });
        let (mut truth, mut rng) = (Truth::new(self, x.view(), u.view())?, seeds.child("chain").stream());
        for _ in 0..(SPIN_UP / self.dt).round() as usize {
            truth.step(&mut rng)?;
        }
        let zeros = || Array2::zeros((snapshots + 1, self.sites));
        let mut kept = Trajectory { every, x: zeros(), u: zeros() };
        for i in 0..=snapshots {
            stop::check()?;
            kept.x.row_mut(i).iter_mut().zip(truth.x()).for_each(|(to, x)| *to = *x);
            kept.u.row_mut(i).assign(&truth.u().row(0));
            for _ in 0..if i < snapshots { every } else { 0 } {
                truth.step(&mut rng)?;
            }
        }
        Ok(kept)
    }
}
