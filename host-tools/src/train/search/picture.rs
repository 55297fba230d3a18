//! The picture of a search: quality over cycles, with the front that no other model is above.

use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{Search, Team};
use crate::error::{Error, Result};
use crate::output::Draft;

const SIZE: (u32, u32) = (900, 560);
const INK: RGBColor = RGBColor(40, 40, 40);
const GRID: RGBColor = RGBColor(228, 228, 228);
// Colours that people who do not see red and green can tell apart.
const FITS: RGBColor = RGBColor(0, 114, 178);
const OVER: RGBColor = RGBColor(170, 170, 170);
const PICKED: RGBColor = RGBColor(213, 94, 0);

/// Writes the picture of `teams`, by ascending cycles, to `path`.
pub fn draw(path: &Path, search: &Search, teams: &[Team], picked: &Team) -> Result<()> {
    let mut text = String::new();
    render(&mut text, search, teams, picked).map_err(|error| Error::Picture {
        name: path.display().to_string(),
        reason: error.to_string(),
    })?;
    Draft::create(path)?.complete(text.as_bytes())
}

/// Cycles and log-densities of those that no other one with fewer cycles is above.
pub fn front(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut ascending = points.to_vec();
    ascending.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut front: Vec<(f64, f64)> = Vec::new();
    for (cycles, height) in ascending {
        if front.last().is_none_or(|(_, highest)| height > *highest) {
            front.push((cycles, height));
        }
    }
    front
}

fn render(
    text: &mut String,
    search: &Search,
    teams: &[Team],
    picked: &Team,
) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let point = |team: &Team| Some((team.cost.cycles, team.log_density?));
    let points: Vec<(f64, f64)> = teams.iter().filter_map(point).collect();
    let least = |values: &mut dyn Iterator<Item = f64>| values.fold(f64::INFINITY, f64::min);
    let most = |values: &mut dyn Iterator<Item = f64>| values.fold(f64::NEG_INFINITY, f64::max);
    let x =
        least(&mut points.iter().map(|p| p.0)) / 1.3..most(&mut points.iter().map(|p| p.0)) * 1.3;
    let top = most(&mut points.iter().map(|p| p.1));
    // Those far below the others would press these together.
    let mut heights: Vec<f64> = points.iter().map(|p| p.1).collect();
    heights.sort_unstable_by(f64::total_cmp);
    let bottom = heights[heights.len() / 10];
    let margin = 0.05 * (top - bottom).max(0.1);
    let y = bottom - margin..top + margin;

    let area = SVGBackend::with_string(text, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .margin(16)
        .caption(
            format!("Models tried within {}", search.budget),
            ("sans-serif", 18).into_font().color(&INK),
        )
        .x_label_area_size(44)
        .y_label_area_size(60)
        .build_cartesian_2d(x.log_scale(), y)?;
    chart
        .configure_mesh()
        .x_desc(format!("cycles a score, {}", search.budget.core().name()))
        .y_desc("validation log-density, nats")
        .label_style(("sans-serif", 14).into_font().color(&INK))
        .x_label_formatter(&|cycles| format!("{:.0}k", cycles / 1e3))
        .axis_style(INK)
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .draw()?;
    let inside = |(_, height): &(f64, f64)| *height >= bottom - margin;
    let front: Vec<(f64, f64)> = front(&points).into_iter().filter(inside).collect();
    chart.draw_series([PathElement::new(front, FITS.stroke_width(2))])?;
    for team in teams {
        let Some(point) = point(team).filter(inside) else { continue };
        let fits = search.budget.excess(&team.cost).is_empty();
        let colour = if fits { FITS } else { OVER };
        chart.draw_series([Circle::new(point, 4, colour.filled())])?;
        if team.is_default {
            // It is the dearest one, or nearly, so there is room on its left.
            let style = ("sans-serif", 14).into_font().color(&INK);
            let style = style.pos(Pos::new(HPos::Right, VPos::Top));
            chart.draw_series([EmptyElement::at(point)
                + Circle::new((0, 0), 7, INK.stroke_width(1))
                + Text::new("the default model", (-10, 8), style)])?;
        }
    }
    if let Some(point) = point(picked) {
        let style = ("sans-serif", 14).into_font().color(&PICKED);
        chart.draw_series([EmptyElement::at(point)
            + Circle::new((0, 0), 6, PICKED.filled())
            + Text::new("picked", (10, -18), style)])?;
    }
    let note = "blue: within the budget, grey: over it; the line is the front";
    area.draw_text(note, &("sans-serif", 13).into_font().color(&INK), (16, 538))?;
    area.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        /// Nothing is above it for fewer cycles, and all of it was tried.
        #[test]
        fn no_point_is_above_the_front(
            points in prop::collection::vec((1e3f64..1e6, -9f64..9.0), 1..40),
        ) {
            let front = super::front(&points);
            prop_assert!(front.iter().all(|own| points.contains(own)));
            for (cycles, height) in &points {
                prop_assert!(front.iter().any(|own| own.0 <= *cycles && own.1 >= *height));
            }
        }
    }
}
