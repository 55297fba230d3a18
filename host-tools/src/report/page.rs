//! From findings to HTML: every text goes through the template, which escapes it, and only pictures,
//! whose names are escaped already, are markup.

use flowlet::Calibration;
use minijinja::{Environment, Value, context};

use super::baseline::{Baseline, CORES, Side};
use super::histogram::{self, Class};
use super::picture::{BASELINE, NORMAL};
use super::ranking::Line;
use super::{Findings, Test, facts, pairs, promise, ranking, training};
use crate::blame::{Blame, FeatureBlame, Measure};
use crate::cost::board::Board;
use crate::device::{Device, MemberSummary, Summary};
use crate::error::Result;
use crate::latent::device::describe_flows;
use crate::message::{escape, excerpt};
use crate::train::OPERATING_POINTS;
use crate::training::calibrate::{self, Basis};
use crate::training::curve::{self, Curve};

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");

/// Most features of which it is told how much they are blamed.
const BLAMED: usize = 12;
/// The rates that p-values are held against, where there are rows enough.
const RATES: [f64; 3] = [0.1, 0.01, 0.001];

/// A threshold in the file.
pub struct Threshold {
    own: flowlet::Threshold,
    basis: String,
}

/// The thresholds in a file and what they rest on.
pub fn thresholds(device: &dyn Device) -> Vec<Threshold> {
    let Some(calibration) = device.calibration() else { return Vec::new() };
    let basis = |own: &flowlet::Threshold| match Basis::of(&calibration, own.false_alarm_rate) {
        Basis::Rows => {
            let needed = calibrate::rows_needed(f64::from(own.false_alarm_rate));
            match own.rows as usize {
                rows if rows < needed => format!(
                    "the largest score of {rows} held-out rows, fewer than the {needed} that the rate \
                     needs"
                ),
                rows => format!("{rows} held-out rows"),
            }
        }
        Basis::Exponential(_) => {
            format!("{} held-out rows, smoothed by an exponential tail", own.rows)
        }
        Basis::Extrapolation(tail) => {
            let [low, high] = calibrate::extrapolated_rates(tail, own.score);
            format!(
                "a tail fitted to {} held-out rows, an extrapolation: the rate may be from {low:.1e} to \
                 {high:.1e}",
                own.rows
            )
        }
    };
    Calibration::thresholds(&calibration).map(|own| Threshold { basis: basis(&own), own }).collect()
}

/// A picture, and what it shows.
fn figure(title: impl Into<String>, svg: String, caption: impl Into<String>) -> Value {
    let (title, caption): (String, String) = (title.into(), caption.into());
    context! { title, svg => Value::from_safe_string(svg), caption }
}

/// A fact, and what it means.
fn line(name: impl Into<String>, value: impl Into<String>, meaning: &str) -> Value {
    let (name, value): (String, String) = (name.into(), value.into());
    context! { name, value, meaning }
}

/// The page.
pub fn html(findings: &Findings) -> Result<String> {
    let Findings { summary, test, baseline, firmware, .. } = findings;
    let mut environment = Environment::new();
    // Templates called .html escape what they are given.
    environment.add_template("page.html", TEMPLATE)?;
    let template = environment.get_template("page.html")?;
    let blame = test.as_ref().and_then(|test| test.evaluation.blame.as_ref());
    let page = context! {
        style => Value::from_safe_string(STYLE.to_owned()),
        name => &*findings.name,
        version => env!("CARGO_PKG_VERSION"),
        headline => headline(findings),
        tiles => tiles(findings),
        warnings => test.as_ref().map_or(Vec::new(), |test| test.evaluation.warnings()),
        training => training_lines(summary),
        findings => finding_lines(summary),
        curves => curves(summary)?,
        has_test => test.is_some(),
        normal_rows => normal_rows(test.as_ref()),
        judging => judging(findings)?,
        thresholds => threshold_rows(findings),
        promises => test.as_ref().map_or(Vec::new(), promise_rows),
        densities => test.as_ref().map_or(Vec::new(), densities),
        blame => blame.map(blame_rows),
        blame_is_of => blame.map(blamed_alarms),
        baseline => baseline.as_ref().map(|own| beside(own, test.as_ref())).transpose()?,
        pairs => pair_figures(findings)?,
        columns => columns(findings),
        costs => costs(findings),
        cargo => &*firmware.cargo,
        code => &*firmware.code,
        provenance => provenance(summary),
    };
    Ok(template.render(page)?)
}

/// What the rows without a label of anomaly are called.
fn normal_rows(test: Option<&Test>) -> &'static str {
    match test {
        Some(Test { label: None, .. }) => "rows",
        _ => "normal rows",
    }
}

fn headline(Findings { summary, .. }: &Findings) -> String {
    let features = summary.features.len();
    let what = match (&summary.latent, summary.members.len()) {
        (Some(latent), _) => {
            format!("A latent variable model of {features} features by {} values", latent.latents)
        }
        (None, 1) => format!("The density of {features} features, learned by one flow"),
        (None, flows) => {
            format!("The density of {features} features, learned by {flows} flows together")
        }
    };
    let given = match summary.context.len() {
        0 => String::new(),
        1 => ", given 1 column of context".into(),
        count => format!(", given {count} columns of context"),
    };
    format!("{what}{given}. A row is judged by its score: {}.", summary.score)
}

fn tiles(findings: &Findings) -> Vec<Value> {
    let mut tiles = Vec::new();
    let mut tile = |name: &str, value: String| tiles.push(context! { name, value });
    if findings.test.is_none() {
        tile("features", findings.summary.features.len().to_string());
    }
    if let Some(Test { evaluation, label, .. }) = &findings.test {
        tile("rows", with_separators(evaluation.rows));
        if label.is_some() {
            tile("anomalies among them", with_separators(evaluation.anomalies));
        }
        for (name, value) in
            [("AUROC", evaluation.auroc), ("average precision", evaluation.average_precision)]
        {
            if let Some(value) = value {
                tile(name, format!("{value:.3}"));
            }
        }
        if let Some(share) = evaluation.detection_rate {
            tile("anomalies detected", per_cent(share));
        }
        if let Some(share) = evaluation.false_alarm_rate {
            tile(if label.is_some() { "false alarms" } else { "alarms" }, per_cent(share));
        }
    }
    if let (None, Some(threshold)) = (&findings.test, findings.thresholds.first()) {
        tile("threshold", format!("{:.3}", threshold.own.score));
    }
    tile("flash", kibibytes(findings.flash_bytes));
    tile("stack of a call", kibibytes(findings.summary.ram_bytes));
    tiles
}

fn told(fact: facts::Fact) -> Value {
    line(fact.title, escape(&fact.value), fact.meaning)
}

fn training_lines(summary: &Summary) -> Vec<Value> {
    facts::training(&summary.provenance).into_iter().map(told).collect()
}

/// What was odd about the rows, and what the balance of the score says of them.
fn finding_lines(summary: &Summary) -> Vec<Value> {
    let ratios = summary.balances.iter();
    let ratios = ratios.map(|own| own.base_deviation / own.log_det_jacobian_deviation);
    let least = ratios.fold(f32::INFINITY, f32::min);
    let operating_points = (least < OPERATING_POINTS).then(|| {
        line(
            "Operating points",
            format!("the log-determinant varies {:.1} times as much as the base", 1.0 / least),
            match summary.context.is_empty() {
                true => {
                    "The density of normal rows differs by operating point. The balanced score allows for \
                     it; a column that sets the operating point may be a --context."
                }
                false => {
                    "The density of normal rows differs by operating point, whatever the context. The \
                     balanced score allows for it."
                }
            },
        )
    });
    facts::findings(&summary.provenance).into_iter().map(told).chain(operating_points).collect()
}

/// What the epochs of each flow reached.
fn curves(summary: &Summary) -> Result<Vec<Value>> {
    let of = |key: &str| summary.provenance.iter().find(|(own, _)| own == key);
    let what = match summary.latent {
        Some(_) => "evidence lower bound",
        None => "log-density",
    };
    let mut figures = Vec::new();
    for (number, key) in curve::KEYS.iter().enumerate() {
        let Some(curve) = of(key).and_then(|(_, text)| Curve::read(text)) else { continue };
        let title = match of(&format!("flow_{number}")) {
            Some((_, flow)) => {
                format!("Flow {number}: {}", escape(flow.split(',').next().unwrap_or_default()))
            }
            None => "Training".into(),
        };
        let caption = "Mean of each epoch in nats, standardised units; higher is better. The weights of \
                       the marked epoch were kept.";
        figures.push(figure(title, training::draw(&curve, what)?, caption));
    }
    Ok(figures)
}

/// Scores, rankings and p-values.
fn judging(findings: &Findings) -> Result<Vec<Value>> {
    let Findings { summary, held_out, thresholds, test, .. } = findings;
    let unit = match summary.balances.is_empty() {
        true => "nats",
        false => "deviations of normal rows",
    };
    let scores: Vec<f64> = thresholds.iter().map(|own| f64::from(own.own.score)).collect();
    let mut figures = Vec::new();
    let Some(Test { judged, label, p_values, calibration_rows, .. }) = test else {
        if !held_out.is_empty() {
            let scores_of_rows = held_out.clone();
            let class = Class { name: "held-out rows", is_anomaly: false, scores: scores_of_rows };
            let (svg, _) = histogram::draw(&[class], &scores, unit)?;
            let caption = "Scores of normal rows that neither trained nor stopped training, as the file \
                           keeps them: where there are many, a part of them stands for all.";
            figures.push(figure("Scores", svg, caption));
        }
        return Ok(figures);
    };
    let of_kind = |is_anomaly: bool| {
        let rows = judged.iter().filter(|own| own.is_anomaly == is_anomaly);
        let mut scores: Vec<(f64, f64)> = rows.map(|own| (f64::from(own.score), 1.0)).collect();
        scores.sort_unstable_by(|(a, _), (b, _)| a.total_cmp(b));
        scores
    };
    let name = normal_rows(test.as_ref());
    let classes = [
        Class { name, is_anomaly: false, scores: of_kind(false) },
        Class { name: "anomalies", is_anomaly: true, scores: of_kind(true) },
    ];
    let classes: Vec<Class> = classes.into_iter().filter(|own| !own.scores.is_empty()).collect();
    let (svg, last) = histogram::draw(&classes, &scores, unit)?;
    let last =
        last.map_or(String::new(), |start| format!(" The last bar is of {start} and above."));
    let caption = format!(
        "Share of each kind of rows by score; a row above the threshold is an alarm.{last}"
    );
    figures.push(figure("Scores", svg, caption));
    if classes.len() == 2 {
        let curve = ranking::curve(judged);
        let marks = thresholds.iter().map(|own| ranking::point(judged, own.own.score));
        let marks: Vec<_> = marks.collect();
        let line = Line { name: "", colour: NORMAL, curve: &curve, thresholds: &marks };
        let [roc, recall] = ranking::draw(&[line])?;
        let chance = "The grey line is chance; dots are the thresholds in the file.";
        let title = "Receiver operating characteristic";
        figures.push(figure(title, roc, format!("What each threshold would come to. {chance}")));
        let caption = format!("Of the alarms, the share that are anomalies. {chance}");
        figures.push(figure("Precision and recall", recall, caption));
    }
    if p_values.len() >= promise::FEWEST {
        let taken = if label.is_some() { "normal rows" } else { "rows, all taken as normal," };
        let caption = format!(
            "Of {} {taken} the share whose p-value is a rate or less. It promises to be at most the \
             rate, on the line or below, but for the chance in these rows and in the {} held-out ones.",
            with_separators(p_values.len()),
            with_separators(*calibration_rows),
        );
        let svg = promise::draw(p_values, *calibration_rows)?;
        figures.push(figure("Do p-values hold?", svg, caption));
    }
    Ok(figures)
}

fn threshold_rows(findings: &Findings) -> Vec<Value> {
    let row = |Threshold { own, basis }: &Threshold| {
        let share = |is_anomaly: bool| {
            let judged = findings.test.as_ref().map_or(&[][..], |test| &test.judged);
            let rows = judged.iter().filter(|row| row.is_anomaly == is_anomaly);
            let above = rows.clone().filter(|row| row.score > own.score).count();
            match rows.count() {
                0 => "-".to_owned(),
                count => format!("{} of {}", with_separators(above), with_separators(count)),
            }
        };
        context! {
            rate => own.false_alarm_rate.to_string(),
            score => format!("{:.3}", own.score),
            basis,
            false_alarms => share(false),
            detected => share(true),
        }
    };
    findings.thresholds.iter().map(row).collect()
}

fn promise_rows(Test { p_values, calibration_rows, .. }: &Test) -> Vec<Value> {
    let rows = p_values.len();
    // Fewer rows than one over the rate cannot say anything.
    let rates = RATES.into_iter().filter(|rate| rows as f64 * rate >= 1.0);
    let row = |rate: f64| {
        let (share, errors) =
            (promise::share(p_values, rate), promise::two_errors(rate, [rows, *calibration_rows]));
        let verdict = match share {
            share if share > rate + errors => "more than promised",
            share if share < rate - errors => "fewer: the alarm is cautious",
            _ => "within two standard errors",
        };
        context! { rate => rate.to_string(), share => format!("{share:.4}"), verdict }
    };
    rates.map(row).collect()
}

/// How probable normal rows are.
fn densities(test: &Test) -> Vec<Value> {
    let own = &test.evaluation;
    let rows = normal_rows(Some(test));
    let lines = [
        ("mean log-density", own.mean_log_density_standardized),
        ("median log-density", own.median_log_density_standardized),
        ("log-density that 1 % are below", own.log_density_quantile_01_standardized),
        ("mean evidence lower bound", own.mean_elbo_standardized),
        ("mean importance-weighted bound", own.mean_bound_standardized),
    ];
    let line = |(name, value): (&str, Option<f64>)| {
        let value = format!("{:.3} nats", value?);
        Some(line(format!("{name} of {rows}"), value, "standardised units"))
    };
    lines.into_iter().filter_map(line).collect()
}

/// What the model and its baseline come to on the same rows.
fn beside(Baseline { name, sides, comparison }: &Baseline, test: Option<&Test>) -> Result<Value> {
    let names = [("this model", NORMAL), ("baseline", BASELINE)];
    let mut figures = Vec::new();
    if sides.iter().all(|side| !side.curve.is_empty()) {
        let lines = sides.iter().zip(names).map(|(side, (name, colour))| side.line(name, colour));
        let lines: Vec<_> = lines.collect();
        let [roc, recall] = ranking::draw(&lines)?;
        let caption = "Dashed is the baseline. The grey line is chance; dots are the thresholds in the files.";
        figures.push(figure("Receiver operating characteristics", roc, caption));
        let caption = "Of the alarms, the share that are anomalies. Dashed is the baseline.";
        figures.push(figure("Precision and recall of both", recall, caption));
    }
    let baseline_warnings = sides.get(1).map_or(Vec::new(), |side| side.evaluation.warnings());
    Ok(context! {
        name,
        verdict => comparison.verdict(),
        density_verdict => comparison.density_verdict(),
        warnings => baseline_warnings,
        rows => beside_rows(sides, test),
        figures,
    })
}

fn beside_rows(sides: &[Side], test: Option<&Test>) -> Vec<Value> {
    let mut rows = Vec::new();
    let mut row = |name: &str, value: &dyn Fn(&Side) -> Option<String>| {
        let values: Vec<_> = sides.iter().map(value).collect();
        if values.iter().any(Option::is_some) {
            let values = values.into_iter().map(|own| own.unwrap_or("-".into()));
            rows.push(context! { name, values => values.collect::<Vec<_>>() });
        }
    };
    let number = |value: Option<f64>| value.map(|own| format!("{own:.4}"));
    row("AUROC", &|side| number(side.evaluation.auroc));
    row("average precision", &|side| number(side.evaluation.average_precision));
    let mut rates: Vec<f32> = sides.iter().flat_map(|side| &side.rates).copied().collect();
    rates.sort_unstable_by(|a, b| b.total_cmp(a));
    rates.dedup();
    let normal_rows = normal_rows(test);
    for rate in rates {
        let share = |of: fn(&ranking::Point) -> f64| {
            move |side: &Side| side.at(rate).map(of).filter(|own| !own.is_nan()).map(per_cent)
        };
        let threshold = format!("above the threshold for a rate of {rate}");
        row(&format!("anomalies {threshold}"), &share(|point| point.detected));
        row(&format!("{normal_rows} {threshold}"), &share(|point| point.false_alarms));
    }
    row(&format!("mean log-density of {normal_rows}, nats, raw units"), &|side| {
        side.evaluation.mean_log_density.map(|own| format!("{own:.3}"))
    });
    let first = CORES[0].name();
    row("model file in flash", &|side| Some(kibibytes(side.costs[0].model_bytes)));
    row(&format!("code of flowlet, {first}"), &|side| Some(kibibytes(side.costs[0].code_bytes)));
    row(&format!("stack of a score, {first}"), &|side| Some(kibibytes(side.costs[0].stack_bytes)));
    for (place, core) in CORES.iter().enumerate() {
        row(&format!("cycles of a score, about, {}", core.name()), &|side| {
            Some(with_separators(side.costs[place].cycles as usize))
        });
    }
    rows
}

fn blame_rows(blame: &Blame) -> Vec<Value> {
    let largest = blame.features.iter().map(|own| own.most_blamed).fold(1e-9, f64::max);
    let row = |FeatureBlame { feature, most_blamed, mean }: &FeatureBlame| {
        context! {
            feature => excerpt(feature),
            most_blamed => per_cent(*most_blamed),
            width => format!("{:.1}", 100.0 * most_blamed / largest),
            mean => format!("{mean:.2}"),
        }
    };
    blame.features.iter().take(BLAMED).map(row).collect()
}

/// Which alarms were asked, and what.
fn blamed_alarms(blame: &Blame) -> String {
    let alarms = format!("{}.", blame.describe());
    let measure = match blame.measure {
        Measure::Attribution => {
            "Attribution is by how much a feature raises the score of its row over the best that its \
             value could be, the rest of the row as it is."
        }
        Measure::Residual => {
            "A residual is how far a feature lies from what the latent values explain, in deviations."
        }
    };
    format!("{alarms} {measure}")
}

fn pair_figures(findings: &Findings) -> Result<Vec<Value>> {
    let Findings { summary, clouds, test, .. } = findings;
    let names: Vec<&String> = summary.features.iter().chain(&summary.context).collect();
    let rows = if clouds.rows.len() > 2 { &clouds.rows } else { &clouds.samples };
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let blame = test.as_ref().and_then(|test| test.evaluation.blame.as_ref());
    let blamed = blame.iter().flat_map(|blame| &blame.features);
    let blamed = blamed.filter(|own| own.most_blamed > 0.0);
    let place = |own: &FeatureBlame| names.iter().position(|name| **name == own.feature);
    // What the context does to a feature comes first.
    let context = summary.features.len()..names.len();
    let first: Vec<usize> = context.chain(blamed.filter_map(place)).collect();
    let mut figures = Vec::new();
    for pair in pairs::choose(rows, names.len(), &first) {
        // What conditions lies along the horizontal axis.
        let pair = if pair[1] >= summary.features.len() { [pair[1], pair[0]] } else { pair };
        let [x, y] = pair.map(|column| names[column]);
        let svg = pairs::draw(clouds, pair, [x, y])?;
        figures.push(figure(format!("{} and {}", excerpt(x), excerpt(y)), svg, ""));
    }
    Ok(figures)
}

fn columns(Findings { summary, ranges, .. }: &Findings) -> Vec<Value> {
    let features = summary.features.len();
    let row = |(number, column): (usize, &crate::device::ColumnSummary)| {
        let mut facts = Vec::new();
        if let Some([low, high]) = ranges.get(number) {
            // An offset is there for digits that others lack.
            let end = |end: f64| if column.offset == 0.0 { rounded(end) } else { end };
            let [low, high] = [low, high].map(|own| end(*own));
            facts.push(format!("nearly all training rows from {low} to {high}"));
        }
        if column.offset != 0.0 {
            facts.push(format!("{} is subtracted before its values are f32", column.offset));
        }
        if column.step > 0.0 {
            facts.push(format!("comes in steps of {}", column.step));
        }
        let periods = summary.periodic.iter().filter(|own| own.feature == column.name);
        facts.extend(periods.map(|own| format!("lies on a circle, {} to {}", own.low, own.high)));
        let role = if number < features { "" } else { "context" };
        line(excerpt(&column.name), role, &facts.join("; "))
    };
    summary.columns.iter().enumerate().map(row).collect()
}

fn costs(Findings { summary, flash_bytes, boards, .. }: &Findings) -> Vec<Value> {
    let mut lines = Vec::new();
    let mut line = |name: String, value: String, meaning: &str| {
        lines.push(self::line(name, value, meaning));
    };
    line(
        "Flash".into(),
        format!("{} bytes", with_separators(*flash_bytes)),
        "the model file; flowlet's own code comes on top",
    );
    line(
        "RAM".into(),
        format!("{} bytes", with_separators(summary.ram_bytes)),
        "of stack in a call, without its frames; nothing lies in .data or .bss",
    );
    let products = |count: usize| format!("{} multiply-adds", with_separators(count));
    line("A score".into(), products(summary.multiply_adds), "");
    match (&summary.latent, &summary.members[..]) {
        (Some(_), [posterior, prior]) => {
            let [posterior, prior] = describe_flows(posterior, prior);
            line("Posterior".into(), posterior, "");
            line("Prior".into(), prior, "");
        }
        (_, members) if members.len() > 1 => {
            for (number, own) in members.iter().enumerate() {
                let MemberSummary { multiply_adds, base, .. } = own;
                line(format!("Flow {number}"), products(*multiply_adds), base);
            }
        }
        _ => {}
    }
    line("Arithmetic".into(), summary.math.into(), "");
    for (board, cost) in boards {
        let Board { name, core, megahertz, .. } = board;
        let meaning = format!("a score, {core} at {megahertz} MHz; {}", board.shares(cost));
        line((*name).into(), board.time(cost), &meaning);
    }
    lines
}

fn provenance(summary: &Summary) -> Vec<Value> {
    let is_curve = |key: &str| curve::KEYS.contains(&key);
    let lines = summary.provenance.iter().filter(|(key, _)| !is_curve(key));
    lines.map(|(key, value)| line(escape(key), escape(value), "")).collect()
}

fn per_cent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// As many digits as a reader needs.
fn rounded(value: f64) -> f64 {
    format!("{value:.4e}").parse().unwrap_or(value)
}

fn kibibytes(bytes: usize) -> String {
    format!("{:.1} KiB", bytes as f64 / 1024.0)
}

/// 12345 as 12,345.
fn with_separators(count: usize) -> String {
    let digits = count.to_string();
    let groups = digits.as_bytes().rchunks(3).rev();
    groups.map(|group| String::from_utf8_lossy(group)).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use plotters::style::RGBColor;

    /// A colour that the style does not know would be lost in the dark.
    #[test]
    fn the_style_gives_every_role_its_colours() {
        use super::super::picture::{ANOMALY, GRID, INK, MODEL};
        for RGBColor(r, g, b) in [INK, GRID, NORMAL, ANOMALY, MODEL, BASELINE] {
            for attribute in ["fill", "stroke"] {
                let rule = format!("svg [{attribute}=\"#{r:02X}{g:02X}{b:02X}\"]");
                assert!(STYLE.contains(&rule), "no rule for {rule}");
            }
        }
    }

    #[test]
    fn groups_of_digits() {
        assert_eq!(
            [7, 999, 1000, 1234567].map(with_separators),
            ["7", "999", "1,000", "1,234,567"]
        );
    }
}
