//! Overrides: what differs from the Score file, from files and from the command line.
//!
//! They change the tree before it is checked, and keep their own places: a mistake that comes from
//! `--override` is shown there, not in the Score file.

use std::sync::Arc;

use kernel::Problem;

use super::{
    Document, Examined, Limits, Source,
    check::list,
    placeholder::{join_path, split_path},
    read::{self, name, trees},
    schema, suggest,
    tree::{Content, Entry, Node, Sources, Span},
    yaml,
};

/// What a person deploys, as they said it.
#[derive(Debug, Clone, Default)]
pub struct Input {
    /// Score files; each may hold several workloads.
    pub files: Vec<Source>,
    /// Overrides files, in the order in which they apply: maps are merged at any depth, everything
    /// else is replaced, `null` removes. With several workloads `metadata.name` says for which it is.
    pub overrides_files: Vec<Source>,
    /// `path=value`, applied after the files. The path is of names and list indexes (-1 appends)
    /// between dots, `\.` being a dot within a name; the value is YAML, or text where the schema has text; an empty
    /// value removes. With
    /// several workloads the path begins with the name of one and a colon.
    pub overrides: Vec<String>,
    /// The image of every container whose image is `.`.
    pub image: Option<String>,
}

impl Input {
    /// The text behind the name of a file in a problem's location: of a file, or of an argument.
    pub fn text(&self, name: &str) -> Option<String> {
        let mut files = self.files.iter().chain(&self.overrides_files);
        if let Some(file) = files.find(|file| file.name == name) {
            let text = String::from_utf8_lossy(&file.bytes);
            return Some(text.trim_start_matches('\u{feff}').to_owned());
        }
        if let Some(text) = name.strip_prefix("--override ") {
            return Some(
                text.split_once('=')
                    .map_or(text, |(_, value)| value)
                    .to_owned(),
            );
        }
        name.strip_prefix("--image ").map(str::to_owned)
    }
}

/// Reads all workloads of `input`, overrides applied. Every mistake is reported.
pub fn load(input: &Input, limits: &Limits) -> Result<Vec<Document>, Vec<Problem>> {
    examine(input, limits).faultless()
}

/// The same, with the workloads that have no mistake beside those that have: for whoever has more to say
/// of them.
pub fn examine(input: &Input, limits: &Limits) -> Examined {
    let mut loader = Loader {
        sources: Sources::default(),
        limits,
        workloads: Vec::new(),
        problems: Vec::new(),
    };
    for file in &input.files {
        loader.file(file);
    }
    for file in &input.overrides_files {
        loader.overrides_file(file);
    }
    for text in &input.overrides {
        if let Err(problem) = loader.override_text(text) {
            loader.problems.push(problem);
        }
    }
    if let Some(image) = &input.image {
        loader.image(image);
    }
    read::examine(&Arc::new(loader.sources), loader.workloads, loader.problems)
}

struct Loader<'l> {
    sources: Sources,
    limits: &'l Limits,
    /// The number of the file that each came from, and its tree.
    workloads: Vec<(usize, Node)>,
    problems: Vec<Problem>,
}

impl Loader<'_> {
    fn file(&mut self, file: &Source) {
        match trees(&mut self.sources, file, self.limits) {
            Ok((number, nodes, problems)) => {
                self.workloads
                    .extend(nodes.into_iter().map(|node| (number, node)));
                self.problems.extend(problems);
            }
            Err(problem) => self.problems.push(problem),
        }
    }

    fn overrides_file(&mut self, file: &Source) {
        let (_, nodes, problems) = match trees(&mut self.sources, file, self.limits) {
            Ok(read) => read,
            Err(problem) => return self.problems.push(problem),
        };
        self.problems.extend(problems);
        for mut node in nodes {
            let named = name(&node).map(str::to_owned);
            let several = self.workloads.len() > 1;
            let wanted = self
                .workloads
                .iter_mut()
                .find(|(_, tree)| !several || (named.is_some() && name(tree) == named.as_deref()));
            let Some((_, tree)) = wanted else {
                let problem = Problem::new(
                    "score/override",
                    "metadata.name",
                    format!(
                        "{} does not say which of the workloads it is for",
                        file.name
                    ),
                )
                .remedy("write `metadata.name` of one of the workloads into it");
                let span = node.locate(&["metadata".into(), "name".into()]);
                self.problems.push(match span {
                    Some(span) => problem.at(self.sources.location(span)),
                    None => problem,
                });
                continue;
            };
            for (span, absent) in take_strays(tree, &mut node) {
                let path = join_path(["containers", absent.name.as_str()]);
                let problem = Problem::new("score/override", path, absent.message())
                    .remedy(absent.remedy(&format!("give it an `image` in {}", file.name)));
                self.problems.push(match span {
                    Some(span) => problem.at(self.sources.location(span)),
                    None => problem,
                });
            }
            merge(tree, node);
        }
    }

    fn override_text(&mut self, text: &str) -> Result<(), Problem> {
        let argument = format!("--override {text}");
        let wrong = |message: &str, remedy: &str| {
            Problem::new("score/override", "", format!("`{argument}`: {message}")).remedy(remedy)
        };
        let Some((path, value)) = text.split_once('=') else {
            return Err(wrong(
                "there is no `=`",
                "write `--override path=value`: `--override containers.web.image=web:2`",
            ));
        };
        let (workload, path) = match path.split_once(':') {
            Some((workload, path)) if !workload.contains('.') => (Some(workload), path),
            _ => (None, path),
        };
        let names = split_path(path);
        if names.iter().any(String::is_empty) {
            return Err(wrong(
                "a name in the path is empty",
                "write names between dots: `containers.web.image`",
            ));
        }
        if names.len() > self.limits.depth {
            return Err(wrong("the path is too long", "shorten it"));
        }
        let number = self.sources.add(&argument, value);
        let value = if value.trim().is_empty() {
            None
        } else {
            let text = yaml::decode(&argument, value.as_bytes(), self.limits)?;
            let (mut nodes, problems) = yaml::read(&self.sources, number, text, self.limits);
            if let Some(problem) = problems.into_iter().next() {
                return Err(problem);
            }
            match nodes.len() {
                0 => None,
                1 => nodes.pop(),
                _ => return Err(wrong("the value has several documents", "write one value")),
            }
        };
        // What is written for a text is one: no shell has to be told to keep quotes.
        let value = value.map(|node| {
            let is_other = matches!(node.content, Content::Bool(_) | Content::Number(_));
            match node.span {
                Some(span) if is_other && schema::is_text(&names) => {
                    Node::new(Some(span), Content::Text(self.sources.text(span)))
                }
                _ => node,
            }
        });
        let several = self.workloads.len() > 1;
        let wanted = self.workloads.iter_mut().find(|(_, tree)| match workload {
            Some(workload) => name(tree) == Some(workload),
            None => !several,
        });
        let Some((_, tree)) = wanted else {
            return Err(match workload {
                Some(workload) => wrong(
                    &format!("there is no workload `{workload}`"),
                    "write the name of one of the workloads before the colon",
                ),
                None => wrong(
                    "there are several workloads, and it does not say for which it is",
                    "write the workload's name and a colon before the path: \
                     `--override notes:containers.web.image=web:2`",
                ),
            });
        };
        if let (true, ["containers", container, field, ..]) =
            (value.is_some(), &names.iter().map(String::as_str).collect::<Vec<_>>()[..])
            && let Some(absent) = Absent::of(tree, container)
            // An image is all that a container needs, and another name is meant as one.
            && (*field != "image" || absent.near.is_some())
        {
            let whole =
                format!("give it whole: `--override 'containers.{container}={{image: IMAGE}}'`");
            let mut problem = wrong(&absent.message(), &absent.remedy(&whole));
            problem.path = join_path(["containers", *container]);
            return Err(problem);
        }
        let span = Span {
            source: number,
            line: 1,
            column: 1,
            chars: usize::MAX,
        };
        set(tree, &names, value, span).map_err(|(depth, message)| {
            let mut problem = wrong(message, "compare the path with the Score file");
            problem.path = join_path(names[..depth].iter().map(String::as_str));
            problem
        })
    }

    fn image(&mut self, image: &str) {
        let argument = format!("--image {image}");
        let number = self.sources.add(&argument, image);
        let span = Span {
            source: number,
            line: 1,
            column: 1,
            chars: image.chars().count(),
        };
        for (_, tree) in &mut self.workloads {
            let containers = tree.get_mut("containers").map(Node::entries_mut);
            for container in containers.unwrap_or_default() {
                let node = container.node.get_mut("image");
                if let Some(node) = node.filter(|node| node.text() == Some(".")) {
                    *node = Node::new(Some(span), Content::Text(image.to_owned()));
                }
            }
        }
    }
}

/// A container that is to be changed, and is not there.
struct Absent {
    name: String,
    /// Those that there are, for people.
    there: String,
    /// The one that was most likely meant.
    near: Option<String>,
}

impl Absent {
    /// That there is no container `name` in `tree`; none where there is, and where `tree` has none at all.
    fn of(tree: &Node, name: &str) -> Option<Self> {
        let containers = tree.get("containers")?.entries();
        let names = || containers.iter().map(|entry| entry.key.as_str());
        if containers.is_empty() || names().any(|other| other == name) {
            return None;
        }
        Some(Self {
            name: name.to_owned(),
            there: list(names(), "and"),
            near: suggest::nearest(name, names()).map(str::to_owned),
        })
    }

    fn message(&self) -> String {
        format!("there is no container `{}`, only {}", self.name, self.there)
    }

    /// `whole` is how one is added.
    fn remedy(&self, whole: &str) -> String {
        match &self.near {
            Some(near) => format!("did you mean `{near}`? If you add a container, {whole}"),
            None => format!("name one of these; if you add a container, {whole}"),
        }
    }
}

/// Takes out of `over` the containers that `base` does not have, and that have no image to be one: names that are
/// not right. Answers each, and where it stands.
fn take_strays(base: &Node, over: &mut Node) -> Vec<(Option<Span>, Absent)> {
    let mut strays = Vec::new();
    if let Some(Content::Map(entries)) = over.get_mut("containers").map(|node| &mut node.content) {
        entries.retain(|entry| {
            let changes = matches!(entry.node.content, Content::Map(_));
            if !changes || entry.node.entry("image").is_some() {
                return true;
            }
            let absent = Absent::of(base, &entry.key);
            let is_known = absent.is_none();
            strays.extend(absent.map(|absent| (entry.key_span, absent)));
            is_known
        });
    }
    strays
}

/// Merges `over` into `base`: maps field by field, everything else as a whole; null removes.
fn merge(base: &mut Node, over: Node) {
    let Content::Map(fields) = over.content else {
        *base = over;
        return;
    };
    let Content::Map(entries) = &mut base.content else {
        *base = Node::new(over.span, Content::Map(Vec::new()));
        return merge(base, Node::new(over.span, Content::Map(fields)));
    };
    for field in fields {
        let known = entries.iter().position(|entry| entry.key == field.key);
        match (known, &field.node.content) {
            (Some(index), Content::Null) => {
                entries.remove(index);
            }
            (None, Content::Null) => {}
            (Some(index), _) => merge(&mut entries[index].node, field.node),
            (None, Content::Map(_)) => {
                let mut entry = Entry {
                    node: Node::new(field.node.span, Content::Map(Vec::new())),
                    ..field.clone()
                };
                merge(&mut entry.node, field.node);
                entries.push(entry);
            }
            (None, _) => entries.push(field),
        }
    }
}

/// Sets what is at `path`, or removes it where there is no value. The error has how many names of
/// the path were followed.
fn set(
    node: &mut Node,
    path: &[String],
    value: Option<Node>,
    span: Span,
) -> Result<(), (usize, &'static str)> {
    let Some((first, rest)) = path.split_first() else {
        return Ok(());
    };
    let deeper = |(depth, message)| (depth + 1, message);
    match &mut node.content {
        Content::Map(entries) => {
            let known = entries.iter().position(|entry| entry.key == *first);
            match (known, value) {
                (Some(index), None) if rest.is_empty() => {
                    entries.remove(index);
                    Ok(())
                }
                (None, None) => Err((1, "there is nothing to remove")),
                (Some(index), Some(value)) if rest.is_empty() => {
                    entries[index].node = value;
                    Ok(())
                }
                (Some(index), value) => {
                    set(&mut entries[index].node, rest, value, span).map_err(deeper)
                }
                (None, Some(value)) => {
                    let node = rest.iter().rev().fold(value, |node, name| {
                        let entry = Entry {
                            key: name.clone(),
                            key_span: Some(span),
                            node,
                        };
                        Node::new(Some(span), Content::Map(vec![entry]))
                    });
                    entries.push(Entry {
                        key: first.clone(),
                        key_span: Some(span),
                        node,
                    });
                    Ok(())
                }
            }
        }
        Content::List(items) => {
            if let (Some(value), "-1", []) = (&value, first.as_str(), rest) {
                items.push(value.clone());
                return Ok(());
            }
            let index = first
                .parse::<usize>()
                .ok()
                .filter(|index| *index < items.len());
            let index = index.ok_or((1, "the list has no item of this number"))?;
            match value {
                None if rest.is_empty() => {
                    items.remove(index);
                }
                Some(value) if rest.is_empty() => items[index] = value,
                value => return set(&mut items[index], rest, value, span).map_err(deeper),
            }
            Ok(())
        }
        _ => Err((1, "what is above it is neither a map nor a list")),
    }
}
