//! `cargo xtask bench`: what a row costs on a Cortex-M4.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use comfy_table::Table;
use flowlet::bijection::Half;
use flowlet::write::{Description, Feature, Layer, Linear};
use serde::Serialize;

use crate::cycles::{self, Cost};
use crate::demo::Rows;
use crate::{demo, emulator, firmware, setup};

/// Rows that are traced.
pub const TRACED: usize = 100;

/// One row of the table: means over the traced rows, and bytes.
#[derive(Clone, Debug, Serialize)]
pub struct Measurement {
    /// Model and operation.
    pub name: String,
    /// Executed a call.
    pub instructions: f64,
    /// Of a Cortex-M4, a call.
    pub cycles: f64,
    /// Products in the networks, those by zero included.
    pub multiply_adds: u64,
    /// Share of them that is carried out; the others have a zero factor and are skipped.
    pub active_share: f64,
    /// Code of the crate and of libm.
    pub text_bytes: u64,
    /// Constants of the firmware, without the model file.
    pub rodata_bytes: u64,
    /// Initialised statics of the crate.
    pub data_bytes: u64,
    /// Zeroed statics of the crate.
    pub bss_bytes: u64,
    /// Peak of a call, painted.
    pub stack_bytes: u64,
}

/// Runs the verb.
pub fn run() -> Result<()> {
    setup::run()?;
    let folder = crate::results("bench")?;
    let data = crate::root().join("examples/data/shuttle");
    let model = folder.join("real_nvp_d8.flow");
    let flowlet = demo::build_host_tool()?;
    let mut train = Command::new(&flowlet);
    train.arg("train").arg(data.join("train.csv")).arg("--validation").arg(data.join("val.csv"));
    train.args(["--exclude", "f9", "--layers", "5", "--hidden", "64,64", "--output"]).arg(&model);
    crate::run(&mut train)?;
    let rows = Rows::read(&data.join("test.csv"), &flowlet, &model)?;

    let mut measurements = measure("real_nvp_d8_5x64x64", &model, &rows, &folder)?;
    let worst = folder.join("real_nvp_d8_worst.flow");
    std::fs::write(&worst, all_units_active().to_file().bytes())?;
    let mut costs = measure("worst", &worst, &rows, &folder)?;
    costs.retain(|measurement| measurement.name == "worst/log_density");
    for mut measurement in costs {
        measurement.name = "real_nvp_d8_5x64x64/log_density_worst".into();
        measurements.insert(1, measurement);
    }

    println!("{}", table(&measurements));
    println!("Cycles by the timing tables of the Cortex-M4's manual, without flash wait states.");
    let path = folder.join("bench.json");
    let json = serde_json::json!({ "rows": measurements });
    std::fs::write(&path, serde_json::to_string_pretty(&json)?)?;
    println!("written: {}", path.display());
    Ok(())
}

/// Weighs the density and the sampling of a model on evenly spread `rows`.
pub fn measure(name: &str, model: &Path, rows: &Rows, folder: &Path) -> Result<Vec<Measurement>> {
    let elf = firmware::build("bench", model)?;
    rows.every(rows.len().div_ceil(TRACED)).write(&folder.join("rows.f32"))?;
    let printed = String::from_utf8(emulator::run(&elf, folder)?)?;
    let costs = cycles::measure(&elf, folder)?;
    let file = std::fs::read(model)?;
    let sizes = firmware::sizes(&std::fs::read(&elf)?, file.len() as u64)?;
    let aligned = flowlet::write::ModelFile::new(&file);
    let multiply_adds = match flowlet::Model::<flowlet::Libm>::from_bytes(aligned.bytes()) {
        Ok(model) => model.multiply_adds() as u64,
        Err(error) => anyhow::bail!("{model:?}: {error}"),
    };
    let measurement = |operation: &str| {
        let costs = costs.get(operation).with_context(|| format!("{operation} never ran"))?;
        let mean = |value: fn(&Cost) -> u64| {
            costs.iter().map(value).sum::<u64>() as f64 / costs.len() as f64
        };
        let stack = printed.lines().find_map(|line| {
            line.strip_prefix("stack ")?.strip_prefix(operation)?.trim().parse().ok()
        });
        let active_share = mean(|cost| cost.products) / multiply_adds as f64;
        Ok(Measurement {
            name: format!("{name}/{operation}"),
            instructions: mean(|cost| cost.instructions),
            cycles: mean(|cost| cost.cycles),
            multiply_adds,
            active_share,
            text_bytes: sizes.text,
            rodata_bytes: sizes.rodata,
            data_bytes: sizes.data,
            bss_bytes: sizes.bss,
            stack_bytes: stack.with_context(|| format!("no stack figure for {operation}"))?,
        })
    };
    ["log_density", "sample"].into_iter().map(measurement).collect()
}

fn table(measurements: &[Measurement]) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::ASCII_MARKDOWN);
    table.set_header([
        "",
        "instructions",
        "cycles",
        "multiply-adds",
        "cycles each",
        "carried out",
        "text",
        "rodata",
        "data",
        "bss",
        "stack",
    ]);
    for row in measurements {
        table.add_row([
            row.name.clone(),
            format!("{:.0}", row.instructions),
            format!("{:.0}", row.cycles),
            row.multiply_adds.to_string(),
            format!("{:.2}", row.cycles / row.multiply_adds as f64),
            format!("{:.1} %", 100.0 * row.active_share),
            row.text_bytes.to_string(),
            row.rodata_bytes.to_string(),
            row.data_bytes.to_string(),
            row.bss_bytes.to_string(),
            row.stack_bytes.to_string(),
        ]);
    }
    table
}

/// The same model with biases so large that no hidden unit is ever zero.
fn all_units_active() -> Description {
    let feature = |number| Feature {
        name: format!("f{number}"),
        centre: 0.0,
        scale: 1e4,
        low: -1e4,
        high: 1e4,
    };
    let linear = |rows: usize, columns: usize, bias: f32| {
        let weights = (0..rows * columns).map(|k| ((k * 37 % 101) as f32 - 50.0) * 1e-3).collect();
        Linear { rows, columns, weights, bias: vec![bias; rows] }
    };
    let coupling = |number: usize| Layer::Coupling {
        transformed: if number.is_multiple_of(2) { Half::Second } else { Half::First },
        clip: 2.0,
        network: vec![linear(64, 4, 100.0), linear(64, 64, 1000.0), linear(8, 64, 0.0)],
    };
    let mut layers = vec![coupling(0)];
    for number in 1..5 {
        layers.push(Layer::Permutation((0..8).map(|i| (3 * i + 1) % 8).collect()));
        layers.push(coupling(number));
    }
    Description { features: (1..=8).map(feature).collect(), layers, ..Description::default() }
}
