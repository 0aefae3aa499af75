//! The resource graph as SVG: workloads on the left, what they need in columns to the right.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use delivery::{api::GraphAnswer, model::NodeId};

use super::graph::{phase, unnamed_roots};

const BOX_WIDTH: usize = 230;
const BOX_HEIGHT: usize = 58;
/// Between two columns: room for what workloads call a resource.
const GAP: usize = 140;
const COLUMN: usize = BOX_WIDTH + GAP;
const ROW: usize = BOX_HEIGHT + 22;
const MARGIN: usize = 20;

/// A longer word is cut: it would leave its box.
const MAX_LETTERS: usize = 34;
/// The same between two boxes.
const MAX_LABEL_LETTERS: usize = 21;

/// What is drawn as a box.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Item<'a> {
    Workload(&'a str),
    Node(&'a NodeId),
}

/// A drawing that stands alone: no script, no outside reference. The same graph gives the same bytes.
pub(crate) fn svg(answer: &GraphAnswer) -> String {
    let places = places(answer);
    let columns = places
        .values()
        .map(|(column, _)| column + 1)
        .max()
        .unwrap_or(1);
    let rows = places.values().map(|(_, row)| row + 1).max().unwrap_or(1);
    let width = 2 * MARGIN + (columns - 1) * COLUMN + BOX_WIDTH;
    let height = 2 * MARGIN + (rows - 1) * ROW + BOX_HEIGHT;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
    );
    for (workload, resources) in &answer.graph.workloads {
        for id in resources.values() {
            edge(&mut text, &places, Item::Workload(workload), Item::Node(id));
        }
    }
    for (id, node) in &answer.graph.nodes {
        for needed in &node.depends_on {
            edge(&mut text, &places, Item::Node(id), Item::Node(needed));
        }
    }
    for (id, names) in names(answer) {
        if let Some(place) = places.get(&Item::Node(id)) {
            label(&mut text, &names, *place);
        }
    }
    for (item, place) in &places {
        draw(&mut text, answer, *item, *place);
    }
    text.push_str("</svg>\n");
    text
}

/// What workloads call each resource, each name once: several may share one under one name or many.
fn names(answer: &GraphAnswer) -> BTreeMap<&NodeId, BTreeSet<&str>> {
    let mut names: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for (name, id) in answer.graph.workloads.values().flatten() {
        names.entry(id).or_default().insert(name.as_str());
    }
    names
}

/// Column and row of each item. A node stands right of everything that needs it.
fn places(answer: &GraphAnswer) -> BTreeMap<Item<'_>, (usize, usize)> {
    let graph = &answer.graph;
    let mut columns: BTreeMap<&NodeId, usize> = BTreeMap::new();
    for id in graph.workloads.values().flat_map(|w| w.values()) {
        columns.insert(id, 1);
    }
    for id in unnamed_roots(graph) {
        columns.insert(id, 1);
    }
    // Longest path: as many rounds as there are nodes settle an acyclic graph, and end on any.
    for _ in 0..graph.nodes.len() {
        let mut moved = false;
        for (id, node) in &graph.nodes {
            let column = columns.get(id).copied().unwrap_or(1);
            for needed in &node.depends_on {
                let place = columns.entry(needed).or_insert(0);
                if *place <= column {
                    *place = column + 1;
                    moved = true;
                }
            }
        }
        if !moved {
            break;
        }
    }
    let mut next_row: BTreeMap<usize, usize> = BTreeMap::new();
    let workloads = graph.workloads.keys().map(|name| (Item::Workload(name), 0));
    let nodes = graph
        .nodes
        .keys()
        .map(|id| (Item::Node(id), columns.get(id).copied().unwrap_or(1)));
    workloads
        .chain(nodes)
        .map(|(item, column)| {
            let row = next_row.entry(column).or_default();
            *row += 1;
            (item, (column, *row - 1))
        })
        .collect()
}

fn corner((column, row): (usize, usize)) -> (usize, usize) {
    (MARGIN + column * COLUMN, MARGIN + row * ROW)
}

fn edge(
    text: &mut String,
    places: &BTreeMap<Item<'_>, (usize, usize)>,
    from: Item<'_>,
    to: Item<'_>,
) {
    let (Some(from), Some(to)) = (places.get(&from), places.get(&to)) else {
        return;
    };
    let ((x1, y1), (x2, y2)) = (corner(*from), corner(*to));
    let (x1, y1, y2) = (x1 + BOX_WIDTH, y1 + BOX_HEIGHT / 2, y2 + BOX_HEIGHT / 2);
    let bend = 45;
    let _ = writeln!(
        text,
        "<path d=\"M{x1} {y1} C{} {y1} {} {y2} {x2} {y2}\" fill=\"none\" stroke=\"#8a94a6\" stroke-width=\"1.5\"/>",
        x1 + bend,
        x2.saturating_sub(bend),
    );
}

/// Left of the box at `place`, above the line that leads to it; whole where the pointer rests.
fn label(text: &mut String, names: &BTreeSet<&str>, place: (usize, usize)) {
    let whole = names.iter().copied().collect::<Vec<_>>().join(", ");
    let (x, y) = corner(place);
    let _ = writeln!(
        text,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"end\" font-size=\"11\" fill=\"#5b6472\" stroke=\"#ffffff\" stroke-width=\"3\" paint-order=\"stroke\">{}<title>{}</title></text>",
        x.saturating_sub(6),
        y + BOX_HEIGHT / 2 - 6,
        escaped(&cut(&whole, MAX_LABEL_LETTERS)),
        escaped(&whole),
    );
}

fn draw(text: &mut String, answer: &GraphAnswer, item: Item<'_>, place: (usize, usize)) {
    let (x, y) = corner(place);
    let (lines, fill, stroke) = match item {
        Item::Workload(name) => (
            vec![name.to_owned(), "workload".into()],
            "#e8f0fe",
            "#1a56db",
        ),
        Item::Node(id) => {
            let word = phase(answer, id);
            let made_by = answer.graph.nodes[id].definition.to_string();
            let below = if word.is_empty() {
                made_by
            } else {
                format!("{made_by} · {word}")
            };
            let stroke = match word {
                "ready" => "#0e7a4b",
                "failed" => "#b42318",
                "retrying" | "removing" => "#b25e09",
                _ => "#5b6472",
            };
            let kind = format!("{} ({})", id.resource_type, id.class);
            (vec![kind, id.id.clone(), below], "#f7f8fa", stroke)
        }
    };
    let _ = writeln!(
        text,
        "<rect x=\"{x}\" y=\"{y}\" width=\"{BOX_WIDTH}\" height=\"{BOX_HEIGHT}\" rx=\"8\" fill=\"{fill}\" stroke=\"{stroke}\" stroke-width=\"1.5\"/>",
    );
    for (index, line) in lines.iter().enumerate() {
        let weight = if index == 0 {
            " font-weight=\"bold\""
        } else {
            ""
        };
        let _ = writeln!(
            text,
            "<text x=\"{}\" y=\"{}\" fill=\"#1f2733\"{weight}>{}</text>",
            x + 10,
            y + 18 + index * 16,
            escaped(&cut(line, MAX_LETTERS)),
        );
    }
}

fn cut(text: &str, letters: usize) -> String {
    if text.chars().count() <= letters {
        return text.into();
    }
    let short: String = text.chars().take(letters - 1).collect();
    format!("{short}…")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::graph::tests::{example, id};

    #[test]
    fn as_svg() {
        insta::assert_snapshot!(svg(&example()));
    }

    #[test]
    fn what_is_needed_stands_right_of_who_needs_it() {
        let answer = example();
        let places = places(&answer);
        let column = |text: &str| places[&Item::Node(&id(text))].0;
        assert_eq!(places[&Item::Workload("notes")].0, 0);
        assert_eq!(column("postgres.default#notes.db"), 1);
        assert_eq!(column("server.default#main"), 2);
        assert_eq!(column("dns.default#notes.\"web\""), 2);
    }

    #[test]
    fn one_that_is_shared_is_named_once_in_one_place() {
        let mut answer = example();
        let (_, resources) = answer.graph.workloads.first_key_value().unwrap();
        let mut resources = resources.clone();
        let shared = resources["db"].clone();
        resources.insert("a-name-as-long-as-any-that-is-met".into(), shared.clone());
        answer.graph.workloads.insert("other".into(), resources);
        let names = names(&answer);
        assert_eq!(
            Vec::from_iter(&names[&shared]),
            [&"a-name-as-long-as-any-that-is-met", &"db"]
        );
        let drawing = svg(&answer);
        assert!(
            drawing.contains(">a-name-as-long-as-an…<title>a-name-as-long-as-any-that-is-met, db<")
        );
    }

    #[test]
    fn names_cannot_break_out_of_the_drawing() {
        assert_eq!(
            escaped("<a href=\"x\">&"),
            "&lt;a href=&quot;x&quot;&gt;&amp;"
        );
    }
}
