//! What the end-to-end tests and the sandbox are made of: a small network of namespaces, a
//! real Dovecot in one of them, clients in another, and doveblock between the two.
//!
//! Everything made here is owned: it goes away on drop, also after a panic or a signal, and
//! what a `kill -9` left is removed at the next start (see [`leftovers`]).
#![forbid(unsafe_code)]

pub mod attempts;
pub mod client;
pub mod doveblock;
pub mod dovecot;
pub mod follow;
pub mod greeter;
pub mod holder;
pub mod journal;
pub mod leftovers;
pub mod machine;
pub mod needs;
pub mod netns;
pub mod other;
pub mod process;
pub mod recording;
pub mod simulation;
pub mod wait;
