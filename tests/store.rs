//! What is read is what was written: results, their records, the manifest, and what an interrupted run left.

use std::path::{Path, PathBuf};

use lacuna::artifact::{Artifact, Begun, Store, Work, write_atomically};
use lacuna::config::{Config, Stage};
use lacuna_core::file::TEMPORARY;

fn config(settings: &[&str]) -> Config {
    let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
    Config::load("smoke", None, &settings).unwrap()
}

/// The work on a stage that nobody is at.
fn begin(store: &Store, stage: &Stage) -> lacuna::Result<Work> {
    store.begin(stage, &mut |_| ()).map(|begun| match begun {
        Begun::Work(work) => work,
        Begun::Found(found) => panic!("{} is there", found.name()),
    })
}

/// A result of one file that holds `bytes`.
fn result(store: &Store, stage: &Stage, bytes: &[u8]) -> Artifact {
    let work = begin(store, stage).unwrap();
    write_atomically(&work.path("a.bin"), bytes).unwrap();
    work.finish(&["7:/data".into()], &[], "cpu").unwrap()
}

/// A store with a data set and a reference, each of one small file.
fn store(root: &Path) -> (Store, Artifact, Stage) {
    let (store, config) = (Store::open(root).unwrap(), config(&[]));
    result(&store, &config.reference_stage(), b"reference");
    let data = result(&store, &config.data_stage(), b"abc");
    (store, data, config.data_stage())
}

fn problems(store: &Store) -> Vec<String> {
    store.verify(|_| ()).unwrap()
}

/// Writes `bytes` to the end of a file.
fn append(path: &Path, bytes: &[u8]) {
    let mut all = std::fs::read(path).unwrap();
    all.extend(bytes);
    std::fs::write(path, all).unwrap();
}

#[test]
fn one_changed_bit_anywhere_in_a_store_is_noticed() {
    let root = tempfile::tempdir().unwrap();
    let (store, data, stage) = store(root.path());
    assert_eq!(problems(&store), [""; 0]);
    for path in [data.path("artifact.json"), data.path("a.bin"), root.path().join("manifest.jsonl")] {
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1 << (at % 8);
            std::fs::write(&path, changed).unwrap();
            let found = problems(&store);
            assert!(!found.is_empty(), "byte {at} of {}", path.display());
            // What a stage takes as its input is looked at by that stage, too.
            let used = path.starts_with(&data.folder);
            assert_eq!(store.find(&stage).is_err(), used, "byte {at} of {}", path.display());
        }
        std::fs::write(&path, whole).unwrap();
    }
    assert_eq!(problems(&store), [""; 0]);
    std::fs::write(data.path("a.bin"), b"abd").unwrap();
    let error = store.find(&stage).unwrap_err().to_string();
    // FIPS 180-4: the digest of "abc" is what was expected.
    for word in ["a.bin", "ba7816bf8f01cfea", "a52d159f262b2c6d", "delete"] {
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn results_of_versions_without_sealed_records_are_read() {
    let root = tempfile::tempdir().unwrap();
    let (store, data, stage) = store(root.path());
    let unsealed = |path: PathBuf| {
        let line = |line: &str| format!("{}}}\n", &line[..line.rfind(",\"sha256\"").unwrap()]);
        let text: String = std::fs::read_to_string(&path).unwrap().lines().map(line).collect();
        std::fs::write(path, text).unwrap();
    };
    unsealed(data.path("artifact.json"));
    // A record that has lost its seal is no longer that of the manifest.
    assert_eq!(problems(&store).len(), 1);
    unsealed(root.path().join("manifest.jsonl"));
    assert_eq!(problems(&store).len(), 1, "the reference kept its seal");
    let reference = store.find(&config(&[]).reference_stage()).unwrap().unwrap();
    unsealed(reference.path("artifact.json"));
    assert_eq!(problems(&store), [""; 0]);
    assert_eq!(store.find(&stage).unwrap().unwrap().entry, data.entry);
}

#[test]
fn what_is_missing_renamed_foreign_or_torn_is_named() {
    let check = |spoil: &dyn Fn(&Path, &Artifact), words: &[&str]| {
        let root = tempfile::tempdir().unwrap();
        let (store, data, _) = store(root.path());
        spoil(root.path(), &data);
        let found = problems(&store);
        assert!(found.iter().any(|line| words.iter().all(|word| line.contains(word))), "{words:?}: {found:?}");
    };
    check(&|_, data| std::fs::remove_dir_all(&data.folder).unwrap(), &["data-", "gone", "line 2"]);
    check(&|_, data| std::fs::remove_file(data.path("artifact.json")).unwrap(), &["artifact.json", "No such file"]);
    let other = |root: &Path| root.join("data-000000000000");
    check(
        &|root, data| std::fs::rename(&data.folder, other(root)).unwrap(),
        &["data-000000000000", "give it that name"],
    );
    check(&|_, data| std::fs::write(data.path("notes.txt"), "mine").unwrap(), &["notes.txt", "remove it"]);
    check(
        &|root, _| append(&root.join("manifest.jsonl"), b"{\"device\":\"c"),
        &["manifest.jsonl: line 3", "not a manifest"],
    );
    check(&|root, _| std::fs::remove_file(root.join("manifest.jsonl")).unwrap(), &["data-", "no line"]);
    let rewritten = |from: &str, to: &str, data: &Artifact| {
        let path = data.path("artifact.json");
        let text = std::fs::read_to_string(&path).unwrap().replace(from, to);
        // Without its seal, as if by an earlier version.
        std::fs::write(path, format!("{}}}\n", &text[..text.rfind(",\"sha256\"").unwrap()])).unwrap();
    };
    let viscosity = "\"viscosity\":0.001";
    check(&|_, data| rewritten(viscosity, "\"viscosity\":0.002", data), &["artifact.json", "`hash`"]);
    for name in ["../secret", "/dev/zero", "a/b", "..", ""] {
        check(
            &|_, data| rewritten("\"a.bin\"", &format!("{name:?}"), data),
            &["artifact.json", name, "none of this folder"],
        );
    }
    let file =
        "{\"a.bin\":{\"bytes\":3,\"sha256\":\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"}}";
    check(&|_, data| rewritten(file, "{}", data), &["names no file"]);
    #[cfg(unix)]
    check(
        &|_, data| {
            std::fs::remove_file(data.path("a.bin")).unwrap();
            std::os::unix::fs::symlink("/dev/zero", data.path("a.bin")).unwrap();
        },
        &["a.bin", "not a regular file"],
    );
}

#[test]
fn folders_that_are_no_results_are_left_alone_and_no_store_is_made() {
    let root = tempfile::tempdir().unwrap();
    let (store, ..) = store(root.path());
    for name in ["my-notes", "data-old", "train-0123456789ab.partial"] {
        std::fs::create_dir(root.path().join(name)).unwrap();
        std::fs::write(root.path().join(name).join("x"), "x").unwrap();
    }
    assert_eq!(problems(&store), [""; 0]);
    std::fs::create_dir(root.path().join("train-0123456789ab")).unwrap();
    assert_eq!(problems(&store).len(), 1);

    let missing = root.path().join("dtaa");
    assert!(Store::open(&missing).unwrap().verify(|_| ()).unwrap_err().to_string().contains("dtaa"));
    assert!(!missing.exists());
    let empty = tempfile::tempdir().unwrap();
    let error = Store::open(empty.path()).unwrap().verify(|_| ()).unwrap_err().to_string();
    assert!(error.contains("no folder of results"), "{error}");
    assert!(Store::open(root.path().join("manifest.jsonl")).unwrap_err().to_string().contains("not a folder"));
}

#[test]
fn what_is_foreign_to_a_stage_at_work_is_named_before_the_work() {
    let root = tempfile::tempdir().unwrap();
    let (store, stage) = (Store::open(root.path()).unwrap(), config(&[]).data_stage());
    let partial = root.path().join(format!("{}.partial", stage.folder()));
    std::fs::create_dir(&partial).unwrap();
    std::fs::write(partial.join(format!("{TEMPORARY}AbCdEf")), "left by a run that was killed").unwrap();
    std::fs::write(partial.join("part-0"), "finished").unwrap();
    drop(begin(&store, &stage).unwrap());
    assert_eq!(std::fs::read_dir(&partial).unwrap().count(), 1);
    std::fs::create_dir(partial.join("lost+found")).unwrap();
    let error = begin(&store, &stage).unwrap_err().to_string();
    assert!(error.contains("lost+found") && error.contains("remove it"), "{error}");
    std::fs::remove_dir(partial.join("lost+found")).unwrap();
    std::fs::write(partial.join(".nfs0001"), "").unwrap();
    assert!(begin(&store, &stage).unwrap_err().to_string().contains(".nfs0001"));
}

#[test]
fn files_of_an_interrupted_run_are_taken_as_they_were_sealed_or_not_at_all() {
    let root = tempfile::tempdir().unwrap();
    let (store, stage) = (Store::open(root.path()).unwrap(), config(&[]).data_stage());
    let work = begin(&store, &stage).unwrap();
    let mut said = Vec::new();
    let mut sealed = |name: &str| work.is_sealed(name, &mut |line| said.push(line.to_string()));
    assert!(!sealed("a.bin"));
    std::fs::write(work.path("a.bin"), "abc").unwrap();
    assert!(!sealed("a.bin"), "what nobody sealed is nobody's");
    work.seal("a.bin").unwrap();
    assert!(sealed("a.bin"));
    let record = std::fs::read_to_string(work.path("a.bin.sha256")).unwrap();
    assert!(record.starts_with("ba7816bf8f01cfea") && record.ends_with("  a.bin\n"), "{record}");
    std::fs::write(work.path("a.bin"), "abd").unwrap();
    assert!(!sealed("a.bin"));
    assert!(said.len() == 1 && said[0].contains("a.bin") && said[0].contains("made again"), "{said:?}");
    let made = work.finish(&[], &[], "cpu").unwrap();
    assert_eq!(made.entry.files.keys().collect::<Vec<_>>(), ["a.bin"]);
}
