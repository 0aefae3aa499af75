//! Where documents of our own kinds came from: for the errors of a platform that has never seen the
//! files.

use delivery::score;
use kernel::document::UNKNOWN_FIELD;
use serde_json::Value;

use super::{Texts, yaml::LIMITS};
use crate::failure::Failure;

/// Where each document that is sent came from.
#[derive(Debug, Default)]
pub(crate) struct Places {
    files: Vec<File>,
    documents: Vec<Document>,
}

#[derive(Debug)]
struct File {
    name: String,
    text: String,
    /// Whether it has more than one document.
    several: bool,
    places: score::Places,
}

#[derive(Debug)]
struct Document {
    file: usize,
    /// Which of the file's documents it is, from 0.
    index: usize,
    /// Where it stands in that: `items.3` of a list, else empty.
    below: String,
    /// What it calls itself: `ResourceDefinition postgres-prod`.
    called: String,
}

impl Document {
    /// The path `path` as it is in the file: one of a list of teams has no `spec` and no `metadata` there.
    fn written<'p>(&self, path: &'p str) -> &'p str {
        if self.below.is_empty() || self.below.starts_with("items.") {
            return path;
        }
        let below = ["spec.", "metadata."].into_iter();
        let mut below = below.filter_map(|above| path.strip_prefix(above));
        below.next().unwrap_or(path)
    }
}

impl Places {
    /// Takes a file in, and answers its number.
    pub(super) fn file(&mut self, name: &str, bytes: &[u8], documents: usize) -> usize {
        let source = score::Source {
            name: name.to_owned(),
            bytes: bytes.to_owned(),
        };
        self.files.push(File {
            name: name.to_owned(),
            text: String::from_utf8_lossy(bytes).into_owned(),
            several: documents > 1,
            places: score::Places::of(&source, &LIMITS),
        });
        self.files.len() - 1
    }

    /// Takes in the document that is sent next.
    pub(super) fn document(&mut self, file: usize, index: usize, below: String, value: &Value) {
        let text = |pointer| {
            value
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let (kind, name) = (text("/kind"), text("/metadata/name"));
        self.documents.push(Document {
            file,
            index,
            below,
            called: format!("{kind} {name}").trim().to_owned(),
        });
    }

    /// The platform's refusal, with each document called by its name, and the place in its file.
    pub(crate) fn failure(&self, error: client::Error) -> Failure {
        let mut failure: Failure = error.into();
        let mut texts = Texts::new();
        for problem in &mut failure.problems {
            let Some((document, path)) = self.find(&problem.path) else {
                continue;
            };
            let file = &self.files[document.file];
            let within = [document.below.as_str(), document.written(&path)].into_iter();
            let within: Vec<&str> = within.filter(|p| !p.is_empty()).collect();
            let below = within.join(".");
            problem.location = if problem.rule == UNKNOWN_FIELD {
                file.places.locate_name(document.index, &below)
            } else {
                file.places.locate(document.index, &below)
            };
            if problem.location.is_some() && !texts.contains_key(&file.name) {
                texts.insert(file.name.clone(), file.text.clone());
            }
            if !document.called.is_empty() {
                problem.message = format!("{}: {}", document.called, problem.message);
            }
            let place = if file.several {
                format!("{} (document {})", file.name, document.index + 1)
            } else {
                file.name.clone()
            };
            problem.path = if within.is_empty() {
                place
            } else {
                format!("{place}: {below}")
            };
        }
        failure.sources(texts)
    }

    /// The document that `documents[1].spec.type` speaks of, and the rest of the path.
    fn find(&self, path: &str) -> Option<(&Document, String)> {
        let rest = path.strip_prefix("documents")?;
        let rest = rest.trim_start_matches(['[', '.']);
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        let (index, below) = rest.split_at(digits);
        let document = self.documents.get(index.parse::<usize>().ok()?)?;
        let below = below.trim_start_matches([']', '.']);
        Some((document, below.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use kernel::Problem;

    use super::*;

    const FILE: &str = "kind: A\nmetadata: {name: one}\n---\n# nothing\n---\nitems:\n\
                        - kind: B\n  metadata:\n    name: two\n  spec:\n    criteria:\n\
                        \x20   - team: x\n    - rolle: y\n";

    fn failure(path: &str) -> Failure {
        let mut places = Places::default();
        let file = places.file("all.yaml", FILE.as_bytes(), 2);
        let one = serde_json::json!({ "kind": "A", "metadata": { "name": "one" } });
        let two = serde_json::json!({ "kind": "B", "metadata": { "name": "two" } });
        places.document(file, 0, String::new(), &one);
        places.document(file, 1, "items.0".into(), &two);
        let refused = client::ProblemDocument {
            status: 422,
            detail: "no".into(),
            problems: vec![Problem::new("document/shape", path, "so it is")],
            ..client::ProblemDocument::default()
        };
        places.failure(client::Error::Refused(Box::new(refused)))
    }

    #[test]
    fn a_problem_is_called_by_its_document_and_line() {
        for (path, line, called, message) in [
            (
                "documents[0]",
                Some(1),
                "all.yaml (document 1)",
                "A one: so it is",
            ),
            (
                "documents[1].spec.criteria[1].rolle",
                Some(13),
                "all.yaml (document 2): items.0.spec.criteria[1].rolle",
                "B two: so it is",
            ),
            (
                "documents.1.spec.nothing",
                Some(10),
                "all.yaml (document 2): items.0.spec.nothing",
                "B two: so it is",
            ),
            ("documents[7].spec", None, "documents[7].spec", "so it is"),
            ("other", None, "other", "so it is"),
        ] {
            let failure = failure(path);
            let problem = &failure.problems[0];
            assert_eq!(problem.location.as_ref().map(|at| at.line), line, "{path}");
            assert_eq!(
                (problem.path.as_str(), problem.message.as_str()),
                (called, message)
            );
        }
    }

    #[test]
    fn a_value_is_shown_with_its_brackets_and_a_field_by_its_name() {
        let source = score::Source {
            name: "a.yaml".into(),
            bytes: b"spec: { roles: [a, b], names: x }\n".to_vec(),
        };
        let places = score::Places::of(&source, &LIMITS);
        let shown = |at: Option<kernel::Location>| at.map(|at| (at.column, at.length));
        assert_eq!(shown(places.locate(0, "spec.roles")), Some((16, 6)));
        assert_eq!(shown(places.locate(0, "spec.names")), Some((31, 1)));
        assert_eq!(shown(places.locate_name(0, "spec.names")), Some((24, 5)));
        assert_eq!(shown(places.locate(0, "spec.nowhere")), Some((1, 4)));
    }
}
