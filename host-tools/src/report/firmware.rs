//! The lines that bring a model into a firmware.

use std::path::Path;

use crate::device::Summary;
use crate::inspect;
use crate::message::excerpt;

/// Most features that a comment names.
const NAMED: usize = 12;

/// What to copy.
pub struct Lines {
    /// The dependency of Cargo.toml.
    pub cargo: String,
    /// The code that loads the file and judges a row.
    pub code: String,
}

impl Lines {
    /// For the model in the file at `path`.
    pub fn of(summary: &Summary, path: &Path) -> Self {
        let is_latent = summary.latent.is_some();
        let (shell, name) = if is_latent { ("Latent", "latent") } else { ("Flow", "flow") };
        let (features, context) = (summary.features.len(), summary.context.len());
        let math = if summary.math == "libm" { "" } else { "Micromath, " };
        // Of a context the shell names the arithmetic too.
        let math = if context > 0 && math.is_empty() { "Libm, " } else { math };
        let mut lines = vec![
            format!("use flowlet::{{{shell}, {math}include_model}};"),
            String::new(),
            inspect::firmware(summary, path),
            format!("{name}.self_test()?; // the host's scores, to the last bit"),
        ];
        let comment = |names: &[String]| {
            let shown: Vec<String> = names.iter().take(NAMED).map(|own| excerpt(own)).collect();
            let more = if names.len() > NAMED { ", …" } else { "" };
            format!("// {}{more}", shown.join(", "))
        };
        let has_offset = summary.columns.iter().any(|column| column.offset != 0.0);
        lines.push(comment(&summary.features));
        lines.push(match has_offset {
            false => format!("let row: [f32; {features}] = read_sensors();"),
            true => format!("let raw: [f64; {features}] = read_sensors();"),
        });
        if has_offset {
            lines.push(format!(
                "let row: [f32; {features}] = core::array::from_fn(|i| (raw[i] - {name}.offset(i)) as f32);"
            ));
        }
        let mut judge = name.to_owned();
        if context > 0 {
            lines.push(comment(&summary.context));
            let less = match has_offset {
                true => format!(" // less {name}.offset({features}) and so on"),
                false => String::new(),
            };
            lines.push(format!("let context: [f32; {context}] = read_context();{less}"));
            judge = format!("{name}.given(&context)");
        }
        let blame = match is_latent {
            false => format!(
                "let blame = {judge}.attribute(&row)?; // what each feature adds to the score"
            ),
            true => format!(
                "let blame = {judge}.residuals(&row)?; // how far each feature is off, in deviations"
            ),
        };
        lines.extend([
            format!("if {judge}.is_anomaly(&row)? {{"),
            format!("    let p_value = {name}.p_value({judge}.score(&row)?)?; // so many normal rows look as odd"),
            format!("    {blame}"),
            "    report(p_value, blame);".into(),
            "}".into(),
        ]);
        Self { cargo: inspect::cargo(summary), code: lines.join("\n") }
    }
}
