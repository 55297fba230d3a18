//! What a file says of alarms and sensors: section 18.

use crate::Error;
use crate::detector::Sensor;
use crate::file::tag;

/// Most rows that a confirmation looks back on.
pub const MAX_CONFIRMATION_ROWS: u32 = 32;

/// Words before the sensors.
const HEADER: usize = 5;

/// Rows between two false alarms that a file may ask for.
const ROWS: core::ops::RangeInclusive<f32> = 2.0..=1e12;
/// Largest bound of a drift, in the score's unit.
const LARGEST_DRIFT: f32 = 1e12;

/// When scores become an alarm, and what working sensors give; borrowed from a model file.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'m> {
    rows_between_false_alarms: f32,
    confirmation: [u32; 2],
    drift: (f32, f32),
    sensors: &'m [[u32; Sensor::WORDS]],
    words: &'m [u32],
}

impl<'m> Settings<'m> {
    /// Views the words of section 18 in a file of so many features, and checks every one.
    pub(crate) fn read(words: &'m [u32], features: usize) -> Result<Self, Error> {
        let expected = HEADER + features * Sensor::WORDS;
        let length = Error::SectionLength { tag: tag::DETECTOR, actual: words.len(), expected };
        if words.len() != expected {
            return Err(length);
        }
        let (header, sensors) = words.split_first_chunk::<HEADER>().ok_or(length)?;
        let [rows, confirming, of_rows, bound, step] = *header;
        let [rows, bound, step] = [rows, bound, step].map(f32::from_bits);
        let (sensors, _) = sensors.as_chunks();
        let is_possible = [
            ROWS.contains(&rows),
            (1..=of_rows).contains(&confirming),
            of_rows <= MAX_CONFIRMATION_ROWS,
            (0.0..=LARGEST_DRIFT).contains(&bound),
            (0.0..=bound).contains(&step),
        ];
        if let Some(word) = is_possible.iter().position(|is_possible| !is_possible) {
            return Err(Error::Detector { word });
        }
        for (feature, words) in sensors.iter().enumerate() {
            let Sensor { low, high, .. } = Sensor::read(*words);
            let word = HEADER + feature * Sensor::WORDS;
            if !low.is_finite() {
                return Err(Error::Detector { word });
            }
            if !high.is_finite() || high < low {
                return Err(Error::Detector { word: word + 1 });
            }
        }
        Ok(Self {
            rows_between_false_alarms: rows,
            confirmation: [confirming, of_rows],
            drift: (bound, step),
            sensors,
            words,
        })
    }

    /// Number of features.
    pub fn features(&self) -> usize {
        self.sensors.len()
    }

    /// A: false alarms are so many rows apart in the mean, at least ([`mod@crate::detector`]).
    pub fn rows_between_false_alarms(&self) -> f32 {
        self.rows_between_false_alarms
    }

    /// k and n: an alarm starts only where k of the last n rows spoke against the machine.
    pub fn confirmation(&self) -> [u32; 2] {
        self.confirmation
    }

    /// The largest offset of the score by which a drift is followed, and its step a row, in the score's unit; 0 where
    /// none is.
    pub fn drift(&self) -> (f32, f32) {
        self.drift
    }

    /// What a working sensor of each feature gives.
    pub fn sensors(&self) -> impl Iterator<Item = Sensor> + use<'m> {
        self.sensors.iter().map(|words| Sensor::read(*words))
    }

    /// The section.
    pub(super) fn words(&self) -> &'m [u32] {
        self.words
    }
}
