//! The host side of flowlet: from rows to a model file, and back to numbers.
//!
//! In the order of the pipeline: [`dataset`] reads CSV, [`split`] divides the rows,
//! [`preprocess`] standardises them, a [`transform`] ([`marginal`]s, whitening) may follow, [`fit`]
//! trains a [`family`] by maximum likelihood ([`mixture`]s by expectation maximisation),
//! [`selection`] takes the best of several, [`calibrate`] finds the threshold, [`export`] writes
//! the file; [`device`] runs a file with the device's own code for [`evaluate`], [`score`],
//! [`sample`] and [`inspect`]. [`train`] is the verb that ties the others together.

pub mod calibrate;
pub mod dataset;
pub mod device;
pub mod ensemble;
pub mod error;
pub mod evaluate;
pub mod export;
pub mod family;
pub mod fit;
pub mod inspect;
pub mod marginal;
pub mod mixture;
pub mod output;
pub mod preprocess;
pub mod progress;
pub mod sample;
pub mod score;
pub mod selection;
pub mod split;
pub mod train;
pub mod transform;
