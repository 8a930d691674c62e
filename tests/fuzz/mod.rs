//! Damaged, crafted and interrupted input ends in an error or in the right result: never in a crash, a hang or a wrong one.
//!
//! Every input is made of a seed ([`seeds`]; first each seed itself) by changes that depend on its number alone ([`mutate`]), and read
//! in a child process of limited memory and time. `make fuzz` reads more of them, and kills more runs, than `make test` does.

mod kills;
pub mod mutate;
pub mod seeds;
mod stores;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use lacuna::Config;
use lacuna::artifact::h5;
use lacuna::closure::Learned;
use lacuna::data::{FieldSet, Split};
use lacuna::import::pytorch::{Kind, import};
use lacuna::latent::{Operation, apply};
use lacuna::nets::Checkpoint;
use lacuna::rollout::{Ensemble, Reference};

use self::mutate::Numbers;

/// What is fuzzed, each with its share of the inputs. Interrupted runs are gone on with, which takes longer than reading.
const TARGETS: [(&str, usize); 8] = [
    ("hdf5", 4),
    ("checkpoint", 4),
    ("parts", 2),
    ("state-dict", 4),
    ("toml", 2),
    ("set", 2),
    ("manifest", 2),
    ("partial", 1),
];
/// Memory of a child in KiB, a multiple of what the largest honest input takes.
const MEMORY: usize = 4 << 20;
/// Longest that one input may take: a thousand times what it does on an idle machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// A number from the environment.
pub fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

#[test]
#[cfg(unix)]
fn every_input_gives_an_error_or_a_result() {
    let all: usize = number("LACUNA_FUZZ_INPUTS", 600);
    let shares: usize = TARGETS.iter().map(|(_, share)| share).sum();
    let mut failures = Vec::new();
    for (target, share) in TARGETS {
        let root = tempfile::tempdir().unwrap();
        let count = (all * share).div_ceil(shares);
        let mut first = 0;
        let before = failures.len();
        while let Some((index, how)) = children(target, first..count, root.path()) {
            failures.push(format!("{target} {index}: {how}"));
            first = index + 1;
        }
        println!("{target}: {count} inputs, {} failures", failures.len() - before);
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Reads inputs in a child process; the first that it does not survive, and how it ended.
fn children(target: &str, indices: std::ops::Range<usize>, root: &Path) -> Option<(usize, String)> {
    let (at, said) = (root.join("index"), root.join("said"));
    std::fs::write(&at, indices.start.to_string()).unwrap();
    let output = std::fs::File::create(&said).unwrap();
    let script = format!("ulimit -v {MEMORY}; ulimit -c 0; exec \"$0\" --exact fuzz::child --ignored --nocapture");
    let mut child = Command::new("bash")
        .args(["-c", &script])
        .arg(std::env::current_exe().unwrap())
        .env("LACUNA_FUZZ_TARGET", target)
        .env("LACUNA_FUZZ_RANGE", format!("{} {}", indices.start, indices.end))
        .env("LACUNA_FUZZ_ROOT", root)
        .env("RUST_BACKTRACE", "0")
        .env("LACUNA_BIN", env!("CARGO_BIN_EXE_lacuna"))
        .stdout(output.try_clone().unwrap())
        .stderr(output)
        .spawn()
        .unwrap();
    let index = || std::fs::read_to_string(&at).ok().and_then(|text| text.parse().ok());
    let (mut last, mut since) = (index(), Instant::now());
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            let said = std::fs::read_to_string(&said).unwrap_or_default();
            let end: String = said.chars().rev().take(2000).collect::<Vec<_>>().into_iter().rev().collect();
            return (!status.success()).then(|| (index().unwrap_or(indices.end), format!("{status}\n{end}")));
        }
        let now = index().or(last);
        if now != last {
            (last, since) = (now, Instant::now());
        }
        if since.elapsed() > PATIENCE {
            child.kill().unwrap();
            child.wait().unwrap();
            return Some((last.unwrap_or(indices.end), format!("no end after {PATIENCE:?}")));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Run by [`every_input_gives_an_error_or_a_result`] in a process of its own.
#[test]
#[ignore = "part of another test"]
fn child() {
    let Ok(target) = std::env::var("LACUNA_FUZZ_TARGET") else { return };
    let range = std::env::var("LACUNA_FUZZ_RANGE").unwrap();
    let (first, end) = range.split_once(' ').unwrap();
    let indices = first.parse().unwrap()..end.parse().unwrap();
    let root = std::path::PathBuf::from(std::env::var("LACUNA_FUZZ_ROOT").unwrap());
    let work = root.join(format!("work-{}", indices.start));
    std::fs::create_dir_all(&work).unwrap();
    let begin = |index: usize| std::fs::write(root.join("index"), index.to_string()).unwrap();
    match target.as_str() {
        "manifest" => return stores::manifest(&work, indices, begin),
        "partial" => return stores::partial(&work, indices, begin),
        _ => {}
    }
    let seeds = seeds::of(&target, &work);
    for index in indices {
        begin(index);
        read(&target, input(&target, &seeds, index), &work, index);
    }
}

/// Input `index`: the seeds themselves, then changes of them.
fn input(target: &str, seeds: &[Vec<u8>], index: usize) -> Vec<u8> {
    if let Some(seed) = seeds.get(index) {
        return seed.clone();
    }
    let mut numbers = Numbers::new(target, index);
    let seed = numbers.pick(seeds).clone();
    match target {
        "toml" | "set" | "parts" => mutate::text(&mut numbers, seed),
        // Half of them with a checksum that fits.
        "checkpoint" if numbers.below(2) == 0 => seeds::signed(&seed, |header| mutate::text(&mut numbers, header)),
        _ => mutate::bytes(&mut numbers, seed),
    }
}

/// Hands an input to everything that reads such.
fn read(target: &str, input: Vec<u8>, folder: &Path, index: usize) {
    // A file of its own: one that the HDF5 library has kept open is another.
    let path = folder.join(format!("input-{index}"));
    match target {
        "set" => {
            if let Ok(setting) = String::from_utf8(input) {
                let _ = Config::load("smoke", None, &[setting]);
            }
            return;
        }
        "parts" if !folder.join("abc").exists() => {
            std::fs::write(folder.join("abc"), "abc").unwrap();
            #[cfg(unix)]
            std::os::unix::fs::symlink("/dev/zero", folder.join("link")).unwrap();
            assert!(Command::new("mkfifo").arg(folder.join("fifo")).status().unwrap().success());
        }
        _ => {}
    }
    std::fs::write(&path, input).unwrap();
    match target {
        "hdf5" => hdf5(&path),
        "checkpoint" | "parts" => checkpoint(&path),
        "state-dict" => {
            for kind in [Kind::Score, Kind::Autoencoder] {
                if let Ok(read) = import(&path, kind) {
                    read.save(&folder.join("imported")).unwrap();
                    checkpoint(&folder.join("imported"));
                }
            }
        }
        "toml" => {
            if let Ok(config) = Config::load("smoke", Some(&path), &[]) {
                assert!(config.preset.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_".contains(letter)));
            }
        }
        other => panic!("no target {other}"),
    }
    std::fs::remove_file(path).unwrap();
}

/// Datasets of the seeds.
const DATASETS: [&str; 8] =
    ["w", "vorticity", "start", "t", "failed_at", "train_vorticity_8", "train_nonlinear_8", "train_diffusion_8"];

fn hdf5(path: &Path) {
    // At some damage the HDF5 library crashes: that is seen in another process.
    let Ok(file) = h5::foreign(path, &DATASETS) else { return };
    if let Ok(set) = FieldSet::open(&file, path, "w", None)
        && let Ok(fields) = set.read::<f64>(0..set.count())
    {
        assert!(fields.iter().all(|w| w.is_finite()));
    }
    if let Ok(pairs) = Split::open(path, "train").and_then(|split| split.load()) {
        assert!(pairs.w.iter().chain(&pairs.h).all(|value| value.is_finite()));
    }
    let _ = Ensemble::load(path);
    let _ = Reference::load(path);
}

fn checkpoint(path: &Path) {
    let Ok(checkpoint) = Checkpoint::load(path) else { return };
    let field = ndarray::Array3::from_shape_fn((1, 16, 16), |(_, i, j)| (i * 16 + j) as f32 / 256.0);
    for operation in [Operation::Reconstruct, Operation::Decode, Operation::Score { tau: 0.5 }] {
        let _ = apply(&checkpoint, operation, field.view(), Some(field.view()));
    }
    // A model is made for its own grid, which may be large.
    if checkpoint.n <= 64 {
        let _ = Learned::new(&checkpoint, &checkpoint.model.sampler);
    }
}
