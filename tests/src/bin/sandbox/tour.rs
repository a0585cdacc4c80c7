//! The steps, each waited for and shown. A step that does not happen is an error.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, bail};
use blocker_tests::{
    client::{Client, Greeting},
    doveblock::{self, Doveblock, dump_command},
    dovecot::Dovecot,
    follow::Follow,
    greeter::Greeter,
    needs,
    netns::{ATTACKER, Family, SECOND, SERVER_LINK, World},
    process::{self, line},
    recording::Recording,
    wait::{self, LIMIT},
};

use crate::screen::{Actor, Screen};

const SIEVE: u16 = 4190;
const MAXRETRY: u32 = 3;
/// Long enough to look around, short enough to wait for the end.
const BANTIME: &str = "20s";
const KNOCK: Duration = Duration::from_secs(3);

/// What the client talks to: a real Dovecot, or its recorded words and a stand-in.
enum Server {
    Dovecot(Dovecot),
    Recorded { recording: Recording, log: PathBuf, _sieve: Greeter },
}

impl Server {
    fn start(world: &World, screen: &mut Screen) -> Result<Self> {
        match needs::missing_dovecot() {
            None => {
                let dovecot = Dovecot::start(world)?;
                screen.say(Actor::Dovecot, "serves IMAP, POP3 and ManageSieve (port 4190)");
                Ok(Self::Dovecot(dovecot))
            }
            Some(reason) => {
                screen.note(&format!(
                    "A real Dovecot {reason}. Until then a recorded log stands in for it."
                ));
                let log = world.claim.dir().join("dovecot.log");
                let recording = Recording::new(&log);
                recording.append("")?;
                Ok(Self::Recorded { recording, log, _sieve: Greeter::start(world, SIEVE)? })
            }
        }
    }

    fn log(&self) -> &std::path::Path {
        match self {
            Self::Dovecot(dovecot) => dovecot.log(),
            Self::Recorded { log, .. } => log,
        }
    }

    /// A silent connection, and the line it leaves.
    fn probed_by(&self, client: &Client<'_>) -> Result<String> {
        let banner = client.probe(SIEVE)?;
        if let Self::Recorded { recording, .. } = self {
            recording.probe(client.address())?;
        }
        Ok(banner)
    }
}

fn show(screen: &mut Screen, world: &World, stays: bool) -> Result<()> {
    let attacker = Client::new(world, ATTACKER, Family::V4);
    let second = Client::new(world, SECOND, Family::V4);
    let address = attacker.address().to_string();

    screen.heading("1. A mail server, and doveblock in front of it");
    let server = Server::start(world, screen)?;
    let policy = ["--mode", "aggressive", "--maxretry", "3", "--bantime", BANTIME];
    let options = [&policy[..], &["--findtime", "10m", "--xdp-mode", "native"]].concat();
    let mut daemon = Doveblock::start(world, server.log(), &options)?;
    screen.say(Actor::Doveblock, &format!("run -i {SERVER_LINK} {}", options.join(" ")));
    screen.say(Actor::Doveblock, "attached natively, reading Dovecot's log");

    screen.heading("2. Somebody connects to ManageSieve and says nothing, three times");
    let mut log = Follow::new(server.log());
    for attempt in 1..=MAXRETRY {
        let banner = server.probed_by(&attacker)?;
        let said: String = banner.chars().take(48).collect();
        screen.say(
            Actor::Attacker,
            &format!("{address} connects to {SIEVE}, hears {said}…, hangs up"),
        );
        let logged = log.wait_for(LIMIT, &[&format!("rip={address}")])?;
        screen.say(Actor::Dovecot, &logged);
        let mark = if attempt < MAXRETRY { format!("{attempt}/{MAXRETRY}") } else { "ban ".into() };
        let judged = daemon.wait_for(&[&address, "no-auth-attempts", &mark])?;
        screen.say(Actor::Doveblock, &judged);
    }

    screen.heading("3. The kernel drops the attacker's packets, and nobody else's");
    let ban = daemon.wait_for_ban(&address)?;
    let expires = ban["expires_at"].as_str().context("a ban without end")?.to_owned();
    screen.say(Actor::Doveblock, &format!("list: {address} is banned until {expires}"));
    match attacker.greet(SIEVE, KNOCK)? {
        Greeting::TimedOut => screen.say(
            Actor::Attacker,
            &format!("{address} connects again: timed out after {} s", KNOCK.as_secs()),
        ),
        other => bail!("the banned attacker got through: {other}"),
    }
    screen.say(
        Actor::Client,
        &format!("{} connects: {}", second.address(), second.greet(SIEVE, LIMIT)?),
    );
    show_drops(screen, &daemon, &address)?;
    attacker.greet(SIEVE, Duration::from_secs(1))?;
    show_drops(screen, &daemon, &address)?;

    screen.heading("4. Look for yourself");
    show_map(screen, world)?;

    screen.heading("5. The ban ends by itself: the deadline is in the map, the kernel reads it");
    screen.note(&format!("waiting for {expires} …"));
    wait::until(LIMIT + LIMIT, "the ban to end", || {
        let greeting = attacker.greet(SIEVE, Duration::from_secs(1))?;
        Ok(matches!(greeting, Greeting::Banner(_)).then_some(()))
    })?;
    screen.say(Actor::Attacker, &format!("{address} connects again and is answered"));
    screen.say(Actor::Doveblock, &daemon.wait_for(&[&address, "has ended"])?);
    screen.complete();

    screen.heading("That was the whole line: logged, counted, banned, dropped, forgiven.");
    if stays { keep(screen, world, &daemon) } else { Ok(()) }
}

/// Builds the world, shows the tour, and takes the world down.
pub(crate) fn run(screen: &mut Screen, stays: bool) -> Result<()> {
    screen.heading("doveblock in a sandbox");
    screen.note(
        "Two network namespaces joined by a veth pair: a mail server in one, its clients in the \
         other.\nNothing else on this machine is touched. Ctrl-C ends it and leaves nothing behind.",
    );
    let world = World::new()?;
    show(screen, &world, stays)
}

fn show_drops(screen: &mut Screen, daemon: &Doveblock<'_>, subject: &str) -> Result<()> {
    let ban = daemon.listed(subject)?.context("the ban ended early")?;
    let dropped = &ban["dropped_packets"];
    screen.say(Actor::Kernel, &format!("{dropped} packets of {subject} dropped so far"));
    Ok(())
}

fn show_map(screen: &mut Screen, world: &World) -> Result<()> {
    let mut command = dump_command(world, "bans_v4");
    screen.note(&format!("$ {}", line(&command)));
    match needs::missing_bpftool() {
        None => screen.say(Actor::Kernel, &process::run(&mut command)?),
        Some(reason) => screen.note(&format!("(this {reason})")),
    }
    Ok(())
}

/// Keeps everything running for whoever wants to look around, until Ctrl-C.
fn keep(screen: &mut Screen, world: &World, daemon: &Doveblock<'_>) -> Result<()> {
    let binary = doveblock::binary();
    let binary = binary.display();
    let socket = doveblock::socket(world);
    let socket = socket.display();
    screen.note(&format!(
        "Everything keeps running. Try, in another terminal:\n  {binary} status --socket {socket}\n  \
         {binary} ban {} --for 1m --socket {socket}\n  nsenter --net={} -- nc -w 3 -s {} 192.0.2.1 {SIEVE}\n  \
         {}\nCtrl-C ends it.\n",
        ATTACKER.v4,
        world.client.path().display(),
        ATTACKER.v4,
        line(&dump_command(world, "bans_v4")),
    ));
    loop {
        let status = daemon.json(&["status"])?;
        screen.live(&format!(
            "banned {}, failed {}, dropped {} packets, lines read {}",
            status["currently_banned"],
            status["total_failed"],
            status["counters"]["dropped_packets"],
            status["lines"],
        ));
        wait::pause(Duration::from_secs(1)).inspect_err(|_| screen.note(""))?;
    }
}
