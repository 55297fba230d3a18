//! Scores the rows of standard input, numbers between commas, with the code that a firmware runs.
//!
//! `cargo run --features write --example score -- pump.flow < rows.csv`

use flowlet::write::ModelFile;
use flowlet::{Libm, Memory, Model};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: score MODEL < ROWS")?;
    let file = ModelFile::new(&std::fs::read(path)?);
    let model = Model::<Libm>::from_bytes(file.bytes())?;
    let mut memory = Memory::of(&model);
    for line in std::io::stdin().lines() {
        let row: Vec<f32> = line?.split(',').map(str::parse).collect::<Result<_, _>>()?;
        println!("{}", model.score(&row, &mut memory.scratch())?);
    }
    Ok(())
}
