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

    fn listed_by(_: &str) -> Option<String> {
        Some("towpath user list".into())
    }
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
    /// How many had the name before: the subject says it, so that it is never another's.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub before: u64,
    /// How often logins were ended, by a new password or by keeping the user out: a login of an earlier
    /// count is over, whatever it began.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub logins: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// The part of a local user's subject after the source: the name, and of one who is not the first of
/// that name, a number. Names have no dot, so no other name looks like it.
pub(crate) fn local_id(name: &str, before: u64) -> String {
    match before {
        0 => name.to_owned(),
        before => format!("{name}.{}", before + 1),
    }
}

/// Name, and how many had it before: the reverse of [`local_id`].
pub(crate) fn parse_local_id(id: &str) -> Option<(&str, u64)> {
    let Some((name, number)) = id.split_once('.') else {
        return Some((id, 0));
    };
    let before = number.parse::<u64>().ok()?.checked_sub(1)?;
    (local_id(name, before) == id).then_some((name, before))
}

/// The name of a local user, after its user is gone too. Scope: the platform.
#[derive(Debug)]
pub enum UserName {}

impl Kind for UserName {
    const KIND: &'static str = "LocalUserName";
    type Spec = UserNameSpec;
    type Status = ();
}

/// Who had a name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserNameSpec {
    /// How many users have been called so.
    pub users: u64,
}

/// A team, as the local source knows it. Scope: the platform.
#[derive(Debug)]
pub enum LocalGroup {}

impl Kind for LocalGroup {
    const KIND: &'static str = "LocalGroup";
    type Spec = LocalGroupSpec;
    type Status = ();

    fn listed_by(_: &str) -> Option<String> {
        Some("towpath group list".into())
    }
}

impl LocalGroup {
    /// The label that says for which team the platform made it: it goes with that team.
    pub const MADE_FOR: &str = "made-for";
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_of_one_user_alone() {
        for (name, before, id) in [("ada", 0, "ada"), ("ada", 1, "ada.2"), ("ada", 9, "ada.10")] {
            assert_eq!(local_id(name, before), id);
            assert_eq!(parse_local_id(id), Some((name, before)));
        }
        for id in [
            "ada.1", "ada.0", "ada.02", "ada.+2", "ada.", "ada.2.2", "ada.x",
        ] {
            assert_eq!(parse_local_id(id), None, "{id}");
        }
    }
}
