//! `cargo xtask`: sets up, demonstrates, measures and tests flowlet.

mod bench;
mod boards;
mod coefficients;
mod cycles;
mod data;
mod demo;
mod detector;
mod emulator;
mod families;
mod firmware;
mod host_tool;
mod latent;
mod measure;
mod models;
mod parallel;
mod picture;
mod setup;
mod signal;
mod steps;
mod trial;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use clap::Parser;

/// Sets up, demonstrates, measures and tests flowlet.
#[derive(Parser)]
#[command(name = "cargo xtask")]
enum Verb {
    /// Find or install what the other verbs need, and say so.
    Setup,
    /// Train on real rows, score the test rows on the host and on an emulated Cortex-M4, compare.
    Demo(demo::Arguments),
    /// Count what a row costs on a Cortex-M4, or compare how well models detect.
    Bench(bench::Arguments),
    /// Run every check, or some.
    Test(steps::Arguments),
}

fn main() -> ExitCode {
    let verb = Verb::parse();
    let result = setup::run().and_then(|()| match verb {
        Verb::Setup => {
            setup::browser();
            Ok(())
        }
        Verb::Demo(arguments) => demo::run(&arguments),
        Verb::Bench(arguments) => bench::run(&arguments),
        Verb::Test(arguments) => steps::run(&arguments),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the repository")
}

/// A folder for results under `target`, made if need be.
fn results(name: &str) -> Result<PathBuf> {
    let folder = root().join("target").join(name);
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {folder:?}"))?;
    Ok(folder)
}

/// The words of a command line without quotes.
fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(String::from).collect()
}

/// Writes `value` to `path` at once: whoever reads it, or stops this, finds the whole of it or of
/// what was there before.
fn write_json(path: &Path, value: &serde_json::Value) -> Result<()> {
    let folder = path.parent().context("a file is in a folder")?;
    let mut file = tempfile::NamedTempFile::new_in(folder)
        .with_context(|| format!("cannot write to {}", folder.display()))?;
    file.write_all(serde_json::to_string_pretty(value)?.as_bytes())?;
    file.write_all(b"\n")?;
    file.persist(path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(())
}

/// Runs `command` with its output shown.
fn run(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).status().with_context(|| spell(command))?;
    if !status.success() {
        bail!("{}: {status}", spell(command));
    }
    Ok(())
}

/// Runs `command` and returns its standard output.
fn read(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.with_context(|| spell(command))?;
    if !output.status.success() {
        bail!("{}: {}\n{}", spell(command), output.status, String::from_utf8_lossy(&output.stdout));
    }
    Ok(output.stdout)
}

/// The command as one would type it.
fn spell(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::Verb;

    #[test]
    fn the_command_line_is_well_formed() {
        Verb::command().debug_assert();
    }

    #[test]
    fn options_of_one_comparison_go_with_it_alone() {
        let accepts = |line: &str| Verb::try_parse_from(line.split_whitespace()).is_ok();
        for line in [
            "xtask bench",
            "xtask bench all",
            "xtask bench --families --data a b --epochs 3 -- --hidden 8",
            "xtask bench --detection --data a b --seeds 0,1 --baselines c.json -- --epochs 3",
            "xtask bench --glitch --data a --places 5 --rows 100",
            "xtask bench --detector --data a b -- --family gmm",
            "xtask bench --cost --renew",
            "xtask bench --latent",
            "xtask bench --latent --data a b -- --epochs 3",
            "xtask demo --signal",
            "xtask demo --signal --data a -- --rate 50 --false-alarms 1/day --every 1s",
            "xtask test quick",
        ] {
            assert!(accepts(line), "{line}");
        }
        for line in [
            "xtask bench --detection",
            "xtask bench --data a",
            "xtask bench --detection --glitch --data a",
            "xtask bench --glitch --data a --seeds 0",
            "xtask bench all --detection --data a",
            "xtask bench all --data a",
            "xtask bench all --latent",
            "xtask bench --renew",
            "xtask bench all --cost",
            "xtask bench --latent --detection --data a",
            "xtask bench --detector",
            "xtask bench --detector --latent --data a",
            "xtask bench --detector --data a --seeds 1",
            "xtask bench --latent --seeds 1",
            "xtask bench all --seeds 1",
            "xtask bench --detection --data a --epochs 3",
        ] {
            assert!(!accepts(line), "{line}");
        }
    }
}
