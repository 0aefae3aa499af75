//! Documents that people apply, each read by the domain whose kind it is of.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Error, ErrorKind, Name, Problem, suggest::nearest};

/// The API version of our own kinds.
pub const API_VERSION: &str = "towpath.dev/v1";

/// The document as a `T`; `place` (`documents[0]`) is where it stands.
///
/// # Errors
/// What is wrong with its shape, of rule `document/shape`, where that is. The value that is there is not
/// repeated: it may be a secret that stands in the wrong place.
pub fn shaped<T: DeserializeOwned>(document: &Value, place: &str) -> Result<T, Problem> {
    serde_path_to_error::deserialize(document).map_err(|error| {
        let path = match error.path().to_string().as_str() {
            "." => place.to_owned(),
            below => format!("{place}.{below}"),
        };
        let message = without_value(&error.inner().to_string());
        let rule = "document/shape";
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
    let is_refusal = matches!(
        error.kind,
        ErrorKind::Invalid | ErrorKind::Conflict | ErrorKind::AlreadyExists | ErrorKind::NotFound
    );
    if error.problems.is_empty() && is_refusal {
        let mut problem = Problem::new("document/refused", place, error.message.clone());
        problem.remedy.clone_from(&error.remedy);
        error.problems.push(problem);
    }
    error
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
}
