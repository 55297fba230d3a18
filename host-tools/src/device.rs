//! The device's own code on the host: whatever this tool evaluates, it computes with the crate
//! that the firmware links, bit for bit.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use flowlet::bijection::{Half, Layer, Side};
use flowlet::detector::{Detector, Settings};
use flowlet::signal::Recipe;
use flowlet::tally::{self, Question, Tally};
use flowlet::write::ModelFile;
use flowlet::{
    Balance, Base, Calibration, LatentModel, Libm, MAX_FEATURES, Math, Member, Memory, Micromath,
    Model, ScalarMap, Score, Scratch, Standardisation, Terms, Threshold,
};
use rand::Rng;

use crate::error::{Error, Result};
use crate::latent;
use crate::latent::device::{Latent, LatentSummary};
use crate::rows::table::Table;

/// Most bytes that are read of a model file, so that a device without end is refused.
const LONGEST: u64 = 256 << 20;

/// Key of that column in the provenance.
pub const SEGMENT: &str = "segment";

/// Reads a model file into aligned memory; nothing is checked yet.
pub fn read(path: &Path) -> Result<ModelFile> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LONGEST).read_to_end(&mut bytes));
    match read {
        Ok(_) => Ok(ModelFile::new(&bytes)),
        Err(source) => Err(Error::Read { path: path.display().to_string(), source }),
    }
}

/// Opens the model in `file` with the arithmetic that it was calibrated with.
pub fn open<'m>(file: &'m ModelFile, path: &str) -> Result<Box<dyn Device + 'm>> {
    let refuse = |source| Error::Model { path: path.into(), source };
    match Model::<Libm>::from_bytes(file.bytes()) {
        Ok(model) => Ok(Box::new(Loaded::new(model, "libm"))),
        Err(flowlet::Error::Math { file: Micromath::ID, .. }) => {
            let model = Model::<Micromath>::from_bytes(file.bytes()).map_err(refuse)?;
            Ok(Box::new(Loaded::new(model, "micromath")))
        }
        Err(flowlet::Error::IsLatent) => latent::device::open(file, path),
        Err(source) => Err(refuse(source)),
    }
}

/// What the file says of alarms, if it does.
pub fn detector_settings<'m>(file: &'m ModelFile, path: &str) -> Result<Option<Settings<'m>>> {
    Ok(judgement(file, path)?.0)
}

/// The detector in `file`.
pub fn detector<'m>(file: &'m ModelFile, path: &str) -> Result<Detector<'m, MAX_FEATURES>> {
    let refuse = |source| Error::Model { path: path.into(), source };
    let (settings, calibration) = judgement(file, path)?;
    let settings = settings.ok_or(refuse(flowlet::Error::NoDetector))?;
    let calibration = calibration.ok_or(refuse(flowlet::Error::NoCalibration))?;
    Detector::new(settings, calibration).map_err(refuse)
}

/// What `file` says of scores and alarms, whatever its arithmetic.
fn judgement<'m>(file: &'m ModelFile, path: &str) -> Result<Judgement<'m>> {
    fn of<'m, M: Math>(bytes: &'m [u8]) -> Result<Judgement<'m>, flowlet::Error> {
        match Model::<M>::from_bytes(bytes) {
            Err(flowlet::Error::IsLatent) => LatentModel::<M>::from_bytes(bytes)
                .map(|model| (model.detector_settings(), model.calibration())),
            model => model.map(|model| (model.detector_settings(), model.calibration())),
        }
    }
    let found = match of::<Libm>(file.bytes()) {
        Err(flowlet::Error::Math { file: Micromath::ID, .. }) => of::<Micromath>(file.bytes()),
        found => found,
    };
    found.map_err(|source| Error::Model { path: path.into(), source })
}

/// What a file says of alarms, and of scores.
type Judgement<'m> = (Option<Settings<'m>>, Option<Calibration<'m>>);

/// How the rows of the model in `file` come from a raw signal, if they do.
pub fn recipe(file: &ModelFile) -> Option<Recipe<'_>> {
    match Model::<Libm>::from_bytes(file.bytes()) {
        Ok(model) => model.recipe().ok(),
        Err(flowlet::Error::Math { .. }) => {
            Model::<Micromath>::from_bytes(file.bytes()).ok()?.recipe().ok()
        }
        Err(_) => latent::device::recipe(file),
    }
}

/// The column that told the recordings of the training signal apart.
pub fn segment(device: &dyn Device) -> Option<String> {
    let mut facts = device.summary().provenance.into_iter();
    facts.find(|(key, _)| key == SEGMENT).map(|(_, name)| name)
}

/// The verbs of [`Model`], whichever its [`Math`], and those that a latent model has too.
pub trait Device {
    /// Names of the features.
    fn feature_names(&self) -> Vec<String>;
    /// Names of the values that the density is conditioned on.
    fn context_names(&self) -> Vec<String>;
    /// What is subtracted from a value of each column, the features and then the context, before it
    /// is an f32.
    fn offsets(&self) -> Vec<f64>;
    /// Natural logarithm of the density at a row of the features and then the context, less their
    /// offsets; nats, raw units. A latent model has none.
    fn log_density(&mut self, row: &[f32]) -> Result<f32>;
    /// The anomaly score of such a row, which grows with abnormality.
    fn score(&mut self, row: &[f32]) -> Result<f32>;
    /// What the value of each feature adds to the score of such a row; an error where the file has no
    /// quantiles.
    fn attribute(&mut self, row: &[f32]) -> Result<Vec<f32>>;
    /// The terms of each flow's log-density at such a row, in nats.
    fn terms(&mut self, row: &[f32]) -> Result<Vec<Terms>>;
    /// Fills `x` with a draw, less its offsets, given a context less its own.
    fn sample(
        &mut self,
        random: &mut dyn Rng,
        temperature: f32,
        x: &mut [f32],
        context: &[f32],
    ) -> Result<()>;
    /// Number of self-test vectors, all of which gave the bits in the file.
    fn self_test(&mut self) -> Result<usize>;
    /// Of each feature, what nearly all training rows lie between, less its offset; nothing where the file
    /// keeps no quantiles.
    fn ranges(&self) -> Vec<[f32; 2]> {
        Vec::new()
    }
    /// The threshold in the file.
    fn threshold(&self) -> Option<Threshold>;
    /// What the scores of held-out rows were.
    fn calibration(&self) -> Option<Calibration<'_>>;
    /// Share of normal rows that score `score` or more, at most; none without a calibration.
    fn p_value(&self, score: f32) -> Option<f32>;
    /// The score that at most a share `rate` of normal rows exceed.
    fn threshold_at(&self, rate: f32) -> Result<f32>;
    /// Sum of ln scale: log-density of the standardised row minus that of the raw one, the mean
    /// over the flows of an ensemble.
    fn log_scale_sum(&self) -> f32;
    /// What the answer to `question` takes of such a row; without a row of a typical one while the
    /// weights are unknown. Of a latent model it is always the score's.
    fn tally(&self, row: Option<&[f32]>, question: Question) -> Result<Tally>;
    /// The centre of each context value's training values, less its offset.
    fn centre_of_context(&self) -> Vec<f32>;
    /// What only a latent model can be asked; none of a flow.
    fn latent(&mut self) -> Option<&mut dyn Latent> {
        None
    }
    /// What the file says of itself.
    fn summary(&self) -> Summary;
}

/// The columns of `table` that `device` takes as a row: its features, then its context.
pub fn columns(device: &dyn Device, table: &Table) -> Result<Vec<usize>> {
    let names = device.feature_names().into_iter().chain(device.context_names());
    names.map(|name| table.column(&name)).collect()
}

/// A row as the device takes it: each value less its column's offset, as an f32.
pub fn row(values: &[f64], offsets: &[f64]) -> Vec<f32> {
    values.iter().zip(offsets).map(|(value, offset)| (value - offset) as f32).collect()
}

/// What `inspect` shows.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Summary {
    /// Names of the features, in their order.
    pub features: Vec<String>,
    /// Names of the values that the density is conditioned on.
    pub context: Vec<String>,
    /// Offset and step of the features, then of the context.
    pub columns: Vec<ColumnSummary>,
    /// The features on circles.
    pub periodic: Vec<PeriodSummary>,
    /// The flows: one, or those of an ensemble.
    pub members: Vec<MemberSummary>,
    /// Shares of an ensemble's flows in its mixture; none of one flow.
    pub shares: Vec<f32>,
    /// What the score is.
    pub score: &'static str,
    /// How the balanced score balances each flow.
    pub balances: Vec<BalanceSummary>,
    /// Cargo features of flowlet that a firmware needs.
    pub cargo_features: Vec<&'static str>,
    /// Units of the widest hidden layer, in whole blocks of 8.
    pub width: usize,
    /// Weights, biases and entries of permutations.
    pub parameters: usize,
    /// Products of one log-density.
    pub multiply_adds: usize,
    /// Stack bytes of a call's memory on a 32-bit core.
    pub ram_bytes: usize,
    /// Name of the arithmetic.
    pub math: &'static str,
    /// Lines `key=value`.
    pub provenance: Vec<(String, String)>,
    /// What only a latent model has; its members are the posterior and the prior.
    pub latent: Option<LatentSummary>,
}

/// What `inspect` shows of a column.
#[derive(Clone, Debug, serde::Serialize)]
pub struct ColumnSummary {
    /// Its name.
    pub name: String,
    /// What is subtracted from its values before they are f32.
    pub offset: f64,
    /// Width of the steps that it comes in, 0 for none.
    pub step: f32,
}

/// What `inspect` shows of a feature on a circle: one period.
#[derive(Clone, Debug, serde::Serialize)]
pub struct PeriodSummary {
    /// The feature's name.
    pub feature: String,
    /// Where the period starts.
    pub low: f32,
    /// Where it ends.
    pub high: f32,
}

/// What `inspect` shows of how the score balances a flow: of the terms of its log-density over normal
/// rows, in nats.
#[derive(Clone, Debug, serde::Serialize)]
pub struct BalanceSummary {
    /// Median of the base's log-density.
    pub base_median: f32,
    /// Its deviation.
    pub base_deviation: f32,
    /// Median of the log-determinant.
    pub log_det_jacobian_median: f32,
    /// Its deviation.
    pub log_det_jacobian_deviation: f32,
}

/// What `inspect` shows of one flow.
#[derive(Clone, Debug, serde::Serialize)]
pub struct MemberSummary {
    /// One description a layer, in the order of the inverse (x to z).
    pub layers: Vec<String>,
    /// The base density.
    pub base: String,
    /// Weights, biases and entries of permutations.
    pub parameters: usize,
    /// Products of one log-density.
    pub multiply_adds: usize,
}

struct Loaded<'m, M: Math> {
    model: Model<'m, M>,
    math: &'static str,
    memory: Memory,
}

impl<'m, M: Math> Loaded<'m, M> {
    fn new(model: Model<'m, M>, math: &'static str) -> Self {
        let memory = Memory::of(&model);
        Self { model, math, memory }
    }
}

impl<M: Math> Device for Loaded<'_, M> {
    fn feature_names(&self) -> Vec<String> {
        self.model.feature_names().map(String::from).collect()
    }

    fn context_names(&self) -> Vec<String> {
        self.model.context_names().map(String::from).collect()
    }

    fn offsets(&self) -> Vec<f64> {
        let columns = self.model.features() + self.model.context();
        (0..columns).map(|index| self.model.offset(index)).collect()
    }

    fn log_density(&mut self, row: &[f32]) -> Result<f32> {
        let (x, context) = row.split_at(self.model.features());
        Ok(self.model.given(context).log_density(x, &mut self.memory.scratch())?)
    }

    fn score(&mut self, row: &[f32]) -> Result<f32> {
        let (x, context) = row.split_at(self.model.features());
        Ok(self.model.given(context).score(x, &mut self.memory.scratch())?)
    }

    fn attribute(&mut self, row: &[f32]) -> Result<Vec<f32>> {
        let (x, context) = row.split_at(self.model.features());
        let (mut x, mut attributions) = (x.to_vec(), vec![0.0; x.len()]);
        let given = self.model.given(context);
        given.attribute(&mut x, &mut attributions, &mut self.memory.scratch())?;
        Ok(attributions)
    }

    fn terms(&mut self, row: &[f32]) -> Result<Vec<Terms>> {
        let (x, context) = row.split_at(self.model.features());
        let flows = 0..self.model.members().len();
        let mut scratch = self.memory.scratch();
        let given = self.model.given(context);
        flows.map(|flow| Ok(given.terms(flow, x, &mut scratch)?)).collect()
    }

    fn sample(
        &mut self,
        mut random: &mut dyn Rng,
        temperature: f32,
        x: &mut [f32],
        context: &[f32],
    ) -> Result<()> {
        let mut scratch = self.memory.scratch();
        Ok(self.model.given(context).sample(&mut random, temperature, x, &mut scratch)?)
    }

    fn self_test(&mut self) -> Result<usize> {
        Ok(self.model.self_test(&mut self.memory.scratch())?)
    }

    fn ranges(&self) -> Vec<[f32; 2]> {
        let Some(quantiles) = self.model.quantiles() else { return Vec::new() };
        let ends = |feature| match quantiles.of(feature) {
            [low, .., high] => Some([*low, *high]),
            _ => None,
        };
        (0..self.model.features()).filter_map(ends).collect()
    }

    fn threshold(&self) -> Option<Threshold> {
        self.model.threshold()
    }

    fn calibration(&self) -> Option<Calibration<'_>> {
        self.model.calibration()
    }

    fn p_value(&self, score: f32) -> Option<f32> {
        self.model.p_value(score).ok()
    }

    fn threshold_at(&self, rate: f32) -> Result<f32> {
        Ok(self.model.threshold_at(rate)?)
    }

    fn log_scale_sum(&self) -> f32 {
        self.model.log_scale_sum()
    }

    fn tally(&self, row: Option<&[f32]>, question: Question) -> Result<Tally> {
        let Some(row) = row else { return Ok(tally::of_shape(&self.model, question)) };
        let (x, context) = row.split_at(self.model.features());
        Ok(tally::of_row(&self.model, question, x, context)?)
    }

    fn centre_of_context(&self) -> Vec<f32> {
        let [first, ..] = self.model.members() else { return Vec::new() };
        first.context_standardisations().map(|own| own.centre).collect()
    }

    fn summary(&self) -> Summary {
        let model = &self.model;
        Summary {
            features: self.feature_names(),
            context: self.context_names(),
            columns: columns_of(model),
            periodic: periods(&self.feature_names(), &model.members()[0]),
            members: model.members().iter().map(summary).collect(),
            shares: model.log_shares().iter().map(|log_share| log_share.exp()).collect(),
            score: describe_score(model.score_kind()),
            balances: balances(model.score_kind()),
            cargo_features: model.cargo_features().collect::<BTreeSet<_>>().into_iter().collect(),
            width: model.width(),
            parameters: model.parameters(),
            multiply_adds: model.multiply_adds(),
            ram_bytes: Scratch::bytes(model.features(), model.context(), model.width()),
            math: self.math,
            provenance: facts(model.provenance()),
            latent: None,
        }
    }
}

pub(crate) fn summary(member: &Member) -> MemberSummary {
    MemberSummary {
        layers: describe_all(member),
        base: describe_base(member.base()),
        parameters: member.parameters(),
        multiply_adds: member.multiply_adds(),
    }
}

/// Key and value of each line of a provenance.
pub(crate) fn facts(provenance: &str) -> Vec<(String, String)> {
    let fact = |line: &str| {
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        (key.to_string(), value.to_string())
    };
    provenance.lines().map(fact).collect()
}

fn columns_of<M: Math>(model: &Model<M>) -> Vec<ColumnSummary> {
    let names = model.feature_names().chain(model.context_names()).enumerate();
    let column = |(index, name): (usize, &str)| ColumnSummary {
        name: name.into(),
        offset: model.offset(index),
        step: model.step(index),
    };
    names.map(column).collect()
}

/// The features that the base of a flow knows as periodic, followed back through permutations.
fn periods(names: &[String], member: &Member) -> Vec<PeriodSummary> {
    let Base::StandardNormal { periodic } = member.base() else { return Vec::new() };
    let mut order: Vec<usize> = (0..names.len()).collect();
    for layer in member.layers() {
        if let Layer::Permutation(permutation) = layer {
            // Behind a split it moves the first values alone.
            let own: Vec<usize> = permutation.order().map(|from| order[from]).collect();
            order.splice(..own.len(), own);
        }
    }
    let back = (0..names.len()).map(|feature| order.iter().position(|from| *from == feature));
    let periodic = periodic.permuted(back.flatten());
    let features = names.iter().zip(member.standardisations()).enumerate();
    features
        .filter(|(feature, _)| periodic.contains(*feature))
        .map(|(_, (name, Standardisation { centre, scale, .. }))| PeriodSummary {
            feature: name.clone(),
            low: centre - scale,
            high: centre + scale,
        })
        .collect()
}

/// A line a layer; one that maps only a part of the row says so.
fn describe_all(member: &Member) -> Vec<String> {
    let features = member.features();
    let line = |(mapped, layer)| match describe(layer) {
        text if mapped == features => text,
        text => format!("first {mapped} values: {text}"),
    };
    member.parts().map(line).collect()
}

fn describe(layer: Layer) -> String {
    let map = |map| match map {
        ScalarMap::Affine { .. } => "affine",
        ScalarMap::Spline { .. } => "spline",
    };
    let widths = |hidden: &mut dyn Iterator<Item = usize>| {
        hidden.map(|width| width.to_string()).collect::<Vec<_>>().join(", ")
    };
    match layer {
        Layer::Coupling(coupling) => {
            let half = match coupling.transformed() {
                Half::First => "first",
                Half::Second => "second",
                Half::Both => "both",
            };
            let widths = widths(&mut coupling.network().hidden());
            format!("{} coupling of the {half} half, hidden layers {widths}", map(coupling.map()))
        }
        Layer::Autoregressive(layer) => {
            let given = match layer.given() {
                Side::X => "x",
                Side::Z => "z",
            };
            let widths = widths(&mut layer.network().hidden());
            format!("{} autoregressive given {given}, hidden layers {widths}", map(layer.map()))
        }
        Layer::Permutation(permutation) => {
            let order: Vec<_> = permutation.order().map(|from| from.to_string()).collect();
            format!("permutation {}", order.join(" "))
        }
        Layer::ActNorm(_) => "act-norm".into(),
        Layer::LuLinear(layer) if layer.positions() > 1 => {
            let (channels, positions) = (layer.channels(), layer.positions());
            format!("1 x 1 convolution of {channels} channels at {positions} positions, LU form")
        }
        Layer::LuLinear(_) => "linear map, LU form".into(),
        Layer::Marginal(layer) => {
            let features: Vec<_> = layer.transformed().map(|feature| feature.to_string()).collect();
            format!("marginal transform of {}, {} knots each", features.join(" "), layer.knots())
        }
    }
}

fn describe_score(score: Score) -> &'static str {
    match score {
        Score::LogDensity => "minus the log-density, in nats",
        Score::Balanced(_) => "balanced, in deviations of normal rows",
    }
}

fn balances(score: Score) -> Vec<BalanceSummary> {
    score.balances().map(BalanceSummary::from).collect()
}

impl From<Balance> for BalanceSummary {
    fn from(Balance { base, log_det_jacobian }: Balance) -> Self {
        Self {
            base_median: base.median,
            base_deviation: base.deviation,
            log_det_jacobian_median: log_det_jacobian.median,
            log_det_jacobian_deviation: log_det_jacobian.deviation,
        }
    }
}

fn describe_base(base: Base) -> String {
    match base {
        Base::StandardNormal { periodic } if periodic.is_empty() => "standard normal".into(),
        Base::StandardNormal { .. } => "standard normal, uniform on circles".into(),
        Base::StudentT { degrees_of_freedom } => {
            format!("Student-t, {degrees_of_freedom} degrees of freedom")
        }
        Base::Mixture(mixture) => {
            let covariance = if mixture.is_full() { "full" } else { "diagonal" };
            format!("mixture of {} Gaussians, {covariance} covariance", mixture.components())
        }
        Base::StudentTMixture { mixture, degrees_of_freedom } => format!(
            "mixture of {} Student-t densities, {degrees_of_freedom} degrees of freedom",
            mixture.components()
        ),
    }
}
