//! The IAM API of another endpoint: users, their one policy and their access keys.
//!
//! It is the Query API of 2010-05-08, which AWS, Ceph RGW and SeaweedFS serve.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4::SigningParams,
};
use delivery::provisioner::ProvisionError;
use kernel::Secret;
use reqwest::{Body, Client, Request, StatusCode, Url, header::HeaderValue};
use serde::de::DeserializeOwned;

use super::iam_answers::{CreateAccessKey, ListAccessKeys, ListUsers, ListedKey, part};

const VERSION: &str = "2010-05-08";
/// Where the platform's users are, so that people know them for what they are.
const PATH: &str = "/towpath/";
/// The name of each user's one policy.
const POLICY: &str = "towpath";
const NO_SUCH_ENTITY: &str = "NoSuchEntity";
const ALREADY_EXISTS: &str = "EntityAlreadyExists";
const LIMIT_EXCEEDED: &str = "LimitExceeded";
/// What is refused now and may be granted later. One server may not have heard yet of what another has made, or
/// removed.
const PASSING: [&str; 7] = [
    NO_SUCH_ENTITY,
    LIMIT_EXCEEDED,
    "ConcurrentModification",
    "DeleteConflict",
    "EntityTemporarilyUnmodifiable",
    "ServiceFailure",
    "Throttling",
];

/// An access key, as IAM tells it once.
pub(super) struct AccessKey {
    pub(super) id: String,
    pub(super) secret: Secret,
}

/// An IAM endpoint, and an access key that may make users there.
#[derive(Debug, Clone)]
pub(super) struct Iam {
    url: Url,
    region: String,
    partition: &'static str,
    access_key_id: String,
    secret_access_key: Secret,
    client: Client,
}

/// Why IAM did not do what it was asked.
struct Refusal {
    code: String,
    error: ProvisionError,
}

impl From<Refusal> for ProvisionError {
    fn from(refusal: Refusal) -> Self {
        refusal.error
    }
}

impl Iam {
    /// The IAM at `url` of an S3 endpoint in `region`.
    pub(super) fn new(
        url: Url,
        region: &str,
        access_key_id: &str,
        secret_access_key: Secret,
        client: Client,
    ) -> Self {
        let (region, partition) = amazon(&url).unwrap_or((region, "aws"));
        Self {
            region: region.to_owned(),
            partition,
            access_key_id: access_key_id.to_owned(),
            secret_access_key,
            client,
            url,
        }
    }

    pub(super) fn url(&self) -> &str {
        self.url.as_str().trim_end_matches('/')
    }

    /// The partition in the ARNs of what is there.
    pub(super) fn partition(&self) -> &'static str {
        self.partition
    }

    pub(super) async fn has_user(&self, user: &str) -> Result<bool, ProvisionError> {
        let doing = format!("look for the user {user}");
        let asked = self.call("GetUser", &[("UserName", user)], &doing).await;
        Ok(present(asked)?.is_some())
    }

    /// Makes the user; one that is there stays.
    pub(super) async fn make_user(&self, user: &str) -> Result<(), ProvisionError> {
        // Not every IAM refuses a second user of the same name.
        if self.has_user(user).await? {
            return Ok(());
        }
        let parameters = [("UserName", user), ("Path", PATH)];
        let doing = format!("make the user {user}");
        match self.call("CreateUser", &parameters, &doing).await {
            Err(refusal) if refusal.code != ALREADY_EXISTS => Err(refusal.error),
            _ => Ok(()),
        }
    }

    pub(super) async fn delete_user(&self, user: &str) -> Result<(), ProvisionError> {
        let doing = format!("remove the user {user}");
        let asked = self.call("DeleteUser", &[("UserName", user)], &doing).await;
        present(asked).map(drop)
    }

    /// Names of the platform's users that begin with `prefix`.
    pub(super) async fn users(&self, prefix: &str) -> Result<Vec<String>, ProvisionError> {
        const DOING: &str = "list the users";
        let mut names = Vec::new();
        let mut marker = None::<String>;
        loop {
            let mut parameters = vec![("PathPrefix", PATH)];
            parameters.extend(marker.as_deref().map(|marker| ("Marker", marker)));
            let text = self.call("ListUsers", &parameters, DOING).await?;
            let page = self.read::<ListUsers>(&text, DOING)?.list_users_result;
            names.extend(page.users.member.into_iter().map(|user| user.user_name));
            match page.marker {
                Some(next) if page.is_truncated && !next.is_empty() => marker = Some(next),
                _ => break,
            }
        }
        names.retain(|name| name.starts_with(prefix));
        Ok(names)
    }

    /// Lets the user do what `policy` says, and nothing else.
    pub(super) async fn put_policy(&self, user: &str, policy: &str) -> Result<(), ProvisionError> {
        let parameters = [
            ("UserName", user),
            ("PolicyName", POLICY),
            ("PolicyDocument", policy),
        ];
        let doing = format!("give the user {user} its policy");
        self.call("PutUserPolicy", &parameters, &doing).await?;
        Ok(())
    }

    pub(super) async fn has_policy(&self, user: &str) -> Result<bool, ProvisionError> {
        let parameters = [("UserName", user), ("PolicyName", POLICY)];
        let doing = format!("look for the policy of the user {user}");
        let asked = self.call("GetUserPolicy", &parameters, &doing).await;
        Ok(present(asked)?.is_some())
    }

    pub(super) async fn delete_policy(&self, user: &str) -> Result<(), ProvisionError> {
        let parameters = [("UserName", user), ("PolicyName", POLICY)];
        let doing = format!("remove the policy of the user {user}");
        let asked = self.call("DeleteUserPolicy", &parameters, &doing).await;
        present(asked).map(drop)
    }

    /// The user's access keys: none where there is no user.
    pub(super) async fn access_keys(&self, user: &str) -> Result<Vec<ListedKey>, ProvisionError> {
        let doing = format!("list the access keys of the user {user}");
        let parameters = [("UserName", user)];
        let asked = self.call("ListAccessKeys", &parameters, &doing).await;
        let Some(text) = present(asked)? else {
            return Ok(Vec::new());
        };
        let answer = self.read::<ListAccessKeys>(&text, &doing)?;
        Ok(answer.list_access_keys_result.access_key_metadata.member)
    }

    pub(super) async fn create_access_key(&self, user: &str) -> Result<AccessKey, ProvisionError> {
        let doing = format!("make an access key of the user {user}");
        let parameters = [("UserName", user)];
        let text = self.call("CreateAccessKey", &parameters, &doing).await?;
        let answer = self.read::<CreateAccessKey>(&text, &doing)?;
        let key = answer.create_access_key_result.access_key;
        Ok(AccessKey {
            id: key.access_key_id,
            secret: Secret::from(key.secret_access_key),
        })
    }

    pub(super) async fn delete_access_key(
        &self,
        user: &str,
        id: &str,
    ) -> Result<(), ProvisionError> {
        let parameters = [("UserName", user), ("AccessKeyId", id)];
        let doing = format!("remove the access key {id} of the user {user}");
        let asked = self.call("DeleteAccessKey", &parameters, &doing).await;
        present(asked).map(drop)
    }

    async fn call(
        &self,
        action: &str,
        parameters: &[(&str, &str)],
        doing: &str,
    ) -> Result<String, Refusal> {
        let away = |error: reqwest::Error| Refusal {
            code: String::new(),
            error: self
                .fault(doing, &error.without_url().to_string())
                .remedy("see that the endpoint is reachable from the platform"),
        };
        let mut form = vec![("Action", action), ("Version", VERSION)];
        form.extend_from_slice(parameters);
        let request = self.client.post(self.url.clone()).form(&form).build();
        let mut request = request.map_err(away)?;
        self.sign(&mut request).map_err(|why| Refusal {
            code: String::new(),
            error: ProvisionError {
                retry: false,
                ..self.fault(doing, &why)
            },
        })?;
        let answer = self.client.execute(request).await.map_err(away)?;
        let status = answer.status();
        let text = answer.text().await.map_err(away)?;
        if status.is_success() {
            return Ok(text);
        }
        Err(self.refusal(doing, status, &text))
    }

    /// What an answer that is no success says.
    fn refusal(&self, doing: &str, status: StatusCode, text: &str) -> Refusal {
        let code = part(text, "Code").unwrap_or_default();
        let words = part(text, "Message").unwrap_or_default();
        let remedy = if code == LIMIT_EXCEEDED {
            "what was just removed may count for some seconds more; if it stays so, remove users under `/towpath/` \
             that no resource has, or have the limit of the IAM account raised"
        } else {
            "see that the configured access key may manage users under `/towpath/`: docs/provisioners.md says how"
        };
        let error = self
            .fault(doing, &format!("{status} {code}: {words}"))
            .remedy(remedy);
        let passing = status.is_server_error()
            || status == StatusCode::TOO_MANY_REQUESTS
            || PASSING.contains(&code);
        Refusal {
            code: code.to_owned(),
            error: ProvisionError {
                retry: passing,
                ..error
            },
        }
    }

    /// Signs `request` by the configured access key (SigV4).
    fn sign(&self, request: &mut Request) -> Result<(), String> {
        let secret = self
            .secret_access_key
            .expose_str()
            .ok_or("the secret access key of the S3 endpoint is no text")?;
        let identity = Credentials::new(&self.access_key_id, secret, None, None, "towpath").into();
        let parameters = SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("iam")
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| error.to_string())?
            .into();
        let headers = request.headers().iter();
        let headers =
            headers.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let body = request.body().and_then(Body::as_bytes).unwrap_or_default();
        let body = SignableBody::Bytes(body);
        let signable = SignableRequest::new("POST", self.url.as_str(), headers, body)
            .map_err(|error| error.to_string())?;
        let signed = sign(signable, &parameters).map_err(|error| error.to_string())?;
        let (instructions, _) = signed.into_parts();
        for header in instructions.into_parts().0 {
            let mut value =
                HeaderValue::from_str(header.value()).map_err(|error| error.to_string())?;
            value.set_sensitive(header.sensitive());
            request.headers_mut().insert(header.name(), value);
        }
        Ok(())
    }

    /// Reads an answer. What is wrong with it is not quoted: it may hold a secret.
    fn read<T: DeserializeOwned>(&self, text: &str, doing: &str) -> Result<T, ProvisionError> {
        quick_xml::de::from_str(text).map_err(|_| {
            self.fault(doing, "its answer is not what IAM answers")
                .remedy("see that the address given as --s3-iam-endpoint is that of an IAM API")
        })
    }

    fn fault(&self, doing: &str, why: &str) -> ProvisionError {
        ProvisionError::transient(format!(
            "the IAM endpoint {} cannot {doing}: {why}",
            self.url()
        ))
    }
}

/// An answer, or none where there is no such thing.
fn present(asked: Result<String, Refusal>) -> Result<Option<String>, ProvisionError> {
    match asked {
        Ok(text) => Ok(Some(text)),
        Err(refusal) if refusal.code == NO_SUCH_ENTITY => Ok(None),
        Err(refusal) => Err(refusal.error),
    }
}

/// The region by which the IAM of Amazon wants requests signed, wherever the buckets are, and its partition.
fn amazon(url: &Url) -> Option<(&'static str, &'static str)> {
    let host = url.host_str()?;
    if host.ends_with(".amazonaws.com.cn") {
        Some(("cn-north-1", "aws-cn"))
    } else if host == "iam.us-gov.amazonaws.com" {
        Some(("us-gov-west-1", "aws-us-gov"))
    } else if host.ends_with(".amazonaws.com") {
        Some(("us-east-1", "aws"))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn iam(url: &str) -> Iam {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let secret = Secret::from("canary");
        let url = Url::parse(url).unwrap();
        Iam::new(url, "eu-central-1", "id", secret, Client::new())
    }

    #[test]
    fn requests_are_signed_for_the_one_region_of_amazon_or_for_the_endpoints_own() {
        for (url, region, partition) in [
            ("https://iam.amazonaws.com", "us-east-1", "aws"),
            (
                "https://iam.cn-north-1.amazonaws.com.cn",
                "cn-north-1",
                "aws-cn",
            ),
            (
                "https://iam.us-gov.amazonaws.com",
                "us-gov-west-1",
                "aws-us-gov",
            ),
            ("https://ceph.example.com", "eu-central-1", "aws"),
        ] {
            let iam = iam(url);
            assert_eq!((iam.region.as_str(), iam.partition()), (region, partition));
            let mut request = iam.client.post(url).body("Action=GetUser").build().unwrap();
            iam.sign(&mut request).unwrap();
            let signed = request.headers()["authorization"].to_str().unwrap();
            let scope = format!("/{region}/iam/aws4_request");
            assert!(signed.contains(&scope), "{signed}");
            assert!(!format!("{iam:?}{request:?}{signed}").contains("canary"));
        }
    }

    #[test]
    fn what_one_server_has_not_heard_of_yet_is_asked_again() {
        let iam = iam("https://iam.amazonaws.com");
        let refused = |status, code: &str| {
            let error = format!("<Error><Code>{code}</Code><Message>No.</Message></Error>");
            iam.refusal("do it", status, &error).error
        };
        for code in ["LimitExceeded", "DeleteConflict", "NoSuchEntity"] {
            let error = refused(StatusCode::CONFLICT, code);
            assert!(error.retry, "{error:?}");
        }
        let denied = refused(StatusCode::FORBIDDEN, "AccessDenied");
        assert!(!denied.retry, "{denied:?}");
        let full = refused(StatusCode::CONFLICT, "LimitExceeded");
        assert_ne!(full.remedy, denied.remedy);
        assert!(full.message.ends_with("409 Conflict LimitExceeded: No."));
    }
}
