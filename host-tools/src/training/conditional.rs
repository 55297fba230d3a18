//! A shift and a scale of each feature given the context, in front of the flow.
//!
//! A machine's mean and spread differ between its operating points, by more than what its faults
//! change. Layers that have to learn that themselves, from the few rows of each point, stay behind a
//! Gaussian with each point's own moments. So an affine map of all features given the context alone
//! comes first ([`flowlet::bijection::Half::Both`]): its small network is trained by maximum
//! likelihood over Student-t densities, before the flow, and then fixed. A table of the moments at
//! each value of a context of few values was tried beside it, and is no better a detector: the
//! network's smooth curve rests on the rows of the neighbouring values too.

use flowlet::Periodic;
use flowlet::bijection::Half;
use flowlet::write::{Layer, Linear};

use crate::family::AFFINE;
use crate::training::transform::{self, Rows};

/// Gain of a feature's log-density on further rows, nats, below which the context is not asked.
const GAIN: f64 = 0.02;

/// The layer of `network`, without what does not gain on `further` rows, and what each feature gains,
/// nats; none where nothing gains. Features on circles stay where they are.
pub fn layer(
    network: &[Linear],
    further: Rows,
    periodic: Periodic,
) -> Option<(Layer, Vec<Option<f64>>)> {
    let gain = |feature: usize| {
        let alone = of_features(network, |own| own == feature);
        let gain = transform::gain(alone, feature, further);
        (gain >= GAIN && !periodic.contains(feature)).then_some(gain)
    };
    let gains: Vec<Option<f64>> = (0..further.features).map(gain).collect();
    let layer = of_features(network, |feature| gains[feature].is_some());
    gains.iter().any(Option::is_some).then_some((layer, gains))
}

/// The layer that maps the features that `is_mapped` names as the network says, and no other.
fn of_features(network: &[Linear], is_mapped: impl Fn(usize) -> bool) -> Layer {
    let mut network = network.to_vec();
    if let Some(Linear { rows, columns, weights, bias }) = network.last_mut() {
        // The shifts of all features, then their log-scales.
        let features = *rows / 2;
        for (row, (weights, bias)) in weights.chunks_mut(*columns).zip(bias).enumerate() {
            if !is_mapped(row % features) {
                weights.fill(0.0);
                *bias = 0.0;
            }
        }
    }
    Layer::Coupling { transformed: Half::Both, map: AFFINE, network }
}
