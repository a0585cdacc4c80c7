//! What signals ask of the daemon. They are taken on the control thread, because the
//! pipeline's may be held up by the very thing that somebody wants to end.

use std::{io, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{Instant, sleep_until},
};

use crate::daemon::Remote;

/// An orderly end takes milliseconds. A second signal before that is often the same Ctrl-C,
/// passed on by a parent; one that comes later is impatience.
const ORDERLY: Duration = Duration::from_millis(500);

pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// From here on they do not end the process by themselves. Needs a runtime.
    pub(super) fn take() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Calls `hangup` at each SIGHUP. Stops the pipeline at the first SIGTERM or SIGINT, and returns at a second one that
    /// finds it still there.
    pub(super) async fn obey(mut self, remote: &Remote, hangup: impl Fn()) {
        let mut first = None;
        loop {
            tokio::select! {
                _ = self.terminate.recv() => {}
                _ = self.interrupt.recv() => {}
                _ = self.hangup.recv() => {
                    hangup();
                    continue;
                }
            }
            match first {
                None => {
                    first = Some(Instant::now());
                    remote.stop();
                }
                Some(first) => return sleep_until(first + ORDERLY).await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustix::process::{Signal, getpid, kill_process};

    use super::Signals;
    use crate::{daemon, source::Waiter};

    #[test]
    fn a_second_signal_does_not_wait_for_a_pipeline_that_hangs() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        // Nobody reads the inbox.
        let (remote, _inbox) = daemon::remote(&Waiter::new().unwrap());
        runtime.block_on(async {
            let signals = Signals::take().unwrap();
            let raise = async {
                for signal in [Signal::HUP, Signal::TERM, Signal::INT] {
                    kill_process(getpid(), signal).unwrap();
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            };
            let both = async { tokio::join!(signals.obey(&remote, || {}), raise) };
            tokio::time::timeout(Duration::from_secs(20), both).await.unwrap();
        });
    }
}
