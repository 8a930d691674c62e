//! Published state dicts: arrays read without Python, and outputs against PyTorch's (bench/pytorch_fixture.py).

use std::path::{Path, PathBuf};

use lacuna::config::Variant;
use lacuna::import::apply_file;
use lacuna::import::pytorch::{Kind, import};
use lacuna::latent::{Operation, apply};
use lacuna::nets::{Checkpoint, Role};
use ndarray::Array3;
use serde_json::Value;

use crate::oracle::Naive;

/// Two f32 implementations of the same sums, relative to the largest value.
const TOLERANCE: f32 = 1e-4;

/// The committed tiny networks, or the published sizes where `LACUNA_PYTORCH_FIXTURE` says they are.
fn folder() -> PathBuf {
    let committed = || Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pytorch");
    std::env::var_os("LACUNA_PYTORCH_FIXTURE").map_or_else(committed, PathBuf::from)
}

fn expected(key: &str) -> Array3<f32> {
    let text = std::fs::read_to_string(folder().join("expected.json")).unwrap();
    let value: Value = serde_json::from_str(&text).unwrap();
    let numbers = |part: &str| value[key][part].as_array().unwrap().iter().map(|v| v.as_f64().unwrap());
    let shape: Vec<usize> = numbers("shape").map(|v| v as usize).collect();
    Array3::from_shape_vec((shape[0], shape[1], shape[2]), numbers("values").map(|v| v as f32).collect()).unwrap()
}

fn distance(found: &Array3<f32>, expected: &Array3<f32>) -> f32 {
    assert_eq!(found.shape(), expected.shape());
    crate::oracle::distance(found.as_slice().unwrap(), expected.as_slice().unwrap())
}

#[test]
fn imported_networks_give_what_pytorch_gives() {
    let score = import(&folder().join("score.pth"), Kind::Score).unwrap();
    let condition = expected("w");
    let found = apply(&score, Operation::Score { tau: 0.05 }, expected("x").view(), Some(condition.view())).unwrap();
    let error = distance(&found, &expected("score"));
    assert!(error < TOLERANCE, "score: {error}");

    let autoencoder = import(&folder().join("autoencoder.pth"), Kind::Autoencoder).unwrap();
    let latent = apply(&autoencoder, Operation::Encode, expected("field").view(), None).unwrap();
    let error = distance(&latent, &expected("latent"));
    assert!(error < TOLERANCE, "encode: {error}");
    let decoded = apply(&autoencoder, Operation::Decode, expected("latent").view(), None).unwrap();
    let error = distance(&decoded, &expected("reconstruction"));
    assert!(error < TOLERANCE, "decode: {error}");
    let both = apply(&autoencoder, Operation::Reconstruct, expected("field").view(), None).unwrap();
    assert!(distance(&both, &expected("reconstruction")) < TOLERANCE);
}

#[test]
fn an_imported_checkpoint_is_applied_from_file_to_file() {
    let temporary = tempfile::tempdir().unwrap();
    let at = |name: &str| temporary.path().join(name);
    import(&folder().join("score.pth"), Kind::Score).unwrap().save(&at("score.lacuna")).unwrap();
    let checkpoint = Checkpoint::load(&at("score.lacuna")).unwrap();
    let file = hdf5::File::create(at("in.h5")).unwrap();
    for name in ["x", "w"] {
        file.new_dataset_builder().with_data(&expected(name)).create(name).unwrap();
    }
    file.close().unwrap();
    let operation = Operation::Score { tau: 0.05 };
    apply_file(&checkpoint, operation, &at("in.h5"), "x", Some("w"), None, &at("out.h5")).unwrap();
    let output = hdf5::File::open(at("out.h5")).unwrap().dataset("output").unwrap().read().unwrap();
    assert!(distance(&output, &expected("score")) < TOLERANCE);

    let refused = |condition, tau| {
        let operation = Operation::Score { tau };
        let made = apply_file(&checkpoint, operation, &at("in.h5"), "x", condition, None, &at("out.h5"));
        made.unwrap_err().to_string()
    };
    assert!(refused(None, 0.1).contains("condition"));
    assert!(refused(Some("z"), 0.1).contains("no dataset `z`"));
    assert!(refused(Some("w"), 0.0).contains("tau"));
    assert!(
        apply(&checkpoint, Operation::Encode, expected("x").view(), None).unwrap_err().to_string().contains("encode_h")
    );
}

#[test]
fn other_files_are_refused_with_their_reason() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("broken.pth");
    let refused = |bytes: &[u8], kind| {
        std::fs::write(&path, bytes).unwrap();
        import(&path, kind).unwrap_err().to_string()
    };
    let whole = std::fs::read(folder().join("score.pth")).unwrap();
    assert!(refused(b"\x80\x02}q\x00.", Kind::Score).contains("neither a zip archive"));
    assert!(refused(&whole[..whole.len() / 2], Kind::Score).contains("cut off"));
    assert!(refused(&whole, Kind::Autoencoder).contains("encoder.encoder.0.weight"));
    let other = std::fs::read(folder().join("autoencoder.pth")).unwrap();
    assert!(refused(&other, Kind::Score).contains("fc0.weight"));
    // Every truncation and every flipped byte gives an error or a checkpoint, never a panic.
    for at in (0..whole.len()).step_by(97) {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x5a;
        std::fs::write(&path, flipped).unwrap();
        let _ = import(&path, Kind::Score);
        std::fs::write(&path, &whole[..at]).unwrap();
        assert!(import(&path, Kind::Score).is_err(), "cut at {at}");
    }
}

/// An array as files hold it: key, shape, type of its storage and little-endian values.
#[derive(Clone)]
pub struct Stored {
    pub key: String,
    pub shape: Vec<usize>,
    pub storage: &'static str,
    pub bytes: Vec<u8>,
}

/// The arrays of a committed state dict. Complex ones have a last axis of length 2, and are of single precision.
pub fn arrays(file: &str, kind: Kind) -> Vec<Stored> {
    let checkpoint = import(&folder().join(file), kind).unwrap();
    let mut out = Vec::new();
    for (network, weights) in checkpoint.networks.values() {
        let mut left = weights.as_slice();
        for param in network.params() {
            let (values, rest) = left.split_at(param.len());
            left = rest;
            let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            out.push(Stored { key: param.name, shape: param.shape, storage: "FloatStorage", bytes });
        }
    }
    out
}

/// A zip archive of stored entries.
pub fn archive(entries: &[(String, Vec<u8>)]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in entries {
        let sizes = [crc32fast::hash(content), content.len() as u32, content.len() as u32];
        let mut about = vec![10, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        about.extend(sizes.iter().flat_map(|number| number.to_le_bytes()));
        about.extend((name.len() as u16).to_le_bytes());
        about.extend([0, 0]);
        let at = out.len() as u32;
        out.extend(b"PK\x03\x04");
        out.extend(&about);
        out.extend(name.as_bytes());
        out.extend(content);
        directory.extend(b"PK\x01\x02\x0a\x00");
        directory.extend(&about);
        directory.extend([0; 10]);
        directory.extend(at.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let (at, count) = (out.len() as u32, entries.len() as u16);
    out.extend(&directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend([count.to_le_bytes(), count.to_le_bytes()].concat());
    out.extend((directory.len() as u32).to_le_bytes());
    out.extend(at.to_le_bytes());
    out.extend([0, 0]);
    out
}

fn text(text: &str) -> Vec<u8> {
    [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
}

fn integers(values: &[usize]) -> Vec<u8> {
    let one = |&value: &usize| [b"\x8a\x08", &value.to_le_bytes()[..]].concat();
    [b"(", &values.iter().flat_map(one).collect::<Vec<_>>()[..], b"t"].concat()
}

/// The pickled dict of some arrays, without its first and last opcode.
fn pickled(arrays: &[Stored], strides: impl Fn(&[usize]) -> Vec<usize>) -> Vec<u8> {
    let mut out = b"}(".to_vec();
    for (number, array) in arrays.iter().enumerate() {
        let storage = [b"ctorch\n", array.storage.as_bytes(), b"\n"].concat();
        let place =
            [&b"("[..], &text("storage"), &storage, &text(&number.to_string()), &text("cpu"), b"K\0tQ"].concat();
        let about = [&b"K\0"[..], &integers(&array.shape), &integers(&strides(&array.shape))].concat();
        let hooks = b"\x89ccollections\nOrderedDict\n)R";
        let call = [&b"ctorch._utils\n_rebuild_tensor_v2\n("[..], &place, &about, hooks, b"tR"].concat();
        out.extend([text(&array.key), call].concat());
    }
    out.push(b'u');
    out
}

fn row_major(shape: &[usize]) -> Vec<usize> {
    (0..shape.len()).map(|axis| shape[axis + 1..].iter().product()).collect()
}

/// A file of `torch.save` around a pickle, with the storages of some arrays.
pub fn torch_file(pickle: &[u8], arrays: &[Stored]) -> Vec<u8> {
    let pickle = [b"\x80\x02", pickle, b"."].concat();
    let mut entries = vec![("archive/data.pkl".to_string(), pickle)];
    entries.extend(
        arrays.iter().enumerate().map(|(number, array)| (format!("archive/data/{number}"), array.bytes.clone())),
    );
    archive(&entries)
}

/// What `torch.save` makes of some arrays.
pub fn saved(arrays: &[Stored]) -> Vec<u8> {
    torch_file(&pickled(arrays, row_major), arrays)
}

/// What safetensors make of them.
pub fn safetensors(arrays: &[Stored], kind: &str) -> Vec<u8> {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for array in arrays {
        let from = data.len();
        data.extend(&array.bytes);
        let about = serde_json::json!({ "dtype": kind, "shape": array.shape, "data_offsets": [from, data.len()] });
        header.insert(array.key.clone(), about);
    }
    let header = serde_json::to_vec(&header).unwrap();
    [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat()
}

/// The same arrays in numbers of another type.
fn of_type(arrays: &[Stored], storage: &'static str, convert: impl Fn(f32) -> Vec<u8>) -> Vec<Stored> {
    let value = |bytes: &[u8]| convert(f32::from_le_bytes(bytes.try_into().unwrap()));
    let array = |array: &Stored| {
        let bytes = array.bytes.chunks_exact(4).flat_map(value).collect();
        Stored { storage, bytes, ..array.clone() }
    };
    arrays.iter().map(array).collect()
}

#[test]
fn state_dicts_are_read_however_they_were_saved() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("score.pth");
    let read = |bytes: Vec<u8>| {
        std::fs::write(&path, bytes).unwrap();
        import(&path, Kind::Score).map_err(|error| error.to_string())
    };
    let weights = |bytes: Vec<u8>| read(bytes).unwrap().networks.into_values().next().unwrap().1;
    let plain = arrays("score.pth", Kind::Score);
    let expected = weights(std::fs::read(folder().join("score.pth")).unwrap());
    assert_eq!(weights(saved(&plain)), expected);
    // Complex numbers as such; row-major pairs are the same bytes.
    let complex = |array: &Stored| match array.shape.as_slice() {
        [shape @ .., 2] if array.key.contains("weights") => {
            Stored { shape: shape.to_vec(), storage: "ComplexFloatStorage", ..array.clone() }
        }
        _ => array.clone(),
    };
    assert_eq!(weights(saved(&plain.iter().map(complex).collect::<Vec<_>>())), expected);
    for prefix in ["module.", "_orig_mod.", "_orig_mod.module."] {
        let renamed = |array: &Stored| Stored { key: format!("{prefix}{}", array.key), ..array.clone() };
        assert_eq!(weights(saved(&plain.iter().map(renamed).collect::<Vec<_>>())), expected, "{prefix}");
    }
    for wrapping in ["model_state_dict", "state_dict", "model"] {
        let inner = pickled(&plain, row_major);
        let outer = [&b"}("[..], &text("epoch"), b"K\x03", &text(wrapping), &inner, b"u"].concat();
        assert_eq!(weights(torch_file(&outer, &plain)), expected, "{wrapping}");
    }
    let double = of_type(&plain, "DoubleStorage", |x| f64::from(x).to_le_bytes().into());
    let half = of_type(&plain, "HalfStorage", |x| half::f16::from_f32(x).to_le_bytes().into());
    let brain = of_type(&plain, "BFloat16Storage", |x| half::bf16::from_f32(x).to_le_bytes().into());
    let rounded = |round: fn(f32) -> f32| expected.iter().map(|&x| round(x)).collect::<Vec<_>>();
    for (arrays, kind, expected) in [
        (&plain, "F32", expected.clone()),
        (&double, "F64", expected.clone()),
        (&half, "F16", rounded(|x| half::f16::from_f32(x).to_f32())),
        (&brain, "BF16", rounded(|x| half::bf16::from_f32(x).to_f32())),
    ] {
        assert_eq!(weights(saved(arrays)), expected, "{kind}");
        assert_eq!(weights(safetensors(arrays, kind)), expected, "{kind}");
    }
    assert!(
        read(saved(&of_type(&plain, "LongStorage", |x| (x as i64).to_le_bytes().into())))
            .unwrap_err()
            .contains("LongStorage")
    );
    assert!(read(safetensors(&plain, "I32")).unwrap_err().contains("I32"));
}

#[test]
fn state_dicts_that_cannot_be_read_are_called_what_they_are() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("score.pth");
    let refused = |bytes: &[u8], words: &str| {
        std::fs::write(&path, bytes).unwrap();
        let error = import(&path, Kind::Score).unwrap_err().to_string();
        assert!(error.contains(words) && error.contains("score.pth") && error.len() < 1000, "{words}: {error}");
    };
    refused(b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.", "before PyTorch 1.6");
    refused(b"\x89HDF\r\n\x1a\n", "neither a zip archive");
    let plain = arrays("score.pth", Kind::Score);
    let module = b"ctorch.nn.modules.linear\nLinear\n)\x81}(u\x62";
    refused(&torch_file(module, &[]), "torch.nn.modules.linear.Linear, no dict; save the module's state_dict()");
    let with = |change: &dyn Fn(&mut Stored)| {
        let mut changed = plain.clone();
        change(changed.iter_mut().find(|array| array.key == "fc0.weight").unwrap());
        saved(&changed)
    };
    refused(&with(&|array| array.shape = vec![]), "`fc0.weight` of shape [] has too few axes");
    refused(&with(&|array| array.shape = vec![1 << 31, 0]), "does not fit storage");
    refused(&with(&|array| array.shape = vec![usize::MAX >> 1, 16]), "does not fit storage");
    refused(&with(&|array| array.key = "\u{1b}[2J".into()), "fc0.weight");
    refused(&torch_file(&pickled(&plain, |shape| row_major(shape)[1..].to_vec()), &plain), "strides for the shape");
    // One bit of a weight: the archive knows.
    let mut flipped = saved(&plain);
    let place = flipped.windows(8).position(|window| window == &plain[0].bytes[..8]).unwrap();
    flipped[place + 3] ^= 0x40;
    refused(&flipped, "CRC-32");
    let infinite = with(&|array| array.bytes[..4].copy_from_slice(&f32::INFINITY.to_le_bytes()));
    refused(&infinite, "holds inf");
    // What doubles, nests or closes a circle is as long as it is written, and no longer.
    let doubled: Vec<u8> = (0..45).flat_map(|i| [b'q', i, b'h', i, 0x86]).collect();
    refused(&torch_file(&[b")", &doubled[..]].concat(), &[]), "a list, no dict");
    let appended: Vec<u8> = [b'N', b'a', 0x94].repeat(300_000);
    refused(&torch_file(&[b"]", &appended[..]].concat(), &[]), "a list, no dict");
    for nested in [&[0x85][..], b"Q", b"}K\x01"] {
        refused(&torch_file(&[b")", &nested.repeat(100_000)[..]].concat(), &[]), "no dict");
    }
    refused(&torch_file(b"}q\0K\x01h\0s", &[]), "a key of the state dict is the integer 1");
    refused(
        &torch_file(&[&b"}(X"[..], &20_000_000u32.to_le_bytes(), &vec![b'x'; 20_000_000], b"Nu"].concat(), &[]),
        "at most",
    );
}

/// The score network of the fixture with other layers where its branches meet: their outputs and inputs, in units of its width. All
/// biases of theirs are 0.1, and weights go through a wave.
fn with_layers(layers: &[(&str, usize, usize)]) -> Vec<Stored> {
    let mut stored = arrays("score.pth", Kind::Score);
    let width = stored.iter().find(|array| array.key == "fc0.weight").unwrap().shape[0];
    let like = stored[0].clone();
    stored.retain(|array| !array.key.starts_with("transformation_net"));
    for &(layer, out, into) in layers {
        let (out, into) = (out * width, into * width);
        let weights = (0..out * into).map(|i| 0.3 * (i as f32).sin()).collect();
        for (part, shape, values) in
            [("weight", vec![out, into, 1, 1], weights), ("bias", vec![out], vec![0.1_f32; out])]
        {
            let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            stored.push(Stored { key: format!("transformation_net.{layer}.{part}"), shape, bytes, ..like.clone() });
        }
    }
    stored
}

#[test]
fn the_network_of_the_earlier_paper_is_read() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("nosparse.pth");
    std::fs::write(&path, saved(&with_layers(&[("0", 2, 2), ("2", 1, 2), ("4", 1, 1)]))).unwrap();
    let checkpoint = import(&path, Kind::Score).unwrap();
    let (desc, weights) = checkpoint.fno(Role::Score).unwrap();
    assert_eq!((desc.variant, checkpoint.model.network.variant), (Variant::Predecessor, Variant::Predecessor));
    let (x, w, tau) = (expected("x"), expected("w"), 0.05);
    let found = apply(&checkpoint, Operation::Score { tau }, x.view(), Some(w.view())).unwrap();
    let n = x.dim().1;
    let naive = Naive { desc, weights, n };
    // √((26^{2τ} − 1)/(2 ln 26)).
    let std = ((26_f64.powf(2.0 * tau) - 1.0) / (2.0 * 26_f64.ln())).sqrt();
    for ((x, w), found) in x.outer_iter().zip(w.outer_iter()).zip(found.outer_iter()) {
        let [x, w] = [x, w].map(|field| field.iter().copied().collect::<Vec<f32>>());
        let right: Vec<f32> =
            naive.eval(Some((&x, tau as f32)), &w).iter().map(|&v| (f64::from(v) / std) as f32).collect();
        let error = crate::oracle::distance(&found.iter().copied().collect::<Vec<f32>>(), &right);
        assert!(error < TOLERANCE, "{error}");
    }
}

#[test]
fn the_network_for_sparse_data_is_refused_by_its_name() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("score.pth");
    let stored = with_layers(&[("0", 2, 3), ("2", 1, 2), ("4", 1, 1)]);
    std::fs::write(&path, saved(&stored)).unwrap();
    let error = import(&path, Kind::Score).unwrap_err().to_string();
    for word in ["score.pth", "arXiv 2408.02965", "sparse data", "for two inputs"] {
        assert!(error.contains(word), "{error}");
    }
}
