//! Accelerometers, and the task that asks one for its samples.
//!
//! The sensor's own clock decides when a sample is there. The task asks twice as often as that, so
//! that no interrupt line is needed, and the sensor itself says when one was overwritten before it
//! was read.

use embassy_time::{Duration, Ticker};
#[cfg(any(feature = "lis3dh", feature = "lsm303agr"))]
use embedded_hal_async::i2c::I2c;

use crate::board::Queue;
use crate::{RATE, Sample};

/// How long a sensor may have nothing new before it counts as dead, in questions.
const PATIENCE: u32 = RATE;

/// Why there are no samples.
#[derive(Clone, Copy, Debug, defmt::Format)]
pub enum Fault {
    /// Nothing answers on the bus.
    NoAnswer,
    /// Something answers that is another device.
    OtherDevice,
    /// It answers, and has had no new sample for half a second.
    Silent,
}

/// A sample, and whether others before it were overwritten.
pub struct Reading {
    /// The acceleration.
    pub sample: Sample,
    /// Whether at least one sample was lost since the last reading.
    pub is_after_gap: bool,
}

/// A sensor that samples by its own clock, [`RATE`] times a second.
#[allow(async_fn_in_trait)]
pub trait Accelerometer {
    /// Sets it to [`RATE`] and a range of 4 g either way.
    async fn start(&mut self) -> Result<(), Fault>;

    /// The newest sample, or none if it has been read before.
    async fn read(&mut self) -> Result<Option<Reading>, Fault>;
}

/// Fills `queue` with samples, for ever; starts the sensor again after each fault.
pub async fn sample(mut accelerometer: impl Accelerometer, queue: &Queue) -> ! {
    loop {
        let fault = match accelerometer.start().await {
            Ok(()) => read(&mut accelerometer, queue).await,
            Err(fault) => fault,
        };
        defmt::error!("accelerometer: {}; is it wired as the board's page says?", fault);
        // A second's samples are missing.
        let mut clock = Ticker::every(Duration::from_hz(u64::from(RATE)));
        for _ in 0..RATE {
            queue.push(None);
            clock.next().await;
        }
    }
}

/// Fills `queue` until there is a fault.
async fn read(accelerometer: &mut impl Accelerometer, queue: &Queue) -> Fault {
    let mut questions = Ticker::every(Duration::from_hz(2 * u64::from(RATE)));
    let mut without_sample = 0;
    while without_sample < PATIENCE {
        questions.next().await;
        without_sample += 1;
        match accelerometer.read().await {
            Ok(Some(reading)) => {
                if reading.is_after_gap {
                    queue.push(None);
                }
                queue.push(Some(reading.sample));
                without_sample = 0;
            }
            Ok(None) => {}
            Err(fault) => return fault,
        }
    }
    Fault::Silent
}

/// An LIS3DH on an I2C bus, its address pin low (0x18).
#[cfg(feature = "lis3dh")]
pub struct Lis3dh<B>(lis3dh_async::Lis3dh<lis3dh_async::Lis3dhI2C<B>>);

#[cfg(feature = "lis3dh")]
impl<B: I2c> Lis3dh<B> {
    /// Takes the bus.
    pub async fn new(bus: B) -> Self {
        let address = lis3dh_async::SlaveAddr::Default;
        Self(lis3dh_async::Lis3dh::new_i2c_without_config(bus, address).await)
    }
}

#[cfg(feature = "lis3dh")]
impl<B: I2c> Accelerometer for Lis3dh<B> {
    async fn start(&mut self) -> Result<(), Fault> {
        use lis3dh_async::{Configuration, DataRate, Error, Mode, Range};

        let configuration = Configuration {
            mode: Mode::HighResolution,
            datarate: DataRate::Hz_400,
            ..Configuration::default()
        };
        self.0.configure(configuration).await.map_err(|error| match error {
            Error::WrongAddress => Fault::OtherDevice,
            _ => Fault::NoAnswer,
        })?;
        self.0.set_range(Range::G4).await.map_err(|_| Fault::NoAnswer)
    }

    async fn read(&mut self) -> Result<Option<Reading>, Fault> {
        let status = self.0.get_status().await.map_err(|_| Fault::NoAnswer)?;
        if !status.zyxda {
            return Ok(None);
        }
        let raw = self.0.accel_raw().await.map_err(|_| Fault::NoAnswer)?;
        // 12 bits at the upper end of 16, in steps of 2 thousandths of g.
        let sample = [raw.x, raw.y, raw.z].map(|raw| (raw >> 4) * 2);
        Ok(Some(Reading { sample, is_after_gap: status.zyxor }))
    }
}

/// An LSM303AGR, of which the magnetometer is left alone, on an I2C bus.
#[cfg(feature = "lsm303agr")]
pub struct Lsm303agr<B>(
    lsm303agr::Lsm303agr<lsm303agr::interface::I2cInterface<B>, lsm303agr::mode::MagOneShot>,
);

#[cfg(feature = "lsm303agr")]
impl<B: I2c> Lsm303agr<B> {
    /// Takes the bus.
    pub fn new(bus: B) -> Self {
        Self(lsm303agr::Lsm303agr::new_with_i2c(bus))
    }
}

#[cfg(feature = "lsm303agr")]
impl<B: I2c> Accelerometer for Lsm303agr<B> {
    async fn start(&mut self) -> Result<(), Fault> {
        use lsm303agr::{AccelMode, AccelOutputDataRate, AccelScale};

        let id = self.0.accelerometer_id().await.map_err(|_| Fault::NoAnswer)?;
        if !id.is_correct() {
            return Err(Fault::OtherDevice);
        }
        self.0.init().await.map_err(|_| Fault::NoAnswer)?;
        self.0
            .set_accel_mode_and_odr(
                &mut embassy_time::Delay,
                AccelMode::HighResolution,
                AccelOutputDataRate::Hz400,
            )
            .await
            .map_err(|_| Fault::NoAnswer)?;
        self.0.set_accel_scale(AccelScale::G4).await.map_err(|_| Fault::NoAnswer)
    }

    async fn read(&mut self) -> Result<Option<Reading>, Fault> {
        let status = self.0.accel_status().await.map_err(|_| Fault::NoAnswer)?;
        if !status.xyz_new_data() {
            return Ok(None);
        }
        let acceleration = self.0.acceleration().await.map_err(|_| Fault::NoAnswer)?;
        let (x, y, z) = acceleration.xyz_mg();
        // 4 g are far inside an i16.
        let sample = [x, y, z].map(|value| value as i16);
        Ok(Some(Reading { sample, is_after_gap: status.xyz_overrun() }))
    }
}
