//! From samples to reports: a window over the signal, the flow's score of its row, and the detector.

use flowlet::detector::{Detector, State};
use flowlet::signal::Window;
use flowlet::{Error, Flow, include_model};

use crate::{CHANNELS, Lamp, RATE, Sample};

include!(concat!(env!("OUT_DIR"), "/model.rs"));

/// How long no row may come before the accelerometer counts as missing, in samples: two windows that
/// gaps cut short, or two seconds.
const PATIENCE: u32 = if LENGTH as u32 > RATE { 2 * LENGTH as u32 } else { 2 * RATE };

/// What is said of one row.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The window's features.
    pub row: [f32; FEATURES],
    /// Its anomaly score, none where a sensor is at fault.
    pub score: Option<f32>,
    /// What the detector says after it.
    pub state: State,
    /// S, the evidence for a change, in nats.
    pub evidence: f32,
    /// Where an alarm starts here, what is to blame for it.
    pub blame: Option<Blame>,
}

/// The feature that raises a row's score most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Blame {
    /// Its name in the model.
    pub name: &'static str,
    /// Its value.
    pub value: f32,
    /// By how much the value raises the score over the best that it could be.
    pub share: f32,
}

/// Watches one machine.
#[derive(Clone, Debug)]
pub struct Monitor {
    flow: Flow<'static, FEATURES, WIDTH>,
    window: Window<'static, CHANNELS, LENGTH, FEATURES>,
    detector: Detector<'static, FEATURES>,
    state: State,
    /// Calls since the last row.
    silence: u32,
}

impl Monitor {
    /// Reads the embedded model.
    ///
    /// # Errors
    ///
    /// Where the file is damaged, or says nothing of alarms; that its sizes fit was checked when this
    /// was built.
    pub fn new() -> Result<Self, Error> {
        let flow = Flow::from_bytes(include_model!(env!("FLOWLET_MODEL")))?;
        let window = Window::new(flow.recipe()?)?;
        let detector = flow.detector()?;
        Ok(Self { flow, window, detector, state: State::Normal, silence: 0 })
    }

    /// The flow.
    pub fn flow(&self) -> &Flow<'static, FEATURES, WIDTH> {
        &self.flow
    }

    /// The detector.
    pub fn detector(&self) -> &Detector<'static, FEATURES> {
        &self.detector
    }

    /// Takes the next sample, or that at least one is missing, and judges the row that it ends, if any.
    ///
    /// # Errors
    ///
    /// Those of the flow, which a row of a window does not cause.
    pub fn push(&mut self, sample: Option<Sample>) -> Result<Option<Report>, Error> {
        self.silence = self.silence.saturating_add(1);
        let Some(sample) = sample else {
            self.window.gap();
            return Ok(None);
        };
        let Some(row) = self.window.push(&sample.map(f32::from))? else { return Ok(None) };
        self.silence = 0;
        let mut score = None;
        let state = self.detector.step(&row, || {
            let value = self.flow.score(&row)?;
            score = Some(value);
            Ok(value)
        })?;
        let starts = state == State::Alarm && self.state != State::Alarm;
        self.state = state;
        let blame = if starts { self.blame(&row)? } else { None };
        Ok(Some(Report { row, score, state, evidence: self.detector.evidence(), blame }))
    }

    /// The feature that raises the row's score most; none where the model says nothing of it. It takes
    /// the time of many scores.
    fn blame(&self, row: &[f32; FEATURES]) -> Result<Option<Blame>, Error> {
        let shares = match self.flow.attribute(row) {
            Ok(shares) => shares,
            Err(Error::NoQuantiles) => return Ok(None),
            Err(error) => return Err(error),
        };
        let named = self.flow.model().feature_names().zip(row.iter().zip(shares));
        let largest = named.max_by(|(_, (_, a)), (_, (_, b))| a.total_cmp(b));
        Ok(largest.map(|(name, (value, share))| Blame { name, value: *value, share }))
    }

    /// What the board's lamp shows.
    pub fn lamp(&self) -> Lamp {
        match self.state {
            _ if self.is_silent() => Lamp::Sensor,
            State::Normal => Lamp::Normal,
            State::Suspect => Lamp::Suspect,
            State::Alarm => Lamp::Alarm,
            State::Sensor(_) => Lamp::Sensor,
        }
    }

    /// Whether the accelerometer has given no whole window for so long that nothing is known of the
    /// machine.
    pub fn is_silent(&self) -> bool {
        self.silence > PATIENCE
    }

    /// How often a gap cut a window short.
    pub fn gaps(&self) -> u32 {
        self.window.gaps()
    }
}
