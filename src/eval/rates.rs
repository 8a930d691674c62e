//! How fast this machine is, from a few calls: what a plan is worked out with where nothing was computed yet.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ndarray::Array2;

use crate::closure::{AnyClosure, Closure, Learned};
use crate::config::{FlowConfig, MissingTerm, ModelConfig, ResolvedModes};
use crate::error::Result;
use crate::flow::{Reduced, Solver, in_precision, initial_vorticity};
use crate::latent::networks;
use crate::nets::{Checkpoint, LatentStats, Provenance, Stats};
use crate::rng::SeedTree;
use crate::spectral::{Field, truncate};
use crate::stopwatch::Stopwatch;

/// Calls are repeated for so long, but at most so often.
const LONG: Duration = Duration::from_millis(60);
const OFTEN: usize = 40;

/// A model with random weights, on `n` points per side: time does not depend on them.
///
/// # Errors
/// Sizes that do not fit each other.
pub(crate) fn untrained(model: &ModelConfig, n: usize) -> Result<Learned> {
    let seeds = SeedTree::new(0).child("rates");
    let networks: BTreeMap<_, _> = networks(model, n)?
        .into_iter()
        .map(|(role, network)| {
            let weights = network.init(&mut seeds.child(role.name()).stream());
            (role, (network, weights))
        })
        .collect();
    let latent_n = model.latent.n(n);
    let checkpoint = Checkpoint {
        n,
        stats: Stats { w_rms: 1.0, h_rms: 1.0, known_rms: 1.0 },
        latent: LatentStats::default(),
        networks,
        residual: model.has_residual().then(|| vec![1.0; latent_n * (latent_n / 2 + 1)]),
        resolved: ResolvedModes::TwoThirds,
        provenance: Provenance::default(),
        model: model.clone(),
    };
    Learned::new(&checkpoint, &model.sampler)
}

/// A smooth vorticity field of `n` points per side.
///
/// # Errors
/// Impossible values of the flow.
pub(crate) fn smooth(flow: &FlowConfig, n: usize) -> Result<Field> {
    let rough = initial_vorticity(&FlowConfig { n, ..flow.clone() }, &SeedTree::new(0).child("rates"))?;
    truncate(truncate(rough.view(), (n / 2).next_multiple_of(2))?.view(), n)
}

/// Seconds of a step of the full solver, noise included, on one thread.
///
/// # Errors
/// Impossible values of the flow.
pub(crate) fn solver_step(flow: &FlowConfig) -> Result<f64> {
    let mut rng = SeedTree::new(0).child("rates").child("noise").stream();
    in_precision!(flow, T => {
        let mut solver = Solver::<T>::with_scalar(flow)?;
        solver.set_vorticity(smooth(flow, flow.n)?.view())?;
        median(|| solver.step(Some(&mut rng)))
    })
}

/// Seconds of a step of the reduced solver with a given term, on `n` points per side and one thread.
///
/// # Errors
/// Impossible values of the flow.
pub(crate) fn reduced_step(flow: &FlowConfig, term: MissingTerm, n: usize) -> Result<f64> {
    let flow = FlowConfig { n, ..flow.clone() };
    let mut solver = Reduced::with_term(&flow, term)?;
    solver.set_vorticity(smooth(&flow, n)?.view())?;
    let h = Array2::zeros((n, n));
    median(|| solver.step(h.view()))
}

/// Seconds of a draw of a closure on `n` points per side and one thread.
///
/// # Errors
/// What the closure reports.
pub(crate) fn draw(closure: &AnyClosure, flow: &FlowConfig, n: usize) -> Result<f64> {
    let (mut closure, w) = (closure.clone(), smooth(flow, n)?);
    let (mut rng, mut h) = (SeedTree::new(0).child("rates").child("draws").stream(), Array2::zeros((n, n)));
    // Draws at one state would find their condition prepared.
    let mut states = [w.clone(), w.reversed_axes().as_standard_layout().to_owned()].into_iter().cycle();
    median(|| match states.next() {
        Some(w) => closure.sample(w.view(), 0.0, &mut rng, h.view_mut()),
        None => Ok(()),
    })
}

/// Median seconds of a call after one that is not counted.
fn median(mut call: impl FnMut() -> Result<()>) -> Result<f64> {
    let (clock, mut watch) = (Instant::now(), Stopwatch::after(1));
    for done in 0..OFTEN {
        watch.time(&mut call)?;
        if done > 0 && clock.elapsed() > LONG {
            break;
        }
    }
    Ok(1e-3 * watch.median())
}
