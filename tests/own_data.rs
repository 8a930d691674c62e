//! Pairs and start fields of one's own, from the file to the scores.

use std::path::Path;
use std::process::{Command, Output};

use lacuna::artifact::{Store, h5};
use lacuna::config::{Config, Preset, SourceConfig, StartConfig};
use lacuna::data::{Dataset, Options, Pairs, generate, resolve};
use ndarray::{Array3, Array4, s};

const N: usize = 16;
const TIMES: usize = 3;

/// Pairs of `trajectories` trajectories in the published layout: the first value of each ω tells which sample it is.
fn fields(trajectories: usize, which: f64) -> [Array3<f32>; 2] {
    let w = Array3::from_shape_fn((trajectories * TIMES, N, N), |(k, i, j)| {
        if i + j == 0 { k as f32 } else { ((k + 2 * i + 3 * j) as f64 * 0.1 + which).sin() as f32 }
    });
    let h = w.mapv(|w| 0.3 * w + 0.1);
    [w, h]
}

/// The file, to be added to. A process that another test has just started may hold the lock of what was open then.
fn appended(path: &Path) -> hdf5::File {
    let mut tries = (0..500).map(|_| hdf5::File::append(path));
    let pause = |_: &hdf5::Error| std::thread::sleep(std::time::Duration::from_millis(10));
    tries.find_map(|file| file.inspect_err(pause).ok()).unwrap()
}

fn published(path: &Path, key: &str, trajectories: usize, timed: bool) {
    let file = appended(path);
    for (name, values) in ["vorticity", "nonlinear"].into_iter().zip(fields(trajectories, 0.0)) {
        file.new_dataset_builder().with_data(&values).create(format!("{key}_{name}_{N}").as_str()).unwrap();
    }
    if timed && file.dataset("t").is_err() {
        file.new_dataset_builder().with_data(&[20.0, 20.5, 21.0]).create("t").unwrap();
    }
}

fn tiny() -> Config {
    let mut config = Config::preset(Preset::Smoke);
    (config.flow.n, config.data.n) = (N, N);
    config.models.retain(|name, _| name == "p-cdm");
    config.models.get_mut("p-cdm").unwrap().network.modes = 4;
    config.rollout.closures = vec!["none".into(), "p-cdm".into()];
    config.eval.offline_only.clear();
    config.study.frontier.models.clear();
    config.study.horizon.closures = vec!["none".into()];
    config.study.ensemble.closures = vec!["none".into()];
    config.study.starts = None;
    (config.study.regimes, config.study.amounts) = (None, None);
    (config.data.train, config.data.validation, config.data.test) = (6, 2, 2);
    config
}

/// The data set of a source, and the lines that were said.
fn adopt(source: SourceConfig, root: &Path) -> Result<(Dataset, Vec<String>, Config), String> {
    let mut config = tiny().with_data(source);
    let mut lines = Vec::new();
    let mut made = || {
        config.validate()?;
        resolve(&mut config)?;
        let store = Store::open(root)?;
        let made = generate(&config, &store, &Options::default(), &mut |line| lines.push(line.to_string()))?.unwrap();
        Dataset::open(&made.folder)
    };
    made().map_err(|error: lacuna::Error| error.to_string()).map(|made| (made, lines, config))
}

fn all(data: &Dataset) -> [Pairs; 3] {
    [&data.train, &data.validation, &data.test].map(|split| split.load().unwrap())
}

/// Which samples of the source a split has.
fn samples(pairs: &Pairs) -> Vec<usize> {
    pairs.w.slice(s![.., 0, 0]).iter().map(|&k| k as usize).collect()
}

#[test]
fn pairs_in_the_published_layout_are_divided_by_trajectory_and_bound_to_their_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two, root) = (folder.path().join("one"), folder.path().join("two"), folder.path().join("store"));
    std::fs::create_dir_all(&one).unwrap();
    std::fs::create_dir_all(&two).unwrap();
    published(&one.join("a.h5"), "train", 8, true);
    published(&one.join("b.hdf5"), "test", 2, true);
    for key in [("train", 8), ("test", 2)] {
        published(&two.join("both.hdf5"), key.0, key.1, true);
    }
    // What lies beside them stops nothing.
    std::fs::write(one.join("._a.h5"), "hidden").unwrap();
    std::fs::write(one.join("broken.h5"), "broken").unwrap();
    std::fs::write(one.join("notes.txt"), "notes").unwrap();
    let (data, lines, config) = adopt(SourceConfig::new(&one), &root).unwrap();
    let [train, validation, test] = all(&data);
    assert_eq!((train.trajectories, validation.trajectories, test.trajectories), (6, 2, 2));
    assert_eq!((test.per_trajectory, data.test.times().unwrap()), (3, vec![20.0, 20.5, 21.0]));
    assert!(lines.iter().any(|line| line.contains("6 of 8 trajectories") && line.contains("train")), "{lines:?}");
    let (mut used, held_out) = (samples(&train), samples(&validation));
    // Whole trajectories, each once, and not simply the last ones.
    assert!(used.chunks(TIMES).chain(held_out.chunks(TIMES)).all(|t| t[0] % TIMES == 0 && t[2] == t[0] + 2));
    assert_ne!(held_out, [18, 19, 20, 21, 22, 23]);
    used.extend(held_out);
    used.sort_unstable();
    assert_eq!(used, (0..24).collect::<Vec<_>>());
    assert!(train.h.slice(s![0, .., ..]) == train.w.slice(s![0, .., ..]).mapv(|w| 0.3 * w + 0.1));
    assert_eq!(test.w, fields(2, 0.0)[0]);
    assert_eq!((data.stats.known_rms, data.train.stats().unwrap()), (0.0, data.stats));
    // Both splits in one file are other bytes; the same file elsewhere is not.
    let (_, _, other) = adopt(SourceConfig::new(&two), &root).unwrap();
    assert_ne!(other.data_stage().hash, config.data_stage().hash);
    let three = folder.path().join("three");
    std::fs::create_dir(&three).unwrap();
    std::fs::copy(two.join("both.hdf5"), three.join("renamed.h5")).unwrap();
    let (moved, _, same) = adopt(SourceConfig::new(three.join("renamed.h5")), &root).unwrap();
    assert_eq!(same.data_stage(), other.data_stage());
    assert!(moved.folder == root.join(other.data_stage().folder()));
    assert_eq!(same.train_stage("p-cdm").unwrap(), other.train_stage("p-cdm").unwrap());
    // With its checksum in the configuration a result needs no file, and other bytes are refused.
    let known = other.data.source.clone().unwrap();
    std::fs::remove_dir_all(&two).unwrap();
    adopt(known.clone(), &root).unwrap();
    published(&three.join("renamed.h5"), "validation", 3, true);
    let changed = SourceConfig { path: three.join("renamed.h5"), ..known };
    let error = adopt(changed, &folder.path().join("empty")).unwrap_err();
    assert!(error.contains("renamed.h5") && error.contains("data.source.sha256"), "{error}");
    // Pairs that were saved come back.
    let four = folder.path().join("four");
    std::fs::create_dir(&four).unwrap();
    let times = [20.0, 20.5, 21.0];
    for (key, pairs) in [("train", &train), ("validation", &validation), ("test", &test)] {
        pairs.save(&four.join(format!("{key}.h5")), key, &times).unwrap();
    }
    let (saved, ..) = adopt(SourceConfig::new(&four), &root).unwrap();
    assert_eq!((all(&saved), saved.test.times().unwrap()), ([train, validation, test.clone()], times.to_vec()));
    assert!(test.save(&four.join("wrong.h5"), "test", &times[..2]).unwrap_err().to_string().contains("2 × 2"));
    // A validation split that is there is used.
    let (data, ..) = adopt(SourceConfig::new(&three), &root).unwrap();
    assert_eq!((data.train.trajectories, data.validation.trajectories), (8, 3));
}

#[test]
fn two_arrays_of_any_name_are_pairs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.hdf5");
    let [w, h] = fields(10, 1.0);
    let by_time = |values: &Array3<f32>| values.clone().into_shape_with_order((10, TIMES, N, N)).unwrap();
    let file = hdf5::File::create(&path).unwrap();
    file.new_dataset_builder().with_data(&by_time(&w)).create("omega").unwrap();
    file.new_dataset_builder().with_data(&by_time(&h).mapv(f64::from)).create("PI").unwrap();
    for (name, values) in [("flat_w", &w), ("flat_h", &h)] {
        file.new_dataset_builder().with_data(values).create(name).unwrap();
        let five = values.clone().into_shape_with_order((10, TIMES, 1, N, N)).unwrap();
        file.new_dataset_builder().with_data(&five).create(format!("{name}_channel").as_str()).unwrap();
    }
    file.new_dataset_builder().with_data(&by_time(&h).slice(s![..9, .., .., ..])).create("short").unwrap();
    file.close().unwrap();
    let named = |w: &str, h: &str| SourceConfig {
        vorticity: Some(w.into()),
        term: Some(h.into()),
        ..SourceConfig::new(folder.path())
    };
    let root = folder.path().join("store");
    let (data, ..) = adopt(named("omega", "PI"), &root).unwrap();
    let expected = all(&data);
    assert_eq!((data.train.trajectories, data.validation.trajectories, data.test.trajectories), (6, 2, 2));
    assert_eq!(data.train.times().unwrap(), [0.0, 1.0, 2.0]);
    let mut used: Vec<usize> = expected.iter().flat_map(samples).collect();
    used.sort_unstable();
    assert_eq!(used, (0..30).collect::<Vec<_>>());
    let (channels, ..) = adopt(named("flat_w_channel", "flat_h_channel"), &root).unwrap();
    assert_eq!(all(&channels), expected);
    // Without times a sample is a trajectory, and that is said.
    let (flat, lines, _) = adopt(named("flat_w", "flat_h"), &root).unwrap();
    assert_eq!((flat.train.trajectories, flat.train.per_trajectory), (18, 1));
    assert!(lines.iter().any(|line| line.contains("no `t`")), "{lines:?}");

    let refused = |source: SourceConfig, words: &[&str]| {
        let error = adopt(source, &root).unwrap_err();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    };
    refused(named("omega", "short"), &["mine.hdf5", "`short`", "[10, 3]", "[9, 3, 16, 16]"]);
    refused(named("omega", "flat_h"), &["`flat_h`", "as `omega`"]);
    refused(named("omega", "absent"), &["`omega` and `absent`"]);
    let alone = SourceConfig { term: None, ..named("omega", "PI") };
    refused(alone, &["data.source", "both"]);
    std::fs::copy(&path, folder.path().join("copy.h5")).unwrap();
    refused(named("omega", "PI"), &["copy.h5", "mine.hdf5", "both hold"]);
    let one = SourceConfig { path: path.clone(), ..named("omega", "absent") };
    refused(one, &["no dataset `absent`", "the file holds"]);
}

#[test]
fn what_is_no_set_of_pairs_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |name: &str, fill: &dyn Fn(&Path), words: &[&str]| {
        let at = folder.path().join(name);
        std::fs::create_dir(&at).unwrap();
        fill(&at);
        let error = adopt(SourceConfig::new(&at), &folder.path().join("store")).unwrap_err();
        assert!(words.iter().all(|word| error.contains(word)), "{name}: {error}");
    };
    refused("empty", &|_| (), &["no train split", "train_vorticity_16", "data.source.vorticity"]);
    refused("broken", &|at| std::fs::write(at.join("train.h5"), "x").unwrap(), &["train.h5", "not a whole HDF5 file"]);
    let two = |at: &Path| {
        published(&at.join("a.h5"), "train", 4, true);
        published(&at.join("b.h5"), "train", 4, true);
    };
    refused("two", &two, &["a.h5", "b.h5", "both hold a train split"]);
    let few = |at: &Path| {
        published(&at.join("a.h5"), "train", 1, true);
        published(&at.join("a.h5"), "test", 1, true);
    };
    refused("few", &few, &["1 trajectories", "at least 2"]);
    let other = |at: &Path| {
        published(&at.join("a.h5"), "test", 1, true);
        let file = hdf5::File::append(at.join("a.h5")).unwrap();
        for name in ["train_vorticity_8", "train_nonlinear_8"] {
            file.new_dataset_builder().with_data(&Array3::<f32>::ones((6, 8, 8))).create(name).unwrap();
        }
    };
    refused("grid", &other, &["train_vorticity_8", "data.n = 16", "[8, 8]"]);
    let spoilt = |at: &Path| {
        for (key, count) in [("train", 4), ("test", 2)] {
            published(&at.join("a.h5"), key, count, true);
        }
        let file = hdf5::File::append(at.join("a.h5")).unwrap();
        file.dataset("train_nonlinear_16").unwrap().write_slice(&[f32::NAN], s![7, 2, 3..4]).unwrap();
    };
    refused("spoilt", &spoilt, &["train_nonlinear_16", "NaN", "field 7, point (2, 3)"]);
    // The published predecessor: shuffled samples without times, test fields of several sizes.
    let sizes = |at: &Path| {
        published(&at.join("a.h5"), "train", 4, false);
        published(&at.join("a.h5"), "test", 2, false);
        let file = hdf5::File::append(at.join("a.h5")).unwrap();
        for (name, n) in [("test_vorticity_32", 32), ("test_nonlinear_32", 32), ("test_nonlinear_16_sparse_interp", 16)]
        {
            file.new_dataset_builder().with_data(&Array3::<f32>::ones((6, n, n))).create(name).unwrap();
        }
    };
    let at = folder.path().join("sizes");
    std::fs::create_dir(&at).unwrap();
    sizes(&at);
    let (data, ..) = adopt(SourceConfig::new(&at), &folder.path().join("store")).unwrap();
    assert_eq!((data.test.n, data.test.trajectories, data.test.per_trajectory), (16, 6, 1));
}

fn lacuna(out: &Path, arguments: &[&str]) -> Output {
    let figures = out.join("figures");
    let mut program = Command::new(env!("CARGO_BIN_EXE_lacuna"));
    let program = program.args(arguments).env_remove("LACUNA_PRESET");
    program.env("LACUNA_OUT", out).env("LACUNA_FIGURES", figures).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The program on `tiny()` as a file.
fn run(folder: &Path, command: &str, more: &[&str]) -> Output {
    let file = folder.join("tiny.toml");
    let mut config = tiny();
    let model = config.models.get_mut("p-cdm").unwrap();
    (model.train.steps, model.train.batch, model.sampler.steps) = (4, 2, 2);
    (config.eval.samples, config.eval.conditions) = (2, 2);
    (config.rollout.duration, config.rollout.snapshots, config.rollout.members) = (0.02, 2, 2);
    (config.rollout.start, config.rollout.references) = (0.01, 1);
    (config.study.horizon.duration, config.study.horizon.snapshots) = (0.02, 1);
    // Its other models would come on top.
    std::fs::write(&file, config.to_toml()).unwrap();
    let fit = [
        "--set=models.spectral.latent.n=12",
        "--set=models.spectral.network.modes=4",
        "--set=models.joint.latent.n=8",
        "--set=models.joint.network.modes=4",
        "--set=models.two-phase.latent.n=8",
        "--set=models.two-phase.network.modes=4",
    ];
    let start = [command, "--preset", "smoke", "--config", file.to_str().unwrap()];
    lacuna(&folder.join("out"), &[&start[..], &fit, more].concat())
}

#[cfg(feature = "learn")]
#[test]
fn own_pairs_are_trained_on_scored_against_the_data_and_rolled_out_from_an_own_field() {
    let folder = tempfile::tempdir().unwrap();
    let pairs = folder.path().join("pairs.h5");
    published(&pairs, "train", 4, true);
    published(&pairs, "test", 2, true);
    let ok = |command: &str, more: &[&str]| {
        let output = run(folder.path(), command, more);
        assert!(output.status.success(), "{command}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    let from = format!("--from={}", pairs.display());
    let said = ok("data", &[&from]);
    assert!(
        said.contains("--set 'data.source=") && said.contains("6 pairs of 16²") && !said.contains("noise"),
        "{said}"
    );
    let set = format!("--set=data.source={}", pairs.display());
    assert!(ok("data", &[&set]).contains("found"));
    ok("train", &[&set, "--model=p-cdm"]);
    let scores = ok("eval", &[&set]);
    assert!(
        scores.contains("CRPS") && scores.contains("Not there for pairs of one's own") && scores.contains("bias"),
        "{scores}"
    );
    assert!(!scores.contains("exact law on"), "{scores}");
    // The law of the exact closure is not known.
    let output = run(folder.path(), "rollout", &[&set, "--closure=exact"]);
    assert!(text(&output.stderr).contains("data.source.exact"), "{}", text(&output.stderr));
    // Unless they are said to follow the equation.
    let table = format!("--set=data.source={{ path = \"{}\", exact = true }}", pairs.display());
    assert!(ok("eval", &[&table]).contains("against the exact law"));
    let wrong = run(folder.path(), "data", &[&set, "--set=data.n=32", "--set=flow.n=32"]);
    let complaint = text(&wrong.stderr);
    assert!(
        !wrong.status.success() && complaint.contains("data.n = 32") && complaint.contains("[16, 16]"),
        "{complaint}"
    );
    let wrong = run(folder.path(), "data", &[&from, "--shard=1/2"]);
    assert!(!wrong.status.success() && text(&wrong.stderr).contains("--shard"), "{}", text(&wrong.stderr));
    // The closed loop from a field of theirs.
    let init = format!("--init={}", pairs.display());
    let start = [&init, "--dataset=test_vorticity_16", "--field=4", "--start-time=20.5", "--closure=p-cdm", &set];
    let said = ok("rollout", &start.map(|option| option as &str));
    assert!(said.contains("20.5 to 20.52"), "{said}");
}

#[test]
fn a_closed_loop_starts_from_a_field_in_a_file_and_is_bound_to_its_values() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.h5");
    let trajectory = Array4::from_shape_fn((2, 3, N, N), |(a, t, i, j)| {
        ((a + 1) as f64) * (0.4 * (i + t) as f64).sin() + (0.4 * j as f64).cos()
    });
    let file = hdf5::File::create(&path).unwrap();
    file.new_dataset_builder().with_data(&trajectory).create("w").unwrap();
    file.new_dataset_builder().with_data(&trajectory.slice(s![1, 2, .., ..])).create("one").unwrap();
    file.new_dataset_builder().with_data(&Array3::<f64>::ones((1, 8, 8))).create("coarse").unwrap();
    file.close().unwrap();
    let reference = |init: StartConfig, set: &[&str]| -> Result<_, String> {
        let settings: Vec<String> = set.iter().map(ToString::to_string).collect();
        let mut config = tiny();
        config.rollout.init = Some(init);
        (config.rollout.start, config.rollout.duration, config.rollout.snapshots) = (7.125, 0.02, 2);
        for setting in &settings {
            match setting.as_str() {
                "flow.n=32" => config.flow.n = 32,
                other => panic!("{other}"),
            }
        }
        let mut made = || {
            config.validate()?;
            resolve(&mut config)?;
            let store = Store::open(folder.path().join("store"))?;
            let artifact = lacuna::rollout::reference(&config, &store, &mut |_| ())?;
            lacuna::rollout::Reference::load(&artifact.path(lacuna::rollout::Reference::FILE))
        };
        made().map_err(|error| error.to_string()).map(|reference| (reference, config.reference_stage().hash))
    };
    let chosen = StartConfig { field: vec![1, 2], ..StartConfig::new(&path, "w") };
    let (made, hash) = reference(chosen.clone(), &[]).unwrap();
    assert_eq!(made.start, trajectory.slice(s![1, 2, .., ..]));
    assert!((made.times[0] - 7.125).abs() < 1e-12 && made.times.len() == 3);
    // The same values from elsewhere are the same result, others another one.
    assert_eq!(reference(StartConfig::new(&path, "one"), &[]).unwrap().1, hash);
    assert_ne!(reference(StartConfig { field: vec![0, 2], ..chosen.clone() }, &[]).unwrap().1, hash);
    // On the coarse grid of the missing physics: the reduced solver starts with the field itself.
    let (coarse, _) = reference(chosen.clone(), &["flow.n=32"]).unwrap();
    assert_eq!(coarse.start, made.start);
    for (init, words) in [
        (StartConfig::new(&path, "w"), &["mine.h5", "`w`", "one index for each axis"][..]),
        (StartConfig { field: vec![2, 0], ..StartConfig::new(&path, "w") }, &["[2, 0]", "2, 3"]),
        (StartConfig::new(&path, "coarse"), &["flow.n = 16", "data.n = 16", "[8, 8]"]),
        (StartConfig::new(&path, "absent"), &["no dataset `absent`", "coarse"]),
        (StartConfig { sha256: Some("0".into()), ..chosen }, &["rollout.init.sha256", "SHA-256"]),
    ] {
        let error = reference(init, &[]).unwrap_err();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }
    assert!(h5::open(&path).is_ok());
}
