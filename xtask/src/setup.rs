//! What the other verbs need: QEMU, a toolchain for Cortex-M, and what checks the sources.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The cores that the device crate is built for.
pub const TARGETS: [&str; 4] = [
    "thumbv6m-none-eabi",
    "thumbv7m-none-eabi",
    "thumbv7em-none-eabihf",
    "thumbv8m.main-none-eabihf",
];

const QEMU: &str = "qemu-system-arm";
/// Names of the browser that looks at the page of a report.
const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// Packages of QEMU's Arm emulator, by package manager.
const PACKAGES: [(&str, &[&str]); 4] = [
    ("apt-get", &["install", "-y", "--no-install-recommends", QEMU]),
    ("dnf", &["install", "-y", "qemu-system-arm-core"]),
    ("pacman", &["-S", "--noconfirm", "qemu-system-arm"]),
    ("brew", &["install", "qemu"]),
];

/// Runs the verb.
pub fn run() -> Result<()> {
    toolchain()?;
    emulator()?;
    if !has_cargo_deny() {
        // Its build takes longer than all that the demo needs, so it stays a choice.
        println!("setup: without cargo-deny, which `cargo install --locked cargo-deny` builds in");
        println!("       minutes, the check of licences and advisories is left out");
    }
    Ok(())
}

/// Whether there is a browser that looks at the page of a report.
pub fn has_browser() -> bool {
    BROWSERS.iter().any(|browser| answers(browser, "--version"))
}

/// Installs a browser where that is simple. One check alone needs it, so that no other verb waits for it,
/// and a refusal stops nothing.
pub fn browser() {
    if !has_browser() && answers("apt-get", "--version") {
        let _ = package("apt-get", &["install", "-y", "--no-install-recommends", "chromium"]);
    }
    match has_browser() {
        true => println!("setup: found a browser for the page of `flowlet report`"),
        false => println!("setup: without Chromium nothing looks at the page of `flowlet report`"),
    }
}

/// Whether `cargo deny` can be run.
pub fn has_cargo_deny() -> bool {
    answers("cargo-deny", "--version")
}

/// Finds or installs the targets of [`TARGETS`], and the components that checks need.
fn toolchain() -> Result<()> {
    for component in ["rustfmt", "clippy"] {
        let program = format!("cargo-{}", component.trim_start_matches("rust"));
        if !answers(&program, "--version") {
            println!("setup: rustup component add {component}");
            crate::run(Command::new("rustup").args(["component", "add", component]))?;
        }
    }
    let missing = missing_targets();
    if missing.is_empty() {
        println!("setup: found the targets {}", TARGETS.join(", "));
        return Ok(());
    }
    println!("setup: rustup target add {}", missing.join(" "));
    if crate::run(Command::new("rustup").args(["target", "add"]).args(&missing)).is_ok() {
        return Ok(());
    }
    println!("setup: rustup cannot fetch them; trying Debian's compiler, which brings the sources");
    if !from_source() {
        package("apt-get", &["install", "-y", "rustc-web", "cargo-web", "rust-web-src"]).context(
            "no toolchain for Cortex-M: neither rustup's targets nor Debian's rustc-web",
        )?;
    }
    println!("setup: core is built from source by /usr/bin/cargo");
    Ok(())
}

/// The targets that rustup's toolchain lacks.
pub fn missing_targets() -> Vec<&'static str> {
    let root = Command::new("rustc").args(["--print", "sysroot"]).output();
    let root = root.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let libraries = std::path::PathBuf::from(root.unwrap_or_default()).join("lib/rustlib");
    TARGETS.into_iter().filter(|target| !libraries.join(target).join("lib").exists()).collect()
}

/// Whether Debian's compiler with the sources of core is there.
pub fn from_source() -> bool {
    answers("/usr/bin/cargo", "--version")
        && Command::new("dpkg")
            .args(["--status", "rust-web-src"])
            .output()
            .is_ok_and(|output| output.status.success())
}

fn emulator() -> Result<()> {
    if !answers(QEMU, "--version") {
        let found = PACKAGES.into_iter().find(|(manager, _)| answers(manager, "--version"));
        let Some((manager, arguments)) = found else {
            bail!("{QEMU} is missing and no known package manager is there: install QEMU")
        };
        package(manager, arguments)?;
    }
    let version = crate::read(Command::new(QEMU).arg("--version"))?;
    let version = String::from_utf8_lossy(&version);
    println!("setup: found {}", version.lines().next().unwrap_or_default());
    Ok(())
}

/// Installs by a package manager, as root where it must be.
fn package(manager: &str, arguments: &[&str]) -> Result<()> {
    let own = manager == "brew" || !answers("sudo", "--version");
    let command = |arguments: &[&str]| {
        let mut command = Command::new(if own { manager } else { "sudo" });
        if !own {
            command.arg(manager);
        }
        command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    println!("setup: {manager} {}", arguments.join(" "));
    if manager == "apt-get" {
        // A stale list is no reason to stop: the package may be in it.
        let _ = crate::run(&mut command(&["update", "-q"]));
    }
    crate::run(&mut command(arguments))
}

fn answers(program: &str, argument: &str) -> bool {
    let silent = Command::new(program)
        .arg(argument)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    silent.is_ok_and(|status| status.success())
}
