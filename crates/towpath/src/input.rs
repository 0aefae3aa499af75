//! Files that people give: Score workloads, and documents of our own kinds.

use std::{
    collections::BTreeMap,
    io::Read as _,
    path::{Path, PathBuf},
};

use delivery::score::{self, Limits};
use kernel::Problem;
use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::{
    exit::Exit,
    failure::{Failure, Result},
};

mod faulty;
mod places;
mod workloads;

pub(crate) use faulty::Unready;
pub(crate) use places::Places;
pub(crate) use workloads::{Changes, Request, workloads};

/// The largest file that is read: far beyond any description, far below what hurts.
const MAX_FILE_BYTES: u64 = 10 << 20;

/// What is read of documents: ten times the values of one workload, since a list holds many documents.
const LIMITS: Limits = Limits {
    file_bytes: MAX_FILE_BYTES as usize,
    depth: 64,
    nodes: 200_000,
};

/// What Score documents say of themselves.
const SCORE: &str = "score.dev/v1b1";

/// A file that was read.
#[derive(Debug)]
pub(crate) struct File {
    /// As it was named: stands in messages, and what it refers to is looked for beside it.
    pub(crate) name: String,
    /// What is in it.
    pub(crate) bytes: Vec<u8>,
}

impl File {
    /// Reads `path`; `-` is standard input.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        Ok(Self {
            name: path.display().to_string(),
            bytes: read(path)?,
        })
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let name = path.display();
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin()
            .take(MAX_FILE_BYTES + 1)
            .read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path)
            .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes))
    };
    read.map_err(|error| {
        let message = format!("{name} cannot be read: {error}");
        match error.kind() {
            std::io::ErrorKind::NotFound => Failure::new(Exit::NotFound, message)
                .remedy("name a file that there is, from this directory on; `-` is standard input"),
            _ => Failure::new(Exit::Failed, message),
        }
    })?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(Failure::new(
            Exit::Invalid,
            format!("{name} is larger than {} MiB", MAX_FILE_BYTES >> 20),
        ));
    }
    Ok(bytes)
}

/// What `apply` is given.
#[derive(Debug, Default)]
pub(crate) struct Documents {
    /// Documents of our own kinds.
    pub(crate) ours: Vec<Value>,
    /// Where these came from.
    pub(crate) places: Places,
    /// Files that hold Score workloads. As they were read: standard input gives its text once.
    pub(crate) workloads: Vec<File>,
}

/// Reads files of documents, with everything that is wrong with any of them told at once.
pub(crate) fn documents(files: &[PathBuf]) -> Result<Documents> {
    let mut all = Documents::default();
    let mut problems = Vec::new();
    for path in files {
        let File { name, bytes } = File::read(path)?;
        let found = match yaml(&bytes) {
            Ok(found) => found,
            Err(reason) => {
                problems.push(Problem::new("apply/syntax", name, reason));
                continue;
            }
        };
        let is_score =
            |value: &Value| value.get("apiVersion").and_then(Value::as_str) == Some(SCORE);
        let scores = found.iter().filter(|value| is_score(value)).count();
        if scores > 0 && scores == found.len() {
            all.workloads.push(File { name, bytes });
            continue;
        }
        if scores > 0 {
            problems.push(
                Problem::new(
                    "apply/mixed",
                    name,
                    "there are workloads and documents of the platform in one file",
                )
                .remedy("put the Score workloads into a file of their own"),
            );
            continue;
        }
        let places = all.places.file(&name, &bytes, found.len());
        for (index, value) in found.into_iter().enumerate() {
            for (below, value) in listed(value) {
                if let Some(held) = HELD.iter().find(|held| held.is_in(&value)) {
                    // Neither sent nor shown: the platform would refuse it by its line.
                    problems.push(held.problem(&name));
                    continue;
                }
                all.places.document(places, index, below, &value);
                all.ours.push(value);
            }
        }
    }
    if problems.is_empty() {
        Ok(all)
    } else {
        Err(Failure::new(Exit::Invalid, "the files cannot be applied").problems(problems))
    }
}

/// What is sealed of a kind, and no document holds.
struct Held {
    kind: &'static str,
    /// Where people write it; `*` is each name there.
    pointers: &'static [&'static str],
    rule: &'static str,
    remedy: &'static str,
}

const HELD: [Held; 4] = [
    Held {
        kind: "Integration",
        pointers: &["/spec/credential"],
        rule: "integration/credential",
        remedy: "leave it out, and give it by `towpath integration set NAME --credential-file FILE`",
    },
    Held {
        kind: "Subscription",
        pointers: &["/spec/secret", "/secret"],
        rule: "subscription/secret",
        remedy: "leave it out, and draw one for the receiver by `towpath subscription secret NAME`",
    },
    Held {
        kind: "Tool",
        pointers: &[
            "/spec/credentials/*/key",
            "/spec/credentials/*/password",
            "/spec/credentials/*/secret",
            "/spec/credentials/*/token",
            "/spec/credentials/*/value",
        ],
        rule: "tool/credential",
        remedy: "leave it out, keep it by `towpath secret set`, and name that secret in the credential's `kept`",
    },
    Held {
        kind: "Upstream",
        pointers: &[
            "/spec/secret",
            "/secret",
            "/spec/directoryToken",
            "/directoryToken",
        ],
        rule: "upstream/secret",
        remedy: "leave it out, and give it by `towpath upstream set NAME --secret-file FILE`",
    },
];

impl Held {
    fn is_in(&self, document: &Value) -> bool {
        let holds =
            |value: &Value, pointer: &str| value.pointer(pointer).is_some_and(|it| !it.is_null());
        let is_said = |pointer: &&str| match pointer.split_once("/*") {
            None => holds(document, pointer),
            Some((above, below)) => {
                let each = document.pointer(above).and_then(Value::as_object);
                each.is_some_and(|each| each.values().any(|value| holds(value, below)))
            }
        };
        document["kind"] == self.kind && self.pointers.iter().any(is_said)
    }

    /// That a file holds it: without the line, which shows it.
    fn problem(&self, file: &str) -> Problem {
        Problem::new(
            self.rule,
            file,
            "a document that is applied is kept where others read it, and holds no credential",
        )
        .remedy(self.remedy)
    }
}

/// The documents of one YAML or JSON file, whatever they are; `-` is standard input.
pub(crate) fn values(file: &Path) -> Result<Vec<Value>> {
    let problem = |reason| Problem::new("apply/syntax", file.display().to_string(), reason);
    yaml(&read(file)?).map_err(|reason| {
        Failure::new(Exit::Invalid, format!("{} cannot be read", file.display()))
            .problems(vec![problem(reason)])
    })
}

/// A document, or those of a list of them, each with where it stands in it: `towpath get -o yaml`
/// gives `items`.
fn listed(document: Value) -> Vec<(String, Value)> {
    if let Some(teams) = teams_of(&document) {
        return teams;
    }
    let items = document.get("items").and_then(Value::as_array);
    match items {
        Some(items) if document.get("kind").is_none() => items
            .iter()
            .enumerate()
            .map(|(index, item)| (format!("items.{index}"), item.clone()))
            .collect(),
        _ => vec![(String::new(), document)],
    }
}

/// The teams of a `teams.json`: a list of them, or `teams` with one, each with its name among the rest.
fn teams_of(document: &Value) -> Option<Vec<(String, Value)>> {
    let (below, list) = match document {
        Value::Array(list) => ("", list),
        Value::Object(fields) if !fields.contains_key("kind") => {
            ("teams.", fields.get("teams")?.as_array()?)
        }
        _ => return None,
    };
    let team = |(index, team): (usize, &Value)| {
        let mut spec = team.clone();
        let fields = spec.as_object_mut();
        let name = fields.and_then(|fields| fields.remove("name"));
        let document = json!({
            "apiVersion": "towpath.dev/v1",
            "kind": "Team",
            "metadata": { "name": name },
            "spec": spec,
        });
        (format!("{below}{index}"), document)
    };
    Some(list.iter().enumerate().map(team).collect())
}

/// The documents of a YAML or JSON text; empty ones are left out.
fn yaml(bytes: &[u8]) -> Result<Vec<Value>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    within_limits(bytes)?;
    serde_yaml_ng::Deserializer::from_str(text)
        .map(|document| Value::deserialize(document).map_err(|error| error.to_string()))
        .filter(|document| !matches!(document, Ok(Value::Null)))
        .collect()
}

/// That a text costs little to read. The reader of workloads is asked, which ends at its limits; the other
/// one takes a time that grows with the square of the depth.
fn within_limits(bytes: &[u8]) -> Result<(), String> {
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
        name: String::new(),
        bytes: bytes.to_owned(),
    };
    let Err(problems) = score::parse(&source, &LIMITS) else {
        return Ok(());
    };
    let twice = problems.iter().filter(|it| it.rule == TWICE.0).count();
    let end = |problem: &Problem| {
        ENDS.contains(&problem.rule.as_str()) || (twice >= TWICE.1 && problem.rule == TWICE.0)
    };
    let Some(problem) = problems.into_iter().find(end) else {
        return Ok(());
    };
    let mut reason = problem.message;
    if let Some(at) = problem.location {
        reason = format!("{reason} at line {} column {}", at.line, at.column);
    }
    if let Some(remedy) = problem.remedy {
        reason = format!("{reason}: {remedy}");
    }
    Err(reason)
}

/// Files by name, for the lines that errors show.
pub(crate) type Texts = BTreeMap<String, String>;

#[cfg(test)]
mod tests {
    use super::*;

    fn file(directory: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn documents_are_sorted_by_what_they_say_they_are() {
        let directory = tempfile::tempdir().unwrap();
        let ours = file(&directory, "ours.yaml", "---\nkind: A\n---\n---\nkind: B\n");
        let score = file(&directory, "score.yaml", "apiVersion: score.dev/v1b1\n");
        let all = documents(&[ours, score.clone()]).unwrap();
        assert_eq!(all.ours.len(), 2);
        assert_eq!(all.workloads.len(), 1);
        assert_eq!(all.workloads[0].name, score.display().to_string());
    }

    #[test]
    fn what_get_gives_is_a_list_of_documents() {
        let directory = tempfile::tempdir().unwrap();
        let list = file(&directory, "list.yaml", "items:\n- kind: A\n- kind: B\n");
        assert_eq!(documents(&[list]).unwrap().ours.len(), 2);
    }

    #[test]
    fn a_credential_is_neither_sent_nor_shown() {
        let directory = tempfile::tempdir().unwrap();
        let text = "kind: Integration\nspec: { type: github, credential: canary }\n";
        let failure = documents(&[file(&directory, "github.yaml", text)]).unwrap_err();
        assert_eq!(failure.problems[0].rule, "integration/credential");
        assert!(!format!("{failure:?}").contains("canary"), "{failure:?}");
        let text =
            "kind: Tool\nspec: { credentials: { ada: { kind: personal, token: canary } } }\n";
        let failure = documents(&[file(&directory, "tools.yaml", text)]).unwrap_err();
        assert_eq!(failure.problems[0].rule, "tool/credential");
        assert!(!format!("{failure:?}").contains("canary"), "{failure:?}");
        let text = "kind: Tool\nspec: { credentials: { token: { kind: team } } }\n";
        assert_eq!(
            documents(&[file(&directory, "tool.yaml", text)])
                .unwrap()
                .ours
                .len(),
            1
        );
    }

    #[test]
    fn a_list_of_teams_is_a_document_for_each() {
        let directory = tempfile::tempdir().unwrap();
        let wrapped = r#"{ "teams": [{ "name": "payments", "idp_group": "acme/payments" }] }"#;
        let plain = "- name: shop\n  environments: [dev]\n";
        let files = [
            file(&directory, "teams.json", wrapped),
            file(&directory, "teams.yaml", plain),
        ];
        let all = documents(&files).unwrap().ours;
        assert_eq!(all[0]["metadata"]["name"], "payments");
        assert_eq!(all[0]["spec"], json!({ "idp_group": "acme/payments" }));
        assert_eq!(all[1]["kind"], "Team");
        assert_eq!(all[1]["spec"], json!({ "environments": ["dev"] }));
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let broken = file(&directory, "broken.yaml", "a: [");
        let mixed = file(
            &directory,
            "mixed.yaml",
            "apiVersion: score.dev/v1b1\n---\nkind: A\n",
        );
        let failure = documents(&[broken, mixed]).unwrap_err();
        let rules: Vec<&str> = failure.problems.iter().map(|p| p.rule.as_str()).collect();
        assert_eq!(rules, ["apply/syntax", "apply/mixed"]);
        assert_eq!(failure.exit, Exit::Invalid);
    }

    #[test]
    fn a_bomb_of_aliases_is_refused() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            let before = format!("*a{}", level - 1);
            let list = [before.as_str(); 9].join(", ");
            text = format!("{text}a{level}: &a{level} [{list}]\n");
        }
        let reason = yaml(text.as_bytes()).unwrap_err();
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
                let reason = yaml(text.as_bytes()).unwrap_err();
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
        assert_eq!(yaml(flat.as_bytes()).unwrap().len(), 1);
    }

    #[test]
    fn a_long_list_of_documents_is_read() {
        let text = "- {name: a, environments: [dev]}\n".repeat(20_000);
        assert_eq!(yaml(text.as_bytes()).unwrap().len(), 1);
    }

    #[test]
    fn a_file_that_is_not_there_is_not_found() {
        let failure = read(Path::new("/nonexistent/score.yaml")).unwrap_err();
        assert_eq!(failure.exit, Exit::NotFound);
    }
}
