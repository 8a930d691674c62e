//! What is mutated: whole input of every kind, and everything that once ended in a crash, a hang or a wrong result.

use std::collections::BTreeMap;
use std::path::Path;

use lacuna::config::{Config, Law, NetworkConfig, Padding, Preset, Variant};
use lacuna::import::pytorch::Kind;
use lacuna::nets::{Checkpoint, Conv, Fno, Network, Role};
use lacuna::rollout::{Cost, Ensemble, Reference};
use ndarray::{Array2, Array3, Array4};
use sha2::{Digest, Sha256};

use crate::networks::checkpoint;
use crate::oracle::randomised;
use crate::pytorch::{arrays, safetensors, saved, torch_file};

type Seeds = Vec<Vec<u8>>;

pub fn of(target: &str, folder: &Path) -> Seeds {
    match target {
        "hdf5" => hdf5(folder),
        "checkpoint" => checkpoints(folder),
        "parts" => parts(),
        "state-dict" => state_dicts(),
        "toml" => toml(),
        "set" => settings(),
        other => panic!("no target {other}"),
    }
}

/// The bytes of a file that `fill` makes.
fn made(folder: &Path, fill: impl FnOnce(&Path)) -> Vec<u8> {
    let path = folder.join("seed");
    fill(&path);
    std::fs::read(path).unwrap()
}

fn hdf5(folder: &Path) -> Seeds {
    let file = |fill: &dyn Fn(&hdf5::File)| {
        made(folder, |path| {
            let file = hdf5::File::create(path).unwrap();
            fill(&file);
            file.close().unwrap();
        })
    };
    let fields = Array3::from_shape_fn((3, 8, 8), |(k, i, j)| (k * 64 + i * 8 + j) as f32);
    let split = |file: &hdf5::File| {
        for name in ["vorticity", "nonlinear", "diffusion"] {
            file.new_dataset_builder().with_data(&fields).create(format!("train_{name}_8").as_str()).unwrap();
        }
        file.new_dataset_builder().with_data(&[0.0, 0.1, 0.2]).create("t").unwrap();
    };
    let packed = |file: &hdf5::File| {
        let data = file.new_dataset_builder().with_data(&fields.mapv(|x| x as i16)).create("w").unwrap();
        data.new_attr::<f64>().create("scale_factor").unwrap().write_scalar(&0.5).unwrap();
    };
    let chunked = |shape: [usize; 3], chunk: [usize; 3]| {
        file(&|file: &hdf5::File| {
            let data = file.new_dataset::<f64>().chunk(chunk).deflate(9).shape(shape).create("w").unwrap();
            data.write_slice(&Array3::<f64>::ones((1, 8, 8)), ndarray::s![..1, ..8, ..8]).unwrap();
        })
    };
    let plain = |file: &hdf5::File| drop(file.new_dataset_builder().with_data(&fields).create("w").unwrap());
    let ensemble = Ensemble {
        closure: "exact".into(),
        seeds: "7:/rollout".into(),
        device: "cpu".into(),
        config_hash: "abc".into(),
        times: vec![0.0, 1.0],
        fields: Array4::zeros((2, 1, 8, 8)),
        failures: vec![None],
        cost: Cost::default(),
    };
    let reference = Reference {
        seeds: "7:/reference".into(),
        config_hash: "abc".into(),
        start: Array2::zeros((8, 8)),
        times: vec![0.0, 1.0],
        fields: Array4::zeros((2, 1, 8, 8)),
        wall_s: 1.0,
    };
    let mut seeds = vec![
        file(&plain),
        file(&split),
        file(&packed),
        file(&|file: &hdf5::File| {
            let builder = file.new_dataset_builder().with_data(&fields).chunk([1, 8, 8]).deflate(9);
            builder.create("w").unwrap();
        }),
        chunked([3, 8, 8], [1, 8, 8]),
        made(folder, |path| ensemble.save(path).unwrap()),
        made(folder, |path| reference.save(path).unwrap()),
        // Claims of 28 GB and of two petabytes.
        chunked([1, 60_000, 60_000], [1, 1000, 1000]),
        chunked([1 << 36, 64, 64], [1, 64, 64]),
    ];
    // Files at which libhdf5 1.10.8 crashes, or takes all memory.
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/hdf5");
    let mut crashing: Vec<_> = std::fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    crashing.sort();
    seeds.extend(crashing.iter().map(|path| std::fs::read(path).unwrap()));
    seeds
}

/// A checkpoint whose header is another, with the right checksum: that is no signature.
pub fn signed(whole: &[u8], change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> Vec<u8> {
    let start = whole.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    let length = u64::from_le_bytes(whole[start..start + 8].try_into().unwrap()) as usize;
    let header = change(whole[start + 8..start + 8 + length].to_vec());
    let values = &whole[start + 8 + length..whole.len() - 32];
    let body = [&whole[..start], &(header.len() as u64).to_le_bytes(), &header, values].concat();
    let digest = Sha256::digest(&body);
    [&body[..], &digest].concat()
}

/// A checkpoint with some sizes in its header replaced.
fn resized(whole: &[u8], from: &str, to: &str) -> Vec<u8> {
    signed(whole, |header| {
        let text = String::from_utf8(header).unwrap();
        assert!(text.contains(from), "{from} in {text}");
        text.replace(from, to).into_bytes()
    })
}

fn checkpoints(folder: &Path) -> Seeds {
    let save = |checkpoint: Checkpoint| made(folder, |path| checkpoint.save(path).unwrap());
    let fno = |variant| {
        let config = NetworkConfig { width: 4, modes: 2, layers: 2, embed: 4, variant };
        Network::Fno(Fno::new(&config, Law::Diffusion))
    };
    let [gated, paper] = [Variant::Gated, Variant::Paper].map(|variant| save(checkpoint(fno(variant))));
    let conv = Conv::sized(2, true, Padding::Periodic, 16, 6).unwrap();
    let networks = [(Role::EncodeH, Network::Encoder(conv.clone())), (Role::DecodeH, Network::Decoder(conv))];
    let networks: BTreeMap<_, _> =
        networks.map(|(role, network)| (role, (network.clone(), randomised(&network, 1)))).into();
    let model = Config::preset(Preset::Desk).models["joint"].clone();
    let conv = save(Checkpoint { model, n: 16, networks, ..checkpoint(fno(Variant::Gated)) });
    let mut seeds = vec![gated.clone(), paper.clone(), conv.clone()];
    for size in ["0", "1", "3", "4294967296", "1099511627776", "18446744073709551615"] {
        for (whole, field) in [
            (&gated, "\"layers\":2"),
            (&gated, "\"layers_x\":1"),
            (&gated, "\"embed\":4"),
            (&gated, "\"width\":4"),
            (&gated, "\"modes\":2"),
            (&paper, "\"layers_x\":2"),
            (&conv, "\"levels\":1"),
            (&conv, "\"ratio\":[3"),
            (&conv, "\"width\":2"),
            (&gated, "\"n\":64"),
        ] {
            let name = field.trim_end_matches(|sign: char| sign.is_ascii_digit());
            seeds.push(resized(whole, field, &format!("{name}{size}")));
        }
    }
    seeds
}

fn parts() -> Seeds {
    let list = |parts: &str| format!("lacuna parts 1\n[{parts}]\n").into_bytes();
    let part = |file: &str, bytes: &str| format!("{{\"file\":\"{file}\",\"bytes\":{bytes},\"sha256\":\"0\"}}");
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let good = format!("{{\"file\":\"abc\",\"bytes\":3,\"sha256\":\"{abc}\"}}");
    let mut seeds = vec![list(&good), list(&[good.as_str(); 40].join(","))];
    for (file, bytes) in [
        ("x", "4611686018427387904"),
        ("abc", "4611686018427387904"),
        ("/dev/zero", "3"),
        ("../abc", "3"),
        ("fifo", "0"),
        ("link", "3"),
        ("abc", "-1"),
    ] {
        seeds.push(list(&part(file, bytes)));
        seeds.push(list(&format!("{good},{}", part(file, bytes))));
    }
    seeds
}

fn state_dicts() -> Seeds {
    let score = arrays("score.pth", Kind::Score);
    let mut seeds = vec![
        saved(&score),
        saved(&arrays("autoencoder.pth", Kind::Autoencoder)),
        safetensors(&score, "F32"),
        b"version https://git-lfs.github.com/spec/v1\n".to_vec(),
    ];
    let doubled: Vec<u8> = (0..45).flat_map(|i| [b'q', i, b'h', i, 0x86]).collect();
    let long = [b"X".to_vec(), 100_000u32.to_le_bytes().to_vec(), vec![b'x'; 100_000]].concat();
    for pickle in [
        [b")", &doubled[..]].concat(),
        [b"]", &[b'N', b'a', 0x94].repeat(300_000)[..]].concat(),
        [&long[..], &[0x94].repeat(20_000)].concat(),
        [&long[..], b"q\0", &[b'h', 0].repeat(20_000)].concat(),
        [b")", &[0x85].repeat(100_000)[..], b"q\0"].concat(),
        [b")", &b"Q".repeat(1_000_000)[..]].concat(),
        [b"}", &b"K\x01}".repeat(100_000)[..], &b"s".repeat(100_000)[..]].concat(),
        b"]q\0h\0a".to_vec(),
        b"cos\nsystem\n(X\x02\0\0\0idtR".to_vec(),
    ] {
        seeds.push(torch_file(&pickle, &score));
    }
    for shape in [vec![], vec![1 << 31, 0], vec![65_536, 0], vec![usize::MAX >> 1, 16]] {
        for key in ["fc0.weight", "embed.0.W", "conv0_w.weights1"] {
            let mut changed = score.clone();
            changed.iter_mut().filter(|array| array.key == key).for_each(|array| array.shape.clone_from(&shape));
            seeds.push(saved(&changed));
        }
    }
    seeds
}

fn toml() -> Seeds {
    let smoke = Config::preset(Preset::Smoke).to_toml().into_bytes();
    let mut seeds = vec![smoke, b"[models.mine]\nlike = \"p-cdm\"\nnetwork.width = 8\n".to_vec()];
    seeds.extend(settings().into_iter().filter(|setting| setting.contains(&b'.')));
    seeds
}

fn settings() -> Seeds {
    let mut seeds: Seeds = [
        "flow.viscosity=2e-3",
        "rollout.closures=[\"none\", \"exact/mean\"]",
        "data.term.kind=\"subgrid\"",
        "models.joint.latent.losses=[{kind = \"metric-preservation\", weight = 1e-2, neighbours = 5}]",
        "models.p-cdm.train.schedule={kind = \"steps\", every = 3, factor = 0.5}",
        "preset=../../x",
        "study.frontier.steps=[1, 2]",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into();
    for size in ["9223372036854775807", "18446744073709551615", "1e300", "0", "-1"] {
        for field in [
            "flow.n",
            "data.test",
            "data.final_time",
            "data.interval",
            "models.p-cdm.network.width",
            "rollout.members",
            "models.joint.latent.width",
            "models.p-cdm.network.embed",
            "models.p-cdm.train.batch",
            "rollout.references",
            "models.p-cdm.sampler.steps",
            "rollout.duration",
            "models.joint.latent.training.kl",
        ] {
            seeds.push(format!("{field}={size}").into_bytes());
        }
    }
    seeds
}
