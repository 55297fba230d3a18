//! `cargo xtask demo`: the whole way from a CSV file to scores on a Cortex-M4.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail, ensure};
use comfy_table::Table;
use defmt_decoder::DecodeError;
use serde::Serialize;
use serde_json::Value;

use crate::data::{self, Data, Rows};
use crate::host_tool::HostTool;
use crate::{emulator, firmware, measure, picture, trial};

#[derive(clap::Args)]
pub struct Arguments {
    /// Folder with train.csv, val.csv and test.csv, whose last column is `label`; by default the bundled
    /// rows, of a signal a fan that is only computed.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Feed a raw signal sample by sample through window, flow and detector.
    #[arg(long)]
    signal: bool,
    /// Family of the model, one of those of `flowlet train`.
    #[arg(long, default_value = "real-nvp")]
    family: String,
    /// Further options of `flowlet train`, after `--`.
    #[arg(last = true)]
    train: Vec<String>,
}

impl Arguments {
    /// The default rows, few epochs.
    pub fn short() -> Self {
        let train = crate::words("--epochs 5");
        Self { data: None, signal: false, family: "real-nvp".into(), train }
    }
}

/// What `report.json` holds.
#[derive(Serialize)]
struct Report {
    data: String,
    family: String,
    device_equals_host: bool,
    rows_compared: usize,
    auroc: Value,
    average_precision: Value,
    mean_log_density: Value,
    median_log_density: Value,
    log_density_quantile_01: Value,
    mean_log_density_standardized: Value,
    false_alarm_rate: Value,
    detection_rate: Value,
    instructions_per_row: f64,
    cycles_per_row: f64,
    multiply_adds: u64,
    flash_bytes: u64,
    text_bytes: u64,
    ram_bytes: u64,
    stack_bytes: u64,
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<()> {
    if arguments.signal {
        return trial::run(arguments.data.as_deref(), &arguments.family, &arguments.train);
    }
    let given = arguments.data.as_deref().unwrap_or(Path::new(data::BUNDLED));
    let data = Data::find(given)?;
    let folder = crate::results("demo")?;
    let flowlet = build()?;
    let start = Instant::now();
    let model = folder.join("model.flow");
    let family = ["--family".into(), arguments.family.clone()];
    flowlet.train(&data, &[&family[..], &arguments.train].concat(), &model)?;
    println!("evaluating on {} with the host", data.test.display());
    let evaluation = flowlet.evaluate(&data.test, &model)?;
    let scores = score(&flowlet, &data, &model, &folder)?;

    let rows = Rows::read(&data.test, &flowlet, &model)?;
    println!("counting the cycles of {} rows", rows.len().min(measure::TRACED));
    let measurements = measure::measure("model", &model, &rows, &crate::results("demo/bench")?)?;
    let cost = measurements.first().context("the density was measured")?;
    let sizes = firmware::sizes(&std::fs::read(&scores.elf)?, 0)?;
    let report = Report {
        data: given.display().to_string(),
        family: arguments.family.clone(),
        device_equals_host: scores.are_equal(),
        rows_compared: scores.device.len().min(scores.host.len()),
        auroc: evaluation["auroc"].clone(),
        average_precision: evaluation["average_precision"].clone(),
        mean_log_density: evaluation["mean_log_density"].clone(),
        median_log_density: evaluation["median_log_density"].clone(),
        log_density_quantile_01: evaluation["log_density_quantile_01"].clone(),
        mean_log_density_standardized: evaluation["mean_log_density_standardized"].clone(),
        false_alarm_rate: evaluation["false_alarm_rate"].clone(),
        detection_rate: evaluation["detection_rate"].clone(),
        instructions_per_row: cost.instructions,
        cycles_per_row: cost.cycles,
        multiply_adds: cost.multiply_adds,
        flash_bytes: sizes.flash,
        text_bytes: cost.text_bytes,
        ram_bytes: sizes.statics,
        stack_bytes: cost.stack_bytes,
    };
    let threshold = flowlet.inspect(&model)?["threshold"]["score"].as_f64();
    let picture = folder.join("scores.svg");
    let labels = data::read_column(&data.test, data::LABEL)?;
    picture::draw(&picture, &scores.device, &labels, threshold)?;
    let path = folder.join("report.json");
    crate::write_json(&path, &serde_json::to_value(&report)?)?;
    println!("{}", table(&report)?);
    let page = folder.join("report.html");
    flowlet.report(&data.test, &model, &page)?;
    println!("{}\n{}\n{}", path.display(), picture.display(), page.display());
    println!("{} seconds after the builds of the host tool", start.elapsed().as_secs());
    ensure!(scores.are_equal(), "the device's scores differ from the host's");
    Ok(())
}

/// Builds the host tool, and beside it all of the firmware that needs no model yet: the training
/// stack ends with crates that only one core can work on.
fn build() -> Result<HostTool> {
    thread::scope(|scope| {
        let firmware = scope.spawn(|| firmware::prepare(&["score", "bench"]));
        let flowlet = HostTool::build()?;
        firmware.join().map_err(|_| anyhow!("the firmware's build panicked"))??;
        Ok(flowlet)
    })
}

/// The scores of the same rows, computed twice.
struct Scores {
    host: Vec<f32>,
    device: Vec<f32>,
    /// The firmware that computed the latter.
    elf: PathBuf,
}

impl Scores {
    /// Whether there are as many, each with the same bits.
    fn are_equal(&self) -> bool {
        let bits = |scores: &[f32]| scores.iter().map(|score| score.to_bits()).collect::<Vec<_>>();
        bits(&self.host) == bits(&self.device)
    }
}

/// Scores the test rows on the host and on an emulated Cortex-M4.
fn score(flowlet: &HostTool, data: &Data, model: &Path, folder: &Path) -> Result<Scores> {
    let host = flowlet.score(&data.test, model, &folder.join("scores.csv"))?;
    println!("scoring on an emulated Cortex-M4");
    Rows::read(&data.test, flowlet, model)?.write(&folder.join("rows.f32"))?;
    let elf = firmware::build("score", model, folder)?;
    show_log(&std::fs::read(&elf)?, &emulator::run(&elf, folder)?)?;
    let device = data::read_floats(&folder.join("scores.f32"))?;
    Ok(Scores { host, device, elf })
}

/// Prints the firmware's defmt log.
fn show_log(elf: &[u8], log: &[u8]) -> Result<()> {
    let table = defmt_decoder::Table::parse(elf)?.context("the firmware has no defmt table")?;
    let mut decoder = table.new_stream_decoder();
    decoder.received(log);
    loop {
        match decoder.decode() {
            Ok(frame) => println!("  device: {}", frame.display(false)),
            Err(DecodeError::UnexpectedEof) => return Ok(()),
            Err(DecodeError::Malformed) => bail!("the firmware's log is malformed"),
        }
    }
}

fn table(report: &Report) -> Result<Table> {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::ASCII_MARKDOWN);
    table.set_header(["", "value"]);
    for (name, value) in serde_json::to_value(report)?.as_object().context("a structure")? {
        let value = match value {
            Value::Number(number) if number.is_f64() => {
                format!("{:.4}", number.as_f64().unwrap_or(f64::NAN))
            }
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        table.add_row([name.replace('_', " "), value]);
    }
    Ok(table)
}
