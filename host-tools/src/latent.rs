//! Training of latent variable models ([`flowlet::LatentModel`]), in the order of the pipeline: a
//! [`start`] by probabilistic principal components, a mixture [`prior`] that starts from clusters,
//! [`fit`] that raises the evidence lower bound of the trainable [`twin`], [`points`] for the
//! importance-weighted bound, and [`export`] to the file. [`device`] runs such a file, and
//! [`round_trip`] says what a code keeps of a row.

pub mod device;
pub mod export;
pub mod fit;
pub mod points;
pub mod prior;
pub mod round_trip;
pub mod start;
pub mod twin;
