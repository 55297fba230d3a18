//! The recipe of a signal, as the host writes it.

use alloc::string::String;
use alloc::vec::Vec;

use super::encode;
use crate::signal::{Detrending, Entry, Taper};

/// How rows come from a raw signal: [`signal::Recipe`](crate::signal::Recipe) has what is possible.
#[derive(Clone, Debug, PartialEq)]
pub struct Signal {
    /// The channels, in the order of a sample.
    pub channels: Vec<Channel>,
    /// Samples a second.
    pub rate: f32,
    /// Samples of a window.
    pub window: usize,
    /// Samples from one window's start to the next one's.
    pub hop: usize,
    /// What is subtracted from a window.
    pub detrending: Detrending,
    /// How a window fades at its ends.
    pub taper: Taper,
    /// The features, in the order of a row.
    pub entries: Vec<Entry>,
}

/// A channel of a signal.
#[derive(Clone, Debug, PartialEq)]
pub struct Channel {
    /// As in the header of the training signal.
    pub name: String,
    /// What it is measured in, such as `g`; may be empty.
    pub unit: String,
    /// Smallest step between two of its values, positive.
    pub resolution: f32,
}

impl Signal {
    /// The words of section 16, for [`Recipe::from_words`](crate::signal::Recipe::from_words) and for
    /// [`Description::signal`](super::Description::signal).
    pub fn words(&self) -> Vec<u32> {
        let strings = self.channels.iter().flat_map(|channel| [&channel.name, &channel.unit]);
        let mut text: Vec<u8> = strings.flat_map(|string| encode(&string.as_str())).collect();
        let bytes = text.len() as u32;
        text.resize(text.len().next_multiple_of(4), 0);
        let mut words = alloc::vec![
            self.channels.len() as u32,
            self.rate.to_bits(),
            self.window as u32,
            self.hop as u32,
            self.detrending as u32,
            self.taper as u32,
            self.entries.len() as u32,
            bytes,
        ];
        words.extend(self.entries.iter().flat_map(|entry| entry.words()));
        words.extend(self.channels.iter().map(|channel| channel.resolution.to_bits()));
        let (text, _) = text.as_chunks();
        words.extend(text.iter().map(|bytes| u32::from_le_bytes(*bytes)));
        words
    }
}
