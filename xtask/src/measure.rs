//! Measures what a model costs on an emulated Cortex-M4.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use comfy_table::Table;
use flowlet::bijection::Layer;
use flowlet::write::ModelFile;
use flowlet::{Error, LatentModel, Libm, Member, Model};
use serde::Serialize;

use crate::cycles::{self, Core, Cost};
use crate::data::Rows;
use crate::firmware::Sizes;
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

/// What the firmware `bench` told of a model and some rows.
pub struct Traced {
    costs: BTreeMap<String, Vec<Cost>>,
    printed: String,
    /// Bytes of a firmware around one model.
    pub sizes: Option<Sizes>,
    /// How often each operation ran.
    calls: usize,
}

impl Traced {
    /// Runs the firmware for `core` around `model` on `rows`.
    pub fn run(core: Core, model: &Path, rows: &Rows, folder: &Path) -> Result<Self> {
        let elf = firmware::build_for(core.target(), "bench", model, folder)?;
        rows.write(&folder.join("rows.f32"))?;
        let printed = String::from_utf8(emulator::run(&elf, folder)?)?;
        let costs = cycles::measure(&elf, core, folder)?;
        let length = std::fs::metadata(model)?.len();
        let sizes = Some(firmware::sizes(&std::fs::read(&elf)?, length)?);
        // Each row, and the call on the painted stack.
        Ok(Self { costs, printed, sizes, calls: rows.len() + 1 })
    }

    /// Runs the firmware `steps` on the `model.flow` of `folder`.
    pub fn run_steps(core: Core, elf: &Path, rows: &Rows, folder: &Path) -> Result<Self> {
        rows.write(&folder.join("rows.f32"))?;
        let mut costs = cycles::measure(elf, core, folder)?;
        if let Some(latent) = costs.remove("latent_score") {
            costs.insert("score".into(), latent);
        }
        Ok(Self { costs, printed: String::new(), sizes: None, calls: rows.len() })
    }

    /// What `operation` cost on each row; around one model then once more on the last one, on painted
    /// stack.
    pub fn costs(&self, operation: &str) -> Result<&[Cost]> {
        let costs = self.costs.get(operation);
        let costs = costs.with_context(|| format!("{operation} never ran"))?;
        // QEMU ends without an error when it is stopped from outside.
        ensure!(
            costs.len() == self.calls,
            "the trace has {} calls of {operation} instead of {}",
            costs.len(),
            self.calls
        );
        Ok(costs)
    }

    /// Peak of its stack.
    pub fn stack(&self, operation: &str) -> Result<u64> {
        let stack = self.printed.lines().find_map(|line| {
            line.strip_prefix("stack ")?.strip_prefix(operation)?.trim().parse().ok()
        });
        stack.with_context(|| format!("no stack figure for {operation}"))
    }
}

/// Weighs the density, the score and the sampling of a model on evenly spread `rows`.
pub fn measure(name: &str, model: &Path, rows: &Rows, folder: &Path) -> Result<Vec<Measurement>> {
    let rows = rows.every(rows.len().div_ceil(TRACED));
    let traced = Traced::run(Core::CortexM4F, model, &rows, folder)?;
    let aligned = ModelFile::new(&std::fs::read(model)?);
    let Work { multiply_adds, dense, operations } =
        Work::of(&aligned).map_err(|error| anyhow!("{name}: {error}"))?;
    let sizes = traced.sizes.context("a firmware around one model")?;
    let measurement = |operation: &str| {
        let costs = traced.costs(operation).with_context(|| name.to_owned())?;
        let mean = |value: fn(&Cost) -> u64| {
            costs.iter().map(value).sum::<u64>() as f64 / costs.len() as f64
        };
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
            stack_bytes: traced.stack(operation)?,
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
