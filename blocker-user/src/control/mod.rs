//! The control socket: HTTP and JSON over a Unix socket, so that `curl --unix-socket` works
//! as well as the command line does.
//!
//! | request            | body                        | answer            |
//! |--------------------|-----------------------------|-------------------|
//! | `GET /v1/status`   |                             | [`api::Status`]   |
//! | `GET /v1/bans`     |                             | [`api::Listed`] … |
//! | `POST /v1/ban`     | [`api::BanRequest`]         | [`api::Banned`]   |
//! | `POST /v1/unban`   | [`api::UnbanRequest`]       | [`api::Unbanned`] |
//!
//! A failed request is answered with a status of 4xx or 5xx and [`api::Failure`].

mod answer;
pub mod api;
mod bans;
mod client;
mod server;
mod signals;
mod socket;
#[cfg(test)]
mod tests;

pub use answer::{Context, Lists};
pub use client::{Client, ClientError};
pub use server::Server;
pub use socket::SocketError;
