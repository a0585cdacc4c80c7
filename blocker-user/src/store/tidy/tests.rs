use std::{fs, path::Path};

use rusqlite::{Connection, params};

use super::{LIMITS, Limits, Tidy};
use crate::{store::schema, time::LogTime};

const FEW: Limits = Limits { clients: 10, slice: 3, spare_pages: 0, pages: 7 };

fn database(path: &Path) -> Connection {
    let mut connection = Connection::open(path).unwrap();
    schema::prepare(&mut connection, path).unwrap();
    connection
}

/// Clients 0, 1, … with eight lines each; the ban of every other one has ended, at the second of
/// its number.
fn fill(connection: &Connection, clients: u32) {
    let mut step =
        connection.prepare("INSERT INTO steps VALUES (?1, ?2, ?3, ?1, '', '', ?4)").unwrap();
    let mut ending = connection.prepare("INSERT INTO endings VALUES (?1, ?2, '', 1)").unwrap();
    let mut ban =
        connection.prepare("INSERT INTO bans VALUES (?1, '', 0, NULL, 1, '', 0)").unwrap();
    connection.execute_batch("BEGIN").unwrap();
    for client in 0..clients {
        let (subject, at) = (client.to_string(), i64::from(client) * 1_000_000);
        for number in 0..8 {
            step.execute(params![subject, number, at, "x".repeat(250)]).unwrap();
        }
        if client % 2 == 0 {
            ending.execute(params![subject, at]).unwrap();
        } else {
            ban.execute([subject]).unwrap();
        }
    }
    connection.execute_batch("COMMIT").unwrap();
}

fn all_of_it(tidy: &mut Tidy, connection: &mut Connection, limits: &Limits) -> usize {
    assert!(tidy.is_due());
    let mut slices = 0;
    while tidy.is_due() {
        tidy.slice_of(connection, limits).unwrap();
        slices += 1;
    }
    slices
}

fn clients(connection: &Connection, sql: &str) -> Vec<i64> {
    let mut statement = connection.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let mut clients: Vec<i64> = rows.map(|row| row.unwrap().parse().unwrap()).collect();
    clients.sort_unstable();
    clients
}

#[test]
fn the_newest_stay() {
    let dir = tempfile::tempdir().unwrap();
    let mut connection = database(&dir.path().join("db"));
    fill(&connection, 60);
    let slices = all_of_it(&mut Tidy::default(), &mut connection, &FEW);
    assert!(slices > 10, "{slices}");
    let endings = clients(&connection, "SELECT subject FROM endings");
    assert_eq!(endings, (40..60).step_by(2).collect::<Vec<_>>());
    let trails = clients(&connection, "SELECT DISTINCT subject FROM steps");
    assert_eq!(trails, (50..60).collect::<Vec<_>>());
    assert_eq!(clients(&connection, "SELECT subject FROM bans").len(), 30);
}

#[test]
fn what_ended_too_long_ago_goes_though_nothing_else_ends() {
    let dir = tempfile::tempdir().unwrap();
    let mut connection = database(&dir.path().join("db"));
    fill(&connection, 10);
    let mut tidy = Tidy::default();
    tidy.forget_before(Some(LogTime::from_secs(6)));
    all_of_it(&mut tidy, &mut connection, &FEW);
    assert_eq!(clients(&connection, "SELECT subject FROM endings"), [6, 8]);
    // What led to bans in force is of interest for as long as they are.
    let trails = clients(&connection, "SELECT DISTINCT subject FROM steps");
    assert_eq!(trails, [1, 3, 5, 6, 7, 8, 9]);
}

#[test]
fn disk_is_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let mut connection = database(&path);
    fill(&connection, 3000);
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let full = fs::metadata(&path).unwrap().len();
    all_of_it(&mut Tidy::default(), &mut connection, &Limits { slice: 500, ..FEW });
    connection.close().unwrap();
    let left = fs::metadata(&path).unwrap().len();
    assert!(full > 5_000_000 && left < 500_000, "{full} {left}");
}

#[test]
fn a_database_of_usual_size_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut connection = database(&dir.path().join("db"));
    fill(&connection, 100);
    let mut tidy = Tidy::default();
    assert_eq!(all_of_it(&mut tidy, &mut connection, &LIMITS), 1);
    assert!(!tidy.is_due());
    assert_eq!(clients(&connection, "SELECT DISTINCT subject FROM steps").len(), 100);
}
