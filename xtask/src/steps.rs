//! `cargo xtask test`: every check, one after the other.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::{demo, families, firmware, setup};

#[derive(clap::Args)]
pub struct Arguments {
    /// Run only the checks whose names contain this.
    #[arg(default_value = "")]
    only: String,
}

/// A check: its name and what it does; false where it had to be left out.
type Step = (&'static str, fn() -> Result<bool>);

/// Cargo features of flowlet that are parts of models.
const PARTS: [&str; 8] = [
    "autoregressive",
    "context",
    "ensemble",
    "linear",
    "marginal",
    "mixture",
    "spline",
    "student-t",
];

const STEPS: [Step; 14] = [
    ("format", format),
    ("clippy", clippy),
    ("clippy of the firmware", clippy_firmware),
    ("documentation", documentation),
    ("tests", tests),
    ("tests of each feature", tests_of_features),
    ("device crate on every core", cores),
    ("no panic", no_panic),
    ("a planted panic is found", planted_panic),
    ("firmware on an emulated core", end_to_end),
    ("every family on an emulated core", every_family),
    ("cycles within their limits", cycles),
    ("package", package),
    ("licences and advisories", deny),
];

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<()> {
    setup::run()?;
    let (mut passed, mut failed, mut skipped) = (0, Vec::new(), 0);
    for (name, step) in STEPS.iter().filter(|(name, _)| name.contains(&arguments.only)) {
        println!("\n== {name}");
        let start = Instant::now();
        let result = step();
        let seconds = start.elapsed().as_secs();
        match result {
            Ok(true) => {
                passed += 1;
                println!("== {name}: passed, {seconds} s");
            }
            Ok(false) => {
                skipped += 1;
                println!("== {name}: skipped");
            }
            Err(error) => {
                failed.push(*name);
                println!("== {name}: failed, {seconds} s: {error:#}");
            }
        }
    }
    println!("\n{passed} passed, {} failed, {skipped} skipped", failed.len());
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

/// Runs cargo in the repository.
fn cargo(arguments: &str) -> Result<()> {
    let mut cargo = Command::new("cargo");
    crate::run(cargo.args(arguments.split_whitespace()).current_dir(crate::root()))
}

/// A model file for firmware that is only built.
fn golden() -> PathBuf {
    crate::root().join("tests/golden/small.flow")
}

fn format() -> Result<bool> {
    cargo("fmt --all --check")?;
    crate::run(
        Command::new("cargo").args(["fmt", "--all", "--check"]).current_dir(firmware::folder()),
    )?;
    Ok(true)
}

fn clippy() -> Result<bool> {
    cargo("clippy --quiet --workspace --all-targets --all-features -- -D warnings")?;
    Ok(true)
}

fn clippy_firmware() -> Result<bool> {
    let mut clippy = firmware::cargo("thumbv7em-none-eabihf");
    clippy.args(["clippy", "--quiet", "--release", "--all-features", "--", "-D", "warnings"]);
    crate::run(clippy.env("FLOWLET_MODEL", golden()))?;
    Ok(true)
}

fn documentation() -> Result<bool> {
    let mut cargo = Command::new("cargo");
    cargo.args(["doc", "--quiet", "--workspace", "--no-deps", "--all-features"]);
    cargo.args(["--document-private-items"]);
    crate::run(cargo.env("RUSTDOCFLAGS", "-D warnings").current_dir(crate::root()))?;
    Ok(true)
}

fn tests() -> Result<bool> {
    cargo("test --quiet --workspace --all-features")?;
    Ok(true)
}

fn tests_of_features() -> Result<bool> {
    for features in ["", "write", "micromath", "micromath,write", "defmt"] {
        let verb = if features == "defmt" { "build" } else { "test" };
        cargo(&format!("{verb} --quiet --package flowlet --features={features}"))?;
    }
    for part in [""].into_iter().chain(PARTS) {
        let package = "--package flowlet --no-default-features";
        cargo(&format!("clippy --quiet {package} --features={part} -- -D warnings"))?;
        cargo(&format!("test --quiet {package} --features=write,{part} --lib --test features"))?;
    }
    Ok(true)
}

fn cores() -> Result<bool> {
    for target in setup::TARGETS {
        let build = |options: &[&str], features: &str| {
            let manifest = crate::root().join("Cargo.toml");
            let mut cargo = firmware::cargo(target);
            cargo.args(["build", "--quiet", "--release", "--target", target, "--manifest-path"]);
            cargo.arg(manifest).args(["--package", "flowlet", "--features", features]);
            crate::run(cargo.args(options).env("CARGO_TARGET_DIR", crate::results("cores")?))
        };
        for features in ["", "micromath", "defmt", "micromath,defmt,write"] {
            build(&[], features)?;
        }
        for part in [""].into_iter().chain(PARTS) {
            build(&["--no-default-features"], part)?;
        }
    }
    Ok(true)
}

/// Links `no-panic` for `target`.
fn link_no_panic(target: &str, level: &str, features: &str) -> Command {
    let mut cargo = firmware::cargo(target);
    cargo.args(["build", "--quiet", "--release", "--package", "no-panic", "--target", target]);
    cargo.args(["--features", features]).env("CARGO_PROFILE_RELEASE_OPT_LEVEL", level);
    cargo
}

fn no_panic() -> Result<bool> {
    for target in setup::TARGETS {
        for level in ["3", "2", "s"] {
            println!("{target}, opt-level {level}");
            let features = format!("micromath,{}", PARTS.join(","));
            crate::run(&mut link_no_panic(target, level, &features))?;
        }
    }
    for part in [""].into_iter().chain(PARTS) {
        println!("thumbv7em-none-eabihf, opt-level s, only the part \"{part}\"");
        crate::run(&mut link_no_panic("thumbv7em-none-eabihf", "s", part))?;
    }
    Ok(true)
}

fn planted_panic() -> Result<bool> {
    let output = link_no_panic("thumbv7em-none-eabihf", "3", "planted").output()?;
    let message = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.status.success(), "the planted panic linked");
    ensure!(message.contains("a_panic_is_reachable"), "failed for another reason: {message}");
    Ok(true)
}

fn end_to_end() -> Result<bool> {
    demo::run(&demo::Arguments::short())?;
    Ok(true)
}

fn every_family() -> Result<bool> {
    families::check()?;
    Ok(true)
}

/// The promises of the README, held against the figures of `bench`.
fn cycles() -> Result<bool> {
    crate::bench::run(&crate::bench::Arguments::of(&["real_nvp_d8", "maf_d8"]))?;
    let path = crate::results("bench")?.join("bench.json");
    let bench: serde_json::Value = serde_json::from_slice(&std::fs::read(path)?)?;
    let rows = bench["rows"].as_array().context("the table has rows")?;
    // A few per cent above the README's figures, since each compiler differs a little.
    let limits = [
        ("real_nvp_d8_5x64x64/log_density", 75e3, 10240.0),
        ("real_nvp_d8_5x64x64/log_density_worst", 103e3, 10240.0),
        ("real_nvp_d8_5x64x64/sample", 78e3, 10240.0),
        ("maf_d8_5x64x64/log_density", 54e3, 18432.0),
        ("maf_d8_5x64x64/sample", 70e3, 18432.0),
    ];
    for (name, cycles, text) in limits {
        let row = rows.iter().find(|row| row["name"] == name).context(name)?;
        let over = |key: &str, limit: f64| row[key].as_f64().is_none_or(|value| value > limit);
        for (key, limit) in [
            ("cycles", cycles),
            ("text_bytes", text),
            ("data_bytes", 0.0),
            ("bss_bytes", 0.0),
            ("stack_bytes", 2048.0),
        ] {
            if over(key, limit) {
                bail!("{}: {key} is {}, more than {limit}", row["name"], row[key]);
            }
        }
    }
    Ok(true)
}

fn package() -> Result<bool> {
    cargo("package --quiet --package flowlet --allow-dirty --no-verify")?;
    Ok(true)
}

fn deny() -> Result<bool> {
    let installed = Command::new("cargo").args(["deny", "--version"]).output();
    if !installed.is_ok_and(|output| output.status.success()) {
        println!("cargo-deny is missing: cargo install --locked cargo-deny");
        return Ok(false);
    }
    for folder in [crate::root(), &firmware::folder()] {
        let config: &Path = &crate::root().join("deny.toml");
        let mut cargo = Command::new("cargo");
        cargo.args(["deny", "check", "--config"]).arg(config).args(["bans", "licenses", "sources"]);
        crate::run(cargo.current_dir(folder))?;
    }
    Ok(true)
}
