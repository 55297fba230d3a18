//! Every family of `flowlet train`: that the device computes what the host does, and how they
//! compare in quality and cost.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use comfy_table::Table;
use flowlet::write::ModelFile;
use flowlet::{Given, Libm, Memory, Model};
use serde::Serialize;
use serde_json::Value;

use crate::demo::{Data, Rows};
use crate::{bench, demo, emulator, firmware, models};

/// As `flowlet train --family` names them.
const FAMILIES: [&str; 8] = [
    "real-nvp",
    "glow",
    "maf",
    "iaf",
    "spline-coupling",
    "spline-autoregressive",
    "gmm",
    "gaussian",
];

/// Families with options that bring further parts of the device's code.
const VARIANTS: [(&str, &str); 10] = [
    ("auto", ""),
    ("real-nvp", "--marginal all --whiten"),
    ("real-nvp", "--base student-t"),
    ("real-nvp", "--base mixture"),
    ("spline-coupling", "--context f8"),
    ("maf", "--context f1,f8"),
    ("spline-coupling", "--periodic f1=0..50,f5=-20..20"),
    ("spline-autoregressive", "--periodic f2=-5..5 --context f8"),
    ("maf", "--ensemble 3"),
    ("spline-coupling", "--ensemble 2 --combine mixture"),
];

/// Of the bundled test rows, every so-manieth is compared.
const STEP: usize = 6;

/// Extreme rows that are compared besides.
const EXTREMES: usize = 64;
/// Sensors of the bundled rows.
const SENSORS: usize = 9;
/// Values of an image made of them.
const PIXELS: usize = 16;

/// What a family makes of a folder of rows.
#[derive(Serialize)]
struct Comparison {
    data: String,
    family: &'static str,
    /// Of the normal test rows in standardised units, nats.
    mean_log_density_standardized: Value,
    auroc: Value,
    /// The model file.
    flash_bytes: u64,
    cycles_per_row: f64,
}

/// Trains every family, every base, ensembles and images shortly, and compares host and device bit
/// for bit, on rows of the data and on extreme ones, in both directions.
pub fn check() -> Result<()> {
    let folder = crate::results("families")?;
    let flowlet = demo::build_host_tool()?;
    let data = Data::find(Path::new("examples/data/shuttle"))?;
    let images = images(&data, &crate::results("families/images")?)?;
    let rows = FAMILIES.map(|family| (family, "")).into_iter().chain(VARIANTS);
    let rows = rows.map(|(family, options)| (&data, family, options));
    for (data, family, options) in rows.chain([(&images, "glow", "--image 4x4x1")]) {
        let options: Vec<_> = format!("--epochs 2 --hidden 16 {options}")
            .split_whitespace()
            .map(String::from)
            .collect();
        let path = folder.join("model.flow");
        demo::train(&flowlet, data, family, &options, &path)?;
        let mut rows = Rows::read(&data.test, &flowlet, &path)?.every(STEP);
        rows.0.extend(models::extreme_rows(EXTREMES, rows.0[0].len()));
        rows.write(&folder.join("rows.f32"))?;

        let bytes = std::fs::read(&path).with_context(|| format!("cannot read {path:?}"))?;
        let file = ModelFile::new(&bytes);
        let model =
            Model::from_bytes(file.bytes()).map_err(|error| anyhow!("{path:?}: {error}"))?;
        let host = directions(&model, &rows).map_err(|error| anyhow!("{family}: {error}"))?;
        println!("taking {} rows in every direction on an emulated Cortex-M4", rows.len());
        emulator::run(&firmware::build("directions", &path)?, &folder)?;
        let device = demo::read_floats(&folder.join("results.f32"))?;
        let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        let name = format!("{family} {}", options.join(" "));
        ensure!(bits(&host) == bits(&device), "{name}: the device's numbers differ");
        ensure!(host.iter().all(|value| value.is_finite()), "{name}: a number is not finite");
    }
    Ok(())
}

/// What the firmware `directions` computes, on the host.
fn directions(model: &Model<Libm>, rows: &Rows) -> Result<Vec<f32>, flowlet::Error> {
    let mut memory = Memory::of(model);
    let mut results = Vec::new();
    for row in &rows.0 {
        let (row, context) = row.split_at(model.features());
        results.push(model.given(context).log_density(row, &mut memory.scratch())?);
        if model.combination().is_none() {
            let given = model.given(context);
            for direction in [Given::<Model<Libm>>::inverse, Given::<Model<Libm>>::forward] {
                let mut mapped = row.to_vec();
                let log_det = direction(given, &mut mapped, &mut memory.scratch())?;
                results.extend(mapped);
                results.push(log_det);
            }
        }
    }
    Ok(results)
}

/// Rows of [`PIXELS`] values, large enough for an image of two levels: the first columns of `data`,
/// repeated.
fn images(data: &Data, folder: &Path) -> Result<Data> {
    for (path, name) in
        [(&data.training, "train.csv"), (&data.validation, "val.csv"), (&data.test, "test.csv")]
    {
        let mut reader = csv::Reader::from_path(path)?;
        let mut writer = csv::Writer::from_path(folder.join(name))?;
        let is_labelled = reader.headers()?.iter().any(|column| column == "label");
        let label = is_labelled.then_some("label".to_owned());
        let pixels = (0..PIXELS).map(|pixel| format!("p{pixel}"));
        writer.write_record(pixels.chain(label))?;
        for record in reader.records() {
            let record = record?;
            let pixels = record.iter().take(PIXELS / 2).cycle().take(PIXELS);
            writer.write_record(pixels.chain(record.iter().skip(SENSORS)))?;
        }
        writer.flush()?;
    }
    Data::find(folder)
}

/// Trains every family on every folder, with further options of `flowlet train`, and compares
/// them in a table.
pub fn run(folders: &[PathBuf], options: &[String]) -> Result<()> {
    let folder = crate::results("bench/families")?;
    let flowlet = demo::build_host_tool()?;
    let mut comparisons = Vec::new();
    for path in folders {
        let data = Data::find(path)?;
        let name = path.file_name().unwrap_or(path.as_os_str()).display().to_string();
        for family in FAMILIES {
            let model = folder.join("model.flow");
            demo::train(&flowlet, &data, family, options, &model)?;
            let evaluation = demo::evaluate(&flowlet, &data, &model)?;
            let rows = Rows::read(&data.test, &flowlet, &model)?;
            let rows = rows.every(rows.len().div_ceil(bench::FEW));
            let measurements = bench::measure(family, &model, &rows, &folder)?;
            let density = measurements.first().context("the density was measured")?;
            comparisons.push(Comparison {
                data: name.clone(),
                family,
                mean_log_density_standardized: evaluation["mean_log_density_standardized"].clone(),
                auroc: evaluation["auroc"].clone(),
                flash_bytes: std::fs::metadata(&model)?.len(),
                cycles_per_row: density.cycles,
            });
        }
    }
    println!("{}", table(&comparisons));
    let path = crate::results("bench")?.join("families.json");
    let json = serde_json::json!({ "options": options, "rows": comparisons });
    std::fs::write(&path, serde_json::to_string_pretty(&json)?)?;
    println!("written: {}", path.display());
    Ok(())
}

fn table(comparisons: &[Comparison]) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::ASCII_MARKDOWN);
    table.set_header(["data", "family", "log-density", "AUROC", "flash", "cycles"]);
    let decimals = |value: &Value, count: usize| {
        value.as_f64().map_or("-".into(), |value| format!("{value:.count$}"))
    };
    for row in comparisons {
        table.add_row([
            row.data.clone(),
            row.family.into(),
            decimals(&row.mean_log_density_standardized, 3),
            decimals(&row.auroc, 4),
            row.flash_bytes.to_string(),
            format!("{:.0}", row.cycles_per_row),
        ]);
    }
    table
}
