//! Scores every row of a file on a Cortex-M4.
//!
//! The model of `FLOWLET_MODEL` lies in flash. Rows come from `rows.f32` in the emulator's
//! working directory, D little-endian f32 a row; `scores.f32` gets one f32 a row. On a board,
//! `read_row` would read the sensors instead.
#![no_std]
#![no_main]

use cortex_m as _;
use cortex_m_rt::entry;
use defmt_semihosting as _;
use flowlet::include_model;
use semihosting::fs::File;
use semihosting::io::{self, Read, Write};
use semihosting::process;

include!(concat!(env!("OUT_DIR"), "/detector.rs"));

/// Why the firmware stopped.
enum Failure {
    Flow(flowlet::Error),
    File,
}

impl From<flowlet::Error> for Failure {
    fn from(error: flowlet::Error) -> Self {
        Self::Flow(error)
    }
}

impl From<io::Error> for Failure {
    fn from(_: io::Error) -> Self {
        Self::File
    }
}

#[entry]
fn main() -> ! {
    match run() {
        Ok((rows, anomalies)) => {
            defmt::info!("{} rows scored, {} of them anomalies", rows, anomalies);
            process::exit(0)
        }
        Err(Failure::Flow(error)) => defmt::error!("{}", error),
        Err(Failure::File) => defmt::error!("cannot read rows.f32 or write scores.f32"),
    }
    process::exit(1)
}

fn run() -> Result<(u32, u32), Failure> {
    let flow = Detector::from_bytes(include_model!(env!("FLOWLET_MODEL")))?;
    let vectors = flow.self_test()?;
    defmt::info!("model of {} features, {} self-test vectors pass", FEATURES, vectors);
    let threshold = flow.threshold().map_or(f32::INFINITY, |threshold| threshold.score);

    let mut rows = File::open(c"rows.f32")?;
    let mut scores = File::create(c"scores.f32")?;
    let (mut count, mut anomalies) = (0, 0);
    while let Some((x, context)) = read_row(&mut rows)? {
        let score = flow.given(&context).score(&x)?;
        scores.write_all(&score.to_le_bytes())?;
        count += 1;
        anomalies += u32::from(score > threshold);
    }
    Ok((count, anomalies))
}

/// A row, and what its density is conditioned on: nothing for most models.
type Row = ([f32; FEATURES], [f32; CONTEXT]);

/// The next row, or none at the end of the file.
fn read_row(rows: &mut File) -> Result<Option<Row>, io::Error> {
    let (mut x, mut context) = ([[0; 4]; FEATURES], [[0; 4]; CONTEXT]);
    let read = rows.read_exact(x.as_flattened_mut());
    match read.and_then(|()| rows.read_exact(context.as_flattened_mut())) {
        Ok(()) => Ok(Some((x.map(f32::from_le_bytes), context.map(f32::from_le_bytes)))),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}
