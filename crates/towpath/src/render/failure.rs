//! Errors that a person can act on: what, where with the text underlined, and how to mend it.

use std::{collections::BTreeMap, fmt::Write as _};

use kernel::{Location, Problem};
use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError,
    MietteSpanContents, SourceCode, SourceSpan, SpanContents, ThemeCharacters, ThemeStyles,
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
    let sources: BTreeMap<&str, Source<'_>> = failure
        .sources
        .iter()
        .map(|(name, text)| (name.as_str(), Source::new(text)))
        .collect();
    for problem in &problems {
        let source = problem
            .location
            .as_ref()
            .and_then(|at| Some((at, sources.get(at.file.as_str())?)))
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
    // Nor is a remedy that one of them has said.
    let is_told = |remedy: &&String| {
        problems
            .iter()
            .any(|it| it.remedy.as_ref() == Some(*remedy))
    };
    if let Some(remedy) = failure.remedy.as_ref().filter(|it| !is_told(it)) {
        let gap = if problems.is_empty() { "" } else { "\n" };
        let _ = writeln!(text, "{gap}help: {remedy}");
    }
    text
}

/// A file that problems point into, and where its lines begin: it is not read again for each problem.
struct Source<'a> {
    text: &'a str,
    lines: Vec<usize>,
}

impl<'a> Source<'a> {
    fn new(text: &'a str) -> Self {
        let ends = text.match_indices('\n').map(|(end, _)| end + 1);
        Self {
            text,
            lines: std::iter::once(0).chain(ends).collect(),
        }
    }

    /// Where the line of this number, from 1, begins; the end of the text where there is none.
    fn begin(&self, line: usize) -> usize {
        let begin = self.lines.get(line.saturating_sub(1)).copied();
        begin.unwrap_or(self.text.len())
    }

    fn line(&self, line: usize) -> Option<&'a str> {
        self.text[self.begin(line)..].lines().next()
    }
}

/// Whether the line that a problem stands in can be shown: one of a thousand brackets helps nobody.
fn is_legible(source: &Source<'_>, at: &Location) -> bool {
    const LONGEST: usize = 400;
    let line = source.line(at.line);
    line.is_none_or(|line| line.len() <= LONGEST)
}

/// As compilers write it to a file: `FILE:LINE:COLUMN: rule: message`, the line, and marks below.
fn plain(text: &mut String, problem: &Problem, at: Option<(&Location, Option<&Source<'_>>)>) {
    let place = match (at, problem.path.is_empty()) {
        (Some((at, _)), _) => format!("{}:{}:{}: ", at.file, at.line, at.column),
        (None, false) => format!("{}: ", problem.path),
        (None, true) => String::new(),
    };
    let _ = writeln!(text, "{place}{} [{}]", problem.message, problem.rule);
    if let Some((at, Some(source))) = at
        && let Some(line) = source.line(at.line)
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
fn drawn(
    text: &mut String,
    problem: &Problem,
    at: &Location,
    source: &Source<'_>,
    terminal: Terminal,
) {
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
        excerpt: Excerpt::of(source, at),
    };
    let handler = GraphicalReportHandler::new_themed(theme).with_context_lines(1);
    if handler.render_report(text, &report).is_err() {
        plain(text, problem, Some((at, None)));
    }
}

/// The lines around a problem: miette reads all that it is given, from the beginning.
#[derive(Debug)]
struct Excerpt<'a> {
    file: &'a str,
    text: &'a str,
    /// How many lines of the file stand before it.
    before: usize,
    /// Where in it the problem is.
    span: SourceSpan,
}

impl<'a> Excerpt<'a> {
    /// Lines and columns are in characters, and the span is in bytes.
    fn of(source: &Source<'a>, at: &'a Location) -> Self {
        /// Lines on each side: one is drawn.
        const AROUND: usize = 2;
        let bytes = |text: &str, characters: usize| -> usize {
            text.chars().take(characters).map(char::len_utf8).sum()
        };
        let begin = source.begin(at.line);
        let start = begin + bytes(&source.text[begin..], at.column.saturating_sub(1));
        let length = bytes(&source.text[start..], at.length);
        let before = at
            .line
            .saturating_sub(1 + AROUND)
            .min(source.lines.len() - 1);
        let first = source.begin(before + 1);
        // What is marked may go over several lines.
        let last = source.lines.partition_point(|line| *line <= start + length);
        let end = source.begin(last + 1 + AROUND);
        Self {
            file: &at.file,
            text: &source.text[first..end],
            before,
            span: (start - first, length).into(),
        }
    }
}

impl SourceCode for Excerpt<'_> {
    fn read_span<'s>(
        &'s self,
        span: &SourceSpan,
        lines_before: usize,
        lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'s> + 's>, MietteError> {
        let read = self.text.read_span(span, lines_before, lines_after)?;
        Ok(Box::new(MietteSpanContents::new_named(
            self.file.to_owned(),
            read.data(),
            *read.span(),
            self.before + read.line(),
            read.column(),
            read.line_count(),
        )))
    }
}

/// A problem as miette draws it.
#[derive(Debug)]
struct Report<'a> {
    problem: &'a Problem,
    excerpt: Excerpt<'a>,
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

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.excerpt)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let label = (!self.problem.path.is_empty()).then(|| self.problem.path.clone());
        let span = LabeledSpan::new_with_span(label, self.excerpt.span);
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
            let excerpt = Excerpt::of(&Source::new(SOURCE), &at);
            assert!(excerpt.span.offset() + excerpt.span.len() <= excerpt.text.len());
        }
    }
}
