//! The local source's users and groups.

use kernel::Kind;
use serde::{Deserialize, Serialize};

/// Somebody who can log in with a password that the platform keeps. Scope: the platform. For laptops,
/// tests, and for the first admin; an organization's people are upstream.
#[derive(Debug)]
pub enum LocalUser {}

impl Kind for LocalUser {
    const KIND: &'static str = "LocalUser";
    type Spec = LocalUserSpec;
    type Status = UserStatus;
}

/// What a user of the local source is. The password is sealed beside it, hashed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LocalUserSpec {
    /// For other tools that know people by their address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Whether the user is kept out: sessions end at once, none begins.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disabled: bool,
}

/// What is known of a user beside that.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserStatus {
    /// Whether there is a password: without one nobody can log in as this user.
    #[serde(default)]
    pub has_password: bool,
}

/// A team, as the local source knows it. Scope: the platform.
#[derive(Debug)]
pub enum LocalGroup {}

impl Kind for LocalGroup {
    const KIND: &'static str = "LocalGroup";
    type Spec = LocalGroupSpec;
    type Status = ();
}

/// Who belongs to a group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LocalGroupSpec {
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Names of local users.
    #[serde(default)]
    pub members: Vec<String>,
}
