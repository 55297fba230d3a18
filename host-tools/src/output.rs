//! Files that appear whole or not at all.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::{Error, Result};

/// A file under a temporary name in its own folder, until it is complete.
///
/// A path that names a device or a pipe (`/dev/stdout`) is written to directly.
#[derive(Debug)]
pub struct Draft {
    place: Place,
    path: PathBuf,
}

#[derive(Debug)]
enum Place {
    Temporary(NamedTempFile),
    Device(File),
}

impl Draft {
    /// Starts a file that will be called `path`.
    pub fn create(path: &Path) -> Result<Self> {
        let refuse = |source| Error::Write { path: path.into(), source };
        // Where `path` is a link, what it points to is replaced.
        let target = path.canonicalize().unwrap_or_else(|_| path.into());
        if target.is_dir() {
            return Err(refuse(io::ErrorKind::IsADirectory.into()));
        }
        let place = if target.exists() && !target.is_file() {
            Place::Device(File::options().write(true).open(&target).map_err(refuse)?)
        } else {
            let folder = match target.parent() {
                Some(folder) if folder != Path::new("") => folder,
                _ => Path::new("."),
            };
            let mut builder = tempfile::Builder::new();
            Place::Temporary(builder.prefix(".flowlet-").tempfile_in(folder).map_err(refuse)?)
        };
        Ok(Self { place, path: target })
    }

    /// Refuses a `path` that cannot be written, before work is spent on what will stand there.
    pub fn check(path: &Path) -> Result<()> {
        Self::create(path).map(drop)
    }

    /// Gives the complete file its name.
    pub fn finish(mut self) -> Result<()> {
        let flushed = self.flush();
        let Self { place, path } = self;
        let finished = flushed.and_then(|()| place.finish(&path));
        finished.map_err(|source| Error::Write { path, source })
    }
}

impl Place {
    fn finish(self, path: &Path) -> io::Result<()> {
        let Self::Temporary(file) = self else { return Ok(()) };
        file.as_file().sync_all()?;
        // A temporary file is private; the result is as readable as any new file.
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
        }
        file.persist(path)?;
        Ok(())
    }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.place {
            Place::Temporary(file) => file.write(bytes),
            Place::Device(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.place {
            Place::Temporary(file) => file.flush(),
            Place::Device(file) => file.flush(),
        }
    }
}

/// A CSV table to a file (`-o`) or to standard output.
pub struct Table {
    writer: csv::Writer<Sink>,
    path: Option<PathBuf>,
}

enum Sink {
    File(Draft),
    Output(io::StdoutLock<'static>),
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File(draft) => draft.write(bytes),
            Self::Output(output) => output.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::File(draft) => draft.flush(),
            Self::Output(output) => output.flush(),
        }
    }
}

impl Table {
    /// Starts a table with `header`.
    pub fn create<S: AsRef<str>>(path: Option<&Path>, header: &[S]) -> Result<Self> {
        let sink = match path {
            Some(path) => Sink::File(Draft::create(path)?),
            None => Sink::Output(io::stdout().lock()),
        };
        let mut table = Self { writer: csv::Writer::from_writer(sink), path: path.map(Into::into) };
        table.row(header.iter().map(|name| name.as_ref().to_string()))?;
        Ok(table)
    }

    /// Appends a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) -> Result<()> {
        let written = self.writer.write_record(cells.into_iter().map(String::into_bytes));
        written.map_err(|error| match error.into_kind() {
            csv::ErrorKind::Io(source) => self.refuse(source),
            other => self.refuse(io::Error::other(format!("{other:?}"))),
        })
    }

    /// Completes the table; a file appears under its name only now.
    pub fn finish(self) -> Result<()> {
        let path = self.path;
        let refuse = |source| match path {
            Some(path) => Error::Write { path, source },
            None => Error::Output(source),
        };
        match self.writer.into_inner() {
            Ok(Sink::File(draft)) => draft.finish(),
            Ok(Sink::Output(mut output)) => output.flush().map_err(refuse),
            Err(error) => Err(refuse(error.into_error())),
        }
    }

    fn refuse(&self, source: io::Error) -> Error {
        match &self.path {
            Some(path) => Error::Write { path: path.clone(), source },
            None => Error::Output(source),
        }
    }
}
