//! How a layer stands in a model file, and the lengths of what it maps.

use core::ops::Range;

use crate::Error;

/// Lengths of a row and of its context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// D, or as many of the first values as a layer maps.
    pub features: usize,
    /// C, 0 for a flow without context.
    pub context: usize,
}

/// A layer's entry in the file: its kind, where its parameters lie, and its settings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'m> {
    /// Number of the layer in the file, from 0.
    pub layer: usize,
    /// The words, as [`crate::file`] lists them.
    pub words: &'m [u32; Record::WORDS],
}

impl<'m> Record<'m> {
    /// Words of a record.
    pub const WORDS: usize = 13;
    /// Words in front of those that a kind defines: kind, offset, length, and how many values of
    /// the row the layer maps.
    pub const HEAD: usize = 4;
    /// The last of them.
    pub const MAPPED: usize = 3;
    /// Settings behind the head.
    pub const SETTINGS: usize = Self::WORDS - Self::HEAD;

    /// How many values of the row the layer maps, the first ones.
    pub fn mapped(&self) -> usize {
        let [_, _, _, mapped, ..] = *self.words;
        mapped as usize
    }

    /// Setting `index`, counted behind the head.
    pub fn word(&self, index: usize) -> usize {
        self.words.get(Self::HEAD + index).map_or(0, |word| *word as usize)
    }

    /// `count` settings from `index` on, or none where the record is too short.
    pub fn slice(&self, index: usize, count: usize) -> &'m [u32] {
        let from = self.words.get(Self::HEAD + index..);
        from.and_then(|words| words.get(..count)).unwrap_or_default()
    }

    /// The refusal of setting `index`.
    pub fn shape(&self, index: usize) -> Error {
        Error::Shape { layer: self.layer, word: Self::HEAD + index }
    }

    /// Refuses settings that are not zero: a later version gave them meaning.
    pub fn unused(&self, mut indices: Range<usize>) -> Result<(), Error> {
        match indices.find(|index| self.word(*index) != 0) {
            Some(index) => Err(self.shape(index)),
            None => Ok(()),
        }
    }
}
