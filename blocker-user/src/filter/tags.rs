//! fail2ban's tags: what stands in `<…>`, and the patterns of addresses.

use super::fault::Problem;

/// The groups that say which address counts, the one that decides first. `cidr` is beside.
pub(super) const ID_GROUPS: [&str; 4] = ["fid", "ip4", "ip6", "dns"];
pub(super) const CIDR_GROUP: &str = "cidr";

// As fail2ban's accept them, with two differences: digits are ASCII, and a mapped address
// may be written `::FFFF:192.0.2.7` too, which fail2ban takes for another address.
macro_rules! ip4 {
    () => {
        "(?:::[fF]{4,6}:)?(?P<ip4>[0-9]{1,3}(?:\\.[0-9]{1,3}){3})"
    };
}
macro_rules! ip6 {
    () => {
        "(?P<ip6>(?:::|[[:xdigit:]]{1,4}::?){1,7}(?::|[[:xdigit:]]{1,4}))"
    };
}
macro_rules! word {
    () => {
        "[\\p{L}\\p{N}_]"
    };
}
/// `\w` as Python means it: letters, numbers, the underscore.
pub(super) const WORD: &str = word!();
pub(super) const NOT_WORD: &str = "[^\\p{L}\\p{N}_]";

const IP4: &str = concat!("(?:", ip4!(), ")");
const IP6: &str = ip6!();
const ADDR: &str = concat!("(?:\\[?(?:", ip4!(), "|", ip6!(), ")\\]?)");
const DNS: &str = concat!("(?P<dns>[", word!(), ".^-]*", word!(), ")");
const CIDR: &str = "(?P<cidr>[0-9]+)";
const SUBNET: &str = concat!("(?:\\[?(?:", ip4!(), "|", ip6!(), ")(?:/(?P<cidr>[0-9]+))?\\]?)");
const ID: &str = "(?P<fid>[^\\s\\x1c-\\x1f]+)";
const PORT: &str = concat!("(?:", word!(), "+)");

/// A tag that stands for a pattern.
pub(super) struct Standing {
    pub(super) tag: &'static str,
    pub(super) regex: &'static str,
    /// The names it gives.
    pub(super) groups: &'static [&'static str],
    /// Whether fail2ban's pattern is one thing, so that what repeats it repeats all of it.
    pub(super) whole: bool,
}

const fn standing(
    tag: &'static str,
    regex: &'static str,
    groups: &'static [&'static str],
    whole: bool,
) -> Standing {
    Standing { tag, regex, groups, whole }
}

static STANDING: [Standing; 15] = [
    // As fail2ban has it with `usedns = no`: a host name is nothing to match, since no
    // name is looked up. By default it has a name there as well, so the two are one tag.
    standing("<HOST>", ADDR, &["ip4", "ip6", "dns"], false),
    standing("<ADDR>", ADDR, &["ip4", "ip6"], false),
    standing("<IP4>", IP4, &["ip4"], false),
    standing("<IP6>", IP6, &["ip6"], true),
    standing("<DNS>", DNS, &["dns"], true),
    standing("<CIDR>", CIDR, &["cidr"], true),
    standing("<SUBNET>", SUBNET, &["ip4", "ip6", "cidr"], false),
    standing("<F-ADDR/>", ADDR, &["ip4", "ip6"], false),
    standing("<F-IP4/>", IP4, &["ip4"], false),
    standing("<F-IP6/>", IP6, &["ip6"], true),
    standing("<F-DNS/>", DNS, &["dns"], true),
    standing("<F-CIDR/>", CIDR, &["cidr"], true),
    standing("<F-SUBNET/>", SUBNET, &["ip4", "ip6", "cidr"], false),
    standing("<F-ID/>", ID, &["fid"], true),
    standing("<F-PORT/>", PORT, &["fport"], true),
];

/// Tags that mean something only over several lines, and what to do.
const MULTI_LINE: [(&str, &str); 5] = [
    ("SKIPLINES", "write a pattern for the line that holds the address"),
    ("F-MLFID", "leave the tag out if the line by itself is a failure, keeping what it encloses"),
    ("F-MLFFORGET", "leave the tag out, keeping what it encloses"),
    ("F-MLFGAINED", "leave the tag out, keeping what it encloses"),
    ("F-NOFAIL", "leave this pattern out; a line that must not count belongs to ignoreregex"),
];

/// Names that a mistyped tag is compared with.
const KNOWN: [&str; 11] = [
    "<HOST>",
    "<ADDR>",
    "<IP4>",
    "<IP6>",
    "<DNS>",
    "<CIDR>",
    "<SUBNET>",
    "<F-ID>",
    "<F-USER>",
    "<F-ALT_USER>",
    "<F-ID/>",
];

/// What a `<` begins.
pub(super) enum Tag<'t> {
    Standing(&'static Standing),
    /// `<F-USER>`, with its whole text.
    Open(&'t str),
    /// `</F-USER>`.
    Close(&'t str),
    /// Nothing fail2ban would replace.
    Text,
    Wrong(&'t str, Problem),
}

/// Looks at the text from a `<` on; `behind` is the character before it.
pub(super) fn read(text: &str, behind: Option<char>) -> Tag<'_> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '/');
    let inner = text.strip_prefix('<').unwrap_or(text);
    let end = inner.find(|c| !is_name(c)).unwrap_or(inner.len());
    let (name, rest) = inner.split_at(end);
    let Some(tag) = text.get(..end + 2).filter(|_| rest.starts_with('>')) else {
        return Tag::Text;
    };
    if let Some(standing) = STANDING.iter().find(|standing| standing.tag == tag) {
        return Tag::Standing(standing);
    }
    let bare = name.trim_matches('/');
    if let Some((_, advice)) = MULTI_LINE.iter().find(|(name, _)| *name == bare) {
        return Tag::Wrong(tag, Problem::MultiLine(tag.to_owned(), advice));
    }
    if is_enclosing(bare) {
        return match (name.starts_with('/'), name.ends_with('/')) {
            (false, false) => Tag::Open(tag),
            (true, false) => Tag::Close(tag),
            _ => Tag::Wrong(tag, Problem::TagWithoutPattern(tag.to_owned(), bare.to_owned())),
        };
    }
    match unknown(tag, name, behind) {
        Some(problem) => Tag::Wrong(tag, problem),
        None => Tag::Text,
    }
}

/// Whether fail2ban replaces what begins here.
pub(super) fn is_tag(text: &str) -> bool {
    !matches!(read(text, Some('=')), Tag::Text | Tag::Wrong(_, Problem::UnknownTag { .. }))
}

/// Whether `text` says where an address stands, as every failregex must: `<HOST>`, `<ADDR>`,
/// `<F-ID>…</F-ID>` and their kind.
#[must_use]
pub fn has_host_tag(text: &str) -> bool {
    text.match_indices('<').any(|(at, _)| match read(text.get(at..).unwrap_or_default(), None) {
        Tag::Standing(standing) => standing.groups.iter().any(|group| ID_GROUPS.contains(group)),
        Tag::Open(tag) => ID_GROUPS.contains(&group_of(tag).as_str()),
        Tag::Close(_) | Tag::Text | Tag::Wrong(..) => false,
    })
}

/// `F-` and a name that a group can have.
fn is_enclosing(name: &str) -> bool {
    name.strip_prefix("F-").is_some_and(|name| {
        !name.starts_with(|c: char| c.is_ascii_digit())
            && !name.is_empty()
            && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
    })
}

/// What fail2ban would leave as plain text, and what is hardly meant so. Dovecot's lines have
/// `user=<alice>` and `session=<…>`: a word right behind `=` is text.
fn unknown(tag: &str, name: &str, behind: Option<char>) -> Option<Problem> {
    let rest = tag.get(1..).unwrap_or_default().to_owned();
    let has_letter = name.contains(|c: char| c.is_ascii_alphabetic());
    if !has_letter {
        return None;
    }
    let shouting = !name.contains(|c: char| c.is_ascii_lowercase());
    let nearest = nearest(tag);
    if shouting || nearest.eq_ignore_ascii_case(tag) {
        return Some(Problem::UnknownTag { tag: tag.to_owned(), nearest, rest });
    }
    (behind != Some('=')).then(|| Problem::Interpolation { tag: tag.to_owned(), rest })
}

fn nearest(tag: &str) -> &'static str {
    let tag = tag.to_ascii_uppercase();
    let distance = |known: &&str| strsim::levenshtein(known, &tag);
    KNOWN.into_iter().min_by_key(distance).unwrap_or("<HOST>")
}

/// The group that fail2ban makes of `<F-NAME>`.
pub(super) fn group_of(tag: &str) -> String {
    let name = tag.trim_matches(['<', '/', '>']);
    match name.strip_prefix("F-").unwrap_or(name) {
        "ID" => "fid".to_owned(),
        "PORT" => "fport".to_owned(),
        name => name.to_ascii_lowercase(),
    }
}
