//! `cargo xtask bench --latent`: how near fitted posteriors come to known ones.

use std::fmt;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use comfy_table::Table;
use serde::{Deserialize, Serialize};

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
/// effective sample size over the number of draws.
const BOUNDS: [(&str, Bound); 15] = [
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

/// Fits the known posteriors with each seed, tells the figures in a table, and leaves them in
/// `target/bench/latent.json`.
pub fn run() -> Result<()> {
    println!("building the known posteriors (minutes, the first time)");
    let mut build = Command::new("cargo");
    build.args(["build", "--release", "--package", "flowlet-tools", "--example", EXAMPLE]);
    crate::run(build.current_dir(crate::root()))?;
    let results = crate::results("bench")?.join("latent.json");
    let (mut rows, mut failures) = (Vec::new(), Vec::new());
    parallel::each(
        SEEDS.to_vec(),
        |seed| known_posteriors(*seed),
        |seed, own| {
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
    println!("{}\nwritten: {}", table(&rows), results.display());
    ensure!(failures.is_empty(), "no result for the seeds {}", failures.join(", "));
    Ok(())
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
