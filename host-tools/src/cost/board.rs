//! Common boards, by what a model needs of them.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use comfy_table::{Table, presets};

use super::{Core, Cost};
use crate::error::Result;
use crate::output;

/// List the boards that --board knows.
///
/// Cycles hold for flash without wait states. A Cortex-M33 counts as a Cortex-M4F, and a Cortex-M7,
/// which may do two instructions at once, too: it is faster than is said.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Prints the table.
pub fn run(arguments: &Arguments) -> Result<()> {
    output::print(&if arguments.json {
        format!("{:#}\n", serde_json::json!(BOARDS))
    } else {
        format!("{}\n", table())
    })
}

/// A board, or the microcontroller on it.
#[derive(Debug, PartialEq, serde::Serialize)]
pub struct Board {
    /// As on the command line.
    pub name: &'static str,
    /// The part on it.
    pub part: &'static str,
    /// The core, as its maker calls it.
    pub core: &'static str,
    /// The core whose timing stands for it.
    #[serde(skip)]
    pub timing: Core,
    /// Bytes of flash.
    pub flash: usize,
    /// Bytes of RAM.
    pub ram: usize,
    /// Largest clock, MHz.
    pub megahertz: f64,
    /// Whether it has an FPU.
    pub fpu: bool,
}

impl Board {
    /// Microseconds that so many cycles take.
    pub fn microseconds(&self, cycles: f64) -> f64 {
        cycles / self.megahertz
    }

    /// How long a score takes, as a person reads it.
    pub fn time(&self, cost: &Cost) -> String {
        format!("{:.0} us", self.microseconds(cost.cycles))
    }

    /// What a model takes of the board, as a person reads it.
    pub fn describe(&self, cost: &Cost) -> String {
        let (part, time, shares) = (self.part, self.time(cost), self.shares(cost));
        let Self { core, megahertz, .. } = self;
        format!(
            "{part}, {core} at {megahertz} MHz: {time} a score ({:.0} cycles), {shares}",
            cost.cycles
        )
    }

    /// Its shares of flash and RAM, as a person reads them.
    pub fn shares(&self, cost: &Cost) -> String {
        let share = |bytes: usize, of: usize| 100.0 * bytes as f64 / of as f64;
        format!(
            "{:.1} % of {} KiB flash, {:.1} % of {} KiB RAM",
            share(cost.flash_bytes(), self.flash),
            self.flash >> 10,
            share(cost.stack_bytes, self.ram),
            self.ram >> 10
        )
    }
}

const fn board(
    name: &'static str,
    part: &'static str,
    core: &'static str,
    timing: Core,
    kib: [usize; 2],
    megahertz: f64,
) -> Board {
    let [flash, ram] = kib;
    let fpu = matches!(timing, Core::CortexM4f);
    Board { name, part, core, timing, flash: flash << 10, ram: ram << 10, megahertz, fpu }
}

/// Every board: name, part, core, timing, KiB of flash and of RAM, clock. From the parts' data sheets.
pub const BOARDS: &[Board] = &[
    board("microbit", "nRF51822", "Cortex-M0", Core::CortexM0, [256, 16], 16.0),
    board("nucleo-f030r8", "STM32F030R8", "Cortex-M0", Core::CortexM0, [64, 8], 48.0),
    board("nucleo-l053r8", "STM32L053R8", "Cortex-M0+", Core::CortexM0Plus, [64, 8], 32.0),
    board("nucleo-g071rb", "STM32G071RB", "Cortex-M0+", Core::CortexM0Plus, [128, 36], 64.0),
    board("arduino-zero", "SAMD21G18", "Cortex-M0+", Core::CortexM0Plus, [256, 32], 48.0),
    board("pico", "RP2040", "Cortex-M0+", Core::CortexM0Plus, [2048, 264], 133.0),
    board("bluepill", "STM32F103C8", "Cortex-M3", Core::CortexM3, [64, 20], 72.0),
    board("nucleo-l152re", "STM32L152RE", "Cortex-M3", Core::CortexM3, [512, 80], 32.0),
    board("arduino-due", "SAM3X8E", "Cortex-M3", Core::CortexM3, [512, 96], 84.0),
    board("microbit-v2", "nRF52833", "Cortex-M4F", Core::CortexM4f, [512, 128], 64.0),
    board("nrf52840-dk", "nRF52840", "Cortex-M4F", Core::CortexM4f, [1024, 256], 64.0),
    board("nucleo-f411re", "STM32F411RE", "Cortex-M4F", Core::CortexM4f, [512, 128], 100.0),
    board("blackpill", "STM32F411CE", "Cortex-M4F", Core::CortexM4f, [512, 128], 100.0),
    board("nucleo-l476rg", "STM32L476RG", "Cortex-M4F", Core::CortexM4f, [1024, 128], 80.0),
    board("nucleo-g474re", "STM32G474RE", "Cortex-M4F", Core::CortexM4f, [512, 128], 170.0),
    board("feather-m4", "SAMD51J19", "Cortex-M4F", Core::CortexM4f, [512, 192], 120.0),
    board("pico-2", "RP2350", "Cortex-M33", Core::CortexM4f, [4096, 520], 150.0),
    board("nucleo-u575zi", "STM32U575ZI", "Cortex-M33", Core::CortexM4f, [2048, 784], 160.0),
    board("nucleo-f767zi", "STM32F767ZI", "Cortex-M7", Core::CortexM4f, [2048, 512], 216.0),
];

/// What `--board` takes.
pub fn parser() -> impl TypedValueParser<Value = &'static Board> {
    let names = BOARDS.iter().map(|board| PossibleValue::new(board.name));
    PossibleValuesParser::new(names).map(|name| {
        BOARDS.iter().find(|board| board.name == name).expect("one of the names that are possible")
    })
}

/// Every board in a table.
pub fn table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["board", "part", "core", "FPU", "MHz", "flash, KiB", "RAM, KiB"]);
    for Board { name, part, core, fpu, megahertz, flash, ram, .. } in BOARDS {
        let cells = [*name, *part, *core, if *fpu { "yes" } else { "no" }].map(String::from);
        let sizes = [megahertz.to_string(), (flash >> 10).to_string(), (ram >> 10).to_string()];
        table.add_row(cells.into_iter().chain(sizes));
    }
    table
}

/// What a model costs on every board in a table, `cost` being that of a core: for reports.
pub fn costs(cost: impl Fn(Core) -> Cost) -> Vec<(&'static Board, Cost)> {
    BOARDS.iter().map(|board| (board, cost(board.timing))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_an_fpu_fits_the_core() {
        for (number, board) in BOARDS.iter().enumerate() {
            assert!(BOARDS[number + 1..].iter().all(|other| other.name != board.name));
            let has_none = ["Cortex-M0", "Cortex-M0+", "Cortex-M3"].contains(&board.core);
            assert_eq!(board.fpu, !has_none, "{}", board.name);
        }
    }
}
