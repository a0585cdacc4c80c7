//! fail2ban's own code as the judge of how we read its configuration.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, bail, ensure};
use blocker_tests::{needs, process::command};
use blocker_user::config::{
    Fault, Ignored, Loaded, PortList, Sources, find, load, parse_ports, parse_span,
};
use ipnet::IpNet;
use libtest_mimic::{Completion, Failed, Trial};
use proptest::{
    prelude::RngCore as _,
    test_runner::{RngAlgorithm, TestRng},
};
use serde_json::{Map, Value};
use tempfile::TempDir;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("reads_lines_and_references_as_fail2ban_does", syntax),
        trial("reads_whatever_the_order_as_fail2ban_does", random),
        trial("reads_debians_tree_as_fail2ban_does", stock_tree),
        trial("reads_times_as_fail2ban_does", times),
    ]
}

fn trial(name: &str, body: fn() -> Result<()>) -> Trial {
    Trial::ignorable_test(name, move || {
        if let Some(reason) = needs::missing_fail2ban() {
            return Ok(Completion::ignored_with(reason));
        }
        body().map(|()| Completion::Completed).map_err(|error| Failed::from(format!("{error:#}")))
    })
}

/// Prints, as JSON, the values that the jail dovecot has in the trees named: null for one that
/// cannot be resolved, and null for a tree that cannot be read.
const ASK_FOR_VALUES: &str = r#"
import json, logging, sys
sys.path.insert(0, "/usr/lib/python3/dist-packages")
logging.disable(logging.CRITICAL)
from fail2ban.client.configreader import ConfigReader
def values(tree):
    reader = ConfigReader(basedir=tree)
    try:
        if not reader.read("jail"):
            return None
        names = reader.options("dovecot")
    except Exception:
        return None
    found = {}
    for name in names:
        try:
            found[name] = reader.get("dovecot", name)
        except Exception:
            found[name] = None
    return found
print(json.dumps([values(tree) for tree in sys.argv[1:]]))
"#;

/// The same for what fail2ban would hand to its server.
const ASK_FOR_THE_JAIL: &str = r#"
import json, logging, sys
sys.path.insert(0, "/usr/lib/python3/dist-packages")
logging.disable(logging.CRITICAL)
from fail2ban.client.jailreader import JailReader
from fail2ban.server.mytime import MyTime
def jail(tree):
    reader = JailReader("dovecot", force_enable=True, basedir=tree)
    reader.read()
    reader.getOptions()
    found = {"ignoreip": []}
    for line in reader.convert(allow_no_files=True):
        if line[0] == "set" and line[2] == "addignoreip":
            found["ignoreip"] += line[3:]
        elif line[0] == "set" and line[2] in ("maxretry", "findtime", "bantime"):
            found[line[2]] = MyTime.str2seconds(str(line[3]))
    found["backend"] = reader.options["backend"]
    found["logpath"] = reader.options["logpath"].split("\n")
    found["port"] = reader.get("dovecot", "port")
    regexes = [line for line in reader.convert(allow_no_files=True) if line[0] == "multi-set"]
    found["aggressive"] = any("no auth attempts" in str(line) for line in regexes)
    return found
print(json.dumps([jail(tree) for tree in sys.argv[1:]]))
"#;

fn ask(question: &str, arguments: &[&str]) -> Result<Vec<Value>> {
    let mut python = command("/usr/bin/python3");
    let output = python.args(["-c", question]).args(arguments).output()?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "fail2ban's code failed: {error}");
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn write(dir: &Path, files: &[(String, String)]) -> Result<()> {
    for (name, text) in files {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().context("a file without a directory")?)?;
        fs::write(path, text)?;
    }
    Ok(())
}

fn load_tree(dir: &Path) -> Loaded {
    load(&Sources { config: None, fail2ban: Some(dir.to_owned()) })
}

/// Each case is about what `failregex` comes to: the one option whose text we keep as it is.
/// Lines without text are left out on both sides; an expression is never one.
const SYNTAX: &[&[(&str, &str)]] = &[
    &[("jail.conf", "[dovecot]\nfailregex = a ; c\n")],
    &[("jail.conf", "[dovecot]\nfailregex = a # c\n")],
    &[("jail.conf", "[dovecot]\nfailregex = a;c\n  d\t;e\n")],
    &[("jail.conf", "[dovecot]\nfailregex : a = b : c\n")],
    &[("jail.conf", "[dovecot]\nFailRegex=a\n  b\n # c\n; d\n\n\n  e\n#f\n\tg\nbantime = 1h\n")],
    &[("jail.conf", "  [dovecot]\n  failregex = a\n  banaction = c\n    failregex = b\n")],
    &[("jail.conf", "[dovecot]\nfailregex = a\n  [b]\n  c = d\n[other]\nx = 1\n")],
    &[("jail.conf", "[dovecot]\r\nfailregex = a\r\n  b\rbantime = 1m\r\n")],
    &[("jail.conf", "[dovecot]\nfailregex = \u{a0}a\u{a0}\n\u{c}  b\n\u{2003}c\n")],
    &[("jail.conf", "[dovecot] behind\nfailregex = a\n")],
    &[("jail.conf", "[DEFAULT]\nx=1\n[DEFAULT]\ny=2\n[dovecot]\nfailregex = %(x)s%(y)s%%(x)s\n")],
    &[("jail.conf", "[dovecot]\nfailregex =\n  %(X)s!\n  %(__name__)s\nx = 1\n  2\n")],
    &[(
        "jail.conf",
        "[DEFAULT]\nx=1\n[b]\nx=2\ny=3\n[dovecot]\nfailregex=%(b/x)s%(b/y)s%(default/x)s\n",
    )],
    &[("jail.conf", "[DEFAULT]\nx=1\n[b]\ny=3\n[dovecot]\nx=2\nfailregex=%(b/x)s%(known/x)s\n")],
    &[
        ("jail.conf", "[dovecot]\nx = 1\ny = 9\n"),
        ("jail.local", "[dovecot]\nx = %(known/x)s 2\nfailregex = %(x)s %(known/x)s\n"),
    ],
    &[
        ("jail.conf", "[dovecot]\nfailregex = 1\n"),
        ("jail.d/b.conf", "[dovecot]\nfailregex = 2\n"),
        ("jail.local", "[dovecot]\nfailregex = 3\n  %(known/failregex)s\n"),
        ("jail.d/.a.local", "[dovecot]\nfailregex = 5\n"),
    ],
    &[
        (
            "jail.conf",
            "[INCLUDES]\nbefore = b.conf\nafter = a.conf\n[dovecot]\nfailregex = %(v)s\nv=1\n",
        ),
        ("b.conf", "[dovecot]\nv = b\nw = b\n"),
        ("b.local", "[dovecot]\nw = l\n"),
        (
            "a.conf",
            "[INCLUDES]\nbefore = c.conf\n none.conf\n[dovecot]\nv = a %(w)s %(z)s %(known/v)s\n",
        ),
        ("c.conf", "[DEFAULT]\nz = c\n[dovecot]\nv = c\n"),
    ],
    &[("jail.d/only.conf", "[dovecot]\nfailregex = 1\n")],
    &[("jail.conf", "[dovecot]\nfailregex = 1\n"), ("jail.local", "[DEFAULT]\nfailregex = 2\n")],
    // What cannot be read, or not be resolved.
    &[("jail.conf", "[dovecot]\nfailregex = 1\nfailregex = 2\n")],
    &[("jail.conf", "[dovecot]\nfailregex = 1\n[dovecot]\nx = 2\n")],
    &[("jail.conf", "failregex = 1\n[dovecot]\n")],
    &[("jail.conf", "[dovecot]\nfailregex = 1\nnonsense\n")],
    &[("jail.conf", "[dovecot]\nfailregex = 1\n= 2\n")],
    &[("jail.conf", "[dovecot\nfailregex = 1\n")],
    &[("jail.conf", "\u{feff}[dovecot]\nfailregex = 1\n")],
    &[("jail.conf", "[dovecot]\nfailregex = 1\n"), ("jail.local", "broken\n")],
    &[("jail.conf", "[dovecot]\nfailregex = 50%\n")],
    &[("jail.conf", "[dovecot]\nfailregex = %x\n")],
    &[("jail.conf", "[dovecot]\nfailregex = %(x\n")],
    &[("jail.conf", "[dovecot]\nx = 1\nfailregex = %( x )s\n")],
    &[("jail.conf", "[dovecot]\nx = 1\nfailregex = %(x)d\n")],
    &[("jail.conf", "[dovecot]\nfailregex = %()s\n")],
    &[("jail.conf", "[dovecot]\nfailregex = %(x)s\nx = %(failregex)s\n")],
    &[("jail.conf", "[dovecot]\nx = 1\nfailregex = %(known/x)s\n")],
    &[("jail.conf", "[DEFAULT]\nx = 1\n[dovecot]\nfailregex = %(DEFAULT/x)s\n")],
    &[("jail.conf", "[DEFAULT]\nx = 1\n[dovecot]\nfailregex = %(none/x)s\n")],
];

/// `a` refers to `b` and so on, so many times.
fn chain(length: usize) -> String {
    let steps: String = (1..length).map(|n| format!("a{n} = %(a{})s\n", n + 1)).collect();
    format!("[dovecot]\nfailregex = %(a1)s\n{steps}a{length} = x\n")
}

fn syntax() -> Result<()> {
    let mut cases: Vec<Tree> = SYNTAX.iter().map(|files| owned(files)).collect();
    cases.extend([9, 10, 11].map(|length| owned(&[("jail.conf", &chain(length))])));
    compare(&cases)
}

/// What files may be made of.
const PIECES: [&str; 36] = [
    "a",
    "b",
    "c",
    "A",
    "failregex",
    " = ",
    "=",
    ":",
    ";",
    " ;",
    "\t; ",
    "#",
    " # ",
    "\n",
    "\n",
    "\n",
    "\n ",
    "\n  ",
    "\n\t",
    "\r\n",
    "\n\n",
    "\n[DEFAULT]\n",
    "\n[dovecot]\n",
    "\n[other]\n",
    "\n[",
    "]",
    "%(a)s",
    "%(b)s",
    "%(c)s",
    "%(known/a)s",
    "%(default/b)s",
    "%(other/c)s",
    "%(dovecot/b)s",
    "%(__name__)s",
    "%%",
    "\nb = x ",
];

/// Two files of pieces in whatever order. Many such trees cannot be read, and for that, too, the
/// two have to agree.
fn random() -> Result<()> {
    const TREES: usize = 1500;
    let mut rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut text = |start: &str| {
        let mut text = start.to_owned();
        for _ in 0..rng.next_u32() % 12 {
            let piece = usize::try_from(rng.next_u32()).unwrap_or(0) % PIECES.len();
            text.push_str(PIECES[piece]);
        }
        text.push('\n');
        text
    };
    let cases: Vec<Tree> = (0..TREES)
        .map(|_| {
            let conf = text("[DEFAULT]\nb = 1\n[dovecot]\nfailregex = x %(a)s\na = ");
            let local = text("[dovecot]\na = ");
            owned(&[("jail.conf", &conf), ("jail.local", &local)])
        })
        .collect();
    compare(&cases)
}

/// The files of a tree: name and text.
type Tree = Vec<(String, String)>;

fn owned(files: &[(&str, &str)]) -> Tree {
    files.iter().map(|&(name, text)| (name.to_owned(), text.to_owned())).collect()
}

/// Has fail2ban and us read every one of `cases`.
fn compare(cases: &[Tree]) -> Result<()> {
    let dir = TempDir::new()?;
    let trees: Vec<String> =
        (0..cases.len()).map(|n| format!("{}/{n}", dir.path().display())).collect();
    for (case, tree) in cases.iter().zip(&trees) {
        write(Path::new(tree), case)?;
    }
    let arguments: Vec<&str> = trees.iter().map(String::as_str).collect();
    let theirs = ask(ASK_FOR_VALUES, &arguments)?;
    ensure!(theirs.len() == cases.len(), "{} answers", theirs.len());
    let readable = theirs.iter().filter(|values| values["failregex"].is_string()).count();
    ensure!(readable * 8 >= cases.len(), "fail2ban reads only {readable} of {}", cases.len());
    let mut differ = Vec::new();
    for ((case, tree), theirs) in cases.iter().zip(&trees).zip(theirs) {
        let loaded = load_tree(Path::new(tree));
        // What the patterns mean, and that these mean nothing, is not what is asked here.
        let is_reading = |fault: &&Fault| !fault.todo.starts_with("see column");
        let ours = match loaded.errors().find(is_reading) {
            Some(_) => None,
            None => Some(loaded.effective(find("failregex").context("failregex")?).0),
        };
        let full_lines = |text: &str| {
            let lines: Vec<&str> = text.split('\n').filter(|line| !line.is_empty()).collect();
            lines.join("\n")
        };
        let theirs = theirs["failregex"].as_str().map(full_lines);
        let faults: Vec<String> = loaded.errors().map(|fault| fault.one_line()).collect();
        if ours != theirs {
            differ.push(format!("{case:?}: ours {ours:?} {faults:?}, fail2ban's {theirs:?}"));
        }
    }
    ensure!(differ.is_empty(), "{} differ:\n{}", differ.len(), differ.join("\n"));
    Ok(())
}

/// What admins put into jail.local, over the tree that Debian installs.
const LOCALS: [&str; 8] = [
    "",
    "[dovecot]\nmode = aggressive\n",
    "[dovecot]\nenabled = true\nmode = aggressive\nmaxretry = 3\nfindtime = 1d 12h\nbantime = -1\n",
    "[DEFAULT]\nbantime = 1h\nfindtime = 2h # two\nmaxretry = 7\nignoreip = 127.0.0.1/8 ::1, 192.0.2.7\n \
     198.51.100.0/24\n[dovecot]\nport = imap,993\n",
    "[dovecot]\nfilter = dovecot[mode=aggressive]\nlogpath = %(dovecot_log)s\n  /var/log/dovecot.log\n",
    "[dovecot]\nfilter = dovecot\nmode = aggressive\nbantime = 60*60\n",
    "[DEFAULT]\nsyslog_mail = /var/log/mail/all\nmode = aggressive\nbackend = polling\n",
    "[dovecot]\nport = 0:65535\nmaxretry = %(default/maxretry)s\nbantime=%(known/findtime)s\n",
];

fn stock_tree() -> Result<()> {
    let stock = Path::new("/etc/fail2ban");
    let dir = TempDir::new()?;
    let trees: Vec<String> =
        (0..LOCALS.len()).map(|n| format!("{}/{n}", dir.path().display())).collect();
    for (local, tree) in LOCALS.iter().zip(&trees) {
        let copied = command("cp").arg("-r").args([stock, Path::new(tree)]).status()?;
        ensure!(copied.success(), "fail2ban's tree cannot be copied: {copied}");
        write(Path::new(tree), &owned(&[("jail.local", local)]))?;
    }
    let arguments: Vec<&str> = trees.iter().map(String::as_str).collect();
    for ((local, tree), theirs) in LOCALS.iter().zip(&trees).zip(ask(ASK_FOR_THE_JAIL, &arguments)?)
    {
        let loaded = load_tree(Path::new(tree));
        if let Some(fault) = loaded.errors().next() {
            bail!("{local:?}: {}", fault.one_line());
        }
        let ours = normal_form(&loaded, &theirs).with_context(|| format!("{local:?}"))?;
        let theirs = with_ports_read(theirs)?;
        ensure!(ours == theirs, "{local:?}:\nours {ours}\nfail2ban's {theirs}");
    }
    Ok(())
}

/// Our values in the form of fail2ban's.
fn normal_form(loaded: &Loaded, theirs: &Value) -> Result<Value> {
    let settings = &loaded.settings;
    let value = |name: &str| -> Result<String> {
        Ok(loaded.effective(find(name).context("no such option")?).0)
    };
    let seconds = |name: &str| -> Result<f64> {
        let text = value(name)?;
        Ok(if text == "-1" { -1.0 } else { parse_span(&text)?.as_secs_f64() })
    };
    let mut ours = Map::new();
    for name in ["findtime", "bantime"] {
        let (ours_is, theirs_is) = (seconds(name)?, theirs[name].as_f64().context("no number")?);
        ensure!(ours_is == theirs_is, "{name}: ours {ours_is}, fail2ban's {theirs_is}");
        ours.insert(name.to_owned(), theirs[name].clone());
    }
    ours.insert("maxretry".to_owned(), settings.maxretry.get().into());
    ours.insert("logpath".to_owned(), settings.logpath.clone().into());
    let aggressive = value("mode")? == "aggressive";
    ours.insert("aggressive".to_owned(), aggressive.into());
    ours.insert("port".to_owned(), settings.port.to_string().into());
    ours.insert("ignoreip".to_owned(), nets(&settings.ignoreip).into());
    let backend = theirs["backend"].as_str().context("no backend")?;
    ensure!((backend == "systemd") == (value("backend")? == "systemd"), "{backend}");
    ours.insert("backend".to_owned(), backend.into());
    Ok(Value::Object(ours))
}

fn nets(ignored: &[Ignored]) -> Vec<String> {
    ignored.iter().map(ToString::to_string).collect()
}

/// fail2ban hands addresses and ports on as they were written.
fn with_ports_read(mut theirs: Value) -> Result<Value> {
    let ports: PortList = parse_ports(theirs["port"].as_str().context("no port")?)?;
    theirs["port"] = ports.to_string().into();
    let written = theirs["ignoreip"].as_array().context("no ignoreip")?;
    let read = written.iter().map(|item| {
        let item = item.as_str().context("no text")?;
        let net =
            item.parse::<IpNet>().or_else(|_| item.parse::<std::net::IpAddr>().map(IpNet::from))?;
        Ok(Ignored::Net(net.trunc()))
    });
    theirs["ignoreip"] = nets(&read.collect::<Result<Vec<_>>>()?).into();
    Ok(theirs)
}

const TIMES: [&str; 20] = [
    "600",
    "10m",
    "1d 12h",
    "1d12h",
    "1h30m",
    "1.5h",
    "10 minutes",
    "2 w",
    "1mo",
    "1 month",
    "1y",
    "1year 2months",
    "5 5",
    "60*60",
    "24 * 1h",
    "1h+5",
    "1H",
    "1mm",
    "0",
    "x",
];

fn times() -> Result<()> {
    const ASK: &str = r#"
import json, sys
sys.path.insert(0, "/usr/lib/python3/dist-packages")
from fail2ban.server.mytime import MyTime
def seconds(text):
    try:
        return float(MyTime.str2seconds(text))
    except Exception:
        return None
print(json.dumps([seconds(text) for text in sys.argv[1:]]))
"#;
    for (text, theirs) in TIMES.iter().zip(ask(ASK, &TIMES)?) {
        let ours = parse_span(text).ok().map(|span| span.as_secs_f64());
        ensure!(ours == theirs.as_f64(), "{text:?}: ours {ours:?}, fail2ban's {theirs}");
    }
    Ok(())
}
