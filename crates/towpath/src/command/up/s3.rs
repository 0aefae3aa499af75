//! Where buckets are made.

use std::{fs, net::SocketAddr, path::PathBuf};

use clap::Args;
use kernel::{Error, Secret, Store};
use server::S3Endpoint;

use crate::{
    context::Context,
    failure::{Failure, Result},
};

/// The endpoint that buckets are made on.
#[derive(Debug, Args)]
#[command(next_help_heading = "Buckets (default: on the embedded S3 server)")]
pub(super) struct S3Args {
    /// Make buckets on this S3 endpoint
    #[arg(
        long = "s3-endpoint",
        env = "TOWPATH_S3_ENDPOINT",
        value_name = "URL",
        requires = "access_key_id"
    )]
    endpoint: Option<String>,
    /// Its region
    #[arg(
        long = "s3-region",
        env = "TOWPATH_S3_REGION",
        value_name = "REGION",
        default_value = "us-east-1"
    )]
    region: String,
    /// The id of an access key that may make buckets there
    #[arg(
        long = "s3-access-key-id",
        env = "TOWPATH_S3_ACCESS_KEY_ID",
        value_name = "ID"
    )]
    access_key_id: Option<String>,
    /// The file with its secret [default: what TOWPATH_S3_SECRET_ACCESS_KEY holds]
    #[arg(
        long = "s3-secret-access-key-file",
        env = "TOWPATH_S3_SECRET_ACCESS_KEY_FILE",
        value_name = "FILE"
    )]
    secret_access_key_file: Option<PathBuf>,
    /// Its IAM API, where each bucket gets a user of its own [default: all buckets share the access key]
    #[arg(
        long = "s3-iam-endpoint",
        env = "TOWPATH_S3_IAM_ENDPOINT",
        value_name = "URL",
        requires = "endpoint"
    )]
    iam_endpoint: Option<String>,
}

/// Holds the secret of the S3 endpoint's access key: an option would show it to all on the machine.
const S3_SECRET: &str = "TOWPATH_S3_SECRET_ACCESS_KEY";

impl S3Args {
    /// Says at which address workloads still look for buckets, by `store`, that the embedded server serves at `listen`
    /// now.
    pub(super) async fn tell_moved(&self, context: &Context, store: &Store, listen: SocketAddr) {
        // Whoever asks for any free port has another one at each start.
        if self.endpoint.is_some() || listen.port() == 0 {
            return;
        }
        let elsewhere = match server::buckets_elsewhere(store, listen).await {
            Ok(elsewhere) => elsewhere,
            Err(error) => {
                // A platform that serves is not ended for what would only be a warning.
                tracing::warn!(%error, "whether buckets were given out at another address is not known");
                return;
            }
        };
        for (before, count) in elsewhere {
            context.say(&moved(before, count, listen));
        }
    }

    /// Says that the buckets of all teams share one access key, where they do.
    pub(super) fn tell_shared(&self, context: &Context) {
        if let (Some(url), None) = (&self.endpoint, &self.iam_endpoint) {
            context.say(&format!(
                "warning: all buckets on {url} share one access key, so that whoever has the credentials of one \
                 reaches every other; with --s3-iam-endpoint each gets its own"
            ));
        }
    }

    /// The endpoint, where one is named.
    pub(super) fn endpoint(&self) -> Result<Option<S3Endpoint>> {
        let (Some(url), Some(id)) = (&self.endpoint, &self.access_key_id) else {
            return Ok(None);
        };
        let secret = match &self.secret_access_key_file {
            Some(file) => fs::read_to_string(file)
                .map_err(|e| Failure::io(&format!("{} cannot be read", file.display()), &e))?,
            None => std::env::var(S3_SECRET).unwrap_or_default(),
        };
        let secret = secret.trim();
        if secret.is_empty() {
            return Err(Error::invalid(format!(
                "the S3 endpoint {url} is configured without the secret of its access key"
            ))
            .remedy(format!(
                "set {S3_SECRET}, or name a file with --s3-secret-access-key-file"
            ))
            .into());
        }
        Ok(Some(S3Endpoint {
            url: url.clone(),
            region: self.region.clone(),
            access_key_id: id.clone(),
            secret_access_key: Secret::from(secret),
            iam: self.iam_endpoint.clone(),
        }))
    }
}

/// That `count` buckets were given out at `before`, and what to do.
fn moved(before: SocketAddr, count: usize, listen: SocketAddr) -> String {
    let buckets = match count {
        1 => "1 bucket was".to_owned(),
        more => format!("{more} buckets were"),
    };
    format!(
        "warning: {buckets} given out at {before}, and buckets are served at {listen} now: workloads that use them are \
         told by `towpath resource rotate NAME`, for each; or start again with --s3-listen {before}"
    )
}
