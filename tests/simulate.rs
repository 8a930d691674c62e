//! `lacuna simulate`, as its users call it.

use lacuna::config::{FlowConfig, NoiseConfig, Stepper};
use lacuna::flow::Solver;
use lacuna::rng::SeedTree;
use lacuna::spectral::{Grid, irfft2, rfft2};

use crate::fields::{TAU, distance, field, published_advection, rough};

/// Round-off of sixty steps, each with one rounding of the state to the grid and back in the oracle.
const SIXTY_STEPS: f64 = 1e-11;

#[derive(clap::Parser)]
struct Simulate {
    #[command(flatten)]
    args: lacuna::cli::simulate::SimulateArgs,
}

/// `vorticity` and `t` of an output file.
type Written = (ndarray::Array4<f64>, Vec<f64>);

/// `lacuna simulate` with `options` on `fields`; the message of its error, or `vorticity` and `t`.
fn simulate(fields: &ndarray::Array3<f64>, dataset: &str, options: &str) -> (Result<(), String>, Option<Written>) {
    use clap::Parser;
    let folder = tempfile::tempdir().unwrap();
    let (init, out) = (folder.path().join("init.h5"), folder.path().join("out.h5"));
    let file = hdf5::File::create(&init).unwrap();
    file.new_dataset_builder().with_data(fields).create("batch").unwrap();
    let single = fields.index_axis(ndarray::Axis(0), 0).mapv(|w| w as f32);
    file.new_dataset_builder().with_data(&single).create("single").unwrap();
    file.close().unwrap();
    let line = format!("simulate --init {} --dataset {dataset} --out {} {options}", init.display(), out.display());
    let outcome = lacuna::cli::simulate::run(&Simulate::parse_from(line.split_whitespace()).args);
    let written = out.exists().then(|| {
        let file = lacuna::artifact::h5::open(&out).unwrap();
        let w = file.dataset("vorticity").unwrap().read().unwrap();
        (w, file.dataset("t").unwrap().read_raw().unwrap())
    });
    // Nothing half-written stays behind.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1 + usize::from(written.is_some()));
    (outcome.map_err(|error| error.to_string()), written)
}

#[test]
fn simulate_follows_the_published_algorithm() {
    let n = 36;
    let starts = ndarray::stack![ndarray::Axis(0), rough(n, 1), rough(n, 2), rough(n, 3)];
    let (outcome, written) = simulate(&starts, "batch", "--steps 60 --every 20 --no-noise");
    outcome.unwrap();
    let (w, t) = written.unwrap();
    assert_eq!(w.dim(), (3, 4, n, n));
    assert!(t.iter().zip([0.0, 0.02, 0.04, 0.06]).all(|(a, b)| (a - b).abs() < 1e-15));
    let (grid, dt, nu) = (Grid::new(n, 1.0).unwrap(), 1e-3, 1e-3);
    let force = rfft2(field(n, |x, y| 0.1 * ((TAU * (x + y)).sin() + (TAU * (x + y)).cos())).view());
    for (start, member) in starts.outer_iter().zip(w.outer_iter()) {
        assert_eq!(start, member.index_axis(ndarray::Axis(0), 0));
        let mut state = start.to_owned();
        for step in 1..=60 {
            let rate = rfft2(published_advection(state.view(), 1.0).view()) + &force;
            let mut w_hat = rfft2(state.view());
            for ((i, j), w) in w_hat.indexed_iter_mut() {
                let half = 0.5 * dt * nu * grid.k2(i, j);
                *w = (*w * (1.0 - half) + rate[(i, j)] * dt) / (1.0 + half);
            }
            state = irfft2(&w_hat, n);
            if step % 20 == 0 {
                let ours = member.index_axis(ndarray::Axis(0), step / 20).to_owned();
                assert!(distance(&ours, &state) < SIXTY_STEPS, "step {step}: {}", distance(&ours, &state));
            }
        }
    }
}

#[test]
fn every_option_is_the_setting_of_its_name() {
    let options = "--viscosity 2e-3 --viscosity-order 2 --dt 5e-4 --stepper cn-ab2 --length 2 --friction 0.3 --forcing 0.2 \
                   --sigma 3e-4 --kappa 7 --alpha 0.01 --seed 5";
    let flow = FlowConfig {
        n: 16,
        length: 2.0,
        viscosity: 2e-3,
        viscosity_order: 2,
        friction: 0.3,
        dt: 5e-4,
        stepper: Stepper::CnAb2,
        forcing: 0.2,
        noise: NoiseConfig { alpha: 0.01, kappa: 7.0, sigma: 3e-4 },
        ..FlowConfig::default()
    };
    let starts = ndarray::stack![ndarray::Axis(0), rough(16, 1), rough(16, 2)];
    let (outcome, written) = simulate(&starts, "batch", &format!("--steps 4 --every 4 {options}"));
    outcome.unwrap();
    let (w, t) = written.unwrap();
    assert_eq!(t, [0.0, 4.0 * flow.dt]);
    for (i, start) in starts.outer_iter().enumerate() {
        let mut solver = Solver::new(&flow).unwrap();
        solver.set_vorticity(start).unwrap();
        let mut noise = SeedTree::new(5).child("simulate").child(i).stream();
        (0..4).for_each(|_| solver.step(Some(&mut noise)).unwrap());
        assert_eq!(w.slice(ndarray::s![i, 1, .., ..]), solver.vorticity());
    }
}

#[test]
fn simulate_takes_single_fields_and_explains_its_errors() {
    let starts = ndarray::stack![ndarray::Axis(0), rough(16, 1), rough(16, 2)];
    let (outcome, written) = simulate(&starts, "single", "--steps 5 --every 2 --stepper etdrk4 --viscosity 2e-3");
    outcome.unwrap();
    assert_eq!(written.unwrap().0.dim(), (1, 3, 16, 16));
    let (outcome, written) = simulate(&starts, "missing", "--steps 5 --every 2");
    assert!(outcome.unwrap_err().contains("batch") && written.is_none());
    // A run that blows up keeps what it has.
    let (outcome, written) = simulate(&(starts * 100.0), "batch", "--steps 50 --every 1 --dt 0.05 --no-noise");
    let error = outcome.unwrap_err();
    assert!(error.contains("Courant") && error.contains("trajectory"), "{error}");
    let (w, t) = written.unwrap();
    assert!(w.len_of(ndarray::Axis(1)) == t.len() && !t.is_empty() && w.iter().all(|w| w.is_finite()));
}

#[test]
fn simulate_forces_with_the_noise_that_it_is_told() {
    /// A member has (Σq)²/Σq² = 16 degrees of freedom, and there are 400: a standard error of √(2/6400) = 1.8 %. Four of them.
    const MONTE_CARLO: f64 = 0.07;
    let (n, alpha) = (16, 0.01);
    let rest = ndarray::Array3::zeros((400, n, n));
    let noise = format!("--steps 1 --every 1 --forcing 0 --viscosity 0 --alpha {alpha} --kappa 3 --sigma 2e-3");
    let (outcome, written) = simulate(&rest, "batch", &noise);
    outcome.unwrap();
    let w = written.unwrap().0;
    let found = w.index_axis(ndarray::Axis(1), 1).mapv(|w| w * w).mean().unwrap();
    // One step of κσ²Σq_n/L² per unit time; q_n is a product over the two directions.
    let q: f64 = (-8..=8).map(|n| (-alpha * (TAU * f64::from(n)).powi(2)).exp()).sum();
    let expected = 3.0 * 2e-3_f64.powi(2) * q * q * 1e-3;
    assert!((found / expected - 1.0).abs() < MONTE_CARLO, "{found}, expected {expected}");
}

#[test]
fn simulate_refuses_what_it_cannot_run() {
    let good = ndarray::stack![ndarray::Axis(0), rough(16, 1), rough(16, 2)];
    let mut spoiled = good.clone();
    spoiled[(1, 3, 4)] = f64::NAN;
    for (fields, words) in [
        (spoiled, ["batch", "NaN", "field 1, point (3, 4)"]),
        (ndarray::Array3::zeros((1, 9, 9)), ["batch", "N even", "[9, 9]"]),
        (ndarray::Array3::zeros((1, 8, 10)), ["batch", "N even", "[8, 10]"]),
    ] {
        let (outcome, written) = simulate(&fields, "batch", "--steps 5 --every 2");
        let error = outcome.unwrap_err();
        assert!(words.iter().all(|word| error.contains(word)) && error.contains("init.h5"), "{error}");
        assert!(written.is_none());
    }
    for option in ["--viscosity -1", "--dt 0", "--length -2", "--kappa -1", "--alpha 0", "--viscosity-order 0"] {
        let (outcome, written) = simulate(&good, "batch", &format!("--steps 5 --every 2 {option}"));
        let (error, (name, value)) = (outcome.unwrap_err(), option.split_once(' ').unwrap());
        assert!(error.contains(&format!("`{name}`: {value};")) && written.is_none(), "{error}");
    }
    let parse = |option: &str| {
        use clap::Parser;
        let line = format!("simulate --init a --dataset b --steps 1 --every 1 --out c {option}");
        Simulate::try_parse_from(line.split_whitespace()).map(drop).map_err(|error| error.to_string())
    };
    assert!(parse("--stepper leapfrog").unwrap_err().contains("known: cn-euler, cn-ab2, etdrk4"));
    assert!(parse("--no-noise --kappa 2").unwrap_err().contains("--kappa"));
}

#[test]
#[cfg(unix)]
fn simulate_never_replaces_a_device() {
    use clap::Parser;
    let folder = tempfile::tempdir().unwrap();
    let init = folder.path().join("init.h5");
    let file = hdf5::File::create(&init).unwrap();
    file.new_dataset_builder().with_data(&rough(8, 1)).create("w").unwrap();
    file.close().unwrap();
    let line = format!("simulate --init {} --dataset w --steps 1 --every 1 --out /dev/null", init.display());
    let error = lacuna::cli::simulate::run(&Simulate::parse_from(line.split_whitespace()).args).unwrap_err();
    assert!(error.to_string().contains("not a regular file"), "{error}");
}

/// Exit codes of [`simulate_on_a_full_disk`]: an error that was reported, and a wrong file that was not.
const REFUSED: i32 = 3;
const WRONG: i32 = 4;

/// Run by [`a_file_on_a_full_disk_is_whole_or_an_error`] with a small file system of its own at `full`.
#[test]
#[ignore = "part of another test"]
fn simulate_on_a_full_disk() {
    use clap::Parser;
    let Ok(root) = std::env::var("LACUNA_TEST_ROOT") else { return };
    let vorticity = |out: &str| -> ndarray::Array4<f64> {
        let file = lacuna::artifact::h5::open(std::path::Path::new(out)).unwrap();
        file.dataset("vorticity").unwrap().read().unwrap()
    };
    let write = |out: &str| {
        let line =
            format!("simulate --init {root}/init.h5 --dataset w --out {out} --force --steps 4 --every 1 --no-noise");
        lacuna::cli::simulate::run(&Simulate::parse_from(line.split_whitespace()).args)
    };
    let (whole, full) = (format!("{root}/whole.h5"), format!("{root}/full/out.h5"));
    write(&whole).unwrap();
    std::process::exit(match write(&full) {
        Err(_) => REFUSED,
        Ok(()) if vorticity(&whole) == vorticity(&full) => 0,
        Ok(()) => WRONG,
    });
}

/// HDF5 may keep small pieces back until it closes their data set: what fails there must be an error, too. On file systems of 4
/// to 160 KB (pages of 4 KB), in a name space of their own; where the system grants none, there is nothing to see.
#[test]
#[cfg(target_os = "linux")]
fn a_file_on_a_full_disk_is_whole_or_an_error() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("full")).unwrap();
    let file = hdf5::File::create(root.path().join("init.h5")).unwrap();
    file.new_dataset_builder().with_data(&rough(32, 1).insert_axis(ndarray::Axis(0))).create("w").unwrap();
    file.close().unwrap();
    let inside = |script: &str| {
        let mut command = std::process::Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "bash", "-c", script]);
        command.arg(std::env::current_exe().unwrap()).env("LACUNA_TEST_ROOT", root.path());
        command.output().ok().and_then(|done| done.status.code())
    };
    let mount = |kilobytes: usize| format!("mount -t tmpfs -o size={kilobytes}k tmpfs \"$LACUNA_TEST_ROOT/full\"");
    if inside(&mount(4)) != Some(0) {
        println!("no file system of one's own here: not tested");
        return;
    }
    let ends: Vec<i32> = (1..=40)
        .map(|pages| {
            let run = "exec \"$0\" --exact simulate::simulate_on_a_full_disk --ignored";
            inside(&format!("{} && {run}", mount(4 * pages))).unwrap()
        })
        .collect();
    assert!(ends.iter().all(|end| [0, REFUSED].contains(end)), "exit codes for 4, 8, … KB: {ends:?}");
    assert!(ends.contains(&0) && ends.contains(&REFUSED), "{ends:?}");
}
