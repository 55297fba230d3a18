//! What a model may cost.

use std::fmt;

use parse_size::Config;

use super::board::{self, Board};
use super::{Core, Cost};

/// What a model may cost; without one of them it may cost any.
#[derive(clap::Args, Clone, Debug, Default)]
#[group(skip)]
pub struct Budget {
    /// Most flash of the model file and flowlet's code, such as 64K: KiB. This, --stack, --cycles and
    /// --board let families, layers, widths and ensembles compete within the budget; that takes about
    /// as long as four trainings of the default model.
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub flash: Option<u64>,
    /// Most stack of a score, its frames included, such as 4K.
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub stack: Option<u64>,
    /// Most cycles of a score, such as 150k: thousands; on the core of --board, else a Cortex-M4F.
    #[arg(long, value_name = "CYCLES", value_parser = count)]
    pub cycles: Option<u64>,
    /// Board whose core counts, and whose flash and RAM are the most that a model may take; `flowlet
    /// boards` lists them.
    #[arg(long, value_name = "NAME", value_parser = board::parser(), hide_possible_values = true)]
    pub board: Option<&'static Board>,
}

/// A size in bytes: K and M are powers of 1024.
fn bytes(text: &str) -> Result<u64, String> {
    amount(text, &Config::new().with_binary(), "bytes such as 64K or 4096")
}

/// A number: k and M are powers of 1000.
fn count(text: &str) -> Result<u64, String> {
    amount(text, &Config::new().with_decimal(), "a number such as 150k or 150000")
}

fn amount(text: &str, config: &Config, expected: &str) -> Result<u64, String> {
    match config.parse_size(text) {
        Ok(amount) if amount > 0 => Ok(amount),
        _ => Err(format!("expected {expected}")),
    }
}

impl Budget {
    /// Whether any is set.
    pub fn is_set(&self) -> bool {
        let Self { flash, stack, cycles, board } = self;
        flash.is_some() || stack.is_some() || cycles.is_some() || board.is_some()
    }

    /// The core whose cycles count.
    pub fn core(&self) -> Core {
        self.board.map_or(Core::CortexM4f, |board| board.timing)
    }

    /// Name, cost and limit of each cost that has a limit.
    fn limits(&self, cost: &Cost) -> [(&'static str, f64, Option<f64>); 3] {
        let least = |own: Option<u64>, boards: Option<usize>| {
            let boards = boards.map(|bytes| bytes as u64);
            own.into_iter().chain(boards).min().map(|bytes| bytes as f64)
        };
        let (flash, ram) = (self.board.map(|board| board.flash), self.board.map(|board| board.ram));
        [
            ("flash", cost.flash_bytes() as f64, least(self.flash, flash)),
            ("stack", cost.stack_bytes as f64, least(self.stack, ram)),
            ("cycles", cost.cycles, self.cycles.map(|cycles| cycles as f64)),
        ]
    }

    /// What of `cost` is over the budget; nothing where it fits.
    pub fn excess(&self, cost: &Cost) -> Vec<&'static str> {
        let over = |(name, cost, limit): (_, f64, Option<f64>)| {
            limit.is_some_and(|limit| cost > limit).then_some(name)
        };
        self.limits(cost).into_iter().filter_map(over).collect()
    }

    /// The largest share of a limit that `cost` takes: above 1 it is over the budget.
    pub fn share(&self, cost: &Cost) -> f64 {
        let share = |(_, cost, limit): (_, f64, Option<f64>)| limit.map(|limit| cost / limit);
        self.limits(cost).into_iter().filter_map(share).fold(0.0, f64::max)
    }
}

/// As on the command line.
impl fmt::Display for Budget {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        let number = |name, amount: Option<u64>| amount.map(|amount| format!("{name} {amount}"));
        let parts = [
            number("--flash", self.flash),
            number("--stack", self.stack),
            number("--cycles", self.cycles),
            self.board.map(|board| format!("--board {}", board.name)),
        ];
        formatter.write_str(&parts.into_iter().flatten().collect::<Vec<_>>().join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_binary_and_counts_decimal() {
        for (text, expected) in
            [("64K", 65_536), ("64k", 65_536), ("4096", 4096), ("1M", 1 << 20), ("1.5KiB", 1536)]
        {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for (text, expected) in [("150k", 150_000), ("150K", 150_000), ("1M", 1_000_000), ("7", 7)]
        {
            assert_eq!(count(text), Ok(expected), "{text}");
        }
        for text in ["", "k", "0", "-4K", "4 cakes", "nan"] {
            assert!(bytes(text).is_err() && count(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_smaller_of_two_limits_counts() {
        let cost =
            Cost { model_bytes: 40 << 10, code_bytes: 20 << 10, stack_bytes: 2048, cycles: 9e4 };
        let board = board::BOARDS.iter().find(|board| board.name == "bluepill");
        let roomy = Budget { board, ..Budget::default() };
        assert!(roomy.is_set() && roomy.excess(&cost).is_empty());
        let tight = Budget { flash: Some(48 << 10), cycles: Some(80_000), ..roomy };
        assert_eq!(tight.excess(&cost), ["flash", "cycles"]);
        assert!((tight.share(&cost) - 1.25).abs() < 1e-9);
        assert_eq!(tight.core(), Core::CortexM3);
    }
}
