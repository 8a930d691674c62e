//! Subgrid models on fields whose answer is known.

use lacuna::closure::{Closure, Subgrid};
use lacuna::config::{Config, FlowConfig, Preset, SubgridModel};
use lacuna::flow::{QWiener, initial_vorticity};
use lacuna::rng::SeedTree;
use lacuna::spectral::{Field, Grid, Spectrum, irfft2, rfft2};
use ndarray::{Array2, ArrayView2};
use num_complex::Complex64;

const N: usize = 48;
const TAU: f64 = std::f64::consts::TAU;
/// Round-off of some transforms, relative to the largest value.
const ROUND_OFF: f64 = 1e-10;

/// The four with constants of their own, then all of configurations, on either set of modes.
fn models() -> Vec<Subgrid> {
    let mut models = plain();
    models.extend(SubgridModel::ALL.map(|model| Subgrid::standard(model, N, 1.0).unwrap()));
    let mut config = Config::preset(Preset::Turbulence);
    config.data.n = N;
    models.extend(SubgridModel::ALL.map(|model| Subgrid::configured(model, &config).unwrap()));
    models
}

fn plain() -> Vec<Subgrid> {
    vec![
        Subgrid::smagorinsky(0.17, N, 1.0).unwrap(),
        Subgrid::leith(1.0, N, 1.0).unwrap(),
        Subgrid::dynamic(N, 1.0).unwrap(),
        Subgrid::hyperviscosity(1e-6, 2, N, 1.0).unwrap(),
    ]
}

/// A rough field inside the mask; of the two signs the one for which the dynamic model is active (⟨L_ij M_ij⟩ is odd in ω).
fn rough() -> Field {
    let config = FlowConfig { n: N, ..FlowConfig::default() };
    let grid = Grid::new(N, 1.0).unwrap();
    let mut w = rfft2(initial_vorticity(&config, &SeedTree::new(2)).unwrap().view());
    w.indexed_iter_mut().for_each(|((i, j), w)| *w *= -f64::from(grid.dealiased(i, j)));
    irfft2(&w, N)
}

fn term(model: &mut Subgrid, w: &Field) -> Field {
    let mut h = Array2::zeros((N, N));
    assert!(model.mean(w.view(), 0.0, h.view_mut()).unwrap());
    h
}

fn distance(a: &Field, b: &Field) -> f64 {
    let scale = b.iter().fold(0.0_f64, |max, x| max.max(x.abs()));
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / scale
}

fn modes(w: ArrayView2<f64>, symbol: impl Fn(f64, f64) -> Complex64) -> Field {
    let grid = Grid::new(N, 1.0).unwrap();
    let mut out: Spectrum = rfft2(w);
    out.indexed_iter_mut().for_each(|((i, j), x)| *x *= symbol(grid.kx(i), grid.ky(j)));
    irfft2(&out, N)
}

fn inverse_laplacian(kx: f64, ky: f64) -> f64 {
    let k2 = kx * kx + ky * ky;
    if k2 > 0.0 { 1.0 / k2 } else { 0.0 }
}

#[test]
fn models_of_a_configuration_have_their_constants() {
    // Hyperviscosity damps the smallest dealiased scale, k = 2πN/3, at its rate.
    let w = Array2::from_shape_fn((N, N), |(i, _)| (TAU * (N / 3 * i) as f64 / N as f64).cos());
    let mut damped = Subgrid::standard(SubgridModel::Hyperviscosity, N, 1.0).unwrap();
    assert!(distance(&term(&mut damped, &w), &(-1.8 * &w)) < ROUND_OFF);
    for (model, plain) in [
        (SubgridModel::Smagorinsky, Subgrid::smagorinsky(0.19, N, 1.0)),
        (SubgridModel::Leith, Subgrid::leith(0.43, N, 1.0)),
        (SubgridModel::DynamicSmagorinsky, Subgrid::dynamic(N, 1.0)),
    ] {
        let found = term(&mut Subgrid::standard(model, N, 1.0).unwrap(), &rough());
        assert_eq!(found, term(&mut plain.unwrap(), &rough()), "{}", model.name());
    }
}

#[test]
fn the_spectrum_of_the_noise_adds_up_to_its_variance() {
    let config = FlowConfig { n: N, length: 2.0, dt: 2e-3, ..FlowConfig::default() };
    // The corners beyond the last shell have no weight at this smoothness.
    let sum: f64 = QWiener::shell_spectrum(&config).iter().sum();
    assert!((2.0 * sum / QWiener::new(&config).unwrap().std().powi(2) - 1.0).abs() < ROUND_OFF, "{sum}");
}

#[test]
fn a_shear_wave_is_damped_as_by_hand() {
    /// |cos|cos is known through its Fourier series, whose tail, 8/(π m³), aliases from m = N − 1 on.
    const ALIAS: f64 = 1e-4;
    let w = Array2::from_shape_fn((N, N), |(i, _)| (TAU * i as f64 / N as f64).cos());
    let first = |h: &Field| 2.0 * (h * &w).mean().unwrap();
    let (spacing, series) = (1.0 / N as f64, 8.0 / (3.0 * std::f64::consts::PI));
    let near = |found: f64, expected: f64, tolerance: f64| {
        assert!((found / expected - 1.0).abs() < tolerance, "{found}, expected {expected}");
    };
    // H = (CΔ)² ∂_xx(|cos|cos), and −(CΔ)³ k² ∂_x(|sin|sin).
    near(first(&term(&mut plain()[0], &w)), -(0.17 * spacing).powi(2) * TAU * TAU * series, ALIAS);
    near(first(&term(&mut plain()[1], &w)), -spacing.powi(3) * TAU.powi(3) * series, ALIAS);
    near(first(&term(&mut plain()[3], &w)), -1e-6 * TAU.powi(4), ROUND_OFF);
}

#[test]
fn models_take_what_they_should() {
    let w = rough();
    let psi = modes(w.view(), |kx, ky| inverse_laplacian(kx, ky).into());
    for mut model in plain() {
        let h = term(&mut model, &w);
        let (enstrophy, energy) = ((&w * &h).mean().unwrap(), (&psi * &h).mean().unwrap());
        assert!(enstrophy < 0.0 && energy < 0.0, "{}: {enstrophy}, {energy}", model.name());
        assert!(h.mean().unwrap().abs() < ROUND_OFF);
    }
    // ⟨ψH⟩ = −⟨2ν_t S:S⟩ = −⟨(CΔ)²|S|³⟩, and ⟨ωH⟩ = −⟨(CΔ)³|∇ω|³⟩.
    let i = Complex64::i();
    let cube = |a: &Field, b: &Field| a.iter().zip(b).map(|(a, b)| a.hypot(*b).powi(3)).sum::<f64>() / (N * N) as f64;
    let sxx = modes(w.view(), |kx, ky| (-2.0 * kx * ky * inverse_laplacian(kx, ky)).into());
    let sxy = modes(w.view(), |kx, ky| ((kx * kx - ky * ky) * inverse_laplacian(kx, ky)).into());
    let energy = (&psi * &term(&mut plain()[0], &w)).mean().unwrap();
    assert!((energy / (-(0.17 / N as f64).powi(2) * cube(&sxx, &sxy)) - 1.0).abs() < ROUND_OFF);
    let (wx, wy) = (modes(w.view(), |kx, _| i * kx), modes(w.view(), |_, ky| i * ky));
    let enstrophy = (&w * &term(&mut plain()[1], &w)).mean().unwrap();
    assert!((enstrophy / (-(1.0 / N as f64).powi(3) * cube(&wx, &wy)) - 1.0).abs() < ROUND_OFF);
}

#[test]
fn models_commute_with_the_symmetries_of_the_grid() {
    let w = rough();
    // By an even number of points: a whole number of those at which products of all modes are taken.
    let shift = |a: &Field| Array2::from_shape_fn((N, N), |(i, j)| a[((i + 4) % N, (j + 10) % N)]);
    let turn = |a: &Field| Array2::from_shape_fn((N, N), |(i, j)| a[(j, (N - i) % N)]);
    // Vorticity is a pseudo-scalar.
    let mirror = |a: &Field| Array2::from_shape_fn((N, N), |(i, j)| -a[((N - i) % N, j)]);
    for mut model in models() {
        let h = term(&mut model, &w);
        for (name, act) in [("shift", &shift as &dyn Fn(&Field) -> Field), ("turn", &turn), ("mirror", &mirror)] {
            let apart = distance(&term(&mut model, &act(&w)), &act(&h));
            assert!(apart < ROUND_OFF, "{}, {name}: {apart}", model.name());
        }
        // A domain-mean vorticity moves nothing and has no gradient.
        assert!(distance(&term(&mut model, &(&w + 3.0)), &h) < ROUND_OFF, "{}", model.name());
    }
}

#[test]
fn the_dynamic_coefficient_is_germanos() {
    // All four components of all tensors, traces removed at the end, one transform after the other.
    let w = rough();
    let i = Complex64::i();
    let delta = 1.0 / N as f64;
    let test = |a: &Field| modes(a.view(), |kx, ky| (-(2.0 * delta).powi(2) * (kx * kx + ky * ky) / 24.0).exp().into());
    let u = [
        modes(w.view(), |kx, ky| i * ky * inverse_laplacian(kx, ky)),
        modes(w.view(), |kx, ky| -i * kx * inverse_laplacian(kx, ky)),
    ];
    let gradient = |a: &Field, axis: usize| modes(a.view(), |kx, ky| i * if axis == 0 { kx } else { ky });
    let strain = |u: &[Field; 2], a: usize, b: usize| 0.5 * (gradient(&u[a], b) + gradient(&u[b], a));
    let norm = |u: &[Field; 2]| {
        let mut sum = Array2::<f64>::zeros((N, N));
        for (a, b) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            sum += &strain(u, a, b).mapv(|s| 2.0 * s * s);
        }
        sum.mapv(f64::sqrt)
    };
    let wide = [test(&u[0]), test(&u[1])];
    let (mut lm, mut mm) = (0.0, 0.0);
    let leonard = |a: usize, b: usize| test(&(&u[a] * &u[b])) - &wide[a] * &wide[b];
    let trace = 0.5 * (leonard(0, 0) + leonard(1, 1));
    for (a, b) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let l = if a == b { leonard(a, b) - &trace } else { leonard(a, b) };
        let inner = test(&(delta * delta * norm(&u) * strain(&u, a, b)));
        let m = -2.0 * ((2.0 * delta).powi(2) * norm(&wide) * strain(&wide, a, b) - inner);
        lm += (&l * &m).sum();
        mm += (&m * &m).sum();
    }
    let mut model = Subgrid::dynamic(N, 1.0).unwrap();
    let h = term(&mut model, &w);
    assert!((model.coefficient() / (lm / mm).max(0.0) - 1.0).abs() < 1e-9, "{} and {}", model.coefficient(), lm / mm);
    assert!(lm > 0.0, "a field on which the model is active");
    let fixed = term(&mut Subgrid::smagorinsky(model.coefficient().sqrt(), N, 1.0).unwrap(), &w);
    assert!(distance(&h, &fixed) < ROUND_OFF);
    // Backscatter on average: clipped.
    assert!(term(&mut model, &-w).iter().all(|&h| h == 0.0));
}
