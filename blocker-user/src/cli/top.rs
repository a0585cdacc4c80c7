//! `top`: what is dropped, and bans that come and go, while one watches.

mod screen;
mod terminal;
mod watch;

use std::time::Duration;

use clap::Args;

use super::{SocketArg, VerbError};
use crate::control::{Client, api::Top};
use terminal::{Input, Terminal};
use watch::Watch;

#[derive(Args, Debug)]
pub(super) struct TopArgs {
    #[command(flatten)]
    socket: SocketArg,
    /// Seconds between two looks, as 1 or 0.5
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = parse_interval)]
    interval: Duration,
}

fn parse_interval(text: &str) -> Result<Duration, String> {
    let secs: f64 = text.parse().map_err(|_| format!("{text:?} is no number of seconds"))?;
    if (0.1..=3600.0).contains(&secs) {
        return Ok(Duration::from_secs_f64(secs));
    }
    Err("from 0.1 to 3600 seconds".to_owned())
}

pub(super) fn run(args: &TopArgs) -> Result<(), VerbError> {
    let client = Client::new(&args.socket.socket);
    // Before the screen is taken: what is wrong is to be read.
    let mut watch = Watch::new(client.get::<Top>("/v1/top")?);
    let mut terminal = Terminal::take()?;
    loop {
        terminal.draw(|frame| screen::draw(frame, &watch))?;
        match terminal.wait(args.interval)? {
            Input::Quit => return Ok(()),
            Input::Resized => {}
            Input::Nothing => {
                watch.look(client.get::<Top>("/v1/top").map_err(|error| error.to_string()));
            }
        }
    }
}
