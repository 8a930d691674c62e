//! The program as a user runs it.

use std::path::Path;
use std::process::{Command, Output};

pub(crate) fn lacuna(out: &Path, arguments: &[&str]) -> Output {
    program(out, arguments).output().unwrap()
}

pub(crate) fn program(out: &Path, arguments: &[&str]) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_lacuna"));
    program
        .args(arguments)
        .env_remove("LACUNA_PRESET")
        .env("LACUNA_OUT", out)
        .env("LACUNA_FIGURES", out.join("figures"));
    program
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const TINY: [&str; 16] = [
    "--preset",
    "smoke",
    "--set",
    "flow.n=16",
    "--set",
    "data.n=16",
    "--set",
    "data.train=1",
    "--set",
    "data.validation=1",
    "--set",
    "data.test=1",
    "--set",
    "data.burn_in=0.5",
    "--set",
    "data.final_time=1.0",
];

/// `TINY`, with the models' grids made to fit.
pub(crate) fn tiny<'a>(command: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let fit = ["--set", "models.spectral.latent.n=12", "--set", "models.spectral.network.modes=4"];
    let modes = ["--set", "models.p-cdm.network.modes=4", "--set", "data.interval=0.25"];
    let joint = ["--set", "models.joint.latent.n=8", "--set", "models.joint.network.modes=4"];
    let two_phase = ["--set", "models.two-phase.latent.n=8", "--set", "models.two-phase.network.modes=4"];
    [&[command], &TINY[..], &fit, &modes, &joint, &two_phase, more].concat()
}

#[test]
fn every_preset_has_a_plan() {
    let folder = tempfile::tempdir().unwrap();
    for preset in ["smoke", "desk", "paper", "les"] {
        let plan = lacuna(folder.path(), &["plan", "--preset", preset, "--json"]);
        assert!(plan.status.success() && text(&plan.stdout).contains("\"stages\""), "{}", text(&plan.stderr));
    }
}

#[test]
fn plan_shows_the_stages_and_its_toml_is_a_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let plan = lacuna(folder.path(), &["plan", "--preset", "smoke"]);
    assert!(plan.status.success(), "{}", text(&plan.stderr));
    assert!(text(&plan.stderr).starts_with("plan: timing a step of the solver"), "{}", text(&plan.stderr));
    for word in ["data", "p-cdm", "spectral", "reference", "rollout", "to do"] {
        assert!(text(&plan.stdout).contains(word), "{word} is missing:\n{}", text(&plan.stdout));
    }
    let toml = lacuna(folder.path(), &["plan", "--preset", "smoke", "--set", "seed=5", "--toml"]);
    let file = folder.path().join("mine.toml");
    std::fs::write(&file, &toml.stdout).unwrap();
    let again = lacuna(folder.path(), &["plan", "--preset", "smoke", "--config", file.to_str().unwrap(), "--toml"]);
    assert_eq!(text(&again.stdout), text(&toml.stdout));
    assert!(text(&again.stdout).contains("seed = 5"));
}

#[test]
fn a_plan_has_every_stage_in_its_size_with_time_and_memory_and_makes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let studies = [
        "--set=rollout.members=5",
        "--set=study.horizon.members=3",
        "--set=study.horizon.duration=0.8",
        "--set=study.ensemble.members=7",
        "--set=study.frontier.members=2",
        "--set=study.frontier.every=[4, 9]",
        "--set=study.frontier.steps=[3]",
    ];
    let plan = lacuna(&out, &tiny("plan", &[&studies[..], &["--json"]].concat()));
    assert!(plan.status.success() && !out.exists(), "{}", text(&plan.stderr));
    let plan: serde_json::Value = serde_json::from_slice(&plan.stdout).unwrap();
    let stages = plan["stages"].as_array().unwrap();
    let works: Vec<&str> = stages.iter().map(|stage| stage["work"].as_str().unwrap()).collect();
    for work in [
        "3 trajectories × 1000 steps at 16²",
        "3 members × 800 steps at 16², a draw every 10",
        "7 members ×",
        "2 members × 4000 steps at 16², a draw every 4, rescaled, 3 sampling steps",
        "2 members × 4000 steps at 16², a draw every 9, rescaled, 3 sampling steps",
    ] {
        assert!(works.iter().any(|line| line.starts_with(work)), "{work} is missing:\n{works:#?}");
    }
    for stage in stages {
        assert_eq!(stage["state"], "to do");
        assert!(stage["memory_bytes"].as_u64().unwrap() > 0, "{stage}");
        let unknown = stage["stage"] == "reconstruction" || cfg!(not(feature = "learn"));
        assert!(unknown || stage["seconds"].as_f64().unwrap() > 0.0 && stage["from"] == "measured now", "{stage}");
    }
    assert!(plan["seconds_left"].as_f64().unwrap() > 0.0 && plan["memory_bytes"].as_u64().unwrap() > 0);

    // Results say what they took, and how fast this machine is.
    let done = lacuna(&out, &tiny("data", &[]));
    assert!(done.status.success(), "{}", text(&done.stderr));
    let plan = lacuna(&out, &tiny("plan", &[]));
    let table = text(&plan.stdout);
    let data = table.lines().find(|line| line.contains("1000 steps at 16²") && line.contains("data-")).unwrap();
    assert!(data.contains("done") && data.contains("taken"), "{table}");
}

#[test]
fn wrong_settings_fail_and_name_the_field() {
    let folder = tempfile::tempdir().unwrap();
    for (setting, words) in [
        ("flow.viscosty=1", ["flow.viscosty", "unknown field"]),
        ("flow.viscosity=-1", ["flow.viscosity", "-1"]),
        ("flow.dt=abc", ["flow.dt", "abc"]),
        ("data.n=48", ["data.n", "48"]),
        ("rollout.closures=[\"other\"]", ["rollout.closures", "other"]),
        ("rollout.closures=[\"leith\"]", ["rollout.closures", "known: none, exact, joint"]),
        ("eval.also=[\"two-phase-rough\"]", ["eval.also", "two-phase-rough"]),
        ("study.horizon.closures=[\"other/mean\"]", ["study.horizon.closures", "other/mean"]),
    ] {
        let output = lacuna(folder.path(), &["data", "--preset", "smoke", "--set", setting]);
        assert!(!output.status.success(), "{setting} was accepted");
        let complaint = text(&output.stderr);
        assert!(complaint.starts_with("error: ") && words.iter().all(|word| complaint.contains(word)), "{complaint}");
    }
    assert!(!lacuna(folder.path(), &["plan", "--preset", "huge"]).status.success());
    let refused = lacuna(folder.path(), &["rollout", "--preset", "smoke", "--batch", "4"]);
    assert!(text(&refused.stderr).contains("batches are for a device"), "{}", text(&refused.stderr));
    let refused = lacuna(folder.path(), &["rollout", "--preset", "les", "--closure", "none", "--closure", "exact"]);
    assert!(text(&refused.stderr).contains("`exact`; known: none, smagorinsky"), "{}", text(&refused.stderr));
    let refused = lacuna(folder.path(), &["train", "--preset", "smoke", "--model", "p-cdm", "--model", "other"]);
    assert!(text(&refused.stderr).contains("no model `other`"), "{}", text(&refused.stderr));
    assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none(), "something was computed");
    for (more, words) in [("--precision=bf16", "is for a device"), ("--set=rollout.precision=bf16", "`spectral`")] {
        let refused = lacuna(folder.path(), &tiny("rollout", &["--closure", "spectral", more]));
        let complaint = text(&refused.stderr);
        assert!(
            !refused.status.success() && complaint.contains("precision") && complaint.contains(words),
            "{complaint}"
        );
    }
    let refused = lacuna(folder.path(), &["rollout", "--precision", "f16"]);
    assert!(text(&refused.stderr).contains("known: f32, bf16"), "{}", text(&refused.stderr));
    assert!(!lacuna(folder.path(), &["train", "--preset", "smoke", "--device", "abacus"]).status.success());
}

#[cfg(feature = "learn")]
#[test]
fn training_in_slices_ends_at_the_same_bits_as_in_one_go() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, sliced) = (folder.path().join("whole"), folder.path().join("sliced"));
    let short = ["--model", "spectral", "--set", "models.spectral.train.steps=200"];
    let train = |out: &Path, more: &[&str]| {
        let output = lacuna(out, &tiny("train", &[&short, more].concat()));
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let checkpoint = |out: &Path| {
        let folders = std::fs::read_dir(out).unwrap().map(|entry| entry.unwrap().path());
        folders.map(|folder| folder.join("checkpoint.lacuna")).find(|path| path.is_file())
    };
    train(&whole, &[]);
    // The first slice ends before its first step; later ones get a few done.
    let first = train(&sliced, &["--max-minutes", "1e-9"]);
    assert!(first.contains("stopped at step 0 of 200") && first.contains("goes on from here"), "{first}");
    assert_eq!(checkpoint(&sliced), None);
    let mut slices = 1;
    while checkpoint(&sliced).is_none() {
        // 0.3 s, of which reading the data is the smaller part.
        train(&sliced, &["--max-minutes", "0.005"]);
        slices += 1;
        assert!(slices < 200, "no progress from slice to slice");
    }
    let [a, b] = [&whole, &sliced].map(|out| std::fs::read(checkpoint(out).unwrap()).unwrap());
    assert!(a == b, "{slices} slices gave other weights");
    // What is trained already is found, whatever the limit.
    assert!(train(&sliced, &["--max-minutes", "1e-9"]).contains("found"));
    for wrong in ["0", "-1", "soon", "NaN"] {
        let option = format!("--max-minutes={wrong}");
        assert!(!lacuna(&whole, &tiny("train", &[&option])).status.success(), "{wrong} was accepted");
    }
}

/// A processor without AVX-512 is what most people have. Networks of two channels multiply by matrices of two columns.
#[cfg(feature = "learn")]
#[test]
fn narrower_vector_units_give_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let narrow = ["spectral.network.width=2", "spectral.network.embed=2"].map(String::from);
    let steps = ["p-cdm.train", "spectral.train", "two-phase.train", "two-phase.latent.training.train"];
    let settings = steps.map(|train| format!("{train}.steps=3")).into_iter().chain(narrow);
    let settings: Vec<_> = settings.map(|setting| format!("--set=models.{setting}")).collect();
    let settings: Vec<_> = settings.iter().map(String::as_str).collect();
    let made = |vectors: &str| {
        let out = folder.path().join(format!("vectors-{vectors}"));
        for model in ["two-phase", "p-cdm", "spectral"] {
            let arguments = tiny("train", &[&["--model", model], &settings[..]].concat());
            let output = program(&out, &arguments).env("LACUNA_VECTORS", vectors).output().unwrap();
            assert!(output.status.success(), "{}", text(&output.stderr));
        }
        let folders = std::fs::read_dir(&out).unwrap().map(|entry| entry.unwrap());
        let read = |folder: std::fs::DirEntry| {
            let weights = std::fs::read(folder.path().join("checkpoint.lacuna")).ok()?;
            Some((folder.file_name(), weights))
        };
        folders.filter_map(read).collect::<std::collections::BTreeMap<_, _>>()
    };
    let [widest, avx2, plain] = ["", "avx2", "plain"].map(made);
    assert_eq!(widest.len(), 4, "autoencoder and three models");
    assert!(widest == avx2 && widest == plain, "other weights");
    let refused = program(folder.path(), &["plan"]).env("LACUNA_VECTORS", "wide").output().unwrap();
    assert!(text(&refused.stderr).contains("`LACUNA_VECTORS`: wide; known: avx2, plain"), "{}", text(&refused.stderr));
}

#[cfg(feature = "learn")]
#[test]
fn weights_of_another_precision_are_another_result() {
    let folder = tempfile::tempdir().unwrap();
    let short = ["--set", "models.two-phase.train.steps=3", "--set", "models.two-phase.latent.training.train.steps=3"];
    let run = |command, more: &[&str]| {
        let output = lacuna(folder.path(), &tiny(command, &[&short, more].concat()));
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let model = ["--model", "two-phase"];
    // Folders of checkpoints.
    let made = || {
        let folders = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        folders.filter(|folder| folder.join("checkpoint.lacuna").is_file()).collect::<std::collections::BTreeSet<_>>()
    };
    run("train", &model);
    let single = made();
    run("train", &[&model[..], &["--precision", "f32"]].concat());
    assert_eq!(made(), single, "f32 is what there was");
    run("train", &[&model[..], &["--precision", "bf16"]].concat());
    let both = made();
    assert_eq!((single.len(), both.len()), (2, 4), "autoencoder and model, each in its precision: {both:?}");
    let half = ["models.two-phase.train.precision=bf16", "models.two-phase.latent.training.train.precision=bf16"];
    let table = run("plan", &["--set", half[0], "--set", half[1]]);
    for folder in both.difference(&single) {
        let name = folder.file_name().unwrap().to_string_lossy();
        assert!(table.lines().any(|line| line.contains(&*name) && line.contains("done")), "{name}:\n{table}");
    }
}

#[cfg(feature = "learn")]
#[test]
fn the_selftest_passes_on_the_cpu_and_a_device_that_is_not_there_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let output = lacuna(folder.path(), &["selftest", "--device", "cpu"]);
    let table = text(&output.stdout);
    assert!(output.status.success(), "{table}{}", text(&output.stderr));
    for row in ["denoiser 64²: values", "loss against", "gradient against the program", "multistep sampler: covariance"]
    {
        assert!(table.contains(row), "{row} is missing:\n{table}");
    }
    assert!(!table.contains("FAILED") && table.contains("comparisons agree"), "{table}");
    let output = lacuna(folder.path(), &["selftest", "--precision", "bf16"]);
    let table = text(&output.stdout);
    assert!(output.status.success() && table.contains("selftest on cpu in bf16: all"), "{table}");
    assert!(!lacuna(folder.path(), &["selftest", "--device", "abacus"]).status.success());
    #[cfg(not(feature = "cuda"))]
    {
        let refused = lacuna(folder.path(), &["selftest", "--device", "cuda"]);
        assert!(text(&refused.stderr).contains("--features cuda"), "{}", text(&refused.stderr));
    }
}

#[test]
fn data_is_idempotent_shards_complete_each_other_and_verify_sees_damage() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
    let first = lacuna(&whole, &tiny("data", &[]));
    assert!(first.status.success(), "{}", text(&first.stderr));
    let second = lacuna(&whole, &tiny("data", &[]));
    assert!(text(&second.stdout).contains("found"), "{}", text(&second.stdout));
    let early = lacuna(&parts, &tiny("data", &["--shard", "2/2"]));
    assert!(text(&early.stdout).contains("last shard"), "{}", text(&early.stdout));
    let late = lacuna(&parts, &tiny("data", &["--shard", "1/2"]));
    assert!(late.status.success() && text(&late.stdout).contains("rms of H"), "{}", text(&late.stdout));
    assert!(!lacuna(&parts, &tiny("data", &["--shard", "3/2"])).status.success());

    assert!(lacuna(&whole, &["verify", "--preset", "smoke"]).status.success());
    let result = std::fs::read_dir(&whole)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.is_dir() && path.join("test.h5").is_file())
        .unwrap();
    let file = result.join("test.h5");
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let verify = lacuna(&whole, &["verify", "--preset", "smoke"]);
    assert!(!verify.status.success());
    assert!(text(&verify.stderr).contains("test.h5"), "{}", text(&verify.stderr));
}

#[test]
fn benchmarks_print_one_object_with_a_time_and_the_limits_of_the_machine() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, unit) in [
        (&["train", "--model", "paper-latent", "--steps", "1", "--warm-up", "1"][..], "ms_per_step"),
        (&["sample", "--model", "spectral", "--members", "2", "--rounds", "2"], "ms_per_draw"),
        (&["rollout", "--model", "latent-4", "--steps", "10"], "ms_per_solver_step"),
    ] {
        if arguments[0] == "train" && !cfg!(feature = "learn") {
            continue;
        }
        let run = lacuna(folder.path(), &[&["bench"], arguments, &["--json"]].concat());
        assert!(run.status.success(), "{}", text(&run.stderr));
        let object: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
        for name in [unit, "matrix_peak_gflops", "memory_gb_s", "threads"] {
            assert!(object[name].as_f64().unwrap() > 0.0, "{name} of {object}");
        }
    }
}
