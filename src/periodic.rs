//! Periodic features: values on a circle, such as a phase or a heading (Rezende et al. 2020,
//! "Normalizing Flows on Tori and Spheres").
//!
//! Standardised, one period is u in [-1, 1), and u + 2 is u again: no row is wrapped before the
//! flow, for everything in it has the period 2 in u. A network sees such a value as a point of a
//! closed smooth curve, (p(u), p(u + 1/2)) with p(u) = 4 t (1 - |t|) and t = u wrapped to [-1, 1):
//! parabolas that follow sin(pi u) and cos(pi u) within 0.06, have a slope everywhere, and are a
//! few products with the same bits on every core. The two values stand in two columns, one behind
//! the other, in the place of the feature's one.
//!
//! In a file, which features of a row are periodic is a mask of two words, the low one first: bit
//! i stands for feature i. A layer has the mask of the row as it sees it, for permutations move
//! the features. All of it is a part of the Cargo feature `spline`.

use crate::math::bounded;

/// Words of a mask in memory: none in a build without splines, where it costs nothing.
const WORDS: usize = if cfg!(feature = "spline") { 2 } else { 0 };

/// Which features of a row are periodic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Periodic {
    /// Two words and not one of 64 bits, whose alignment would cost memory.
    words: [u32; WORDS],
}

/// From the numbers of those that are.
impl FromIterator<usize> for Periodic {
    fn from_iter<T: IntoIterator<Item = usize>>(features: T) -> Self {
        let bit = |feature| 1u64.checked_shl(feature as u32).unwrap_or(0);
        Self::of(features.into_iter().fold(0, |mask, feature| mask | bit(feature)))
    }
}

impl Periodic {
    /// From its words in a file.
    pub(crate) fn new(words: [u32; 2]) -> Self {
        let mut own = Self::default();
        own.words.iter_mut().zip(words).for_each(|(own, word)| *own = word);
        own
    }

    fn of(mask: u64) -> Self {
        Self::new([mask as u32, (mask >> 32) as u32])
    }

    fn mask(self) -> u64 {
        self.words.iter().rev().fold(0, |mask, word| mask << 32 | u64::from(*word))
    }

    /// As a file holds it.
    #[cfg(feature = "write")]
    pub(crate) fn words(self) -> [u32; 2] {
        [self.mask() as u32, (self.mask() >> 32) as u32]
    }

    /// Whether there is none; a build without splines refuses every other.
    pub fn is_empty(self) -> bool {
        cfg!(not(feature = "spline")) || self.words == [0; WORDS]
    }

    /// Whether feature `feature` is one.
    pub fn contains(self, feature: usize) -> bool {
        !self.part(feature, 1).is_empty()
    }

    /// How many of the first `features` are.
    pub fn count(self, features: usize) -> usize {
        if self.is_empty() { 0 } else { self.part(0, features).mask().count_ones() as usize }
    }

    /// Those among `features` features from `first` on, counted from there.
    pub fn part(self, first: usize, features: usize) -> Self {
        if self.is_empty() {
            return Self::default();
        }
        let from_first = self.mask().checked_shr(first as u32).unwrap_or(0);
        let end = 1u64.checked_shl(features as u32).unwrap_or(0);
        Self::of(from_first & end.wrapping_sub(1))
    }

    /// Those of the row whose feature i is feature `order`(i) of this one.
    pub fn permuted(self, order: impl Iterator<Item = usize>) -> Self {
        let moved = order.enumerate().filter(|(_, from)| self.contains(*from));
        moved.map(|(to, _)| to).collect()
    }

    /// The word with a feature beyond the first `features`, if there is one.
    pub(crate) fn word_beyond(self, features: usize) -> Option<usize> {
        let within = self.part(0, features).words;
        self.words.iter().zip(within).position(|(word, within)| *word != within)
    }

    /// What a network sees of `values`; `out` is twice as long.
    #[inline(always)]
    pub(crate) fn seen<'v>(self, values: &'v [f32], out: &'v mut [f32]) -> &'v [f32] {
        if self.is_empty() {
            return values;
        }
        let mut columns = 0;
        for (feature, value) in values.iter().enumerate() {
            columns = self.append(feature, *value, out, columns);
        }
        out.get(..columns).unwrap_or_default()
    }

    /// Puts what a network sees of feature `feature` behind the first `columns` of `out`. Returns
    /// how many there are then.
    pub(crate) fn append(
        self,
        feature: usize,
        value: f32,
        out: &mut [f32],
        columns: usize,
    ) -> usize {
        let (seen, count) = match self.contains(feature) {
            true => ([parabola(value), parabola(value + 0.5)], 2),
            false => ([value, 0.0], 1),
        };
        for (place, seen) in out.iter_mut().skip(columns).zip(seen).take(count) {
            *place = seen;
        }
        columns + count
    }
}

/// p(u).
fn parabola(u: f32) -> f32 {
    let t = wrap(u);
    4.0 * t * (1.0 - t.abs())
}

/// u, a whole number of periods away, in [-1, 1).
pub(crate) fn wrap(u: f32) -> f32 {
    let u = bounded(u);
    let periods = 0.5 * (u + 1.0);
    // Towards 0, hence one too many below it; both fit, for |u| is at most 2^20.
    let whole = periods as i32;
    let whole = if (whole as f32) > periods { whole - 1 } else { whole };
    u - 2.0 * whole as f32
}
