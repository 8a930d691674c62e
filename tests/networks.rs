//! Network descriptions, checkpoints, and both interpreters against naive sums.

use std::collections::BTreeMap;

use lacuna::SeedTree;
use lacuna::config::{Config, Law, NetworkConfig, Padding, Preset, ResolvedModes, Variant};
use lacuna::data::Stats;
use lacuna::nets::{Checkpoint, Conv, ConvProgram, Fno, FnoProgram, LatentStats, Network, Provenance, Role};
use rand::RngExt;

use crate::oracle::{Naive, distance, field, randomised};

/// The published sizes: (width, modes, embed), 4 layers.
fn published(width: usize, modes: usize, embed: usize) -> Network {
    let config = NetworkConfig { width, modes, layers: 4, embed, variant: Variant::Paper };
    Network::Fno(Fno::new(&config, Law::Diffusion))
}

#[test]
fn published_networks_have_the_published_number_of_parameters() {
    // arXiv 2506.20771, authors' code: latent and physical score networks; complex weights count twice.
    let latent = published(20, 4, 256);
    assert_eq!(latent.count(), 283_309);
    assert_eq!(latent.len(), 283_309 + 128, "the fixed Fourier features are stored but not trained");
    assert_eq!(published(40, 6, 512).count(), 2_150_073);
    let conv = Conv::new(64, 2, true, Padding::Zero);
    assert_eq!(Network::Encoder(conv.clone()).count(), 4_778_497);
    assert_eq!(Network::Decoder(conv.clone()).count(), 4_224_769);
    // Keys of the released state dicts.
    let names: Vec<String> = Network::Decoder(conv).params().into_iter().map(|param| param.name).collect();
    for key in
        ["decoder.decoder.9.res.weight", "decoder.decoder.2.attention.1.mha.in_proj_bias", "decoder.decoder.12.bias"]
    {
        assert!(names.iter().any(|name| name == key), "{key}");
    }
    assert!(!names.iter().any(|name| name == "decoder.decoder.3.res.weight"));
}

#[test]
fn weights_begin_as_described_and_depend_on_the_stream_only() {
    let network = published(8, 2, 16);
    let draw = |seed| network.init(&mut SeedTree::new(seed).child("init").stream());
    let weights = draw(1);
    assert_eq!(weights, draw(1));
    assert_ne!(weights, draw(2));
    assert_eq!(weights.len(), network.len());
    assert!(network.check(&weights[1..]).is_err());
    let mut rest = weights.as_slice();
    for param in network.params() {
        let (values, after) = rest.split_at(param.len());
        rest = after;
        if param.name.contains("weights") {
            let top = 1.0 / 64.0;
            assert!(values.iter().all(|&v| (0.0..top).contains(&v)), "{}", param.name);
        }
        assert_eq!(param.trained(), param.name != "embed.0.W");
    }
}

pub fn checkpoint(network: Network) -> Checkpoint {
    let mut model = Config::preset(Preset::Desk).models["spectral"].clone();
    model.law = Law::Diffusion;
    let weights = randomised(&network, 5);
    Checkpoint {
        model,
        n: 64,
        stats: Stats { w_rms: 1.0, h_rms: 0.25, known_rms: 0.1 },
        latent: LatentStats::default(),
        networks: BTreeMap::from([(Role::Score, (network, weights))]),
        residual: None,
        resolved: ResolvedModes::TwoThirds,
        provenance: Provenance { version: "0".into(), step: 3, validation_loss: Some(0.5), ..Provenance::default() },
    }
}

#[test]
fn a_checkpoint_comes_back_bit_for_bit_and_a_damaged_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint.lacuna");
    let mut made = checkpoint(published(4, 2, 8));
    made.save(&path).unwrap();
    assert_eq!(Checkpoint::load(&path).unwrap(), made);
    // Numbers with all their digits, of which a decimal parser may lose the last.
    let mut rng = SeedTree::new(9).stream();
    for _ in 0..40 {
        let mut number = || rng.random::<f64>() / 3.0;
        made.stats = Stats { w_rms: number(), h_rms: number(), known_rms: number() };
        made.latent = LatentStats { w_mean: number(), w_std: number(), h_mean: number(), h_std: number() };
        made.provenance.validation_loss = Some(number());
        made.save(&path).unwrap();
        assert_eq!(Checkpoint::load(&path).unwrap(), made);
    }
    assert!(made.network(Role::Regression).unwrap_err().to_string().contains("score"));

    let whole = std::fs::read(&path).unwrap();
    let refused = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        Checkpoint::load(&path).unwrap_err().to_string()
    };
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    assert!(refused(&flipped).contains("damaged"));
    assert!(refused(&whole[..whole.len() - 40]).contains("damaged"));
    assert!(refused(b"PK\x03\x04").contains("not a lacuna checkpoint"));
    let newer = [b"lacuna checkpoint 2\n".as_slice(), &whole[20..]].concat();
    assert!(refused(&newer).contains("version 2"));

    // Weights that do not fit or are not finite are never written.
    made.networks.get_mut(&Role::Score).unwrap().1[7] = f32::NAN;
    assert!(made.save(&path).unwrap_err().to_string().contains("NaN"));
    made.networks.get_mut(&Role::Score).unwrap().1.pop();
    assert!(made.save(&path).is_err());
    let mut gaussian = checkpoint(published(4, 2, 8));
    gaussian.model.law = Law::Gaussian;
    assert!(gaussian.save(&path).unwrap_err().to_string().contains("residual"));
}

/// A network small enough for naive sums, whose channels fill no vector register evenly.
pub fn small(variant: Variant, noisy: bool) -> Fno {
    let layers_x = if variant.is_published() { 2 } else { 1 };
    Fno { variant, width: 5, modes: 3, layers: 2, layers_x, embed: 6, noisy }
}

/// The variants with and without a noisy input.
pub const VARIANTS: [(Variant, bool); 8] = [
    (Variant::Gated, true),
    (Variant::Gated, false),
    (Variant::Switching, true),
    (Variant::Switching, false),
    (Variant::Paper, true),
    (Variant::Paper, false),
    (Variant::Predecessor, true),
    (Variant::Predecessor, false),
];

/// f32 sums of up to a few thousand terms, relative to the largest value.
pub const SINGLE: f32 = 1e-5;

#[test]
fn programs_are_the_naive_sums() {
    // n = 6 has no mode beyond the kept ones; n = 10 is no power of two.
    for n in [8, 6, 10] {
        for (variant, noisy) in VARIANTS {
            let desc = small(variant, noisy);
            let flat = randomised(&Network::Fno(desc.clone()), 11);
            let naive = Naive { desc: &desc, weights: &flat, n };
            let mut program = FnoProgram::new(&desc, &flat, n).unwrap();
            let mut out = vec![0.0; n * n];
            // Two conditions, each evaluated twice: nothing of an evaluation stays behind.
            for seed in [1, 2] {
                let w = field(n, seed);
                program.condition(&w);
                for level in [0.3, 0.02] {
                    let x = field(n, seed + 2);
                    program.forward(&x, level, &mut out);
                    let error = distance(&out, &naive.eval(noisy.then_some((&x, level)), &w));
                    assert!(error < SINGLE, "{variant:?} noisy {noisy} n {n}: {error}");
                }
            }
        }
    }
}

#[test]
fn fourier_networks_do_not_depend_on_the_grid() {
    // Without neighbours in the 3×3 convolutions a gated network is made of Fourier multipliers and products; one layer in each
    // branch turns modes |n| ≤ 1 into |n| ≤ 4, which both grids hold.
    let desc = Fno { layers: 1, ..small(Variant::Gated, true) };
    let network = Network::Fno(desc.clone());
    let mut flat = randomised(&network, 4);
    let mut at = 0;
    for param in network.params() {
        if param.name == "w0.gate.weight" {
            for (i, value) in flat[at..at + param.len()].iter_mut().enumerate() {
                *value *= if i % 9 == 4 { 3.0 } else { 0.0 };
            }
        }
        at += param.len();
    }
    let on = |n: usize| {
        let smooth = |phase: f32| -> Vec<f32> {
            let at = |i: usize| std::f32::consts::TAU * i as f32 / n as f32;
            (0..n * n).map(|p| (at(p / n) + phase).sin() + (at(p % n) - at(p / n) + 2.0 * phase).cos()).collect()
        };
        let mut program = FnoProgram::new(&desc, &flat, n).unwrap();
        let mut out = vec![0.0; n * n];
        program.condition(&smooth(0.4));
        program.forward(&smooth(1.1), 0.1, &mut out);
        out
    };
    let (coarse, fine) = (on(12), on(24));
    let strided: Vec<f32> = (0..144).map(|p| fine[2 * (p / 12) * 24 + 2 * (p % 12)]).collect();
    assert!(distance(&coarse, &strided) < SINGLE, "{}", distance(&coarse, &strided));
}

#[test]
fn gated_networks_commute_with_translations() {
    let n = 8;
    let (w, x) = (field(n, 1), field(n, 2));
    let shifted = |f: &[f32]| -> Vec<f32> { (0..n * n).map(|p| f[(p / n + 3) % n * n + (p % n + 5) % n]).collect() };
    let off = |variant: Variant| {
        let desc = small(variant, true);
        let flat = randomised(&Network::Fno(desc.clone()), 6);
        let mut program = FnoProgram::new(&desc, &flat, n).unwrap();
        let mut eval = |w: &[f32], x: &[f32]| {
            let mut out = vec![0.0; n * n];
            program.condition(w);
            program.forward(x, -0.4, &mut out);
            out
        };
        let moved = eval(&shifted(&w), &shifted(&x));
        distance(&moved, &shifted(&eval(&w, &x)))
    };
    // Up to the Nyquist column, which the kept modes do not hold.
    assert!(off(Variant::Gated) < SINGLE);
    // What knows its place does not.
    assert!(off(Variant::Switching) > 0.01);
}

#[test]
fn programs_refuse_what_they_cannot_hold() {
    let desc = small(Variant::Gated, true);
    let network = Network::Fno(desc.clone());
    let flat = randomised(&network, 1);
    let refused = |result: lacuna::Result<FnoProgram>| result.err().unwrap().to_string();
    assert!(refused(FnoProgram::new(&desc, &flat, 4)).contains("modes"));
    assert!(refused(FnoProgram::new(&desc, &flat[1..], 8)).contains("weights"));
    let huge = Fno { width: 300, ..desc };
    assert!(refused(FnoProgram::new(&huge, &flat, 8)).contains("channels"));
    assert!(ConvProgram::new(&network, &flat, 8).is_err());
    let conv = Network::Encoder(Conv::new(2, 3, false, Padding::Periodic));
    let flat = randomised(&conv, 1);
    assert!(ConvProgram::new(&conv, &flat, 12).err().unwrap().to_string().contains("halves"));
    assert_eq!(ConvProgram::new(&conv, &flat, 16).unwrap().output_n(), 2);
}

#[test]
fn sizes_in_a_checkpoint_have_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint.lacuna");
    let config = NetworkConfig { width: 4, modes: 2, layers: 2, embed: 4, variant: Variant::Gated };
    checkpoint(Network::Fno(Fno::new(&config, Law::Diffusion))).save(&path).unwrap();
    let whole = std::fs::read(&path).unwrap();
    #[cfg(unix)]
    assert!(
        Checkpoint::load(std::path::Path::new("/dev/zero")).unwrap_err().to_string().contains("more than the 1048576")
    );
    // The checksum fits: it is no signature.
    let signed = |from: &str, to: &str| {
        let change = |header: Vec<u8>| String::from_utf8(header).unwrap().replace(from, to).into_bytes();
        std::fs::write(&path, crate::fuzz::seeds::signed(&whole, change)).unwrap();
        Checkpoint::load(&path).unwrap_err().to_string()
    };
    for (from, to, words) in [
        ("\"layers\":2", "\"layers\":4294967296", "network.layers"),
        ("\"layers_x\":1", "\"layers_x\":0", "networks.score`: config `network.layers_x"),
        ("\"embed\":4", "\"embed\":5", "network.embed"),
        ("\"width\":4", "\"width\":0", "network.width"),
        ("\"n\":64", "\"n\":1099511627776", "`n`"),
        ("\"steps\":", "\"steps\":9999999999", "sampler.steps"),
    ] {
        let error = signed(from, to);
        assert!(error.contains(words) && error.contains("checkpoint.lacuna"), "{from}: {error}");
    }
}
