//! Commissioning: the scores of the machine on site, from which the calibration comes that replaces the file's.
//!
//! A model is trained on rows of one machine, or of several, and runs on another: what it scores there is higher or
//! lower, and p-values are no longer what they promise. Commissioning scores normal rows of the machine itself and makes
//! the table anew. Learning on the device is this and no more: the flow, its score and the settings stay.

use heapless::Vec;

use crate::Error;
use crate::calibration::{Calibration, Tail};
use crate::math::Libm;

/// Thresholds of a file that commissioning sets anew, the first ones.
pub const MAX_THRESHOLDS: usize = 4;

/// Fewest scores that a calibration is made of.
pub const FEWEST_SCORES: u32 = 20;

/// Fewest scores that have a tail, and those of the largest ones that it is fitted to at least, and at most.
const FEWEST_OF_TAIL: u32 = 60;
const EXCEEDANCES: [u32; 2] = [30, 500];
/// Scores above a threshold, so many that no handful decides it; below it is the tail's.
const HANDFUL: f32 = 5.0;

/// Gathers up to `N` scores, and makes a [`Calibration`] of them.
///
/// It takes 8 bytes a score. The rows must be normal ones, from every state in which the machine is run. A
/// power cycle loses them: keep [`Commissioning::scores`] in flash and add them again, which gives the same bits.
///
/// ```
/// use flowlet::{Flow, detector::Commissioning, include_model};
///
/// let flow = Flow::<3, 16>::from_bytes(include_model!("../../tests/golden/detector.flow"))?;
/// let mut commissioning = Commissioning::<100>::new();
/// for row in 0..100 {
///     commissioning.add(flow.score(&[1.0, 20.5, row as f32 / 100.0])?)?;
/// }
/// let flow = flow.with_calibration(commissioning.calibration(&flow.calibration().unwrap())?);
/// let detector = flow.detector()?; // judges by the machine's own scores
/// # Ok::<(), flowlet::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Commissioning<const N: usize> {
    rows: u32,
    /// Bits of a score, and number of scores above it, ascending; scores alike have one entry.
    entries: Vec<[u32; 2], N>,
    thresholds: Vec<[f32; 2], MAX_THRESHOLDS>,
}

impl<const N: usize> Default for Commissioning<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Commissioning<N> {
    /// No scores yet.
    pub const fn new() -> Self {
        Self { rows: 0, entries: Vec::new(), thresholds: Vec::new() }
    }

    /// Number of scores so far.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// Whether there are `N`.
    pub fn is_full(&self) -> bool {
        self.rows as usize >= N
    }

    /// Takes the score of a further row.
    ///
    /// # Errors
    ///
    /// Where it is no number, or `N` were gathered.
    pub fn add(&mut self, score: f32) -> Result<(), Error> {
        if !score.is_finite() {
            return Err(Error::ScoreNotFinite);
        }
        if self.is_full() {
            return Err(Error::CommissioningFull { capacity: N });
        }
        // Of two zeros, which are alike, one set of bits.
        let score = score + 0.0;
        let below = self.entries.partition_point(|[own, _]| f32::from_bits(*own) < score);
        let mut above = self.rows;
        for [_, own] in self.entries.iter_mut().take(below) {
            above = *own;
            *own += 1;
        }
        self.rows += 1;
        if self.entries.get(below).is_some_and(|[own, _]| f32::from_bits(*own) == score) {
            return Ok(());
        }
        // The entries from there on move up by one.
        let mut moved = [score.to_bits(), above];
        for entry in self.entries.iter_mut().skip(below) {
            core::mem::swap(entry, &mut moved);
        }
        self.entries.push(moved).map_err(|_| Error::CommissioningFull { capacity: N })
    }

    /// The scores so far, ascending.
    pub fn scores(&self) -> impl Iterator<Item = f32> + '_ {
        let mut left = self.rows;
        self.entries.iter().flat_map(move |[score, above]| {
            let alike = left.saturating_sub(*above);
            left = *above;
            (0..alike).map(|_| f32::from_bits(*score))
        })
    }

    /// The table of the scores so far, with thresholds for the rates that `file` has them for, the first
    /// [`MAX_THRESHOLDS`] of them.
    ///
    /// Where fewer than 5 scores would decide a threshold, it is that of an exponential tail, which the largest tenth
    /// of the scores decide together; the host, which fits a generalised Pareto tail too, sees further beyond the
    /// scores. Without a tail it is the largest score.
    ///
    /// # Errors
    ///
    /// Where there are fewer than [`FEWEST_SCORES`].
    pub fn calibration(&mut self, file: &Calibration) -> Result<Calibration<'_>, Error> {
        let Self { rows, entries, thresholds } = self;
        if *rows < FEWEST_SCORES {
            return Err(Error::FewRows { rows: *rows });
        }
        let largest = entries.last().map_or(f32::MAX, |[score, _]| f32::from_bits(*score));
        let table = Calibration::of_scores(*rows, &[], entries, tail(*rows, entries));
        thresholds.clear();
        for threshold in file.thresholds().take(MAX_THRESHOLDS) {
            let rate = threshold.false_alarm_rate;
            let tail = table.tail().filter(|tail| rate < tail.share);
            let score = match tail {
                Some(tail) if *rows as f32 * rate < HANDFUL => tail.quantile::<Libm>(rate),
                _ => table.threshold_at::<Libm>(rate).unwrap_or(largest),
            };
            // There is room for as many as are taken.
            let _ = thresholds.push([rate, score]);
        }
        Ok(Calibration::of_scores(*rows, thresholds, entries, table.tail()))
    }
}

/// The exponential tail of the largest scores; none of few, or where they are alike.
fn tail(rows: u32, entries: &[[u32; 2]]) -> Option<Tail> {
    if rows < FEWEST_OF_TAIL {
        return None;
    }
    let [fewest, most] = EXCEEDANCES;
    let count = (rows / 10).max(fewest).min(most).min(rows / 3);
    let place = entries.partition_point(|[_, above]| *above > count);
    let [start, above] = *entries.get(place)?;
    let start = f32::from_bits(start);
    let (mut sum, mut left) = (0.0, above);
    for [score, above] in entries.iter().skip(place + 1) {
        sum += left.saturating_sub(*above) as f32 * (f32::from_bits(*score) - start);
        left = *above;
    }
    let exceedances = above as f32;
    let tail = Tail {
        start,
        scale: sum / exceedances,
        shape: 0.0,
        share: (exceedances + 1.0) / (rows as f32 + 1.0),
        shape_error: 1.0 / libm::sqrtf(exceedances),
    };
    tail.is_usable().then_some(tail)
}
