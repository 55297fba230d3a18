//! What the boards share: from a sample of an accelerometer to an alarm.
//!
//! A board brings its pins, its I2C bus and its random numbers; all else is here. Without Cargo
//! features this crate knows no peripheral, no task and no clock, and runs on a host and in an
//! emulator as it does on a board: [`Monitor`] takes samples and gives reports, [`Lamp`] says when
//! the board's lamp is lit, [`Fan`] is a machine that is only computed.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "board")]
pub mod accelerometer;
#[cfg(feature = "board")]
pub mod board;
mod fan;
mod generator;
mod lamp;
mod monitor;
mod trial;

pub use fan::Fan;
pub use generator::generator;
pub use lamp::Lamp;
pub use monitor::{Blame, FEATURES, IS_SIMULATED, Monitor, Report};
pub use trial::trial;

/// Samples a second of the accelerometer, as its data sheet says; a sensor's own clock is a few per
/// cent off.
pub const RATE: u32 = 400;

/// Axes of the accelerometer.
pub const CHANNELS: usize = 3;

/// Their names, in a recording and in the model.
pub const NAMES: [&str; CHANNELS] = ["x", "y", "z"];

/// The acceleration along each axis, in thousandths of g.
pub type Sample = [i16; CHANNELS];
