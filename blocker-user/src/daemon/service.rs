//! Which of Dovecot's services a line is about: for counting only, so that a wrong answer costs
//! nothing. There are no more answers than these, whatever a client calls itself.

use memchr::memmem;

pub const SERVICES: [&str; 6] = ["imap", "pop3", "managesieve", "submission", "auth", "other"];
/// What stands between the time and the message, which is where the name is, is not longer.
const LONGEST_PREFIX: usize = 160;

/// The place in [`SERVICES`].
pub(super) fn of(line: &[u8]) -> usize {
    let head = line.get(..LONGEST_PREFIX).unwrap_or(line);
    let login = memmem::find(head, b"-login");
    let name = login.and_then(|end| head.get(..end)).unwrap_or_default();
    let begin = name.iter().rposition(|byte| !byte.is_ascii_alphanumeric()).map_or(0, |at| at + 1);
    let name = name.get(begin..).unwrap_or_default();
    let known = SERVICES.iter().position(|service| service.as_bytes() == name);
    let auth = || memmem::find(head, b"auth").map(|_| SERVICES.len() - 2);
    known.or_else(auth).unwrap_or(SERVICES.len() - 1)
}

#[cfg(test)]
mod tests {
    use super::{SERVICES, of};

    #[test]
    fn the_login_process_tells() {
        for (line, service) in [
            ("Nov 25 06:25:01 mx dovecot: imap-login: Disconnected: Aborted", "imap"),
            ("2026-11-25T06:25:01+00:00 mx dovecot: managesieve-login: Login", "managesieve"),
            ("Nov 25 06:25:01 pop3-login: Info: Disconnected", "pop3"),
            ("Nov 25 06:25:01 mx dovecot: auth: passwd-file(a,192.0.2.7): unknown", "auth"),
            ("Nov 25 06:25:01 mx dovecot: auth-worker(9): conn", "auth"),
            ("Nov 25 06:25:01 mx dovecot: x-login: Disconnected", "other"),
            ("", "other"),
        ] {
            assert_eq!(SERVICES[of(line.as_bytes())], service, "{line}");
        }
    }
}
