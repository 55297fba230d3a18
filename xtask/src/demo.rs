//! `cargo xtask demo`: the whole way from a CSV file to scores on a Cortex-M4.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use comfy_table::Table;
use defmt_decoder::DecodeError;
use plotters::prelude::*;
use serde::Serialize;
use serde_json::Value;

use crate::{bench, emulator, firmware, setup};

/// Bars of the histogram.
const BARS: usize = 60;

#[derive(clap::Args)]
pub struct Arguments {
    /// Folder with train.csv, val.csv and test.csv, whose last column is `label`.
    #[arg(long, default_value = "examples/data/shuttle")]
    data: PathBuf,
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
        let train = ["--epochs", "5"].map(String::from).to_vec();
        Self { data: "examples/data/shuttle".into(), family: "real-nvp".into(), train }
    }
}

/// The files of a folder of rows.
pub struct Data {
    /// Normal rows.
    pub training: PathBuf,
    /// Further normal rows.
    pub validation: PathBuf,
    /// Rows with a column `label`.
    pub test: PathBuf,
}

impl Data {
    /// Looks for `folder` here, then in the repository.
    pub fn find(folder: &Path) -> Result<Self> {
        let file = |name: &str| {
            let path = folder.join(name);
            let path = if path.exists() { path } else { crate::root().join(path) };
            ensure!(path.exists(), "{} has no {name}", folder.display());
            Ok(path)
        };
        Ok(Self {
            training: file("train.csv")?,
            validation: file("val.csv")?,
            test: file("test.csv")?,
        })
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
    setup::run()?;
    let folder = crate::results("demo")?;
    let flowlet = build_host_tool()?;
    let start = Instant::now();
    let data = Data::find(&arguments.data)?;
    let model = folder.join("model.flow");
    train(&flowlet, &data, &arguments.family, &arguments.train, &model)?;
    let evaluation = evaluate(&flowlet, &data, &model)?;
    let scores = score(&flowlet, &data, &model, 1, &folder)?;

    let rows = Rows::read(&data.test, &flowlet, &model)?;
    println!("counting the cycles of {} rows", rows.len().min(bench::TRACED));
    let measurements = bench::measure("model", &model, &rows, &crate::results("demo/bench")?)?;
    let cost = measurements.first().context("the density was measured")?;
    let sizes = firmware::sizes(&std::fs::read(&scores.elf)?, 0)?;
    let report = Report {
        data: arguments.data.display().to_string(),
        family: arguments.family.clone(),
        device_equals_host: scores.are_equal(),
        rows_compared: scores.device.len().min(scores.host.len()),
        auroc: evaluation["auroc"].clone(),
        average_precision: evaluation["average_precision"].clone(),
        mean_log_density: evaluation["mean_log_density"].clone(),
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
    let threshold = inspect(&flowlet, &model)?["threshold"]["score"].as_f64();
    let picture = folder.join("scores.svg");
    draw(&picture, &scores.device, &read_column(&data.test, "label")?, threshold)?;
    let path = folder.join("report.json");
    std::fs::write(&path, serde_json::to_string_pretty(&report)? + "\n")?;
    println!("{}", table(&report)?);
    println!("{}\n{}", path.display(), picture.display());
    println!("{} seconds after the builds of the host tool", start.elapsed().as_secs());
    ensure!(scores.are_equal(), "the device's scores differ from the host's");
    Ok(())
}

/// Trains a model of `family` on the rows of `data`, with further options of `flowlet train`.
pub fn train(
    flowlet: &Path,
    data: &Data,
    family: &str,
    options: &[String],
    model: &Path,
) -> Result<()> {
    println!("training {family} {} on {}", options.join(" "), data.training.display());
    let mut train = Command::new(flowlet);
    train.arg("train").arg(&data.training).arg("--validation").arg(&data.validation);
    train.args(["--family", family]).args(options).arg("--output").arg(model);
    crate::run(&mut train)
}

/// What `flowlet evaluate` says of the test rows.
pub fn evaluate(flowlet: &Path, data: &Data, model: &Path) -> Result<Value> {
    println!("evaluating on {} with the host", data.test.display());
    let mut evaluate = Command::new(flowlet);
    evaluate.arg("evaluate").arg(model).arg(&data.test).args(["--label", "label", "--json"]);
    Ok(serde_json::from_slice(&crate::read(&mut evaluate)?)?)
}

/// The scores of the same rows, computed twice.
pub struct Scores {
    host: Vec<f32>,
    device: Vec<f32>,
    /// The firmware that computed the latter.
    elf: PathBuf,
}

impl Scores {
    /// Whether there are as many, each with the same bits.
    pub fn are_equal(&self) -> bool {
        let bits = |scores: &[f32]| scores.iter().map(|score| score.to_bits()).collect::<Vec<_>>();
        bits(&self.host) == bits(&self.device)
    }
}

/// Scores every `step`-th test row on the host and on an emulated Cortex-M4.
pub fn score(
    flowlet: &Path,
    data: &Data,
    model: &Path,
    step: usize,
    folder: &Path,
) -> Result<Scores> {
    let path = folder.join("scores.csv");
    let mut score = Command::new(flowlet);
    crate::run(score.arg("score").arg(model).arg(&data.test).arg("--output").arg(&path))?;
    let host = read_column(&path, "score")?.into_iter().step_by(step).collect();

    println!("scoring on an emulated Cortex-M4");
    Rows::read(&data.test, flowlet, model)?.every(step).write(&folder.join("rows.f32"))?;
    let elf = firmware::build("score", model)?;
    show_log(&std::fs::read(&elf)?, &emulator::run(&elf, folder)?)?;
    let device = read_floats(&folder.join("scores.f32"))?;
    Ok(Scores { host, device, elf })
}

/// Builds the host tool; the path of its binary.
pub fn build_host_tool() -> Result<PathBuf> {
    println!("building the host tool (minutes, the first time)");
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "--package", "flowlet-tools"]).current_dir(crate::root());
    crate::run(&mut cargo)?;
    Ok(crate::root().join("target/release/flowlet"))
}

/// Rows of a CSV file as the device takes them.
pub struct Rows(pub Vec<Vec<f32>>);

impl Rows {
    /// Reads the columns that are the model's features, in the model's order.
    pub fn read(path: &Path, flowlet: &Path, model: &Path) -> Result<Self> {
        let summary = inspect(flowlet, model)?;
        let list = |key: &str| summary[key].as_array().cloned().context("inspect lists them");
        let features = [list("features")?, list("context")?].concat();
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(path)?;
        let header = reader.headers()?.clone();
        let column = |name: &Value| {
            header.iter().position(|own| Some(own) == name.as_str()).context("a feature is missing")
        };
        let columns = features.iter().map(column).collect::<Result<Vec<_>>>()?;
        let row = |record: Result<csv::StringRecord, csv::Error>| {
            let record = record?;
            Ok(columns.iter().map(|column| record[*column].parse()).collect::<Result<_, _>>()?)
        };
        Ok(Self(reader.records().map(row).collect::<Result<_>>()?))
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Every `step`-th row.
    pub fn every(&self, step: usize) -> Self {
        Self(self.0.iter().step_by(step.max(1)).cloned().collect())
    }

    /// Writes the rows as little-endian f32, one after the other.
    pub fn write(&self, path: &Path) -> Result<()> {
        let bytes: Vec<u8> =
            self.0.iter().flatten().flat_map(|value| value.to_le_bytes()).collect();
        std::fs::write(path, bytes).with_context(|| format!("cannot write {path:?}"))
    }
}

fn inspect(flowlet: &Path, model: &Path) -> Result<Value> {
    let json = crate::read(Command::new(flowlet).arg("inspect").arg(model).arg("--json"))?;
    Ok(serde_json::from_slice(&json)?)
}

fn read_column(path: &Path, name: &str) -> Result<Vec<f32>> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(path)?;
    let column = reader.headers()?.iter().position(|own| own == name);
    let column = column.with_context(|| format!("{path:?} has no column `{name}`"))?;
    reader.records().map(|record| Ok(record?[column].parse()?)).collect()
}

/// The little-endian f32 of a file.
pub fn read_floats(path: &Path) -> Result<Vec<f32>> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {path:?}"))?;
    let (words, rest) = bytes.as_chunks::<4>();
    ensure!(rest.is_empty(), "{path:?} ends within a value");
    Ok(words.iter().map(|word| f32::from_le_bytes(*word)).collect())
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

/// Draws the scores of normal rows and of anomalies, and the threshold, as an SVG file.
///
/// The axis ends at the 99th percentile of all scores; what lies beyond is in the last bar.
fn draw(path: &Path, scores: &[f32], labels: &[f32], threshold: Option<f64>) -> Result<()> {
    let mut sorted: Vec<f64> = scores.iter().map(|score| f64::from(*score)).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let (Some(low), Some(top)) = (sorted.first(), sorted.get(sorted.len() * 99 / 100)) else {
        bail!("no scores to draw");
    };
    // A threshold beyond the percentile must be seen too.
    let high = top.max(threshold.unwrap_or(*top) + 0.05 * (top - low)).max(low + 1e-6);
    let width = (high - low) / BARS as f64;
    let mut shares = [[0.0; BARS]; 2];
    for (score, label) in scores.iter().zip(labels) {
        let bar = ((f64::from(*score) - low) / width) as usize;
        shares[usize::from(*label != 0.0)][bar.min(BARS - 1)] += 1.0;
    }
    for shares in &mut shares {
        let all: f64 = shares.iter().sum();
        shares.iter_mut().for_each(|share| *share /= all.max(1.0));
    }
    let highest = shares.iter().flatten().fold(0.0, |a: f64, b| a.max(*b));

    let area = SVGBackend::new(path, (900, 480)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption("Anomaly scores of the test rows, computed on the device", ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(42)
        .y_label_area_size(56)
        .build_cartesian_2d(*low..high, 0.0..highest * 1.05)?;
    chart
        .configure_mesh()
        .x_desc("score = -log density (nats); what lies beyond is in the last bar")
        .y_desc("share of rows")
        .draw()?;
    for (name, shares, colour) in
        [("normal rows", &shares[0], BLUE), ("anomalies", &shares[1], RED)]
    {
        let bars = shares.iter().enumerate().map(|(bar, share)| {
            let left = low + bar as f64 * width;
            Rectangle::new([(left, 0.0), (left + width, *share)], colour.mix(0.45).filled())
        });
        chart
            .draw_series(bars)?
            .label(name)
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], colour.filled()));
    }
    if let Some(threshold) = threshold {
        let line = [(threshold, 0.0), (threshold, highest * 1.05)];
        chart
            .draw_series(LineSeries::new(line, BLACK.stroke_width(2)))?
            .label("threshold")
            .legend(|(x, y)| PathElement::new([(x, y), (x + 12, y)], BLACK));
    }
    chart.configure_series_labels().background_style(WHITE).border_style(BLACK).draw()?;
    area.present()?;
    Ok(())
}
