//! Stochastic gradient descent on a loss that is drawn anew at each step.
//!
//! AdamW without decay, gradients clipped by norm, the learning rate lowered to 0 along a cosine
//! (Loshchilov and Hutter 2017, "SGDR"), and the moving average of the weights kept (Polyak and
//! Juditsky 1992).

use burn::grad_clipping::GradientClippingConfig;
use burn::module::Module;
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::Tensor;

use crate::error::{Error, Result};
use crate::family;

/// Of the moving average of the weights, each step.
const AVERAGE_DECAY: f64 = 0.99;
/// Largest norm of a step's gradient.
const LARGEST_NORM: f32 = 5.0;
/// Steps in a row without a finite loss after which there is no hope.
const HOPELESS: usize = 20;

/// How long to descend, and how fast.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// Number of steps.
    pub steps: usize,
    /// At the start.
    pub learning_rate: f64,
}

impl Schedule {
    /// Of step `number`, from 0.
    fn learning_rate(&self, number: usize) -> f64 {
        let angle = std::f64::consts::PI * number as f64 / self.steps as f64;
        self.learning_rate * 0.5 * (1.0 + angle.cos())
    }
}

/// Takes the steps of `schedule` along the gradient of `loss`, shape \[1\], which is given the module
/// as it is. Returns the average of the module, without gradients. A step whose loss is no finite
/// number is left out.
pub fn descend<M: Module>(
    mut module: M,
    schedule: Schedule,
    mut loss: impl FnMut(&M) -> Tensor<1>,
) -> Result<M> {
    let mut averaged = module.valid();
    let mut optimizer = AdamWConfig::new()
        .with_weight_decay(0.0)
        .with_epsilon(1e-8)
        .with_grad_clipping(Some(GradientClippingConfig::Norm(LARGEST_NORM)))
        .init();
    let (mut taken, mut left_out) = (0.0, 0);
    for number in 0..schedule.steps {
        let loss = loss(&module);
        if !family::values(loss.clone().inner()).iter().all(|loss| loss.is_finite()) {
            left_out += 1;
            if left_out == HOPELESS.min(schedule.steps) {
                return Err(Error::NoGradient {
                    first: number + 2 - left_out,
                    last: number + 1,
                    learning_rate: schedule.learning_rate,
                });
            }
            continue;
        }
        left_out = 0;
        let gradients = GradientsParams::from_grads(loss.backward(), &module);
        module = optimizer.step(schedule.learning_rate(number), module, gradients);
        taken += 1.0;
        // Early steps weigh less, so that the start is soon forgotten.
        let decay = AVERAGE_DECAY.min((1.0 + taken) / (10.0 + taken));
        family::average(&mut averaged, &module, decay);
    }
    Ok(averaged)
}
