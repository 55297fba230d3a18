//! What the user asks for of each channel: `rms,kurtosis,bands:6`.

use std::str::FromStr;

use flowlet::signal::Feature;

use crate::message::excerpt;

/// One entry of `--features`.
#[derive(Clone, Debug, PartialEq)]
pub enum Choice {
    /// One number a channel.
    Single(Feature),
    /// Energies of so many bands of one width.
    Bands(usize),
    /// Energies of the bands between these frequencies, in Hz, ascending.
    Edges(Vec<f64>),
    /// Of every pair of channels.
    Correlation,
}

/// Those that are one number a channel, by their names.
const SINGLE: [(&str, Feature); 9] = [
    ("mean", Feature::Mean),
    ("deviation", Feature::Deviation),
    ("rms", Feature::RootMeanSquare),
    ("peak-to-peak", Feature::PeakToPeak),
    ("crest-factor", Feature::CrestFactor),
    ("skewness", Feature::Skewness),
    ("kurtosis", Feature::Kurtosis),
    ("zero-crossings", Feature::ZeroCrossings),
    ("dominant-frequency", Feature::DominantFrequency),
];

/// The other names.
const OTHERS: [&str; 2] = ["bands:6", "correlation"];

/// What suits vibration: how strong, how peaked, and at which frequencies.
pub const DEFAULT: &str = "mean,deviation,crest-factor,kurtosis,skewness,bands:6";

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Some((_, feature)) = SINGLE.iter().find(|(name, _)| *name == text) {
            return Ok(Self::Single(*feature));
        }
        match text.strip_prefix("bands:") {
            Some(bands) => return self::bands(bands),
            None if text == "correlation" => return Ok(Self::Correlation),
            None => {}
        }
        let names = || SINGLE.iter().map(|(name, _)| *name).chain(OTHERS);
        let likeness = |name: &str| strsim::jaro_winkler(name, text);
        let nearest = names().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
        let nearest = nearest.filter(|name| likeness(name) > 0.8);
        let meant = nearest.map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default();
        let names = names().collect::<Vec<_>>().join(", ");
        Err(format!("no feature `{}`{meant}; there are {names}", excerpt(text)))
    }
}

fn bands(text: &str) -> Result<Choice, String> {
    let refusal = "expected a number of bands from 1 to 32, such as bands:6, or two or more \
                   ascending frequencies in Hz, such as bands:10-100-1000";
    if let Ok(count) = text.parse() {
        return if (1..=32).contains(&count) {
            Ok(Choice::Bands(count))
        } else {
            Err(refusal.into())
        };
    }
    let edges: Option<Vec<f64>> = text.split('-').map(|edge| edge.trim().parse().ok()).collect();
    let ascend = |edges: &Vec<f64>| {
        edges.len() >= 2
            && edges.iter().all(|edge| edge.is_finite() && *edge >= 0.0)
            && edges.windows(2).all(|pair| pair[0] < pair[1])
    };
    edges.filter(ascend).map(Choice::Edges).ok_or_else(|| refusal.into())
}

impl Choice {
    /// Whether it takes a spectrum, and so a window whose length is a power of two.
    pub fn needs_spectrum(&self) -> bool {
        match self {
            Self::Single(feature) => feature.needs_spectrum(),
            Self::Bands(_) | Self::Edges(_) => true,
            Self::Correlation => false,
        }
    }
}

/// The bins that `count` bands of a window of `window` samples start at, and that behind the last one:
/// all of one width, so that none has so few bins that the logarithm of its energy is mostly chance.
pub fn bins(count: usize, window: usize) -> Option<Vec<usize>> {
    let half = window / 2;
    let edge = |band: usize| 1 + (band * half + count / 2) / count;
    (count <= half).then(|| (0..=count).map(edge).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bands_are_every_bin_once(count in 1usize..32, power in 3u32..13) {
            let window = 1 << power;
            match bins(count, window) {
                Some(edges) => {
                    prop_assert_eq!((edges[0], edges[count]), (1, window / 2 + 1));
                    prop_assert!(edges.windows(2).all(|pair| pair[0] < pair[1]));
                }
                None => prop_assert!(count > window / 2, "{count} bands of {window}"),
            }
        }
    }

    #[test]
    fn a_misspelt_feature_names_the_nearest() {
        let refusal = "kurtosys".parse::<Choice>().expect_err("misspelt");
        assert!(refusal.contains("did you mean `kurtosis`"), "{refusal}");
        for text in ["bands:0", "bands:33", "bands:", "bands:5", "bands:10-5", "bands:-1-5"] {
            assert_eq!(text.parse::<Choice>().is_ok(), text == "bands:5", "{text}");
        }
        assert_eq!("bands:0-10-25".parse(), Ok(Choice::Edges(vec![0.0, 10.0, 25.0])));
    }
}
