//! A server that says hello and hangs up: what stands behind a port that no Dovecot serves.

use std::{
    io::{self, Write as _},
    net::{Ipv6Addr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result};

use crate::netns::World;

pub const BANNER: &str = "hello from a stand-in";

/// Drop ends it.
#[derive(Debug)]
pub struct Greeter {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Greeter {
    /// Listens on `port` of every address of the server, of both families.
    pub fn start(world: &World, port: u16) -> Result<Self> {
        let listener = world.server.enter(|| {
            let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port));
            listener.with_context(|| format!("listening on port {port}"))
        })?;
        listener.set_nonblocking(true)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                match listener.accept() {
                    // A client that has hung up already is no fault.
                    Ok((mut stream, _)) => drop(writeln!(stream, "{BANNER}")),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        thread::sleep(Duration::from_millis(5));
                    }
                    Err(_) => return,
                }
            }
        });
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Greeter {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}
