//! `cargo xtask bench --latent`: how near fitted posteriors come to known ones, and what latent variable
//! models reach on a simulated pump and on folders of rows.

mod pump;
mod sets;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use comfy_table::Table;
use serde::{Deserialize, Serialize};

use super::quality::mean;
use crate::data::Data;
use crate::host_tool::HostTool;
use crate::parallel;

/// Of every training.
const SEEDS: [u64; 3] = [0, 1, 2];

/// One figure of one seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Row {
    name: String,
    seed: u64,
    value: f64,
}

/// What a figure must reach with every seed.
enum Bound {
    AtMost(f64),
    AtLeast(f64),
    Within(f64, f64),
}

use Bound::{AtLeast, AtMost, Within};

/// Each figure that has a bound. Gaps are to the log evidence, in nats; an effective share is the
/// effective sample size over the number of draws; what models reach on rows is in nats of standardised
/// rows.
const BOUNDS: [(&str, Bound); 29] = [
    ("linear_gaussian_flow_gap", AtMost(0.02)),
    ("linear_gaussian_diagonal_gap", Within(0.78, 0.82)),
    ("banana_posterior_flow_gap", AtMost(0.025)),
    ("banana_posterior_diagonal_gap", AtLeast(0.6)),
    ("bimodal_posterior_flow_gap", AtMost(0.25)),
    ("bimodal_posterior_diagonal_gap", AtLeast(0.4)),
    ("regression_gap", AtMost(0.02)),
    ("regression_effective_share", AtLeast(0.9)),
    ("banana_gap", AtMost(0.02)),
    ("banana_effective_share", AtLeast(0.9)),
    ("funnel_gap", AtMost(0.02)),
    ("funnel_effective_share", AtLeast(0.9)),
    ("schools_non_centred_gap", AtMost(0.02)),
    ("schools_non_centred_effective_share", AtLeast(0.9)),
    ("schools_centred_gap", AtMost(0.15)),
    ("digits64_elbo", AtLeast(-58.0)),
    ("skab_valve1_raw_elbo", AtLeast(-8.5)),
    ("pendigits_flow_posterior_gain", AtLeast(0.35)),
    ("gas_turbine_flow_posterior_gain", AtLeast(0.15)),
    ("pendigits_bound_128", AtLeast(-4.8)),
    ("pendigits_bound_least_rise", AtLeast(0.0)),
    ("mean_auroc", AtLeast(0.86)),
    ("pump_adjusted_rand_index", AtLeast(0.95)),
    ("pump_mixture_prior_gain", AtLeast(0.4)),
    ("binary_digits64_elbo", AtLeast(-20.0)),
    ("annthyroid_device_equals_host", AtLeast(1.0)),
    ("pendigits_device_equals_host", AtLeast(1.0)),
    ("skab_valve1_raw_device_equals_host", AtLeast(1.0)),
    ("digits64_device_equals_host", AtLeast(1.0)),
];

impl Bound {
    fn holds(&self, value: f64) -> bool {
        match *self {
            AtMost(most) => value <= most,
            AtLeast(least) => value >= least,
            Within(least, most) => (least..=most).contains(&value),
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        match self {
            AtMost(most) => write!(formatter, "<= {most}"),
            AtLeast(least) => write!(formatter, ">= {least}"),
            Within(least, most) => write!(formatter, "{least} to {most}"),
        }
    }
}

/// One training, and what is asked of it.
enum Job<'a> {
    Known,
    Pump,
    Rows(&'a Data),
    Binary(&'a Data),
    Device(&'a Data),
}

/// Fits the known posteriors and trains on the pump and on each of `folders` with each seed, tells the
/// figures in a table, and leaves them in `target/bench/latent.json`.
pub fn run(folders: &[PathBuf], train: &[String]) -> Result<()> {
    let sets = folders.iter().map(|folder| Data::with_anomalies(folder));
    let sets: Vec<Data> = sets.collect::<Result<_>>()?;
    println!("building the known posteriors (minutes, the first time)");
    let mut build = Command::new("cargo");
    build.args(["build", "--release", "--package", "flowlet-tools", "--example", EXAMPLE]);
    crate::run(build.current_dir(crate::root()))?;
    let flowlet = HostTool::build()?;
    let results = crate::results("bench")?.join("latent.json");
    let folder = crate::results("bench/latent")?;
    let jobs = SEEDS.iter().flat_map(|seed| jobs(&sets).map(move |job| (job, *seed)));
    let (mut rows, mut failures) = (Vec::new(), Vec::new());
    parallel::each(
        jobs.collect(),
        |(job, seed)| measure(job, *seed, &flowlet, train, &folder),
        |(_, seed), own| {
            match own {
                Ok(own) => {
                    println!("seed {seed}: {} figures", own.len());
                    rows.extend(own);
                    rows.sort_by(|a, b| (&a.name, a.seed).cmp(&(&b.name, b.seed)));
                    crate::write_json(&results, &serde_json::json!({ "rows": rows }))?;
                }
                Err(error) => {
                    println!("seed {seed}: {error:#}");
                    failures.push(seed.to_string());
                }
            }
            Ok(())
        },
    )?;
    rows.extend(SEEDS.iter().filter_map(|seed| mean_auroc(&rows, *seed)).collect::<Vec<_>>());
    rows.sort_by(|a, b| (&a.name, a.seed).cmp(&(&b.name, b.seed)));
    crate::write_json(&results, &serde_json::json!({ "rows": rows }))?;
    println!("{}\nwritten: {}", table(&rows), results.display());
    ensure!(failures.is_empty(), "a training failed with the seeds {}", failures.join(", "));
    Ok(())
}

/// All trainings of one seed.
fn jobs(sets: &[Data]) -> impl Iterator<Item = Job<'_>> {
    let of_set = |data| {
        let name = &data_name(data);
        let binary = (*name == sets::BINARY).then_some(Job::Binary(data));
        let device = sets::ON_THE_DEVICE.contains(name).then_some(Job::Device(data));
        [Some(Job::Rows(data)), binary, device].into_iter().flatten()
    };
    [Job::Known, Job::Pump].into_iter().chain(sets.iter().flat_map(of_set))
}

fn data_name(data: &Data) -> &str {
    &data.name
}

fn measure(
    job: &Job,
    seed: u64,
    flowlet: &HostTool,
    train: &[String],
    folder: &Path,
) -> Result<Vec<Row>> {
    let figures = match job {
        Job::Known => return known_posteriors(seed),
        Job::Pump => pump::measure(flowlet, seed, train, folder)?,
        Job::Rows(data) => sets::measure(flowlet, data, seed, train, folder)?,
        Job::Binary(data) => sets::measure_binary(flowlet, data, seed, train, folder)?,
        Job::Device(data) => sets::compare(flowlet, data, seed, train, folder)?,
    };
    Ok(figures.into_iter().map(|(name, value)| Row { name, seed, value }).collect())
}

/// Over all sets.
fn mean_auroc(rows: &[Row], seed: u64) -> Option<Row> {
    let own = rows.iter().filter(|row| row.seed == seed && row.name.ends_with("_auroc"));
    let value = mean(own.map(|row| row.value))?;
    Some(Row { name: "mean_auroc".into(), seed, value })
}

/// The host tool's example that fits them.
const EXAMPLE: &str = "known_posteriors";

fn known_posteriors(seed: u64) -> Result<Vec<Row>> {
    let mut example = Command::new(crate::root().join("target/release/examples").join(EXAMPLE));
    let output = crate::read(example.arg(seed.to_string()))?;
    rows_of(std::str::from_utf8(&output)?)
}

/// A line of JSON a figure.
fn rows_of(lines: &str) -> Result<Vec<Row>> {
    let row = |line: &str| serde_json::from_str(line).with_context(|| format!("no figure: {line}"));
    lines.lines().map(row).collect()
}

/// A line a figure, its seeds side by side; rows are in the order of names and seeds.
fn table(rows: &[Row]) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::ASCII_MARKDOWN);
    let seeds = SEEDS.iter().map(|seed| format!("seed {seed}"));
    let header = ["figure".into()].into_iter().chain(seeds);
    table.set_header(header.chain(["must be".into(), "reached".into()]));
    for of_name in rows.chunk_by(|a, b| a.name == b.name) {
        let name = &of_name[0].name;
        let value = |seed: &u64| of_name.iter().find(|row| row.seed == *seed);
        let values = SEEDS.iter().map(value);
        let cells = values.map(|row| row.map_or("-".into(), |row| format!("{:.4}", row.value)));
        let bound = BOUNDS.iter().find(|(own, _)| own == name).map(|(_, bound)| bound);
        let reached = bound.map(|bound| {
            let all = of_name.len() == SEEDS.len();
            if all && of_name.iter().all(|row| bound.holds(row.value)) { "yes" } else { "no" }
        });
        let bound = bound.map_or(String::new(), Bound::to_string);
        let cells = [name.clone()].into_iter().chain(cells);
        table.add_row(cells.chain([bound, reached.unwrap_or_default().into()]));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_a_line() {
        let text = "{\"name\":\"a\",\"seed\":2,\"value\":-0.5}\n{\"name\":\"b\",\"seed\":0,\"value\":1.0}\n";
        let rows = rows_of(text).expect("figures");
        assert_eq!(rows[0], Row { name: "a".into(), seed: 2, value: -0.5 });
        assert_eq!(rows.len(), 2);
        assert!(rows_of("gap 0.5\n").is_err());
    }

    /// With one seed beyond the bound, or without a value, it is not reached.
    #[test]
    fn every_seed_must_reach_the_bound() {
        let verdict = |values: &[f64]| {
            let row =
                |(seed, value): (u64, &f64)| Row { name: "funnel_gap".into(), seed, value: *value };
            let rows: Vec<Row> = (0..).zip(values).map(row).collect();
            table(&rows).to_string()
        };
        assert!(verdict(&[0.01, 0.02, -0.001]).contains("yes"));
        assert!(verdict(&[0.01, 0.021, 0.01]).contains("no"));
        assert!(verdict(&[0.01, 0.01]).contains("no"));
        assert!(verdict(&[0.01, f64::NAN, 0.01]).contains("no"));
    }
}
