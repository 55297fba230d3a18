//! The spectrum of a window: power of each bin, energies of bands, dominant frequency.

use core::ops::Range;

use microfft::Complex32;

use super::recipe::Taper;

/// A real Fourier transform of one length, in place: bin k at k, the real ones at 0 and N / 2 together
/// at 0. None where the slice has another length.
pub(crate) type Transform = fn(&mut [f32]) -> Option<&mut [Complex32]>;

/// Longest window that this build has a transform for.
pub(crate) const LONGEST: usize = if cfg!(feature = "signal-4096") { 4096 } else { 1024 };

/// Makes the choice of a transform by its length. Where the length is a constant, no other one is linked.
macro_rules! transforms {
    ($($(#[$condition:meta])? $length:literal $transform:ident,)*) => {
        /// The transform of windows of `length` samples, if there is one.
        pub(crate) const fn transform(length: usize) -> Option<Transform> {
            match length {
                $($(#[$condition])? $length => Some(|samples| {
                    let samples: &mut [f32; $length] = samples.try_into().ok()?;
                    Some(microfft::real::$transform(samples))
                }),)*
                _ => None,
            }
        }
    };
}

transforms! {
    8 rfft_8,
    16 rfft_16,
    32 rfft_32,
    64 rfft_64,
    128 rfft_128,
    256 rfft_256,
    512 rfft_512,
    1024 rfft_1024,
    #[cfg(feature = "signal-4096")]
    2048 rfft_2048,
    #[cfg(feature = "signal-4096")]
    4096 rfft_4096,
}

/// Power of each bin, so that their sum is the mean square of the window.
#[derive(Clone, Copy)]
pub(crate) struct Spectrum<'s> {
    /// The power of bin k in the real part at k, that of bin N / 2 in the imaginary part at 0; none
    /// where the window is constant.
    bins: &'s [Complex32],
}

impl<'s> Spectrum<'s> {
    /// Of a window without a signal.
    pub const SILENT: Self = Self { bins: &[] };

    /// Transforms the samples, whose place it takes.
    pub fn new(samples: &'s mut [f32], transform: Transform, taper: Taper) -> Option<Self> {
        let length = samples.len() as f32;
        let bins = transform(samples)?;
        if let Taper::Hann = taper {
            hann(bins);
        }
        let mean_square = match taper {
            Taper::None => 1.0,
            // Of the taper itself.
            Taper::Hann => 3.0 / 8.0,
        };
        // A bin between 0 and N / 2 stands for its mirror too.
        let single = 1.0 / (length * length * mean_square);
        let double = 2.0 * single;
        let (ends, others) = bins.split_first_mut()?;
        ends.re = ends.re * ends.re * single;
        ends.im = ends.im * ends.im * single;
        for bin in others {
            bin.re = (bin.re * bin.re + bin.im * bin.im) * double;
        }
        Some(Self { bins })
    }

    fn half(self) -> usize {
        self.bins.len()
    }

    /// Power of bin `bin`, 0 beyond the last one.
    fn power(self, bin: usize) -> f32 {
        let power = self.bins.get(bin).map(|bin| bin.re);
        let last = || self.bins.first().filter(|_| bin == self.half()).map(|ends| ends.im);
        power.or_else(last).unwrap_or(0.0)
    }

    /// Sum of the powers in `bins`, which start at 1 or later.
    pub fn energy(self, bins: Range<usize>) -> f32 {
        let inner = self.bins.get(bins.start..bins.end.min(self.half())).unwrap_or_default();
        let mut sum = 0.0;
        for bin in inner {
            sum += bin.re;
        }
        if bins.end > self.half() { sum + self.power(self.half()) } else { sum }
    }

    /// The largest bin's frequency and that of its neighbours, weighed by their powers, in bins; 0 where
    /// there is no signal.
    pub fn dominant(self) -> f32 {
        let (mut peak, mut largest) = (0, 0.0);
        for bin in 1..=self.half() {
            let power = self.power(bin);
            if power > largest {
                (peak, largest) = (bin, power);
            }
        }
        if peak == 0 {
            return 0.0;
        }
        // What the detrending left at bin 0 is no frequency.
        let before = if peak > 1 { self.power(peak - 1) } else { 0.0 };
        let after = self.power(peak + 1);
        peak as f32 + (after - before) / (before + largest + after)
    }
}

/// Tapers the window whose transform `bins` is: Y_k / 2 - (Y_(k-1) + Y_(k+1)) / 4, the bins beyond
/// both ends being mirrored and conjugated.
fn hann(bins: &mut [Complex32]) {
    let Some(second) = bins.get(1).copied() else { return };
    let Some((ends, others)) = bins.split_first_mut() else { return };
    let first = Complex32 { re: ends.re, im: 0.0 };
    let middle = Complex32 { re: ends.im, im: 0.0 };
    let mut before = first;
    let mut last = first;
    let mut rest = others.iter_mut().peekable();
    while let Some(bin) = rest.next() {
        let after = rest.peek().map_or(middle, |next| **next);
        let own = *bin;
        bin.re = own.re * 0.5 - (before.re + after.re) * 0.25;
        bin.im = own.im * 0.5 - (before.im + after.im) * 0.25;
        before = own;
        last = own;
    }
    ends.re = first.re * 0.5 - second.re * 0.5;
    ends.im = middle.re * 0.5 - last.re * 0.5;
}
