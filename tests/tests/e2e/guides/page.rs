//! A page of documentation: its commands and where they are.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, bail, ensure};

/// What a block of commands is marked with: ```sh, and on which host.
const SHELL: &str = "sh";
const SECOND_HOST: &str = "second-host";
/// How the text of a [stage direction](Page::stage_direction) begins.
pub(super) const DIRECTION: char = '@';
/// How commands begin whose verbs are ours.
const OURS: [&str; 2] = ["doveblock ", "cargo xtask "];
/// Blocks of other text, which nobody runs.
const TEXT: [&str; 7] = ["text", "json", "ini", "yaml", "log", "promql", ""];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Where {
    Server,
    /// Whoever plays the scanner.
    Client,
}

#[derive(Debug)]
pub(super) struct Command {
    pub(super) line: usize,
    pub(super) text: String,
    pub(super) place: Where,
}

#[derive(Debug)]
pub(super) struct Page {
    pub(super) name: String,
    pub(super) text: String,
    /// Of its blocks marked `sh`, in order.
    pub(super) commands: Vec<Command>,
    /// Everything that begins with `doveblock ` or `cargo xtask `, in blocks and in sentences.
    pub(super) mentions: Vec<(usize, String)>,
}

impl Page {
    pub(super) fn read(root: &Path, name: &str) -> Result<Self> {
        let text = fs::read_to_string(root.join(name)).with_context(|| name.to_owned())?;
        let mut page = Self {
            name: name.to_owned(),
            text: text.clone(),
            commands: Vec::new(),
            mentions: Vec::new(),
        };
        // The block that we are in: what it is marked with.
        let mut block: Option<String> = None;
        let mut unfinished: Option<Command> = None;
        for (index, raw) in text.lines().enumerate() {
            let line = index + 1;
            if let Some(mark) = raw.strip_prefix("```") {
                ensure!(unfinished.is_none(), "{name}:{line}: a command without its end");
                block = match block {
                    Some(_) => None,
                    None => Some(mark.trim().to_owned()),
                };
                continue;
            }
            match block.as_deref() {
                None => {
                    page.sentence(line, raw);
                    page.stage_direction(line, raw);
                }
                Some(mark) => page.block(line, raw, mark, &mut unfinished)?,
            }
        }
        ensure!(block.is_none(), "{name}: a block without its end");
        Ok(page)
    }

    fn block(
        &mut self,
        line: usize,
        raw: &str,
        mark: &str,
        unfinished: &mut Option<Command>,
    ) -> Result<()> {
        let name = &self.name;
        let mut words = mark.split_whitespace();
        let (kind, more) = (words.next().unwrap_or_default(), words.next());
        if kind != SHELL {
            ensure!(TEXT.contains(&kind), "{name}:{line}: what is a block of {mark:?}?");
            let is_command = ["doveblock ", "cargo ", "bpftool ", "systemctl ", "curl "]
                .iter()
                .any(|start| raw.starts_with(start));
            ensure!(
                !is_command,
                "{name}:{line}: a command in a block that is not marked sh: {raw}"
            );
            return Ok(());
        }
        let place = match more {
            None => Where::Server,
            Some(SECOND_HOST) => Where::Client,
            Some(other) => bail!("{name}:{line}: on which host is {other}?"),
        };
        let mut command = match unfinished.take() {
            Some(begun) => Command { text: begun.text + raw.trim(), ..begun },
            None => Command { line, text: without_comment(raw).trim().to_owned(), place },
        };
        if command.text.ends_with('\\') {
            command.text.pop();
            *unfinished = Some(command);
        } else if command.text.ends_with('|') {
            *unfinished = Some(command);
        } else if !command.text.is_empty() {
            if OURS.iter().any(|start| command.text.starts_with(start)) {
                self.mentions.push((command.line, command.text.clone()));
            }
            self.commands.push(command);
        }
        Ok(())
    }

    /// What somebody does besides typing: `<!-- test: wait TEXT -->`, which is for a line in the
    /// daemon's terminal, `<!-- test: start COMMAND -->`, `<!-- test: stop SOCKET -->`, which is Ctrl-C there, and
    /// `<!-- test: printed TEXT -->`, a look at what the last command printed.
    fn stage_direction(&mut self, line: usize, raw: &str) {
        let direction = raw.strip_prefix("<!-- test: ").and_then(|it| it.strip_suffix(" -->"));
        if let Some(text) = direction {
            let text = format!("{DIRECTION}{text}");
            self.commands.push(Command { line, text, place: Where::Server });
        }
    }

    /// Text between backticks.
    fn sentence(&mut self, line: usize, raw: &str) {
        let quoted = raw.split('`').skip(1).step_by(2);
        let is_ours = |text: &&str| OURS.iter().any(|start| text.starts_with(start));
        let ours = quoted.filter(is_ours);
        self.mentions.extend(ours.map(|text| (line, text.to_owned())));
    }

    /// Files of ours that it leads to.
    pub(super) fn links(&self) -> Vec<(usize, String)> {
        let mut links = Vec::new();
        for (index, line) in self.text.lines().enumerate() {
            for part in line.split("](").skip(1) {
                let target = part.split([')', '#']).next().unwrap_or_default();
                if !target.is_empty() && !target.contains("://") {
                    links.push((index + 1, target.to_owned()));
                }
            }
        }
        links
    }
}

fn without_comment(line: &str) -> &str {
    if line.starts_with('#') { "" } else { line.split("    # ").next().unwrap_or(line) }
}
