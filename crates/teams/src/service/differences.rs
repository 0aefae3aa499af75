//! What a change has changed, for the audit trail.

use kernel::{Error, Result};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// The fields that differ, each `{"from": ..., "to": ...}`, by where they are: `allowance.quota`. Lists are told
/// whole.
///
/// Of what is below one of the places `hidden` it is told that it differs, and not how: people write there what
/// may be secret.
pub(crate) fn differences(
    before: &impl Serialize,
    after: &impl Serialize,
    hidden: &[&str],
) -> Result<Value> {
    let value = |error| Error::internal("what was changed could not be serialized", error);
    let (before, after) = (
        serde_json::to_value(before).map_err(value)?,
        serde_json::to_value(after).map_err(value)?,
    );
    let mut found = Map::new();
    compare("", &before, &after, hidden, &mut found);
    Ok(Value::Object(found))
}

fn compare(at: &str, is: &Value, to: &Value, hidden: &[&str], found: &mut Map<String, Value>) {
    if is == to {
        return;
    }
    if hidden.contains(&at) {
        found.insert(at.to_owned(), json!({ "changed": true }));
        return;
    }
    let (Value::Object(one), Value::Object(other)) = (is, to) else {
        found.insert(at.to_owned(), json!({ "from": is, "to": to }));
        return;
    };
    let added = other.keys().filter(|name| !one.contains_key(*name));
    for name in one.keys().chain(added) {
        let below = match at {
            "" => name.clone(),
            at => format!("{at}.{name}"),
        };
        let [is, to] = [one, other].map(|map| map.get(name).unwrap_or(&Value::Null));
        compare(&below, is, to, hidden, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_told_and_nothing_that_may_be_secret() {
        let before = json!({ "a": 1, "b": { "c": [1], "d": 2 }, "headers": { "x": "canary" } });
        let after = json!({ "a": 1, "b": { "c": [1, 2] }, "headers": { "x": "other" }, "e": true });
        let found = differences(&before, &after, &["headers"]).unwrap();
        let expected = json!({
            "b.c": { "from": [1], "to": [1, 2] },
            "b.d": { "from": 2, "to": null },
            "e": { "from": null, "to": true },
            "headers": { "changed": true },
        });
        assert_eq!(found, expected);
    }
}
