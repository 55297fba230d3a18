//! Prints the accelerometer's signal as a CSV file: `cargo run --release --bin record > train.csv`.
#![no_std]
#![no_main]

use embassy_executor::Spawner;
use nucleo_f411re::Board;

#[embassy_executor::main]
async fn main(_spawner: Spawner) -> ! {
    let mut board = Board::start();
    application::board::record(board.queue, &mut board.lamp).await
}
