//! Workloads with mistakes: what can be said of them all the same, so that a person hears everything at
//! once.

use std::{path::Path, sync::Arc};

use kernel::Problem;

use super::{
    Limits, files,
    placeholder::join_path,
    tree::{Content, Node, Sources},
};

/// A workload that breaks a rule.
#[derive(Debug, Clone)]
pub struct Draft {
    pub(super) tree: Node,
    pub(super) sources: Arc<Sources>,
    pub(super) file: usize,
}

impl Draft {
    /// The Score file that it came from.
    pub fn file(&self) -> &str {
        self.sources.name(self.file)
    }

    /// The workload's name; empty where it has none.
    pub fn name(&self) -> &str {
        super::read::name(&self.tree).unwrap_or_default()
    }

    /// The names of its containers.
    pub fn containers(&self) -> impl Iterator<Item = &str> {
        let containers = self.tree.get("containers").map(Node::entries);
        let names = containers.unwrap_or_default().iter();
        names.map(|entry| entry.key.as_str())
    }

    /// What is wrong with the files that it names as `source`, as [`super::inline_sources`] says it.
    pub fn check_sources(&self, base: &Path, limits: &Limits) -> Vec<Problem> {
        let containers = self.tree.get("containers").map(Node::entries);
        let mut problems = Vec::new();
        for container in containers.unwrap_or_default() {
            for (target, file) in by_target(container.node.get("files")) {
                let Some(node) = file.get("source") else {
                    continue;
                };
                let Some(source) = node.text() else { continue };
                let is_plain = file
                    .get("noExpand")
                    .is_some_and(|flag| flag.content == Content::Bool(true));
                let Err((message, remedy)) = files::content(base, source, is_plain, limits) else {
                    continue;
                };
                let path = join_path(["containers", &container.key, "files", target, "source"]);
                let problem = Problem::new("score/source", path, message).remedy(remedy);
                problems.push(match node.span {
                    Some(span) => problem.at(self.sources.location(span)),
                    None => problem,
                });
            }
        }
        problems
    }
}

/// Files with their targets, whichever form they are written in.
fn by_target(files: Option<&Node>) -> Vec<(&str, &Node)> {
    match files.map(|files| &files.content) {
        Some(Content::Map(entries)) => entries
            .iter()
            .map(|entry| (entry.key.as_str(), &entry.node))
            .collect(),
        Some(Content::List(items)) => items
            .iter()
            .filter_map(|item| Some((item.get("target")?.text()?, item)))
            .collect(),
        _ => Vec::new(),
    }
}
