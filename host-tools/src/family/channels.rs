//! Channels of the positions of an image: a row holds all positions of one channel, then those of
//! the next.

use burn::tensor::Tensor;

/// The channels of each position of each row, shape [rows, channels x positions] to
/// [rows x positions, channels].
pub fn channels_last(x: Tensor<2>, positions: usize) -> Tensor<2> {
    let [rows, values] = x.dims();
    let channels = values / positions;
    x.reshape([rows, channels, positions]).swap_dims(1, 2).reshape([rows * positions, channels])
}

/// The inverse of [`channels_last`].
pub fn channels_first(x: Tensor<2>, positions: usize) -> Tensor<2> {
    let [lines, channels] = x.dims();
    let rows = lines / positions;
    x.reshape([rows, positions, channels]).swap_dims(1, 2).reshape([rows, channels * positions])
}
