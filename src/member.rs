//! One flow of a model: its layers, its base and the standardisation before them.
//!
//! Most models have one. The flows of an ensemble read the same row, one after the other.

use crate::Error;
use crate::base::Base;
use crate::bijection::{Layer, Work};
use crate::direction::Direction;
use crate::file::tag;
use crate::math::Math;
use crate::network::is_bounded;
use crate::preprocess::Standardisation;
use crate::record::{Record, Sizes};
use crate::score::Terms;

/// Most features of a model.
pub const MAX_FEATURES: usize = 64;

/// Most values of a context.
pub const MAX_CONTEXT: usize = 64;

/// Words in front of the layers' records.
const HEADER: usize = 8;

/// A flow borrowed from a model file.
#[derive(Clone, Copy, Debug)]
pub struct Member<'m> {
    sizes: Sizes,
    width: usize,
    records: &'m [[u32; Record::WORDS]],
    parameters: &'m [f32],
    base: Base<'m>,
    standardisation: &'m [[f32; Standardisation::WORDS]],
    log_scale_sum: f32,
}

impl<'m> Member<'m> {
    /// Views a flow and its standardisation, the words of their sections, and checks every one.
    /// Returns the number of the flow's [`Math`] too.
    pub(crate) fn read(flow: &'m [u32], standardisation: &'m [u32]) -> Result<(Self, u32), Error> {
        Self::read_part(tag::FLOW, flow, Some(standardisation))
    }

    /// The same of a flow that stands in section `tag`, and may need no standardisation.
    pub(crate) fn read_part(
        tag: u32,
        flow: &'m [u32],
        standardisation: Option<&'m [u32]>,
    ) -> Result<(Self, u32), Error> {
        let length = |actual, expected| Error::SectionLength { tag, actual, expected };
        let (header, body) =
            flow.split_first_chunk::<HEADER>().ok_or(length(flow.len(), HEADER))?;
        let [features, context, base, math, layers, parameters, first, second] = *header;
        let sizes = Sizes { features: features as usize, context: context as usize };
        let (layers, parameters) = (layers as usize, parameters as usize);
        let Sizes { features, context } = sizes;
        if context > MAX_CONTEXT {
            return Err(Error::Context { file: context, firmware: MAX_CONTEXT });
        }
        if context > 0 && cfg!(not(feature = "context")) {
            return Err(Error::Feature { name: "context" });
        }
        if !(2..=MAX_FEATURES).contains(&features) {
            return Err(Error::Features { file: features, firmware: MAX_FEATURES });
        }
        let expected = layers
            .checked_mul(Record::WORDS)
            .and_then(|words| words.checked_add(parameters))
            .unwrap_or(usize::MAX);
        let wrong_flow = length(body.len(), expected);
        if body.len() != expected {
            return Err(wrong_flow);
        }
        let (records, parameters) =
            body.split_at_checked(layers * Record::WORDS).ok_or(wrong_flow)?;
        let (records, _) = records.as_chunks();
        let parameters: &[f32] = bytemuck::must_cast_slice(parameters);

        let standardisation = match standardisation {
            Some(words) => Standardisation::read_all(words, sizes)?,
            None => &[],
        };

        let mut width = 0;
        let behind = check_layers(sizes, records, parameters, &mut width)?;
        let base = Base::read(base, [first, second], features, behind)?;
        let log_scale_sum = Standardisation::log_scale_sum(standardisation, features);
        let member =
            Self { sizes, width, records, parameters, base, standardisation, log_scale_sum };
        Ok((member, math))
    }

    pub(crate) fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// Number of values that it maps: D, or of a latent model's flow L.
    pub fn features(&self) -> usize {
        self.sizes.features
    }

    /// Units of the widest hidden layer, in whole blocks of 8.
    pub fn width(&self) -> usize {
        self.width
    }

    /// How each feature is standardised.
    pub fn standardisations(&self) -> impl DoubleEndedIterator<Item = Standardisation> + use<'m> {
        let features = self.standardisation.get(..self.sizes.features).unwrap_or_default();
        features.iter().map(|words| Standardisation::read(*words))
    }

    /// How each value of the context is standardised.
    pub fn context_standardisations(&self) -> impl Iterator<Item = Standardisation> + use<'m> {
        let context = self.standardisation.get(self.sizes.features..).unwrap_or_default();
        context.iter().map(|words| Standardisation::read(*words))
    }

    /// The sum of ln scale over the features: log-density of the standardised row minus that of
    /// the raw row, in nats.
    pub fn log_scale_sum(&self) -> f32 {
        self.log_scale_sum
    }

    /// The layers, in the order of the inverse (x to z).
    pub fn layers(&self) -> impl DoubleEndedIterator<Item = Layer<'m>> + use<'m> {
        self.parts().map(|(_, layer)| layer)
    }

    /// The layers, each behind the number of values that it maps, the first ones of the row.
    pub fn parts(&self) -> impl DoubleEndedIterator<Item = (usize, Layer<'m>)> + use<'m> {
        let member = *self;
        self.records().filter_map(move |record| Some((record.mapped(), member.layer(record)?)))
    }

    fn records(&self) -> impl DoubleEndedIterator<Item = Record<'m>> + use<'m> {
        self.records.iter().enumerate().map(|(layer, words)| Record { layer, words })
    }

    /// Views a layer; each was viewed before, in `check_layers`, hence none is missing.
    #[inline(always)]
    fn layer(&self, record: Record<'m>) -> Option<Layer<'m>> {
        let [_, offset, ..] = *record.words;
        let sizes = Sizes { features: record.mapped(), context: self.sizes.context };
        Layer::new(&record, sizes, self.parameters.get(offset as usize..)?)
    }

    /// The base density.
    pub fn base(&self) -> Base<'m> {
        self.base
    }

    /// Number of parameters: weights, biases, entries of permutations, and those of the base.
    pub fn parameters(&self) -> usize {
        self.parameters.len()
    }

    /// Products of one log-density, the zeros that a ReLU makes included.
    pub fn multiply_adds(&self) -> usize {
        let layers: usize = self.layers().map(|layer| layer.multiply_adds()).sum();
        layers + self.base.multiply_adds()
    }

    /// The Cargo features of this crate that the flow needs; one may come more than once.
    pub fn cargo_features(&self) -> impl Iterator<Item = &'static str> + use<'m> {
        let layers = self.layers().flat_map(|layer| layer.cargo_features());
        let context = (self.sizes.context > 0).then_some("context");
        layers.chain(self.base.cargo_features()).chain([context]).flatten()
    }

    /// The terms of the log-density of the raw row that `row` holds, which becomes its base sample.
    #[inline(always)]
    pub(crate) fn terms<M: Math>(&self, row: &mut [f32], work: &mut Work) -> Terms {
        let [log_det_jacobian, of_context] = self.standardise_and_walk::<M>(row, work);
        Terms { base: self.base.log_density::<M>(row, work.row), log_det_jacobian, of_context }
    }

    /// Base sample to raw row, in place. Returns log |det dx/dz|.
    // Not inlined, so that every size of `Flow` and every caller shares one copy.
    #[inline(never)]
    pub(crate) fn forward<M: Math>(&self, row: &mut [f32], work: &mut Work) -> f32 {
        let [log_det_jacobian, of_context] = self.walk::<M>(Direction::Forward, row, work);
        for (value, standardisation) in row.iter_mut().zip(self.standardisations()) {
            *value = standardisation.forward(*value);
        }
        log_det_jacobian + of_context
    }

    /// Raw row to base sample, in place. Returns log |det dz/dx|.
    #[inline(always)]
    pub(crate) fn inverse<M: Math>(&self, row: &mut [f32], work: &mut Work) -> f32 {
        let [log_det_jacobian, of_context] = self.standardise_and_walk::<M>(row, work);
        log_det_jacobian + of_context
    }

    #[inline(never)]
    fn standardise_and_walk<M: Math>(&self, row: &mut [f32], work: &mut Work) -> [f32; 2] {
        for (value, standardisation) in row.iter_mut().zip(self.standardisations()) {
            *value = standardisation.inverse(*value);
        }
        self.walk::<M>(Direction::Inverse, row, work)
    }

    /// Either way, of a latent model's flow, which has no standardisation and whose layers are direct
    /// in the ways that are used: the code that goes feature by feature is not linked for it. Returns the logarithm of the
    /// determinant.
    #[cfg(feature = "latent")]
    #[inline(never)]
    pub(crate) fn direct<M: Math>(
        &self,
        direction: Direction,
        row: &mut [f32],
        work: &mut Work,
    ) -> f32 {
        let mut records = self.records();
        let mut log_det_jacobian = 0.0;
        while let Some(record) = match direction {
            Direction::Forward => records.next_back(),
            Direction::Inverse => records.next(),
        } {
            let part = row.get_mut(..record.mapped()).unwrap_or_default();
            let Some(layer) = self.layer(record) else { break };
            log_det_jacobian += layer.direct::<M>(direction, part, work);
        }
        log_det_jacobian
    }

    /// Takes a standardised row through every layer, either way. Returns the logarithm of the
    /// determinant, that of the standardisation included, and apart what the context alone adds to it.
    fn walk<M: Math>(&self, direction: Direction, row: &mut [f32], work: &mut Work) -> [f32; 2] {
        let mut records = self.records();
        let (mut log_det_jacobian, mut of_context) = match direction {
            Direction::Forward => (self.log_scale_sum, 0.0),
            Direction::Inverse => (-self.log_scale_sum, 0.0),
        };
        while let Some(record) = match direction {
            Direction::Forward => records.next_back(),
            Direction::Inverse => records.next(),
        } {
            let part = row.get_mut(..record.mapped()).unwrap_or_default();
            let Some(layer) = self.layer(record) else { break };
            let own = match direction {
                Direction::Forward => layer.forward::<M>(part, work),
                Direction::Inverse => layer.inverse::<M>(part, work),
            };
            match layer.is_of_context() {
                true => of_context += own,
                false => log_det_jacobian += own,
            }
        }
        [log_det_jacobian, of_context]
    }
}

/// Reads every layer once, so that no later walk can fail, and notes the width of the widest.
/// Returns the parameters behind them.
fn check_layers<'m>(
    mut sizes: Sizes,
    records: &'m [[u32; Record::WORDS]],
    parameters: &'m [f32],
    width: &mut usize,
) -> Result<&'m [f32], Error> {
    let mut rest = parameters;
    for (number, words) in records.iter().enumerate() {
        let record = Record { layer: number, words };
        let [kind, offset, length, ..] = *words;
        if !(2..=sizes.features).contains(&record.mapped()) {
            return Err(Error::Shape { layer: number, word: Record::MAPPED });
        }
        sizes.features = record.mapped();
        let layer = Layer::new(&record, sizes, rest).ok_or_else(|| Layer::refusal(number, kind))?;
        let expected_offset = parameters.len() - rest.len();
        let expected_length = layer.check(&record, sizes.features)?;
        if (offset as usize, length as usize) != (expected_offset, expected_length) {
            let layer = number;
            return Err(Error::Parameters {
                layer,
                offset,
                length,
                expected_offset,
                expected_length,
            });
        }
        let (own, behind) = rest.split_at_checked(expected_length).unwrap_or_default();
        if let Some(index) = own.iter().position(|parameter| !is_bounded(*parameter)) {
            return Err(Error::Parameter { layer: number, index });
        }
        *width = (*width).max(layer.width());
        rest = behind;
    }
    Ok(rest)
}
