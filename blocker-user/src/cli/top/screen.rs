//! The screen: whatever its size, the most important is on it.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Modifier, Style},
    text::Line,
    widgets::{Block, Paragraph, Row, Table},
};

use super::watch::Watch;
use crate::{cli::output::visible, control::api::Listed};

/// Fewer lines than this are for the numbers alone.
const FEW_LINES: u16 = 12;
/// Two tables side by side need this many columns.
const WIDE: u16 = 72;
const HEADER_LINES: u16 = 5;

pub(super) fn draw(frame: &mut Frame<'_>, watch: &Watch) {
    let area = frame.area();
    let [header, rest] =
        Layout::vertical([Constraint::Length(HEADER_LINES), Constraint::Min(0)]).areas(area);
    frame.render_widget(Paragraph::new(numbers(watch)), header);
    if area.height < FEW_LINES {
        return sources(frame, rest, watch);
    }
    let halves = [Constraint::Percentage(50), Constraint::Percentage(50)];
    let [above, below] = Layout::vertical(halves).areas(rest);
    sources(frame, above, watch);
    let coming = ("banned last", &watch.now.newest);
    let going = ("ending next", &watch.now.ending);
    if area.width < WIDE {
        return bans(frame, below, coming.0, coming.1, |ban| ban.banned_at.clone());
    }
    let [left, right] = Layout::horizontal(halves).areas(below);
    bans(frame, left, coming.0, coming.1, |ban| ban.banned_at.clone());
    let end = |ban: &Listed| ban.expires_at.clone().unwrap_or_else(|| "without end".to_owned());
    bans(frame, right, going.0, going.1, end);
}

fn numbers(watch: &Watch) -> Vec<Line<'static>> {
    let (status, rates) = (&watch.now.status, &watch.rates);
    let attached = match (status.dry_run, status.interfaces.is_empty()) {
        (true, _) => "dry run, nothing is dropped".to_owned(),
        (false, true) => "DETACHED, nothing is dropped".to_owned(),
        (false, false) => status.interfaces.join(" "),
    };
    let last = match &watch.trouble {
        Some(trouble) => {
            let trouble = visible(trouble);
            Line::styled(trouble, Style::new().add_modifier(Modifier::REVERSED))
        }
        None => Line::raw("q quits"),
    };
    vec![
        Line::raw(format!("doveblock {}  {}  {attached}", status.version, status.mode)),
        Line::styled(
            format!(
                "dropped  {}/s  {} B/s  {} in all",
                rates.packets, rates.bytes, status.counters.dropped_packets
            ),
            Style::new().add_modifier(Modifier::BOLD),
        ),
        Line::raw(format!(
            "banned   {} now  {} in all  {} evicted",
            status.currently_banned, status.total_banned, status.total_evicted
        )),
        Line::raw(format!(
            "log      {} lines/s  {} failures/s  {} failing",
            rates.lines, rates.failures, status.currently_failed
        )),
        last,
    ]
}

fn sources(frame: &mut Frame<'_>, area: Rect, watch: &Watch) {
    let rows = watch.sources.iter().map(|(ban, rate)| {
        let cells = [ban.ip.clone(), rate.to_string(), ban.dropped_packets.to_string()];
        Row::new(cells.into_iter().chain([ban.attempts.to_string()]))
    });
    let widths = [
        Constraint::Min(18),
        Constraint::Length(10),
        Constraint::Length(12),
        Constraint::Length(8),
    ];
    let heading = Row::new(["source", "drops/s", "dropped", "attempts"])
        .style(Style::new().add_modifier(Modifier::BOLD));
    frame.render_widget(Table::new(rows, widths).header(heading), area);
}

fn bans(
    frame: &mut Frame<'_>,
    area: Rect,
    title: &'static str,
    bans: &[Listed],
    when: impl Fn(&Listed) -> String,
) {
    let rows = bans.iter().map(|ban| Row::new([clock(&when(ban)), ban.ip.clone()]));
    let widths = [Constraint::Length(11), Constraint::Min(10)];
    let table = Table::new(rows, widths).block(Block::new().title(title));
    frame.render_widget(table, area);
}

/// The time of day of an RFC 3339 time, as it is.
fn clock(time: &str) -> String {
    let (_, rest) = time.split_once('T').unwrap_or(("", time));
    rest.get(..8).filter(|_| time.contains('T')).unwrap_or(rest).to_owned()
}

#[cfg(test)]
mod tests {
    use ratatui::{Terminal, backend::TestBackend};

    use super::{clock, draw};
    use crate::cli::top::watch::{Watch, tests::top};

    fn shown(width: u16, height: u16, watch: &Watch) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, watch)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn everything_is_on_a_screen_of_80_by_24() {
        let mut watch = Watch::new(top(0));
        watch.look(Ok(top(100)));
        let screen = shown(80, 24, &watch);
        for part in [
            "doveblock 0.1.0  aggressive  eth0",
            "110 in all",
            "2 now  4 in all",
            "192.0.2.7",
            "2001:db8:1:2::/64",
            "banned last",
            "ending next",
            "06:25:01",
            "07:25:01",
            "q quits",
        ] {
            assert!(screen.contains(part), "no {part:?} on\n{screen}");
        }
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let mut watch = Watch::new(top(7));
        assert!(!shown(60, 24, &watch).contains("ending next"));
        let few = shown(40, 8, &watch);
        assert!(few.contains("192.0.2.7") && !few.contains("banned last"), "{few}");
        for (width, height) in [(1, 1), (2, 30), (200, 2), (500, 200)] {
            shown(width, height, &watch);
        }
        watch.look(Err("no doveblock answers".to_owned()));
        assert!(shown(80, 24, &watch).contains("no doveblock answers"));
    }

    #[test]
    fn the_clock_is_taken_from_times_and_from_nothing_else() {
        assert_eq!(clock("2026-11-25T06:25:01Z"), "06:25:01");
        assert_eq!(clock("without end"), "without end");
    }
}
