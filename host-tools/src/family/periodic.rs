//! The trainable twin of `flowlet::periodic`; the formula and its source stand there.

use burn::tensor::Tensor;
use flowlet::Periodic;

/// u, a whole number of periods away, in [-1, 1).
pub fn wrap(u: Tensor<2>) -> Tensor<2> {
    let periods = ((u.clone().detach() + 1.0) * 0.5).floor();
    u - periods * 2.0
}

fn parabola(u: Tensor<2>) -> Tensor<2> {
    let t = wrap(u);
    t.clone() * 4.0 * (-t.abs() + 1.0)
}

/// What a network sees of `values`, shape [rows, n]: two columns for each periodic one.
pub fn seen(values: Tensor<2>, periodic: Periodic) -> Tensor<2> {
    if periodic.is_empty() {
        return values;
    }
    let columns = (0..values.dims()[1]).flat_map(|feature| {
        let own = values.clone().narrow(1, feature, 1);
        match periodic.contains(feature) {
            true => vec![parabola(own.clone()), parabola(own + 0.5)],
            false => vec![own],
        }
    });
    Tensor::cat(columns.collect(), 1)
}
