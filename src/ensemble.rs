//! Several flows over the same rows, and the one log-density that they come to.
//!
//! Flows from other starts err on other rows. In a mixture one overconfident flow excuses a row, in
//! the mean of the log-densities it does not, so that the mean is usually the better detector (Choi
//! et al. 2018, "WAIC, but Why? Generative Ensembles for Robust Anomaly Detection"). In a file,
//! section 7 says which of them it is:
//!
//! | word 0 | log-density | words behind |
//! |---|---|---|
//! | 1 | mean of the members' log-densities: a score, no density, for it does not integrate to 1 | none |
//! | 2 | ln sum_k w_k p_k(x), a mixture of the members | ln w_k of each, `f32` |

use crate::Error;
use crate::file::tag;
use crate::math::LIMIT;

/// How the log-densities of several flows become one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Combination<'m> {
    /// Their mean. A score: it does not integrate to 1, and has no samples.
    Mean,
    /// The log-density of a mixture of the flows; ln of each one's share.
    Mixture(&'m [f32]),
}

impl<'m> Combination<'m> {
    /// Numbers in a file.
    pub(crate) const MEAN: u32 = 1;
    pub(crate) const MIXTURE: u32 = 2;

    /// Views the words of section 7 in a file of `members` flows.
    pub(crate) fn read(words: &'m [u32], members: usize) -> Result<Self, Error> {
        let length =
            |expected| Error::SectionLength { tag: tag::ENSEMBLE, actual: words.len(), expected };
        let (kind, rest) = words.split_first().ok_or(length(1))?;
        let log_weights: &[f32] = bytemuck::must_cast_slice(rest);
        match *kind {
            Self::MEAN if rest.is_empty() => Ok(Self::Mean),
            Self::MEAN => Err(length(1)),
            Self::MIXTURE if rest.len() != members => Err(length(1 + members)),
            Self::MIXTURE => check(log_weights).map(|()| Self::Mixture(log_weights)),
            kind => Err(Error::Combination { kind }),
        }
    }
}

/// Refuses shares that do not add up to 1.
fn check(log_weights: &[f32]) -> Result<(), Error> {
    let mut sum = 0.0;
    for (member, log_weight) in log_weights.iter().enumerate() {
        if !(-LIMIT..=0.0).contains(log_weight) {
            return Err(Error::LogWeight { member });
        }
        sum += libm::expf(*log_weight);
    }
    match (0.999..=1.001).contains(&sum) {
        true => Ok(()),
        false => Err(Error::LogWeight { member: log_weights.len() }),
    }
}
