//! Another configuration for a pipeline that runs: what can change in its life changes between
//! two chunks of lines, so that no line is judged by half of each. Logs that stay are read on
//! where they are, and those that come back where they were.

use std::{mem, sync::Arc};

use super::{feed::Feed, pipeline::Pipeline};
use crate::{
    dovecot::Judge,
    firewall::{FirewallError, Rules},
    jail::{IgnoreList, Policy},
    source::{Source, Spec},
};

/// What a new configuration comes to. All of it is known to be right.
pub struct Change {
    pub judge: Judge,
    pub policy: Policy,
    pub ignore: IgnoreList,
    /// While it lives, names of ignoreip are followed.
    pub names: Arc<()>,
    /// With the names that they keep over restarts.
    pub sources: Vec<(String, Spec)>,
    pub rules: Rules,
}

impl Pipeline {
    /// What can fail is done first, and then nothing else has changed.
    pub(super) fn change(&mut self, change: Change) -> Result<(), FirewallError> {
        let Change { judge, policy, ignore, names, sources, rules } = change;
        self.core.firewall.set_rules(&rules)?;
        self.core.judge = judge;
        self.core.jail.set_policy(policy);
        self.core.jail.set_ignore_list(ignore);
        self.core.names = names;
        self.core.allow_ignored();
        self.follow(sources);
        Ok(())
    }

    /// Reads these logs, and no others.
    fn follow(&mut self, sources: Vec<(String, Spec)>) {
        let mut before = mem::take(&mut self.feeds);
        let wall = self.core.clocks.now();
        let pattern = |(_, spec): &(String, Spec)| match spec {
            Spec::Pattern(pattern) => glob::Pattern::new(pattern).ok(),
            _ => None,
        };
        let patterns: Vec<glob::Pattern> = sources.iter().filter_map(pattern).collect();
        for (name, spec) in sources {
            let known = before.iter().position(|feed| feed.name() == name);
            self.feeds.push(match known {
                Some(at) => before.swap_remove(at).named_by(&spec),
                None => {
                    let place = self.places.take(&name);
                    Feed::new(name, Source::new(&spec), place, wall)
                }
            });
        }
        // What patterns have led to is read on, where one still leads there.
        for mut feed in before {
            let is_member = matches!(feed.source(), Source::Member(_));
            if is_member && patterns.iter().any(|pattern| pattern.matches(feed.name())) {
                self.feeds.push(feed);
            } else {
                tracing::info!("{} is not read any more", feed.name());
                self.places.left(&feed, wall);
            }
        }
    }
}
