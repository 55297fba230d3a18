//! Pictures of the guide: square panels side by side, with points and lines in them.

use std::path::{Path, PathBuf};

use plotters::prelude::*;

/// Width and height of a panel in pixels.
const SIDE: u32 = 340;
/// Above the panels.
const HEADER: u32 = 44;

/// Colours that people who do not see red and green can tell apart.
pub const BLUE: RGBColor = RGBColor(0, 114, 178);
pub const ORANGE: RGBColor = RGBColor(213, 94, 0);
pub const INK: RGBColor = RGBColor(40, 40, 40);
const GRID: RGBColor = RGBColor(228, 228, 228);

/// One panel.
pub struct Panel<'a> {
    pub title: &'a str,
    /// Names of the axes.
    pub axes: [&'a str; 2],
    /// What each axis shows.
    pub ranges: [std::ops::Range<f32>; 2],
    /// Sets of points, each of one colour.
    pub points: Vec<(RGBColor, Vec<[f32; 2]>)>,
    /// Lines, each of one colour.
    pub lines: Vec<(RGBColor, Vec<[f32; 2]>)>,
}

/// Where the guide looks for a picture, unless the command line names a file.
pub fn path(name: &str) -> PathBuf {
    let own = || {
        let pictures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/src/pictures");
        pictures.join(name).with_extension("svg")
    };
    std::env::args().nth(1).map_or_else(own, PathBuf::from)
}

/// Draws the panels as an SVG file.
pub fn draw(path: &Path, title: &str, panels: &[Panel]) -> Result<(), Box<dyn std::error::Error>> {
    let size = (SIDE * panels.len() as u32, SIDE + HEADER);
    let area = SVGBackend::new(path, size).into_drawing_area();
    area.fill(&WHITE)?;
    let (header, below) = area.split_vertically(HEADER);
    header.draw_text(title, &("sans-serif", 20).into_font().color(&INK), (16, 12))?;
    for (area, panel) in below.split_evenly((1, panels.len())).iter().zip(panels) {
        let [x, y] = &panel.ranges;
        let mut chart = ChartBuilder::on(area)
            .margin(10)
            .caption(panel.title, ("sans-serif", 16).into_font().color(&INK))
            .x_label_area_size(40)
            .y_label_area_size(46)
            .build_cartesian_2d(x.clone(), y.clone())?;
        chart
            .configure_mesh()
            .label_style(("sans-serif", 13).into_font().color(&INK))
            .axis_style(INK)
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .x_labels(5)
            .y_labels(5)
            .x_desc(panel.axes[0])
            .y_desc(panel.axes[1])
            .draw()?;
        let is_seen = |[a, b]: &[f32; 2]| x.contains(a) && y.contains(b);
        for (colour, line) in &panel.lines {
            let line = line.iter().filter(|point| is_seen(point)).map(|[a, b]| (*a, *b));
            chart.draw_series([PathElement::new(
                line.collect::<Vec<_>>(),
                colour.stroke_width(1),
            )])?;
        }
        for (colour, points) in &panel.points {
            let style = colour.mix(0.5).filled();
            let points = points.iter().filter(|point| is_seen(point));
            chart.draw_series(points.map(|[a, b]| Circle::new((*a, *b), 2, style)))?;
        }
    }
    area.present()?;
    println!("drawn: {}", path.display());
    Ok(())
}
