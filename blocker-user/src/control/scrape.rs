//! The metrics on a TCP port, for a Prometheus server that cannot use the socket. Only if the
//! configuration says so, and only on this host: they name interfaces and say how busy the
//! server is, and there is no login.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustix::io::Errno;
use tokio::sync::Semaphore;

use super::{
    answer,
    context::Context,
    server::{finish, http},
};

/// Prometheus needs one at a time.
const MAX_CONNECTIONS: usize = 8;

/// `None` where that cannot be. It stops no start, since bans are worth more than numbers, and a
/// port that somebody else has got at boot would keep doveblock away for ever.
pub(super) fn bind(address: SocketAddr) -> Option<TcpListener> {
    let listen = || {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    let said = |error: &io::Error| {
        tracing::error!(
            "metrics are not served on {address}: {error}; {}; everything else goes on, and the \
             control socket has /metrics, too",
            advice(error)
        );
    };
    listen().inspect_err(said).ok()
}

/// What to do about it.
fn advice(error: &io::Error) -> &'static str {
    // What systemd answers with in place of the kernel, going by RestrictAddressFamilies=.
    if Errno::from_io_error(error) == Some(Errno::AFNOSUPPORT) {
        "with the packaged unit, copy /usr/share/doc/doveblock/examples/metrics.conf to \
         /etc/systemd/system/doveblock.service.d/, then `systemctl daemon-reload` and \
         `systemctl restart doveblock`"
    } else {
        "free that port or name another address as `metrics`, then restart doveblock"
    }
}

/// Never ends, whether there is anything to serve or not.
pub(super) async fn serve(listener: Option<tokio::net::TcpListener>, context: &Arc<Context>) {
    let Some(listener) = listener else { return std::future::pending().await };
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    // The semaphore is never closed.
    while let Ok(permit) = Arc::clone(&room).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let context = Arc::clone(context);
                tokio::spawn(async move {
                    let service =
                        service_fn(|request| answer::answer_scrape(Arc::clone(&context), request));
                    finish(http().serve_connection(TokioIo::new(stream), service)).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!("the port for metrics cannot accept: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
