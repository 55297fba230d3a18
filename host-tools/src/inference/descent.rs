//! Stochastic gradient descent on a loss that is drawn anew at each step.
//!
//! The learning rate is lowered to 0 along a cosine (Loshchilov and Hutter 2017, "SGDR"), and the moving
//! average of the weights kept.

use burn::module::Module;
use burn::tensor::Tensor;

use crate::error::{Error, Result};
use crate::family;
use crate::training::averaged::Averaged;

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
    module: M,
    schedule: Schedule,
    mut loss: impl FnMut(&M) -> Tensor<1>,
) -> Result<M> {
    let mut module = Averaged::new(module);
    let mut left_out = 0;
    for number in 0..schedule.steps {
        let loss = loss(&module.module);
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
        module = module.step(loss, schedule.learning_rate(number));
    }
    Ok(module.average)
}
