//! YAML and JSON that people give, within limits: the text as the documents in it.

use delivery::score::{self, Limits};
use kernel::{Location, Problem};
use serde::Deserialize as _;
use serde_json::Value;

use super::MAX_FILE_BYTES;

/// What is read of documents: ten times the values of one workload, since a list holds many documents.
pub(super) const LIMITS: Limits = Limits {
    file_bytes: MAX_FILE_BYTES as usize,
    depth: 64,
    nodes: 200_000,
};

/// The rule that a file breaks which cannot be read as documents.
const SYNTAX: &str = "apply/syntax";

/// The documents of the YAML or JSON text `name`; empty ones are left out.
pub(super) fn yaml(name: &str, bytes: &[u8]) -> Result<Vec<Value>, Problem> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| Problem::new(SYNTAX, name, "it is not UTF-8").remedy("save it as UTF-8"))?;
    within_limits(name, bytes)?;
    serde_yaml_ng::Deserializer::from_str(text)
        .map(|document| Value::deserialize(document).map_err(|error| unread(name, &error)))
        .filter(|document| !matches!(document, Ok(Value::Null)))
        .collect()
}

/// What the reader of YAML says, at the place that it names.
fn unread(name: &str, error: &serde_yaml_ng::Error) -> Problem {
    let message = error.to_string();
    let Some(at) = error.location() else {
        return Problem::new(SYNTAX, name, message);
    };
    let (line, column) = (at.line(), at.column());
    let place = format!(" at line {line} column {column}");
    let message = message.strip_suffix(&place).unwrap_or(&message);
    Problem::new(SYNTAX, "", message).at(Location {
        file: name.to_owned(),
        line,
        column,
        length: 1,
    })
}

/// That a text costs little to read. The reader of workloads is asked, which ends at its limits; the other
/// one takes a time that grows with the square of the depth.
fn within_limits(name: &str, bytes: &[u8]) -> Result<(), Problem> {
    // Why that reader ends before the end of a text. Its other rules are about workloads.
    const ENDS: [&str; 4] = [
        "score/too-deep",
        "score/too-large",
        "score/alias",
        "score/yaml",
    ];
    // It ends at so many of these, too.
    const TWICE: (&str, usize) = ("score/duplicate-key", 20);
    let source = score::Source {
        name: name.to_owned(),
        bytes: bytes.to_owned(),
    };
    let Err(problems) = score::parse(&source, &LIMITS) else {
        return Ok(());
    };
    let twice = problems.iter().filter(|it| it.rule == TWICE.0).count();
    let end = |problem: &Problem| {
        ENDS.contains(&problem.rule.as_str()) || (twice >= TWICE.1 && problem.rule == TWICE.0)
    };
    match problems.into_iter().find(end) {
        None => Ok(()),
        Some(problem) => Err(Problem {
            rule: SYNTAX.into(),
            path: match problem.location {
                Some(_) => String::new(),
                None => name.to_owned(),
            },
            ..problem
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bomb_of_aliases_is_refused() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            let before = format!("*a{}", level - 1);
            let list = [before.as_str(); 9].join(", ");
            text = format!("{text}a{level}: &a{level} [{list}]\n");
        }
        let reason = yaml("a.yaml", text.as_bytes()).unwrap_err().message;
        assert!(reason.contains("more than 200000 values"), "{reason}");
    }

    #[test]
    fn what_is_too_deep_is_refused_before_it_costs() {
        for levels in [65, 200_000] {
            for text in [
                format!("a: {}", "[".repeat(levels)),
                format!("a: {}1{}", "[".repeat(levels), "]".repeat(levels)),
                format!("kind: A\n---\nb: !own x\n---\n{}", "{a: ".repeat(levels)),
                format!("{}x", "- ".repeat(levels)),
                format!("{}b: {}", "a: 1\n".repeat(30), "[".repeat(levels)),
            ] {
                let reason = yaml("a.yaml", text.as_bytes()).unwrap_err().message;
                let told = [
                    "more than 64 deep",
                    "the tag is not known",
                    "recursion limit",
                    "`a` is there twice",
                ];
                assert!(told.iter().any(|it| reason.contains(it)), "{reason}");
            }
        }
        let flat = format!("a: {}1{}", "[".repeat(60), "]".repeat(60));
        assert_eq!(yaml("a.yaml", flat.as_bytes()).unwrap().len(), 1);
    }

    #[test]
    fn a_long_list_of_documents_is_read() {
        let text = "- {name: a, environments: [dev]}\n".repeat(20_000);
        assert_eq!(yaml("a.yaml", text.as_bytes()).unwrap().len(), 1);
    }
}
