//! Changed records, and changed files of runs that were interrupted.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use lacuna::artifact::{Begun, Store, sha256, write_atomically};
use lacuna::config::Config;
use lacuna::data::{Dataset, Options, generate};
use lacuna::rollout::{Reference, reference};

use super::mutate::{self, Numbers};

fn tiny() -> Config {
    let mut config = crate::data::tiny();
    (config.flow.n, config.flow.dt, config.data.n) = (16, 0.01, 8);
    let (data, rollout) = (&mut config.data, &mut config.rollout);
    (data.train, data.validation, data.test) = (2, 1, 1);
    (data.burn_in, data.final_time, data.interval) = (0.05, 0.1, 0.02);
    (rollout.start, rollout.duration, rollout.snapshots, rollout.references) = (0.05, 0.04, 2, 2);
    config
}

/// Every file below a folder, in order.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// Makes `to` a copy of `from`.
fn copy(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    for file in files(from) {
        let path = to.join(file.strip_prefix(from).unwrap());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::copy(file, path).unwrap();
    }
}

/// Changes one file of `folder`; what it was is returned with its path.
fn spoil(numbers: &mut Numbers, folder: &Path) -> (PathBuf, Vec<u8>) {
    let path = numbers.pick(&files(folder)).clone();
    let whole = std::fs::read(&path).unwrap();
    let record = path.extension().is_some_and(|end| end == "json" || end == "jsonl");
    let change = if record { mutate::text } else { mutate::bytes };
    std::fs::write(&path, change(numbers, whole.clone())).unwrap();
    (path, whole)
}

/// A store of two small results, and one bit or more of it changed: noticed.
pub fn manifest(root: &Path, indices: impl Iterator<Item = usize>, mut begin: impl FnMut(usize)) {
    let (good, at) = (root.join("good"), root.join("at"));
    let config = tiny();
    let store = Store::open(&good).unwrap();
    for stage in [config.data_stage(), config.reference_stage()] {
        let Begun::Work(work) = store.begin(&stage, &mut |_| ()).unwrap() else { panic!("a new store has nothing") };
        write_atomically(&work.path("a.bin"), b"abc").unwrap();
        work.finish(&["7:/x".into()], &[], "cpu").unwrap();
    }
    copy(&good, &at);
    let store = Store::open(&at).unwrap();
    assert_eq!(store.verify(|_| ()).unwrap(), [""; 0]);
    for index in indices {
        begin(index);
        let (path, whole) = spoil(&mut Numbers::new("manifest", index), &at);
        let noticed = !store.verify(|_| ()).unwrap().is_empty();
        let same = std::fs::read(&path).unwrap() == whole;
        assert!(noticed || same, "a change of {} was not noticed", path.display());
        let (data, reference) = (store.find(&config.data_stage()), store.find(&config.reference_stage()));
        let used = !path.ends_with("manifest.jsonl");
        assert_eq!(data.is_err() || reference.is_err(), used && !same, "{}", path.display());
        std::fs::write(path, whole).unwrap();
    }
}

/// Runs that were interrupted with everything computed, and a file of theirs changed: the same result, or an error.
pub fn partial(root: &Path, indices: impl Iterator<Item = usize>, mut begin: impl FnMut(usize)) {
    let (good, at) = (root.join("good"), root.join("at"));
    let config = tiny();
    let all = Options { shard: None, threads: 1, beside: &[] };
    let data = |folder: &Path| {
        let set = Dataset::open(folder).unwrap();
        [set.train, set.validation, set.test].map(|split| split.load().unwrap())
    };
    let truth = |path: &Path| {
        let Reference { start, fields, .. } = Reference::load(path).unwrap();
        (start, fields)
    };
    let store = Store::open(&good).unwrap();
    let made = generate(&config, &store, &all, &mut |_| ()).unwrap().unwrap();
    let expected = (data(&made.folder), {
        let whole = Store::open(root.join("whole")).unwrap();
        truth(&reference(&config, &whole, &mut |_| ()).unwrap().path(Reference::FILE))
    });
    let begun = good.join(format!("{}.partial", config.data_stage().folder()));
    std::fs::rename(&made.folder, &begun).unwrap();
    for name in ["artifact.json", "stats.json", "test.h5"] {
        std::fs::remove_file(begun.join(name)).unwrap();
    }
    for name in ["train.h5", "validation.h5"] {
        let sum = sha256(&begun.join(name)).unwrap();
        std::fs::write(begun.join(format!("{name}.sha256")), format!("{sum}  {name}\n")).unwrap();
    }
    std::fs::remove_file(good.join("manifest.jsonl")).unwrap();
    let killed = catch_unwind(AssertUnwindSafe(|| {
        reference(&config, &store, &mut |line| assert!(!line.contains(": 2/2 realisations"), "killed on purpose"))
    }));
    assert!(killed.is_err());
    // One trajectory more, as a part.
    let (part, shard) = (root.join("part"), Options { shard: Some((4, 4)), threads: 1, beside: &[] });
    assert!(generate(&config, &Store::open(&part).unwrap(), &shard, &mut |_| ()).unwrap().is_none());
    let part = part.join(begun.file_name().unwrap()).join("part-test-00000");
    std::fs::copy(part, begun.join("part-test-00000")).unwrap();
    for index in indices {
        begin(index);
        copy(&good, &at);
        let _ = std::fs::remove_file(at.join("manifest.jsonl"));
        let (path, _) = spoil(&mut Numbers::new("partial", index), &at);
        let store = Store::open(&at).unwrap();
        if let Ok(made) = generate(&config, &store, &all, &mut |_| ()) {
            assert!(data(&made.unwrap().folder) == expected.0, "{} was taken", path.display());
        }
        if let Ok(made) = reference(&config, &store, &mut |_| ()) {
            assert!(truth(&made.path(Reference::FILE)) == expected.1, "{} was taken", path.display());
        }
    }
}
