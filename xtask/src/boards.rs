//! Builds the firmwares of real boards, and runs what they share on emulated cores.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use comfy_table::Table;
use serde_json::json;

use crate::{emulator, firmware};

/// A board of `examples/boards`.
struct Board {
    /// Its folder.
    name: &'static str,
    target: &'static str,
    /// KiB.
    flash: u64,
    ram: u64,
}

const BOARDS: [Board; 3] = [
    Board { name: "nucleo-f411re", target: "thumbv7em-none-eabihf", flash: 512, ram: 128 },
    Board { name: "microbit-v2", target: "thumbv7em-none-eabihf", flash: 512, ram: 128 },
    Board { name: "pico-2", target: "thumbv8m.main-none-eabihf", flash: 4096, ram: 512 },
];

/// What each board has.
const FIRMWARES: [&str; 2] = ["score", "record"];

/// KiB of flash and of static RAM that a firmware may take: a few per cent above what it takes.
const LIMITS: [(u64, u64); 2] = [(160, 24), (40, 16)];

/// Where the boards' workspace lies.
pub fn folder() -> PathBuf {
    crate::root().join("examples/boards")
}

/// Cargo in the folder of one of its packages, where that has its settings.
fn cargo(package: &str, target: Option<&str>, arguments: &[&str]) -> Command {
    let mut command = target.map_or_else(|| Command::new("cargo"), firmware::cargo);
    command.args(arguments).args(["--quiet", "--release", "--locked"]);
    if let Some(target) = target {
        command.args(["--target", target]);
    }
    command.current_dir(folder().join(package)).env_remove("FLOWLET_MODEL");
    command
}

/// The ELF file or program that `cargo` has built.
fn built(target: Option<&str>, name: &str) -> PathBuf {
    folder().join("target").join(target.unwrap_or_default()).join("release").join(name)
}

/// Builds every firmware of every board by the lock file, weighs it, and holds the monitor on emulated
/// cores against the host's, line by line.
pub fn check() -> Result<()> {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::ASCII_MARKDOWN);
    table.set_header(["board", "firmware", "flash", "left", "static RAM", "left for the stack"]);
    let mut report = Vec::new();
    for Board { name, target, flash, ram } in BOARDS {
        crate::run(&mut cargo(name, Some(target), &["build"]))?;
        for (firmware, limits) in FIRMWARES.into_iter().zip(LIMITS) {
            let path = built(Some(target), firmware);
            let elf = std::fs::read(&path).with_context(|| format!("cannot read {path:?}"))?;
            let sizes = firmware::sizes(&elf, 0)?;
            let kib = |bytes: u64| bytes.div_ceil(1024);
            let (used, statics) = (kib(sizes.flash), kib(sizes.statics));
            ensure!(
                used <= limits.0 && statics <= limits.1,
                "{name}, {firmware}: {used} KiB of flash and {statics} of RAM, above {limits:?}"
            );
            let figures = [used, flash - used, statics, ram - statics].map(|n| format!("{n} KiB"));
            table.add_row([name, firmware].map(String::from).into_iter().chain(figures));
            report.push(json!({
                "board": name,
                "firmware": firmware,
                "flash_bytes": sizes.flash,
                "static_ram_bytes": sizes.statics,
            }));
        }
    }
    println!("{table}");
    crate::write_json(&crate::results("boards")?.join("sizes.json"), &json!(report))?;
    compare()
}

/// Watches the computed fan on the host and on emulated cores.
fn compare() -> Result<()> {
    crate::run(&mut cargo("application", None, &["test"]))?;
    crate::run(&mut cargo("application", None, &["build", "--example", "trial"]))?;
    let host = crate::read(&mut Command::new(built(None, "examples/trial")))?;
    let lines = host.iter().filter(|byte| **byte == b'\n').count();
    ensure!(lines > 100, "the host reports {lines} rows");
    for machine in emulator::MACHINES {
        crate::run(&mut cargo("emulator", Some(machine.target), &["build"]))?;
        let elf = built(Some(machine.target), "emulator");
        let device = emulator::run_on(machine, &elf, &crate::results("boards")?)?;
        ensure!(device == host, "{machine:?} reports other rows than the host");
        println!("{}: {lines} rows, scores and states of the same bits", machine.target);
    }
    Ok(())
}

/// Clippy on every package, for its own core.
pub fn clippy() -> Result<()> {
    let boards = BOARDS.map(|board| (board.name, Some(board.target)));
    let emulator = emulator::MACHINES.map(|machine| ("emulator", Some(machine.target)));
    for (package, target) in boards.into_iter().chain(emulator.into_iter().take(1)) {
        let mut clippy = cargo(package, target, &["clippy"]);
        crate::run(clippy.args(["--", "-D", "warnings"]))?;
    }
    let mut clippy = cargo("application", None, &["clippy", "--all-targets"]);
    crate::run(clippy.args(["--", "-D", "warnings"]))
}
