//! Options of requests that the server does not have. A client that was answered as if it had them would
//! take its data to be encrypted, retained or shared where it is not.

use axum::extract::Query;
use s3s::{
    S3Error, S3Result,
    access::S3AccessContext,
    dto::{
        CopySource, ObjectCannedACL, ObjectIdentifier, ObjectLockLegalHoldStatus, PostObjectInput,
        StorageClass,
    },
    s3_error,
};

/// What no value of an option makes true here, by how the option begins.
const NONE: [&str; 7] = [
    "x-amz-server-side-encryption",
    "x-amz-copy-source-server-side-encryption",
    "x-amz-object-lock-",
    "x-amz-tagging",
    "x-amz-grant-",
    "x-amz-write-offset-bytes",
    "x-amz-if-match-",
];

/// What may be asked for by name, since it is so anyway.
const SAME: [(&str, &[&str]); 6] = [
    ("x-amz-acl", &["private", "bucket-owner-full-control"]),
    ("x-amz-storage-class", &["STANDARD"]),
    // What is not wanted.
    (
        "x-amz-server-side-encryption-bucket-key-enabled",
        &["false"],
    ),
    ("x-amz-object-lock-legal-hold", &["OFF"]),
    // Of tags that there cannot be.
    ("x-amz-tagging-directive", &["COPY", "REPLACE"]),
    // Objects without versions have this one.
    ("versionid", &["null"]),
];

/// Refuses a request that asks for more than there is: in its headers, or in its query, where a presigned
/// URL has them.
pub(super) fn check(context: &S3AccessContext<'_>) -> S3Result<()> {
    for (name, value) in context.headers() {
        check_option(name.as_str(), value.to_str().unwrap_or("?"))?;
    }
    // What cannot be read was no signature either.
    let Ok(Query(pairs)) = Query::<Vec<(String, String)>>::try_from_uri(context.uri()) else {
        return Ok(());
    };
    for (name, value) in &pairs {
        check_option(&name.to_lowercase(), value)?;
    }
    Ok(())
}

/// The same of a form, whose fields take the place of headers. Those that have names of their own in a form, `acl` and
/// `tagging`, are not read by s3s.
pub(super) fn check_form(input: &PostObjectInput) -> S3Result<()> {
    let values = [
        ("x-amz-acl", input.acl.as_ref().map(ObjectCannedACL::as_str)),
        (
            "x-amz-storage-class",
            input.storage_class.as_ref().map(StorageClass::as_str),
        ),
        ("x-amz-tagging", input.tagging.as_deref()),
        (
            "x-amz-object-lock-legal-hold",
            (input.object_lock_legal_hold_status.as_ref()).map(ObjectLockLegalHoldStatus::as_str),
        ),
        (
            "x-amz-server-side-encryption-bucket-key-enabled",
            (input.bucket_key_enabled).map(|enabled| if enabled { "true" } else { "false" }),
        ),
    ];
    for (name, value) in values {
        check_option(name, value.unwrap_or_default())?;
    }
    let there = [
        (
            "x-amz-server-side-encryption",
            input.server_side_encryption.is_some()
                || input.ssekms_key_id.is_some()
                || input.sse_customer_algorithm.is_some()
                || input.sse_customer_key.is_some(),
        ),
        (
            "x-amz-object-lock-mode",
            input.object_lock_mode.is_some() || input.object_lock_retain_until_date.is_some(),
        ),
        (
            "x-amz-grant-read",
            input.grant_read.is_some()
                || input.grant_read_acp.is_some()
                || input.grant_write_acp.is_some()
                || input.grant_full_control.is_some(),
        ),
        (
            "x-amz-write-offset-bytes",
            input.write_offset_bytes.is_some(),
        ),
    ];
    match there.iter().find(|(_, is_there)| *is_there) {
        Some((name, _)) => Err(unsupported(name)),
        None => Ok(()),
    }
}

/// One object of many that are to be deleted.
pub(super) fn check_deletion(object: &ObjectIdentifier) -> S3Result<()> {
    if object.e_tag.is_some() || object.last_modified_time.is_some() || object.size.is_some() {
        return Err(unsupported(
            "a condition on an object that is to be deleted",
        ));
    }
    check_option(
        "versionid",
        object.version_id.as_deref().unwrap_or_default(),
    )
}

/// What is to be copied.
pub(super) fn check_source(source: &CopySource) -> S3Result<()> {
    match source {
        CopySource::Bucket {
            version_id: Some(version),
            ..
        } => check_option("versionid", version),
        _ => Ok(()),
    }
}

/// `name` is in lower case. One without a value asks for nothing.
fn check_option(name: &str, value: &str) -> S3Result<()> {
    let same = SAME.iter().find(|(same, _)| *same == name);
    let is_true = match same {
        Some((_, values)) => values.contains(&value),
        None => !NONE.iter().any(|begin| name.starts_with(begin)),
    };
    if is_true || value.is_empty() {
        Ok(())
    } else {
        Err(unsupported(name))
    }
}

/// That the server does not have it.
pub(super) fn unsupported(option: &str) -> S3Error {
    s3_error!(
        NotImplemented,
        "{option} is not supported by the S3 server of Towpath as it was asked for here: leave it out, or \
         use another S3 endpoint (TOWPATH_S3_ENDPOINT)"
    )
}
