//! Fixed layers between the standardisation and the flow: what the context does to each feature,
//! marginal transforms and whitening.
//!
//! They are fitted to the training rows once and stand in the file in front of the trained
//! layers. Rows are transformed by the device's own code, and their log-determinant counts, so
//! log-densities compare whatever the transform.

use flowlet::write::{Base, Description, Feature, Layer, ModelFile};
use flowlet::{Libm, Memory, Model};

use crate::error::Result;
use crate::training::loss;
use crate::training::marginal;
use crate::training::mixture;

/// Gain of a feature's log-density on further rows, nats, from which on `auto` transforms it.
const GAIN: f64 = 0.1;

/// Which features get a marginal transform.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Marginal {
    /// None of them.
    #[default]
    None,
    /// Those whose own density on the rows for early stopping gains from it by 0.1 nats or more.
    Auto,
    /// All of them.
    All,
}

/// What to fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// Marginal transforms.
    pub marginal: Marginal,
    /// Whitening, behind them.
    pub whiten: bool,
}

/// Standardised rows, row-major, each with its context behind it.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// Row by row.
    pub values: &'a [f32],
    /// D.
    pub features: usize,
    /// C.
    pub context: usize,
}

impl<'a> Rows<'a> {
    /// Each row and its context.
    pub fn rows(self) -> impl Iterator<Item = (&'a [f32], &'a [f32])> + Clone {
        let rows = self.values.chunks_exact(self.features + self.context);
        rows.map(move |row| row.split_at(self.features))
    }

    /// The values of one feature.
    fn of(self, feature: usize) -> impl Iterator<Item = f32> + use<'a> {
        self.rows().map(move |(row, _)| row[feature])
    }
}

/// The layers, and the device's code for them.
#[derive(Clone, Debug)]
pub struct Transform {
    layers: Vec<Layer>,
    features: usize,
    context: usize,
    file: ModelFile,
    /// For each feature, what the marginal transform gains on further rows, if it has one, nats.
    pub gains: Vec<Option<f64>>,
    /// The same of its shift and scale given the context.
    pub context_gains: Vec<Option<f64>>,
}

impl Transform {
    /// Fits `choice` to `training` rows, behind the `conditional` layer, with which comes what it gains
    /// for each feature; `further` rows say what is worth it.
    pub fn fit(
        choice: Choice,
        conditional: Option<(Layer, Vec<Option<f64>>)>,
        training: Rows,
        further: Rows,
        seed: u64,
    ) -> Result<Self> {
        let mut transform = Self::identity(training.features, training.context);
        if let Some((layer, gains)) = conditional {
            transform = transform.then(layer);
            transform.context_gains = gains;
        }
        if choice.marginal != Marginal::None {
            let [values, further_values] = [training, further].map(|rows| transform.applied(rows));
            let rows = Rows { values: &values, ..training };
            let further = Rows { values: &further_values, ..further };
            let (chosen, gains) = marginal(choice.marginal, rows, further);
            if gains.iter().any(Option::is_some) {
                transform = transform.then(Layer::Marginal(chosen));
            }
            transform.gains = gains;
        }
        if choice.whiten {
            let values = transform.applied(training);
            transform = transform.then(whitening(Rows { values: &values, ..training }, seed)?);
        }
        Ok(transform)
    }

    /// No layer, for rows of so many features and context values.
    pub fn identity(features: usize, context: usize) -> Self {
        let gains = vec![None; features];
        let file = file(&[], features, context);
        let (layers, context_gains) = (Vec::new(), gains.clone());
        Self { layers, features, context, file, gains, context_gains }
    }

    fn then(mut self, layer: Layer) -> Self {
        self.layers.push(layer);
        self.file = file(&self.layers, self.features, self.context);
        self
    }

    /// The layers as the device's file holds them, in the order of the inverse (x to z).
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Whether a linear map whitens the rows.
    pub fn is_whitening(&self) -> bool {
        self.layers.iter().any(|layer| matches!(layer, Layer::LuLinear { .. }))
    }

    /// Transforms `rows`, row-major, each with its context behind it, in place. Returns log |det| of
    /// each row.
    pub fn apply(&self, rows: &mut [f32]) -> Vec<f64> {
        let width = self.features + self.context;
        if self.layers.is_empty() {
            return vec![0.0; rows.len() / width];
        }
        let model = Model::<Libm>::from_bytes(self.file.bytes()).expect("layers just fitted");
        let mut memory = Memory::of(&model);
        let log_det = |row: &mut [f32]| {
            let (row, context) = row.split_at_mut(self.features);
            let log_det = model.given(context).inverse(row, &mut memory.scratch());
            f64::from(log_det.expect("rows are finite"))
        };
        rows.chunks_exact_mut(width).map(log_det).collect()
    }

    /// The rows, transformed.
    fn applied(&self, rows: Rows) -> Vec<f32> {
        let mut values = rows.values.to_vec();
        self.apply(&mut values);
        values
    }
}

/// A model file of `layers` alone, over rows that are standardised already.
fn file(layers: &[Layer], features: usize, context: usize) -> ModelFile {
    let feature = |_| Feature {
        name: String::new(),
        centre: 0.0,
        scale: 1.0,
        low: 0.0,
        high: 0.0,
        periodic: false,
        offset: 0.0,
        step: 0.0,
    };
    let description = Description {
        features: (0..features).map(feature).collect(),
        context: (0..context).map(feature).collect(),
        layers: layers.to_vec(),
        ..Description::default()
    };
    description.to_file()
}

/// The knots of each feature, none where it stays as it is, and what those with knots gain.
fn marginal(choice: Marginal, rows: Rows, further: Rows) -> (Vec<Vec<[f32; 3]>>, Vec<Option<f64>>) {
    let own = |feature: usize| {
        let mut values: Vec<f32> = rows.of(feature).collect();
        values.sort_unstable_by(f32::total_cmp);
        let knots = marginal::knots(&values);
        let mut alone = vec![Vec::new(); rows.features];
        alone[feature] = knots.clone();
        let gain = gain(Layer::Marginal(alone), feature, further);
        match choice == Marginal::All || gain >= GAIN {
            true => (knots, Some(gain)),
            false => (Vec::new(), None),
        }
    };
    (0..rows.features).map(own).unzip()
}

/// Mean log-density of `feature` under N(0, 1) behind a layer that maps no other one, minus that in
/// front of it, neither counting its wildest rows.
pub fn gain(layer: Layer, feature: usize, rows: Rows) -> f64 {
    let transform = Transform::identity(rows.features, rows.context).then(layer);
    let mut mapped = rows.values.to_vec();
    let log_dets = transform.apply(&mut mapped);
    let losses = |values: &[f32], log_dets: &[f64]| {
        let values = Rows { values, ..rows }.of(feature).zip(log_dets);
        loss::mean(&values.map(|(x, log)| 0.5 * f64::from(x * x) - log).collect::<Vec<_>>())
    };
    losses(rows.values, &vec![0.0; log_dets.len()]) - losses(&mapped, &log_dets)
}

/// The linear map that gives the rows a unit covariance.
fn whitening(rows: Rows, seed: u64) -> Result<Layer> {
    let features = rows.features;
    let values: Vec<f32> = rows.rows().flat_map(|(row, _)| row).copied().collect();
    let (flow, _) = mixture::fit(&values, features, 1..=1, seed, || false)?;
    let (_, base) = flow.export();
    let mut lower = vec![0.0; features * features];
    lower.iter_mut().step_by(features + 1).for_each(|entry| *entry = 1.0);
    let upper = match base {
        Base::Mixture(mut components) => components.swap_remove(0).precision_factor,
        Base::StandardNormal | Base::StudentT { .. } | Base::StudentTMixture { .. } => {
            lower.clone()
        }
    };
    Ok(Layer::LuLinear { channels: features, lower, upper })
}
