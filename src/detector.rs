//! From scores to alarms: when rows that come one after the other say that the machine has changed.
//!
//! A threshold judges one row: at a rate of 1e-6 it misses every fault that is not glaring, and at 1e-2 it
//! cries every hundredth row. A detector gathers what rows say. Each row bets against the hypothesis that
//! it is like the held-out ones: its conformal p-value p pays b(p), large for a small p, and such that the
//! mean pay is at most 1 as long as nothing has changed. The evidence is the logarithm of what the best
//! start so far would have earned,
//!
//! `S = max(0, S) + ln b(p) - c`, `b(p) = (1/3) sum of e p^(e - 1) over e = 1/2, 1/4, 1/8`
//!
//! a conformal CUSUM (Volkhonskiy et al. 2017, "Inductive conformal martingales for change-point
//! detection"; Page 1954; bets and their mixture are those of Vovk et al. 2003,
//! "Testing exchangeability on-line"). There is an alarm where S
//! reaches ln A.
//!
//! # What is promised
//!
//! On rows that are independent and distributed as the held-out ones, false alarms are at least A rows apart
//! in the mean, whatever the model and the data, with 95 % confidence over the choice of the held-out rows.
//! The argument: where the mean pay of a row given the past is at most 1, e^S is at most Shiryaev and
//! Roberts' R = (1 + R) b(p), and R minus the number of rows is a supermartingale; so the mean of the row at which
//! R, and later S, reaches A is at least A (Vovk 2020, "Testing randomness
//! online").
//!
//! - The table of held-out scores is **fixed**, and one table of n rows may make p-values a little too small
//!   for all rows to come. That b(p) has a mean of at most 1 over all tables does not help the owner of one.
//!   c is the logarithm of what the mean pay exceeds for no more than 5 % of all tables: for scores without
//!   ties it is a sum of b over n + 1 random gaps, whatever their distribution, and is bounded by
//!   Bernstein's inequality ([`Detector::charge`]). Ties and scores that the table leaves out make p-values
//!   larger, and so the pay smaller.
//! - The bet is on the conformal p-value, which is 1 / (n + 1) or more, and never on the tail beyond the table,
//!   which is an extrapolation. Few held-out rows cost delay, not false alarms: what one row can pay is bounded.
//! - Rows that **depend** on one another, such as those of a slow process read quickly, break the promise: their
//!   p-values are small together. So does a normal state that **drifts**. For the former take rows farther apart,
//!   for the latter commission anew ([`Commissioning`]) or follow the drift.
//!
//! # States
//!
//! [`State::Suspect`] from half of ln A on, [`State::Alarm`] from ln A on where k of the last n rows paid more than
//! they cost, so that no single row decides; both end where the evidence is used up, S <= 0. S is held at ln A, so
//! that an alarm ends soon after its fault: every state is left again. A sensor that gives no number, a
//! value that no working one gives, or the same value for longer than the training rows ever had is no anomaly of
//! the machine: [`State::Sensor`] says which, and the evidence waits meanwhile. Such states are not counted as
//! false alarms above.
//!
//! # Drift
//!
//! A file may allow an offset of the score, within a bound. It moves by a small step a row while the state is
//! normal, up where the row scores above the median of the calibration and down where below, in such
//! proportion that it rests where half of the rows are above (Robbins and Monro 1951): no row moves it by more than
//! a step, and a fault cannot hide behind more than the bound. This is no learning: nothing else changes. It can be
//! halted ([`Detector::follow`]), and is saved and restored with the rest ([`Detector::save`]).
//!
//! ```
//! use flowlet::{Flow, detector::State, include_model};
//!
//! let flow = Flow::<3, 16>::from_bytes(include_model!("../tests/golden/detector.flow"))?;
//! let mut detector = flow.detector()?;
//! let row = [1.0, 20.5, 0.3];
//! let state = detector.step(&row, || flow.score(&row))?;
//! assert_eq!(state, State::Normal);
//! # Ok::<(), flowlet::Error>(())
//! ```

mod commissioning;
mod evidence;
mod saved;
mod sensors;
mod settings;

pub use commissioning::{Commissioning, FEWEST_SCORES, MAX_THRESHOLDS};
pub use evidence::CONFIDENCE;
pub use saved::Saved;
pub use sensors::{Sensor, SensorFault};
pub use settings::{MAX_CONFIRMATION_ROWS, Settings};

use crate::Error;
use crate::calibration::Calibration;
use crate::math::{Libm, Math};
use evidence::{charge, gain, largest_gain};
use sensors::Sensors;

/// What the rows so far say of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum State {
    /// They are like the held-out rows.
    Normal,
    /// There is half of the evidence that an alarm takes, or all of it from fewer rows.
    Suspect,
    /// The machine has changed.
    Alarm,
    /// Nothing can be said, since a sensor is at fault.
    Sensor(SensorFault),
}

impl State {
    /// A number for a log, a radio packet or a comparison: 0 normal, 1 suspect, 2 alarm, and 1000 for a
    /// missing value, 2000 for one out of range and 3000 for a stuck one, plus the column.
    pub fn code(self) -> u32 {
        let of = |fault: u32, column: usize| fault.saturating_add(column as u32);
        match self {
            Self::Normal => 0,
            Self::Suspect => 1,
            Self::Alarm => 2,
            Self::Sensor(SensorFault::Missing { column }) => of(1000, column),
            Self::Sensor(SensorFault::OutOfRange { column }) => of(2000, column),
            Self::Sensor(SensorFault::Stuck { column }) => of(3000, column),
        }
    }
}

/// How far the evidence has gone; what a sensor's fault interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Normal,
    Suspect,
    Alarm,
}

/// Turns rows and their scores into states, one row after the other.
///
/// It has room for `D` features, borrows the model file, and is 8 bytes a feature and some hundred more.
#[derive(Clone, Debug)]
pub struct Detector<'m, const D: usize> {
    settings: Settings<'m>,
    calibration: Calibration<'m>,
    /// c of the module's formula.
    charge: f32,
    /// ln A.
    alarm: f32,
    sensors: Sensors<D>,
    level: Level,
    /// S.
    evidence: f32,
    /// Of each of the last rows a bit, the last one's the lowest: whether it paid more than it cost.
    history: u32,
    /// What is subtracted from scores.
    offset: f32,
    follows: bool,
}

impl<'m, const D: usize> Detector<'m, D> {
    /// Starts in [`State::Normal`] without evidence.
    ///
    /// # Errors
    ///
    /// Where there are more than `D` features, or the calibration has too few rows to bet on.
    pub fn new(settings: Settings<'m>, calibration: Calibration<'m>) -> Result<Self, Error> {
        if settings.features() > D {
            return Err(Error::Features { file: settings.features(), firmware: D });
        }
        let too_few = Error::DetectorRows { rows: calibration.rows() };
        let charge = charge(calibration).ok_or(too_few)?;
        Ok(Self {
            settings,
            calibration,
            charge,
            alarm: Libm::ln(settings.rows_between_false_alarms()),
            sensors: Sensors::new(),
            level: Level::Normal,
            evidence: 0.0,
            history: 0,
            offset: 0.0,
            follows: true,
        })
    }

    /// Takes the next row, `x` in raw units, less offsets, as the model takes it. `score` is asked for its score
    /// only if every sensor works.
    ///
    /// # Errors
    ///
    /// Where `x` is not as long as the model's rows, and those of `score`; what was gathered stays as it was.
    /// A context that is no number is a missing sensor.
    pub fn step(
        &mut self,
        x: &[f32],
        score: impl FnOnce() -> Result<f32, Error>,
    ) -> Result<State, Error> {
        let (found, expected) = (x.len(), self.settings.features());
        if found != expected {
            return Err(Error::RowLength { found, expected });
        }
        if let Some(fault) = self.sensors.check(x, self.settings.sensors()) {
            return Ok(State::Sensor(fault));
        }
        match score() {
            Ok(score) if score.is_finite() => Ok(self.gather(score)),
            Ok(_) => Err(Error::ScoreNotFinite),
            Err(Error::ContextNotFinite { index }) => {
                Ok(State::Sensor(SensorFault::Missing { column: expected.saturating_add(index) }))
            }
            Err(error) => Err(error),
        }
    }

    /// What a row with this score adds to the evidence, and the state after it.
    fn gather(&mut self, score: f32) -> State {
        let score = score - self.offset;
        let gain = gain(self.calibration.conformal_p_value(score), self.charge);
        let before = if self.evidence > 0.0 { self.evidence } else { 0.0 };
        let sum = before + gain;
        self.evidence = if sum < self.alarm { sum } else { self.alarm };
        let [confirming, rows] = self.settings.confirmation();
        self.history = self.history.wrapping_shl(1) | u32::from(gain > 0.0);
        let last = self.history & (u32::MAX >> (32 - rows.clamp(1, 32)));
        let is_confirmed = last.count_ones() >= confirming;
        self.level = match self.level {
            Level::Alarm if self.evidence > 0.0 => Level::Alarm,
            _ if self.evidence >= self.alarm && is_confirmed => Level::Alarm,
            Level::Suspect if self.evidence > 0.0 => Level::Suspect,
            _ if self.evidence >= 0.5 * self.alarm => Level::Suspect,
            _ => Level::Normal,
        };
        if self.follows && self.level == Level::Normal {
            self.follow_drift(score);
        }
        self.state()
    }

    /// Moves the offset by at most two steps toward where the scores' median is that of the calibration.
    fn follow_drift(&mut self, score: f32) {
        let (bound, step) = self.settings.drift();
        let (median, share) = self.calibration.median();
        let moved = if score > median { 1.0 - share } else { -share };
        let offset = self.offset + 2.0 * step * moved;
        let offset = if offset < bound { offset } else { bound };
        self.offset = if offset > -bound { offset } else { -bound };
    }

    /// The state after the last row whose sensors worked.
    pub fn state(&self) -> State {
        match self.level {
            Level::Normal => State::Normal,
            Level::Suspect => State::Suspect,
            Level::Alarm => State::Alarm,
        }
    }

    /// S, in nats: from about -2, where nothing speaks against the machine, to [`Detector::alarm_at`].
    pub fn evidence(&self) -> f32 {
        self.evidence
    }

    /// ln A: the evidence that an alarm takes, in nats.
    pub fn alarm_at(&self) -> f32 {
        self.alarm
    }

    /// c: what each row's bet costs, in nats, for what the table of held-out scores may be wrong by. The mean pay of
    /// a row is at most e^c for 95 % of all tables. Of a large table, whose smallest p-values pay less than they
    /// may, it is about 0.
    pub fn charge(&self) -> f32 {
        self.charge
    }

    /// Rows that an alarm takes at least, however bad they are.
    pub fn fewest_rows(&self) -> u32 {
        let rows = libm::ceilf(self.alarm / largest_gain(self.calibration, self.charge)) as u32;
        let [confirming, _] = self.settings.confirmation();
        rows.max(confirming)
    }

    /// How far the drift of the score was followed, in the score's unit.
    pub fn offset(&self) -> f32 {
        self.offset
    }

    /// Whether a drift is followed, within the bound of the file; at first it is.
    pub fn follow(&mut self, follows: bool) {
        self.follows = follows;
    }

    /// What the file says of alarms and sensors.
    pub fn settings(&self) -> Settings<'m> {
        self.settings
    }
}
