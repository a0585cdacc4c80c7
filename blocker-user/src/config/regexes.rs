//! From `failregex` and `ignoreregex` as written to a filter, with every fault in its place.

use super::{Fault, Settings, text::Line};
use crate::filter::{Doubt, Filter, FilterError, FilterOption, Origin, Pattern};

impl Settings {
    /// The patterns of the configuration, compiled.
    pub fn filter(&self) -> Result<Filter, Vec<FilterError>> {
        Filter::compile(self.patterns().map(|(option, line)| Pattern {
            text: line.text.trim().to_owned(),
            origin: Origin {
                file: line.place.path().display().to_string(),
                line: line.place.line,
                option,
            },
        }))
    }

    fn patterns(&self) -> impl Iterator<Item = (FilterOption, &Line)> {
        let fail = self.failregex.lines.iter().map(|line| (FilterOption::Failregex, line));
        let ignore = self.ignoreregex.lines.iter().map(|line| (FilterOption::Ignoreregex, line));
        fail.chain(ignore)
    }

    /// What is wrong with the patterns, and what their author may regret.
    pub(super) fn faults_of_patterns(&self) -> Vec<Fault> {
        let found: Vec<(Fault, Origin)> = match self.filter() {
            Err(errors) => errors
                .into_iter()
                .map(|FilterError { origin, column, problem }| {
                    let todo = format!("see column {column} of the pattern");
                    (Fault::error(problem.to_string(), todo), origin)
                })
                .collect(),
            Ok(filter) => filter
                .warnings()
                .iter()
                .map(|warning| {
                    let todo = match warning.doubt {
                        Doubt::Network => "write <ADDR> for it",
                        Doubt::NotAnchored | Doubt::CatchAll | Doubt::Excuse => {
                            "begin it with ^ and the words that stand there"
                        }
                    };
                    (Fault::warning(warning.doubt.to_string(), todo), warning.origin.clone())
                })
                .collect(),
        };
        let place = |origin: &Origin| {
            let written = |line: &Line| line.place.path().display().to_string() == origin.file;
            self.patterns()
                .find(|(option, line)| {
                    *option == origin.option && line.place.line == origin.line && written(line)
                })
                .map(|(_, line)| line)
        };
        found
            .into_iter()
            .map(|(fault, origin)| {
                let fault = fault.option(origin.option.to_string());
                match place(&origin) {
                    Some(line) => fault.at(&line.place).mark(line.text.trim()),
                    None => fault,
                }
            })
            .collect()
    }
}
