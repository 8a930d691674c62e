//! The program beside others, and what becomes of it when somebody stops it or does not listen.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::cli::{lacuna, program, text, tiny};

/// A process that shows nothing of what is waited for in this time never will.
const PATIENCE: Duration = Duration::from_secs(120);
/// The exit status of a shell's reader that has gone away.
const CLOSED_PIPE: i32 = 141;

fn start(out: &Path, arguments: &[&str]) -> Child {
    let mut command = program(out, arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// A pipe that nobody reads.
fn unread() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", child.id())]).status().unwrap();
    assert!(sent.success(), "{name} was not sent");
}

/// Waits until `look` finds something, while the process is at work.
fn until<T>(child: &mut Child, look: impl Fn() -> Option<T>) -> T {
    let clock = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(clock.elapsed() < PATIENCE, "nothing was seen");
        assert!(child.try_wait().unwrap().is_none(), "the process ended before");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Every file and folder below `folder`.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        // A process may be at work.
        found.push(entry.path());
        if entry.path().is_dir() {
            found.extend(below(&entry.path()));
        }
    }
    found.sort();
    found
}

fn named<'a>(files: &'a [PathBuf], part: &str) -> Vec<&'a PathBuf> {
    files.iter().filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().contains(part))).collect()
}

/// Nothing that outlives a run, and one line in the manifest for every result.
fn in_order(out: &Path) {
    let files = below(out);
    for left in [".tmp", ".lock", ".partial"] {
        assert!(named(&files, left).is_empty(), "{:?}", named(&files, left));
    }
    let manifest = std::fs::read_to_string(out.join("manifest.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> = manifest.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let hashes: BTreeSet<&str> = lines.iter().map(|line| line["hash"].as_str().unwrap()).collect();
    let results = named(&files, "artifact.json").len();
    assert_eq!((lines.len(), hashes.len()), (results, results), "{manifest}");
}

fn succeeds(output: &Output) -> String {
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// Data that take some seconds: a part is there long before the last one, also where others compute at the same time.
const MANY: [&str; 2] = ["--set", "data.train=1500"];
/// Their trajectories, with those of validation and test.
const ALL: usize = 1502;

#[cfg(feature = "learn")]
mod training {
    use super::*;

    const LONG: [&str; 6] = [
        "--model",
        "spectral",
        "--set=models.spectral.network.width=4",
        "--set=models.spectral.train.batch=4",
        "--set=models.spectral.train.steps=1500",
        "--set=models.spectral.train.validate_every=10",
    ];

    const SLOW: [&str; 4] = [
        "--set=models.spectral.network.width=48",
        "--set=models.spectral.train.batch=512",
        "--set=models.spectral.train.steps=100",
        "--set=models.spectral.train.validate_every=1",
    ];

    fn weights(out: &Path) -> Vec<u8> {
        let files = below(out);
        let found = named(&files, "checkpoint.lacuna");
        assert_eq!(found.len(), 1);
        std::fs::read(found[0]).unwrap()
    }

    /// The state of a training that has passed its first validation.
    fn state(out: &Path) -> Option<PathBuf> {
        named(&below(out), "last.state").first().map(|path| path.to_path_buf())
    }

    #[test]
    fn a_training_that_is_stopped_keeps_its_step_and_ends_at_the_same_bits() {
        let folder = tempfile::tempdir().unwrap();
        let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
        succeeds(&lacuna(&whole, &tiny("train", &LONG)));

        let mut child = start(&parts, &tiny("train", &LONG));
        until(&mut child, || state(&parts));
        signal(&child, "TERM");
        let output = child.wait_with_output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(143), "{said}");
        let kept = ["stopped by SIGTERM", "spectral", ".partial", "the same command goes on"];
        assert!(said.lines().count() == 1 && kept.iter().all(|word| said.contains(word)), "{said}");
        let printed = text(&output.stdout);
        let step = printed.split("stopped at step ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or_default();
        assert!(named(&below(&parts), ".lock").is_empty());

        // The library goes away: as when a kernel is interrupted, shut down or has crashed.
        let toml = lacuna(&parts, &tiny("plan", &[&LONG[2..], &["--toml"]].concat()));
        let attached = ["train", "--preset", "smoke", "--attached", "--model", "spectral"];
        let mut child = program(&parts, &attached).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut pipe = child.stdin.take().unwrap();
        writeln!(pipe, "{}", serde_json::to_string(&text(&toml.stdout)).unwrap()).unwrap();
        let before = std::fs::read(state(&parts).unwrap()).unwrap();
        until(&mut child, || (std::fs::read(state(&parts)?).ok()? != before).then_some(()));
        drop(pipe);
        let output = child.wait_with_output().unwrap();
        let resumed = text(&output.stdout);
        assert_eq!(output.status.code(), Some(143), "{resumed}");
        assert!(resumed.contains(&format!("resumed at step {step} of 1500")), "{printed}{resumed}");
        assert!(!resumed.contains("validation loss "), "the library shows the result: {resumed}");

        succeeds(&lacuna(&parts, &tiny("train", &LONG)));
        assert!(weights(&parts) == weights(&whole), "other weights");
        in_order(&parts);
    }

    #[test]
    fn a_second_signal_ends_a_process_at_once() {
        let folder = tempfile::tempdir().unwrap();
        // Steps so long that the second signal comes within the one that the first has to wait for.
        let slow = [&LONG[..2], &SLOW[..]].concat();
        let mut child = start(folder.path(), &tiny("train", &slow));
        until(&mut child, || state(folder.path()));
        // Both arrive before it can do anything about the first.
        ["STOP", "TERM", "INT", "CONT"].iter().for_each(|name| signal(&child, name));
        let output = child.wait_with_output().unwrap();
        let ended = output.status.signal();
        assert!(ended == Some(2) || ended == Some(15), "{:?}: {}", output.status, text(&output.stderr));
    }

    #[test]
    fn a_model_that_diverges_is_named_with_its_step() {
        let folder = tempfile::tempdir().unwrap();
        let fast = ["--model", "spectral", "--set", "models.spectral.train.learning_rate=1e30"];
        let output = lacuna(folder.path(), &tiny("train", &fast));
        let said = text(&output.stderr);
        assert!(!output.status.success() && said.contains("training of `spectral` diverged at step "), "{said}");
    }

    #[test]
    fn a_device_that_is_not_there_is_refused_before_anything_is_computed() {
        if cfg!(feature = "cuda") {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        for command in ["train", "rollout", "eval", "run"] {
            let output = lacuna(folder.path(), &tiny(command, &["--device", "cuda"]));
            let said = text(&output.stderr);
            assert!(!output.status.success() && said.contains("--features cuda"), "{said}");
        }
        assert!(below(folder.path()).is_empty());
    }
}

#[test]
fn data_that_are_stopped_keep_what_is_finished() {
    let folder = tempfile::tempdir().unwrap();
    for (name, code) in [("INT", 130), ("HUP", 129)] {
        let out = folder.path().join(name);
        let mut child = start(&out, &tiny("data", &MANY));
        until(&mut child, || named(&below(&out), "part-").first().map(|_| ()));
        signal(&child, name);
        let output = child.wait_with_output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(
            said.contains(&format!("stopped by SIG{name}")) && said.contains(&format!("of {ALL} trajectories are in")),
            "{said}"
        );
        let parts = named(&below(&out), "part-").len();
        let told = said.contains(&format!("data: {parts} of {ALL}"));
        assert!((1..ALL).contains(&parts) && told, "{parts} parts: {said}");
        assert!(succeeds(&lacuna(&out, &tiny("data", &MANY))).contains(&format!("{parts} already there")));
        in_order(&out);
    }
    // What is to be ignored is ignored.
    let out = folder.path().join("nohup");
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' HUP; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_lacuna")]).args(tiny("data", &MANY));
    let mut child = shell.env("LACUNA_OUT", &out).stdout(Stdio::piped()).spawn().unwrap();
    until(&mut child, || named(&below(&out), "part-").first().map(|_| ()));
    signal(&child, "HUP");
    assert!(child.wait_with_output().unwrap().status.success());
}

/// A file with one field, and the arguments that simulate it for long.
fn simulation(folder: &Path) -> Vec<String> {
    let init = folder.join("init.h5");
    let file = hdf5::File::create(&init).unwrap();
    let field =
        ndarray::Array2::<f64>::from_shape_fn((64, 64), |(i, j)| (0.1 * i as f64).sin() * (0.2 * j as f64).cos());
    file.new_dataset_builder().with_data(&field).create("w").unwrap();
    file.close().unwrap();
    let line = format!("simulate --init {} --dataset w --steps 1e7 --every 1e6 --forcing -1e-3", init.display());
    line.split(' ').map(String::from).chain(["--out".into(), folder.join("out.h5").display().to_string()]).collect()
}

#[test]
fn a_simulation_that_is_stopped_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = simulation(folder.path());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let temporary = || named(&below(folder.path()), ".tmp").first().map(|path| path.to_path_buf());
    let mut child = start(folder.path(), &arguments);
    until(&mut child, temporary);
    signal(&child, "TERM");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(143), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("nothing of the simulation is kept"), "{}", text(&output.stderr));
    assert_eq!(below(folder.path()), [folder.path().join("init.h5")]);
    // Nobody reads its progress.
    let output = program(folder.path(), &arguments).stderr(unread()).output().unwrap();
    assert_eq!(output.status.code(), Some(CLOSED_PIPE));
    assert_eq!(below(folder.path()), [folder.path().join("init.h5")]);
}

#[test]
fn numbers_of_options_are_read_or_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    for (wrong, words) in [
        (["--seed", "-1"], ["--seed", "whole number from 0"]),
        (["--steps", "1.5"], ["--steps", "whole number"]),
        (["--forcing", "much"], ["--forcing", "finite number"]),
    ] {
        let output = lacuna(folder.path(), &[&["simulate"][..], &wrong].concat());
        let said = text(&output.stderr);
        assert!(output.status.code() == Some(2) && words.iter().all(|word| said.contains(word)), "{said}");
    }
    let output = lacuna(folder.path(), &["train", "--max-minutes", "-1"]);
    assert!(text(&output.stderr).contains("positive number of minutes"), "{}", text(&output.stderr));
}

#[test]
fn processes_at_the_same_work_share_its_result() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let plain = ["--set", "rollout.closures=[\"none\", \"exact\"]", "--set", "study.frontier.models=[]"];
    let short = ["--set", "rollout.start=0.5", "--set", "rollout.duration=0.2", "--set", "rollout.snapshots=2"];
    let arguments = tiny("eval", &[&plain[..], &short].concat());
    let children: Vec<Child> = (0..4).map(|_| start(&out, &arguments)).collect();
    let tables: BTreeSet<String> = children
        .into_iter()
        .map(|child| {
            let printed = succeeds(&child.wait_with_output().unwrap());
            // Progress comes before the tables.
            printed[printed.find("offline").unwrap_or(0)..].lines().filter(|line| line.contains('±')).collect()
        })
        .collect();
    assert_eq!(tables.len(), 1, "each shows the same tables: {tables:?}");
    in_order(&out);
    assert!(named(&below(&out.join("figures")), ".lock").is_empty());

    // The same shard twice, and the other one.
    let out = folder.path().join("shards");
    let children: Vec<Child> =
        ["1/2", "1/2", "2/2"].iter().map(|shard| start(&out, &tiny("data", &["--shard", shard]))).collect();
    children.into_iter().for_each(|child| drop(succeeds(&child.wait_with_output().unwrap())));
    in_order(&out);

    // Who does not want to wait is told for whom it would be.
    let out = folder.path().join("alone");
    let mut child = start(&out, &tiny("data", &MANY));
    until(&mut child, || named(&below(&out), "part-").first().map(|_| ()));
    let refused = lacuna(&out, &tiny("data", &[&MANY[..], &["--no-wait"]].concat()));
    let said = text(&refused.stderr);
    let holder = format!("process {} is working on data-", child.id());
    assert!(refused.status.code() == Some(1) && said.contains(&holder), "{said}");
    // Who waits can be stopped, too.
    let mut waiting = start(&out, &tiny("data", &MANY));
    std::thread::sleep(Duration::from_millis(300));
    assert!(waiting.try_wait().unwrap().is_none() || child.try_wait().unwrap().is_some());
    signal(&child, "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(143));
    succeeds(&waiting.wait_with_output().unwrap());
    in_order(&out);
}

#[test]
fn output_that_is_lost_is_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&["plan", "--preset", "smoke"][..], &["plan", "--preset", "smoke", "--toml"], &["--help"]] {
        if Path::new("/dev/full").exists() {
            let full = File::options().write(true).open("/dev/full").unwrap();
            let output = program(folder.path(), arguments).stdout(full).stderr(Stdio::piped()).output().unwrap();
            let said = text(&output.stderr);
            assert!(output.status.code() == Some(1) && said.contains("standard output"), "{:?} {said}", output.status);
        }
        let output = program(folder.path(), arguments).stdout(unread()).output().unwrap();
        let said = text(&output.stderr);
        // A plan says on standard error what it times.
        let silent = said.lines().all(|line| line.starts_with("plan: timing"));
        assert!(output.status.code() == Some(CLOSED_PIPE) && silent, "{:?} {said}", output.status);
    }
    assert!(below(folder.path()).is_empty(), "a plan makes nothing");
    // Work whose progress nobody reads stops, and goes on later.
    let output = program(folder.path(), &tiny("data", &MANY)).stdout(unread()).output().unwrap();
    assert_eq!(output.status.code(), Some(CLOSED_PIPE), "{}", text(&output.stderr));
    succeeds(&lacuna(folder.path(), &tiny("data", &MANY)));
}

#[test]
fn a_folder_that_is_not_there_is_neither_verified_nor_made() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("dtaa");
    let output = lacuna(&out, &["verify", "--preset", "smoke"]);
    assert!(output.status.code() == Some(1) && text(&output.stderr).contains("dtaa"), "{}", text(&output.stderr));
    assert!(!out.exists());
}

#[test]
fn the_preset_of_a_file_is_the_preset() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.toml");
    let toml = succeeds(&lacuna(folder.path(), &["plan", "--preset", "smoke", "--set", "seed=5", "--toml"]));
    std::fs::write(&file, &toml).unwrap();
    let mine = ["plan", "--toml", "--config", file.to_str().unwrap()];
    assert_eq!(succeeds(&lacuna(folder.path(), &mine)), toml);
    let environment = program(folder.path(), &mine).env("LACUNA_PRESET", "desk").output().unwrap();
    assert_eq!(succeeds(&environment), toml);
    let les = succeeds(&lacuna(folder.path(), &[&["plan", "--toml"], &mine[2..], &["--preset", "desk"]].concat()));
    assert!(les.contains("preset = \"desk\"") && les.contains("seed = 5"), "{les}");
    std::fs::write(&file, "preset = \"../../x\"\n").unwrap();
    let refused = lacuna(folder.path(), &mine);
    assert!(text(&refused.stderr).contains("unknown preset"), "{}", text(&refused.stderr));
}
