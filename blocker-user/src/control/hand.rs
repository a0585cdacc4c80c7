//! Bans and their ends by hand.

use std::sync::Arc;

use ipnet::IpNet;

use super::{
    answer::{Refusal, ask, read},
    api::{BanManyRequest, BanRequest, Banned, BannedMany, NotBanned, UnbanRequest, Unbanned},
    context::Context,
    who,
};
use crate::{
    config::{Invalid, parse_bantime, parse_subject},
    daemon::{BannedByHand, By, Command, UnbannedByHand, show},
    firewall::host,
    jail::Policy,
};

/// Most faults in a list that are named.
const MOST_FAULTS: usize = 10;

/// What was asked for, and what the jail bans in its place.
pub(super) fn subject(policy: &Policy, text: &str) -> Result<(IpNet, IpNet), Invalid> {
    Ok(match parse_subject(text)? {
        Ok(ip) => (host(ip), policy.subject(ip)),
        Err(network) => (network, network),
    })
}

/// All of them, or what is wrong with some.
fn subjects(policy: &Policy, texts: &[String]) -> Result<Vec<(IpNet, IpNet)>, Refusal> {
    let (mut subjects, mut faults) = (Vec::with_capacity(texts.len()), Vec::new());
    for (at, text) in texts.iter().enumerate() {
        match subject(policy, text) {
            Ok(pair) => subjects.push(pair),
            Err(error) if faults.len() < MOST_FAULTS => faults.push(format!("ips[{at}]: {error}")),
            Err(_) => {}
        }
    }
    if faults.is_empty() { Ok(subjects) } else { Err(Refusal::Invalid(faults.join("\n"))) }
}

async fn by(
    context: &Arc<Context>,
    uid: Option<u32>,
    reason: Option<String>,
) -> Result<By, Refusal> {
    let who = read(context, move |_| Ok(who::name(uid))).await?;
    Ok(By { who, reason })
}

pub(super) async fn ban(
    context: &Arc<Context>,
    uid: Option<u32>,
    order: BanRequest,
) -> Result<Banned, Refusal> {
    let (asked, subject) = subject(&context.shown().policy, &order.ip)?;
    let bantime = order.bantime.as_deref().map(parse_bantime).transpose()?;
    let by = by(context, uid, order.reason).await?;
    if let Some(reason) = &by.reason {
        tracing::info!("ban {} is asked for: {reason:?}", show(&subject));
    }
    match ask(context, |reply| Command::Ban { asked, subject, bantime, by, reply }).await? {
        BannedByHand::Spared(why) => {
            Err(Refusal::Invalid(format!("{} is not banned: {why}", show(&asked))))
        }
        BannedByHand::Until { expires, spared, covered_by } => Ok(Banned {
            ip: show(&subject),
            expires_at: expires.map(|end| end.to_string()),
            spared: spared.iter().map(show).collect(),
            covered_by: covered_by.as_ref().map(show),
        }),
    }
}

pub(super) async fn ban_many(
    context: &Arc<Context>,
    uid: Option<u32>,
    order: BanManyRequest,
) -> Result<BannedMany, Refusal> {
    let subjects = subjects(&context.shown().policy, &order.ips)?;
    let bantime = order.bantime.as_deref().map(parse_bantime).transpose()?;
    let by = by(context, uid, order.reason).await?;
    if let Some(reason) = &by.reason {
        tracing::info!("ban {} addresses and networks is asked for: {reason:?}", subjects.len());
    }
    let banned = ask(context, |reply| Command::BanMany { subjects, bantime, by, reply }).await?;
    let not_banned = banned
        .spared
        .iter()
        .map(|(asked, why)| NotBanned { ip: show(asked), why: why.to_string() });
    Ok(BannedMany {
        banned: banned.banned,
        expires_at: banned.expires.map(|end| end.to_string()),
        not_banned: not_banned.collect(),
    })
}

pub(super) async fn unban(
    context: &Arc<Context>,
    uid: Option<u32>,
    order: UnbanRequest,
) -> Result<Unbanned, Refusal> {
    let by = by(context, uid, None).await?;
    let policy = context.shown().policy;
    let lifted = match order {
        UnbanRequest { ip: None, ips: None, all: true } => {
            ask(context, |reply| Command::UnbanAll { by, reply }).await?
        }
        UnbanRequest { ip: None, ips: Some(ips), all: false } => {
            let subjects = subjects(&policy, &ips)?.into_iter().map(|(_, subject)| subject);
            let subjects = subjects.collect();
            ask(context, |reply| Command::UnbanMany { subjects, by, reply }).await?
        }
        UnbanRequest { ip: Some(ip), ips: None, all: false } => {
            let (_, subject) = subject(&policy, &ip)?;
            let UnbannedByHand { lifted, covered_by } =
                ask(context, |reply| Command::Unban { subject, by, reply }).await?;
            let covered_by = covered_by.as_ref().map(show);
            return Ok(Unbanned { lifted: usize::from(lifted), covered_by });
        }
        _ => {
            let error = "name either an ip, ips or \"all\": true";
            return Err(Refusal::Invalid(error.to_owned()));
        }
    };
    Ok(Unbanned { lifted, covered_by: None })
}
