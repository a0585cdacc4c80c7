//! What is translated, what is refused and where, and what lines make of it.

use proptest::prelude::*;

use super::{Doubt, Filter, FilterError, FilterOption, Message, Origin, Pattern, Verdict, python};

fn pattern(option: FilterOption, text: &str) -> Pattern {
    let origin = Origin { file: "doveblock.conf".to_owned(), line: 7, option };
    Pattern { text: text.to_owned(), origin }
}

fn compile(failregex: &[&str], ignoreregex: &[&str]) -> Result<Filter, Vec<FilterError>> {
    let fail = failregex.iter().map(|text| pattern(FilterOption::Failregex, text));
    let ignore = ignoreregex.iter().map(|text| pattern(FilterOption::Ignoreregex, text));
    Filter::compile(fail.chain(ignore))
}

/// The verdict on `line`: an address, `ignored`, `no address`, or `missed`.
fn judge(failregex: &[&str], ignoreregex: &[&str], line: &[u8]) -> String {
    let mut filter = match compile(failregex, ignoreregex) {
        Ok(filter) => filter,
        Err(errors) => panic!("refused: {errors:?}"),
    };
    match filter.judge(Message::new(line)) {
        Verdict::Missed => "missed".to_owned(),
        Verdict::Ignored => "ignored".to_owned(),
        Verdict::NoAddress => "no address".to_owned(),
        Verdict::Failure(ip) => ip.to_string(),
    }
}

/// Where and why a failregex is refused.
fn refused(text: &str) -> Vec<String> {
    let errors = compile(&[text], &[]).map_or_else(|errors| errors, |_| Vec::new());
    errors.iter().map(|error| format!("{} {}", error.column, error.problem)).collect()
}

#[track_caller]
fn is_refused(text: &str, column: usize, words: &str) {
    let refusals = refused(text);
    let [refusal] = &refusals[..] else { panic!("{text}: {refusals:?}") };
    assert!(refusal.starts_with(&format!("{column} ")), "{text}: {refusal}");
    assert!(refusal.contains(words), "{text}: {refusal}");
}

#[test]
fn an_error_names_file_line_option_and_column() {
    let errors = compile(&["^x (?=y)<HOST>"], &["("]).unwrap_err();
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert!(texts[0].starts_with("doveblock.conf:7: failregex, column 4: (?= looks"), "{texts:?}");
    assert!(texts[1].starts_with("doveblock.conf:7: ignoreregex, column 1: this ("), "{texts:?}");
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let columns: Vec<usize> = compile(&["é(?=a)(?<!b) a++ <HSOT> (?P=x) <HOST>", "x"], &[])
        .unwrap_err()
        .iter()
        .map(|error| error.column)
        .collect();
    assert_eq!(columns, [2, 7, 15, 18, 25, 1]);
}

#[test]
fn what_rust_cannot_express_is_refused_by_name() {
    is_refused("(?=a)<HOST>", 1, "(?=");
    is_refused("(?!a)<HOST>", 1, "(?!");
    is_refused("x(?<=a)<HOST>", 2, "(?<=");
    is_refused("x(?<!a)<HOST>", 2, "(?<!");
    is_refused("(?P<a>x)(?P=a)<HOST>", 9, "(?P=a)");
    is_refused("(x)\\1<HOST>", 4, "\\1");
    is_refused("(?>x)<HOST>", 1, "(?>");
    is_refused("x*+<HOST>", 2, "*+");
    is_refused("x{1,2}+<HOST>", 2, "{1,2}+");
    is_refused("(x)?(?(1)a|b)<HOST>", 5, "(?(");
    is_refused("\\N{SPACE}<HOST>", 1, "\\N");
    is_refused("\\ud800<HOST>", 1, "surrogate");
    is_refused("(?ai)x<HOST>", 1, "(?ai)");
    is_refused("\\w{9999}<HOST>", 1, "compiles to more than");
    is_refused(&format!("{}<HOST>", "(".repeat(101)), 101, "more than 100 groups");
}

#[test]
fn what_python_refuses_is_refused() {
    is_refused("", 1, "empty");
    is_refused("  ", 1, "empty");
    is_refused("x(<HOST>", 2, "never closed");
    is_refused("<HOST>)", 7, "closes no group");
    is_refused("<HOST>[a", 7, "never closed");
    is_refused("*<HOST>", 1, "nothing to repeat");
    is_refused("^*<HOST>", 2, "nothing to repeat");
    is_refused("a**<HOST>", 3, "repeats a repetition");
    is_refused("a{2}{2}<HOST>", 5, "repeats a repetition");
    is_refused("a{2,1}<HOST>", 2, "smaller number first");
    is_refused("[z-a]<HOST>", 2, "not a range");
    is_refused("[a-\\d]<HOST>", 2, "not a range");
    is_refused("\\h<HOST>", 1, "[ \\t]");
    is_refused("\\Qx<HOST>", 1, "\\Q means nothing");
    is_refused("<HOST>\\z", 7, "\\Z");
    is_refused("<HOST>\\", 7, "backslash");
    is_refused("\\x4<HOST>", 1, "two hexadecimal");
    is_refused("\\400<HOST>", 1, "no character");
    is_refused("x (?i)y<HOST>", 3, "very start");
    is_refused("(?L)<HOST>", 1, "'L'");
    is_refused("(?<n>x)<HOST>", 1, "(?P<name>");
    is_refused("(?#x <HOST>", 1, "never closed");
    is_refused("(?P<1>x)<HOST>", 1, "not a name");
    is_refused("<HOST> <HOST>", 8, "second address");
    is_refused("(?P<ip4>x) <ADDR>", 12, "second address");
    is_refused("(?P<a>x)(?P<a>x) <ADDR>", 9, "twice");
}

#[test]
fn tags_are_refused_with_what_to_write() {
    is_refused("no address", 1, "put <HOST>");
    is_refused("(?P<host>x)", 1, "put <HOST>");
    is_refused("<host>(?P<dns>x)", 1, "<HOST> is");
    is_refused("<HOTS>(?P<dns>x)", 1, "<HOST> is");
    is_refused("<F-user><HOST>", 1, "<F-USER> is");
    is_refused("<mode> <HOST>", 1, "filter file");
    is_refused("^<_prefix><HOST>", 2, "[<]_prefix>");
    is_refused("<F-USER> <HOST>", 1, "</F-USER>");
    is_refused("<F-USER/> <HOST>", 1, "<F-USER>…</F-USER>");
    is_refused("x</F-USER> <HOST>", 2, "closes no open tag");
    is_refused("<F-USER>(x</F-USER>)<HOST>", 11, "cut across");
    is_refused("<F-USER>x)</F-USER><HOST>", 10, "cut across");
    is_refused("<SKIPLINES><HOST>", 1, "<SKIPLINES>");
    is_refused("<F-NOFAIL><HOST>", 1, "ignoreregex");
    is_refused("[<HOST>]<ADDR>", 2, "[<]");
    is_refused("\\<HOST> <ADDR>", 1, "\\<HOST>");
    is_refused("<ADDR>?", 7, "(?:<ADDR>)");
}

#[test]
fn text_in_angle_brackets_as_dovecot_writes_it_is_text() {
    let line = b"user=<root>, rip=192.0.2.7, session=<x>";
    assert_eq!(judge(&["^user=<root>, rip=<HOST>, session=<x>$"], &[], line), "192.0.2.7");
    assert_eq!(judge(&["^user=[<]root>, rip=<HOST>,"], &[], line), "192.0.2.7");
    assert_eq!(judge(&["^user=\\<root\\>, rip=<HOST>,"], &[], line), "192.0.2.7");
    assert_eq!(judge(&["^user=<[^>]*>, rip=<HOST>,"], &[], line), "192.0.2.7");
}

#[test]
fn the_first_failregex_that_matches_decides() {
    let line = b" a 192.0.2.7 b 192.0.2.8";
    assert_eq!(judge(&["b <HOST>", "a <HOST>"], &[], line), "192.0.2.8");
    assert_eq!(judge(&["(?P<dns>a)", "a <HOST>"], &[], line), "no address");
    assert_eq!(judge(&["c <HOST>", "a <HOST>"], &["b"], line), "ignored");
    assert_eq!(judge(&["c <HOST>"], &["c"], line), "missed");
    // A name is not looked up, and what could be one does not stand in the address's way.
    assert_eq!(judge(&["<HOST>"], &[], line), "192.0.2.7");
    assert_eq!(judge(&["a <HOST>"], &[], b"a host.example"), "missed");
}

#[test]
fn hostile_bytes_match_what_any_character_matches() {
    let line = b"user=\xff\xfe\0\xe2\x80\xa8\r rip=192.0.2.7";
    assert_eq!(judge(&["^user=.* rip=<HOST>$"], &[], line), "192.0.2.7");
    assert_eq!(judge(&["^user=[^ ]* rip=<HOST>$"], &[], line), "192.0.2.7");
    assert_eq!(judge(&["^user=\\S{3}.\\s rip=<HOST>$"], &[], line), "192.0.2.7");
    assert_eq!(judge(&["^a.b <HOST>$"], &[], b"a\nb 192.0.2.7"), "192.0.2.7");
}

#[test]
fn the_end_of_the_text_is_a_newline_as_in_fail2ban() {
    assert_eq!(judge(&["<HOST>$"], &[], b"192.0.2.7"), "192.0.2.7");
    assert_eq!(judge(&["<HOST>\\s\\Z"], &[], b"192.0.2.7"), "192.0.2.7");
    assert_eq!(judge(&["<HOST>\\Z"], &[], b"192.0.2.7"), "missed");
}

#[test]
fn content_is_a_second_place_for_the_anchor() {
    let line = b" mail dovecot: imap-login: Bad thing: rip=192.0.2.7";
    let message =
        Message { content: Some(b"Bad thing: rip=192.0.2.7".len()), ..Message::new(line) };
    for text in ["^Bad thing: rip=<HOST>$", "^ mail dovecot: imap-login: .* rip=<HOST>$"] {
        let mut filter = compile(&[text], &[]).unwrap();
        let ip = "192.0.2.7".parse().unwrap();
        assert_eq!(filter.judge(message), Verdict::Failure(ip), "{text}");
    }
}

#[test]
fn a_pattern_without_an_anchor_is_doubtful() {
    let doubts = |fail: &[&str], ignore: &[&str]| -> Vec<Doubt> {
        let filter = compile(fail, ignore).unwrap();
        filter.warnings().iter().map(|warning| warning.doubt).collect()
    };
    assert_eq!(doubts(&["rip=<HOST>"], &[]), [Doubt::NotAnchored]);
    assert_eq!(doubts(&["^a <IP4>|b <IP6>"], &[]), [Doubt::NotAnchored]);
    assert_eq!(doubts(&["(?:^a|b) <HOST>"], &[]), [Doubt::NotAnchored]);
    assert_eq!(doubts(&["(?i)(?:^a|^b) <HOST>", "\\Aa <ADDR>", "(?m)^a <ADDR>"], &[]), []);
    assert_eq!(doubts(&["^.*<HOST>", "^(?:[\\s\\S]+)x <HOST>"], &[]), [Doubt::CatchAll; 2]);
    assert_eq!(doubts(&["^\\s*.*<HOST>"], &[]), []);
    assert_eq!(doubts(&["^x <SUBNET>"], &[]), [Doubt::Network]);
    assert_eq!(doubts(&[], &["x", "^x"]), [Doubt::Excuse]);
    let filter = compile(&["rip=<HOST>"], &[]).unwrap();
    let text = filter.warnings()[0].to_string();
    assert!(text.starts_with("doveblock.conf:7: failregex: rip=<HOST>: does not"), "{text}");
}

/// Texts made of what patterns are made of.
fn pattern_text() -> impl Strategy<Value = String> {
    let pieces = [
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "{2}",
        "{1,3}",
        "?",
        "*",
        "+",
        "|",
        "^",
        "$",
        ".",
        "\\",
        "\\d",
        "\\b",
        "\\1",
        "\\x41",
        "(?:",
        "(?=",
        "(?i)",
        "(?x:",
        "(?P<a>",
        "(?#",
        "-",
        "&&",
        "a",
        "é",
        " ",
        "<HOST>",
        "<ADDR>",
        "<F-USER>",
        "</F-USER>",
        "<SKIPLINES>",
        "<x>",
        "<",
        "#",
    ];
    let made = prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..16);
    prop_oneof![made.prop_map(|pieces| pieces.concat()), any::<String>()]
}

proptest! {
    #[test]
    fn any_text_is_compiled_or_refused_inside_it(text in pattern_text()) {
        for option in [FilterOption::Failregex, FilterOption::Ignoreregex] {
            if let Err(errors) = Filter::compile([pattern(option, &text)]) {
                prop_assert!(!errors.is_empty());
                for error in errors {
                    prop_assert!(error.column <= text.chars().count() + 1, "{error}");
                    let of_rust = matches!(error.problem, super::Problem::Uncompilable(_));
                    prop_assert!(!of_rust, "Rust's regex refuses what was translated: {error}");
                }
            }
        }
    }

    #[test]
    fn what_is_translated_is_an_expression_of_rusts(text in pattern_text()) {
        if let Ok(translation) = python::translate(&text) {
            let parsed = regex_syntax::parse(&translation.regex);
            prop_assert!(parsed.is_ok(), "{text:?} became {:?}", translation.regex);
        }
    }

    #[test]
    fn a_literal_matches_itself(text in "[ -~é]{1,12}") {
        let quoted: String = text.chars().flat_map(|c| match c {
            c if c.is_ascii_alphanumeric() || !c.is_ascii() => vec![c],
            c => vec!['\\', c],
        }).collect();
        let found = judge(&[&format!("^{quoted} <ADDR>$")], &[], format!("{text} ::1").as_bytes());
        prop_assert_eq!(found, "::1");
    }
}

#[test]
fn any_line_gets_a_verdict() {
    // Compiled once: that is what takes time.
    let patterns = ["^.*<HOST>\\b", "(?i)\\w+ [^x]<F-ID>\\S*</F-ID>"];
    let filter = std::cell::RefCell::new(compile(&patterns, &["^\\d+$"]).unwrap());
    proptest!(|(line in any::<Vec<u8>>(), content in any::<Option<usize>>())| {
        filter.borrow_mut().judge(Message { content, ..Message::new(&line) });
    });
}
