//! Runs of the program that are killed, whenever, and gone on with.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lacuna::artifact::{Store, sha256};
use lacuna::rollout::{Ensemble, Reference};

use super::mutate::Numbers;
use super::number;

/// Preset smoke cut to a second or two.
const SETTINGS: [&str; 24] = [
    "flow.n=16",
    "data.n=16",
    "data.train=4",
    "data.validation=1",
    "data.test=1",
    "data.burn_in=0.5",
    "data.final_time=1.0",
    "data.interval=0.25",
    "models.spectral.latent.n=12",
    "models.spectral.network.modes=4",
    "models.p-cdm.network.modes=4",
    "models.joint.latent.n=8",
    "models.joint.network.modes=4",
    "models.two-phase.latent.n=8",
    "models.two-phase.network.modes=4",
    "models.spectral.train.steps=60",
    "models.spectral.train.batch=4",
    "models.spectral.train.validate_every=7",
    "rollout.start=0.3",
    "rollout.duration=0.4",
    "rollout.snapshots=4",
    "rollout.members=6",
    "study.horizon.duration=0.4",
    "study.horizon.snapshots=4",
];

fn program(out: &Path, command: &[&str]) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_lacuna"));
    program.args(command).args(["--preset", "smoke", "--out"]).arg(out);
    program.args(SETTINGS.iter().map(|setting| format!("--set={setting}")));
    program.env_remove("LACUNA_PRESET").env("LACUNA_FIGURES", out.join("figures"));
    program.stdout(Stdio::null()).stderr(Stdio::null());
    program
}

/// What a store holds, without what depends on the clock: by folder and file, checksums, or values where the file has times.
fn content(out: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for folder in std::fs::read_dir(out).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        for file in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            let name = file.strip_prefix(out).unwrap().display().to_string();
            let value = match file.file_name().unwrap().to_str().unwrap() {
                "artifact.json" => String::new(),
                Ensemble::FILE => format!("{:?}", Ensemble::load(&file).unwrap().fields.as_slice().map(hashed)),
                Reference::FILE => format!("{:?}", Reference::load(&file).unwrap().fields.as_slice().map(hashed)),
                _ => sha256(&file).unwrap(),
            };
            found.insert(name, value);
        }
    }
    found
}

fn hashed(values: &[f32]) -> u64 {
    values.iter().fold(7, |hash: u64, value| (hash ^ u64::from(value.to_bits())).wrapping_mul(0x0100_0000_01b3))
}

#[test]
#[cfg(unix)]
fn killed_runs_are_gone_on_with_to_the_same_result() {
    let kills = number("LACUNA_FUZZ_KILLS", 6);
    let mut commands = vec![vec!["data"], vec!["rollout", "--closure", "exact"]];
    if cfg!(feature = "learn") {
        commands.push(vec!["train", "--model", "spectral"]);
    }
    let root = tempfile::tempdir().unwrap();
    // How long it takes, and what comes of it.
    let expected: Vec<_> = (commands.iter().enumerate())
        .map(|(number, command)| {
            let (out, clock) = (root.path().join(format!("whole-{number}")), Instant::now());
            assert!(program(&out, command).status().unwrap().success(), "{command:?}");
            (clock.elapsed(), content(&out))
        })
        .collect();
    let mut done = 0;
    for trial in 0.. {
        if done >= kills {
            break;
        }
        let mut numbers = Numbers::new("kill", trial);
        let (command, (time, expected)) = (&commands[trial % commands.len()], &expected[trial % commands.len()]);
        let out = root.path().join(format!("killed-{trial}"));
        for _ in 0..1 + numbers.below(3) {
            let mut child = program(&out, command).spawn().unwrap();
            let moment = time.as_micros() as usize;
            std::thread::sleep(Duration::from_micros(numbers.below(moment.max(1)) as u64));
            child.kill().unwrap();
            // One that was done is no kill.
            done += usize::from(!child.wait().unwrap().success());
        }
        assert!(program(&out, command).status().unwrap().success(), "trial {trial}: {command:?} does not go on");
        assert_eq!(content(&out), *expected, "trial {trial}: {command:?}");
        // A line that was not written yet is no damage.
        let problems = Store::open(&out).unwrap().verify(|_| ()).unwrap();
        let problems: Vec<_> = problems.iter().filter(|line| !line.contains("names it; append")).collect();
        assert!(problems.is_empty(), "trial {trial}: {problems:?}");
        std::fs::remove_dir_all(out).unwrap();
    }
    println!("kills: {done}, all gone on with to the same values");
}
