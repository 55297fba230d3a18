//! A window over a signal with its sizes in its type: what a firmware gives its samples to.

use heapless::Deque;

use super::features::Samples;
use super::recipe::{MAX_CHANNELS, MAX_WINDOW, Recipe};
use super::spectrum::{self, Transform};
use crate::Error;

/// Largest magnitude of a sample: the squares of a window of such samples are still far from infinity.
pub const MAX_SAMPLE: f32 = 1e12;

/// When a row is due: at the last sample of the first window, then every hop.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    window: usize,
    hop: usize,
    /// Samples until the next row.
    until: usize,
}

impl Schedule {
    /// Of a recipe's windows, before the first sample.
    pub fn new(recipe: &Recipe<'_>) -> Self {
        Self { window: recipe.window(), hop: recipe.hop(), until: recipe.window() }
    }

    /// Takes note of a sample; whether a window ends with it.
    pub fn advance(&mut self) -> bool {
        self.until = self.until.saturating_sub(1);
        let is_due = self.until == 0;
        if is_due {
            self.until = self.hop;
        }
        is_due
    }

    /// Starts again: the next sample is the first of a window.
    pub fn restart(&mut self) {
        self.until = self.window;
    }
}

/// The last `LENGTH` samples of `CHANNELS` channels, and a row of `FEATURES` features every hop.
///
/// Samples follow one another in time. Where one is missing, is no number, or comes late, the window
/// starts again, since no feature of samples from both sides of a gap means anything; how often is
/// counted ([`Window::gaps`]). A model with a context takes its size as `CONTEXT`
/// ([`Window::set_context`]).
///
/// It holds its samples, 4 bytes x `CHANNELS` x `LENGTH`, and takes 4 bytes x `LENGTH` of stack while
/// a row is computed. Every row has the bits that the host computed from the same samples.
#[derive(Clone, Debug)]
pub struct Window<
    'm,
    const CHANNELS: usize,
    const LENGTH: usize,
    const FEATURES: usize,
    const CONTEXT: usize = 0,
> {
    recipe: Recipe<'m>,
    samples: Deque<[f32; CHANNELS], LENGTH>,
    schedule: Schedule,
    context: [f32; CONTEXT],
    /// When the last sample was taken, in microseconds, where that is known.
    time: Option<u64>,
    gaps: u32,
}

impl<'m, const CHANNELS: usize, const LENGTH: usize, const FEATURES: usize, const CONTEXT: usize>
    Window<'m, CHANNELS, LENGTH, FEATURES, CONTEXT>
{
    /// Chosen by the length alone, so that the transforms of other lengths are not linked.
    const TRANSFORM: Option<Transform> = spectrum::transform(LENGTH);

    /// An empty window for rows by `recipe` ([`Model::recipe`](crate::Model::recipe)).
    ///
    /// # Errors
    ///
    /// [`Error::SignalFit`] where the type has other sizes than the recipe.
    pub fn new(recipe: Recipe<'m>) -> Result<Self, Error> {
        const {
            assert!(0 < CHANNELS && CHANNELS <= MAX_CHANNELS, "a signal has 1 to 8 channels");
            assert!(8 <= LENGTH && LENGTH <= MAX_WINDOW, "a window has 8 to 4096 samples");
        }
        let (channels, window, features) = (recipe.channels(), recipe.window(), recipe.features());
        if (channels, window, features) != (CHANNELS, LENGTH, FEATURES) {
            return Err(Error::SignalFit { channels, window, features });
        }
        Ok(Self {
            recipe,
            samples: Deque::new(),
            schedule: Schedule::new(&recipe),
            context: [0.0; CONTEXT],
            time: None,
            gaps: 0,
        })
    }

    /// Takes the next sample, in the units of training; the row of the window that ends with it, if one
    /// is due.
    ///
    /// # Errors
    ///
    /// [`Error::Sample`] where a value is NaN, infinite or beyond [`MAX_SAMPLE`]. That is a gap.
    pub fn push(&mut self, sample: &[f32; CHANNELS]) -> Result<Option<[f32; FEATURES]>, Error> {
        // NaN compares as neither.
        let is_usable = |value: &f32| value.abs() <= MAX_SAMPLE;
        if let Some(channel) = sample.iter().position(|value| !is_usable(value)) {
            self.gap();
            return Err(Error::Sample { channel });
        }
        if self.samples.is_full() {
            self.samples.pop_front();
        }
        // There is room.
        let _ = self.samples.push_back(*sample);
        match self.schedule.advance() {
            false => Ok(None),
            true => Ok(Some(self.row())),
        }
    }

    /// Takes the next sample as a sensor's integers, of which each is `scale` in the unit of training.
    ///
    /// # Errors
    ///
    /// As [`Window::push`], where `scale` is no number.
    pub fn push_counts(
        &mut self,
        counts: &[i16; CHANNELS],
        scale: f32,
    ) -> Result<Option<[f32; FEATURES]>, Error> {
        self.push(&counts.map(|count| f32::from(count) * scale))
    }

    /// Takes the next sample, taken at `microseconds` of a clock that only goes on: where it is not one
    /// sampling period behind the last one, give or take half a period, there is a gap before it.
    ///
    /// # Errors
    ///
    /// As [`Window::push`].
    pub fn push_at(
        &mut self,
        microseconds: u64,
        sample: &[f32; CHANNELS],
    ) -> Result<Option<[f32; FEATURES]>, Error> {
        if let Some(last) = self.time {
            let elapsed = microseconds.checked_sub(last).map(|elapsed| elapsed as f32);
            // In periods.
            let elapsed = elapsed.map(|elapsed| elapsed * 1e-6 * self.recipe.rate());
            if !elapsed.is_some_and(|elapsed| 0.5 < elapsed && elapsed < 1.5) {
                self.gap();
            }
        }
        self.time = Some(microseconds);
        self.push(sample)
    }

    /// Says that samples are missing here, such as after an overrun: the window starts again.
    pub fn gap(&mut self) {
        if !self.samples.is_empty() {
            self.gaps = self.gaps.saturating_add(1);
        }
        self.restart();
    }

    /// Starts again without a gap, such as after a sleep.
    pub fn restart(&mut self) {
        self.samples.clear();
        self.schedule.restart();
    }

    /// Says what the samples from now on are given, such as a speed that was set. Where it differs from
    /// the last context in any bit the window starts again, so that a row has one context; that is no gap.
    /// What a sensor measures anew with each sample is a channel, and no context.
    ///
    /// # Errors
    ///
    /// [`Error::ContextNotFinite`]; the window starts again and keeps the last context.
    pub fn set_context(&mut self, context: &[f32; CONTEXT]) -> Result<(), Error> {
        if let Some(index) = context.iter().position(|value| !value.is_finite()) {
            self.restart();
            return Err(Error::ContextNotFinite { index });
        }
        if context.map(f32::to_bits) != self.context.map(f32::to_bits) {
            self.context = *context;
            self.restart();
        }
        Ok(())
    }

    /// The context that rows are given, zeros before the first [`Window::set_context`].
    pub fn context(&self) -> &[f32; CONTEXT] {
        &self.context
    }

    /// How often a gap cut a window short.
    pub fn gaps(&self) -> u32 {
        self.gaps
    }

    /// The recipe.
    pub fn recipe(&self) -> &Recipe<'m> {
        &self.recipe
    }

    #[inline(never)]
    fn row(&self) -> [f32; FEATURES] {
        let (older, newer) = self.samples.as_slices();
        let samples = Samples { older: older.as_flattened(), newer: newer.as_flattened() };
        let (mut scratch, mut row) = ([0.0; LENGTH], [0.0; FEATURES]);
        self.recipe.row_by(Self::TRANSFORM, samples, &mut scratch, &mut row);
        row
    }
}
