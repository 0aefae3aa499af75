//! What differs between two revisions of a definition, place by place.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{model::ResourceDefinitionSpec, score::placeholder::join_path};

/// What one revision says otherwise than another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevisionChange {
    /// Where: `params.size`, `criteria`, `coprovision.0.params`. An item of a list that came or went stands
    /// at its list.
    pub path: String,
    /// What the earlier one says; absent where it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub before: Option<Value>,
    /// What the later one says; absent where it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub after: Option<Value>,
}

/// What `after` says otherwise than `before`, in the order of the places.
pub fn difference(
    before: &ResourceDefinitionSpec,
    after: &ResourceDefinitionSpec,
) -> Vec<RevisionChange> {
    let mut found = Vec::new();
    match (serde_json::to_value(before), serde_json::to_value(after)) {
        (Ok(Value::Object(before)), Ok(Value::Object(after))) => {
            fields(&mut Vec::new(), &before, &after, &mut found);
        }
        // A definition is kept as JSON, so it can be written as JSON.
        _ => debug_assert_eq!(before, after, "a definition is no JSON"),
    }
    found
}

/// Where `after` says otherwise than `before`, each of which stands at `root`: `metadata.labels`.
pub(crate) fn places(root: &str, before: &Value, after: &Value) -> Vec<String> {
    let mut found = Vec::new();
    values(
        &mut root.split('.').map(str::to_owned).collect(),
        Some(before),
        Some(after),
        &mut found,
    );
    let mut places: Vec<_> = found.into_iter().map(|change| change.path).collect();
    places.dedup();
    places
}

fn fields(
    path: &mut Vec<String>,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
    found: &mut Vec<RevisionChange>,
) {
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        path.push(name.clone());
        values(path, before.get(name), after.get(name), found);
        path.pop();
    }
}

fn values(
    path: &mut Vec<String>,
    before: Option<&Value>,
    after: Option<&Value>,
    found: &mut Vec<RevisionChange>,
) {
    match (before, after) {
        (before, after) if before == after => {}
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            fields(path, before, after, found);
        }
        (Some(Value::Array(before)), Some(Value::Array(after))) => {
            lists(path, before, after, found);
        }
        // A list that came or went is told item by item, as one that has changed is.
        (None, Some(Value::Array(after))) => lists(path, &[], after, found),
        (Some(Value::Array(before)), None) => lists(path, before, &[], found),
        (before, after) => found.push(change(path, before, after)),
    }
}

/// Items that stand in both lists are left out, wherever they stand: what is left is the same item
/// changed where as many are left on both sides, and else came or went.
fn lists(
    path: &mut Vec<String>,
    before: &[Value],
    after: &[Value],
    found: &mut Vec<RevisionChange>,
) {
    let mut came: Vec<(usize, &Value)> = after.iter().enumerate().collect();
    let mut went: Vec<&Value> = Vec::new();
    for item in before {
        match came.iter().position(|(_, other)| *other == item) {
            Some(place) => {
                came.remove(place);
            }
            None => went.push(item),
        }
    }
    if came.is_empty() && went.is_empty() {
        // The same items in another order.
        let list = |items: &[Value]| Value::Array(items.to_vec());
        found.push(change(path, Some(&list(before)), Some(&list(after))));
        return;
    }
    let both_objects =
        |(was, (_, is)): (&&Value, &(usize, &Value))| was.is_object() && is.is_object();
    if came.len() == went.len() && went.iter().zip(&came).all(both_objects) {
        for (was, (index, is)) in went.into_iter().zip(came) {
            path.push(index.to_string());
            values(path, Some(was), Some(is), found);
            path.pop();
        }
        return;
    }
    found.extend(went.into_iter().map(|was| change(path, Some(was), None)));
    found.extend(came.into_iter().map(|(_, is)| change(path, None, Some(is))));
}

fn change(path: &[String], before: Option<&Value>, after: Option<&Value>) -> RevisionChange {
    RevisionChange {
        path: join_path(path.iter().map(String::as_str)),
        before: before.cloned(),
        after: after.cloned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(more: Value) -> ResourceDefinitionSpec {
        let mut spec = json!({ "type": "store", "provisioner": "template" });
        let (Value::Object(spec_fields), Value::Object(more)) = (&mut spec, more) else {
            panic!("both are objects");
        };
        spec_fields.extend(more);
        serde_json::from_value(spec).unwrap()
    }

    fn told(before: Value, after: Value) -> Vec<(String, Value, Value)> {
        let found = difference(&spec(before), &spec(after)).into_iter();
        let none = |value: Option<Value>| value.unwrap_or(Value::Null);
        found
            .map(|one| (one.path, none(one.before), none(one.after)))
            .collect()
    }

    #[test]
    fn each_place_is_told_with_both_values() {
        let before = json!({ "params": { "size": 1, "a.b": { "c": 1 } }, "outputs": ["host"] });
        let after = json!({
            "params": { "size": 2, "a.b": { "c": 1, "d": 2 } }, "outputs": ["host", "port"],
            "holdsData": true,
        });
        assert_eq!(
            told(before.clone(), after),
            [
                ("holdsData".into(), json!(null), json!(true)),
                ("outputs".into(), json!(null), json!("port")),
                (r"params.a\.b.d".into(), json!(null), json!(2)),
                ("params.size".into(), json!(1), json!(2)),
            ]
        );
        assert!(told(before.clone(), before).is_empty());
    }

    #[test]
    fn items_of_lists_are_told_one_by_one_wherever_they_stand() {
        let dev = json!({ "role": "dev" });
        let prod = json!({ "role": "prod" });
        assert_eq!(
            told(
                json!({ "criteria": [dev] }),
                json!({ "criteria": [prod, dev] })
            ),
            [("criteria".into(), json!(null), prod.clone())]
        );
        assert_eq!(
            told(json!({}), json!({ "criteria": [dev] })),
            [("criteria".into(), json!(null), dev.clone())]
        );
        let order = told(
            json!({ "criteria": [dev, prod] }),
            json!({ "criteria": [prod, dev] }),
        );
        assert_eq!(order.len(), 1);
        let made = |size: u64| json!({ "type": "volume", "params": { "size": size } });
        assert_eq!(
            told(
                json!({ "coprovision": [made(1), made(2)] }),
                json!({ "coprovision": [made(1), made(3)] }),
            ),
            [("coprovision.1.params.size".into(), json!(2), json!(3))]
        );
    }
}
