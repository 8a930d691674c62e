//! Filters, coarsening and spectra against what they are by definition.

use lacuna::config::FilterConfig;
use lacuna::spectral::{Filter, Grid, energy_spectrum, irfft2, rfft2, shell_spectrum, stride, truncate};

use crate::fields::{ROUND_OFF, TAU, distance, field, rms, rough};

/// cos(k·x) with integer modes on the unit square.
fn wave(n: usize, x: f64, y: f64) -> lacuna::spectral::Field {
    field(n, |a, b| (TAU * (x * a + y * b)).cos())
}

#[test]
fn filters_multiply_waves_by_their_transfer_functions() {
    let n = 32;
    let grid = Grid::new(n, 1.0).unwrap();
    let filtered = |filter: Filter, w: &lacuna::spectral::Field| {
        let mut spectrum = rfft2(w.view());
        filter.apply(&grid, &mut spectrum);
        irfft2(&spectrum, n)
    };
    // Gaussian: a wave of wavenumber k shrinks by exp(−Δ²k²/24), which is what the convolution with the Gaussian of
    // variance Δ²/12, the variance of a box of width Δ, does.
    let width = 0.15;
    let gaussian = Filter::Gaussian { width };
    for (x, y) in [(0.0, 0.0), (3.0, 0.0), (2.0, -5.0), (0.0, 16.0)] {
        let k2 = TAU * TAU * (x * x + y * y);
        let expected = wave(n, x, y) * (-width * width * k2 / 24.0).exp();
        assert!(distance(&filtered(gaussian, &wave(n, x, y)), &expected) < ROUND_OFF);
        let variance: f64 = width * width / 12.0;
        // The same by quadrature of the convolution at the origin along the wave: ∫ G(r) cos(kr) dr.
        let (points, reach) = (4000, 10.0 * variance.sqrt());
        let integral: f64 = (0..=points)
            .map(|p| {
                let r = reach * (2.0 * f64::from(p) / f64::from(points) - 1.0);
                let density = (-r * r / (2.0 * variance)).exp() / (TAU * variance).sqrt();
                density * (k2.sqrt() * r).cos() * 2.0 * reach / f64::from(points)
            })
            .sum();
        assert!((integral - gaussian.multiplier(k2)).abs() < 1e-10, "{integral}");
    }
    // Sharp: a circle, inclusive.
    let sharp = Filter::Sharp { cutoff: TAU * 5.0 };
    for (x, y, kept) in [(5.0, 0.0, 1.0), (3.0, 4.0, 1.0), (4.0, 4.0, 0.0), (-3.0, 4.0, 1.0), (0.0, 6.0, 0.0)] {
        let out = filtered(sharp, &wave(n, x, y));
        assert!(rms((out - wave(n, x, y) * kept).view()) < ROUND_OFF, "({x}, {y})");
    }
}

#[test]
fn configured_filters_are_in_units_of_the_coarse_grid() {
    let coarse = Grid::new(16, 3.0).unwrap();
    assert_eq!(
        Filter::new(FilterConfig::Gaussian { width: 2.0 }, &coarse),
        Filter::Gaussian { width: 2.0 * 3.0 / 16.0 }
    );
    let Filter::Sharp { cutoff } = Filter::new(FilterConfig::Sharp, &coarse) else { panic!("sharp") };
    // The Nyquist wavenumber of the coarse grid.
    assert!((cutoff - 8.0 * TAU / 3.0).abs() < ROUND_OFF);
}

#[test]
fn truncation_keeps_the_modes_below_nyquist_and_stride_the_points() {
    let (n, small) = (48, 16);
    for (x, y, kept) in [(7.0, -7.0, 1.0), (0.0, 0.0, 1.0), (8.0, 0.0, 0.0), (3.0, 8.0, 0.0), (20.0, 1.0, 0.0)] {
        let out = truncate(wave(n, x, y).view(), small).unwrap();
        assert!(rms((out - wave(small, x, y) * kept).view()) < ROUND_OFF, "({x}, {y})");
        // Stride keeps every wave, the higher ones as aliases.
        assert!(distance(&stride(wave(n, x, y).view(), small).unwrap(), &wave(small, x, y)) < ROUND_OFF);
    }
    // Up and down again loses nothing.
    let w = truncate(rough(n, 1).view(), small).unwrap();
    assert!(distance(&truncate(truncate(w.view(), n).unwrap().view(), small).unwrap(), &w) < ROUND_OFF);
    assert!(stride(w.view(), 5).unwrap_err().to_string().contains("multiple of 5"));
}

#[test]
fn spectra_sum_to_half_the_mean_squares() {
    let (n, length) = (32, 2.0);
    let w = field(n, |x, y| 3.0 * (TAU * 4.0 * x).cos() + (TAU * (3.0 * x - 4.0 * y)).sin());
    let enstrophy = shell_spectrum(w.view());
    let energy = energy_spectrum(w.view(), length);
    // ½⟨(3 cos)²⟩ = 9/4 at |n| = 4, ½⟨sin²⟩ = 1/4 at |n| = 5; energy is that over |k|², k = 2πn/L.
    for (shell, value) in [(4, 2.25), (5, 0.25)] {
        let k = TAU * shell as f64 / length;
        assert!((enstrophy[shell] - value).abs() < ROUND_OFF && (energy[shell] * k * k - value).abs() < ROUND_OFF);
    }
    assert!((enstrophy.iter().sum::<f64>() - 0.5 * rms(w.view()).powi(2)).abs() < ROUND_OFF);
}
