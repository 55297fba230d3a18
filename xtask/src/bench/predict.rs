//! `cargo xtask bench --cost`: what the cost model of the host tool predicts, beside what is measured
//! on every core, and with `--renew` its coefficients.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use comfy_table::Table;
use flowlet::tally::{self, Question, Step, Tally};
use flowlet::write::ModelFile;
use flowlet::{Error, LatentModel, LatentScratch, Libm, Model};
use serde::{Serialize, Serializer};

use crate::coefficients::{self, CODE, CORES, FRAMES, Point};
use crate::cycles::Core;
use crate::data::Rows;
use crate::measure::Traced;
use crate::models::varied::{self, Varied};
use crate::{firmware, models, parallel};

/// Rows that each model is traced on; each is counted for itself.
const ROWS: usize = 2;

/// Most products of a model that is traced on a core without an FPU, where a trace is forty times as
/// long.
const LARGEST: usize = 2500;

/// The cores that firmware is built for, each with its columns of the tables.
const BUILDS: [(Core, &[usize]); 3] =
    [(Core::CortexM4F, &[3]), (Core::CortexM0Plus, &[0, 1]), (Core::CortexM3, &[2])];

/// How much more a model in firmware of its own weighs.
const OWN: f64 = 3.0;

/// What takes longer in firmware that has every part of flowlet, where less is inlined.
const OVERHEADS: [Step; 10] = [
    Step::Call,
    Step::Layer,
    Step::Coupling,
    Step::Hidden,
    Step::OutputBlock,
    Step::Autoregressive,
    Step::MaskedHidden,
    Step::MaskedOutputBlock,
    Step::Walk,
    Step::LatentCall,
];

/// Largest relative error that a prediction may have.
pub const TOLERANCE: f64 = 0.05;

/// A call on a core: what was counted, and what it took.
#[derive(Serialize)]
pub struct Sample {
    model: String,
    operation: &'static str,
    core: &'static str,
    row: usize,
    measured_cycles: f64,
    predicted_cycles: f64,
    firmware: Option<Firmware>,
    predicted_code: f64,
    /// Relative, of the cycles.
    error: f64,
    #[serde(skip)]
    column: usize,
    #[serde(serialize_with = "steps")]
    tally: Tally,
    #[serde(skip)]
    parts: BTreeSet<&'static str>,
}

/// What a firmware around the model takes, in bytes.
#[derive(Clone, Copy, Serialize)]
struct Firmware {
    code: f64,
    /// Stack beyond the memory of [`flowlet::Scratch`].
    frames: f64,
}

fn steps<S: Serializer>(tally: &Tally, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(tally.steps().map(|(step, count)| (step.name(), count)))
}

/// Runs the verb.
///
/// Most traces are of the firmware `steps`, which reads one model after the other; some, to which the
/// sizes are fitted too, of the firmware `bench`, built around each model with no more than it needs:
/// these must be met.
pub fn run(renew: bool) -> Result<()> {
    check_steps()?;
    let elves: Vec<_> = BUILDS
        .into_iter()
        .map(|(core, columns)| Ok((core, columns, firmware::build_steps(core)?)))
        .collect::<Result<_>>()?;
    let jobs: Vec<_> = elves
        .iter()
        .flat_map(|(core, columns, elf)| {
            let models = varied::all().into_iter().filter(|model| is_traced(*core, model));
            models.map(move |model| (*core, *columns, elf, model))
        })
        .collect();
    let mut samples = Vec::new();
    let count = jobs.len();
    parallel::each(
        jobs.into_iter().enumerate().collect(),
        |(number, (core, columns, elf, model))| {
            let folder = crate::results(&format!("bench/cost/{number}"))?;
            let build = if model.is_fitted { Build::Any(elf) } else { Build::Own };
            trace(*core, columns, build, model, &folder).with_context(|| model.name.clone())
        },
        |(number, (core, _, _, model)), own| {
            samples.extend(own?);
            println!("{}/{count} {} {core:?}", number + 1, model.name);
            Ok(())
        },
    )?;
    samples.sort_by_key(|own| (own.column, own.firmware.is_none(), own.model.clone(), own.row));
    if renew {
        renew_tables(&samples)?;
    }
    predict(&mut samples)?;
    println!("{}", table(&samples));
    let path = crate::results("bench")?.join("cost.json");
    crate::write_json(&path, &serde_json::json!({ "tolerance": TOLERANCE, "rows": samples }))?;
    println!("written: {}", path.display());
    hold(&samples)
}

/// Predicts and measures a few models on one core each, and holds that they agree.
pub fn check() -> Result<()> {
    let folder = crate::results("bench/cost/check")?;
    let is_chosen = |model: &&Varied| !model.is_fitted && model.multiply_adds <= LARGEST;
    let models = varied::all();
    let mut samples = Vec::new();
    for (model, (core, columns)) in
        models.iter().filter(is_chosen).step_by(3).zip(BUILDS.into_iter().cycle())
    {
        samples.extend(
            trace(core, columns, Build::Own, model, &folder).with_context(|| model.name.clone())?,
        );
    }
    predict(&mut samples)?;
    println!("{}", table(&samples));
    hold(&samples)
}

fn hold(samples: &[Sample]) -> Result<()> {
    for sample in samples.iter().filter(|sample| sample.firmware.is_some()) {
        let Sample { model, operation, core, error, .. } = sample;
        ensure!(
            error.abs() <= TOLERANCE,
            "{model}/{operation} on {core}: the prediction is off by {:.1} %, `cargo xtask bench \
             --cost --renew` fits the coefficients again",
            100.0 * error
        );
    }
    Ok(())
}

/// Standard normal rows, the further ones wider so that splines have an end, or rows of zeros and ones.
fn rows(model: &Varied) -> Vec<Vec<f32>> {
    let mut rows = models::rows(ROWS, model.columns);
    for (number, row) in rows.iter_mut().enumerate() {
        for value in row {
            *value = match model.is_binary {
                true => f32::from(u8::from(*value > 0.0)),
                false => *value * (1 + 2 * number) as f32,
            };
        }
    }
    rows
}

/// Refuses to fit coefficients of steps that no fitted model takes, before the long traces.
fn check_steps() -> Result<()> {
    for (core, _) in BUILDS {
        let is_fitted = |model: &Varied| model.is_fitted && is_traced(core, model);
        let mut tallies = Vec::new();
        for model in varied::all().iter().filter(|model| is_fitted(model)) {
            tallies
                .extend(count(&model.file, &rows(model))?.into_iter().flat_map(|own| own.tallies));
        }
        for step in Step::ALL {
            ensure!(
                tallies.iter().any(|tally| tally.count(*step) > 0.0),
                "no model that is fitted on a {core:?} takes the step {}",
                step.name()
            );
        }
    }
    Ok(())
}

/// Whether a trace of `model` on `core` is short enough.
fn is_traced(core: Core, model: &Varied) -> bool {
    core == Core::CortexM4F || model.multiply_adds <= LARGEST || model.is_needed
}

/// The firmware that a model is traced in.
enum Build<'a> {
    /// The one that reads any model.
    Any(&'a Path),
    /// One around it.
    Own,
}

/// What each question takes of each row, on one core.
fn trace(
    core: Core,
    columns: &[usize],
    build: Build,
    model: &Varied,
    folder: &Path,
) -> Result<Vec<Sample>> {
    let path = folder.join("model.flow");
    std::fs::write(&path, model.file.bytes())?;
    let rows = rows(model);
    let traced = match build {
        Build::Own => Traced::run(core, &path, &Rows(rows.clone()), folder)?,
        Build::Any(elf) => Traced::run_steps(core, elf, &Rows(rows.clone()), folder)?,
    };
    let mut samples = Vec::new();
    for Counted { operation, tallies, parts, ram } in count(&model.file, &rows)? {
        let costs = traced.costs(operation)?;
        let firmware = traced.sizes.map(|sizes| {
            let stack = traced.stack(operation)?;
            anyhow::Ok(Firmware { code: sizes.text as f64, frames: stack as f64 - ram as f64 })
        });
        let firmware = firmware.transpose()?;
        for (column, row) in
            columns.iter().flat_map(|column| (0..ROWS).map(move |row| (column, row)))
        {
            // The Cortex-M0 takes a cycle more for every taken branch.
            let more = u64::from(core == Core::CortexM0Plus && *column == 0);
            samples.push(Sample {
                model: model.name.clone(),
                operation,
                core: CORES[*column],
                row,
                measured_cycles: (costs[row].cycles + more * costs[row].branches) as f64,
                predicted_cycles: 0.0,
                firmware,
                predicted_code: 0.0,
                error: 0.0,
                column: *column,
                tally: tallies[row].clone(),
                parts: parts.clone(),
            });
        }
    }
    Ok(samples)
}

/// What one question takes of some rows.
pub struct Counted {
    operation: &'static str,
    tallies: Vec<Tally>,
    parts: BTreeSet<&'static str>,
    ram: usize,
}

fn count(file: &ModelFile, rows: &[Vec<f32>]) -> Result<Vec<Counted>> {
    let counted = |operation, tallies: Result<Vec<Tally>, Error>, parts, ram| {
        let tallies = tallies.map_err(|error| anyhow!("{error}"))?;
        anyhow::Ok(Counted { operation, tallies, parts, ram })
    };
    match Model::<Libm>::from_bytes(file.bytes()) {
        Err(Error::IsLatent) => {
            let model = LatentModel::<Libm>::from_bytes(file.bytes());
            let model = model.map_err(|error| anyhow!("{error}"))?;
            let row = |row: &Vec<f32>| {
                let (x, context) = row.split_at(model.features());
                tally::of_latent_row(&model, x, context)
            };
            let (features, context) = (model.features(), model.context());
            let ram = LatentScratch::bytes(features, context, model.latents(), model.width());
            let parts = model.cargo_features().collect();
            Ok(vec![counted("score", rows.iter().map(row).collect(), parts, ram)?])
        }
        model => {
            let model = model.map_err(|error| anyhow!("{error}"))?;
            let questions = [("score", Question::Score), ("log_density", Question::LogDensity)];
            let of = |(operation, question)| {
                let row = |row: &Vec<f32>| {
                    let (x, context) = row.split_at(model.features());
                    tally::of_row(&model, question, x, context)
                };
                let (features, context) = (model.features(), model.context());
                let ram = flowlet::Scratch::bytes(features, context, model.width());
                let parts = model.cargo_features().collect();
                counted(operation, rows.iter().map(row).collect(), parts, ram)
            };
            questions.into_iter().map(of).collect()
        }
    }
}

/// Fits both tables to the samples that are for it.
fn renew_tables(samples: &[Sample]) -> Result<()> {
    let parts: BTreeSet<&str> = samples.iter().flat_map(|sample| sample.parts.clone()).collect();
    let (mut cycles, mut sizes) = (coefficients::Table::default(), coefficients::Table::default());
    for column in 0..CORES.len() {
        let own = || samples.iter().filter(move |sample| sample.column == column);
        let steps = Step::ALL;
        let of_steps = |sample: &Sample| {
            let counts = steps.iter().map(|step| sample.tally.count(*step));
            let more = OVERHEADS.iter().map(|step| match sample.firmware {
                Some(_) => 0.0,
                None => sample.tally.count(*step),
            });
            Point {
                counts: counts.chain(more).collect(),
                sum: sample.measured_cycles,
                weight: if sample.firmware.is_some() { OWN } else { 1.0 },
            }
        };
        let found = coefficients::fit(&own().map(of_steps).collect::<Vec<_>>());
        for (step, found) in steps.iter().zip(found) {
            cycles.entry(step.name().into()).or_default()[column] = found;
        }
        let built = || own().filter_map(|sample| Some((sample, sample.firmware?)));
        let of_parts = |(sample, firmware): (&Sample, Firmware)| {
            let has = |part| f64::from(u8::from(sample.parts.contains(part)));
            let counts = [1.0].into_iter().chain(parts.iter().map(has)).collect();
            Point { counts, sum: firmware.code, weight: 1.0 }
        };
        let found = coefficients::fit(&built().map(of_parts).collect::<Vec<_>>());
        for (name, found) in [CODE].iter().chain(&parts).zip(found) {
            sizes.entry((*name).into()).or_default()[column] = found;
        }
        let frames = built().map(|(_, firmware)| firmware.frames).fold(0.0, f64::max);
        sizes.entry(FRAMES.into()).or_default()[column] = frames;
    }
    let names = Step::ALL.iter().map(|step| step.name());
    coefficients::write(&coefficients::path("cycles.csv"), &cycles, names, 2)?;
    let names = [CODE, FRAMES].into_iter().chain(parts);
    coefficients::write(&coefficients::path("sizes.csv"), &sizes, names, 0)
}

/// Fills in what the tables say.
fn predict(samples: &mut [Sample]) -> Result<()> {
    let cycles = coefficients::read(&coefficients::path("cycles.csv"))?;
    let sizes = coefficients::read(&coefficients::path("sizes.csv"))?;
    for sample in samples {
        sample.predicted_cycles = coefficients::predict(&cycles, sample.column, &sample.tally);
        sample.error = sample.predicted_cycles / sample.measured_cycles - 1.0;
        let names = [CODE].into_iter().chain(sample.parts.iter().copied());
        let of = |name: &str| sizes.get(name).map_or(0.0, |numbers| numbers[sample.column]);
        sample.predicted_code = names.map(of).sum();
    }
    Ok(())
}

fn table(samples: &[Sample]) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::ASCII_MARKDOWN);
    table.set_header([
        "model",
        "core",
        "question",
        "own firmware",
        "measured",
        "predicted",
        "error",
        "code",
        "predicted",
        "frames",
    ]);
    for sample in samples {
        table.add_row([
            sample.model.clone(),
            sample.core.into(),
            sample.operation.into(),
            if sample.firmware.is_some() { "yes" } else { "no" }.into(),
            format!("{:.0}", sample.measured_cycles),
            format!("{:.0}", sample.predicted_cycles),
            format!("{:+.1} %", 100.0 * sample.error),
            sample.firmware.map_or("-".into(), |firmware| format!("{:.0}", firmware.code)),
            format!("{:.0}", sample.predicted_code),
            sample.firmware.map_or("-".into(), |firmware| format!("{:.0}", firmware.frames)),
        ]);
    }
    table
}
