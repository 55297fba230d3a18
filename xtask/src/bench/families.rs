//! `cargo xtask bench --families`: what every family reaches and costs on folders of rows.

use std::path::PathBuf;

use anyhow::{Context, Result};
use comfy_table::Table;
use serde::Serialize;
use serde_json::Value;

use crate::data::{Data, Rows};
use crate::host_tool::{FAMILIES, HostTool};
use crate::measure::{self, FEW};

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

/// Trains every family on every folder, with further options of `flowlet train`, and compares
/// them in a table.
pub fn run(folders: &[PathBuf], options: &[String]) -> Result<()> {
    let folder = crate::results("bench/families")?;
    let flowlet = HostTool::build()?;
    let mut comparisons = Vec::new();
    for path in folders {
        let data = Data::find(path)?;
        for family in FAMILIES {
            let model = folder.join("model.flow");
            let options = [&["--family".into(), family.into()], options].concat();
            flowlet.train(&data, &options, &model)?;
            let evaluation = flowlet.evaluate(&data.test, &model)?;
            let rows = Rows::read(&data.test, &flowlet, &model)?;
            let rows = rows.every(rows.len().div_ceil(FEW));
            let measurements = measure::measure(family, &model, &rows, &folder)?;
            let density = measurements.first().context("the density was measured")?;
            comparisons.push(Comparison {
                data: data.name.clone(),
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
    crate::write_json(&path, &json)?;
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
