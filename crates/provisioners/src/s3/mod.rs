//! `s3`: buckets, served by the platform itself or by any S3 endpoint.

mod access;
mod api;
mod bucket;
mod buckets;
mod conditions;
mod external;
mod iam;
mod iam_answers;
mod input;
mod keys;
mod listing;
mod multipart;
mod objects;
mod options;
mod provisioner;
mod receive;
mod record;
mod server;
mod shared_key;
mod store;
mod uploads;
mod user;

pub use external::Endpoint;
pub use provisioner::S3;
pub use server::{S3Config, S3Server};

/// What a client is told when the disk fails: the reason is for the log.
#[expect(
    clippy::needless_pass_by_value,
    reason = "it is what `map_err` hands over"
)]
fn fault(error: std::io::Error) -> s3s::S3Error {
    tracing::error!(%error, "S3 storage");
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            s3s::s3_error!(ServiceUnavailable, "the storage is full")
        }
        std::io::ErrorKind::NotFound => s3s::s3_error!(NoSuchBucket, "the bucket is being removed"),
        _ => s3s::s3_error!(
            InternalError,
            "the storage failed; the platform's log says why"
        ),
    }
}
