//! `list`, `ban` and `unban`.

use clap::Args;

use super::{
    Format, SocketArg, VerbError, output,
    subjects::{Named, named},
};
use crate::control::{
    Client,
    api::{
        BanManyRequest, BanRequest, Banned, BannedMany, Listed, NotBanned, UnbanRequest, Unbanned,
    },
};

#[derive(Args, Debug)]
pub(super) struct ListArgs {
    #[command(flatten)]
    socket: SocketArg,
    /// How to print them
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
    /// Addresses or networks, or `-` for a list on standard input, one a line; an IPv6 address
    /// stands for its prefix (--ipv6-prefix of `run`)
    #[arg(value_name = "IP|CIDR|-", required = true)]
    subjects: Vec<String>,
    /// How long, as 600, 10m, 1d 12h or -1; the jail's bantime if not given
    #[arg(long = "for", value_name = "TIME", allow_hyphen_values = true)]
    bantime: Option<String>,
    /// Kept with the ban, for `explain`, and noted in the daemon's log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    socket: SocketArg,
}

pub(super) fn ban(args: &BanArgs) -> Result<(), VerbError> {
    let client = Client::new(&args.socket.socket);
    let (bantime, reason) = (args.bantime.clone(), args.reason.clone());
    match named(&args.subjects)? {
        Named::One(ip) => ban_one(&client, &BanRequest { ip, bantime, reason }),
        Named::Many(ips) => ban_many(&client, &BanManyRequest { ips, bantime, reason }),
    }
}

fn ban_one(client: &Client, order: &BanRequest) -> Result<(), VerbError> {
    let banned: Banned = client.post("/v1/ban", order)?;
    output::text_out(&format!("banned {} {}\n", banned.ip, until(banned.expires_at)))?;
    if !banned.spared.is_empty() {
        eprintln!("doveblock: never dropped all the same: {}", some(&banned.spared));
    }
    if let Some(network) = banned.covered_by {
        eprintln!("doveblock: {} is also in {network}, which is banned as well", banned.ip);
    }
    Ok(())
}

fn ban_many(client: &Client, order: &BanManyRequest) -> Result<(), VerbError> {
    let BannedMany { banned, expires_at, not_banned } = client.post("/v1/bans", order)?;
    output::text_out(&format!("banned {banned} addresses and networks {}\n", until(expires_at)))?;
    if !not_banned.is_empty() {
        let names: Vec<String> =
            not_banned.into_iter().map(|NotBanned { ip, why }| format!("{ip} ({why})")).collect();
        eprintln!("doveblock: not banned: {}", some(&names));
    }
    Ok(())
}

fn until(expires_at: Option<String>) -> String {
    expires_at.map_or_else(|| "without end".to_owned(), |at| format!("until {at}"))
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
#[group(required = true, multiple = false, id = "whom", args = ["subjects", "all"])]
pub(super) struct UnbanArgs {
    /// Addresses or networks, as `list` shows them, or `-` for a list on standard input
    #[arg(value_name = "IP|CIDR|-")]
    subjects: Vec<String>,
    /// End every ban
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    socket: SocketArg,
}

pub(super) fn unban(args: &UnbanArgs) -> Result<(), VerbError> {
    let client = Client::new(&args.socket.socket);
    if args.all {
        let order = UnbanRequest { ip: None, ips: None, all: true };
        return unban_many(&client, &order);
    }
    match named(&args.subjects)? {
        Named::One(ip) => unban_one(&client, &ip),
        Named::Many(ips) => {
            unban_many(&client, &UnbanRequest { ip: None, ips: Some(ips), all: false })
        }
    }
}

fn unban_many(client: &Client, order: &UnbanRequest) -> Result<(), VerbError> {
    let Unbanned { lifted, .. } = client.post("/v1/unban", order)?;
    output::text_out(&format!("lifted {lifted} bans\n"))
}

fn unban_one(client: &Client, subject: &str) -> Result<(), VerbError> {
    let order = UnbanRequest { ip: Some(subject.to_owned()), ips: None, all: false };
    let Unbanned { lifted, covered_by } = client.post("/v1/unban", &order)?;
    match (lifted, covered_by) {
        (0, None) => Err(VerbError::Failed(format!(
            "{subject} is not banned; `doveblock explain {subject}` says what is known of it"
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
