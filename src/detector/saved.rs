//! A detector's state in words, to survive a restart.
//!
//! What rows have said is kept: level, evidence, the last rows' bits, the offset that followed a drift and whether
//! one is followed. What sensors gave last is not: after a restart their values are watched anew.

use crate::Error;
use crate::detector::{Detector, Level};
use crate::file::checksum;

/// The state of a [`Detector`]: plain words, to be kept in flash or a backup register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Saved {
    /// CRC-32C of the settings and the calibration that it belongs to; level, with bit 8 set where drift is
    /// followed; evidence and offset, bits of an f32; history; CRC-32C of the words before it.
    pub words: [u32; Saved::WORDS],
}

/// Of the second word.
const FOLLOWS: u32 = 1 << 8;

impl Saved {
    /// Number of words.
    pub const WORDS: usize = 6;
}

impl<const D: usize> Detector<'_, D> {
    /// The state as it is.
    pub fn save(&self) -> Saved {
        let level = match self.level {
            Level::Normal => 0,
            Level::Suspect => 1,
            Level::Alarm => 2,
        };
        let level = if self.follows { level | FOLLOWS } else { level };
        let [evidence, offset] = [self.evidence, self.offset].map(f32::to_bits);
        let words = [self.identity(), level, evidence, offset, self.history];
        let [a, b, c, d, e] = words;
        Saved { words: [a, b, c, d, e, sum(&words)] }
    }

    /// Goes on where a detector of the same model and calibration was saved.
    ///
    /// # Errors
    ///
    /// Where the words were altered, or belong to other settings or another calibration; the detector is then unchanged.
    pub fn restore(&mut self, saved: &Saved) -> Result<(), Error> {
        let [identity, flags, evidence, offset, history, stated] = saved.words;
        if stated != sum(&[identity, flags, evidence, offset, history]) {
            return Err(Error::SavedDamaged);
        }
        if identity != self.identity() {
            return Err(Error::SavedOther);
        }
        let level = match flags & !FOLLOWS {
            0 => Level::Normal,
            1 => Level::Suspect,
            2 => Level::Alarm,
            _ => return Err(Error::SavedDamaged),
        };
        let [evidence, offset] = [evidence, offset].map(f32::from_bits);
        let (bound, _) = self.settings.drift();
        // Words with a right checksum may still be forged.
        if !(f32::MIN..=self.alarm).contains(&evidence) || !(-bound..=bound).contains(&offset) {
            return Err(Error::SavedDamaged);
        }
        self.level = level;
        self.follows = flags & FOLLOWS != 0;
        (self.evidence, self.offset, self.history) = (evidence, offset, history);
        Ok(())
    }

    /// A checksum of the settings and the calibration.
    fn identity(&self) -> u32 {
        let [quantiles, settings] = [self.calibration.checksum(), sum(self.settings.words())];
        sum(&[quantiles, settings])
    }
}

/// CRC-32C of words in the order of a file.
fn sum(words: &[u32]) -> u32 {
    checksum(bytemuck::must_cast_slice(words))
}
