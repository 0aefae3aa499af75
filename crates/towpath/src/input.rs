//! Files that people give: Score workloads, and documents of our own kinds.

use std::{
    collections::BTreeMap,
    io::Read as _,
    path::{Path, PathBuf},
};

use kernel::Problem;
use serde_json::{Value, json};
use teams::api::REQUEST_API_VERSION;

use crate::{
    exit::Exit,
    failure::{Failure, Result},
};

mod faulty;
mod places;
mod workloads;
mod yaml;

pub(crate) use faulty::Unready;
pub(crate) use places::Places;
pub(crate) use workloads::{Changes, Request, workloads};
use yaml::yaml;

/// The largest file that is read: far beyond any description, far below what hurts.
const MAX_FILE_BYTES: u64 = 10 << 20;

/// What Score documents say of themselves.
const SCORE: &str = "score.dev/v1b1";

/// The kind of a request for a namespace.
pub(crate) const NAMESPACE_REQUEST: &str = "NamespaceRequest";

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
            std::io::ErrorKind::IsADirectory => {
                let file = path.join("score.yaml");
                let file = file.display();
                let message = format!("{name} is a directory, and a file is wanted");
                Failure::new(Exit::Failed, message).remedy(format!("name a file in it: {file}"))
            }
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
    let mut texts = Texts::new();
    for path in files {
        let File { name, bytes } = File::read(path)?;
        let found = match yaml(&name, &bytes) {
            Ok(found) => found,
            Err(problem) => {
                problems.push(problem);
                texts.insert(name, String::from_utf8_lossy(&bytes).into_owned());
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
        let failure = Failure::new(Exit::Invalid, "the files cannot be applied");
        Err(failure.problems(problems).sources(texts))
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
    let File { name, bytes } = File::read(file)?;
    yaml(&name, &bytes).map_err(|problem| {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Failure::new(Exit::Invalid, format!("{name} cannot be read"))
            .problems(vec![problem])
            .sources(Texts::from([(name, text)]))
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

/// The teams of a `teams.json`: a list of them, or `teams` with one, each with its name among the rest; and the
/// namespaces of each beside the standard ones, likewise.
fn teams_of(document: &Value) -> Option<Vec<(String, Value)>> {
    let (below, list) = match document {
        Value::Array(list) => ("", list),
        Value::Object(fields) if !fields.contains_key("kind") => {
            ("teams.", fields.get("teams")?.as_array()?)
        }
        _ => return None,
    };
    let mut documents = Vec::new();
    for (index, team) in list.iter().enumerate() {
        let below = format!("{below}{index}");
        let mut spec = team.clone();
        let name = take(&mut spec, "name");
        let namespaces = spec["namespaces"].as_array().cloned();
        if namespaces.is_some() {
            take(&mut spec, "namespaces");
        }
        let requests = namespaces.unwrap_or_default().into_iter().enumerate();
        let requests = requests.map(|(index, namespace)| {
            let place = format!("{below}.namespaces.{index}");
            (place, namespace_of(&name, namespace))
        });
        let requests: Vec<_> = requests.collect();
        let team = json!({
            "apiVersion": "towpath.dev/v1",
            "kind": "Team",
            "metadata": { "name": name },
            "spec": spec,
        });
        documents.push((below, team));
        documents.extend(requests);
    }
    Some(documents)
}

/// The request for a namespace that a team of a `teams.json` names, alone or with the rest.
fn namespace_of(team: &Value, namespace: Value) -> Value {
    let (name, mut spec) = match namespace {
        Value::String(_) => (namespace, json!({})),
        mut fields => (take(&mut fields, "name"), fields),
    };
    if let Some(fields) = spec.as_object_mut() {
        fields.insert("team".into(), team.clone());
    }
    json!({
        "apiVersion": REQUEST_API_VERSION,
        "kind": NAMESPACE_REQUEST,
        "metadata": { "name": name },
        "spec": spec,
    })
}

/// Takes a field out.
fn take(of: &mut Value, field: &str) -> Value {
    let fields = of.as_object_mut();
    fields
        .and_then(|fields| fields.shift_remove(field))
        .unwrap_or_default()
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
    fn the_namespaces_of_a_list_of_teams_are_documents_too() {
        let directory = tempfile::tempdir().unwrap();
        let text = "teams:\n- name: payments\n  contact: '#pay'\n  namespaces:\n  - payments-load\n  \
                    - name: payments-trial\n    role: qa\n    quota: { requests: { cpu: 1 } }\n- name: shop\n";
        let all = documents(&[file(&directory, "teams.yaml", text)]).unwrap();
        let what = |document: &Value| {
            let text = |pointer| document.pointer(pointer).and_then(Value::as_str).unwrap();
            format!("{} {}", text("/kind"), text("/metadata/name"))
        };
        assert_eq!(
            all.ours.iter().map(what).collect::<Vec<_>>(),
            [
                "Team payments",
                "NamespaceRequest payments-load",
                "NamespaceRequest payments-trial",
                "Team shop"
            ]
        );
        assert_eq!(all.ours[0]["spec"], json!({ "contact": "#pay" }));
        assert_eq!(all.ours[1]["spec"], json!({ "team": "payments" }));
        let trial =
            json!({ "team": "payments", "role": "qa", "quota": { "requests": { "cpu": 1 } } });
        assert_eq!(all.ours[2]["spec"], trial);
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
    fn a_file_that_is_not_there_is_not_found() {
        let failure = read(Path::new("/nonexistent/score.yaml")).unwrap_err();
        assert_eq!(failure.exit, Exit::NotFound);
    }

    #[test]
    fn of_a_directory_a_file_is_wanted() {
        let directory = tempfile::tempdir().unwrap();
        let failure = read(directory.path()).unwrap_err();
        assert_eq!(failure.exit, Exit::Failed);
        assert!(failure.message.contains("is a directory"), "{failure}");
        let file = directory.path().join("score.yaml").display().to_string();
        let remedy = failure.remedy.as_deref().unwrap_or_default();
        assert!(remedy.contains(&file), "{remedy}");
    }

    #[test]
    fn what_cannot_be_read_is_told_at_its_line() {
        let directory = tempfile::tempdir().unwrap();
        let tabbed = file(
            &directory,
            "tabbed.yaml",
            "kind: A\nspec:\n  a: 1\n\tb: 2\n",
        );
        let failure = documents(std::slice::from_ref(&tabbed)).unwrap_err();
        let at = failure.problems[0].location.as_ref().unwrap();
        assert_eq!((at.line, at.column), (4, 1), "{failure:?}");
        assert!(failure.sources.contains_key(&tabbed.display().to_string()));
    }
}
