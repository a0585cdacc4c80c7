//! The command line's side of the control socket.

use std::{
    io,
    path::{Path, PathBuf},
};

use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, body::Bytes, client::conn::http1, header::HOST};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};

use super::api::Failure;

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
        let stream = tokio::net::UnixStream::connect(&self.socket)
            .await
            .map_err(|source| ClientError::Unreachable { socket: self.socket.clone(), source })?;
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
        let response = sender.send_request(request).await.map_err(failed)?;
        let status = response.status();
        let bytes = response.into_body().collect().await.map_err(failed)?.to_bytes();
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
}

fn failed(error: impl std::fmt::Display) -> ClientError {
    ClientError::Failed(format!("the control socket: {error}"))
}
