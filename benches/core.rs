//! The two inner loops: a step of the reference solver and an evaluation of a trained network, one thread.
//!
//! `cargo bench` compares with its last run; `lacuna bench` measures batches on all cores and against bare transforms.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use lacuna::SeedTree;
use lacuna::config::{Config, FlowConfig, Preset};
use lacuna::flow::{Solver, initial_vorticity};
use lacuna::nets::{Fno, FnoProgram, Network};

/// Steps after which the rough initial field has decayed and the solver is in its usual form.
const WARM_UP: usize = 2000;

fn solver_step(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("solver step with noise");
    for n in [64, 128] {
        let config = FlowConfig { n, ..FlowConfig::default() };
        let seeds = SeedTree::new(0);
        let mut solver = Solver::new(&config).expect("the paper's flow is valid");
        let start = initial_vorticity(&config, &seeds).expect("the paper's flow is valid");
        solver.set_vorticity(start.view()).expect("a field of the solver's own grid");
        let mut rng = seeds.child("noise").stream();
        for _ in 0..WARM_UP {
            solver.step(Some(&mut rng)).expect("the paper's flow is stable");
        }
        group.bench_function(BenchmarkId::from_parameter(n), |b| b.iter(|| solver.step(Some(&mut rng))));
    }
    group.finish();
}

fn network(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("denoiser of the desk preset");
    let config = Config::preset(Preset::Desk);
    for (model, n) in [("spectral", 20), ("p-cdm", 64)] {
        let desc = Fno::new(&config.models[model].network, config.models[model].law);
        let weights = Network::Fno(desc.clone()).init(&mut SeedTree::new(0).child("init").stream());
        let mut program = FnoProgram::new(&desc, &weights, n).expect("the preset's network fits its grid");
        let field: Vec<f32> = (0..n * n).map(|i| (0.1 * i as f32).sin()).collect();
        let mut out = vec![0.0; n * n];
        group.bench_function(BenchmarkId::new("condition", n), |b| b.iter(|| program.condition(black_box(&field))));
        group.bench_function(BenchmarkId::new("eval", n), |b| {
            b.iter(|| program.forward(black_box(&field), 0.1, &mut out))
        });
    }
    group.finish();
}

criterion_group!(benches, solver_step, network);
criterion_main!(benches);
