//! From a request to its answer. What takes long is done on other threads, so that signals
//! and other clients are heard meanwhile.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http_body_util::{BodyExt as _, Either, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{CONTENT_TYPE, HeaderValue},
};
use ipnet::IpNet;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    sync::{Semaphore, oneshot},
    time::timeout,
};

use super::{
    api::{BanRequest, Banned, Failure, MAX_SHOWN, Status, UnbanRequest, Unbanned},
    bans::Bans,
};
use crate::{
    config::{Invalid, parse_bantime, parse_subject},
    daemon::{BannedByHand, Command, Remote, Reply, Stats, UnbannedByHand, show, wall_clock},
    firewall::{Enforced, FirewallError, View, host},
    jail::{Bantime, Policy},
};

/// A request of this API is far smaller; more is not read.
const MAX_BODY: usize = 64 * 1024;
/// A body that has not arrived by then is not waited for.
const BODY_LIMIT: Duration = Duration::from_secs(5);
/// Less than the command line waits, so that it hears the reason.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// Each holds every ban in memory until its client has read them.
const MAX_LISTS: usize = 4;

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
    pub lists: Lists,
}

/// Lists that are being sent.
pub struct Lists(Arc<Semaphore>);

impl Default for Lists {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_LISTS)))
    }
}

/// Why a request was not carried out.
enum Refusal {
    NotFound,
    Invalid(String),
    Busy,
    Failed(String),
}

impl From<FirewallError> for Refusal {
    fn from(error: FirewallError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<Invalid> for Refusal {
    fn from(error: Invalid) -> Self {
        Self::Invalid(error.to_string())
    }
}

type Answer = Either<Full<Bytes>, Bans>;

pub(super) async fn answer(
    context: Arc<Context>,
    request: Request<Incoming>,
) -> Result<Response<Answer>, Infallible> {
    let (status, body) = match route(&context, request).await {
        Ok(body) => (StatusCode::OK, body),
        Err(refusal) => {
            let (status, error) = match refusal {
                Refusal::NotFound => (
                    StatusCode::NOT_FOUND,
                    "there are GET /v1/status, GET /v1/bans, POST /v1/ban and POST /v1/unban"
                        .to_owned(),
                ),
                Refusal::Invalid(error) => (StatusCode::BAD_REQUEST, error),
                Refusal::Busy => (
                    StatusCode::SERVICE_UNAVAILABLE,
                    format!(
                        "the daemon is busy and did not answer within {} s; `doveblock list` \
                         shows what was done",
                        ANSWER_LIMIT.as_secs()
                    ),
                ),
                Refusal::Failed(error) => (StatusCode::INTERNAL_SERVER_ERROR, error),
            };
            (status, json(Failure { error }).unwrap_or_else(|_| Either::Left(Full::default())))
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

async fn route(context: &Arc<Context>, request: Request<Incoming>) -> Result<Answer, Refusal> {
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/v1/status") => read(context, status).await.and_then(json),
        (&Method::GET, "/v1/bans") => list(context).await,
        (&Method::POST, "/v1/ban") => ban(context, body(request).await?).await.and_then(json),
        (&Method::POST, "/v1/unban") => unban(context, body(request).await?).await.and_then(json),
        _ => Err(Refusal::NotFound),
    }
}

async fn body<T: DeserializeOwned>(request: Request<Incoming>) -> Result<T, Refusal> {
    let invalid = |error: String| Refusal::Invalid(format!("the request body: {error}"));
    let limited = Limited::new(request.into_body(), MAX_BODY);
    // Read to its end or not at all: half a request is none.
    let bytes = timeout(BODY_LIMIT, limited.collect())
        .await
        .map_err(|_| invalid("did not arrive in time".to_owned()))?
        .map_err(|error| invalid(error.to_string()))?
        .to_bytes();
    serde_json::from_slice(&bytes).map_err(|error| invalid(error.to_string()))
}

fn json(value: impl Serialize) -> Result<Answer, Refusal> {
    let text = serde_json::to_vec(&value).map_err(|error| Refusal::Failed(error.to_string()))?;
    Ok(Either::Left(Full::from(text)))
}

/// Does `work` on a thread where it holds up nobody.
async fn read<T: Send + 'static>(
    context: &Arc<Context>,
    work: impl FnOnce(&Context) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let context = Arc::clone(context);
    let work = tokio::task::spawn_blocking(move || work(&context));
    let done = timeout(ANSWER_LIMIT, work).await.map_err(|_| Refusal::Busy)?;
    done.map_err(|error| Refusal::Failed(error.to_string()))?
}

/// The bans in force, soonest end first.
fn in_force(view: &dyn View) -> Result<Vec<Enforced>, Refusal> {
    let now = wall_clock();
    let mut bans = view.bans()?;
    bans.retain(|ban| ban.order.expires.is_none_or(|end| end > now));
    bans.sort_unstable_by_key(|ban| {
        (ban.order.expires.is_none(), ban.order.expires, ban.order.subject)
    });
    Ok(bans)
}

async fn list(context: &Arc<Context>) -> Result<Answer, Refusal> {
    let turn = timeout(ANSWER_LIMIT, Arc::clone(&context.lists.0).acquire_owned());
    let turn = turn.await.map_err(|_| Refusal::Busy)?.map_err(|_| Refusal::Busy)?;
    let bans = read(context, |context| {
        let view = context.view.lock().unwrap_or_else(PoisonError::into_inner);
        in_force(view.as_ref())
    });
    Ok(Either::Right(Bans::new(context.jail, bans.await?, Some(turn))))
}

fn status(context: &Context) -> Result<Status, Refusal> {
    let view = context.view.lock().unwrap_or_else(PoisonError::into_inner);
    let bans = in_force(view.as_ref())?;
    let last = bans.iter().rev().take(MAX_SHOWN);
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
        lag_secs: context.stats.lag_secs(),
        currently_failed: context.stats.currently_failed(),
        total_failed: context.stats.total_failed(),
        currently_banned: bans.len(),
        total_banned: context.stats.total_banned(),
        total_evicted: context.stats.total_evicted(),
        banned: last.map(|ban| show(&ban.order.subject)).collect(),
        counters: view.counters()?.into(),
    })
}

/// What was asked for, and what the jail bans in its place.
fn subject(context: &Context, text: &str) -> Result<(IpNet, IpNet), Invalid> {
    Ok(match parse_subject(text)? {
        Ok(ip) => (host(ip), context.policy.subject(ip)),
        Err(network) => (network, network),
    })
}

async fn ban(context: &Context, order: BanRequest) -> Result<Banned, Refusal> {
    let (asked, subject) = subject(context, &order.ip)?;
    let bantime = order.bantime.as_deref().map(parse_bantime).transpose()?;
    if let Some(reason) = order.reason {
        tracing::info!("ban {} is asked for: {reason:?}", show(&subject));
    }
    match ask(context, |reply| Command::Ban { asked, subject, bantime, reply }).await? {
        BannedByHand::Spared(why) => {
            Err(Refusal::Invalid(format!("{} is not banned: {why}", show(&asked))))
        }
        BannedByHand::Until { expires, spared, covered_by } => Ok(Banned {
            ip: show(&subject),
            expires_at: expires.map(|end| end.to_string()),
            spared: spared.iter().map(show).collect(),
            covered_by: covered_by.as_ref().map(show),
        }),
    }
}

async fn unban(context: &Context, order: UnbanRequest) -> Result<Unbanned, Refusal> {
    match (order.ip, order.all) {
        (None, true) => {
            let lifted = ask(context, |reply| Command::UnbanAll { reply }).await?;
            Ok(Unbanned { lifted, covered_by: None })
        }
        (Some(ip), false) => {
            let (_, subject) = subject(context, &ip)?;
            let UnbannedByHand { lifted, covered_by } =
                ask(context, |reply| Command::Unban { subject, reply }).await?;
            Ok(Unbanned { lifted: usize::from(lifted), covered_by: covered_by.as_ref().map(show) })
        }
        _ => Err(Refusal::Invalid("name either an ip or \"all\": true".to_owned())),
    }
}

/// Asks the pipeline. One that has not got round to it in time does not do it later.
async fn ask<T>(
    context: &Context,
    command: impl FnOnce(Reply<T>) -> Command,
) -> Result<T, Refusal> {
    let (reply, answer) = oneshot::channel();
    let stopping = || Refusal::Failed("doveblock is stopping".to_owned());
    if !context.remote.send(command(reply)) {
        return Err(stopping());
    }
    let answer = timeout(ANSWER_LIMIT, answer).await.map_err(|_| Refusal::Busy)?;
    Ok(answer.map_err(|_| stopping())??)
}
