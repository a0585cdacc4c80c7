//! What the lines are judged by: FILTER and IGNOREREGEX, or what `run` would take from a
//! configuration. Reads none that was not asked for.

use super::filter;
use crate::{
    cli::{
        VerbError,
        config::{ConfigArgs, filter_of, refuse_errors},
    },
    config::{Loaded, show},
    dovecot::{Mode, SessionCheck},
    filter::{Filter, FilterError, FilterOption, Origin, Pattern},
};

/// The options of the configuration that are about lines.
const ABOUT_LINES: [&str; 5] = ["failregex", "ignoreregex", "mode", "filter", "session_check"];

pub(super) struct Criteria {
    /// All of it in a few words.
    pub(super) title: String,
    pub(super) mode: Mode,
    pub(super) session_check: SessionCheck,
    pub(super) filter: Filter,
    /// Whether the built-in rules count.
    pub(super) rules: bool,
}

impl Criteria {
    pub(super) fn of(
        filter: Option<filter::Filter>,
        ignore: Option<String>,
        config: &ConfigArgs,
    ) -> Result<Self, VerbError> {
        let is_configured = config.config.is_some() || config.fail2ban.is_some();
        match (filter, is_configured) {
            (None, true) => Self::configured(config),
            (None, false) => Self::given(filter::Filter::Rules(Mode::Normal), ignore),
            (Some(filter), false) => Self::given(filter, ignore),
            (Some(_), true) => Err(VerbError::Usage(
                "--config and --fail2ban say what to judge by; leave them out, or FILTER"
                    .to_owned(),
            )),
        }
    }

    fn given(filter: filter::Filter, ignore: Option<String>) -> Result<Self, VerbError> {
        let (mode, failregex) = match filter {
            filter::Filter::Rules(mode) => (mode, None),
            filter::Filter::Failregex(text) => (Mode::Normal, Some(text)),
        };
        let rules = failregex.is_none();
        let title = failregex.clone().unwrap_or_else(|| format!("dovecot[mode={mode}]"));
        let failregex = failregex.map(|text| pattern(FilterOption::Failregex, text));
        let ignore = ignore.map(|text| pattern(FilterOption::Ignoreregex, text));
        let filter = Filter::compile(failregex.into_iter().chain(ignore)).map_err(|errors| {
            let errors: Vec<String> = errors.iter().map(sentence).collect();
            VerbError::Usage(errors.join("\ndoveblock: "))
        })?;
        Ok(Self { title, mode, session_check: SessionCheck::default(), filter, rules })
    }

    fn configured(config: &ConfigArgs) -> Result<Self, VerbError> {
        if let Some(dir) = config.config.as_ref().filter(|path| path.is_dir()) {
            return Err(VerbError::Usage(format!(
                "--config {} is a directory; name a file of doveblock's, or fail2ban's tree with \
                 --fail2ban",
                dir.display()
            )));
        }
        let loaded = config.load();
        refuse_errors(&loaded)?;
        let warnings = loaded.warnings().filter(|fault| {
            fault.option.as_deref().is_some_and(|option| ABOUT_LINES.contains(&option))
        });
        let warnings = show(warnings);
        if !warnings.is_empty() {
            eprintln!("{warnings}\n");
        }
        let Loaded { settings, files, .. } = loaded;
        let rules = settings.failregex.with_builtin;
        let mut parts = Vec::new();
        if rules {
            parts.push(format!("dovecot[mode={}]", settings.mode));
        }
        for (option, regexes) in
            [("failregex", &settings.failregex), ("ignoreregex", &settings.ignoreregex)]
        {
            match regexes.lines.len() {
                0 => {}
                1 => parts.push(format!("1 {option}")),
                several => parts.push(format!("{several} {option}es")),
            }
        }
        let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        Ok(Self {
            title: format!("{} of {}", parts.join(", "), files.join(", ")),
            mode: settings.mode,
            session_check: settings.session_check,
            filter: filter_of(&settings)?,
            rules,
        })
    }
}

fn pattern(option: FilterOption, text: String) -> Pattern {
    Pattern { text, origin: Origin { file: "command line".to_owned(), line: 1, option } }
}

/// The command line has no lines to name.
fn sentence(error: &FilterError) -> String {
    let name = match error.origin.option {
        FilterOption::Failregex => "FILTER",
        FilterOption::Ignoreregex => "IGNOREREGEX",
    };
    format!("{name}, column {}: {}", error.column, error.problem)
}
