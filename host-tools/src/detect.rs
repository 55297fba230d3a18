//! `flowlet detect`: when the rows of a CSV file, in their order, say that the machine has changed.

use std::path::{Path, PathBuf};

use flowlet::detector::{SensorFault, State};

use crate::device;
use crate::error::{Error, Result};
use crate::message::{self, excerpt};
use crate::output;
use crate::rows::table::Table;

/// Run the detector over the rows of a CSV file, in their order, as the device would.
///
/// Writes the columns state (normal, suspect, alarm or sensor), evidence (nats; an alarm takes what `inspect`
/// shows), score, and where a sensor is at fault the reason (missing, out of range, stuck) and the column at
/// fault. A cell that lacks a value, or is infinite, is a sensor that gives none. How often an alarm is false
/// is promised for rows that do not depend on one another.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Model file.
    model: PathBuf,
    /// CSV file of rows in the order of time; `-` for standard input.
    rows: PathBuf,
    /// CSV file to write; standard output without it, or for `-`.
    #[arg(short, long, value_name = "CSV")]
    output: Option<PathBuf>,
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<()> {
    let inputs: [&Path; 2] = [&arguments.model, &arguments.rows];
    output::Table::check(arguments.output.as_deref(), &inputs)?;
    let path = arguments.model.display().to_string();
    let file = device::read(&arguments.model)?;
    let mut device = device::open(&file, &path)?;
    let mut detector = device::detector(&file, &path)?;
    let mut table = Table::open(&arguments.rows)?;
    let columns = device::columns(&*device, &table)?;
    let (offsets, features) = (device.offsets(), device.feature_names().len());
    let header = ["state", "evidence", "score", "reason", "column"];
    let mut output = output::Table::create(arguments.output.as_deref(), &header)?;
    let (mut last, mut alarms, mut first) = (State::Normal, 0, None);
    while table.advance()? {
        let row = device::row(table.sensor_values(&columns)?, &offsets);
        let mut score = None;
        let state = detector.step(&row[..features], || {
            // The device crate alone refuses a row here.
            let own = device.score(&row).map_err(|error| match error {
                Error::Device(source) => source,
                _ => flowlet::Error::ScoreNotFinite,
            })?;
            score = Some(own);
            Ok(own)
        })?;
        if state == State::Alarm && last != State::Alarm {
            alarms += 1;
            first = first.or(Some(table.line()));
        }
        // An alarm goes on behind a sensor's fault.
        last = detector.state();
        let (name, reason, column) = describe(state);
        output.row([
            name.into(),
            detector.evidence().to_string(),
            score.map_or(String::new(), |score| score.to_string()),
            reason.into(),
            column.map_or(String::new(), |column| table.names()[columns[column]].clone()),
        ])?;
    }
    table.check_rows()?;
    let path = message::path(table.path());
    match first {
        None => log::info!("{}: {} rows, no alarm", excerpt(&path), table.rows()),
        Some(line) => {
            let (rows, path) = (table.rows(), excerpt(&path));
            let s = if alarms == 1 { "" } else { "s" };
            log::info!("{path}: {rows} rows, {alarms} alarm{s}, the first one from line {line} on");
        }
    }
    output.finish()
}

/// A state's name, and of a sensor's fault the reason and the column.
fn describe(state: State) -> (&'static str, &'static str, Option<usize>) {
    match state {
        State::Normal => ("normal", "", None),
        State::Suspect => ("suspect", "", None),
        State::Alarm => ("alarm", "", None),
        State::Sensor(SensorFault::Missing { column }) => ("sensor", "missing", Some(column)),
        State::Sensor(SensorFault::OutOfRange { column }) => {
            ("sensor", "out of range", Some(column))
        }
        State::Sensor(SensorFault::Stuck { column }) => ("sensor", "stuck", Some(column)),
    }
}
