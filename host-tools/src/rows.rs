//! All that is known of rows before training.
//!
//! `lines`, `record` and [`cell`] take a CSV file apart, [`fault`] says what is wrong with it, and
//! [`table`] gives its rows one by one, [`dataset`] all of them. [`missing`] is what becomes of rows
//! that lack a value, [`roles`] what the columns are for. [`split`] divides the rows,
//! [`standardise`] brings them to one scale.

pub mod cell;
pub mod dataset;
pub mod fault;
mod lines;
pub mod missing;
mod record;
pub mod roles;
pub mod split;
pub mod standardise;
pub mod table;
