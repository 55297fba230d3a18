//! What a file says of its columns, the features and then the context: names, offsets and steps.

use crate::Error;
use crate::file::tag;
use crate::preprocess::Column;
use crate::record::Sizes;

/// The columns of a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Columns<'m> {
    sizes: Sizes,
    names: &'m [u8],
    /// None in a file without offsets and steps.
    words: &'m [[u32; Column::WORDS]],
}

impl<'m> Columns<'m> {
    /// Views the names, the text of section 3, and the words of section 9 where there is one, and
    /// checks them.
    pub fn read(sizes: Sizes, names: &'m [u8], words: Option<&'m [u32]>) -> Result<Self, Error> {
        let mut columns = Self { sizes, names, words: &[] };
        columns.check_names()?;
        if let Some(words) = words {
            columns.words = columns.read_words(words)?;
        }
        Ok(columns)
    }

    fn count(&self) -> usize {
        self.sizes.features + self.sizes.context
    }

    fn check_names(&self) -> Result<(), Error> {
        let mut rest = self.names;
        for feature in 0..self.count() {
            (_, rest) =
                postcard::take_from_bytes::<&str>(rest).map_err(|_| Error::Name { feature })?;
        }
        match rest.len() {
            0 => Ok(()),
            _ => Err(Error::Name { feature: self.count() }),
        }
    }

    fn read_words(&self, words: &'m [u32]) -> Result<&'m [[u32; Column::WORDS]], Error> {
        let expected = self.count() * Column::WORDS;
        if words.len() != expected {
            let actual = words.len();
            return Err(Error::SectionLength { tag: tag::COLUMNS, actual, expected });
        }
        let (columns, _) = words.as_chunks();
        match columns.iter().position(|words| !Column::is_usable(*words)) {
            Some(column) => Err(Error::Column { column }),
            None => Ok(columns),
        }
    }

    /// Names of the features, in their order.
    pub fn feature_names(&self) -> impl Iterator<Item = &'m str> + use<'m> {
        self.names().take(self.sizes.features)
    }

    /// Names of the context's values, in their order.
    pub fn context_names(&self) -> impl Iterator<Item = &'m str> + use<'m> {
        self.names().skip(self.sizes.features)
    }

    fn names(&self) -> impl Iterator<Item = &'m str> + use<'m> {
        let mut rest = self.names;
        core::iter::from_fn(move || {
            let (name, behind) = postcard::take_from_bytes::<&str>(rest).ok()?;
            rest = behind;
            Some(name)
        })
    }

    /// What is subtracted from a value of column `index` before it is an f32.
    pub fn offset(&self, index: usize) -> f64 {
        self.words.get(index).map_or(0.0, |words| Column::read(*words).offset)
    }

    /// Width of the steps that column `index` comes in, 0 where it has none.
    pub fn step(&self, index: usize) -> f32 {
        self.words.get(index).map_or(0.0, |words| Column::read(*words).step)
    }

    /// Refuses other features than `names`, or another order.
    pub fn expect_features(&self, names: &[&str]) -> Result<(), Error> {
        let expected = self.sizes.features;
        if names.len() != expected {
            return Err(Error::RowLength { found: names.len(), expected });
        }
        match self.feature_names().zip(names).position(|(model, firmware)| model != *firmware) {
            Some(index) => Err(Error::FeatureName { index }),
            None => Ok(()),
        }
    }

    /// Refuses another context than `names`, or another order.
    pub fn expect_context(&self, names: &[&str]) -> Result<(), Error> {
        let expected = self.sizes.context;
        if names.len() != expected {
            return Err(Error::ContextLength { found: names.len(), expected });
        }
        match self.context_names().zip(names).position(|(model, firmware)| model != *firmware) {
            Some(index) => Err(Error::ContextName { index }),
            None => Ok(()),
        }
    }
}
