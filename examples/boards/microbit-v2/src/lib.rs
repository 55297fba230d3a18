//! A micro:bit v2 and the accelerometer that is on it, an LSM303AGR.
#![no_std]

use application::accelerometer::{self, Lsm303agr};
use application::board::Queue;
use defmt_rtt as _;
use embassy_executor::InterruptExecutor;
use embassy_nrf::config::Config;
use embassy_nrf::gpio::{AnyPin, Level, Output, OutputDrive};
// The attribute and the module of this name.
use embassy_nrf::interrupt;
use embassy_nrf::interrupt::{InterruptExt, Priority};
use embassy_nrf::rng::Rng;
use embassy_nrf::twim::{self, Frequency, Twim};
use embassy_nrf::{Peri, bind_interrupts, peripherals};
use panic_probe as _;
use static_cell::ConstStaticCell;

bind_interrupts!(struct Interrupts {
    TWISPI0 => twim::InterruptHandler<peripherals::TWISPI0>;
});

static QUEUE: Queue = Queue::new();

/// Runs the sampling above everything else, by an interrupt that only software raises.
static SAMPLING: InterruptExecutor = InterruptExecutor::new();

#[interrupt]
unsafe fn EGU0_SWI0() {
    // SAFETY: this is the interrupt that the executor was started on.
    unsafe { SAMPLING.on_interrupt() }
}

/// What the firmwares use of the board.
pub struct Board {
    /// The middle row of the 5 x 5 LEDs.
    pub lamp: Output<'static>,
    /// The other ends of those LEDs, held low.
    _columns: [Output<'static>; 5],
    /// The accelerometer's samples.
    pub queue: &'static Queue,
    /// Of the chip's generator of random numbers.
    pub seed: [u8; 32],
}

impl Board {
    /// Starts the sampling.
    pub fn start() -> Self {
        let p = embassy_nrf::init(Config::default());

        let mut seed = [0; 32];
        Rng::new_blocking(p.RNG).blocking_fill_bytes(&mut seed);

        let mut bus = twim::Config::default();
        bus.frequency = Frequency::K400;
        // What the sensor's driver writes from flash, where this bus cannot read, goes through here.
        static WRITTEN: ConstStaticCell<[u8; 16]> = ConstStaticCell::new([0; 16]);
        let bus = Twim::new(p.TWISPI0, Interrupts, p.P0_16, p.P0_08, bus, WRITTEN.take());
        interrupt::EGU0_SWI0.set_priority(Priority::P6);
        SAMPLING.start(interrupt::EGU0_SWI0).spawn(sampling(bus).unwrap());

        let low = |pin: Peri<'static, AnyPin>| Output::new(pin, Level::Low, OutputDrive::Standard);
        let columns =
            [p.P0_28.into(), p.P0_11.into(), p.P0_31.into(), p.P1_05.into(), p.P0_30.into()];
        Self { lamp: low(p.P0_15.into()), _columns: columns.map(low), queue: &QUEUE, seed }
    }
}

#[embassy_executor::task]
async fn sampling(bus: Twim<'static>) -> ! {
    accelerometer::sample(Lsm303agr::new(bus), &QUEUE).await
}
