//! What is left of a workload with mistakes once these are taken out of it: enough to ask a platform what else
//! is wrong, and never to deploy.

use std::{cmp::Reverse, sync::Arc};

use kernel::Problem;

use super::{
    Document, Draft,
    check::Check,
    pattern,
    placeholder::{join_path, split_path},
    read::{all_rules, workload},
    tree::{Content, Entry, Node},
};

/// The container that stands for those that are all taken out, where none has a name.
const STAND_IN: &str = "main";

/// A workload without its mistakes.
#[derive(Debug, Clone)]
pub struct Rest {
    /// What is left, where it stood.
    pub document: Document,
    /// The paths of what is not there as it was meant: nothing can be said of it.
    pub left_out: Vec<String>,
}

impl Draft {
    /// What is left once every mistake is taken out along with what hangs on it; none where nothing can be.
    pub fn rest(&self) -> Option<Rest> {
        let mut tree = self.tree.clone();
        let mut left_out = Vec::new();
        // Each turn takes something out, and what hung on that is wrong in the next.
        for _ in 0..=self.tree.size() {
            let mut check = Check::new(&self.sources, Vec::new());
            all_rules(&mut check, &tree);
            let problems = check.finish();
            if problems.is_empty() {
                let document = Document {
                    workload: workload(&tree).ok()?,
                    tree: self.tree.clone(),
                    sources: Arc::clone(&self.sources),
                    file: self.file,
                };
                return Some(Rest { document, left_out });
            }
            let before = left_out.len();
            for whole in wholes(&problems)? {
                left_out.extend(self.take_out(&mut tree, &whole));
            }
            if left_out.len() == before {
                return None;
            }
        }
        None
    }

    /// Takes out what is at `whole`, and answers where that was; none where there is nothing.
    fn take_out(&self, tree: &mut Node, whole: &[String]) -> Option<String> {
        let path: Vec<&str> = whole.iter().map(String::as_str).collect();
        match path.as_slice() {
            ["apiVersion"] => {
                put(tree, "apiVersion", Content::Text("score.dev/v1b1".into()));
                Some("apiVersion".into())
            }
            ["containers"] => {
                let name = self
                    .containers()
                    .find(|name| (pattern::LABEL.accepts)(name))
                    .unwrap_or(STAND_IN);
                let mut container = Node::new(None, Content::Map(Vec::new()));
                put(&mut container, "image", Content::Text(".".into()));
                put(tree, "containers", Content::Map(Vec::new()));
                put(tree.get_mut("containers")?, name, container.content);
                Some(join_path(["containers", name]))
            }
            path => {
                let (name, above) = path.split_last()?;
                remove(tree, above, name)?;
                Some(join_path(path.iter().copied()))
            }
        }
    }
}

/// What is not to be judged with these mistakes, each thing once, and in an order in which none moves another: the
/// deepest first, and of a list the last. None where nobody can say of which workload they are.
fn wholes(problems: &[Problem]) -> Option<Vec<Vec<String>>> {
    let mut wholes: Vec<Vec<String>> = Vec::new();
    // That there are more of them stands nowhere: they are found in the next turn.
    for problem in problems.iter().filter(|problem| !problem.path.is_empty()) {
        let mut path = split_path(&problem.path);
        path.truncate(whole(&path)?);
        if !wholes.contains(&path) {
            wholes.push(path);
        }
    }
    wholes.sort_by_key(|path| {
        let index = path.last().and_then(|name| name.parse::<usize>().ok());
        (Reverse(path.len()), Reverse(index))
    });
    Some(wholes)
}

/// How much of the path of a mistake leads to what is not to be judged with it; none where nobody can say which
/// workload it is of.
fn whole(path: &[String]) -> Option<usize> {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    Some(match path.as_slice() {
        ["metadata"] | ["metadata", "name"] => return None,
        ["containers", _, "variables" | "files" | "volumes", _, ..] => 4,
        [
            "containers",
            _,
            "variables" | "files" | "volumes" | "resources" | "livenessProbe" | "readinessProbe"
            | "before",
            ..,
        ] => 3,
        ["metadata", ..] | ["resources" | "containers", _, ..] => 2,
        _ => 1,
    })
}

/// Removes the field, or the item, `name` of what is at `above`.
fn remove(tree: &mut Node, above: &[&str], name: &str) -> Option<()> {
    let node = above
        .iter()
        .try_fold(tree, |node, name| node.get_mut(name))?;
    match &mut node.content {
        Content::Map(entries) => {
            let index = entries.iter().position(|entry| entry.key == name)?;
            entries.remove(index);
        }
        Content::List(items) => {
            let index: usize = name.parse().ok()?;
            (index < items.len()).then(|| items.remove(index))?;
        }
        _ => return None,
    }
    Some(())
}

/// Has `content` be the field `name` of a map.
fn put(node: &mut Node, name: &str, content: Content) {
    let Content::Map(entries) = &mut node.content else {
        return;
    };
    entries.retain(|entry| entry.key != name);
    entries.push(Entry {
        key: name.to_owned(),
        key_span: None,
        node: Node::new(None, content),
    });
}
