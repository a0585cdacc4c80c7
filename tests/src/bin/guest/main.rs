//! The first process of a virtual machine that `cargo xtask vm` boots. In comes an initramfs
//! with this, doveblock, the packet tests and a few tools; out goes one line a suite to the
//! console, and the machine switches itself off.
//!
//! The lines that the host reads begin with [`MARK`]. Should this panic, the kernel does too,
//! and the host sees that.
#![forbid(unsafe_code)]

mod dispatcher;
mod drop;
mod layers;
mod machine;
mod packets;

use std::process::{self, ExitCode};

use anyhow::Result;

/// How the host knows our lines among those of the kernel.
const MARK: &str = "guest:";

/// Gives what is worth knowing about a success.
type Suite = fn() -> Result<String>;

/// What is tried, in this order.
const SUITES: [(&str, Suite); 7] = [
    ("packets", packets::all),
    ("loader", drop::loader),
    ("drop-on-veth", drop::on_veth),
    ("drop-on-virtio", drop::on_virtio),
    ("vlan", layers::vlan),
    ("bond", layers::bond),
    ("dispatcher", dispatcher::joined),
];

fn main() -> ExitCode {
    if process::id() != 1 {
        eprintln!("This is for the inside of a virtual machine: use cargo xtask vm");
        return ExitCode::from(2);
    }
    match machine::prepare() {
        Ok(()) => {
            for (name, suite) in SUITES {
                let (verdict, detail) = match suite() {
                    Ok(detail) => ("ok", detail),
                    Err(error) => ("FAILED", format!("{error:#}")),
                };
                if verdict != "ok" {
                    println!("{detail}");
                }
                say(&format!("{verdict} {name}: {}", on_one_line(&detail)));
            }
        }
        Err(error) => say(&format!("FAILED machine: {}", on_one_line(&format!("{error:#}")))),
    }
    say("end");
    machine::switch_off()
}

/// A line of its own, whatever the kernel left on the console.
fn say(line: &str) {
    println!("\n{MARK} {line}");
}

/// Enough to know what failed. The whole is on the console.
fn on_one_line(text: &str) -> String {
    const LONGEST: usize = 500;
    let line: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    line.join(" | ").chars().take(LONGEST).collect()
}
