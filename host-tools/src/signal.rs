//! From the samples of a raw signal in a CSV file to the rows of its windows, by the device's code.
//!
//! [`options`] are what the user says of a signal, [`choice`] of its features; [`recipe`] makes of both
//! what a model file holds; [`samples`] reads the signal line by line and knows where it breaks off, and
//! [`windows`] makes rows of it: all at once for training, or one by one for a model that has the recipe.

pub mod choice;
pub mod options;
pub mod recipe;
pub mod samples;
pub mod windows;
