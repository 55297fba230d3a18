//! `cargo xtask bench --detection`: how well the default model finds the anomalies of folders of
//! rows, beside other detectors.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use comfy_table::Table;
use serde::{Deserialize, Serialize};

use super::quality::{Quality, mean, number};
use crate::data::Data;
use crate::host_tool::HostTool;
use crate::parallel;

#[derive(clap::Args)]
#[group(skip)]
pub struct Options {
    /// Seeds to train with.
    #[arg(long, value_delimiter = ',', default_value = "0,1,2", requires = "comparison", conflicts_with_all = ["names", "families", "glitch", "judgement"])]
    pub(super) seeds: Vec<u64>,
    /// What other detectors reach, as {"SET": {"baselines": {"DETECTOR": {"auroc": 0.9}}}}.
    #[arg(long, value_name = "JSON", requires = "detection", conflicts_with_all = ["names", "families", "glitch", "judgement", "latent"])]
    baselines: Option<PathBuf>,
}

/// What one training came to.
#[derive(Serialize)]
struct Row {
    name: String,
    seed: u64,
    #[serde(flatten)]
    quality: Quality,
}

/// The AUROC of other detectors, by their names.
type Baselines = BTreeMap<String, f64>;

/// Trains a model on each of `folders` with each seed, with further options of `flowlet train`,
/// and tells in a table how well it detects.
pub fn run(folders: &[PathBuf], options: &Options, train: &[String]) -> Result<()> {
    let mut sets = Vec::new();
    for folder in folders {
        match Data::with_anomalies(folder) {
            Ok(data) => sets.push(data),
            Err(error) => println!("left out: {error:#}"),
        }
    }
    ensure!(!sets.is_empty(), "no folder of --data has labelled anomalies");
    let baselines = match &options.baselines {
        Some(path) => read_baselines(path, &sets)?,
        None => BTreeMap::new(),
    };
    let flowlet = HostTool::build()?;
    let results = crate::results("bench")?.join("detection.json");
    let models = crate::results("bench/detection")?;
    let jobs = sets.iter().flat_map(|data| options.seeds.iter().map(move |seed| (data, *seed)));
    let mut rows = Vec::new();
    let mut failures = Vec::new();
    parallel::each(
        jobs.collect(),
        |(data, seed)| {
            let model = models.join(format!("{}-{seed}.flow", data.name));
            let train = [&crate::words(&format!("--seed {seed}")), train].concat();
            flowlet.train_quietly(&data.training, Some(&data.validation), &train, &model)?;
            Quality::of(&flowlet, &data.test, &model)
        },
        |(data, seed), quality| {
            let name = data.name.clone();
            match quality {
                Ok(quality) => {
                    println!("{name}, seed {seed}: {quality}");
                    rows.push(Row { name, seed, quality });
                    crate::write_json(&results, &serde_json::json!({ "rows": rows }))
                }
                Err(error) => {
                    println!("{name}, seed {seed}: {error:#}");
                    failures.push(format!("{name}, seed {seed}"));
                    Ok(())
                }
            }
        },
    )?;
    println!("{}\nwritten: {}", table(&sets, &rows, &baselines), results.display());
    ensure!(failures.is_empty(), "no result for {}", failures.join("; "));
    Ok(())
}

/// For each set what other detectors reach. A set's name in the file may have folders before it.
fn read_baselines(path: &Path, sets: &[Data]) -> Result<BTreeMap<String, Baselines>> {
    #[derive(Deserialize)]
    struct Set {
        baselines: BTreeMap<String, Detector>,
    }
    #[derive(Deserialize)]
    struct Detector {
        auroc: Option<f64>,
    }
    let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let named: BTreeMap<String, Set> = serde_json::from_slice(&text).with_context(|| {
        format!(
            "{}: expected {{\"SET\": {{\"baselines\": {{\"DETECTOR\": {{\"auroc\": 0.9}}}}}}}}",
            path.display()
        )
    })?;
    let own_name = |name: &str| name.rsplit('/').next().map(str::to_owned).unwrap_or_default();
    let known = named.into_iter().map(|(name, set)| (own_name(&name), set));
    let wanted = known.filter(|(name, _)| sets.iter().any(|data| data.name == *name));
    let reached = |set: Set| {
        set.baselines.into_iter().filter_map(|(name, detector)| Some((name, detector.auroc?)))
    };
    Ok(wanted.map(|(name, set)| (name, reached(set).collect())).collect())
}

fn table(sets: &[Data], rows: &[Row], baselines: &BTreeMap<String, Baselines>) -> Table {
    let mut detectors: Vec<&String> = baselines.values().flat_map(Baselines::keys).collect();
    detectors.sort_unstable();
    detectors.dedup();
    let own = ["set", "AUROC", "of each seed", "average precision", "detected", "false alarms"];
    let mut table = Table::new();
    table.load_style(comfy_table::presets::ASCII_MARKDOWN);
    table.set_header(own.into_iter().chain(detectors.iter().map(|name| name.as_str())));

    // Each set's means, and a column for each detector.
    let mut figures: Vec<Vec<Option<f64>>> = Vec::new();
    for data in sets {
        let of_set: Vec<&Row> = rows.iter().filter(|row| row.name == data.name).collect();
        let qualities: Vec<Quality> = of_set.iter().map(|row| row.quality).collect();
        let known = |name: &&String| baselines.get(&data.name)?.get(*name).copied();
        let others = detectors.iter().map(known);
        let figures_of_set: Vec<_> = Quality::means(&qualities).into_iter().chain(others).collect();
        let mut seeds: Vec<(u64, Option<f64>)> =
            of_set.iter().map(|row| (row.seed, row.quality.auroc)).collect();
        seeds.sort_unstable_by_key(|(seed, _)| *seed);
        let seeds: Vec<String> = seeds.into_iter().map(|(_, auroc)| number(auroc)).collect();
        table.add_row(cells(&data.name, &seeds.join(" "), &figures_of_set));
        figures.push(figures_of_set);
    }
    let columns = Quality::FIGURES + detectors.len();
    let means = (0..columns).map(|column| mean(figures.iter().filter_map(|row| row[column])));
    table.add_row(cells("mean", "", &means.collect::<Vec<_>>()));
    table
}

fn cells(name: &str, seeds: &str, figures: &[Option<f64>]) -> Vec<String> {
    let mut cells: Vec<String> = figures.iter().map(|figure| number(*figure)).collect();
    cells.insert(1, seeds.to_owned());
    cells.insert(0, name.to_owned());
    cells
}
