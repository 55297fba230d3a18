//! What scores mean: p-values, and thresholds for any false-alarm rate.
//!
//! Normal rows that training never saw are scored, and their scores kept in the file. With n of them,
//! the p-value of a score s is (1 + number of them that are s or more) / (n + 1): of normal rows at
//! most a share p has a p-value of p or less, whatever the model (split conformal prediction, Vovk et
//! al. 2005; Bates et al. 2023, "Testing for outliers with conformal p-values", equation 2). Ties and
//! scores that the table leaves out make it larger, never smaller.
//!
//! The smallest such p-value is 1 / (n + 1). Beyond the largest score in the file it goes on
//! along a generalised Pareto tail (Pickands 1975; Coles 2001, section 4.3), an extrapolation that
//! rests on a fit and not on rows:
//!
//! `p = share (1 + shape (s - start) / scale)^(-1 / shape)`, or with shape 0
//! `p = share exp(-(s - start) / scale)`
//!
//! In a file, section 2 has n, T and Q; T pairs of a false-alarm rate and its threshold, `f32`, the one
//! that [`is_anomaly`](crate::Flow::is_anomaly) uses first; Q entries of a score, `f32`, and the number
//! of held-out rows above it, in ascending order of the scores; and where there is a tail its start,
//! scale, shape, share and the standard error of its shape, `f32`.

use crate::Error;
#[cfg(feature = "detector")]
use crate::file::checksum;
use crate::file::tag;
use crate::math::{Math, bounded};

/// Words before the thresholds.
const HEADER: usize = 3;

/// Shapes closer to 0 are 0 in a file: in f32 they cannot be told from it.
const SMALLEST_SHAPE: f32 = 1e-3;

/// Largest shape; the rows of a heavier tail than its have no use as a yardstick.
const LARGEST_SHAPE: f32 = 10.0;

/// Where a tail starts, and its scale and its inverse, are within it.
const LARGEST: f32 = 1e12;

/// Smallest false-alarm rate that a threshold may be asked for.
const SMALLEST_RATE: f32 = 1e-9;

/// The score above which a row is an anomaly, and what it rests on.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Threshold {
    /// Number of held-out normal rows that it was computed from.
    pub rows: u32,
    /// Share of normal rows that it lets score above it.
    pub false_alarm_rate: f32,
    /// The score, in the unit of the model's [`Score`](crate::Score).
    pub score: f32,
}

/// The scores of held-out normal rows, borrowed from a model file.
#[derive(Clone, Copy, Debug)]
pub struct Calibration<'m> {
    rows: u32,
    /// False-alarm rate and score.
    thresholds: &'m [[f32; 2]],
    /// Score, and number of rows above it.
    quantiles: &'m [[u32; 2]],
    tail: Option<Tail>,
}

/// A generalised Pareto distribution of the largest scores.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Tail {
    /// The score that it starts at.
    pub start: f32,
    /// Its scale, in the score's unit; positive.
    pub scale: f32,
    /// Its shape, 0 or more: of 0 it is exponential, and the larger it is the heavier.
    pub shape: f32,
    /// Share of normal rows above its start.
    pub share: f32,
    /// Standard error of the shape.
    pub shape_error: f32,
}

impl Tail {
    /// Words in a file.
    pub(crate) const WORDS: usize = 5;

    fn read(words: [f32; Self::WORDS]) -> Self {
        let [start, scale, shape, share, shape_error] = words;
        Self { start, scale, shape, share, shape_error }
    }

    /// As a file holds it.
    #[cfg(feature = "write")]
    pub(crate) fn words(self) -> [f32; Self::WORDS] {
        let Self { start, scale, shape, share, shape_error } = self;
        [start, scale, shape, share, shape_error]
    }

    pub(crate) fn is_usable(self) -> bool {
        let shapes = SMALLEST_SHAPE..=LARGEST_SHAPE;
        self.start.abs() <= LARGEST
            && (1.0 / LARGEST..=LARGEST).contains(&self.scale)
            && (self.shape == 0.0 || shapes.contains(&self.shape))
            && is_rate(self.share)
            && self.shape_error >= 0.0
            && self.shape_error.is_finite()
    }

    /// Share of normal rows that score `score` or more, from the start on.
    pub fn p_value<M: Math>(self, score: f32) -> f32 {
        let excess = bounded((score - self.start) / self.scale);
        let log_survival = match self.shape {
            0.0 => excess,
            shape => M::ln(1.0 + shape * excess) / shape,
        };
        self.share * M::exp(if log_survival < 80.0 { -log_survival } else { -80.0 })
    }

    /// The score that a share `rate` of normal rows reach; `rate` is at most the tail's share.
    pub fn quantile<M: Math>(self, rate: f32) -> f32 {
        let log_survival = M::ln(self.share / rate);
        let excess = match self.shape {
            0.0 => log_survival,
            shape => {
                let power = shape * log_survival;
                (M::exp(if power < 80.0 { power } else { 80.0 }) - 1.0) / shape
            }
        };
        self.start + bounded(excess) * self.scale
    }
}

impl<'m> Calibration<'m> {
    /// Views the words of section 2, and checks every one.
    pub(crate) fn read(words: &'m [u32]) -> Result<Self, Error> {
        let length = |expected| {
            let actual = words.len();
            Error::SectionLength { tag: tag::CALIBRATION, actual, expected }
        };
        let (header, rest) = words.split_first_chunk::<HEADER>().ok_or(length(HEADER))?;
        let [rows, thresholds, quantiles] = *header;
        let (thresholds, quantiles) = (thresholds as usize, quantiles as usize);
        let pairs = thresholds.saturating_add(quantiles).saturating_mul(2);
        let without_tail = length(pairs.saturating_add(HEADER));
        let (thresholds, rest) = thresholds
            .checked_mul(2)
            .and_then(|at| rest.split_at_checked(at))
            .ok_or(without_tail)?;
        let (quantiles, rest) = quantiles
            .checked_mul(2)
            .and_then(|at| rest.split_at_checked(at))
            .ok_or(without_tail)?;
        let (thresholds, _) = bytemuck::must_cast_slice::<u32, f32>(thresholds).as_chunks();
        let (quantiles, _) = quantiles.as_chunks();
        let tail = match *bytemuck::must_cast_slice::<u32, f32>(rest) {
            [] => None,
            [start, scale, shape, share, shape_error] => {
                Some(Tail::read([start, scale, shape, share, shape_error]))
            }
            _ => return Err(length(pairs.saturating_add(HEADER + Tail::WORDS))),
        };
        let calibration = Self { rows, thresholds, quantiles, tail };
        if calibration.is_usable() { Ok(calibration) } else { Err(Error::Calibration) }
    }

    /// Of scores that were gathered on site: what [`Calibration::read`] would have found usable.
    #[cfg(feature = "detector")]
    pub(crate) fn of_scores(
        rows: u32,
        thresholds: &'m [[f32; 2]],
        quantiles: &'m [[u32; 2]],
        tail: Option<Tail>,
    ) -> Self {
        Self { rows, thresholds, quantiles, tail }
    }

    /// CRC-32C of the number of rows and the table.
    #[cfg(feature = "detector")]
    pub(crate) fn checksum(&self) -> u32 {
        let table = checksum(bytemuck::must_cast_slice(self.quantiles));
        checksum(bytemuck::must_cast_slice(&[self.rows, table]))
    }

    /// Whether there is a threshold, rates are rates, and the entries ascend.
    fn is_usable(self) -> bool {
        let is_threshold = |[rate, score]: &[f32; 2]| is_rate(*rate) && score.is_finite();
        let mut last = (f32::MIN, self.rows);
        let mut ascend = true;
        for (score, above) in self.quantiles() {
            ascend &=
                score.is_finite() && above < last.1 && (score > last.0 || last.1 == self.rows);
            last = (score, above);
        }
        let is_sound = !self.thresholds.is_empty() && self.thresholds.iter().all(is_threshold);
        is_sound && ascend && self.tail.is_none_or(Tail::is_usable)
    }

    /// Number of held-out normal rows, n.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// The thresholds that the file was asked for, the one that decides what is an anomaly first.
    pub fn thresholds(&self) -> impl Iterator<Item = Threshold> + use<'m> {
        let rows = self.rows;
        let pairs = self.thresholds.iter();
        pairs.map(move |[rate, score]| Threshold { rows, false_alarm_rate: *rate, score: *score })
    }

    /// Scores of held-out rows in ascending order, each with the number of held-out rows above it.
    pub fn quantiles(&self) -> impl Iterator<Item = (f32, u32)> + use<'m> {
        self.quantiles.iter().map(|entry| read(*entry))
    }

    /// The tail beyond them, where there were rows enough to fit one.
    pub fn tail(&self) -> Option<Tail> {
        self.tail
    }

    /// Share of normal rows that score `score` or more, at most: below 1 / (n + 1) by the tail.
    pub fn p_value<M: Math>(&self, score: f32) -> f32 {
        let above = self.above(score);
        let p_value = self.conformal(above);
        match self.tail {
            Some(tail) if above == 0 => {
                let extrapolated = tail.p_value::<M>(score);
                if extrapolated < p_value { extrapolated } else { p_value }
            }
            _ => p_value,
        }
    }

    /// The p-value that rests on held-out rows alone, without the tail: 1 / (n + 1) or more.
    #[cfg(feature = "detector")]
    pub fn conformal_p_value(&self, score: f32) -> f32 {
        self.conformal(self.above(score))
    }

    /// The conformal p-values that a row may have, from 1 down, each with how many of the n + 1 places that
    /// n held-out rows leave for another one have it.
    #[cfg(feature = "detector")]
    pub(crate) fn places(self) -> impl Iterator<Item = (f32, f32)> + use<'m> {
        let mut above = self.rows;
        // Above the largest entry there is one place more than there are rows.
        let ends = self.quantiles().map(|(_, above)| Some(above)).chain([None]);
        ends.map(move |end| {
            let p_value = self.conformal(above);
            let places = end.map_or(above as f32 + 1.0, |end| above.saturating_sub(end) as f32);
            above = end.unwrap_or(0);
            (p_value, places)
        })
    }

    /// The score at or below which half of the held-out rows are, as near as the table has one, and the
    /// share of rows above it.
    #[cfg(feature = "detector")]
    pub(crate) fn median(&self) -> (f32, f32) {
        let half = self.rows / 2;
        let place = self.quantiles.partition_point(|entry| read(*entry).1 > half);
        match self.quantiles.get(place) {
            Some(entry) => {
                let (score, above) = read(*entry);
                (score, self.conformal(above))
            }
            None => (0.0, 0.5),
        }
    }

    /// Number of held-out rows that score `score` or more, at most.
    fn above(&self, score: f32) -> u32 {
        let below = self.quantiles.partition_point(|entry| read(*entry).0 < score);
        match below.checked_sub(1).and_then(|last| self.quantiles.get(last)) {
            Some(entry) => read(*entry).1,
            None => self.rows,
        }
    }

    /// The smallest score in the file that at most a share `rate` of normal rows exceed: exactly
    /// the rows above it have a [p-value](Self::p_value) of `rate` or less. For a rate below
    /// 1 / (n + 1) it is the tail's.
    pub fn threshold_at<M: Math>(&self, rate: f32) -> Result<f32, Error> {
        if !(SMALLEST_RATE..1.0).contains(&rate) {
            return Err(Error::Rate);
        }
        let place = self.quantiles.partition_point(|entry| self.conformal(read(*entry).1) > rate);
        if let Some(entry) = self.quantiles.get(place) {
            return Ok(read(*entry).0);
        }
        let too_few = Error::FewRows { rows: self.rows };
        let tail = self.tail.filter(|tail| rate < tail.share).ok_or(too_few)?;
        let (extrapolated, largest) = (tail.quantile::<M>(rate), self.largest());
        Ok(if extrapolated > largest { extrapolated } else { largest })
    }

    /// The largest score of a held-out row.
    fn largest(&self) -> f32 {
        self.quantiles.last().map_or(f32::MIN, |entry| read(*entry).0)
    }

    /// (1 + above) / (1 + n), where `above` held-out rows score as high.
    fn conformal(&self, above: u32) -> f32 {
        (1.0 + above as f32) / (1.0 + self.rows as f32)
    }
}

/// Score, and number of rows above it.
fn read([score, above]: [u32; 2]) -> (f32, u32) {
    (f32::from_bits(score), above)
}

/// Whether it is a share of rows.
fn is_rate(rate: f32) -> bool {
    rate > 0.0 && rate <= 1.0
}
