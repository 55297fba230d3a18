//! The host side of flowlet: from rows to a model file, and back to numbers.
//!
//! [`rows`] is all that is known of rows before training, [`training`] turns them into a model
//! file, [`latent`] into one of a latent model; [`signal`] makes the rows of a raw signal;
//! [`family`] holds the trainable twins of the device's layers. [`inference`] fits a flow to a density that is known but for its constant, in place of rows. [`device`] runs a file with
//! the device's own code: it is the only door to what is judged afterwards. [`cost`] tells without a
//! build what a model costs there. [`output`] is where
//! results leave. The verbs of the command line stand one a file: [`train`], [`evaluate`],
//! [`score`], [`detect`], [`commission`], [`features`], [`encode`], [`decode`], [`sample`],
//! [`report`], [`inspect`]; [`judged`] rows, what alarms [`blame`] and the
//! [`comparison`] with a baseline are what several of them share; [`names`] are their options that name columns. [`error`] is
//! every refusal, [`message`] how the user's own texts are shown in one.

#![forbid(unsafe_code)]

pub mod blame;
pub mod commission;
pub mod comparison;
pub mod cost;
pub mod decode;
pub mod detect;
pub mod device;
pub mod encode;
pub mod error;
pub mod evaluate;
pub mod family;
pub mod features;
pub mod inference;
pub mod inspect;
pub mod judged;
pub mod latent;
pub mod message;
pub mod names;
pub mod output;
pub mod report;
pub mod rows;
pub mod sample;
pub mod score;
pub mod signal;
pub mod train;
pub mod training;
