//! `rules`: the table of rules, for people and for programs.

use std::fmt::Write as _;

use clap::Args;
use serde::Serialize;

use super::{Format, VerbError, output};
use crate::dovecot::{RULES, Rule};

#[derive(Args, Debug)]
pub(super) struct RulesArgs {
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Serialize)]
struct JsonRule {
    name: &'static str,
    mode: String,
    place: String,
    words: &'static [&'static str],
    codes: &'static [&'static str],
    source: &'static str,
    example: &'static str,
}

pub(super) fn run(args: &RulesArgs) -> Result<(), VerbError> {
    match args.format {
        Format::Text => output::text_out(&text()),
        Format::Json => output::json(&RULES.map(|rule| JsonRule {
            name: rule.name,
            mode: rule.mode.to_string(),
            place: rule.place.to_string(),
            words: rule.words,
            codes: rule.codes,
            source: rule.source,
            example: rule.example,
        })),
    }
}

fn text() -> String {
    let blocks: Vec<String> = RULES.into_iter().map(block).collect();
    blocks.join("\n")
}

fn block(rule: &Rule) -> String {
    let mut text = format!("{}\n", rule.name);
    let mut field = |name: &str, value: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "    {name:<8} {value}");
    };
    field("mode", &rule.mode.to_string());
    field(&rule.place.to_string(), &rule.words.join(" | "));
    if !rule.codes.is_empty() {
        field("codes", &rule.codes.join(" | "));
    }
    field("source", rule.source);
    field("example", rule.example);
    text
}

#[cfg(test)]
mod tests {
    use super::text;
    use crate::dovecot::RULES;

    #[test]
    fn every_rule_is_printed_with_its_words_and_codes() {
        let text = text();
        for rule in RULES {
            let all = [rule.name, rule.example].into_iter().chain(rule.words.iter().copied());
            for part in all.chain(rule.codes.iter().copied()) {
                assert!(text.contains(part), "{part:?} of {}", rule.name);
            }
        }
    }
}
