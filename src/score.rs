//! The anomaly score: what rows are judged by.
//!
//! The log-density of a flow has two terms, log p(x) = b + l: the base's log-density b of z, and the
//! log-determinant l. It answers how probable a row is. How abnormal a row is, is another
//! question: l differs by many nats between the operating points of a machine, so that one threshold
//! on the sum lets a fault hide in a dense operating point, and accuses all of a sparse one
//! (Nalisnick et al. 2019, "Do Deep Generative Models Know What They Don't Know?", section 4). The
//! balanced score takes each term in its own spread over normal rows,
//!
//! `s = (m_b - b) / s_b + min(1, s_b / s_l) max(0, (m_l - l) / s_l)`
//!
//! with m the median and s_ the deviation of each, so that a small volume may accuse a row, and a
//! large one never excuses it. The score of several flows is the mean of `s / (1 + |s| / 10)`: no flow
//! decides alone.
//!
//! In a file, section 11 has four floats for each flow, m_b, s_b, m_l and s_l, in nats; s_l is 0
//! where the log-determinant does not vary, whose term is then left out. Without the section the
//! score is minus the log-density.

use crate::Error;
use crate::file::tag;

/// The balanced score of an ensemble stays below it, in deviations: where that of one flow is as large,
/// it counts half of it.
pub const MAX_ENSEMBLE_SCORE: f32 = 10.0;

/// Medians are within it and deviations not below its inverse nor above it, in nats: no finite row then has
/// an infinite score.
const LARGEST: f32 = 1e12;

/// What a model's anomaly score is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Score<'m> {
    /// Minus the log-density, in nats.
    LogDensity,
    /// The balanced score, in deviations; how to balance each flow.
    Balanced(&'m [[f32; Balance::WORDS]]),
}

impl<'m> Score<'m> {
    /// Views the words of section 11 in a file of `members` flows.
    pub(crate) fn read(words: &'m [u32], members: usize) -> Result<Self, Error> {
        let (balances, rest) = bytemuck::must_cast_slice::<u32, f32>(words).as_chunks();
        if balances.len() != members || !rest.is_empty() {
            let (actual, expected) = (words.len(), members * Balance::WORDS);
            return Err(Error::SectionLength { tag: tag::SCORE, actual, expected });
        }
        for (member, words) in balances.iter().enumerate() {
            Balance::read(*words).check(member)?;
        }
        Ok(Self::Balanced(balances))
    }

    /// How each flow is balanced; nothing where the score is minus the log-density.
    pub fn balances(self) -> impl Iterator<Item = Balance> + use<'m> {
        let words = match self {
            Self::LogDensity => &[][..],
            Self::Balanced(words) => words,
        };
        words.iter().map(|words| Balance::read(*words))
    }
}

/// The two terms of a flow's log-density, in nats.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Terms {
    /// Log-density of the base at z.
    pub base: f32,
    /// log |det dz/dx|, the standardisation's included.
    pub log_det_jacobian: f32,
}

impl Terms {
    /// Their sum.
    pub fn log_density(self) -> f32 {
        self.base + self.log_det_jacobian
    }
}

/// What the terms of one flow are over normal rows, in nats.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Balance {
    /// The medians.
    pub median: Terms,
    /// The deviations: that of the base positive, that of the log-determinant 0 where it does not vary.
    pub deviation: Terms,
}

impl Balance {
    /// Words that one flow takes in a file.
    pub(crate) const WORDS: usize = 4;

    pub(crate) fn read(words: [f32; Self::WORDS]) -> Self {
        let [m_b, s_b, m_l, s_l] = words;
        let terms = |base, log_det_jacobian| Terms { base, log_det_jacobian };
        Self { median: terms(m_b, m_l), deviation: terms(s_b, s_l) }
    }

    /// As a file holds it.
    #[cfg(feature = "write")]
    pub(crate) fn words(self) -> [f32; Self::WORDS] {
        let Self { median, deviation } = self;
        [median.base, deviation.base, median.log_det_jacobian, deviation.log_det_jacobian]
    }

    /// Refuses what is no spread of a log-density.
    fn check(self, member: usize) -> Result<(), Error> {
        let Self { median, deviation } = self;
        let medians = [median.base, median.log_det_jacobian];
        let medians = medians.iter().all(|median| median.abs() <= LARGEST);
        let possible = 1.0 / LARGEST..=LARGEST;
        let base = possible.contains(&deviation.base);
        let volume = deviation.log_det_jacobian;
        let volume = volume == 0.0 || possible.contains(&volume);
        if medians && base && volume { Ok(()) } else { Err(Error::Score { member }) }
    }

    /// The balanced score of a row with these terms.
    pub fn score(self, terms: Terms) -> f32 {
        let Self { median, deviation } = self;
        let base = (median.base - terms.base) / deviation.base;
        let volume = median.log_det_jacobian - terms.log_det_jacobian;
        let spread = deviation.log_det_jacobian;
        if volume <= 0.0 || spread == 0.0 {
            return base;
        }
        let ratio = deviation.base / spread;
        let weight = if ratio < 1.0 { ratio } else { 1.0 };
        base + weight * (volume / spread)
    }
}

/// What the score of one flow counts for among several: itself where it is small, at most [`MAX_ENSEMBLE_SCORE`].
pub(crate) fn held(score: f32) -> f32 {
    score / (1.0 + score.abs() / MAX_ENSEMBLE_SCORE)
}
