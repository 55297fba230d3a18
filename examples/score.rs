//! Scores the rows of standard input, numbers between commas, with the code that a firmware runs.
//!
//! `cargo run --features write --example score -- pump.flow < rows.csv`

use flowlet::write::ModelFile;
use flowlet::{Libm, Model, Scratch, Unit};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: score MODEL < ROWS")?;
    let file = ModelFile::new(&std::fs::read(path)?);
    let model = Model::<Libm>::from_bytes(file.bytes())?;
    let (mut rows, mut values) = ([[0.0; 64]; 2], vec![[0.0; 2]; model.width()]);
    let mut units = vec![Unit::default(); model.width()];
    let (here, there) = values.as_flattened_mut().split_at_mut(model.width());
    let mut scratch =
        Scratch::new(rows.each_mut().map(|row| &mut row[..]), [here, there], &mut units);
    for line in std::io::stdin().lines() {
        let row: Vec<f32> = line?.split(',').map(str::parse).collect::<Result<_, _>>()?;
        println!("{}", model.score(&row, &mut scratch)?);
    }
    Ok(())
}
