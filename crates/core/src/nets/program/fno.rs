//! The conditional Fourier neural operator as a program ([`Fno`] has the equations).
//!
//! Fields are evaluated in groups, interleaved: (point, field, channel). A pointwise layer is then one matrix product for the
//! whole group, and a weight is read once for all its fields; a group of one is the layout of every other program.

mod gated;
mod layers;
mod paper;

use std::ops::Range;
use std::sync::Arc;

use self::gated::Gated;
use self::layers::Body;
pub(super) use self::layers::Group;
use self::paper::Paper;
use super::workspace::{Buffer, Tape, Workspace};
use crate::config::Variant;
use crate::error::{Error, Result};
use crate::kernels::spectral::{MAX_CHANNELS, Transforms, filter_gradient};
use crate::nets::network::Named;
use crate::nets::{Fno, Network};

/// Values of one hidden field of a group: a handful of them fit into the second-level cache.
const GROUP_VALUES: usize = 1 << 16;

/// The layers of an FNO, prepared for one grid.
#[derive(Debug)]
pub(super) struct FnoLayers {
    pub(super) grid: Arc<Transforms>,
    pub(super) noisy: bool,
    /// Channels that the ω branch leaves ([`Fno::features`]).
    features: usize,
    body: Box<dyn Body>,
}

impl FnoLayers {
    /// For n × n points; with `adjoint` to go backwards, too.
    pub(super) fn new(desc: &Fno, weights: &[f32], n: usize, adjoint: bool) -> Result<Self> {
        let c = desc.width;
        if n % 2 == 1 || n < 2 * desc.modes {
            let what =
                format!("{n} × {n} grid for a network of {} modes; at least {} points", desc.modes, 2 * desc.modes);
            return Err(Error::config("network.modes", what));
        }
        if c > MAX_CHANNELS {
            return Err(Error::config("network.width", format!("{c}; programs hold up to {MAX_CHANNELS} channels")));
        }
        let network = Network::Fno(desc.clone());
        let named = Named::new(&network, weights)?;
        let grid = Arc::new(Transforms::new(n, desc.modes, c));
        let body: Box<dyn Body> = match desc.variant {
            Variant::Gated | Variant::Switching => Box::new(Gated::new(desc, &named, &grid, adjoint)),
            Variant::Paper | Variant::Predecessor => Box::new(Paper::new(desc, &named, &grid, adjoint)),
        };
        Ok(Self { grid, noisy: desc.noisy, features: desc.features(), body })
    }

    /// Evaluates the network on ω and, for a noisy network, on x and the noise levels (empty otherwise), (field, point) and one
    /// level for each field, group by group; the groups are what a backward pass needs, none without `keep`.
    pub(super) fn forward(
        &self,
        [w, x, levels]: [&[f32]; 3],
        out: &mut [f32],
        ws: &mut Workspace,
        keep: bool,
    ) -> Vec<Group> {
        let points = self.grid.n * self.grid.n;
        let mut groups = Vec::new();
        for at in self.groups(w.len() / points) {
            let values = at.start * points..at.end * points;
            let mut interleaved = |all: &[f32]| {
                let mut one = ws.acquire(values.len());
                interleave(&all[values.clone()], points, &mut one);
                one
            };
            let mut group = Group {
                w: interleaved(w),
                x: if self.noisy { interleaved(x) } else { Buffer::default() },
                levels: if self.noisy { levels[at].to_vec() } else { Vec::new() },
                condition: Tape::new(keep),
                tape: Tape::new(keep),
                coefficients: Vec::new(),
            };
            let (mut features, mut made) = (ws.acquire(values.len() * self.features), ws.acquire(values.len()));
            self.body.condition(&group.w, &mut features, ws, &mut group.condition);
            self.body.forward(&features, (&group.x, &group.levels), &mut made, ws, &mut group.tape);
            separate(&made, points, &mut out[values]);
            ws.release_all([features, made]);
            match keep {
                true => groups.push(group),
                false => ws.release_all([group.w, group.x]),
            }
        }
        groups
    }

    /// Gradients with respect to the inputs, given that with respect to the output, (field, point); adds that of the weights to
    /// `gradient`.
    pub(super) fn backward(
        &self,
        d_out: &[f32],
        mut groups: Vec<Group>,
        ws: &mut Workspace,
        gradient: &mut [f32],
    ) -> [Vec<f32>; 3] {
        let Transforms { n, modes, channels, .. } = *self.grid;
        let points = n * n;
        let noisy = if self.noisy { d_out.len() } else { 0 };
        let (mut d_w, mut d_x, mut d_levels) = (vec![0.0; d_out.len()], vec![0.0; noisy], Vec::new());
        let mut start = 0;
        for group in &mut groups {
            let values = start..start + group.w.len();
            start = values.end;
            let mut g = ws.acquire(values.len());
            interleave(&d_out[values.clone()], points, &mut g);
            let made = self.body.backward(group, &g, ws, gradient);
            separate(&made.w, points, &mut d_w[values.clone()]);
            ws.release_all([made.w, g]);
            if let Some(made) = made.x {
                separate(&made, points, &mut d_x[values]);
                ws.release(made);
            }
            d_levels.extend(made.levels);
        }
        let mut filter = std::mem::take(&mut ws.filter);
        for (i, spectral) in self.body.spectral().into_iter().enumerate() {
            let pairs: Vec<_> = groups.iter().map(|group| &group.coefficients[i]).map(|(a, b)| (&**a, &**b)).collect();
            filter_gradient(&mut filter, modes, channels, &pairs);
            spectral.add_gradient(&filter, gradient);
        }
        ws.filter = filter;
        for Group { w, x, coefficients, .. } in groups {
            ws.release_all([w, x]);
            coefficients.into_iter().flat_map(|(a, b)| [a, b]).for_each(|buffer| ws.release(buffer));
        }
        [d_w, d_x, d_levels]
    }

    /// Groups of a number of fields, as equal as they can be.
    fn groups(&self, fields: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let most = (GROUP_VALUES / (self.grid.n * self.grid.n * self.grid.channels)).max(1);
        let count = fields.div_ceil(most);
        (0..count).map(move |i| fields * i / count..fields * (i + 1) / count)
    }
}

/// (field, point) to (point, field).
fn interleave(values: &[f32], points: usize, out: &mut [f32]) {
    let fields = values.len() / points;
    out.iter_mut().enumerate().for_each(|(at, out)| *out = values[at % fields * points + at / fields]);
}

/// (point, field) to (field, point).
fn separate(values: &[f32], points: usize, out: &mut [f32]) {
    let fields = values.len() / points;
    for (field, out) in out.chunks_exact_mut(points).enumerate() {
        out.iter_mut().zip(values[field..].iter().step_by(fields)).for_each(|(out, value)| *out = *value);
    }
}

/// An FNO prepared for an n × n grid; one field at a time, no allocation per call. Clones share the weights.
///
/// [`FnoProgram::condition`] runs the ω branch; any number of [`FnoProgram::forward`] may follow.
#[derive(Debug, Clone)]
pub struct FnoProgram {
    layers: Arc<FnoLayers>,
    /// What the ω branch leaves, (point, channel).
    features: Vec<f32>,
    ws: Workspace,
}

impl FnoProgram {
    /// Prepares the network with the given flat weights for `n` × `n` fields.
    ///
    /// # Errors
    /// Weights of another length; an odd grid or one with fewer than 2·modes points; more channels than a program holds.
    pub fn new(desc: &Fno, weights: &[f32], n: usize) -> Result<Self> {
        let layers = Arc::new(FnoLayers::new(desc, weights, n, false)?);
        let mut program = Self { layers, features: vec![0.0; n * n * desc.features()], ws: Workspace::default() };
        // Scratch grows to its size once, here, and not within a call that somebody times or that must not allocate.
        let nothing = vec![0.0; n * n];
        program.condition(&nothing);
        program.forward(&nothing, 0.0, &mut vec![0.0; n * n]);
        Ok(program)
    }

    /// Points per side.
    pub fn n(&self) -> usize {
        self.layers.grid.n
    }

    /// Runs the ω branch on `w`, n² values.
    ///
    /// # Panics
    /// On another number of values.
    pub fn condition(&mut self, w: &[f32]) {
        assert_eq!(w.len(), self.n() * self.n(), "ω of a program for {0} × {0} points", self.n());
        self.layers.body.condition(w, &mut self.features, &mut self.ws, &mut Tape::new(false));
    }

    /// Evaluates the network at noise level `level` (what that is depends on the variant, see [`Fno`]) on `x`, n² values, into
    /// `out`. A regression network ignores `x` and `level`.
    ///
    /// # Panics
    /// On another number of values.
    pub fn forward(&mut self, x: &[f32], level: f32, out: &mut [f32]) {
        let points = self.n() * self.n();
        assert_eq!(out.len(), points, "output of a program for {0} × {0} points", self.n());
        let noisy = self.layers.noisy;
        assert!(!noisy || x.len() == points, "x of {} values in a program for {1} × {1} points", x.len(), self.n());
        self.layers.body.forward(&self.features, (x, &[level]), out, &mut self.ws, &mut Tape::new(false));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::SeedTree;

    #[test]
    fn threads_inside_an_evaluation_change_no_bit() {
        // Fields large enough to be spread.
        let (n, points) = (64, 64 * 64);
        for variant in [Variant::Paper, Variant::Predecessor, Variant::Gated, Variant::Switching] {
            for noisy in [true, false] {
                let desc = Fno { variant, width: 12, modes: 4, layers: 2, layers_x: 2, embed: 16, noisy };
                let mut weights = Network::Fno(desc.clone()).init(&mut SeedTree::new(5).stream());
                weights.iter_mut().enumerate().for_each(|(i, w)| *w += 0.01 * ((i % 7) as f32 - 3.0));
                let field = |step: f32| -> Vec<f32> { (0..points).map(|i| (step * i as f32).sin()).collect() };
                let run = |threads: usize| {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                    pool.install(|| {
                        let mut program = FnoProgram::new(&desc, &weights, n).unwrap();
                        program.condition(&field(0.37));
                        let mut out = vec![0.0; points];
                        program.forward(&field(0.91), 0.4, &mut out);
                        out
                    })
                };
                let one = run(1);
                assert!(one.iter().any(|&x| x != one[0]));
                assert!([2, 3].into_iter().all(|threads| run(threads) == one), "{desc:?}");
            }
        }
    }
}
