//! Charts as SVG: plotters draws them, in colours that the style sheet decides on.
//!
//! plotters writes a colour as `#rrggbb`. Each [`Ink`] is one that means nothing by itself, and is
//! a variable of the style sheet's afterwards, so that the same drawing is light and dark.

pub(super) mod hours;
pub(super) mod modes;
pub(super) mod over_time;
pub(super) mod ranks;
pub(super) mod sweep;

mod columns;

use maud::{Markup, PreEscaped, html};
use plotters::{
    backend::SVGBackend,
    coord::Shift,
    drawing::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea as _},
    element::Text,
    style::{
        FontStyle, IntoFont as _, RGBColor, TextStyle,
        text_anchor::{HPos, Pos, VPos},
    },
};

/// What a shape stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ink {
    Text,
    Muted,
    Grid,
    Failures,
    Prevented,
    Bans,
    Logins,
    Drops,
    Mark,
    /// The more lines a setting prevents, the higher, up to 4.
    Calm(u8),
    /// The more users it hits, up to 2.
    Alarm(u8),
}

const INKS: [(Ink, &str); 17] = [
    (Ink::Text, "var(--text)"),
    (Ink::Muted, "var(--muted)"),
    (Ink::Grid, "var(--grid)"),
    (Ink::Failures, "var(--failures)"),
    (Ink::Prevented, "var(--prevented)"),
    (Ink::Bans, "var(--bans)"),
    (Ink::Logins, "var(--logins)"),
    (Ink::Drops, "var(--drops)"),
    (Ink::Mark, "var(--mark)"),
    (Ink::Calm(0), "var(--calm-0)"),
    (Ink::Calm(1), "var(--calm-1)"),
    (Ink::Calm(2), "var(--calm-2)"),
    (Ink::Calm(3), "var(--calm-3)"),
    (Ink::Calm(4), "var(--calm-4)"),
    (Ink::Alarm(0), "var(--alarm-0)"),
    (Ink::Alarm(1), "var(--alarm-1)"),
    (Ink::Alarm(2), "var(--alarm-2)"),
];

impl Ink {
    fn color(self) -> RGBColor {
        let numbers = (1_u8..).zip(INKS);
        let number = numbers.into_iter().find(|(_, (ink, _))| *ink == self).map(|(n, _)| n);
        RGBColor(0, 0, number.unwrap_or_default())
    }

    /// As CSS states it.
    pub(super) fn css(self) -> &'static str {
        INKS.iter().find(|(ink, _)| *ink == self).map_or("currentColor", |(_, css)| css)
    }
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Painted = Result<(), DrawingAreaErrorKind<std::io::Error>>;

/// A chart of one size.
pub(super) struct Drawing {
    size: (u32, u32),
    shapes: String,
}

/// `None` where that fails, which a string gives no reason for.
fn draw(size: (u32, u32), paint: impl FnOnce(&Area<'_>) -> Painted) -> Option<Drawing> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        paint(&area).and_then(|()| area.present()).ok()?;
    }
    let (_, shapes) = svg.split_once('>')?;
    let mut shapes = shapes.trim().strip_suffix("</svg>")?.to_owned();
    for (ink, css) in INKS {
        let RGBColor(r, g, b) = ink.color();
        // With its quotes, which text in the chart cannot hold.
        shapes = shapes.replace(&format!("\"#{r:02X}{g:02X}{b:02X}\""), &format!("\"{css}\""));
    }
    Some(Drawing { size, shapes })
}

/// Text of so many pixels; plotters takes the size of its line.
fn font(pixels: f64, ink: Ink, at: (HPos, VPos)) -> TextStyle<'static> {
    let style = ("sans-serif", pixels * 1.24).into_font().color(&ink.color());
    style.pos(Pos::new(at.0, at.1))
}

fn bold(pixels: f64, ink: Ink, at: (HPos, VPos)) -> TextStyle<'static> {
    let style = ("sans-serif", pixels * 1.24, FontStyle::Bold).into_font().color(&ink.color());
    style.pos(Pos::new(at.0, at.1))
}

fn write(area: &Area<'_>, text: &str, at: (i32, i32), style: TextStyle<'static>) -> Painted {
    area.draw(&Text::new(text.to_owned(), at, style))
}

/// One and the same chart for those who see it, in one or two widths, and for those who do not.
pub(super) struct Figure<'a> {
    /// Of no other figure.
    pub(super) id: &'a str,
    pub(super) title: &'a str,
    /// What there is to see, in a sentence or two.
    pub(super) says: String,
    pub(super) legend: &'a [(Ink, &'a str)],
    /// For screens and paper; where it is missing, the other one does for all.
    pub(super) wide: Option<Drawing>,
    pub(super) narrow: Option<Drawing>,
    /// The same as a table.
    pub(super) numbers: Markup,
}

impl Figure<'_> {
    pub(super) fn html(&self) -> Markup {
        let narrow = if self.wide.is_some() { "narrow" } else { "any" };
        html! {
            figure id=(self.id) {
                @if !self.legend.is_empty() {
                    ul.legend {
                        @for (ink, text) in self.legend {
                            li { span.swatch style={ "background:" (ink.css()) } {} (text) }
                        }
                    }
                }
                @if let Some(drawing) = &self.wide { (self.svg(drawing, "wide")) }
                @if let Some(drawing) = &self.narrow { (self.svg(drawing, narrow)) }
                details { summary { "The numbers" } (self.numbers) }
            }
        }
    }

    fn svg(&self, drawing: &Drawing, width: &str) -> Markup {
        let (title, desc) =
            (format!("{}-{width}-title", self.id), format!("{}-{width}-desc", self.id));
        let (w, h) = drawing.size;
        html! {
            svg class=(width) viewBox={ "0 0 " (w) " " (h) } role="img"
                aria-labelledby={ (title) " " (desc) } {
                title id=(title) { (self.title) }
                desc id=(desc) { (self.says) }
                (PreEscaped(&drawing.shapes))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_the_style_sheets_and_text_is_text() {
        let style = || font(12.0, Ink::Calm(2), (HPos::Left, VPos::Top));
        let drawing = draw((9, 9), |area| write(area, "\"#000002\"</svg><b>", (1, 1), style()));
        let shapes = drawing.unwrap().shapes;
        assert!(shapes.contains("fill=\"var(--calm-2)\""), "{shapes}");
        assert!(shapes.contains("&quot;#000002&quot;&lt;/svg&gt;&lt;b&gt;"), "{shapes}");
    }

    #[test]
    fn every_ink_is_in_the_style_sheet_for_light_and_for_dark() {
        let css = include_str!("../style.css");
        for (ink, name) in INKS {
            let name = name.trim_start_matches("var(").trim_end_matches(')');
            assert_eq!(ink.css(), format!("var({name})"));
            assert_eq!(css.matches(&format!("{name}:")).count(), 3, "{name}: light, dark, paper");
        }
    }
}
