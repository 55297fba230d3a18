//! Random numbers for samples of the model.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// ChaCha8 from a seed of the board's own generator.
///
/// flowlet draws through `rand_core` 0.10. Some boards' crates know older versions of it, whose
/// traits are other traits: a seed of bytes needs none of them, and takes the hardware's slow
/// generator once.
pub fn generator(seed: [u8; 32]) -> ChaCha8Rng {
    ChaCha8Rng::from_seed(seed)
}
