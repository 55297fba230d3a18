//! `cargo xtask bench`: what models cost on a Cortex-M4, and how well they detect.

mod cost;
mod detection;
mod detector;
mod families;
mod glitch;
mod judgement;
mod latent;
mod predict;
mod quality;

use std::path::PathBuf;

use anyhow::Result;

use crate::measure::Measurement;

// Clap does not ask for an option that another one rules out: each names those that it is not for.
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
    /// Write a wild value into one cell of the training rows of every folder of --data, at one place
    /// after the other, and tell how detection changes.
    #[arg(long, group = "comparison", requires = "data", conflicts_with = "names")]
    glitch: bool,
    /// Train the default model on every folder of --data, and tell whether its p-values keep their
    /// promise and whether its alarms blame the feature at fault.
    #[arg(long, group = "comparison", requires = "data", conflicts_with = "names")]
    judgement: bool,
    /// Train the default model on every folder of --data, and tell how rare false alarms of the detector
    /// are and how soon after the start of a fault there is one.
    #[arg(long, group = "comparison", requires = "data", conflicts_with = "names")]
    detector: bool,
    /// Train the default model on every folder of --data, and hold that an emulated device gives every
    /// test row the host's log-density, score, p-value and attributions, bit for bit.
    #[arg(long, group = "comparison", requires = "data", conflicts_with = "names")]
    bits: bool,
    /// Fit flows to known posteriors and train latent variable models on a simulated pump and on every
    /// folder of --data, with three seeds, and tell how near they come and what they reach.
    #[arg(long, group = "comparison", conflicts_with = "names")]
    latent: bool,
    /// Trace models of every kind on every core, and tell what the cost model predicts of them.
    #[arg(long, conflicts_with_all = ["comparison", "names"])]
    cost: bool,
    /// Fit the cost model's coefficients to these traces first.
    #[arg(long, requires = "cost")]
    renew: bool,
    /// Folders with train.csv, val.csv and test.csv, whose last column is `label`.
    #[arg(long, value_name = "DIR", num_args = 1.., requires = "comparison", conflicts_with = "names")]
    data: Vec<PathBuf>,
    /// Most passes over the training rows of each family.
    #[arg(long, requires = "families", conflicts_with_all = ["names", "detection", "detector", "glitch", "judgement", "bits", "latent"])]
    epochs: Option<u32>,
    #[command(flatten)]
    detection_options: detection::Options,
    #[command(flatten)]
    glitch_options: glitch::Options,
    /// Further options of `flowlet train`, after `--`.
    #[arg(last = true, requires = "comparison", conflicts_with = "names")]
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
        Arguments { bits: true, .. } => crate::families::every_row(data, train),
        Arguments { latent: true, .. } => latent::run(data, train),
        Arguments { glitch: true, glitch_options, .. } => glitch::run(data, glitch_options, train),
        Arguments { judgement: true, .. } => judgement::run(data, train),
        Arguments { detector: true, .. } => detector::run(data, train),
        Arguments { cost: true, renew, .. } => predict::run(*renew),
        Arguments { names, .. } => cost(names).map(drop),
    }
}

/// Holds what the cost model predicts of a few models against what they take.
pub fn check_predictions() -> Result<()> {
    predict::check()
}

/// Measures the models whose names contain one of `parts`.
pub fn cost(parts: &[String]) -> Result<Vec<Measurement>> {
    cost::run(parts)
}
