//! Reading: text or JSON to checked workloads.

use std::{collections::BTreeSet, sync::Arc};

use kernel::{Location, Problem};
use serde_json::{Map, Value};

use super::{
    Draft, Workload,
    check::{Check, is_extension},
    placeholder::split_path,
    relations,
    schema::{self, Shape},
    tree::{Content, Node, Sources},
    yaml::{self, Limits},
};

/// A text to read, under the name by which the caller knows it.
#[derive(Debug, Clone)]
pub struct Source {
    /// A path, or `-`: stands in messages.
    pub name: String,
    /// The text, as it was found.
    pub bytes: Vec<u8>,
}

/// A workload that keeps the schema, and where each piece of it stands.
#[derive(Debug, Clone)]
pub struct Document {
    /// The workload.
    pub workload: Workload,
    pub(super) tree: Node,
    pub(super) sources: Arc<Sources>,
    pub(super) file: usize,
}

impl Document {
    /// The Score file that it came from.
    pub fn file(&self) -> &str {
        self.sources.name(self.file)
    }

    /// Where the field at `path` stands, or the nearest one above it: `containers.web.image`.
    pub fn locate(&self, path: &str) -> Option<Location> {
        let span = self.tree.locate(&split_path(path))?;
        Some(self.sources.location(span))
    }
}

/// Workloads as they were found: those that keep the schema, those that do not, and every mistake.
#[derive(Debug, Clone, Default)]
pub struct Examined {
    /// The workloads without a mistake.
    pub documents: Vec<Document>,
    /// The others, as far as they could be read.
    pub drafts: Vec<Draft>,
    /// What is wrong; nothing may be done with any of them before it is mended.
    pub problems: Vec<Problem>,
}

impl Examined {
    /// The workloads, where nothing is wrong with any of them.
    pub(super) fn faultless(self) -> Result<Vec<Document>, Vec<Problem>> {
        if self.problems.is_empty() {
            Ok(self.documents)
        } else {
            Err(self.problems)
        }
    }
}

/// Where things stand in the documents of a YAML text, whatever they describe.
#[derive(Debug, Clone, Default)]
pub struct Places {
    sources: Sources,
    documents: Vec<Node>,
}

impl Places {
    /// Those of `source`. What cannot be read within `limits` stands nowhere.
    pub fn of(source: &Source, limits: &Limits) -> Self {
        let mut sources = Sources::default();
        let documents = match trees(&mut sources, source, limits) {
            Ok((_, documents, _)) => documents,
            Err(_) => Vec::new(),
        };
        Self { sources, documents }
    }

    /// Where the field at `path` of a document stands, or the nearest one above it. Documents count
    /// from 0, without the empty ones; `spec.list[0].name` and `spec.list.0.name` are the same path.
    pub fn locate(&self, document: usize, path: &str) -> Option<Location> {
        let span = self.documents.get(document)?.locate_value(&names(path))?;
        Some(self.sources.location(span))
    }

    /// The same of the field's name: where that is what is wrong, and not its value.
    pub fn locate_name(&self, document: usize, path: &str) -> Option<Location> {
        let span = self.documents.get(document)?.locate_name(&names(path))?;
        Some(self.sources.location(span))
    }
}

fn names(path: &str) -> Vec<String> {
    split_path(&path.replace('[', ".").replace(']', ""))
}

/// Reads the workloads of one Score file: one for each document in it. Every mistake is reported,
/// not only the first.
pub fn parse(source: &Source, limits: &Limits) -> Result<Vec<Document>, Vec<Problem>> {
    let mut sources = Sources::default();
    let (file, nodes, problems) = trees(&mut sources, source, limits).map_err(|p| vec![p])?;
    let trees = nodes.into_iter().map(|node| (file, node)).collect();
    examine(&Arc::new(sources), trees, problems).faultless()
}

/// Reads a file: its number, its trees, and what is wrong with it already (keys that are there
/// twice, and why reading ended early).
pub(super) fn trees(
    sources: &mut Sources,
    source: &Source,
    limits: &Limits,
) -> Result<(usize, Vec<Node>, Vec<Problem>), Problem> {
    let text = yaml::decode(&source.name, &source.bytes, limits)?;
    let number = sources.add(&source.name, text);
    let (nodes, problems) = yaml::read(sources, number, text, limits);
    if nodes.is_empty() && problems.is_empty() {
        return Err(
            Problem::new("score/empty", "", format!("{} is empty", source.name)).remedy(
                "describe a workload: `apiVersion: score.dev/v1b1`, `metadata` and `containers`",
            ),
        );
    }
    Ok((number, nodes, problems))
}

/// Checks trees, each with the number of its file, and makes workloads of them.
pub(super) fn examine(
    sources: &Arc<Sources>,
    trees: Vec<(usize, Node)>,
    problems: Vec<Problem>,
) -> Examined {
    let mut check = Check::new(sources, problems);
    let mut found = Examined::default();
    let mut names = BTreeSet::new();
    for (file, tree) in trees {
        let before = check.count();
        all_rules(&mut check, &tree);
        if let Some(name) = name(&tree)
            && !names.insert(name.to_owned())
        {
            let path = ["metadata", "name"].map(str::to_owned);
            check.path = path.to_vec();
            check.wrong(
                "score/duplicate",
                tree.locate(&path),
                format!("two workloads are called `{name}`"),
                "give each workload a name of its own",
            );
            check.path.clear();
        }
        let made = if check.count() == before {
            workload(&tree)
                .map_err(|problem| check.problems.push(problem))
                .ok()
        } else {
            None
        };
        let sources = Arc::clone(sources);
        match made {
            Some(workload) => found.documents.push(Document {
                workload,
                tree,
                sources,
                file,
            }),
            None => found.drafts.push(Draft {
                tree,
                sources,
                file,
            }),
        }
    }
    found.problems = check.finish();
    found
}

/// The workload's name, as far as it has one.
pub(super) fn name(tree: &Node) -> Option<&str> {
    tree.get("metadata")?.get("name")?.text()
}

/// Checks a workload that is JSON already: the same rules, without places.
pub fn validate(value: &Value) -> Result<Workload, Vec<Problem>> {
    let sources = Sources::default();
    let tree = Node::from_json(value);
    let mut check = Check::new(&sources, Vec::new());
    all_rules(&mut check, &tree);
    let problems = check.finish();
    if problems.is_empty() {
        workload(&tree).map_err(|problem| vec![problem])
    } else {
        Err(problems)
    }
}

pub(super) fn all_rules(check: &mut Check<'_>, tree: &Node) {
    check.shape(tree, &Shape::Object(&schema::WORKLOAD));
    relations::check(check, tree);
}

/// Makes the workload of a tree that keeps every rule.
pub(super) fn workload(tree: &Node) -> Result<Workload, Problem> {
    let mut fields = Map::new();
    for entry in tree.entries().iter().filter(|e| !is_extension(&e.key)) {
        let value = match entry.key.as_str() {
            "containers" => containers(&entry.node),
            _ => entry.node.to_json(),
        };
        fields.insert(entry.key.clone(), value);
    }
    serde_json::from_value(Value::Object(fields))
        .map_err(|error| Problem::new("score/type", "", error.to_string()))
}

/// Containers with their files and volumes by target, whichever form they are written in.
fn containers(node: &Node) -> Value {
    let by_target = |node: &Node| match &node.content {
        Content::List(items) => items
            .iter()
            .filter_map(|item| {
                let target = item.get("target")?.text()?.to_owned();
                let mut value = item.to_json();
                value.as_object_mut()?.shift_remove("target");
                Some((target, value))
            })
            .collect::<Map<_, _>>()
            .into(),
        _ => node.to_json(),
    };
    let container = |node: &Node| -> Value {
        let fields = node.entries().iter().map(|entry| {
            let value = match entry.key.as_str() {
                "files" | "volumes" => by_target(&entry.node),
                _ => entry.node.to_json(),
            };
            (entry.key.clone(), value)
        });
        fields.collect::<Map<_, _>>().into()
    };
    let all = node.entries().iter();
    all.map(|entry| (entry.key.clone(), container(&entry.node)))
        .collect::<Map<_, _>>()
        .into()
}
