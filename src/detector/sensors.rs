//! Faults of a sensor, told apart from anomalies of the machine by what no working sensor gives.

/// What is wrong with a sensor, and which: the column counts the features, then the context. Of several faults
/// in a row the first one of this list is told, and of several sensors the first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum SensorFault {
    /// It gave NaN or an infinity.
    Missing {
        /// Which one, from 0.
        column: usize,
    },
    /// It gave a value that no working one gives.
    OutOfRange {
        /// Which one, from 0.
        column: usize,
    },
    /// It gave the same bits for longer than a working one does.
    Stuck {
        /// Which one, from 0.
        column: usize,
    },
}

/// What a working sensor gives.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Sensor {
    /// Its smallest value, less the feature's offset.
    pub low: f32,
    /// Its largest value.
    pub high: f32,
    /// Rows in a row with the same bits; 0 where any number may have them.
    pub longest_run: u32,
}

impl Sensor {
    /// Words in a file.
    pub(crate) const WORDS: usize = 3;

    pub(super) fn read([low, high, longest_run]: [u32; Self::WORDS]) -> Self {
        Self { low: f32::from_bits(low), high: f32::from_bits(high), longest_run }
    }

    /// As a file holds it.
    #[cfg(feature = "write")]
    pub(crate) fn words(self) -> [u32; Self::WORDS] {
        [self.low.to_bits(), self.high.to_bits(), self.longest_run]
    }

    fn fault(self, column: usize, value: f32, run: u32) -> Option<SensorFault> {
        if !(self.low..=self.high).contains(&value) {
            return Some(SensorFault::OutOfRange { column });
        }
        let is_stuck = self.longest_run > 0 && run > self.longest_run;
        is_stuck.then_some(SensorFault::Stuck { column })
    }
}

/// What the sensors gave last.
#[derive(Clone, Debug)]
pub(super) struct Sensors<const D: usize> {
    /// Bits of each value, and how many rows in a row have had them.
    last: [(u32, u32); D],
}

impl<const D: usize> Sensors<D> {
    pub fn new() -> Self {
        // No finite value has the bits of NaN.
        Self { last: [(f32::NAN.to_bits(), 0); D] }
    }

    /// The first fault of a row.
    pub fn check(
        &mut self,
        x: &[f32],
        sensors: impl Iterator<Item = Sensor>,
    ) -> Option<SensorFault> {
        let mut first = None;
        for ((column, value), (sensor, last)) in
            x.iter().enumerate().zip(sensors.zip(&mut self.last))
        {
            let own = if value.is_finite() {
                let (bits, run) = *last;
                let run = if bits == value.to_bits() { run.saturating_add(1) } else { 1 };
                *last = (value.to_bits(), run);
                sensor.fault(column, *value, run)
            } else {
                Some(SensorFault::Missing { column })
            };
            first = match (first, own) {
                (Some(first), Some(own)) if own < first => Some(own),
                (first, own) => first.or(own),
            };
        }
        first
    }
}
