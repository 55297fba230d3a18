//! `flowlet inspect`: what is in a model file, and what it costs on a device.

use std::io::Write;
use std::path::PathBuf;

use serde_json::{Map, json};

use crate::device::{self, MemberSummary, PeriodSummary};
use crate::error::Result;

/// Show what a model file holds and what it costs on a device.
///
/// Flash is the file's own size. RAM is the stack memory of one call on a 32-bit core, without
/// its frames: three rows of D floats (two where the Cargo feature `spline` is off), the context, and
/// 18 bytes for each unit of the widest layer. The flows of an ensemble use it one after the other,
/// and their costs add up.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Model file.
    model: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<()> {
    let file = device::read(&arguments.model)?;
    let mut device = device::open(&file, &arguments.model.display().to_string())?;
    let vectors = device.self_test()?;
    let summary = device.summary();
    let threshold = device.threshold();
    let math = if summary.math == "libm" { "Libm" } else { "Micromath" };
    let rest = match (summary.context.len(), math) {
        (0, "Libm") => String::new(),
        (0, math) => format!(", {math}"),
        (context, math) => format!(", {math}, {context}"),
    };
    let firmware = format!(
        "let flow = Flow::<{}, {}{rest}>::from_bytes(include_model!(\"{}\"))?;",
        summary.features.len(),
        summary.width,
        arguments.model.file_name().unwrap_or_default().display()
    );
    let features: Vec<_> =
        summary.cargo_features.iter().map(|name| format!("\"{name}\"")).collect();
    let cargo = format!(
        "flowlet = {{ version = \"{}\", default-features = false, features = [{}] }}",
        env!("CARGO_PKG_VERSION"),
        features.join(", ")
    );
    let mut output = std::io::stdout().lock();
    if arguments.json {
        let provenance: Map<_, _> =
            summary.provenance.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
        let value = json!({
            "features": summary.features,
            "context": summary.context,
            "periodic": summary.periodic,
            "members": summary.members,
            "combination": summary.combination,
            "width": summary.width,
            "parameters": summary.parameters,
            "multiply_adds": summary.multiply_adds,
            "flash_bytes": file.bytes().len(),
            "ram_bytes": summary.ram_bytes,
            "math": summary.math,
            "threshold": threshold.map(|threshold| json!({
                "score": threshold.score,
                "false_alarm_rate": threshold.false_alarm_rate,
                "rows": threshold.rows,
            })),
            "self_test_vectors": vectors,
            "provenance": provenance,
            "cargo": cargo,
            "firmware": firmware,
        });
        let text = serde_json::to_string_pretty(&value).map_err(std::io::Error::from)?;
        writeln!(output, "{text}")?;
        return Ok(());
    }
    writeln!(output, "features        {}", summary.features.join(", "))?;
    if !summary.context.is_empty() {
        writeln!(output, "given           {}", summary.context.join(", "))?;
    }
    for PeriodSummary { feature, low, high } in &summary.periodic {
        writeln!(output, "periodic        {feature}, {low} to {high}")?;
    }
    if let Some(combination) = &summary.combination {
        writeln!(output, "ensemble        {combination}")?;
    }
    for (number, member) in summary.members.iter().enumerate() {
        if summary.combination.is_some() {
            let MemberSummary { parameters, multiply_adds, .. } = member;
            writeln!(
                output,
                "flow {number:<10} {parameters} parameters, {multiply_adds} multiply-adds a row"
            )?;
        }
        for (number, layer) in member.layers.iter().enumerate() {
            writeln!(output, "layer {number:<9} {layer}")?;
        }
        writeln!(output, "base            {}", member.base)?;
    }
    writeln!(output, "parameters      {}", summary.parameters)?;
    writeln!(output, "multiply-adds   {} a row", summary.multiply_adds)?;
    writeln!(output, "flash           {} bytes", file.bytes().len())?;
    writeln!(output, "RAM             {} bytes of stack a call", summary.ram_bytes)?;
    writeln!(output, "math            {}", summary.math)?;
    match threshold {
        Some(t) => writeln!(
            output,
            "threshold       {} (false-alarm rate {}, from {} rows)",
            t.score, t.false_alarm_rate, t.rows
        )?,
        None => writeln!(output, "threshold       none")?,
    }
    writeln!(output, "self-test       {vectors} vectors, all with the bits in the file")?;
    for (key, value) in &summary.provenance {
        writeln!(output, "{key:<15} {value}")?;
    }
    writeln!(output, "Cargo.toml      {cargo}")?;
    writeln!(output, "firmware        {firmware}")?;
    Ok(())
}
