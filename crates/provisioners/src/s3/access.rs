//! Who may do what: an access key leads to its own bucket, and to nothing else.

use std::sync::Arc;

use axum::extract::Query;
use s3s::{
    S3Request, S3Result,
    access::{S3Access, S3AccessContext},
    auth::{S3Auth, SecretKey},
    dto::{CopyObjectInput, CopySource, PostObjectInput, UploadPartCopyInput},
    path::S3Path,
    s3_error,
};

use super::{keys::KeyRing, options};

/// Judges by the key ring.
#[derive(Debug, Clone)]
pub(super) struct Gate(pub(super) Arc<KeyRing>);

impl Gate {
    /// The bucket of the key that signed the request.
    pub(super) fn bucket_of(
        &self,
        credentials: Option<&s3s::auth::Credentials>,
    ) -> S3Result<String> {
        credentials
            .and_then(|credentials| self.0.get(&credentials.access_key))
            .map(|key| key.bucket.clone())
            .ok_or_else(|| s3_error!(AccessDenied, "the request must be signed"))
    }

    fn check_source<T>(&self, request: &S3Request<T>, source: &CopySource) -> S3Result<()> {
        let own = self.bucket_of(request.credentials.as_ref())?;
        match source {
            CopySource::Bucket { bucket, .. } if **bucket == *own => options::check_source(source),
            _ => Err(not_yours()),
        }
    }
}

fn not_yours() -> s3s::S3Error {
    s3_error!(AccessDenied, "this access key is for another bucket")
}

/// A presigned URL is good for a week at the most, as with AWS.
fn check_expiry(uri: &http::Uri) -> S3Result<()> {
    const WEEK: u64 = 604_800;
    // What cannot be read was no signature either.
    let Ok(Query(pairs)) = Query::<Vec<(String, String)>>::try_from_uri(uri) else {
        return Ok(());
    };
    let is_too_long = pairs.iter().any(|(name, value)| {
        name == "X-Amz-Expires" && value.parse::<u64>().is_ok_and(|seconds| seconds > WEEK)
    });
    if is_too_long {
        return Err(s3_error!(
            AuthorizationQueryParametersError,
            "X-Amz-Expires must be 604800 (seconds, a week) at the most: sign the URL for less"
        ));
    }
    Ok(())
}

#[async_trait::async_trait]
impl S3Auth for Gate {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        match self.0.get(access_key) {
            Some(key) => Ok(SecretKey::from(key.secret.as_str())),
            None => Err(s3_error!(InvalidAccessKeyId, "there is no such access key")),
        }
    }
}

#[async_trait::async_trait]
impl S3Access for Gate {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        let own = self.bucket_of(context.credentials())?;
        check_expiry(context.uri())?;
        match context.s3_path() {
            S3Path::Root if context.s3_op().name() == "ListBuckets" => Ok(()),
            S3Path::Root => Err(s3_error!(AccessDenied)),
            S3Path::Bucket { bucket } | S3Path::Object { bucket, .. } if **bucket == *own => {
                options::check(context)
            }
            _ => Err(not_yours()),
        }
    }

    async fn copy_object(&self, request: &mut S3Request<CopyObjectInput>) -> S3Result<()> {
        self.check_source(request, &request.input.copy_source)
    }

    async fn post_object(&self, request: &mut S3Request<PostObjectInput>) -> S3Result<()> {
        options::check_form(&request.input)
    }

    async fn upload_part_copy(&self, request: &mut S3Request<UploadPartCopyInput>) -> S3Result<()> {
        self.check_source(request, &request.input.copy_source)
    }
}
