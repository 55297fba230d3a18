//! Watches the rows of a file, commissions on the first ones, and goes on with what it has seen there.
//!
//! The model of `FLOWLET_MODEL` lies in flash. Rows come from `rows.f32` in the emulator's working directory, D
//! and then C little-endian f32 a row. For each, `states.f32` gets a number for the state (of a sensor's fault
//! with its column), the evidence, the offset and the charge. When there are enough scores of rows that are normal, they
//! replace the calibration of the file, of which the thresholds are written, and a new detector goes on.
#![no_std]
#![no_main]

use cortex_m as _;
use cortex_m_rt::entry;
use flowlet::detector::{Commissioning, State};
use flowlet::include_model;
use semihosting::fs::File;
use semihosting::io::{Read, Write};
use semihosting::{println, process};

include!(concat!(env!("OUT_DIR"), "/detector.rs"));

/// Scores of a commissioning.
const SCORES: usize = 150;

#[entry]
fn main() -> ! {
    match run() {
        Some(()) => process::exit(0),
        None => println!("the model or a row is refused, or a file cannot be used"),
    }
    process::exit(1)
}

fn run() -> Option<()> {
    let model = Detector::from_bytes(include_model!(env!("FLOWLET_MODEL"))).ok()?;
    let mut rows = File::open(c"rows.f32").ok()?;
    let mut states = File::create(c"states.f32").ok()?;
    let mut commissioning = Commissioning::<SCORES>::new();
    watch(&model, &mut rows, &mut states, |score| {
        commissioning.add(score).ok()?;
        Some(!commissioning.is_full())
    })?;
    let calibration = commissioning.calibration(&model.calibration()?).ok()?;
    for threshold in calibration.thresholds() {
        write(&mut states, &[threshold.score])?;
    }
    watch(&model.with_calibration(calibration), &mut rows, &mut states, |_| Some(true))
}

/// Watches rows until `goes_on` says of the score of a normal one that it is enough, or there are none.
fn watch(
    model: &Detector,
    rows: &mut File,
    states: &mut File,
    mut goes_on: impl FnMut(f32) -> Option<bool>,
) -> Option<()> {
    let mut detector = model.detector().ok()?;
    let (mut row, mut given) = ([[0; 4]; FEATURES], [[0; 4]; CONTEXT]);
    while rows.read_exact(row.as_flattened_mut()).is_ok()
        && rows.read_exact(given.as_flattened_mut()).is_ok()
    {
        let (row, context) = (row.map(f32::from_le_bytes), given.map(f32::from_le_bytes));
        let mut score = 0.0;
        let state = detector.step(&row, || {
            score = model.given(&context).score(&row)?;
            Ok(score)
        });
        let state = state.ok()?;
        write(
            states,
            &[state.code() as f32, detector.evidence(), detector.offset(), detector.charge()],
        )?;
        if state == State::Normal && !goes_on(score)? {
            break;
        }
        // As after a restart: the rest of the rows is watched by the one that was saved.
        let saved = detector.save();
        detector.restore(&saved).ok()?;
    }
    Some(())
}

fn write(states: &mut File, values: &[f32]) -> Option<()> {
    for value in values {
        states.write_all(&value.to_le_bytes()).ok()?;
    }
    Some(())
}
