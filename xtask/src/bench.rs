//! `cargo xtask bench`: what models cost on a Cortex-M4, and how well they detect.

mod cost;
mod detection;
mod families;
mod glitch;
mod quality;

use std::path::PathBuf;

use anyhow::Result;

use crate::measure::Measurement;

#[derive(clap::Args)]
pub struct Arguments {
    /// Parts of the names of the models to measure, or `all`; by default the trained one alone.
    names: Vec<String>,
    /// Train every family on every folder of --data, and compare quality and cost.
    #[arg(long, group = "comparison", requires = "data", conflicts_with = "names")]
    families: bool,
    /// Train the default model on every folder of --data for each seed, and tell how well it
    /// detects the anomalies.
    #[arg(long, group = "comparison", requires = "data", conflicts_with = "names")]
    detection: bool,
    /// Write one glitch into a few training rows of every folder of --data, and tell how much worse
    /// the model then detects.
    #[arg(long, group = "comparison", requires = "data", conflicts_with = "names")]
    glitch: bool,
    /// Folders with train.csv, val.csv and test.csv, whose last column is `label`.
    #[arg(long, value_name = "DIR", num_args = 1.., requires = "comparison")]
    data: Vec<PathBuf>,
    /// Most passes over the training rows of each family.
    #[arg(long, requires = "families")]
    epochs: Option<u32>,
    #[command(flatten)]
    detection_options: detection::Options,
    #[command(flatten)]
    glitch_options: glitch::Options,
    /// Further options of `flowlet train`, after `--`.
    #[arg(last = true, requires = "comparison")]
    train: Vec<String>,
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { data, train, .. } = arguments;
    match arguments {
        Arguments { families: true, epochs, .. } => {
            let epochs = epochs.map(|epochs| crate::words(&format!("--epochs {epochs}")));
            families::run(data, &[&epochs.unwrap_or_default()[..], train].concat())
        }
        Arguments { detection: true, detection_options, .. } => {
            detection::run(data, detection_options, train)
        }
        Arguments { glitch: true, glitch_options, .. } => glitch::run(data, glitch_options, train),
        Arguments { names, .. } => cost(names).map(drop),
    }
}

/// Measures the models whose names contain one of `parts`.
pub fn cost(parts: &[String]) -> Result<Vec<Measurement>> {
    cost::run(parts)
}
