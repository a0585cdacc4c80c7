//! A real Dovecot 2.3 in the server namespace, with one user and a directory of its own.

use std::{
    fs::{self, File, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};

use crate::{
    client::{Client, Greeting},
    netns::{Family, SERVER, World},
    process::Process,
    wait::{self, LIMIT},
};

pub const USER: &str = "alice";
pub const PASSWORD: &str = "secret";

/// Drop stops it.
#[derive(Debug)]
pub struct Dovecot {
    process: Process,
    log: PathBuf,
}

impl Dovecot {
    /// Starts it, and waits until it serves IMAP, POP3 and ManageSieve.
    pub fn start(world: &World) -> Result<Self> {
        Self::with(world, "")
    }

    /// Starts it with more lines of configuration.
    pub fn with(world: &World, more: &str) -> Result<Self> {
        let dir = world.claim.dir().join("dovecot");
        fs::create_dir(&dir)?;
        let mail = dir.join("mail");
        fs::create_dir(&mail)?;
        // The mail process runs as the user of the static userdb below.
        fs::set_permissions(&mail, Permissions::from_mode(0o777))?;
        fs::write(dir.join("users"), format!("{USER}:{{PLAIN}}{PASSWORD}\n"))?;
        let log = dir.join("dovecot.log");
        let config = dir.join("dovecot.conf");
        fs::write(&config, format!("{}{more}\n", configuration(&dir)))?;

        let mut command = world.server.command("dovecot");
        command.arg("-F").arg("-c").arg(&config);
        let output = dir.join("output");
        let process = Process::spawn("dovecot", &command, &File::create(&output)?)?;
        let mut dovecot = Self { process, log };
        dovecot.wait_until_it_serves(world).with_context(|| {
            let said = fs::read_to_string(&output).unwrap_or_default();
            let logged = fs::read_to_string(&dovecot.log).unwrap_or_default();
            format!("Dovecot does not start: {said}{logged}")
        })?;
        // The tests begin with an empty log: looking whether the doors are open filled it.
        File::create(&dovecot.log)?;
        Ok(dovecot)
    }

    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    fn wait_until_it_serves(&mut self, world: &World) -> Result<()> {
        let server = Client::on_server(world, SERVER.on(Family::V4));
        for port in [143, 110, 4190] {
            wait::until(LIMIT, &format!("Dovecot on port {port}"), || {
                if let Some(status) = self.process.ended()? {
                    anyhow::bail!("it ended: {status}");
                }
                let greeting = server.greet(port, Duration::from_secs(1))?;
                Ok(matches!(greeting, Greeting::Banner(_)).then_some(()))
            })?;
        }
        // Each of those looks is a line of its own, and must not come later than the rest.
        wait::until(LIMIT, "Dovecot to log its first connections", || {
            let log = fs::read_to_string(&self.log)?;
            Ok((log.matches("no auth attempts").count() >= 3).then_some(()))
        })
    }
}

fn configuration(dir: &Path) -> String {
    let dir = dir.display();
    format!(
        "base_dir = {dir}/run
log_path = {dir}/dovecot.log
protocols = imap pop3 sieve
listen = *, ::
ssl = no
disable_plaintext_auth = no
auth_failure_delay = 0
service anvil {{
  # Or every guess of an address takes longer than the one before.
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
mail_location = maildir:{dir}/mail/%u
first_valid_uid = 1
passdb {{
  driver = passwd-file
  args = {dir}/users
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={dir}/mail
}}
"
    )
}
