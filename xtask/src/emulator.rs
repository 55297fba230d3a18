//! Runs firmware in QEMU, on a board with a Cortex-M4 (`mps2-an386`) or another core.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// How long a trace gathers before it is read. QEMU writes each line by itself, and to wake up for
/// each takes longer than to trace it.
const GATHERING: Duration = Duration::from_micros(300);

/// A core, and the board that QEMU has it on.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// What the firmware is built for.
    pub target: &'static str,
    core: &'static str,
    board: &'static str,
}

/// The Cortex-M4 that everything runs on.
const CORTEX_M4: Machine =
    Machine { target: "thumbv7em-none-eabihf", core: "cortex-m4", board: "mps2-an386" };

/// A core of each kind: with a floating-point unit, without one, and of the next architecture.
pub const MACHINES: [Machine; 3] = [
    CORTEX_M4,
    Machine { target: "thumbv6m-none-eabi", core: "cortex-m0", board: "microbit" },
    Machine { target: "thumbv8m.main-none-eabihf", core: "cortex-m33", board: "mps2-an505" },
];

/// QEMU on `elf`, with `folder` as the directory of its files.
fn command(machine: Machine, elf: &Path, folder: &Path) -> Command {
    let mut command = Command::new("qemu-system-arm");
    command.args(["-cpu", machine.core, "-machine", machine.board, "-nographic"]);
    command.args(["-semihosting-config", "enable=on,target=native", "-kernel"]);
    command.arg(elf).current_dir(folder).stdin(Stdio::null());
    command
}

/// Runs `elf` to its end; what it printed.
pub fn run(elf: &Path, folder: &Path) -> Result<Vec<u8>> {
    run_on(CORTEX_M4, elf, folder)
}

/// The same on another core.
pub fn run_on(machine: Machine, elf: &Path, folder: &Path) -> Result<Vec<u8>> {
    crate::read(&mut command(machine, elf, folder))
}

/// Runs `elf` to its end and passes the address of every instruction that it executes.
pub fn trace(elf: &Path, folder: &Path, mut visit: impl FnMut(u64)) -> Result<()> {
    let mut command = command(CORTEX_M4, elf, folder);
    command.args(one_instruction_a_block()?).args(["-d", "exec,nochain"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let mut log = BufReader::with_capacity(1 << 20, child.stderr.take().context("piped")?);
    let mut line = Vec::new();
    loop {
        if log.buffer().is_empty() {
            std::thread::sleep(GATHERING);
        }
        if log.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        match address(&line) {
            Some(address) => visit(address),
            None => eprint!("{}", String::from_utf8_lossy(&line)),
        }
        line.clear();
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("{}: {status}", crate::spell(&command));
    }
    Ok(())
}

/// The option was renamed in QEMU 8.1.
fn one_instruction_a_block() -> Result<&'static [&'static str]> {
    let version = crate::read(Command::new("qemu-system-arm").arg("--version"))?;
    let version = String::from_utf8_lossy(&version);
    let numbers = version.split("version ").nth(1).unwrap_or_default();
    let mut numbers = numbers.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    let version: (u32, u32) = match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor),
        _ => bail!("cannot read QEMU's version from {version:?}"),
    };
    Ok(if version >= (8, 1) { &["-accel", "tcg,one-insn-per-tb=on"] } else { &["-singlestep"] })
}

/// The address in a line `Trace 0: 0x... [00000000/ADDRESS/...] name`.
fn address(line: &[u8]) -> Option<u64> {
    let line = line.strip_prefix(b"Trace ")?;
    let text = line.split(|byte| *byte == b'/').nth(1)?;
    u64::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok()
}
