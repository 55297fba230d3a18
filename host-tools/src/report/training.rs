//! What each epoch of a training reached.

use plotters::prelude::*;

use super::picture::{self, Drawn, INK, MODEL, NORMAL, TEXT, WIDE, font};
use crate::error::Result;
use crate::rows::damage::quantile;
use crate::training::curve::Curve;

/// Draws a curve, whose values are `what`. Epochs far below the others, such as those of a start with
/// too long steps, are drawn at the lower end.
pub fn draw(curve: &Curve, what: &str) -> Result<String> {
    let points = curve.points();
    let both = points.iter().flat_map(|point| [point.training, point.validation]);
    let mut ascending: Vec<f64> = both.collect();
    ascending.sort_unstable_by(f64::total_cmp);
    let (Some(first), Some(last)) = (ascending.first(), ascending.last()) else {
        return Ok(String::new());
    };
    // Where the steep beginning is long, it is cut.
    let low = first.max(last - 8.0 * (last - quantile(&ascending, 0.25)));
    let range = picture::with_room(low, *last, 0.06);
    let epochs =
        (1.0..points.last().map_or(2.0, |point| (point.epoch as f64).max(2.0))).log_scale();
    let best = points.iter().max_by(|a, b| a.validation.total_cmp(&b.validation));
    picture::svg("What the epochs of training reached", WIDE, |area| -> Drawn {
        let (header, plot) = area.split_vertically(50);
        let entries = [(NORMAL, "training rows"), (MODEL, "rows for early stopping")];
        picture::legend(&header, &entries, 24)?;
        let mut chart = ChartBuilder::on(&plot)
            .margin_right(24)
            .margin_top(6)
            .x_label_area_size(80)
            .y_label_area_size(120)
            .build_cartesian_2d(epochs, range.clone())?;
        let number = |epoch: f64| format!("{epoch:.0}");
        let value = picture::tick(&range);
        picture::configure(&mut chart, ["epoch", what], [6, 6], [&number, &value])?;
        let inside = |value: f64| value.max(range.start);
        let training = points.iter().map(|own| (own.epoch as f64, inside(own.training)));
        chart.draw_series(LineSeries::new(training, NORMAL.stroke_width(4)))?;
        let validation = points.iter().map(|own| (own.epoch as f64, inside(own.validation)));
        chart.draw_series(LineSeries::new(validation, MODEL.stroke_width(4)))?;
        if let Some(best) = best {
            let at = (best.epoch as f64, inside(best.validation));
            let label = Text::new(format!("epoch {}", best.epoch), (-130, 36), font(TEXT - 2));
            let mark = Circle::new((0, 0), 9, INK.filled());
            chart.draw_series([EmptyElement::at(at) + mark + label])?;
        }
        Ok(())
    })
}
