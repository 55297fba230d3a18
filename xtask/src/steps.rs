//! `cargo xtask test`: every check, one after the other.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::thread::{self, ScopedJoinHandle};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::{bench, boards, demo, detector, families, firmware, latent, setup, signal, trial};

#[derive(clap::Args)]
pub struct Arguments {
    /// Run only the checks whose names contain this; `quick` stands for those to run before each
    /// commit.
    #[arg(default_value = "")]
    only: String,
}

/// A check.
struct Step {
    name: &'static str,
    /// Whether it is one of those to run before each commit.
    is_quick: bool,
    /// Whether it must wait for the host tool's build.
    needs_host_tool: bool,
    run: fn() -> Result<Outcome>,
}

/// What a check that found nothing wrong came to.
enum Outcome {
    Passed,
    /// It could not be run.
    Skipped,
}

/// Cargo features of flowlet that are parts of models.
const PARTS: [&str; 12] = [
    "autoregressive",
    "context",
    "detector",
    "ensemble",
    "latent",
    "linear",
    "marginal",
    "mixture",
    "signal",
    "signal-4096",
    "spline",
    "student-t",
];

/// Those that do not need the host tool come first, and run beside its build.
const STEPS: &[Step] = &[
    Step::new("format", format).quick(),
    Step::new("clippy", clippy).quick(),
    Step::new("tests", tests).quick(),
    Step::new("one build of burn", one_build).quick(),
    Step::new("documentation", documentation),
    Step::new("tests of each feature", tests_of_features),
    Step::new("clippy of the firmware", clippy_firmware),
    Step::new("device crate on every core", cores),
    Step::new("no panic", no_panic),
    Step::new("a planted panic is found", planted_panic),
    Step::new("signal on every emulated core", signal_on_cores),
    Step::new("firmwares of the boards", firmwares_of_boards),
    Step::new("package", package),
    Step::new("licences and advisories", deny),
    Step::new("clippy of the host tool", clippy_host_tool).quick().needs_host_tool(),
    Step::new("tests of the host tool", tests_host_tool).quick().needs_host_tool(),
    Step::new("documentation of the host tool", documentation_host_tool).needs_host_tool(),
    Step::new("a report in a browser", report_in_a_browser).needs_host_tool(),
    Step::new("firmware on an emulated core", end_to_end).needs_host_tool(),
    Step::new("every family on an emulated core", every_family).needs_host_tool(),
    Step::new("latent models on an emulated core", latent_models).needs_host_tool(),
    Step::new("detector on an emulated core", detector_states).needs_host_tool(),
    Step::new("field trial on an emulated core", field_trial).needs_host_tool(),
    Step::new("cycles within their limits", cycles).needs_host_tool(),
];

impl Step {
    const fn new(name: &'static str, run: fn() -> Result<Outcome>) -> Self {
        Self { name, is_quick: false, needs_host_tool: false, run }
    }

    const fn quick(self) -> Self {
        Self { is_quick: true, ..self }
    }

    const fn needs_host_tool(self) -> Self {
        Self { needs_host_tool: true, ..self }
    }

    fn is_chosen(&self, only: &str) -> bool {
        if only == "quick" { self.is_quick } else { self.name.contains(only) }
    }
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<()> {
    let chosen: Vec<_> = STEPS.iter().filter(|step| step.is_chosen(&arguments.only)).collect();
    ensure!(!chosen.is_empty(), "no check is called {}: {}", arguments.only, names().join(", "));
    let (mut passed, mut failed, mut skipped) = (0, Vec::new(), 0);
    thread::scope(|scope| {
        let mut build = chosen.iter().any(|step| step.needs_host_tool).then(|| {
            println!("building the host tool beside the first checks (minutes, the first time)");
            scope.spawn(build_host_tool)
        });
        for step in chosen {
            if step.needs_host_tool {
                wait_for(build.take());
            }
            println!("\n== {}", step.name);
            let start = Instant::now();
            let result = (step.run)();
            let seconds = start.elapsed().as_secs();
            match result {
                Ok(Outcome::Passed) => {
                    passed += 1;
                    println!("== {}: passed, {seconds} s", step.name);
                }
                Ok(Outcome::Skipped) => {
                    skipped += 1;
                    println!("== {}: skipped", step.name);
                }
                Err(error) => {
                    failed.push(step.name);
                    println!("== {}: failed, {seconds} s: {error:#}", step.name);
                }
            }
        }
    });
    println!("\n{passed} passed, {} failed, {skipped} skipped", failed.len());
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

fn names() -> Vec<&'static str> {
    STEPS.iter().map(|step| step.name).chain(["quick"]).collect()
}

/// Builds the host tool and its tests. Where that fails, so does each check that needs them, with
/// the compiler's message.
fn build_host_tool() {
    let builds = ["build --release --package flowlet-tools", TEST_HOST_TOOL];
    for (build, option) in builds.into_iter().zip(["--quiet", "--no-run"]) {
        let _ = Command::new("cargo")
            .args(build.split_whitespace().chain([option]))
            .current_dir(crate::root())
            .output();
    }
}

fn wait_for(build: Option<ScopedJoinHandle<()>>) {
    if let Some(build) = build {
        let start = Instant::now();
        let _ = build.join();
        println!("\n== the host tool's build took {} s more", start.elapsed().as_secs());
    }
}

/// Runs cargo in the repository.
fn cargo(arguments: &str) -> Result<Outcome> {
    let mut cargo = Command::new("cargo");
    crate::run(cargo.args(arguments.split_whitespace()).current_dir(crate::root()))?;
    Ok(Outcome::Passed)
}

/// The crates that do not need burn.
const LIGHT: &str = "--package flowlet --package xtask";

/// In release, as the host tool is built: burn is compiled once.
const TEST_HOST_TOOL: &str = "test --quiet --release --package flowlet-tools";

fn format() -> Result<Outcome> {
    cargo("fmt --all --check")?;
    for folder in [firmware::folder(), boards::folder()] {
        let mut firmware = Command::new("cargo");
        crate::run(firmware.args(["fmt", "--all", "--check"]).current_dir(folder))?;
    }
    Ok(Outcome::Passed)
}

fn clippy() -> Result<Outcome> {
    cargo(&format!("clippy --quiet {LIGHT} --all-targets --all-features -- -D warnings"))
}

fn clippy_host_tool() -> Result<Outcome> {
    cargo("clippy --quiet --release --package flowlet-tools --all-targets -- -D warnings")
}

fn clippy_firmware() -> Result<Outcome> {
    let mut clippy = firmware::cargo("thumbv7em-none-eabihf");
    clippy.args(["clippy", "--quiet", "--release", "--all-features", "--", "-D", "warnings"]);
    crate::run(clippy.env("FLOWLET_MODEL", firmware::some_model()))?;
    boards::clippy()?;
    Ok(Outcome::Passed)
}

fn documentation() -> Result<Outcome> {
    document(&format!("{LIGHT} --all-features"))
}

fn documentation_host_tool() -> Result<Outcome> {
    // In release it shares with clippy what it must know of burn.
    document("--release --package flowlet-tools")
}

fn document(packages: &str) -> Result<Outcome> {
    let mut cargo = Command::new("cargo");
    cargo.args(["doc", "--quiet", "--no-deps", "--document-private-items"]);
    cargo.args(packages.split_whitespace());
    crate::run(cargo.env("RUSTDOCFLAGS", "-D warnings").current_dir(crate::root()))?;
    Ok(Outcome::Passed)
}

fn tests() -> Result<Outcome> {
    cargo(&format!("test --quiet {LIGHT} --all-features"))
}

fn tests_host_tool() -> Result<Outcome> {
    cargo(TEST_HOST_TOOL)
}

/// The host tool's tests must not make cargo compile burn a second time, as they would if a
/// dependency of theirs asked for further features of a crate that burn is built with.
fn one_build() -> Result<Outcome> {
    let packages = |kinds: &str| {
        let mut tree = Command::new("cargo");
        tree.args(["tree", "--package", "flowlet-tools", "--prefix", "none", "--no-dedupe"]);
        tree.args(["--format", "{p} {f}", "--edges", kinds]).current_dir(crate::root());
        let text = String::from_utf8(crate::read(&mut tree)?)?;
        anyhow::Ok(text.lines().map(str::to_owned).collect::<BTreeSet<_>>())
    };
    let (build, tests) = (packages("normal,build")?, packages("normal,build,dev")?);
    let other: Vec<_> = build.difference(&tests).map(String::as_str).collect();
    ensure!(
        other.is_empty(),
        "the tests of flowlet-tools build these with other features; name the features among its \
         normal dependencies too: {}",
        other.join("; ")
    );
    Ok(Outcome::Passed)
}

fn tests_of_features() -> Result<Outcome> {
    for features in ["", "micromath"] {
        cargo(&format!("test --quiet --package flowlet --lib --features={features}"))?;
    }
    for part in [""].into_iter().chain(PARTS) {
        let package = "--package flowlet --no-default-features";
        cargo(&format!("test --quiet {package} --features=write,{part} --lib --test features"))?;
    }
    Ok(Outcome::Passed)
}

/// Each set of features builds without a warning for every core, which has no std.
fn cores() -> Result<Outcome> {
    let sets = ["", "micromath", "defmt", "micromath,defmt,write"].map(|set| (set, true));
    let parts = [""].into_iter().chain(PARTS).map(|part| (part, false));
    for (features, with_default) in sets.into_iter().chain(parts) {
        for targets in firmware::targets_of_each_compiler() {
            // Debian's compiler brings no clippy.
            let has_clippy = !setup::missing_targets().contains(&targets[0]);
            let mut cargo = firmware::cargo(targets[0]);
            cargo.arg(if has_clippy { "clippy" } else { "check" });
            cargo.args(["--quiet", "--package", "flowlet", "--features", features]);
            cargo.args(targets.iter().flat_map(|target| ["--target", target]));
            if !with_default {
                cargo.arg("--no-default-features");
            }
            if has_clippy {
                cargo.args(["--", "-D", "warnings"]);
            }
            crate::run(cargo.current_dir(crate::root()))?;
        }
    }
    Ok(Outcome::Passed)
}

/// Links `no-panic` for `targets`.
fn link_no_panic(targets: &[&str], level: &str, features: &str) -> Command {
    let mut cargo = firmware::cargo(targets[0]);
    cargo.args(["build", "--quiet", "--profile", "no-panic", "--package", "no-panic"]);
    cargo.args(targets.iter().flat_map(|target| ["--target", target]));
    cargo.args(["--features", features]).env("CARGO_PROFILE_NO_PANIC_OPT_LEVEL", level);
    cargo
}

fn no_panic() -> Result<Outcome> {
    let all = format!("micromath,{}", PARTS.join(","));
    for level in ["3", "2", "s"] {
        for targets in firmware::targets_of_each_compiler() {
            println!("opt-level {level}: {}", targets.join(", "));
            crate::run(&mut link_no_panic(&targets, level, &all))?;
        }
    }
    for part in [""].into_iter().chain(PARTS) {
        println!("thumbv7em-none-eabihf, opt-level s, only the part \"{part}\"");
        crate::run(&mut link_no_panic(&["thumbv7em-none-eabihf"], "s", part))?;
    }
    Ok(Outcome::Passed)
}

fn planted_panic() -> Result<Outcome> {
    let output = link_no_panic(&["thumbv7em-none-eabihf"], "s", "planted").output()?;
    let message = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.status.success(), "the planted panic linked");
    ensure!(message.contains("a_panic_is_reachable"), "failed for another reason: {message}");
    Ok(Outcome::Passed)
}

fn report_in_a_browser() -> Result<Outcome> {
    setup::browser();
    if !setup::has_browser() {
        return Ok(Outcome::Skipped);
    }
    cargo(&format!("{TEST_HOST_TOOL} --test report -- --ignored"))
}

fn end_to_end() -> Result<Outcome> {
    demo::run(&demo::Arguments::short())?;
    Ok(Outcome::Passed)
}

fn every_family() -> Result<Outcome> {
    families::check()?;
    Ok(Outcome::Passed)
}

fn latent_models() -> Result<Outcome> {
    latent::check()?;
    Ok(Outcome::Passed)
}

fn signal_on_cores() -> Result<Outcome> {
    signal::check()?;
    Ok(Outcome::Passed)
}

fn detector_states() -> Result<Outcome> {
    detector::check()?;
    Ok(Outcome::Passed)
}

/// From the samples of the computed fan to an alarm.
fn field_trial() -> Result<Outcome> {
    trial::run(None, "real-nvp", &[])?;
    Ok(Outcome::Passed)
}

/// The promises of the README, held against what is measured.
fn cycles() -> Result<Outcome> {
    let models = ["real_nvp_d8", "maf_d8", "standard_normal_d8", "student_t_d8", "latent_d8_l6"];
    let measurements = bench::cost(&models.map(String::from))?;
    let measured = |name: &str| {
        measurements.iter().find(|measured| measured.name == name).context(name.to_owned())
    };
    // A few per cent above the README's figures, since each compiler differs a little.
    let limits = [
        ("real_nvp_d8_5x64x64/log_density", 75e3, 13312),
        ("real_nvp_d8_5x64x64/log_density_worst", 103e3, 13312),
        ("real_nvp_d8_5x64x64/score", 75e3, 13312),
        ("real_nvp_d8_5x64x64/sample", 78e3, 13312),
        ("maf_d8_5x64x64/log_density", 54e3, 20480),
        ("maf_d8_5x64x64/sample", 70e3, 20480),
        ("latent_d8_l6_gaussian/score", 45e3, 18432),
        ("latent_d8_l6_iaf2/score", 65e3, 20992),
    ];
    for (name, cycles, text) in limits {
        let measured = measured(name)?;
        ensure!(measured.cycles <= cycles, "{name}: {} cycles, above {cycles}", measured.cycles);
        for (what, bytes, limit) in [
            ("code", measured.text_bytes, text),
            (".data", measured.data_bytes, 0),
            (".bss", measured.bss_bytes, 0),
            // A latent model runs an encoder and a decoder around a flow.
            ("stack", measured.stack_bytes, if name.starts_with("latent") { 2560 } else { 2048 }),
        ] {
            ensure!(bytes <= limit, "{name}: {bytes} bytes of {what}, above {limit}");
        }
    }
    let [normal, student_t] = ["standard_normal_d8", "student_t_d8"]
        .map(|name| measured(&format!("{name}/log_density")).map(|measured| measured.cycles));
    let more = student_t? - normal?;
    ensure!(more <= 1500.0, "a Student-t base costs {more} cycles more than a normal, above 1500");
    bench::check_predictions()?;
    Ok(Outcome::Passed)
}

fn firmwares_of_boards() -> Result<Outcome> {
    boards::check()?;
    Ok(Outcome::Passed)
}

fn package() -> Result<Outcome> {
    cargo("package --quiet --package flowlet --allow-dirty --no-verify")
}

fn deny() -> Result<Outcome> {
    if !setup::has_cargo_deny() {
        println!("cargo-deny is missing: cargo install --locked cargo-deny");
        return Ok(Outcome::Skipped);
    }
    for folder in [crate::root(), &firmware::folder(), &boards::folder()] {
        let config: &Path = &crate::root().join("deny.toml");
        let mut cargo = Command::new("cargo");
        cargo.args(["deny", "check", "--config"]).arg(config).args(["bans", "licenses", "sources"]);
        crate::run(cargo.current_dir(folder))?;
    }
    Ok(Outcome::Passed)
}
