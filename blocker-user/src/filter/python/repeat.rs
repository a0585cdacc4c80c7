//! Repetitions: `*`, `+`, `?`, `{m,n}`, lazy and possessive.

use super::{super::fault::Problem, Last, Translator};

const MOST: u32 = 65_535;

impl Translator<'_> {
    /// Behind one of `*+?`.
    pub(super) fn repeat(&mut self, at: usize) {
        let written = self.since(at);
        self.repeated(at, &written);
    }

    /// Behind `{`; `false` where it is no repetition but a plain brace.
    pub(super) fn counted(&mut self, at: usize) -> bool {
        let Some((inner, _)) = self.rest().split_once('}') else { return false };
        let (least, most) = inner.split_once(',').unwrap_or((inner, inner));
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if inner.is_empty() || !is_number(least) || !is_number(most) {
            return false;
        }
        self.at += inner.len() + 1;
        // A number that is left out is 0 in front and no bound behind.
        let bound = |text: &str, missing| match text {
            "" => Some(missing),
            _ => text.parse().ok().filter(|number| *number <= MOST),
        };
        let written = match (bound(least, 0), bound(most, u32::MAX)) {
            (Some(least), Some(u32::MAX)) => format!("{{{least},}}"),
            (Some(least), Some(most)) if least <= most => format!("{{{least},{most}}}"),
            _ => {
                self.fault(at, Problem::BadRepeat(self.since(at)));
                "*".to_owned()
            }
        };
        self.repeated(at, &written);
        true
    }

    fn repeated(&mut self, at: usize, written: &str) {
        let lazy = self.eat("?");
        if !lazy && self.eat("+") {
            self.fault(at, Problem::Possessive(self.since(at)));
        }
        match self.last {
            Last::Item => {}
            Last::Nothing => self.fault(at, Problem::NothingToRepeat(self.since(at))),
            Last::Repeat => self.fault(at, Problem::RepeatTwice(self.since(at))),
            Last::Row(tag) => self.fault(at, Problem::TagRepeated(tag)),
        }
        self.write(written, Last::Repeat);
        if lazy {
            self.regex.push('?');
        }
    }
}
