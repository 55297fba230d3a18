//! Normalizing flows on microcontrollers: log-densities, samples and anomaly scores of sensor
//! rows, in f32, without an allocator.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "write")]
extern crate alloc;

#[cfg(target_endian = "big")]
compile_error!("a model file is used where it lies, and its words are little-endian");

mod base;
pub mod bijection;
mod error;
pub mod file;
mod flow;
pub mod kernel;
mod math;
mod model;
mod network;
mod preprocess;
mod scalar;
#[cfg(feature = "write")]
pub mod write;

pub use error::Error;
pub use flow::Flow;
pub use kernel::Unit;
#[cfg(feature = "micromath")]
pub use math::Micromath;
pub use math::{LIMIT, Libm, Math};
pub use model::{MAX_FEATURES, Model, Scratch, Threshold};
pub use network::{MAX_HIDDEN, Network};
pub use preprocess::Standardisation;
