//! How large a flow is, unless the user says otherwise.

use std::ops::RangeInclusive;

use super::Arguments;
use crate::family::{self, Architecture, Family, Image};
use crate::training::selection::{Base, Candidate};

/// Components of a mixture behind layers.
const BASE_COMPONENTS: usize = 5;
/// Most Gaussians that a mixture without layers gets by itself.
const MOST_COMPONENTS: usize = 10;

/// The architecture of a candidate for so many training rows.
pub fn architecture(arguments: &Arguments, candidate: Candidate, rows: usize) -> Architecture {
    let family = candidate.family;
    let image = arguments.image;
    let (layers, hidden) = match image {
        Some(_) => (Some(Image::DEFAULT_STEPS), &Image::DEFAULT_HIDDEN[..]),
        None => (family.default_layers(), family.default_hidden(rows)),
    };
    let layers = arguments.layers.map(usize::from).or(layers).unwrap_or(0);
    let hidden = arguments.hidden.as_ref().map_or(hidden, |widths| &widths.0).to_vec();
    Architecture { family, layers, hidden, base: base(arguments, candidate), image }
}

fn base(arguments: &Arguments, Candidate { family, base }: Candidate) -> family::Base {
    let components = |count| arguments.components.map_or(count, usize::from);
    match (family, base) {
        (Family::Gaussian, _) => family::Base::Mixture { components: 1 },
        (Family::Gmm, _) => family::Base::Mixture { components: components(MOST_COMPONENTS) },
        (_, Some(Base::Mixture)) => {
            family::Base::Mixture { components: components(BASE_COMPONENTS) }
        }
        (_, Some(Base::StudentTMixture)) => {
            family::Base::StudentTMixture { components: components(BASE_COMPONENTS) }
        }
        (_, Some(Base::StandardNormal)) => family::Base::StandardNormal,
        // A circle is uniform in a base that is otherwise standard normal.
        (_, None) if !arguments.periodic.is_empty() => family::Base::StandardNormal,
        (_, Some(Base::StudentT) | None) => family::Base::StudentT,
    }
}

/// The numbers of Gaussians that a mixture without layers may have.
pub fn components(arguments: &Arguments, family: Family) -> RangeInclusive<usize> {
    match (family, arguments.components.map(usize::from)) {
        (Family::Gaussian, _) => 1..=1,
        (_, Some(components)) => components..=components,
        (_, None) => 1..=MOST_COMPONENTS,
    }
}
