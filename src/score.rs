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
//! large one never excuses it. What the context alone adds to the log-determinant is not in l: no
//! feature has a part in it. The score of several flows is the mean of `s / (1 + |s| / 10)`: no flow
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

/// The terms of a flow's log-density, in nats.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Terms {
    /// Log-density of the base at z.
    pub base: f32,
    /// log |det dz/dx|, the standardisation's included, without what the context alone decides.
    pub log_det_jacobian: f32,
    /// What the context alone decides of log |det dz/dx|
    /// ([`Half::Both`](crate::bijection::Half::Both)); 0 without a context.
    pub of_context: f32,
}

impl Terms {
    /// Their sum.
    pub fn log_density(self) -> f32 {
        self.base + (self.log_det_jacobian + self.of_context)
    }
}

/// What a term is over normal rows, in nats.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Usual {
    /// Its median.
    pub median: f32,
    /// Its deviation.
    pub deviation: f32,
}

/// What the terms of one flow are over normal rows.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Balance {
    /// The base's log-density; its deviation is positive.
    pub base: Usual,
    /// The log-determinant; its deviation is 0 where it does not vary.
    pub log_det_jacobian: Usual,
}

impl Balance {
    /// Words that one flow takes in a file.
    pub(crate) const WORDS: usize = 4;

    pub(crate) fn read(words: [f32; Self::WORDS]) -> Self {
        let [m_b, s_b, m_l, s_l] = words;
        let usual = |median, deviation| Usual { median, deviation };
        Self { base: usual(m_b, s_b), log_det_jacobian: usual(m_l, s_l) }
    }

    /// As a file holds it.
    #[cfg(feature = "write")]
    pub(crate) fn words(self) -> [f32; Self::WORDS] {
        let Self { base: b, log_det_jacobian: l } = self;
        [b.median, b.deviation, l.median, l.deviation]
    }

    /// Refuses what is no spread of a log-density.
    fn check(self, member: usize) -> Result<(), Error> {
        let Self { base, log_det_jacobian: volume } = self;
        let medians = [base.median, volume.median].iter().all(|median| median.abs() <= LARGEST);
        let possible = 1.0 / LARGEST..=LARGEST;
        let varies = possible.contains(&volume.deviation) || volume.deviation == 0.0;
        match medians && possible.contains(&base.deviation) && varies {
            true => Ok(()),
            false => Err(Error::Score { member }),
        }
    }

    /// The balanced score of a row with these terms.
    pub fn score(self, terms: Terms) -> f32 {
        let Self { base: b, log_det_jacobian: l } = self;
        let base = (b.median - terms.base) / b.deviation;
        let volume = l.median - terms.log_det_jacobian;
        if volume <= 0.0 || l.deviation == 0.0 {
            return base;
        }
        let ratio = b.deviation / l.deviation;
        let weight = if ratio < 1.0 { ratio } else { 1.0 };
        base + weight * (volume / l.deviation)
    }
}

/// What the score of one flow counts for among several: itself where it is small, at most [`MAX_ENSEMBLE_SCORE`].
pub(crate) fn held(score: f32) -> f32 {
    score / (1.0 + score.abs() / MAX_ENSEMBLE_SCORE)
}
