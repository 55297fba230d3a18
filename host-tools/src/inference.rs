//! Variational inference: a flow q(z) is fitted to a density p(z) that is known but for its constant,
//! such as the posterior of a statistical model, by what q draws.
//!
//! A [`target`] is the density, [`posterior`] fits the flow and writes its model file, from which a
//! firmware draws samples, and [`importance`] judges it. [`amortised`] fits one q(z | x) to the
//! posteriors of all rows x of a [`latent`] variable model at once. [`descent`] is the loop that
//! both share.

pub mod amortised;
pub mod descent;
pub mod importance;
pub mod latent;
pub mod posterior;
pub mod target;

pub use posterior::{Options, Posterior, fit_posterior};
pub use target::Target;
