//! The server and its client against each other, without root: in place of the pipeline is
//! an inbox that nobody empties.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    sync::{Arc, Mutex, RwLock},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use super::{
    Client, ClientError, Context, Lists, Places, ROUTES, Server, Shown,
    api::{BanManyRequest, BanRequest, Banned, BannedMany, Listed, MAX_SHOWN, Reloaded, Status},
};
use crate::{
    daemon::{self, Inbox, Stats},
    firewall::{Firewall as _, Memory, Order, host},
    jail::Policy,
    source::Waiter,
    time::LogTime,
};

mod living;

struct World {
    dir: TempDir,
    _server: Server,
    _waiter: Waiter,
    _inbox: Inbox,
}

impl World {
    /// A server that shows `bans` bans without end.
    fn new(bans: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let waiter = Waiter::new().unwrap();
        let (remote, inbox) = daemon::remote(&waiter);
        let mut memory = Memory::default();
        for n in 0..bans {
            let subject = host(std::net::Ipv4Addr::from(0x0a00_0000 + n).into());
            let banned_at = LogTime::EPOCH;
            memory.ban(&Order { subject, banned_at, expires: None, attempts: 0 }).unwrap();
        }
        let places = Places { socket: dir.path().join("sock"), group: None, metrics: None };
        let mut server = Server::bind(&places).unwrap();
        let context = Context {
            jail: "dovecot",
            dry_run: true,
            started_at: LogTime::EPOCH,
            wanted: Vec::new(),
            remote,
            stats: Arc::new(Stats::example()),
            view: Mutex::new(memory.view().unwrap()),
            lists: Lists::default(),
            past: None,
            shown: RwLock::new(Shown {
                mode: "normal".to_owned(),
                logs: vec!["/var/log/mail.log".to_owned()],
                ..Shown::of(Policy::default())
            }),
            reload: Box::new(|| Err("line 7: maxretry is no number".to_owned())),
            turn: tokio::sync::Mutex::default(),
        };
        server.serve(context, || {}).unwrap();
        Self { dir, _server: server, _waiter: waiter, _inbox: inbox }
    }

    fn client(&self) -> Client {
        Client::new(&self.dir.path().join("sock"))
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(self.dir.path().join("sock")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// What comes back for `request`, byte by byte.
    fn raw(&self, request: &[u8]) -> String {
        let mut stream = self.connect();
        // It may be hung up on before the end.
        let _ = stream.write_all(request);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }
}

#[test]
fn a_pipeline_that_hangs_is_called_busy() {
    let order = BanRequest { ip: "192.0.2.7".to_owned(), bantime: None, reason: None };
    let world = World::new(0);
    let error = world.client().post::<Banned>("/v1/ban", &order).unwrap_err();
    assert!(error.to_string().contains("busy"), "{error}");
    world.client().get::<Status>("/v1/status").unwrap();
}

#[test]
fn a_daemon_that_hangs_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sock");
    let _nobody_accepts = UnixListener::bind(&path).unwrap();
    let error = Client::new(&path).get::<Value>("/v1/status").unwrap_err();
    assert!(matches!(error, ClientError::Silent(_)), "{error}");
    assert!(error.to_string().contains("does not answer"), "{error}");
}

#[test]
fn the_list_is_whole_and_the_status_is_short() {
    let world = World::new(5000);
    let list: Vec<Listed> = world.client().get("/v1/bans").unwrap();
    assert_eq!(list.len(), 5000);
    let status: Status = world.client().get("/v1/status").unwrap();
    assert_eq!((status.currently_banned, status.banned.len()), (5000, MAX_SHOWN));
}

#[test]
fn clients_that_say_nothing_do_not_keep_others_out() {
    let world = World::new(0);
    let _silent: Vec<UnixStream> = (0..100).map(|_| world.connect()).collect();
    // Its turn comes when the silent ones have been hung up on.
    let answer = world.raw(b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn readers_that_stall_do_not_keep_others_out_of_the_status() {
    let world = World::new(5000);
    let mut stalled: Vec<UnixStream> = (0..8).map(|_| world.connect()).collect();
    for stream in &mut stalled {
        stream.write_all(b"GET /v1/bans HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    }
    world.client().get::<Status>("/v1/status").unwrap();
}

#[test]
fn garbage_and_too_much_of_anything_is_refused() {
    let world = World::new(0);
    let long = "x".repeat(100_000);
    let header = format!("GET /v1/status HTTP/1.1\r\nHost: x\r\nX: {long}\r\n\r\n");
    let headers = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(1000));
    let body =
        format!("POST /v1/ban HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{long}", long.len());
    let requests = [
        &b"\0\xff\x16\x03\x01garbage\r\n\r\n"[..],
        header.as_bytes(),
        headers.as_bytes(),
        body.as_bytes(),
    ];
    for request in requests {
        let answer = world.raw(request);
        // Who is hung up on while still sending may see the answer no more.
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    world.client().get::<Status>("/v1/status").unwrap();
}

#[test]
fn a_list_with_a_fault_is_refused_as_a_whole_and_the_fault_is_named() {
    let world = World::new(0);
    let ips = ["192.0.2.7", "192.0.2.256", "x"].map(str::to_owned).to_vec();
    let order = BanManyRequest { ips, bantime: None, reason: None };
    let error = world.client().post::<BannedMany>("/v1/bans", &order).unwrap_err();
    assert!(matches!(error, ClientError::Invalid(_)), "{error}");
    let error = error.to_string();
    assert!(error.contains("ips[1]: ") && error.contains("ips[2]: "), "{error}");
    assert!(!error.contains("ips[0]"), "{error}");
}

#[test]
fn a_configuration_that_is_wrong_is_refused_with_what_is_wrong() {
    let world = World::new(0);
    let error = world.client().post::<Reloaded>("/v1/reload", &Value::Null).unwrap_err();
    assert!(matches!(error, ClientError::Invalid(_)), "{error}");
    assert_eq!(error.to_string(), "line 7: maxretry is no number");
}

#[test]
fn neither_a_port_that_is_taken_nor_a_group_stops_a_start_but_one_that_there_is_not_does() {
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let metrics = Some(taken.local_addr().unwrap());
    // Only root may give a file to root's group.
    let group = Some("root".to_owned());
    let places = Places { socket: dir.path().join("sock"), group, metrics };
    drop(Server::bind(&places).unwrap());
    let places = Places { group: Some("no-such-group".to_owned()), ..places };
    let Err(error) = Server::bind(&places) else { panic!("there is no such group") };
    assert!(error.is_usage() && error.to_string().contains("no-such-group"), "{error}");
}

#[test]
fn the_metrics_are_on_the_socket() {
    let world = World::new(3);
    let answer = world.raw(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(answer.contains("content-type: application/openmetrics-text"), "{answer}");
    assert!(answer.contains("doveblock_map_entries{map=\"bans_v4\"} 3\n"), "{answer}");
    assert!(answer.contains("# EOF"), "{answer}");
}

#[test]
fn every_route_is_described_and_no_other() {
    let described = openapi();
    let paths = described["paths"].as_object().unwrap();
    let described = paths.iter().flat_map(|(path, methods)| {
        methods.as_object().unwrap().keys().map(move |method| format!("{method} {path}"))
    });
    let mut described: Vec<String> = described.collect();
    let name = |(method, path): &(hyper::Method, &str)| {
        format!("{} {path}", method.as_str().to_lowercase())
    };
    let mut routes: Vec<String> = ROUTES.iter().map(name).collect();
    described.sort();
    routes.sort();
    assert_eq!(described, routes);
}

fn openapi() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}
