//! The resource graph as text and as DOT.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use delivery::{
    api::GraphAnswer,
    model::{Graph, InstancePhase, NodeId},
};

/// How far a node is, in a word; empty where it has not been begun.
pub(crate) fn phase(answer: &GraphAnswer, node: &NodeId) -> &'static str {
    answer
        .phases
        .get(&node.to_string())
        .map_or("", |phase| phase_word(*phase))
}

/// A phase in a word.
pub(crate) fn phase_word(phase: InstancePhase) -> &'static str {
    match phase {
        InstancePhase::Pending => "pending",
        InstancePhase::Ready => "ready",
        InstancePhase::Retrying => "retrying",
        InstancePhase::Failed => "failed",
        InstancePhase::Removing => "removing",
    }
}

/// The state of a resource in a word: one whose server is away is still as it was, and is not to be
/// taken for one that was seen.
pub(crate) fn state_word(phase: InstancePhase, unreachable: bool) -> &'static str {
    if unreachable {
        "unreachable"
    } else {
        phase_word(phase)
    }
}

/// What nothing asks for by name: co-provisioned resources, and what the environment itself has.
pub(crate) fn unnamed_roots(graph: &Graph) -> Vec<&NodeId> {
    let mut named: BTreeSet<&NodeId> = graph.workloads.values().flat_map(|w| w.values()).collect();
    named.extend(graph.nodes.values().flat_map(|node| &node.depends_on));
    graph
        .nodes
        .keys()
        .filter(|id| !named.contains(id))
        .collect()
}

/// A tree for each workload; what several need is shown once and named after that.
pub(crate) fn text(answer: &GraphAnswer) -> String {
    let graph = &answer.graph;
    if graph.nodes.is_empty() && graph.workloads.is_empty() {
        return "nothing is deployed here".into();
    }
    let mut tree = Tree {
        answer,
        shown: BTreeSet::new(),
        text: String::new(),
    };
    for (workload, resources) in &graph.workloads {
        let _ = writeln!(tree.text, "{workload}");
        let children: Vec<(String, &NodeId)> = resources
            .iter()
            .map(|(name, id)| (format!("{name}: "), id))
            .collect();
        tree.children(&children, "");
    }
    let roots: Vec<(String, &NodeId)> = unnamed_roots(graph)
        .into_iter()
        .map(|id| (String::new(), id))
        .collect();
    if !roots.is_empty() {
        tree.text.push_str("(made along)\n");
        tree.children(&roots, "");
    }
    tree.text
}

struct Tree<'a> {
    answer: &'a GraphAnswer,
    shown: BTreeSet<&'a NodeId>,
    text: String,
}

impl<'a> Tree<'a> {
    fn children(&mut self, children: &[(String, &'a NodeId)], indent: &str) {
        for (index, (name, id)) in children.iter().enumerate() {
            let last = index + 1 == children.len();
            let (branch, below) = if last {
                ("└─ ", "   ")
            } else {
                ("├─ ", "│  ")
            };
            let _ = write!(self.text, "{indent}{branch}{name}{id}");
            let Some(node) = self.answer.graph.nodes.get(*id) else {
                self.text.push('\n');
                continue;
            };
            if !self.shown.insert(*id) {
                self.text.push_str("  (above)\n");
                continue;
            }
            let _ = write!(self.text, "  by {}", node.definition);
            match phase(self.answer, id) {
                "" => self.text.push('\n'),
                word => {
                    let _ = writeln!(self.text, "  [{word}]");
                }
            }
            let next: Vec<(String, &NodeId)> = node
                .depends_on
                .iter()
                .map(|id| (String::new(), id))
                .collect();
            self.children(&next, &format!("{indent}{below}"));
        }
    }
}

/// Graphviz.
pub(crate) fn dot(answer: &GraphAnswer) -> String {
    let graph = &answer.graph;
    let mut text = String::from(
        "digraph towpath {\n  rankdir=LR;\n  node [shape=box, style=rounded, fontname=\"sans-serif\"];\n",
    );
    for (workload, resources) in &graph.workloads {
        let name = quoted(&format!("workload {workload}"));
        let _ = writeln!(
            text,
            "  {name} [label={}, style=\"rounded,bold\"];",
            quoted(workload)
        );
        for (alias, id) in resources {
            let target = quoted(&id.to_string());
            let _ = writeln!(text, "  {name} -> {target} [label={}];", quoted(alias));
        }
    }
    for (id, node) in &graph.nodes {
        let mut label = format!("{id}\n{}", node.definition);
        match phase(answer, id) {
            "" => {}
            word => label = format!("{label}\n{word}"),
        }
        let name = quoted(&id.to_string());
        let _ = writeln!(text, "  {name} [label={}];", quoted(&label));
        for needed in &node.depends_on {
            let _ = writeln!(text, "  {name} -> {};", quoted(&needed.to_string()));
        }
    }
    text.push_str("}\n");
    text
}

fn quoted(text: &str) -> String {
    let escaped = text
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n");
    format!("\"{escaped}\"")
}

#[cfg(test)]
pub(crate) mod tests {
    use delivery::model::{DefinitionRef, Node};

    use super::*;

    pub(crate) fn id(text: &str) -> NodeId {
        text.to_owned().try_into().unwrap()
    }

    /// Two workloads that share a bucket; a database behind a server; a route that was made along.
    pub(crate) fn example() -> GraphAnswer {
        let mut answer = GraphAnswer::default();
        let mut node = |name: &str, definition: &str, depends_on: &[&str]| {
            let node = Node {
                definition: DefinitionRef {
                    name: definition.into(),
                    revision: 2,
                },
                provisioner: "template".into(),
                params: serde_json::Map::new(),
                aliases: std::collections::BTreeMap::new(),
                depends_on: depends_on.iter().map(|text| id(text)).collect(),
                asked_by: vec![],
                workload: None,
                holds_data: false,
            };
            answer.graph.nodes.insert(id(name), node);
        };
        node(
            "postgres.default#notes.db",
            "postgres-default",
            &["server.default#main"],
        );
        node(
            "postgres.default#shop.db",
            "postgres-default",
            &["server.default#main"],
        );
        node("server.default#main", "server", &[]);
        node("s3.default#uploads", "s3-default", &[]);
        node(
            "route.default#notes.web",
            "route",
            &["dns.default#notes.\"web\""],
        );
        node("dns.default#notes.\"web\"", "dns", &[]);
        for (workload, resources) in [
            (
                "notes",
                vec![
                    ("db", "postgres.default#notes.db"),
                    ("files", "s3.default#uploads"),
                ],
            ),
            (
                "shop",
                vec![
                    ("db", "postgres.default#shop.db"),
                    ("files", "s3.default#uploads"),
                ],
            ),
        ] {
            let resources = resources
                .into_iter()
                .map(|(n, i)| (n.to_owned(), id(i)))
                .collect();
            answer.graph.workloads.insert(workload.into(), resources);
        }
        answer
            .phases
            .insert("server.default#main".into(), InstancePhase::Ready);
        answer
            .phases
            .insert("postgres.default#notes.db".into(), InstancePhase::Retrying);
        answer
    }

    #[test]
    fn as_text() {
        insta::assert_snapshot!(text(&example()));
        assert_eq!(text(&GraphAnswer::default()), "nothing is deployed here");
    }

    #[test]
    fn as_dot() {
        insta::assert_snapshot!(dot(&example()));
    }
}
