//! From trained flows to the bytes of their file.

use flowlet::write::{self, Calibration, Description, ModelFile};
use flowlet::{Balance, Terms, Usual};

use crate::device;
use crate::error::Result;
use crate::message::escape;
use crate::rows::dataset::Dataset;
use crate::rows::split::Split;
use crate::rows::standardise::Column;
use crate::training::alarms::Alarms;
use crate::training::ensemble::{Member, log_shares};
use crate::training::{balance, calibrate};

/// Self-test vectors in a file.
const VECTORS: usize = 4;
/// Values of each feature that attribution tries: these quantiles of the training rows, so that every
/// mode of a feature has one near it.
const QUANTILES: [f64; 9] = [0.01, 0.08, 0.2, 0.35, 0.5, 0.65, 0.8, 0.92, 0.99];

/// What rows are judged by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Score {
    /// The terms of the log-density, each in its own spread over normal rows: the better detector where
    /// operating points differ.
    #[default]
    Balanced,
    /// Minus the log-density.
    LogDensity,
}

/// What a file holds besides its flows.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// [`flowlet::Math::ID`] of its arithmetic.
    pub math: u32,
    /// What rows are judged by.
    pub score: Score,
    /// Shares of normal rows that may score above each threshold, the one that decides first.
    pub false_alarm_rates: Vec<f64>,
    /// When scores become an alarm.
    pub alarms: Alarms,
    /// How rows come from a raw signal, the words of a `Signal`; nothing where they come as they are.
    pub signal: Vec<u32>,
}

/// Writes the file of `members`, the last `context` columns their context, with a calibration from the
/// rows of `split` and self-test vectors.
///
/// All of that is computed by the device's code from the file's own earlier forms.
pub fn export(
    members: &[Member],
    columns: &[Column],
    context: usize,
    split: &Split,
    judgement: &Judgement,
    provenance: &[(&str, String)],
) -> Result<ModelFile> {
    let mut description = describe(members, columns, context);
    description.math = judgement.math;
    description.signal.clone_from(&judgement.signal);
    // A name that holds a line break must not make a line of its own.
    description.provenance =
        provenance.iter().map(|(key, value)| format!("{key}={}\n", escape(value))).collect();
    set_score(&mut description, &split.early_stopping, judgement.score)?;
    let with = |calibration| Description { calibration, ..description.clone() }.to_file();
    let calibration = calibrate(with, split, &judgement.false_alarm_rates)?;
    description.detector =
        Some(judgement.alarms.detector(&calibration.quantiles, calibration.rows));
    description.calibration = Some(calibration);
    description.quantiles = quantiles(&split.training, description.features.len());
    let draft = description.to_file();
    let mut device = device::open(&draft, "the trained model")?;
    let far: Vec<f32> = columns.iter().map(|c| c.feature.centre + 30.0 * c.feature.scale).collect();
    let vectors = split.held_out.single_rows().take(VECTORS - 1).chain([far]);
    for row in vectors.filter(|row| row.iter().all(|value| value.is_finite())) {
        let results = [device.log_density(&row)?, device.score(&row)?];
        description.self_test.push((row, results));
    }
    let file = description.to_file();
    device::open(&file, "the finished model")?.self_test()?;
    Ok(file)
}

/// Values of each of the first `features` columns in the training rows, ascending.
pub fn quantiles(training: &Dataset, features: usize) -> Vec<Vec<f32>> {
    let of_feature = |feature| {
        let ascending = training.ascending(feature);
        let last = (ascending.len() - 1) as f64;
        QUANTILES.iter().map(|share| ascending[(share * last).round() as usize] as f32).collect()
    };
    (0..features).map(of_feature).collect()
}

/// The shares of several flows, and how the score balances each.
fn set_score(description: &mut Description, rows: &Dataset, score: Score) -> Result<()> {
    let draft = description.to_file();
    let mut device = device::open(&draft, "the trained flows")?;
    let terms = rows.single_rows().map(|row| device.terms(&row));
    let terms: Vec<Vec<Terms>> = terms.collect::<Result<_>>()?;
    let flows = 1 + description.others.len();
    if flows > 1 {
        let log_densities =
            |row: &Vec<Terms>| row.iter().map(|own| f64::from(own.log_density())).collect();
        let log_densities: Vec<Vec<f64>> = terms.iter().map(log_densities).collect();
        description.log_shares = log_shares(&log_densities, flows);
    }
    if score == Score::Balanced {
        description.balances = balance::of(&terms);
    }
    Ok(())
}

/// What scores mean, with a threshold for each of `rates`; `file` is the model with what is known of
/// that.
pub fn calibrate(
    file: impl Fn(Option<Calibration>) -> ModelFile,
    split: &Split,
    rates: &[f64],
) -> Result<Calibration> {
    let draft = file(None);
    let mut device = device::open(&draft, "the trained model")?;
    let calibration = calibrate::calibration(&mut *device, &split.training, &split.held_out)?;
    with_thresholds(file, calibration, rates, split.held_out.independent())
}

/// The same scores with a threshold for each of `rates`, where rows are worth the share `independent` of
/// their number.
pub fn with_thresholds(
    file: impl Fn(Option<Calibration>) -> ModelFile,
    calibration: Calibration,
    rates: &[f64],
    independent: f64,
) -> Result<Calibration> {
    let mut thresholds: Vec<_> = rates.iter().map(|rate| (*rate as f32, 0.0)).collect();
    let draft = file(Some(Calibration { thresholds: thresholds.clone(), ..calibration.clone() }));
    let device = device::open(&draft, "the trained model")?;
    for (rate, threshold) in &mut thresholds {
        *threshold = calibrate::threshold(&*device, *rate, independent)?;
    }
    Ok(Calibration { thresholds, ..calibration })
}

/// The file of `members` without what rows tell: no calibration and no vectors.
pub fn draft(members: &[Member], columns: &[Column], context: usize) -> ModelFile {
    describe(members, columns, context).to_file()
}

/// A file of the length that [`export`] will give those of `members`, up to a few bytes of its
/// provenance, of `text` bytes, and to held-out rows of equal scores: what a model will take of a
/// device, before it is trained. Its thresholds come from `held_out` rows.
pub fn sketch(
    members: &[Member],
    columns: &[Column],
    context: usize,
    held_out: usize,
    judgement: &Judgement,
    text: usize,
) -> ModelFile {
    let mut description = describe(members, columns, context);
    if judgement.score == Score::Balanced {
        let usual = Usual { median: 1.0, deviation: 1.0 };
        let balance = Balance { base: usual, log_det_jacobian: usual };
        description.balances = vec![balance; members.len()];
    }
    description.signal.clone_from(&judgement.signal);
    let calibration = calibrate::sketch(held_out, judgement.false_alarm_rates.len());
    description.detector =
        Some(judgement.alarms.detector(&calibration.quantiles, calibration.rows));
    description.calibration = Some(calibration);
    description.quantiles = vec![vec![0.0; QUANTILES.len()]; description.features.len()];
    description.provenance = " ".repeat(text);
    description.self_test = vec![(vec![0.0; columns.len()], [0.0; 2]); VECTORS];
    description.to_file()
}

/// The flows alone, in equal shares.
fn describe(members: &[Member], columns: &[Column], context: usize) -> Description {
    let mut features: Vec<_> = columns.iter().map(|column| column.feature.clone()).collect();
    let context = features.split_off(columns.len() - context);
    // All were trained on rows of one standardisation.
    let mut flows = members.iter().map(|Member { fitted, .. }| {
        let (layers, base) = fitted.flow.export();
        (fitted.transform.layers().iter().cloned().chain(layers).collect(), base)
    });
    let (layers, base) = flows.next().unwrap_or_default();
    let other = |(layers, base)| write::Member {
        features: features.clone(),
        context: context.clone(),
        layers,
        base,
    };
    let others = flows.map(other).collect();
    let log_shares = vec![-(members.len() as f32).ln(); members.len()];
    Description { features, context, layers, base, others, log_shares, ..Description::default() }
}
