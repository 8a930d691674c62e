//! How rough latent spaces are.

use ndarray::{Array2, s};
use rand_distr::{Distribution, StandardNormal};

use crate::data::Pairs;
use crate::error::Result;
use crate::latent::Space;
use crate::rng::Stream;
use crate::spectral::shell_spectrum;

/// Test snapshots over which roughness and amplification are taken.
const SNAPSHOTS: usize = 40;
/// Size of the perturbation that shows the amplification, relative to the latent: small, but far above round-off.
const PERTURBATION: f64 = 0.1;

/// What a space does to fields.
#[derive(Debug, Clone, Copy)]
pub struct LatentStatistics {
    /// Share of the variance of ω and of H latents beyond half of the wavenumbers that the latent grid holds.
    pub rough: [f64; 2],
    /// Relative change of H over the relative change of its latent that makes it, by white noise: 1 for an isometry.
    pub amplification: f64,
}

/// Measures a space on snapshots spread over the test set.
///
/// # Errors
/// Fields of another grid.
pub fn latent_statistics(space: &mut Space, test: &Pairs, rng: &mut Stream) -> Result<LatentStatistics> {
    let (all, n) = (test.w.dim().0, space.latent_n());
    let count = all.min(SNAPSHOTS);
    let mut latent = [vec![0.0_f32; n * n], vec![0.0_f32; n * n]];
    let (mut beyond, mut total) = ([0.0; 2], [0.0; 2]);
    let (mut moved2, mut field2, mut noise2, mut latent2) = (0.0, 0.0, 0.0, 0.0);
    for k in (0..count).map(|i| i * all / count) {
        let [w, h] = [&test.w, &test.h].map(|fields| fields.slice(s![k, .., ..]).mapv(f64::from));
        space.encode_w(&w.view(), &mut latent[0])?;
        space.encode_h(&h.view(), &mut latent[1])?;
        for (at, z) in latent.iter().enumerate() {
            let z = Array2::from_shape_fn((n, n), |(i, j)| f64::from(z[i * n + j]));
            let spectrum = shell_spectrum(z.view());
            beyond[at] += spectrum[n / 4..].iter().sum::<f64>();
            total[at] += spectrum[1..].iter().sum::<f64>();
        }
        let z = &latent[1];
        let square = |values: &[f32]| values.iter().map(|&z| f64::from(z).powi(2)).sum::<f64>();
        let scale = PERTURBATION * (square(z) / (n * n) as f64).sqrt();
        let moved: Vec<f32> = z
            .iter()
            .map(|&z| {
                let normal: f64 = StandardNormal.sample(rng);
                (f64::from(z) + scale * normal) as f32
            })
            .collect();
        let noise: Vec<f32> = moved.iter().zip(z).map(|(a, b)| a - b).collect();
        let (mut before, mut after) = (Array2::zeros(h.dim()), Array2::zeros(h.dim()));
        space.decode_h(z, before.view_mut())?;
        space.decode_h(&moved, after.view_mut())?;
        moved2 += (&after - &before).iter().map(|x| x * x).sum::<f64>();
        field2 += before.iter().map(|x| x * x).sum::<f64>();
        noise2 += square(&noise);
        latent2 += square(z);
    }
    let rough = [beyond[0] / total[0], beyond[1] / total[1]];
    Ok(LatentStatistics { rough, amplification: ((moved2 / field2) / (noise2 / latent2)).sqrt() })
}
