//! YAML to a tree, within limits that hold whatever the input is.

use std::collections::{HashMap, HashSet};

use kernel::Problem;
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};

use super::{
    scalar::plain,
    tree::{Content, Entry, Node, Sources, Span},
};

/// Reading ends at so many keys that are there twice: the file is broken as a whole.
const MAX_DUPLICATES: usize = 20;

/// So many empty lines are passed over to find the tab that a mistake is about.
const MOST_BLANK: usize = 100;

/// What an input may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of one file, Score file or `source` alike.
    pub file_bytes: usize,
    /// How deep lists and maps may stand in each other.
    pub depth: usize,
    /// Values in one document, what aliases repeat included.
    pub nodes: usize,
}

impl Default for Limits {
    /// 1 MiB, 64 deep, 20,000 values: far beyond any workload that people write, and few enough that
    /// whatever compares them with each other ends soon.
    fn default() -> Self {
        Self {
            file_bytes: 1 << 20,
            depth: 64,
            nodes: 20_000,
        }
    }
}

/// Reads bytes as text: within the limit, and UTF-8.
pub(super) fn decode<'b>(name: &str, bytes: &'b [u8], limits: &Limits) -> Result<&'b str, Problem> {
    if bytes.len() > limits.file_bytes {
        return Err(Problem::new(
            "score/too-large",
            "",
            format!(
                "{name} has {} bytes, and {} is the most",
                bytes.len(),
                limits.file_bytes
            ),
        )
        .remedy("move data out of it: into a file that `source` names, or into the image"));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        let before = String::from_utf8_lossy(&bytes[..at]);
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        Problem::new(
            "score/encoding",
            "",
            format!(
                "{name} is not UTF-8: byte {:#04x} at offset {at}",
                bytes[at]
            ),
        )
        .remedy("save the file as UTF-8; bytes that are not text go into `binaryContent`")
        .at(kernel::Location {
            file: name.to_owned(),
            line,
            column,
            length: 0,
        })
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// Reads the documents in `text`, which is `sources`' text number `source`. Empty documents are
/// passed over.
pub(super) fn read(
    sources: &Sources,
    source: usize,
    text: &str,
    limits: &Limits,
) -> (Vec<Node>, Vec<Problem>) {
    let mut reader = Reader {
        sources,
        source,
        limits,
        stack: Vec::new(),
        anchors: HashMap::new(),
        nodes: 0,
        documents: Vec::new(),
        problems: Vec::new(),
    };
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let proceed = match event {
            Ok((event, span)) => reader.event(event, span),
            Err(error) => {
                let problem = reader.malformed(text, &error);
                Err(problem)
            }
        };
        if let Err(problem) = proceed {
            reader.problems.push(problem);
            break;
        }
    }
    (reader.documents, reader.problems)
}

/// The column, from 1, of the first tab in what a line is indented by.
fn tab_of(line: &str) -> Option<usize> {
    let indent = &line[..line.len() - line.trim_start().len()];
    Some(indent.chars().position(|c| c == '\t')? + 1)
}

struct Reader<'a> {
    sources: &'a Sources,
    source: usize,
    limits: &'a Limits,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    documents: Vec<Node>,
    problems: Vec<Problem>,
}

/// A list or map that is not yet closed.
struct Frame {
    span: Span,
    anchor: usize,
    items: Vec<Node>,
    map: Option<Fields>,
}

#[derive(Default)]
struct Fields {
    entries: Vec<Entry>,
    seen: HashSet<String>,
    key: Option<Key>,
    merged: Vec<Node>,
}

/// A key that waits for its value.
struct Key {
    name: String,
    span: Span,
    merge: bool,
    duplicate: bool,
}

impl Reader<'_> {
    fn event(&mut self, event: Event<'_>, at: saphyr_parser::Span) -> Result<(), Problem> {
        let chars = if at.start.line() == at.end.line() {
            at.end.col().saturating_sub(at.start.col())
        } else {
            at.end.index().saturating_sub(at.start.index())
        };
        let span = Span {
            source: self.source,
            line: at.start.line().max(1),
            column: at.start.col() + 1,
            chars,
        };
        match event {
            Event::SequenceStart(anchor, tag) => self.open(anchor, tag.as_deref(), span, None),
            Event::MappingStart(anchor, tag) => {
                self.open(anchor, tag.as_deref(), span, Some(Fields::default()))
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(at.start),
            Event::Scalar(text, style, anchor, tag) => {
                let is_key = self.expects_key();
                if is_key && anchor == 0 {
                    return self.key(&text, style, span);
                }
                let content = self.scalar(&text, style, tag.as_deref(), span)?;
                self.add(Node::new(Some(span), content), anchor)
            }
            Event::Alias(anchor) => {
                let Some(mut node) = self.anchors.get(&anchor).cloned() else {
                    return Err(self.problem(
                        "score/alias",
                        span,
                        "the alias stands within what it refers to",
                        "write the value out",
                    ));
                };
                self.count(node.size(), span)?;
                if self.stack.len() + node.depth() > self.limits.depth {
                    return Err(self.too_deep(span));
                }
                // They stand where the anchor does.
                node.brackets = None;
                self.add_counted(node, 0)
            }
            Event::DocumentStart(_) => {
                self.nodes = 0;
                self.anchors.clear();
                Ok(())
            }
            Event::DocumentEnd | Event::StreamStart | Event::StreamEnd | Event::Nothing => Ok(()),
        }
    }

    fn expects_key(&self) -> bool {
        let map = self.stack.last().and_then(|frame| frame.map.as_ref());
        map.is_some_and(|map| map.key.is_none())
    }

    fn key(&mut self, key: &str, style: ScalarStyle, span: Span) -> Result<(), Problem> {
        self.count(1, span)?;
        let merge = key == "<<" && style == ScalarStyle::Plain;
        let duplicate = {
            let frame = self.stack.last_mut().expect("a key stands in a map");
            let fields = frame.map.as_mut().expect("a key stands in a map");
            let duplicate = !merge && !fields.seen.insert(key.to_owned());
            fields.key = Some(Key {
                name: key.to_owned(),
                span,
                merge,
                duplicate,
            });
            duplicate
        };
        if duplicate {
            let problem = self.problem(
                "score/duplicate-key",
                span,
                &format!("`{key}` is there twice"),
                "keep one of the two",
            );
            if self.problems.len() >= MAX_DUPLICATES {
                return Err(problem);
            }
            self.problems.push(problem);
        }
        Ok(())
    }

    fn open(
        &mut self,
        anchor: usize,
        tag: Option<&Tag>,
        span: Span,
        map: Option<Fields>,
    ) -> Result<(), Problem> {
        if self.expects_key() {
            return Err(self.problem(
                "score/yaml",
                span,
                "a list or map cannot be a key here",
                "write a plain name before the colon; put text with `{`, `[` or `${` in quotes",
            ));
        }
        let expected = if map.is_some() { "map" } else { "seq" };
        if tag.is_some_and(|tag| !(tag.is_yaml_core_schema() && tag.suffix == expected)) {
            return Err(self.unknown_tag(span));
        }
        if self.stack.len() >= self.limits.depth {
            return Err(self.too_deep(span));
        }
        self.count(1, span)?;
        self.stack.push(Frame {
            span,
            anchor,
            items: Vec::new(),
            map,
        });
        Ok(())
    }

    fn close(&mut self, end: Marker) -> Result<(), Problem> {
        let frame = self.stack.pop().expect("the parser closes what it opened");
        let mut span = frame.span;
        // A block begins with no character of its own. The closing bracket counts, and columns are from 0 there.
        let is_line = span.chars > 0 && end.line() == span.line;
        let brackets = is_line.then(|| Span {
            chars: (end.col() + 2).saturating_sub(span.column),
            ..span
        });
        let content = match frame.map {
            None => Content::List(frame.items),
            Some(mut fields) => {
                for node in fields.merged {
                    for entry in node.entries() {
                        if fields.seen.insert(entry.key.clone()) {
                            fields.entries.push(entry.clone());
                        }
                    }
                }
                if span.chars == 0
                    && let Some(first) = fields.entries.first().and_then(|e| e.key_span)
                    && first.line == span.line
                {
                    span = first;
                }
                Content::Map(fields.entries)
            }
        };
        let node = Node {
            brackets,
            ..Node::new(Some(span), content)
        };
        self.add_counted(node, frame.anchor)
    }

    fn add(&mut self, node: Node, anchor: usize) -> Result<(), Problem> {
        if let Some(span) = node.span {
            self.count(1, span)?;
        }
        self.add_counted(node, anchor)
    }

    fn add_counted(&mut self, mut node: Node, anchor: usize) -> Result<(), Problem> {
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(frame) = self.stack.last_mut() else {
            if node.content != Content::Null {
                self.documents.push(node);
            }
            return Ok(());
        };
        let Some(fields) = &mut frame.map else {
            frame.items.push(node);
            return Ok(());
        };
        let Some(key) = fields.key.take() else {
            // An alias or an anchored scalar as a key.
            let span = node.span.unwrap_or(frame.span);
            let Content::Text(key) = node.content else {
                return Err(self.problem(
                    "score/yaml",
                    span,
                    "only text can be a key",
                    "write the name out",
                ));
            };
            return self.key(&key, ScalarStyle::SingleQuoted, span);
        };
        if key.merge {
            return self.merge(node, key.span);
        }
        // What has no text of its own (a block, nothing at all) is best shown by its key.
        if node.span.is_none_or(|span| span.chars == 0)
            || matches!(node.content, Content::List(_) | Content::Map(_))
        {
            node.span = Some(key.span);
        }
        if !key.duplicate {
            fields.entries.push(Entry {
                key: key.name,
                key_span: Some(key.span),
                node,
            });
        }
        Ok(())
    }

    /// `<<: *other`, or a list of those: fields that the map does not have itself.
    fn merge(&mut self, node: Node, span: Span) -> Result<(), Problem> {
        let maps = match node.content {
            Content::Map(_) => vec![node],
            Content::List(items) if items.iter().all(|n| matches!(n.content, Content::Map(_))) => {
                items
            }
            _ => {
                return Err(self.problem(
                    "score/yaml",
                    span,
                    "`<<` takes in maps, and this is none",
                    "refer to a map: `<<: *anchor`",
                ));
            }
        };
        let frame = self.stack.last_mut().expect("`<<` stands in a map");
        let fields = frame.map.as_mut().expect("`<<` stands in a map");
        fields.merged.extend(maps);
        Ok(())
    }

    fn scalar(
        &self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        span: Span,
    ) -> Result<Content, Problem> {
        match tag {
            Some(tag) if tag.is_yaml_core_schema() => match tag.suffix.as_str() {
                "str" => Ok(Content::Text(text.to_owned())),
                "int" | "float" | "bool" | "null" => Ok(plain(text)),
                _ => Err(self.unknown_tag(span)),
            },
            Some(tag) if tag.handle.is_empty() && tag.suffix == "!" => {
                Ok(Content::Text(text.to_owned()))
            }
            Some(_) => Err(self.unknown_tag(span)),
            None if style == ScalarStyle::Plain => Ok(plain(text)),
            None => Ok(Content::Text(text.to_owned())),
        }
    }

    fn count(&mut self, more: usize, span: Span) -> Result<(), Problem> {
        self.nodes = self.nodes.saturating_add(more);
        if self.nodes <= self.limits.nodes {
            return Ok(());
        }
        Err(self.problem(
            "score/too-large",
            span,
            &format!(
                "the document has more than {} values, what aliases repeat included",
                self.limits.nodes
            ),
            "write less into one document, and refer by fewer aliases",
        ))
    }

    fn too_deep(&self, span: Span) -> Problem {
        self.problem(
            "score/too-deep",
            span,
            &format!(
                "lists and maps stand in each other more than {} deep",
                self.limits.depth
            ),
            "flatten it",
        )
    }

    fn unknown_tag(&self, span: Span) -> Problem {
        self.problem(
            "score/yaml",
            span,
            "the tag is not known here",
            "remove the tag; `!!str`, `!!int`, `!!float`, `!!bool` and `!!null` are known",
        )
    }

    fn malformed(&self, text: &str, error: &saphyr_parser::ScanError) -> Problem {
        let marker = error.marker();
        let mut span = Span {
            source: self.source,
            line: marker.line().max(1),
            column: marker.col() + 1,
            chars: 1,
        };
        let near = |line: usize| text.lines().nth(line.wrapping_sub(1)).unwrap_or_default();
        // A text that goes on in the next line is told where its first one ends: the tab is in that line.
        let mut below = span.line + 1;
        while near(below).trim().is_empty() && below < span.line + MOST_BLANK {
            below += 1;
        }
        let below = error.info().contains("tab").then_some(below);
        let tab = std::iter::once(span.line)
            .chain(below)
            .find_map(|line| Some((line, tab_of(near(line))?)));
        if let Some((line, column)) = tab {
            (span.line, span.column) = (line, column);
        }
        let remedy = if tab.is_some() || tab_of(near(span.line.saturating_sub(1))).is_some() {
            "indent with spaces: YAML takes no tabs"
        } else if error.info().contains("recursion limit") {
            "flatten it"
        } else {
            "compare the indentation, brackets and quotes of this line and the one above"
        };
        self.problem(
            "score/yaml",
            span,
            &format!("this is not YAML: {}", error.info()),
            remedy,
        )
    }

    fn problem(&self, rule: &str, span: Span, message: &str, remedy: &str) -> Problem {
        Problem::new(rule, "", message)
            .remedy(remedy)
            .at(self.sources.location(span))
    }
}
