//! What is kept of a jail, and that another one goes on from it.

use std::fmt::Write as _;

use super::{GUESS, PROBE, address, fail, failure, is_ban, jail, log_in, policy, secs, with};
use crate::{
    dovecot::{Failure, Guesses, Name, Passdb, Session},
    jail::{FORMAT, Increment, Jail, Policy, Row},
};

/// Something in every table.
fn lived() -> Jail {
    let mut jail = jail();
    jail.track(false);
    let guesses = Guesses::One { passdb: Passdb::from_number(3) };
    let session = Some(Session::from_number(7));
    let guess = Failure { guesses, ..failure(address(1), &GUESS) };
    jail.failure(&guess, secs(1000), secs(1000));
    jail.failure(&Failure { session, ..guess }, secs(1010), secs(1010));
    log_in(&mut jail, address(2), 1020);
    jail.master_login(Name::MASTER, secs(1030));
    assert!(is_ban(fail(&mut jail, "192.0.2.3", 3, 1040)));
    jail
}

fn rows(jail: &mut Jail) -> Vec<Row> {
    let mut rows = jail.changes().rows;
    rows.sort_by_key(|row| (row.table, row.key.clone()));
    rows
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// Whoever changes what these show counts [`FORMAT`] up, and this with it.
#[test]
fn rows_are_of_the_format_that_they_claim() {
    let rows: Vec<String> = rows(&mut lived())
        .iter()
        .map(|row| {
            let value = row.value.as_deref().map_or("gone".to_owned(), hex);
            format!("{:?} {} {value}", row.table, hex(&row.key))
        })
        .collect();
    assert_eq!(FORMAT, 1);
    let expected = [
        "Windows 00000000000000000000ffffc0000201a0 80a8d6b90780829bc307020001",
        "Sessions 00000000000000000000ffffc00002010700000000000000 f2070300010000010000000000010001",
        "Loose 00000000000000000000ffffc0000201a0 e80703000100010100000000010001",
        "Logins 00000000000000000000ffffc0000202a0 80dcdfcc07",
        "Active 00000000000000000000ffffc0000203a0 80a086c922030302",
        "Masters  010180b6a4d607",
    ];
    assert_eq!(rows, expected);
}

#[test]
fn another_jail_goes_on_from_it_and_keeps_the_same() {
    let kept = rows(&mut lived());
    let mut jail = jail();
    let stored = kept
        .iter()
        .filter_map(|row| Some((row.table.number(), row.key.clone(), row.value.clone()?)));
    jail.restore(stored).unwrap();
    jail.track(false);
    assert_eq!(rows(&mut jail), kept);
    assert_eq!((jail.currently_banned(), jail.currently_failed()), (1, 1));
    // One more after two, and the probes of one who logged in.
    assert!(is_ban(fail(&mut jail, "192.0.2.1", 1, 1050)));
    assert!(!is_ban(fail(&mut jail, "192.0.2.2", 9, 1050)));
}

#[test]
fn only_what_has_changed_is_told_of_once_all_of_it_was() {
    let mut jail = lived();
    assert!(!jail.changes().forget.is_empty());
    assert!(jail.changes().is_empty());
    jail.failure(&failure(address(9), &PROBE), secs(1050), secs(1050));
    let changes = jail.changes();
    assert!(changes.forget.is_empty());
    assert_eq!(changes.rows.len(), 1, "{:?}", changes.rows);
    jail.expire(secs(90_000));
    assert!(jail.changes().rows.iter().all(|row| row.value.is_none()));
}

#[test]
fn histories_are_kept_where_they_are_made() {
    let increment = Increment { enabled: true, ..Increment::default() };
    let mut jail = with(Policy { increment, ..policy() });
    jail.track(true);
    assert!(is_ban(fail(&mut jail, "192.0.2.3", 3, 1040)));
    let [(subject, Some(history))] = jail.changes().histories[..] else { panic!("no history") };
    assert_eq!((history.subject, history.bans, history.at), (subject, 1, secs(1040)));
    jail.pardon(&subject);
    assert_eq!(jail.changes().histories, [(subject, None)]);
}

#[test]
fn rows_of_something_else_are_refused() {
    assert!(jail().restore([(99, vec![], vec![])]).is_err());
    assert!(jail().restore([(1, vec![1, 2], vec![3])]).is_err());
}
