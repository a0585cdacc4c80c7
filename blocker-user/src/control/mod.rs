//! The control socket: HTTP and JSON over a Unix socket, so that `curl --unix-socket` works
//! as well as the command line does.
//!
//! | request            | body                        | answer            |
//! |--------------------|-----------------------------|-------------------|
//! | `GET /v1/status`   |                             | [`api::Status`]   |
//! | `GET /v1/bans`     |                             | [`api::Listed`] … |
//! | `GET /v1/top`      |                             | [`api::Top`]      |
//! | `GET /v1/explain?ip=…` |                         | [`api::Explained`] |
//! | `POST /v1/bans`    | [`api::BanManyRequest`]     | [`api::BannedMany`] |
//! | `POST /v1/reload`  |                             | [`api::Reloaded`] |
//! | `GET /metrics`     |                             | for Prometheus    |
//! | `POST /v1/ban`     | [`api::BanRequest`]         | [`api::Banned`]   |
//! | `POST /v1/unban`   | [`api::UnbanRequest`]       | [`api::Unbanned`] |
//!
//! A failed request is answered with a status of 4xx or 5xx and [`api::Failure`].

mod answer;
pub mod api;
mod bans;
mod client;
mod context;
mod explain;
mod hand;
mod history;
mod query;
mod reload;
mod scrape;
mod server;
mod show;
mod signals;
mod socket;
#[cfg(test)]
mod tests;
mod who;

pub use answer::ROUTES;
pub use client::{Client, ClientError};
pub use context::{Context, Fresh, Lists, Reload, Shown};
pub use query::encode as encode_query;
pub use server::{Places, Server};
pub use socket::SocketError;
