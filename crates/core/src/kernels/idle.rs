//! Prepared networks that wait for their next step.
//!
//! A training step differentiates the same networks on the same shapes as the step before. What they were prepared with (packed
//! weights, transforms, buffers of intermediate fields) waits here meanwhile, instead of going back to the system, which
//! would hand the memory out again page by page.

use std::sync::{Mutex, PoisonError};

/// A shelf of idle objects.
pub struct Idle<T>(Mutex<Vec<T>>);

impl<T> Idle<T> {
    /// An empty shelf.
    pub const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// Takes the object of the highest rank; `None` ranks do not fit.
    pub fn take(&self, rank: impl Fn(&T) -> Option<u8>) -> Option<T> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let best = (0..all.len()).filter_map(|i| Some((rank(&all[i])?, i))).max_by_key(|&(rank, _)| rank)?;
        Some(all.swap_remove(best.1))
    }

    /// What `find` makes of the first object for which it makes something.
    pub(crate) fn find<U>(&self, find: impl Fn(&T) -> Option<U>) -> Option<U> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().find_map(find)
    }

    /// Drops what `keep` does not want.
    pub(crate) fn retain(&self, keep: impl Fn(&T) -> bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(keep);
    }

    /// Puts an object back.
    pub fn give(&self, object: T) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(object);
    }

    /// Drops all objects.
    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Buffers of one prepared network, handed out by length; what they hold is arbitrary.
#[derive(Debug, Clone, Default)]
pub(crate) struct Spare(Vec<Vec<f32>>);

impl Spare {
    /// A buffer of `len` values: the smallest that has room, or a new one.
    pub(crate) fn take(&mut self, len: usize) -> Vec<f32> {
        let fits = self.0.iter().enumerate().filter(|(_, buffer)| buffer.capacity() >= len);
        let best = fits.min_by_key(|(_, buffer)| buffer.capacity()).map(|(at, _)| at);
        let mut buffer = best.map_or(Vec::new(), |at| self.0.swap_remove(at));
        buffer.resize(len, 0.0);
        buffer
    }

    pub(crate) fn give(&mut self, buffer: Vec<f32>) {
        self.0.push(buffer);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::config::{Padding, Variant};
    use crate::nets::{Conv, ConvAdjoint, Fno, FnoAdjoint, Network, Tape};
    use crate::rng::SeedTree;

    /// Sizes of no other test, which share the shelf.
    const WIDTH: usize = 11;

    fn weights(network: &Network, seed: usize) -> Vec<f32> {
        let mut weights = network.init(&mut SeedTree::new(3).child(seed).stream());
        // Nothing at its neutral start.
        weights.iter_mut().enumerate().for_each(|(i, w)| *w += 0.01 * ((i * 37 % 101) as f32 / 50.0 - 1.0));
        weights
    }

    fn wave(len: usize, step: f32) -> Vec<f32> {
        (0..len).map(|i| (step * i as f32).sin()).collect()
    }

    #[test]
    fn an_idle_fourier_network_is_as_good_as_a_new_one() {
        for variant in [Variant::Paper, Variant::Gated] {
            let desc = Fno { variant, width: WIDTH, modes: 2, layers: 2, layers_x: 2, embed: 8, noisy: true };
            let network = Network::Fno(desc.clone());
            let run = |seed: usize, batch: usize| {
                let weights = weights(&network, seed);
                let mut adjoint = FnoAdjoint::new(&desc, &weights, 8).unwrap();
                let (w, x) = (wave(64 * batch, 0.7), wave(64 * batch, 1.3));
                let (out, tape) = adjoint.forward(&w, &x, &vec![0.3; batch], true);
                let mut gradient = vec![0.0; weights.len()];
                let inputs = adjoint.backward(&wave(64 * batch, 0.4), tape, &mut gradient);
                adjoint.rest();
                (out, gradient, inputs.w, inputs.x, inputs.levels)
            };
            let new = run(1, 3);
            // Other weights and another batch in between.
            run(2, 5);
            run(2, 2);
            assert!(new == run(1, 3), "{variant:?}");
        }
    }

    #[test]
    fn an_idle_convolutional_network_is_as_good_as_a_new_one() {
        for (attention, padding) in [(true, Padding::Zero), (false, Padding::Periodic)] {
            let desc = Conv::new(WIDTH, 1, attention, padding);
            for encoder in [true, false] {
                let network = if encoder { Network::Encoder(desc.clone()) } else { Network::Decoder(desc.clone()) };
                let run = |seed: usize, fields: usize| {
                    let weights = Arc::new(weights(&network, seed));
                    let mut adjoint = ConvAdjoint::new(&desc, encoder, &weights, Arc::clone(&weights) as _, 8).unwrap();
                    let mut gradient = vec![0.0; weights.len()];
                    let mut tapes = Vec::new();
                    for field in 0..fields {
                        let mut tape = Tape::default();
                        let out = adjoint.forward(&wave(64, 0.7 + field as f32), 8, &mut tape);
                        tapes.push((out, tape));
                    }
                    let m = if encoder { 4 } else { 16 };
                    let backward = |(out, tape): (Vec<f32>, Tape)| {
                        let d = adjoint.backward(&wave(m * m, 0.4), m, tape, &mut gradient);
                        (out, d)
                    };
                    let made: Vec<_> = tapes.into_iter().map(backward).collect();
                    adjoint.rest();
                    (made, gradient)
                };
                let new = run(1, 2);
                run(2, 3);
                run(2, 1);
                assert!(new == run(1, 2), "{desc:?}, encoder {encoder}");
            }
        }
    }
}
