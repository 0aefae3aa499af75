//! `docs/cli.md`: the reference of the command line, made from the command line itself.

use std::fmt::Write as _;

use clap::{Arg, Command, CommandFactory as _};

use crate::{cli::Cli, exit::Exit};

/// The whole file.
pub(crate) fn markdown() -> String {
    let mut root = Cli::command().term_width(100);
    root.build();
    let mut text = String::from(
        "# The command line\n\nGenerated from the program; `UPDATE=1 cargo test -p towpath reference` writes it anew.\n\n",
    );
    let _ = writeln!(text, "{}\n", long_about(&root));
    text.push_str("## Commands\n\n| Command | What it does |\n|---|---|\n");
    for command in visible(&root) {
        let name = command.get_name();
        let about = command
            .get_about()
            .map(ToString::to_string)
            .unwrap_or_default();
        let _ = writeln!(text, "| [`towpath {name}`](#towpath-{name}) | {about} |");
    }
    text.push_str("\n## Global options\n\n");
    options(
        &mut text,
        root.get_arguments().filter(|arg| arg.is_global_set()),
    );
    text.push_str("\n## Exit codes\n\n| Code | Meaning |\n|---|---|\n");
    for (exit, meaning) in Exit::TABLE {
        let _ = writeln!(text, "| {} | {meaning} |", exit as u8);
    }
    text.push('\n');
    for command in visible(&root) {
        section(&mut text, command, "towpath", 2);
    }
    format!("{}\n", text.trim_end())
}

fn visible(command: &Command) -> impl Iterator<Item = &Command> {
    command
        .get_subcommands()
        .filter(|next| !next.is_hide_set() && next.get_name() != "help")
}

fn section(text: &mut String, command: &Command, path: &str, depth: usize) {
    let path = format!("{path} {}", command.get_name());
    let _ = writeln!(text, "{} {path}\n", "#".repeat(depth));
    let _ = writeln!(text, "{}\n", long_about(command));
    let usage = command.clone().render_usage().to_string();
    let _ = writeln!(text, "```\n{}\n```\n", usage.trim_start_matches("Usage: "));
    let own: Vec<&Arg> = command
        .get_arguments()
        .filter(|arg| !arg.is_global_set() && !arg.is_hide_set())
        .filter(|arg| !matches!(arg.get_id().as_str(), "help" | "version"))
        .collect();
    if !own.is_empty() {
        options(text, own.into_iter());
        text.push('\n');
    }
    if let Some(more) = command.get_after_long_help() {
        let more = more.to_string();
        let lines = more.lines().filter(|line| !line.starts_with("Examples:"));
        let (examples, notes): (Vec<&str>, Vec<&str>) = lines
            .filter(|line| !line.is_empty())
            .partition(|line| line.starts_with("  "));
        if !examples.is_empty() {
            let examples = examples
                .iter()
                .fold(String::new(), |all, line| all + &line[2..] + "\n");
            let _ = writeln!(text, "```sh\n{examples}```\n");
        }
        if !notes.is_empty() {
            let _ = writeln!(text, "{}\n", notes.join(" "));
        }
    }
    for next in visible(command) {
        section(text, next, &path, depth + 1);
    }
}

fn long_about(command: &Command) -> String {
    let about = command.get_long_about().or_else(|| command.get_about());
    about.map(ToString::to_string).unwrap_or_default()
}

fn options<'a>(text: &mut String, args: impl Iterator<Item = &'a Arg>) {
    text.push_str("| Option | Meaning |\n|---|---|\n");
    for arg in args {
        let _ = writeln!(text, "| {} | {} |", cell(&name(arg)), cell(&meaning(arg)));
    }
}

fn name(arg: &Arg) -> String {
    let value = arg
        .get_value_names()
        .map(|names| {
            names
                .iter()
                .fold(String::new(), |all, name| all + " " + name)
        })
        .filter(|_| arg.get_action().takes_values())
        .unwrap_or_default();
    match (arg.get_short(), arg.get_long()) {
        (Some(short), Some(long)) => format!("`-{short}`, `--{long}{value}`"),
        (None, Some(long)) => format!("`--{long}{value}`"),
        (Some(short), None) => format!("`-{short}{value}`"),
        (None, None) => format!("`{}`", value.trim_start()),
    }
}

fn meaning(arg: &Arg) -> String {
    let mut text = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let values: Vec<String> = arg
        .get_possible_values()
        .iter()
        .filter(|value| !value.is_hide_set())
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    if !values.is_empty() && arg.get_action().takes_values() {
        let _ = write!(text, ": {}", values.join(", "));
    }
    let defaults: Vec<String> = arg
        .get_default_values()
        .iter()
        .map(|value| format!("`{}`", value.to_string_lossy()))
        .collect();
    if !defaults.is_empty() && !arg.is_hide_default_value_set() && arg.get_action().takes_values() {
        let _ = write!(text, " (default {})", defaults.join(", "));
    }
    if let Some(variable) = arg.get_env() {
        let _ = write!(text, " (or `{}`)", variable.to_string_lossy());
    }
    text
}

/// `text` within a table, where a bar would begin the next cell, in a code span too.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cli.md");
        let now = markdown();
        if std::env::var_os("UPDATE").is_some() {
            std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs")).unwrap();
            std::fs::write(path, &now).unwrap();
        }
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            kept == now,
            "docs/cli.md is not what the program says: write it anew with `UPDATE=1 cargo test -p towpath reference`",
        );
    }
}
