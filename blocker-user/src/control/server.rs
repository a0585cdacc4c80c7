//! Serves the control socket on a thread of its own.

use std::{
    convert::Infallible,
    fs, io,
    os::unix::{
        fs::{FileTypeExt as _, PermissionsExt as _},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

use super::api::{BanRequest, Banned, Failure, Listed, Status, UnbanRequest, Unbanned};
use crate::{
    config::{parse_bantime, parse_subject},
    daemon::{Command, Remote, Reply, Stats, show, wall_clock},
    firewall::{Enforced, FirewallError, View},
    jail::{Bantime, Policy},
};

/// Who may change bans: the owner and the group of the socket.
const SOCKET_MODE: u32 = 0o660;
/// A request of this API is far smaller; more is not read.
const MAX_BODY: usize = 64 * 1024;
/// A client that has not sent its request by then is hung up on.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// What the answers are made of.
pub struct Context {
    pub jail: &'static str,
    pub mode: String,
    pub policy: Policy,
    pub dry_run: bool,
    pub logs: Vec<String>,
    pub remote: Remote,
    pub stats: Arc<Stats>,
    pub view: Mutex<Box<dyn View>>,
}

/// A bound socket that is not served yet: it is bound before anything is attached, so that
/// a socket that cannot be had stops the start in time.
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
}

impl Server {
    /// Takes the place of a socket that nobody listens on any more.
    pub fn bind(path: &Path) -> io::Result<Self> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let is_socket = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
        if is_socket {
            if UnixStream::connect(path).is_ok() {
                return Err(io::Error::new(
                    io::ErrorKind::AddrInUse,
                    "another doveblock is running and answers there",
                ));
            }
            fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(SOCKET_MODE))?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Starts answering, and stops the pipeline on SIGTERM and SIGINT.
    pub fn serve(&self, context: Context) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = self.listener.try_clone()?;
        let context = Arc::new(context);
        thread::Builder::new().name("control".to_owned()).spawn(move || {
            runtime.block_on(async {
                let served = tokio::try_join!(
                    accept(listener, Arc::clone(&context)),
                    watch_signals(&context.remote),
                );
                if let Err(error) = served {
                    tracing::error!("the control socket is closed: {error}");
                }
            });
        })?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = fs::remove_file(&self.path);
    }
}

async fn watch_signals(remote: &Remote) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    loop {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        remote.stop();
    }
}

async fn accept(listener: UnixListener, context: Arc<Context>) -> io::Result<()> {
    let listener = tokio::net::UnixListener::from_std(listener)?;
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, most likely; others may free some.
                tracing::warn!("the control socket cannot accept: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let context = Arc::clone(&context);
        tokio::spawn(async move {
            let service = service_fn(|request| answer(&context, request));
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(REQUEST_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                tracing::debug!("a control connection ended early: {error}");
            }
        });
    }
}

/// Why a request was not carried out.
enum Refusal {
    NotFound,
    Invalid(String),
    Failed(String),
}

impl From<FirewallError> for Refusal {
    fn from(error: FirewallError) -> Self {
        Self::Failed(error.to_string())
    }
}

async fn answer(
    context: &Context,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let result = match (request.method(), request.uri().path()) {
        (&Method::GET, "/v1/status") => status(context).and_then(json),
        (&Method::GET, "/v1/bans") => bans(context).and_then(json),
        (&Method::POST, "/v1/ban") => match body(request).await {
            Ok(order) => ban(context, order).await.and_then(json),
            Err(refusal) => Err(refusal),
        },
        (&Method::POST, "/v1/unban") => match body(request).await {
            Ok(order) => unban(context, order).await.and_then(json),
            Err(refusal) => Err(refusal),
        },
        _ => Err(Refusal::NotFound),
    };
    let (status, body) = match result {
        Ok(body) => (StatusCode::OK, body),
        Err(refusal) => {
            let (status, error) = match refusal {
                Refusal::NotFound => (
                    StatusCode::NOT_FOUND,
                    "there are GET /v1/status, GET /v1/bans, POST /v1/ban and POST /v1/unban"
                        .to_owned(),
                ),
                Refusal::Invalid(error) => (StatusCode::BAD_REQUEST, error),
                Refusal::Failed(error) => (StatusCode::INTERNAL_SERVER_ERROR, error),
            };
            (status, json(Failure { error }).unwrap_or_default())
        }
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

async fn body<T: DeserializeOwned>(request: Request<Incoming>) -> Result<T, Refusal> {
    let invalid = |error: String| Refusal::Invalid(format!("the request body: {error}"));
    let limited = Limited::new(request.into_body(), MAX_BODY);
    // Read to its end or not at all: half a request is none.
    let bytes = tokio::time::timeout(REQUEST_TIMEOUT, limited.collect())
        .await
        .map_err(|_| invalid("did not arrive in time".to_owned()))?
        .map_err(|error| invalid(error.to_string()))?
        .to_bytes();
    serde_json::from_slice(&bytes).map_err(|error| invalid(error.to_string()))
}

fn json(value: impl Serialize) -> Result<Vec<u8>, Refusal> {
    serde_json::to_vec(&value).map_err(|error| Refusal::Failed(error.to_string()))
}

/// The bans in force, soonest end first.
fn in_force(context: &Context) -> Result<Vec<Enforced>, Refusal> {
    let now = wall_clock();
    let view = context.view.lock().unwrap_or_else(PoisonError::into_inner);
    let mut bans = view.bans()?;
    bans.retain(|ban| ban.order.expires.is_none_or(|end| end > now));
    bans.sort_by_key(|ban| (ban.order.expires.is_none(), ban.order.expires, ban.order.subject));
    Ok(bans)
}

fn bans(context: &Context) -> Result<Vec<Listed>, Refusal> {
    Ok(in_force(context)?.iter().map(|ban| Listed::new(context.jail, ban)).collect())
}

fn status(context: &Context) -> Result<Status, Refusal> {
    let bans = in_force(context)?;
    let view = context.view.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        jail: context.jail.to_owned(),
        mode: context.mode.clone(),
        maxretry: context.policy.maxretry.get(),
        findtime_secs: context.policy.findtime.as_secs(),
        bantime_secs: match context.policy.bantime {
            Bantime::For(span) => Some(span.as_secs()),
            Bantime::Forever => None,
        },
        dry_run: context.dry_run,
        interfaces: view.interfaces(),
        logs: context.logs.clone(),
        lines: context.stats.lines(),
        currently_failed: context.stats.currently_failed(),
        total_failed: context.stats.total_failed(),
        currently_banned: bans.len(),
        total_banned: context.stats.total_banned(),
        banned: bans.iter().map(|ban| show(&ban.order.subject)).collect(),
        counters: view.counters()?.into(),
    })
}

async fn ban(context: &Context, order: BanRequest) -> Result<Banned, Refusal> {
    let invalid = |error: crate::config::Invalid| Refusal::Invalid(error.to_string());
    let subject = match parse_subject(&order.ip).map_err(invalid)? {
        Ok(ip) => context.policy.subject(ip),
        Err(network) => network,
    };
    let bantime = order.bantime.as_deref().map(parse_bantime).transpose().map_err(invalid)?;
    if let Some(reason) = order.reason {
        tracing::info!("ban {} is asked for: {reason:?}", show(&subject));
    }
    let expires = ask(context, |reply| Command::Ban { subject, bantime, reply }).await?;
    Ok(Banned { ip: show(&subject), expires_at: expires.map(|end| end.to_string()) })
}

async fn unban(context: &Context, order: UnbanRequest) -> Result<Unbanned, Refusal> {
    let lifted = match (order.ip, order.all) {
        (None, true) => ask(context, |reply| Command::UnbanAll { reply }).await?,
        (Some(ip), false) => {
            let subject = match parse_subject(&ip) {
                Ok(Ok(ip)) => context.policy.subject(ip),
                Ok(Err(network)) => network,
                Err(error) => return Err(Refusal::Invalid(error.to_string())),
            };
            usize::from(ask(context, |reply| Command::Unban { subject, reply }).await?)
        }
        _ => return Err(Refusal::Invalid("name either an ip or \"all\": true".to_owned())),
    };
    Ok(Unbanned { lifted })
}

async fn ask<T>(
    context: &Context,
    command: impl FnOnce(Reply<T>) -> Command,
) -> Result<T, Refusal> {
    let (reply, answer) = oneshot::channel();
    let stopping = || Refusal::Failed("doveblock is stopping".to_owned());
    if !context.remote.send(command(reply)) {
        return Err(stopping());
    }
    Ok(answer.await.map_err(|_| stopping())??)
}
