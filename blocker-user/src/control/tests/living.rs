//! The server with a real pipeline behind it, which reads a log and bans in memory: every answer
//! is held against docs/openapi.json.

use std::{
    fs,
    io::Write as _,
    net::IpAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use jiff::tz::TimeZone;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::super::{
    Client, ClientError, Context, Fresh, Lists, Places, Server, Shown,
    api::{Explained, History},
};
use super::openapi;
use crate::{
    daemon::{self, Change, Clocks, Keeping, Pipeline, Remote, Setup, Stats},
    dovecot::{Judge, Mode, SessionCheck, Settings},
    firewall::{Firewall as _, Memory, Rules},
    jail::{Bantime, IgnoreList, Jail, Policy},
    source::{Source, Spec, Waiter},
    store::{Reader, Seeds, Store},
};

const LIMIT: Duration = Duration::from_secs(30);

fn judge() -> Judge {
    Judge::new(Settings {
        mode: Mode::Aggressive,
        zone: TimeZone::UTC,
        session_check: SessionCheck::default(),
    })
}

fn ignore() -> IgnoreList {
    IgnoreList::new(vec!["198.51.100.0/24".parse().unwrap()], false)
}

fn policy(maxretry: u32) -> Policy {
    let maxretry = std::num::NonZeroU32::new(maxretry).unwrap();
    Policy { maxretry, bantime: Bantime::For(Duration::from_secs(3600)), ..Policy::default() }
}

fn shown(policy: Policy) -> Shown {
    Shown { mode: "aggressive".to_owned(), policy, logs: Vec::new(), max_bans: 1000 }
}

/// A configuration that differs by its maxretry.
fn fresh(log: &Spec) -> Fresh {
    let rules = Rules {
        ports: Vec::new(),
        udp_ports: Vec::new(),
        drop_fragments: true,
        action: crate::firewall::Action::Drop,
    };
    let change = Change {
        judge: judge(),
        policy: policy(2),
        ignore: ignore(),
        names: Arc::default(),
        sources: vec![(log.to_string(), log.clone())],
        rules,
    };
    Fresh { change, shown: shown(policy(2)), at_restart: vec!["interface".to_owned()] }
}

struct Living {
    dir: TempDir,
    remote: Remote,
    pipeline: Option<JoinHandle<()>>,
    _server: Server,
}

impl Living {
    fn new() -> Self {
        Self::at(tempfile::tempdir().unwrap())
    }

    /// With the state that is in `dir`.
    fn at(dir: TempDir) -> Self {
        let waiter = Waiter::new().unwrap();
        let (remote, inbox) = daemon::remote(&waiter);
        let memory = Memory::default();
        let view = Mutex::new(memory.view().unwrap());
        let state = dir.path().join("state");
        let (store, saved) = Store::open(&state, waiter.waker()).unwrap();
        let seeds = Seeds { names: [1; 16], jail: 2 };
        let keeping = Keeping { store, seeds, enforced_in: "boot /pins".to_owned() };
        let spec = Spec::File(dir.path().join("mail.log"));
        let log = spec.clone();
        let stats = Arc::new(Stats::from(saved.totals));
        let counted = Arc::clone(&stats);
        let start = move || {
            let pipeline = Pipeline::new(Setup {
                sources: vec![(spec.to_string(), Source::new(&spec))],
                judge: judge(),
                jail: Jail::new(policy(3), ignore(), 2),
                firewall: Box::new(memory),
                waiter,
                inbox,
                stats: counted,
                keeping: Some(keeping),
                saved,
                names: Arc::default(),
                clocks: Clocks::default(),
            });
            pipeline.unwrap().run().unwrap();
        };
        let pipeline = Some(thread::spawn(start));
        let places = Places { socket: dir.path().join("sock"), group: None, metrics: None };
        let mut server = Server::bind(&places).unwrap();
        let is_wrong = AtomicBool::new(false);
        let context = Context {
            jail: "dovecot",
            dry_run: false,
            remote: remote.clone(),
            stats,
            view,
            lists: Lists::default(),
            past: Some(Reader::of(&state)),
            shown: RwLock::new(shown(policy(3))),
            reload: Box::new(move || {
                // Right the first time only.
                let wrong = is_wrong.swap(true, Ordering::Relaxed);
                if wrong { Err("line 7 is wrong".to_owned()) } else { Ok(fresh(&log)) }
            }),
            turn: tokio::sync::Mutex::default(),
        };
        server.serve(context, || {}).unwrap();
        Self { dir, remote, pipeline, _server: server }
    }

    /// Stops it, and starts another one on the same state.
    fn restarted(mut self) -> Self {
        self.stop();
        let dir = std::mem::replace(&mut self.dir, tempfile::tempdir().unwrap());
        drop(self);
        Self::at(dir)
    }

    fn stop(&mut self) {
        self.remote.stop();
        if let Some(pipeline) = self.pipeline.take() {
            pipeline.join().unwrap();
        }
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("sock")
    }

    fn log(&self, message: &str) {
        let time = jiff::Timestamp::now();
        let path = self.dir.path().join("mail.log");
        let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        writeln!(file, "{time} mx dovecot: {message}").unwrap();
    }

    fn probe(&self, ip: &str) {
        self.log(&format!(
            "managesieve-login: Disconnected: Connection closed (no auth attempts in 0 secs): \
             user=<>, rip={ip}, lip=192.0.2.1"
        ));
    }

    fn get(&self, path: &str) -> Value {
        checked("get", path, Client::new(&self.socket()).get(path).unwrap())
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        checked("post", path, Client::new(&self.socket()).post(path, body).unwrap())
    }

    /// Asks until `is_it`.
    fn explain(&self, ip: &str, is_it: impl Fn(&Explained) -> bool) -> Explained {
        let end = Instant::now() + LIMIT;
        loop {
            let answer = self.get(&format!("/v1/explain?ip={ip}"));
            let explained: Explained = serde_json::from_value(answer).unwrap();
            if is_it(&explained) {
                return explained;
            }
            assert!(Instant::now() < end, "{explained:#?}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Living {
    fn drop(&mut self) {
        self.stop();
    }
}

/// `answer`, which is what the description says an answer to this looks like.
fn checked(method: &str, path: &str, answer: Value) -> Value {
    let mut schema = openapi();
    let route = path.split('?').next().unwrap();
    let described =
        &schema["paths"][route][method]["responses"]["200"]["content"]["application/json"];
    let wanted = described["schema"].clone();
    assert!(wanted.is_object(), "{method} {route} is not described");
    schema["$ref"] = wanted["$ref"].clone();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let faults: Vec<String> = validator
        .iter_errors(&answer)
        .map(|error| format!("{}: {error}", error.instance_path))
        .collect();
    assert!(faults.is_empty(), "{method} {path}: {faults:#?}\n{answer:#}");
    answer
}

#[test]
fn every_answer_is_as_it_is_described() {
    let living = Living::new();
    (0..3).for_each(|_| living.probe("192.0.2.7"));
    living.explain("192.0.2.7", |of| of.ban.is_some());
    living.post("/v1/ban", &json!({"ip": "2001:db8::7", "for": "1h", "reason": "a test"}));
    living.post("/v1/ban", &json!({"ip": "198.51.0.0/16", "for": "-1"}));
    let many = json!({"ips": ["192.0.2.9", "198.51.100.9"], "reason": "a list"});
    let banned = living.post("/v1/bans", &many);
    assert_eq!(
        (&banned["banned"], &banned["not_banned"][0]["ip"]),
        (&json!(1), &json!("198.51.100.9"))
    );
    let status = living.get("/v1/status");
    assert_eq!(status["currently_banned"], 4);
    assert_eq!(living.get("/v1/bans").as_array().unwrap().len(), 4);
    assert_eq!(living.get("/v1/top")["newest"].as_array().unwrap().len(), 4);
    let unbanned = living.post("/v1/unban", &json!({"ips": ["192.0.2.9", "192.0.2.10"]}));
    assert_eq!(unbanned["lifted"], 1);
    assert_eq!(living.post("/v1/unban", &json!({"ip": "2001:db8::7"}))["lifted"], 1);
    assert_eq!(living.post("/v1/unban", &json!({"all": true}))["lifted"], 2);
    let history = living.get("/v1/history?since=1h");
    assert_eq!(history["clients"], 4);
    assert_eq!(history["bans"].as_array().unwrap().len(), 4);
    assert_eq!(living.post("/v1/reload", &json!({}))["at_restart"], json!(["interface"]));
}

#[test]
fn the_history_goes_on_over_a_restart() {
    let mut living = Living::new();
    (0..3).for_each(|_| living.probe("192.0.2.7"));
    living.log("imap-login: Login: user=<alice>, method=PLAIN, rip=192.0.2.8, lip=192.0.2.1");
    living.explain("192.0.2.7", |of| of.ban.is_some());
    // Answered when all that came before it is written.
    living.post("/v1/ban", &json!({"ip": "2001:db8::7", "for": "1h"}));
    living = living.restarted();
    living.probe("192.0.2.9");
    living.explain("192.0.2.9", |of| of.failures.is_some());
    living.post("/v1/unban", &json!({"ip": "192.0.2.7"}));
    let history: History = serde_json::from_value(living.get("/v1/history")).unwrap();
    let report = crate::history::report(&history, &TimeZone::UTC, crate::daemon::wall_clock());
    assert_eq!((report.read.failures, report.read.logins, report.effect.bans), (4, 1, 2));
    assert_eq!(report.series.failures.iter().sum::<u64>(), 4);
    assert_eq!(report.rules[0].name, "no-auth-attempts");
    let mut bans: Vec<&str> = report.bans.iter().map(|ban| ban.subject.as_str()).collect();
    bans.sort_unstable();
    assert_eq!(bans, ["192.0.2.7", "2001:db8::/64"]);
    let lifted = history.chronicle.bans.iter().find(|ban| ban.ip == "192.0.2.7").unwrap();
    assert!(lifted.ended_how.as_ref().unwrap().starts_with("lifted by hand"), "{lifted:?}");
    let error = Client::new(&living.socket()).get::<Value>("/v1/history?since=x").unwrap_err();
    assert!(matches!(error, ClientError::Invalid(_)), "{error}");
}

#[test]
fn a_ban_is_explained_by_its_lines_after_a_restart_too() {
    let mut living = Living::new();
    living.probe("192.0.2.7");
    living.log("imap-login: Login: user=<alice>, method=PLAIN, rip=192.0.2.8, lip=192.0.2.1");
    living.probe("192.0.2.8");
    let failing = living.explain("192.0.2.7", |of| of.failures.is_some());
    assert!(failing.ban.is_none() && failing.why_not[0].contains("too few"), "{failing:#?}");
    let spared = living.explain("192.0.2.8", |of| !of.lines.is_empty());
    assert!(spared.why_not[0].contains("as alice"), "{spared:#?}");
    assert!(spared.lines[0].verdict.contains("logged in"), "{spared:#?}");
    (0..2).for_each(|_| living.probe("192.0.2.7"));
    for round in 0..2 {
        let banned = living.explain("192.0.2.7", |of| of.ban.is_some() && of.lines.len() == 3);
        let ban = banned.ban.unwrap();
        assert_eq!((ban.attempts, ban.cause.as_str()), (3, "no-auth-attempts"), "{round}");
        let verdicts: Vec<&str> = banned.lines.iter().map(|line| line.verdict.as_str()).collect();
        assert_eq!(verdicts, ["counted, 1 of 3", "counted, 2 of 3", "banned"]);
        assert!(banned.lines[2].line.contains("rip=192.0.2.7"));
        living = living.restarted();
    }
    living.post("/v1/unban", &json!({"ip": "192.0.2.7"}));
    let lifted = living.explain("192.0.2.7", |of| of.ban.is_none());
    assert_eq!(lifted.earlier_bans, 1);
    let how = lifted.last_ended.unwrap().how;
    assert!(how.starts_with("lifted by hand by "), "{how}");
    let ignored = living.explain("198.51.100.9", |_| true);
    assert!(ignored.never_banned.unwrap().contains("198.51.100.0/24"));
    let unknown = living.explain("203.0.113.1", |_| true);
    assert!(unknown.why_not[0].contains("nothing it did"), "{:?}", unknown.why_not);
}

#[test]
fn ten_thousand_are_banned_and_lifted_by_one_request_each() {
    let living = Living::new();
    let ips: Vec<String> = (0..10_000_u32)
        .map(|n| IpAddr::from((0x0a00_0000 + n).to_be_bytes()).to_string())
        .collect();
    assert_eq!(living.post("/v1/bans", &json!({ "ips": ips }))["banned"], 10_000);
    assert_eq!(living.get("/v1/status")["currently_banned"], 10_000);
    assert_eq!(living.post("/v1/unban", &json!({ "ips": ips }))["lifted"], 10_000);
}

#[test]
fn a_reload_is_in_force_from_the_next_line_on_and_loses_nothing() {
    let living = Living::new();
    living.probe("192.0.2.7");
    living.explain("192.0.2.7", |of| of.failures.is_some());
    living.post("/v1/ban", &json!({"ip": "192.0.2.9"}));
    living.post("/v1/reload", &json!({}));
    let failures = living.explain("192.0.2.7", |_| true).failures.unwrap();
    assert_eq!((failures.count, failures.maxretry), (1, 2));
    assert_eq!(living.get("/v1/status")["maxretry"], 2);
    assert_eq!(living.get("/v1/status")["currently_banned"], 1);
    let error = Client::new(&living.socket()).post::<Value>("/v1/reload", &json!({}));
    assert_eq!(error.unwrap_err().to_string(), "line 7 is wrong");
    assert_eq!(living.get("/v1/status")["maxretry"], 2);
    // The second failure makes the ban by now.
    living.probe("192.0.2.7");
    living.explain("192.0.2.7", |of| of.ban.is_some());
}
