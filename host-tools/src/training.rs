//! From rows to a model file, in the order of the pipeline: a [`transform`] ([`marginal`]s,
//! whitening) may stand in front, [`fit`] trains a family by maximum likelihood ([`mixture`]s by
//! expectation maximisation): its weights are [`averaged`], its epochs end with [`patience`] and are a
//! [`curve`], it is judged by its [`loss`], [`selection`] takes the best of several,
//! [`ensemble`] puts several together, [`balance`] says what the score weighs, [`calibrate`] what
//! scores mean, [`export`] writes the file, and [`constants`] says what it makes of values off a
//! constant. [`generalised_pareto`] describes the tails of scores and of importance weights.

pub mod alarms;
pub mod averaged;
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
pub mod patience;
pub mod progress;
pub mod selection;
pub mod transform;
