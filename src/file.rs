//! The model file: its format, its reader, and every check of its envelope.
//!
//! # Format, major version 1
//!
//! A model file is one [postcard](https://postcard.jamesmunns.com/wire-format) message:
//!
//! | field | type | bytes | contents |
//! |---|---|---|---|
//! | magic | `[u8; 4]` | 4 | `FLOW` |
//! | version | `[u8; 2]` | 2 | major, minor |
//! | length | `[u8; 4]` | 4 | of the whole file in bytes, little-endian |
//! | sections | sequence of section | varint count, then each | see below |
//! | checksum | `[u8; 4]` | 4 | CRC-32C of all bytes before it, little-endian |
//!
//! | section field | type | contents |
//! |---|---|---|
//! | tag | `u32`, a varint | odd: a reader must know it; even: one that does not may skip it |
//! | pad | `&[u8]` | 0 to 3 bytes, so that the contents start at a multiple of 4 from the start of the file |
//! | contents | `&[u8]` | little-endian 32-bit words, or text |
//!
//! Words are used where they lie: the file must start on a 4-byte boundary and the core must be
//! little-endian, as every Cortex-M is. `f32` below is a word holding the bits of a float.
//!
//! **Section 1, flow** (one, or up to 4 of an ensemble; words). The flows of an ensemble have the
//! same D, C and math.
//!
//! | word | contents |
//! |---|---|
//! | 0 | D, number of features, 2 to 64 |
//! | 1 | C, number of context values, 0 to 64 |
//! | 2 | base density: 1 = standard normal, 2 = Student-t, 3 = mixture of Gaussians, 4 = mixture of Student-t ([`Base`](crate::Base)) |
//! | 3 | math that the file was calibrated with: 1 = libm, 2 = micromath |
//! | 4 | L, number of layers |
//! | 5 | P, number of parameter words |
//! | 6, 7 | settings of the base, 0 where it has none ([`Base`](crate::Base)) |
//! | 8 .. 8 + 13 L | a record of 13 words a layer, in the order of the inverse (x to z) |
//! | .. 8 + 13 L + P | the layers' parameters, one layer behind the other without a gap, then the base's |
//!
//! | record word | contents |
//! |---|---|
//! | 0 | kind: 1 = coupling, 2 = permutation, 3 = act-norm, 4 = LU linear, 5 = autoregressive, 6 = marginal |
//! | 1 | first parameter word, counted from the first parameter |
//! | 2 | number of parameter words |
//! | 3 | n, number of values that the layer maps, the first ones of the row: 2 to D, and not more than the layer before it maps |
//! | 4 .. 13 | settings of that kind, see the module of each; 0 where it has none |
//!
//! A matrix of R rows and C columns lies in blocks of 8 rows, the last one filled up with zero
//! rows: 8 biases, then C times 8 weights, one column behind the other. In an autoregressive
//! layer a block has only the columns that its rows may see ([`Degrees`](crate::Degrees)), and in
//! front of the layer's matrices stands the number of columns of each of their blocks.
//!
//! **Section 3, names** (one; text): D strings, each a varint of its length in bytes and its
//! UTF-8, in the order of the features; then C strings, those of the context.
//!
//! **Section 5, standardisation** (one for all flows, or as many as flows, the k-th belongs to the k-th
//! flow; words): for each feature, then each context value, centre, scale, low and high, `f32`, in the feature's unit
//! and less its offset; low to high is the range of the training rows.
//!
//! **Section 7, shares** (exactly one where there is more than one flow, else none; words): for each
//! flow ln of its share of their mixture, `f32`, at most 0, the shares adding up to 1 within 0.001.
//!
//! **Section 9, columns** (at most one; words): for each feature, then each context value, offset,
//! `f64` in two words, the low one first, and step, `f32`. The offset is what is subtracted from the
//! sensor's value before it becomes an `f32`; the step is 0 where the column has no steps, else it
//! comes in whole steps from its low on. Without the section both are 0.
//!
//! **Section 11, score** (at most one; words): for each flow the median and the deviation of its
//! base's log-density, then of its log-determinant, `f32`, in nats ([`Balance`](crate::Balance)).
//! Without it the score is minus the log-density.
//!
//! **Section 13, latent model** and **section 15, points** (Cargo feature `latent`): instead of
//! section 1, a model with latent values (`flowlet::Latent` has their words). A flow's file has
//! neither.
//!
//! **Section 2, calibration** (at most one; words): n, number of held-out normal rows; T, number of
//! thresholds, from 1; Q, number of quantiles; T pairs of a false-alarm rate and its threshold, `f32`;
//! Q pairs of a score, `f32`, and the number of held-out rows above it; and none or five words, `f32`,
//! of the tail behind them ([`Calibration`](crate::Calibration)).
//!
//! **Section 8, attribution** (at most one; words): Q, at least 1, then for each feature Q of its
//! training values, `f32`, ascending, in its unit and less its offset ([`mod@crate::attribution`]).
//!
//! **Section 16, signal** (at most one; words; Cargo feature `signal`): the recipe by which the rows come
//! from windows of a raw signal, whose words `flowlet::signal::Recipe` lists. A reader without the feature
//! scores rows that are finished.
//! **Section 18, detector** (at most one; words): rows between two false alarms at least, `f32`; k and n, the
//! rows of the last ones that must speak against the machine, 1 <= k <= n <= 32; the largest offset by
//! which a drift of the score is followed and its step a row, `f32`; and for each feature the smallest and
//! the largest value of a working sensor, `f32`, less the feature's offset, and the longest run of rows with
//! one value, 0 where any may be (`flowlet::detector`, Cargo feature `detector`).
//!
//! **Section 4, provenance** (at most one; text): lines `key=value` in UTF-8. No time, path or
//! host, so that the same training gives the same file.
//!
//! **Section 6, self-test** (at most one; words): any number of vectors, each the D values of a
//! raw row, the C of its context, its log-density in nats and its score, `f32`, all bits as the host
//! computed them.
//!
//! # What a new version may change
//!
//! A new **minor** version may add even sections, give meaning to words and settings that are 0
//! here, and add kinds of layers, bases and maths; a file that uses none of these stays readable
//! by this reader, and one that does is refused by the check of that word or kind. Only a new
//! **major** version may change what stands above; it is refused before anything else is read.
//! Numbers of kinds and tags are never used again. Tags 10, 12 and 14 are kept for latent models.
//!
//! # Checks
//!
//! In this order, each with its own [`Error`]: length, magic, major version, stated length,
//! checksum, alignment, decoding of each section, no bytes left; then the contents: counts
//! against the sections' sizes and the firmware's capacity, layers' records, every float finite
//! and every parameter within 2^16, scales positive, steps not negative, permutations, the flows of
//! an ensemble alike. After them no access can fail. A checksum is no signature: a boot loader that must
//! refuse a forged file signs the bytes of the whole file.

use crc::{CRC_32_ISCSI, Crc, Table};
use serde::{Deserialize, Serialize};

use crate::Error;

/// First bytes of every model file.
pub const MAGIC: [u8; 4] = *b"FLOW";
/// Major and minor version that this crate writes.
pub const VERSION: [u8; 2] = [1, 0];

/// Most flows of a file, those of an ensemble.
pub const MAX_MEMBERS: usize = 4;

/// Flows that this build has room for.
pub(crate) const MEMBERS: usize = if cfg!(feature = "ensemble") { MAX_MEMBERS } else { 1 };

/// The refusal of a flow that there is no room for.
const TOO_MANY_FLOWS: Error = if cfg!(feature = "ensemble") {
    Error::Members { maximum: MAX_MEMBERS }
} else {
    Error::Feature { name: "ensemble" }
};

/// Tags of the sections.
pub mod tag {
    /// Architecture and parameters.
    pub const FLOW: u32 = 1;
    /// Thresholds, and quantiles of the scores of held-out rows.
    pub const CALIBRATION: u32 = 2;
    /// Feature names.
    pub const NAMES: u32 = 3;
    /// Where the model came from.
    pub const PROVENANCE: u32 = 4;
    /// Centre, scale and range of each feature.
    pub const STANDARDISATION: u32 = 5;
    /// Rows with the log-densities and scores that the host computed.
    pub const SELF_TEST: u32 = 6;
    /// Shares of several flows in their mixture.
    pub const SHARES: u32 = 7;
    /// Values of each feature that attribution tries.
    pub const ATTRIBUTION: u32 = 8;
    /// Offset and step of each column.
    pub const COLUMNS: u32 = 9;
    /// What the score balances.
    pub const SCORE: u32 = 11;
    /// Networks and flows of a latent variable model.
    pub const LATENT: u32 = 13;
    /// Draws that a latent model's bound is taken over.
    pub const POINTS: u32 = 15;
    /// How rows come from a raw signal.
    pub const SIGNAL: u32 = 16;
    /// When scores become an alarm.
    pub const DETECTOR: u32 = 18;
}

/// Magic, version and length.
pub(crate) const HEADER: usize = 10;
const CHECKSUM: usize = 4;

/// The checksum's polynomial: at 100 KiB it finds every change of 1, 2 or 3 bits.
static CRC: Crc<u32, Table<1>> = Crc::<u32, Table<1>>::new(&CRC_32_ISCSI);

/// One section, borrowed from the file.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Section<'m> {
    /// What it holds, see [`tag`].
    pub tag: u32,
    /// Bytes that align the contents.
    #[serde(borrow)]
    pub pad: &'m [u8],
    /// Words or text.
    #[serde(borrow)]
    pub contents: &'m [u8],
}

/// The sections of a file, each found once and not yet looked into.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct File<'m> {
    /// In their order, as many as there are.
    pub flows: [Option<&'m [u32]>; MEMBERS],
    pub standardisations: [Option<&'m [u32]>; MEMBERS],
    pub shares: Option<&'m [u32]>,
    pub names: Option<&'m [u8]>,
    pub columns: Option<&'m [u32]>,
    pub score: Option<&'m [u32]>,
    pub calibration: Option<&'m [u32]>,
    pub attribution: Option<&'m [u32]>,
    pub provenance: Option<&'m [u8]>,
    pub self_test: Option<&'m [u32]>,
    pub latent: Option<&'m [u32]>,
    pub points: Option<&'m [u32]>,
    #[cfg(feature = "signal")]
    pub signal: Option<&'m [u32]>,
    #[cfg(feature = "detector")]
    pub detector: Option<&'m [u32]>,
}

/// The length of the model file at the start of `slot`, as its header says.
pub(crate) fn stated_length(slot: &[u8]) -> Result<u32, Error> {
    let too_short = Error::TooShort { length: slot.len(), minimum: HEADER + CHECKSUM };
    let (header, _) = slot.split_first_chunk::<HEADER>().ok_or(too_short)?;
    let [m0, m1, m2, m3, major, _, l0, l1, l2, l3] = *header;
    if slot.len() < HEADER + CHECKSUM {
        return Err(too_short);
    }
    if [m0, m1, m2, m3] != MAGIC {
        return Err(Error::Magic);
    }
    let [supported, _] = VERSION;
    if major != supported {
        return Err(Error::Version { found: major, supported });
    }
    Ok(u32::from_le_bytes([l0, l1, l2, l3]))
}

/// The CRC-32C of `bytes`, as a file's last four bytes hold it.
pub fn checksum(bytes: &[u8]) -> u32 {
    CRC.checksum(bytes)
}

impl<'m> File<'m> {
    /// Opens an envelope: `bytes` is exactly one model file.
    pub fn open(bytes: &'m [u8]) -> Result<Self, Error> {
        let stated = stated_length(bytes)?;
        if usize::try_from(stated) != Ok(bytes.len()) {
            return Err(Error::Length { stated, actual: bytes.len() });
        }
        let (message, sum) = bytes.split_last_chunk::<CHECKSUM>().ok_or(Error::Magic)?;
        let (sum, computed) = (u32::from_le_bytes(*sum), checksum(message));
        if sum != computed {
            return Err(Error::Checksum { stated: sum, computed });
        }
        if !(bytes.as_ptr() as usize).is_multiple_of(align_of::<u32>()) {
            return Err(Error::Misaligned);
        }
        let (_, sections) = message.split_at_checked(HEADER).ok_or(Error::Magic)?;
        Self::sections(sections)
    }

    fn sections(bytes: &'m [u8]) -> Result<Self, Error> {
        let mut file = Self::default();
        let (count, mut rest) =
            postcard::take_from_bytes::<u32>(bytes).map_err(|_| Error::Malformed { section: 0 })?;
        for number in 0..count {
            let malformed = Error::Malformed { section: number };
            let (section, behind) =
                postcard::take_from_bytes::<Section>(rest).map_err(|_| malformed)?;
            rest = behind;
            let Section { tag, contents, .. } = section;
            match tag {
                tag::FLOW => {
                    append(&mut file.flows, words(contents, malformed)?).ok_or(TOO_MANY_FLOWS)?
                }
                tag::NAMES => fill(&mut file.names, tag, contents)?,
                tag::STANDARDISATION => {
                    append(&mut file.standardisations, words(contents, malformed)?)
                        .ok_or(Error::RepeatedSection { tag })?
                }
                tag::PROVENANCE => fill(&mut file.provenance, tag, contents)?,
                _ => match file.words(tag) {
                    Some(place) => fill(place, tag, words(contents, malformed)?)?,
                    None if tag % 2 == 0 => {}
                    None => return Err(Error::UnknownSection { tag }),
                },
            }
        }
        match rest.len() {
            0 => Ok(file),
            count => Err(Error::TrailingBytes { count }),
        }
    }

    /// The place of a section of words that stands at most once.
    fn words(&mut self, tag: u32) -> Option<&mut Option<&'m [u32]>> {
        match tag {
            tag::SHARES if cfg!(feature = "ensemble") => Some(&mut self.shares),
            tag::COLUMNS => Some(&mut self.columns),
            tag::SCORE => Some(&mut self.score),
            tag::CALIBRATION => Some(&mut self.calibration),
            tag::ATTRIBUTION => Some(&mut self.attribution),
            tag::SELF_TEST => Some(&mut self.self_test),
            tag::LATENT => Some(&mut self.latent),
            tag::POINTS => Some(&mut self.points),
            #[cfg(feature = "signal")]
            tag::SIGNAL => Some(&mut self.signal),
            #[cfg(feature = "detector")]
            tag::DETECTOR => Some(&mut self.detector),
            _ => None,
        }
    }
}

/// Puts the contents into the first place that is free, if there is one.
fn append<T>(places: &mut [Option<T>], contents: T) -> Option<()> {
    let place = places.iter_mut().find(|place| place.is_none())?;
    *place = Some(contents);
    Some(())
}

fn fill<T>(place: &mut Option<T>, tag: u32, contents: T) -> Result<(), Error> {
    match place.replace(contents) {
        None => Ok(()),
        Some(_) => Err(Error::RepeatedSection { tag }),
    }
}

/// The contents as words, in place. An empty slice has no address to be misaligned.
fn words(contents: &[u8], malformed: Error) -> Result<&[u32], Error> {
    if contents.is_empty() {
        return Ok(&[]);
    }
    bytemuck::try_cast_slice(contents).map_err(|_| malformed)
}
