//! The quadratic law of pairs (ω, H) of one's own, scored against them.
//!
//! `cargo run --release --example own_data FOLDER [CONFIGURATION.toml]`: FOLDER has train.h5 and test.h5 in the published layout
//! (`lacuna data --help`); the configuration says what the grid, the equation and the term are.

use std::path::Path;

use lacuna::config::{ModelConfig, SourceConfig};
use lacuna::prelude::*;

fn main() -> lacuna::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let Some(folder) = arguments.next() else {
        return Err(lacuna::Error::config("FOLDER", "missing; the folder of train.h5 and test.h5"));
    };
    let file = arguments.next();
    let config = Config::load("smoke", file.as_deref().map(Path::new), &[])?;
    run(config, Path::new(&folder), None)
}

/// Learns from the pairs in `folder`; results and figures go below `out`, or where they usually go.
pub fn run(mut config: Config, folder: &Path, out: Option<&Path>) -> lacuna::Result<()> {
    let quadratic = ModelConfig::quadratic(config.data.n / 4, true);
    config.models = [("quadratic".to_string(), quadratic)].into();
    config.rollout.closures = ["none", "quadratic"].map(String::from).into();
    config.eval.offline_only.clear();
    let [data, figures] = ["data", "figures"].map(|name| out.map(|out| out.join(name)));
    let lab =
        Lab::new(config.without_studies().with_data(SourceConfig::new(folder)), data.as_deref(), figures.as_deref())?;
    println!("{}", lab.data()?);
    println!("{}", lab.train("quadratic")?);
    println!("{}", lab.show(Exhibit::Offline)?);
    Ok(())
}
