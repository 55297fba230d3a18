//! What a board runs: the queue of samples, and what the firmwares `score` and `record` do with it.
//!
//! Two tasks share the core. One asks the accelerometer, at an interrupt's priority, and fills the
//! queue; the other empties it and may take its time: the flow of a row takes longer than a sample,
//! and to find the feature to blame longer than a hundred. What does not fit is lost, and told.

use core::sync::atomic::{AtomicBool, Ordering};

use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::channel::Channel;
use embassy_time::{Duration, Ticker};
use embedded_hal::digital::OutputPin;
use flowlet::detector::State;

use crate::{
    Blame, CHANNELS, Fan, IS_SIMULATED, Lamp, Monitor, NAMES, RATE, Report, Sample, generator,
};

/// Samples that wait at most: 1.3 seconds.
const LENGTH: usize = 512;

/// Samples on their way from the sensor; none stands for at least one that was missed.
pub struct Queue {
    samples: Channel<CriticalSectionRawMutex, Option<Sample>, LENGTH>,
    /// Whether something did not fit and has not been told yet.
    is_broken: AtomicBool,
}

impl Queue {
    /// An empty queue.
    pub const fn new() -> Self {
        Self { samples: Channel::new(), is_broken: AtomicBool::new(false) }
    }

    /// Appends a sample, or that one was missed.
    pub fn push(&self, sample: Option<Sample>) {
        // The gap goes first, in the place of what was lost.
        let is_whole =
            !self.is_broken.load(Ordering::Relaxed) || self.samples.try_send(None).is_ok();
        let is_lost = !is_whole || self.samples.try_send(sample).is_err();
        self.is_broken.store(is_lost, Ordering::Relaxed);
    }

    async fn next(&self) -> Option<Sample> {
        self.samples.receive().await
    }
}

impl Default for Queue {
    fn default() -> Self {
        Self::new()
    }
}

/// Seconds without and with a fault of the fan that is only computed.
const SOUND: u32 = 60;
const FAULTY: u32 = 20;

/// Where `score` takes its samples from.
#[expect(clippy::large_enum_variant, reason = "there is one, and no memory to box it in")]
enum Source<'a> {
    Sensor(&'a Queue),
    Simulated { fan: Fan, clock: Ticker, sample: u32 },
}

impl<'a> Source<'a> {
    fn new(queue: &'a Queue) -> Self {
        if !IS_SIMULATED {
            defmt::info!("the accelerometer's signal, {} samples a second", RATE);
            return Self::Sensor(queue);
        }
        defmt::warn!("this model knows a fan that is only computed, and is shown that one:");
        defmt::warn!("{} s without a fault, {} s with one, and again.", SOUND, FAULTY);
        defmt::warn!("For your machine: record, train, and build with FLOWLET_MODEL=your.flow");
        let clock = Ticker::every(Duration::from_hz(u64::from(RATE)));
        Self::Simulated { fan: Fan::new(1), clock, sample: 0 }
    }

    async fn next(&mut self) -> Option<Sample> {
        match self {
            Self::Sensor(queue) => queue.next().await,
            Self::Simulated { fan, clock, sample } => {
                clock.next().await;
                let second = *sample / RATE % (SOUND + FAULTY);
                let is_faulty = second >= SOUND;
                if fan.is_faulty != is_faulty {
                    defmt::info!(
                        "the computed fan's fault {}",
                        if is_faulty { "starts" } else { "ends" }
                    );
                }
                fan.is_faulty = is_faulty;
                *sample = sample.wrapping_add(1);
                Some(fan.sample())
            }
        }
    }
}

/// Judges the signal for ever: logs each row, and shows the state on the lamp.
///
/// `seed` is of the board's own random numbers; a row that the model holds for normal is drawn with it.
pub async fn score(queue: &Queue, lamp: &mut impl OutputPin, seed: [u8; 32]) -> ! {
    let mut monitor = match Monitor::new() {
        Ok(monitor) => monitor,
        Err(error) => refuse(error, lamp).await,
    };
    match monitor.flow().self_test() {
        Ok(vectors) => {
            defmt::info!("model: {} rows of its self-test have the host's bits", vectors)
        }
        Err(error) => refuse(error, lamp).await,
    }
    match monitor.flow().sample(&mut generator(seed), 1.0) {
        Ok(row) => defmt::info!("a row that it holds for normal: {}", row),
        Err(error) => defmt::warn!("no samples: {}", error),
    }
    let detector = monitor.detector();
    defmt::info!(
        "false alarms at least {} rows apart in the mean; an alarm takes {} nats, {} rows at least",
        detector.settings().rows_between_false_alarms(),
        detector.alarm_at(),
        detector.fewest_rows()
    );
    let mut source = Source::new(queue);
    let (mut count, mut rows, mut was_silent) = (0u32, 0u32, false);
    loop {
        match monitor.push(source.next().await) {
            Ok(Some(report)) => {
                rows = rows.wrapping_add(1);
                log(rows, &report, monitor.gaps());
            }
            Ok(None) => {}
            Err(error) => defmt::error!("{}", error),
        }
        let is_silent = monitor.is_silent();
        if is_silent && !was_silent {
            defmt::error!("no samples: nothing is known of the machine");
        }
        was_silent = is_silent;
        // A lamp that cannot be lit is none that could tell of it.
        let _ = lamp.set_state(monitor.lamp().is_lit(count).into());
        count = count.wrapping_add(1);
    }
}

fn log(row: u32, report: &Report, gaps: u32) {
    let Report { score, state, evidence, blame, .. } = report;
    match state {
        State::Normal => {
            defmt::info!("row {}: score {}, evidence {}, {} gaps", row, score, evidence, gaps);
        }
        State::Suspect | State::Alarm => {
            defmt::warn!("row {}: score {}, evidence {}, {}", row, score, evidence, state);
        }
        State::Sensor(fault) => defmt::error!("row {}: a sensor is at fault: {}", row, fault),
    }
    if let Some(Blame { name, value, share }) = blame {
        defmt::error!(
            "ALARM; {=str} = {} is to blame, it adds {} to the score",
            name,
            value,
            share
        );
    }
}

/// The model cannot be used: says so again and again, since who looks may come later.
async fn refuse(error: flowlet::Error, lamp: &mut impl OutputPin) -> ! {
    let mut clock = Ticker::every(Duration::from_hz(u64::from(RATE)));
    let mut count = 0u32;
    loop {
        if count.is_multiple_of(2 * RATE) {
            defmt::error!("the model is refused: {}", error);
        }
        let _ = lamp.set_state(Lamp::Sensor.is_lit(count).into());
        count = count.wrapping_add(1);
        clock.next().await;
    }
}

/// Prints the signal as a CSV file, for ever, in thousandths of g.
///
/// Its first column counts the gaps: between them samples follow each other without one missing, so
/// `flowlet train --segment segment` makes no window across one.
pub async fn record(queue: &Queue, lamp: &mut impl OutputPin) -> ! {
    let [x, y, z]: [&str; CHANNELS] = NAMES;
    defmt::println!("segment,{=str},{=str},{=str}", x, y, z);
    let (mut segment, mut count, mut is_broken) = (0u32, 0u32, false);
    loop {
        let sample = queue.next().await;
        if let Some([x, y, z]) = sample {
            segment += u32::from(is_broken);
            defmt::println!("{=u32},{=i16},{=i16},{=i16}", segment, x, y, z);
        }
        is_broken = sample.is_none();
        count = count.wrapping_add(1);
        let _ = lamp.set_state(Lamp::Suspect.is_lit(count).into());
    }
}
