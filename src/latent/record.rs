//! The words of a latent model's section, and the checks of them.

use crate::Error;
use crate::base::Base;
use crate::bijection::Layer;
use crate::direction::Direction;
use crate::file::tag;
use crate::latent::Likelihood;
use crate::member::{MAX_CONTEXT, MAX_FEATURES, Member};
use crate::network::{Network, is_bounded};
use crate::record::Sizes;

/// Most values that an encoder gives the posterior flow.
pub const MAX_SUMMARY: usize = 16;

/// Words in front of the parameters.
const HEADER: usize = 20;

/// The parts of a latent model, borrowed from a model file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts<'m> {
    /// D and C.
    pub sizes: Sizes,
    /// L.
    pub latents: usize,
    /// H.
    pub summary: usize,
    pub likelihood: Likelihood,
    pub encoder: Network<'m>,
    pub decoder: Network<'m>,
    /// Of both networks.
    pub network_parameters: usize,
    pub posterior: Member<'m>,
    pub prior: Member<'m>,
}

impl<'m> Parts<'m> {
    /// Views the words and checks every one. Returns the number of the model's math too.
    pub fn read(words: &'m [u32]) -> Result<(Self, u32), Error> {
        let (header, body) = words.split_first_chunk::<HEADER>().ok_or(Error::SectionLength {
            tag: tag::LATENT,
            actual: words.len(),
            expected: HEADER,
        })?;
        let [features, context, latents, summary, likelihood, math, rest @ ..] = header;
        let [least, largest, encoder, decoder, posterior, shapes @ ..] = rest;
        let ([encoder_shape, decoder_shape], [tails]) = shapes.as_chunks() else {
            return Err(Error::LatentSetting { word: SHAPES });
        };
        let [features, context, latents, summary] =
            [features, context, latents, summary].map(|size| *size as usize);
        let ranges = [2..=MAX_FEATURES, 0..=MAX_CONTEXT, 2..=MAX_FEATURES, 0..=MAX_SUMMARY];
        let sizes = [features, context, latents, summary];
        if let Some(word) =
            ranges.iter().zip(sizes).position(|(range, size)| !range.contains(&size))
        {
            return Err(Error::LatentSetting { word });
        }
        let likelihood = Likelihood::read(*likelihood, [*least, *largest, *tails])
            .map_err(|word| Error::LatentSetting { word })?;
        if likelihood.cargo_feature().is_some() && cfg!(not(feature = "student-t")) {
            return Err(Error::Feature { name: "student-t" });
        }

        let take = |words: &'m [u32], count: &u32, word| {
            words.split_at_checked(*count as usize).ok_or(Error::LatentSetting { word })
        };
        let (own, behind) = take(body, encoder, ENCODER)?;
        let rows = summary + 2 * latents;
        let encoder = network(encoder_shape, context + features, rows, own, ENCODER)?;
        let (own, behind) = take(behind, decoder, ENCODER + 1)?;
        let rows = likelihood.rows(features);
        let decoder = network(decoder_shape, context + latents, rows, own, ENCODER + 1)?;
        let networks = body.get(..body.len() - behind.len()).unwrap_or_default();
        let networks: &[f32] = bytemuck::must_cast_slice(networks);
        if let Some(index) = networks.iter().position(|parameter| !is_bounded(*parameter)) {
            return Err(Error::LatentParameter { index });
        }
        let (posterior, prior) = take(behind, posterior, ENCODER + 2)?;
        let flow = |words, name, context, directions: &[Direction]| {
            let (flow, own) = Member::read_part(tag::LATENT, words, None)?;
            let fits = (flow.sizes(), own) == (Sizes { features: latents, context }, *math);
            let is_direct = |layer: Layer| directions.iter().all(|own| layer.is_direct(*own));
            match fits && flow.layers().all(is_direct) {
                true => Ok(flow),
                false => Err(Error::LatentFlow { name }),
            }
        };
        let posterior = flow(posterior, "posterior", summary, &[Direction::Forward])?;
        // The points and a score's draw 0 are of it.
        if !matches!(posterior.base(), Base::StandardNormal { periodic } if periodic.is_empty()) {
            return Err(Error::LatentFlow { name: "posterior" });
        }
        let parts = Self {
            sizes: Sizes { features, context },
            latents,
            summary,
            likelihood,
            encoder,
            decoder,
            network_parameters: networks.len(),
            posterior,
            prior: flow(prior, "prior", 0, &[Direction::Inverse, Direction::Forward])?,
        };
        Ok((parts, *math))
    }
}

/// The word that says how many parameters the encoder has; the decoder's and the posterior's follow.
const ENCODER: usize = 8;
/// The first word of the networks' shapes.
const SHAPES: usize = 11;

/// Views a network that takes all of `words`, as word `count` of the header says.
fn network<'m>(
    shape: &'m [u32; Network::WORDS],
    inputs: usize,
    outputs: usize,
    words: &'m [u32],
    count: usize,
) -> Result<Network<'m>, Error> {
    let first = SHAPES + (count - ENCODER) * Network::WORDS;
    let network = Network::of_shape(shape, inputs, outputs, bytemuck::must_cast_slice(words));
    let [layers, widths @ ..] = shape;
    let unused = widths.iter().skip(*layers as usize).any(|width| *width != 0);
    if !(1..=widths.len()).contains(&(*layers as usize)) || unused {
        return Err(Error::LatentSetting { word: first });
    }
    match network.take_all() {
        Ok(taken) if taken == words.len() => Ok(network),
        Ok(_) => Err(Error::LatentSetting { word: count }),
        Err(word) => Err(Error::LatentSetting { word: first + word }),
    }
}
