//! The writer of model files, the other half of [`crate::file`] (feature `write`, for the host).
//!
//! ```
//! use flowlet::bijection::Half;
//! use flowlet::{Model, ScalarMap};
//! use flowlet::write::{Description, Feature, Layer, Linear};
//!
//! let feature = |name: &str| Feature { name: name.into(), centre: 20.0, scale: 2.0, low: 15.0, high: 25.0, periodic: false, offset: 0.0, step: 0.0 };
//! let linear = |rows, columns| Linear { rows, columns, weights: vec![0.1; rows * columns], bias: vec![0.0; rows] };
//! let description = Description {
//!     features: vec![feature("inlet"), feature("outlet")],
//!     layers: vec![Layer::Coupling { transformed: Half::Second, map: ScalarMap::Affine { clip: 2.0 }, network: vec![linear(8, 1), linear(2, 8)] }],
//!     ..Description::default()
//! };
//! let file = description.to_file();
//! assert_eq!(Model::<flowlet::Libm>::from_bytes(file.bytes())?.features(), 2);
//! # Ok::<(), flowlet::Error>(())
//! ```

#[cfg(feature = "latent")]
mod latent;
#[cfg(feature = "signal")]
mod signal;

#[cfg(feature = "latent")]
pub use latent::{LatentDescription, LatentFlow, Likelihood};

#[cfg(feature = "signal")]
pub use signal::{Channel, Signal};

use alloc::string::String;
use alloc::vec::Vec;

use serde::Serialize;

use crate::Error;
use crate::base;
use crate::bijection::{Half, Kind, Side};
use crate::calibration::Tail;
#[cfg(feature = "detector")]
use crate::detector::Sensor;
use crate::file::{File, HEADER, MAGIC, Section, VERSION, checksum, tag};
use crate::kernel::{ROWS, bias_position, blocks, position};
use crate::masked::Degrees;
use crate::math::{Libm, Math};
use crate::periodic::Periodic;
use crate::record::{Record, Sizes};
use crate::scalar::ScalarMap;
use crate::score::Balance;

/// Everything that a model file holds.
#[derive(Clone, Debug)]
pub struct Description {
    /// The features, in the order of a row.
    pub features: Vec<Feature>,
    /// What the density is conditioned on, in its order; nothing for most models.
    pub context: Vec<Feature>,
    /// The layers, in the order of the inverse (x to z).
    pub layers: Vec<Layer>,
    /// The density behind the last layer.
    pub base: Base,
    /// Further flows, which make the model an ensemble; nothing for most models.
    pub others: Vec<Member>,
    /// ln of each flow's share of an ensemble's mixture, the first one's first; unused where there are
    /// no others.
    pub log_shares: Vec<f32>,
    /// [`Math::ID`] of the arithmetic that the calibration and the self-test hold for.
    pub math: u32,
    /// How the score balances each flow; none where it is minus the log-density.
    pub balances: Vec<Balance>,
    /// What scores mean.
    pub calibration: Option<Calibration>,
    /// Training values of each feature that attribution tries, ascending, as many of each; nothing
    /// where no feature is blamed.
    pub quantiles: Vec<Vec<f32>>,
    /// How the rows come from a raw signal, the words of a `Signal` (feature `signal`); nothing where
    /// they come as they are.
    pub signal: Vec<u32>,
    /// When scores become an alarm.
    #[cfg(feature = "detector")]
    pub detector: Option<Detector>,
    /// Lines `key=value`.
    pub provenance: String,
    /// Raw rows, each with its context behind it, their log-densities and their scores.
    pub self_test: Vec<(Vec<f32>, [f32; 2])>,
}

impl Default for Description {
    /// No features, one flow without layers, a standard normal base, [`Libm`].
    fn default() -> Self {
        Self {
            features: Vec::new(),
            context: Vec::new(),
            layers: Vec::new(),
            base: Base::default(),
            others: Vec::new(),
            log_shares: Vec::new(),
            math: Libm::ID,
            balances: Vec::new(),
            calibration: None,
            quantiles: Vec::new(),
            signal: Vec::new(),
            #[cfg(feature = "detector")]
            detector: None,
            provenance: String::new(),
            self_test: Vec::new(),
        }
    }
}

/// A further flow of an ensemble, over the same rows as the first one.
#[derive(Clone, Debug)]
pub struct Member {
    /// As in [`Description`]. The flow may standardise them otherwise; their names are the first
    /// flow's, whatever is said here.
    pub features: Vec<Feature>,
    /// As in [`Description`], like the features.
    pub context: Vec<Feature>,
    /// As in [`Description`].
    pub layers: Vec<Layer>,
    /// As in [`Description`].
    pub base: Base,
}

/// The scores of held-out normal rows, see [`crate::Calibration`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Calibration {
    /// Number of held-out rows.
    pub rows: u32,
    /// False-alarm rates and their thresholds, the one that decides first.
    pub thresholds: Vec<(f32, f32)>,
    /// Scores in ascending order, each with the number of held-out rows above it.
    pub quantiles: Vec<(f32, u32)>,
    /// What is beyond the largest score.
    pub tail: Option<Tail>,
}

impl Calibration {
    /// Section 2.
    pub fn contents(&self) -> Vec<u8> {
        bytes_of(&self.words())
    }

    fn words(&self) -> Vec<u32> {
        let counts = [self.rows, self.thresholds.len() as u32, self.quantiles.len() as u32];
        let thresholds = self.thresholds.iter().flat_map(|(rate, score)| [*rate, *score]);
        let quantiles = self.quantiles.iter().flat_map(|(score, above)| [score.to_bits(), *above]);
        let tail = self.tail.into_iter().flat_map(Tail::words);
        let words = counts.into_iter().chain(thresholds.map(f32::to_bits)).chain(quantiles);
        words.chain(tail.map(f32::to_bits)).collect()
    }
}

/// When scores become an alarm, see [`mod@crate::detector`].
#[cfg(feature = "detector")]
#[derive(Clone, Debug, PartialEq)]
pub struct Detector {
    /// A, rows between two false alarms at least.
    pub rows_between_false_alarms: f32,
    /// k and n: rows of the last ones that must speak against the machine.
    pub confirmation: [u32; 2],
    /// The largest offset by which a drift of the score is followed, and its step a row, in the score's unit.
    pub drift: (f32, f32),
    /// What a working sensor of each feature gives.
    pub sensors: Vec<Sensor>,
}

#[cfg(feature = "detector")]
impl Detector {
    /// Section 18.
    pub fn contents(&self) -> Vec<u8> {
        let Self { rows_between_false_alarms, confirmation, drift, sensors } = self;
        let [confirming, rows] = *confirmation;
        let (bound, step) = *drift;
        let mut words = alloc::vec![rows_between_false_alarms.to_bits(), confirming, rows];
        words.extend([bound, step].map(f32::to_bits));
        words.extend(sensors.iter().flat_map(|sensor| sensor.words()));
        bytes_of(&words)
    }
}

/// What is written of one flow.
#[derive(Clone, Copy)]
struct Flow<'d> {
    sizes: Sizes,
    /// The features of the row that lie on a circle.
    periodic: Periodic,
    layers: &'d [Layer],
    base: &'d Base,
}

/// A feature's name and standardisation, in its own unit.
#[derive(Clone, Debug, PartialEq)]
pub struct Feature {
    /// As in the header of the training rows.
    pub name: String,
    /// Subtracted from each value.
    pub centre: f32,
    /// Divides the difference; positive.
    pub scale: f32,
    /// Smallest training value.
    pub low: f32,
    /// Largest training value.
    pub high: f32,
    /// Whether it lies on a circle: the centre is then the middle of its period and the scale half
    /// of it. The file's masks follow from this and the permutations; without the Cargo feature
    /// `spline` there are none. Not for a context.
    pub periodic: bool,
    /// What is subtracted from a sensor's value before it is an f32: all above is what is left. Of a
    /// further flow it is unused, like the name.
    pub offset: f64,
    /// Width of the steps that it comes in, 0 for none. Of a further flow it is unused.
    pub step: f32,
}

/// One bijection with its parameters, or a split. Where D is said below, behind a split it is the
/// number of values that go on.
#[derive(Clone, Debug)]
pub enum Layer {
    /// Only the first so many values of the row go on; the layers behind this one leave the others
    /// unchanged ([`crate::bijection`]). It is written into their records and has none itself.
    Split(usize),
    /// z_i = x_p(i).
    Permutation(Vec<u32>),
    /// See [`crate::bijection::Coupling`].
    Coupling {
        /// The half that is transformed.
        transformed: Half,
        /// What is done to each transformed feature.
        map: ScalarMap,
        /// The network's layers. The last one's rows are the map's parameters, each for all
        /// transformed features: row p n + i is parameter p of the i-th of n; how many parameters
        /// says [`ScalarMap::parameters_of`]. The first one's columns are the context and then the
        /// other half, two for each periodic feature.
        network: Vec<Linear>,
    },
    /// See [`crate::bijection::Autoregressive`].
    Autoregressive {
        /// The side whose earlier features condition each feature.
        given: Side,
        /// What is done to each feature.
        map: ScalarMap,
        /// The network's layers, masked: a weight whose unit may not see its input is left out
        /// ([`Degrees`]). The last one's rows are as in a coupling, of all D features; the first
        /// one's columns are the context and then all D features, two for each periodic one.
        network: Vec<Linear>,
    },
    /// x_i = scale_i z_i + shift_i, see [`crate::bijection::ActNorm`].
    ActNorm {
        /// One a feature.
        shift: Vec<f32>,
        /// One a feature, not 0.
        scale: Vec<f32>,
    },
    /// z = L U x, see [`crate::bijection::LuLinear`].
    LuLinear {
        /// c, the size of the matrix: D, or a divisor of it.
        channels: usize,
        /// L, row-major, c x c; what lies below the diagonal is used, the diagonal is 1.
        lower: Vec<f32>,
        /// U, row-major, c x c; what lies on and above the diagonal is used.
        upper: Vec<f32>,
    },
    /// A fixed map of each feature, see [`crate::bijection::Marginal`]: the knots of each, x, z and
    /// dx/dz, all of one number, or none for a feature that stays as it is.
    Marginal(Vec<Vec<[f32; 3]>>),
}

/// The density of the row once every bijection is undone.
#[derive(Clone, Debug, Default)]
pub enum Base {
    /// N(0, I), on the circle of a periodic feature the uniform density.
    #[default]
    StandardNormal,
    /// Independent Student-t densities of one number of degrees of freedom.
    StudentT {
        /// From 1 to 10,000.
        degrees_of_freedom: f32,
    },
    /// A mixture of Gaussians.
    Mixture(Vec<Component>),
    /// A mixture of multivariate Student-t densities of one number of degrees of freedom, whose
    /// factors are diagonal.
    StudentTMixture {
        /// From 1 to 10,000.
        degrees_of_freedom: f32,
        /// As of Gaussians.
        components: Vec<Component>,
    },
}

/// A component of a mixture.
#[derive(Clone, Debug)]
pub struct Component {
    /// ln of its share; the shares add up to 1.
    pub log_weight: f32,
    /// One a feature.
    pub mean: Vec<f32>,
    /// U with U^T U = the inverse of the covariance: D x D, row-major, what lies on and above
    /// the diagonal is used; or D entries, the diagonal alone.
    pub precision_factor: Vec<f32>,
}

/// A dense layer.
#[derive(Clone, Debug)]
pub struct Linear {
    /// Outputs.
    pub rows: usize,
    /// Inputs.
    pub columns: usize,
    /// Row-major, `rows` x `columns`.
    pub weights: Vec<f32>,
    /// One an output.
    pub bias: Vec<f32>,
}

/// A model file in memory, on a 4-byte boundary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFile {
    words: Vec<u32>,
    length: usize,
}

impl ModelFile {
    /// Copies the bytes of a file to an aligned place.
    pub fn new(bytes: &[u8]) -> Self {
        let mut words = alloc::vec![0u32; bytes.len().div_ceil(4)];
        for (place, byte) in
            bytemuck::must_cast_slice_mut::<u32, u8>(&mut words).iter_mut().zip(bytes)
        {
            *place = *byte;
        }
        Self { words, length: bytes.len() }
    }

    /// The bytes of the file.
    pub fn bytes(&self) -> &[u8] {
        &bytemuck::must_cast_slice(&self.words)[..self.length]
    }
}

impl Description {
    /// Writes the file.
    ///
    /// # Panics
    ///
    /// Where a matrix does not have the size it says. Whether the model makes sense is for
    /// [`Model::from_bytes`](crate::Model::from_bytes) to say.
    pub fn to_file(&self) -> ModelFile {
        let mut sections = Vec::new();
        sections.extend(self.flows().map(|flow| (tag::FLOW, bytes_of(&flow.words(self.math)))));
        let others = self.others.iter().map(|other| (&other.features, &other.context));
        let columns = core::iter::once((&self.features, &self.context)).chain(others);
        let standardisations = columns.map(|(features, context)| {
            bytes_of(&standardisation_words(features.iter().chain(context)))
        });
        let mut standardisations: Vec<_> = standardisations.collect();
        if standardisations.windows(2).all(|pair| pair[0] == pair[1]) {
            standardisations.truncate(1);
        }
        sections.extend(standardisations.into_iter().map(|bytes| (tag::STANDARDISATION, bytes)));
        let columns = || self.features.iter().chain(&self.context);
        sections.push((tag::NAMES, names(columns())));
        sections.extend(column_words(columns()).map(|words| (tag::COLUMNS, bytes_of(&words))));
        if !self.others.is_empty() {
            sections.push((tag::SHARES, bytes_of(&bits(self.log_shares.iter().copied()))));
        }
        if !self.balances.is_empty() {
            let words = bits(self.balances.iter().copied().flat_map(Balance::words));
            sections.push((tag::SCORE, bytes_of(&words)));
        }
        if let Some(calibration) = &self.calibration {
            sections.push((tag::CALIBRATION, calibration.contents()));
        }
        sections.extend(attribution(&self.quantiles));
        sections.extend(signal_section(&self.signal));
        #[cfg(feature = "detector")]
        if let Some(detector) = &self.detector {
            sections.push((tag::DETECTOR, detector.contents()));
        }
        if !self.provenance.is_empty() {
            sections.push((tag::PROVENANCE, self.provenance.clone().into_bytes()));
        }
        let vectors = self.self_test.iter().map(|(row, results)| (&row[..], &results[..]));
        sections.extend(self_test(vectors));
        envelope(&sections)
    }

    /// The first flow and the others.
    fn flows(&self) -> impl Iterator<Item = Flow<'_>> {
        let Self { features, context, layers, base, .. } = self;
        let others = self.others.iter().map(|other| {
            let Member { features, context, layers, base } = other;
            Flow::over(features, context, layers, base)
        });
        core::iter::once(Flow::over(features, context, layers, base)).chain(others)
    }
}

/// Section 8, where there are values.
fn attribution(quantiles: &[Vec<f32>]) -> Option<(u32, Vec<u8>)> {
    let first = quantiles.first()?;
    let mut words = alloc::vec![first.len() as u32];
    words.extend(bits(quantiles.iter().flatten().copied()));
    Some((tag::ATTRIBUTION, bytes_of(&words)))
}

/// Section 6, of rows and what comes of them; none without rows.
fn self_test<'d>(vectors: impl Iterator<Item = (&'d [f32], &'d [f32])>) -> Option<(u32, Vec<u8>)> {
    let words = bits(vectors.flat_map(|(row, results)| row.iter().chain(results)).copied());
    (!words.is_empty()).then(|| (tag::SELF_TEST, bytes_of(&words)))
}

/// Section 16; none without words.
fn signal_section(words: &[u32]) -> Option<(u32, Vec<u8>)> {
    (!words.is_empty()).then(|| (tag::SIGNAL, bytes_of(words)))
}

/// Section 3.
fn names<'d>(columns: impl Iterator<Item = &'d Feature>) -> Vec<u8> {
    columns.flat_map(|feature| encode(&feature.name.as_str())).collect()
}

/// Section 5, of the features and then the context.
fn standardisation_words<'d>(columns: impl Iterator<Item = &'d Feature>) -> Vec<u32> {
    let values = columns.flat_map(|f| [f.centre, f.scale, f.low, f.high]);
    values.map(f32::to_bits).collect()
}

/// Section 9, of the features and then the context; none where no column has an offset or steps.
fn column_words<'d>(columns: impl Iterator<Item = &'d Feature> + Clone) -> Option<Vec<u32>> {
    let words = |column: &Feature| {
        let offset = column.offset.to_bits();
        [offset as u32, (offset >> 32) as u32, column.step.to_bits()]
    };
    let mut all = columns.clone();
    let is_needed = all.any(|column| column.offset != 0.0 || column.step != 0.0);
    is_needed.then(|| columns.flat_map(words).collect())
}

/// Floats as words.
fn bits(floats: impl Iterator<Item = f32>) -> Vec<u32> {
    floats.map(f32::to_bits).collect()
}

impl<'d> Flow<'d> {
    /// Over rows of these columns.
    fn over(
        features: &'d [Feature],
        context: &'d [Feature],
        layers: &'d [Layer],
        base: &'d Base,
    ) -> Self {
        let columns = features.iter().enumerate();
        let periodic = columns.filter(|(_, feature)| feature.periodic).map(|(number, _)| number);
        let sizes = Sizes { features: features.len(), context: context.len() };
        Self { sizes, periodic: periodic.collect(), layers, base }
    }

    /// Section 1.
    fn words(self, math: u32) -> Vec<u32> {
        let Self { mut sizes, mut periodic, .. } = self;
        let Sizes { features, context } = sizes;
        let mut records = Vec::new();
        let mut parameters: Vec<f32> = Vec::new();
        for layer in self.layers {
            let offset = parameters.len();
            if let Layer::Split(mapped) = layer {
                sizes.features = *mapped;
            }
            let Some((kind, settings)) = layer.append(sizes, periodic, &mut parameters) else {
                continue;
            };
            periodic = layer.moved(periodic, features);
            let length = parameters.len() - offset;
            let head = [kind as usize, offset, length, sizes.features];
            let mut record: Vec<u32> = head.map(|word| word as u32).into();
            record.extend(settings);
            record.resize(Record::WORDS, 0);
            records.extend(record);
        }
        let (base, [first, second]) = self.base.append(features, periodic, &mut parameters);
        let mut words = alloc::vec![
            features as u32,
            context as u32,
            base,
            math,
            (records.len() / Record::WORDS) as u32,
            parameters.len() as u32,
            first,
            second,
        ];
        words.extend(records);
        words.extend(parameters.iter().map(|parameter| parameter.to_bits()));
        words
    }
}

impl Layer {
    /// The periodic features on the layer's side of the base, given those on the side of the data.
    fn moved(&self, periodic: Periodic, features: usize) -> Periodic {
        match self {
            Self::Permutation(order) => {
                let own = order.iter().map(|from| *from as usize);
                periodic.permuted(own.chain(order.len()..features))
            }
            _ => periodic,
        }
    }

    /// Appends the layer's parameters and returns its kind and settings; none for a split. `periodic`
    /// are the features of its row that are.
    fn append(
        &self,
        Sizes { features, context }: Sizes,
        periodic: Periodic,
        parameters: &mut Vec<f32>,
    ) -> Option<(Kind, Vec<u32>)> {
        Some(match self {
            Self::Split(_) => return None,
            Self::Permutation(order) => {
                parameters.extend(order.iter().map(|entry| f32::from_bits(*entry)));
                (Kind::Permutation, Vec::new())
            }
            Self::Coupling { transformed, map, network } => {
                let (outputs, _) = transformed.sizes(features);
                let (output, hidden) = network.split_last().expect("a network has an output layer");
                for linear in hidden {
                    linear.append(parameters, blocks(linear.rows), |row| row, |_| linear.columns);
                }
                let place = |row: usize| map.row(row % outputs, row / outputs);
                output.append(parameters, map.rows(outputs) / ROWS, place, |_| output.columns);
                let half = match transformed {
                    Half::First => 0,
                    Half::Second => 1,
                    Half::Both => 2,
                };
                // An affine map of all features sees none of them, and leaves those on circles.
                let circles = match (transformed, map) {
                    (Half::Both, ScalarMap::Affine { .. }) => Periodic::default(),
                    _ => periodic,
                };
                (Kind::Coupling, settings(half, *map, hidden, circles))
            }
            Self::Autoregressive { given, map, network } => {
                let degrees = Degrees { features, context };
                let (output, hidden) = network.split_last().expect("a network has an output layer");
                let seen = |before, known| degrees.seen(periodic, before, known);
                let (mut before, mut counts, mut matrices) = (None, Vec::new(), Vec::new());
                for (layer, linear) in hidden.iter().enumerate() {
                    let columns = |row| seen(before, degrees.degree(layer, linear.rows, row));
                    let blocks = blocks(linear.rows);
                    counts.extend(linear.append(&mut matrices, blocks, |row| row, columns));
                    before = Some((layer, linear.rows));
                }
                let place = |row: usize| map.row(row % features, row / features);
                let columns = |row: usize| seen(before, row % features);
                let blocks = map.rows(features) / ROWS;
                counts.extend(output.append(&mut matrices, blocks, place, columns));
                parameters.extend(counts.into_iter().map(f32::from_bits));
                parameters.extend(matrices);
                let side = match given {
                    Side::X => 0,
                    Side::Z => 1,
                };
                (Kind::Autoregressive, settings(side, *map, hidden, periodic))
            }
            Self::ActNorm { shift, scale } => {
                parameters.extend(shift);
                parameters.extend(scale);
                (Kind::ActNorm, Vec::new())
            }
            Self::LuLinear { channels, lower, upper } => {
                let size = *channels;
                let below = |column: usize| (column + 1..size).map(move |row| (row, column));
                for (row, column) in (0..size).flat_map(below) {
                    parameters.push(lower[row * size + column]);
                }
                append_upper(upper, size, parameters);
                (Kind::LuLinear, alloc::vec![size as u32])
            }
            Self::Marginal(knots) => {
                let transformed = || knots.iter().enumerate().filter(|(_, own)| !own.is_empty());
                let bits: u64 = transformed().map(|(feature, _)| 1 << feature).sum();
                let count = transformed().next().map_or(0, |(_, own)| own.len());
                parameters.extend(knots.iter().flatten().flatten());
                (Kind::Marginal, alloc::vec![count as u32, bits as u32, (bits >> 32) as u32])
            }
        })
    }
}

/// Settings of a layer with a network: its side, its map, the widths of its hidden layers, and the
/// mask of the periodic features.
fn settings(side: u32, map: ScalarMap, hidden: &[Linear], periodic: Periodic) -> Vec<u32> {
    let (kind, bound) = map.settings();
    let mut settings = alloc::vec![side, bound.to_bits(), hidden.len() as u32];
    settings.extend(hidden.iter().map(|linear| linear.rows as u32));
    settings.resize(ScalarMap::KIND, 0);
    settings.push(kind);
    settings.extend(periodic.words());
    settings
}

/// Appends the columns of an upper triangular matrix down to the diagonal.
fn append_upper(matrix: &[f32], size: usize, parameters: &mut Vec<f32>) {
    for column in 0..size {
        parameters.extend((0..=column).map(|row| matrix[row * size + column]));
    }
}

impl Base {
    /// Appends the base's parameters and returns its kind and settings.
    fn append(
        &self,
        features: usize,
        periodic: Periodic,
        parameters: &mut Vec<f32>,
    ) -> (u32, [u32; 2]) {
        match self {
            Self::StandardNormal => (base::Base::STANDARD_NORMAL, periodic.words()),
            Self::StudentT { degrees_of_freedom } => {
                (base::Base::STUDENT_T, [degrees_of_freedom.to_bits(), 0])
            }
            Self::Mixture(components) => {
                let full =
                    components.iter().any(|component| component.precision_factor.len() > features);
                components.iter().for_each(|component| component.append(full, parameters));
                (base::Base::MIXTURE, [components.len() as u32, u32::from(full)])
            }
            Self::StudentTMixture { degrees_of_freedom, components } => {
                components.iter().for_each(|component| component.append(false, parameters));
                let settings = [components.len() as u32, degrees_of_freedom.to_bits()];
                (base::Base::STUDENT_T_MIXTURE, settings)
            }
        }
    }
}

impl Component {
    /// Appends its parameters, with the packed triangle of its factor where that is `full`.
    fn append(&self, full: bool, parameters: &mut Vec<f32>) {
        let Self { log_weight, mean, precision_factor } = self;
        parameters.push(*log_weight);
        parameters.extend(mean);
        match full {
            true => append_upper(precision_factor, mean.len(), parameters),
            false => parameters.extend(precision_factor),
        }
    }
}

impl Linear {
    /// Appends the matrix in the kernel's order: row r at `place(r)`, in `blocks` blocks of 8
    /// rows. Row r has its first `seen(r)` columns; a block has as many as one of its rows.
    /// Returns the number of columns of each block.
    fn append(
        &self,
        parameters: &mut Vec<f32>,
        blocks: usize,
        place: impl Fn(usize) -> usize,
        seen: impl Fn(usize) -> usize,
    ) -> Vec<u32> {
        assert_eq!(self.weights.len(), self.rows * self.columns, "weights are rows x columns");
        assert_eq!(self.bias.len(), self.rows, "one bias a row");
        let mut counts = Vec::new();
        for block in 0..blocks {
            let rows = || (0..self.rows).filter(|row| place(*row) / ROWS == block);
            let columns = rows().map(&seen).max().unwrap_or(0);
            counts.push(columns as u32);
            let start = parameters.len();
            parameters.resize(start + ROWS * (1 + columns), 0.0);
            let matrix = &mut parameters[start..];
            for row in rows() {
                matrix[bias_position(place(row))] = self.bias[row];
                for column in 0..seen(row) {
                    let weight = self.weights[row * self.columns + column];
                    matrix[position(place(row), column)] = weight;
                }
            }
        }
        counts
    }
}

/// The file in `bytes` with other contents of its section `tag`, or with that section besides where it has none.
///
/// # Errors
///
/// Where `bytes` are not the envelope of a model file; what is in the sections is not looked at.
pub fn with_section(bytes: &[u8], tag: u32, contents: Vec<u8>) -> Result<ModelFile, Error> {
    File::open(bytes)?;
    let sections = bytes.get(HEADER..).unwrap_or_default();
    let (sections, _) = postcard::take_from_bytes::<Vec<Section>>(sections)
        .map_err(|_| Error::Malformed { section: 0 })?;
    let mut sections: Vec<_> =
        sections.into_iter().map(|own| (own.tag, own.contents.to_vec())).collect();
    match sections.iter_mut().find(|(own, _)| *own == tag) {
        Some((_, own)) => *own = contents,
        None => sections.push((tag, contents)),
    }
    Ok(envelope(&sections))
}

/// Packs sections of (tag, contents) into a file, each aligned, with length and checksum.
pub fn envelope(sections: &[(u32, Vec<u8>)]) -> ModelFile {
    let mut bytes = encode(&(MAGIC, VERSION, [0u8; 4], sections.len() as u32));
    for (tag, contents) in sections {
        // The pad's own length is one byte whatever it is, so one trial tells what is missing.
        let behind = encode(&Section { tag: *tag, pad: &[], contents }).len() - contents.len();
        let pad = (bytes.len() + behind).next_multiple_of(4) - (bytes.len() + behind);
        bytes.extend(encode(&Section { tag: *tag, pad: &[0; 3][..pad], contents }));
    }
    let length = bytes.len() + 4;
    bytes[6..10].copy_from_slice(&(length as u32).to_le_bytes());
    bytes.extend(checksum(&bytes).to_le_bytes());
    ModelFile::new(&bytes)
}

fn bytes_of(words: &[u32]) -> Vec<u8> {
    bytemuck::must_cast_slice(words).to_vec()
}

fn encode(value: &impl Serialize) -> Vec<u8> {
    postcard::to_allocvec(value).expect("postcard encodes into memory that grows")
}
