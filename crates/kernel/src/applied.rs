//! What became of the documents that people apply.

use serde::{Deserialize, Serialize};

use crate::{Key, Kind};

/// What became of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Applied {
    /// The kind.
    pub kind: String,
    /// The name.
    pub name: String,
    /// What was done.
    pub outcome: ApplyOutcome,
    /// The revision that it has now, for kinds that keep revisions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// What it still wants: a secret, which no document holds; a namespace that it names and there is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
    /// Where it says otherwise than what there is: `spec.role`. Said where it is only asked what would change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differs: Vec<String>,
    /// What is written by it: what a document is called may be no kind of resource, and the names of two teams the
    /// same. Known to the platform alone.
    #[serde(skip)]
    pub key: Option<Key>,
}

impl Applied {
    /// What became of the document of a `K`.
    pub fn of<K: Kind>(scope: &str, name: &str, outcome: ApplyOutcome) -> Self {
        Self {
            kind: K::KIND.into(),
            name: name.into(),
            outcome,
            revision: None,
            missing: None,
            differs: Vec::new(),
            key: Some(Key::of::<K>(scope, name)),
        }
    }
}

/// What applying a document did, or would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ApplyOutcome {
    /// It is new.
    Created,
    /// It said something else before.
    Changed,
    /// It says what it said before.
    Unchanged,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_it_is_kept_as_is_told_to_nobody() {
        let applied = Applied {
            kind: "NamespaceRequest".into(),
            name: "shop-qa".into(),
            outcome: ApplyOutcome::Created,
            revision: None,
            missing: None,
            differs: Vec::new(),
            key: Some(Key {
                kind: "Namespace".into(),
                scope: "shop".into(),
                name: "shop-qa".into(),
            }),
        };
        let told = serde_json::to_value(&applied).unwrap();
        let expected =
            json!({ "kind": "NamespaceRequest", "name": "shop-qa", "outcome": "created" });
        assert_eq!(told, expected);
        let read: Applied = serde_json::from_value(told).unwrap();
        let known = Applied {
            key: None,
            ..applied
        };
        assert_eq!(read, known);
    }
}
