//! The S3 endpoint of a company, in place of the embedded server.

use kernel::{Result, Secret};
use provisioners::Endpoint;

/// An S3 endpoint, and an access key that may make buckets there.
#[derive(Debug, Clone)]
pub struct S3Endpoint {
    /// `https://s3.example.com`.
    pub url: String,
    /// Its region: `us-east-1` where it knows none.
    pub region: String,
    /// The access key's id.
    pub access_key_id: String,
    /// The secret that goes with it.
    pub secret_access_key: Secret,
    /// Its IAM API, `https://iam.amazonaws.com`, where the access key may make users, too; without it all
    /// buckets share that key.
    pub iam: Option<String>,
}

impl S3Endpoint {
    pub(crate) fn connect(&self) -> Result<Endpoint> {
        let endpoint = Endpoint::new(
            &self.url,
            self.region.as_str(),
            self.access_key_id.as_str(),
            self.secret_access_key.clone(),
        )?;
        match &self.iam {
            Some(url) => endpoint.with_iam(url),
            None => Ok(endpoint),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_iam_address_with_a_password_is_refused_without_showing_it() {
        let endpoint = S3Endpoint {
            url: "https://s3.example.com".into(),
            region: "us-east-1".into(),
            access_key_id: "id".into(),
            secret_access_key: Secret::from("secret"),
            iam: Some("https://id:canary@iam.example.com".into()),
        };
        let error = endpoint.connect().unwrap_err();
        assert!(error.message.contains("IAM endpoint"), "{error:?}");
        assert!(!format!("{error:?}").contains("canary"), "{error:?}");
    }
}
