//! Builds the example firmwares and reads their ELF files.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, anyhow};
use flowlet::write::ModelFile;
use flowlet::{Error, LatentModel, Libm, Model};
use object::{Object, ObjectSection, ObjectSymbol, SectionKind, SymbolKind};

use crate::cycles::Core;
use crate::setup;

/// Where the firmware workspace lies.
pub fn folder() -> PathBuf {
    crate::root().join("examples/firmware")
}

/// A cargo command for `target`, in the firmware workspace.
///
/// Without rustup's target, core is built from Debian's sources.
pub fn cargo(target: &str) -> Command {
    let mut command = match setup::missing_targets().contains(&target) {
        false => Command::new("cargo"),
        true => Command::new("/usr/bin/cargo"),
    };
    command.current_dir(folder());
    if setup::missing_targets().contains(&target) {
        command.env("RUSTC", "/usr/bin/rustc").env("RUSTC_BOOTSTRAP", "1");
        command.env("CARGO_UNSTABLE_BUILD_STD", "core").env_remove("RUSTUP_TOOLCHAIN");
        // Debian's compiler has no linker for Cortex-M; rustup's own does.
        let linker = crate::read(Command::new("rustc").args(["--print", "sysroot"]));
        let root = linker.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
        let libraries = Path::new(&root.unwrap_or_default()).join("lib/rustlib");
        let hosts = std::fs::read_dir(libraries).into_iter().flatten().flatten();
        if let Some(linker) =
            hosts.map(|host| host.path().join("bin/rust-lld")).find(|p| p.exists())
        {
            let name = target.to_uppercase().replace(['-', '.'], "_");
            command.env(format!("CARGO_TARGET_{name}_LINKER"), linker);
        }
    }
    command
}

/// The targets that one call of [`cargo`] may build for together: those that rustup has, and those
/// that Debian's compiler must build.
pub fn targets_of_each_compiler() -> Vec<Vec<&'static str>> {
    let missing = setup::missing_targets();
    let (missing, found): (Vec<_>, Vec<_>) =
        setup::TARGETS.into_iter().partition(|target| missing.contains(target));
    [found, missing].into_iter().filter(|targets| !targets.is_empty()).collect()
}

/// Builds the firmware `name` for the Cortex-M4 around a model file, as [`build_for`] does.
pub fn build(name: &str, model: &Path, folder: &Path) -> Result<PathBuf> {
    build_for(Core::CortexM4F.target(), name, model, folder)
}

/// Builds the firmware `name` for `target` around a model file, with the parts of flowlet
/// that the model needs and no others; the path of its ELF file in `folder`.
pub fn build_for(target: &str, name: &str, model: &Path, folder: &Path) -> Result<PathBuf> {
    /// Cargo writes each firmware to the same place, from where it must be copied first.
    static TURN: Mutex<()> = Mutex::new(());

    let bytes = std::fs::read(model).with_context(|| format!("cannot read {model:?}"))?;
    let file = ModelFile::new(&bytes);
    let parts = match Model::<Libm>::from_bytes(file.bytes()) {
        Err(Error::IsLatent) => LatentModel::<Libm>::from_bytes(file.bytes())
            .map(|model| model.cargo_features().collect()),
        model => model.map(|model| model.cargo_features().collect()),
    };
    let parts: Vec<_> = parts.map_err(|error| anyhow!("{model:?}: {error}"))?;
    let mut command = cargo(target);
    command.args(["build", "--quiet", "--release", "--package", name, "--target", target]);
    command.args(["--features", &parts.join(",")]);

    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    crate::run(command.env("FLOWLET_MODEL", model))?;
    let built = self::folder().join("target").join(target).join("release").join(name);
    let elf = folder.join(name).with_extension("elf");
    std::fs::copy(&built, &elf).with_context(|| format!("cannot copy {built:?}"))?;
    Ok(elf)
}

/// Builds the firmware `steps` for `core`, which holds no model; the path of its ELF file.
pub fn build_steps(core: Core) -> Result<PathBuf> {
    let target = core.target();
    let mut command = cargo(target);
    command.args(["build", "--quiet", "--release", "--package", "steps", "--target", target]);
    crate::run(command.env("FLOWLET_MODEL", small_model()))?;
    Ok(folder().join("target").join(target).join("release/steps"))
}

/// Builds what firmwares need before there is a model.
pub fn prepare(names: &[&str]) -> Result<()> {
    let target = Core::CortexM4F.target();
    let mut command = cargo(target);
    command.args(["build", "--quiet", "--release", "--target", target]);
    command.args(names.iter().flat_map(|name| ["--package", name]));
    crate::run(command.env("FLOWLET_MODEL", small_model()))
}

/// A model file that needs none of flowlet's parts, for firmware that is built before its model is known.
fn small_model() -> PathBuf {
    crate::root().join("tests/golden/small.flow")
}

/// A model file for every firmware, those of a signal too, with all parts.
pub fn some_model() -> PathBuf {
    crate::root().join("tests/golden/signal.flow")
}

/// Bytes in an ELF file.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sizes {
    /// Code of the crate, of libm, of floating-point numbers where there is no FPU, and of the measured
    /// calls that they are inlined into.
    pub text: u64,
    /// Constants, all of the firmware but the model file.
    pub rodata: u64,
    /// Initialised statics of the crate.
    pub data: u64,
    /// Zeroed statics of the crate.
    pub bss: u64,
    /// All of the firmware that lies in flash, the model file included.
    pub flash: u64,
    /// All initialised and zeroed statics of the firmware.
    pub statics: u64,
}

/// Weighs an ELF file that holds a model file of `model` bytes.
pub fn sizes(elf: &[u8], model: u64) -> Result<Sizes> {
    let file = object::File::parse(elf).context("not an ELF file")?;
    let mut sizes = Sizes::default();
    for section in file.sections() {
        match section.kind() {
            SectionKind::Text => sizes.flash += section.size(),
            SectionKind::ReadOnlyData | SectionKind::ReadOnlyString => {
                sizes.flash += section.size();
                sizes.rodata += section.size();
            }
            SectionKind::Data => {
                sizes.flash += section.size();
                sizes.statics += section.size();
            }
            SectionKind::UninitializedData => sizes.statics += section.size(),
            _ => {}
        }
    }
    sizes.rodata = sizes.rodata.saturating_sub(model);
    for symbol in file.symbols() {
        let (Ok(name), Some(section)) = (symbol.name(), symbol.section_index()) else { continue };
        let name = demangle(name);
        let ours = name.contains("flowlet::") || is_soft_float(&name);
        match file.section_by_index(section).map(|section| section.kind()) {
            Ok(SectionKind::Text) if ours || name.contains("libm::") || is_measured(&name) => {
                sizes.text += symbol.size();
            }
            Ok(SectionKind::Data) if ours => sizes.data += symbol.size(),
            Ok(SectionKind::UninitializedData) if ours => sizes.bss += symbol.size(),
            _ => {}
        }
    }
    Ok(sizes)
}

/// Addresses of the functions `measured_*`, by the rest of their names.
pub fn measured(elf: &[u8]) -> Result<BTreeMap<u64, String>> {
    let file = object::File::parse(elf).context("not an ELF file")?;
    let functions = file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text);
    let measured = functions.filter_map(|symbol| {
        let name = demangle(symbol.name().ok()?);
        let (_, rest) = name.split_once("::measured_")?;
        // A function for several sizes has them behind its name.
        let (rest, _) = rest.split_once("::<").unwrap_or((rest, ""));
        // A function's address has its lowest bit set for Thumb.
        Some((symbol.address() & !1, rest.to_owned()))
    });
    Ok(measured.collect())
}

/// The addresses of the functions whose names start with one of `prefixes`.
pub fn functions(elf: &[u8], prefixes: &[&str]) -> Result<Vec<Range<u64>>> {
    let file = object::File::parse(elf).context("not an ELF file")?;
    let functions = file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text);
    let is_named = |name: &str| {
        let name = demangle(name);
        prefixes.iter().any(|prefix| name.starts_with(prefix))
    };
    let named = functions.filter(|symbol| symbol.name().is_ok_and(is_named));
    let addresses = named.map(|symbol| {
        let start = symbol.address() & !1;
        start..start + symbol.size()
    });
    Ok(addresses.collect())
}

/// Whether it is arithmetic that a core without an FPU needs.
fn is_soft_float(name: &str) -> bool {
    name.starts_with("__aeabi_f") || name.starts_with("compiler_builtins::float::")
}

fn is_measured(name: &str) -> bool {
    name.contains("::measured_")
}

fn demangle(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name))
}
