//! Subgrid models of the vorticity equation against fields of few modes, filtered terms and naive evaluations.

use lacuna::closure::{Closure, Subgrid};
use lacuna::config::{Config, FilterConfig, MissingTerm, Preset, ResolvedModes, SubgridModel};
use lacuna::spectral::{Field, Grid, irfft2, rfft2, truncate};
use ndarray::Array2;
use num_complex::Complex64;

use crate::fields::{ROUND_OFF, TAU, distance, field, rough};

const N: usize = 32;

/// A configuration on `n` points with a Gaussian filter of width `width`, a length.
fn config(n: usize, width: f64, resolved: ResolvedModes) -> Config {
    let mut config = Config::preset(Preset::Turbulence);
    config.data.n = n;
    config.data.term = MissingTerm::Subgrid { filter: FilterConfig::Gaussian { width: width * n as f64 }, resolved };
    config
}

fn term(model: &mut Subgrid, w: &Field) -> Field {
    let mut h = Array2::zeros(w.dim());
    assert!(model.mean(w.view(), 0.0, h.view_mut()).unwrap());
    h
}

fn of(model: SubgridModel, constants: &[f64], w: &Field, resolved: ResolvedModes) -> (Field, f64) {
    let config = config(w.nrows(), 2.0 / w.nrows() as f64, resolved);
    let mut model = Subgrid::with_constants(model, constants, &config).unwrap();
    let h = term(&mut model, w);
    (h, model.coefficient())
}

/// φ with the modes `symbol(k_x, k_y)` of `w`.
fn modes(w: &Field, symbol: impl Fn(f64, f64) -> Complex64) -> Field {
    let grid = Grid::new(w.nrows(), 1.0).unwrap();
    let mut out = rfft2(w.view());
    out.indexed_iter_mut().for_each(|((i, j), x)| *x *= symbol(grid.kx(i), grid.ky(j)));
    irfft2(&out, w.nrows())
}

fn psi(w: &Field) -> Field {
    modes(w, |kx, ky| if kx == 0.0 && ky == 0.0 { 0.0.into() } else { (1.0 / (kx * kx + ky * ky)).into() })
}

fn derivative(w: &Field, along: &str) -> Field {
    along.chars().fold(w.clone(), |w, axis| modes(&w, |kx, ky| Complex64::i() * if axis == 'x' { kx } else { ky }))
}

fn velocity(w: &Field) -> [Field; 2] {
    let psi = psi(w);
    [derivative(&psi, "y"), -derivative(&psi, "x")]
}

fn advection(w: &Field) -> Field {
    let [u, v] = velocity(w);
    u * derivative(w, "x") + v * derivative(w, "y")
}

fn gaussian(w: &Field, width: f64) -> Field {
    modes(w, |kx, ky| (-width * width * (kx * kx + ky * ky) / 24.0).exp().into())
}

/// Modes up to 3, in whose triple products nothing aliases on [`N`] points.
fn smooth() -> Field {
    field(N, |x, y| {
        3.0 * (TAU * x).sin() + 2.0 * (TAU * (x + 2.0 * y)).cos() - (TAU * 3.0 * y).cos() + (TAU * (2.0 * x - y)).sin()
    })
}

#[test]
fn gradient_models_are_the_filtered_term_up_to_their_orders() {
    // The exact term of smooth fields, from the unfiltered field; its remainder is of order Δ⁴ after GM2 and Δ⁶ after GM4.
    let w = smooth();
    let error = |model: SubgridModel, width: f64| {
        let filtered = gaussian(&w, width);
        let exact = advection(&filtered) - gaussian(&advection(&w), width);
        let found = term(&mut Subgrid::configured(model, &config(N, width, ResolvedModes::All)).unwrap(), &filtered);
        distance(&found, &exact)
    };
    // Relative to the term, which is of order Δ²: orders 2 and 4, with the next order of the expansion at these widths.
    for (model, order) in [(SubgridModel::Gm2, 2.0), (SubgridModel::Gm4, 4.0)] {
        let errors = [0.04, 0.02].map(|width| error(model, width));
        let measured = (errors[0] / errors[1]).log2();
        assert!((measured - order).abs() < 0.05, "{model}: order {measured}, errors {errors:?}");
        assert!(errors[1] < 0.02);
    }
    assert!(error(SubgridModel::Gm4, 0.04) < 0.05 * error(SubgridModel::Gm2, 0.04));
}

#[test]
fn deconvolution_is_the_filtered_term_of_fields_that_the_grid_holds() {
    // Smooth fields have nothing beyond the grid. The inverse of the filter multiplies round-off by the ratio of the filter at the smallest
    // modes of a field and of its products.
    const AMPLIFIED: f64 = 1e-9;
    let (w, width) = (smooth(), 0.04);
    let filtered = gaussian(&w, width);
    let exact = advection(&filtered) - gaussian(&advection(&w), width);
    let at = |model: SubgridModel| {
        term(&mut Subgrid::configured(model, &config(N, width, ResolvedModes::All)).unwrap(), &filtered)
    };
    let error = distance(&at(SubgridModel::Deconvolution), &exact);
    assert!(error < AMPLIFIED, "{error}");
    assert!(distance(&at(SubgridModel::Gm4), &exact) > 1e3 * AMPLIFIED);
    // A sharp cut-off takes nothing from the modes that are kept.
    let mut config = config(N, width, ResolvedModes::All);
    config.data.term = MissingTerm::Subgrid { filter: FilterConfig::Truncation, resolved: ResolvedModes::All };
    let mut model = Subgrid::configured(SubgridModel::Deconvolution, &config).unwrap();
    let h = term(&mut model, &w);
    assert!(distance(&(&h + &exact), &exact) < ROUND_OFF);
}

#[test]
fn gradient_models_are_the_published_sums_of_products() {
    let (w, width) = (smooth(), 2.0 / N as f64);
    let [u, v] = velocity(&w);
    let d = derivative;
    let second = (d(&u, "y") + d(&v, "x")) * d(&w, "xy") + d(&u, "x") * (d(&w, "xx") - d(&w, "yy"));
    let fourth = d(&w, "xxy") * (2.0 * d(&u, "xy") + d(&v, "xx")) + d(&u, "xx") * (d(&w, "xxx") - 2.0 * d(&w, "xyy"))
        - d(&u, "xy") * d(&w, "yyy")
        + d(&u, "yy") * d(&w, "xyy");
    let gm2 = second * (width.powi(2) / 12.0);
    let gm4 = &gm2 + fourth * (width.powi(4) / 288.0);
    for resolved in [ResolvedModes::TwoThirds, ResolvedModes::All] {
        for (model, published) in [(SubgridModel::Gm2, &gm2), (SubgridModel::Gm4, &gm4)] {
            let (h, _) = of(model, &[], &w, resolved);
            assert!(distance(&h, &(-1.0 * published)) < ROUND_OFF, "{model}");
        }
    }
}

#[test]
fn products_of_all_modes_do_not_alias() {
    // What 16² hold, evaluated there and at points enough for every product.
    let n = 16;
    let w = truncate(rough(N, 3).view(), n).unwrap();
    let wide = truncate(w.view(), 64).unwrap();
    // The inverse of a wide filter would magnify the round-off in modes of the wide grid that the field has not.
    for (model, width) in [(SubgridModel::Gm2, 0.1), (SubgridModel::Gm4, 0.1), (SubgridModel::Deconvolution, 0.02)] {
        let at = |w: &Field| {
            let config = config(w.nrows(), width, ResolvedModes::All);
            term(&mut Subgrid::configured(model, &config).unwrap(), w)
        };
        assert!(distance(&at(&w), &truncate(at(&wide).view(), n).unwrap()) < ROUND_OFF, "{model}");
    }
}

#[test]
fn domain_means_are_those_of_the_fields() {
    let (w, spacing) = (rough(N, 4), 1.0 / N as f64);
    // Only resolved modes count.
    let w = truncate(truncate(w.view(), 20).unwrap().view(), N).unwrap();
    let laplacian = derivative(&w, "xx") + derivative(&w, "yy");
    let [u, v] = velocity(&w);
    let (sxx, sxy) = (derivative(&u, "x"), 0.5 * (derivative(&u, "y") + derivative(&v, "x")));
    let strain = (4.0 * (&sxx * &sxx + &sxy * &sxy)).mean().unwrap().sqrt();
    let (wx, wy) = (derivative(&w, "x"), derivative(&w, "y"));
    let gradient = (&wx * &wx + &wy * &wy).mean().unwrap();
    for resolved in [ResolvedModes::TwoThirds, ResolvedModes::All] {
        let (h, _) = of(SubgridModel::SmagorinskyMean, &[0.2], &w, resolved);
        assert!(distance(&h, &(&laplacian * ((0.2 * spacing).powi(2) * strain))) < ROUND_OFF);
        let (h, _) = of(SubgridModel::LeithMean, &[0.3], &w, resolved);
        assert!(distance(&h, &(&laplacian * ((0.3 * spacing).powi(3) * gradient.sqrt()))) < ROUND_OFF);
        let biharmonic = derivative(&laplacian, "xx") + derivative(&laplacian, "yy");
        for (model, fourth) in [
            (SubgridModel::Jhs, (0.5 * spacing).powi(4) * strain),
            (SubgridModel::Jhl, (0.5 * spacing).powi(5) * gradient.sqrt()),
        ] {
            let (h, _) = of(model, &[0.5, 0.7], &w, resolved);
            let negative = 0.7 * fourth * gradient / (&w * &w).mean().unwrap();
            let expected = -1.0 * &biharmonic * fourth - &laplacian * negative;
            assert!(distance(&h, &expected) < ROUND_OFF, "{model}");
            // What comes back is the share C_B of the energy; of the enstrophy less.
            let rates = |share: f64| {
                let (h, _) = of(model, &[0.5, share], &w, resolved);
                [(psi(&w) * &h).mean().unwrap(), (&w * &h).mean().unwrap()]
            };
            let ([lost, _], [left, _], [none, enstrophy]) = (rates(0.0), rates(0.7), rates(1.0));
            assert!(lost < 0.0 && (left / lost - 0.3).abs() < 1e-9 && none.abs() < 1e-9 * lost.abs(), "{lost}, {left}");
            assert!(enstrophy < 0.0);
        }
    }
}

/// L and M of the dynamic procedure in the vorticity form by the definition, one transform after the other, on a field inside the mask.
fn leonard(w: &Field, leith: bool) -> [Field; 2] {
    let (n, delta) = (w.nrows(), 1.0 / w.nrows() as f64);
    let test = |w: &Field| {
        let kept = |k: f64| (k / TAU).round().abs() < n as f64 / 4.0;
        modes(w, |kx, ky| f64::from(kept(kx) && kept(ky)).into())
    };
    let laplacian = |w: &Field| derivative(w, "xx") + derivative(w, "yy");
    let (size, power) = if leith {
        let (wx, wy) = (derivative(w, "x"), derivative(w, "y"));
        ((&wx * &wx + &wy * &wy).mapv(f64::sqrt), 3)
    } else {
        let [u, v] = velocity(w);
        let (sxx, sxy) = (derivative(&u, "x"), 0.5 * (derivative(&u, "y") + derivative(&v, "x")));
        ((4.0 * (&sxx * &sxx + &sxy * &sxy)).mapv(f64::sqrt), 2)
    };
    let l = test(&advection(w)) - advection(&test(w));
    let m = test(&(&size * laplacian(w) * delta.powi(power)))
        - test(&size) * laplacian(&test(w)) * (2.0 * delta).powi(power);
    [l, m]
}

#[test]
fn dynamic_coefficients_of_the_vorticity_form_are_those_of_the_definition() {
    let inside = truncate(truncate(rough(N, 5).view(), 20).unwrap().view(), N).unwrap();
    for (leith, parts, clipped) in [
        (false, SubgridModel::Dsmag, SubgridModel::DsmagClipped),
        (true, SubgridModel::Dleith, SubgridModel::DleithClipped),
    ] {
        let mut averages = Vec::new();
        for w in [inside.clone(), -1.0 * &inside] {
            let [l, m] = leonard(&w, leith);
            let square = (&m * &m).sum();
            let positive = (&l * &m).mapv(|x| x.max(0.0)).sum() / square;
            let average = (&l * &m).sum() / square;
            let (h, found) = of(parts, &[], &w, ResolvedModes::TwoThirds);
            assert!((found / positive - 1.0).abs() < 1e-9, "{parts}: {found}, {positive}");
            let (fixed, constant) = match leith {
                true => (SubgridModel::LeithMean, found.cbrt()),
                false => (SubgridModel::SmagorinskyMean, found.sqrt()),
            };
            assert!(distance(&h, &of(fixed, &[constant], &w, ResolvedModes::TwoThirds).0) < ROUND_OFF, "{parts}");
            let (_, found) = of(clipped, &[], &w, ResolvedModes::TwoThirds);
            assert!((found - average.max(0.0)).abs() < 1e-9 * average.abs(), "{clipped}: {found}, {average}");
            averages.push(average);
        }
        // LM is odd in ω: of one sign it returns enstrophy on average, and clipped that is no closure at all.
        assert!(averages[0] * averages[1] < 0.0, "{averages:?}");
    }
}

#[test]
fn all_modes_of_a_grid_are_those_of_two_thirds_of_a_finer_one() {
    // Modes up to 15, products at 48 points per side, either way; spacings differ by 3/2.
    let w = truncate(rough(N, 6).view(), N).unwrap();
    let fine = truncate(w.view(), 48).unwrap();
    for (model, constants, finer) in [
        (SubgridModel::Smagorinsky, vec![0.2], vec![0.3]),
        (SubgridModel::Leith, vec![0.2], vec![0.3]),
        (SubgridModel::Jhl, vec![0.4, 0.5], vec![0.6, 0.5]),
    ] {
        let (here, _) = of(model, &constants, &w, ResolvedModes::All);
        let (there, _) = of(model, &finer, &fine, ResolvedModes::TwoThirds);
        assert!(distance(&here, &truncate(there.view(), N).unwrap()) < ROUND_OFF, "{model}");
    }
}
