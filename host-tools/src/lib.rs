//! The host side of flowlet: from rows to a model file, and back to numbers.
//!
//! In the order of the pipeline: [`dataset`] reads CSV, [`preprocess`] standardises it, [`fit`]
//! trains a [`family`] by maximum likelihood, [`calibrate`] finds the threshold, [`export`]
//! writes the file; [`device`] runs a file with the device's own code for [`evaluate`],
//! [`score`], [`sample`] and [`inspect`]. [`train`] is the verb that ties the first five
//! together.

pub mod calibrate;
pub mod dataset;
pub mod device;
pub mod error;
pub mod evaluate;
pub mod export;
pub mod family;
pub mod fit;
pub mod inspect;
pub mod output;
pub mod preprocess;
pub mod sample;
pub mod score;
pub mod train;
