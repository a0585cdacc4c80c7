//! Addresses and networks as a verb takes them: one, several, or `-` for a list on standard
//! input, of which each line is right or nothing is done.

use std::io::{self, Read as _};

use super::VerbError;
use crate::config::parse_subject;

/// Most lines at fault that are shown.
const MOST_SHOWN: usize = 10;

/// What was named.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Named {
    One(String),
    Many(Vec<String>),
}

pub(super) fn named(words: &[String]) -> Result<Named, VerbError> {
    match words {
        [one] if one == "-" => {
            let mut text = Vec::new();
            io::stdin().lock().read_to_end(&mut text).map_err(|error| {
                VerbError::Failed(format!("standard input cannot be read: {error}"))
            })?;
            list(&String::from_utf8_lossy(&text)).map(Named::Many)
        }
        [one] => Ok(Named::One(one.clone())),
        many if many.iter().any(|word| word == "-") => Err(VerbError::Usage(
            "`-` stands for a list on standard input, and for all of it: name nothing else"
                .to_owned(),
        )),
        many => Ok(Named::Many(many.to_vec())),
    }
}

/// One a line; what follows a `#` is a comment.
fn list(text: &str) -> Result<Vec<String>, VerbError> {
    let (mut subjects, mut faults, mut more) = (Vec::new(), Vec::new(), 0_usize);
    for (number, line) in (1..).zip(text.lines()) {
        let word = line.split('#').next().unwrap_or_default().trim();
        match parse_subject(word) {
            _ if word.is_empty() => {}
            Ok(_) => subjects.push(word.to_owned()),
            Err(error) if faults.len() < MOST_SHOWN => {
                faults.push(format!("standard input, line {number}: {error}"));
            }
            Err(_) => more += 1,
        }
    }
    if more > 0 {
        faults.push(format!("and {more} more lines"));
    }
    if !faults.is_empty() {
        faults.push("nothing was done".to_owned());
        return Err(VerbError::Usage(faults.join("\n")));
    }
    if subjects.is_empty() {
        return Err(VerbError::Usage("there is no address on standard input".to_owned()));
    }
    Ok(subjects)
}

#[cfg(test)]
mod tests {
    use super::list;

    #[test]
    fn comments_and_blank_lines_are_passed_over() {
        let text = "# from the abuse desk\n192.0.2.7\n\n  2001:db8::/32 # all of it\r\n";
        assert_eq!(list(text).unwrap(), ["192.0.2.7", "2001:db8::/32"]);
    }

    #[test]
    fn a_line_that_is_wrong_is_named_and_the_list_is_refused() {
        let error = list("192.0.2.7\n192.0.2.256\n").unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("192.0.2.256"), "{error}");
        assert!(list("\n# nothing\n").unwrap_err().to_string().contains("no address"));
        let many = "x\n".repeat(100);
        assert!(list(&many).unwrap_err().to_string().contains("and 90 more lines"));
    }
}
