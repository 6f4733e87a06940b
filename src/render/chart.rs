//! Charts with axes, drawn by plotters in the embedded font, so that they look the same on every machine.

use super::png::Said;
use super::{png, replace};
use crate::Result;
use plotters::chart::{ChartBuilder, ChartContext, SeriesLabelPosition};
use plotters::coord::cartesian::Cartesian2d;
use plotters::coord::ranged1d::{Ranged, ValueFormatter};
use plotters::coord::{CoordTranslate, Shift};
use plotters::element::Text;
use plotters::prelude::{BitMapBackend, Color, DrawingArea, IntoDrawingArea, IntoFont};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, RGBColor, TRANSPARENT, TextStyle, WHITE, register_font};
use std::io;
use std::path::Path;
use std::sync::Once;

/// Where a chart is drawn.
pub type Area<'a> = DrawingArea<BitMapBackend<'a>, Shift>;

/// The name of the embedded font.
pub const FONT: &str = "DejaVu Sans";

/// Text and axes.
pub const INK: RGBColor = RGBColor(0x22, 0x26, 0x2c);

/// What is told beside: captions, ticks.
pub const FAINT_INK: RGBColor = RGBColor(0x6a, 0x70, 0x7a);

/// The lines of a grid.
pub const GRID: RGBColor = RGBColor(0xe8, 0xea, 0xee);

/// Writes what `draw` draws on a white page of `width` × `height` pixels to `path` as PNG, replacing what is there.
///
/// # Errors
/// [`crate::Error::Job`] when the file cannot be written.
pub fn write(
    path: &Path,
    (width, height): (u32, u32),
    draw: impl FnOnce(&Area) -> std::result::Result<(), Box<dyn std::error::Error>>,
) -> Result<()> {
    static FONTS: Once = Once::new();
    FONTS.call_once(|| {
        let regular = include_bytes!("../../assets/font/DejaVuSans.ttf");
        let bold = include_bytes!("../../assets/font/DejaVuSans-Bold.ttf");
        for (style, font) in [(FontStyle::Normal, &regular[..]), (FontStyle::Bold, &bold[..])] {
            register_font(FONT, style, font).unwrap_or_else(|_| unreachable!("the embedded font is a font"));
        }
    });
    let mut pixels = vec![255_u8; width as usize * height as usize * 3];
    let drawn = {
        let area = BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area();
        area.fill(&WHITE).map_err(Into::into).and_then(|()| draw(&area)).and_then(|()| Ok(area.present()?))
    };
    let drawn = drawn.map_err(|error| error.to_string());
    replace(path, |out| {
        drawn.map_err(io::Error::other)?;
        png::encode(&pixels, (width as usize, height as usize), 3, &Said::default(), out)
    })
}

/// What drawing may fail of.
pub type Drawn = std::result::Result<(), Box<dyn std::error::Error>>;

/// Text of this size.
pub fn text(size: i32, color: &RGBColor) -> TextStyle<'static> {
    (FONT, size).into_font().color(color)
}

/// The title above a chart, and the caption below it.
pub fn title_and_caption(area: &Area, title: &str, caption: &str) -> Drawn {
    let (_, height) = area.dim_in_pixel();
    area.draw(&Text::new(title, (26, 20), (FONT, 24, FontStyle::Bold).into_font().color(&INK)))?;
    let bottom = Pos::new(HPos::Left, VPos::Bottom);
    area.draw(&Text::new(caption, (26, height as i32 - 14), text(15, &FAINT_INK).pos(bottom)))?;
    Ok(())
}

/// A chart with axes below the title and above the caption, not yet with its ranges.
pub fn with_axes<'a, 'b>(area: &'a Area<'b>) -> ChartBuilder<'a, 'b, BitMapBackend<'b>> {
    let mut builder = ChartBuilder::on(area);
    builder.margin_top(64).margin_bottom(40).margin_left(14).margin_right(28);
    builder.x_label_area_size(58).y_label_area_size(74);
    builder
}

/// Draws the axes and the grid.
pub fn axes<'a, 'b: 'a, X, Y>(
    chart: &mut ChartContext<'a, BitMapBackend<'b>, Cartesian2d<X, Y>>,
    x: &str,
    y: &str,
) -> Drawn
where
    X: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    // No more digits than it has; rounded first, as steps are sums, and 0.30000000000000004 is one.
    let tick = |value: &f64| format!("{}", (value * 1e6).round() / 1e6);
    chart
        .configure_mesh()
        .x_desc(x)
        .y_desc(y)
        .axis_desc_style(text(17, &INK))
        .label_style(text(15, &FAINT_INK))
        .axis_style(FAINT_INK)
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .x_label_formatter(&tick)
        .y_label_formatter(&tick)
        .draw()?;
    Ok(())
}

/// The list of what is drawn, in the upper left corner.
pub fn legend<'a, 'b: 'a, C: CoordTranslate>(chart: &mut ChartContext<'a, BitMapBackend<'b>, C>) -> Drawn {
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .label_font(text(15, &INK))
        .background_style(WHITE.mix(0.85))
        .border_style(GRID)
        .margin(12)
        .legend_area_size(34)
        .draw()?;
    Ok(())
}
