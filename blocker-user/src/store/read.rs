//! Everything an earlier daemon left, out of the database.

use ipnet::IpNet;
use rusqlite::{Connection, OptionalExtension as _, Result, Row, types::Type};

use super::{Ban, Place, Saved, Seeds, Totals};
use crate::{
    dovecot::SEED_LEN,
    firewall::host,
    jail::{FORMAT, History},
    time::LogTime,
};

pub(super) fn all(connection: &Connection) -> Result<Saved> {
    let seeds = match (meta(connection, "name_seed")?, meta(connection, "jail_seed")?) {
        (Some(names), Some(jail)) => Some(Seeds {
            names: number::<SEED_LEN>(&names)?,
            jail: u64::from_le_bytes(number(&jail)?),
        }),
        _ => None,
    };
    let total = |name: &str| -> Result<u64> {
        let sql = "SELECT value FROM totals WHERE name = ?1";
        let value: Option<i64> = connection.query_row(sql, [name], |row| row.get(0)).optional()?;
        Ok(value.and_then(|value| u64::try_from(value).ok()).unwrap_or(0))
    };
    let totals = Totals {
        lines: total("lines")?,
        failures: total("failures")?,
        bans: total("bans")?,
        evicted: total("evicted")?,
    };
    let format = meta(connection, "rows_format")?;
    let has_other_rows = format.is_some_and(|format| format != FORMAT.to_le_bytes());
    let rows = if !has_other_rows {
        list(connection, "SELECT number, key, value FROM jail", |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?
    } else {
        tracing::warn!(
            "what is remembered of failures that have made no ban yet was written by another \
             version of doveblock, and is forgotten"
        );
        Vec::new()
    };
    let places = list(connection, "SELECT source, position, read_until FROM places", |row| {
        let position =
            serde_json::from_str(&row.get::<_, String>(1)?).map_err(|error| invalid(1, error))?;
        Ok((row.get(0)?, Place { position, read_until: time(row, 2)? }))
    })?;
    Ok(Saved {
        bans: bans(connection)?,
        histories: histories(connection)?,
        rows,
        has_other_rows,
        totals,
        places: places.into_iter().collect(),
        seeds,
        enforced_in: enforced_in(connection)?,
    })
}

fn bans(connection: &Connection) -> Result<Vec<Ban>> {
    let sql = "SELECT subject, banned_at, expires_at, attempts, cause, earlier_bans FROM bans";
    list(connection, sql, |row| {
        Ok(Ban {
            subject: subject(row)?,
            banned_at: time(row, 1)?,
            expires: optional_time(row, 2)?,
            attempts: row.get(3)?,
            cause: row.get(4)?,
            earlier: row.get(5)?,
            steps: Vec::new(),
        })
    })
}

fn histories(connection: &Connection) -> Result<Vec<History>> {
    list(connection, "SELECT subject, bans, banned_at, ends_at FROM history", |row| {
        Ok(History {
            subject: subject(row)?,
            bans: row.get(1)?,
            at: time(row, 2)?,
            end: optional_time(row, 3)?,
        })
    })
}

pub(super) fn enforced_in(connection: &Connection) -> Result<Option<String>> {
    let place = meta(connection, "enforced_in")?;
    Ok(place.map(|place| String::from_utf8_lossy(&place).into_owned()))
}

fn meta(connection: &Connection, name: &str) -> Result<Option<Vec<u8>>> {
    let sql = "SELECT value FROM meta WHERE name = ?1";
    connection.query_row(sql, [name], |row| row.get(0)).optional()
}

fn number<const N: usize>(bytes: &[u8]) -> Result<[u8; N]> {
    bytes.try_into().map_err(|error: std::array::TryFromSliceError| invalid(0, error))
}

fn list<T>(
    connection: &Connection,
    sql: &str,
    each: impl FnMut(&Row<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    connection.prepare(sql)?.query_map([], each)?.collect()
}

/// The first column.
fn subject(row: &Row<'_>) -> Result<IpNet> {
    parse_subject(0, &row.get::<_, String>(0)?)
}

pub(super) fn parse_subject(column: usize, text: &str) -> Result<IpNet> {
    let address = text.parse().map(host);
    address.or_else(|_| text.parse()).map_err(|error: ipnet::AddrParseError| invalid(column, error))
}

fn time(row: &Row<'_>, column: usize) -> Result<LogTime> {
    row.get(column).map(LogTime::from_micros)
}

fn optional_time(row: &Row<'_>, column: usize) -> Result<Option<LogTime>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(LogTime::from_micros))
}

fn invalid(
    column: usize,
    error: impl std::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}
