//! The signal of the fan that is only computed, without a fault, as the firmware `record` prints an
//! accelerometer's: `cargo run --example record -- SECONDS SEED > train.csv`.

use std::io::{self, BufWriter, Write};

use application::{Fan, NAMES, RATE};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<u32> =
        std::env::args().skip(1).map(|word| word.parse()).collect::<Result<_, _>>()?;
    let [seconds, seed] = arguments[..] else { return Err("record SECONDS SEED".into()) };
    let mut fan = Fan::new(u64::from(seed));
    let mut out = BufWriter::new(io::stdout().lock());
    writeln!(out, "segment,{}", NAMES.join(","))?;
    for _ in 0..seconds * RATE {
        let [x, y, z] = fan.sample();
        writeln!(out, "0,{x},{y},{z}")?;
    }
    Ok(out.flush()?)
}
