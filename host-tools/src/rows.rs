//! All that is known of rows before training.
//!
//! `lines`, `record` and [`cell`] take a CSV file apart, [`fault`] says what is wrong with it, and
//! [`table`] gives its rows one by one, [`dataset`] all of them. [`missing`] is what becomes of rows
//! that lack a value, [`roles`] what the columns are for, [`label`] what tells anomalies. [`precision`] says what f32 keeps of a
//! column, [`damage`] which rows are wild, [`copies`] which stand there more than once, [`order`]
//! whether they follow each other; [`split`] divides them by that; [`standardise`] brings the columns
//! to one scale, [`steps`] and [`period`]s have their own. [`prepare`] does all of it, and says what
//! is odd.

pub mod cell;
pub mod copies;
pub mod damage;
pub mod dataset;
pub mod fault;
pub mod label;
mod lines;
pub mod missing;
pub mod order;
pub mod period;
pub mod precision;
pub mod prepare;
mod record;
pub mod roles;
pub mod runs;
pub mod split;
pub mod standardise;
pub mod steps;
pub mod table;
