//! Densities that a flow is fitted to, and some whose constant is known: each has its own file.

pub mod banana;
pub mod eight_schools;
pub mod funnel;
mod gaussian;
pub mod quadrature;
pub mod regression;

use burn::tensor::Tensor;

use super::posterior::Options;

pub use gaussian::log_normal;

/// A density over D real parameters, known but for its constant.
pub trait Target {
    /// What it is, for a reader.
    fn name(&self) -> &str;

    /// Names of the parameters, which are the features of the fitted flow's file.
    fn names(&self) -> Vec<String>;

    /// ln of the density, up to a constant, of parameters, shape \[draws, D\] to \[draws, 1\]. Finite
    /// and differentiable at every finite row: a parameter that has bounds enters by a transform of the
    /// real line, whose log-derivative is a part of the density.
    fn log_density(&self, z: Tensor<2>) -> Tensor<2>;

    /// Where each parameter roughly lies, and on which scale, such as its prior's: the fit starts from
    /// N(centre, scale^2), and the file standardises by them. By default 0 and 1.
    fn standardisation(&self) -> Vec<Standardisation> {
        vec![Standardisation { centre: 0.0, scale: 1.0 }; self.names().len()]
    }
}

/// What is subtracted from a parameter, and what divides the difference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standardisation {
    /// In the parameter's unit.
    pub centre: f32,
    /// In the parameter's unit, positive.
    pub scale: f32,
}

/// A target whose constant is known.
pub trait Known: Target {
    /// ln of the integral of the density, nats.
    fn log_evidence(&self) -> f64;

    /// A flow that suits it, and how long to fit it.
    fn options(&self) -> Options;
}

/// Column `index` of rows, shape \[draws, 1\].
fn column(z: &Tensor<2>, index: usize) -> Tensor<2> {
    z.clone().narrow(1, index, 1)
}
