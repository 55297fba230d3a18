//! From the samples of a raw signal to alarms: a field trial without a field.
//!
//! The model of `FLOWLET_MODEL` lies in flash. Samples come from `samples.f32` in the emulator's working
//! directory: the channels, then the context, little-endian f32 a sample; a sample of NaN stands for
//! missing ones. For each row that is due `results.f32` gets the row, its score, a number for the state
//! and the evidence. `cargo xtask demo --signal` traces the functions `measured_*` and counts their
//! cycles; the peak of the stack is printed.
#![no_std]
#![no_main]

use core::hint::black_box;

use cortex_m as _;
use cortex_m_rt::entry;
use flowlet::detector::State;
use flowlet::{Error, include_model};
use semihosting::fs::File;
use semihosting::io::{Read, Write};
use semihosting::{println, process};

include!(concat!(env!("OUT_DIR"), "/detector.rs"));

type Watch = flowlet::detector::Detector<'static, FEATURES>;

/// One more sample, and every hop a row.
#[inline(never)]
fn measured_sample(
    window: &mut SignalWindow,
    sample: &[f32; CHANNELS],
) -> Result<Option<[f32; FEATURES]>, Error> {
    window.push(sample)
}

/// The score of a row, 0 where a sensor is at fault, and what the detector says.
#[inline(never)]
fn measured_row(
    flow: &Detector,
    detector: &mut Watch,
    row: &[f32; FEATURES],
    context: &[f32; CONTEXT],
) -> Result<(f32, State), Error> {
    let mut score = 0.0;
    let state = detector.step(row, || {
        score = flow.given(context).score(row)?;
        Ok(score)
    })?;
    Ok((score, state))
}

#[entry]
fn main() -> ! {
    let mut result = Err("");
    let stack = stack::peak(|| result = run());
    match result {
        Ok(gaps) => {
            let (window, detector) = (size_of::<SignalWindow>(), size_of::<Watch>());
            println!("gaps {gaps}\nstack {stack}\nwindow {window}\ndetector {detector}");
            process::exit(0)
        }
        Err(why) => println!("{why}"),
    }
    process::exit(1)
}

#[inline(never)]
fn run() -> Result<u32, &'static str> {
    let flow = Detector::from_bytes(include_model!(env!("FLOWLET_MODEL")))
        .map_err(|_| "the model file is refused")?;
    let recipe = flow.recipe().map_err(|_| "the model file has no recipe of a signal")?;
    let mut window = SignalWindow::new(recipe).map_err(|_| "the window does not fit")?;
    let mut detector = flow.detector().map_err(|_| "the model file says nothing of alarms")?;
    let mut samples = File::open(c"samples.f32").map_err(|_| "samples.f32 is missing")?;
    let mut results = File::create(c"results.f32").map_err(|_| "results.f32 cannot be made")?;
    let (mut sample, mut context) = ([[0; 4]; CHANNELS], [[0; 4]; CONTEXT]);
    while samples.read_exact(sample.as_flattened_mut()).is_ok()
        && samples.read_exact(context.as_flattened_mut()).is_ok()
    {
        let (sample, context) = (sample.map(f32::from_le_bytes), context.map(f32::from_le_bytes));
        window.set_context(&context).map_err(|_| "a context is no number")?;
        // A sample that is none is a gap, which the window counts.
        let Ok(Some(row)) = measured_sample(&mut window, black_box(&sample)) else { continue };
        let context = *window.context();
        let (score, state) = measured_row(&flow, &mut detector, black_box(&row), &context)
            .map_err(|_| "a row is refused")?;
        for value in row.iter().chain(&[score, state.code() as f32, detector.evidence()]) {
            results.write_all(&value.to_le_bytes()).map_err(|_| "results.f32 is full")?;
        }
    }
    Ok(window.gaps())
}
