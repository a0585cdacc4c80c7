//! Why a client is banned, or why it is not: what the jail knows, what the database remembers
//! and what the kernel counts, brought together.

use std::sync::Arc;

use ipnet::IpNet;

use super::{
    answer::{Refusal, ask, read},
    api::{BanInForce, Ended, Explained, FailuresNow, LastLogin, Line},
    context::{Context, Shown},
    hand::subject,
    query,
};
use crate::{
    daemon::{Command, Explanation, show, wall_clock},
    firewall::Enforced,
    jail::{Failures, Knowledge},
    store::{Past, Step},
};

/// Most lines that are shown.
const MOST_LINES: usize = 10;

pub(super) async fn explain(
    context: &Arc<Context>,
    query: Option<&str>,
) -> Result<Explained, Refusal> {
    let ip = query
        .and_then(|query| query::value(query, "ip"))
        .ok_or_else(|| Refusal::Invalid("name an address: /v1/explain?ip=192.0.2.7".to_owned()))?;
    let shown = context.shown();
    let (asked, subject) = subject(&shown.policy, &ip)?;
    let known = ask(context, |reply| Command::Explain { asked, subject, reply }).await?;
    read(context, move |context| {
        let past = past(context, &subject);
        let ban = context.view().find(&subject)?;
        let now = wall_clock();
        let ban = ban.filter(|ban| ban.order.expires.is_none_or(|end| end > now));
        Ok(together(&asked, &subject, &shown, known, past, ban))
    })
    .await
}

/// Without a database, or where it cannot be read, there is what is in memory.
fn past(context: &Context, subject: &IpNet) -> Past {
    let Some(reader) = &context.past else { return Past::default() };
    reader.past(subject).unwrap_or_else(|error| {
        tracing::warn!("what led to the ban of {} is not known: {error}", show(subject));
        Past::default()
    })
}

fn together(
    asked: &IpNet,
    subject: &IpNet,
    shown: &Shown,
    known: Explanation,
    past: Past,
    ban: Option<Enforced>,
) -> Explained {
    let Explanation { knowledge, earlier_bans, steps, login, ending } = known;
    let steps = lines(past.steps, steps);
    let last_rule = steps.last().map(|step| step.rule.clone());
    let (cause, earlier) = past.ban.map_or((None, 0), |(cause, earlier)| (Some(cause), earlier));
    let ended = past.ending.or(ending);
    let so_far = ended.as_ref().map_or(0, |ended| ended.bans);
    let login = knowledge.login.map(|at| LastLogin {
        at: at.to_string(),
        user: login.as_ref().and_then(|login| user(&login.text)),
        line: login.map(|login| login.text),
    });
    let mut explained = Explained {
        ip: show(asked),
        subject: show(subject),
        ban: ban.map(|ban| in_force(&ban, cause.or(last_rule))),
        covered_by: knowledge.covering.as_ref().map(show),
        earlier_bans: so_far.max(earlier).max(earlier_bans),
        last_ended: ended.map(|ended| Ended { at: ended.at.to_string(), how: ended.how }),
        failures: knowledge.failures.as_ref().map(failures),
        findtime_secs: shown.policy.findtime.as_secs(),
        login,
        never_banned: knowledge.spared.map(|why| why.to_string()),
        why_not: Vec::new(),
        lines: steps.into_iter().map(line).collect(),
    };
    if explained.ban.is_none() {
        explained.why_not = why_not(&explained, &knowledge, shown);
    }
    explained
}

fn in_force(ban: &Enforced, cause: Option<String>) -> BanInForce {
    BanInForce {
        banned_at: ban.order.banned_at.to_string(),
        expires_at: ban.order.expires.map(|end| end.to_string()),
        attempts: ban.order.attempts,
        cause: cause.unwrap_or_else(|| "not known".to_owned()),
        dropped_packets: ban.dropped_packets,
        dropped_bytes: ban.dropped_bytes,
        last_seen: ban.last_seen.map(|at| at.to_string()),
    }
}

/// What is stored and what is in memory tell of the same lines, in part.
fn lines(stored: Vec<Step>, in_memory: Vec<Step>) -> Vec<Step> {
    let mut all = stored;
    for step in in_memory {
        if !all.contains(&step) {
            all.push(step);
        }
    }
    all.sort_by_key(|step| step.at);
    let too_many = all.len().saturating_sub(MOST_LINES);
    all.split_off(too_many)
}

fn line(step: Step) -> Line {
    let Step { at, address, rule, verdict, text } = step;
    Line { at: at.to_string(), ip: show(&address), rule, verdict, line: text }
}

fn failures(failures: &Failures) -> FailuresNow {
    FailuresNow {
        count: failures.count,
        maxretry: failures.maxretry,
        first: failures.first.to_string(),
        last: failures.last.to_string(),
    }
}

/// As whom; for people to read, whatever it says.
fn user(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("user=<")?;
    rest.split_once('>').map(|(user, _)| user.to_owned())
}

/// In plain words, what weighs most first.
fn why_not(explained: &Explained, knowledge: &Knowledge, shown: &Shown) -> Vec<String> {
    let mut why = Vec::new();
    if let Some(spared) = &explained.never_banned {
        why.push(format!("it is never banned: {spared}"));
    }
    if let Some(network) = &explained.covered_by {
        why.push(format!("not by itself, but it is inside {network}, which is banned"));
    }
    if let Some(LastLogin { at, user, .. }) = &explained.login {
        let user = user.as_ref().map(|user| format!(" as {user}")).unwrap_or_default();
        let span = shown.policy.ignore_authenticated.as_secs();
        why.push(format!(
            "somebody logged in from there at {at}{user}: silent probes are forgiven for {span} s \
             after that (ignore_authenticated), wrong passwords are not"
        ));
    }
    if let Some(Ended { at, how }) = &explained.last_ended {
        why.push(format!("its last ban ended at {at}: {how}"));
    }
    match &knowledge.failures {
        Some(Failures { count, maxretry, .. }) => why
            .push(format!("too few failures: {count} within findtime, and {maxretry} make a ban")),
        None if explained.lines.is_empty() => {
            why.push("nothing it did is known to have counted as a failure".to_owned());
        }
        None => why.push("no failure of it counts within findtime any more".to_owned()),
    }
    why
}

#[cfg(test)]
mod tests {
    use super::{lines, user};
    use crate::{firewall::host, store::Step, time::LogTime};

    fn step(secs: i64) -> Step {
        Step {
            at: LogTime::from_secs(secs),
            address: host([192, 0, 2, 7].into()),
            rule: "auth-failed".to_owned(),
            verdict: "counted".to_owned(),
            text: secs.to_string(),
        }
    }

    #[test]
    fn what_is_stored_and_in_memory_is_shown_once_and_in_order() {
        let stored = vec![step(1), step(2)];
        let in_memory = vec![step(2), step(3), step(0)];
        assert_eq!(lines(stored, in_memory), [step(0), step(1), step(2), step(3)]);
        let many = lines((0..50).map(step).collect(), Vec::new());
        assert_eq!((many.len(), many.last()), (10, Some(&step(49))));
    }

    #[test]
    fn the_user_is_read_where_dovecot_writes_it() {
        let line = "imap-login: Login: user=<alice>, method=PLAIN, rip=192.0.2.7";
        assert_eq!(user(line).as_deref(), Some("alice"));
        assert_eq!(user("imap-login: Login: user=<alice"), None);
    }
}
