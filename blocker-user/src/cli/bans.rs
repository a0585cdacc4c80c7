//! `list`, `ban` and `unban`.

use clap::Args;

use super::{Format, SocketArg, VerbError, output};
use crate::control::{
    Client,
    api::{BanRequest, Banned, Listed, UnbanRequest, Unbanned},
};

#[derive(Args, Debug)]
pub(super) struct ListArgs {
    #[command(flatten)]
    socket: SocketArg,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn list(args: &ListArgs) -> Result<(), VerbError> {
    let bans: Vec<Listed> = Client::new(&args.socket.socket).get("/v1/bans")?;
    if args.format == Format::Json {
        return output::json(&bans);
    }
    let heading =
        ["address", "jail", "banned at", "until", "attempts", "dropped"].map(str::to_owned);
    let mut rows = vec![heading];
    rows.extend(bans.into_iter().map(|ban| {
        [
            ban.ip,
            ban.jail,
            ban.banned_at,
            ban.expires_at.unwrap_or_else(|| "without end".to_owned()),
            ban.attempts.to_string(),
            ban.dropped_packets.to_string(),
        ]
    }));
    output::text_out(&output::table(&rows))
}

#[derive(Args, Debug)]
pub(super) struct BanArgs {
    /// Address or network; an IPv6 address stands for its prefix (--ipv6-prefix of `run`)
    #[arg(value_name = "IP|CIDR")]
    subject: String,
    /// How long, as 600, 10m, 1d 12h or -1; the jail's bantime if not given
    #[arg(long = "for", value_name = "TIME", allow_hyphen_values = true)]
    bantime: Option<String>,
    /// Noted in the daemon's log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    socket: SocketArg,
}

pub(super) fn ban(args: &BanArgs) -> Result<(), VerbError> {
    let order = BanRequest {
        ip: args.subject.clone(),
        bantime: args.bantime.clone(),
        reason: args.reason.clone(),
    };
    let banned: Banned = Client::new(&args.socket.socket).post("/v1/ban", &order)?;
    let end =
        banned.expires_at.map_or_else(|| "without end".to_owned(), |at| format!("until {at}"));
    output::text_out(&format!("banned {} {end}\n", banned.ip))?;
    if !banned.spared.is_empty() {
        eprintln!("doveblock: never dropped all the same: {}", some(&banned.spared));
    }
    if let Some(network) = banned.covered_by {
        eprintln!("doveblock: {} is also in {network}, which is banned as well", banned.ip);
    }
    Ok(())
}

/// The first few.
fn some(names: &[String]) -> String {
    const FEW: usize = 10;
    let few = names.get(..FEW).unwrap_or(names).join(", ");
    match names.len().saturating_sub(FEW) {
        0 => few,
        more => format!("{few} and {more} more"),
    }
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false, id = "whom", args = ["subject", "all"])]
pub(super) struct UnbanArgs {
    /// Address or network, as `list` shows it
    #[arg(value_name = "IP|CIDR")]
    subject: Option<String>,
    /// End every ban
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    socket: SocketArg,
}

pub(super) fn unban(args: &UnbanArgs) -> Result<(), VerbError> {
    let order = UnbanRequest { ip: args.subject.clone(), all: args.all };
    let Unbanned { lifted, covered_by } =
        Client::new(&args.socket.socket).post("/v1/unban", &order)?;
    let Some(subject) = &args.subject else {
        return output::text_out(&format!("lifted {lifted} bans\n"));
    };
    match (lifted, covered_by) {
        (0, None) => Err(VerbError::Failed(format!(
            "{subject} is not banned; `doveblock list` shows who is"
        ))),
        (0, Some(network)) => Err(VerbError::Failed(format!(
            "{subject} is not banned by itself but covered by {network}; unban that"
        ))),
        (_, covered_by) => {
            output::text_out(&format!("unbanned {subject}\n"))?;
            if let Some(network) = covered_by {
                eprintln!("doveblock: {subject} is still covered by {network}, which is banned");
            }
            Ok(())
        }
    }
}
