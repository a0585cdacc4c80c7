//! Several threads do what one does.

use std::{fs, path::Path};

use indicatif::ProgressBar;
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::{
    super::{
        criteria::Criteria,
        filter::Filter,
        lines::{Printing, Task},
        report,
    },
    judge,
};
use crate::{
    cli::{
        Format,
        config::ConfigArgs,
        reading::{self, Log},
    },
    dovecot::Mode,
    time::LogTime,
};

/// A month after the hour that came twice in 2026, in a zone that had it.
const NOW: LogTime = LogTime::from_secs(1_795_539_600); // 2026-11-24T17:00:00Z
const ZONE: &str = "Europe/Berlin";

fn task(format: Format) -> Task {
    let config = ConfigArgs { config: None, fail2ban: None };
    let filter = Some(Filter::Rules(Mode::Aggressive));
    let printing = Printing {
        format,
        all_matched: true,
        all_missed: false,
        all_ignored: false,
        some_missed: true,
        some_ignored: true,
    };
    let criteria = Criteria::of(filter, None, &config).unwrap();
    Task { criteria, zone: TimeZone::get(ZONE).unwrap(), now: NOW, printing }
}

/// All that is printed of a log.
fn printed(log: &Path, format: Format, threads: usize) -> String {
    let task = task(format);
    let inputs = reading::check(vec![Log::File(log.to_owned())]).unwrap();
    let mut out = Vec::new();
    let judged = judge(inputs, &ProgressBar::hidden(), &task, threads, &mut out).unwrap();
    assert_eq!(judged.troubles, [""; 0]);
    report::print(&mut out, &task, &[], &judged.tally, true).unwrap();
    String::from_utf8(out).unwrap()
}

fn assert_alike(log: &[u8]) {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, log).unwrap();
    for format in [Format::Json, Format::Text] {
        let expected = printed(file.path(), format, 1);
        for threads in [2, 3, 5] {
            let found = printed(file.path(), format, threads);
            let differing =
                expected.lines().zip(found.lines()).find(|(one, several)| one != several);
            assert!(expected == found, "{threads} threads: {differing:?}");
        }
    }
}

/// A failure at that time, in a line so long that a few hundred fill several blocks.
fn line(stamp: &str) -> Vec<u8> {
    let line = format!(
        "{stamp} mail dovecot: imap-login: Disconnected (auth failed, 1 attempts in 2 secs): \
         user=<{:x>4000}>, method=PLAIN, rip=192.0.2.7, lip=192.0.2.1\n",
        ""
    );
    line.into_bytes()
}

#[test]
fn the_hour_that_comes_twice_is_told_apart_by_several_threads_too() {
    let minutes =
        |hour: u8| (0..60).map(move |minute| line(&format!("Oct 25 {hour:02}:{minute:02}:00")));
    let log = (0..2).flat_map(minutes).chain(minutes(2)).chain(minutes(2)).chain(minutes(3));
    let log: Vec<u8> = log.flatten().collect();
    assert_alike(&log);

    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, &log).unwrap();
    let json = printed(file.path(), Format::Json, 2);
    let times = |hour: &str| json.matches(&format!("\"2026-10-25T{hour}:")).count();
    assert_eq!([times("00"), times("01"), times("02")], [60, 60, 60]);
}

fn stamp() -> impl Strategy<Value = String> {
    let time = (0_u8..5, 0_u8..60, 0_u8..60);
    let day = prop_oneof![
        4 => Just(("Oct 25", "2026-10-25")),
        1 => Just(("Oct 31", "2026-10-31")),
        1 => Just(("Dec 31", "2025-12-31")),
        1 => Just(("Jan  1", "2026-01-01")),
        1 => Just(("Mar 29", "2026-03-29")),
        1 => Just(("Nov 31", "2026-11-31")),
        1 => Just(("Oct 26", "2025-10-26")),
    ];
    (day, time, 0_u8..4).prop_map(|((classic, iso), (hour, minute, second), kind)| match kind {
        0 => format!("{iso}T{hour:02}:{minute:02}:{second:02}.{minute}"),
        1 => format!("{iso}T{hour:02}:{minute:02}:{second:02}+02:00"),
        _ => format!("{classic} {hour:02}:{minute:02}:{second:02}"),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn any_number_of_threads_prints_the_same(
        stamps in proptest::collection::vec(stamp(), 0..400),
        short in any::<bool>(),
    ) {
        let mut log = Vec::new();
        for stamp in stamps {
            log.extend(line(&stamp));
            if short {
                log.extend(format!("{stamp} mail cron[1]: hello\n").into_bytes());
            }
        }
        assert_alike(&log);
    }
}
