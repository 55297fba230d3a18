//! What a model file says of the signal that its rows come from.

use crate::Error;
use crate::file::tag;
use crate::member::MAX_FEATURES;
use crate::signal::spectrum::LONGEST;

/// Most channels of a signal.
pub const MAX_CHANNELS: usize = 8;

/// Most samples of a window.
pub const MAX_WINDOW: usize = 4096;

/// Fewest samples of a window.
const MIN_WINDOW: usize = 8;

/// Longest hop.
const MAX_HOP: usize = 1 << 20;

/// Samples a second lie within it and its inverse.
const LARGEST_RATE: f32 = 1e7;

/// Words before the entries.
const HEADER: usize = 8;

/// What is subtracted from a window before most of its features are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Detrending {
    /// Nothing.
    None = 0,
    /// Its mean, such as gravity in an acceleration.
    #[default]
    Mean = 1,
    /// Its least-squares line.
    Line = 2,
}

/// How a window fades at its ends before its spectrum is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Taper {
    /// Not at all.
    None = 0,
    /// By a raised cosine.
    #[default]
    Hann = 1,
}

/// What number a feature is ([`mod@crate::signal`] has the formulas).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Feature {
    /// Mean of the samples.
    Mean,
    /// Standard deviation about the mean, or about the line.
    Deviation,
    /// Root mean square.
    RootMeanSquare,
    /// Largest less smallest.
    PeakToPeak,
    /// Largest magnitude over the root mean square.
    CrestFactor,
    /// Third standardised moment.
    Skewness,
    /// Fourth standardised moment.
    Kurtosis,
    /// Changes of sign a second.
    ZeroCrossings,
    /// The mean square that lies in bins `first..end` of the spectrum.
    BandEnergy {
        /// The first bin, from 1.
        first: usize,
        /// The bin behind the last one.
        end: usize,
    },
    /// Where the spectrum is largest, in Hz.
    DominantFrequency,
    /// Pearson's correlation with another channel.
    Correlation {
        /// That channel, from 0.
        with: usize,
    },
}

impl Feature {
    /// Its number in a file and its two settings.
    #[cfg(feature = "write")]
    pub(crate) fn words(self) -> [u32; 3] {
        match self {
            Self::Mean => [1, 0, 0],
            Self::Deviation => [2, 0, 0],
            Self::RootMeanSquare => [3, 0, 0],
            Self::PeakToPeak => [4, 0, 0],
            Self::CrestFactor => [5, 0, 0],
            Self::Skewness => [6, 0, 0],
            Self::Kurtosis => [7, 0, 0],
            Self::ZeroCrossings => [8, 0, 0],
            Self::BandEnergy { first, end } => [9, first as u32, end as u32],
            Self::DominantFrequency => [10, 0, 0],
            Self::Correlation { with } => [11, with as u32, 0],
        }
    }

    fn read(number: u32, settings: [usize; 2]) -> Option<Self> {
        Some(match (number, settings) {
            (1, [0, 0]) => Self::Mean,
            (2, [0, 0]) => Self::Deviation,
            (3, [0, 0]) => Self::RootMeanSquare,
            (4, [0, 0]) => Self::PeakToPeak,
            (5, [0, 0]) => Self::CrestFactor,
            (6, [0, 0]) => Self::Skewness,
            (7, [0, 0]) => Self::Kurtosis,
            (8, [0, 0]) => Self::ZeroCrossings,
            (9, [first, end]) => Self::BandEnergy { first, end },
            (10, [0, 0]) => Self::DominantFrequency,
            (11, [with, 0]) => Self::Correlation { with },
            _ => return None,
        })
    }

    /// Whether it is never negative, so that it may be taken as its logarithm.
    pub fn is_positive(self) -> bool {
        !matches!(self, Self::Mean | Self::Skewness | Self::Correlation { .. })
    }

    /// Whether it is computed from the spectrum, which takes a window whose length is a power of two.
    pub fn needs_spectrum(self) -> bool {
        matches!(self, Self::BandEnergy { .. } | Self::DominantFrequency)
    }
}

/// One feature of the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Entry {
    /// What it is.
    pub feature: Feature,
    /// Of which channel, from 0.
    pub channel: usize,
    /// Whether it is taken as its logarithm.
    pub is_logarithm: bool,
}

impl Entry {
    /// Words in a file.
    const WORDS: usize = 5;

    fn read(words: [u32; Self::WORDS]) -> Option<Self> {
        let [number, channel, a, b, logarithm] = words;
        let feature = Feature::read(number, [a as usize, b as usize])?;
        (logarithm <= 1).then_some(())?;
        Some(Self { feature, channel: channel as usize, is_logarithm: logarithm == 1 })
    }

    #[cfg(feature = "write")]
    pub(crate) fn words(self) -> [u32; Self::WORDS] {
        let [number, a, b] = self.feature.words();
        [number, self.channel as u32, a, b, u32::from(self.is_logarithm)]
    }

    /// Whether a signal of so many channels and windows of so many samples has it.
    fn is_possible(self, channels: usize, window: usize) -> bool {
        let fits = match self.feature {
            Feature::BandEnergy { first, end } => {
                1 <= first && first < end && end <= window / 2 + 1
            }
            Feature::Correlation { with } => with < channels && with != self.channel,
            _ => true,
        };
        let has_spectrum = window.is_power_of_two() || !self.feature.needs_spectrum();
        let has_logarithm = self.feature.is_positive() || !self.is_logarithm;
        self.channel < channels && fits && has_spectrum && has_logarithm
    }
}

/// How rows are made from a signal, borrowed from a model file.
///
/// In a file, section 16 holds
///
/// | word | contents |
/// |---|---|
/// | 0 | C, number of channels, 1 to 8 |
/// | 1 | samples a second, `f32` |
/// | 2 | N, samples of a window, 8 to 4096 |
/// | 3 | hop, samples from one window's start to the next one's, 1 to 2^20 |
/// | 4 | detrending: 0 = none, 1 = mean, 2 = line |
/// | 5 | taper of the spectrum: 0 = none, 1 = Hann |
/// | 6 | F, number of features, that of the model |
/// | 7 | T, bytes of text |
/// | 8 .. 8 + 5 F | an entry of 5 words a feature, in the order of a row |
/// | .. + C | the resolution of each channel, `f32` |
/// | .. + T bytes | 2 C strings, each a varint of its length in bytes and its UTF-8: name and unit of each channel; zeros up to the last word's end |
///
/// | entry word | contents |
/// |---|---|
/// | 0 | number of the feature ([`mod@crate::signal`]) |
/// | 1 | its channel |
/// | 2 | of a band energy the first bin, from 1; of a correlation the other channel; else 0 |
/// | 3 | of a band energy the bin behind the last one, at most N / 2 + 1; else 0 |
/// | 4 | 1 where it is taken as its logarithm, else 0 |
///
/// Bin k is the frequency k / N times the samples a second. Bands and the dominant frequency need an N that
/// is a power of two.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recipe<'m> {
    channels: usize,
    rate: f32,
    window: usize,
    hop: usize,
    detrending: Detrending,
    taper: Taper,
    entries: &'m [[u32; Entry::WORDS]],
    resolutions: &'m [f32],
    text: &'m [u8],
}

impl<'m> Recipe<'m> {
    /// Views the words of section 16 and checks every one of them.
    pub fn from_words(words: &'m [u32]) -> Result<Self, Error> {
        let refuse = |word| Err(Error::Signal { word });
        let Some((header, rest)) = words.split_first_chunk::<HEADER>() else {
            let actual = words.len();
            return Err(Error::SectionLength { tag: tag::SIGNAL, actual, expected: HEADER });
        };
        let [channels, rate, window, hop, detrending, taper, features, bytes] = *header;
        let rate = f32::from_bits(rate);
        let [channels, window, hop] = [channels, window, hop].map(|word| word as usize);
        let [features, bytes] = [features, bytes].map(|word| word as usize);
        if !(1..=MAX_CHANNELS).contains(&channels) {
            return refuse(0);
        }
        if !(1.0 / LARGEST_RATE..=LARGEST_RATE).contains(&rate) {
            return refuse(1);
        }
        if !(MIN_WINDOW..=MAX_WINDOW).contains(&window) {
            return refuse(2);
        }
        if !(1..=MAX_HOP).contains(&hop) {
            return refuse(3);
        }
        let detrending = match detrending {
            0 => Detrending::None,
            1 => Detrending::Mean,
            2 => Detrending::Line,
            _ => return refuse(4),
        };
        let taper = match taper {
            0 => Taper::None,
            1 => Taper::Hann,
            _ => return refuse(5),
        };
        if !(1..=MAX_FEATURES).contains(&features) {
            return refuse(6);
        }
        // A string's bytes are u32 in number, so that a sum of words cannot overflow behind this.
        if bytes > 1 << 16 {
            return refuse(7);
        }
        let expected = HEADER + features * Entry::WORDS + channels + bytes.div_ceil(4);
        let length = Error::SectionLength { tag: tag::SIGNAL, actual: words.len(), expected };
        let (entries, rest) = rest.split_at_checked(features * Entry::WORDS).ok_or(length)?;
        let (resolutions, text) = rest.split_at_checked(channels).ok_or(length)?;
        if text.len() != bytes.div_ceil(4) {
            return Err(length);
        }
        let (entries, _) = entries.as_chunks();
        let possible = |words: &[u32; Entry::WORDS]| {
            Entry::read(*words).is_some_and(|entry| entry.is_possible(channels, window))
        };
        if let Some(index) = entries.iter().position(|words| !possible(words)) {
            return refuse(HEADER + index * Entry::WORDS);
        }
        let behind = HEADER + features * Entry::WORDS;
        let resolutions: &[f32] = bytemuck::must_cast_slice(resolutions);
        let usable = |resolution: &f32| (1e-12..=1e12).contains(resolution);
        if let Some(index) = resolutions.iter().position(|resolution| !usable(resolution)) {
            return refuse(behind + index);
        }
        let (text, padding) =
            bytemuck::must_cast_slice::<u32, u8>(text).split_at_checked(bytes).ok_or(length)?;
        let recipe =
            Self { channels, rate, window, hop, detrending, taper, entries, resolutions, text };
        if !recipe.has_readable_text() || padding.iter().any(|byte| *byte != 0) {
            return refuse(behind + channels);
        }
        if recipe.entries().any(|entry| entry.feature.needs_spectrum()) && window > LONGEST {
            return Err(Error::Feature { name: "signal-4096" });
        }
        Ok(recipe)
    }

    /// [`Recipe::from_words`] for a model of so many features.
    pub(crate) fn for_features(words: &'m [u32], features: usize) -> Result<Self, Error> {
        let recipe = Self::from_words(words)?;
        if recipe.features() != features {
            return Err(Error::Signal { word: 6 });
        }
        Ok(recipe)
    }

    /// Whether the text is name and unit of each channel and nothing else.
    fn has_readable_text(&self) -> bool {
        let mut rest = self.text;
        for _ in 0..2 * self.channels {
            match postcard::take_from_bytes::<&str>(rest) {
                Ok((_, behind)) => rest = behind,
                Err(_) => return false,
            }
        }
        rest.is_empty()
    }

    /// Number of channels.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Name and unit of each channel, in their order; a unit may be empty.
    pub fn channel_names(&self) -> impl Iterator<Item = [&'m str; 2]> + use<'m> {
        let mut rest = self.text;
        core::iter::from_fn(move || {
            let (name, behind) = postcard::take_from_bytes::<&str>(rest).ok()?;
            let (unit, behind) = postcard::take_from_bytes::<&str>(behind).ok()?;
            rest = behind;
            Some([name, unit])
        })
    }

    /// Samples a second.
    pub fn rate(&self) -> f32 {
        self.rate
    }

    /// Samples of a window.
    pub fn window(&self) -> usize {
        self.window
    }

    /// Samples from one window's start to the next one's.
    pub fn hop(&self) -> usize {
        self.hop
    }

    /// What is subtracted from a window.
    pub fn detrending(&self) -> Detrending {
        self.detrending
    }

    /// How a window fades at its ends.
    pub fn taper(&self) -> Taper {
        self.taper
    }

    /// Number of features of a row.
    pub fn features(&self) -> usize {
        self.entries.len()
    }

    /// The features of a row, in their order.
    pub fn entries(&self) -> impl Iterator<Item = Entry> + use<'m> {
        self.entries.iter().filter_map(|words| Entry::read(*words))
    }

    /// The Cargo feature of this crate that the recipe needs.
    pub(crate) fn cargo_feature(&self) -> Option<&'static str> {
        Some(if self.window > 1024 { "signal-4096" } else { "signal" })
    }

    /// Smallest step of channel `channel` between two of its values, in its unit.
    pub fn resolution(&self, channel: usize) -> f32 {
        self.resolutions.get(channel).copied().unwrap_or(1.0)
    }
}
