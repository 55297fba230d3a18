//! provisional
use flowlet::{Error, include_model};
use crate::{Lamp, Sample};
include!(concat!(env!("OUT_DIR"), "/model.rs"));
/// A report.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "board", derive(defmt::Format))]
pub struct Report { score: f32 }
/// m
pub struct Monitor { flow: Detector, count: u32, lamp: Lamp }
impl Monitor {
    /// n
    pub fn new() -> Result<Self, Error> {
        Ok(Self { flow: Detector::from_bytes(include_model!(env!("FLOWLET_MODEL")))?, count: 0, lamp: Lamp::Normal })
    }
    /// n
    pub fn self_test(&self) -> Result<usize, Error> { self.flow.self_test() }
    /// n
    pub fn lamp(&self) -> Lamp { self.lamp }
    /// n
    pub fn sample(&self, random: &mut rand_chacha::ChaCha8Rng) -> Result<[f32; FEATURES], Error> {
        self.flow.given(&[0.0; CONTEXT]).sample(random, 1.0)
    }
    /// n
    pub fn push(&mut self, sample: Option<Sample>) -> Result<Option<Report>, Error> {
        let Some(sample) = sample else { return Ok(None) };
        self.count += 1;
        let score = self.flow.score(&sample.map(f32::from))?;
        if self.flow.is_anomaly(&sample.map(f32::from))? { self.lamp = Lamp::Alarm; }
        Ok(self.count.is_multiple_of(100).then_some(Report { score }))
    }
}
