//! Who says what, in a column each and a colour each where there is a terminal.

use std::io::{self, Write as _};

#[derive(Clone, Copy)]
pub(crate) enum Actor {
    Attacker,
    Client,
    Dovecot,
    Doveblock,
    Kernel,
}

impl Actor {
    /// Name and ANSI colour.
    fn label(self) -> (&'static str, &'static str) {
        match self {
            Self::Attacker => ("attacker", "31"),
            Self::Client => ("client", "32"),
            Self::Dovecot => ("dovecot", "36"),
            Self::Doveblock => ("doveblock", "33"),
            Self::Kernel => ("kernel", "35"),
        }
    }
}

pub(crate) struct Screen {
    colour: bool,
    complete: bool,
}

impl Screen {
    pub(crate) fn new(colour: bool) -> Self {
        Self { colour, complete: false }
    }

    pub(crate) fn heading(&mut self, text: &str) {
        self.print(&format!("\n{}\n", self.coloured("1", text)));
    }

    pub(crate) fn note(&mut self, text: &str) {
        self.print(&format!("{text}\n"));
    }

    pub(crate) fn say(&mut self, actor: Actor, text: &str) {
        let (name, colour) = actor.label();
        let label = self.coloured(colour, &format!("{name:>9}"));
        for line in text.lines() {
            self.print(&format!("{label} │ {line}\n"));
        }
    }

    pub(crate) fn failed(&mut self, text: &str) {
        let label = self.coloured("31;1", "failed:");
        let _nobody_reads = writeln!(io::stderr(), "\n{label} {text}");
    }

    /// A line that the next one replaces.
    pub(crate) fn live(&mut self, text: &str) {
        self.print(&format!("\r\x1b[K{text}"));
    }

    /// Every step of the tour has been seen.
    pub(crate) fn complete(&mut self) {
        self.complete = true;
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }

    fn coloured(&self, colour: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// A reader that has gone, as with `| head`, is no reason to stop half-way.
    fn print(&self, text: &str) {
        let mut out = io::stdout().lock();
        let _nobody_reads = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}
