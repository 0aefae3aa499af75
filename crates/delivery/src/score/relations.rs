//! Rules that span several fields: what placeholders may refer to, which fields exclude each other,
//! names that must exist, orders that must end.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    check::{Check, list, shortened},
    placeholder::{Reference, Template},
    suggest,
    tree::{Content, Entry, Node},
    volumes::is_plain,
};

/// Looks at a whole workload.
pub(super) fn check(check: &mut Check<'_>, root: &Node) {
    let names = Names {
        metadata: root.get("metadata"),
        resources: entries(root, "resources"),
        volumes: plain_volumes(root),
    };
    check.within("service", |check| {
        if let Some(service) = root.get("service") {
            check.within("ports", |check| ports(check, entries(service, "ports")));
        }
    });
    check.within("containers", |check| {
        let containers = entries(root, "containers");
        for container in containers {
            check.within(&container.key, |check| {
                self::container(check, &container.node, &names);
                before(check, container, containers);
            });
        }
        before_ends(check, containers);
    });
    check.within("resources", |check| {
        for resource in names.resources {
            check.within(&resource.key, |check| {
                if let Some(params) = resource.node.get("params") {
                    check.within("params", |check| {
                        placeholders_within(check, params, &names);
                    });
                }
            });
        }
        resources_end(check, names.resources);
    });
}

fn entries<'n>(node: &'n Node, key: &str) -> &'n [Entry] {
    node.get(key).map_or(&[], Node::entries)
}

/// What a placeholder may refer to.
struct Names<'n> {
    metadata: Option<&'n Node>,
    resources: &'n [Entry],
    /// Resources that volumes name, declared or not.
    volumes: BTreeSet<&'n str>,
}

/// What volumes of containers name by a plain name.
fn plain_volumes(root: &Node) -> BTreeSet<&str> {
    let containers = entries(root, "containers").iter();
    let volumes = containers.filter_map(|container| container.node.get("volumes"));
    let each = volumes.flat_map(|volumes| {
        let fields = volumes.entries().iter().map(|entry| &entry.node);
        volumes.items().iter().chain(fields)
    });
    let sources = each.filter_map(|volume| volume.get("source")?.text());
    sources.filter(|source| is_plain(source)).collect()
}

/// Where a placeholder stands, as far as it matters to what it may refer to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// A text.
    Text,
    /// A volume's source: `${resources.data}` without an output is the volume.
    Volume,
}

fn ports(check: &mut Check<'_>, ports: &[Entry]) {
    let mut seen: BTreeMap<(u64, &str), &str> = BTreeMap::new();
    for port in ports {
        let Some(Content::Number(number)) = port.node.get("port").map(|node| &node.content) else {
            continue;
        };
        let protocol = port.node.get("protocol").and_then(Node::text);
        let place = (number.as_u64().unwrap_or(0), protocol.unwrap_or("TCP"));
        if let Some(other) = seen.insert(place, &port.key) {
            check.within(&port.key, |check| {
                check.wrong(
                    "score/duplicate",
                    port.node.get("port").and_then(|node| node.span),
                    format!("port {number} is `{other}`'s already"),
                    "give each port a number of its own",
                );
            });
        }
    }
}

fn container(check: &mut Check<'_>, container: &Node, names: &Names<'_>) {
    check.within("variables", |check| {
        for variable in entries(container, "variables") {
            check.within(&variable.key, |check| {
                placeholders(check, &variable.node, names, Place::Text);
            });
        }
    });
    check.within("files", |check| {
        for (target, file) in by_target(check, container.get("files")) {
            check.within(&target, |check| self::file(check, file, names));
        }
    });
    check.within("volumes", |check| {
        for (target, volume) in by_target(check, container.get("volumes")) {
            check.within(&target, |check| {
                if let Some(source) = volume.get("source") {
                    check.within("source", |check| {
                        placeholders(check, source, names, Place::Volume);
                    });
                }
            });
        }
    });
}

/// The items of a map by target or of a list with targets; the names are those of the present form.
fn by_target<'n>(check: &mut Check<'_>, node: Option<&'n Node>) -> Vec<(String, &'n Node)> {
    let Some(node) = node else {
        return Vec::new();
    };
    let mut seen = BTreeSet::new();
    for (index, item) in node.items().iter().enumerate() {
        let Some(target) = item.get("target") else {
            continue;
        };
        if !target.text().is_none_or(|text| seen.insert(text)) {
            check.within(&index.to_string(), |check| {
                check.within("target", |check| {
                    check.wrong(
                        "score/duplicate",
                        target.span,
                        format!("`{}` is there twice", target.text().unwrap_or_default()),
                        "give each its own target",
                    );
                });
            });
        }
    }
    let items = node.items().iter().enumerate();
    let items = items.map(|(index, item)| (index.to_string(), item));
    let fields = node.entries().iter();
    items
        .chain(fields.map(|entry| (entry.key.clone(), &entry.node)))
        .collect()
}

fn file(check: &mut Check<'_>, file: &Node, names: &Names<'_>) {
    const FORMS: [&str; 3] = ["source", "content", "binaryContent"];
    if !matches!(file.content, Content::Map(_)) {
        return;
    }
    let given: Vec<&str> = FORMS
        .into_iter()
        .filter(|form| file.get(form).is_some())
        .collect();
    match given.as_slice() {
        [] => check.wrong(
            "score/missing-field",
            file.span,
            "a file needs one of `source`, `content` and `binaryContent`",
            "add `content` with the text, or `source` with the path of a file",
        ),
        [_] => {}
        [first, others @ ..] => {
            for other in others {
                check.within(other, |check| {
                    check.wrong(
                        "score/one-of",
                        file.entry(other).and_then(|entry| entry.key_span),
                        format!("`{other}` and `{first}` exclude each other"),
                        "keep one of `source`, `content` and `binaryContent`",
                    );
                });
            }
        }
    }
    let expands = !matches!(
        file.get("noExpand").map(|node| &node.content),
        Some(Content::Bool(true))
    );
    if let Some(content) = file.get("content").filter(|_| expands) {
        check.within("content", |check| {
            placeholders(check, content, names, Place::Text);
        });
    }
}

fn placeholders_within(check: &mut Check<'_>, node: &Node, names: &Names<'_>) {
    match &node.content {
        Content::Text(_) => placeholders(check, node, names, Place::Text),
        Content::List(items) => {
            for (index, item) in items.iter().enumerate() {
                check.within(&index.to_string(), |check| {
                    placeholders_within(check, item, names);
                });
            }
        }
        Content::Map(fields) => {
            for field in fields {
                check.within(&field.key, |check| {
                    placeholders_within(check, &field.node, names);
                });
            }
        }
        _ => {}
    }
}

fn placeholders(check: &mut Check<'_>, node: &Node, names: &Names<'_>, place: Place) {
    let Some(text) = node.text() else {
        return;
    };
    let template = match Template::parse(text) {
        Ok(template) => template,
        Err(malformed) => {
            let wanted = &text[malformed.offset..malformed.offset + malformed.length];
            let nth = text[..malformed.offset].matches(wanted).count();
            let span = check.find(node.span, wanted, nth);
            check.wrong(
                "score/placeholder",
                span,
                malformed.reason,
                "write `${resources.NAME.OUTPUT}`, or `$${` for a `${` that is no placeholder",
            );
            return;
        }
    };
    for reference in template.references() {
        if let Err((message, remedy)) = refers(reference, names, place)
            && !check.is_full()
        {
            let wanted = reference.to_string();
            let nth = text[..reference.offset].matches(&wanted).count();
            let span = check.find(node.span, &wanted, nth);
            check.wrong("score/placeholder", span, message, remedy);
        }
    }
}

/// Whether there is what `reference` speaks of; what is wrong and how to mend it where not.
fn refers(reference: &Reference, names: &Names<'_>, place: Place) -> Result<(), (String, String)> {
    let path = reference.names();
    match path.as_slice() {
        ["metadata", below @ ..] if !below.is_empty() => {
            let mut at = names.metadata;
            for name in below {
                let known = at;
                at = at.and_then(|node| node.get(name));
                if at.is_none() {
                    let known = known.map_or(&[][..], Node::entries);
                    return Err((
                        format!("`{reference}`: the metadata has no `{}`", shortened(name)),
                        meant(name, known, "add it to `metadata`"),
                    ));
                }
            }
            Ok(())
        }
        ["resources", name, outputs @ ..] => {
            let is_declared = names.resources.iter().any(|entry| entry.key == *name);
            if !is_declared && !names.volumes.contains(name) {
                let message = format!("`{reference}`: there is no resource `{}`", shortened(name));
                let or = "add it to `resources`; a dot within a name is written `\\.`";
                return Err((message, meant(name, names.resources, or)));
            }
            if outputs.is_empty() && place == Place::Text {
                return Err((
                    format!("`{reference}` names a resource, and none of its outputs"),
                    format!("write an output: `${{{}.host}}`", reference.text),
                ));
            }
            Ok(())
        }
        _ => Err((
            format!("`{}` is not known here", shortened(&reference.to_string())),
            "placeholders begin with `${metadata.` or `${resources.`; write `$${` for a `${` that \
             is no placeholder"
                .to_owned(),
        )),
    }
}

fn meant(name: &str, known: &[Entry], or: &str) -> String {
    let names = || known.iter().map(|entry| entry.key.as_str());
    match suggest::nearest(name, names()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => or.to_owned(),
        None => format!("{or}; there are {}", list(names().take(20), "and")),
    }
}

fn before(check: &mut Check<'_>, container: &Entry, containers: &[Entry]) {
    check.within("before", |check| {
        for waiting in entries(&container.node, "before") {
            check.within(&waiting.key, |check| {
                if waiting.key == container.key {
                    check.wrong(
                        "score/before",
                        waiting.key_span,
                        "a container cannot wait for itself",
                        "remove it, or name another container",
                    );
                } else if !containers.iter().any(|other| other.key == waiting.key) {
                    check.wrong(
                        "score/before",
                        waiting.key_span,
                        format!("there is no container `{}`", shortened(&waiting.key)),
                        meant(
                            &waiting.key,
                            containers,
                            "name a container of this workload",
                        ),
                    );
                }
            });
        }
    });
}

fn before_ends(check: &mut Check<'_>, containers: &[Entry]) {
    let graph: BTreeMap<&str, Vec<&str>> = containers
        .iter()
        .map(|container| {
            let waiting = entries(&container.node, "before").iter();
            let others = waiting.map(|entry| entry.key.as_str());
            let others = others.filter(|other| *other != container.key);
            (container.key.as_str(), others.collect())
        })
        .collect();
    if let Some(cycle) = cycle(&graph) {
        let first = containers.iter().find(|entry| entry.key == cycle[0]);
        let span = first
            .and_then(|entry| entry.node.get("before"))
            .and_then(|node| node.entry(cycle[1]))
            .and_then(|entry| entry.key_span);
        check.wrong(
            "score/before",
            span,
            format!("containers wait for each other: {}", cycle.join(" → ")),
            "remove one `before` of the circle",
        );
    }
}

/// Parameters of a resource may refer to outputs of others; somewhere that must end.
fn resources_end(check: &mut Check<'_>, resources: &[Entry]) {
    let known: BTreeSet<&str> = resources.iter().map(|entry| entry.key.as_str()).collect();
    let graph: BTreeMap<&str, Vec<&str>> = resources
        .iter()
        .map(|resource| {
            let params = resource.node.get("params").map(Node::to_json);
            let others = params.map(|params| referred(&params)).unwrap_or_default();
            let others = others.iter().filter_map(|name| known.get(name.as_str()));
            (resource.key.as_str(), others.copied().collect())
        })
        .collect();
    if let Some(cycle) = cycle(&graph) {
        let first = resources.iter().find(|entry| entry.key == cycle[0]);
        let params = first.and_then(|entry| entry.node.entry("params"));
        check.wrong(
            "score/cycle",
            params.and_then(|entry| entry.key_span),
            format!("resources refer to each other: {}", cycle.join(" → ")),
            "remove one placeholder of the circle",
        );
    }
}

/// The resources that placeholders in `params` refer to.
pub(super) fn referred(params: &Value) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    super::placeholder::for_each_text(params, &mut Vec::new(), &mut |_, text| {
        let template = Template::parse(text).unwrap_or_default();
        for reference in template.references() {
            if let ["resources", name, ..] = reference.names().as_slice() {
                names.insert((*name).to_owned());
            }
        }
    });
    names
}

/// A circle in `graph`, its first name again at its end.
fn cycle<'n>(graph: &BTreeMap<&'n str, Vec<&'n str>>) -> Option<Vec<&'n str>> {
    // Takes away what waits for nothing that is left, until nothing changes: what stays has a circle.
    let mut left: BTreeSet<&str> = graph.keys().copied().collect();
    loop {
        let ends: Vec<&str> = left
            .iter()
            .filter(|name| !graph[*name].iter().any(|next| left.contains(next)))
            .copied()
            .collect();
        if ends.is_empty() {
            break;
        }
        for name in ends {
            left.remove(name);
        }
    }
    let mut walk = vec![*left.first()?];
    loop {
        let last = walk[walk.len() - 1];
        let next = *graph[last].iter().find(|next| left.contains(*next))?;
        if let Some(start) = walk.iter().position(|name| *name == next) {
            walk.push(next);
            return Some(walk.split_off(start));
        }
        walk.push(next);
    }
}
