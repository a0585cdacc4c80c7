//! Waiting for conditions, with a limit, and never past a signal.
//!
//! SIGINT, SIGTERM and SIGHUP only raise a flag. Every wait in this crate looks at it and
//! returns [`Interrupted`], so a signal at any moment unwinds through the owners of all that
//! was made, and those remove it.

use std::{
    error::Error,
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    flag,
};

/// For what usually takes milliseconds: only a fault makes anybody wait this long.
pub const LIMIT: Duration = Duration::from_secs(20);

const STEP: Duration = Duration::from_millis(20);

static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// A signal asked for the end.
#[derive(Debug)]
pub struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted by a signal")
    }
}

impl Error for Interrupted {}

/// From here on the signals do not end the process, but every wait in it.
pub fn watch_signals() -> Result<()> {
    let raised = FLAG.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        flag::register(signal, Arc::clone(raised))?;
    }
    Ok(())
}

/// An error once a signal has come.
pub fn check() -> Result<(), Interrupted> {
    let raised = FLAG.get().is_some_and(|flag| flag.load(Ordering::Relaxed));
    if raised { Err(Interrupted) } else { Ok(()) }
}

/// Asks `poll` until it has an answer.
pub fn until<T>(
    limit: Duration,
    what: &str,
    mut poll: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        check()?;
        if let Some(answer) = poll()? {
            return Ok(answer);
        }
        if start.elapsed() >= limit {
            bail!("waited {limit:?} in vain for {what}");
        }
        thread::sleep(STEP);
    }
}

/// Lets time pass.
pub fn pause(time: Duration) -> Result<(), Interrupted> {
    let end = Instant::now() + time;
    loop {
        check()?;
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        thread::sleep(left.min(STEP));
    }
}
