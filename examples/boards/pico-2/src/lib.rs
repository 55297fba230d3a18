//! A Raspberry Pi Pico 2 with an LIS3DH on GP5 (SCL) and GP4 (SDA).
#![no_std]

use application::accelerometer::{self, Lis3dh};
use application::board::Queue;
use defmt_rtt as _;
use embassy_executor::InterruptExecutor;
use embassy_rp::config::Config;
use embassy_rp::gpio::{Level, Output};
use embassy_rp::i2c::{self, Async, I2c};
// The attribute and the module of this name.
use embassy_rp::interrupt;
use embassy_rp::interrupt::{InterruptExt, Priority};
use embassy_rp::trng::{self, Trng};
use embassy_rp::{bind_interrupts, peripherals};
use panic_probe as _;

bind_interrupts!(struct Interrupts {
    I2C0_IRQ => i2c::InterruptHandler<peripherals::I2C0>;
    TRNG_IRQ => trng::InterruptHandler<peripherals::TRNG>;
});

static QUEUE: Queue = Queue::new();

/// Runs the sampling above everything else, by an interrupt that only software raises.
static SAMPLING: InterruptExecutor = InterruptExecutor::new();

#[interrupt]
unsafe fn SWI_IRQ_1() {
    // SAFETY: this is the interrupt that the executor was started on.
    unsafe { SAMPLING.on_interrupt() }
}

/// What the firmwares use of the board.
pub struct Board {
    /// The green LED.
    pub lamp: Output<'static>,
    /// The accelerometer's samples.
    pub queue: &'static Queue,
    /// Of the chip's generator of random numbers.
    pub seed: [u8; 32],
}

impl Board {
    /// Starts the sampling; the core runs at 150 MHz.
    pub fn start() -> Self {
        let p = embassy_rp::init(Config::default());

        let mut seed = [0; 32];
        Trng::new(p.TRNG, Interrupts, trng::Config::default()).blocking_fill_bytes(&mut seed);

        let mut bus = i2c::Config::default();
        bus.frequency = 400_000;
        let bus = I2c::new_async(p.I2C0, p.PIN_5, p.PIN_4, Interrupts, bus);
        interrupt::SWI_IRQ_1.set_priority(Priority::P2);
        SAMPLING.start(interrupt::SWI_IRQ_1).spawn(sampling(bus).unwrap());

        Self { lamp: Output::new(p.PIN_25, Level::Low), queue: &QUEUE, seed }
    }
}

#[embassy_executor::task]
async fn sampling(bus: I2c<'static, peripherals::I2C0, Async>) -> ! {
    accelerometer::sample(Lis3dh::new(bus).await, &QUEUE).await
}
