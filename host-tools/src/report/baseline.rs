//! A second model beside the one that the page is about, on the same rows.

use flowlet::Calibration;
use plotters::style::RGBColor;

use super::ranking::{self, Line, Point};
use crate::comparison::Comparison;
use crate::cost::{self, Core, Cost};
use crate::error::Result;
use crate::evaluate::Evaluation;
use crate::judged::{Judge, Judged};

/// Cores on which it is told what a score costs.
pub const CORES: [Core; 2] = [Core::CortexM4f, Core::CortexM0Plus];

/// The second model, and what there is to compare.
pub struct Baseline {
    /// Its file's name.
    pub name: String,
    /// The model of the page, then the second one.
    pub sides: Vec<Side>,
    /// What is known of their differences.
    pub comparison: Comparison,
}

/// One of the two.
pub struct Side {
    /// What the rows say of it.
    pub evaluation: Evaluation,
    /// The rates of false alarms that were asked for.
    pub rates: Vec<f32>,
    /// What the threshold for each comes to.
    pub thresholds: Vec<Point>,
    /// What any threshold would come to; empty without rows of both kinds.
    pub curve: Vec<Point>,
    /// Of a score on each of [`CORES`].
    pub costs: [Cost; CORES.len()],
}

impl Side {
    /// Of a model and what it says of the rows.
    pub fn of(judge: &mut Judge, judged: &[Judged], evaluation: Evaluation) -> Result<Self> {
        let device = &mut *judge.device;
        let (summary, tally) = (device.summary(), cost::tally_of_draws(device)?);
        let model_bytes = judge.file.bytes().len();
        let calibration = device.calibration();
        let thresholds = || calibration.iter().flat_map(Calibration::thresholds);
        let has_both = evaluation.auroc.is_some();
        Ok(Self {
            evaluation,
            rates: thresholds().map(|own| own.false_alarm_rate).collect(),
            thresholds: thresholds().map(|own| ranking::point(judged, own.score)).collect(),
            curve: if has_both { ranking::curve(judged) } else { Vec::new() },
            costs: CORES.map(|core| Cost::of(&summary, model_bytes, &tally, core)),
        })
    }

    /// It in the pictures of both.
    pub fn line(&self, name: &'static str, colour: RGBColor) -> Line<'_> {
        Line { name, colour, curve: &self.curve, thresholds: &self.thresholds }
    }

    /// What the threshold for a rate comes to.
    pub fn at(&self, rate: f32) -> Option<&Point> {
        let place = self.rates.iter().position(|own| *own == rate)?;
        self.thresholds.get(place)
    }
}
