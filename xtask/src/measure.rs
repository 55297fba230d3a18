//! Measures what a model costs on an emulated Cortex-M4.

use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use comfy_table::Table;
use flowlet::bijection::Layer;
use flowlet::write::ModelFile;
use flowlet::{Error, LatentModel, Libm, Member, Model};
use serde::Serialize;

use crate::cycles::{self, Cost};
use crate::data::Rows;
use crate::{emulator, firmware};

/// Rows that are traced.
pub const TRACED: usize = 100;

/// Rows that are traced where many models are.
pub const FEW: usize = 20;

/// One row of the table: means over the traced rows, and bytes.
#[derive(Clone, Debug, Serialize)]
pub struct Measurement {
    /// Model and operation.
    pub name: String,
    /// Executed a call.
    pub instructions: f64,
    /// Of a Cortex-M4, a call.
    pub cycles: f64,
    /// Products in the model, those by zero included.
    pub multiply_adds: u64,
    /// Products if masked networks were stored and multiplied whole.
    pub dense: u64,
    /// Cycles for each of them.
    pub cycles_per_dense: f64,
    /// Share of the products that is carried out; the others have a zero factor and are skipped.
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

/// Weighs the density, the score and the sampling of a model on evenly spread `rows`.
pub fn measure(name: &str, model: &Path, rows: &Rows, folder: &Path) -> Result<Vec<Measurement>> {
    let elf = firmware::build("bench", model, folder)?;
    let rows = rows.every(rows.len().div_ceil(TRACED));
    rows.write(&folder.join("rows.f32"))?;
    let printed = String::from_utf8(emulator::run(&elf, folder)?)?;
    let costs = cycles::measure(&elf, folder)?;
    let file = std::fs::read(model)?;
    let sizes = firmware::sizes(&std::fs::read(&elf)?, file.len() as u64)?;
    let aligned = ModelFile::new(&file);
    let Work { multiply_adds, dense, operations } =
        Work::of(&aligned).map_err(|error| anyhow!("{name}: {error}"))?;
    let measurement = |operation: &str| {
        let costs = costs.get(operation).with_context(|| format!("{operation} never ran"))?;
        // Each row, and the call on the painted stack. QEMU ends without an error when it is
        // stopped from outside.
        ensure!(
            costs.len() == rows.len() + 1,
            "{name}: the trace has {} calls of {operation} on {} rows",
            costs.len(),
            rows.len()
        );
        let mean = |value: fn(&Cost) -> u64| {
            costs.iter().map(value).sum::<u64>() as f64 / costs.len() as f64
        };
        let stack = printed.lines().find_map(|line| {
            line.strip_prefix("stack ")?.strip_prefix(operation)?.trim().parse().ok()
        });
        let cycles = mean(|cost| cost.cycles);
        Ok(Measurement {
            name: format!("{name}/{operation}"),
            instructions: mean(|cost| cost.instructions),
            cycles,
            multiply_adds,
            dense,
            cycles_per_dense: cycles / dense as f64,
            active_share: mean(|cost| cost.products) / multiply_adds as f64,
            text_bytes: sizes.text,
            rodata_bytes: sizes.rodata,
            data_bytes: sizes.data,
            bss_bytes: sizes.bss,
            stack_bytes: stack.with_context(|| format!("no stack figure for {operation}"))?,
        })
    };
    operations.into_iter().map(measurement).collect()
}

/// What a model computes, and how much of it.
struct Work {
    multiply_adds: u64,
    dense: u64,
    operations: [&'static str; 3],
}

impl Work {
    fn of(file: &ModelFile) -> Result<Self, Error> {
        match Model::<Libm>::from_bytes(file.bytes()) {
            Err(Error::IsLatent) => {
                let model = LatentModel::<Libm>::from_bytes(file.bytes())?;
                let multiply_adds = model.multiply_adds() as u64;
                // The networks, most of it, have no masks.
                let operations = ["score", "encode", "sample"];
                Ok(Self { multiply_adds, dense: multiply_adds, operations })
            }
            model => {
                let model = model?;
                Ok(Self {
                    multiply_adds: model.multiply_adds() as u64,
                    dense: dense(&model) as u64,
                    operations: ["log_density", "score", "sample"],
                })
            }
        }
    }
}

/// Products of one log-density if no mask's zeros were left out.
fn dense(model: &Model) -> usize {
    let layers = || model.members().iter().flat_map(Member::parts);
    let stored: usize = layers().map(|(_, layer)| layer.multiply_adds()).sum();
    let whole = |(features, layer): (usize, Layer)| match layer {
        Layer::Autoregressive(layer) => {
            let hidden = || layer.network().hidden();
            let columns = [features].into_iter().chain(hidden());
            let rows = hidden().chain([layer.map().parameters() * features]);
            rows.zip(columns).map(|(rows, columns)| rows * columns).sum()
        }
        other => other.multiply_adds(),
    };
    let base = model.multiply_adds() - stored;
    base + layers().map(whole).sum::<usize>()
}

/// A table of what was measured.
pub fn table(measurements: &[Measurement]) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::ASCII_MARKDOWN);
    table.set_header([
        "",
        "instructions",
        "cycles",
        "multiply-adds",
        "cycles each",
        "dense",
        "cycles each",
        "carried out",
        "text",
        "rodata",
        "data",
        "bss",
        "stack",
    ]);
    for row in measurements {
        // A base alone has no products.
        let of_products = |text| if row.multiply_adds > 0 { text } else { String::from("-") };
        table.add_row([
            row.name.clone(),
            format!("{:.0}", row.instructions),
            format!("{:.0}", row.cycles),
            row.multiply_adds.to_string(),
            of_products(format!("{:.2}", row.cycles / row.multiply_adds as f64)),
            row.dense.to_string(),
            of_products(format!("{:.2}", row.cycles_per_dense)),
            of_products(format!("{:.1} %", 100.0 * row.active_share)),
            row.text_bytes.to_string(),
            row.rodata_bytes.to_string(),
            row.data_bytes.to_string(),
            row.bss_bytes.to_string(),
            row.stack_bytes.to_string(),
        ]);
    }
    table
}
