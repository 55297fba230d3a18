//! Instructions and cycles of functions, counted over a trace of QEMU.
//!
//! Each executed instruction is given the cycles of Arm's technical reference manuals, without flash
//! wait states. Of the Cortex-M4 (DDI 0439B, table 3-1 for the integer instructions, table 7-1 for the
//! FPU):
//!
//! | instruction                                  | cycles                                 |
//! |----------------------------------------------|----------------------------------------|
//! | PUSH, POP, LDM, STM, VLDM, VSTM, VPUSH, VPOP | 1 + number of words                    |
//! | LDR, VLDR                                    | 2, or 1 right after another load       |
//! | VSTR                                         | 2                                      |
//! | LDRD, STRD                                   | 3                                      |
//! | VMLA, VFMA and their kin                     | 3                                      |
//! | VDIV, VSQRT                                  | 14                                     |
//! | UDIV, SDIV                                   | 7, of 2 to 12                          |
//! | MLA, MLS                                     | 2                                      |
//! | all others                                   | 1                                      |
//! | FPU arithmetic whose result the next one uses| 1 more                                 |
//! | a taken branch                               | 2 more                                 |
//!
//! The Cortex-M3 (DDI 0337H, table 3-1) takes the same, but 5 for UMULL and SMULL, of 3 to 5, and 7 for
//! UMLAL and SMLAL, of 4 to 7. The Cortex-M0+ (DDI 0484C, table 3-1), with the multiplier of one cycle:
//!
//! | instruction                                  | cycles                                 |
//! |----------------------------------------------|----------------------------------------|
//! | PUSH, POP, LDM, STM                          | 1 + number of words                    |
//! | POP of the program counter                   | 1 more                                 |
//! | LDR, STR and their kin                       | 2                                      |
//! | all others                                   | 1                                      |
//! | a taken branch                               | 1 more                                 |
//!
//! The Cortex-M0 (DDI 0432C, table 3-1) has a pipeline of one stage more and takes one cycle more for
//! every taken branch, whichever instruction it is, and no other differs.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use capstone::prelude::*;
use object::{Object, ObjectSection, ObjectSymbol};

use crate::{emulator, firmware};

/// A core whose timing is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Core {
    /// ARMv6-M, no FPU; the Cortex-M0 is counted beside it ([`Cost::branches`]).
    CortexM0Plus,
    /// ARMv7-M, no FPU.
    CortexM3,
    /// ARMv7E-M with an FPU of single precision.
    CortexM4F,
}

impl Core {
    /// The target that firmware for it is built for.
    pub const fn target(self) -> &'static str {
        match self {
            Self::CortexM0Plus => "thumbv6m-none-eabi",
            Self::CortexM3 => "thumbv7m-none-eabi",
            Self::CortexM4F => "thumbv7em-none-eabihf",
        }
    }

    /// Cycles that a taken branch takes besides.
    const fn refill(self) -> u64 {
        match self {
            Self::CortexM0Plus => 1,
            Self::CortexM3 | Self::CortexM4F => 2,
        }
    }
}

/// What one instruction costs by itself, and what its neighbours must know of it.
struct Instruction {
    cycles: u64,
    length: u64,
    is_load: bool,
    /// A load that gains nothing from a load before it.
    is_double_load: bool,
    is_product: bool,
    /// Register that FPU arithmetic writes.
    result: Option<String>,
    sources: Vec<String>,
}

/// What one call of a function cost, its callees included.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// Instructions executed.
    pub instructions: u64,
    /// Cycles of the core.
    pub cycles: u64,
    /// Branches taken.
    pub branches: u64,
    /// Products in the kernel's functions and in those it is inlined into.
    pub products: u64,
}

/// Runs `elf` and weighs every call of its functions `measured_*`, by the rest of their names.
pub fn measure(path: &Path, core: Core, folder: &Path) -> Result<BTreeMap<String, Vec<Cost>>> {
    let elf = std::fs::read(path).with_context(|| format!("{path:?}"))?;
    let code = disassemble(&elf, core)?;
    let functions = firmware::measured(&elf)?;
    if functions.is_empty() {
        bail!("{path:?} has no function `measured_*`");
    }
    // The masked layers have loops of their own around the kernel's, and their outputs are computed
    // where their map is, which has two products a feature itself.
    let prefixes =
        ["flowlet::kernel::", "flowlet::masked::", "flowlet::bijection::autoregressive::"];
    let kernel = firmware::functions(&elf, &prefixes)?;
    let mut calls: BTreeMap<String, Vec<Cost>> = BTreeMap::new();
    let mut open: Option<(&String, u64, Cost)> = None;
    let mut before: Option<(u64, &Instruction)> = None;
    let mut unknown = None;
    emulator::trace(path, folder, |address| {
        let Some(instruction) = code.get(&address) else {
            unknown = unknown.or(Some(address));
            return;
        };
        let branched = before.is_some_and(|(from, last)| from + last.length != address);
        let returned = open.as_ref().is_some_and(|(_, back, _)| *back == address);
        if let (true, Some((name, _, mut cost))) = (returned, open.take_if(|_| returned)) {
            cost.branches += u64::from(branched);
            cost.cycles += u64::from(branched) * core.refill();
            calls.entry(name.clone()).or_default().push(cost);
        }
        if let (None, Some(name), Some((from, last))) = (&open, functions.get(&address), before) {
            open = Some((name, from + last.length, Cost::default()));
        }
        if let Some((_, _, cost)) = &mut open {
            cost.instructions += 1;
            let is_product =
                instruction.is_product && kernel.iter().any(|range| range.contains(&address));
            cost.products += u64::from(is_product);
            cost.cycles += cycles(instruction, before.map(|(_, last)| last));
            cost.branches += u64::from(branched);
            cost.cycles += u64::from(branched) * core.refill();
        }
        before = Some((address, instruction));
    })?;
    if let Some(address) = unknown {
        bail!("{path:?} ran at {address:#x}, where it has no code");
    }
    if let Some((name, ..)) = open {
        bail!("the trace of {path:?} ends within {name}");
    }
    Ok(calls)
}

fn cycles(instruction: &Instruction, before: Option<&Instruction>) -> u64 {
    let Some(before) = before else { return instruction.cycles };
    let follows_load = instruction.is_load && before.is_load && !instruction.is_double_load;
    let own = if follows_load { 1 } else { instruction.cycles };
    let waits = before.result.as_ref().is_some_and(|result| instruction.sources.contains(result));
    own + u64::from(waits)
}

/// Every instruction of the code sections, by address.
fn disassemble(elf: &[u8], core: Core) -> Result<HashMap<u64, Instruction>> {
    let file = object::File::parse(elf)?;
    let engine = Capstone::new()
        .arm()
        .mode(arch::arm::ArchMode::Thumb)
        .extra_mode([arch::arm::ArchExtraMode::MClass].into_iter())
        .build()
        .map_err(|error| anyhow!("capstone: {error}"))?;
    let mut code = HashMap::new();
    for section in file.sections().filter(|section| section.kind() == object::SectionKind::Text) {
        let bytes = section.data()?;
        let end = section.address() + section.size();
        // Mapping symbols tell code ($t) from the constants between it ($d).
        let mut marks: Vec<(u64, bool)> = file
            .symbols()
            .filter(|symbol| symbol.section_index() == Some(section.index()))
            .filter_map(|symbol| match symbol.name().ok()?.get(..2)? {
                "$t" => Some((symbol.address(), true)),
                "$d" => Some((symbol.address(), false)),
                _ => None,
            })
            .collect();
        marks.sort_unstable();
        marks.push((end, false));
        for pair in marks.windows(2) {
            let ((start, is_code), (end, _)) = (pair[0], pair[1]);
            let offset = (start - section.address()) as usize;
            let range = bytes.get(offset..(end - section.address()) as usize);
            if let (true, Some(range)) = (is_code, range) {
                decode(&engine, core, range, start, &mut code)?;
            }
        }
    }
    Ok(code)
}

fn decode(
    engine: &Capstone,
    core: Core,
    bytes: &[u8],
    start: u64,
    code: &mut HashMap<u64, Instruction>,
) -> Result<()> {
    let mut offset = 0;
    while offset < bytes.len() {
        let address = start + offset as u64;
        let decoded = engine
            .disasm_all(&bytes[offset..], address)
            .map_err(|error| anyhow!("capstone: {error}"))?;
        for instruction in decoded.iter() {
            let name = instruction.mnemonic().unwrap_or_default();
            let operands = instruction.op_str().unwrap_or_default();
            let length = instruction.bytes().len();
            code.insert(
                instruction.address(),
                Instruction::new(core, name, operands, length as u64),
            );
            offset += length;
        }
        if offset < bytes.len() {
            // Not an instruction that capstone knows, such as UDF: step over it.
            offset += 2;
        }
    }
    Ok(())
}

impl Instruction {
    fn new(core: Core, name: &str, operands: &str, length: u64) -> Self {
        let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
        let accumulates =
            starts(&["vmla", "vmls", "vfma", "vfms", "vfnma", "vfnms", "vnmla", "vnmls"]);
        let many = ["push", "pop", "ldm", "stm", "vldm", "vstm", "vpush", "vpop"];
        let is_pipelined = core != Core::CortexM0Plus;
        let cycles = match () {
            () if starts(&["pop"]) && !is_pipelined && operands.contains("pc") => {
                2 + words(operands)
            }
            () if starts(&many) => 1 + words(operands),
            () if starts(&["vldr", "vstr"]) => 2,
            () if starts(&["ldrd", "strd"]) => 3,
            () if starts(&["ldr"]) => 2,
            () if starts(&["str"]) && !is_pipelined => 2,
            () if starts(&["umull", "smull"]) && core == Core::CortexM3 => 5,
            () if starts(&["umlal", "smlal"]) && core == Core::CortexM3 => 7,
            () if accumulates => 3,
            () if starts(&["vdiv", "vsqrt"]) => 14,
            () if starts(&["udiv", "sdiv"]) => 7,
            () if starts(&["mla", "mls"]) => 2,
            () => 1,
        };
        let arithmetic = accumulates
            || starts(&["vadd", "vsub", "vmul", "vnmul", "vdiv", "vsqrt", "vcvt", "vabs", "vneg"]);
        let mut registers = operands.split(',').map(|register| register.trim().to_owned());
        let mut sources: Vec<String> = registers.clone().collect();
        let first = registers.next();
        if !accumulates && !starts(&["vstr", "vcmp", "vstm", "vpush"]) {
            sources.drain(..1);
        }
        Self {
            cycles,
            length,
            is_load: is_pipelined && starts(&["ldr", "vldr"]),
            is_double_load: starts(&["ldrd"]),
            is_product: starts(&["vmul", "vnmul"]) || accumulates,
            result: first.filter(|_| arithmetic),
            sources,
        }
    }
}

/// Words that a list of registers `{r4, r5, lr}` or `{d8, d9}` takes.
fn words(operands: &str) -> u64 {
    let list = operands.split(['{', '}']).nth(1).unwrap_or_default();
    list.split(',').map(|register| if register.trim().starts_with('d') { 2 } else { 1 }).sum()
}
