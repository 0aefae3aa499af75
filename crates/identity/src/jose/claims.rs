//! What our tokens say.

use std::collections::BTreeMap;

use kernel::CallerKind;
use serde::{Deserialize, Serialize};

/// The type in the head of an access token (RFC 9068): an ID token is none.
pub(crate) const ACCESS_TOKEN: &str = "at+jwt";
/// The type in the head of an ID token.
pub(crate) const ID_TOKEN: &str = "JWT";

/// What an access token says. The teams are in one claim more, whose name is configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessClaims {
    /// Who has signed it: this platform.
    pub iss: String,
    /// Whose it is: `local:ada`, `github:583231`, `account:payments/ci`.
    pub sub: String,
    /// Whom it is for: this platform's API.
    pub aud: String,
    /// The program that asked for it.
    pub client_id: String,
    /// When it was signed, in seconds since 1970.
    pub iat: i64,
    /// When it ends, in seconds since 1970.
    pub exp: i64,
    /// Its own name.
    pub jti: String,
    /// The session that it belongs to: ended, the token is worth nothing here.
    pub sid: String,
    /// What was asked for.
    pub scope: String,
    /// What sort of caller it makes.
    #[serde(rename = "https://towpath.dev/kind")]
    pub kind: CallerKind,
    /// The one environment that it is for.
    #[serde(
        rename = "https://towpath.dev/environment",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub environment: Option<String>,
    /// What people call the subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferred_username: Option<String>,
    /// The groups, plainly.
    #[serde(default)]
    pub groups: Vec<String>,
    /// The lasting ids of those of them that have one at their source, by name.
    #[serde(
        rename = "https://towpath.dev/group-ids",
        default,
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub group_ids: BTreeMap<String, String>,
}

/// What an ID token says. The teams are in one claim more, whose name is configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdClaims {
    /// Who has signed it: this platform.
    pub iss: String,
    /// Who has logged in.
    pub sub: String,
    /// The program that they have logged in to.
    pub aud: String,
    /// When it was signed, in seconds since 1970.
    pub iat: i64,
    /// When it ends, in seconds since 1970.
    pub exp: i64,
    /// When they have logged in, in seconds since 1970.
    pub auth_time: i64,
    /// The session.
    pub sid: String,
    /// Joins it with the access token of the same answer.
    pub at_hash: String,
    /// What the program sent with its request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// What people call the subject, where `profile` was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferred_username: Option<String>,
    /// Their address, where `email` was asked for and the source has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The groups, plainly.
    #[serde(default)]
    pub groups: Vec<String>,
    /// The same, each with the source that says so: `github:acme/payments`. What another source calls the
    /// same is not it: for those who look at nothing else, such as a cluster's role bindings.
    #[serde(default)]
    pub source_groups: Vec<String>,
}
