//! Published state dicts: arrays read without Python, and outputs against PyTorch's (bench/pytorch_fixture.py).

use std::path::{Path, PathBuf};

use lacuna::import::apply_file;
use lacuna::import::pytorch::{Kind, import};
use lacuna::latent::{Operation, apply};
use lacuna::nets::Checkpoint;
use ndarray::Array3;
use serde_json::Value;

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
    apply_file(&checkpoint, operation, &at("in.h5"), "x", Some("w"), &at("out.h5"), &mut |_| ()).unwrap();
    let output = hdf5::File::open(at("out.h5")).unwrap().dataset("output").unwrap().read().unwrap();
    assert!(distance(&output, &expected("score")) < TOLERANCE);

    let refused = |condition, tau| {
        let operation = Operation::Score { tau };
        let made = apply_file(&checkpoint, operation, &at("in.h5"), "x", condition, &at("out.h5"), &mut |_| ());
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
    assert!(refused(b"\x80\x02}q\x00.", Kind::Score).contains("no zip archive"));
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
