//! What the path of an output stands for, and whether it can be written and reads nothing.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};

/// Links followed before a path counts as a circle, which opening it then says.
const MOST_LINKS: usize = 40;

/// Where an output goes.
#[derive(Debug)]
pub enum Destination {
    /// Standard output or error, which are open already.
    Standard(Standard),
    /// A pipe, a device or a file that is only appended to, which take the bytes as they come.
    Special(PathBuf),
    /// A regular file, there or not, behind all links.
    File(PathBuf),
}

/// A standard stream that is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standard {
    /// `-`, `/dev/stdout` or `/dev/fd/1`.
    Output,
    /// `/dev/stderr` or `/dev/fd/2`.
    Error,
}

impl Destination {
    /// What `path` stands for; `-` is standard output. Refuses what cannot be written, and opens
    /// nothing: the reader of a pipe would take its closing for the end.
    pub fn of(path: &Path) -> io::Result<Self> {
        if path == Path::new("-") {
            return Self::standard(Standard::Output);
        }
        // Links are followed one by one: whole, /dev/stdout is the file behind it, or no path.
        let mut target = path.to_path_buf();
        for _ in 0..MOST_LINKS {
            match system::descriptor(&target) {
                Some(1) => return Self::standard(Standard::Output),
                Some(2) => return Self::standard(Standard::Error),
                Some(number) => return system::numbered(number, target),
                None => {}
            }
            match fs::read_link(&target) {
                Ok(link) => target = folder(&target).join(link),
                Err(_) => break,
            }
        }
        match fs::metadata(&target) {
            Ok(found) if found.is_dir() => Err(is_a_folder()),
            Ok(found) => {
                system::check_writable(&target, &found)?;
                Ok(if found.is_file() { Self::File(target) } else { Self::Special(target) })
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Err(_) if names_a_folder(&target) => Err(is_a_folder()),
            Err(error) if !folder(&target).exists() => {
                Err(io::Error::new(error.kind(), "its folder does not exist; make it first"))
            }
            Err(_) => Ok(Self::File(target)),
        }
    }

    fn standard(stream: Standard) -> io::Result<Self> {
        system::check_standard(stream)?;
        Ok(Self::Standard(stream))
    }

    /// Whether this is the file that is read as `input`, however either is spelled; `-` is standard
    /// input. Pipes and devices may be both.
    pub fn is(&self, input: &Path) -> bool {
        system::is_same(self, input)
    }
}

/// The folder of `path`.
pub fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// Whether `path` ends in a separator or in dots, where a file has its name.
fn names_a_folder(path: &Path) -> bool {
    let ends = |name: &std::ffi::OsStr| {
        path.as_os_str().as_encoded_bytes().ends_with(name.as_encoded_bytes())
    };
    !path.file_name().is_some_and(ends)
}

fn is_a_folder() -> io::Error {
    io::Error::new(io::ErrorKind::IsADirectory, "it is a folder; name a file in it")
}

#[cfg(unix)]
mod system {
    use super::{Destination, Metadata, Path, PathBuf, Standard, folder, fs, io};
    use std::fs::File;
    use std::os::fd::AsFd;
    use std::os::unix::fs::{FileTypeExt, MetadataExt};

    use rustix::fs::{Access, OFlags};

    /// Folders of a process's own descriptors.
    const FOLDERS: [&str; 3] = ["/dev/fd", "/proc/self/fd", "/proc/thread-self/fd"];

    /// The number of the descriptor that `path` names, such as /dev/fd/3.
    pub fn descriptor(path: &Path) -> Option<u16> {
        let name = path.file_name()?.to_str()?;
        let number = name.parse().ok().filter(|number: &u16| number.to_string() == name)?;
        let folder = folder(path).canonicalize().ok()?;
        let mut own = FOLDERS.iter().filter_map(|own| Path::new(own).canonicalize().ok());
        own.any(|own| own == folder).then_some(number)
    }

    /// What is open under a number that is neither 1 nor 2.
    ///
    /// Opened by its path it is the same pipe or device, but a file has a second place to write at:
    /// what others write to the number would overwrite what we write, unless all append.
    pub fn numbered(number: u16, path: PathBuf) -> io::Result<Destination> {
        let found = fs::metadata(&path)?;
        check_writable(&path, &found)?;
        let flags = flags(number);
        if flags & OFlags::ACCMODE == OFlags::RDONLY {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        match !found.is_file() || flags.contains(OFlags::APPEND) {
            true => Ok(Destination::Special(path)),
            false => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!(
                    "{number} is a file that is not appended to; write {number}>> FILE, or name the file"
                ),
            )),
        }
    }

    /// How a descriptor was opened. Where the system does not tell, as if for appending: there
    /// /dev/fd gives the descriptor itself.
    fn flags(number: u16) -> OFlags {
        let told = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap_or_default();
        let flags = told.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = flags.and_then(|digits| u32::from_str_radix(digits.trim(), 8).ok());
        flags.map_or(OFlags::WRONLY | OFlags::APPEND, OFlags::from_bits_retain)
    }

    /// Refuses a stream that was opened for reading alone, whose writes the standard library drops.
    pub fn check_standard(stream: Standard) -> io::Result<()> {
        let flags = match stream {
            Standard::Output => rustix::fs::fcntl_getfl(io::stdout())?,
            Standard::Error => rustix::fs::fcntl_getfl(io::stderr())?,
        };
        match flags & OFlags::ACCMODE {
            OFlags::RDONLY => Err(io::ErrorKind::PermissionDenied.into()),
            _ => Ok(()),
        }
    }

    pub fn check_writable(path: &Path, found: &Metadata) -> io::Result<()> {
        if found.file_type().is_socket() {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "it is a socket"));
        }
        Ok(rustix::fs::access(path, Access::WRITE_OK)?)
    }

    pub fn is_same(output: &Destination, input: &Path) -> bool {
        let output = match output {
            Destination::Standard(Standard::Output) => metadata(&io::stdout()),
            Destination::Standard(Standard::Error) => metadata(&io::stderr()),
            Destination::Special(path) | Destination::File(path) => fs::metadata(path),
        };
        let input = match input == Path::new("-") {
            true => metadata(&io::stdin()),
            false => fs::metadata(input),
        };
        let file = |found: io::Result<Metadata>| {
            found.ok().filter(Metadata::is_file).map(|found| (found.dev(), found.ino()))
        };
        file(output).is_some_and(|output| file(input) == Some(output))
    }

    fn metadata(stream: &impl AsFd) -> io::Result<Metadata> {
        File::from(stream.as_fd().try_clone_to_owned()?).metadata()
    }
}

#[cfg(not(unix))]
mod system {
    use super::{Destination, Metadata, Path, PathBuf, Standard, io};

    pub fn descriptor(_path: &Path) -> Option<u16> {
        None
    }

    pub fn numbered(_number: u16, path: PathBuf) -> io::Result<Destination> {
        Ok(Destination::Special(path))
    }

    pub fn check_standard(_stream: Standard) -> io::Result<()> {
        Ok(())
    }

    pub fn check_writable(_path: &Path, found: &Metadata) -> io::Result<()> {
        match found.permissions().readonly() {
            true => Err(io::ErrorKind::PermissionDenied.into()),
            false => Ok(()),
        }
    }

    pub fn is_same(output: &Destination, input: &Path) -> bool {
        let Destination::File(output) = output else { return false };
        let [output, input] = [output, input].map(|path| path.canonicalize().ok());
        output.is_some() && output == input
    }
}
