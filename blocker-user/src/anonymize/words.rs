//! Words that name nobody: those of Dovecot, PAM and OpenSSL on the lines that are judged.

use std::{collections::HashSet, sync::LazyLock};

const WORDS: &str = "\
    a aborted absent after aggressive alert an and anonymous_auth_disabled are argument attempt \
    attempted attempts auth auth-client auth-worker auth_aborted_by_client auth_failed \
    auth_passdb_lookup auth_password_verify auth_process auth_process_not_ready \
    auth_username_chars auth_verbose auth_waiting_client authenticate authentication \
    authenticationfailed authorize auths bad banner base64 be before bind broken buffer by bytes \
    ca can cannot capability cause cert certificate character cipher cleartext \
    cleartext_auth_disabled client client_limit client_ssl_cert_missing \
    client_ssl_cert_untrusted client_ssl_not_started closed command commands conn connect \
    connection connection_limit connections continue cram-md5 credentials data db-lua debug \
    delayed denied dest did didn digest-md5 directory disabled disallowed disconnect \
    disconnected dovecot dovecot-auth dovecot_auth down during eid empty error euid event \
    exceeded expired external failed failure fatal file finish finished for format from full \
    given greeting gssapi handshake handshaking haproxy has hi host http https id idle imap \
    imap-login in inactivity info init initial initialization input internal invalid \
    invalid_base64 invalid_mech ip is killed large ldap length limit line lip literal logged \
    logging login login_disabled logname logout lookup lost lport lua \
    mail_max_userip_connections managesieve managesieve-login many master matched maximum \
    mechanism mechanisms message meta method mismatch missing mpid new next no no_auth_attempts \
    nobody non-secure none not now ntlm number oauthbearer of off ok on openssl or other out pam \
    pam_ pam_authenticate pam_sss pam_unix panic passdb passdb-lua passdbs passwd-file password \
    password_expired peer performing permission pid plain plaintext pop3 pop3-login process \
    process_full process_limit protocol proxy proxy_dest_auth_failed proxy_dest_connect_failed \
    proxy_dest_redirecting proxying pw query queue quit read ready reason reconnecting refused \
    relay remote repeated reported request required reset resp responding response rest return \
    revoked rhost rip routines rport ruser s sasl sasl-ir scram-sha-1 scram-sha-256 secs secured \
    sent server service session sha1 shared shutdown shutting smtp-client some sql ssl \
    ssl3_get_record ssl_accept ssl_shutdown sslv3 startup static submission submission-login \
    successful such supported syscall t te temp_fail temporary the this throttling ticket time \
    timed timeout times tls tls_handshake_not_finished tlsv1 tlsv1.0 tlsv1.1 tlsv1.2 tlsv1.3 to \
    too tried trusted trying tty uid un unfinished unix unknown unsupported untrusted use user \
    user_disabled userdb username using valid value verify version waited waiting warning was \
    wasn while with without working write wrong xclient xoauth2 yes";

static KNOWN: LazyLock<HashSet<&'static str>> =
    LazyLock::new(|| WORDS.split_ascii_whitespace().collect());

/// Without regard to case, as names are compared.
pub(super) fn is_known(word: &str) -> bool {
    KNOWN.contains(word.to_ascii_lowercase().as_str())
}
