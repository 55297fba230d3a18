//! The twin of `flowlet::bijection::Permutation`, which has nothing to train.

use burn::module::Module;
use burn::tensor::{Int, Tensor, TensorData};
use flowlet::write;

/// A fixed permutation.
#[derive(Module, Debug)]
pub struct Permutation {
    /// z_i = x_order(i).
    order: Vec<usize>,
}

impl Permutation {
    /// From its order.
    pub fn new(order: Vec<usize>) -> Self {
        Self { order }
    }

    /// x to z, shape [rows, D], and log |det dz/dx|, shape [rows, 1].
    pub fn inverse(&self, x: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        select(x, &self.order)
    }

    /// z to x, shape [rows, D], and log |det dx/dz|, shape [rows, 1].
    pub fn forward(&self, z: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let mut back: Vec<usize> = (0..self.order.len()).collect();
        back.sort_unstable_by_key(|place| self.order[*place]);
        select(z, &back)
    }

    /// The permutation as the device's file holds it.
    pub fn export(&self) -> write::Layer {
        write::Layer::Permutation(self.order.iter().map(|from| *from as u32).collect())
    }
}

fn select(row: Tensor<2>, order: &[usize]) -> (Tensor<2>, Tensor<2>) {
    let ([rows, features], device) = (row.dims(), row.device());
    let order: Vec<i64> = order.iter().map(|from| *from as i64).collect();
    let order = Tensor::<1, Int>::from_data(TensorData::new(order, [features]), &device);
    (row.select(1, order), Tensor::zeros([rows, 1], &device))
}
