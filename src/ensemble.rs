//! Several flows over the same rows, and the one density that they come to.
//!
//! It is their mixture, log p(x) = ln sum_k w_k p_k(x): a density like each of them, with samples. What
//! they come to as a detector is another question ([`Score`](crate::Score)): flows from other
//! starts err on other rows, and in a mixture one overconfident flow excuses a row.
//!
//! In a file, section 7 holds ln w_k of each flow, `f32`.

use crate::Error;
use crate::file::tag;
use crate::math::LIMIT;

/// Views the words of section 7 in a file of `members` flows, and refuses shares that do not add up
/// to 1.
pub(crate) fn read_log_shares(words: &[u32], members: usize) -> Result<&[f32], Error> {
    if words.len() != members {
        let (tag, actual) = (tag::SHARES, words.len());
        return Err(Error::SectionLength { tag, actual, expected: members });
    }
    let log_shares: &[f32] = bytemuck::must_cast_slice(words);
    let mut sum = 0.0;
    for (member, log_share) in log_shares.iter().enumerate() {
        if !(-LIMIT..=0.0).contains(log_share) {
            return Err(Error::LogWeight { member });
        }
        sum += libm::expf(*log_share);
    }
    match (0.999..=1.001).contains(&sum) {
        true => Ok(log_shares),
        false => Err(Error::LogWeight { member: members }),
    }
}
