//! The bytes of attachments, in an S3 bucket. Each request is signed for the moment it needs.

use std::time::Duration;

use reqwest::{Body, Client, Response, Url, header::CONTENT_LENGTH};
use rusty_s3::{Bucket, Credentials, S3Action as _, UrlStyle};

use crate::config::{BucketConfig, ConfigError};

/// How long a signature holds: it is used at once.
const SIGNED_FOR: Duration = Duration::from_mins(1);

/// The bucket. Cloning it is cheap.
#[derive(Clone)]
pub struct Attachments {
    bucket: Bucket,
    credentials: Credentials,
    client: Client,
}

/// Why the bucket did not do what it was asked. Signed addresses are left out: they are secrets.
#[derive(Debug)]
pub enum BucketError {
    /// It could not be asked.
    Unreachable(reqwest::Error),
    /// It said no.
    Refused(reqwest::StatusCode),
}

impl std::fmt::Display for BucketError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreachable(_) => f.write_str("the bucket is out of reach"),
            Self::Refused(status) => write!(f, "the bucket answered {status}"),
        }
    }
}

impl std::error::Error for BucketError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreachable(error) => Some(error),
            Self::Refused(_) => None,
        }
    }
}

impl From<reqwest::Error> for BucketError {
    fn from(error: reqwest::Error) -> Self {
        Self::Unreachable(error.without_url())
    }
}

impl Attachments {
    /// Asks for nothing yet.
    pub fn new(config: BucketConfig) -> Result<Self, ConfigError> {
        let endpoint: Url = config
            .endpoint
            .parse()
            .map_err(|_| ConfigError::new("S3_ENDPOINT", "the URL of an S3 endpoint"))?;
        let bucket = Bucket::new(endpoint, UrlStyle::Path, config.name, config.region)
            .map_err(|_| ConfigError::new("S3_ENDPOINT", "an http:// or https:// URL"))?;
        let client = Client::builder()
            .connect_timeout(Duration::from_secs(3))
            .read_timeout(Duration::from_secs(30))
            .no_proxy()
            .build()
            .map_err(|_| ConfigError::new("SSL_CERT_FILE", "certificates that can be read"))?;
        let credentials = Credentials::new(config.key_id, config.secret);
        Ok(Self {
            bucket,
            credentials,
            client,
        })
    }

    /// Whether the bucket is there and lets us in.
    pub async fn ping(&self) -> Result<(), BucketError> {
        let url = self
            .bucket
            .head_bucket(Some(&self.credentials))
            .sign(SIGNED_FOR);
        let request = self.client.head(url).timeout(Duration::from_secs(3));
        accepted(request.send().await?).map(drop)
    }

    /// Stores `size` bytes from a stream.
    pub async fn put(&self, key: &str, size: u64, bytes: Body) -> Result<(), BucketError> {
        let url = self
            .bucket
            .put_object(Some(&self.credentials), key)
            .sign(SIGNED_FOR);
        let request = self
            .client
            .put(url)
            .header(CONTENT_LENGTH, size)
            .body(bytes);
        accepted(request.send().await?).map(drop)
    }

    /// An object, to be read as a stream.
    pub async fn get(&self, key: &str) -> Result<Response, BucketError> {
        let url = self
            .bucket
            .get_object(Some(&self.credentials), key)
            .sign(SIGNED_FOR);
        accepted(self.client.get(url).send().await?)
    }

    /// Removes an object; one that is not there is as good as removed.
    pub async fn delete(&self, key: &str) -> Result<(), BucketError> {
        let url = self
            .bucket
            .delete_object(Some(&self.credentials), key)
            .sign(SIGNED_FOR);
        accepted(self.client.delete(url).send().await?).map(drop)
    }
}

fn accepted(response: Response) -> Result<Response, BucketError> {
    if response.status().is_success() {
        Ok(response)
    } else {
        Err(BucketError::Refused(response.status()))
    }
}
