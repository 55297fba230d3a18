//! When the board's lamp is lit.

use crate::RATE;

/// What the lamp shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lamp {
    /// A short flash every two seconds: alive, and all is normal.
    Normal,
    /// On and off, once a second.
    Suspect,
    /// Lit.
    Alarm,
    /// Eight times a second: the sensor is at fault, not the machine.
    Sensor,
}

impl Lamp {
    /// Whether it is lit at the sample of number `sample`, [`RATE`] of them a second.
    pub fn is_lit(self, sample: u32) -> bool {
        // Period in samples, and how many of them it is lit.
        let (period, lit) = match self {
            Self::Normal => (2 * RATE, RATE / 20),
            Self::Suspect => (RATE, RATE / 2),
            Self::Alarm => (1, 1),
            Self::Sensor => (RATE / 8, RATE / 16),
        };
        sample % period < lit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_is_told_from_the_others_in_four_seconds() {
        let states = [Lamp::Normal, Lamp::Suspect, Lamp::Alarm, Lamp::Sensor];
        let lit = states.map(|lamp| (0..4 * RATE).filter(|sample| lamp.is_lit(*sample)).count());
        assert_eq!(lit, [40, 800, 1600, 800]);
        let flashes = states.map(|lamp| {
            (1..4 * RATE).filter(|sample| lamp.is_lit(*sample) && !lamp.is_lit(sample - 1)).count()
        });
        assert_eq!(flashes, [1, 3, 0, 31]);
    }
}
