//! Files that users bring: what is read of them is what they mean, and what they claim is not believed.

use std::path::Path;

use lacuna::artifact::h5;
use lacuna::config::Axes;
use lacuna::data::{FieldSet, Split};
use lacuna::import::pytorch::{Kind, import};
use lacuna::nets::Checkpoint;
use ndarray::{Array2, Array3};

use crate::fields::rough;

/// A file that `fill` fills.
fn file(folder: &Path, fill: impl FnOnce(&hdf5::File)) -> std::path::PathBuf {
    let path = folder.join("in.h5");
    let file = hdf5::File::create(&path).unwrap();
    fill(&file);
    file.close().unwrap();
    path
}

/// The fields of dataset `w`.
fn read(path: &Path) -> Result<Array3<f64>, String> {
    oriented(path, None)
}

fn oriented(path: &Path, axes: Option<Axes>) -> Result<Array3<f64>, String> {
    let read = || {
        let set = FieldSet::open(&h5::open(path)?, path, "w", axes)?;
        set.read(0..set.count())
    };
    read().map_err(|error: lacuna::Error| error.to_string())
}

fn number<T: hdf5::H5Type>(data: &hdf5::Dataset, name: &str, value: T) {
    data.new_attr::<T>().create(name).unwrap().write_scalar(&value).unwrap();
}

#[test]
fn integers_stand_for_numbers_by_the_cf_rule_or_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let stored = Array2::from_shape_fn((8, 8), |(i, j)| (100 * i + j) as i16);
    let packed = |attributes: &dyn Fn(&hdf5::Dataset)| {
        read(&file(folder.path(), |file| {
            let data = file.new_dataset_builder().with_data(&stored).create("w").unwrap();
            attributes(&data);
        }))
    };
    let refused = packed(&|_| ()).unwrap_err();
    assert!(refused.contains("`w`: integers") && refused.contains("scale_factor"), "{refused}");
    let read_back = packed(&|data| {
        number(data, "scale_factor", 0.5);
        number(data, "add_offset", -3.0f32);
    })
    .unwrap();
    assert_eq!(read_back.index_axis(ndarray::Axis(0), 0), stored.mapv(|stored| f64::from(stored) * 0.5 - 3.0));
    let missing = packed(&|data| {
        number(data, "scale_factor", 0.5);
        number(data, "_FillValue", 302i16);
    });
    let missing = missing.unwrap_err();
    assert!(missing.contains("fill value 302") && missing.contains("at field 0, point (3, 2)"), "{missing}");
    let path = file(folder.path(), |file| {
        file.new_dataset_builder().with_data(&Array2::from_elem((8, 8), true)).create("w").unwrap();
    });
    assert!(read(&path).unwrap_err().contains("floating-point numbers are read"));
    // Floats are numbers, whatever is said of them, but packed ones are unpacked.
    let path = file(folder.path(), |file| {
        let data = file.new_dataset_builder().with_data(&Array2::from_elem((8, 8), 2.0f32)).create("w").unwrap();
        number(&data, "add_offset", 1.0);
    });
    assert!(read(&path).unwrap().iter().all(|&w| w == 3.0));
}

#[test]
fn arrays_of_matlab_are_read_as_somebody_says() {
    let folder = tempfile::tempdir().unwrap();
    let matlab = |name: &str, stored: &ndarray::ArrayD<f64>, file: &hdf5::File| {
        let data = file.new_dataset_builder().with_data(stored).create(name).unwrap();
        let class = hdf5::types::FixedAscii::<6>::from_ascii("double").unwrap();
        number(&data, "MATLAB_class", class);
    };
    // ω(x, y, time) of MATLAB lies in the file as (time, y, x).
    let w = ndarray::stack![ndarray::Axis(0), rough(8, 1), rough(8, 2)];
    let stored = w.clone().permuted_axes([0, 2, 1]).as_standard_layout().to_owned();
    let path = file(folder.path(), |file| matlab("w", &stored.clone().into_dyn(), file));
    let refused = read(&path).unwrap_err();
    for word in ["in.h5", "`w`: written by MATLAB", "axes xy", "axes yx"] {
        assert!(refused.contains(word), "{refused}");
    }
    assert_eq!(oriented(&path, Some(Axes::Yx)).unwrap(), w);
    assert_eq!(oriented(&path, Some(Axes::Xy)).unwrap(), stored);
    // Every reader asks in the same words; a list of times has but one order.
    let path = file(folder.path(), |file| {
        for name in ["train_vorticity_8", "train_nonlinear_8"] {
            matlab(name, &stored.clone().into_dyn(), file);
        }
        matlab("t", &ndarray::ArrayD::from_shape_vec(vec![2, 1], vec![0.0, 1.0]).unwrap(), file);
    });
    let words = refused.split_once("`w`").unwrap().1;
    let error = Split::open(&path, "train").unwrap_err().to_string();
    assert!(error.contains("train_vorticity_8") && error.ends_with(words), "{error}");
    let times = h5::Numbers::open(&h5::open(&path).unwrap(), &path, "t", None).unwrap();
    assert_eq!(times.array::<f64, ndarray::IxDyn>().unwrap().into_raw_vec_and_offset().0, [0.0, 1.0]);
}

#[test]
fn shapes_are_believed_as_far_as_the_file_holds_them() {
    let folder = tempfile::tempdir().unwrap();
    let claim = |fill: &dyn Fn(&hdf5::File)| read(&file(folder.path(), fill)).map(|fields| fields.dim());
    let chunked = |shape: [usize; 3], chunk: [usize; 3]| {
        claim(&|file: &hdf5::File| {
            let builder = file.new_dataset::<f64>().chunk(chunk).deflate(9).shape(shape);
            let data = builder.create("w").unwrap();
            data.write_slice(&Array3::<f64>::ones((1, 64, 64)), ndarray::s![..1, ..64, ..64]).unwrap();
        })
    };
    for (shape, chunk) in [([1, 60_000, 60_000], [1, 1000, 1000]), ([1 << 36, 64, 64], [1, 64, 64])] {
        let error = chunked(shape, chunk).unwrap_err();
        assert!(error.contains("`w`: claims") && error.contains("in.h5"), "{error}");
    }
    assert!(chunked([100, 64, 64], [10, 64, 64]).unwrap_err().contains("only 1 of its 10 chunks were written"));
    // What compresses well is read.
    let constant = claim(&|file: &hdf5::File| {
        let ones = Array3::<f64>::ones((100, 64, 64));
        let builder = file.new_dataset_builder().with_data(&ones);
        builder.chunk([10, 64, 64]).deflate(9).create("w").unwrap();
    });
    assert_eq!(constant.unwrap(), (100, 64, 64));
    let unwritten = |chunk: bool| {
        claim(&|file: &hdf5::File| {
            let builder = file.new_dataset::<f64>();
            let builder = if chunk { builder.chunk([8, 8]) } else { builder };
            builder.shape([8, 8]).create("w").unwrap();
        })
    };
    for chunk in [false, true] {
        let error = unwritten(chunk).unwrap_err();
        assert!(error.contains("of which the file holds 0"), "{error}");
    }
}

#[test]
fn a_locked_file_is_called_locked_and_not_broken() {
    let folder = tempfile::tempdir().unwrap();
    let path =
        file(folder.path(), |file| drop(file.new_dataset_builder().with_data(&rough(8, 1)).create("w").unwrap()));
    let writer = std::fs::File::open(&path).unwrap();
    writer.lock().unwrap();
    let error = read(&path).unwrap_err();
    assert!(error.contains("locked") && error.contains("HDF5_USE_FILE_LOCKING=FALSE"), "{error}");
    assert!(!error.contains("not a whole"), "{error}");
    drop(writer);
    assert!(read(&path).is_ok());
}

/// A process that starts while a file is written, by somebody who passes open files on, holds none of the library's locks afterwards.
#[cfg(unix)]
#[test]
fn a_process_started_while_a_file_is_written_does_not_lock_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.h5");
    let mut other = h5::create(&path, |file| {
        file.new_dataset_builder().with_data(&[1.0]).create("t").unwrap();
        Ok(std::process::Command::new("sleep").arg("60").spawn().unwrap())
    })
    .unwrap();
    let opened = h5::open(&path);
    let alive = other.try_wait().unwrap().is_none();
    other.kill().unwrap();
    other.wait().unwrap();
    assert!(alive && opened.is_ok(), "{opened:?}");
}

#[test]
fn what_lies_beside_the_data_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let fields = ndarray::stack![ndarray::Axis(0), rough(8, 1), rough(8, 2)];
    for key in ["train", "validation", "test"] {
        let file = hdf5::File::create(folder.path().join(format!("{key}-pairs.hdf5"))).unwrap();
        for name in ["vorticity", "nonlinear", "diffusion"] {
            file.new_dataset_builder().with_data(&fields).create(format!("{key}_{name}_8").as_str()).unwrap();
        }
        file.new_dataset_builder().with_data(&[0.0]).create("t").unwrap();
        file.close().unwrap();
    }
    std::fs::write(folder.path().join("._train.h5"), "resource fork").unwrap();
    std::fs::write(folder.path().join("broken.h5"), "half a file").unwrap();
    let open = || lacuna::data::Dataset::open(folder.path()).map_err(|error| error.to_string());
    assert_eq!(open().unwrap().train.trajectories, 2);
    std::fs::remove_file(folder.path().join("test-pairs.hdf5")).unwrap();
    assert!(open().unwrap_err().contains("broken.h5"));
}

#[test]
fn names_in_files_do_nothing_to_a_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), |file| {
        file.new_dataset_builder().with_data(&[1.0]).create("\u{1b}[2Jgone").unwrap();
        file.new_dataset_builder().with_data(&[1.0]).create("x".repeat(5000).as_str()).unwrap();
    });
    let error = read(&path).unwrap_err();
    assert!(error.contains("\\u{1b}[2Jgone") && error.len() < 500, "{error}");
}

#[test]
#[cfg(target_os = "linux")]
fn names_that_hdf5_cannot_take_are_refused_before_the_work() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join(std::ffi::OsStr::from_bytes(b"not-\xff-utf8"));
    let stage = lacuna::Config::load("smoke", None, &[]).unwrap().data_stage();
    let error = lacuna::artifact::Store::open(&root).unwrap().begin(&stage, &mut |_| ()).unwrap_err().to_string();
    assert!(error.contains("not UTF-8") && !root.exists(), "{error}");
}

#[test]
fn sizes_of_a_configuration_have_bounds_with_names() {
    let refused = |setting: &str| {
        let error = lacuna::Config::load("smoke", None, &[setting.to_string()]).unwrap_err().to_string();
        let field = setting.split('=').next().unwrap();
        assert!(error.contains(field), "{setting}: {error}");
        error
    };
    let sizes = [
        "flow.n",
        "data.train",
        "data.validation",
        "data.test",
        "models.p-cdm.network.width",
        "models.p-cdm.network.layers",
        "models.p-cdm.network.embed",
        "models.joint.latent.width",
        "models.p-cdm.train.batch",
        "models.p-cdm.train.steps",
        "models.p-cdm.sampler.steps",
        "rollout.members",
        "rollout.references",
        "rollout.every",
        "rollout.snapshots",
        "eval.samples",
        "eval.conditions",
        "study.frontier.members",
        "study.horizon.members",
        "study.ensemble.members",
        "study.starts.states",
        "study.starts.members",
        "flow.viscosity_order",
    ];
    for field in sizes {
        refused(&format!("{field}=9223372036854775807"));
        // Steps may be many: they are only counted.
        if !["models.p-cdm.train.steps", "rollout.every"].contains(&field) {
            refused(&format!("{field}=4294967294"));
        }
    }
    for setting in ["data.final_time=1e15", "data.burn_in=1e300", "rollout.start=1e18", "data.final_time=1e6"] {
        lacuna::Config::load("smoke", None, &[setting.to_string()]).unwrap_err();
    }
    assert!(refused("data.interval=5e-7").contains("at least one time step"));
    for weight in ["closure", "vorticity", "score", "kl"] {
        refused(&format!("models.joint.latent.training.{weight}=-1.0"));
    }
    for preset in ["/tmp/escaped", "../../x", "", ".", "a b", "\u{1b}[2J"] {
        let error = refused(&format!("preset='{preset}'"));
        assert!(!error.contains('\u{1b}'), "{error}");
    }
    refused(&format!("preset={}", "x".repeat(65)));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.toml");
    std::fs::write(&path, format!("[models.{}]\nlike = \"p-cdm\"\n", "x".repeat(100_000))).unwrap();
    let error = lacuna::Config::load("smoke", Some(&path), &[]).unwrap_err().to_string();
    assert!(error.contains("make a name") && error.len() < 500, "{error}");
    #[cfg(unix)]
    {
        let error = lacuna::Config::load("smoke", Some(Path::new("/dev/zero")), &[]).unwrap_err().to_string();
        assert!(error.contains("/dev/zero: more than"), "{error}");
    }
}

#[test]
#[cfg(unix)]
fn files_at_which_the_hdf5_library_crashes_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/hdf5");
    for path in std::fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()) {
        let (file, name) = (path.to_str().unwrap(), path.file_name().unwrap().to_str().unwrap());
        let refused = |arguments: &[&str]| {
            let ended = crate::cli::lacuna(folder.path(), arguments);
            let said = crate::cli::text(&ended.stderr);
            // Newer libraries may have mended it: they say what is wrong themselves, or read on.
            assert_eq!(ended.status.code(), Some(1), "{arguments:?}: {}: {said}", ended.status);
            assert!(said.contains(name), "{said}");
        };
        let out = folder.path().join("out.h5");
        let run = ["--steps", "1", "--every", "1", "--out", out.to_str().unwrap()];
        refused(&[&["simulate", "--init", file, "--dataset", "w"], &run[..]].concat());
        refused(&[&["simulate", "--restart", file], &run[..]].concat());
        refused(&["data", "--preset", "smoke", "--from", file]);
    }
}

#[test]
fn pointers_of_git_lfs_are_named_whatever_they_stand_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    std::fs::write(&path, "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 3646\n").unwrap();
    let said = [
        h5::open(&path).unwrap_err(),
        Checkpoint::load(&path).unwrap_err(),
        Checkpoint::load(folder.path()).unwrap_err(),
        import(&path, Kind::Score).unwrap_err(),
    ];
    for error in said.map(|error| error.to_string()) {
        assert!(error.contains("model.safetensors") && error.contains("git lfs pull"), "{error}");
    }
}
