//! Patterns and lines made at random, of what both understand.

use proptest::{
    prelude::RngCore as _,
    test_runner::{RngAlgorithm, TestRng},
};

use super::table::{Case, Ours};

const CASES: usize = 600;
const DEEPEST: u32 = 2;

pub(crate) fn cases() -> Vec<Case> {
    let mut random = Random(TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]));
    (0..CASES).map(|_| random.case()).collect()
}

struct Random(TestRng);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.0.next_u32()).unwrap_or(0) % bound
    }

    fn one_of<'t>(&mut self, texts: &[&'t str]) -> &'t str {
        texts.get(self.below(texts.len())).copied().unwrap_or_default()
    }

    fn case(&mut self) -> Case {
        let front = self.one_of(&["^", "", "^ ", "\\A", "(?i)^", "(?m)^", "(?s)"]);
        let back = self.one_of(&["", "$", "\\s*$", "\\b", "\\Z", "\\n"]);
        let host = self.one_of(&["<HOST>", "<ADDR>", "<IP4>", "<F-ID>\\S+</F-ID>", "<IP6>"]);
        let failregex = format!("{front}{}{host}{}{back}", self.several(0), self.several(0));
        let ignoreregex = if self.below(4) == 0 { vec![self.several(0)] } else { Vec::new() };
        let address =
            self.one_of(&["192.0.2.7", "[2001:db8::7]", "::ffff:192.0.2.7", "::1", "ab.c"]);
        let line = format!("Nov 24 17:00:00 {}{address}{}", self.text(), self.text());
        Case { failregex: vec![failregex], ignoreregex, line, ours: Ours::SameAddress }
    }

    fn text(&mut self) -> String {
        let pieces = ["a", "b", "A", " ", "-", "_", "1", "\u{e9}", "<", "]", "ab", "(", "\t"];
        (0..self.below(6)).map(|_| self.one_of(&pieces)).collect()
    }

    /// A sequence of items, each repeated or not.
    fn several(&mut self, depth: u32) -> String {
        let len = self.below(4);
        (0..len)
            .map(|_| {
                // Python takes exponential time over a repetition of repetitions.
                if depth < DEEPEST && self.below(5) == 0 {
                    return self.group(depth) + self.one_of(&["", "?", "??"]);
                }
                let times = ["", "", "", "*", "+", "?", "{2}", "{,2}", "{1,}", "*?", "+?", "??"];
                self.item().to_owned() + self.one_of(&times)
            })
            .collect()
    }

    fn item(&mut self) -> &'static str {
        self.one_of(&[
            "a", "b", "\u{e9}", " ", ".", "\\w", "\\W", "\\d", "\\s", "\\S", "\\x61", "\\-",
            "[ab]", "[^a]", "[]a]", "[\\w-]", "[a-c&&b]", "[[]", "[^\\W_]", "\\(", "<", "-", "\\t",
            "{",
        ])
    }

    fn group(&mut self, depth: u32) -> String {
        let open = self.one_of(&["(?:", "(", "(?i:", "(?#x)(", "(?s:", "(?x: "]);
        let first = self.several(depth + 1);
        match self.below(2) {
            0 => format!("{open}{first})"),
            _ => format!("{open}{first}|{})", self.several(depth + 1)),
        }
    }
}
