//! `cargo xtask bench --latent`: what latent variable models reach on folders of rows, against what
//! they are to reach.

mod pump;
mod sets;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use comfy_table::Table;
use serde::Serialize;

use super::quality::mean;
use crate::data::Data;
use crate::host_tool::HostTool;
use crate::parallel;

/// One figure of one training.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What was measured.
    pub name: String,
    /// Of the training.
    pub seed: u64,
    /// The figure.
    pub value: f64,
}

/// What a figure, the mean over the seeds, is to be at least.
const LEAST: [(&str, f64); 13] = [
    ("digits64/elbo", -58.0),
    ("skab_valve1_raw/elbo", -8.5),
    ("pendigits/gain of the flow posterior", 0.35),
    ("gas_turbine/gain of the flow posterior", 0.15),
    ("pendigits/bound of 128 points", -4.8),
    ("pendigits/least rise of the bound", 0.0),
    ("mean auroc", 0.860),
    ("pump/adjusted Rand index", 0.95),
    ("pump/gain of the mixture prior", 0.4),
    ("binary digits64/elbo", -20.0),
    ("annthyroid/share of equal bits on the device", 1.0),
    ("pendigits/share of equal bits on the device", 1.0),
    ("digits64/share of equal bits on the device", 1.0),
];

/// One training, and what is asked of it.
enum Job<'a> {
    Set(&'a Data),
    Device(&'a Data),
    Binary(&'a Data),
    Pump,
}

/// Trains latent models on each of `folders`, on a binary form of digits64 and on a simulated pump, with
/// each seed, and tells in a table what they reach.
pub fn run(folders: &[PathBuf], seeds: &[u64], train: &[String]) -> Result<()> {
    let sets = folders.iter().map(|folder| Data::with_anomalies(folder));
    let sets: Vec<Data> = sets.collect::<Result<_>>()?;
    let flowlet = HostTool::build()?;
    let results = crate::results("bench")?.join("latent.json");
    let folder = crate::results("bench/latent")?;
    let jobs = |seed: u64| {
        let of_set = move |data| {
            let device =
                sets::ON_THE_DEVICE.contains(&data_name(data)).then_some(Job::Device(data));
            let binary = (data_name(data) == sets::BINARY).then_some(Job::Binary(data));
            [Some(Job::Set(data)), device, binary].into_iter().flatten()
        };
        sets.iter().flat_map(of_set).chain([Job::Pump]).map(move |job| (job, seed))
    };
    let mut rows: Vec<Row> = Vec::new();
    let mut failures = Vec::new();
    parallel::each(
        seeds.iter().flat_map(|seed| jobs(*seed)).collect(),
        |(job, seed)| match job {
            Job::Set(data) => sets::measure(&flowlet, data, *seed, train, &folder),
            Job::Device(data) => sets::compare(&flowlet, data, *seed, train, &folder),
            Job::Binary(data) => sets::measure_binary(&flowlet, data, *seed, train, &folder),
            Job::Pump => pump::measure(&flowlet, *seed, train, &folder),
        },
        |(_, seed), measured| {
            match measured {
                Ok(measured) => {
                    for (name, value) in measured {
                        println!("{name}, seed {seed}: {value:.4}");
                        rows.push(Row { name, seed, value });
                    }
                }
                Err(error) => failures.push(format!("{error:#}")),
            }
            crate::write_json(&results, &serde_json::json!({ "rows": rows }))
        },
    )?;
    for seed in seeds {
        let aurocs = rows.iter().filter(|row| row.seed == *seed && row.name.ends_with("/auroc"));
        let value = mean(aurocs.map(|row| row.value));
        rows.extend(value.map(|value| Row { name: "mean auroc".into(), seed: *seed, value }));
    }
    crate::write_json(&results, &serde_json::json!({ "rows": rows }))?;
    println!("{}", table(&rows));
    println!("written: {}", results.display());
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

fn data_name(data: &Data) -> &str {
    &data.name
}

/// Every figure, its mean over the seeds, and what it is to be at least.
fn table(rows: &[Row]) -> Table {
    let mut of_name: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for row in rows {
        of_name.entry(&row.name).or_default().push(row.value);
    }
    let mut table = Table::new();
    table.load_style(comfy_table::presets::ASCII_MARKDOWN);
    table.set_header(["", "each seed", "mean", "at least", ""]);
    for (name, values) in of_name {
        let each: Vec<_> = values.iter().map(|value| format!("{value:.3}")).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let least = LEAST.iter().find(|(own, _)| *own == name).map(|(_, least)| *least);
        let verdict = match least {
            Some(least) if mean >= least => "reached",
            Some(_) => "missed",
            None => "",
        };
        let least = least.map_or(String::new(), |least| least.to_string());
        table.add_row([name, &each.join(" "), &format!("{mean:.3}"), &least, verdict]);
    }
    table
}
