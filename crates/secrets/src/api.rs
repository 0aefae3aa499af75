//! What the HTTP API of secrets takes and gives. Shared by the routes and by the client; no I/O.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use kernel::{Error, Problem, Result, Secret};
use serde::{Deserialize, Serialize};

use crate::model::SecretInfo;

/// How a value that need not be text is written in JSON.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// As it is.
    #[default]
    Utf8,
    /// Base64 of its bytes (RFC 4648, with padding).
    Base64,
}

/// A value on its way. `Debug` does not show it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Encoded {
    /// The value.
    pub value: String,
    /// How it is written.
    #[serde(default)]
    pub encoding: Encoding,
}

impl Encoded {
    /// As text where it is text.
    pub fn of(value: &Secret) -> Self {
        match value.expose_str() {
            Some(text) => Self {
                value: text.to_owned(),
                encoding: Encoding::Utf8,
            },
            None => Self {
                value: STANDARD.encode(value.expose()),
                encoding: Encoding::Base64,
            },
        }
    }

    /// The value.
    pub fn decode(&self) -> Result<Secret> {
        match self.encoding {
            Encoding::Utf8 => Ok(Secret::from(self.value.as_str())),
            Encoding::Base64 => STANDARD.decode(&self.value).map(Secret::new).map_err(|_| {
                let problem = Problem::new("secret/base64", "value", "the value is not base64")
                    .remedy("encode it with padding, or leave out `encoding`");
                Error::problems("the value is not base64", vec![problem])
            }),
        }
    }
}

impl fmt::Debug for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoded")
            .field("encoding", &self.encoding)
            .finish_non_exhaustive()
    }
}

/// `PUT teams/{team}/secrets/{name}`: a value, or that the platform is to draw one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PutSecret {
    /// The value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Encoded>,
    /// Draw one of so many random bytes, given as base64url, in place of `value`: 16 to 512.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generate: Option<usize>,
    /// For people; what was said before where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// `GET teams/{team}/secrets/{name}/value`. `Debug` does not show the value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevealedSecret {
    /// Which version it is.
    pub version: u64,
    /// The value.
    #[serde(flatten)]
    pub value: Encoded,
}

/// The query of a list of secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretsQuery {
    /// Only those that are this path, or lie below it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The cursor that the page before gave as `next`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Items on the page at the most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// The query of a secret's value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ValueQuery {
    /// Of this version; of the newest where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
}

/// `POST teams/{team}/secret-rotations`: new values for all below a path that the platform can draw.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RotateSecrets {
    /// A secret's name, or the path of several.
    pub path: String,
}

/// What became of one secret's rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Rotation {
    /// Its newest version has a new value.
    Rotated,
    /// Its next version will: the platform draws a key first.
    Asked,
    /// Somebody wrote its value: only they can write another.
    Written,
    /// It has a new value since a rotation of this path was begun that is not finished: that is the one.
    Already,
    /// It has no new value: `reason` says why. Asked again, the rotation goes on with it.
    Failed,
}

/// One secret of a rotation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RotatedSecret {
    /// What became of it.
    pub rotation: Rotation,
    /// Why it was not rotated, where it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The secret, as it is now.
    #[serde(flatten)]
    pub secret: SecretInfo,
}

/// The answer to a rotation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RotatedSecrets {
    /// Every secret below the path, by name.
    pub items: Vec<RotatedSecret>,
}
