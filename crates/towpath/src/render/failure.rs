//! Errors that a person can act on: what, where with the text underlined, and how to mend it.

use std::fmt::Write as _;

use kernel::{Location, Problem};
use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceSpan,
    ThemeCharacters, ThemeStyles,
};

use crate::{context::Terminal, failure::Failure};

/// Everything that there is to say about a failure.
pub(crate) fn text(failure: &Failure, terminal: Terminal) -> String {
    let mut text = format!("error: {}", failure.message);
    // What the message says already is not said again: only by which rule.
    let is_said = |problem: &&Problem| {
        let is_placed =
            problem.path.is_empty() || failure.message.contains(&format!(" at `{}`", problem.path));
        let nowhere = is_placed && problem.location.is_none();
        let known = problem.remedy.is_none() || problem.remedy == failure.remedy;
        nowhere && known && failure.message.ends_with(&problem.message)
    };
    let (said, problems): (Vec<_>, Vec<_>) = failure.problems.iter().partition(is_said);
    for problem in said {
        let _ = write!(text, " [{}]", problem.rule);
    }
    text.push('\n');
    for problem in &problems {
        let source = problem
            .location
            .as_ref()
            .and_then(|at| Some((at, failure.sources.get(&at.file)?)))
            .filter(|(at, source)| is_legible(source, at));
        text.push('\n');
        match source {
            Some((at, source)) if terminal.fancy => drawn(&mut text, problem, at, source, terminal),
            Some((at, source)) => plain(&mut text, problem, Some((at, Some(source)))),
            None => plain(
                &mut text,
                problem,
                problem.location.as_ref().map(|at| (at, None)),
            ),
        }
    }
    if let Some(remedy) = &failure.remedy {
        let gap = if problems.is_empty() { "" } else { "\n" };
        let _ = writeln!(text, "{gap}help: {remedy}");
    }
    text
}

/// Whether the line that a problem stands in can be shown: one of a thousand brackets helps nobody.
fn is_legible(source: &str, at: &Location) -> bool {
    const LONGEST: usize = 400;
    let line = source.lines().nth(at.line.saturating_sub(1));
    line.is_none_or(|line| line.len() <= LONGEST)
}

/// As compilers write it to a file: `FILE:LINE:COLUMN: rule: message`, the line, and marks below.
fn plain(text: &mut String, problem: &Problem, at: Option<(&Location, Option<&String>)>) {
    let place = match (at, problem.path.is_empty()) {
        (Some((at, _)), _) => format!("{}:{}:{}: ", at.file, at.line, at.column),
        (None, false) => format!("{}: ", problem.path),
        (None, true) => String::new(),
    };
    let _ = writeln!(text, "{place}{} [{}]", problem.message, problem.rule);
    if let Some((at, Some(source))) = at
        && let Some(line) = source.lines().nth(at.line.saturating_sub(1))
    {
        let number = at.line.to_string();
        let margin = " ".repeat(number.len());
        // A tab takes one column as an editor counts it: kept, so that the marks stay below.
        let indent: String = line
            .chars()
            .take(at.column.saturating_sub(1))
            .map(|c| if c == '\t' { '\t' } else { ' ' })
            .collect();
        let rest = line
            .chars()
            .count()
            .saturating_sub(at.column.saturating_sub(1));
        let marks = "^".repeat(at.length.min(rest).max(1));
        let _ = writeln!(text, "{number} | {line}\n{margin} | {indent}{marks}");
    }
    if let Some(remedy) = &problem.remedy {
        let _ = writeln!(text, "  help: {remedy}");
    }
}

/// For a terminal.
fn drawn(text: &mut String, problem: &Problem, at: &Location, source: &str, terminal: Terminal) {
    let theme = GraphicalTheme {
        characters: ThemeCharacters::unicode(),
        styles: if terminal.color {
            ThemeStyles::ansi()
        } else {
            ThemeStyles::none()
        },
    };
    let report = Report {
        problem,
        source: NamedSource::new(&at.file, source.to_owned()),
        span: span(source, at),
    };
    let handler = GraphicalReportHandler::new_themed(theme).with_context_lines(1);
    if handler.render_report(text, &report).is_err() {
        plain(text, problem, Some((at, None)));
    }
}

/// Lines and columns in characters, as the bytes that they are in `source`.
fn span(source: &str, at: &Location) -> SourceSpan {
    let line: usize = source
        .split_inclusive('\n')
        .take(at.line.saturating_sub(1))
        .map(str::len)
        .sum();
    let bytes = |text: &str, characters: usize| -> usize {
        text.chars().take(characters).map(char::len_utf8).sum()
    };
    let rest = &source[line..];
    let start = line + bytes(rest, at.column.saturating_sub(1));
    (start, bytes(&source[start..], at.length)).into()
}

/// A problem as miette draws it.
#[derive(Debug)]
struct Report<'a> {
    problem: &'a Problem,
    source: NamedSource<String>,
    span: SourceSpan,
}

impl std::fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.problem.message)
    }
}

impl std::error::Error for Report<'_> {}

impl Diagnostic for Report<'_> {
    fn code<'b>(&'b self) -> Option<Box<dyn std::fmt::Display + 'b>> {
        Some(Box::new(&self.problem.rule))
    }

    fn help<'b>(&'b self) -> Option<Box<dyn std::fmt::Display + 'b>> {
        let remedy = self.problem.remedy.as_ref()?;
        Some(Box::new(remedy))
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        Some(&self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let label = (!self.problem.path.is_empty()).then(|| self.problem.path.clone());
        let span = LabeledSpan::new_with_span(label, self.span);
        Some(Box::new(std::iter::once(span)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::exit::Exit;

    const SOURCE: &str = "apiVersion: score.dev/v1b1\nmetadata:\n\tnäme: notes\ncontainers: {}\n";

    fn failure() -> Failure {
        let at = |line, column, length| Location {
            file: "score.yaml".into(),
            line,
            column,
            length,
        };
        Failure::new(Exit::Invalid, "score.yaml is not a valid workload")
            .problems(vec![
                Problem::new(
                    "score/unknown-field",
                    "metadata.näme",
                    "`näme` is not a field",
                )
                .remedy("did you mean `name`?")
                .at(at(3, 2, 4)),
                Problem::new("score/required", "containers", "there is no container")
                    .at(at(4, 13, 2)),
                Problem::new("api/name", "environment", "`Dev` is not a name"),
            ])
            .sources(BTreeMap::from([("score.yaml".into(), SOURCE.into())]))
            .remedy("mend the file and try again")
    }

    #[test]
    fn plain_text_underlines_what_is_wrong() {
        let terminal = Terminal {
            live: false,
            fancy: false,
            color: false,
        };
        insta::assert_snapshot!(text(&failure(), terminal));
    }

    #[test]
    fn a_reason_is_said_once() {
        let terminal = Terminal {
            live: false,
            fancy: false,
            color: false,
        };
        let told = |rule, why: &str, remedy: &str| Problem::new(rule, "", why).remedy(remedy);
        let message = "you may not do `team.create`: only those in the group `managers` may";
        let first = told(
            "authz/manager",
            "only those in the group `managers` may",
            "ask them",
        );
        let refused = Failure::new(Exit::Refused, message).remedy("ask them");
        let once = text(&refused.problems(vec![first.clone()]), terminal);
        assert_eq!(
            once,
            format!("error: {message} [authz/manager]\nhelp: ask them\n")
        );
        // Where it says the place as well.
        let wrong = "the event is not as it should be at `type`: it has no dot";
        let placed = Problem::new("event/type", "type", "it has no dot");
        let placed = Failure::new(Exit::Invalid, wrong).problems(vec![placed]);
        assert_eq!(
            text(&placed, terminal),
            format!("error: {wrong} [event/type]\n")
        );
        let second = told("acme/freeze", "it is Friday", "wait");
        let refused = Failure::new(Exit::Refused, message).remedy("ask them");
        let both = text(&refused.problems(vec![first, second]), terminal);
        insta::assert_snapshot!(both, @r"
        error: you may not do `team.create`: only those in the group `managers` may [authz/manager]

        it is Friday [acme/freeze]
          help: wait

        help: ask them
        ");
    }

    #[test]
    fn a_terminal_gets_it_drawn() {
        let terminal = Terminal {
            live: false,
            fancy: true,
            color: false,
        };
        insta::assert_snapshot!(text(&failure(), terminal));
    }

    #[test]
    fn a_place_beyond_the_file_is_no_panic() {
        for (line, column, length) in [(99, 1, 1), (1, 999, 5), (4, 1, 999), (0, 0, 0)] {
            let at = Location {
                file: "f".into(),
                line,
                column,
                length,
            };
            let span = span(SOURCE, &at);
            assert!(span.offset() + span.len() <= SOURCE.len());
        }
    }
}
