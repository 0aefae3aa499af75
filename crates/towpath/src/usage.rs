//! A command line that is not one of this program's, told in the form that it asks for.

mod tip;

use std::ffi::OsString;

use clap::{ValueEnum as _, error::ErrorKind};

use crate::{context::Format, failure::Failure};

/// Why a command line is none, and in which form that is to be said.
#[derive(Debug)]
pub(crate) struct Usage {
    pub(crate) failure: Failure,
    pub(crate) format: Format,
}

impl Usage {
    /// What `error` says of `arguments`. Ends the program where people are told, as clap tells them, and where
    /// help or the version was asked for.
    pub(crate) fn of(mut error: clap::Error, arguments: &[OsString]) -> Self {
        tip::add(&mut error, arguments);
        let format = form(arguments);
        if format == Format::Text || !error.use_stderr() {
            error.exit();
        }
        Self {
            failure: failure(&error),
            format,
        }
    }
}

/// The form that is asked for, as far as it can be told from what is no command line as a whole.
fn form(arguments: &[OsString]) -> Format {
    let mut words = arguments
        .iter()
        .take_while(|word| *word != "--")
        .filter_map(|word| word.to_str());
    while let Some(word) = words.next() {
        let value = match word {
            "-o" | "--output" => words.next(),
            _ => word
                .strip_prefix("--output=")
                .or_else(|| word.strip_prefix("-o="))
                .or_else(|| word.strip_prefix("-o")),
        };
        let format = value.and_then(|value| Format::from_str(value, false).ok());
        if let Some(format) = format {
            return format;
        }
    }
    Format::Text
}

/// The first paragraph says what is wrong, the others how it is used.
fn failure(error: &clap::Error) -> Failure {
    let text = error.render().to_string();
    let (what, help) = match error.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            ("the command line is not complete", text.as_str())
        }
        _ => text.split_once("\n\n").unwrap_or((text.as_str(), "")),
    };
    let what = what.strip_prefix("error: ").unwrap_or(what);
    let what: Vec<_> = what.split_whitespace().collect();
    let failure = Failure::usage(what.join(" "));
    match help.trim() {
        "" => failure,
        help => failure.remedy(help),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_found_in_a_command_line_that_is_none() {
        for (line, format) in [
            ("towpath fly -o json", Format::Json),
            ("towpath -ojson fly", Format::Json),
            ("towpath fly --output=yaml", Format::Yaml),
            ("towpath fly --output yaml", Format::Yaml),
            ("towpath fly -o xml", Format::Text),
            ("towpath fly -- -o json", Format::Text),
            ("towpath fly -o", Format::Text),
        ] {
            let arguments: Vec<_> = line.split(' ').map(OsString::from).collect();
            assert_eq!(form(&arguments), format, "{line}");
        }
    }
}
