//! Walks a tree along the schema and notes every mistake.

use kernel::Problem;

use super::{
    pattern::Pattern,
    placeholder::join_path,
    schema::{Named, Object, Others, Shape},
    suggest,
    tree::{Content, Node, Sources, Span},
};

/// Beyond so many a person is no better off, and a hostile file would cost memory.
pub(super) const MAX_PROBLEMS: usize = 100;

/// What is wrong with a tree, as far as it has been looked at.
pub(super) struct Check<'s> {
    sources: &'s Sources,
    pub(super) path: Vec<String>,
    pub(super) problems: Vec<Problem>,
    untold: usize,
}

impl<'s> Check<'s> {
    pub(super) fn new(sources: &'s Sources, problems: Vec<Problem>) -> Self {
        Self {
            sources,
            path: Vec::new(),
            problems,
            untold: 0,
        }
    }

    /// Every problem, in the order of the file.
    pub(super) fn finish(mut self) -> Vec<Problem> {
        let line = |problem: &Problem| {
            let location = problem.location.as_ref();
            location.map(|at| (at.file.clone(), at.line, at.column))
        };
        self.problems.sort_by_key(line);
        if self.untold > 0 {
            self.problems.push(
                Problem::new(
                    "score/too-many",
                    "",
                    format!("there are {} more mistakes", self.untold),
                )
                .remedy("mend these first"),
            );
        }
        self.problems
    }

    /// How many mistakes there are so far.
    pub(super) fn count(&self) -> usize {
        self.problems.len() + self.untold
    }

    /// Goes one name down, and up again after `then`.
    pub(super) fn within(&mut self, name: &str, then: impl FnOnce(&mut Self)) {
        self.path.push(name.to_owned());
        then(self);
        self.path.pop();
    }

    /// Whether so many mistakes are noted that the next is only counted; counts it then.
    pub(super) fn is_full(&mut self) -> bool {
        let full = self.problems.len() >= MAX_PROBLEMS;
        self.untold += usize::from(full);
        full
    }

    /// Notes a mistake at the present path.
    pub(super) fn wrong(
        &mut self,
        rule: &str,
        span: Option<Span>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        if self.is_full() {
            return;
        }
        let path = join_path(self.path.iter().map(String::as_str));
        let problem = Problem::new(rule, path, message).remedy(remedy);
        self.problems.push(match span {
            Some(span) => problem.at(self.sources.location(span)),
            None => problem,
        });
    }

    /// The part of `span` where `wanted` stands for the `nth` time.
    pub(super) fn find(&self, span: Option<Span>, wanted: &str, nth: usize) -> Option<Span> {
        span.map(|span| self.sources.find(span, wanted, nth))
    }

    /// Holds `node` against `shape`.
    pub(super) fn shape(&mut self, node: &Node, shape: &Shape) {
        match (shape, &node.content) {
            (Shape::Bool, Content::Bool(_)) | (Shape::AnyMap, Content::Map(_)) => {}
            (Shape::Text(pattern), Content::Text(text)) => self.pattern(node.span, text, pattern),
            (Shape::Word(words), Content::Text(text)) => self.word(node.span, text, words),
            (Shape::Port, Content::Number(number)) => {
                if !number.as_u64().is_some_and(|n| (1..=65535).contains(&n)) {
                    self.wrong(
                        "score/range",
                        node.span,
                        format!("{number} is not a port"),
                        "write a whole number from 1 to 65535",
                    );
                }
            }
            (Shape::List(item), Content::List(items)) => {
                for (index, node) in items.iter().enumerate() {
                    self.within(&index.to_string(), |check| check.shape(node, item));
                }
            }
            (Shape::Map(named), Content::Map(_)) => self.named(node, named),
            (Shape::Object(object), Content::Map(_)) => self.object(node, object),
            (Shape::ByTarget(object), Content::Map(entries)) => {
                for entry in entries {
                    self.within(&entry.key, |check| {
                        check.shape(&entry.node, &Shape::Object(object));
                        if let Some(target) = entry.node.entry("target") {
                            check.path.push("target".into());
                            check.wrong(
                                "score/unknown-field",
                                target.key_span,
                                "`target` belongs to the list form; here the target is the name",
                                "remove `target`",
                            );
                            check.path.pop();
                        }
                    });
                }
            }
            (Shape::ByTarget(object), Content::List(items)) => {
                for (index, node) in items.iter().enumerate() {
                    self.within(&index.to_string(), |check| {
                        check.shape(node, &Shape::Object(object));
                        if matches!(node.content, Content::Map(_)) && node.entry("target").is_none()
                        {
                            check.missing(node, object.what, "target");
                        }
                    });
                }
            }
            (expected, _) => self.wrong_type(node, expected),
        }
    }

    fn pattern(&mut self, span: Option<Span>, text: &str, pattern: &Pattern) {
        if !(pattern.accepts)(text) {
            let message = if text.is_empty() {
                "this must not be empty".to_owned()
            } else {
                format!("`{}` {}", shortened(text), pattern.wrong)
            };
            self.wrong("score/pattern", span, message, pattern.remedy);
        }
    }

    fn word(&mut self, span: Option<Span>, text: &str, words: &[&str]) {
        if words.contains(&text) {
            return;
        }
        let all = list(words.iter().copied(), "or");
        let remedy = match suggest::nearest(text, words.iter().copied()) {
            Some(word) => format!("did you mean `{word}`? It takes {all}"),
            None => format!("write {all}"),
        };
        let message = format!("this must be {all}, and is `{}`", shortened(text));
        self.wrong("score/word", span, message, remedy);
    }

    fn named(&mut self, node: &Node, named: &Named) {
        if named.some && node.entries().is_empty() {
            self.wrong(
                "score/empty",
                node.span,
                format!("there must be at least {}", named.what),
                format!("add {}", named.what),
            );
        }
        for entry in node.entries() {
            self.within(&entry.key, |check| {
                check.pattern(entry.key_span, &entry.key, named.key);
                check.shape(&entry.node, &named.value);
            });
        }
    }

    fn object(&mut self, node: &Node, object: &Object) {
        for entry in node.entries() {
            let known = object.fields.iter().find(|field| field.name == entry.key);
            self.within(&entry.key, |check| match known {
                Some(field) => check.shape(&entry.node, &field.shape),
                None if object.others == Others::Any => {}
                None if object.others == Others::Extensions && is_extension(&entry.key) => {
                    check.shape(&entry.node, &Shape::AnyMap);
                }
                None => check.unknown(entry.key_span, &entry.key, object),
            });
        }
        for field in object.fields.iter().filter(|field| field.required) {
            if node.entry(field.name).is_none() {
                self.missing(node, object.what, field.name);
            }
        }
    }

    fn missing(&mut self, node: &Node, what: &str, name: &str) {
        self.within(name, |check| {
            check.wrong(
                "score/missing-field",
                node.span,
                format!("{what} needs `{name}`"),
                format!("add `{name}`"),
            );
        });
    }

    fn unknown(&mut self, span: Option<Span>, key: &str, object: &Object) {
        let names = || object.fields.iter().map(|field| field.name);
        let all = list(names(), "and");
        let remedy = match suggest::nearest(key, names()) {
            Some(name) => format!(
                "did you mean `{name}`? The fields of {} are {all}",
                object.what
            ),
            None => format!("remove it; the fields of {} are {all}", object.what),
        };
        let message = format!("`{}` is not a field of {}", shortened(key), object.what);
        self.wrong("score/unknown-field", span, message, remedy);
    }

    fn wrong_type(&mut self, node: &Node, expected: &Shape) {
        let wanted = match expected {
            Shape::Text(_) | Shape::Word(_) => "text",
            Shape::Port => "a whole number",
            Shape::Bool => "`true` or `false`",
            Shape::List(_) => "a list",
            Shape::Map(_) | Shape::Object(_) | Shape::AnyMap | Shape::ByTarget(_) => "a map",
        };
        let given = match &node.content {
            Content::Null => "nothing",
            Content::Bool(_) => "a boolean",
            Content::Number(_) => "a number",
            Content::Text(_) => "text",
            Content::List(_) => "a list",
            Content::Map(_) => "a map",
        };
        let written = match (node.span, &node.content) {
            (Some(span), Content::Bool(_) | Content::Number(_)) => self.sources.text(span),
            (_, Content::Bool(value)) => value.to_string(),
            (_, Content::Number(number)) => number.to_string(),
            (_, Content::Text(text)) => shortened(text),
            _ => String::new(),
        };
        let remedy = match (expected, &node.content) {
            (_, Content::Null) => "give it a value, or remove the field".to_owned(),
            (Shape::Word(words), _) => format!("write {}", list(words.iter().copied(), "or")),
            (Shape::Text(_), Content::Bool(_) | Content::Number(_)) => {
                format!("put it in quotes: \"{written}\"")
            }
            (Shape::Port, Content::Text(text)) if text.parse::<u16>().is_ok() => {
                format!("remove the quotes: {text}")
            }
            (Shape::Bool, Content::Text(text)) if text == "true" || text == "false" => {
                format!("remove the quotes: {text}")
            }
            (Shape::List(_), Content::Text(_) | Content::Number(_) | Content::Bool(_)) => {
                format!("write a list: [\"{written}\"]")
            }
            (Shape::Map(named), _) => {
                format!(
                    "write {} as `NAME: ...`, each in a line of its own",
                    named.what
                )
            }
            (Shape::Object(object), _) => format!(
                "write the fields of {} below it: {}",
                object.what,
                list(object.fields.iter().map(|field| field.name), "and")
            ),
            (expected, _) => match expected {
                Shape::ByTarget(object) => format!("write {} as `TARGET: ...`", object.what),
                _ => format!("write {wanted}"),
            },
        };
        let message = format!("this must be {wanted}, and is {given}");
        self.wrong("score/type", node.value_span(), message, remedy);
    }
}

pub(super) fn is_extension(key: &str) -> bool {
    key.len() > 2 && key.starts_with("x-")
}

/// Enough of a text to know it by.
pub(super) fn shortened(text: &str) -> String {
    const MOST: usize = 60;
    let mut short: String = text
        .chars()
        .take(MOST)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(MOST).is_some() {
        short.push('…');
    }
    short
}

/// `a`, `b` and `c`.
pub(super) fn list<'n>(names: impl Iterator<Item = &'n str>, last: &str) -> String {
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    match names.as_slice() {
        [] => "none".to_owned(),
        [one] => one.clone(),
        [most @ .., end] => format!("{} {last} {end}", most.join(", ")),
    }
}
