//! Watches the fan that is only computed, on an emulated core, and prints what the monitor says: line
//! by line what `cargo run --example trial` in `application` prints on a host.
#![no_std]
#![no_main]

use cortex_m as _;
use cortex_m_rt::entry;
use semihosting::{println, process};

#[entry]
fn main() -> ! {
    match application::trial(|report| println!("{report:?}")) {
        Ok(()) => process::exit(0),
        Err(error) => println!("{error}"),
    }
    process::exit(1)
}
