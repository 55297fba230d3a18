//! What a model file says of its making: no time, path or host, so that it repeats byte for byte.

use std::time::Duration;

use super::job::{Job, Trained};
use crate::device;
use crate::rows::split::Division;
use crate::rows::standardise::Spread;
use crate::training::curve;
use crate::training::ensemble::Member;
use crate::training::fit::Fitted;
use crate::training::transform::Transform;

/// Keys of the flows of an ensemble.
const FLOWS: [&str; flowlet::MAX_MEMBERS] = ["flow_0", "flow_1", "flow_2", "flow_3"];

/// Key and value of each fact.
pub fn of(job: &Job, trained: &Trained) -> Vec<(&'static str, String)> {
    let arguments = job.arguments;
    let mut facts = of_rows(job, &trained.family, trained.time_limit, trained.out_of_time);
    let members = trained.members();
    if let [Member { fitted: Fitted { best, epochs, .. }, .. }] = &members[..] {
        if *epochs > 0 {
            facts.push(("epochs", format!("{} of {epochs}", best.number)));
        }
        let fact = |key, loss: f64| (key, format!("{:.4}", -loss));
        facts.push(fact("training_log_density", best.training_loss));
        facts.push(fact("validation_log_density", best.validation_loss));
    } else {
        facts.push(("ensemble", format!("mixture of {} flows", members.len())));
        facts.extend(FLOWS.into_iter().zip(members.iter().map(Member::provenance)));
    }
    facts.push(("noise", arguments.noise.to_string()));
    let spread = job.rows.columns.iter().filter(|column| column.spread != Spread::Nothing);
    let spread: Vec<_> = spread.map(|column| column.feature.name.as_str()).collect();
    facts.push(("dequantised", spread.join(",")));
    if let [Member { fitted, .. }, ..] = &members[..] {
        facts.extend(of_transform(job, &fitted.transform));
    }
    facts.extend(arguments.image.map(|image| ("image", image.to_string())));
    let curves = members.iter().map(|own| own.fitted.curve.thinned(own.fitted.best.number));
    let curves = curve::KEYS.into_iter().zip(curves.map(|curve| curve.to_string()));
    facts.extend(curves.filter(|(_, curve)| !curve.is_empty()));
    facts
}

/// What of the making holds for every family.
pub fn of_rows(
    job: &Job,
    family: &str,
    time_limit: Option<Duration>,
    out_of_time: bool,
) -> Vec<(&'static str, String)> {
    let divided = match job.arguments.split {
        Division::Blocks => "blocks",
        Division::Random => "random",
    };
    let split = &job.rows.split;
    let bytes: Vec<u8> =
        split.training.single_rows().flatten().flat_map(f32::to_le_bytes).collect();
    let mut facts = vec![
        ("tool", format!("flowlet {}", env!("CARGO_PKG_VERSION"))),
        ("family", family.to_owned()),
        ("seed", job.arguments.seed.to_string()),
        ("split", divided.to_owned()),
        ("training_rows", split.training.lines.len().to_string()),
        ("early_stopping_rows", split.early_stopping.lines.len().to_string()),
        ("held_out_rows", split.held_out.lines.len().to_string()),
        ("training_crc32c", format!("{:08x}", flowlet::file::checksum(&bytes))),
    ];
    if let Some(segment) = &job.arguments.signal.segment {
        facts.push((device::SEGMENT, segment.clone()));
    }
    facts.extend(job.rows.facts.iter().cloned());
    facts.extend(job.arguments.alarms.fact().map(|asked| ("false_alarms", asked)));
    if let Some(limit) = time_limit {
        let limit = humantime::format_duration(limit);
        let how = if out_of_time { "reached, another run may differ" } else { "not reached" };
        facts.push(("time_limit", format!("{limit}, {how}")));
    }
    facts
}

/// What stands in front of the first flow; the others' are fitted to the same rows.
pub fn of_transform(job: &Job, transform: &Transform) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    let given = transform.context_gains.iter().filter(|gain| gain.is_some()).count();
    if given > 0 {
        facts.push(("given_context", format!("{given} features shift and scale")));
    }
    let transformed = job.rows.columns.iter().zip(&transform.gains);
    let transformed: Vec<_> = transformed
        .filter(|(_, gain)| gain.is_some())
        .map(|(column, _)| column.feature.name.as_str())
        .collect();
    if !transformed.is_empty() {
        facts.push(("marginal", transformed.join(",")));
    }
    if transform.is_whitening() {
        facts.push(("whitened", "yes".into()));
    }
    facts
}
