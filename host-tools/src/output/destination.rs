//! What the path of an output stands for, and whether it can be written and reads nothing.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};

/// Links followed before a path counts as a circle, which opening it then says.
const MOST_LINKS: usize = 40;

/// Where an output goes.
#[derive(Debug)]
pub enum Destination {
    /// What is open already under a number: 1 is standard output, 2 standard error.
    Descriptor(u16),
    /// A pipe or a device, which takes the bytes as they come.
    Special(PathBuf),
    /// A regular file, there or not, behind all links.
    File(PathBuf),
}

impl Destination {
    /// Standard output.
    pub const OUTPUT: Self = Self::Descriptor(1);

    /// What `path` stands for; `-` is standard output. Refuses what cannot be written, and opens
    /// nothing: the reader of a pipe would take its closing for the end.
    pub fn of(path: &Path) -> io::Result<Self> {
        if path == Path::new("-") {
            return Ok(Self::OUTPUT);
        }
        // Links are followed one by one: whole, /dev/stdout is the file behind it, or no path.
        let mut target = path.to_path_buf();
        for _ in 0..MOST_LINKS {
            if let Some(number) = system::descriptor(&target) {
                system::check_descriptor(number)?;
                return Ok(Self::Descriptor(number));
            }
            match fs::read_link(&target) {
                Ok(link) => target = folder(&target).join(link),
                Err(_) => break,
            }
        }
        match fs::metadata(&target) {
            Ok(found) if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
            Ok(found) => {
                system::check_writable(&target, &found)?;
                Ok(if found.is_file() { Self::File(target) } else { Self::Special(target) })
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Err(_) if names_a_folder(&target) => Err(io::ErrorKind::IsADirectory.into()),
            Err(_) => Ok(Self::File(target)),
        }
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

/// The file open as `number`, to be written or asked about.
#[cfg(unix)]
pub use system::open_descriptor;

#[cfg(unix)]
mod system {
    use super::{Destination, Metadata, Path, folder, fs, io};
    use std::fs::File;
    use std::os::fd::{AsFd, BorrowedFd};
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

    pub fn open_descriptor(number: u16) -> io::Result<File> {
        // SAFETY: It is borrowed for this one call, which refuses a number that is not open.
        let borrowed = unsafe { BorrowedFd::borrow_raw(number.into()) };
        Ok(borrowed.try_clone_to_owned()?.into())
    }

    pub fn check_descriptor(number: u16) -> io::Result<()> {
        let flags = rustix::fs::fcntl_getfl(open_descriptor(number)?.as_fd())?;
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
            Destination::Descriptor(number) => metadata(*number),
            Destination::Special(path) | Destination::File(path) => fs::metadata(path),
        };
        let input = if input == Path::new("-") { metadata(0) } else { fs::metadata(input) };
        let file = |found: io::Result<Metadata>| {
            found.ok().filter(Metadata::is_file).map(|found| (found.dev(), found.ino()))
        };
        file(output).is_some_and(|output| file(input) == Some(output))
    }

    fn metadata(number: u16) -> io::Result<Metadata> {
        open_descriptor(number)?.metadata()
    }
}

#[cfg(not(unix))]
mod system {
    use super::{Destination, Metadata, Path, io};

    pub fn descriptor(_path: &Path) -> Option<u16> {
        None
    }

    pub fn check_descriptor(_number: u16) -> io::Result<()> {
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
