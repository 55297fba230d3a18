//! What a window comes to: moments and spectrum of each channel, and from them the row.
//!
//! A channel is centred twice, so that the rounding of a first mean, or of a large constant such as
//! gravity, does not stay; then it is divided by its largest magnitude, so that no power of it
//! overflows or vanishes.

use super::recipe::{Detrending, Entry, Feature, MAX_CHANNELS, Recipe};
use super::spectrum::{Spectrum, Transform};
use crate::math::{Libm, Math};

/// A signal smaller than this is none: its square would be no f32.
const SMALLEST: f32 = 1e-18;

/// The samples of one window, channels side by side: a sample's values, then the next one's. They may lie
/// in two pieces, the older one first, as a ring buffer has them.
#[derive(Clone, Copy, Debug)]
pub struct Samples<'s> {
    /// The older ones.
    pub older: &'s [f32],
    /// The newer ones.
    pub newer: &'s [f32],
}

impl Samples<'_> {
    /// One channel of `channels`, written one sample behind the other.
    fn copy(self, channel: usize, channels: usize, places: &mut [f32]) {
        let mut places = places.iter_mut();
        for piece in [self.older, self.newer] {
            // A recipe has channels, but the compiler cannot know.
            let values = piece.chunks_exact(channels.max(1)).map(|sample| sample.get(channel));
            for (value, place) in values.zip(places.by_ref()) {
                *place = value.copied().unwrap_or(0.0);
            }
        }
    }

    /// Pearson's correlation of two channels of `channels`, given their means.
    fn correlation(self, pair: [(usize, f32); 2], channels: usize) -> f32 {
        // A recipe has channels, but the compiler cannot know.
        let samples = || {
            [self.older, self.newer]
                .into_iter()
                .flat_map(|piece| piece.chunks_exact(channels.max(1)))
        };
        let centred = |sample: &[f32]| {
            pair.map(|(channel, mean)| sample.get(channel).map_or(0.0, |value| value - mean))
        };
        // Divided by the largest, so that no product overflows or vanishes.
        let mut largest = [0.0; 2];
        for sample in samples() {
            for (most, value) in largest.iter_mut().zip(centred(sample)) {
                *most = larger(*most, value.abs());
            }
        }
        let inverse = largest.map(|most| if most > SMALLEST { 1.0 / most } else { 0.0 });
        let [a, b] = inverse;
        let (mut aa, mut bb, mut ab) = (0.0, 0.0, 0.0);
        for sample in samples() {
            let [x, y] = centred(sample);
            let (x, y) = (x * a, y * b);
            aa += x * x;
            bb += y * y;
            ab += x * y;
        }
        // Of a channel that is not constant at least 1.
        if aa > 0.5 && bb > 0.5 { (ab / Libm::sqrt(aa * bb)).clamp(-1.0, 1.0) } else { 0.0 }
    }
}

/// What most features need of a channel, once its samples are detrended.
#[derive(Clone, Copy, Default)]
struct Moments {
    /// Of the raw samples.
    mean: f32,
    deviation: f32,
    root_mean_square: f32,
    peak_to_peak: f32,
    crest_factor: f32,
    skewness: f32,
    kurtosis: f32,
    /// Changes of sign.
    crossings: f32,
    /// Largest magnitude, which the samples are divided by; 0 where there is no signal.
    peak: f32,
}

impl Recipe<'_> {
    /// The features of a window of finite samples within [`MAX_SAMPLE`](super::MAX_SAMPLE), on any core the
    /// same bits. `scratch` takes [`Recipe::window`] floats and `row` [`Recipe::features`]; a shorter one
    /// leaves out what has no place in it. For windows whose sizes are known only at run time: the
    /// transform of every length is linked. A firmware has a [`Window`](super::Window).
    pub fn row(&self, samples: Samples<'_>, scratch: &mut [f32], row: &mut [f32]) {
        self.row_by(super::spectrum::transform(self.window()), samples, scratch, row);
    }

    /// [`Recipe::row`] by a transform that is known to have the window's length.
    pub(super) fn row_by(
        &self,
        transform: Option<Transform>,
        samples: Samples<'_>,
        scratch: &mut [f32],
        row: &mut [f32],
    ) {
        let scratch = scratch.get_mut(..self.window()).unwrap_or_default();
        let mut means = [0.0; MAX_CHANNELS];
        for (channel, mean) in means.iter_mut().enumerate().take(self.channels()) {
            samples.copy(channel, self.channels(), scratch);
            let moments = Moments::of(scratch, self.detrending());
            *mean = moments.mean;
            let mut own = self.entries().filter(|entry| entry.channel == channel);
            let needs_spectrum = own.any(|entry| entry.feature.needs_spectrum());
            let spectrum = match transform.filter(|_| needs_spectrum && moments.peak > 0.0) {
                Some(transform) => Spectrum::new(scratch, transform, self.taper()),
                None => None,
            };
            let spectrum = spectrum.unwrap_or(Spectrum::SILENT);
            for (entry, place) in self.entries().zip(row.iter_mut()) {
                if entry.channel == channel {
                    *place = self.value(entry, &moments, spectrum);
                }
            }
        }
        for (entry, place) in self.entries().zip(row) {
            if let Feature::Correlation { with } = entry.feature {
                let pair = [entry.channel, with]
                    .map(|channel| (channel, means.get(channel).copied().unwrap_or(0.0)));
                *place = samples.correlation(pair, self.channels());
            }
        }
    }

    fn value(&self, entry: Entry, moments: &Moments, spectrum: Spectrum<'_>) -> f32 {
        let resolution = self.resolution(entry.channel);
        let bins_to_hz = self.rate() / self.window() as f32;
        // The value, and what rounding alone makes of it.
        let (value, floor) = match entry.feature {
            Feature::Mean => (moments.mean, 0.0),
            Feature::Deviation => (moments.deviation, resolution * INVERSE_ROOT_OF_12),
            Feature::RootMeanSquare => (moments.root_mean_square, resolution * INVERSE_ROOT_OF_12),
            Feature::PeakToPeak => (moments.peak_to_peak, resolution),
            Feature::CrestFactor => (moments.crest_factor, SMALLEST_RATIO),
            Feature::Skewness => (moments.skewness, 0.0),
            Feature::Kurtosis => (moments.kurtosis, SMALLEST_RATIO),
            // Of one crossing in a window.
            Feature::ZeroCrossings => {
                (moments.crossings * self.rate() / self.window() as f32, bins_to_hz)
            }
            Feature::BandEnergy { first, end } => {
                let bins = (end - first.min(end)) as f32;
                let share = bins / (self.window() / 2) as f32;
                let energy = spectrum.energy(first..end) * moments.peak * moments.peak;
                (energy, resolution * resolution * (1.0 / 12.0) * share)
            }
            Feature::DominantFrequency => (spectrum.dominant() * bins_to_hz, bins_to_hz),
            // Follows once all channels are known.
            Feature::Correlation { .. } => (0.0, 0.0),
        };
        if entry.is_logarithm { Libm::ln(value + floor) } else { value }
    }
}

/// 1 / sqrt(12), the deviation of what rounding to whole steps takes away.
const INVERSE_ROOT_OF_12: f32 = 0.288_675_13;

/// Added to a ratio that is 0 without a signal and 1 or more with one.
const SMALLEST_RATIO: f32 = 1e-3;

/// What is left of each sample, y, and what its mean is.
struct Trend {
    /// Of the raw samples.
    mean: f32,
    /// Of y.
    level: f32,
}

impl Trend {
    /// Leaves y in the place of the samples.
    fn of(samples: &mut [f32], detrending: Detrending) -> Self {
        if let [constant, others @ ..] = samples
            && others.iter().all(|value| value == constant)
        {
            // A dead sensor: not even the rounding of its mean is left.
            let mean = *constant;
            let level = if let Detrending::None = detrending { mean } else { 0.0 };
            samples.fill(level);
            return Self { mean, level };
        }
        let count = samples.len() as f32;
        let first = samples.iter().sum::<f32>() / count;
        let mut rest = 0.0;
        for value in samples.iter_mut() {
            *value -= first;
            rest += *value;
        }
        let second = rest / count;
        let mean = first + second;
        match detrending {
            // In one sum, so that a value and the mean that it is near are not rounded apart.
            Detrending::None => samples.iter_mut().for_each(|value| *value += first),
            Detrending::Mean => samples.iter_mut().for_each(|value| *value -= second),
            Detrending::Line => {
                // Times from the middle, whose squares add up to N (N^2 - 1) / 12.
                let middle = (count - 1.0) * 0.5;
                let squares = count * (count * count - 1.0) * (1.0 / 12.0);
                let mut products = 0.0;
                for (number, value) in samples.iter_mut().enumerate() {
                    *value -= second;
                    products += (number as f32 - middle) * *value;
                }
                let slope = products / squares;
                for (number, value) in samples.iter_mut().enumerate() {
                    *value -= (number as f32 - middle) * slope;
                }
            }
        }
        let level = if let Detrending::None = detrending { mean } else { 0.0 };
        Self { mean, level }
    }
}

impl Moments {
    /// Leaves y, divided by its largest magnitude, in the place of the samples.
    fn of(samples: &mut [f32], detrending: Detrending) -> Self {
        let Trend { mean, level } = Trend::of(samples, detrending);
        let (mut smallest, mut largest) = (f32::MAX, f32::MIN);
        for value in samples.iter() {
            (smallest, largest) = (smaller(smallest, *value), larger(largest, *value));
        }
        let peak = larger(largest, -smallest);
        if peak <= SMALLEST {
            return Self { mean, ..Self::default() };
        }
        let inverse = 1.0 / peak;
        let level = level * inverse;
        let (mut squares, mut second, mut third, mut fourth) = (0.0, 0.0, 0.0, 0.0);
        let (mut crossings, mut was_negative) = (0u32, None);
        for value in samples.iter_mut() {
            *value *= inverse;
            squares += *value * *value;
            let central = *value - level;
            let square = central * central;
            second += square;
            third += square * central;
            fourth += square * square;
            let is_negative = *value < 0.0;
            crossings += u32::from(was_negative == Some(!is_negative));
            was_negative = Some(is_negative);
        }
        let share = 1.0 / samples.len() as f32;
        let root_mean_square = Libm::sqrt(squares * share);
        let variance = second * share;
        let deviation = Libm::sqrt(variance);
        let mut moments = Self {
            mean,
            deviation: deviation * peak,
            root_mean_square: root_mean_square * peak,
            peak_to_peak: largest - smallest,
            crest_factor: 1.0 / root_mean_square,
            crossings: crossings as f32,
            peak,
            ..Self::default()
        };
        // Below it, c is the rounding of y.
        if variance > 1e-12 {
            moments.skewness = third * share / (variance * deviation);
            moments.kurtosis = fourth * share / (variance * variance);
        }
        moments
    }
}

fn smaller(a: f32, b: f32) -> f32 {
    if b < a { b } else { a }
}

fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}
