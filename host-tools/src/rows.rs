//! All that is known of rows before training: [`dataset`] reads them, [`split`] divides them,
//! [`standardise`] brings them to one scale.

pub mod dataset;
pub mod split;
pub mod standardise;
