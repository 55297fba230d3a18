//! What a model costs on a Cortex-M4: `cargo xtask bench` traces the functions `measured_*` and
//! counts their instructions and cycles, and this firmware paints its stack to find their peak.
//!
//! Rows come from `rows.f32` in the emulator's working directory.
#![no_std]
#![no_main]

use core::convert::Infallible;
use core::hint::black_box;

use cortex_m_rt::entry;
use flowlet::{Error, include_model};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{SeedableRng, TryRng};
use semihosting::fs::File;
use semihosting::io::Read;
use semihosting::println;

include!(concat!(env!("OUT_DIR"), "/detector.rs"));

/// ChaCha8, kept out of the functions that draw from it, so that its code is not counted there.
struct Generator(ChaCha8Rng);

impl TryRng for Generator {
    type Error = Infallible;

    #[inline(never)]
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.0.try_next_u32()
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0.try_next_u64()
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.try_fill_bytes(bytes)
    }
}

type X = [f32; FEATURES];
type Context = [f32; CONTEXT];

#[inline(never)]
fn measured_from_bytes(bytes: &[u8]) -> Result<Detector<'_>, Error> {
    Detector::from_bytes(bytes)
}

#[cfg(not(latent))]
#[inline(never)]
fn measured_log_density(flow: &Detector, x: &X, context: &Context) -> Result<f32, Error> {
    flow.given(context).log_density(x)
}

/// Of a latent model, which has no log-density.
#[cfg(latent)]
#[inline(never)]
fn measured_encode(latent: &Detector, x: &X, context: &Context) -> Result<[f32; LATENTS], Error> {
    latent.given(context).encode(x)
}

#[inline(never)]
fn measured_score(flow: &Detector, x: &X, context: &Context) -> Result<f32, Error> {
    flow.given(context).score(x)
}

#[inline(never)]
fn measured_sample(flow: &Detector, random: &mut Generator, context: &Context) -> Result<X, Error> {
    flow.given(context).sample(random, 1.0)
}

#[entry]
fn main() -> ! {
    let bytes = include_model!(env!("FLOWLET_MODEL"));
    let Ok(flow) = measured_from_bytes(bytes) else { fail("the model file is refused") };
    let Ok(mut rows) = File::open(c"rows.f32") else { fail("rows.f32 is missing") };
    let mut random = Generator(ChaCha8Rng::seed_from_u64(0));
    let (mut row, mut given) = ([[0; 4]; FEATURES], [[0; 4]; CONTEXT]);
    let (mut x, mut context) = ([0.0; FEATURES], [0.0; CONTEXT]);
    while rows.read_exact(row.as_flattened_mut()).is_ok()
        && rows.read_exact(given.as_flattened_mut()).is_ok()
    {
        (x, context) = (row.map(f32::from_le_bytes), given.map(f32::from_le_bytes));
        if measured_score(&flow, black_box(&x), black_box(&context)).is_err() {
            fail("a row is refused");
        }
        #[cfg(not(latent))]
        touch(measured_log_density(&flow, black_box(&x), black_box(&context)));
        #[cfg(latent)]
        touch(measured_encode(&flow, black_box(&x), black_box(&context)));
        touch(measured_sample(&flow, &mut random, &context));
    }

    let peak = stack::peak(|| touch(measured_from_bytes(black_box(bytes))));
    println!("stack from_bytes {peak}");
    #[cfg(not(latent))]
    let peak = stack::peak(|| touch(measured_log_density(&flow, black_box(&x), &context)));
    #[cfg(not(latent))]
    println!("stack log_density {peak}");
    #[cfg(latent)]
    let peak = stack::peak(|| touch(measured_encode(&flow, black_box(&x), &context)));
    #[cfg(latent)]
    println!("stack encode {peak}");
    let peak = stack::peak(|| touch(measured_score(&flow, black_box(&x), &context)));
    println!("stack score {peak}");
    let peak = stack::peak(|| touch(measured_sample(&flow, &mut random, &context)));
    println!("stack sample {peak}");
    semihosting::process::exit(0)
}

fn fail(why: &str) -> ! {
    println!("{why}");
    semihosting::process::exit(1)
}

fn touch<T>(value: T) {
    black_box(value);
}
