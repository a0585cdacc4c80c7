//! The terminal: taken, and given back as it was whatever ends this, a signal or a panic too.

use std::{
    io::{self, IsTerminal as _},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::{DefaultTerminal, Frame};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    flag,
};

use crate::cli::VerbError;

/// How late a signal is heard at most.
const SIGNALS: Duration = Duration::from_millis(200);

pub(super) struct Terminal {
    inner: DefaultTerminal,
    ended: Arc<AtomicBool>,
}

/// What came while it was waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    Nothing,
    Resized,
    Quit,
}

impl Terminal {
    /// Drop gives it back.
    pub(super) fn take() -> Result<Self, VerbError> {
        if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
            return Err(VerbError::Usage(
                "top needs a terminal to draw on; `doveblock status --format json` is for \
                 programs"
                    .to_owned(),
            ));
        }
        let ended = Arc::new(AtomicBool::new(false));
        for signal in [SIGTERM, SIGINT, SIGHUP] {
            flag::register(signal, Arc::clone(&ended)).map_err(VerbError::failed)?;
        }
        // Sets a hook for panics as well.
        let inner = ratatui::try_init().map_err(|error| no_terminal(&error))?;
        Ok(Self { inner, ended })
    }

    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> Result<(), VerbError> {
        self.inner.draw(draw).map(drop).map_err(|error| no_terminal(&error))
    }

    /// Waits for a key that means something, or for as long as this.
    pub(super) fn wait(&self, limit: Duration) -> Result<Input, VerbError> {
        let end = Instant::now() + limit;
        loop {
            if self.ended.load(Ordering::Relaxed) {
                return Ok(Input::Quit);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Input::Nothing);
            }
            match event::poll(left.min(SIGNALS)) {
                Ok(false) => continue,
                Ok(true) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(no_terminal(&error)),
            }
            let input = meaning(&event::read().map_err(|error| no_terminal(&error))?);
            if input != Input::Nothing {
                return Ok(input);
            }
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

fn no_terminal(error: &io::Error) -> VerbError {
    VerbError::Failed(format!("the terminal: {error}"))
}

fn meaning(event: &Event) -> Input {
    match event {
        Event::Resize(..) => Input::Resized,
        Event::Key(key) if key.kind == KeyEventKind::Press => match key.code {
            KeyCode::Char('q') | KeyCode::Esc => Input::Quit,
            // In raw mode Ctrl-C is a key.
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Input::Quit,
            _ => Input::Nothing,
        },
        _ => Input::Nothing,
    }
}
