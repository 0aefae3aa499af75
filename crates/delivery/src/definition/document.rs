//! Documents that people apply: `towpath.dev/v1`.

use kernel::{
    Kind as _, Name, Problem,
    document::{API_VERSION, in_part},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::model::{
    Environment, EnvironmentRole, EnvironmentRoleSpec, ResourceDefinition, ResourceDefinitionSpec,
};

/// A document of a kind that can be applied.
#[derive(Debug, Clone, PartialEq)]
pub enum Applicable {
    /// How the platform meets a need.
    ResourceDefinition(Envelope<ResourceDefinitionSpec>),
    /// The purpose that environments share.
    EnvironmentRole(Envelope<EnvironmentRoleSpec>),
    /// An environment: made where it is not there, else changed as far as it may be.
    Environment(Envelope<EnvironmentFields>),
}

/// What every document has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Envelope<S> {
    /// `towpath.dev/v1`.
    pub api_version: String,
    /// The kind.
    pub kind: String,
    /// Name and labels.
    pub metadata: DocumentMeta,
    /// What should be.
    pub spec: S,
}

/// A document's name and labels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DocumentMeta {
    /// A DNS label.
    pub name: Name,
    /// For selection, and for criteria.
    #[serde(default)]
    pub labels: std::collections::BTreeMap<String, String>,
}

/// What a document of kind `Environment` may say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnvironmentFields {
    /// The role.
    #[serde(default)]
    pub role: Option<String>,
    /// The team.
    #[serde(default)]
    pub team: Option<String>,
    /// The engine.
    #[serde(default)]
    pub engine: Option<String>,
    /// In so many seconds, from when this is first said, everything in it is removed.
    #[serde(default)]
    pub ttl_seconds: Option<u64>,
    /// The environment whose definitions hold here.
    #[serde(default)]
    pub clone_from: Option<String>,
}

impl Applicable {
    /// The kinds that are read: of all others, no document is.
    pub const KINDS: [&'static str; 3] = [
        ResourceDefinition::KIND,
        EnvironmentRole::KIND,
        Environment::KIND,
    ];

    /// The rule that a document of no kind breaks.
    pub const NO_SUCH_KIND: &'static str = "document/kind";

    /// Reads one document, and says everything that is wrong with its shape; `place` (`documents[0]`) is where
    /// the problems are. One that has some is there without the fields that they are of, where it can be
    /// read so. What the platform itself has answered is taken too: what it should be counts, not what it is.
    pub fn read(value: &Value, place: &str) -> (Option<Self>, Vec<Problem>) {
        let answered = of_answer(value);
        let value = answered.as_ref().unwrap_or(value);
        let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
        match (text("apiVersion"), text("kind")) {
            (API_VERSION, kind) if !Self::KINDS.contains(&kind) => {
                let problem = Problem::new(
                    Self::NO_SUCH_KIND,
                    format!("{place}.kind"),
                    format!("there is no kind `{kind}` that can be applied"),
                )
                .remedy("`towpath apply --help` lists the kinds");
                (None, vec![problem])
            }
            (API_VERSION, ResourceDefinition::KIND) => {
                let (read, problems) = in_part(value, place);
                (read.map(Self::ResourceDefinition), problems)
            }
            (API_VERSION, EnvironmentRole::KIND) => {
                let (read, problems) = in_part(value, place);
                (read.map(Self::EnvironmentRole), problems)
            }
            (API_VERSION, _) => {
                let (read, problems) = in_part(value, place);
                (read.map(Self::Environment), problems)
            }
            (version, _) => {
                let problem = Problem::new(
                    "document/api-version",
                    format!("{place}.apiVersion"),
                    format!("`{version}` is not an API version that can be applied here"),
                )
                .remedy(format!(
                    "use `{API_VERSION}`; a Score file is deployed, not applied"
                ));
                (None, vec![problem])
            }
        }
    }
}

/// The document within an answer of the platform's API (as `towpath get -o yaml` shows it); nothing
/// where `value` is none.
fn of_answer(value: &Value) -> Option<Value> {
    let fields = value.as_object()?;
    let meta = fields.get("metadata")?;
    if fields.contains_key("apiVersion") || !meta.get("uid")?.is_string() {
        return None;
    }
    let labels = meta.get("labels").cloned().unwrap_or_else(|| json!({}));
    Some(json!({
        "apiVersion": API_VERSION,
        "kind": fields.get("kind")?,
        "metadata": { "name": meta.get("name")?, "labels": labels },
        "spec": fields.get("spec")?,
    }))
}

/// The definitions and roles that come with the platform.
///
/// # Panics
/// Where the embedded documents are not valid: a test reads them.
pub fn defaults() -> Vec<Applicable> {
    const TEXTS: [&str; 2] = [
        include_str!("../../defaults/roles.yaml"),
        include_str!("../../defaults/definitions.yaml"),
    ];
    TEXTS
        .iter()
        .flat_map(|text| serde_yaml_ng::Deserializer::from_str(text))
        .map(|document| {
            let value =
                Value::deserialize(document).expect("the defaults are YAML: a test reads them");
            let (read, _) = Applicable::read(&value, "defaults");
            read.expect("the defaults are valid: a test reads them")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_can_be_read() {
        let kinds = defaults().into_iter().map(|d| std::mem::discriminant(&d));
        assert_eq!(kinds.collect::<std::collections::HashSet<_>>().len(), 2);
    }

    #[test]
    fn an_unknown_field_is_named() {
        let value = serde_json::json!({
            "apiVersion": API_VERSION, "kind": "EnvironmentRole",
            "metadata": { "name": "dev" }, "spec": { "protectd": true },
        });
        let (_, problems) = Applicable::read(&value, "documents[0]");
        let [problem] = problems.as_slice() else {
            panic!("{problems:?}");
        };
        assert!(problem.message.contains("protectd"), "{problem:?}");
        assert_eq!(problem.path, "documents[0].spec.protectd");
    }

    #[test]
    fn what_was_answered_can_be_applied() {
        let answered = serde_json::json!({
            "kind": "EnvironmentRole",
            "metadata": {
                "name": "dev", "uid": "0199", "revision": 7, "generation": 1, "labels": { "a": "b" },
                "created": "2025-01-01T00:00:00Z", "updated": "2025-01-01T00:00:00Z",
            },
            "spec": { "protected": false }, "status": null,
        });
        let (Some(Applicable::EnvironmentRole(role)), _) =
            Applicable::read(&answered, "documents[0]")
        else {
            panic!("it is a role");
        };
        assert_eq!(role.metadata.labels["a"], "b");
    }
}
