//! A closure of one's own beside the exact law and none at all: the mean of the exact law, damped.
//!
//! `cargo run --release --example own_closure [CONFIGURATION.toml]`

use std::path::Path;

use lacuna::closure::ExactLaw;
use lacuna::prelude::*;

/// H = (1 − damping) E[H | ω]: what a law that underestimates advection would do.
#[derive(Clone)]
struct Damped {
    law: ExactLaw,
    damping: f64,
}

impl Closure for Damped {
    fn name(&self) -> String {
        format!("mean damped by {}", self.damping)
    }

    fn sample(&mut self, w: ArrayView2<f64>, t: f64, _: &mut Stream, mut h: ArrayViewMut2<f64>) -> lacuna::Result<()> {
        self.law.mean(w, t, h.view_mut())?;
        h.mapv_inplace(|h| (1.0 - self.damping) * h);
        Ok(())
    }
}

fn main() -> lacuna::Result<()> {
    let file = std::env::args().nth(1);
    let config = Config::load("smoke", file.as_deref().map(Path::new), &[])?;
    run(&Lab::new(config, None, None)?)
}

pub fn run(lab: &Lab) -> lacuna::Result<()> {
    let config = lab.config();
    let closures = [0.0, 0.1].map(|damping| {
        let law = ExactLaw::new(&config.flow, config.data.n)?;
        Ok(AnyClosure::new(Damped { law, damping }))
    });
    let closures = closures.into_iter().collect::<lacuna::Result<Vec<_>>>()?;
    println!("{}", lab.show(Exhibit::Compare(&closures))?);
    Ok(())
}
