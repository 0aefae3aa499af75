//! What must not be shown, taken out of what is.

use kernel::Secret;
use serde_json::Value;

use super::outputs::Resolved;
use crate::provisioner::{Output, Provisioned};

/// What stands in a secret's place.
const HIDDEN: &str = "[secret]";

/// Shorter ones cannot be told from ordinary words.
const SHORTEST: usize = 6;

/// Secrets that are looked for in whatever is shown.
pub(crate) struct Confidence<'a>(Vec<&'a str>);

impl<'a> Confidence<'a> {
    pub(crate) fn new(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        let mut texts: Vec<_> = (secrets.into_iter())
            .filter_map(Secret::expose_str)
            .filter(|text| text.len() >= SHORTEST)
            .collect();
        // One may be part of another: of the longer nothing must be left.
        texts.sort_unstable_by_key(|text| std::cmp::Reverse(text.len()));
        Self(texts)
    }

    /// Whether `text` shows any of them.
    fn shown_in(&self, text: &str) -> bool {
        self.0.iter().any(|secret| text.contains(secret))
    }

    /// Whether `value` shows any of them, in whatever it consists of.
    fn shown_by(&self, value: &Value) -> bool {
        match value {
            Value::Null => false,
            Value::String(text) => self.shown_in(text),
            Value::Array(items) => items.iter().any(|item| self.shown_by(item)),
            Value::Object(fields) => fields
                .iter()
                .any(|(name, value)| self.shown_in(name) || self.shown_by(value)),
            Value::Bool(_) | Value::Number(_) => self.shown_in(&value.to_string()),
        }
    }

    /// `text` without them.
    pub(crate) fn hide(&self, text: &str) -> String {
        self.0
            .iter()
            .fold(text.to_owned(), |text, secret| text.replace(secret, HIDDEN))
    }

    /// `value` without them: its structure stays, so that whoever wrote it can read the rest.
    fn hide_in(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.hide(&text)),
            Value::Array(items) => items.into_iter().map(|item| self.hide_in(item)).collect(),
            Value::Object(fields) => fields
                .into_iter()
                .map(|(name, value)| (self.hide(&name), self.hide_in(value)))
                .collect(),
            Value::Bool(_) | Value::Number(_) if self.shown_by(&value) => {
                Value::String(self.hide(&value.to_string()))
            }
            plain => plain,
        }
    }
}

/// What was made, with whatever shows a secret of `inputs` kept as one: what a provisioner is told in
/// confidence it may repeat without knowing.
pub(crate) fn in_confidence(mut made: Provisioned, inputs: &Resolved) -> Provisioned {
    let confidence = Confidence::new(inputs.secrets());
    for output in made.outputs.values_mut() {
        let Output::Plain(value) = output else {
            continue;
        };
        if confidence.shown_by(value) {
            let text = match value {
                Value::String(text) => std::mem::take(text),
                other => other.to_string(),
            };
            *output = Output::Secret(Secret::from(text));
        }
    }
    made.state = confidence.hide_in(made.state);
    made.summary = confidence.hide(&made.summary);
    made
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn confidence(secrets: &[Secret]) -> Confidence<'_> {
        Confidence::new(secrets)
    }

    #[test]
    fn a_state_without_a_secret_is_still_a_state() {
        let secrets = ["20261129", "say \"friend\"", r"C:\keys", "plain-enough"].map(Secret::from);
        let state = json!({
            "pin": 20_261_129, "port": 5432,
            "door": "please say \"friend\" and enter",
            "at": [r"in C:\keys\one", true, null],
            "plain-enough": { "of": "plain-enough" },
        });
        let hidden = json!({
            "pin": "[secret]", "port": 5432,
            "door": "please [secret] and enter",
            "at": [r"in [secret]\one", true, null],
            "[secret]": { "of": "[secret]" },
        });
        assert_eq!(confidence(&secrets).hide_in(state), hidden);
    }

    #[test]
    fn a_secret_in_the_structure_of_an_output_is_found() {
        let secrets = ["say \"friend\""].map(Secret::from);
        let shows = json!({ "rules": [{ "text": "say \"friend\"" }] });
        assert!(confidence(&secrets).shown_by(&shows));
        assert!(!confidence(&secrets).shown_by(&json!({ "rules": ["friend"] })));
    }

    #[test]
    fn of_a_secret_that_holds_another_nothing_is_left() {
        let secrets = ["abcdef", "abcdef-and-more", "short"].map(Secret::from);
        let hidden = confidence(&secrets).hide("abcdef-and-more, abcdef, short");
        assert_eq!(hidden, "[secret], [secret], short");
    }
}
