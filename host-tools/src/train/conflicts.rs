//! Options that do not go together, in one table; what columns are named for is checked in
//! [`crate::rows::roles`].

use super::Arguments;
use super::latent::{Likelihood, Posterior, Prior};
use crate::error::{Error, Result};
use crate::family::Family;
use crate::rows::split::Division;
use crate::training::export::Score;
use crate::training::selection::{Base, Choice};
use crate::training::transform::Marginal;

/// What the options of latent models, and of flows, do not go with.
const NOT_VAE: &str = "another family than vae";
const VAE: &str = "--family vae";

/// What options of finished rows do not go with.
const SIGNAL: &str = "a raw signal (--rate)";
/// The options of a budget.
const BUDGET: &str = "a budget (--flash, --stack, --cycles, --board)";

/// An option, what it does not go with, and whether both are there.
type Conflict = (&'static str, &'static str, fn(&Arguments) -> bool);

const CONFLICTS: &[Conflict] = &[
    ("--score log-density", VAE, |a| a.score == Score::LogDensity && is_vae(a)),
    ("--latent", NOT_VAE, |a| a.latent.latent.is_some() && !is_vae(a)),
    ("--posterior", NOT_VAE, |a| a.latent.posterior.is_some() && !is_vae(a)),
    ("--prior", NOT_VAE, |a| a.latent.prior.is_some() && !is_vae(a)),
    ("--likelihood", NOT_VAE, |a| a.latent.likelihood.is_some() && !is_vae(a)),
    ("--points", NOT_VAE, |a| a.latent.points.is_some() && !is_vae(a)),
    ("--base", VAE, |a| a.base.is_some() && is_vae(a)),
    ("--image", VAE, |a| a.image.is_some() && is_vae(a)),
    ("--periodic", VAE, |a| !a.periodic.is_empty() && is_vae(a)),
    ("--marginal", VAE, |a| a.marginal != Marginal::None && is_vae(a)),
    ("--whiten", VAE, |a| a.whiten && is_vae(a)),
    ("--ensemble", VAE, |a| a.ensemble.is_some() && is_vae(a)),
    ("--layers", "a Gaussian posterior", |a| {
        a.layers.is_some() && a.latent.posterior == Some(Posterior::Gaussian)
    }),
    ("--layers", "--posterior auto", |a| {
        a.layers.is_some() && is_vae(a) && a.latent.posterior.unwrap_or_default() == Posterior::Auto
    }),
    ("--components", "another prior than mixture", |a| {
        a.components.is_some() && is_vae(a) && a.latent.prior != Some(Prior::Mixture)
    }),
    ("--noise", "--likelihood bernoulli", |a| {
        a.noise > 0.0 && a.latent.likelihood == Some(Likelihood::Bernoulli)
    }),
    ("--layers", "--family auto", |a| a.layers.is_some() && a.family == Choice::Auto),
    ("--image", "--family auto", |a| a.image.is_some() && a.family == Choice::Auto),
    ("--base", "--family auto", |a| a.base.is_some() && a.family == Choice::Auto),
    ("--components", "--family auto", |a| a.components.is_some() && a.family == Choice::Auto),
    ("--image", "another family than glow", |a| {
        a.image.is_some() && a.family != Choice::Fixed(Family::Glow)
    }),
    ("--periodic", "a family without splines", |a| {
        !a.periodic.is_empty() && family(a).is_some_and(|family| !family.maps_circles())
    }),
    ("--periodic", "--marginal or --whiten", |a| {
        !a.periodic.is_empty() && (a.marginal != Marginal::None || a.whiten)
    }),
    ("--periodic", "another base than standard-normal", |a| {
        !a.periodic.is_empty() && a.base.is_some_and(|base| base != Base::StandardNormal)
    }),
    ("--offset", SIGNAL, |a| a.signal.rate.is_some() && !a.offset.is_empty()),
    ("--periodic", SIGNAL, |a| a.signal.rate.is_some() && !a.periodic.is_empty()),
    ("--image", SIGNAL, |a| a.signal.rate.is_some() && a.image.is_some()),
    ("--likelihood bernoulli", SIGNAL, |a| {
        a.signal.rate.is_some() && a.latent.likelihood == Some(Likelihood::Bernoulli)
    }),
    ("--split random", SIGNAL, |a| a.signal.rate.is_some() && a.split == Division::Random),
    (BUDGET, VAE, |a| has_budget(a) && is_vae(a)),
    (BUDGET, "--image", |a| has_budget(a) && a.image.is_some()),
    (BUDGET, "--layers", |a| has_budget(a) && a.layers.is_some()),
    (BUDGET, "--hidden", |a| has_budget(a) && a.hidden.is_some()),
    (BUDGET, "--ensemble", |a| has_budget(a) && a.ensemble.is_some()),
    (BUDGET, "--time-limit", |a| has_budget(a) && a.time_limit.is_some()),
    (BUDGET, "a family without layers", |a| has_budget(a) && is_without_layers(a)),
    ("--search-picture", "no --flash, --stack, --cycles or --board", |a| {
        a.search.search_picture.is_some() && !has_budget(a)
    }),
    ("--layers", "a family without layers", |a| a.layers.is_some() && is_without_layers(a)),
    ("--base", "a family without layers", |a| a.base.is_some() && is_without_layers(a)),
    ("--components", "a family and base without mixtures", |a| {
        a.components.is_some() && !is_vae(a) && !is_mixture(a)
    }),
];

/// Refuses options that do not go together.
pub fn check(arguments: &Arguments) -> Result<()> {
    match CONFLICTS.iter().find(|(_, _, holds)| holds(arguments)) {
        Some((option, with, _)) => Err(Error::Options { option, with }),
        None => Ok(()),
    }
}

/// Options of training by gradient that were given for a family trained without.
pub fn unused(arguments: &Arguments) -> impl Iterator<Item = &'static str> {
    let given = [
        ("--hidden", arguments.hidden.is_some()),
        ("--epochs", arguments.epochs.is_some()),
        ("--batch-size", arguments.batch_size.is_some()),
        ("--learning-rate", arguments.learning_rate.is_some()),
        ("--patience", arguments.patience.is_some()),
    ];
    let is_without_layers = is_without_layers(arguments);
    given.into_iter().filter(move |(_, given)| is_without_layers && *given).map(|(name, _)| name)
}

fn family(arguments: &Arguments) -> Option<Family> {
    match arguments.family {
        Choice::Fixed(family) => Some(family),
        Choice::Auto | Choice::Vae => None,
    }
}

fn has_budget(arguments: &Arguments) -> bool {
    arguments.search.budget.is_set()
}

fn is_vae(arguments: &Arguments) -> bool {
    arguments.family == Choice::Vae
}

fn is_without_layers(arguments: &Arguments) -> bool {
    family(arguments).is_some_and(|family| family.default_layers().is_none())
}

fn is_mixture(arguments: &Arguments) -> bool {
    let is_mixture_base = matches!(arguments.base, Some(Base::Mixture | Base::StudentTMixture));
    family(arguments) == Some(Family::Gmm) || is_mixture_base
}
