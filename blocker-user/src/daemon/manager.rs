//! What the service manager (systemd) is told: that bans are enforced, that lines are still
//! judged, that the configuration is being read again, that the end has come. Where there is none, nobody is told.

use std::time::{Duration, Instant};

use sd_notify::NotifyState;

use super::Stats;

/// How often the status is told where no watchdog asks for more.
const STATUS: Duration = Duration::from_secs(10);

/// Bans are enforced from here on, and stay so.
pub(crate) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The configuration is being read again, until this is dropped: whoever gives up on it half-way
/// ends it, too.
pub(crate) struct Reloading {
    error: Option<String>,
}

impl Reloading {
    pub(crate) fn begin() -> Self {
        // Managers that wait for the end tell by the time which reload it is the end of.
        let since = NotifyState::monotonic_usec_now();
        let told: Vec<_> = [NotifyState::Reloading].into_iter().chain(since.ok()).collect();
        tell(&told);
        Self { error: None }
    }

    pub(crate) fn fails(&mut self, error: &str) {
        // There is room for one line.
        let line = error.lines().next().unwrap_or_default();
        self.error = Some(format!("the configuration stays what it was: {line}"));
    }
}

impl Drop for Reloading {
    fn drop(&mut self) {
        let status = self.error.as_deref().map(NotifyState::Status);
        let told: Vec<_> = [NotifyState::Ready].into_iter().chain(status).collect();
        tell(&told);
    }
}

pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// The sign of life. It belongs to the thread that judges lines, which gives it between two
/// chunks of them: when that one hangs the watchdog must find out, however well the others are.
pub(super) struct Heartbeat {
    watched: bool,
    every: Duration,
    next: Instant,
}

impl Heartbeat {
    pub(super) fn new() -> Self {
        // A third, so that one that comes late is no reason to be killed.
        let limit = sd_notify::watchdog_enabled().map(|limit| limit / 3);
        let every = limit.map_or(STATUS, |limit| limit.min(STATUS));
        Self { watched: limit.is_some(), every, next: Instant::now() }
    }

    pub(super) fn beat(&mut self, stats: &Stats) {
        let now = Instant::now();
        if now < self.next {
            return;
        }
        self.next = now + self.every;
        let status = format!(
            "{} lines read, {} failures, {} bans since the start",
            stats.lines(),
            stats.total_failed(),
            stats.total_banned()
        );
        let alive = self.watched.then_some(NotifyState::Watchdog);
        let told: Vec<_> = alive.into_iter().chain([NotifyState::Status(&status)]).collect();
        tell(&told);
    }
}

/// A manager that cannot be told will judge by what it hears; there is nothing to do here.
fn tell(what: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(what) {
        tracing::debug!("the service manager cannot be told: {error}");
    }
}
