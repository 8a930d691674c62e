//! Errors of the operating system at file calls end in a message that names the file, and in nothing that a later run would take.
//!
//! A library that is loaded before the C library (`shim.c`) counts the file calls of the program and lets one fail: with an I/O
//! error, or with a full disk from there on, before or in the middle of a write. Every command is run so with one call after the
//! other. It must fail with a message and, run once more, end in the same bits as if nothing had happened; or end in these bits
//! at once. `make inject` takes every call, `make test` some.
#![cfg(target_os = "linux")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use lacuna::artifact::{Store, sha256};
use lacuna::data::Pairs;
use lacuna::rollout::{Ensemble, Reference};
use ndarray::Array3;

use crate::fuzz::mutate::Numbers;
use crate::fuzz::number;

/// How calls can fail, see `shim.c`: all with an I/O error; those that need room on a full disk, which others do not see; writes half way.
fn faults(calls: &[String]) -> Vec<(usize, &'static str)> {
    let of = |(i, name): (usize, &String)| {
        let (room, write) = (name.ends_with('+'), name.contains("write"));
        let all = [(true, "EIO"), (room, "ENOSPC"), (write, "short")];
        all.into_iter().filter_map(move |(can, how)| can.then_some((i + 1, how)))
    };
    calls.iter().enumerate().flat_map(of).collect()
}

/// What ends later than this does not end.
const PATIENCE: Duration = Duration::from_secs(240);
/// Trials of each command where nothing else is asked for.
const TRIALS: usize = 3;

/// The commands, of which each finds what those before it have made. `AT` is the folder of everything.
const COMMANDS: [&str; 12] = [
    "data",
    "data --from AT/own.h5 --vorticity w --term h",
    "train --model spectral",
    "train --model two-phase",
    "rollout --closure exact",
    "rollout --closure spectral",
    "run",
    "simulate --init AT/own.h5 --dataset w --fields 0..2 --steps 4 --every 2 --out AT/run.h5 --force",
    "simulate --restart AT/run.h5 --steps 4 --every 2 --out AT/more.h5 --force",
    "import --pytorch FIXTURES/score.pth --kind score --n 64 --out AT/score.lacuna --force",
    "sample --checkpoint AT/score.lacuna --condition AT/own.h5 --dataset w --fields 0..2 --steps 2 --out AT/draws.h5 --force",
    "export --model spectral --to AT/exported --force",
];
/// Points per side.
const N: usize = 64;
/// What is cut of the tiny configuration of the workflow's test.
const SETTINGS: [&str; 12] = [
    "data.burn_in=0.01",
    "data.final_time=0.06",
    "data.interval=0.01",
    "rollout.start=0.01",
    "rollout.duration=0.02",
    "rollout.closures=[\"none\", \"exact\", \"spectral\"]",
    "eval.also=[\"two-phase\"]",
    "study.frontier.models=[\"spectral\"]",
    "study.horizon.duration=0.02",
    "study.horizon.closures=[\"spectral\"]",
    "study.ensemble.closures=[\"spectral\"]",
    "study.ensemble.members=2",
];

/// Those of an experiment, with a store.
fn of_experiment(command: &str) -> bool {
    ["data", "train", "rollout", "run", "export"].iter().any(|name| command.starts_with(name))
}

/// The program, its library and the folders that it works in.
struct Bench {
    root: tempfile::TempDir,
    shim: PathBuf,
}

/// How a command ended.
struct Ended {
    status: Option<ExitStatus>,
    said: String,
    /// The calls that failed: number, name and path.
    failed: Vec<(usize, String, PathBuf)>,
    /// Names of all calls.
    calls: Vec<String>,
}

impl Bench {
    /// `None` where there is no C compiler.
    fn new() -> Option<Self> {
        let root = tempfile::tempdir().unwrap();
        let shim = root.path().join("shim.so");
        let compiler = std::env::var_os("CC").unwrap_or("cc".into());
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/inject/shim.c");
        let made =
            Command::new(compiler).args(["-shared", "-fPIC", "-O1", "-o"]).args([&shim, &source]).arg("-ldl").status();
        let bench = Self { root, shim };
        std::fs::create_dir(bench.at()).unwrap();
        made.is_ok_and(|status| status.success()).then_some(bench)
    }

    fn at(&self) -> PathBuf {
        self.root.path().join("at")
    }

    /// Runs a command; `fault` is the number of the call that fails, and how.
    fn run(&self, command: &str, fault: Option<(usize, &str)>) -> Ended {
        let (log, said) = (self.root.path().join("calls"), self.root.path().join("said"));
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let fixtures = root.join("tests/fixtures/pytorch");
        let (at, fixtures) = (self.at().display().to_string(), fixtures.display().to_string());
        let mut program = Command::new(env!("CARGO_BIN_EXE_lacuna"));
        program.args(command.split(' ').map(|word| word.replace("AT", &at).replace("FIXTURES", &fixtures)));
        if of_experiment(command) {
            program.args(["--preset", "smoke", "--config"]).arg(root.join("workflow/tiny.toml"));
            program.args(SETTINGS.iter().map(|setting| format!("--set={setting}"))).args(["--out", &at]);
        }
        if let Some((call, how)) = fault {
            program.env("LACUNA_INJECT_AT", call.to_string()).env("LACUNA_INJECT_HOW", how);
        }
        program.env("LD_PRELOAD", &self.shim).env("LACUNA_INJECT_FOLDER", &at).env("LACUNA_INJECT_LOG", &log);
        program.env_remove("LACUNA_PRESET").env("LACUNA_FIGURES", self.at().join("figures")).env("RUST_BACKTRACE", "0");
        program.stdin(Stdio::null()).stdout(Stdio::null()).stderr(std::fs::File::create(&said).unwrap());
        let (mut child, clock) = (program.spawn().unwrap(), Instant::now());
        let status = loop {
            match child.try_wait().unwrap() {
                Some(status) => break Some(status),
                None if clock.elapsed() > PATIENCE => {
                    child.kill().unwrap();
                    child.wait().unwrap();
                    break None;
                }
                None => std::thread::sleep(Duration::from_millis(2)),
            }
        };
        let log = std::fs::read_to_string(log).unwrap();
        let failed = log.lines().filter_map(|line| {
            let mut words = line.strip_suffix(" !")?.splitn(3, ' ');
            let mut word = || words.next().unwrap();
            Some((word().parse().unwrap(), word().to_string(), PathBuf::from(word())))
        });
        let failed = failed.collect();
        let said = String::from_utf8_lossy(&std::fs::read(said).unwrap()).into_owned();
        let calls = log.lines().map(|line| line.split(' ').nth(1).unwrap().to_string()).collect();
        Ended { status, said, failed, calls }
    }
}

/// Every file below a folder and what is in it: checksums, or values where the file has times of this run. Records of results and
/// of figures, which have such, too, are checked by `verify` and by what they name.
fn content(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let hashed = |values: &[f32]| format!("{values:?}");
        let value = match path.file_name().unwrap().to_str().unwrap() {
            _ if path.is_dir() => {
                found.extend(content(&path));
                continue;
            }
            "artifact.json" | "manifest.jsonl" => String::new(),
            Ensemble::FILE => {
                Ensemble::load(&path).map_or_else(|e| e.to_string(), |it| hashed(it.fields.as_slice().unwrap()))
            }
            Reference::FILE => {
                Reference::load(&path).map_or_else(|e| e.to_string(), |it| hashed(it.fields.as_slice().unwrap()))
            }
            _ => sha256(&path).unwrap(),
        };
        found.insert(path, value);
    }
    found
}

/// Makes `to` a copy of `from`.
fn copy(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
        let path = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &path);
        } else {
            std::fs::copy(entry.path(), path).unwrap();
        }
    }
}

/// A file of pairs for `data --from`, `simulate` and `sample`.
fn own_pairs(path: &Path) {
    let w = Array3::from_shape_fn((6, N, N), |(k, i, j)| ((k + 2 * i + 3 * j) as f32 * 0.1).sin());
    let pairs = Pairs { h: w.mapv(|w| 0.3 * w + 0.1), w, trajectories: 6, per_trajectory: 1 };
    let folder = path.parent().unwrap();
    pairs.save(&folder.join("all.h5"), "all", &[0.0]).unwrap();
    let (from, to) = (hdf5::File::open(folder.join("all.h5")).unwrap(), hdf5::File::create(path).unwrap());
    for (name, copy) in [("vorticity", "w"), ("nonlinear", "h")] {
        let values: Array3<f32> = from.dataset(&format!("all_{name}_{N}")).unwrap().read().unwrap();
        to.new_dataset_builder().with_data(&values).create(copy).unwrap();
    }
    drop(from);
    std::fs::remove_file(folder.join("all.h5")).unwrap();
}

/// What is wrong with a trial; nothing is.
fn judge(
    bench: &Bench,
    command: &str,
    ended: &Ended,
    expected: &BTreeMap<PathBuf, String>,
    timed: &BTreeSet<PathBuf>,
) -> Option<String> {
    let differing = |locks: bool| -> Option<String> {
        let found = content(&bench.at());
        let names: BTreeSet<_> = found.keys().chain(expected.keys()).collect();
        let names: Vec<_> = names
            .into_iter()
            // A lock that could not be removed is free, and goes with the next run.
            .filter(|path| !(locks && path.extension().is_some_and(|end| end == "lock")))
            .filter(|path| match (found.get(*path), expected.get(*path)) {
                (Some(a), Some(b)) => a != b && !timed.contains(*path),
                _ => true,
            })
            .map(|path| path.strip_prefix(bench.at()).unwrap().display().to_string())
            .collect();
        (!names.is_empty()).then(|| format!("other or missing files: {}", names.join(", ")))
    };
    let Some(status) = ended.status else { return Some("does not end".into()) };
    if status.success() {
        return differing(true).map(|what| format!("SILENT: exit 0, {what}"));
    }
    if status.code() != Some(1) || !ended.said.contains("error: ") || ended.said.contains("panicked") {
        return Some(format!("{status}: {}", ended.said));
    }
    // Temporary files have names of no meaning; that of their folder stands in the path of the file that they were to become.
    let named = ended.failed.iter().any(|(_, _, path)| {
        let (folder, name) =
            (path.parent().unwrap().display().to_string(), path.file_name().unwrap().to_str().unwrap());
        ended.said.contains(if name.starts_with(".tmp-lacuna-") { &folder } else { name })
    });
    if !named {
        return Some(format!("the message does not name the file: {}", ended.said));
    }
    let again = bench.run(command, None);
    if !again.status.is_some_and(|status| status.success()) {
        return Some(format!("does not go on: {}", again.said));
    }
    if let Some(what) = differing(false) {
        return Some(format!("goes on to {what}"));
    }
    let problems =
        if of_experiment(command) { Store::open(bench.at()).unwrap().verify(|_| ()).unwrap() } else { vec![] };
    (!problems.is_empty()).then(|| format!("verify: {}", problems.join("; ")))
}

#[test]
fn errors_at_file_calls_are_told_and_leave_nothing_wrong() {
    let Some(bench) = Bench::new() else {
        eprintln!("no C compiler: errors at file calls are not tried");
        return;
    };
    let wanted = number("LACUNA_INJECT_TRIALS", TRIALS);
    let only = std::env::var("LACUNA_INJECT_ONLY").unwrap_or_default();
    let before = bench.root.path().join("before");
    own_pairs(&bench.at().join("own.h5"));
    let (mut failures, mut runs, mut all, mut silent) = (Vec::new(), 0, 0, 0);
    for command in COMMANDS {
        copy(&bench.at(), &before);
        // Twice: what differs is a time.
        let clock = Instant::now();
        let first = bench.run(command, None);
        assert!(first.status.is_some_and(|status| status.success()), "{command}: {}", first.said);
        let (one, time) = (content(&bench.at()), clock.elapsed());
        copy(&before, &bench.at());
        let calls = bench.run(command, None).calls;
        let expected = content(&bench.at());
        let timed: BTreeSet<_> = expected
            .iter()
            .filter(|(path, value)| one.get(*path) != Some(value))
            .map(|(path, _)| path.clone())
            .collect();
        let after = bench.root.path().join("after");
        copy(&bench.at(), &after);
        let (mut numbers, faults) = (Numbers::new(command, 0), faults(&calls));
        let asked = only.split(',').any(|name| command.starts_with(name));
        let trials = if asked { wanted.min(faults.len()) } else { 0 };
        let offset = numbers.below(faults.len());
        let (mut told, mut found) = (0, 0);
        for trial in 0..trials {
            let (call, how) = faults[(offset + trial * faults.len() / trials) % faults.len()];
            copy(&before, &bench.at());
            let ended = bench.run(command, Some((call, how)));
            // Threads share the calls in one way or another; a full disk harms nobody who needs no more room.
            let Some((number, name, path)) = ended.failed.first() else { continue };
            told += usize::from(!ended.status.is_some_and(|status| status.success()));
            if let Some(what) = judge(&bench, command, &ended, &expected, &timed) {
                silent += usize::from(what.starts_with("SILENT"));
                found += 1;
                failures.push(format!(
                    "{command}: call {number}, {name} of {}, {how} (LACUNA_INJECT_AT={call}): {what}",
                    path.display()
                ));
                eprintln!("{}", failures.last().unwrap());
            }
        }
        println!(
            "{command}: {} calls, {trials} of {} errors at them, {told} told, {found} failures; {} timed files; {time:?}",
            calls.len(),
            faults.len(),
            timed.len()
        );
        (runs, all) = (runs + trials, all + faults.len());
        copy(&after, &bench.at());
    }
    println!(
        "inject: {runs} runs with one of {all} errors at file calls, {} failures, {silent} silent",
        failures.len()
    );
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
