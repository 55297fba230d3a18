//! From trained flows to the bytes of their file.

use flowlet::write::{self, Description, ModelFile};

use crate::device;
use crate::error::Result;
use crate::message::escape;
use crate::rows::split::Split;
use crate::rows::standardise::Column;
use crate::training::calibrate;
use crate::training::ensemble::{Combine, Member};

/// Self-test vectors in a file.
const VECTORS: usize = 4;

/// Writes the file of `members`, the last `context` columns their context, with a threshold from
/// the rows of `split` and self-test vectors.
///
/// Both are computed by the device's code from the file's own first form.
pub fn export(
    (members, combine): (&[Member], Combine),
    columns: &[Column],
    context: usize,
    math: u32,
    split: &Split,
    false_alarm_rate: f64,
    provenance: &[(&str, String)],
) -> Result<ModelFile> {
    let mut description = describe((members, combine), columns, context);
    description.math = math;
    // A name that holds a line break must not make a line of its own.
    description.provenance =
        provenance.iter().map(|(key, value)| format!("{key}={}\n", escape(value))).collect();
    let draft = description.to_file();
    let mut device = device::open(&draft, "the trained model")?;
    let Split { training, held_out, .. } = split;
    description.threshold =
        Some(calibrate::threshold(&mut *device, training, held_out, false_alarm_rate)?);
    let far: Vec<f32> = columns.iter().map(|c| c.feature.centre + 30.0 * c.feature.scale).collect();
    let vectors = held_out.single_rows().take(VECTORS - 1).chain([far]);
    for row in vectors.filter(|row| row.iter().all(|value| value.is_finite())) {
        let log_density = device.log_density(&row)?;
        description.self_test.push((row, log_density));
    }
    let file = description.to_file();
    device::open(&file, "the finished model")?.self_test()?;
    Ok(file)
}

/// The file of `members` without what rows tell: no threshold and no vectors.
pub fn draft(members: &[Member], columns: &[Column], context: usize) -> ModelFile {
    describe((members, Combine::default()), columns, context).to_file()
}

/// The flows alone.
fn describe(
    (members, combine): (&[Member], Combine),
    columns: &[Column],
    context: usize,
) -> Description {
    let mut features: Vec<_> = columns.iter().map(|column| column.feature.clone()).collect();
    let context = features.split_off(columns.len() - context);
    // All were trained on rows of one standardisation.
    let mut flows = members.iter().map(|Member { fitted, .. }| {
        let (layers, base) = fitted.flow.export();
        (fitted.transform.layers().iter().cloned().chain(layers).collect(), base)
    });
    let (layers, base) = flows.next().unwrap_or_default();
    let other = |(layers, base)| write::Member {
        features: features.clone(),
        context: context.clone(),
        layers,
        base,
    };
    let others = flows.map(other).collect();
    let combination = combine.of(members.len());
    Description { features, context, layers, base, others, combination, ..Description::default() }
}
