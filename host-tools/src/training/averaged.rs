//! A module under training and the moving average of its weights (Polyak and Juditsky 1992), which is
//! what is validated and kept.
//!
//! AdamW without decay (Loshchilov and Hutter 2019), gradients clipped by norm.

use burn::grad_clipping::GradientClippingConfig;
use burn::module::Module;
use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::Tensor;

use crate::family;

/// Of the moving average, each step.
const DECAY: f64 = 0.99;
/// Largest norm of a step's gradient.
const LARGEST_NORM: f32 = 5.0;

/// A module and its average.
pub struct Averaged<M> {
    /// As the last step left it.
    pub module: M,
    /// Without gradients.
    pub average: M,
    optimizer: ModuleOptimizer,
    /// Taken so far.
    steps: f64,
}

impl<M: Module> Averaged<M> {
    /// Before the first step.
    pub fn new(module: M) -> Self {
        let average = module.valid();
        let optimizer = AdamWConfig::new()
            .with_weight_decay(0.0)
            .with_epsilon(1e-8)
            .with_grad_clipping(Some(GradientClippingConfig::Norm(LARGEST_NORM)))
            .init();
        Self { module, average, optimizer, steps: 0.0 }
    }

    /// Takes a step along the gradient of `loss`, shape \[1\]; gives the module as it is then.
    pub fn step(mut self, loss: Tensor<1>, learning_rate: f64) -> Self {
        let gradients = GradientsParams::from_grads(loss.backward(), &self.module);
        self.module = self.optimizer.step(learning_rate, self.module, gradients);
        self.steps += 1.0;
        // Early steps weigh less, so that the start is soon forgotten.
        let decay = DECAY.min((1.0 + self.steps) / (10.0 + self.steps));
        family::average(&mut self.average, &self.module, decay);
        self
    }
}
