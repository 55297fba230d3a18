//! Links only where no panic can be reached from any function of the crate.
//!
//! The panic handler calls a function that does not exist. It is dropped, and the call with it,
//! only if nothing panics.
#![no_std]
#![no_main]

use core::hint::black_box;
use core::panic::PanicInfo;

use cortex_m_rt::entry;
use flowlet::{Error, Flow, Libm, Math};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

#[panic_handler]
fn panic(_: &PanicInfo) -> ! {
    unsafe extern "C" {
        fn a_panic_is_reachable() -> !;
    }
    // SAFETY: never linked.
    unsafe { a_panic_is_reachable() }
}

#[entry]
fn main() -> ! {
    let bytes: &[u8] = black_box(&[]);
    let _ = black_box(everything::<Libm>(bytes));
    #[cfg(feature = "micromath")]
    let _ = black_box(everything::<flowlet::Micromath>(bytes));
    #[cfg(feature = "planted")]
    black_box(bytes[black_box(1)]);
    loop {
        core::hint::spin_loop();
    }
}

/// Every function of the crate's interface, on a file and rows that the compiler cannot know.
fn everything<M: Math>(bytes: &'static [u8]) -> Result<f32, Error> {
    let x = black_box([0.5; 9]);
    let mut random = ChaCha8Rng::seed_from_u64(black_box(0));
    let flow = match black_box(true) {
        true => Flow::<9, 64, M>::from_bytes(bytes)?,
        false => Flow::<9, 64, M>::from_slot(bytes)?,
    };
    flow.expect_features(black_box(&["a"; 9]))?;
    black_box(flow.self_test()?);
    black_box(flow.is_anomaly(&x)?);
    black_box(flow.forward(&x)?);
    black_box(flow.inverse(&x)?);
    black_box(flow.sample(&mut random, black_box(1.0))?);
    let model = flow.model();
    black_box((flow.threshold(), model.multiply_adds(), model.parameters(), model.provenance()));
    model.feature_names().for_each(touch);
    model.layers().for_each(|layer| touch(layer.kind()));
    model.standardisations().for_each(touch);
    Ok(flow.score(&x)? + flow.log_density(&x)?)
}

fn touch<T>(value: T) {
    black_box(value);
}
