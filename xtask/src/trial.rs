//! `cargo xtask demo --signal`: a field trial that needs no hardware. A raw signal goes sample by sample
//! through window, flow and detector, on the host and on an emulated Cortex-M4.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail, ensure};
use comfy_table::Table;
use flowlet::detector::Detector;
use flowlet::signal::{Samples, Schedule};
use flowlet::write::ModelFile;
use flowlet::{Error, Libm, MAX_FEATURES, Memory, Model};
use serde::Serialize;

use crate::data::{self, Rows};
use crate::host_tool::HostTool;
use crate::{boards, cycles, emulator, firmware, picture};

/// The column that tells recordings apart, where there is one.
const SEGMENT: &str = "segment";

/// Windows that are traced.
const TRACED: usize = 4;

/// How the computed fan is trained on, in windows that do not overlap: a row a 0.64 s. Without the deviation,
/// which says what the bands do: of features that say the same none is to blame alone.
const SIMULATED: &str = "--rate 400 --window 256 --hop 256 \
                         --features mean,crest-factor,skewness,kurtosis,bands:6 \
                         --hidden 16,16 --layers 4 --epochs 30 --false-alarms 1/month --every 640ms";

/// Seconds and seed of its recordings, and where its fault starts in the second.
const TRAINING: [&str; 2] = ["7200", "1"];
const TEST: [&str; 3] = ["1200", "2", "900"];

/// A raw signal as the device takes it.
struct Signal {
    /// Channels and context of each sample; NaN where samples are missing.
    samples: Rows,
    /// Whether the machine is at fault.
    faulty: Vec<bool>,
}

/// What is said of the row that ends with a sample.
#[derive(Clone, Copy, Debug)]
pub struct Judged {
    /// The sample's number.
    pub sample: usize,
    /// Its score, 0 where a sensor is at fault.
    pub score: f32,
    /// 0 to 2 for normal, suspect, alarm; 1000 and more for a sensor's fault.
    pub state: f32,
    /// In nats.
    pub evidence: f32,
    /// Whether most samples of its window are of a fault.
    pub is_faulty: bool,
}

impl Judged {
    /// Whether there is an alarm.
    pub fn is_alarm(&self) -> bool {
        self.state == 2.0
    }
}

/// What `report.json` holds.
#[derive(Serialize)]
struct Report {
    data: String,
    device_equals_host: bool,
    numbers_compared: usize,
    samples: usize,
    rows: usize,
    normal_hours: f64,
    false_alarms: usize,
    false_alarms_an_hour: f64,
    faults: usize,
    faults_found: usize,
    median_delay_seconds: Option<f64>,
    median_delay_rows: Option<f64>,
    cycles_a_sample: f64,
    cycles_a_row: f64,
    window_bytes: u64,
    detector_bytes: u64,
    stack_bytes: u64,
    static_bytes: u64,
    model_bytes: u64,
}

/// Runs the trial on the signal of a folder, or on the computed fan.
pub fn run(data: Option<&Path>, family: &str, options: &[String]) -> Result<()> {
    let folder = crate::results("demo/signal")?;
    let flowlet = HostTool::build()?;
    let (training, test) = match data {
        Some(folder) => (folder.join("train.csv"), folder.join("test.csv")),
        None => simulate(&folder)?,
    };
    let model = folder.join("model.flow");
    let mut chosen = crate::words(&format!("--family {family}"));
    match (data, options) {
        (None, []) => chosen.extend(crate::words(SIMULATED)),
        (Some(_), []) => bail!(
            "say how the signal becomes rows, and how rare false alarms are to be: cargo xtask demo \
             --signal --data DIR -- --rate 50 --window 64 --hop 64 --false-alarms 1/10000rows"
        ),
        _ => chosen.extend_from_slice(options),
    }
    if header(&training)?.iter().any(|name| name == SEGMENT) {
        chosen.extend(crate::words(&format!("--segment {SEGMENT}")));
    }
    println!("training on {}: {}", training.display(), chosen.join(" "));
    flowlet.train_quietly(&training, None, &chosen, &model)?;

    let bytes = std::fs::read(&model).with_context(|| format!("cannot read {model:?}"))?;
    let file = ModelFile::new(&bytes);
    let refuse = |error| anyhow!("{model:?}: {error}");
    let reader = Model::<Libm>::from_bytes(file.bytes()).map_err(refuse)?;
    let signal = Signal::read(&test, &reader)?;
    let (host, judged) = watch(&reader, &signal).map_err(refuse)?;

    println!("watching {} samples on an emulated Cortex-M4", signal.faulty.len());
    signal.samples.write(&folder.join("samples.f32"))?;
    let elf = firmware::build("trial", &model, &folder)?;
    let printed = String::from_utf8(emulator::run(&elf, &folder)?)?;
    let device = data::read_floats(&folder.join("results.f32"))?;
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    let is_equal = bits(&host) == bits(&device);

    let recipe = reader.recipe().map_err(refuse)?;
    let rate = f64::from(recipe.rate());
    let [sample, row] = cost(&elf, &signal, recipe.window(), recipe.hop(), &folder)?;
    let sizes = firmware::sizes(&std::fs::read(&elf)?, bytes.len() as u64)?;
    let number = |name: &str| {
        let line = printed.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        line.with_context(|| format!("the firmware does not say {name}: {printed}"))
    };
    let outcome = Outcome::of(&judged, &signal.faulty);
    let seconds = |samples: usize| samples as f64 / rate;
    let normal_hours =
        seconds(signal.faulty.iter().filter(|is_faulty| !**is_faulty).count()) / 3600.0;
    for (start, delay) in &outcome.faults {
        match delay {
            Some((samples, rows)) => println!(
                "fault at {:.1} s: alarm after {:.2} s, {rows} rows",
                seconds(*start),
                seconds(*samples)
            ),
            None => println!("fault at {:.1} s: no alarm", seconds(*start)),
        }
    }
    for start in &outcome.false_alarms {
        println!("false alarm at {:.1} s", seconds(*start));
    }
    let found: Vec<_> = outcome.faults.iter().filter_map(|(_, delay)| *delay).collect();
    let report = Report {
        data: data.map_or("a fan that is only computed".into(), |data| data.display().to_string()),
        device_equals_host: is_equal,
        numbers_compared: host.len(),
        samples: signal.faulty.len(),
        rows: judged.len(),
        normal_hours,
        false_alarms: outcome.false_alarms.len(),
        false_alarms_an_hour: outcome.false_alarms.len() as f64 / normal_hours,
        faults: outcome.faults.len(),
        faults_found: found.len(),
        median_delay_seconds: median(found.iter().map(|(samples, _)| seconds(*samples))),
        median_delay_rows: median(found.iter().map(|(_, rows)| *rows as f64)),
        cycles_a_sample: sample,
        cycles_a_row: row,
        window_bytes: number("window ")?,
        detector_bytes: number("detector ")?,
        stack_bytes: number("stack ")?,
        static_bytes: sizes.statics,
        model_bytes: bytes.len() as u64,
    };
    let path = folder.join("report.json");
    crate::write_json(&path, &serde_json::to_value(&report)?)?;
    let detector = detector(&reader).map_err(refuse)?;
    let drawing = folder.join("trial.svg");
    let values: Vec<_> = signal.samples.0.iter().map(|sample| sample[0]).collect();
    let channel = recipe.channel_names().next().map_or("", |[name, _]| name);
    picture::trial::draw(
        &drawing,
        &picture::trial::Trial {
            channel,
            values: &values,
            faulty: &signal.faulty,
            judged: &judged,
            rate,
            alarm_at: detector.alarm_at(),
        },
    )?;
    println!("{}", table(&report)?);
    println!("{}\n{}", path.display(), drawing.display());
    ensure!(is_equal, "a feature, score, state or evidence of the device differs from the host's");
    Ok(())
}

/// Writes recordings of the computed fan: for training, and for the trial.
fn simulate(folder: &Path) -> Result<(PathBuf, PathBuf)> {
    let record = |name: &str, arguments: &[&str]| {
        let path = folder.join(name);
        let file = std::fs::File::create(&path).with_context(|| format!("cannot make {path:?}"))?;
        let mut cargo = Command::new("cargo");
        cargo.args(["run", "--quiet", "--release", "--locked", "--example", "record", "--"]);
        cargo.args(arguments).current_dir(boards::folder().join("application"));
        let status = cargo.env_remove("FLOWLET_MODEL").stdout(file).status()?;
        ensure!(status.success(), "{}: {status}", crate::spell(&cargo));
        anyhow::Ok(path)
    };
    Ok((record("train.csv", &TRAINING)?, record("test.csv", &TEST)?))
}

fn header(path: &Path) -> Result<csv::StringRecord> {
    let mut reader =
        csv::Reader::from_path(path).with_context(|| format!("cannot read {path:?}"))?;
    Ok(reader.headers()?.clone())
}

impl Signal {
    /// Reads the columns that are the model's channels and context; a change of the segment is a gap.
    fn read(path: &Path, model: &Model) -> Result<Self> {
        let mut reader =
            csv::Reader::from_path(path).with_context(|| format!("cannot read {path:?}"))?;
        let header = reader.headers()?.clone();
        let find = |name: &str| header.iter().position(|own| own == name);
        let recipe = model.recipe().map_err(|error| anyhow!("{error}"))?;
        let channels = recipe.channel_names().map(|[name, _]| name);
        let columns = channels
            .chain(model.context_names())
            .map(|name| find(name).with_context(|| format!("{path:?} has no column `{name}`")));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let label = find(data::LABEL)
            .with_context(|| format!("{path:?} has no column `{}`", data::LABEL))?;
        let segment = find(SEGMENT);
        let (mut samples, mut faulty, mut last) = (Vec::new(), Vec::new(), None);
        for record in reader.records() {
            let record = record?;
            let values = columns.iter().map(|column| record[*column].parse());
            let sample: Vec<f32> = values.collect::<Result<_, _>>()?;
            let own = segment.map(|column| record[column].to_owned());
            if last.as_ref().is_some_and(|last| *last != own) {
                let mut gap = sample.clone();
                gap[0] = f32::NAN;
                samples.push(gap);
                faulty.push(faulty.last().copied().unwrap_or(false));
            }
            last = Some(own);
            samples.push(sample);
            faulty.push(record[label].parse::<f32>()? != 0.0);
        }
        Ok(Self { samples: Rows(samples), faulty })
    }
}

fn detector<'m>(model: &Model<'m>) -> Result<Detector<'m, MAX_FEATURES>, Error> {
    let settings = model.detector_settings().ok_or(Error::NoDetector)?;
    Detector::new(settings, model.calibration().ok_or(Error::NoCalibration)?)
}

/// What the firmware must write, and what is said of each row.
fn watch(model: &Model, signal: &Signal) -> Result<(Vec<f32>, Vec<Judged>), Error> {
    let recipe = model.recipe()?;
    let mut detector = detector(model)?;
    let mut memory = Memory::of(model);
    let mut schedule = Schedule::new(&recipe);
    let (mut numbers, mut judged) = (Vec::new(), Vec::new());
    let (mut scratch, mut row) = (vec![0.0; recipe.window()], vec![0.0; recipe.features()]);
    // As of the firmware's window before the first sample.
    let mut last = vec![0.0; model.context()];
    for (number, sample) in signal.samples.0.iter().enumerate() {
        let (values, context) = sample.split_at(recipe.channels());
        if last != context {
            schedule.restart();
            last = context.to_vec();
        }
        if values.iter().any(|value| value.is_nan()) {
            schedule.restart();
            continue;
        }
        if !schedule.advance() {
            continue;
        }
        let window = number + 1 - recipe.window()..=number;
        let own: Vec<f32> = signal.samples.0[window.clone()]
            .iter()
            .flat_map(|sample| &sample[..recipe.channels()])
            .copied()
            .collect();
        recipe.row(Samples { older: &own, newer: &[] }, &mut scratch, &mut row);
        let mut score = 0.0;
        let state = detector.step(&row, || {
            score = model.given(context).score(&row, &mut memory.scratch())?;
            Ok(score)
        })?;
        let (state, evidence) = (state.code() as f32, detector.evidence());
        numbers.extend(row.iter().chain(&[score, state, evidence]));
        let faulty = signal.faulty[window].iter().filter(|is_faulty| **is_faulty).count();
        let is_faulty = 2 * faulty > recipe.window();
        judged.push(Judged { sample: number, score, state, evidence, is_faulty });
    }
    Ok((numbers, judged))
}

/// Cycles of a sample that ends no window, and of one that does, with its row's judgement.
fn cost(elf: &Path, signal: &Signal, window: usize, hop: usize, folder: &Path) -> Result<[f64; 2]> {
    let folder = folder.join("traced");
    std::fs::create_dir_all(&folder)?;
    let length = window + (TRACED - 1) * hop;
    let short = Rows(signal.samples.0[..length.min(signal.samples.len())].to_vec());
    short.write(&folder.join("samples.f32"))?;
    let costs = cycles::measure(elf, cycles::Core::CortexM4F, &folder)?;
    let of = |name: &str| costs.get(name).with_context(|| format!("{name} never ran"));
    let rows = of("row")?;
    let mut samples: Vec<f64> = of("sample")?.iter().map(|cost| cost.cycles as f64).collect();
    samples.sort_unstable_by(f64::total_cmp);
    // The dearest are those that end a window.
    let ends = &samples[samples.len() - rows.len()..];
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let judgement = mean(&rows.iter().map(|cost| cost.cycles as f64).collect::<Vec<_>>());
    Ok([samples[samples.len() / 2], mean(ends) + judgement])
}

/// When there were alarms, in samples.
struct Outcome {
    false_alarms: Vec<usize>,
    /// Where each fault starts, and how many samples and rows later there is an alarm.
    faults: Vec<(usize, Option<(usize, usize)>)>,
}

impl Outcome {
    fn of(judged: &[Judged], faulty: &[bool]) -> Self {
        let starts = |index: usize| {
            judged[index].is_alarm() && (index == 0 || !judged[index - 1].is_alarm())
        };
        let false_alarms = (0..judged.len())
            .filter(|index| starts(*index) && !judged[*index].is_faulty)
            .map(|index| judged[index].sample)
            .collect();
        let mut faults = Vec::new();
        let mut sample = 0;
        for run in faulty.chunk_by(|a, b| a == b) {
            if run[0] {
                let own = sample..sample + run.len();
                let rows = judged.iter().filter(|row| own.contains(&row.sample));
                let alarm = rows.enumerate().find(|(_, row)| row.is_alarm());
                faults.push((sample, alarm.map(|(rows, row)| (row.sample - sample, rows + 1))));
            }
            sample += run.len();
        }
        Self { false_alarms, faults }
    }
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<_> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

fn table(report: &Report) -> Result<Table> {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::ASCII_MARKDOWN);
    table.set_header(["", "value"]);
    for (name, value) in serde_json::to_value(report)?.as_object().context("a structure")? {
        let value = match value.as_f64().filter(|_| value.is_f64()) {
            Some(number) => format!("{number:.2}"),
            None => value.as_str().map_or_else(|| value.to_string(), str::to_owned),
        };
        table.add_row([name.replace('_', " "), value]);
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_is_false_only_where_it_starts_without_a_fault() {
        // Four samples a row; a fault from sample 12 to 23.
        let faulty: Vec<bool> = (0..32).map(|sample| (12..24).contains(&sample)).collect();
        let alarms = [false, true, false, false, true, true, true, false];
        let judged: Vec<_> = alarms
            .into_iter()
            .enumerate()
            .map(|(row, is_alarm)| Judged {
                sample: 4 * row + 3,
                score: 0.0,
                state: if is_alarm { 2.0 } else { 0.0 },
                evidence: 0.0,
                is_faulty: (3..6).contains(&row),
            })
            .collect();
        let outcome = Outcome::of(&judged, &faulty);
        assert_eq!(outcome.false_alarms, [7]);
        // Its second row, which ends 7 samples after its start, is the first with an alarm.
        assert_eq!(outcome.faults, [(12, Some((7, 2)))]);
    }
}
