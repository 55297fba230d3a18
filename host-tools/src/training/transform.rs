//! Fixed layers between the standardisation and the flow: marginal transforms and whitening.
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

/// The layers, and the device's code for them.
#[derive(Clone, Debug)]
pub struct Transform {
    layers: Vec<Layer>,
    features: usize,
    file: ModelFile,
    /// For each feature, what the marginal transform gains on further rows, if it has one, nats.
    pub gains: Vec<Option<f64>>,
}

impl Transform {
    /// Fits `choice` to standardised rows, row-major, of `features` features; `further` rows say
    /// what is worth it.
    pub fn fit(
        choice: Choice,
        rows: &[f32],
        further: &[f32],
        features: usize,
        seed: u64,
    ) -> Result<Self> {
        let mut transform = Self::identity(features);
        if choice.marginal != Marginal::None {
            transform = Self::marginal(choice.marginal, rows, further, features);
        }
        if choice.whiten {
            let mut rows = rows.to_vec();
            transform.apply(&mut rows, features);
            let whitening = whitening(&rows, features, seed)?;
            let layers = transform.layers.iter().cloned().chain([whitening]).collect();
            transform = Self { gains: transform.gains, ..Self::of(layers, features) };
        }
        Ok(transform)
    }

    /// No layer.
    pub fn identity(features: usize) -> Self {
        Self::of(Vec::new(), features)
    }

    fn of(layers: Vec<Layer>, features: usize) -> Self {
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
            layers: layers.clone(),
            ..Description::default()
        };
        Self { layers, features, file: description.to_file(), gains: vec![None; features] }
    }

    fn marginal(choice: Marginal, rows: &[f32], further: &[f32], features: usize) -> Self {
        let knots: Vec<_> = (0..features)
            .map(|feature| {
                let mut values: Vec<f32> =
                    rows.iter().skip(feature).step_by(features).copied().collect();
                values.sort_unstable_by(f32::total_cmp);
                marginal::knots(&values)
            })
            .collect();
        let gains: Vec<_> = knots
            .iter()
            .enumerate()
            .map(|(feature, own)| {
                let gain = gain(feature, own, further, features);
                (choice == Marginal::All || gain >= GAIN).then_some(gain)
            })
            .collect();
        let chosen = knots.into_iter().zip(&gains);
        let chosen: Vec<_> =
            chosen.map(|(own, gain)| if gain.is_some() { own } else { Vec::new() }).collect();
        let is_any = gains.iter().any(Option::is_some);
        let layers = if is_any { vec![Layer::Marginal(chosen)] } else { Vec::new() };
        Self { gains, ..Self::of(layers, features) }
    }

    /// The layers as the device's file holds them, in the order of the inverse (x to z).
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Whether a linear map whitens the rows.
    pub fn is_whitening(&self) -> bool {
        self.layers.iter().any(|layer| matches!(layer, Layer::LuLinear { .. }))
    }

    /// Transforms the features at the start of each of `rows`, row-major of this `width`, in
    /// place. Returns log |det| of each row.
    pub fn apply(&self, rows: &mut [f32], width: usize) -> Vec<f64> {
        if self.layers.is_empty() {
            return vec![0.0; rows.len() / width];
        }
        let model = Model::<Libm>::from_bytes(self.file.bytes()).expect("layers just fitted");
        let mut memory = Memory::of(&model);
        let log_det = |row: &mut [f32]| {
            let log_det = model.inverse(&mut row[..self.features], &mut memory.scratch());
            f64::from(log_det.expect("rows are finite"))
        };
        rows.chunks_exact_mut(width).map(log_det).collect()
    }
}

/// Mean log-density of a feature under its knots minus that under N(0, 1), neither counting its
/// wildest rows.
fn gain(feature: usize, knots: &[[f32; 3]], rows: &[f32], features: usize) -> f64 {
    let mut alone = vec![Vec::new(); features];
    alone[feature] = knots.to_vec();
    let transform = Transform::of(vec![Layer::Marginal(alone)], features);
    let mut mapped = rows.to_vec();
    let log_dets = transform.apply(&mut mapped, features);
    let losses = |rows: &[f32], log_dets: &[f64]| {
        let values = rows.iter().skip(feature).step_by(features).zip(log_dets);
        loss::mean(&values.map(|(x, log)| 0.5 * f64::from(x * x) - log).collect::<Vec<_>>())
    };
    losses(rows, &vec![0.0; log_dets.len()]) - losses(&mapped, &log_dets)
}

/// The linear map that gives the rows a unit covariance.
fn whitening(rows: &[f32], features: usize, seed: u64) -> Result<Layer> {
    let (flow, _) = mixture::fit(rows, features, 1..=1, seed, || false)?;
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
