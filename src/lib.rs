//! Normalizing flows on microcontrollers: log-densities, samples and anomaly scores of sensor
//! rows, in f32, without an allocator.
//!
//! A normalizing flow maps a row x by a bijection to a base sample z of known density, so that
//! `log p(x) = log p(z) + log |det dz/dx|` ([Rezende and Mohamed
//! 2015](https://arxiv.org/abs/1505.05770)). This crate reads a trained one from a model file in
//! flash; the host tool of the same name trains it.
//!
//! ```
//! use flowlet::{Flow, include_model};
//!
//! let flow = Flow::<3, 16>::from_bytes(include_model!("../tests/golden/small.flow"))?;
//! flow.self_test()?; // the log-densities that the host computed, to the last bit
//! let score = flow.score(&[1.0, 20.5, 0.3])?; // higher is less normal
//! if flow.is_anomaly(&[1.0, 20.5, 0.3])? {
//!     println!("score {score}, p-value {}", flow.p_value(score)?);
//! }
//! assert_eq!(flow.score(&[1.0, f32::NAN, 0.3]), Err(flowlet::Error::NotFinite { feature: 1 }));
//! # Ok::<(), flowlet::Error>(())
//! ```
//!
//! # Contents
//!
//! - [`Flow`] is what a firmware holds: its sizes are in its type, its memory on the stack.
//!   [`Model`] is the same with sizes known at run time and memory from the caller, [`Member`] one
//!   flow of it, [`Given`] either with a context.
//! - [`Latent`] is a firmware's latent variable model, which encodes a row to a few values and decodes
//!   them; [`LatentModel`] the same with sizes known at run time.
//! - [`Score`] is what rows are judged by, [`Calibration`] what a score means: p-values, thresholds;
//!   [`attribution`] says which feature is to blame.
//! - `signal` (feature) makes the rows from a raw signal, sample by sample.
//! - `detector` (feature) turns scores into alarms, with a bound on how often one is false.
//! - [`mod@file`] is the model file's format and checks, [`Error`] every refusal.
//! - [`bijection`] has the layers, [`ScalarMap`] what they do to one value, [`Network`] and
//!   [`Masked`] their conditioners, [`kernel`] the inner loop, [`Base`] the density at the end.
//! - [`Standardisation`] is the first step from a raw row, [`Periodic`] says which features lie on a
//!   circle, [`Math`] is the arithmetic of exp, ln and sqrt.
//! - `write` (feature) makes model files; `tally` (same feature) counts what a call of one takes.
//!
//! # Rules
//!
//! forward maps z to x, inverse x to z; a log-density is in nats and the row's own units. Bad
//! input gives an error, and no call panics. Two cores with the same arithmetic give the same
//! bits.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "write")]
extern crate alloc;

#[cfg(target_endian = "big")]
compile_error!("a model file is used where it lies, and its words are little-endian");

pub mod attribution;
mod base;
pub mod bijection;
mod calibration;
mod columns;
#[cfg(feature = "detector")]
pub mod detector;
mod direction;
mod draw;
mod ensemble;
mod error;
pub mod file;
mod flow;
#[cfg(feature = "write")]
mod heap;
pub mod kernel;
#[cfg(feature = "latent")]
mod latent;
mod masked;
mod math;
mod member;
mod model;
mod network;
mod periodic;
mod preprocess;
mod record;
mod scalar;
mod score;
mod scratch;
#[cfg(feature = "signal")]
pub mod signal;
mod spline;
#[cfg(feature = "write")]
pub mod tally;
mod triangular;
#[cfg(feature = "write")]
pub mod write;

pub use base::{Base, MAX_COMPONENTS, Mixture};
pub use calibration::{Calibration, Tail, Threshold};
pub use error::Error;
pub use file::MAX_MEMBERS;
pub use flow::Flow;
#[cfg(all(feature = "write", feature = "latent"))]
pub use heap::LatentMemory;
#[cfg(feature = "write")]
pub use heap::Memory;
pub use kernel::Units;
#[cfg(feature = "latent")]
pub use latent::{Latent, LatentModel, LatentScratch, LatentTerms, Likelihood, MAX_SUMMARY};
pub use masked::{Degrees, Masked};
#[cfg(feature = "micromath")]
pub use math::Micromath;
pub use math::{LIMIT, Libm, Math};
pub use member::{MAX_CONTEXT, MAX_FEATURES, Member};
pub use model::{Given, Model};
pub use network::{MAX_HIDDEN, MAX_PARAMETER, MAX_WIDTH, Network};
pub use periodic::Periodic;
pub use preprocess::Standardisation;
pub use scalar::ScalarMap;
pub use score::{Balance, MAX_ENSEMBLE_SCORE, Score, Terms, Usual};
pub use scratch::Scratch;
