//! `cargo xtask bench --detection`: how well the default model finds the anomalies of folders of
//! rows, beside other detectors.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use comfy_table::Table;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::quality::{Quality, mean, number};
use crate::data::Data;
use crate::host_tool::HostTool;
use crate::parallel;

/// The models of `--compare`, the default one first, and how each is trained.
const MODELS: [(&str, &str); 5] = [
    ("default", ""),
    ("default, by its log-density", "--score log-density"),
    ("one flow", "--family real-nvp"),
    ("Gaussian mixture", "--family gmm"),
    ("latent model", "--family vae"),
];

#[derive(clap::Args)]
#[group(skip)]
pub struct Options {
    /// Seeds to train with.
    #[arg(long, value_delimiter = ',', default_value = "0,1,2", requires = "detection", conflicts_with_all = ["names", "families", "detector", "glitch", "judgement", "latent"])]
    seeds: Vec<u64>,
    /// Train further models beside the default one.
    #[arg(long, requires = "detection", conflicts_with_all = ["names", "families", "detector", "glitch", "judgement", "latent"])]
    compare: bool,
    /// What other detectors reach, as {"SET": {"baselines": {"DETECTOR": {"auroc": 0.9}}}}.
    #[arg(long, value_name = "JSON", requires = "detection", conflicts_with_all = ["names", "families", "detector", "glitch", "judgement", "latent"])]
    baselines: Option<PathBuf>,
}

/// What one training came to.
#[derive(Serialize)]
struct Row {
    name: String,
    model: &'static str,
    seed: u64,
    flash_bytes: f64,
    /// Of a score on a Cortex-M4F, as foretold.
    cycles: f64,
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
    let compared = if options.compare { &MODELS[..] } else { &MODELS[..1] };
    let seeds = || options.seeds.iter().copied();
    let of_set =
        |data| compared.iter().flat_map(move |model| seeds().map(move |seed| (data, *model, seed)));
    let jobs = sets.iter().flat_map(of_set);
    let mut rows = Vec::new();
    let mut failures = Vec::new();
    parallel::each(
        jobs.collect(),
        |(data, (name, own), seed)| {
            let model = models.join(format!("{}-{name}-{seed}.flow", data.name));
            let train = [&crate::words(&format!("--seed {seed} {own}")), train].concat();
            flowlet.train_quietly(&data.training, Some(&data.validation), &train, &model)?;
            let summary = flowlet.inspect(&model)?;
            let figure = |key: &str| summary[key].as_f64().context("inspect tells it");
            anyhow::Ok(Row {
                name: data.name.clone(),
                model: name,
                seed: *seed,
                flash_bytes: figure("flash_bytes")?,
                cycles: cycles(&summary).context("inspect tells the cost on every core")?,
                quality: Quality::of(&flowlet, &data.test, &model)?,
            })
        },
        |(data, (name, _), seed), row| {
            let job = format!("{}, {name}, seed {seed}", data.name);
            match row {
                Ok(row) => {
                    println!("{job}: {}", row.quality);
                    rows.push(row);
                    crate::write_json(&results, &serde_json::json!({ "rows": rows }))
                }
                Err(error) => {
                    println!("{job}: {error:#}");
                    failures.push(job);
                    Ok(())
                }
            }
        },
    )?;
    println!("{}", table(&sets, compared, &rows, &baselines));
    if options.compare {
        println!("{}", comparison(&rows, &options.seeds));
    }
    println!("written: {}", results.display());
    ensure!(failures.is_empty(), "no result for {}", failures.join("; "));
    Ok(())
}

/// Those of a Cortex-M4F.
fn cycles(summary: &Value) -> Option<f64> {
    let mut costs = summary["cost"].as_array()?.iter();
    let own = costs.find(|cost| cost["core"] == "Cortex-M4F")?;
    own["cost"]["cycles"].as_f64()
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

/// A line a set and model, and each model's means.
fn table(
    sets: &[Data],
    models: &[(&'static str, &str)],
    rows: &[Row],
    baselines: &BTreeMap<String, Baselines>,
) -> Table {
    let mut detectors: Vec<&String> = baselines.values().flat_map(Baselines::keys).collect();
    detectors.sort_unstable();
    detectors.dedup();
    let own =
        ["set", "model", "AUROC", "of each seed", "average precision", "detected", "false alarms"];
    let mut table = Table::new();
    table.load_style(comfy_table::presets::ASCII_MARKDOWN);
    table.set_header(own.into_iter().chain(detectors.iter().map(|name| name.as_str())));

    // A column for each detector.
    let figures = |data: &Data, model: &str| {
        let is_own = |row: &&Row| row.name == data.name && row.model == model;
        let of_set: Vec<&Row> = rows.iter().filter(is_own).collect();
        let qualities: Vec<Quality> = of_set.iter().map(|row| row.quality).collect();
        let known = |name: &&String| baselines.get(&data.name)?.get(*name).copied();
        let others = detectors.iter().map(known);
        let figures: Vec<_> = Quality::means(&qualities).into_iter().chain(others).collect();
        let mut seeds: Vec<(u64, Option<f64>)> =
            of_set.iter().map(|row| (row.seed, row.quality.auroc)).collect();
        seeds.sort_unstable_by_key(|(seed, _)| *seed);
        let seeds: Vec<String> = seeds.into_iter().map(|(_, auroc)| number(auroc)).collect();
        (seeds.join(" "), figures)
    };
    for data in sets {
        for (model, _) in models {
            let (seeds, figures) = figures(data, model);
            table.add_row(cells(&data.name, model, &seeds, &figures));
        }
    }
    for (model, _) in models {
        let of_sets: Vec<_> = sets.iter().map(|data| figures(data, model).1).collect();
        let columns = Quality::FIGURES + detectors.len();
        let means = (0..columns).map(|column| mean(of_sets.iter().filter_map(|row| row[column])));
        table.add_row(cells("mean", model, "", &means.collect::<Vec<_>>()));
    }
    table
}

/// Each model's means over the sets and seeds, and from seed to seed the lowest and highest mean AUROC
/// of the sets.
fn comparison(rows: &[Row], seeds: &[u64]) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::ASCII_MARKDOWN);
    table.set_header([
        "model",
        "AUROC",
        "average precision",
        "detected",
        "false alarms",
        "AUROC from seed to seed",
        "flash, bytes",
        "cycles of a score",
    ]);
    for (model, _) in MODELS {
        let of_model: Vec<&Row> = rows.iter().filter(|row| row.model == model).collect();
        let qualities: Vec<Quality> = of_model.iter().map(|row| row.quality).collect();
        let figures = Quality::means(&qualities).into_iter().map(number);
        let of_seed = |seed: &u64| {
            let of_seed = of_model.iter().filter(|row| row.seed == *seed);
            mean(of_seed.filter_map(|row| row.quality.auroc))
        };
        let of_seeds: Vec<f64> = seeds.iter().filter_map(of_seed).collect();
        let lowest = of_seeds.iter().copied().reduce(f64::min);
        let highest = of_seeds.iter().copied().reduce(f64::max);
        let whole = |figure: fn(&Row) -> f64| {
            mean(of_model.iter().map(|row| figure(row)))
                .map_or("-".into(), |own| format!("{own:.0}"))
        };
        let mut cells = vec![model.to_owned()];
        cells.extend(figures);
        cells.push(format!("{} to {}", number(lowest), number(highest)));
        cells.extend([whole(|row| row.flash_bytes), whole(|row| row.cycles)]);
        table.add_row(cells);
    }
    table
}

fn cells(name: &str, model: &str, seeds: &str, figures: &[Option<f64>]) -> Vec<String> {
    let mut cells: Vec<String> = figures.iter().map(|figure| number(*figure)).collect();
    cells.insert(1, seeds.to_owned());
    cells.splice(0..0, [name.to_owned(), model.to_owned()]);
    cells
}
