//! How much of a row its code keeps: what decode(encode(x)) is off, feature by feature.

use serde::Serialize;

use super::device::Latent;
use crate::error::Result;
use crate::rows::damage::quantile;
use crate::training::loss;

/// What becomes of one feature on its way through the code and back, over rows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FeatureError {
    /// Its name.
    pub feature: String,
    /// Root of the mean square of decode(encode(x)) - x, in its unit, without the largest hundredth, so
    /// that no single row decides.
    pub error: f64,
    /// 1 - the square of the error over that of the distance from the feature's median, taken over rows
    /// alike; none of a feature that does not vary. It is below 0 where the median alone is nearer.
    pub explained: Option<f64>,
}

/// Rows and what came back of them.
#[derive(Clone, Debug, Default)]
pub struct RoundTrip {
    /// Of each feature, its values.
    values: Vec<Vec<f64>>,
    /// The squares of what decode(encode(x)) is off.
    squares: Vec<Vec<f64>>,
}

impl RoundTrip {
    /// Sends a row of `features` values and a context on its way.
    pub fn add(&mut self, latent: &mut dyn Latent, row: &[f32], features: usize) -> Result<()> {
        let (x, context) = row.split_at(features);
        let code = latent.encode(row)?;
        let decoded = latent.decode(&code, context)?;
        self.values.resize(features, Vec::new());
        self.squares.resize(features, Vec::new());
        for (feature, (x, decoded)) in x.iter().zip(decoded).enumerate() {
            let (x, decoded) = (f64::from(*x), f64::from(decoded));
            self.values[feature].push(x);
            self.squares[feature].push((decoded - x).powi(2));
        }
        Ok(())
    }

    /// Of each feature; nothing without rows.
    pub fn errors(&self, names: &[String]) -> Vec<FeatureError> {
        let own = |((name, values), squares): ((&String, &Vec<f64>), &Vec<f64>)| {
            let mut ascending = values.clone();
            ascending.sort_unstable_by(f64::total_cmp);
            let median = quantile(&ascending, 0.5);
            let spread: Vec<f64> = values.iter().map(|x| (x - median).powi(2)).collect();
            let (left, spread) = (loss::mean(squares), loss::mean(&spread));
            let explained = (spread > 0.0).then(|| 1.0 - left / spread);
            FeatureError { feature: name.clone(), error: left.sqrt(), explained }
        };
        names.iter().zip(&self.values).zip(&self.squares).map(own).collect()
    }
}

/// The mean share that is explained over the features that vary.
pub fn mean_explained(errors: &[FeatureError]) -> Option<f64> {
    let shares = errors.iter().filter_map(|own| own.explained);
    let count = shares.clone().count();
    (count > 0).then(|| shares.sum::<f64>() / count as f64)
}

impl std::fmt::Display for FeatureError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(formatter, "{:.4}", self.error)?;
        match self.explained {
            Some(explained) => {
                write!(formatter, ", {:.1} % of its spread explained", 100.0 * explained)
            }
            None => write!(formatter, ", it does not vary"),
        }
    }
}
