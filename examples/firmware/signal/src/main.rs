//! From the samples of a raw signal to scores, for comparison with the host, on any Cortex-M.
//!
//! The model of `FLOWLET_MODEL` lies in flash, with the recipe of its rows. Samples come from
//! `samples.f32` in the emulator's working directory: the channels, then the context, little-endian
//! f32 a sample. For each row that is due, `results.f32` gets the row and its score. `cargo xtask test
//! signal` traces the functions `measured_*` and counts their cycles.
#![no_std]
#![no_main]

use core::hint::black_box;

use cortex_m as _;
use cortex_m_rt::entry;
use flowlet::{Error, include_model};
use semihosting::fs::File;
use semihosting::io::{Read, Write};
use semihosting::{println, process};

include!(concat!(env!("OUT_DIR"), "/detector.rs"));

/// One more sample, and every hop a row.
#[inline(never)]
fn measured_push(
    window: &mut SignalWindow,
    sample: &[f32; CHANNELS],
) -> Result<Option<[f32; FEATURES]>, Error> {
    window.push(sample)
}

#[entry]
fn main() -> ! {
    match run() {
        Ok(gaps) => {
            println!("gaps {gaps}, bytes of the window {}", size_of::<SignalWindow>());
            process::exit(0)
        }
        Err(why) => {
            println!("{why}");
            process::exit(1)
        }
    }
}

fn run() -> Result<u32, &'static str> {
    let flow = Detector::from_bytes(include_model!(env!("FLOWLET_MODEL")))
        .map_err(|_| "the model file is refused")?;
    let recipe = flow.recipe().map_err(|_| "the model file has no recipe of a signal")?;
    let mut window = SignalWindow::new(recipe).map_err(|_| "the window does not fit")?;
    let mut samples = File::open(c"samples.f32").map_err(|_| "samples.f32 is missing")?;
    let mut results = File::create(c"results.f32").map_err(|_| "results.f32 cannot be made")?;
    let (mut sample, mut context) = ([[0; 4]; CHANNELS], [[0; 4]; CONTEXT]);
    while samples.read_exact(sample.as_flattened_mut()).is_ok()
        && samples.read_exact(context.as_flattened_mut()).is_ok()
    {
        let (sample, context) = (sample.map(f32::from_le_bytes), context.map(f32::from_le_bytes));
        window.set_context(&context).map_err(|_| "a context is no number")?;
        // A sample that is none is a gap, which the window counts.
        if let Ok(Some(row)) = measured_push(&mut window, black_box(&sample)) {
            let score = flow.given(window.context()).score(&row).map_err(|_| "a row is refused")?;
            for value in row.iter().chain([&score]) {
                results.write_all(&value.to_le_bytes()).map_err(|_| "results.f32 is full")?;
            }
        }
    }
    Ok(window.gaps())
}
