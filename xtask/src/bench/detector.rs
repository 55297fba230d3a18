//! `cargo xtask bench --detector`: how rare false alarms are, and how soon after a fault there is one.
//!
//! Streams are made of independent draws of normal test rows, and behind a fault's start of faulty ones; all of it is
//! judged by the device's code. Folders whose test.csv has no anomalies have in test_injected.csv the same rows,
//! some with the value of one sensor replaced: each sensor is a fault of its own. Others have one fault, their
//! anomalies.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use comfy_table::Table;
use flowlet::detector::{Commissioning, Detector, State};
use flowlet::file::tag;
use flowlet::write::{self, ModelFile};
use flowlet::{Calibration, Error, Libm, MAX_FEATURES, Memory, Model};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::Serialize;

use crate::data::{self, Data, Rows};
use crate::host_tool::HostTool;

/// Rows between false alarms that are asked for.
const ASKED: [f32; 2] = [1e3, 1e4];
/// Rows of a stream without a fault, for each row between false alarms asked for.
const ROWS: usize = 400;
/// Streams with a fault, normal rows before it at least, and rows after which nobody waits any longer.
const STREAMS: usize = 400;
const BEFORE: usize = 100;
const PATIENCE: usize = 1000;
/// Most scores of a commissioning.
const SCORES: usize = 4096;
/// Bound of a drift that is followed, in the score's unit.
const DRIFT: f32 = 1.0;
/// Rows in time order are taken one by one, and so many apart.
const APART: [usize; 2] = [1, 20];

/// What scores are held against.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Judge {
    /// The calibration in the file.
    File,
    /// The same, and an offset that follows a drift.
    Drift,
    /// The scores of half of the normal test rows, as commissioning gathers them; the other half is watched.
    Site,
}

/// A row and its score.
struct Scored {
    x: Vec<f32>,
    score: f32,
}

/// False alarms of a stream.
#[derive(Serialize)]
struct FalseAlarms {
    judge: Judge,
    held_out_rows: u32,
    charge: f32,
    fewest_rows: u32,
    /// Share of watched rows with a conformal p-value of at most 0.1.
    p_value_of_a_tenth: f64,
    asked: f32,
    rows: usize,
    alarms: usize,
    /// Mean rows between false alarms, and its 95 % confidence limits.
    mean: f64,
    limits: [f64; 2],
    /// The same of a threshold for one in as many rows.
    threshold_mean: f64,
    /// Share of rows with a sensor at fault.
    sensor_rows: f64,
}

/// Rows from the start of a fault to an alarm, that of the first faulty row included.
#[derive(Serialize)]
struct Delay {
    fault: String,
    faulty_rows: usize,
    asked: f32,
    /// Means; a stream without an alarm counts with [`PATIENCE`].
    detector: f64,
    threshold: f64,
    /// Streams without one.
    missed_by_detector: usize,
    missed_by_threshold: usize,
}

impl Delay {
    /// Whether a threshold on single rows finds the fault at all.
    fn is_found(&self) -> bool {
        self.missed_by_threshold < STREAMS
    }
}

/// False alarms on normal stretches of the file, row by row as they stand there.
#[derive(Serialize)]
struct InOrder {
    asked: f32,
    apart: usize,
    rows: usize,
    alarms: usize,
}

#[derive(Serialize)]
struct Set {
    name: String,
    false_alarms: Vec<FalseAlarms>,
    delays: Vec<Delay>,
    in_order: Vec<InOrder>,
}

/// Trains a model on each of `folders`, with further options of `flowlet train`.
pub fn run(folders: &[PathBuf], train: &[String]) -> Result<()> {
    let flowlet = HostTool::build()?;
    let results = crate::results("bench")?.join("detector.json");
    let folder = crate::results("bench/detector")?;
    let mut sets = Vec::new();
    for path in folders {
        let data = Data::find(path)?;
        println!("training on {}", data.name);
        let model = folder.join(format!("{}.flow", data.name));
        flowlet.train_quietly(&data.training, Some(&data.validation), train, &model)?;
        sets.push(measure(&flowlet, &data, &model)?);
        crate::write_json(&results, &serde_json::json!({ "sets": sets }))?;
    }
    println!("{}\n{}\n{}", false_alarms(&sets), delays(&sets), in_order(&sets));
    println!("written: {}", results.display());
    Ok(())
}

fn measure(flowlet: &HostTool, data: &Data, path: &Path) -> Result<Set> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {path:?}"))?;
    let file = ModelFile::new(&bytes);
    let refused = |error: Error| anyhow!("{path:?}: {error}");
    let model = Model::<Libm>::from_bytes(file.bytes()).map_err(refused)?;
    let score = |rows: &Path| scored(rows, flowlet, path, &model);
    let test = score(&data.test)?;
    let labels = data::read_column(&data.test, data::LABEL)?;
    let normal: Vec<&Scored> =
        test.iter().zip(&labels).filter(|(_, label)| **label == 0.0).map(|(row, _)| row).collect();
    ensure!(!normal.is_empty(), "{} has no normal test rows", data.name);
    let injected = data.test.with_file_name("test_injected.csv");
    let anomalies: Vec<&Scored> =
        test.iter().zip(&labels).filter(|(_, label)| **label != 0.0).map(|(row, _)| row).collect();
    let changed = if injected.exists() { score(&injected)? } else { Vec::new() };
    let faults = match anomalies.is_empty() {
        false => vec![("anomalies".to_owned(), anomalies)],
        true => by_sensor(&model, &test, &changed),
    };
    let mut set = Set {
        name: data.name.clone(),
        false_alarms: Vec::new(),
        delays: Vec::new(),
        in_order: Vec::new(),
    };
    for asked in ASKED {
        let own = with_detector(&file, &model, asked, 0.0).map_err(refused)?;
        let following = with_detector(&file, &model, asked, DRIFT).map_err(refused)?;
        for (judge, file) in [(Judge::File, &own), (Judge::Drift, &following), (Judge::Site, &own)]
        {
            let model = Model::<Libm>::from_bytes(file.bytes()).map_err(refused)?;
            set.false_alarms.push(count(&model, judge, asked, &normal).map_err(refused)?);
        }
        let model = Model::<Libm>::from_bytes(own.bytes()).map_err(refused)?;
        for (fault, faulty) in &faults {
            let delay = wait(&model, asked, &normal, fault, faulty).map_err(refused)?;
            set.delays.push(delay);
        }
        for apart in APART {
            let own = walk(&model, asked, apart, &test, &labels).map_err(refused)?;
            set.in_order.push(own);
        }
    }
    Ok(set)
}

/// The rows of a file and their scores.
fn scored(
    rows: &Path,
    flowlet: &HostTool,
    path: &Path,
    model: &Model<Libm>,
) -> Result<Vec<Scored>> {
    let mut memory = Memory::of(model);
    let mut scratch = memory.scratch();
    let score = |row: Vec<f32>| {
        let (x, context) = row.split_at(model.features());
        let score = model.given(context).score(x, &mut scratch);
        let score = score.map_err(|error| anyhow!("{}: {error}", rows.display()))?;
        Ok(Scored { x: x.to_vec(), score })
    };
    Rows::read(rows, flowlet, path)?.0.into_iter().map(score).collect()
}

/// Changed rows by the sensor whose value was replaced.
fn by_sensor<'a>(
    model: &Model<Libm>,
    test: &[Scored],
    changed: &'a [Scored],
) -> Vec<(String, Vec<&'a Scored>)> {
    let is_changed = |old: &Scored, new: &Scored, feature: usize| old.x[feature] != new.x[feature];
    let faults = model.feature_names().enumerate().map(|(feature, name)| {
        let rows = test.iter().zip(changed);
        let own = rows.filter(|(old, new)| is_changed(old, new, feature)).map(|(_, new)| new);
        (name.to_owned(), own.collect::<Vec<_>>())
    });
    faults.filter(|(_, rows)| !rows.is_empty()).collect()
}

/// The file with a detector that is asked for so many rows between false alarms, and for a bound of the drift.
fn with_detector(
    file: &ModelFile,
    model: &Model<Libm>,
    asked: f32,
    bound: f32,
) -> Result<ModelFile, Error> {
    let settings = model.detector_settings().ok_or(Error::NoDetector)?;
    let detector = write::Detector {
        rows_between_false_alarms: asked,
        confirmation: settings.confirmation(),
        drift: (bound, bound / 1000.0),
        sensors: settings.sensors().collect(),
    };
    write::with_section(file.bytes(), tag::DETECTOR, detector.contents())
}

type Watch<'m> = Detector<'m, MAX_FEATURES>;

fn detector<'m>(model: &Model<'m, Libm>, calibration: Calibration<'m>) -> Result<Watch<'m>, Error> {
    Detector::new(model.detector_settings().ok_or(Error::NoDetector)?, calibration)
}

fn step(detector: &mut Watch, row: &Scored) -> Result<State, Error> {
    detector.step(&row.x, || Ok(row.score))
}

fn any<'a>(random: &mut ChaCha8Rng, rows: &[&'a Scored]) -> &'a Scored {
    rows[(random.next_u64() % rows.len() as u64) as usize]
}

/// Counts the alarms on a stream of normal rows.
fn count(
    model: &Model<Libm>,
    judge: Judge,
    asked: f32,
    normal: &[&Scored],
) -> Result<FalseAlarms, Error> {
    let mut random = ChaCha8Rng::seed_from_u64(0);
    let of_file = model.calibration().ok_or(Error::NoCalibration)?;
    let mut commissioning = Commissioning::<SCORES>::new();
    let (calibration, watched) = match judge {
        Judge::File | Judge::Drift => (of_file, normal.to_vec()),
        Judge::Site => {
            let gathered = normal.iter().step_by(2).take(SCORES);
            gathered.into_iter().try_for_each(|row| commissioning.add(row.score))?;
            let watched = normal.iter().skip(1).step_by(2).copied().collect();
            (commissioning.calibration(&of_file)?, watched)
        }
    };
    let mut detector = detector(model, calibration)?;
    let rows = ROWS * asked as usize;
    let (mut alarms, mut sensor_rows, mut is_alarm) = (0, 0, false);
    for _ in 0..rows {
        let state = step(&mut detector, any(&mut random, &watched))?;
        sensor_rows += usize::from(matches!(state, State::Sensor(_)));
        let was_alarm = std::mem::replace(&mut is_alarm, detector.state() == State::Alarm);
        alarms += usize::from(is_alarm && !was_alarm);
    }
    let threshold = calibration.threshold_at::<Libm>(1.0 / asked)?;
    let share = |holds: &dyn Fn(&Scored) -> bool| {
        watched.iter().filter(|row| holds(row)).count() as f64 / watched.len() as f64
    };
    let between = |alarms: f64| if alarms > 0.0 { rows as f64 / alarms } else { f64::INFINITY };
    Ok(FalseAlarms {
        judge,
        held_out_rows: calibration.rows(),
        charge: detector.charge(),
        fewest_rows: detector.fewest_rows(),
        p_value_of_a_tenth: share(&|row| calibration.conformal_p_value(row.score) <= 0.1),
        asked,
        rows,
        alarms,
        mean: between(alarms as f64),
        limits: poisson_limits(alarms as f64).map(between),
        threshold_mean: 1.0 / share(&|row| row.score > threshold),
        sensor_rows: sensor_rows as f64 / rows as f64,
    })
}

/// 95 % confidence limits of a Poisson mean, of which `count` was seen: the upper one, then the lower one (Byar's
/// approximation, Breslow and Day 1987).
fn poisson_limits(count: f64) -> [f64; 2] {
    let limit = |count: f64, sign: f64| {
        count * (1.0 - 1.0 / (9.0 * count) + sign * 1.96 / (3.0 * count.sqrt())).powi(3)
    };
    [limit(count + 1.0, 1.0), if count > 0.0 { limit(count, -1.0).max(0.0) } else { 0.0 }]
}

/// Rows until an alarm from the start of a fault, of the detector and of a threshold on single rows.
fn wait(
    model: &Model<Libm>,
    asked: f32,
    normal: &[&Scored],
    fault: &str,
    faulty: &[&Scored],
) -> Result<Delay, Error> {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let threshold = model.threshold_at(1.0 / asked)?;
    let calibration = model.calibration().ok_or(Error::NoCalibration)?;
    let (mut delays, mut missed) = ([0, 0], [0, 0]);
    for _ in 0..STREAMS {
        let mut detector = detector(model, calibration)?;
        let before = BEFORE + (random.next_u64() % BEFORE as u64) as usize;
        // A false alarm just before the fault would be no delay.
        for row in 0.. {
            let state = step(&mut detector, any(&mut random, normal))?;
            if row >= before && state != State::Alarm {
                break;
            }
        }
        let mut found = [None, None];
        for row in 1..=PATIENCE {
            let next = any(&mut random, faulty);
            let alarms = [step(&mut detector, next)? == State::Alarm, next.score > threshold];
            for (found, alarm) in found.iter_mut().zip(alarms) {
                *found = found.or(alarm.then_some(row));
            }
            if found.iter().all(Option::is_some) {
                break;
            }
        }
        for (place, found) in found.into_iter().enumerate() {
            delays[place] += found.unwrap_or(PATIENCE);
            missed[place] += usize::from(found.is_none());
        }
    }
    let [detector, threshold] = delays.map(|sum| sum as f64 / STREAMS as f64);
    let [missed_by_detector, missed_by_threshold] = missed;
    Ok(Delay {
        fault: fault.to_owned(),
        faulty_rows: faulty.len(),
        asked,
        detector,
        threshold,
        missed_by_detector,
        missed_by_threshold,
    })
}

/// Alarms on the normal stretches of a file, every `apart`-th row of each, a new detector for each.
fn walk(
    model: &Model<Libm>,
    asked: f32,
    apart: usize,
    test: &[Scored],
    labels: &[f32],
) -> Result<InOrder, Error> {
    let calibration = model.calibration().ok_or(Error::NoCalibration)?;
    let (mut rows, mut alarms) = (0, 0);
    let labelled: Vec<_> = test.iter().zip(labels).collect();
    for stretch in labelled.chunk_by(|a, b| a.1 == b.1).filter(|own| *own[0].1 == 0.0) {
        let (mut detector, mut is_alarm) = (detector(model, calibration)?, false);
        for (row, _) in stretch.iter().step_by(apart) {
            step(&mut detector, row)?;
            let was_alarm = std::mem::replace(&mut is_alarm, detector.state() == State::Alarm);
            alarms += usize::from(is_alarm && !was_alarm);
            rows += 1;
        }
    }
    Ok(InOrder { asked, apart, rows, alarms })
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::ASCII_MARKDOWN);
    table.set_header(header);
    table
}

fn false_alarms(sets: &[Set]) -> Table {
    let mut table = table(&[
        "set",
        "judged by",
        "held-out rows",
        "p <= 0.1",
        "asked",
        "rows between false alarms (95 %)",
        "alarms",
        "of a threshold",
        "sensor rows",
    ]);
    for (set, own) in sets.iter().flat_map(|set| set.false_alarms.iter().map(move |own| (set, own)))
    {
        let judge = match own.judge {
            Judge::File => "the file".into(),
            Judge::Drift => format!("the file, drift followed within {DRIFT}"),
            Judge::Site => "the scores on site".into(),
        };
        let [low, high] = own.limits;
        table.add_row([
            set.name.clone(),
            judge,
            own.held_out_rows.to_string(),
            format!("{:.3}", own.p_value_of_a_tenth),
            own.asked.to_string(),
            format!("{:.0} ({low:.0} to {high:.0})", own.mean),
            own.alarms.to_string(),
            format!("{:.0}", own.threshold_mean),
            format!("{:.5}", own.sensor_rows),
        ]);
    }
    table
}

fn delays(sets: &[Set]) -> Table {
    let mut table = table(&[
        "set",
        "fault",
        "asked",
        "rows to an alarm",
        "by a threshold",
        "ratio",
        "missed",
        "by a threshold",
    ]);
    for set in sets {
        for asked in ASKED {
            let own: Vec<_> = set.delays.iter().filter(|own| own.asked == asked).collect();
            let found: Vec<_> = own.iter().filter(|own| own.is_found()).copied().collect();
            let all = (own.len() > 1).then(|| mean("mean of all", &own));
            let of_found = (found.len() > 1).then(|| mean("mean of those found", &found));
            for delay in own.into_iter().chain(&all).chain(&of_found) {
                table.add_row([
                    set.name.clone(),
                    delay.fault.clone(),
                    asked.to_string(),
                    format!("{:.1}", delay.detector),
                    format!("{:.1}", delay.threshold),
                    format!("{:.2}", delay.detector / delay.threshold),
                    delay.missed_by_detector.to_string(),
                    delay.missed_by_threshold.to_string(),
                ]);
            }
        }
    }
    table
}

/// The mean of the delays of several faults.
fn mean(fault: &str, delays: &[&Delay]) -> Delay {
    let mean =
        |of: fn(&Delay) -> f64| delays.iter().map(|own| of(own)).sum::<f64>() / delays.len() as f64;
    let missed = |of: fn(&Delay) -> usize| delays.iter().map(|own| of(own)).sum();
    Delay {
        fault: fault.into(),
        faulty_rows: delays.iter().map(|own| own.faulty_rows).sum(),
        asked: delays[0].asked,
        detector: mean(|own| own.detector),
        threshold: mean(|own| own.threshold),
        missed_by_detector: missed(|own| own.missed_by_detector),
        missed_by_threshold: missed(|own| own.missed_by_threshold),
    }
}

fn in_order(sets: &[Set]) -> Table {
    let mut table = table(&["set", "normal rows in order", "rows apart", "asked", "alarms"]);
    for (set, own) in sets.iter().flat_map(|set| set.in_order.iter().map(move |own| (set, own))) {
        table.add_row([
            set.name.clone(),
            own.rows.to_string(),
            own.apart.to_string(),
            own.asked.to_string(),
            own.alarms.to_string(),
        ]);
    }
    table
}
