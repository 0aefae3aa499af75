//! What an IAM API answers, as far as it is looked at.

use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateAccessKey {
    pub(super) create_access_key_result: CreatedKey,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreatedKey {
    pub(super) access_key: NewKey,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NewKey {
    pub(super) access_key_id: String,
    pub(super) secret_access_key: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListAccessKeys {
    pub(super) list_access_keys_result: KeyList,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct KeyList {
    #[serde(default)]
    pub(super) access_key_metadata: Keys,
}

#[derive(Default, Deserialize)]
pub(super) struct Keys {
    #[serde(default)]
    pub(super) member: Vec<ListedKey>,
}

/// An access key, without its secret.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListedKey {
    pub(super) access_key_id: String,
    #[serde(default)]
    pub(super) status: String,
}

impl ListedKey {
    /// Whether it opens anything: a person may have put it out of use.
    pub(super) fn is_active(&self) -> bool {
        self.status != "Inactive"
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListUsers {
    pub(super) list_users_result: UserList,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UserList {
    #[serde(default)]
    pub(super) users: Users,
    #[serde(default)]
    pub(super) is_truncated: bool,
    pub(super) marker: Option<String>,
}

#[derive(Default, Deserialize)]
pub(super) struct Users {
    #[serde(default)]
    pub(super) member: Vec<ListedUser>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListedUser {
    pub(super) user_name: String,
}

/// What an error says as `tag`: its shape differs from server to server.
pub(super) fn part<'a>(text: &'a str, tag: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{tag}>"))?;
    Some(rest.split_once(&format!("</{tag}>"))?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_whether_they_hold_something_or_not() {
        let keys = |list: &str| {
            let text = format!(
                "<ListAccessKeysResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\">\n\
                 <ListAccessKeysResult>{list}<IsTruncated>false</IsTruncated></ListAccessKeysResult>\n\
                 <ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></ListAccessKeysResponse>"
            );
            let answer: ListAccessKeys = quick_xml::de::from_str(&text).unwrap();
            let keys = answer.list_access_keys_result.access_key_metadata.member;
            let keys = keys.into_iter();
            keys.map(|key| (key.is_active(), key.access_key_id))
                .collect::<Vec<_>>()
        };
        assert!(keys("").is_empty());
        assert!(keys("<AccessKeyMetadata/>").is_empty());
        assert!(keys("<AccessKeyMetadata>\n  </AccessKeyMetadata>").is_empty());
        let two = "<AccessKeyMetadata>\n<member><UserName>u</UserName><AccessKeyId>A</AccessKeyId>\
                   <Status>Active</Status></member>\n<member><AccessKeyId>B</AccessKeyId>\
                   <Status>Inactive</Status></member></AccessKeyMetadata>";
        assert_eq!(keys(two), [(true, "A".to_owned()), (false, "B".to_owned())]);
    }
}
