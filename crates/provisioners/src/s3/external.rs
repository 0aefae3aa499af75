//! An S3 endpoint that is not ours: buckets made and removed with an access key that may do so.

use std::time::Duration;

use delivery::provisioner::{Presence, ProvisionError};
use futures::{StreamExt, TryStreamExt, stream};
use kernel::Secret;
use reqwest::{Client, Method, StatusCode, Url};
use rusty_s3::{Bucket, Credentials, S3Action, UrlStyle, actions::ListObjectsV2};

use super::{
    iam::{AccessKey, Iam},
    iam_answers::part,
};

/// How long a signed request is good for: as long as it may take.
const SIGNED_FOR: Duration = Duration::from_mins(1);
/// Objects that are removed at once.
const AT_ONCE: usize = 16;

/// Any S3 endpoint, and an access key that may make buckets there.
#[derive(Debug, Clone)]
pub struct Endpoint {
    url: Url,
    region: String,
    access_key_id: String,
    secret_access_key: Secret,
    iam: Option<Iam>,
    client: Client,
}

impl Endpoint {
    /// The endpoint at `url`, in `region`.
    pub fn new(
        url: &str,
        region: impl Into<String>,
        access_key_id: impl Into<String>,
        secret_access_key: Secret,
    ) -> Result<Self, kernel::Error> {
        let url = address(url, "S3 endpoint")?;
        // Somebody else of the process may have chosen one already: the same, or a better one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .timeout(SIGNED_FOR)
            .connect_timeout(Duration::from_secs(5))
            .build()
            .map_err(|error| kernel::Error::internal("the client of the S3 endpoint", error))?;
        Ok(Self {
            url,
            region: region.into(),
            access_key_id: access_key_id.into(),
            secret_access_key,
            iam: None,
            client,
        })
    }

    /// The same with the IAM API at `url`, where each bucket gets a user of its own: the access key may make
    /// users there, too.
    pub fn with_iam(self, url: &str) -> Result<Self, kernel::Error> {
        let iam = Iam::new(
            address(url, "IAM endpoint")?,
            &self.region,
            &self.access_key_id,
            self.secret_access_key.clone(),
            self.client.clone(),
        );
        Ok(Self {
            iam: Some(iam),
            ..self
        })
    }

    pub(super) fn iam(&self) -> Option<&Iam> {
        self.iam.as_ref()
    }

    pub(super) fn url(&self) -> &str {
        self.url.as_str().trim_end_matches('/')
    }

    pub(super) fn region(&self) -> &str {
        &self.region
    }

    pub(super) fn access_key_id(&self) -> &str {
        &self.access_key_id
    }

    pub(super) fn secret_access_key(&self) -> &Secret {
        &self.secret_access_key
    }

    /// Makes the bucket; one of ours that is there stays as it is.
    pub(super) async fn make_bucket(&self, name: &str) -> Result<(), ProvisionError> {
        if self.presence(name).await == Presence::Present {
            return Ok(());
        }
        let (bucket, keys) = (self.bucket(name)?, self.credentials()?);
        let url = bucket.create_bucket(&keys).sign(SIGNED_FOR);
        // Everywhere but in the oldest region, the region must be said.
        let body = if self.region == "us-east-1" {
            String::new()
        } else {
            format!(
                "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
                 <LocationConstraint>{}</LocationConstraint></CreateBucketConfiguration>",
                self.region
            )
        };
        let doing = format!("make the bucket {name}");
        self.send(Method::PUT, url, body, &doing).await.map(drop)
    }

    /// Removes the bucket with all that is in it.
    pub(super) async fn remove_bucket(&self, name: &str) -> Result<(), ProvisionError> {
        if self.presence(name).await == Presence::Absent {
            return Ok(());
        }
        let (bucket, keys) = (self.bucket(name)?, self.credentials()?);
        loop {
            let url = bucket.list_objects_v2(Some(&keys)).sign(SIGNED_FOR);
            let doing = format!("list the bucket {name}");
            let page = self.send(Method::GET, url, String::new(), &doing).await?;
            let page = ListObjectsV2::parse_response(&page)
                .map_err(|_| self.fault(&doing, "its answer is no listing"))?;
            if page.contents.is_empty() {
                break;
            }
            stream::iter(page.contents)
                .map(|object| {
                    let url = bucket
                        .delete_object(Some(&keys), &object.key)
                        .sign(SIGNED_FOR);
                    async move {
                        let doing = format!("remove an object of the bucket {name}");
                        self.send(Method::DELETE, url, String::new(), &doing)
                            .await
                            .map(drop)
                    }
                })
                .buffer_unordered(AT_ONCE)
                .try_collect::<()>()
                .await?;
        }
        let url = bucket.delete_bucket(&keys).sign(SIGNED_FOR);
        let doing = format!("remove the bucket {name}");
        self.send(Method::DELETE, url, String::new(), &doing)
            .await?;
        match self.presence(name).await {
            Presence::Absent => Ok(()),
            _ => Err(self.fault(&doing, "it does not say that the bucket is gone")),
        }
    }

    /// Whether the bucket is there.
    pub(super) async fn presence(&self, name: &str) -> Presence {
        let looked = match self.credentials() {
            Ok(keys) => self.look(name, &keys).await,
            Err(error) => Err(error),
        };
        match looked {
            Ok(status) if status.is_success() => Presence::Present,
            Ok(StatusCode::NOT_FOUND) => Presence::Absent,
            Ok(status) => {
                let doing = format!("look for the bucket {name}");
                Presence::Unknown(self.fault(&doing, &format!("it answers {status}")))
            }
            Err(error) => Presence::Unknown(error),
        }
    }

    /// What is answered to whoever looks for the bucket with the access key `key`.
    pub(super) async fn look_with(
        &self,
        name: &str,
        key: &AccessKey,
    ) -> Result<StatusCode, ProvisionError> {
        let secret = key.secret.expose_str().ok_or_else(|| {
            ProvisionError::permanent(format!(
                "the secret of the access key {} is no text",
                key.id
            ))
        })?;
        self.look(name, &Credentials::new(key.id.clone(), secret))
            .await
    }

    async fn look(&self, name: &str, keys: &Credentials) -> Result<StatusCode, ProvisionError> {
        let url = self.bucket(name)?.head_bucket(Some(keys)).sign(SIGNED_FOR);
        let answer = self.client.head(url).send().await.map_err(|error| {
            let doing = format!("look for the bucket {name}");
            // Its address is signed: it is not shown.
            self.fault(&doing, &error.without_url().to_string())
        })?;
        Ok(answer.status())
    }

    /// Names of all buckets of the account.
    pub(super) async fn buckets(&self) -> Result<Vec<String>, ProvisionError> {
        let url = rusty_s3::signing::sign(
            &jiff::Timestamp::now(),
            rusty_s3::Method::Get,
            self.url.clone(),
            &self.access_key_id,
            self.secret()?,
            None,
            &self.region,
            SIGNED_FOR.as_secs(),
            std::iter::empty(),
            std::iter::empty(),
        );
        let text = self
            .send(Method::GET, url, String::new(), "list the buckets")
            .await?;
        // A bucket's name has no character that XML would write otherwise.
        Ok(text
            .split("<Name>")
            .skip(1)
            .filter_map(|rest| rest.split_once("</Name>"))
            .map(|(name, _)| name.to_owned())
            .collect())
    }

    fn bucket(&self, name: &str) -> Result<Bucket, ProvisionError> {
        Bucket::new(
            self.url.clone(),
            UrlStyle::Path,
            name.to_owned(),
            self.region.clone(),
        )
        .map_err(|error| ProvisionError::permanent(format!("the bucket {name}: {error}")))
    }

    fn credentials(&self) -> Result<Credentials, ProvisionError> {
        Ok(Credentials::new(self.access_key_id.clone(), self.secret()?))
    }

    fn secret(&self) -> Result<&str, ProvisionError> {
        self.secret_access_key.expose_str().ok_or_else(|| {
            ProvisionError::permanent("the secret access key of the S3 endpoint is no text")
        })
    }

    async fn send(
        &self,
        method: Method,
        url: Url,
        body: String,
        doing: &str,
    ) -> Result<String, ProvisionError> {
        // The client leaves the length of an empty body unsaid, and S3 asks for it (411).
        let length = body.len();
        let request = self.client.request(method, url).body(body);
        let request = request.header(reqwest::header::CONTENT_LENGTH, length);
        // The URL is signed: whoever has it may use it.
        let failed = |error: reqwest::Error| self.fault(doing, &error.without_url().to_string());
        let answer = request.send().await.map_err(failed)?;
        let status = answer.status();
        let text = answer.text().await.map_err(failed)?;
        if status.is_success() {
            return Ok(text);
        }
        let said = [part(&text, "Code"), part(&text, "Message")]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>();
        let error = self.fault(doing, &format!("{status} {}", said.join(": ")));
        Err(
            if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
                error
            } else {
                ProvisionError {
                    retry: false,
                    ..error.remedy("see that the configured access key may do this")
                }
            },
        )
    }

    fn fault(&self, doing: &str, why: &str) -> ProvisionError {
        ProvisionError::transient(format!(
            "the S3 endpoint {} cannot {doing}: {why}",
            self.url()
        ))
        .remedy("see that the endpoint is reachable from the platform")
    }
}

/// The address of a server, which people see.
fn address(url: &str, of: &str) -> Result<Url, kernel::Error> {
    let url = Url::parse(url)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| {
            kernel::Error::invalid(format!("the address of the {of} is no HTTP address"))
                .remedy("give one such as `https://s3.example.com`")
        })?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(kernel::Error::invalid(format!(
            "the address of the {of} has a user or a password in it, which everybody would see who may \
             see a bucket"
        ))
        .remedy("give the access key by itself"));
    }
    Ok(url)
}
