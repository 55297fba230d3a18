//! Takes every row of a file through a model in both directions, for comparison with the host.
//!
//! The model of `FLOWLET_MODEL` lies in flash. Rows come from `rows.f32` in the emulator's
//! working directory, D and then C little-endian f32 a row. For each, `results.f32` gets its
//! log-density, its score, its p-value and a sample, and, where the model is one flow, the row as x
//! taken to z with its log-determinant, and as z taken to x with its own. Every so-manieth row, as
//! `attributed.u32` says, also gets what each feature adds to its score. Of a latent model it gets the
//! answers to every question instead.
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
    let mut every = [0; 4];
    File::open(c"attributed.u32").ok()?.read_exact(&mut every).ok()?;
    let every = u32::from_le_bytes(every).max(1);
    let mut number = 0;
    let mut random = ChaCha8Rng::seed_from_u64(0);
    let (mut row, mut given) = ([[0; 4]; FEATURES], [[0; 4]; CONTEXT]);
    while rows.read_exact(row.as_flattened_mut()).is_ok()
        && rows.read_exact(given.as_flattened_mut()).is_ok()
    {
        let (row, context) = (row.map(f32::from_le_bytes), given.map(f32::from_le_bytes));
        answer(flow, &row, &context, &mut random, &mut results)?;
        if number % every == 0 {
            attribute(flow, &row, &context, &mut results)?;
        }
        number += 1;
    }
    Some(())
}

/// All that a flow says of a row.
#[cfg(not(latent))]
fn answer(
    flow: &Detector,
    row: &[f32; FEATURES],
    context: &[f32; CONTEXT],
    random: &mut ChaCha8Rng,
    results: &mut File,
) -> Option<()> {
    let given = flow.given(context);
    let score = given.score(row).ok()?;
    write(results, &[given.log_density(row).ok()?, score, flow.p_value(score).ok()?])?;
    write(results, &given.sample(random, 1.0).ok()?)?;
    if flow.model().log_shares().is_empty() {
        for (mapped, log_det_jacobian) in [given.inverse(row).ok()?, given.forward(row).ok()?] {
            write(results, &mapped)?;
            write(results, &[log_det_jacobian])?;
        }
    }
    Some(())
}

/// What each feature adds to a row's score.
#[cfg(not(latent))]
fn attribute(
    flow: &Detector,
    row: &[f32; FEATURES],
    context: &[f32; CONTEXT],
    results: &mut File,
) -> Option<()> {
    write(results, &flow.given(context).attribute(row).ok()?)
}

/// A latent model has residuals instead.
#[cfg(latent)]
fn attribute(_: &Detector, _: &[f32; FEATURES], _: &[f32; CONTEXT], _: &mut File) -> Option<()> {
    Some(())
}

/// All that a latent model says of a row.
#[cfg(latent)]
fn answer(
    latent: &Detector,
    row: &[f32; FEATURES],
    context: &[f32; CONTEXT],
    random: &mut ChaCha8Rng,
    results: &mut File,
) -> Option<()> {
    let given = latent.given(context);
    let score = given.score(row).ok()?;
    let terms = given.terms(row).ok()?;
    write(results, &[score, latent.p_value(score).ok()?])?;
    write(results, &[terms.reconstruction, terms.prior, terms.posterior])?;
    let code = given.encode(row).ok()?;
    write(results, &code)?;
    write(results, &given.decode(&code).ok()?)?;
    write(results, &given.deviations(&code).ok()?)?;
    write(results, &given.residuals(row).ok()?)?;
    write(results, &given.attribute(row).ok()?)?;
    write(results, &[given.bound(row).ok()?, given.log_weight(row, &code).ok()?])?;
    if MODES > 0 {
        let (mode, shares) = given.mode::<MODES>(row).ok()?;
        write(results, &[mode as f32])?;
        write(results, &shares)?;
    }
    write(results, &given.sample(random, 1.0).ok()?)
}

fn write(results: &mut File, values: &[f32]) -> Option<()> {
    values.iter().try_for_each(|value| results.write_all(&value.to_le_bytes()).ok())
}
