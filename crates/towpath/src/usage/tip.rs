//! How to mend a command line that is none, where clap does not say it: what was meant is often another command of
//! the program, or stands in its examples.

use std::ffi::OsString;

use clap::{
    Arg, Command, CommandFactory as _,
    error::{ContextKind, ContextValue, ErrorKind},
};

use crate::cli::Cli;

/// Has `error` say how to mend `arguments`.
pub(super) fn add(error: &mut clap::Error, arguments: &[OsString]) {
    let all = Cli::command();
    let path = asked(&all, arguments);
    let tip = match error.kind() {
        ErrorKind::InvalidSubcommand => subcommand(error, &path),
        ErrorKind::UnknownArgument => argument(error, &path),
        ErrorKind::InvalidValue => value(error, &path),
        _ => None,
    };
    if let Some(tip) = tip {
        error.insert(
            ContextKind::Suggested,
            ContextValue::StyledStrs(vec![tip.into()]),
        );
    }
}

/// The command that `arguments` are for, with those that it is below: as far as they name one.
fn asked<'a>(all: &'a Command, arguments: &[OsString]) -> Vec<&'a Command> {
    let mut path = vec![all];
    let mut here = all;
    let mut words = arguments.iter().skip(1).filter_map(|word| word.to_str());
    while let Some(word) = words.next() {
        if word.starts_with('-') {
            // All that may stand before a command has a value.
            if !word.contains('=') {
                words.next();
            }
            continue;
        }
        let Some(below) = here.find_subcommand(word) else {
            break;
        };
        path.push(below);
        here = below;
    }
    path
}

/// The command as it is typed: `towpath env create`.
fn line(path: &[&Command]) -> String {
    let names: Vec<_> = path.iter().map(|command| command.get_name()).collect();
    names.join(" ")
}

fn text(error: &clap::Error, kind: ContextKind) -> Option<&str> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text),
        _ => None,
    }
}

fn texts(error: &clap::Error, kind: ContextKind) -> &[String] {
    match error.get(kind) {
        Some(ContextValue::Strings(texts)) => texts,
        _ => &[],
    }
}

fn subcommand(error: &mut clap::Error, path: &[&Command]) -> Option<String> {
    // The nearest comes last, and the others are mostly far off.
    if let Some(nearest) = texts(error, ContextKind::SuggestedSubcommand).last() {
        let nearest = ContextValue::Strings(vec![nearest.clone()]);
        error.insert(ContextKind::SuggestedSubcommand, nearest);
        return None;
    }
    let word = text(error, ContextKind::InvalidSubcommand)?;
    let elsewhere = match path {
        [.., above, here] => above.get_subcommands().find_map(|other| {
            let (other_name, name) = (other.get_name(), here.get_name());
            // `secret` and `secrets`.
            let is_near = other_name.starts_with(name) || name.starts_with(other_name);
            let found = other
                .find_subcommand(word)
                .filter(|_| is_near && other_name != name)?;
            Some(format!(
                "{} {other_name} {}",
                line(&path[..path.len() - 1]),
                found.get_name()
            ))
        }),
        _ => None,
    };
    Some(match elsewhere {
        Some(command) => format!("did you mean `{command}`?"),
        None => format!("`{} --help` lists the commands", line(path)),
    })
}

fn argument(error: &clap::Error, path: &[&Command]) -> Option<String> {
    let given = text(error, ContextKind::InvalidArg)?;
    let here = path.last()?;
    // What follows `--` is another program's, and clap says how.
    let passes_on = |one: &Arg| one.is_last_set() || one.is_trailing_var_arg_set();
    if error.get(ContextKind::SuggestedArg).is_some() || here.get_positionals().any(passes_on) {
        return None;
    }
    let line = line(path);
    if !given.starts_with('-') {
        let is_file = |one: &Arg| one.get_long() == Some("file") && one.get_short() == Some('f');
        return Some(if here.get_opts().any(is_file) {
            format!("name the file with -f: `{line} -f {given}`")
        } else {
            format!("`{line} --help` shows what it takes")
        });
    }
    let word = given.trim_start_matches('-');
    let word = word.split('=').next().unwrap_or(word);
    // `--from` of `--clone-from`.
    let meant = here
        .get_opts()
        .filter(|one| !one.is_hide_set())
        .find(|one| {
            let mut parts = one.get_long().unwrap_or_default().split('-');
            parts.any(|part| part == word)
        });
    Some(match meant {
        Some(option) => format!("did you mean `{}`?", written(option)),
        None => format!("`{line} --help` shows its options"),
    })
}

/// An option with what it takes: `--clone-from ENV`.
fn written(option: &Arg) -> String {
    let values = option.get_value_names().unwrap_or_default().iter();
    let long = option.get_long().unwrap_or_default();
    let values: String = values.map(|name| format!(" {name}")).collect();
    format!("--{long}{values}")
}

/// Of an option that was given without its value.
fn value(error: &clap::Error, path: &[&Command]) -> Option<String> {
    let given = text(error, ContextKind::InvalidValue)?;
    // Where it is one of a few, these are listed.
    if !given.is_empty() || !texts(error, ContextKind::ValidValue).is_empty() {
        return None;
    }
    let option = text(error, ContextKind::InvalidArg)?;
    let (flag, _) = option.split_once(' ')?;
    let examples = path.last()?.get_after_long_help();
    let examples = examples.map_or_else(String::new, ToString::to_string);
    let flagged = format!(" {flag} ");
    let example = examples
        .lines()
        .map(str::trim)
        .find(|example| example.starts_with("towpath ") && example.contains(&flagged));
    Some(match example {
        Some(example) => format!("give it one, as in `{example}`"),
        None => format!("write it as `{}`", option.replace(['<', '>'], "")),
    })
}
