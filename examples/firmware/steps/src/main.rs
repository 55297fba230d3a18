//! Scores rows with whichever model file lies beside it: what the cost model is fitted to, without a
//! build for each model.
//!
//! `model.flow` and `rows.f32` come from the emulator's working directory; every part of flowlet is
//! built in. `cargo xtask bench --cost` traces the functions `measured_*`.
#![no_std]
#![no_main]

use core::hint::black_box;

use cortex_m::singleton;
use cortex_m_rt::entry;
use flowlet::{Error, Flow, Latent, LatentModel, Libm, Model};
use semihosting::fs::File;
use semihosting::io::Read;
use semihosting::println;

/// Longest model file.
const LONGEST: usize = 256 << 10;

/// A place for a model file, on a word's boundary.
#[repr(C, align(4))]
struct Place([u8; LONGEST]);

#[inline(never)]
fn measured_score<const D: usize, const H: usize, const C: usize>(
    flow: &Flow<'static, D, H, Libm, C>,
    x: &[f32; D],
    context: &[f32; C],
) -> Result<f32, Error> {
    flow.given(context).score(x)
}

#[inline(never)]
fn measured_log_density<const D: usize, const H: usize, const C: usize>(
    flow: &Flow<'static, D, H, Libm, C>,
    x: &[f32; D],
    context: &[f32; C],
) -> Result<f32, Error> {
    flow.given(context).log_density(x)
}

/// Of a latent model; another name, so that both are no one function.
#[inline(never)]
fn measured_latent_score<const D: usize, const L: usize, const H: usize>(
    latent: &Latent<'static, D, L, H>,
    x: &[f32; D],
) -> Result<f32, Error> {
    latent.score(x)
}

fn flow<const D: usize, const H: usize, const C: usize>(bytes: &'static [u8]) -> Option<()> {
    let flow = Flow::<D, H, Libm, C>::from_bytes(bytes).ok()?;
    let mut rows = File::open(c"rows.f32").ok()?;
    let (mut row, mut given) = ([[0; 4]; D], [[0; 4]; C]);
    while rows.read_exact(row.as_flattened_mut()).is_ok()
        && rows.read_exact(given.as_flattened_mut()).is_ok()
    {
        let (x, context) = (row.map(f32::from_le_bytes), given.map(f32::from_le_bytes));
        black_box(measured_score(&flow, black_box(&x), black_box(&context)).ok()?);
        black_box(measured_log_density(&flow, black_box(&x), black_box(&context)).ok()?);
    }
    Some(())
}

fn latent<const D: usize, const L: usize, const H: usize>(bytes: &'static [u8]) -> Option<()> {
    let latent = Latent::<D, L, H>::from_bytes(bytes).ok()?;
    let mut rows = File::open(c"rows.f32").ok()?;
    let mut row = [[0; 4]; D];
    while rows.read_exact(row.as_flattened_mut()).is_ok() {
        let x = row.map(f32::from_le_bytes);
        black_box(measured_latent_score(&latent, black_box(&x)).ok()?);
    }
    Some(())
}

/// Calls the function made for the first shape that equals `$shape`.
macro_rules! dispatch {
    ($function:ident, $shape:expr, $bytes:expr, $([$($size:literal),*],)*) => {
        match $shape {
            $([$($size),*] => $function::<$($size),*>($bytes),)*
            _ => None,
        }
    };
}

/// Features, width and context, as the models of `xtask/src/models/varied.rs` have them.
fn run(bytes: &'static [u8]) -> Option<()> {
    if let Ok(model) = Model::<Libm>::from_bytes(bytes) {
        let shape = [model.features(), model.width(), model.context()];
        return dispatch!(
            flow,
            shape,
            bytes,
            [6, 16, 0],
            [13, 32, 0],
            [20, 32, 0],
            [8, 64, 0],
            [33, 40, 0],
            [4, 0, 0],
            [13, 0, 0],
            [21, 0, 0],
            [5, 0, 0],
            [14, 0, 0],
            [6, 24, 1],
            [12, 24, 3],
            [6, 24, 0],
            [12, 24, 0],
            [16, 64, 0],
            [7, 32, 0],
        );
    }
    let model = LatentModel::<Libm>::from_bytes(bytes).ok()?;
    let shape = [model.features(), model.latents(), model.width()];
    dispatch!(latent, shape, bytes, [8, 4, 32], [14, 6, 32], [20, 3, 24], [9, 3, 32],)
}

/// Reads the model file; none where it is missing or does not fit.
fn read(place: &'static mut Place) -> Option<&'static [u8]> {
    let mut file = File::open(c"model.flow").ok()?;
    let mut length = 0;
    while let Some(rest) = place.0.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read(rest).ok()? {
            0 => return place.0.get(..length),
            read => length += read,
        }
    }
    None
}

#[entry]
fn main() -> ! {
    let place = singleton!(: Place = Place([0; LONGEST]));
    match place.and_then(|place| run(read(place)?)) {
        Some(()) => semihosting::process::exit(0),
        None => {
            println!("the model or a row is refused, or there is no function for its shape");
            semihosting::process::exit(1)
        }
    }
}
