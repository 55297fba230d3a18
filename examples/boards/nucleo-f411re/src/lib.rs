//! A Nucleo-F411RE with an LIS3DH on its Arduino pins D15 (SCL) and D14 (SDA).
#![no_std]

use application::accelerometer::{self, Lis3dh};
use application::board::Queue;
use defmt_rtt as _;
use embassy_executor::InterruptExecutor;
use embassy_stm32::adc::{Adc, SampleTime};
use embassy_stm32::gpio::{Level, Output, Speed};
use embassy_stm32::i2c::{self, I2c, Master};
// The attribute and the module of this name.
use embassy_stm32::interrupt;
use embassy_stm32::interrupt::{InterruptExt, Priority};
use embassy_stm32::mode::Async;
use embassy_stm32::time::Hertz;
use embassy_stm32::{Config, bind_interrupts, dma, peripherals, rcc};
use panic_probe as _;

bind_interrupts!(struct Interrupts {
    I2C1_EV => i2c::EventInterruptHandler<peripherals::I2C1>;
    I2C1_ER => i2c::ErrorInterruptHandler<peripherals::I2C1>;
    DMA1_STREAM6 => dma::InterruptHandler<peripherals::DMA1_CH6>;
    DMA1_STREAM0 => dma::InterruptHandler<peripherals::DMA1_CH0>;
});

static QUEUE: Queue = Queue::new();

/// Runs the sampling above everything else, by the interrupt of a serial port that is not used.
static SAMPLING: InterruptExecutor = InterruptExecutor::new();

#[interrupt]
unsafe fn USART6() {
    // SAFETY: this is the interrupt that the executor was started on.
    unsafe { SAMPLING.on_interrupt() }
}

/// What the firmwares use of the board.
pub struct Board {
    /// The green LED LD2.
    pub lamp: Output<'static>,
    /// The accelerometer's samples.
    pub queue: &'static Queue,
    /// Random numbers. This chip has no generator: each bit is the parity of the lowest bits of
    /// readings of its temperature sensor, good enough for samples of a model and not for keys.
    pub seed: [u8; 32],
}

impl Board {
    /// Starts the core at 96 MHz, and the sampling.
    pub fn start() -> Self {
        let mut config = Config::default();
        config.rcc.hsi = true;
        config.rcc.pll_src = rcc::PllSource::HSI;
        config.rcc.pll = Some(rcc::Pll {
            prediv: rcc::PllPreDiv::DIV16,
            mul: rcc::PllMul::MUL192,
            divp: Some(rcc::PllPDiv::DIV2),
            divq: None,
            divr: None,
        });
        config.rcc.sys = rcc::Sysclk::PLL1_P;
        config.rcc.apb1_pre = rcc::APBPrescaler::DIV2;
        let p = embassy_stm32::init(config);

        let mut adc = Adc::new(p.ADC1);
        let mut temperature = adc.enable_temperature();
        let seed = [(); 32].map(|()| {
            (0..8).fold(0, |byte, _| {
                let reading = || adc.blocking_read(&mut temperature, SampleTime::CYCLES3);
                let parity = core::iter::repeat_with(reading).take(4).fold(0, |a, b| a ^ b) & 1;
                byte << 1 | parity as u8
            })
        });

        let mut bus = i2c::Config::default();
        bus.frequency = Hertz::khz(400);
        let bus = I2c::new(p.I2C1, p.PB8, p.PB9, p.DMA1_CH6, p.DMA1_CH0, Interrupts, bus);
        interrupt::USART6.set_priority(Priority::P6);
        SAMPLING.start(interrupt::USART6).spawn(sampling(bus).unwrap());

        Self { lamp: Output::new(p.PA5, Level::Low, Speed::Low), queue: &QUEUE, seed }
    }
}

#[embassy_executor::task]
async fn sampling(bus: I2c<'static, Async, Master>) -> ! {
    accelerometer::sample(Lis3dh::new(bus).await, &QUEUE).await
}
