//! What is left of a workload with mistakes once these are taken out of it: enough to ask a platform what else
//! is wrong, and never to deploy.

use std::{cmp::Reverse, sync::Arc};

use kernel::Problem;

use super::{
    Document, Draft,
    check::{Check, MAX_PROBLEMS},
    pattern,
    placeholder::{join_path, split_path},
    read::{all_rules, workload},
    schema, suggest,
    tree::{Content, Entry, Node},
};

/// The container that stands for those that are all taken out, where none has a name.
const STAND_IN: &str = "main";

/// What a workload is called that has no name, or none that can be read as one.
const NAMELESS: &str = "workload";

/// How often it is looked for what hung on what was taken out. More than any workload takes that somebody wrote; each
/// look reads all of it.
const TURNS: usize = 10;

/// A workload without its mistakes.
#[derive(Debug, Clone)]
pub struct Rest {
    /// What is left, where it stood.
    pub document: Document,
    /// The paths of what is not there as it was meant: nothing can be said of it.
    pub left_out: Vec<String>,
}

impl Draft {
    /// What is left once every mistake is taken out along with what hangs on it; none where nothing can be, or where
    /// there are more mistakes than anybody is told of at once.
    pub fn rest(&self) -> Option<Rest> {
        let mut tree = self.tree.clone();
        let mut left_out = Vec::new();
        // Each turn takes something out, and what hung on that is wrong in the next.
        for _ in 0..TURNS {
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
            if problems.len() >= MAX_PROBLEMS {
                return None;
            }
            let before = left_out.len();
            for whole in wholes(&problems) {
                left_out.extend(self.take_out(&mut tree, &whole).unwrap_or_default());
            }
            if left_out.len() == before {
                return None;
            }
        }
        None
    }

    /// Takes out what is at `whole`, and answers where that was, and what cannot be judged without it; none where
    /// there is nothing.
    fn take_out(&self, tree: &mut Node, whole: &[String]) -> Option<Vec<String>> {
        let path: Vec<&str> = whole.iter().map(String::as_str).collect();
        match path.as_slice() {
            ["apiVersion"] => {
                put(tree, "apiVersion", Content::Text("score.dev/v1b1".into()));
                Some(vec!["apiVersion".into()])
            }
            ["metadata"] => {
                put(tree, "metadata", Content::Map(Vec::new()));
                Some(vec!["metadata".into()])
            }
            ["metadata", "name"] => {
                let name = Content::Text(stand_in(self.name()));
                put(tree.get_mut("metadata")?, "name", name);
                Some(vec!["metadata.name".into()])
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
                Some(vec![join_path(["containers", name])])
            }
            ["containers", container, field] => {
                let node = tree.get_mut("containers")?.get_mut(container)?;
                if *field != "image" {
                    remove(node, &[], field)?;
                }
                let unjudged = unjudged_without(field);
                if *field == "image" || unjudged.contains(&"image") {
                    put(node, "image", Content::Text(".".into()));
                }
                let out = [*field].into_iter().chain(unjudged.iter().copied());
                let out = out.map(|field| join_path(["containers", *container, field]));
                Some(out.collect())
            }
            path => {
                let (name, above) = path.split_last()?;
                remove(tree, above, name)?;
                Some(vec![join_path(path.iter().copied())])
            }
        }
    }
}

/// What is not to be judged with these mistakes, each thing once, and in an order in which none moves another: the
/// deepest first, and of a list the last.
fn wholes(problems: &[Problem]) -> Vec<Vec<String>> {
    let mut wholes: Vec<Vec<String>> = Vec::new();
    // That there are more of them stands nowhere: they are found in the next turn.
    for problem in problems.iter().filter(|problem| !problem.path.is_empty()) {
        let mut path = split_path(&problem.path);
        path.truncate(whole(&path));
        if !wholes.contains(&path) {
            wholes.push(path);
        }
    }
    wholes.sort_by_key(|path| {
        let index = path.last().and_then(|name| name.parse::<usize>().ok());
        (Reverse(path.len()), Reverse(index))
    });
    wholes
}

/// A name for a workload that has `given` for one, which is none: as near to it as can be.
fn stand_in(given: &str) -> String {
    let letters = given.chars().map(|c| match c.to_ascii_lowercase() {
        c if c.is_ascii_alphanumeric() => c,
        _ => '-',
    });
    let near: String = letters.collect();
    let near = near.trim_matches('-');
    if (pattern::LABEL.accepts)(near) {
        near.to_owned()
    } else {
        NAMELESS.to_owned()
    }
}

/// How much of the path of a mistake leads to what is not to be judged with it.
fn whole(path: &[String]) -> usize {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    match path.as_slice() {
        ["containers", _, "variables" | "files" | "volumes", _, ..] => 4,
        ["containers", _, _, ..] => 3,
        ["metadata" | "resources" | "containers", _, ..] => 2,
        _ => 1,
    }
}

/// What says of a container what runs in it, and hangs on its field `field`, or on the one that is misspelt so.
fn unjudged_without(field: &str) -> &'static [&'static str] {
    let names = || schema::CONTAINER.fields.iter().map(|field| field.name);
    let meant = if names().any(|name| name == field) {
        Some(field)
    } else {
        suggest::nearest(field, names())
    };
    match meant {
        // An image may be all right where a command runs something else.
        Some("command") | None => &["image"],
        // The program may be in one of them.
        Some("files" | "volumes") => &["command"],
        Some(_) => &[],
    }
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
