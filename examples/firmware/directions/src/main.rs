//! Takes every row of a file through a model in both directions, for comparison with the host.
//!
//! The model of `FLOWLET_MODEL` lies in flash. Rows come from `rows.f32` in the emulator's
//! working directory, D and then C little-endian f32 a row. For each, `results.f32` gets its
//! log-density, its score, its p-value and a sample, and, where the model is one flow, the row as x
//! taken to z with its log-determinant, and as z taken to x with its own.
#![no_std]
#![no_main]

use cortex_m as _;
use cortex_m_rt::entry;
use flowlet::include_model;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use semihosting::fs::File;
use semihosting::io::{Read, Write};
use semihosting::{println, process};

include!(concat!(env!("OUT_DIR"), "/detector.rs"));

#[entry]
fn main() -> ! {
    let model = include_model!(env!("FLOWLET_MODEL"));
    match Detector::from_bytes(model) {
        Err(_) => println!("the model file is refused"),
        Ok(flow) => match run(&flow) {
            Some(()) => process::exit(0),
            None => println!("a row is refused, or a file cannot be used"),
        },
    }
    process::exit(1)
}

fn run(flow: &Detector) -> Option<()> {
    let mut rows = File::open(c"rows.f32").ok()?;
    let mut results = File::create(c"results.f32").ok()?;
    let mut random = ChaCha8Rng::seed_from_u64(0);
    let is_one_flow = flow.model().log_shares().is_empty();
    let (mut row, mut given) = ([[0; 4]; FEATURES], [[0; 4]; CONTEXT]);
    while rows.read_exact(row.as_flattened_mut()).is_ok()
        && rows.read_exact(given.as_flattened_mut()).is_ok()
    {
        let (row, context) = (row.map(f32::from_le_bytes), given.map(f32::from_le_bytes));
        let given = flow.given(&context);
        let score = given.score(&row).ok()?;
        let judged = [given.log_density(&row).ok()?, score, flow.p_value(score).ok()?];
        write(&mut results, &judged)?;
        write(&mut results, &given.sample(&mut random, 1.0).ok()?)?;
        if is_one_flow {
            for (mapped, log_det_jacobian) in [given.inverse(&row).ok()?, given.forward(&row).ok()?]
            {
                write(&mut results, &mapped)?;
                write(&mut results, &[log_det_jacobian])?;
            }
        }
    }
    Some(())
}

fn write(results: &mut File, values: &[f32]) -> Option<()> {
    values.iter().try_for_each(|value| results.write_all(&value.to_le_bytes()).ok())
}
