//! What is kept of an object beside its bytes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use s3s::dto;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// An object as it is listed and served.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) key: String,
    /// The file with its bytes, which never changes: a new version is a new file.
    pub(super) data: Uuid,
    pub(super) size: u64,
    pub(super) etag: String,
    /// In whole seconds, which is all that HTTP's dates can say.
    pub(super) modified: Timestamp,
    #[serde(default)]
    pub(super) about: About,
    #[serde(default)]
    pub(super) sums: Sums,
}

/// What the client said of it, given back with it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct About {
    pub(super) cache_control: Option<String>,
    pub(super) content_disposition: Option<String>,
    pub(super) content_encoding: Option<String>,
    pub(super) content_language: Option<String>,
    pub(super) content_type: Option<String>,
    pub(super) expires: Option<dto::Timestamp>,
    pub(super) website_redirect_location: Option<String>,
    #[serde(default)]
    pub(super) metadata: BTreeMap<String, String>,
}

/// Checksums of the whole object that the client asked for, in base64.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Sums {
    pub(super) crc32: Option<String>,
    pub(super) crc32c: Option<String>,
    pub(super) crc64nvme: Option<String>,
    pub(super) sha1: Option<String>,
    pub(super) sha256: Option<String>,
}

/// The present second.
pub(super) fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}
