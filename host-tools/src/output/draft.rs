//! Files that appear whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::destination::{Destination, Standard, folder};
use super::temporary;
use crate::error::{Error, Result};

/// What `-` is called.
const STANDARD_OUTPUT: &str = "standard output";

/// A file under a temporary name in its own folder, until it is complete.
///
/// What is open already (`-`, `/dev/stdout`), a pipe or a device is written to directly.
pub struct Draft {
    place: Place,
    name: Name,
}

enum Place {
    Temporary { file: NamedTempFile, target: PathBuf },
    Stream(Box<dyn Write>),
}

/// How messages name an output.
#[derive(Clone, Debug)]
pub(super) struct Name {
    path: PathBuf,
    is_stream: bool,
}

impl Name {
    fn new(path: &Path, is_stream: bool) -> Self {
        Self { path: path.into(), is_stream }
    }

    /// The error of what the system said.
    pub(super) fn refusal(&self, source: io::Error) -> Error {
        match self.is_stream {
            true => Error::Output { name: shown(&self.path), source },
            false => Error::Write { path: shown(&self.path), source },
        }
    }
}

/// How messages name the output that a command line calls `path`.
pub fn shown(path: &Path) -> String {
    match path == Path::new("-") {
        true => STANDARD_OUTPUT.into(),
        false => path.display().to_string(),
    }
}

impl Draft {
    /// Refuses a `path` that cannot be written, or that is one of the files that will be read,
    /// before work is spent on what will stand there.
    pub fn check(path: &Path, inputs: &[&Path]) -> Result<()> {
        let name = Name::new(path, false);
        let destination = Destination::of(path).map_err(|source| name.refusal(source))?;
        if let Some(input) = inputs.iter().find(|input| destination.is(input)) {
            let input =
                if *input == Path::new("-") { "standard input".into() } else { shown(input) };
            return Err(Error::OutputIsInput { output: shown(path), input });
        }
        match destination {
            Destination::File(target) => temporary(target).map(drop),
            // Opened once, when there is something to write.
            Destination::Standard(_) | Destination::Special(_) => Ok(()),
        }
        .map_err(|source| name.refusal(source))
    }

    /// Starts the output that will be called `path`; `-` is standard output.
    pub fn create(path: &Path) -> Result<Self> {
        let opened = Destination::of(path).and_then(open);
        let place = opened.map_err(|source| Name::new(path, false).refusal(source))?;
        let is_stream = matches!(place, Place::Stream(_));
        Ok(Self { place, name: Name::new(path, is_stream) })
    }

    /// Writes all of an output at once.
    pub fn complete(mut self, bytes: &[u8]) -> Result<()> {
        self.write_all(bytes).map_err(|source| self.name.refusal(source))?;
        self.finish()
    }

    /// Gives the complete file its name.
    pub fn finish(mut self) -> Result<()> {
        let flushed = self.flush();
        flushed.and_then(|()| self.place.finish()).map_err(|source| self.name.refusal(source))
    }

    pub(super) fn name(&self) -> &Name {
        &self.name
    }
}

fn open(destination: Destination) -> io::Result<Place> {
    let stream: Box<dyn Write> = match destination {
        Destination::File(target) => return temporary(target),
        Destination::Special(path) => Box::new(File::options().append(true).open(path)?),
        Destination::Standard(Standard::Error) => Box::new(io::stderr()),
        Destination::Standard(Standard::Output) => Box::new(io::stdout()),
    };
    Ok(Place::Stream(stream))
}

fn temporary(target: PathBuf) -> io::Result<Place> {
    let file = temporary::create(folder(&target), fs::metadata(&target).ok().as_ref())?;
    Ok(Place::Temporary { file, target })
}

impl Place {
    fn finish(self) -> io::Result<()> {
        let Self::Temporary { file, target } = self else { return Ok(()) };
        file.as_file().sync_all()?;
        file.persist(target)?;
        Ok(())
    }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.place {
            Place::Temporary { file, .. } => file.write(bytes),
            Place::Stream(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.place {
            Place::Temporary { file, .. } => file.flush(),
            Place::Stream(stream) => stream.flush(),
        }
    }
}
