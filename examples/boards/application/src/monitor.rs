//! From samples to reports: a window over the signal, the flow's score of its row, and the detector.

use flowlet::signal::Window;
use flowlet::{Error, Flow, include_model};

use crate::{CHANNELS, Sample};

include!(concat!(env!("OUT_DIR"), "/model.rs"));

/// What is said of one row.
#[derive(Clone, Debug)]
pub struct Report {
    /// The window's features.
    pub row: [f32; FEATURES],
    /// Its anomaly score.
    pub score: f32,
}

/// Watches one machine.
#[derive(Clone, Debug)]
pub struct Monitor {
    flow: Flow<'static, FEATURES, WIDTH>,
    window: Window<'static, CHANNELS, LENGTH, FEATURES>,
}

impl Monitor {
    /// Reads the embedded model.
    ///
    /// # Errors
    ///
    /// Where the file is damaged; that its sizes fit was checked when this was built.
    pub fn new() -> Result<Self, Error> {
        let flow = Flow::from_bytes(include_model!(env!("FLOWLET_MODEL")))?;
        let window = Window::new(flow.recipe()?)?;
        Ok(Self { flow, window })
    }
    /// The flow.
    pub fn flow(&self) -> &Flow<'static, FEATURES, WIDTH> {
        &self.flow
    }

    /// Takes the next sample, or that at least one is missing.
    pub fn push(&mut self, sample: Option<Sample>) -> Result<Option<Report>, Error> {
        let Some(sample) = sample else {
            self.window.gap();
            return Ok(None);
        };
        let Some(row) = self.window.push(&sample.map(f32::from))? else { return Ok(None) };
        let score = self.flow.score(&row)?;
        Ok(Some(Report { row, score }))
    }
}
