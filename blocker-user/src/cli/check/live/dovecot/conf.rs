//! What `doveconf` prints: settings, and blocks of them.

/// Services whose names end so are the ones that clients connect to.
const LOGIN: &str = "-login";

#[derive(Debug, Default)]
pub(super) struct Conf {
    /// The way to each setting, block by block, and its value.
    settings: Vec<(Vec<String>, String)>,
}

impl Conf {
    pub(super) fn read(text: &str) -> Self {
        let mut conf = Self::default();
        let mut blocks: Vec<String> = Vec::new();
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
            if let Some(name) = line.strip_suffix('{') {
                blocks.push(name.trim().to_owned());
            } else if line == "}" {
                blocks.pop();
            } else if let Some((name, value)) = line.split_once('=') {
                let way = blocks.iter().cloned().chain([name.trim().to_owned()]).collect();
                conf.settings.push((way, value.trim().trim_matches('"').to_owned()));
            }
        }
        conf
    }

    /// Of a setting outside of all blocks.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        let found = self.settings.iter().find(|(way, _)| matches!(&way[..], [it] if it == name));
        found.map(|(_, value)| value.as_str())
    }

    /// Where login processes are configured to listen.
    pub(super) fn login_ports(&self) -> Vec<u16> {
        let mut ports: Vec<u16> = self
            .settings
            .iter()
            .filter_map(|(way, value)| match &way[..] {
                [service, listener, name]
                    if service.starts_with("service ")
                        && service.ends_with(LOGIN)
                        && listener.starts_with("inet_listener")
                        && name == "port" =>
                {
                    // Zero is off.
                    value.parse().ok().filter(|port| *port != 0)
                }
                _ => None,
            })
            .collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    }
}

#[cfg(test)]
mod tests {
    use super::Conf;

    const TEXT: &str = "\
# 2.3.19.1 (9b53102964): /etc/dovecot/dovecot.conf
auth_verbose = no
protocols = \" imap sieve\"
service imap-login {
  chroot = login
  inet_listener imap {
    address =
    port = 1143
  }
  inet_listener imaps {
    port = 0
    ssl = yes
  }
}
service auth {
  inet_listener tcp {
    port = 12345
  }
}
service managesieve-login {
  inet_listener sieve {
    port = 4190
  }
}
";

    #[test]
    fn settings_and_ports_are_found_in_their_blocks() {
        let conf = Conf::read(TEXT);
        assert_eq!(conf.value("auth_verbose"), Some("no"));
        assert_eq!(conf.value("protocols"), Some(" imap sieve"));
        assert_eq!(conf.value("chroot"), None);
        assert_eq!(conf.login_ports(), [1143, 4190]);
        assert!(Conf::read("}\n}\n{\n=").login_ports().is_empty());
    }
}
