//! What should be, and what is.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use uuid::Uuid;

use crate::{Error, Result};

/// A kind of resource: declared by the domain that owns it.
pub trait Kind: 'static {
    /// The kind's name in every layer: `Environment`.
    const KIND: &'static str;
    /// What should be.
    type Spec: Serialize + DeserializeOwned + Send + Sync + Clone + std::fmt::Debug;
    /// What is; `Default` before anything was observed.
    type Status: Serialize + DeserializeOwned + Send + Sync + Clone + std::fmt::Debug + Default;

    /// What people call one: `resource definition` for `ResourceDefinition`.
    fn noun() -> String {
        words(Self::KIND)
    }

    /// How to see which there are in `scope`, for whoever has named one that is not there.
    fn listed_by(_scope: &str) -> Option<String> {
        None
    }

    /// There is none of this name.
    fn not_found(scope: &str, name: &str) -> Error {
        let error = Error::not_found(called(&Self::noun(), scope, name));
        match Self::listed_by(scope) {
            Some(command) => error.remedy(format!("`{command}` lists those that do")),
            None => error,
        }
    }
}

/// A kind's name in words.
fn words(kind: &str) -> String {
    let mut words = String::new();
    for letter in kind.chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words
}

/// A resource in a sentence: "workload `notes` in `dev`".
fn called(noun: &str, scope: &str, name: &str) -> String {
    if scope.is_empty() {
        format!("{noun} `{name}`")
    } else {
        format!("{noun} `{name}` in `{scope}`")
    }
}

/// What identifies a resource for people: unique in the store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// The kind's name.
    pub kind: String,
    /// What the name is unique in: an environment's name, or empty for the whole platform.
    pub scope: String,
    /// The name within the scope.
    pub name: String,
}

impl Key {
    /// In a sentence: "workload `notes` in `dev`".
    pub fn called(&self) -> String {
        called(&words(&self.kind), &self.scope, &self.name)
    }

    /// The key of a `K`.
    pub fn of<K: Kind>(scope: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            kind: K::KIND.into(),
            scope: scope.into(),
            name: name.into(),
        }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.scope.is_empty() {
            write!(f, "{}/{}", self.kind, self.name)
        } else {
            write!(f, "{}/{}/{}", self.kind, self.scope, self.name)
        }
    }
}

/// What every resource has, whatever its kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Meta {
    /// What the name is unique in; empty for the whole platform.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub scope: String,
    /// The name within the scope.
    pub name: String,
    /// Never used again, also not by a later resource of the same name.
    #[schema(value_type = String, format = Uuid)]
    pub uid: Uuid,
    /// Grows with every write: the ETag. 0 before the first.
    pub revision: i64,
    /// Grows with every change of the spec.
    pub generation: i64,
    /// For selection.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// When it was first written.
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
    /// When it was last written.
    #[schema(value_type = String, format = DateTime)]
    pub updated: Timestamp,
    /// When its deletion was asked for; reconcilers clean up, then the row goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub deleting: Option<Timestamp>,
}

impl Meta {
    /// The label that says which team a resource belongs to: the events of its writes carry it.
    pub const TEAM: &str = "team";

    /// The meta of a resource that is yet to be written.
    pub fn new(scope: impl Into<String>, name: impl Into<String>) -> Self {
        let now = Timestamp::now();
        Self {
            scope: scope.into(),
            name: name.into(),
            uid: Uuid::now_v7(),
            revision: 0,
            generation: 1,
            labels: BTreeMap::new(),
            created: now,
            updated: now,
            deleting: None,
        }
    }

    /// Refuses where whoever asks took the resource to be at another revision (`If-Match`).
    pub fn require_revision(&self, expected: Option<i64>) -> Result<()> {
        match expected {
            Some(expected) if expected != self.revision => Err(Error::conflict(format!(
                "`{}` is at revision {}, not {expected}",
                self.name, self.revision
            ))
            .remedy("read it again, and decide anew")
            .unmatched()),
            _ => Ok(()),
        }
    }
}

/// A resource of a known kind.
#[derive(Debug)]
pub struct Resource<K: Kind> {
    /// What every resource has.
    pub meta: Meta,
    /// What should be.
    pub spec: K::Spec,
    /// What is.
    pub status: K::Status,
}

// By hand, because a derive would ask the kind itself to be `Clone`.
impl<K: Kind> Clone for Resource<K> {
    fn clone(&self) -> Self {
        Self {
            meta: self.meta.clone(),
            spec: self.spec.clone(),
            status: self.status.clone(),
        }
    }
}

impl<K: Kind> Resource<K> {
    /// A resource that is yet to be written.
    pub fn new(scope: impl Into<String>, name: impl Into<String>, spec: K::Spec) -> Self {
        Self {
            meta: Meta::new(scope, name),
            spec,
            status: K::Status::default(),
        }
    }

    /// Its key.
    pub fn key(&self) -> Key {
        Key::of::<K>(self.meta.scope.clone(), self.meta.name.clone())
    }

    /// Whether its deletion was asked for.
    pub fn is_deleting(&self) -> bool {
        self.meta.deleting.is_some()
    }

    /// The document that the store keeps.
    pub fn document(&self) -> Result<Document> {
        let value = |v: serde_json::Result<Value>| {
            v.map_err(|e| Error::internal("a resource could not be serialized", e))
        };
        Ok(Document {
            kind: K::KIND.into(),
            meta: self.meta.clone(),
            spec: value(serde_json::to_value(&self.spec))?,
            status: value(serde_json::to_value(&self.status))?,
        })
    }
}

/// A resource of any kind: what the store keeps and the API answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Document {
    /// The kind's name.
    pub kind: String,
    /// What every resource has.
    #[serde(rename = "metadata")]
    pub meta: Meta,
    /// What should be.
    #[schema(value_type = Object)]
    pub spec: Value,
    /// What is.
    #[schema(value_type = Object)]
    pub status: Value,
}

impl Document {
    /// Its key.
    pub fn key(&self) -> Key {
        Key {
            kind: self.kind.clone(),
            scope: self.meta.scope.clone(),
            name: self.meta.name.clone(),
        }
    }

    /// The same as a `K`. Fails where the document is of another kind, or of a shape that this
    /// version does not know.
    pub fn typed<K: Kind>(self) -> Result<Resource<K>> {
        let key = self.key();
        if self.kind != K::KIND {
            return Err(Error::internal(
                "a resource of another kind was read",
                key.to_string(),
            ));
        }
        let shape = |e: serde_json::Error| {
            Error::internal(
                "a stored resource has an unknown shape",
                format!("{key}: {e}"),
            )
        };
        Ok(Resource {
            meta: self.meta,
            spec: serde_json::from_value(self.spec).map_err(shape)?,
            status: match self.status {
                Value::Null => K::Status::default(),
                status => serde_json::from_value(status).map_err(shape)?,
            },
        })
    }
}

/// Which resources of one kind to list, in order of scope and name.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Only this scope.
    pub scope: Option<String>,
    /// Only those with all of these labels.
    pub labels: BTreeMap<String, String>,
    /// The cursor that the page before gave.
    pub after: Option<String>,
    /// How many at the most; 0 means [`Query::DEFAULT_LIMIT`].
    pub limit: usize,
}

impl Query {
    /// Items on a page where the caller does not say.
    pub const DEFAULT_LIMIT: usize = 100;
    /// Items on a page at the most.
    pub const MAX_LIMIT: usize = 1000;

    /// Items on a page: what is asked for, within its bounds.
    pub fn page_size(&self) -> usize {
        match self.limit {
            0 => Self::DEFAULT_LIMIT,
            limit => limit.min(Self::MAX_LIMIT),
        }
    }

    /// All of one scope.
    pub fn scope(scope: impl Into<String>) -> Self {
        Self {
            scope: Some(scope.into()),
            ..Self::default()
        }
    }
}

/// A page of a list.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// The cursor of the next page; none after the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
