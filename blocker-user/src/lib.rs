//! The user half of doveblock, from a byte of Dovecot's log to an entry in a kernel map.
//! ARCHITECTURE.md has the map of the modules and what each must not do.
// But for one file, see ARCHITECTURE.md.
#![deny(unsafe_code)]

pub mod anonymize;
pub mod cli;
pub mod config;
pub mod control;
pub mod daemon;
pub mod dovecot;
pub mod filter;
pub mod firewall;
pub mod history;
pub mod jail;
pub mod log;
pub mod metrics;
pub mod page;
pub mod report;
pub mod sandbox;
pub mod simulate;
pub mod source;
pub mod store;
pub mod time;
