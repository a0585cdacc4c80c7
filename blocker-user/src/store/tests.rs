//! The database itself, under what happens to files.

use std::{fs, path::Path, time::Duration};

use rusqlite::Connection;

use super::{
    Ban, Batch, Dropped, Ending, Happened, Place, Reader, Saved, Seeds, Store, StoreError, Tally,
    Totals, What, forget_bans,
};
use crate::{
    jail::{Changes, Row, Table},
    source::{Position, Waiter},
    time::LogTime,
};

const PATIENCE: Duration = Duration::from_secs(20);

fn open(dir: &Path) -> Result<(Store, Saved), StoreError> {
    Store::open(dir, Waiter::new().unwrap().waker())
}

fn ban(ip: &str) -> Ban {
    Ban {
        subject: format!("{ip}/32").parse().unwrap(),
        banned_at: LogTime::from_secs(1000),
        expires: Some(LogTime::from_secs(4600)),
        attempts: 5,
        cause: "auth-failed".to_owned(),
        earlier: 2,
        steps: Vec::new(),
    }
}

fn batch(bans: &[Ban]) -> Batch {
    let place = Place {
        position: Position::Cursor("s=1".to_owned()),
        read_until: LogTime::from_secs(1700),
    };
    let row = Row { table: Table::Active, key: vec![1], value: Some(vec![2]) };
    Batch {
        jail: Changes { rows: vec![row], ..Changes::default() },
        bans: bans.iter().map(|ban| (ban.subject, Some(ban.clone()))).collect(),
        totals: Totals { lines: 7, failures: 5, bans: 1, evicted: 0 },
        places: vec![("/var/log/mail.log".to_owned(), place)],
        seeds: Some(Seeds { names: [1; 16], jail: 2 }),
        enforced_in: Some("boot /pins".to_owned()),
        ..Batch::default()
    }
}

fn write(store: &Store, batch: Batch) {
    store.write(batch);
    assert!(store.wait_idle(PATIENCE));
}

#[test]
fn gives_back_what_it_was_given() {
    let dir = tempfile::tempdir().unwrap();
    let (store, saved) = open(dir.path()).unwrap();
    assert!(store.take_blank() && !store.take_blank());
    assert!(saved.seeds.is_none());
    let bans = [ban("192.0.2.7"), ban("192.0.2.8")];
    write(&store, batch(&bans));
    let ended = (bans[0].subject, None);
    write(&store, Batch { bans: vec![ended], set_by: 60_000_000, ..batch(&[]) });
    store.close(PATIENCE);

    let (store, saved) = open(dir.path()).unwrap();
    assert!(!store.take_blank());
    assert_eq!(saved.bans, [bans[1].moved(60_000_000)]);
    assert_eq!(saved.totals.lines, 7);
    assert_eq!(saved.rows, [(Table::Active.number(), vec![1], vec![2])]);
    assert_eq!(saved.places, batch(&[]).places.into_iter().collect());
    assert_eq!(saved.seeds, Some(Seeds { names: [1; 16], jail: 2 }));
}

#[test]
fn of_every_ban_in_force_no_other_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path()).unwrap();
    write(&store, batch(&[ban("192.0.2.7"), ban("192.0.2.8")]));
    write(&store, Batch { every_ban: true, ..batch(&[ban("192.0.2.9")]) });
    store.close(PATIENCE);
    let (_, saved) = open(dir.path()).unwrap();
    assert_eq!(saved.bans, [ban("192.0.2.9")]);
}

#[test]
fn what_happened_is_told_once_and_for_ninety_days() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path()).unwrap();
    let at = LogTime::from_secs;
    let tally = |secs: i64| {
        let mut tally = Tally::default();
        tally.add(at(secs), What::Failure("auth-failed"));
        tally
    };
    let dropped = |secs: i64, packets| Some(Dropped { at: at(secs), packets, bytes: packets * 60 });
    let told = ban("192.0.2.7");
    let happened = || vec![Happened::Banned(told.clone())];
    let first = Batch { dropped: dropped(1000, 500), ..batch(std::slice::from_ref(&told)) };
    write(&store, Batch { tally: tally(1000), happened: happened(), ..first });
    // Adopted at a start, then moved with the clock, then lifted.
    let again = Batch { tally: tally(1001), happened: happened(), ..batch(&[]) };
    write(&store, Batch { dropped: dropped(3700, 507), ..again });
    write(&store, Batch { set_by: 1_000_000, ..batch(&[]) });
    let ending = Ending { at: at(4000), how: "lifted".to_owned(), bans: 1 };
    let ended = vec![Happened::Ended(told.subject, ending)];
    // Other pins begin anew.
    let other = Some("boot 2 /pins".to_owned());
    write(
        &store,
        Batch { dropped: dropped(3700, 3), enforced_in: other, happened: ended, ..batch(&[]) },
    );

    let reader = Reader::of(dir.path());
    let chronicle = reader.chronicle(at(0), at(5000)).unwrap();
    let counts: Vec<_> = chronicle
        .counts
        .iter()
        .map(|of| (of.hour.0.as_secs(), of.kind.as_str(), of.count))
        .collect();
    assert_eq!(
        counts,
        [(0, "failure", 2), (3600, "dropped bytes", 600), (3600, "dropped packets", 10)]
    );
    let begins: Vec<_> = chronicle.bans.iter().map(|ban| ban.banned_at.0.as_secs()).collect();
    assert_eq!(begins, [1001]);
    assert!(chronicle.bans.iter().all(|ban| ban.ended_how.as_deref() == Some("lifted")));
    assert_eq!(reader.chronicle(at(3600), at(5000)).unwrap().bans, []);

    let ninety_days_on = 4000 + 90 * 86_400;
    write(&store, Batch { dropped: dropped(ninety_days_on, 4), ..batch(&[]) });
    let left = reader.chronicle(at(0), at(ninety_days_on)).unwrap();
    assert!(left.bans.is_empty() && left.counts.iter().all(|of| of.kind != "failure"), "{left:?}");
}

#[test]
fn two_daemons_do_not_share_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, _) = open(dir.path()).unwrap();
    let refused = open(dir.path()).err().unwrap().to_string();
    assert!(refused.contains("another doveblock") && refused.contains("--state-dir"), "{refused}");
}

#[test]
fn what_a_newer_version_or_another_program_wrote_is_left_alone() {
    for (sql, expected) in [
        ("PRAGMA user_version = 99", "newer doveblock"),
        ("PRAGMA application_id = 7; CREATE TABLE t (x)", "another program"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = open(dir.path()).unwrap();
        store.close(PATIENCE);
        let path = dir.path().join("doveblock.sqlite3");
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        let before = fs::read(&path).unwrap();
        let refused = open(dir.path()).err().unwrap().to_string();
        assert!(refused.contains(expected), "{refused}");
        assert_eq!(fs::read(&path).unwrap(), before);
    }
}

#[test]
fn a_database_that_somebody_locks_is_written_later() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path()).unwrap();
    write(&store, batch(&[]));
    let other = Connection::open(dir.path().join("doveblock.sqlite3")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (done, heard) = std::sync::mpsc::channel();
    let after: Vec<Box<dyn FnOnce() + Send>> = vec![Box::new(move || done.send(()).unwrap())];
    store.write(Batch { after, ..batch(&[ban("192.0.2.7")]) });
    // Nobody waits for the lock to go.
    heard.recv_timeout(PATIENCE).unwrap();
    assert!(!store.is_idle());
    other.execute_batch("ROLLBACK").unwrap();
    assert!(store.wait_idle(PATIENCE));
    store.close(PATIENCE);
    assert_eq!(open(dir.path()).unwrap().1.bans.len(), 1);
}

#[test]
fn a_directory_that_cannot_be_made_stops_nobody() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let (store, saved) = open(&dir.path().join("file/state")).unwrap();
    assert!(saved.seeds.is_none() && store.is_failing());
    store.write(batch(&[]));
    store.close(PATIENCE);
}

#[test]
fn detaching_forgets_the_bans_of_its_own_pins() {
    let dir = tempfile::tempdir().unwrap();
    forget_bans(dir.path(), Path::new("/pins")).unwrap();
    let (store, _) = open(dir.path()).unwrap();
    write(&store, batch(&[ban("192.0.2.7")]));
    store.close(PATIENCE);
    let left = || {
        let (store, saved) = open(dir.path()).unwrap();
        store.close(PATIENCE);
        (saved.bans.len(), saved.rows.len(), saved.totals.lines)
    };
    forget_bans(dir.path(), Path::new("/other/pins")).unwrap();
    assert_eq!(left(), (1, 1, 7));
    forget_bans(dir.path(), Path::new("/pins")).unwrap();
    assert_eq!(left(), (0, 0, 7));
}
