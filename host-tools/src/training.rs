//! From rows to a model file, in the order of the pipeline: a [`transform`] ([`marginal`]s,
//! whitening) may stand in front, [`fit`] trains a family by maximum likelihood ([`mixture`]s by
//! expectation maximisation), judged by its [`loss`], its epochs a [`curve`], [`selection`] takes the best of several,
//! [`ensemble`] puts several together, [`balance`] says what the score weighs, [`calibrate`] what
//! scores mean, [`export`] writes the file, and [`constants`] says what it makes of values off a
//! constant. [`generalised_pareto`] describes the tails of scores and of importance weights.

pub mod alarms;
pub mod balance;
pub mod calibrate;
pub mod conditional;
pub mod constants;
pub mod curve;
pub mod ensemble;
pub mod export;
pub mod fit;
pub mod generalised_pareto;
pub mod loss;
pub mod marginal;
pub mod mixture;
pub mod progress;
pub mod selection;
pub mod transform;
