//! `flowlet inspect`: what is in a model file, and what it costs on a device.

use std::path::{Path, PathBuf};

use flowlet::detector::{Detector, Sensor};
use flowlet::signal::{Detrending, Recipe, Taper};
use flowlet::tally::Tally;
use flowlet::{Calibration, MAX_FEATURES, Tail, Threshold};
use serde_json::{Map, Value, json};

use crate::cost::board::{self, Board};
use crate::cost::{self, Core, Cost};
use crate::device::{self, ColumnSummary, MemberSummary, PeriodSummary, Summary};
use crate::error::Result;
use crate::latent::device::{LatentSummary, describe_flows};
use crate::message::escape;
use crate::output;
use crate::training::alarms;
use crate::training::curve;

/// Show what a model file holds and what it costs on a device.
///
/// Flash is the file's own size. RAM is the stack memory of one call on a 32-bit core, without
/// its frames: three rows of D floats (two where the Cargo feature `spline` is off), the context, and
/// 18 bytes for each unit of the widest layer. The flows of an ensemble use it one after the other,
/// and their costs add up. Cycles are those of a score in the mean over rows that the model draws,
/// predicted from what was measured on such cores, without wait states of the flash.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Model file.
    model: PathBuf,
    /// What it takes of a board as well, by name; `flowlet boards` lists them.
    #[arg(long, value_name = "NAME", value_parser = board::parser(), hide_possible_values = true)]
    board: Option<&'static Board>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// All that is known of a file.
struct Facts<'m> {
    summary: Summary,
    thresholds: Vec<Threshold>,
    tail: Option<Tail>,
    /// None too where the calibration has too few rows for one.
    detector: Option<Detector<'m, MAX_FEATURES>>,
    flash_bytes: usize,
    self_test_vectors: usize,
    /// What one score takes.
    tally: Tally,
    board: Option<&'static Board>,
    /// The dependency of a firmware's Cargo.toml.
    cargo: String,
    /// The line of a firmware that loads the file.
    firmware: String,
    /// How rows come from a raw signal, by name.
    signal: Option<Vec<(&'static str, String)>>,
    /// The line of a firmware that makes its window.
    window: Option<String>,
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<()> {
    let file = device::read(&arguments.model)?;
    let mut device = device::open(&file, &arguments.model.display().to_string())?;
    let self_test_vectors = device.self_test()?;
    let summary = device.summary();
    let recipe = device::recipe(&file);
    let facts = Facts {
        signal: recipe.as_ref().map(describe_signal),
        window: recipe.map(|recipe| window(&recipe, summary.context.len())),
        cargo: cargo(&summary),
        firmware: firmware(&summary, &arguments.model),
        thresholds: device.calibration().iter().flat_map(Calibration::thresholds).collect(),
        tail: device.calibration().and_then(|calibration| calibration.tail()),
        detector: device::detector(&file, &arguments.model.display().to_string()).ok(),
        flash_bytes: file.bytes().len(),
        self_test_vectors,
        tally: cost::tally_of_draws(&mut *device)?,
        board: arguments.board,
        summary,
    };
    output::print(&if arguments.json { facts.json() } else { facts.text() })
}

/// The dependency of a firmware's Cargo.toml.
pub fn cargo(summary: &Summary) -> String {
    let features: Vec<_> =
        summary.cargo_features.iter().map(|name| format!("\"{name}\"")).collect();
    format!(
        "flowlet = {{ version = \"{}\", default-features = false, features = [{}] }}",
        env!("CARGO_PKG_VERSION"),
        features.join(", ")
    )
}

/// The line of a firmware that loads the file at `path`.
pub fn firmware(summary: &Summary, path: &Path) -> String {
    let math = if summary.math == "libm" { "Libm" } else { "Micromath" };
    let rest = match (summary.context.len(), math) {
        (0, "Libm") => String::new(),
        (0, math) => format!(", {math}"),
        (context, math) => format!(", {math}, {context}"),
    };
    let (features, width) = (summary.features.len(), summary.width);
    let made = match &summary.latent {
        None => format!("flow = Flow::<{features}, {width}{rest}>"),
        Some(LatentSummary { latents, .. }) => {
            format!("latent = Latent::<{features}, {latents}, {width}{rest}>")
        }
    };
    let name = path.file_name().unwrap_or_default().display().to_string();
    format!("let {made}::from_bytes(include_model!({name:?}))?;")
}

impl Facts<'_> {
    fn cost(&self, core: Core) -> Cost {
        Cost::of(&self.summary, self.flash_bytes, &self.tally, core)
    }

    fn json(&self) -> String {
        let Self { summary, .. } = self;
        let mut provenance = Map::new();
        for (key, value) in &summary.provenance {
            // Of a key twice, the first is the tool's own.
            provenance.entry(key).or_insert_with(|| json!(value));
        }
        let mut value = json!({
            "features": summary.features,
            "context": summary.context,
            "columns": summary.columns,
            "periodic": summary.periodic,
            "members": summary.members,
            "shares": summary.shares,
            "score": summary.score,
            "balances": summary.balances,
            "width": summary.width,
            "parameters": summary.parameters,
            "multiply_adds": summary.multiply_adds,
            "flash_bytes": self.flash_bytes,
            "ram_bytes": summary.ram_bytes,
            "cost": Core::ALL.map(|core| json!({ "core": core.name(), "cost": self.cost(core) })),
            "board": self.board.map(|board| {
                let cost = self.cost(board.timing);
                json!({
                    "board": board,
                    "cost": cost,
                    "microseconds": board.microseconds(cost.cycles),
                })
            }),
            "math": summary.math,
            "threshold": self.thresholds.first().map(threshold),
            "thresholds": self.thresholds.iter().map(threshold).collect::<Vec<_>>(),
            "tail": self.tail.map(|tail| json!({
                "start": tail.start,
                "scale": tail.scale,
                "shape": tail.shape,
                "shape_error": tail.shape_error,
                "share": tail.share,
            })),
            "detector": self.detector.as_ref().map(detector),
            "self_test_vectors": self.self_test_vectors,
            "provenance": provenance,
            "cargo": self.cargo,
            "firmware": self.firmware,
        });
        if let Some(signal) = &self.signal {
            value["signal"] = signal
                .iter()
                .map(|(key, fact)| ((*key).into(), json!(fact)))
                .collect::<Map<_, _>>()
                .into();
            value["window"] = json!(self.window);
        }
        if let Some(latent) = &summary.latent {
            value["latent"] = json!(latent);
        }
        format!("{value:#}\n")
    }

    /// One fact a line; the curves of a training are for `flowlet report`.
    fn text(&self) -> String {
        let Self { summary, .. } = self;
        let own = self.own_lines().into_iter();
        let is_curve = |key: &str| curve::KEYS.contains(&key);
        let provenance = summary.provenance.iter().filter(|(key, _)| !is_curve(key)).cloned();
        let code = [("Cargo.toml", &self.cargo), ("firmware", &self.firmware)];
        let code = code.map(|(name, line)| (name.to_string(), line.clone()));
        let line =
            |(name, fact): (String, String)| format!("{:<15} {}\n", escape(&name), escape(&fact));
        let window = self.window.iter().map(|line| (String::new(), line.clone()));
        own.chain(provenance).chain(code).chain(window).map(line).collect()
    }

    /// What the tool itself knows of the file.
    fn own_lines(&self) -> Vec<(String, String)> {
        let Self { summary, .. } = self;
        let mut lines = vec![("features".into(), summary.features.join(", "))];
        let mut line = |name: &str, fact: String| lines.push((name.into(), fact));
        if !summary.context.is_empty() {
            line("given", summary.context.join(", "));
        }
        for (name, fact) in self.signal.iter().flatten() {
            line(name, fact.clone());
        }
        for ColumnSummary { name, offset, step } in &summary.columns {
            if *offset != 0.0 {
                line("offset", format!("{name}, {offset} is subtracted before its values are f32"));
            }
            if *step > 0.0 {
                line("steps", format!("{name}, of {step}"));
            }
        }
        for PeriodSummary { feature, low, high } in &summary.periodic {
            line("periodic", format!("{feature}, {low} to {high}"));
        }
        let is_ensemble = !summary.shares.is_empty();
        if is_ensemble {
            line("ensemble", describe_shares(&summary.shares));
        }
        if let Some(latent) = &summary.latent {
            let widths = |widths: &[usize]| {
                widths.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
            };
            line("latent values", latent.latents.to_string());
            line("encoder", format!("hidden layers {}", widths(&latent.encoder)));
            line("decoder", format!("hidden layers {}", widths(&latent.decoder)));
            line("likelihood", latent.likelihood.clone());
            if let [posterior, prior] = &summary.members[..] {
                let [posterior, prior] = describe_flows(posterior, prior);
                line("posterior", posterior);
                line("prior", prior);
            }
            let (points, more) = (latent.points, latent.multiply_adds_of_a_point);
            line("points", format!("{points} for the bound, each {more} more multiply-adds"));
        }
        // A latent model's are told already.
        let flows = if summary.latent.is_some() { &[][..] } else { &summary.members[..] };
        for (number, member) in flows.iter().enumerate() {
            if is_ensemble {
                let MemberSummary { parameters, multiply_adds, .. } = member;
                let costs = format!("{parameters} parameters, {multiply_adds} multiply-adds a row");
                line(&format!("flow {number}"), costs);
            }
            for (number, layer) in member.layers.iter().enumerate() {
                line(&format!("layer {number}"), layer.clone());
            }
            line("base", member.base.clone());
        }
        line("parameters", summary.parameters.to_string());
        line("multiply-adds", format!("{} a row", summary.multiply_adds));
        line("flash", format!("{} bytes", self.flash_bytes));
        line("RAM", format!("{} bytes of stack a call", summary.ram_bytes));
        let cycles = [Core::CortexM4f, Core::CortexM0Plus].map(|core| {
            let Cost { cycles, code_bytes, .. } = self.cost(core);
            format!("{cycles:.0} on a {} with {code_bytes} bytes of code", core.name())
        });
        line("cycles a score", format!("about {}", cycles.join(", ")));
        if let Some(board) = self.board {
            line("board", board.describe(&self.cost(board.timing)));
        }
        line("math", summary.math.into());
        line("score", summary.score.into());
        for threshold in &self.thresholds {
            line("threshold", describe(threshold));
        }
        if self.thresholds.is_empty() {
            line("threshold", "none".into());
        }
        if let Some(tail) = &self.tail {
            line("tail", describe_tail(tail));
        }
        match &self.detector {
            Some(detector) => {
                line("detector", alarms::describe(detector));
                let (bound, step) = detector.settings().drift();
                if bound > 0.0 {
                    line("drift", format!("followed within {bound}, by about {step} a row"));
                }
                for (name, sensor) in summary.features.iter().zip(detector.settings().sensors()) {
                    line("sensor", describe_sensor(name, sensor));
                }
            }
            None => line("detector", "none".into()),
        }
        let vectors = self.self_test_vectors;
        line("self-test", format!("{vectors} vectors, all with the bits in the file"));
        lines
    }
}

/// The line of a firmware that makes the window of a signal.
fn window(recipe: &Recipe, context: usize) -> String {
    let (channels, length, features) = (recipe.channels(), recipe.window(), recipe.features());
    let context = if context == 0 { String::new() } else { format!(", {context}") };
    format!(
        "let mut window = Window::<{channels}, {length}, {features}{context}>::new(flow.recipe()?)?;"
    )
}

fn describe_signal(recipe: &Recipe) -> Vec<(&'static str, String)> {
    let channel = |(number, [name, unit]): (usize, [&str; 2])| {
        let unit = if unit.is_empty() { String::new() } else { format!(" in {unit}") };
        format!("{name}{unit} (resolution {})", recipe.resolution(number))
    };
    let channels: Vec<_> = recipe.channel_names().enumerate().map(channel).collect();
    let detrending = match recipe.detrending() {
        Detrending::None => "not detrended",
        Detrending::Mean => "less its mean",
        Detrending::Line => "less its line",
    };
    let taper = match recipe.taper() {
        Taper::None => "no taper",
        Taper::Hann => "Hann taper",
    };
    let bytes = 4 * recipe.channels() * recipe.window();
    let (window, hop) = (recipe.window(), recipe.hop());
    vec![
        ("channels", channels.join(", ")),
        ("rate", format!("{} samples a second", recipe.rate())),
        (
            "window",
            format!("{window} samples, {hop} apart, {detrending}, {taper}, {bytes} bytes of RAM"),
        ),
    ]
}

fn threshold(threshold: &Threshold) -> Value {
    json!({
        "score": threshold.score,
        "false_alarm_rate": threshold.false_alarm_rate,
        "rows": threshold.rows,
    })
}

fn detector(detector: &Detector<MAX_FEATURES>) -> Value {
    let settings = detector.settings();
    let (bound, step) = settings.drift();
    let sensor = |Sensor { low, high, longest_run }: Sensor| json!({ "low": low, "high": high, "longest_run": longest_run });
    json!({
        "rows_between_false_alarms": settings.rows_between_false_alarms(),
        "alarm_at": detector.alarm_at(),
        "charge": detector.charge(),
        "fewest_rows": detector.fewest_rows(),
        "confirmation": settings.confirmation(),
        "drift_bound": bound,
        "drift_step": step,
        "sensors": settings.sensors().map(sensor).collect::<Vec<_>>(),
    })
}

fn describe_sensor(name: &str, Sensor { low, high, longest_run }: Sensor) -> String {
    let range = match (low, high) {
        (f32::MIN, f32::MAX) => "any value".into(),
        (low, high) => format!("{low} to {high}"),
    };
    match longest_run {
        0 => format!("{name}, {range}"),
        run => format!("{name}, {range}, stuck after {run} rows of one value"),
    }
}

fn describe(threshold: &Threshold) -> String {
    let Threshold { score, false_alarm_rate, rows } = threshold;
    format!("{score} (false-alarm rate {false_alarm_rate}, from {rows} rows)")
}

/// For `inspect` and the report of a training.
pub fn describe_shares(shares: &[f32]) -> String {
    let shown: Vec<_> = shares.iter().map(|share| format!("{share:.3}")).collect();
    format!("mixture of {} flows, shares {}", shares.len(), shown.join(", "))
}

fn describe_tail(tail: &Tail) -> String {
    let Tail { start, scale, shape, share, shape_error } = tail;
    format!(
        "generalised Pareto from {start} on, scale {scale}, shape {shape} (standard error \
         {shape_error}), share {share}"
    )
}
