//! Documents that people apply, each read by the domain whose kind it is of.

mod shape;

use serde::de::DeserializeOwned;
use serde_json::Value;

pub use shape::{in_full, in_part};

use crate::{Error, ErrorKind, Name, Problem, suggest::nearest};

/// The API version of our own kinds.
pub const API_VERSION: &str = "towpath.dev/v1";

/// The rule that a field breaks which nobody knows.
pub const UNKNOWN_FIELD: &str = "document/unknown-field";

/// The document as a `T`; `place` (`documents[0]`) is where it stands.
///
/// # Errors
/// What is wrong with its shape, of rule `document/shape` or [`UNKNOWN_FIELD`], where that is. The value that is there is not
/// repeated: it may be a secret that stands in the wrong place.
pub fn shaped<T: DeserializeOwned>(document: &Value, place: &str) -> Result<T, Problem> {
    serde_path_to_error::deserialize(document).map_err(|error| {
        let path = match error.path().to_string().as_str() {
            "." => place.to_owned(),
            below => format!("{place}.{below}"),
        };
        let message = without_value(&error.inner().to_string());
        let rule = if message.starts_with("unknown field ") {
            UNKNOWN_FIELD
        } else {
            "document/shape"
        };
        if message.ends_with("` is not a name") {
            return Problem::new(rule, path, message).remedy(Name::RULE);
        }
        match meant(&message) {
            // All the others, and what they were called once, help nobody then.
            Some((given, near)) => Problem::new(rule, path, format!("unknown field `{given}`"))
                .remedy(format!("did you mean `{near}`?")),
            None => Problem::new(rule, path, message),
        }
    })
}

/// The field that nobody knows, and the one that was most likely meant, of what serde says of it.
fn meant(message: &str) -> Option<(&str, &str)> {
    let mut names = message
        .strip_prefix("unknown field ")?
        .split('`')
        .skip(1)
        .step_by(2);
    let given = names.next()?;
    nearest(given, names).map(|near| (given, near))
}

/// A refusal of the document at `place`, with where it stands: the paths of its problems are below the document's
/// `spec`; where it names none, the refusal is the problem. Other errors are as they were.
#[must_use]
pub fn refused_at(mut error: Error, place: &str) -> Error {
    for problem in &mut error.problems {
        problem.path = match problem.path.as_str() {
            "" => place.to_owned(),
            path => format!("{place}.spec.{path}"),
        };
    }
    if error.problems.is_empty() && is_refusal(error.kind) {
        let mut problem = Problem::new("document/refused", place, error.message.clone());
        problem.remedy.clone_from(&error.remedy);
        error.problems.push(problem);
    }
    error
}

/// What several documents are refused for, told at once.
#[derive(Debug, Default)]
pub struct Refusals(Option<Error>);

impl Refusals {
    /// Takes in what one of them is refused for, as [`refused_at`] says it.
    ///
    /// # Errors
    /// What no document can mend, and nothing else is told beside: the caller may not, something is away, or what
    /// was read has moved on.
    pub fn note(&mut self, error: Error) -> Result<(), Error> {
        if error.problems.is_empty() || !is_refusal(error.kind) || error.is_overtaken() {
            return Err(error);
        }
        let Some(all) = &mut self.0 else {
            self.0 = Some(error);
            return Ok(());
        };
        if all.kind != error.kind {
            all.kind = ErrorKind::Invalid;
        }
        all.message = "the documents cannot be applied".into();
        all.remedy = None;
        all.problems.extend(error.problems);
        Ok(())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The end of it.
    ///
    /// # Errors
    /// Everything that was noted.
    pub fn end(self) -> Result<(), Error> {
        self.0.map_or(Ok(()), Err)
    }
}

/// Whether the documents themselves are at fault.
fn is_refusal(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Invalid | ErrorKind::Conflict | ErrorKind::AlreadyExists | ErrorKind::NotFound
    )
}

/// Says of problems that stand at a document as a whole in which field they are: where `documents[0]` is refused for
/// a value that the words name, in the only field that has it.
pub fn place_in_fields(problems: &mut [Problem], documents: &[Value]) {
    for problem in problems {
        let index = problem.path.strip_prefix("documents[");
        let index = index.and_then(|rest| rest.strip_suffix(']')?.parse::<usize>().ok());
        let field = index
            .and_then(|index| documents.get(index))
            .and_then(|document| field_named(document, &problem.message));
        if let Some(field) = field {
            problem.path = format!("{}.{field}", problem.path);
        }
    }
}

/// The only field of `document` whose value `message` names in backquotes. That a document is called by its name
/// says least of where it is wrong.
fn field_named(document: &Value, message: &str) -> Option<String> {
    let named = message.split('`').skip(1).step_by(2);
    let mut found = named.filter_map(|value| {
        let mut fields = Vec::new();
        fields_with(document, value, &mut String::new(), &mut fields);
        match fields.as_slice() {
            [only] => Some(only.clone()),
            _ => None,
        }
    });
    let first = found.next()?;
    if first == "metadata.name" {
        return Some(found.next().unwrap_or(first));
    }
    Some(first)
}

/// The paths of all texts below `path` that are `wanted`.
fn fields_with(value: &Value, wanted: &str, path: &mut String, found: &mut Vec<String>) {
    let mut below = |name: &str, value: &Value| {
        let length = path.len();
        if length > 0 {
            path.push('.');
        }
        path.push_str(name);
        fields_with(value, wanted, path, found);
        path.truncate(length);
    };
    match value {
        Value::String(text) if text == wanted => found.push(path.clone()),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                below(&index.to_string(), item);
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                below(name, field);
            }
        }
        _ => {}
    }
}

/// What serde says, without the value that was sent: it may be a secret that stands in the wrong place,
/// and answers are logged. Kinds and fields are named; what was expected is said in full, in the words of
/// whoever writes documents.
pub(crate) fn without_value(message: &str) -> String {
    let told = |what: &str, expected: &str| format!("{what}, expected {expected}");
    for begin in ["invalid type: ", "invalid value: "] {
        if let Some(rest) = message.strip_prefix(begin)
            && let Some((found, expected)) = rest.rsplit_once(", expected ")
        {
            let kind = found.split(['"', '`']).next().unwrap_or_default();
            let what = format!("{begin}{}", found_kind(kind.trim_end()));
            return told(&what, &expected_kind(expected));
        }
    }
    // A list in the place of fields is read as these in their order, as far as it goes.
    if message.starts_with("invalid length ")
        && let Some((_, expected)) = message.rsplit_once(", expected struct ")
        && !expected.contains(',')
    {
        return told("invalid type: list", "fields");
    }
    if message.starts_with("unknown variant `") {
        return match message.rsplit_once("`, expected ") {
            Some((_, expected)) => told("unknown variant", expected),
            None => "unknown variant, there are none".to_owned(),
        };
    }
    message.to_owned()
}

/// What serde calls a kind that it has found, in words.
fn found_kind(kind: &str) -> &str {
    match kind {
        "string" => "text",
        "sequence" => "list",
        "map" => "fields",
        "integer" => "whole number",
        "floating point" => "number",
        "null" | "unit value" => "nothing",
        other => other,
    }
}

/// What serde and Rust call what was expected, in words.
fn expected_kind(expected: &str) -> String {
    let up_to = |most: u64| format!("a whole number from 0 to {most}");
    match expected {
        "a string" => "text".into(),
        "a sequence" => "a list".into(),
        "a map" => "fields".into(),
        "string or map" => "text or fields".into(),
        "a boolean" => "true or false".into(),
        "u8" => up_to(u8::MAX.into()),
        "u16" => up_to(u16::MAX.into()),
        "u32" => up_to(u32::MAX.into()),
        "u64" | "usize" => "a whole number from 0 on".into(),
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".into(),
        "f32" | "f64" => "a number".into(),
        other if other.starts_with("struct ") => "fields".into(),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Thing {
        #[expect(dead_code, reason = "only its shape is looked at")]
        size: u32,
    }

    #[test]
    fn a_mistake_is_told_at_its_place_and_without_the_value() {
        let problem = shaped::<Thing>(&json!({ "size": "canary" }), "documents[1]").unwrap_err();
        assert_eq!(problem.path, "documents[1].size");
        assert_eq!(
            problem.message,
            "invalid type: text, expected a whole number from 0 to 4294967295"
        );
        let problem = shaped::<Thing>(&json!([]), "documents[1]").unwrap_err();
        assert_eq!(problem.message, "invalid type: list, expected fields");
        let problem = shaped::<Thing>(&json!({}), "documents[1]").unwrap_err();
        assert_eq!(problem.path, "documents[1]");
    }

    #[test]
    fn what_was_meant_is_told() {
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(dead_code, reason = "only its shape is looked at")]
        struct Led {
            name: Name,
            #[serde(alias = "heads")]
            leads: String,
        }
        let told = |document: &Value| {
            let problem = shaped::<Led>(document, "at").unwrap_err();
            let is_unknown = problem.message.starts_with("unknown field");
            assert_eq!(is_unknown, problem.rule == UNKNOWN_FIELD, "{problem:?}");
            (problem.message, problem.remedy.unwrap_or_default())
        };
        let (message, remedy) = told(&json!({ "leeds": "ada" }));
        assert_eq!(message, "unknown field `leeds`");
        assert_eq!(remedy, "did you mean `leads`?");
        let (message, remedy) = told(&json!({ "purpose": "ada" }));
        assert!(message.contains("`leads`") && remedy.is_empty());
        let (message, remedy) = told(&json!({ "name": "paymentsX", "leads": "" }));
        assert_eq!(message, "`paymentsX` is not a name");
        assert!(remedy.contains("lower-case"), "{remedy}");
    }

    #[test]
    fn a_refusal_says_which_document_it_is_of() {
        let named = Error::problems("no", vec![Problem::new("a/b", "claims", "it is empty")]);
        assert_eq!(
            refused_at(named, "documents[0]").problems[0].path,
            "documents[0].spec.claims"
        );
        let plain = refused_at(Error::not_found("team `x`"), "documents[0]");
        assert_eq!(plain.problems[0].path, "documents[0]");
        let away = refused_at(Error::unavailable("it is away"), "documents[0]");
        assert!(away.problems.is_empty());
    }

    #[test]
    fn refusals_of_several_documents_are_one() {
        let mut refusals = Refusals::default();
        let first = refused_at(Error::not_found("team `x`"), "documents[0]");
        refusals.note(first).unwrap();
        let second = Error::problems("no", vec![Problem::new("a/b", "claims", "it is empty")]);
        refusals.note(refused_at(second, "documents[2]")).unwrap();
        let away = refusals.note(Error::unavailable("it is away")).unwrap_err();
        assert_eq!(away.kind, ErrorKind::Unavailable);
        let all = refusals.end().unwrap_err();
        assert_eq!(all.kind, ErrorKind::Invalid);
        let paths: Vec<_> = all.problems.iter().map(|it| it.path.as_str()).collect();
        assert_eq!(paths, ["documents[0]", "documents[2].spec.claims"]);
        assert!(Refusals::default().end().is_ok());
    }

    #[test]
    fn a_refusal_stands_at_the_only_field_that_it_names() {
        let documents = [json!({
            "metadata": { "name": "shop" },
            "spec": { "role": "nosuch", "lists": [{ "of": "twice" }, { "of": "twice" }, "one"] },
        })];
        let place = |path: &str, message: &str| {
            let mut problems = [Problem::new("document/refused", path, message)];
            place_in_fields(&mut problems, &documents);
            problems[0].path.clone()
        };
        for (message, path) in [
            ("there is no role `nosuch`", "documents[0].spec.role"),
            ("`shop` has no role `nosuch`", "documents[0].spec.role"),
            ("`shop` is taken", "documents[0].metadata.name"),
            ("there is no `one`", "documents[0].spec.lists.2"),
            ("there is no `twice`", "documents[0]"),
            ("it is Friday", "documents[0]"),
        ] {
            assert_eq!(place("documents[0]", message), path, "{message}");
        }
        assert_eq!(place("documents[7]", "no `shop`"), "documents[7]");
        assert_eq!(place("documents[0].spec", "no `shop`"), "documents[0].spec");
    }
}
