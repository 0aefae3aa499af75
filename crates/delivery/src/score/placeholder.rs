//! Placeholders: `${resources.db.host}` in a text, for Score and for resource definitions alike.
//!
//! `$$` is a dollar, `$${...}` is `${...}` left as it is, and a dollar before anything else is just a
//! dollar: the rules of Score's reference implementations. A dot within a name is written `\.`.
//! What a placeholder resolves to is never searched for placeholders again.

use std::fmt;

use serde_json::{Map, Value};

/// A reference longer than this is a missing `}` rather than a name.
const MAX_REFERENCE_BYTES: usize = 512;

/// Bounds what a small text with many placeholders can grow to.
const MAX_EXPANDED_BYTES: usize = 8 << 20;

/// What stands between `${` and `}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The names between the dots, unescaped: `resources`, `db`, `host`.
    pub path: Vec<String>,
    /// As it was written, without `${` and `}`.
    pub text: String,
    /// Where its `${` begins, in bytes from the beginning of the text.
    pub offset: usize,
}

impl Reference {
    fn new(text: &str, offset: usize) -> Self {
        Self {
            path: split_path(text),
            text: text.to_owned(),
            offset,
        }
    }

    /// The names as slices, for matching.
    pub fn names(&self) -> Vec<&str> {
        self.path.iter().map(String::as_str).collect()
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${{{}}}", self.text)
    }
}

/// Splits `a.b\.c` into `a` and `b.c`. `\\` is a backslash.
pub fn split_path(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut name = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if matches!(chars.peek(), Some('.' | '\\')) => name.extend(chars.next()),
            '.' => names.push(std::mem::take(&mut name)),
            other => name.push(other),
        }
    }
    names.push(name);
    names
}

/// Joins names to a path that [`split_path`] takes apart again.
pub fn join_path<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut text = String::new();
    for (index, name) in names.into_iter().enumerate() {
        if index > 0 {
            text.push('.');
        }
        for c in name.chars() {
            if matches!(c, '.' | '\\') {
                text.push('\\');
            }
            text.push(c);
        }
    }
    text
}

/// A piece of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Stands for itself; escapes are resolved.
    Text(String),
    /// Stands for what it refers to.
    Reference(Reference),
}

/// What is wrong with a text, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Malformed {
    /// What.
    pub reason: &'static str,
    /// Where, in bytes from the beginning of the text.
    pub offset: usize,
    /// How much of it, in bytes.
    pub length: usize,
}

/// A text, taken apart. `Display` puts it together again, escapes included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

impl Template {
    /// Takes `text` apart.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let mut template = Self::default();
        let mut at = 0;
        while let Some(found) = text[at..].find('$') {
            let start = at + found;
            template.text(&text[at..start]);
            let rest = &text[start..];
            let closed = |from: usize| rest[from..].find('}').map(|end| from + end);
            if rest.starts_with("$${")
                && let Some(end) = closed(3)
            {
                template.text(&rest[1..=end]);
                at = start + end + 1;
            } else if rest.starts_with("$$") {
                template.text("$");
                at = start + 2;
            } else if rest.starts_with("${") {
                let malformed = |reason, length| Malformed {
                    reason,
                    offset: start,
                    length,
                };
                let end = closed(2).ok_or_else(|| malformed("`${` is not closed by `}`", 2))?;
                let inner = &rest[2..end];
                if inner.len() > MAX_REFERENCE_BYTES {
                    return Err(malformed("`${` is not closed by `}` within 512 bytes", 2));
                }
                let reference = Reference::new(inner, start);
                if reference.path.iter().any(String::is_empty) {
                    return Err(malformed("a name in the placeholder is empty", end + 1));
                }
                template.parts.push(Part::Reference(reference));
                at = start + end + 1;
            } else {
                template.text("$");
                at = start + 1;
            }
        }
        template.text(&text[at..]);
        Ok(template)
    }

    fn text(&mut self, text: &str) {
        match self.parts.last_mut() {
            _ if text.is_empty() => {}
            Some(Part::Text(before)) => before.push_str(text),
            _ => self.parts.push(Part::Text(text.to_owned())),
        }
    }

    /// The pieces, in order. Two texts never follow each other.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The references, in order.
    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        self.parts.iter().filter_map(|part| match part {
            Part::Reference(reference) => Some(reference),
            Part::Text(_) => None,
        })
    }

    /// Resolves every reference. Where the text is one reference and nothing else, the value keeps
    /// its type; else the result is a string, and values other than strings stand in it as JSON.
    pub fn resolve<E>(
        &self,
        lookup: &mut dyn FnMut(&Reference) -> Result<Resolved, E>,
    ) -> Result<Resolved, ExpandError<E>> {
        let mut find = |reference: &Reference| {
            lookup(reference).map_err(|error| ExpandError::Lookup {
                reference: reference.clone(),
                error,
            })
        };
        if let [Part::Reference(reference)] = self.parts.as_slice() {
            return find(reference);
        }
        let mut text = String::new();
        let mut secret = false;
        for part in &self.parts {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Reference(reference) => {
                    let resolved = find(reference)?;
                    secret |= resolved.secret;
                    text.push_str(&resolved.into_text());
                }
            }
            if text.len() > MAX_EXPANDED_BYTES {
                return Err(ExpandError::TooLong);
            }
        }
        Ok(Resolved {
            value: Value::String(text),
            secret,
        })
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            match part {
                Part::Reference(reference) => reference.fmt(f)?,
                Part::Text(text) => f.write_str(&escape(text))?,
            }
        }
        Ok(())
    }
}

/// Writes `text` so that it stands for itself.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(found) = text[at..].find('$') {
        let start = at + found;
        escaped.push_str(&text[at..start]);
        let rest = &text[start..];
        escaped.push_str("$$");
        // What `$${` begins is left as it is up to its `}`.
        let verbatim = match rest.find('}') {
            Some(end) if rest.starts_with("${") => end + 1,
            _ => 1,
        };
        escaped.push_str(&rest[1..verbatim]);
        at = start + verbatim;
    }
    escaped.push_str(&text[at..]);
    escaped
}

/// What a reference stands for, or what a text becomes. `Debug` hides a secret.
#[derive(Clone, PartialEq)]
pub struct Resolved {
    /// The value.
    pub value: Value,
    /// Whether any of it is secret.
    pub secret: bool,
}

impl Resolved {
    /// Anyone may see it.
    pub fn plain(value: impl Into<Value>) -> Self {
        Self {
            value: value.into(),
            secret: false,
        }
    }

    /// Nobody may see it.
    pub fn secret(value: impl Into<Value>) -> Self {
        Self {
            value: value.into(),
            secret: true,
        }
    }

    /// As it stands within a text: a string as it is, anything else as JSON.
    pub fn into_text(self) -> String {
        match self.value {
            Value::String(text) => text,
            other => other.to_string(),
        }
    }
}

impl fmt::Debug for Resolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.secret {
            f.write_str("[secret]")
        } else {
            self.value.fmt(f)
        }
    }
}

/// Why a text could not be resolved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError<E> {
    /// The text itself is wrong.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// What it refers to is not there.
    #[error("{reference}: {error}")]
    Lookup {
        /// The reference.
        reference: Reference,
        /// Why not.
        error: E,
    },
    /// The result would be larger than 8 MiB.
    #[error("the text is larger than 8 MiB once its placeholders are resolved")]
    TooLong,
}

/// Resolves every placeholder in `text`: see [`Template::resolve`].
pub fn expand<E>(
    text: &str,
    lookup: &mut dyn FnMut(&Reference) -> Result<Resolved, E>,
) -> Result<Resolved, ExpandError<E>> {
    Template::parse(text)?.resolve(lookup)
}

/// Resolves every placeholder in every string of `value`, at any depth; keys are left alone.
pub fn expand_value<E>(
    value: &Value,
    lookup: &mut dyn FnMut(&Reference) -> Result<Resolved, E>,
) -> Result<Resolved, ExpandError<E>> {
    match value {
        Value::String(text) => expand(text, lookup),
        Value::Array(items) => {
            let mut secret = false;
            let mut expanded = Vec::with_capacity(items.len());
            for item in items {
                let item = expand_value(item, lookup)?;
                secret |= item.secret;
                expanded.push(item.value);
            }
            Ok(Resolved {
                value: Value::Array(expanded),
                secret,
            })
        }
        Value::Object(fields) => {
            let (fields, secret) = expand_map(fields, lookup)?;
            Ok(Resolved {
                value: Value::Object(fields),
                secret,
            })
        }
        other => Ok(Resolved::plain(other.clone())),
    }
}

/// The same for an object's fields; the `bool` says whether any of it is secret.
pub fn expand_map<E>(
    fields: &Map<String, Value>,
    lookup: &mut dyn FnMut(&Reference) -> Result<Resolved, E>,
) -> Result<(Map<String, Value>, bool), ExpandError<E>> {
    let mut secret = false;
    let mut expanded = Map::with_capacity(fields.len());
    for (name, value) in fields {
        let value = expand_value(value, lookup)?;
        secret |= value.secret;
        expanded.insert(name.clone(), value.value);
    }
    Ok((expanded, secret))
}

/// Calls `visit` with the path and the text of every string in `value`, at any depth.
pub fn for_each_text<'v>(
    value: &'v Value,
    path: &mut Vec<String>,
    visit: &mut dyn FnMut(&[String], &'v str),
) {
    match value {
        Value::String(text) => visit(path, text),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                path.push(index.to_string());
                for_each_text(item, path, visit);
                path.pop();
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                path.push(name.clone());
                for_each_text(field, path, visit);
                path.pop();
            }
        }
        _ => {}
    }
}
