//! The signal of the fan that is only computed, as the firmware `record` prints an accelerometer's:
//! `cargo run --release --example record -- SECONDS SEED > train.csv`.
//!
//! A third number is the second at which it is at fault from then on, and brings a column `label`.

use std::io::{self, BufWriter, Write};

use application::{Fan, NAMES, RATE};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<u32> =
        std::env::args().skip(1).map(|word| word.parse()).collect::<Result<_, _>>()?;
    let (seconds, seed, fault) = match arguments[..] {
        [seconds, seed] => (seconds, seed, None),
        [seconds, seed, fault] => (seconds, seed, Some(fault)),
        _ => return Err("record SECONDS SEED [FAULT]".into()),
    };
    let mut fan = Fan::new(u64::from(seed));
    let mut out = BufWriter::new(io::stdout().lock());
    let label = fault.map_or("", |_| ",label");
    writeln!(out, "segment,{}{label}", NAMES.join(","))?;
    for number in 0..seconds * RATE {
        fan.is_faulty = fault.is_some_and(|fault| number >= fault * RATE);
        let [x, y, z] = fan.sample();
        let label = match (fault, fan.is_faulty) {
            (None, _) => "",
            (_, false) => ",0",
            (_, true) => ",1",
        };
        writeln!(out, "0,{x},{y},{z}{label}")?;
    }
    Ok(out.flush()?)
}
