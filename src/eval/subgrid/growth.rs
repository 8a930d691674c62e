//! How uncertainty grows from scale to scale.

use ndarray::ArrayView2;
use polars::prelude::Column;

use crate::error::Result;
use crate::eval::closed_loop::alive;
use crate::eval::table::{Table, known};
use crate::rollout::{Ensemble, Reference};
use crate::spectral::{Field, shell_spectrum};

/// Variance and error of ensembles by shell over time.
#[derive(Debug, Clone)]
pub struct Growth {
    /// Closure by closure, snapshot by snapshot, shell by shell.
    pub rows: Vec<GrowthRow>,
}

/// One ensemble at one time in one shell round(|n|).
#[derive(Debug, Clone)]
pub struct GrowthRow {
    /// The closure.
    pub closure: String,
    /// Simulated time.
    pub t: f64,
    /// The shell.
    pub shell: usize,
    /// Unbiased variance of the members, ½Σ|ω̂_m − ω̂|² of the shell, over the enstrophy of the true flow there; 1 where members know
    /// nothing of each other. Unknown for fewer than two members.
    pub variance: f64,
    /// Enstrophy of the members' distance from the true flow over twice that of the true flow, mean over members: 1 where they know nothing
    /// of it.
    pub error: f64,
}

/// Measures ensembles against the first realisation of the true flow; members that have failed are left out.
///
/// An ensemble grows uncertain from the smallest scales up, at the rates of the true flow if its closure is right; deterministic
/// closures that damp the small scales hold it back.
pub fn growth(reference: &Reference, ensembles: &[Ensemble]) -> Growth {
    let mut rows = Vec::new();
    for ensemble in ensembles {
        for (k, &t) in ensemble.times.iter().enumerate() {
            let wide = |field: &ArrayView2<f32>| field.mapv(f64::from);
            let truth = wide(&reference.fields.slice(ndarray::s![k, 0, .., ..]));
            let members: Vec<Field> = alive(ensemble, k).iter().map(wide).collect();
            let enstrophy = shell_spectrum(truth.view());
            let variance = variance_by_shell(&members);
            let mut error = vec![0.0; enstrophy.len()];
            for member in &members {
                let distance = shell_spectrum((member - &truth).view());
                error.iter_mut().zip(distance).for_each(|(sum, x)| *sum += x / members.len() as f64);
            }
            rows.extend(enstrophy.iter().enumerate().filter(|(_, enstrophy)| **enstrophy > 0.0).map(
                |(shell, enstrophy)| {
                    let error = if members.is_empty() { f64::NAN } else { error[shell] / (2.0 * enstrophy) };
                    let variance = variance.as_ref().map_or(f64::NAN, |variance| variance[shell] / enstrophy);
                    GrowthRow { closure: ensemble.closure.clone(), t, shell, variance, error }
                },
            ));
        }
    }
    Growth { rows }
}

/// Unbiased variance of fields by shell, ½Σ|φ̂_m − φ̂|² (see [`shell_spectrum`]); none for fewer than two.
pub fn variance_by_shell(members: &[Field]) -> Option<Vec<f64>> {
    let first = members.first().filter(|_| members.len() > 1)?;
    let sum = members.iter().fold(Field::zeros(first.dim()), |sum, member| sum + member);
    let mean = sum / members.len() as f64;
    let mut sums = vec![0.0; first.nrows() / 2 + 1];
    for member in members {
        let spectrum = shell_spectrum((member - &mean).view());
        sums.iter_mut().zip(spectrum).for_each(|(sum, x)| *sum += x / (members.len() as f64 - 1.0));
    }
    Some(sums)
}

impl Growth {
    /// The name of its table.
    pub const NAME: &'static str = "growth";

    /// As a table.
    ///
    /// # Errors
    /// None in practice.
    pub fn table(&self) -> Result<Table> {
        let rows = &self.rows;
        let caption = "Variance of ensembles, and their distance from the true flow, by shell round(|n|) over time; 1 where nothing is known.";
        Table::new(
            Self::NAME,
            caption,
            vec![
                Column::new("closure".into(), rows.iter().map(|row| row.closure.as_str()).collect::<Vec<_>>()),
                Column::new("t".into(), rows.iter().map(|row| row.t).collect::<Vec<_>>()),
                Column::new("shell".into(), rows.iter().map(|row| row.shell as i64).collect::<Vec<_>>()),
                Column::new("ensemble variance".into(), rows.iter().map(|row| known(row.variance)).collect::<Vec<_>>()),
                Column::new("distance".into(), rows.iter().map(|row| known(row.error)).collect::<Vec<_>>()),
            ],
        )
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, Array4};

    use super::*;
    use crate::rollout::Cost;

    const N: usize = 16;

    fn wave(shell: usize, phase: f64) -> Field {
        let at = |i: usize| std::f64::consts::TAU * (shell * i) as f64 / N as f64;
        Array2::from_shape_fn((N, N), |(i, _)| (at(i) + phase).cos())
    }

    #[test]
    fn members_in_opposite_phase_and_in_quadrature_are_known() {
        /// Fields are single precision.
        const ROUND_OFF: f64 = 1e-6;
        let quarter = std::f64::consts::FRAC_PI_2;
        // Shell 2 of the truth, ahead and behind by a quarter of a wave; shell 3 the same in all.
        let truth = wave(2, 0.0) + wave(3, 0.0);
        let members = [wave(2, quarter) + wave(3, 0.0), wave(2, -quarter) + wave(3, 0.0)];
        let fields = |all: &[&Field]| Array4::from_shape_fn((1, all.len(), N, N), |(_, m, i, j)| all[m][[i, j]] as f32);
        let reference = Reference {
            seeds: String::new(),
            config_hash: String::new(),
            start: truth.clone(),
            times: vec![1.0],
            fields: fields(&[&truth]),
            wall_s: 0.0,
        };
        let ensemble = |fields: Array4<f32>, members: usize| Ensemble {
            closure: "x".into(),
            seeds: String::new(),
            device: "cpu".into(),
            config_hash: String::new(),
            times: vec![1.0],
            fields,
            failures: vec![None; members],
            cost: Cost::default(),
        };
        let found = growth(&reference, &[ensemble(fields(&[&members[0], &members[1]]), 2)]).rows;
        let of = |shell: usize| found.iter().find(|row| row.shell == shell).unwrap();
        // Members are ±sin: their unbiased variance is 2·½, the truth's ½; the distance from it is that of two independent fields.
        assert!((of(2).variance - 2.0).abs() < ROUND_OFF && (of(2).error - 1.0).abs() < ROUND_OFF, "{:?}", of(2));
        assert!(of(3).variance.abs() < ROUND_OFF && of(3).error.abs() < ROUND_OFF);
        let alone = growth(&reference, &[ensemble(fields(&[&truth]), 1)]).rows;
        assert!(alone.iter().all(|row| row.variance.is_nan() && row.error == 0.0));
    }
}
