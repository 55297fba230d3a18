//! Runs the tool in a folder of its own.

use std::path::PathBuf;

use assert_cmd::Command;

/// A temporary folder with files for the tool.
pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("the system has a temporary folder"))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), contents).expect("the temporary folder is writable");
    }

    /// The tool with `arguments`, which are split at spaces.
    pub fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flowlet"));
        command.args(arguments.split_whitespace()).current_dir(self.0.path());
        command
    }

    /// Runs the tool, which must succeed. Returns what it said on both streams.
    pub fn accepted(&self, arguments: &str) -> String {
        let output = self.command(arguments).assert().success().get_output().clone();
        let [said, printed] =
            [output.stderr, output.stdout].map(|bytes| String::from_utf8(bytes).unwrap());
        said + &printed
    }
}
