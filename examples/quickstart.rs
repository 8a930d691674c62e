//! The whole path at the smallest preset: simulate, train, compare with the exact law, put back into the running solver. A few
//! minutes the first time, seconds afterwards.
//!
//! `cargo run --release --example quickstart [CONFIGURATION.toml]`

use std::path::Path;

use lacuna::prelude::*;

fn main() -> lacuna::Result<()> {
    let file = std::env::args().nth(1);
    let config = Config::load("smoke", file.as_deref().map(Path::new), &[])?;
    run(&Lab::new(config, None, None)?)
}

pub fn run(lab: &Lab) -> lacuna::Result<()> {
    // Simulates the data first, if they are not there.
    println!("{}", lab.train("spectral")?);
    // Are the learned laws right?
    println!("{}", lab.show(Exhibit::Offline)?);
    // Do they hold in the running solver?
    println!("{}", lab.show(Exhibit::ClosedLoop)?);
    lab.show(Exhibit::Closures(&["none", "exact", "spectral"]))?;
    println!("{}", lab.gallery().folder().join("closures.png").display());
    Ok(())
}
