//! Network descriptions, checkpoints, and both interpreters against naive sums.

use std::collections::BTreeMap;

use lacuna::SeedTree;
use lacuna::config::{Config, Law, NetworkConfig, Padding, Preset, Variant};
use lacuna::data::Stats;
use lacuna::infer::{Checkpoint, Conv, Fno, LatentStats, Network, Provenance};

use crate::oracle::{field, randomised};

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
    let conv = Conv { width: 64, levels: 2, attention: true, padding: Padding::Zero };
    assert_eq!(Network::Encoder(conv.clone()).count(), 4_778_497);
    assert_eq!(Network::Decoder(conv.clone()).count(), 4_224_769);
    // Keys of the released state dicts.
    let names: Vec<String> = Network::Decoder(conv).params().into_iter().map(|param| param.name).collect();
    for key in ["decoder.decoder.9.res.weight", "decoder.decoder.2.attention.1.mha.in_proj_bias", "decoder.decoder.12.bias"]
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
        networks: BTreeMap::from([("score".to_string(), (network, weights))]),
        residual: None,
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
    assert!(made.network("regression").unwrap_err().to_string().contains("score"));

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
    made.networks.get_mut("score").unwrap().1[7] = f32::NAN;
    assert!(made.save(&path).unwrap_err().to_string().contains("NaN"));
    made.networks.get_mut("score").unwrap().1.pop();
    assert!(made.save(&path).is_err());
    let mut gaussian = checkpoint(published(4, 2, 8));
    gaussian.model.law = Law::Gaussian;
    assert!(gaussian.save(&path).unwrap_err().to_string().contains("residual"));
}

#[test]
fn fields_of_the_oracle_are_reproducible() {
    assert_eq!(field(4, 1), field(4, 1));
}
