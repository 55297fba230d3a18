//! Which features the alarms of a model blame.
//!
//! Of a flow it is the attribution of each alarm ([`flowlet::attribution`]): by how much each feature
//! raises the score. Of a latent model it is the residual: how far each feature lies from what the latent
//! values explain.

use serde::Serialize;

use crate::device::Device;
use crate::error::{Error, Result};
use crate::judged::Judged;
use crate::message::excerpt;

/// Most alarms that are asked, spread evenly over all: each takes 19 scores a feature.
const MOST: usize = 500;
/// Most features in a text.
const NAMED: usize = 8;

/// What a number of alarms blame.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Blame {
    /// Which rows the alarms are of.
    pub rows: Alarms,
    /// Number of alarms.
    pub alarms: usize,
    /// How many of them were asked.
    pub asked: usize,
    /// What was asked of each feature.
    pub measure: Measure,
    /// All features, those that most alarms blame first.
    pub features: Vec<FeatureBlame>,
}

/// What the alarms asked say of one feature.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FeatureBlame {
    /// Its name.
    pub feature: String,
    /// Share of the alarms that blame it more than any other feature.
    pub most_blamed: f64,
    /// Mean of the measure over the alarms.
    pub mean: f64,
}

/// Rows that score above the threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Alarms {
    /// Anomalies by their label.
    Anomalies,
    /// Rows of either kind, since no anomaly is among them.
    All,
}

/// What is asked of each feature of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// By how much its value raises the score.
    Attribution,
    /// How far it lies from what the latent values explain, in deviations.
    Residual,
}

impl Blame {
    /// Of the anomalies among `judged` that score above the threshold, or where there is none of all
    /// rows that do. None without an alarm, or where the file has nothing to answer with.
    pub fn of(device: &mut dyn Device, judged: &[Judged]) -> Result<Option<Self>> {
        let Some(threshold) = device.threshold() else { return Ok(None) };
        let above = judged.iter().filter(|own| own.score > threshold.score);
        let (anomalies, others): (Vec<_>, Vec<_>) = above.partition(|own| own.is_anomaly);
        let (rows, alarms) = match anomalies.is_empty() {
            true => (Alarms::All, others),
            false => (Alarms::Anomalies, anomalies),
        };
        let asked = alarms.len().min(MOST);
        let mut all = Vec::with_capacity(asked);
        for number in 0..asked {
            match ask(device, &alarms[number * alarms.len() / asked].row)? {
                Some(answer) => all.push(answer),
                None => return Ok(None),
            }
        }
        let Some((measure, _)) = all.first() else { return Ok(None) };
        let (names, measure) = (device.feature_names(), *measure);
        let answers: Vec<Vec<f32>> = all.into_iter().map(|(_, values)| values).collect();
        let features = features(names, &answers);
        Ok(Some(Self { rows, alarms: alarms.len(), asked, measure, features }))
    }

    /// The alarms and the features that most of them blame, a line each.
    pub fn text(&self) -> String {
        let blamed = self.features.iter().filter(|own| own.most_blamed > 0.0).take(NAMED);
        let line = |FeatureBlame { feature, most_blamed, mean }: &FeatureBlame| {
            let name = format!("  {}, {} {mean:.2}", excerpt(feature), self.measure.describe());
            format!("{name:<40} {most_blamed:>12.4}\n")
        };
        let alarms = self.describe();
        format!(
            "{alarms}; share that blames most the feature\n{}",
            blamed.map(line).collect::<String>()
        )
    }

    /// Which alarms, in words.
    pub fn describe(&self) -> String {
        let Self { rows, alarms, asked, .. } = self;
        let rows = match rows {
            Alarms::Anomalies => "alarms of anomalies",
            Alarms::All => "alarms",
        };
        let asked =
            if asked < alarms { format!(", of which {asked} were asked") } else { "".into() };
        format!("{alarms} {rows}{asked}")
    }
}

impl Measure {
    fn describe(self) -> &'static str {
        match self {
            Self::Attribution => "mean attribution",
            Self::Residual => "mean residual",
        }
    }
}

/// How much a row blames each feature; none where the file has nothing to answer with.
fn ask(device: &mut dyn Device, row: &[f32]) -> Result<Option<(Measure, Vec<f32>)>> {
    match device.attribute(row) {
        Ok(attribution) => Ok(Some((Measure::Attribution, attribution))),
        Err(Error::Device(flowlet::Error::NoQuantiles | flowlet::Error::IsLatent)) => {
            let Some(latent) = device.latent() else { return Ok(None) };
            let residuals = latent.residuals(row)?;
            Ok(Some((Measure::Residual, residuals.into_iter().map(f32::abs).collect())))
        }
        Err(error) => Err(error),
    }
}

/// Those that most of `answers` blame first, and among those that none blames most the larger means.
fn features(names: Vec<String>, answers: &[Vec<f32>]) -> Vec<FeatureBlame> {
    let largest = |values: &Vec<f32>| {
        let places = 0..values.len();
        places.reduce(|best, place| if values[place] > values[best] { place } else { best })
    };
    let most_blamed: Vec<_> = answers.iter().map(largest).collect();
    let feature = |(place, feature)| {
        let count = most_blamed.iter().filter(|own| **own == Some(place)).count();
        let sum: f64 = answers.iter().map(|values| f64::from(values[place])).sum();
        let alarms = answers.len() as f64;
        FeatureBlame { feature, most_blamed: count as f64 / alarms, mean: sum / alarms }
    };
    let mut features: Vec<_> = names.into_iter().enumerate().map(feature).collect();
    let key = |own: &FeatureBlame| (own.most_blamed, own.mean);
    features.sort_by(|a, b| key(b).partial_cmp(&key(a)).unwrap_or(std::cmp::Ordering::Equal));
    features
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_alarm_blames_one_feature_most_and_the_most_blamed_comes_first(
            answers in prop::collection::vec(prop::collection::vec(0f32..9.0, 3), 1..40)
        ) {
            let names = ["a", "b", "c"].map(String::from).to_vec();
            let features = features(names, &answers);
            let sum: f64 = features.iter().map(|own| own.most_blamed).sum();
            prop_assert!((sum - 1.0).abs() < 1e-9);
            prop_assert!(features.is_sorted_by(|a, b| a.most_blamed >= b.most_blamed));
            for (place, name) in ["a", "b", "c"].into_iter().enumerate() {
                let own = features.iter().find(|own| own.feature == name).expect("all are there");
                let count = answers.iter().filter(|values| {
                    (0..3).all(|other| values[other] < values[place] || other >= place)
                        && (0..3).all(|other| values[other] <= values[place])
                });
                prop_assert!((own.most_blamed - count.count() as f64 / answers.len() as f64).abs() < 1e-9);
            }
        }
    }
}
