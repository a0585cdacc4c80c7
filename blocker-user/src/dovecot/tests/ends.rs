//! How connections end: what that counts as, and whose it is.

use super::{VICTIM, expect, judge, verdict};
use crate::dovecot::{Event, Guesses, Mode};

#[test]
fn guesses_do_not_hide_behind_what_a_connection_ended_on() {
    let fields = "method=PLAIN, rip=192.0.2.7, lip=192.0.2.1, session=<AAAAAAAAAADAAAIH>";
    let line = |words: &str, user: &str| {
        format!("imap-login: Disconnected: Connection closed {words}: user=<{user}>, {fields}")
    };
    for words in [
        "(sent invalid base64 in response)",
        "(client didn't finish SASL auth, waited 3 secs)",
        "(auth aborted by client, 12 attempts in 60 secs) (auth_aborted_by_client)",
    ] {
        expect(&line(words, "alice"), "auth-failed", "192.0.2.7");
    }
    expect(&line("(tried to use unsupported auth mechanism)", "alice"), "auth-failed", "192.0.2.7");
    let unnamed = line("(tried to use unsupported auth mechanism)", "");
    expect(&unnamed, "unsupported-mechanism", "192.0.2.7");
    for (words, guesses) in [
        ("(login disabled, 1/12 successful auths in 40 secs) (login_disabled)", 11),
        ("(auth failed, 1/12 successful auths in 40 secs) (auth_failed)", 11),
        // All but the last, which needs no more than the name of such an account.
        ("(user disabled, 12 attempts in 60 secs) (user_disabled)", 11),
        ("(user disabled, 3 attempts in 1 secs) (user_disabled)", 2),
        ("(user disabled, 1/12 successful auths in 40 secs) (user_disabled)", 10),
    ] {
        expect(&line(words, "alice"), "auth-failed", "192.0.2.7");
        let line = format!("Nov 24 16:59:00 mail dovecot: {}", line(words, "alice"));
        let Some(Event::Failure(failure)) = judge(Mode::Normal, line.as_bytes()) else { panic!() };
        assert_eq!(failure.guesses, Guesses::Total(guesses), "{words}");
    }
    expect(&line("(sent invalid base64 in response)", ""), "sasl-unfinished", "192.0.2.7");
    // However the last name was chosen.
    for name in
        ["a user=<>", ">", ">, ", ">, method=PLAIN, rip=192.0.2.7, session=<x", ">, <", "<>"]
    {
        expect(&line("(sent invalid base64 in response)", name), "auth-failed", "192.0.2.7");
    }
    for words in [
        "(user disabled)",
        "(user disabled, 1 attempts in 2 secs) (user_disabled)",
        "(user disabled, 2 attempts in 2 secs) (user_disabled)",
        "(login disabled, 12 attempts in 60 secs) (login_disabled)",
        "(password expired, 12 attempts in 60 secs) (password_expired)",
        "(login disabled, 1/2 successful auths in 6 secs) (login_disabled)",
        "(temporary auth failure, 9 attempts in 60 secs) (temp_fail)",
    ] {
        assert_eq!(verdict(&line(words, "alice")), None, "{words}");
    }
}

#[test]
fn elements_of_the_admins_own_cannot_name_an_address() {
    let head = "imap-login: Disconnected: Connection closed (no auth attempts in 1 secs): ";
    let true_id = "session=<AAAAAAAAAADAAAIH>";
    let at_the_end = format!("{head}localname=x rip={VICTIM}, user=<>, rip=192.0.2.7, {true_id}");
    expect(&at_the_end, "no-auth-attempts", "192.0.2.7");
    for fields in [
        format!("localname=x rip={VICTIM}, user=<>, rip=192.0.2.7, lip=192.0.2.1"),
        format!("user=<>, rip=192.0.2.7, {true_id}, sni=x, rip={VICTIM}"),
        format!("user=<>, rip=192.0.2.7, TLS handshaking: invalid: /CN=x, rip={VICTIM}, (y)"),
        format!("localname=x rip={VICTIM}, user=<bob>, rip=192.0.2.7, lip=192.0.2.1"),
    ] {
        assert_eq!(verdict(&format!("{head}{fields}")), None, "{fields}");
    }
    expect(
        &format!("{head}real_rip=192.0.2.9, user=<>, rip=192.0.2.7"),
        "no-auth-attempts",
        "192.0.2.7",
    );
}

#[test]
fn a_subject_that_reads_like_an_alert_excuses_nobody() {
    let line = "imap-login: Disconnected: Connection closed (no auth attempts in 1 secs): user=<>, rip=192.0.2.7, TLS: Received invalid SSL certificate: x: /CN=alert unknown ca";
    expect(line, "no-auth-attempts", "192.0.2.7");
}
