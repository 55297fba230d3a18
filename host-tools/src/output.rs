//! Files that appear whole or not at all.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::{Error, Result};

/// A file under a temporary name in its own folder, until it is complete.
#[derive(Debug)]
pub struct Draft {
    file: NamedTempFile,
    path: PathBuf,
}

impl Draft {
    /// Starts a file that will be called `path`. Fails at once where none can be written, so
    /// that no work is lost for it later.
    pub fn create(path: &Path) -> Result<Self> {
        let refuse = |source| Error::Write { path: path.into(), source };
        if path.is_dir() {
            return Err(refuse(io::ErrorKind::IsADirectory.into()));
        }
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let mut builder = tempfile::Builder::new();
        let file = builder.prefix(".flowlet-").tempfile_in(folder).map_err(refuse)?;
        Ok(Self { file, path: path.into() })
    }

    /// Gives the complete file its name.
    pub fn finish(mut self) -> Result<()> {
        let path = self.path.clone();
        let refuse = |source| Error::Write { path, source };
        if let Err(source) = self.file.flush().and_then(|()| self.file.as_file().sync_all()) {
            return Err(refuse(source));
        }
        // A temporary file is private; the result is as readable as any new file.
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let permissions = std::fs::Permissions::from_mode(0o644);
            if let Err(source) = self.file.as_file().set_permissions(permissions) {
                return Err(refuse(source));
            }
        }
        self.file.persist(&self.path).map(|_| ()).map_err(|error| refuse(error.error))
    }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
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
