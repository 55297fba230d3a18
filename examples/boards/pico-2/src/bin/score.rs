//! Judges the accelerometer's signal: logs each row's score and what is to blame, and shows the
//! state on the lamp.
#![no_std]
#![no_main]

use embassy_executor::Spawner;
use pico_2::Board;

#[embassy_executor::main]
async fn main(_spawner: Spawner) -> ! {
    let mut board = Board::start();
    application::board::score(board.queue, &mut board.lamp, board.seed).await
}
