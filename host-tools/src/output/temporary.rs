//! Files under a temporary name, which nothing leaves behind: neither an error nor a panic, nor
//! Ctrl-C, nor a kill that can be caught.

use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::NamedTempFile;

/// All that were made; those that were renamed or removed since are no longer there.
static MADE: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

fn made() -> MutexGuard<'static, Vec<PathBuf>> {
    MADE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes a file in `folder`, as accessible as `replaced`, which it will replace, or as any new
/// file.
pub fn create(folder: &Path, replaced: Option<&Metadata>) -> io::Result<NamedTempFile> {
    remove_when_interrupted();
    let mut options = File::options();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    if replaced.is_some() {
        use std::os::unix::fs::OpenOptionsExt;
        // What was not for all eyes is not for a moment.
        options.mode(0o600);
    }
    // Held meanwhile, so that an interruption finds either no file or its name.
    let mut made = made();
    let mut builder = tempfile::Builder::new();
    // Opened here, since the library's errors name the temporary file, which no user knows.
    let file = builder.prefix(".flowlet-").make_in(folder, |path| options.open(path))?;
    made.push(file.path().into());
    drop(made);
    #[cfg(unix)]
    if let Some(replaced) = replaced {
        inherit(&file, folder, replaced)?;
    }
    Ok(file)
}

/// Gives `file` the owner and the permissions of `replaced`, as far as the system lets us.
#[cfg(unix)]
fn inherit(file: &NamedTempFile, folder: &Path, replaced: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, fchown};
    const STICKY: u32 = 0o1000;
    let own = file.as_file().metadata()?;
    let folder = std::fs::metadata(folder)?;
    // In /tmp and the like, only its owner may replace a file, and the renaming would say so late.
    let is_ours = [0, replaced.uid(), folder.uid()].contains(&own.uid());
    if folder.mode() & STICKY != 0 && !is_ours {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    if (own.uid(), own.gid()) != (replaced.uid(), replaced.gid()) {
        // Only root may give a file away; to others the group at least may be open.
        let _ = fchown(file.as_file(), Some(replaced.uid()), Some(replaced.gid()))
            .or_else(|_| fchown(file.as_file(), None, Some(replaced.gid())));
    }
    file.as_file().set_permissions(replaced.permissions())
}

/// Removes the files before a signal ends the process.
#[cfg(unix)]
fn remove_when_interrupted() {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGXFSZ};
    use signal_hook::iterator::Signals;
    use signal_hook::low_level::emulate_default_handler;
    use std::sync::{Arc, Once};

    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Caught, it leaves the write that broke a limit to fail as on a full disk.
        let _ = signal_hook::flag::register(SIGXFSZ, Arc::default());
        let others = [SIGHUP, SIGQUIT].into_iter().filter(|signal| is_left_to_us(*signal));
        let Ok(mut signals) = Signals::new([SIGINT, SIGTERM].into_iter().chain(others)) else {
            return;
        };
        let wait = move || {
            let Some(signal) = signals.forever().next() else { return };
            // Not released: no further file appears.
            let made = made();
            for path in made.iter() {
                let _ = std::fs::remove_file(path);
            }
            // The shell learns the signal, 130 or 143, as from any other tool.
            let _ = emulate_default_handler(signal);
        };
        let _ = std::thread::Builder::new().name("interruption".into()).spawn(wait);
    });
}

#[cfg(not(unix))]
fn remove_when_interrupted() {}

/// Whether our parent left `signal` to us: nohup has SIGHUP ignored, which must stay so. Where the
/// system does not tell, it is left alone.
#[cfg(unix)]
fn is_left_to_us(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
    ignored.is_some_and(|ignored| ignored >> (signal - 1) & 1 == 0)
}
