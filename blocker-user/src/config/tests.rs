//! The whole way from files to settings, in directories of their own.

use std::{fs, path::Path, time::Duration};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::{dovecot::Mode, firewall::Action, jail::Bantime};

fn tree(files: &[(&str, &[u8])]) -> TempDir {
    let dir = TempDir::new().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

fn load_own(dir: &Path) -> Loaded {
    load(&Sources { config: Some(dir.join("d.conf")), fail2ban: None })
}

fn load_tree(dir: &Path) -> Loaded {
    load(&Sources { config: None, fail2ban: Some(dir.to_owned()) })
}

/// A file of ours with this text.
fn own(text: impl AsRef<[u8]>) -> Loaded {
    load_own(tree(&[("d.conf", text.as_ref())]).path())
}

/// A file of ours without a fault.
fn good(text: &str) -> Settings {
    let loaded = own(text);
    assert_eq!(loaded.faults, [], "{text}");
    loaded.settings
}

/// `line option what` of each error.
fn errors(loaded: &Loaded) -> Vec<String> {
    let line = |fault: &Fault| fault.place.as_ref().map(|place| place.line).unwrap_or_default();
    loaded.errors().map(|fault| format!("{} {}", line(fault), fault.title())).collect()
}

fn assert_errors(loaded: &Loaded, expected: &[&str]) {
    let found = errors(loaded);
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.contains(expected), "no {expected:?} in {found:?}");
    }
}

#[test]
fn the_example_of_the_design_is_read() {
    let settings = good(
        "[DEFAULT]\nignoreip = 127.0.0.1/8 ::1 mail.example\nbantime  = 1h\nfindtime = 10m\n\
         maxretry = 5\n[dovecot]\nenabled = true\nmode    = aggressive\nport    = 143,993:995\n\
         logpath = /a\n  /b\n",
    );
    assert_eq!(settings.mode, Mode::Aggressive);
    assert_eq!(settings.bantime, Bantime::For(Duration::from_secs(3600)));
    assert_eq!(settings.logpath, ["/a", "/b"]);
    assert_eq!(settings.ignoreip.len(), 3);
    assert_eq!(good(""), Settings::default());
}

#[test]
fn every_default_is_written_as_it_is_read() {
    for option in &OPTIONS {
        let text = option.shown(&Settings::default());
        let shown = text.replace('\n', "\n  ");
        if !shown.is_empty() {
            let settings = good(&format!("[dovecot]\n{} = {shown}\n", option.name));
            assert_eq!(settings, Settings::default(), "{}", option.name);
        }
    }
}

#[test]
fn every_option_can_be_set() {
    let text = "[dovecot]\nmaxretry.probe = 2\nbantime = -1\nbantime.increment = yes\nbantime.factor = 1.5\n\
        bantime.multipliers = 1 2 4\nbantime.maxtime = 1w\nbantime.rndtime = 5m\n\
        bantime.overalljails = on\nignoreself = off\nipv6_prefix = 56\nignore_authenticated = 0\n\
        count = lines\nsession_check = strict\nmax_tracked = 1000\nmax_bans = 7\non_stop = detach\nxdp_mode = native\n\
        interface = eth0, eth1\nprotocol = all\naction = reset\ndrop_fragments = no\nusedns = warn\nbackend = systemd\njournalmatch = _UID=0\nlogpath = /a/*.log\nfilter = dovecot[mode=aggressive]\n";
    let settings = good(text);
    let defaults = Settings::default();
    for line in text.lines().skip(1) {
        let option = find(line.split(" =").next().unwrap()).unwrap();
        if option.name != "usedns" {
            assert_ne!(option.shown(&settings), option.shown(&defaults), "{line}");
        }
    }
    assert_eq!(settings.increment.multipliers, [1.0, 2.0, 4.0]);
    assert_eq!(settings.policy().max_tracked, 1000);
}

#[test]
fn the_protocol_says_what_ports_are_guarded() {
    for (protocol, tcp, udp) in [("tcp", 1, 0), ("udp", 0, 1), ("all", 1, 1)] {
        let text = format!("[DEFAULT]\nprotocol = {protocol}\n[dovecot]\nport = 143\n");
        let settings = good(&text);
        let guarded = (settings.tcp_ports().len(), settings.udp_ports().len());
        assert_eq!(guarded, (tcp, udp), "{protocol}");
    }
    assert_errors(&own("[dovecot]\nprotocol = icmp\n"), &["2 protocol"]);
    // fail2ban has the same option, and an action that means something else.
    let jail = b"[DEFAULT]\nprotocol = udp\naction = %(action_mwl)s\n[dovecot]\nport = 53\n";
    let loaded = load_tree(tree(&[("jail.conf", jail)]).path());
    assert_eq!((loaded.settings.protocol, loaded.settings.action), (Protocol::Udp, Action::Drop));
}

#[test]
fn all_faults_are_found_in_one_go() {
    let loaded = own(
        "[DEFAULT]\nfindtime = soon\nbantimee = 1h\nmaxretry = 0\n[dovecot]\nmode = agressive\n\
         nonsense\nbantime.formula = 2 ** 3\nipv6_prefix = 129\ncount = all\nlogpath = /var/a b\n\
         action = iptables\n[sshd]\nport = 22\n",
    );
    let mut found = errors(&loaded);
    found.sort_by_key(|error| error.split(' ').next().unwrap().parse::<usize>().unwrap());
    let expected = [
        "2 findtime",
        "3 bantimee",
        "4 maxretry",
        "6 mode",
        "7 neither",
        "8 bantime.formula",
        "9 ipv6_prefix",
        "10 count",
        "11 logpath",
        "12 action",
        "13 there is no jail",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}: {expected}");
    }
    let shown = show(loaded.errors());
    for word in ["did you mean bantime?", "d.conf:6:8", "its default is 10m", "multipliers"] {
        assert!(shown.contains(word), "no {word:?} in\n{shown}");
    }
}

#[test]
fn a_typo_is_answered_with_the_nearest_option_and_a_far_word_with_none() {
    for (typo, option) in [
        ("bantimee", "bantime"),
        ("maxrtery", "maxretry"),
        ("ignorip", "ignoreip"),
        ("bantime.incremnt", "bantime.increment"),
        ("prot", "port"),
        ("ignore_self", "ignoreself"),
    ] {
        assert_eq!(nearest(typo), Some(option), "{typo}");
    }
    for far in ["x", "colour", "mta", ""] {
        assert_eq!(nearest(far), None, "{far}");
    }
}

#[test]
fn a_name_of_ones_own_is_no_typo_if_another_value_refers_to_it() {
    let settings = good("[DEFAULT]\noffice = 192.0.2.0/24\n[dovecot]\nignoreip = ::1 %(office)s\n");
    assert_eq!(settings.ignoreip.len(), 2);
    assert_errors(&own("[DEFAULT]\noffice = 192.0.2.0/24\n"), &["2 office"]);
    assert_errors(&own("[INCLUDES]\nbefor = x.conf\n"), &["2 befor"]);
}

#[test]
fn options_of_fail2ban_without_a_use_are_said_once() {
    let loaded = own("[DEFAULT]\nbanaction = x\ndestemail = a@b\n[dovecot]\nbanaction = y\n");
    assert_eq!(errors(&loaded), [""; 0]);
    let names: Vec<&str> = loaded.unused.iter().map(|unused| unused.name.as_str()).collect();
    assert_eq!(names, ["banaction", "destemail"]);
}

#[test]
fn files_beside_ours_override_it_in_the_order_of_their_names() {
    let dir = tree(&[
        ("d.conf", b"[dovecot]\nmaxretry = 1\nbantime = 1m\nfindtime = 1m\n"),
        ("d.d/20.conf", b"[dovecot]\nmaxretry = 3\n"),
        ("d.d/10.conf", b"[dovecot]\nmaxretry = 2\nbantime = 2m\n"),
        ("d.d/.30.conf", b"[dovecot]\nmaxretry = 4\n"),
        ("d.d/30.conf~", b"[dovecot]\nmaxretry = 5\n"),
    ]);
    let loaded = load_own(dir.path());
    assert_eq!((loaded.faults.len(), loaded.settings.maxretry.get()), (0, 3));
    let from = |name: &str| loaded.effective(find(name).unwrap()).1.to_string();
    assert!(from("maxretry").ends_with("d.d/20.conf:2"), "{}", from("maxretry"));
    assert!(from("bantime").ends_with("d.d/10.conf:3"), "{}", from("bantime"));
    assert!(from("findtime").ends_with("d.conf:4"), "{}", from("findtime"));
    assert_eq!(from("port"), "default");
}

#[test]
fn regexes_keep_the_places_they_were_written_in() {
    let dir = tree(&[
        ("d.conf", b"[dovecot]\nfailregex = ^a <HOST>\n  # no\n  ^b <HOST>$\nignoreregex = x\n"),
        ("d.d/a.conf", b"\n[dovecot]\nfailregex = %(known/failregex)s\n   ^c%%d <HOST>\n"),
    ]);
    let loaded = load_own(dir.path());
    let regexes = &loaded.settings.failregex;
    let found: Vec<(&str, usize)> =
        regexes.lines.iter().map(|line| (line.text.as_str(), line.place.line)).collect();
    assert_eq!(found, [("^a <HOST>", 2), ("^b <HOST>$", 4), ("^c%d <HOST>", 4)]);
    assert!(!regexes.with_builtin, "as in fail2ban, they replace the filter's");
    let with = good("[dovecot]\nfailregex = %(known/failregex)s\n  ^a <HOST>\n").failregex;
    assert_eq!((with.lines.len(), with.with_builtin), (1, true));
}

#[test]
fn a_tree_of_fail2bans_works_verbatim() {
    let dir = tree(&[
        (
            "jail.conf",
            b"[INCLUDES]\nbefore = paths.conf\n[DEFAULT]\nenabled = false\nmode = normal\n\
            filter = %(__name__)s[mode=%(mode)s]\naction = %(banaction)s\nbanaction = x\nfoo = 1\n\
            [sshd]\nport = ssh\n[dovecot]\nlogpath = %(mail)s\nmaxretry = 3\n",
        ),
        ("paths.conf", b"[INCLUDES]\nafter = none.local\n[DEFAULT]\nmail = /var/log/m\n"),
        ("jail.d/a.conf", b"[dovecot]\nmaxretry = 4\nbantime = 2h\n"),
        ("jail.local", b"[dovecot]\nmode = aggressive\nbantimee = 1\n"),
        ("jail.d/z.local", b"[dovecot]\nbantime = 3h\n"),
    ]);
    let loaded = load_tree(dir.path());
    assert_eq!(errors(&loaded), [""; 0]);
    let Settings { mode, maxretry, bantime, logpath, enabled, .. } = &loaded.settings;
    assert_eq!((mode, maxretry.get(), enabled), (&Mode::Aggressive, 4, &true));
    assert_eq!(*bantime, Bantime::For(Duration::from_secs(3 * 3600)));
    assert_eq!(logpath, &["/var/log/m"]);
    assert_eq!(loaded.warnings().count(), 1, "the typo is only reported: {:#?}", loaded.faults);
    assert_eq!(loaded.unused.len(), 2, "{:?}", loaded.unused);
}

#[test]
fn what_fail2ban_would_not_do_either_is_said() {
    let jail = b"[dovecot]\nfilter = dovecot\nmode = aggressive\nenabled = yes\n\
                 ignorecommand = /bin/true\n";
    let dir = tree(&[("jail.local", jail), ("filter.d/dovecot.local", b"[Definition]\n")]);
    let loaded = load_tree(dir.path());
    assert_eq!(loaded.settings.mode, Mode::Normal, "fail2ban takes the mode from filter alone");
    let said = show(loaded.warnings());
    for word in ["overrules it", "enabled as well", "ignorecommand", "dovecot.local"] {
        assert!(said.contains(word), "no {word:?} in\n{said}");
    }
    let nowhere = tree(&[]);
    assert_eq!(errors(&load_tree(nowhere.path())).len(), 1);
}

#[test]
fn an_option_of_the_filter_that_does_nothing_is_named() {
    let said = |filter: &str| {
        let jail = format!("[dovecot]\nfilter = {filter}\n");
        let dir = tree(&[("jail.local", jail.as_bytes())]);
        show(load_tree(dir.path()).warnings())
    };
    assert_eq!(said("dovecot[mode=aggressive, logtype=journal]"), "");
    let typo = said("dovecot[mde=aggressive]");
    assert!(typo.contains("no option mde") && typo.contains("jail.local:2"), "{typo}");
}

#[test]
fn a_fault_in_a_list_of_several_lines_is_shown_in_its_own() {
    let faults = own("[DEFAULT]\nignoreip = 192.0.2.1\n    192.0.2.300 192.0.2.2\n");
    assert_errors(&faults, &["3 ignoreip: \"192.0.2.300\" is neither"]);
    assert!(show(faults.errors()).contains("d.conf:3:5"), "{}", show(faults.errors()));
}

#[test]
fn circles_end() {
    assert_errors(&own("[dovecot]\nport = %(port)s\n"), &["2 port: %(port)s refers to itself"]);
    let long: String = (1..20).map(|n| format!("a{n} = %(a{})s\n", n + 1)).collect();
    assert_errors(
        &own(format!("[dovecot]\nport = %(a1)s\n{long}a20 = 1\n")),
        &["nested more than"],
    );
    let wide: String =
        (1..9).map(|n| format!("a{n} = {}\n", format!("%(a{})s", n + 1).repeat(100))).collect();
    for (last, what) in [("x", "refers to more than"), ("", "refers to more than")] {
        let text = format!("[dovecot]\nport = %(a1)s\n{wide}a9 = {last}\n");
        assert_errors(&own(text), &[what]);
    }
    let dir = tree(&[
        ("d.conf", b"[INCLUDES]\nbefore = e.conf\n[dovecot]\n"),
        ("e.conf", b"[INCLUDES]\nafter = d.conf\n  e.conf\n"),
    ]);
    assert_errors(&load_own(dir.path()), &["2 after", "3 after"]);
}

#[test]
fn includes_without_end_are_given_up() {
    let name = |n: usize| format!("{n}.conf");
    let files: Vec<(String, String)> = (0..12)
        .map(|n| {
            let next = name(n + 1);
            let copies = format!("  {next}\n").repeat(4);
            (
                if n == 0 { "d.conf".to_owned() } else { name(n) },
                format!("[INCLUDES]\nbefore =\n{copies}"),
            )
        })
        .chain([(name(12), String::new())])
        .collect();
    let files: Vec<(&str, &[u8])> =
        files.iter().map(|(name, text)| (name.as_str(), text.as_bytes())).collect();
    assert_errors(&load_own(tree(&files).path()), &["more than 500 files"]);
}

#[test]
fn what_is_no_text_is_named_and_the_rest_is_read() {
    assert_errors(
        &own(b"[dovecot]\nport = 143\n# \xff\nfindtime = x\n"),
        &["3 not UTF-8", "4 findtime"],
    );
    assert_errors(&own(b"[dovecot]\nport = 1\0\n"), &["2 a NUL", "2 port"]);
    assert_errors(&own("\u{feff}[dovecot]\nport = 143\n"), &["1 a byte order mark"]);
    let mut long = b"[dovecot]\nlogpath = ".to_vec();
    long.resize(10 << 20, b'x');
    assert_errors(&own(long), &["cannot be read"]);
    assert_errors(&load_own(tree(&[("d.conf/x", b"")]).path()), &["directory"]);
    assert_errors(&load_own(tree(&[]).path()), &["cannot be read"]);
    // Faults without end take no time without end.
    let many = format!("[dovecot]\n{}", "x\n".repeat(1 << 17));
    assert_eq!(own(many).errors().count(), 1 << 17);
}

#[test]
fn the_document_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/config.md");
    let document = fs::read_to_string(path).unwrap();
    assert!(document == markdown(), "run: doveblock check --print-options > docs/config.md");
}

#[test]
fn the_packaged_configuration_is_the_default_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/doveblock.conf");
    let text = fs::read_to_string(path).unwrap();
    let settings = good(&text);
    let expected = Settings { ignoreip: settings.ignoreip.clone(), ..Settings::default() };
    assert_eq!(settings, expected);
    assert_eq!(
        good(&text.replace("\n#mode", "\n#").replace("= normal", "= aggressive")).mode,
        Mode::Aggressive
    );
}

/// Pieces that a configuration is made of, in whatever order.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("[dovecot]\n".to_owned()),
        Just("[DEFAULT]\n".to_owned()),
        Just("[INCLUDES]\nbefore = d.conf\n".to_owned()),
        Just("failregex = %(known/failregex)s\n ".to_owned()),
        "(port|mode|a|b|c) ?[=:] ?(%\\((port|mode|a|b|c|known/a|default/b|dovecot/c|__name__)\\)s ?){0,4}\n",
        "[ \t]{0,3}[%()a-z;#=:\\[\\]/0-9 ]{0,12}\r?\n?",
        "\\PC{0,8}",
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_bytes_are_read_to_an_end(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let _shown = show(own(bytes).errors());
    }

    #[test]
    fn anything_like_a_configuration_is_read_to_an_end(first in pieces(), second in pieces()) {
        let dir = tree(&[("d.conf", first.as_bytes()), ("d.d/x.conf", second.as_bytes())]);
        let _shown = show(load_own(dir.path()).errors());
        let dir = tree(&[("jail.conf", first.as_bytes()), ("jail.local", second.as_bytes())]);
        let _shown = show(load_tree(dir.path()).warnings());
    }

    #[test]
    fn values_without_references_are_what_was_written(value in "[a-z/][a-z./-]{0,30}") {
        prop_assert_eq!(good(&format!("[dovecot]\nlogpath = {value}\n")).logpath, [value]);
    }
}
