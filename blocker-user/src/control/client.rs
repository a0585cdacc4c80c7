//! The command line's side of the control socket.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, body::Bytes, client::conn::http1, header::HOST};
use hyper_util::rt::TokioIo;
use nix::unistd::{Gid, Group, Uid, User};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::timeout;

use super::{
    api::Failure,
    socket::{SocketError, check_length},
};

/// A daemon that lives says something within this time, if only that it is busy.
const LIMIT: Duration = Duration::from_secs(10);

/// Talks to the daemon behind one socket.
pub struct Client {
    socket: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error(
        "no doveblock answers on {} ({source}); start one with `doveblock run`, or name its socket \
         with --socket", socket.display()
    )]
    Unreachable { socket: PathBuf, source: io::Error },
    #[error("the daemon behind {} does not answer", .0.display())]
    Silent(PathBuf),
    #[error("you may not use {}; {whose}", socket.display())]
    Forbidden { socket: PathBuf, whose: String },
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The request itself is at fault.
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    Failed(String),
}

impl Client {
    #[must_use]
    pub fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned() }
    }

    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.run(Method::GET, path, Bytes::new())
    }

    pub fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.run(Method::POST, path, serde_json::to_vec(body).map_err(failed)?.into())
    }

    fn run<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, ClientError> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        runtime.block_on(self.exchange(method, path, body))
    }

    async fn exchange<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, ClientError> {
        check_length(&self.socket)?;
        let stream = tokio::net::UnixStream::connect(&self.socket)
            .await
            .map_err(|source| self.unreachable(source))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
        // It ends with the runtime; its errors show in the request as well.
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "doveblock")
            .body(Full::new(body))
            .map_err(failed)?;
        let response = self.wait(sender.send_request(request)).await?;
        let status = response.status();
        let mut body = response.into_body();
        let mut bytes = Vec::new();
        // The limit is on silence: a long list may take its time.
        while let Some(frame) = self.wait(async { body.frame().await.transpose() }).await? {
            bytes.extend(frame.into_data().unwrap_or_default());
        }
        if status.is_success() {
            return serde_json::from_slice(&bytes).map_err(failed);
        }
        let Failure { error } = serde_json::from_slice(&bytes).map_err(failed)?;
        Err(if status.is_client_error() {
            ClientError::Invalid(error)
        } else {
            ClientError::Failed(error)
        })
    }

    async fn wait<T>(
        &self,
        step: impl Future<Output = Result<T, hyper::Error>>,
    ) -> Result<T, ClientError> {
        let done = timeout(LIMIT, step).await;
        done.map_err(|_| ClientError::Silent(self.socket.clone()))?.map_err(failed)
    }

    fn unreachable(&self, source: io::Error) -> ClientError {
        let socket = self.socket.clone();
        match source.kind() {
            io::ErrorKind::PermissionDenied => {
                ClientError::Forbidden { whose: whose(&socket), socket }
            }
            // Its queue is full.
            io::ErrorKind::WouldBlock => ClientError::Silent(socket),
            _ => ClientError::Unreachable { socket, source },
        }
    }
}

/// Who may use a socket.
fn whose(socket: &Path) -> String {
    let Ok(found) = fs::metadata(socket) else {
        return "its directory is closed to you: try as root".to_owned();
    };
    let user = User::from_uid(Uid::from_raw(found.uid())).ok().flatten();
    let group = Group::from_gid(Gid::from_raw(found.gid())).ok().flatten();
    format!(
        "only its owner {} and its group {} may",
        user.map_or_else(|| found.uid().to_string(), |user| user.name),
        group.map_or_else(|| found.gid().to_string(), |group| group.name)
    )
}

fn failed(error: impl std::fmt::Display) -> ClientError {
    ClientError::Failed(format!("the control socket: {error}"))
}
