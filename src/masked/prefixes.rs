//! A masked network with all features given, computed by the code of networks that have no masks: each
//! of its blocks sees the first so many inputs.
//!
//! [`Masked::run`] lists a layer's units while it computes them, which saves a few cycles and takes 3 KiB
//! of code. The firmware of a latent model has the other code anyway, for its encoder and decoder. Both
//! give the same bits.

use super::Masked;
use crate::kernel::Inputs;
use crate::network::{Layers, Outputs, Scratch};

impl<'m> Masked<'m> {
    /// Runs the hidden layers; the output layer is run by [`Outputs`] as it is read.
    pub(crate) fn run_prefixes<'s>(
        &self,
        inputs: Inputs,
        scratch: &'s mut Scratch<'_>,
    ) -> Outputs<'m, 's> {
        let (counts, weights) = self.counts_and_weights();
        Layers { counts, columns: 0, weights }.run(self.hidden(), inputs, scratch, |_| ())
    }
}

#[cfg(all(
    test,
    feature = "autoregressive",
    feature = "mixture",
    feature = "spline",
    feature = "student-t",
    feature = "write"
))]
mod tests {
    use super::*;
    use crate::bijection::Layer;
    use crate::kernel::{Block, Units};
    use crate::scalar::Outputs;
    use crate::write::ModelFile;
    use crate::{Libm, Model};
    use alloc::vec;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    const FILES: [&[u8]; 4] = [
        include_bytes!("../../tests/golden/autoregressive.flow"),
        include_bytes!("../../tests/golden/autoregressive_given_z.flow"),
        include_bytes!("../../tests/golden/context.flow"),
        include_bytes!("../../tests/golden/circular.flow"),
    ];

    proptest! {
        /// Whatever share of the units is open.
        #[test]
        fn the_outputs_are_those_of_listed_units(
            file in 0..FILES.len(),
            seen in proptest::collection::vec(-30f32..30.0, 24),
        ) {
            let file = ModelFile::new(FILES[file]);
            let model = Model::<Libm>::from_bytes(file.bytes()).expect("a golden file");
            let layers = model.members().iter().flat_map(|member| member.layers());
            let networks: Vec<_> = layers
                .filter_map(|layer| match layer {
                    Layer::Autoregressive(layer) => Some(*layer.network()),
                    _ => None,
                })
                .collect();
            prop_assert!(!networks.is_empty());
            let (context, row) = seen.split_at(model.context());
            for network in networks {
                let features = network.degrees.features;
                let row = &row[..features + network.periodic().count(features)];
                let mut values = [(); 3].map(|()| vec![0.0; network.width()]);
                let mut numbers = [(); 3].map(|()| vec![0; network.width()]);
                let ([a, b, c], [k, l, m]) = (&mut values, &mut numbers);
                let mut scratch = [Units::new(a, k), Units::new(b, l), Units::new(c, m)];
                let mut listed = vec![Block::default(); network.output_blocks()];
                let mut prefixes = listed.clone();
                network.run(context, row, &mut scratch).read(&mut listed);
                network.run_prefixes(Inputs::given(context, row), &mut scratch).read(&mut prefixes);
                let bits = |blocks: &[Block]| {
                    blocks.as_flattened().iter().map(|own| own.to_bits()).collect::<Vec<_>>()
                };
                prop_assert_eq!(bits(&listed), bits(&prefixes));
            }
        }
    }
}
