//! A fan that is only computed, so that the whole way runs before the first recording.
//!
//! It turns 24 times a second and has 7 blades. Along each axis the acceleration is gravity, the
//! rotation, its second harmonic, the blades' passing, and noise:
//!
//! `a = g + A1 sin(p + f) + A2 sin(2 p + f) + A7 sin(7 p + f) + noise`,
//!
//! with a phase p that advances by 2 pi 24 / [`RATE`] a sample and by a small random part more, since
//! no machine turns evenly. A fault, a blade that has lost a piece, makes A1 of the two axes across
//! the shaft 1.25 times as large. It is no model of a fan that anyone has measured.

use core::f32::consts::TAU;

use libm::{roundf, sinf};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::{CHANNELS, RATE, Sample};

/// Rotations a second.
const ROTATIONS: f32 = 24.0;

/// Deviation of the phase's step, in radians: the speed of a rotation differs by about 1 %.
const UNEVENNESS: f32 = 0.02;

/// What one axis feels, in thousandths of g.
struct Axis {
    gravity: f32,
    /// Of the rotation, its second harmonic, and the blades.
    amplitudes: [f32; 3],
    /// Angle between the axis and the first one, in radians.
    angle: f32,
    /// Deviation of the noise.
    noise: f32,
    /// Whether it lies across the shaft, where an imbalance is felt.
    is_across: bool,
}

const AXES: [Axis; CHANNELS] = [
    Axis { gravity: 0.0, amplitudes: [60.0, 18.0, 25.0], angle: 0.0, noise: 14.0, is_across: true },
    Axis { gravity: 0.0, amplitudes: [45.0, 12.0, 20.0], angle: 1.4, noise: 12.0, is_across: true },
    Axis {
        gravity: 1000.0,
        amplitudes: [10.0, 6.0, 30.0],
        angle: 0.6,
        noise: 16.0,
        is_across: false,
    },
];

/// What the fault multiplies the rotation's amplitude by.
const IMBALANCE: f32 = 1.25;

/// The machine: an endless signal.
pub struct Fan {
    phase: f32,
    random: ChaCha8Rng,
    /// Whether it has lost a piece of a blade.
    pub is_faulty: bool,
}

impl Fan {
    /// A machine without a fault; another seed is another hour of the same machine.
    pub fn new(seed: u64) -> Self {
        Self { phase: 0.0, random: ChaCha8Rng::seed_from_u64(seed), is_faulty: false }
    }

    /// The next sample, a [`RATE`]th of a second after the one before.
    pub fn sample(&mut self) -> Sample {
        let step = TAU * ROTATIONS / RATE as f32;
        self.phase += step + UNEVENNESS * self.noise();
        if self.phase >= TAU {
            self.phase -= TAU;
        }
        AXES.map(|axis| {
            let [rotation, harmonic, blades] = axis.amplitudes;
            let fault = if self.is_faulty && axis.is_across { IMBALANCE } else { 1.0 };
            let acceleration = axis.gravity
                + fault * rotation * sinf(self.phase + axis.angle)
                + harmonic * sinf(2.0 * self.phase + axis.angle)
                + blades * sinf(7.0 * self.phase + axis.angle)
                + axis.noise * self.noise();
            roundf(acceleration) as i16
        })
    }

    /// A number of mean 0 and variance 1 from the sum of four even ones, each of 256 steps.
    fn noise(&mut self) -> f32 {
        /// Of the sum: 4 times (256^2 - 1) / 12.
        const DEVIATION: f32 = 147.8;
        let sum: u16 = self.random.next_u32().to_le_bytes().into_iter().map(u16::from).sum();
        (f32::from(sum) - 510.0) / DEVIATION
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mean and root mean square about it of the first axis over ten seconds.
    fn moments(fan: &mut Fan, axis: usize) -> (f32, f32) {
        const SAMPLES: usize = 10 * RATE as usize;
        let (mut sum, mut squares) = (0.0, 0.0);
        for _ in 0..SAMPLES {
            let value = f32::from(fan.sample()[axis]);
            sum += value;
            squares += value * value;
        }
        let mean = sum / SAMPLES as f32;
        (mean, libm::sqrtf(squares / SAMPLES as f32 - mean * mean))
    }

    #[test]
    fn each_axis_has_the_mean_and_the_power_of_its_parts() {
        for (index, axis) in AXES.iter().enumerate() {
            let (mean, deviation) = moments(&mut Fan::new(7), index);
            let power: f32 = axis.amplitudes.iter().map(|a| a * a / 2.0).sum();
            let expected = libm::sqrtf(power + axis.noise * axis.noise);
            assert!((mean - axis.gravity).abs() < 1.5, "axis {index}: mean {mean}");
            assert!(
                (deviation - expected).abs() < 0.05 * expected,
                "axis {index}: deviation {deviation}, expected {expected}"
            );
        }
    }

    #[test]
    fn a_fault_is_felt_across_the_shaft_alone() {
        let (mut sound, mut faulty) = (Fan::new(3), Fan::new(3));
        faulty.is_faulty = true;
        for (axis, is_larger) in [(0, true), (1, true), (2, false)] {
            let ratio = moments(&mut faulty, axis).1 / moments(&mut sound, axis).1;
            assert_eq!(ratio > 1.08, is_larger, "axis {axis}: {ratio}");
        }
    }

    #[test]
    fn the_same_seed_is_the_same_signal() {
        let (mut one, mut same, mut other) = (Fan::new(1), Fan::new(1), Fan::new(2));
        let signals = [&mut one, &mut same, &mut other].map(|fan| [(); 100].map(|()| fan.sample()));
        assert_eq!(signals[0], signals[1]);
        assert_ne!(signals[0], signals[2]);
    }
}
