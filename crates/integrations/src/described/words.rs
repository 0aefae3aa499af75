//! The templates of a description: what they speak of, and what they give.

use std::{
    collections::{BTreeMap, HashSet},
    sync::LazyLock,
};

use kernel::{Error, Result};
use serde::Serialize;
use serde_json::Value;
use teams::tool::{Wanted, WantedMember};
use template::{Fault, Sandbox};
use url::form_urlencoded;

/// Steps of a template at the most: they come from people, and must end.
const FUEL: u64 = 100_000;

/// The most that one template gives, in bytes: far more than a team of thousands is.
const MOST: usize = 4 * 1024 * 1024;

static SANDBOX: LazyLock<Sandbox> = LazyLock::new(|| Sandbox::new(FUEL, MOST).with_json());

/// What was captured from answers, by name.
pub(super) type Captured = BTreeMap<String, Value>;

/// What templates speak of.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Words<'a> {
    pub(super) base: &'a str,
    pub(super) team: &'a Wanted,
    pub(super) captured: &'a Captured,
    /// Whom the request is about, where it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) person: Option<&'a WantedMember>,
}

/// Renders a template. The error names no value.
pub(super) fn render(text: &str, words: &impl Serialize) -> Result<String> {
    SANDBOX.render(text, words).map_err(fault)
}

/// Renders a template that gives JSON.
pub(super) fn json(text: &str, words: &impl Serialize) -> Result<Value> {
    serde_json::from_str(&render(text, words)?).map_err(|error| {
        Error::invalid(format!(
            "a template of the integration gives no JSON: {error}"
        ))
        .remedy("use the filter `tojson` for values: {{ team.name | tojson }}")
    })
}

/// Renders a template that gives a path. What answers gave and what people are called is percent-encoded:
/// neither leads to another path than the one that is written.
pub(super) fn path(text: &str, words: &Words<'_>) -> Result<String> {
    let mut words = serde_json::to_value(words)
        .map_err(|error| Error::internal("the words of a template are not serialized", error))?;
    for name in ["captured", "person"] {
        if let Some(value) = words.get_mut(name) {
            encode(value);
        }
    }
    let path = render(text, &words)?;
    if !path.starts_with('/') {
        return Err(Error::invalid(format!(
            "the path `{path}` does not begin with `/`"
        )));
    }
    let segments = path.split(['?', '#']).next().unwrap_or_default();
    if segments.split(['/', '\\']).any(is_dots) {
        return Err(Error::invalid(format!(
            "the path `{path}` leads elsewhere, by `.` or `..`"
        )));
    }
    Ok(path)
}

fn is_dots(segment: &str) -> bool {
    let segment = segment.to_ascii_lowercase().replace("%2e", ".");
    matches!(segment.as_str(), "." | "..")
}

/// Percent-encodes all texts in a value.
fn encode(value: &mut Value) {
    match value {
        Value::String(text) => {
            let encoded: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
            // In a form, a plus is a space; in a path, it is a plus.
            *text = encoded.replace('+', "%20");
        }
        Value::Array(items) => items.iter_mut().for_each(encode),
        Value::Object(fields) => fields.values_mut().for_each(encode),
        _ => {}
    }
}

/// What a template speaks of: `team.members`.
pub(super) fn spoken_of(text: &str) -> Result<HashSet<String>> {
    SANDBOX.spoken_of(text).map_err(fault)
}

fn fault(found: Fault) -> Error {
    let what = match found {
        Fault::Forbidden(statement) => format!("uses `{{% {statement} %}}`, which is not there"),
        Fault::TooLarge(most) => format!("gives more than {most} bytes"),
        Fault::NotText => "gives what is no text".into(),
        // What else the engine says could hold a value.
        Fault::Template(error) => format!("does not render: {}", error.kind()),
    };
    Error::invalid(format!("a template of the integration {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, name: &str) -> Result<String> {
        let team = Wanted {
            name: "payments".into(),
            group: "payments".into(),
            description: String::new(),
            members: vec![],
            left: vec![],
            listed: vec![],
            complete: true,
            secrets: None,
        };
        let person = WantedMember {
            name: name.into(),
            subject: "hub:1".into(),
            email: None,
            account: None,
            lead: false,
        };
        let words = Words {
            base: "https://wiki.example.com",
            team: &team,
            captured: &Captured::from([("id".into(), name.into())]),
            person: Some(&person),
        };
        path(text, &words)
    }

    #[test]
    fn what_people_are_called_leads_to_no_other_path() {
        let path = |name| {
            at(
                "/{{ team.name }}/{{ person.name }}?id={{ captured.id }}",
                name,
            )
        };
        assert_eq!(path("ada").unwrap(), "/payments/ada?id=ada");
        assert_eq!(
            path("a/b?c&d e+f").unwrap(),
            "/payments/a%2Fb%3Fc%26d%20e%2Bf?id=a%2Fb%3Fc%26d%20e%2Bf"
        );
        for name in ["..", ".", "%2E%2e"] {
            let refused = at("/teams/{{ person.name }}", name);
            // The percent sign itself is encoded.
            assert_eq!(refused.is_err(), !name.starts_with('%'), "{name}");
        }
        for text in ["/a/../b", "/a/%2e%2E", "elsewhere"] {
            assert!(at(text, "ada").is_err(), "{text}");
        }
    }
}
