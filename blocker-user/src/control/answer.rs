//! From a request to its answer. What takes long is done on other threads, so that signals
//! and other clients are heard meanwhile.

use std::{convert::Infallible, sync::Arc, time::Duration};

use http_body_util::{BodyExt as _, Either, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{CONTENT_TYPE, HeaderValue},
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{sync::oneshot, time::timeout};

use super::{
    api::Failure,
    bans::Bans,
    context::Context,
    explain, hand, history, reload,
    show::{in_force, metrics, status, top},
};
use crate::{
    config::Invalid,
    daemon::{Command, Reply},
    firewall::FirewallError,
    metrics::CONTENT_TYPE as METRICS,
};

/// A request about one client is far smaller; more is not read.
const MAX_BODY: usize = 64 * 1024;
/// Of a list: some 100,000 addresses.
const MAX_LIST: usize = 4 * 1024 * 1024;
/// A body that has not arrived by then is not waited for.
const BODY_LIMIT: Duration = Duration::from_secs(5);
/// Less than the command line waits, so that it hears the reason.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Every route there is.
pub const ROUTES: [(Method, &str); 10] = [
    (Method::GET, "/v1/status"),
    (Method::GET, "/v1/bans"),
    (Method::GET, "/v1/top"),
    (Method::GET, "/v1/explain"),
    (Method::GET, "/v1/history"),
    (Method::POST, "/v1/ban"),
    (Method::POST, "/v1/bans"),
    (Method::POST, "/v1/unban"),
    (Method::POST, "/v1/reload"),
    (Method::GET, "/metrics"),
];

/// Why a request was not carried out.
pub(super) enum Refusal {
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

pub(super) type Answer = Either<Full<Bytes>, Bans>;

const JSON: &str = "application/json";

/// `uid` is who asks, where that is known.
pub(super) async fn answer(
    context: Arc<Context>,
    uid: Option<u32>,
    request: Request<Incoming>,
) -> Result<Response<Answer>, Infallible> {
    let is_metrics = request.uri().path() == "/metrics";
    let routed = route(&context, uid, request).await;
    let content = if is_metrics && routed.is_ok() { METRICS } else { JSON };
    Ok(respond(routed, content))
}

/// For who may see nothing but the metrics.
pub(super) async fn answer_scrape(
    context: Arc<Context>,
    request: Request<Incoming>,
) -> Result<Response<Answer>, Infallible> {
    if request.method() == Method::GET && request.uri().path() == "/metrics" {
        return answer(context, None, request).await;
    }
    let error = "there is GET /metrics here, and everything else on the control socket";
    let mut response = respond(json(Failure { error: error.to_owned() }), JSON);
    *response.status_mut() = StatusCode::NOT_FOUND;
    Ok(response)
}

fn respond(routed: Result<Answer, Refusal>, content: &'static str) -> Response<Answer> {
    let (status, body) = match routed {
        Ok(body) => (StatusCode::OK, body),
        Err(refusal) => {
            let (status, error) = match refusal {
                Refusal::NotFound => {
                    let routes = ROUTES.map(|(method, path)| format!("{method} {path}"));
                    (StatusCode::NOT_FOUND, format!("there are {}", routes.join(", ")))
                }
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
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content));
    response
}

async fn route(
    context: &Arc<Context>,
    uid: Option<u32>,
    request: Request<Incoming>,
) -> Result<Answer, Refusal> {
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/v1/status") => read(context, status).await.and_then(json),
        (&Method::GET, "/v1/bans") => list(context).await,
        (&Method::GET, "/v1/top") => read(context, top).await.and_then(json),
        (&Method::GET, "/v1/explain") => {
            explain::explain(context, request.uri().query()).await.and_then(json)
        }
        (&Method::GET, "/v1/history") => {
            history::history(context, request.uri().query()).await.and_then(json)
        }
        (&Method::POST, "/v1/ban") => {
            hand::ban(context, uid, body(request, MAX_BODY).await?).await.and_then(json)
        }
        (&Method::POST, "/v1/bans") => {
            hand::ban_many(context, uid, body(request, MAX_LIST).await?).await.and_then(json)
        }
        (&Method::POST, "/v1/unban") => {
            hand::unban(context, uid, body(request, MAX_LIST).await?).await.and_then(json)
        }
        (&Method::POST, "/v1/reload") => reload::reload(context).await.and_then(json),
        (&Method::GET, "/metrics") => {
            let text = read(context, metrics).await?;
            Ok(Either::Left(Full::from(text)))
        }
        _ => Err(Refusal::NotFound),
    }
}

async fn body<T: DeserializeOwned>(request: Request<Incoming>, most: usize) -> Result<T, Refusal> {
    let invalid = |error: String| Refusal::Invalid(format!("the request body: {error}"));
    let limited = Limited::new(request.into_body(), most);
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
pub(super) async fn read<T: Send + 'static>(
    context: &Arc<Context>,
    work: impl FnOnce(&Context) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let context = Arc::clone(context);
    let work = tokio::task::spawn_blocking(move || work(&context));
    let done = timeout(ANSWER_LIMIT, work).await.map_err(|_| Refusal::Busy)?;
    done.map_err(|error| Refusal::Failed(error.to_string()))?
}

async fn list(context: &Arc<Context>) -> Result<Answer, Refusal> {
    let turn = timeout(ANSWER_LIMIT, Arc::clone(&context.lists.0).acquire_owned());
    let turn = turn.await.map_err(|_| Refusal::Busy)?.map_err(|_| Refusal::Busy)?;
    let bans = read(context, |context| in_force(context.view().as_ref()));
    Ok(Either::Right(Bans::new(context.jail, bans.await?, Some(turn))))
}

/// Asks the pipeline. One that has not got round to it in time does not do it later.
pub(super) async fn ask<T>(
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
