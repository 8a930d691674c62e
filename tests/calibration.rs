//! Several start states: streams of their own, and scores that find out who does not know his error.

use lacuna::closure::{AnyClosure, EXACT_LAW, ExactLaw};
use lacuna::config::{Config, Preset};
use lacuna::eval::metric::{STARTS_ERROR_OVER_EXACT, STARTS_SPREAD, STARTS_SPREAD_OVER_SKILL};
use lacuna::eval::{
    Calibration, CalibrationPoint, ClosedLoop, Column, Findings, Offline, Results, Table, calibration, findings,
};
use lacuna::rng::{SeedTree, Stream};
use lacuna::rollout::{Cost, Ensemble, Reference, reference, rollout};
use lacuna::{Result, artifact::Store};
use ndarray::{Array2, Array4, s};
use rand::RngExt;
use rand_distr::StandardNormal;

const N: usize = 16;
const MEMBERS: usize = 8;

/// A smooth random field: all points depend on six numbers.
fn field(rng: &mut Stream) -> Array2<f32> {
    let wave: Vec<f64> = (0..6).map(|_| rng.sample::<f64, _>(StandardNormal)).collect();
    Array2::from_shape_fn((N, N), |(i, j)| {
        let (x, y): (f64, f64) = [i, j].map(|i| std::f64::consts::TAU * i as f64 / N as f64).into();
        let waves = [1.0, x.sin(), x.cos(), y.sin(), y.cos(), (x + y).sin()];
        waves.iter().zip(&wave).map(|(f, a)| f * a).sum::<f64>() as f32
    })
}

/// A truth in which all begins with one field, to which noise comes; members have `factor` times the noise, and a `shift`.
fn state(index: usize, closures: &[(&str, f32, f32)]) -> Result<(Reference, Vec<Ensemble>)> {
    let seeds = SeedTree::new(11).child(index);
    let mean = field(&mut seeds.child("mean").stream()).mapv(|x| 10.0 * x);
    let (text, times) = (String::new, vec![1.0, 2.0]);
    let mut rng = seeds.child("truth").stream();
    let mut fields = Array4::from_shape_fn((2, 1, N, N), |(_, _, i, j)| mean[(i, j)]);
    fields.slice_mut(s![1, 0, .., ..]).zip_mut_with(&field(&mut rng), |w, noise| *w += noise);
    let start = mean.mapv(f64::from);
    let truth = Reference { seeds: text(), config_hash: text(), start, times: times.clone(), fields, wall_s: 0.0 };
    let ensembles = closures.iter().map(|(name, factor, shift)| {
        let mut fields = Array4::from_shape_fn((2, MEMBERS, N, N), |(_, _, i, j)| mean[(i, j)]);
        for m in 0..MEMBERS {
            let noise = field(&mut seeds.child("member").child(m).stream());
            fields.slice_mut(s![1, m, .., ..]).zip_mut_with(&noise, |w, noise| *w += factor * noise + shift);
        }
        let cost = Cost { steps: 1, draws: 1, wall_s: 1.0, thread_s: 1.0, closure_s: 0.5 };
        let (closure, failures) = ((*name).into(), vec![None; MEMBERS]);
        let (seeds, device, config_hash, times) = (text(), text(), text(), times.clone());
        Ensemble { closure, seeds, device, config_hash, times, fields, failures, cost }
    });
    Ok((truth, ensembles.collect()))
}

fn measured(states: usize, closures: &[(&str, f32, f32)]) -> Calibration {
    calibration((0..states).map(|index| state(index, closures)), &SeedTree::new(1)).unwrap()
}

fn last<'a>(of: &'a Calibration, closure: &str) -> &'a CalibrationPoint {
    of.rows.iter().find(|row| row.closure == closure).unwrap().points.last().unwrap()
}

const ALL: [(&str, f32, f32); 3] = [(EXACT_LAW, 1.0, 0.0), ("narrow", 0.3, 0.0), ("biased", 1.0, 4.0)];

#[test]
fn an_ensemble_that_knows_its_error_is_told_from_those_that_do_not() {
    /// Four standard errors of 40 states with six degrees of freedom each, of a root of a mean square.
    const MONTE_CARLO: f64 = 0.2;
    let found = measured(40, &ALL);
    let law = last(&found, EXACT_LAW);
    assert_eq!(law.is_calibrated(), Some(true), "{}", found.summary().unwrap().all());
    assert_eq!(law.of(&STARTS_ERROR_OVER_EXACT).value, 1.0);
    assert!((law.of(&STARTS_SPREAD_OVER_SKILL).value - 1.0).abs() < MONTE_CARLO);
    for closure in ["narrow", "biased"] {
        let point = last(&found, closure);
        assert_eq!(point.is_calibrated(), Some(false));
        assert!(point.ranks.as_ref().unwrap().p_value < 0.01, "{closure}: {:?}", point.ranks);
    }
    // The same noise at three tenths: the spread exactly, and the error that it does not know.
    let ratio = last(&found, "narrow").of(&STARTS_SPREAD).value / law.of(&STARTS_SPREAD).value;
    assert!((ratio - 0.3).abs() < 1e-4, "{ratio}");
    let skill = last(&found, "narrow").of(&STARTS_SPREAD_OVER_SKILL);
    assert!(skill.value < 0.5 && skill.error > 0.0 && skill.error < MONTE_CARLO, "{skill:?}");
    // At the start all fields are one.
    assert!(found.rows.iter().all(|row| row.points[0].ranks.is_none() && row.points[0].is_calibrated().is_none()));
    let table = found.summary().unwrap();
    assert_eq!(table.texts("calibrated").unwrap(), ["true", "false", "false"]);
    assert_eq!(found.coverage().unwrap().rows(), 3 * 19);
    assert_eq!(found.ranks().unwrap().rows(), 3 * (MEMBERS + 1));
    assert_eq!(found.curves().unwrap().rows(), 3 * 2);
}

#[test]
fn a_finding_says_who_is_calibrated_and_who_is_not() {
    let none = ClosedLoop { times: vec![1.0, 2.0], realisations: 1, rollouts: Vec::new() };
    let empty = |column: &str| Column::new(column.into(), Vec::<f64>::new());
    let names = Column::new("closure".into(), Vec::<String>::new());
    let table = |columns| Table::new("empty", "", columns).unwrap();
    let offline = Offline::read(&table(vec![names.clone(), empty("ms/draw")])).unwrap();
    let cost = table(vec![names, empty("draw"), empty("solver step")]);
    let said = |calibration: Option<&Calibration>| -> Vec<String> {
        let (closed_loop, offline, cost) = (&none, &offline, &cost);
        let Findings(found) = findings(&Results {
            preset: "desk",
            closed_loop,
            calibration,
            offline,
            cost,
            regimes: None,
            long_run: None,
        })
        .unwrap();
        found.into_iter().filter(|found| found.kind == "calibration").map(|found| found.sentence).collect()
    };
    assert!(said(None).is_empty() && said(Some(&measured(1, &ALL))).is_empty());
    let found = said(Some(&measured(40, &ALL)));
    let (right, wrong) = found[0].split_once("; they are not with ").unwrap();
    assert!(
        right.starts_with("From 40 start states ensembles are calibrated with exact law (error 1.00 times"),
        "{right}"
    );
    assert!(
        wrong.contains("narrow (error ") && wrong.contains("biased (error ") && !wrong.contains("exact law ("),
        "{wrong}"
    );
}

#[test]
fn scores_depend_neither_on_the_company_nor_on_the_order_of_closures() {
    let (all, turned) = (measured(3, &ALL), measured(3, &[ALL[2], ALL[0]]));
    for closure in [EXACT_LAW, "biased"] {
        let [one, other] = [&all, &turned].map(|of| last(of, closure));
        assert_eq!(one.ranks, other.ranks);
        for metric in [&STARTS_SPREAD, &STARTS_SPREAD_OVER_SKILL, &STARTS_ERROR_OVER_EXACT] {
            assert_eq!(one.of(metric).value.to_bits(), other.of(metric).value.to_bits(), "{}", metric.name);
        }
    }
}

#[test]
fn states_that_do_not_fit_together_are_refused_and_failures_say_nothing_of_ranks() {
    let refused = |states: Vec<Result<(Reference, Vec<Ensemble>)>>| calibration(states, &SeedTree::new(1)).unwrap_err();
    assert!(refused(Vec::new()).to_string().contains("study.starts.states"));
    let mixed = refused(vec![state(0, &ALL), state(1, &ALL[..2])]).to_string();
    assert!(mixed.contains("biased") && mixed.contains("start states"), "{mixed}");
    let (truth, mut ensembles) = state(0, &ALL).unwrap();
    ensembles[0].fields.slice_mut(s![1, 3, .., ..]).fill(f32::NAN);
    ensembles[0].failures[3] = Some(1.5);
    let found = calibration([Ok((truth, ensembles)), state(1, &ALL)], &SeedTree::new(1)).unwrap();
    assert!(found.rows[0].failures == 1 && last(&found, EXACT_LAW).ranks.is_none());
    assert!(last(&found, EXACT_LAW).of(&STARTS_SPREAD).value > 0.0 && last(&found, "narrow").ranks.is_some());
}

#[test]
fn every_start_state_has_a_truth_and_noise_of_its_own() {
    /// Correlation of two draws of the noise, of some tens of independent waves; the same noise has nearly 1.
    const CHANCE: f64 = 0.7;
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let mut config = Config::preset(Preset::Smoke);
    (config.flow.n, config.data.n) = (N, N);
    config.rollout.start = 0.2;
    (config.rollout.duration, config.rollout.snapshots, config.rollout.members) = (0.1, 1, 2);
    let starts = config.study.starts.as_mut().unwrap();
    (starts.states, starts.members) = (3, 2);
    let states = config.start_states();
    // The first is that of the closed loop, whose results it takes.
    let law = config.exact_law().unwrap();
    assert_eq!(states.len(), 3);
    assert_eq!(states[0].rollout_stage(&law).unwrap(), config.rollout_stage(&law).unwrap());
    let run = |config: &Config| {
        let truth = reference(config, &store, &mut |_| ()).unwrap();
        let law = AnyClosure::new(ExactLaw::new(&config.flow, N).unwrap());
        let made = rollout(config, &config.exact_law().unwrap(), law, &[], &store, &mut |_| ()).unwrap();
        (Reference::load(&truth.path(Reference::FILE)).unwrap(), Ensemble::load(&made.path(Ensemble::FILE)).unwrap())
    };
    // In another order than theirs.
    let [last, first, second] = [2, 0, 1].map(|k: usize| run(&states[k]));
    let seed = config.seed;
    assert_eq!(second.0.seeds, format!("{seed}:/reference/start-1"));
    assert_eq!(second.1.seeds, format!("{seed}:/rollout/start-1"));
    assert_eq!(first.1.seeds, format!("{seed}:/rollout"));
    for (a, b) in [(&first, &second), (&second, &last), (&first, &last)] {
        assert!(a.0.start != b.0.start && a.0.config_hash != b.0.config_hash && a.1.config_hash != b.1.config_hash);
        // Nor is the noise the same from another field: what sets members apart would hardly depend on it in so short a time.
        let noise = |(truth, ensemble): &(Reference, Ensemble)| {
            let [one, other] = [0, 1].map(|m| ensemble.fields.slice(s![1, m, .., ..]).to_owned());
            assert_eq!(truth.fields.slice(s![0, 0, .., ..]), ensemble.fields.slice(s![0, 0, .., ..]));
            one - other
        };
        let (a, b) = (noise(a), noise(b));
        let product = |a: &Array2<f32>, b: &Array2<f32>| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
        let correlation = product(&a, &b) / (product(&a, &a) * product(&b, &b)).sqrt();
        assert!(correlation.abs() < CHANCE, "{correlation}");
    }
    let again = run(&states[1]);
    assert_eq!(again.0.start, second.0.start);
    assert_eq!(again.1.fields, second.1.fields);
    // A number of states that nobody means is refused by name.
    let mut config = Config::preset(Preset::Smoke);
    config.study.starts.as_mut().unwrap().states = 0;
    assert!(config.validate().unwrap_err().to_string().contains("study.starts.states"));
}
