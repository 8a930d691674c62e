//! Models from and for others: samples, imported parts, checkpoints as closures, safetensors.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use lacuna::closure::{Closure, Learned};
use lacuna::config::{LatentConfig, Law};
use lacuna::import::{latent, pytorch};
use lacuna::nets::{Checkpoint, Role};
use lacuna::rng::SeedTree;
use ndarray::{Array2, Array3, Array4, s};

use crate::fields::rough;

fn lacuna(out: &Path, arguments: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_lacuna"));
    let program = program.args(arguments).env_remove("LACUNA_PRESET");
    program.env("LACUNA_OUT", out).env("LACUNA_FIGURES", out.join("figures")).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pytorch").join(name)
}

/// The published tiny score network for physical fields of 16² points, sampled in two steps.
fn score() -> Checkpoint {
    let mut made = pytorch::import(&fixture("score.pth"), pytorch::Kind::Score).unwrap();
    made.n = 16;
    made.model.sampler.steps = 2;
    made.provenance.validation_loss = Some(1.0 / 3.0);
    made
}

fn conditions(folder: &Path) -> (PathBuf, Array3<f64>) {
    let w = ndarray::stack![ndarray::Axis(0), rough(16, 1), rough(16, 2), rough(16, 3)];
    let path = folder.join("w.h5");
    let file = hdf5::File::create(&path).unwrap();
    file.new_dataset_builder().with_data(&w).create("w").unwrap();
    file.new_dataset_builder().with_data(&Array3::<f64>::ones((1, 8, 8))).create("coarse").unwrap();
    (path, w)
}

#[test]
fn draws_at_fields_of_a_file_are_those_of_the_named_streams() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (path, w) = conditions(folder.path());
    score().save(&at("score.lacuna")).unwrap();
    score().save_safetensors(&at("score.safetensors")).unwrap();
    let sample = |checkpoint: &str, out: &str, more: &[&str]| {
        let (checkpoint, out) = (at(checkpoint), at(out));
        let [checkpoint, path, out] = [&checkpoint, &path, &out].map(|path| path.to_str().unwrap());
        let start = ["sample", "--checkpoint", checkpoint, "--condition", path, "--out", out];
        lacuna(folder.path(), &[&start[..], more].concat())
    };
    let read = |name: &str| -> Array4<f32> {
        lacuna::artifact::h5::open(&at(name)).unwrap().dataset("h").unwrap().read().unwrap()
    };
    let done = sample("score.lacuna", "h.h5", &["--dataset", "w", "--draws", "2", "--seed", "4"]);
    assert!(done.status.success(), "{}", said(&done));
    let h = read("h.h5");
    assert_eq!(h.dim(), (3, 2, 16, 16));
    let mut law = Learned::new(&score(), &score().model.sampler).unwrap();
    let mut expected = Array2::zeros((16, 16));
    for (i, k) in [(0, 0), (2, 1)] {
        let mut rng = SeedTree::new(4).child("sample").child(i).child(k).stream();
        law.sample(w.slice(s![i, .., ..]), 0.0, &mut rng, expected.view_mut()).unwrap();
        assert!(h.slice(s![i, k, .., ..]) == expected.mapv(|h| h as f32));
    }
    // One field of several, from the exported weights, draws the same.
    let done =
        sample("score.safetensors", "one.h5", &["--dataset", "w", "--fields", "2", "--draws", "2", "--seed", "4"]);
    assert!(done.status.success(), "{}", said(&done));
    assert!(read("one.h5") == h.slice(s![2..3, .., .., ..]));
    let done = sample("score.lacuna", "mean.h5", &["--dataset", "w", "--mean", "--steps", "3"]);
    assert!(done.status.success() && read("mean.h5").dim() == (3, 1, 16, 16), "{}", said(&done));
    for (more, words) in [
        (&["--dataset", "w"][..], ["h.h5", "--force"]),
        (&["--dataset", "coarse", "--force"], ["(16, 16)", "[8, 8]"]),
        (&["--dataset", "w", "--fields", "2..4", "--force"], ["2..4", "of 3"]),
        (&["--dataset", "v", "--force"], ["no dataset `v`", "coarse"]),
        (&["--dataset", "w", "--draws", "0", "--force"], ["--draws", "at least one"]),
    ] {
        let refused = sample("score.lacuna", "h.h5", more);
        let complaint = said(&refused);
        assert!(!refused.status.success() && words.iter().all(|word| complaint.contains(word)), "{complaint}");
    }
    assert!(read("h.h5") == h, "a refused command changed its output");
}

#[test]
fn a_latent_model_is_put_together_from_its_three_files() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let autoencoder = fixture("autoencoder.pth");
    pytorch::import(&autoencoder, pytorch::Kind::Autoencoder).unwrap().save(&at("h.lacuna")).unwrap();
    let arguments = |n: &str| {
        let mut all = vec!["import".to_string(), "--latent".into(), "--n".into(), n.into()];
        for (option, path) in [
            ("--score", fixture("score.pth")),
            ("--omega-ae", autoencoder.clone()),
            ("--h-ae", at("h.lacuna")),
            ("--out", at("m.lacuna")),
        ] {
            all.extend([option.into(), path.display().to_string()]);
        }
        all
    };
    let run = |n: &str| lacuna(folder.path(), &arguments(n).iter().map(String::as_str).collect::<Vec<_>>());
    let done = run("64");
    assert!(done.status.success(), "{}", said(&done));
    let made = Checkpoint::load(&at("m.lacuna")).unwrap();
    let roles: Vec<Role> = made.networks.keys().copied().collect();
    assert_eq!(roles, [Role::DecodeH, Role::DecodeW, Role::EncodeH, Role::EncodeW, Role::Score]);
    assert!(matches!(made.model.latent, LatentConfig::Autoencoder { n, .. } if n == made.latent_n()));
    assert_eq!((made.n, made.model.law), (64, Law::Diffusion));
    let parts = latent(&fixture("score.pth"), &autoencoder, &at("h.lacuna"), 64).unwrap();
    assert_eq!(parts.networks, made.networks);
    // It draws fields.
    let mut law =
        Learned::new(&made, &lacuna::config::SamplerConfig { steps: 2, ..made.model.sampler.clone() }).unwrap();
    let mut h = Array2::zeros((64, 64));
    law.sample(rough(64, 1).view(), 0.0, &mut SeedTree::new(1).stream(), h.view_mut()).unwrap();
    assert!(h.iter().all(|h| h.is_finite()) && h.iter().any(|h| *h != 0.0));
    assert!(said(&run("64")).contains("m.lacuna: is there already; --force"), "{}", said(&run("64")));
    std::fs::remove_file(at("m.lacuna")).unwrap();
    let refused = said(&run("15"));
    assert!(refused.contains("`n`: 15") && refused.contains("even"), "{refused}");
    let partial = lacuna(folder.path(), &["import", "--latent", "--score", "a.pth", "--out", "b.lacuna"]);
    assert!(said(&partial).contains("--omega-ae"), "{}", said(&partial));
}

#[test]
fn exported_weights_are_the_checkpoint_to_the_last_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    score().save_safetensors(&path).unwrap();
    assert_eq!(Checkpoint::load(&path).unwrap(), score());
    // Others read names and shapes.
    let bytes = std::fs::read(&path).unwrap();
    let all = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let (_, about) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(about.metadata().as_ref().unwrap()["format"], "pt");
    let checkpoint = score();
    let tensors = checkpoint.tensors();
    assert_eq!(all.len(), tensors.len());
    let (name, shape, values) = &tensors[3];
    let tensor = all.tensor(name).unwrap();
    assert_eq!(tensor.shape(), shape);
    assert!(tensor.data().chunks_exact(4).zip(*values).all(|(b, v)| f32::from_le_bytes(b.try_into().unwrap()) == *v));
    // A foreign one, a cut one and a spoilt one are refused.
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![1], &[0; 4]).unwrap();
    let foreign = safetensors::serialize([("a", view)], None).unwrap();
    for (content, words) in [
        (foreign, ["m.safetensors", "without a description"]),
        (bytes[..bytes.len() / 2].to_vec(), ["m.safetensors", "safetensors"]),
        (b"{}".to_vec(), ["m.safetensors", "nor safetensors"]),
    ] {
        std::fs::write(&path, content).unwrap();
        let error = Checkpoint::load(&path).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }
}

#[test]
fn a_checkpoint_in_a_file_is_a_closure_and_is_exported_with_a_card() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("theirs.ckpt");
    score().save(&file).unwrap();
    let file = file.to_str().unwrap();
    let small = [
        "flow.n=16",
        "data.n=16",
        "rollout.start=0.01",
        "rollout.duration=0.02",
        "rollout.snapshots=2",
        "rollout.members=2",
        "rollout.references=1",
    ];
    let fit = [
        "spectral.latent.n=12",
        "spectral.network.modes=4",
        "joint.latent.n=8",
        "joint.network.modes=4",
        "two-phase.latent.n=8",
        "two-phase.network.modes=4",
        "p-cdm.network.modes=4",
    ];
    let settings: Vec<String> = small
        .iter()
        .map(|set| format!("--set={set}"))
        .chain(fit.iter().map(|set| format!("--set=models.{set}")))
        .collect();
    let run = |command: &str, more: &[&str]| {
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        lacuna(&folder.path().join("out"), &[&[command, "--preset", "smoke"], &settings[..], more].concat())
    };
    let closure = format!("--closure={file}");
    let done = run("rollout", &[&closure]);
    assert!(done.status.success() && said(&done).contains("Rollout with theirs"), "{}", said(&done));
    // No data were simulated for it, and by its name in the configuration it is the same result.
    let made = || {
        let entries = std::fs::read_dir(folder.path().join("out")).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.retain(|name| name.contains('-'));
        names.sort();
        names
    };
    let results = made();
    assert_eq!(results.len(), 3, "reference, rollout, train: {results:?}");
    let set = format!("--set=checkpoints.theirs={file}");
    let again = run("rollout", &[&set, "--closure=theirs"]);
    assert!(again.status.success() && said(&again).contains("found"), "{}", said(&again));
    assert_eq!(made(), results);
    let refused = run("rollout", &[&closure, "--set=flow.n=32", "--set=data.n=32"]);
    assert!(said(&refused).contains("16 × 16 points; data.n = 32"), "{}", said(&refused));

    let to = folder.path().join("card");
    let export = ["--model", file, "--to", to.to_str().unwrap()];
    let done = run("export", &export);
    assert!(done.status.success(), "{}", said(&done));
    assert_eq!(Checkpoint::load(&to.join("model.safetensors")).unwrap(), score());
    assert_eq!(Checkpoint::load(&to).unwrap(), score());
    let card = std::fs::read_to_string(to.join("README.md")).unwrap();
    for word in ["license: [mit, apache-2.0]", "# theirs", "Not scored yet", &score().provenance.data_hash, "0.33333"] {
        assert!(card.contains(word), "{word}: {card}");
    }
    let config: serde_json::Value = serde_json::from_slice(&std::fs::read(to.join("config.json")).unwrap()).unwrap();
    assert_eq!(config["n"], 16);
    assert!(said(&run("export", &export)).contains("--force"));
    assert!(said(&run("export", &["--model", "nothing", "--to", "x"])).contains("nothing"));
}
