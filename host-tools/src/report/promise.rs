//! Whether p-values hold: of fresh normal rows, a share of at most r has a p-value of r or less.

use plotters::prelude::*;

use super::picture::{self, Drawn, INK, MODEL, NORMAL, WIDE};
use crate::error::Result;

/// Rows from which on a picture says something.
pub const FEWEST: usize = 20;
/// Points of the line, in equal ratios.
const POINTS: usize = 60;

/// Share of ascending p-values that are `rate` or less.
pub fn share(ascending: &[f32], rate: f64) -> f64 {
    ascending.partition_point(|own| f64::from(*own) <= rate) as f64 / ascending.len() as f64
}

/// Two standard errors of the share where it is `rate`: by chance among the rows judged and among the
/// held-out ones that p-values rest on.
pub fn two_errors(rate: f64, rows: [usize; 2]) -> f64 {
    let inverse: f64 = rows.iter().map(|own| 1.0 / *own as f64).sum();
    2.0 * (rate * (1.0 - rate) * inverse).sqrt()
}

/// Draws the share of rows over the rate, with what two standard errors allow.
pub fn draw(ascending: &[f32], calibration_rows: usize) -> Result<String> {
    let rows = ascending.len();
    let errors = |rate| two_errors(rate, [rows, calibration_rows]);
    let low = 10f64.powf((1.0 / rows as f64).log10().floor());
    let rate = |step: usize| low.powf(1.0 - step as f64 / (POINTS - 1) as f64);
    let rates: Vec<f64> = (0..POINTS).map(rate).collect();
    let inside = |share: f64| share.clamp(low, 1.0);
    let upper = rates.iter().map(|own| (*own, inside(own + errors(*own))));
    let lower = rates.iter().rev().map(|own| (*own, inside(own - errors(*own))));
    let band: Vec<(f64, f64)> = upper.chain(lower).collect();
    let found = rates.iter().map(|own| (*own, share(ascending, *own)));
    let found: Vec<(f64, f64)> = found.filter(|(_, share)| *share > 0.0).collect();
    let format = |value: f64| match value {
        0.001..=1.0 => format!("{}", (value * 1e4).round() / 1e4),
        _ => format!("{value:.0e}"),
    };
    picture::svg("Share of normal rows with a p-value of a rate or less", WIDE, |area| -> Drawn {
        let (header, plot) = area.split_vertically(50);
        let entries = [(NORMAL, "rows"), (MODEL, "two standard errors")];
        picture::legend(&header, &entries, 24)?;
        let mut chart = ChartBuilder::on(&plot)
            .margin_right(24)
            .margin_top(6)
            .x_label_area_size(80)
            .y_label_area_size(120)
            .build_cartesian_2d((low..1.0).log_scale(), (low..1.0).log_scale())?;
        let descriptions = ["p-value of r or less", "share of the rows"];
        picture::configure(&mut chart, descriptions, [5, 5], [&format, &format])?;
        chart.draw_series([Polygon::new(band, MODEL.mix(0.25).filled())])?;
        chart.draw_series(LineSeries::new([(low, low), (1.0, 1.0)], INK.stroke_width(1)))?;
        chart.draw_series(LineSeries::new(found, NORMAL.stroke_width(4)))?;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_p_values_are_drawn(mut p_values in prop::collection::vec(1e-9f32..=1.0, 1..200)) {
            p_values.sort_unstable_by(f32::total_cmp);
            prop_assert_eq!(share(&p_values, 1.0), 1.0);
            draw(&p_values, 100).expect("drawn");
        }
    }
}
