//! Patterns and lines, and whether we judge them as fail2ban does.

/// What is to be expected of us, with fail2ban's answer at hand.
#[derive(Clone, Debug)]
pub(crate) enum Ours {
    /// The same: the same address, none, or a refusal of ours where fail2ban refuses too.
    Same,
    /// The same, or nothing where fail2ban counts text that is no address.
    SameAddress,
    /// We refuse, in words that contain these, what fail2ban takes.
    Refused(&'static str),
    /// We find this (or nothing) where fail2ban finds something else. The reason.
    Differs(Option<&'static str>, #[expect(dead_code, reason = "for who reads it")] &'static str),
}

#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) failregex: Vec<String>,
    pub(crate) ignoreregex: Vec<String>,
    pub(crate) line: String,
    pub(crate) ours: Ours,
}

fn case(failregex: &[&str], ignoreregex: &[&str], line: &str, ours: &Ours) -> Case {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    Case {
        failregex: owned(failregex),
        ignoreregex: owned(ignoreregex),
        line: line.to_owned(),
        ours: ours.clone(),
    }
}

const LINE: &str = "Nov 24 17:00:00 mail from 192.0.2.7 user=bob x 198.51.100.9";

/// Tried on [`LINE`].
static PATTERNS: &[(&str, Ours)] = &[
    // Anchors and what the text is.
    ("^ mail from <HOST> ", Ours::Same),
    ("^mail from <HOST> ", Ours::Same),
    ("^\\s*mail from <HOST> ", Ours::Same),
    ("^\\Wmail from <HOST> ", Ours::Same),
    ("\\A mail from <HOST>", Ours::Same),
    ("Nov.*from <HOST>", Ours::Same),
    ("x <HOST>$", Ours::Same),
    ("x <HOST>\\Z", Ours::Same),
    ("x <HOST>\\s\\Z", Ours::Same),
    ("x <HOST>\\n$", Ours::Same),
    ("x <HOST>\\n\\n", Ours::Same),
    ("x <HOST>$\\n", Ours::Same),
    ("(?m)^ mail.*x <HOST>$", Ours::Same),
    ("(?s)from.<HOST>.*\\Z", Ours::Same),
    ("<HOST>", Ours::Same),
    (".*<ADDR>", Ours::Same),
    // Tags.
    ("from <ADDR>", Ours::Same),
    ("from <IP4>", Ours::Same),
    ("from <IP6>", Ours::Same),
    ("from <DNS> ", Ours::Same),
    ("mail <DNS> 192", Ours::Same),
    ("from <SUBNET>", Ours::Same),
    ("from <CIDR>", Ours::Same),
    ("from <IP4>|from <IP6>", Ours::Same),
    ("<F-ID>\\S+</F-ID> user", Ours::Same),
    ("from <F-ID><ADDR></F-ID>", Ours::Same),
    ("from <F-ID/>", Ours::Same),
    ("from <F-ADDR/>", Ours::Same),
    ("user=<F-USER>\\w+</F-USER> x <ADDR>", Ours::Same),
    ("user=<F-ALT_USER1>\\w+</F-ALT_USER1> x <ADDR>", Ours::Same),
    ("<F-A><F-B>from</F-B> </F-A><ADDR>", Ours::Same),
    ("from (?P<ip4>\\S+)", Ours::Same),
    ("from (?P<dns>\\S+) user=bob x <IP4>", Ours::Same),
    ("from <F-ID>\\S+</F-ID> user=bob x <ADDR>", Ours::Same),
    ("from (?P<host>\\S+)", Ours::Same),
    ("(?:foo <IP4>)?mail", Ours::Same),
    ("(?P<fid>x)?mail from <ADDR>", Ours::Same),
    ("no address", Ours::Same),
    ("<F-USER> from <ADDR>", Ours::Same),
    ("<F-USER>mail from <ADDR>", Ours::Same),
    ("<HOST> .* <HOST>", Ours::Same),
    ("<ADDR> .* <IP4>", Ours::Same),
    ("[<HOST>]", Ours::Same),
    ("\\<HOST>", Ours::Same),
    ("from <HOST>? user", Ours::Refused("(?:<HOST>)")),
    ("mail<SKIPLINES>from <ADDR>", Ours::Refused("several lines")),
    ("<F-NOFAIL>mail</F-NOFAIL> from <ADDR>", Ours::Refused("ignoreregex")),
    ("<F-MLFID>mail</F-MLFID> from <ADDR>", Ours::Refused("several lines")),
    ("<F-MLFFORGET>mail</F-MLFFORGET> from <ADDR>", Ours::Refused("several lines")),
    ("<F-MLFGAINED>mail</F-MLFGAINED> from <ADDR>", Ours::Refused("several lines")),
    ("(?:from|<mode>) <ADDR>", Ours::Refused("filter file")),
    ("(?:from|<HOTS>) <ADDR>", Ours::Refused("<HOST> is")),
    ("(?:from|<F-USER/>) <ADDR>", Ours::Refused("<F-USER>…</F-USER>")),
    ("(?:from|x</F-A>) <ADDR>", Ours::Refused("closes no open tag")),
    ("<F-A>(from</F-A>) <ADDR>", Ours::Refused("cut across")),
    ("from <ADDR>? user", Ours::Refused("(?:<ADDR>)")),
    ("(?:from|user=<bob>) <ADDR>", Ours::Same),
    ("(?P<ip4>mail)", Ours::Differs(None, "only addresses count, not names of other things")),
    ("<F-ID>bob</F-ID> x <ADDR>", Ours::Differs(None, "the same")),
    ("(?P<fid>)mail from <ADDR>", Ours::Differs(None, "the same")),
    // Python's syntax.
    ("(?i)MAIL from <ADDR>", Ours::Same),
    ("(?i)(?s)MAIL from <ADDR>", Ours::Same),
    ("mail (?i)FROM <ADDR>", Ours::Same),
    ("(?i:MAIL) from <ADDR>", Ours::Same),
    ("(?i:MAIL (?-i:FROM)) <ADDR>", Ours::Same),
    ("(?:(?i)MAIL) from <ADDR>", Ours::Refused("very start")),
    ("(?x) \\  mail \\s from \\s <ADDR> # rip", Ours::Same),
    ("(?x: ma il ) from <ADDR>", Ours::Same),
    ("(?x)from[ ]<ADDR>", Ours::Same),
    ("(?a)\\w+ from <ADDR>", Ours::Same),
    ("(?L)\\w from <ADDR>", Ours::Same),
    ("mail (?#note)from <ADDR>", Ours::Same),
    ("mail(?#note)+ from <ADDR>", Ours::Same),
    ("mai{,3}l from <ADDR>", Ours::Same),
    ("mai{,}l from <ADDR>", Ours::Same),
    ("mai{1}l from <ADDR>", Ours::Same),
    ("mai{0}l from <ADDR>", Ours::Same),
    ("mail{} from <ADDR>", Ours::Same),
    ("mail{1 from <ADDR>", Ours::Same),
    ("mail{1}{1} from <ADDR>", Ours::Same),
    ("x{2,1}<ADDR>", Ours::Same),
    ("a**<ADDR>", Ours::Same),
    ("^* mail from <ADDR>", Ours::Same),
    ("mail+? from <ADDR>", Ours::Same),
    ("[[]?from <ADDR>", Ours::Same),
    ("[a&&l]* from <ADDR>", Ours::Same),
    ("[]l] from <ADDR>", Ours::Same),
    ("[^]l] from <ADDR>", Ours::Same),
    ("[k-m] from <ADDR>", Ours::Same),
    ("[l-] from <ADDR>", Ours::Same),
    ("[\\w--x] from <ADDR>", Ours::Same),
    ("[!--l] from <ADDR>", Ours::Same),
    ("[z-a] from <ADDR>", Ours::Same),
    ("[^\\W\\d_] from <ADDR>", Ours::Same),
    ("[\\b\\x6c] from <ADDR>", Ours::Same),
    ("mail\\040from <ADDR>", Ours::Same),
    ("mail\\x20from <ADDR>", Ours::Same),
    ("mail\\u0020from <ADDR>", Ours::Same),
    ("mail\\U00000020from <ADDR>", Ours::Same),
    ("mail\\ from\\ <ADDR>", Ours::Same),
    ("mail[\\40]from <ADDR>", Ours::Same),
    ("\\bfrom\\b <ADDR>", Ours::Same),
    ("\\Bfrom <ADDR>", Ours::Same),
    ("\\Qmail from <ADDR>", Ours::Same),
    ("\\hfrom <ADDR>", Ours::Same),
    ("x <ADDR>\\z", Ours::Same),
    ("\\p{L} from <ADDR>", Ours::Same),
    ("(?<n>l) from <ADDR>", Ours::Same),
    ("()* from <ADDR>", Ours::Same),
    ("(?:|mail) from <ADDR>", Ours::Same),
    ("(from <ADDR>", Ours::Same),
    ("from <ADDR>)", Ours::Same),
    ("x\\", Ours::Same),
    ("(?P<x>l) from <ADDR> (?P=x)", Ours::Refused("(?P=x)")),
    ("(l) from <ADDR>.*\\1", Ours::Refused("\\1")),
    ("(?=m)mail from <ADDR>", Ours::Refused("(?=")),
    ("(?!x)mail from <ADDR>", Ours::Refused("(?!")),
    ("(?<=mail )from <ADDR>", Ours::Refused("(?<=")),
    ("(?<!x)from <ADDR>", Ours::Refused("(?<!")),
    ("(?>mail) from <ADDR>", Ours::Refused("(?>")),
    ("mail++ from <ADDR>", Ours::Refused("++")),
    ("mai(l)? from <ADDR>(?(1) user|x)", Ours::Refused("(?(")),
    ("mail\\N{SPACE}from <ADDR>", Ours::Refused("\\N")),
];

const NOT_AN_ADDRESS: &str = "fail2ban counts text that is no address, and bans nobody";

/// What follows `from `, tried with each of [`HOSTS`].
static ADDRESSES: &[(&str, Ours)] = &[
    ("192.0.2.7", Ours::Same),
    ("[192.0.2.7]", Ours::Same),
    ("192.0.2.7:143", Ours::Same),
    ("192.0.2.7.", Ours::Same),
    ("192.0.2.7a", Ours::Same),
    ("a192.0.2.7", Ours::Same),
    ("1.2.3.4.5", Ours::Same),
    ("1.2.3.4-x", Ours::Same),
    ("192.0.2", Ours::Same),
    ("::1", Ours::Same),
    ("2001:db8::7", Ours::Same),
    ("2001:DB8::A", Ours::Same),
    ("[2001:db8::7]:993", Ours::Same),
    ("2001:db8::7:143", Ours::Same),
    ("fe80::1%eth0", Ours::Same),
    ("1:2:3:4:5:6:7:8", Ours::Same),
    ("1:2:3:4:5:6:7:8:9", Ours::Same),
    ("::ffff:192.0.2.7", Ours::Same),
    ("[::ffff:192.0.2.7]", Ours::Same),
    ("::ffff:c000:207", Ours::Same),
    ("::192.0.2.7", Ours::Same),
    ("host.example.com", Ours::Same),
    ("unknown", Ours::Same),
    ("-", Ours::Same),
    ("12345::1", Ours::Same),
    ("abc:", Ours::Same),
    ("2001:db8::/128", Ours::Same),
    ("999.1.1.1", Ours::Differs(None, NOT_AN_ADDRESS)),
    ("192.0.2.07", Ours::Differs(None, NOT_AN_ADDRESS)),
    ("1::2::3", Ours::Differs(None, NOT_AN_ADDRESS)),
    ("1:2", Ours::Differs(None, NOT_AN_ADDRESS)),
    ("::FFFF:192.0.2.7", Ours::Differs(Some("192.0.2.7"), "fail2ban reads ::255.255.1.146")),
];

static HOSTS: [&str; 3] = ["from <HOST>", "from <ADDR>", "from \\[?<F-ID>[^][\\s]*<IP6></F-ID>"];

/// A line, its failregex and its ignoreregex.
static EXCUSES: &[(&str, &str)] = &[
    ("from <ADDR>", "bob"),
    ("from <ADDR>", "alice"),
    ("from <ADDR>", "Nov"),
    ("from <ADDR>", "^ mail"),
    ("from <ADDR>", "9$"),
    ("from <ADDR>", "9\\s"),
    ("from <ADDR>", "<ADDR> user"),
    ("from <ADDR>", "<HOST> user=alice"),
    ("from <ADDR>", "<F-USER>bob</F-USER>"),
    ("from <ADDR>", ""),
    ("from <ADDR>", "("),
    ("nothing <ADDR>", "bob"),
];

/// Whole lines.
static LINES: &[(&str, &str)] = &[
    ("^<22> mail from <ADDR>$", "<22>Nov 24 17:00:00 mail from 192.0.2.7"),
    ("^ mail from <ADDR>$", "2026-11-24T17:00:00.5+01:00 mail from 192.0.2.7"),
    ("^mail from <ADDR>$", "mail from 192.0.2.7"),
    ("^ mail from <ADDR>$", "Nov 24 17:00:00 mail from 192.0.2.7 "),
    ("^ m\u{e9}il from <ADDR>$", "Nov 24 17:00:00 m\u{e9}il from 192.0.2.7"),
    ("^ \\w+ from <ADDR>$", "Nov 24 17:00:00 m\u{e9}\u{b2}\u{fb01} from 192.0.2.7"),
    ("(?a)^ \\w+ from <ADDR>$", "Nov 24 17:00:00 m\u{e9}il from 192.0.2.7"),
    ("^ \\w+ from <ADDR>$", "Nov 24 17:00:00 me\u{301}l from 192.0.2.7"),
    ("^ a\\sb <ADDR>$", "Nov 24 17:00:00 a\u{1c}b 192.0.2.7"),
    ("^ a\\Sb <ADDR>$", "Nov 24 17:00:00 a\u{1c}b 192.0.2.7"),
    ("^ a.b <ADDR>$", "Nov 24 17:00:00 a\u{2028}b 192.0.2.7"),
    ("^ a.b <ADDR>$", "Nov 24 17:00:00 a\rb 192.0.2.7"),
    ("^ a.b <ADDR>$", "Nov 24 17:00:00 a\u{0}b 192.0.2.7"),
    ("(?i)^ stra\u{df}e <ADDR>$", "Nov 24 17:00:00 STRA\u{1e9e}E 192.0.2.7"),
    ("(?i)^ \u{c9}t\u{e9} <ADDR>$", "Nov 24 17:00:00 \u{e9}T\u{c9} 192.0.2.7"),
];

pub(crate) fn cases() -> Vec<Case> {
    let patterns = PATTERNS.iter().map(|(text, ours)| case(&[text], &[], LINE, ours));
    let addresses = HOSTS.iter().take(2).flat_map(|host| {
        ADDRESSES.iter().map(move |(address, ours)| {
            case(&[host], &[], &format!("Nov 24 17:00:00 from {address}"), ours)
        })
    });
    let excuses = EXCUSES.iter().map(|(fail, ignore)| case(&[fail], &[ignore], LINE, &Ours::Same));
    let lines = LINES.iter().map(|(text, line)| case(&[text], &[], line, &Ours::Same));
    let in_turn: [&[&str]; 4] = [
        &["x <ADDR>", "from <ADDR>"],
        &["y <ADDR>", "from <ADDR>"],
        &["(?P<dns>mail)", "from <ADDR>"],
        &["(?:foo <IP4>)?mail", "from <ADDR>"],
    ];
    let in_turn = in_turn.into_iter().map(|texts| case(texts, &[], LINE, &Ours::Same));
    patterns.chain(addresses).chain(excuses).chain(lines).chain(in_turn).collect()
}

/// With the prefregex of fail2ban's own filter for Dovecot before them.
pub(crate) fn jail_cases() -> Vec<Case> {
    let heads = [
        "mail dovecot: imap-login: ",
        "mail dovecot[17]: pop3-login: ",
        "mail dovecot: managesieve-login: Info: ",
        "mail dovecot: auth: ",
        "mail dovecot: auth-worker(17): ",
        "mail dovecot: auth-worker(17): conn unix:auth-worker (pid=1,uid=9): auth-worker<4>: ",
        "mail auth[17]: pam_unix(dovecot:auth): ",
    ];
    let patterns = ["^Odd thing: rip=<HOST>$", "Odd thing: rip=<HOST>", "^dd thing: rip=<HOST>"];
    heads
        .iter()
        .flat_map(|head| {
            patterns.map(|pattern| {
                let line = format!("Nov 24 17:00:00 {head}Odd thing: rip=192.0.2.7");
                case(&[pattern], &[], &line, &Ours::Same)
            })
        })
        .collect()
}
