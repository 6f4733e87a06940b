//! A page as SVG 1.1: real shapes, as few bytes as they take.
//!
//! Points are the bulk. Those of one look share a path, in which each is a stroke of no length: `M12 34h0` with round (or, for squares, square)
//! ends is a disc as wide as the stroke. Coordinates are whole tenths of a pixel. One path for a whole class would lay class over class, so
//! the points, which come shuffled, are cut into [`ROUNDS`] parts with a path for each look in each. Text is text, in the font that measured
//! it where there is one, else in another squeezed to the same width.

use super::canvas::{Color, Mark, Shape};
use super::html::Base64;
use super::page::{Image, Item, Page};
use super::png::{self, Said};
use super::text::{Type, Weight};
use std::fmt::Write as _;
use std::io::{self, Write};

/// Parts that points are cut into. Within a part one class lies on another as a whole.
const ROUNDS: usize = 16;

/// The page as SVG. `dpi` are its pixels in an inch, where that is said.
pub fn encode(page: &Page, title: &str, dpi: Option<u32>, out: &mut dyn Write) -> io::Result<()> {
    let (width, height) = (page.width, page.height);
    let length = |pixels: usize| match dpi {
        Some(dpi) => format!("{}in", short(pixels as f32 / dpi as f32 * 10.0)),
        None => pixels.to_string(),
    };
    writeln!(
        out,
        r#"<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="{}" height="{}" viewBox="0 0 {width} {height}" font-family="'DejaVu Sans',Verdana,Arial,sans-serif">"#,
        length(width),
        length(height)
    )?;
    if !title.is_empty() {
        writeln!(out, "<title>{}</title>", escaped(title))?;
    }
    writeln!(out, r##"<rect width="100%" height="100%" fill="#fff"/>"##)?;
    let mut rims = 0;
    for item in &page.items {
        match item {
            Item::Line { from, to, width, color } => writeln!(
                out,
                r#"<path d="M{} {}L{} {}" stroke="{}" stroke-width="{}" stroke-linecap="round"/>"#,
                short(from[0] * 10.0),
                short(from[1] * 10.0),
                short(to[0] * 10.0),
                short(to[1] * 10.0),
                hex(*color),
                short(width * 10.0)
            )?,
            Item::Polygon { corners, color } => {
                let corners: Vec<String> =
                    corners.iter().map(|[x, y]| format!("{},{}", short(x * 10.0), short(y * 10.0))).collect();
                writeln!(out, r#"<polygon points="{}" fill="{}"/>"#, corners.join(" "), hex(*color))?;
            }
            Item::Marks(marks) => write_marks(marks, &mut rims, out)?,
            Item::Text { weight, size, text, left, baseline, color } => {
                let width = Type::new(*weight, *size).width(text);
                if width > 0.0 {
                    writeln!(
                        out,
                        r#"<text x="{}" y="{}" font-size="{}"{} fill="{}" textLength="{}" lengthAdjust="spacingAndGlyphs">{}</text>"#,
                        short(left * 10.0),
                        short(baseline * 10.0),
                        short(size * 10.0),
                        if *weight == Weight::Bold { r#" font-weight="bold""# } else { "" },
                        hex(*color),
                        short(width * 10.0),
                        escaped(text)
                    )?;
                }
            }
            Item::Image(image) => write_image(image, out)?,
        }
    }
    writeln!(out, "</svg>")
}

/// What points of one path have in common: all but where they are.
#[derive(Clone, Copy, PartialEq)]
struct Look {
    color: Color,
    shape: Shape,
    radius: f32,
    rim: f32,
    opacity: f32,
}

fn write_marks(marks: &[Mark], count: &mut usize, out: &mut dyn Write) -> io::Result<()> {
    if marks.is_empty() {
        return Ok(());
    }
    writeln!(out, r#"<g transform="scale(.1)" fill="none">"#)?;
    for part in marks.chunks(marks.len().div_ceil(ROUNDS)) {
        // In the order in which they are met: few looks, which need no table.
        let mut looks: Vec<(Look, Vec<&Mark>)> = Vec::new();
        for mark in part {
            let Mark { color, shape, radius, rim, opacity, .. } = *mark;
            let look = Look { color, shape, radius, rim, opacity };
            match looks.iter_mut().rev().find(|(known, _)| *known == look) {
                Some((_, marks)) => marks.push(mark),
                None => looks.push((look, vec![mark])),
            }
        }
        for (look, marks) in &looks {
            write_path(look, marks, &mut *count, out)?;
        }
    }
    writeln!(out, "</g>")
}

/// One path for all marks of a look, in tenths of a pixel; drawn twice where they have a rim, of which `count` is the number so far.
fn write_path(look: &Look, marks: &[&Mark], count: &mut usize, out: &mut dyn Write) -> io::Result<()> {
    let mut path = String::new();
    for mark in marks {
        let _ = write!(path, "M{} {}{}", (10.0 * mark.x).round(), (10.0 * mark.y).round(), outline(look));
    }
    let opacity =
        if look.opacity < 1.0 { format!(r#" opacity="{}""#, short(10.0 * look.opacity)) } else { String::new() };
    if look.rim == 0.0 {
        return writeln!(out, r#"<path {}{opacity} d="{path}"/>"#, paint(look, look.color, 0.0));
    }
    *count += 1;
    writeln!(out, r#"<defs><path id="r{count}" d="{path}"/></defs>"#)?;
    for (color, rim) in [([255; 3], look.rim), (look.color, 0.0)] {
        writeln!(out, r##"<use xlink:href="#r{count}" {}{opacity}/>"##, paint(look, color, rim))?;
    }
    Ok(())
}

/// What draws a mark from its centre. Areas are those of the other painter: see `Shape`.
fn outline(look: &Look) -> String {
    let radius = 10.0 * look.radius;
    match look.shape {
        Shape::Disc | Shape::Square => "h0".into(),
        Shape::Diamond => {
            let r = (1.253 * radius).round();
            format!("m-{r} 0l{r} {r}l{r} -{r}l-{r} -{r}z")
        }
        Shape::Triangle => {
            let (half, high, above) = ((1.282 * radius).round(), (2.22 * radius).round(), (1.48 * radius).round());
            format!("m0 -{above}l{half} {high}h-{}z", 2.0 * half)
        }
        Shape::Ring => {
            let r = (0.9 * radius).round();
            format!("m-{r} 0a{r} {r} 0 1 0 {} 0a{r} {r} 0 1 0 -{} 0", 2.0 * r, 2.0 * r)
        }
    }
}

/// How it is painted in `color`, `rim` pixels wider on every side.
fn paint(look: &Look, color: Color, rim: f32) -> String {
    let (color, radius, wider) = (hex(color), 10.0 * look.radius, 10.0 * rim);
    // Widths of strokes in tenths, of which `short` takes tenths.
    match look.shape {
        Shape::Disc => {
            format!(r#"stroke="{color}" stroke-width="{}" stroke-linecap="round""#, short(20.0 * (radius + wider)))
        }
        Shape::Square => {
            let side = 17.72 * radius + 20.0 * wider;
            format!(r#"stroke="{color}" stroke-width="{}" stroke-linecap="square""#, short(side))
        }
        Shape::Ring => format!(r#"stroke="{color}" stroke-width="{}""#, short(4.0 * radius)),
        Shape::Diamond | Shape::Triangle if rim > 0.0 => {
            format!(r#"fill="{color}" stroke="{color}" stroke-width="{}""#, short(20.0 * wider))
        }
        Shape::Diamond | Shape::Triangle => format!(r#"fill="{color}""#),
    }
}

fn write_image(image: &Image, out: &mut dyn Write) -> io::Result<()> {
    let mut bytes = Vec::new();
    png::encode(&image.bytes, image.pixels, 4, &Said::default(), &mut bytes)?;
    write!(
        out,
        r#"<image x="{}" y="{}" width="{}" height="{}" preserveAspectRatio="none" xlink:href="data:image/png;base64,"#,
        short(image.corner[0] * 10.0),
        short(image.corner[1] * 10.0),
        short(image.size[0] * 10.0),
        short(image.size[1] * 10.0)
    )?;
    let mut base64 = Base64 { out: &mut *out, left: Vec::new() };
    base64.write_all(&bytes)?;
    base64.finish()?;
    writeln!(out, r#""/>"#)
}

/// A number of tenths (or of hundredths and more, where they are not whole) as briefly as it can be said.
fn short(tenths: f32) -> String {
    let text = format!("{:.2}", f64::from(tenths) / 10.0);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

fn hex([red, green, blue]: Color) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// Text for XML, in which most control characters may not even be escaped.
fn escaped(text: &str) -> String {
    let mut safe = String::new();
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_text_is_safe() {
        assert_eq!([120.0, 125.0, -0.01, 3.3, -7.0].map(short), ["12", "12.5", "0", "0.33", "-0.7"].map(String::from));
        assert_eq!(escaped("a<b>&\"\u{0}\u{1b}é"), "a&lt;b&gt;&amp;&quot;  é");
    }
}
