//! What a call takes on a device, counted before it is run there (feature `write`, for the host).
//!
//! The time of a call is a sum over steps: so many blocks of a matrix, so many columns, so many
//! exponentials. How often it takes each [`Step`] follows from the model's shape and from which
//! hidden units a ReLU leaves open; how long each takes is a matter of core and compiler, and is
//! measured (`cargo xtask bench --cost`). Counted is what a row takes, [`of_row`], or what a typical
//! row does while nobody knows the weights, [`of_shape`]: half of the units open.

use alloc::vec;
use alloc::vec::Vec;

use crate::Error;
use crate::base::Base;
use crate::bijection::{Autoregressive, Coupling, Half, Layer, Side, Work};
use crate::direction::Direction;
use crate::kernel::{Inputs, ROWS, Units, blocks, most_negatives};
use crate::masked::Masked;
use crate::math::Math;
use crate::member::Member;
use crate::model::Model;
use crate::network::{MAX_HIDDEN, Network, Scratch};
use crate::periodic::Periodic;
use crate::scalar::{GROUP, ScalarMap};
use crate::score::Score;

/// Share of the hidden units that are open while nobody knows the weights.
const OPEN: f64 = 0.5;

macro_rules! steps {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// What a call's time goes into.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Step {
            $($(#[$doc])* $name,)*
        }

        impl Step {
            /// Every step.
            pub const ALL: &[Step] = &[$(Step::$name,)*];

            /// Its name in a table.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

steps! {
    /// The call itself.
    Call = "call",
    /// A flow that is asked.
    Flow = "flow",
    /// A value that is checked, copied and standardised for a flow.
    Value = "value",
    /// The same of a context value.
    ContextValue = "context value",
    /// What the balanced score weighs of a flow.
    Balance = "balance",
    /// What a mixture adds of a flow.
    Share = "share",
    /// Any layer's record.
    Layer = "layer",
    /// A value of a permutation.
    PermutedValue = "permuted value",
    /// A value of an act-norm.
    NormedValue = "normed value",
    /// A logarithm of a product of up to four scales.
    LogProduct = "logarithm of a product",
    /// A value that a linear map gathers and puts back.
    GatheredValue = "gathered value",
    /// A column of a triangular matrix.
    TriangularColumn = "triangular column",
    /// Eight products of such a column at once.
    TriangularEight = "triangular eight",
    /// Any other product of it.
    TriangularProduct = "triangular product",
    /// A coupling.
    Coupling = "coupling",
    /// A hidden layer of an unmasked network.
    Hidden = "hidden layer",
    /// A block of rows of such a layer, its columns aside.
    Block = "block",
    /// A block of an unmasked network's outputs.
    OutputBlock = "output block",
    /// A column of a block, all inputs read.
    Column = "column",
    /// Such a column that is left over by fours.
    OddColumn = "odd column",
    /// A column of a masked block behind a context.
    GivenColumn = "given column",
    /// A column of a block whose input is listed as open.
    ListedColumn = "listed column",
    /// A unit that is rectified.
    Unit = "unit",
    /// An open one that is listed.
    OpenUnit = "open unit",
    /// A value of an affine map.
    AffineValue = "affine value",
    /// Up to four such values of one block.
    AffineGroup = "affine group",
    /// A value of a spline, within its bound.
    SplineValue = "spline value",
    /// A value beyond the bound.
    BeyondValue = "value beyond a spline",
    /// What a value on a circle takes besides.
    CircularValue = "circular value",
    /// A value that a network sees of a row with periodic features.
    PeriodicColumn = "periodic column",
    /// An autoregressive layer.
    Autoregressive = "autoregressive layer",
    /// A hidden layer of a masked network.
    MaskedHidden = "masked hidden layer",
    /// A block of such a layer, its columns aside.
    MaskedBlock = "masked block",
    /// A block of a masked network's outputs.
    MaskedOutputBlock = "masked output block",
    /// A column of a masked block, read from the row.
    SeenColumn = "seen column",
    /// A column of a masked block whose input is listed as open.
    MaskedColumn = "masked column",
    /// An open unit of a masked network.
    MaskedOpenUnit = "masked open unit",
    /// A layer whose features follow from one another.
    Walk = "walk",
    /// A feature of it.
    WalkValue = "walk value",
    /// A hidden block of it.
    WalkBlock = "walk block",
    /// A standard normal base.
    NormalBase = "normal base",
    /// A value of it.
    NormalValue = "normal value",
    /// A Student-t base.
    StudentTBase = "Student-t base",
    /// A value of it.
    StudentTValue = "Student-t value",
    /// A component of a mixture.
    Component = "component",
    /// A value of a component.
    ComponentValue = "component value",
    /// What a component of a Student-t mixture takes besides.
    StudentTComponent = "Student-t component",
    /// Two values of a Student-t mixture's constant.
    StudentTPair = "Student-t pair",
    /// A value of a marginal transform, between its outer knots.
    MarginalValue = "marginal value",
    /// A value beyond them.
    BeyondMarginal = "value beyond a marginal",
    /// A step of the search for its knot.
    MarginalSearch = "marginal search",
    /// A latent model's call.
    LatentCall = "latent call",
    /// A feature whose Gaussian likelihood is taken.
    GaussianFeature = "Gaussian feature",
    /// A feature that is 0 or 1.
    BernoulliFeature = "Bernoulli feature",
    /// An output of an encoder.
    EncodedValue = "encoded value",
    /// A latent value with its deviation.
    LatentValue = "latent value",
}

const COUNT: usize = Step::ALL.len();

/// How often each step is taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Tally([f64; COUNT]);

impl Default for Tally {
    fn default() -> Self {
        Self([0.0; COUNT])
    }
}

impl Tally {
    /// How often it takes `step`.
    pub fn count(&self, step: Step) -> f64 {
        self.0[step as usize]
    }

    /// Each step that it takes, with how often.
    pub fn steps(&self) -> impl Iterator<Item = (Step, f64)> + '_ {
        let counts = Step::ALL.iter().copied().zip(self.0);
        counts.filter(|(_, count)| *count > 0.0)
    }

    /// The mean of several.
    pub fn mean(tallies: &[Tally]) -> Self {
        let mut mean = Self::default();
        for tally in tallies {
            for (step, count) in tally.steps() {
                mean.add(step, count / tallies.len() as f64);
            }
        }
        mean
    }

    fn add(&mut self, step: Step, count: impl Into<f64>) {
        self.0[step as usize] += count.into();
    }

    fn add_many(&mut self, step: Step, count: usize) {
        self.add(step, count as f64);
    }
}

/// What is asked of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Its score; a latent model knows no other.
    Score,
    /// Its log-density.
    LogDensity,
}

/// What `question` takes of a typical row while the weights are unknown.
pub fn of_shape<M: Math>(model: &Model<M>, question: Question) -> Tally {
    let mut counter = Counter::new(model.features(), model.context(), model.width());
    counter.model(model, question, None);
    counter.tally
}

/// What `question` takes of the row `x` with its context; an error where the model refuses the row.
pub fn of_row<M: Math>(
    model: &Model<M>,
    question: Question,
    x: &[f32],
    context: &[f32],
) -> Result<Tally, Error> {
    let mut memory = crate::Memory::of(model);
    model.given(context).score(x, &mut memory.scratch())?;
    let mut counter = Counter::new(model.features(), model.context(), model.width());
    counter.model(model, question, Some((x, context)));
    Ok(counter.tally)
}

/// What the score of a latent model takes of a typical row while the weights are unknown.
#[cfg(feature = "latent")]
pub fn of_latent_shape<M: Math>(model: &crate::LatentModel<M>) -> Tally {
    let mut counter = Counter::of_latent(model);
    counter.latent(model, None);
    counter.tally
}

/// What the score of a latent model takes of the row `x` with its context; an error where the model
/// refuses the row.
#[cfg(feature = "latent")]
pub fn of_latent_row<M: Math>(
    model: &crate::LatentModel<M>,
    x: &[f32],
    context: &[f32],
) -> Result<Tally, Error> {
    let mut memory = crate::LatentMemory::of(model);
    let mut code = vec![0.0; model.latents()];
    model.given(context).encode(x, &mut code, &mut memory.scratch())?;
    let mut counter = Counter::of_latent(model);
    counter.latent(model, Some((x, context, &code)));
    Ok(counter.tally)
}

/// Whether so many of a layer's units are open that [`crate::kernel::rectify`] lists none.
fn are_all_read(open: &[f64]) -> bool {
    open.len() as f64 - open.iter().sum::<f64>() <= most_negatives(open.len()) as f64
}

/// The columns that every block of a layer reads.
#[derive(Clone, Copy)]
enum Columns {
    All(usize),
    /// Those of a context, and those behind them.
    Given(usize, usize),
    Listed(f64),
}

/// The memory of a call, and what is counted so far.
struct Counter {
    tally: Tally,
    spare: Vec<f32>,
    context: Vec<f32>,
    values: [Vec<f32>; MAX_HIDDEN],
    numbers: [Vec<u16>; MAX_HIDDEN],
    /// Whether the layers are taken as those of a latent model's flows.
    is_latent: bool,
}

impl Counter {
    fn new(features: usize, context: usize, width: usize) -> Self {
        Self {
            tally: Tally::default(),
            is_latent: false,
            spare: vec![0.0; 2 * features],
            context: vec![0.0; context],
            values: [(); MAX_HIDDEN].map(|()| vec![0.0; width]),
            numbers: [(); MAX_HIDDEN].map(|()| vec![0; width]),
        }
    }

    fn network_memory(&mut self) -> Scratch<'_> {
        let ([a, b, c], [k, l, m]) = (&mut self.values, &mut self.numbers);
        [Units::new(a, k), Units::new(b, l), Units::new(c, m)]
    }

    fn model<M: Math>(
        &mut self,
        model: &Model<M>,
        question: Question,
        row: Option<(&[f32], &[f32])>,
    ) {
        self.tally.add_many(Step::Call, 1);
        let members = model.members();
        for member in members {
            let row = row.map(|(x, context)| {
                let standardised = |x: &[f32], of: &mut dyn Iterator<Item = _>| -> Vec<f32> {
                    x.iter()
                        .zip(of)
                        .map(|(x, of): (_, crate::Standardisation)| of.inverse(*x))
                        .collect()
                };
                self.context = standardised(context, &mut member.context_standardisations());
                standardised(x, &mut member.standardisations())
            });
            self.tally.add_many(Step::Flow, 1);
            self.tally.add_many(Step::Value, model.features());
            self.tally.add_many(Step::ContextValue, model.context());
            self.member::<M>(member, Direction::Inverse, row);
            self.base(member.base(), model.features());
        }
        match model.score_kind() {
            Score::Balanced(_) if question == Question::Score => {
                self.tally.add_many(Step::Balance, members.len());
            }
            _ if members.len() > 1 => self.tally.add_many(Step::Share, members.len()),
            _ => {}
        }
    }

    /// Takes `row`, standardised, through the layers; where there is none, a typical one.
    fn member<M: Math>(
        &mut self,
        member: &Member,
        direction: Direction,
        mut row: Option<Vec<f32>>,
    ) {
        let mut parts: Vec<_> = member.parts().collect();
        if direction == Direction::Forward {
            parts.reverse();
        }
        for (mapped, layer) in parts {
            self.tally.add_many(Step::Layer, 1);
            let before = row.as_ref().map(|row| row[..mapped].to_vec());
            if let Some(row) = &mut row {
                let (context, mut spare) = (self.context.clone(), self.spare.clone());
                let network = self.network_memory();
                let mut work = Work { context: &context, row: &mut spare, network };
                match direction {
                    Direction::Inverse => layer.inverse::<M>(&mut row[..mapped], &mut work),
                    Direction::Forward => layer.forward::<M>(&mut row[..mapped], &mut work),
                };
            }
            let sides = before.as_deref().zip(row.as_ref().map(|row| &row[..mapped]));
            self.layer(&layer, direction, mapped, sides);
        }
    }

    /// Counts a layer over `mapped` values, given the row in front of it and behind it.
    fn layer(
        &mut self,
        layer: &Layer,
        direction: Direction,
        mapped: usize,
        sides: Option<(&[f32], &[f32])>,
    ) {
        match layer {
            Layer::Permutation(_) => self.tally.add_many(Step::PermutedValue, mapped),
            Layer::ActNorm(_) => {
                self.tally.add_many(Step::NormedValue, mapped);
                self.tally.add_many(Step::LogProduct, mapped.div_ceil(4));
            }
            Layer::LuLinear(layer) => {
                let (channels, positions) = (layer.channels(), layer.positions());
                self.tally.add_many(Step::GatheredValue, channels * positions);
                for _ in 0..2 * positions {
                    self.triangular(channels);
                }
                self.tally.add_many(Step::LogProduct, channels.div_ceil(4));
            }
            Layer::Marginal(layer) => {
                let values = layer.transformed().count();
                let beyond = sides.map_or(0, |(before, _)| layer.beyond(direction, before));
                self.tally.add_many(Step::MarginalValue, values - beyond);
                self.tally.add_many(Step::BeyondMarginal, beyond);
                let steps = usize::BITS - layer.knots().leading_zeros();
                self.tally.add_many(Step::MarginalSearch, values * steps as usize);
            }
            Layer::Coupling(layer) => self.coupling(layer, mapped, sides.map(|(before, _)| before)),
            Layer::Autoregressive(layer) => self.autoregressive(layer, direction, mapped, sides),
        }
    }

    /// The columns of one triangular matrix.
    fn triangular(&mut self, size: usize) {
        self.tally.add_many(Step::TriangularColumn, size);
        for length in 0..size {
            self.tally.add_many(Step::TriangularEight, length / ROWS);
            self.tally.add_many(Step::TriangularProduct, length % ROWS);
        }
    }

    fn coupling(&mut self, layer: &Coupling, mapped: usize, row: Option<&[f32]>) {
        let half = layer.transformed();
        let (transformed, condition) = half.sizes(mapped);
        let (on_circles, seen) = half.periodic(layer.periodic(), mapped);
        self.tally.add_many(Step::Coupling, 1);
        let (mut inputs, mut values) = (None, None);
        if let Some(row) = row {
            let (own, other) = match half {
                Half::First => row.split_at(transformed),
                _ => {
                    let (other, own) = row.split_at(condition);
                    (own, other)
                }
            };
            let mut columns = vec![0.0; 2 * condition];
            (inputs, values) = (Some(seen.seen(other, &mut columns).to_vec()), Some(own));
        }
        let columns = condition + seen.count(condition);
        if !seen.is_empty() {
            self.tally.add_many(Step::PeriodicColumn, columns);
        }
        self.network(layer.network(), columns, inputs.as_deref());
        self.map(layer.map(), transformed, on_circles, values);
    }

    /// A network behind the context, of which `inputs` are the other values that it sees.
    fn network(&mut self, network: &Network, inputs: usize, values: Option<&[f32]>) {
        let mut open = Vec::new();
        match values {
            None => open.extend(network.hidden().map(|width| Some(OPEN * width as f64))),
            Some(values) => {
                let context = self.context.clone();
                let mut memory = self.network_memory();
                network.run_noting(Inputs::given(&context, values), &mut memory, |listed| {
                    open.push(listed.map(|listed| listed as f64));
                });
            }
        }
        let mut columns = match self.context.len() {
            0 => Columns::All(inputs),
            context => Columns::Given(context, inputs),
        };
        for (width, open) in network.hidden().zip(open) {
            let count = blocks(width);
            self.tally.add_many(Step::Hidden, 1);
            self.tally.add_many(Step::Block, count);
            self.columns(count, columns);
            self.tally.add_many(Step::Unit, count * ROWS);
            self.tally.add(Step::OpenUnit, open.unwrap_or(0.0));
            columns = open.map_or(Columns::All(width), Columns::Listed);
        }
        let count = blocks(network.outputs());
        self.tally.add_many(Step::OutputBlock, count);
        self.columns(count, columns);
    }

    fn columns(&mut self, blocks: usize, columns: Columns) {
        match columns {
            Columns::All(count) => {
                self.tally.add_many(Step::Column, blocks * count);
                self.tally.add_many(Step::OddColumn, blocks * (count % 4));
            }
            Columns::Given(context, others) => {
                self.columns(blocks, Columns::All(context));
                self.columns(blocks, Columns::All(others));
            }
            Columns::Listed(count) => self.tally.add(Step::ListedColumn, blocks as f64 * count),
        }
    }

    /// What a map does to `count` values, which are known or typical.
    fn map(&mut self, map: ScalarMap, count: usize, periodic: Periodic, values: Option<&[f32]>) {
        match map {
            ScalarMap::Affine { .. } => {
                self.tally.add_many(Step::AffineValue, count);
                self.tally.add_many(Step::AffineGroup, count.div_ceil(GROUP));
            }
            ScalarMap::Spline { bound } => {
                for feature in 0..count {
                    let value = values.map_or(0.0, |values| values[feature]);
                    let is_circular = periodic.contains(feature);
                    let is_within = is_circular || value.abs() < bound;
                    let step = if is_within { Step::SplineValue } else { Step::BeyondValue };
                    self.tally.add_many(step, 1);
                    self.tally.add_many(Step::CircularValue, usize::from(is_circular));
                }
            }
        }
    }

    fn autoregressive(
        &mut self,
        layer: &Autoregressive,
        direction: Direction,
        mapped: usize,
        sides: Option<(&[f32], &[f32])>,
    ) {
        let start = if direction == Direction::Inverse { Side::X } else { Side::Z };
        let is_walk = layer.given() != start;
        let shell = if self.is_latent { Step::Coupling } else { Step::Autoregressive };
        self.tally.add_many(shell, 1);
        let periodic = layer.periodic();
        if !periodic.is_empty() {
            self.tally.add_many(Step::PeriodicColumn, mapped + periodic.count(mapped));
        }
        let conditions = sides.map(|(before, behind)| if is_walk { behind } else { before });
        let seen = conditions.map(|row| {
            let mut columns = vec![0.0; 2 * mapped];
            periodic.seen(row, &mut columns).to_vec()
        });
        self.map(layer.map(), mapped, periodic, sides.map(|(before, _)| before));
        if self.is_latent {
            return self.prefixes(layer.network(), seen.as_deref());
        }
        let hidden = self.masked(layer.network(), seen.as_deref());
        if is_walk {
            self.tally.add_many(Step::Walk, 1);
            self.tally.add_many(Step::WalkValue, mapped);
            self.tally.add_many(Step::WalkBlock, hidden);
        }
    }

    /// Of each hidden layer of a masked network that sees `row`, how probably each unit is open.
    fn open_units(&mut self, network: &Masked, row: Option<&[f32]>) -> Vec<Vec<f64>> {
        let mut open: Vec<Vec<f64>> =
            network.hidden().map(|width| vec![OPEN; blocks(width) * ROWS]).collect();
        if let Some(row) = row {
            let (context, mut layers) = (self.context.clone(), open.iter_mut());
            let mut memory = self.network_memory();
            network.run_noting(&context, row, &mut memory, |listed| {
                let Some(open) = layers.next() else { return };
                open.fill(0.0);
                for number in listed.numbers() {
                    open[usize::from(*number)] = 1.0;
                }
            });
        }
        open
    }

    /// A masked network that sees `row` and is taken as if it had no masks.
    fn prefixes(&mut self, network: &Masked, row: Option<&[f32]>) {
        let open = self.open_units(network, row);
        for (layer, all) in network.columns_of_blocks().enumerate() {
            let before = layer.checked_sub(1).map(|layer| &open[layer]);
            for count in all {
                let columns = match before {
                    None if self.context.is_empty() => Columns::All(count),
                    None => Columns::Given(self.context.len(), count - self.context.len()),
                    Some(open) if are_all_read(open) => Columns::All(count),
                    Some(open) => Columns::Listed(open[..count].iter().sum()),
                };
                self.columns(1, columns);
                let step = if layer < open.len() { Step::Block } else { Step::OutputBlock };
                self.tally.add_many(step, 1);
            }
            if let Some(open) = open.get(layer) {
                self.tally.add_many(Step::Hidden, 1);
                self.tally.add_many(Step::Unit, open.len());
                let open: f64 = open.iter().sum();
                self.tally.add(Step::OpenUnit, open);
            }
        }
    }

    /// A masked network that sees `row`; how many hidden blocks it has.
    fn masked(&mut self, network: &Masked, row: Option<&[f32]>) -> usize {
        let open = self.open_units(network, row);
        let mut hidden = 0;
        for (layer, columns) in network.columns_of_blocks().enumerate() {
            let before = layer.checked_sub(1).map(|layer| &open[layer]);
            let own = open.get(layer);
            self.tally.add_many(Step::MaskedHidden, usize::from(own.is_some()));
            for (block, columns) in columns.enumerate() {
                match before {
                    None if self.context.is_empty() => {
                        self.tally.add_many(Step::SeenColumn, columns)
                    }
                    None => self.tally.add_many(Step::GivenColumn, columns),
                    Some(open) => {
                        self.tally.add(Step::MaskedColumn, open[..columns].iter().sum::<f64>());
                    }
                }
                match own {
                    None => self.tally.add_many(Step::MaskedOutputBlock, 1),
                    Some(open) => {
                        hidden += 1;
                        self.tally.add_many(Step::MaskedBlock, 1);
                        let units = &open[block * ROWS..][..ROWS];
                        self.tally.add(Step::MaskedOpenUnit, units.iter().sum::<f64>());
                    }
                }
            }
        }
        hidden
    }

    fn base(&mut self, base: Base, features: usize) {
        match base {
            Base::StandardNormal { .. } => {
                self.tally.add_many(Step::NormalBase, 1);
                self.tally.add_many(Step::NormalValue, features);
            }
            Base::StudentT { .. } => {
                self.tally.add_many(Step::StudentTBase, 1);
                self.tally.add_many(Step::StudentTValue, features);
            }
            Base::Mixture(mixture) | Base::StudentTMixture { mixture, .. } => {
                let count = mixture.components();
                self.tally.add_many(Step::Component, count);
                self.tally.add_many(Step::ComponentValue, count * features);
                self.tally.add_many(Step::LogProduct, count * features.div_ceil(4));
                for _ in 0..if mixture.is_full() { count } else { 0 } {
                    self.triangular(features);
                }
                if matches!(base, Base::StudentTMixture { .. }) {
                    self.tally.add_many(Step::StudentTComponent, count);
                    self.tally.add_many(Step::StudentTPair, features / 2);
                }
            }
        }
    }
}

#[cfg(feature = "latent")]
impl Counter {
    fn of_latent<M: Math>(model: &crate::LatentModel<M>) -> Self {
        let largest = model.features().max(model.latents());
        Self { is_latent: true, ..Self::new(largest, model.context(), model.width()) }
    }

    /// The score of a row with these latent values.
    fn latent<M: Math>(
        &mut self,
        model: &crate::LatentModel<M>,
        row: Option<(&[f32], &[f32], &[f32])>,
    ) {
        let (features, latents, summary) = (model.features(), model.latents(), model.summary());
        self.tally.add_many(Step::LatentCall, 1);
        self.tally.add_many(Step::Value, features);
        self.tally.add_many(Step::ContextValue, model.context());
        let [encoder, decoder] = model.networks();
        let (mut x, mut h) = (None, None);
        if let Some((raw, context, _)) = row {
            let standardised = |raw: &[f32], of: &mut dyn Iterator<Item = _>| -> Vec<f32> {
                raw.iter()
                    .zip(of)
                    .map(|(x, of): (_, crate::Standardisation)| of.inverse(*x))
                    .collect()
            };
            self.context = standardised(context, &mut model.context_standardisations());
            let own = standardised(raw, &mut model.standardisations());
            let context = self.context.clone();
            let mut memory = self.network_memory();
            let outputs = encoder.run(Inputs::given(&context, &own), &mut memory);
            h = Some(outputs.flatten().take(summary).map(crate::math::bounded).collect::<Vec<_>>());
            x = Some(own);
        }
        self.network(&encoder, features, x.as_deref());
        self.tally.add_many(Step::EncodedValue, summary + 2 * latents);
        self.tally.add_many(Step::LatentValue, latents);
        self.network(&decoder, latents, row.map(|(_, _, code)| code));
        match model.likelihood() {
            crate::Likelihood::Gaussian { .. } => {
                self.tally.add_many(Step::GaussianFeature, features);
            }
            // The same, and the tails of a Student-t base.
            crate::Likelihood::StudentT { .. } => {
                self.tally.add_many(Step::GaussianFeature, features);
                self.tally.add_many(Step::StudentTBase, 1);
                self.tally.add_many(Step::StudentTValue, features);
            }
            crate::Likelihood::Bernoulli => {
                self.tally.add_many(Step::BernoulliFeature, features);
            }
        }
        self.context = h.unwrap_or(vec![0.0; summary]);
        self.base(model.posterior().base(), latents);
        self.member::<M>(model.posterior(), Direction::Forward, row.map(|_| vec![0.0; latents]));
        self.context = Vec::new();
        self.member::<M>(model.prior(), Direction::Inverse, row.map(|(_, _, code)| code.to_vec()));
        self.base(model.prior().base(), latents);
    }
}

#[cfg(all(
    test,
    feature = "autoregressive",
    feature = "context",
    feature = "ensemble",
    feature = "linear",
    feature = "marginal",
    feature = "mixture",
    feature = "spline",
    feature = "student-t"
))]
mod tests {
    use super::*;
    use crate::Libm;
    use crate::write::ModelFile;

    const FILES: [&[u8]; 7] = [
        include_bytes!("../tests/golden/autoregressive.flow"),
        include_bytes!("../tests/golden/autoregressive_given_z.flow"),
        include_bytes!("../tests/golden/image.flow"),
        include_bytes!("../tests/golden/spline.flow"),
        include_bytes!("../tests/golden/small.flow"),
        include_bytes!("../tests/golden/context.flow"),
        include_bytes!("../tests/golden/ensemble.flow"),
    ];

    /// Steps that hang on which units are open and on which values splines reach.
    const OF_ROWS: [Step; 10] = [
        Step::Column,
        Step::OddColumn,
        Step::ListedColumn,
        Step::OpenUnit,
        Step::MaskedColumn,
        Step::MaskedOpenUnit,
        Step::SplineValue,
        Step::BeyondValue,
        Step::MarginalValue,
        Step::BeyondMarginal,
    ];

    #[test]
    fn rows_differ_from_the_shape_in_their_open_units_alone() {
        for bytes in FILES {
            let file = ModelFile::new(bytes);
            let model = Model::<Libm>::from_bytes(file.bytes()).expect("a golden file");
            let (x, context) = (vec![1.0; model.features()], vec![1.0; model.context()]);
            for question in [Question::Score, Question::LogDensity] {
                let shape = of_shape(&model, question);
                let row = of_row(&model, question, &x, &context).expect("a finite row");
                for step in Step::ALL.iter().filter(|step| !OF_ROWS.contains(step)) {
                    assert_eq!(shape.count(*step), row.count(*step), "{step:?}");
                }
                // Whole blocks are read, half of the hidden units' columns of them.
                let columns = |steps: &[Step]| steps.iter().map(|step| shape.count(*step)).sum();
                let all: f64 = columns(&[Step::Column, Step::SeenColumn, Step::GivenColumn]);
                let open: f64 = columns(&[Step::ListedColumn, Step::MaskedColumn]);
                let layers = model.members().iter().flat_map(Member::layers);
                let products: usize = layers
                    .filter(|own| matches!(own, Layer::Coupling(_) | Layer::Autoregressive(_)))
                    .map(|own| own.multiply_adds())
                    .sum();
                let read = ROWS as f64 * (all + open / OPEN);
                assert!(products as f64 <= read && read <= 2.0 * products as f64, "{read}");
            }
        }
    }
}
