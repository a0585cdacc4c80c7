//! Which guesses have been told of already: lines in, new guesses out.
//!
//! One guess can write three lines: one of the auth process, one of its worker, one of the
//! login process when the connection ends. The session id ties them. What a connection has
//! guessed so far is the most that one password database has written for it, or what the line
//! at its end says, whichever is more; a line counts by how much it raises that. So the lines of
//! one connection may come in any order, and what a connection comes to is the same.
//!
//! A connection whose user logs in after few guesses has not failed, as far as its lines name
//! that user: see [`Sessions::login`].
//!
//! Lines without an id (PAM's own, or an admin's format without `%{session}`) are tied by
//! time. Those of the password databases count at once, in bursts: within [`BURST`] they tell
//! of the same guesses as long as they are from different databases. Each guess counted so is
//! a credit, and the next line about the same address that tells of a guess in that time and
//! could not be told from it uses the credit up in place of counting again.
//!
//! What a credit had added goes with it to the connection that uses it up, and is taken back
//! with the rest if the user gets in there. A login uses up those in its user's name itself, as
//! Dovecot writes no other line of a connection that ends well: PAM tells of a wrong password
//! for whoever is only in the second of two modules each time he logs in. Credits that were
//! another connection's are no loss, as that one's own lines then count.

use std::{net::IpAddr, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    key::Key,
    limit::Limit,
    lru::Lru,
    names::{COLUMNS, END, Named},
    state::Batched,
    window::{Evidence, LATEST},
};
use crate::{
    dovecot::{Failure, Guesses, Name, Passdb, Session},
    time::LogTime,
};

/// The lines of one guess come within a few seconds: Dovecot delays its answer by two, PAM by
/// about as much.
const BURST: Duration = Duration::from_secs(5);
/// Databases told apart per connection. A guess is put to them in order, so a third one never
/// sees more guesses than the first two.
pub(super) const PASSDBS: usize = 2;
/// How many guesses a login excuses: a typo or two, and a password database that does not know
/// the user before one that does. On a connection with more it excuses none.
const MOST_EXCUSED: u16 = 3;
/// Dovecot hangs up on whoever has not logged in after three minutes.
const LOGIN_TAKES: Duration = Duration::from_secs(180);

/// What a line adds to what is known of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// This many guesses that were not known of.
    New(u32),
    /// Guesses that other lines told of before.
    Known,
    /// Those of a user who got in on that connection.
    LoggedIn,
}

/// Guesses by the lines of password databases. Where the count is 0 there is none.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Lines {
    passdbs: [Passdb; PASSDBS],
    counts: [u16; PASSDBS],
}

impl Lines {
    const NONE: Self = Self { passdbs: [Passdb::from_number(0); PASSDBS], counts: [0; PASSDBS] };

    /// Returns which of the databases it is.
    fn add(&mut self, passdb: Passdb, times: u32) -> Option<usize> {
        let slots = self.passdbs.iter_mut().zip(&mut self.counts);
        for (index, (slot, count)) in slots.enumerate() {
            if *count == 0 {
                *slot = passdb;
            }
            if *slot == passdb {
                *count = count.saturating_add(clamp(times));
                return Some(index);
            }
        }
        None
    }

    fn most(&self) -> u16 {
        self.counts.into_iter().max().unwrap_or_default()
    }
}

/// Who got in on a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct LoggedIn {
    pub(super) name: Name,
    /// By the password of a master.
    pub(super) by_master: bool,
}

/// The second in which a connection, or a client, was heard of last. There is one for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Heard(u32);

impl From<LogTime> for Heard {
    fn from(time: LogTime) -> Self {
        Self(u32::try_from(time.as_secs().max(0)).unwrap_or(u32::MAX))
    }
}

impl From<Heard> for LogTime {
    fn from(heard: Heard) -> Self {
        Self::from_secs(heard.0.into())
    }
}

/// A connection's address and id, in bytes, which need no padding.
pub(super) type Id = ([u8; 16], [u8; 8]);

fn id(ip: IpAddr, session: Session) -> Id {
    let octets = match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    };
    (octets, session.to_bytes())
}

/// A connection.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    heard: Heard,
    lines: Lines,
    /// What was said at its end.
    total: u16,
    /// How many of them count.
    counted: u16,
    /// Whose guesses they were.
    named: Named,
    /// Who got in.
    login: Option<Name>,
    /// What all this added to its client's window.
    added: Evidence,
}

impl Record {
    fn new(heard: LogTime) -> Self {
        Self {
            heard: heard.into(),
            lines: Lines::NONE,
            total: 0,
            counted: 0,
            named: Named::NONE,
            login: None,
            added: Evidence::NONE,
        }
    }

    pub(super) fn heard(&self) -> LogTime {
        self.heard.into()
    }

    fn guesses(&self) -> u16 {
        self.lines.most().max(self.total)
    }

    fn note(&mut self, failure: &Failure) {
        let repeated = failure.repeated.get();
        let column = match failure.guesses {
            Guesses::One { passdb } => self.lines.add(passdb, repeated),
            // One connection has one end, so a second one is another connection's, whatever
            // its id: nobody who tries the rules by hand makes up ids.
            Guesses::Total(total) => {
                let total = clamp(total.saturating_mul(repeated));
                self.total = self.total.saturating_add(total);
                Some(END)
            }
        };
        if let (Some(name), Some(column)) = (failure.name, column) {
            self.named.add(name, column, repeated);
        }
    }

    /// The lines about guesses that the login excuses, as far as lines have come in.
    fn excused(&self) -> [u16; COLUMNS] {
        let login = self.login.filter(|_| self.guesses() <= MOST_EXCUSED);
        login.map_or([0; COLUMNS], |login| self.named.of(login))
    }

    /// The guesses that are to count.
    fn guilt(&self) -> u16 {
        let excused = self.excused();
        let lines = self.lines.counts.into_iter().zip(excused);
        let others = lines.map(|(count, excused)| count.saturating_sub(excused)).max();
        // All but the last guess of an end are nobody's by name, unless other lines name them.
        let own = excused.into_iter().max().unwrap_or_default();
        others.unwrap_or_default().max(self.total.saturating_sub(own))
    }
}

impl Batched for Record {
    fn batch(&self) -> u32 {
        self.added.batch
    }
}

/// The lines without an id about one address.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Loose {
    heard: Heard,
    burst: Lines,
    guesses: u16,
    credit: u16,
    /// Whose guesses the credit is, in the first column.
    named: Named,
    /// What the credit added to its client's window.
    added: Evidence,
}

impl Loose {
    fn new(heard: LogTime) -> Self {
        Self {
            heard: heard.into(),
            burst: Lines::NONE,
            guesses: 0,
            credit: 0,
            named: Named::NONE,
            added: Evidence::NONE,
        }
    }

    pub(super) fn heard(&self) -> LogTime {
        self.heard.into()
    }

    /// Returns what that much of the credit had added.
    fn use_up(&mut self, credit: u16) -> Evidence {
        let share = u64::from(self.added.sum) * u64::from(credit) / u64::from(self.credit.max(1));
        let used = Evidence { sum: u32::try_from(share).unwrap_or(u32::MAX), ..self.added };
        self.credit = self.credit.saturating_sub(credit);
        self.added.sum = self.added.sum.saturating_sub(used.sum);
        if self.credit == 0 {
            (self.named, self.added) = (Named::NONE, Evidence::NONE);
        }
        used
    }
}

/// Where guesses were counted.
#[derive(Clone, Copy)]
pub(super) enum Source {
    Connection(IpAddr, Session),
    /// A line without an id.
    Loose(IpAddr),
}

impl Source {
    /// `None` where no login could tell that the line was about it.
    pub(super) fn of(ip: IpAddr, failure: &Failure) -> Option<Self> {
        match (failure.session, failure.guesses) {
            (Some(session), _) => Some(Self::Connection(ip, session)),
            (None, Guesses::One { .. }) => Some(Self::Loose(ip)),
            (None, Guesses::Total(_)) => None,
        }
    }
}

impl Batched for Loose {
    fn batch(&self) -> u32 {
        self.added.batch
    }
}

/// Bounded: the connection heard of least recently is forgotten first. What it had told of
/// would then count again; nothing else depends on it.
pub(super) struct Sessions {
    by_id: Lru<Id, Record>,
    loose: Lru<Key, Loose>,
    most_by_id: Limit,
    most_loose: Limit,
}

impl Sessions {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            by_id: Lru::new(),
            loose: Lru::new(),
            most_by_id: Limit::new(capacity, "connections"),
            most_loose: Limit::new(capacity, "clients without session ids"),
        }
    }

    pub(super) fn failure(&mut self, ip: IpAddr, failure: &Failure, at: LogTime) -> Told {
        let repeated = failure.repeated.get();
        let new = match (failure.session, failure.guesses) {
            (Some(session), _) => {
                let record = self.record(ip, session, at);
                record.note(failure);
                let guilt = record.guilt();
                let new = guilt.saturating_sub(record.counted);
                record.counted = record.counted.max(guilt);
                if new == 0 && record.excused() != [0; COLUMNS] {
                    return Told::LoggedIn;
                }
                let (new, told) = self.beyond_credit(ip, new, at, failure.waited);
                if told.sum > 0 {
                    self.added(Source::Connection(ip, session), told);
                }
                new
            }
            (None, Guesses::One { passdb }) => {
                self.loose_line(ip, passdb, failure.name, repeated, at)
            }
            (None, Guesses::Total(total)) => {
                let total = clamp(total.saturating_mul(repeated));
                self.beyond_credit(ip, total, at, failure.waited).0
            }
        };
        if new == 0 { Told::Known } else { Told::New(new.into()) }
    }

    /// What guesses added to their client's window. What they added to an earlier batch cannot
    /// be taken back any more, as that is gone.
    pub(super) fn added(&mut self, source: Source, added: Evidence) {
        let before = match source {
            Source::Connection(ip, session) => {
                self.by_id.get_mut(&id(ip, session)).map(|record| &mut record.added)
            }
            Source::Loose(ip) => self.loose.get_mut(&Key::from(ip)).map(|loose| &mut loose.added),
        };
        if let Some(before) = before {
            *before = if before.batch == added.batch { before.with(added) } else { added };
        }
    }

    /// A user got in: the guesses for that name on that connection were none (one password
    /// database after the other was asked, a master user logged in, a typo was mended), unless
    /// there were more than [`MOST_EXCUSED`] in all. Those for other names are what they were:
    /// whoever has an account must not guess at those of others for ever. Returns what had
    /// been added and is to be taken back. Lines that the login overtook may make it too many
    /// after all; then every guess counts.
    pub(super) fn login(
        &mut self,
        ip: IpAddr,
        session: Option<Session>,
        login: LoggedIn,
        at: LogTime,
    ) -> Evidence {
        let loose = self.loose_login(ip, login.name, at);
        let Some(session) = session else { return loose };
        let by_id = self.login_by_id(ip, session, login, at);
        // Of two batches, one is over.
        if by_id.sum == 0 { loose } else { by_id.with(loose) }
    }

    /// The part of it that is about lines without an id.
    fn loose_login(&mut self, ip: IpAddr, name: Name, at: LogTime) -> Evidence {
        let Some(loose) = self.loose.get_mut(&Key::from(ip)) else { return Evidence::NONE };
        if loose.heard < at.before(LOGIN_TAKES).into() || loose.heard > at.after(BURST).into() {
            return Evidence::NONE;
        }
        let [named, ..] = loose.named.of(name);
        loose.use_up(named.min(loose.credit).min(MOST_EXCUSED))
    }

    fn login_by_id(
        &mut self,
        ip: IpAddr,
        session: Session,
        login: LoggedIn,
        at: LogTime,
    ) -> Evidence {
        let record = self.record(ip, session, at);
        if login.by_master {
            record.named.was_master(login.name);
        }
        record.login.get_or_insert(login.name);
        let (counted, guilt) = (record.counted, record.guilt());
        if guilt >= counted {
            return Evidence::NONE;
        }
        record.counted = guilt;
        // What is left to count keeps its share, rounded down.
        let kept = u64::from(record.added.sum) * u64::from(guilt) / u64::from(counted);
        let kept = u32::try_from(kept).unwrap_or(record.added.sum);
        let back = Evidence { sum: record.added.sum.saturating_sub(kept), ..record.added };
        record.added.sum = kept;
        back
    }

    pub(super) fn by_id(&mut self) -> &mut Lru<Id, Record> {
        &mut self.by_id
    }

    pub(super) fn loose(&mut self) -> &mut Lru<Key, Loose> {
        &mut self.loose
    }

    /// `now` is the time of the oldest line that could still come.
    pub(super) fn expire(&mut self, now: LogTime) {
        let since = now.before(LATEST);
        self.by_id.expire(|record| record.heard < since.into());
        self.loose.expire(|loose| loose.heard < since.into());
    }

    fn record(&mut self, ip: IpAddr, session: Session, at: LogTime) -> &mut Record {
        let key = id(ip, session);
        self.most_by_id.make_room(&mut self.by_id, &key);
        let record = self.by_id.touch_or_insert(key, || Record::new(at));
        if record.heard < at.before(LATEST).into() {
            // Swept or not, it is over.
            *record = Record::new(at);
        }
        record.heard = record.heard.max(at.into());
        record
    }

    fn loose_line(
        &mut self,
        ip: IpAddr,
        passdb: Passdb,
        name: Option<Name>,
        times: u32,
        at: LogTime,
    ) -> u16 {
        let key = Key::from(ip);
        self.most_loose.make_room(&mut self.loose, &key);
        let loose = self.loose.touch_or_insert(key, || Loose::new(at));
        if loose.heard < at.before(LATEST).into() {
            *loose = Loose::new(at);
        }
        if loose.heard < at.before(BURST).into() {
            loose.burst = Lines::NONE;
            loose.guesses = 0;
        }
        loose.heard = loose.heard.max(at.into());
        let _database = loose.burst.add(passdb, times);
        let new = loose.burst.most().saturating_sub(loose.guesses);
        loose.guesses = loose.burst.most();
        loose.credit = loose.credit.saturating_add(new);
        if let Some(name) = name {
            loose.named.add(name, 0, new.into());
        }
        new
    }

    /// How many of `guesses`, made at most `waited` before `at`, no line without an id has
    /// told of, and what the others have added.
    fn beyond_credit(
        &mut self,
        ip: IpAddr,
        guesses: u16,
        at: LogTime,
        waited: Duration,
    ) -> (u16, Evidence) {
        let Some(loose) = self.loose.get_mut(&Key::from(ip)) else {
            return (guesses, Evidence::NONE);
        };
        if loose.heard < at.before(waited.min(LATEST)).before(BURST).into() {
            return (guesses, Evidence::NONE);
        }
        let used = loose.credit.min(guesses);
        (guesses.saturating_sub(used), loose.use_up(used))
    }
}

/// More guesses than that on one connection are more than any maxretry.
fn clamp(guesses: u32) -> u16 {
    u16::try_from(guesses).unwrap_or(u16::MAX)
}
