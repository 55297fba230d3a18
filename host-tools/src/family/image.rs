//! Glow for small images: the multi-scale architecture (Dinh et al. 2017, "Density estimation using
//! Real NVP", section 3.6; Kingma and Dhariwal 2018, "Glow", section 3).
//!
//! A level squeezes the image, so that the pixels of each 2 x 2 block become channels of one
//! position, and takes steps of act-norm a channel, 1 x 1 convolution over the channels and affine
//! coupling of one half of the channels given the other. Between two levels the image is split:
//! half of its channels go on, the others go straight to the base. There are as many levels as
//! height and width can be halved.
//!
//! A row of the CSV file holds the image line by line, each pixel's channels side by side. The
//! permutation that squeezes it brings it into the layout of the device: all positions of channel
//! 0, line by line, then those of channel 1 and so on. So halves of the channels are halves of the
//! row, and what goes on comes first. A block's pixels stand in the order of its two diagonals,
//! whose halves make a chessboard.

use std::fmt;
use std::str::FromStr;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use flowlet::Periodic;
use flowlet::write;
use rand_chacha::ChaCha8Rng;

use super::act_norm::ActNorm;
use super::coupling::Coupling;
use super::lu_linear::LuLinear;
use super::permutation::Permutation;
use super::scalar::AFFINE;
use super::{Layer, Sizes, alternating};

/// Pixels (line, column) of a block, in the order of their channels.
const BLOCK: [(usize, usize); 4] = [(0, 0), (1, 1), (0, 1), (1, 0)];

/// The shape of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Image {
    height: usize,
    width: usize,
    channels: usize,
}

impl Image {
    /// Steps of a level unless the user says otherwise.
    pub const DEFAULT_STEPS: usize = 8;
    /// Widths of the hidden layers of a coupling, narrower than elsewhere since there are more.
    pub const DEFAULT_HIDDEN: [usize; 2] = [32, 32];

    /// An image that can be squeezed once, if the shape is one.
    pub fn new(height: usize, width: usize, channels: usize) -> Option<Self> {
        let image = Self { height, width, channels };
        let sides = [height, width, channels];
        let fits = sides.iter().all(|side| (1..=flowlet::MAX_FEATURES).contains(side));
        (fits && image.can_be_squeezed() && image.values() <= flowlet::MAX_FEATURES)
            .then_some(image)
    }

    /// Values of a row.
    pub fn values(self) -> usize {
        self.height * self.width * self.channels
    }

    fn positions(self) -> usize {
        self.height * self.width
    }

    fn can_be_squeezed(self) -> bool {
        self.height.is_multiple_of(2) && self.width.is_multiple_of(2)
    }

    fn squeezed(self) -> Self {
        let Self { height, width, channels } = self;
        Self { height: height / 2, width: width / 2, channels: BLOCK.len() * channels }
    }

    /// Where each value of the squeezed image lies in this one, in which a value lies `at` its
    /// line, column and channel.
    fn squeeze(self, at: impl Fn(usize, usize, usize) -> usize) -> Vec<usize> {
        let Self { height, width, channels } = self.squeezed();
        let mut order = Vec::new();
        for channel in 0..channels {
            let (line, column) = BLOCK[channel / self.channels];
            let channel = channel % self.channels;
            for y in 0..height {
                order.extend((0..width).map(|x| at(2 * y + line, 2 * x + column, channel)));
            }
        }
        order
    }
}

/// As on the command line.
impl fmt::Display for Image {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "{}x{}x{}", self.height, self.width, self.channels)
    }
}

impl FromStr for Image {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let sides: Vec<usize> = text.split('x').map_while(|side| side.parse().ok()).collect();
        let image = match sides[..] {
            [height, width, channels] if text.split('x').count() == 3 => {
                Self::new(height, width, channels)
            }
            _ => None,
        };
        image.ok_or_else(|| {
            format!(
                "expected height, width and channels, such as 8x8x1, height and width even, \
                 at most {} values",
                flowlet::MAX_FEATURES
            )
        })
    }
}

/// The end of a level: only the first values of the row go on.
#[derive(Module, Debug)]
pub struct Split {
    mapped: usize,
}

impl Split {
    /// What goes on of x, shape [rows, n], and log |det dz/dx|, which is 0.
    pub fn inverse(&self, x: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let (rows, device) = (x.dims()[0], x.device());
        (x.narrow(1, 0, self.mapped), Tensor::zeros([rows, 1], &device))
    }

    /// What does not.
    pub fn rest(&self, x: &Tensor<2>) -> Tensor<2> {
        x.clone().narrow(1, self.mapped, x.dims()[1] - self.mapped)
    }

    /// Values that go on.
    pub fn mapped(&self) -> usize {
        self.mapped
    }

    /// The split as the device's file holds it.
    pub fn export(&self) -> write::Layer {
        write::Layer::Split(self.mapped)
    }
}

/// The layers of a flow over images, with so many steps a level.
pub fn levels(
    image: Image,
    steps: usize,
    context: usize,
    hidden: &[usize],
    random: &mut ChaCha8Rng,
    device: &Device,
) -> Vec<Layer> {
    let Image { width, channels, .. } = image;
    let mut layers = Vec::new();
    let mut level = image;
    let mut order = image.squeeze(|y, x, channel| (y * width + x) * channels + channel);
    loop {
        layers.push(Layer::Permutation(Permutation::new(order)));
        level = level.squeezed();
        let periodic = Periodic::default();
        let sizes = Sizes { features: level.values(), context, periodic };
        for number in 0..steps {
            let half = alternating(number);
            let coupling = Coupling::new(half, AFFINE, sizes, hidden, random, device);
            layers.push(Layer::ActNorm(ActNorm::new(level.channels, level.positions(), device)));
            layers.push(Layer::LuLinear(LuLinear::new(level.channels, random, device)));
            layers.push(Layer::Coupling(coupling));
        }
        if !level.can_be_squeezed() {
            return layers;
        }
        level.channels /= 2;
        layers.push(Layer::Split(Split { mapped: level.values() }));
        let Image { height, width, .. } = level;
        order = level.squeeze(|y, x, channel| (channel * height + y) * width + x);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each position of a squeezed image holds the pixels of one block, each value once.
    #[test]
    fn a_squeezed_image_holds_a_block_at_each_position() {
        for shape in ["2x2x1", "2x4x3", "6x2x5", "4x4x4", "8x8x1"] {
            let image: Image = shape.parse().expect("a shape");
            let Image { width, channels, .. } = image;
            let order = image.squeeze(|y, x, channel| (y * width + x) * channels + channel);
            let squeezed = image.squeezed();
            for (value, from) in order.iter().enumerate() {
                let position = value % squeezed.positions();
                let (pixel, channel) = (from / channels, from % channels);
                assert_eq!(channel, value / squeezed.positions() % channels, "{shape}");
                let block = (pixel / width / 2, pixel % width / 2);
                assert_eq!(
                    block,
                    (position / squeezed.width, position % squeezed.width),
                    "{shape}"
                );
            }
            let mut sorted = order;
            sorted.sort_unstable();
            assert!(sorted.into_iter().eq(0..image.values()), "{shape}");
        }
    }

    /// The levels that the module's documentation promises.
    #[test]
    fn half_of_the_channels_goes_on_until_a_side_is_odd() {
        let mapped = |shape: &str| {
            let image = shape.parse().expect("a shape");
            let random = &mut rand::SeedableRng::seed_from_u64(0);
            let layers = levels(image, 1, 0, &[2], random, &Device::flex());
            let splits = layers.into_iter().filter_map(|layer| match layer {
                Layer::Split(split) => Some(split.mapped),
                _ => None,
            });
            splits.collect::<Vec<_>>()
        };
        assert_eq!(mapped("8x8x1"), [32, 16]);
        assert_eq!(mapped("4x4x4"), [32]);
        assert_eq!(mapped("2x8x2"), [0; 0]);
        assert_eq!(mapped("6x6x1"), [0; 0]);
    }

    #[test]
    fn what_is_no_small_image_is_refused() {
        for text in
            ["", "8x8", "8x8x", "8x8x1x1", "8x8x1x", "axbxc", "3x4x1", "4x3x1", "8x8x2", "0x2x2"]
        {
            assert!(text.parse::<Image>().is_err(), "{text}");
        }
        assert_eq!("4x2x8".parse::<Image>().map(|image| image.to_string()), Ok("4x2x8".into()));
    }
}
