//! Horizontal bars as SVG, by hand: a page of text shows them without a script.
use std::fmt::Write as _;

/// One bar; the shorter the better.
pub(super) struct Bar {
    pub(super) label: String,
    /// In nanoseconds for a packet.
    pub(super) ns: f64,
    /// One of ours, in another colour.
    pub(super) ours: bool,
}

/// Bars under one heading, which share a scale.
pub(super) struct Group {
    pub(super) title: String,
    pub(super) bars: Vec<Bar>,
}

const WIDTH: f64 = 760.0;
const LABELS: f64 = 260.0;
/// For the number behind the longest bar.
const NUMBERS: f64 = 80.0;
const LINE: f64 = 24.0;

pub(super) fn svg(groups: &[Group]) -> String {
    let lines: usize = groups.iter().map(|group| group.bars.len() + 2).sum();
    let height = LINE * lines as f64 + LINE;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n"
    );
    let mut y = LINE;
    for group in groups {
        // Writing to a String cannot fail.
        let _infallible = writeln!(
            text,
            "<text x=\"10\" y=\"{y}\" font-weight=\"bold\">{}</text>",
            escaped(&group.title)
        );
        y += LINE;
        let longest = group.bars.iter().map(|bar| bar.ns).fold(1.0, f64::max);
        for bar in &group.bars {
            let length = (WIDTH - LABELS - NUMBERS) * bar.ns / longest;
            let (colour, top) = (if bar.ours { "#2a7f62" } else { "#9aa5b1" }, y - 13.0);
            let end = LABELS + length + 6.0;
            let _infallible = writeln!(
                text,
                "<text x=\"{}\" y=\"{y}\" text-anchor=\"end\">{}</text>\
                 <rect x=\"{LABELS}\" y=\"{top}\" width=\"{length:.1}\" height=\"16\" \
                 fill=\"{colour}\"/><text x=\"{end:.1}\" y=\"{y}\">{:.0} ns</text>",
                LABELS - 8.0,
                escaped(&bar.label),
                bar.ns
            );
            y += LINE;
        }
        y += LINE;
    }
    text.push_str("</svg>\n");
    text
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bar_fills_the_room_and_labels_are_escaped() {
        let bar = |label: &str, ns, ours| Bar { label: label.to_owned(), ns, ours };
        let bars = vec![bar("a < b & c", 200.0, false), bar("ours", 50.0, true)];
        let text = svg(&[Group { title: "t".to_owned(), bars }]);
        assert!(text.contains("a &lt; b &amp; c"), "{text}");
        assert!(text.contains("width=\"420.0\"") && text.contains("width=\"105.0\""), "{text}");
        for tag in ["svg", "text"] {
            let opened = text.matches(&format!("<{tag} ")).count();
            assert_eq!(opened, text.matches(&format!("</{tag}>")).count(), "{tag}");
        }
    }
}
