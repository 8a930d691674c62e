//! `lacuna simulate` from and to files of one's own: restarts, choices of fields, files that must not be replaced.

use std::path::Path;

use lacuna::spectral::{Grid, irfft2, rfft2};
use ndarray::{Array2, Array3, Array4, Axis, s};

use crate::fields::rough;

#[derive(clap::Parser)]
struct Simulate {
    #[command(flatten)]
    args: lacuna::cli::simulate::SimulateArgs,
}

/// `lacuna simulate` in a folder; the message of its error.
fn simulate(folder: &Path, options: &str) -> Result<(), String> {
    use clap::Parser;
    let options = options.replace("@", &format!("{}/", folder.display()));
    let line = format!("simulate {options}");
    let parsed = Simulate::try_parse_from(line.split_whitespace()).map_err(|error| error.to_string())?;
    lacuna::cli::simulate::run(&parsed.args).map_err(|error| error.to_string())
}

/// Vorticity and times of an output.
fn read(folder: &Path, name: &str) -> (Array4<f64>, Vec<f64>) {
    let file = lacuna::artifact::h5::open(&folder.join(name)).unwrap();
    (file.dataset("vorticity").unwrap().read().unwrap(), file.dataset("t").unwrap().read_raw().unwrap())
}

fn write(folder: &Path, name: &str, fields: &Array3<f64>) {
    let file = hdf5::File::create(folder.join(name)).unwrap();
    file.new_dataset_builder().with_data(fields).create("w").unwrap();
}

fn starts() -> Array3<f64> {
    ndarray::stack![Axis(0), rough(16, 1), rough(16, 2), rough(16, 3)]
}

#[test]
fn a_run_in_parts_has_the_bits_of_one_in_one_go() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, "in.h5", &starts());
    for stepper in ["cn-euler", "cn-ab2", "etdrk4"] {
        // The switch to the pruned form is looked for every sixteen steps: parts end beside these.
        let settings = format!(
            "--init @in.h5 --dataset w --stepper {stepper} --seed 5 --sigma 2e-3 --forcing -1e-1 --start-time 3.5 --length 2 --max-courant 3"
        );
        simulate(folder, &format!("{settings} --steps 66 --every 6 --out @whole-{stepper}.h5")).unwrap();
        simulate(folder, &format!("{settings} --steps 30 --every 6 --out @a-{stepper}.h5")).unwrap();
        let go_on = |from: &str, to: &str, steps: usize| {
            let line = format!("--restart @{from}-{stepper}.h5 --steps {steps} --every 6 --out @{to}-{stepper}.h5");
            simulate(folder, &format!("{line} --batch 2 --threads 1")).unwrap();
        };
        go_on("a", "b", 12);
        go_on("b", "c", 24);
        let (whole, times) = read(folder, &format!("whole-{stepper}.h5"));
        let parts = ["a", "b", "c"].map(|part| read(folder, &format!("{part}-{stepper}.h5")));
        for ((part, t), range) in parts.iter().zip([0..6, 5..8, 7..12]) {
            assert!(whole.slice(s![.., range.clone(), .., ..]) == *part, "{stepper}: snapshots {range:?}");
            assert_eq!(times[range], t[..]);
        }
        assert_eq!((times[0], times.len()), (3.5, 12));
        let [states, last] = [&format!("whole-{stepper}.h5"), &format!("c-{stepper}.h5")].map(|name| {
            let file = lacuna::artifact::h5::open(&folder.join(name)).unwrap();
            let modes: Vec<f64> = file.dataset("restart/modes").unwrap().read_raw().unwrap();
            let position: Vec<u64> = file.dataset("restart/stream_position").unwrap().read_raw().unwrap();
            let step = file.attr("restart_step").unwrap().read_scalar::<u64>().unwrap();
            (modes, position, step, file.dataset("restart/previous").is_ok())
        });
        assert!(states == last, "{stepper}: states");
        assert_eq!((states.2, states.3), (66, stepper == "cn-ab2"));
    }
}

#[test]
fn a_field_is_the_same_alone_in_batches_and_from_a_trajectory() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, "in.h5", &starts());
    let run = |more: &str, out: &str| {
        simulate(folder, &format!("--dataset w --steps 8 --every 4 --sigma 1e-3 --out @{out} {more}")).unwrap();
        read(folder, out).0
    };
    let all = run("--init @in.h5", "all.h5");
    assert_eq!(all.dim(), (3, 3, 16, 16));
    assert!(run("--init @in.h5 --batch 1", "one-by-one.h5") == all);
    assert!(run("--init @in.h5 --fields 1..3", "two.h5") == all.slice(s![1.., .., .., ..]));
    assert!(run("--init @in.h5 --fields 2", "last.h5") == all.slice(s![2.., .., .., ..]));
    // The same fields as the second of two snapshots, and with the axes exchanged.
    let (file, fields) = (hdf5::File::create(folder.join("other.h5")).unwrap(), starts());
    let pairs = Array4::from_shape_fn((3, 2, 16, 16), |(k, t, i, j)| [0.5, 1.0][t] * fields[(k, i, j)]);
    file.new_dataset_builder().with_data(&pairs).create("w").unwrap();
    file.new_dataset_builder()
        .with_data(&Array3::from_shape_fn((3, 16, 16), |(k, i, j)| fields[(k, j, i)]))
        .create("yx")
        .unwrap();
    file.close().unwrap();
    assert!(run("--init @other.h5", "snapshots.h5") == all);
    let first = run("--init @other.h5 --snapshot 0 --fields 0", "first.h5");
    assert!(first.slice(s![0, 0, .., ..]) == starts().slice(s![0, .., ..]).mapv(|w| 0.5 * w));
    let line = "--init @other.h5 --dataset yx --axes yx --steps 8 --every 4 --sigma 1e-3 --out @yx.h5";
    simulate(folder, line).unwrap();
    assert!(read(folder, "yx.h5").0 == all);
    // Packed values are unpacked.
    let file = hdf5::File::create(folder.join("packed.h5")).unwrap();
    let packed = starts().mapv(|w| (w * 1e3).round() as i16);
    let data = file.new_dataset_builder().with_data(&packed).create("w").unwrap();
    data.new_attr::<f64>().create("scale_factor").unwrap().write_scalar(&1e-3).unwrap();
    file.close().unwrap();
    assert!(run("--init @packed.h5", "unpacked.h5").slice(s![.., 0, .., ..]) == packed.mapv(|w| f64::from(w) * 1e-3));
}

#[test]
fn inputs_and_results_are_not_replaced_and_other_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, "in.h5", &starts());
    let start = "--init @in.h5 --dataset w --steps 2 --every 1 --no-noise";
    let refused = |options: &str, words: &[&str]| {
        let error = simulate(folder, options).unwrap_err();
        assert!(words.iter().all(|word| error.contains(word)), "{options}: {error}");
    };
    let before = std::fs::read(folder.join("in.h5")).unwrap();
    for force in ["", "--force"] {
        refused(&format!("{start} --out @in.h5 {force}"), &["in.h5", "is the input"]);
    }
    assert!(std::fs::read(folder.join("in.h5")).unwrap() == before);
    simulate(folder, &format!("{start} --out @out.h5")).unwrap();
    refused(&format!("{start} --out @out.h5"), &["out.h5", "--force"]);
    simulate(folder, &format!("{start} --out @out.h5 --force")).unwrap();
    refused("--restart @out.h5 --steps 1 --every 1 --out @out.h5 --force", &["is the input"]);
    refused("--restart @in.h5 --steps 1 --every 1 --out @next.h5", &["in.h5", "no output"]);
    refused("--restart @out.h5 --viscosity 1e-2 --steps 1 --every 1 --out @next.h5", &["--viscosity", "--restart"]);
    refused("--steps 1 --every 1 --out @next.h5", &["--init"]);
    refused(&format!("{start} --out @next.h5 --fields 2..4"), &["2..4", "3 fields"]);
    refused(&format!("{start} --out @next.h5 --fields 2..2"), &["--fields", "I < J"]);
    refused(&format!("{start} --out @next.h5 --seed -1"), &["--seed", "-1"]);
    // What ended too early says so.
    let blown = "--init @in.h5 --dataset w --steps 50 --every 1 --dt 2 --no-noise --max-courant 0.6 --out @blown.h5";
    refused(blown, &["Courant"]);
    refused("--restart @blown.h5 --steps 1 --every 1 --out @next.h5", &["ended before its last step"]);

    let file = hdf5::File::create(folder.join("odd.h5")).unwrap();
    let matlab = file.new_dataset_builder().with_data(&starts()).create("matlab").unwrap();
    let class = hdf5::types::VarLenAscii::from_ascii("double").unwrap();
    matlab.new_attr::<hdf5::types::VarLenAscii>().create("MATLAB_class").unwrap().write_scalar(&class).unwrap();
    file.new_dataset_builder().with_data(&starts().mapv(|w| w as i32)).create("integers").unwrap();
    file.new_dataset_builder().with_data(&starts().mapv(|w| w > 0.0)).create("booleans").unwrap();
    file.new_dataset::<f64>().shape((1 << 36, 8, 8)).chunk((1, 8, 8)).create("huge").unwrap();
    let missing = file.new_dataset_builder().with_data(&starts()).create("missing").unwrap();
    missing.new_attr::<f64>().create("_FillValue").unwrap().write_scalar(&starts()[(1, 2, 3)]).unwrap();
    file.close().unwrap();
    for (name, words) in [
        ("matlab", ["MATLAB", "axes"]),
        ("integers", ["integers", "scale_factor"]),
        ("booleans", ["bool", "floating"]),
        ("huge", ["claims", "the file holds 0"]),
        ("missing", ["fill value", "field 1, point (2, 3)"]),
    ] {
        let line = format!("--init @odd.h5 --dataset {name} --steps 1 --every 1 --no-noise --out @next.h5");
        refused(&line, &[&["odd.h5", name], &words[..]].concat());
    }
    assert!(!folder.join("next.h5").exists());
    simulate(folder, "--init @odd.h5 --dataset matlab --axes xy --steps 1 --every 1 --no-noise --out @next.h5")
        .unwrap();
}

#[test]
fn start_fields_beyond_the_mask_are_said_to_alias() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in.h5");
    let white = Array2::from_shape_fn((16, 16), |(i, j)| ((7 * i + 11 * j * j) % 13) as f64);
    let (spectrum, grid) = (rfft2(white.view()), Grid::new(16, 1.0).unwrap());
    let mut kept = spectrum.clone();
    grid.dealias(&mut kept);
    let file = hdf5::File::create(&path).unwrap();
    for (name, field) in [("white", white), ("kept", irfft2(&kept, 16))] {
        file.new_dataset_builder().with_data(&field.mapv(|w| w as f32)).create(name).unwrap();
    }
    file.close().unwrap();
    for (name, aliases) in [("white", true), ("kept", false)] {
        let out = folder.path().join(format!("{name}.h5"));
        let line =
            format!("simulate --init {} --dataset {name} --steps 2 --every 1 --out {}", path.display(), out.display());
        let ended = crate::cli::lacuna(folder.path(), &line.split(' ').collect::<Vec<_>>());
        let said = crate::cli::text(&ended.stderr);
        assert!(ended.status.success() && said.contains("modes beyond 5") == aliases, "{name}: {said}");
    }
}
