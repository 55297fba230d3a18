//! What the user says of a signal.

use flowlet::signal::{Detrending, MAX_WINDOW, Taper};

use crate::names::{Name, Names};
use crate::signal::choice::Choice;

/// Shortest and longest window that is chosen without --window.
const WINDOW: (usize, usize) = (64, 1024);

/// Options of a raw signal.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Raw signals")]
pub struct Options {
    /// The file is a raw signal of so many samples a second, one a line in time order: each row is what a
    /// window of it comes to, and the last windows of each segment stop training and set the threshold.
    #[arg(long, value_name = "HZ", value_parser = rate)]
    pub rate: Option<f32>,
    /// Samples of a window; by default the power of two nearest to a second's, from 64 to 1024.
    #[arg(long, value_name = "SAMPLES", requires = "rate", value_parser = clap::value_parser!(u32).range(8..=MAX_WINDOW as i64))]
    pub window: Option<u32>,
    /// Samples from one window's start to the next one's, on the device; by default half a window.
    /// Training takes windows of a short signal closer together.
    #[arg(long, value_name = "SAMPLES", requires = "rate", value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub hop: Option<u32>,
    /// Columns that are channels of the signal; by default all but those of --segment, --context and
    /// --exclude.
    #[arg(long, value_name = "COLUMN,...", requires = "rate")]
    pub channels: Vec<Names<Name>>,
    /// What is taken of each window and channel, of mean, deviation, rms, peak-to-peak, crest-factor,
    /// skewness, kurtosis, zero-crossings, dominant-frequency, bands:N (energies of N bands of one width),
    /// bands:HZ-HZ-HZ (of those between these frequencies) and correlation (of each pair of channels);
    /// deviation, rms, peak-to-peak, crest-factor, kurtosis and bands as their logarithm.
    #[arg(long, value_name = "FEATURE,...", requires = "rate", value_delimiter = ',', default_value = super::choice::DEFAULT)]
    pub features: Vec<Choice>,
    /// Column that tells recordings apart: no window lies across a change of its value.
    #[arg(long, value_name = "COLUMN", requires = "rate")]
    pub segment: Option<String>,
    /// What is subtracted from a window before its features are taken, but for the mean.
    #[arg(long, value_enum, requires = "rate", default_value = "mean")]
    pub detrend: Detrend,
    /// How a window fades at its ends before its spectrum is taken.
    #[arg(long, value_enum, requires = "rate", default_value = "hann")]
    pub taper: Fade,
}

/// [`Detrending`] on the command line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Detrend {
    /// Nothing.
    None,
    /// Its mean, such as gravity.
    #[default]
    Mean,
    /// Its least-squares line.
    Line,
}

/// [`Taper`] on the command line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Fade {
    /// Not at all.
    None,
    /// By a raised cosine.
    #[default]
    Hann,
}

impl Options {
    /// Samples of a window, at so many a second.
    pub fn window(&self, rate: f32) -> usize {
        let (shortest, longest) = WINDOW;
        let second = f64::from(rate).log2().round().clamp(0.0, 30.0);
        let usual = (1usize << second as u32).clamp(shortest, longest);
        self.window.map_or(usual, |window| window as usize)
    }

    /// Samples between two windows' starts.
    pub fn hop(&self, window: usize) -> usize {
        self.hop.map_or(window / 2, |hop| hop as usize)
    }

    /// As the device has it.
    pub fn detrending(&self) -> Detrending {
        match self.detrend {
            Detrend::None => Detrending::None,
            Detrend::Mean => Detrending::Mean,
            Detrend::Line => Detrending::Line,
        }
    }

    /// As the device has it.
    pub fn taper(&self) -> Taper {
        match self.taper {
            Fade::None => Taper::None,
            Fade::Hann => Taper::Hann,
        }
    }
}

fn rate(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(rate) if (1e-6..=1e7).contains(&rate) => Ok(rate),
        _ => Err("expected the samples a second, from 0.000001 to 10000000".into()),
    }
}
