//! The picture of `cargo xtask demo --signal`: signal, score, evidence and alarms over time.

use std::path::Path;

use anyhow::{Result, ensure};
use plotters::prelude::*;

use super::{ANOMALY, Area, GRID, INK, NORMAL};
use crate::trial::Judged;

/// Width and height in pixels.
const SIZE: (u32, u32) = (1000, 760);
/// Of them, title and legend.
const HEADER: u32 = 84;
/// Columns of the signal's envelope.
const COLUMNS: usize = 900;

const ALARM: RGBColor = RGBColor(96, 32, 128);

/// What is drawn.
pub struct Trial<'a> {
    /// Name of the channel whose values are drawn.
    pub channel: &'a str,
    /// Its value in each sample.
    pub values: &'a [f32],
    /// Whether the machine is at fault in each sample.
    pub faulty: &'a [bool],
    /// What is said of the rows.
    pub judged: &'a [Judged],
    /// Samples a second.
    pub rate: f64,
    /// The evidence that an alarm takes.
    pub alarm_at: f32,
}

/// Draws it as an SVG file.
pub fn draw(path: &Path, trial: &Trial) -> Result<()> {
    ensure!(!trial.values.is_empty() && !trial.judged.is_empty(), "no rows to draw");
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let (header, plots) = area.split_vertically(HEADER);
    draw_header(&header)?;
    let panels = plots.split_evenly((3, 1));
    let times = |sample: usize| sample as f64 / trial.rate;

    let columns = trial.values.chunks(trial.values.len().div_ceil(COLUMNS));
    let mut first = 0;
    let envelope: Vec<_> = columns
        .filter_map(|column| {
            let time = times(first);
            first += column.len();
            let finite = || column.iter().copied().filter(|value| value.is_finite());
            Some([(time, finite().reduce(f32::min)?), (time, finite().reduce(f32::max)?)])
        })
        .collect();
    let values = envelope.iter().flatten().map(|(_, value)| *value);
    panel(&panels[0], trial, trial.channel, range(values), |chart| {
        for bar in &envelope {
            chart.line(bar.to_vec(), NORMAL)?;
        }
        Ok(())
    })?;

    let scores: Vec<_> =
        trial.judged.iter().map(|row| (times(row.sample), logarithmic(row.score))).collect();
    let range_of_scores = range(scores.iter().map(|(_, score)| *score));
    panel(&panels[1], trial, "score (log beyond 5)", range_of_scores, |chart| {
        chart.line(scores.clone(), NORMAL)
    })?;

    let evidence: Vec<_> =
        trial.judged.iter().map(|row| (times(row.sample), row.evidence)).collect();
    let most = range(evidence.iter().map(|(_, value)| *value).chain([1.1 * trial.alarm_at]));
    panel(&panels[2], trial, "evidence S, nats", most, |chart| {
        let end = times(trial.values.len());
        chart.line(vec![(0.0, trial.alarm_at), (end, trial.alarm_at)], INK)?;
        chart.line(evidence.clone(), NORMAL)
    })?;
    area.present()?;
    Ok(())
}

/// A score, squeezed where it is far beyond those of normal rows.
fn logarithmic(score: f32) -> f32 {
    if score > 5.0 { 5.0 + (score / 5.0).log10() * 5.0 } else { score.max(-10.0) }
}

fn range(values: impl Iterator<Item = f32>) -> std::ops::Range<f32> {
    let (low, high) = values
        .filter(|value| value.is_finite())
        .fold((f32::MAX, f32::MIN), |(low, high), value| (low.min(value), high.max(value)));
    let margin = 0.05 * (high - low).max(1e-3);
    low - margin..high + margin
}

fn draw_header(area: &Area) -> Result<()> {
    let title = ("sans-serif", 22).into_font().color(&INK);
    area.draw_text("A signal, judged sample by sample on an emulated Cortex-M4", &title, (28, 14))?;
    let style = ("sans-serif", 17).into_font().color(&INK);
    for (left, colour, words) in
        [(28, ANOMALY, "the machine is at fault"), (320, ALARM, "the detector's alarm")]
    {
        area.draw(&Rectangle::new([(left, 52), (left + 18, 68)], colour.mix(0.35).filled()))?;
        area.draw_text(words, &style, (left + 28, 50))?;
    }
    Ok(())
}

/// What a panel's lines are drawn on.
struct Chart<'a, 'b> {
    context: ChartContext<
        'a,
        SVGBackend<'b>,
        Cartesian2d<plotters::coord::types::RangedCoordf64, plotters::coord::types::RangedCoordf32>,
    >,
}

impl Chart<'_, '_> {
    fn line(&mut self, points: Vec<(f64, f32)>, colour: RGBColor) -> Result<()> {
        self.context.draw_series(LineSeries::new(points, colour.stroke_width(1)))?;
        Ok(())
    }

    /// A strip of the panel's height in a share of it, from below.
    fn strip(&mut self, times: [f64; 2], heights: [f32; 2], colour: RGBColor) -> Result<()> {
        let corners = [(times[0], heights[0]), (times[1], heights[1])];
        self.context.draw_series([Rectangle::new(corners, colour.mix(0.35).filled())])?;
        Ok(())
    }
}

fn panel(
    area: &Area,
    trial: &Trial,
    name: &str,
    values: std::ops::Range<f32>,
    draw: impl FnOnce(&mut Chart) -> Result<()>,
) -> Result<()> {
    let end = trial.values.len() as f64 / trial.rate;
    let mut context = ChartBuilder::on(area)
        .margin_left(12)
        .margin_right(28)
        .margin_bottom(8)
        .x_label_area_size(44)
        .y_label_area_size(86)
        .build_cartesian_2d(0.0..end, values.clone())?;
    context
        .configure_mesh()
        .label_style(("sans-serif", 15).into_font().color(&INK))
        .axis_desc_style(("sans-serif", 16).into_font().color(&INK))
        .axis_style(INK)
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .x_desc("seconds")
        .y_desc(name)
        .y_labels(5)
        .draw()?;
    let mut chart = Chart { context };
    let mut sample = 0;
    for run in trial.faulty.chunk_by(|a, b| a == b) {
        let times = [sample, sample + run.len()].map(|sample| sample as f64 / trial.rate);
        if run[0] {
            chart.strip(times, [values.start, values.end], ANOMALY)?;
        }
        sample += run.len();
    }
    let height = 0.06 * (values.end - values.start);
    for run in trial.judged.chunk_by(|a, b| a.is_alarm() == b.is_alarm()) {
        if run[0].is_alarm() {
            let times = [run[0].sample, run[run.len() - 1].sample];
            let times = times.map(|sample| sample as f64 / trial.rate);
            chart.strip(times, [values.start, values.start + height], ALARM)?;
        }
    }
    draw(&mut chart)
}
