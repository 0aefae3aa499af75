//! A document as a tree that remembers where each piece of it stands.

use kernel::Location;
use serde_json::{Map, Number, Value};

/// The texts that a tree was read from.
#[derive(Debug, Clone, Default)]
pub(super) struct Sources(Vec<Source>);

/// A text under its name.
#[derive(Debug, Clone)]
struct Source {
    name: String,
    text: String,
    /// Where each line begins: a file may have as many mistakes as lines, and is not read again for each.
    lines: Vec<usize>,
}

impl Source {
    /// The lines from number `first` (from 0) on, without their ends.
    fn lines_from(&self, first: usize) -> std::str::Lines<'_> {
        let begin = self.lines.get(first).copied();
        self.text[begin.unwrap_or(self.text.len())..].lines()
    }
}

impl Sources {
    /// Adds a text under the name that the caller gave it.
    pub(super) fn add(&mut self, name: &str, text: &str) -> usize {
        let ends = text.match_indices('\n').map(|(end, _)| end + 1);
        self.0.push(Source {
            name: name.to_owned(),
            text: text.to_owned(),
            lines: std::iter::once(0).chain(ends).collect(),
        });
        self.0.len() - 1
    }

    pub(super) fn name(&self, source: usize) -> &str {
        &self.0[source].name
    }

    fn line(&self, span: Span) -> &str {
        let mut lines = self.0[span.source].lines_from(span.line - 1);
        lines.next().unwrap_or_default()
    }

    /// The text of `span` on its first line.
    pub(super) fn text(&self, span: Span) -> String {
        let line = self.line(span).chars().skip(span.column - 1);
        let text: String = line.take(span.chars).collect();
        text.trim_end().to_owned()
    }

    /// `span` for people: no further than the end of its first line.
    pub(super) fn location(&self, span: Span) -> Location {
        Location {
            file: self.name(span.source).to_owned(),
            line: span.line,
            column: span.column,
            length: self.text(span).chars().count(),
        }
    }

    /// Where the `nth` (from 0) `wanted` stands within `span`; `span` itself where it is written
    /// otherwise there (folded, or with escapes).
    pub(super) fn find(&self, span: Span, wanted: &str, nth: usize) -> Span {
        let text = &self.0[span.source];
        let mut left = span.chars;
        let mut column = span.column;
        let mut nth = nth;
        for (index, line) in text.lines_from(span.line - 1).enumerate() {
            let visible: String = line.chars().skip(column - 1).take(left).collect();
            for (at, _) in visible.match_indices(wanted) {
                if nth == 0 {
                    return Span {
                        line: span.line + index,
                        column: column + visible[..at].chars().count(),
                        chars: wanted.chars().count(),
                        ..span
                    };
                }
                nth -= 1;
            }
            // One more for the line's end.
            let passed = visible.chars().count() + 1;
            if passed > left {
                break;
            }
            left -= passed;
            column = 1;
        }
        span
    }
}

/// A piece of a text. Line and column count from 1; lengths are in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) source: usize,
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) chars: usize,
}

/// A value and where it stands; what came as JSON stands nowhere.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) span: Option<Span>,
    /// From bracket to bracket, of a list or map whose brackets stand on one line.
    pub(super) brackets: Option<Span>,
    pub(super) content: Content,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Content {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A field of a map.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_span: Option<Span>,
    pub(super) node: Node,
}

impl Node {
    /// What stands at `span`, and is not in brackets.
    pub(super) fn new(span: Option<Span>, content: Content) -> Self {
        Self {
            span,
            brackets: None,
            content,
        }
    }

    /// Where the value itself stands, where that can be shown; else its key.
    pub(super) fn value_span(&self) -> Option<Span> {
        self.brackets.or(self.span)
    }

    pub(super) fn from_json(value: &Value) -> Self {
        let content = match value {
            Value::Null => Content::Null,
            Value::Bool(value) => Content::Bool(*value),
            Value::Number(value) => Content::Number(value.clone()),
            Value::String(text) => Content::Text(text.clone()),
            Value::Array(items) => Content::List(items.iter().map(Self::from_json).collect()),
            Value::Object(fields) => Content::Map(
                fields
                    .iter()
                    .map(|(key, value)| Entry {
                        key: key.clone(),
                        key_span: None,
                        node: Self::from_json(value),
                    })
                    .collect(),
            ),
        };
        Self::new(None, content)
    }

    pub(super) fn to_json(&self) -> Value {
        match &self.content {
            Content::Null => Value::Null,
            Content::Bool(value) => Value::Bool(*value),
            Content::Number(value) => Value::Number(value.clone()),
            Content::Text(text) => Value::String(text.clone()),
            Content::List(items) => items.iter().map(Self::to_json).collect(),
            Content::Map(entries) => Value::Object(
                entries
                    .iter()
                    .map(|entry| (entry.key.clone(), entry.node.to_json()))
                    .collect::<Map<_, _>>(),
            ),
        }
    }

    /// The fields, where it is a map; none where it is anything else.
    pub(super) fn entries(&self) -> &[Entry] {
        match &self.content {
            Content::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items, where it is a list; none where it is anything else.
    pub(super) fn items(&self) -> &[Node] {
        match &self.content {
            Content::List(items) => items,
            _ => &[],
        }
    }

    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.node)
    }

    pub(super) fn entries_mut(&mut self) -> &mut [Entry] {
        match &mut self.content {
            Content::Map(entries) => entries,
            _ => &mut [],
        }
    }

    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        let mut entries = self.entries_mut().iter_mut();
        entries
            .find(|entry| entry.key == key)
            .map(|entry| &mut entry.node)
    }

    pub(super) fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Text(text) => Some(text),
            _ => None,
        }
    }

    /// How many values there are in it, itself included.
    pub(super) fn size(&self) -> usize {
        1 + match &self.content {
            Content::List(items) => items.iter().map(Self::size).sum(),
            Content::Map(entries) => entries.iter().map(|entry| entry.node.size()).sum(),
            _ => 0,
        }
    }

    /// How many values deep it is: 1 for a scalar.
    pub(super) fn depth(&self) -> usize {
        let children: Box<dyn Iterator<Item = &Node>> = match &self.content {
            Content::List(items) => Box::new(items.iter()),
            Content::Map(entries) => Box::new(entries.iter().map(|entry| &entry.node)),
            _ => return 1,
        };
        1 + children.map(Self::depth).max().unwrap_or(0)
    }

    /// What is right below: an item of a list by its index, or by its `target`.
    fn child(&self, name: &str) -> Option<&Self> {
        let Content::List(items) = &self.content else {
            return self.get(name);
        };
        let mut items = items.iter().enumerate();
        items
            .find(|(index, item)| {
                index.to_string() == name || item.get("target").and_then(Self::text) == Some(name)
            })
            .map(|(_, item)| item)
    }

    /// The value at `path`.
    fn at(&self, path: &[String]) -> Option<&Self> {
        path.iter().try_fold(self, |node, name| node.child(name))
    }

    /// Where `path` stands, or the nearest thing above it that stands somewhere.
    pub(super) fn locate(&self, path: &[String]) -> Option<Span> {
        let Some((first, rest)) = path.split_first() else {
            return self.span;
        };
        let named = self.entry(first).filter(|_| rest.is_empty());
        let below = self.child(first).and_then(|node| node.locate(rest));
        below.or_else(|| named?.key_span).or(self.span)
    }

    /// Where the value at `path` stands, brackets and all; else as [`Node::locate`] says.
    pub(super) fn locate_value(&self, path: &[String]) -> Option<Span> {
        let brackets = self.at(path).and_then(|node| node.brackets);
        brackets.or_else(|| self.locate(path))
    }

    /// Where the name of the field at `path` stands; else as [`Node::locate`] says.
    pub(super) fn locate_name(&self, path: &[String]) -> Option<Span> {
        let (name, above) = path.split_last()?;
        let field = self.at(above).and_then(|node| node.entry(name));
        let key = field.and_then(|entry| entry.key_span);
        key.or_else(|| self.locate(path))
    }
}
