//! From a raw signal to rows: windows of samples, and what a window's features are.
//!
//! A sensor that is sampled fast, such as an accelerometer, says little by one sample and much by the
//! samples of a second. A model of such rows carries a recipe ([`Recipe`]): which channels, how many
//! samples a window has and how far apart windows start, what is done to a window, and which number
//! each feature of the row is. Host and firmware compute rows by the same code from the same words, so
//! a row has the same bits on every core.
//!
//! A firmware gives the samples one by one to a [`Window`], which yields a row every hop:
//!
//! ```
//! use flowlet::signal::Window;
//! use flowlet::{Flow, include_model};
//!
//! let flow = Flow::<3, 16>::from_bytes(include_model!("../tests/golden/signal.flow"))?;
//! // 1 channel, windows of 16 samples, 3 features.
//! let mut window = Window::<1, 16, 3>::new(flow.recipe()?)?;
//! # let read_sensor = |_| [0.3f32];
//! for sample in (0..64).map(read_sensor) {
//!     if let Some(row) = window.push(&sample)? {
//!         assert!(flow.score(&row)?.is_finite());
//!     }
//! }
//! # Ok::<(), flowlet::Error>(())
//! ```
//!
//! # Features
//!
//! The detrended window y is the window x less nothing, its mean or its least-squares line; N is its
//! length, c is y less y's mean, and u is what a value's channel is measured in.
//!
//! | number | feature | formula | unit |
//! |---|---|---|---|
//! | 1 | mean | mean of x | u |
//! | 2 | deviation | s = sqrt(mean of c^2) | u |
//! | 3 | root mean square | r = sqrt(mean of y^2) | u |
//! | 4 | peak to peak | largest y - smallest y | u |
//! | 5 | crest factor | largest abs y / r | |
//! | 6 | skewness | mean of c^3 / s^3 | |
//! | 7 | kurtosis | mean of c^4 / s^4, 3 for a normal density | |
//! | 8 | zero crossings | changes of y's sign a second | 1/s |
//! | 9 | band energy | the part of mean of y^2 that lies in bins k of the spectrum | u^2 |
//! | 10 | dominant frequency | of the spectrum's largest bin and its neighbours, their mean by power | Hz |
//! | 11 | correlation | of x with another channel's x (Pearson) | |
//!
//! They are those of condition monitoring (Randall 2021, "Vibration-based Condition Monitoring",
//! chapters 3 and 5). Numbers 2 to 5 and 7 to 10 may be taken as their logarithm, ln(value + floor), where the floor
//! makes that of a silent channel finite: of a deviation, root mean square, peak to peak or energy what
//! rounding to the channel's resolution q makes by itself, q / sqrt(12), q, and q^2 / 12 in all bins; of a
//! ratio 0.001; of a frequency or of crossings that of one bin. Where a window is constant, the features that
//! have no value (5 to 8, 10, 11) are 0, which no live signal has.
//!
//! The spectrum is the discrete Fourier transform of y by the `microfft` crate: sums and products in
//! a fixed order and sines from a table. A Hann taper, w_n = 1/2 - 1/2 cos(2 pi n / N), is applied
//! there, where it is a sum of three neighbours (Harris 1978, section V): Y_k / 2 - (Y_(k-1) + Y_(k+1)) / 4.
//! Energies are divided by the taper's own, 3/8, and both halves of the spectrum count.

mod features;
mod recipe;
mod spectrum;
mod window;

pub use features::Samples;
pub use recipe::{Detrending, Entry, Feature, MAX_CHANNELS, MAX_WINDOW, Recipe, Taper};
pub use window::{MAX_SAMPLE, Schedule, Window};
