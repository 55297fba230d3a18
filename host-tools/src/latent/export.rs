//! From a trained latent model to the bytes of its file.

use flowlet::write::{Calibration, LatentDescription, ModelFile};

use super::fit::Fitted;
use super::points;
use super::twin::Decoder;
use crate::device;
use crate::error::Result;
use crate::message::escape;
use crate::rows::split::Split;
use crate::rows::standardise::Column;
use crate::training::alarms::Alarms;
use crate::training::export::{calibrate, quantiles};

/// Self-test vectors in a file.
const VECTORS: usize = 4;

/// What a file holds besides the model.
#[derive(Clone, Debug)]
pub struct Judgement<'a> {
    /// [`flowlet::Math::ID`] of its arithmetic.
    pub math: u32,
    /// Points for the bound.
    pub points: usize,
    /// Of the points.
    pub seed: u64,
    /// Shares of normal rows that may score above each threshold, the one that decides first.
    pub false_alarm_rates: &'a [f64],
    /// When scores become an alarm.
    pub alarms: &'a Alarms,
    /// How rows come from a raw signal, the words of a `Signal`; nothing where they come as they are.
    pub signal: &'a [u32],
}

/// Writes the file of a model with a calibration from the rows of `split` and self-test vectors, all
/// computed by the device's code from the file's own earlier forms.
pub fn export(
    fitted: &Fitted,
    columns: &[Column],
    split: &Split,
    judgement: &Judgement,
    provenance: &[(&str, String)],
) -> Result<ModelFile> {
    let mut description = describe(fitted, columns);
    let Judgement { math, points, seed, false_alarm_rates, alarms, signal } = *judgement;
    description.math = math;
    description.signal = signal.to_vec();
    description.points = points::normal(points, description.latents, seed);
    // A name that holds a line break must not make a line of its own.
    description.provenance =
        provenance.iter().map(|(key, value)| format!("{key}={}\n", escape(value))).collect();
    let with = |calibration: Option<Calibration>| {
        LatentDescription { calibration, ..description.clone() }.to_file()
    };
    let calibration = calibrate(with, split, false_alarm_rates)?;
    description.detector = Some(alarms.detector(&calibration.quantiles, calibration.rows));
    description.calibration = Some(calibration);
    description.quantiles = match fitted.options.likelihood {
        Decoder::Gaussian | Decoder::StudentT => {
            quantiles(&split.training, description.features.len())
        }
        Decoder::Bernoulli => vec![vec![0.0, 1.0]; description.features.len()],
    };
    let draft = description.to_file();
    let mut device = device::open(&draft, "the trained model")?;
    let far: Vec<f32> = columns.iter().map(|c| c.feature.centre + 30.0 * c.feature.scale).collect();
    for row in split.held_out.single_rows().take(VECTORS - 1).chain([far]) {
        // The far row of binary features is none.
        if let Ok(score) = device.score(&row) {
            description.self_test.push((row, score));
        }
    }
    let file = description.to_file();
    device::open(&file, "the finished model")?.self_test()?;
    Ok(file)
}

/// The model alone.
pub fn describe(fitted: &Fitted, columns: &[Column]) -> LatentDescription {
    let mut features: Vec<_> = columns.iter().map(|column| column.feature.clone()).collect();
    let context = features.split_off(columns.len() - fitted.options.context);
    let (encoder, decoder, posterior, prior) = fitted.model.export();
    let (latents, summary) = fitted.model.sizes();
    LatentDescription {
        features,
        context,
        latents,
        summary,
        likelihood: fitted.model.likelihood(),
        encoder,
        decoder,
        posterior,
        prior,
        ..LatentDescription::default()
    }
}
