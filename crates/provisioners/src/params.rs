//! What parameters a provisioner takes, and what is wrong with those that it was given.

use kernel::Problem;
use serde_json::{Map, Value};

/// One parameter that a provisioner knows.
pub(crate) struct Param {
    name: &'static str,
    shape: Shape,
    required: bool,
}

/// What a parameter's value must look like.
#[derive(Clone, Copy)]
pub(crate) enum Shape {
    /// Any text but the empty.
    Text,
    /// Text, or a number that is read as text: a port's name or number.
    TextOrNumber,
    /// A whole number within these bounds, both included; text that spells one is taken too.
    Integer(i64, i64),
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A list of texts.
    Texts,
    /// An object.
    Object,
    /// Text or an object: a template, or the outputs as they are.
    TextOrObject,
    /// Text that this accepts, which says what is wrong otherwise; and what it is, with an example.
    Checked(fn(&str) -> Result<(), String>, &'static str),
}

impl Param {
    /// A parameter that may be left out.
    pub(crate) const fn optional(name: &'static str, shape: Shape) -> Self {
        Self {
            name,
            shape,
            required: false,
        }
    }

    /// A parameter that must be given.
    pub(crate) const fn required(name: &'static str, shape: Shape) -> Self {
        Self {
            name,
            shape,
            required: true,
        }
    }
}

/// Everything that is wrong with `given`, judged by what `provisioner` knows. Text with a
/// placeholder is taken as it is: its value is judged when it is known.
pub(crate) fn check(
    provisioner: &str,
    known: &[Param],
    given: &Map<String, Value>,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, value) in given {
        let path = format!("params.{name}");
        match known.iter().find(|param| param.name == name) {
            None => problems.push(unknown(provisioner, known, name, path)),
            Some(_) if has_placeholder(value) => {}
            Some(param) => {
                if let Err(wrong) = fits(param.shape, value) {
                    problems.push(
                        Problem::new("params/value", path, format!("`{name}` {wrong}"))
                            .remedy(format!("give `{name}` as {}", describe(param.shape))),
                    );
                }
            }
        }
    }
    for param in known.iter().filter(|param| param.required) {
        if given.get(param.name).is_none_or(Value::is_null) {
            problems.push(
                Problem::new(
                    "params/missing",
                    format!("params.{}", param.name),
                    format!("`{provisioner}` needs the parameter `{}`", param.name),
                )
                .remedy(format!("add `{}`: {}", param.name, describe(param.shape))),
            );
        }
    }
    problems
}

/// The text of the parameter `name`, a number spelled out; none where it is absent or null.
pub(crate) fn text(given: &Map<String, Value>, name: &str) -> Option<String> {
    match given.get(name)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Whether the value is known only once a placeholder in it is resolved.
pub(crate) fn has_placeholder(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.contains("${"))
}

fn unknown(provisioner: &str, known: &[Param], name: &str, path: String) -> Problem {
    let nearest = known
        .iter()
        .map(|param| (distance(name, param.name), param.name))
        .min()
        .filter(|(distance, candidate)| *distance <= candidate.len().div_ceil(3));
    let remedy = match nearest {
        Some((_, candidate)) => format!("did you mean `{candidate}`?"),
        None if known.is_empty() => format!("`{provisioner}` takes no parameters: remove it"),
        None => {
            let names: Vec<_> = known.iter().map(|p| format!("`{}`", p.name)).collect();
            format!("it takes {}", names.join(", "))
        }
    };
    Problem::new(
        "params/unknown",
        path,
        format!("`{provisioner}` has no parameter `{name}`"),
    )
    .remedy(remedy)
}

fn fits(shape: Shape, value: &Value) -> Result<(), String> {
    let fault = |ok: bool| {
        if ok {
            Ok(())
        } else {
            Err(format!("is {}", kind_of(value)))
        }
    };
    match shape {
        Shape::Text => fault(value.as_str().is_some_and(|text| !text.is_empty())),
        Shape::TextOrNumber => {
            fault(value.as_u64().is_some() || value.as_str().is_some_and(|text| !text.is_empty()))
        }
        Shape::Integer(low, high) => {
            let number = match value {
                Value::String(text) => text.parse().ok(),
                other => other.as_i64(),
            };
            match number {
                Some(number) if (low..=high).contains(&number) => Ok(()),
                Some(number) => Err(format!("is {number}")),
                None => fault(false),
            }
        }
        Shape::OneOf(words) => match value.as_str() {
            Some(word) if words.contains(&word) => Ok(()),
            Some(word) => Err(format!("is `{word}`")),
            None => fault(false),
        },
        Shape::Texts => fault(
            value
                .as_array()
                .is_some_and(|list| list.iter().all(Value::is_string)),
        ),
        Shape::Object => fault(value.is_object()),
        Shape::TextOrObject => fault(value.is_string() || value.is_object()),
        Shape::Checked(check, _) => match value.as_str() {
            Some(text) => check(text),
            None => fault(false),
        },
    }
}

fn describe(shape: Shape) -> String {
    match shape {
        Shape::Text => "text".into(),
        Shape::Checked(_, what) => what.into(),
        Shape::TextOrNumber => "a name or a number".into(),
        Shape::Integer(low, high) => format!("a whole number from {low} to {high}"),
        Shape::OneOf(words) => words
            .iter()
            .map(|word| format!("`{word}`"))
            .collect::<Vec<_>>()
            .join(" or "),
        Shape::Texts => "a list of texts".into(),
        Shape::Object => "an object".into(),
        Shape::TextOrObject => "text or an object".into(),
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(text) if text.is_empty() => "empty",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// How many letters must be added, removed or exchanged to make one name of the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.to_lowercase().chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let exchange = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = exchange.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}
