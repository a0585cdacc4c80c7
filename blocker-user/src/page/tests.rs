mod fixture;

use super::html;
use crate::{
    report::{self, Drops, Report, Source},
    time,
};

/// How often a tag or anything else is there.
fn count(page: &str, what: &str) -> usize {
    page.matches(what).count()
}

#[test]
fn nothing_can_be_loaded_or_run() {
    let page = html(&fixture::report());
    for forbidden in
        ["<script", "<img", "<link", "<iframe", "src=\"", "url(", "@import", "onmouseover=\""]
    {
        assert_eq!(count(&page, forbidden), 0, "{forbidden}");
    }
    assert!(page.contains("default-src &#39;none&#39;") || page.contains("default-src 'none'"));
    assert_eq!(
        count(&page, "http://"),
        count(&page, "http://192.0.2.1/x&gt;"),
        "only a user's name"
    );
}

#[test]
fn names_are_text_and_turn_nothing_around() {
    let page = html(&fixture::report());
    assert!(page.contains("&lt;/script&gt;&lt;script&gt;alert(1)"));
    assert!(page.contains(r"\u{202e}moc.elpmaxe@ecila\u{0}"), "shown as what it is");
    assert!(!page.contains('\u{202e}') && !page.contains('\0'));
}

#[test]
fn every_chart_has_a_title_a_description_and_its_numbers() {
    let page = html(&fixture::report());
    let charts = count(&page, "<svg");
    assert_eq!(charts, 9, "three of them in two widths");
    assert_eq!(count(&page, r#"role="img""#), charts);
    assert_eq!(count(&page, "<desc"), charts);
    assert_eq!(count(&page, "<summary>The numbers</summary>"), 6);
    let mut ids: Vec<&str> =
        page.split(" id=\"").skip(1).filter_map(|at| at.split('"').next()).collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all, "an id is there once");
}

#[test]
fn the_heat_map_has_every_cell_and_marks_one() {
    let report = fixture::report();
    let page = html(&report);
    let cells = report.sweep.as_ref().map_or(0, |sweep| sweep.cells.len());
    assert_eq!(cells, 36);
    assert_eq!(count(&page, "★ "), 1, "in the wide one");
    assert_eq!(count(&page, ">recommended<"), 1);
    assert_eq!(count(&page, "stroke-width=\"3\""), 2, "a frame in either");
}

#[test]
fn a_report_of_nothing_is_a_page_that_says_so() {
    let page = html(&fixture::nothing());
    for says in [
        "Nobody failed to log in.",
        "Nothing was counted in this time.",
        "There were no bans.",
        "No time was covered.",
    ] {
        assert!(page.contains(says), "{says}");
    }
    assert!(!page.contains("NaN"));
}

#[test]
fn what_was_left_out_is_said() {
    let page = html(&fixture::report());
    assert!(page.contains("1,604 are left out"));
    assert!(page.contains("115 more"), "of 140 bans");
    let page = html(&fixture::many(10_000));
    assert!(page.contains("9,975 more") && page.len() < 8_000_000, "{} bytes", page.len());
}

#[test]
fn history_says_what_was_done() {
    let drops = Some(Drops { packets: 12_345, bytes: 678_900 });
    let mut report = Report { kind: Source::History, drops, ..fixture::report() };
    report.modes = Vec::new();
    report.sweep = None;
    report.recommendation = None;
    report.series.prevented = Vec::new();
    report.series.drops = vec![5; report.series.failures.len()];
    let page = html(&report);
    assert!(page.contains("872 clients were banned, and 12,345 packets of theirs dropped"));
    for absent in ["would", "heat-map", "Normal against"] {
        let found = page.split_once(absent).map(|(before, _)| before.chars().rev().take(80));
        let found: Option<String> =
            found.map(|end| end.collect::<Vec<_>>().into_iter().rev().collect());
        assert_eq!(found, None, "before {absent}");
    }
}
