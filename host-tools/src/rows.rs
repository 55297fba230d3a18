//! All that is known of rows before training.
//!
//! [`dataset`] reads them; [`precision`] says what f32 keeps of a column, [`damage`] which rows are
//! wild, [`copies`] which stand there more than once, [`order`] whether they follow each other;
//! [`split`] divides them by that; [`standardise`] brings the columns to one scale, [`steps`] and
//! [`period`]s have their own. [`prepare`] does all of it, and says what is odd.

pub mod copies;
pub mod damage;
pub mod dataset;
pub mod order;
pub mod period;
pub mod precision;
pub mod prepare;
pub mod split;
pub mod standardise;
pub mod steps;
