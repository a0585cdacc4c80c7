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
use tokio::sync::Semaphore;

use super::{
    answer,
    context::Context,
    server::{finish, http},
    socket::SocketError,
};

/// Prometheus needs one at a time.
const MAX_CONNECTIONS: usize = 8;

pub(super) fn bind(address: SocketAddr) -> Result<TcpListener, SocketError> {
    let failed = |source: io::Error| SocketError::Metrics { address, source };
    let listener = TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
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
