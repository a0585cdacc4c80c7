//! Serves the control socket on a thread of its own, to no more clients at once, and for no
//! longer, than a daemon can bear.

use std::{
    fs::File,
    io,
    net::{SocketAddr, TcpListener},
    os::unix::net::UnixListener,
    path::PathBuf,
    sync::Arc,
    thread,
    time::Duration,
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::UnixStream, runtime::Runtime, sync::Semaphore, time::timeout};

use super::{
    answer,
    context::Context,
    reload, scrape,
    signals::Signals,
    socket::{Place, SocketError},
};

/// Further clients wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 64;
/// A request of this API is far smaller; more is not read.
const MAX_HEADERS: usize = 16 * 1024;
/// A client that has not sent the head of its request by then is hung up on.
const HEADERS_LIMIT: Duration = Duration::from_secs(5);
/// One that has not taken the whole answer by then as well.
const CONNECTION_LIMIT: Duration = Duration::from_secs(60);
/// Threads that read the kernel's maps for the answers.
const MAX_READERS: usize = 4;

/// A bound socket that is not served yet: it is bound before anything is attached, so that
/// a socket that cannot be had stops the start in time. What is only for the comfort of others,
/// its group and the port for metrics, stops no start: without one nobody would be banned.
pub struct Server {
    listener: UnixListener,
    place: Arc<Place>,
    /// What serves it, once it is served.
    ready: Option<(Runtime, Signals)>,
    /// For the metrics alone.
    scrapes: Option<TcpListener>,
}

/// Where to listen. Nothing else does.
#[derive(Clone, Debug)]
pub struct Places {
    pub socket: PathBuf,
    /// Whose members may use the socket besides its owner; the process's own group if `None`.
    pub group: Option<String>,
    /// For the metrics.
    pub metrics: Option<SocketAddr>,
}

impl Server {
    pub fn bind(places: &Places) -> Result<Self, SocketError> {
        let path = &places.socket;
        // First, so that a signal during the start cannot end it half-way: it is obeyed as
        // soon as there is something to stop.
        let ready = ready().map_err(|source| SocketError::Io { path: path.to_owned(), source })?;
        let (listener, place) = Place::take(path)?;
        places.group.as_deref().map_or(Ok(()), |group| place.give_to(group))?;
        let scrapes = places.metrics.and_then(scrape::bind);
        Ok(Self { listener, place: Arc::new(place), ready: Some(ready), scrapes })
    }

    /// Starts answering, and stops the pipeline on SIGTERM and SIGINT. Where it does not stop
    /// and a second signal comes, the socket is removed and `give_up` is called.
    pub fn serve(
        &mut self,
        context: Context,
        give_up: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        let Some((runtime, signals)) = self.ready.take() else { return Ok(()) };
        let listener = {
            let _within = runtime.enter();
            tokio::net::UnixListener::from_std(self.listener.try_clone()?)?
        };
        let scrapes = match self.scrapes.take() {
            Some(scrapes) => {
                let _within = runtime.enter();
                Some(tokio::net::TcpListener::from_std(scrapes)?)
            }
            None => None,
        };
        let context = Arc::new(context);
        let place = Arc::clone(&self.place);
        thread::Builder::new().name("control".to_owned()).spawn(move || {
            runtime.block_on(async {
                let hangup = || drop(tokio::spawn(reload::by_signal(Arc::clone(&context))));
                tokio::select! {
                    () = accept(&listener, &context) => {}
                    () = scrape::serve(scrapes, &context) => {}
                    () = signals.obey(&context.remote, hangup) => {}
                }
            });
            place.give_back();
            give_up();
        })?;
        Ok(())
    }
}

/// What takes signals and will serve the socket.
fn ready() -> io::Result<(Runtime, Signals)> {
    /// For polling, waking it, and a pair with a copy for signals: tokio panics where there
    /// are none for the latter, so it is asked first whether there are.
    const DESCRIPTORS: usize = 5;
    let spare = [(); DESCRIPTORS].map(|()| File::open("/dev/null"));
    spare.into_iter().collect::<io::Result<Vec<File>>>()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(MAX_READERS)
        .build()?;
    let signals = {
        let _within = runtime.enter();
        Signals::take()?
    };
    Ok((runtime, signals))
}

impl Drop for Server {
    fn drop(&mut self) {
        // The thread that serves it has its share of the place, and may outlive this.
        self.place.give_back();
    }
}

async fn accept(listener: &tokio::net::UnixListener, context: &Arc<Context>) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    // The semaphore is never closed.
    while let Ok(permit) = Arc::clone(&room).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let context = Arc::clone(context);
                tokio::spawn(async move {
                    converse(stream, context).await;
                    drop(permit);
                });
            }
            Err(error) => {
                // Out of descriptors, most likely; others may free some.
                tracing::warn!("the control socket cannot accept: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// One request and its answer.
async fn converse(stream: UnixStream, context: Arc<Context>) {
    let uid = stream.peer_cred().ok().map(|peer| peer.uid());
    let service = service_fn(|request| answer::answer(Arc::clone(&context), uid, request));
    finish(http().serve_connection(TokioIo::new(stream), service)).await;
}

/// How requests are read, wherever they come from.
pub(super) fn http() -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .keep_alive(false)
        .header_read_timeout(HEADERS_LIMIT)
        .max_buf_size(MAX_HEADERS);
    http
}

/// Waits for the end of a connection, but not for ever.
pub(super) async fn finish(connection: impl Future<Output = hyper::Result<()>>) {
    match timeout(CONNECTION_LIMIT, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!("a control connection ended early: {error}"),
        Err(_) => tracing::debug!("a control connection took too long and was closed"),
    }
}
