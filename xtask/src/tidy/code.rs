//! Source text goes in, the paths that its code names come out: comments and literals left
//! out, the braces of `use` resolved. It knows just enough of Rust's syntax for that.

/// `std::fs::File`, or a single identifier or keyword.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Name {
    pub(super) path: String,
    pub(super) line: usize,
}

/// Every path in the code, in order. `use a::{b, c::{d}}` names `a::b` and `a::c::d`.
pub(super) fn names(source: &str) -> Vec<Name> {
    let mut names = Vec::new();
    // What the names inside each open brace start with: nothing, unless `path::` precedes it.
    let mut open = vec![String::new()];
    let mut path: Option<Name> = None;
    let mut joined = false;
    for (token, line) in tokens(source) {
        let start = open.last().map_or("", String::as_str);
        match token {
            "::" => joined = true,
            "{" => {
                let group = path.take_if(|_| joined).map(|name| name.path + "::");
                open.push(group.unwrap_or_default());
                names.extend(path.take());
                joined = false;
            }
            _ if token.starts_with(is_word) => {
                match &mut path {
                    Some(name) if joined => name.path.extend(["::", token]),
                    _ => {
                        names.extend(path.take());
                        path = Some(Name { path: format!("{start}{token}"), line });
                    }
                }
                joined = false;
            }
            _ => {
                names.extend(path.take());
                if token == "}" {
                    open.pop();
                }
                joined = false;
            }
        }
    }
    names.extend(path);
    names
}

/// Words, `::` and single other characters, each with its line.
fn tokens(source: &str) -> Vec<(&str, usize)> {
    let mut tokens = Vec::new();
    let (mut rest, mut line) = (source, 1);
    while !rest.is_empty() {
        let length = token_length(rest);
        let (token, after) = rest.split_at(length);
        if token == "::" || token.chars().all(is_word) || token.chars().count() == 1 {
            tokens.push((token, line));
        }
        line += token.matches('\n').count();
        rest = after;
    }
    // White space is a single character too, and separates no path from its `::`.
    tokens.retain(|(token, _)| !token.trim().is_empty());
    tokens
}

/// The length in bytes of what `rest` starts with: a comment, a literal, a word, `::` or one
/// character.
fn token_length(rest: &str) -> usize {
    let word = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
    match rest.as_bytes() {
        [b'/', b'/', ..] => rest.find('\n').unwrap_or(rest.len()),
        [b'/', b'*', ..] => block_comment(rest),
        [b':', b':', ..] => 2,
        [b'"', ..] => quoted(rest, '"'),
        [b'\'', b'\\', ..] => quoted(rest, '\''),
        [b'\'', ..] => {
            let mut next = rest.chars().skip(1);
            match (next.next(), next.next()) {
                (Some(c), Some('\'')) => 2 + c.len_utf8(),
                // A lifetime: with its name, which is no name in the code.
                _ => 1 + rest[1..].find(|c| !is_word(c)).unwrap_or(rest.len() - 1),
            }
        }
        _ if matches!(&rest[..word], "r" | "br" | "cr") => {
            let hashes = rest[word..].len() - rest[word..].trim_start_matches('#').len();
            if rest[word + hashes..].starts_with('"') {
                let open = word + hashes + 1;
                let end = format!("\"{}", "#".repeat(hashes));
                rest[open..].find(&end).map_or(rest.len(), |at| open + at + end.len())
            } else {
                word
            }
        }
        _ if word > 0 => word,
        _ => rest.chars().next().map_or(rest.len(), char::len_utf8),
    }
}

/// To the quote that closes the one at the start.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

/// They nest.
fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        match &rest.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] if depth == 1 => return at + 2,
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    rest.len()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(source: &str) -> Vec<String> {
        names(source).into_iter().map(|name| name.path).collect()
    }

    #[test]
    fn the_braces_of_use_are_resolved() {
        assert_eq!(
            paths("use a::{self, b, c::{d, e}, g};\nh::i { j: k }"),
            ["use", "a::self", "a::b", "a::c::d", "a::c::e", "a::g", "h::i", "j", "k"]
        );
    }

    #[test]
    fn paths_may_be_broken_over_lines_and_start_anywhere() {
        let found = names("x(<::a\n    ::b as C<d::E>>\n::f)");
        let found: Vec<_> = found.iter().map(|name| (name.path.as_str(), name.line)).collect();
        assert_eq!(found, [("x", 1), ("a::b", 1), ("as", 2), ("C", 2), ("d::E", 2), ("f", 3)]);
    }

    #[test]
    fn comments_and_literals_name_nothing() {
        let source = "a // b\n/* c /* d */ e */ f \"g \\\" h\" 'i' '\\'' &'j k b\"l\" r\"m\\\" n \
            r#\"o \" p\"# br##\"q\"# r\"## s '{' t // u";
        assert_eq!(paths(source), ["a", "f", "k", "b", "n", "s", "t"]);
    }

    #[test]
    fn what_is_not_closed_ends_with_the_file() {
        for source in ["a \"b", "a /* b", "a r#\"b\"", "a 'b", "a '\\"] {
            assert_eq!(paths(source), ["a"], "{source}");
        }
        assert_eq!(paths("a}}}b::"), ["a", "b"]);
    }
}
