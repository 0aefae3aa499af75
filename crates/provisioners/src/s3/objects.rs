//! Operations on objects.

use std::io::SeekFrom;

use s3s::{
    S3Request, S3Result,
    dto::{
        CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopySource, DeleteObjectInput,
        DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, ETag, Error,
        GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput, MetadataDirective,
        PutObjectInput, PutObjectOutput, StreamingBlob,
    },
    s3_error,
};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;
use uuid::Uuid;

use super::{
    api::{Api, size, timestamp},
    conditions::Conditions,
    fault,
    input::{about, expected},
    options,
    receive::receive,
    record::{Record, now},
};

/// How much is read from a file at once.
const PIECE: usize = 64 * 1024;

/// What is answered of an object, with its bytes or without.
macro_rules! described {
    ($output:ident, $record:expr) => {
        $output {
            accept_ranges: Some("bytes".to_owned()),
            cache_control: $record.about.cache_control.clone(),
            content_disposition: $record.about.content_disposition.clone(),
            content_encoding: $record.about.content_encoding.clone(),
            content_language: $record.about.content_language.clone(),
            content_type: $record.about.content_type.clone(),
            expires: $record.about.expires.clone(),
            website_redirect_location: $record.about.website_redirect_location.clone(),
            metadata: Some($record.about.metadata.clone().into_iter().collect()),
            e_tag: Some(ETag::Strong($record.etag.clone())),
            last_modified: Some(timestamp($record.modified)),
            ..Default::default()
        }
    };
}

pub(super) async fn put_object(
    api: &Api,
    request: S3Request<PutObjectInput>,
) -> S3Result<PutObjectOutput> {
    let input = request.input;
    let bucket = api.bucket(&input.bucket)?;
    let body = input.body.ok_or_else(|| s3_error!(IncompleteBody))?;
    let expected = expected!(input, request.trailing_headers);
    let received = receive(api.store.incoming(), body, expected).await?;
    let record = Record {
        key: input.key,
        data: Uuid::now_v7(),
        size: received.size,
        etag: received.md5.clone(),
        modified: now(),
        about: about!(input),
        sums: received.sums.clone(),
    };
    let (matches, differs) = (input.if_match.as_ref(), input.if_none_match.as_ref());
    let record = api
        .put(&bucket, &received, record, matches, differs)
        .await?;
    Ok(PutObjectOutput {
        e_tag: Some(ETag::Strong(record.etag.clone())),
        checksum_crc32: record.sums.crc32.clone(),
        checksum_crc32c: record.sums.crc32c.clone(),
        checksum_crc64nvme: record.sums.crc64nvme.clone(),
        checksum_sha1: record.sums.sha1.clone(),
        checksum_sha256: record.sums.sha256.clone(),
        ..Default::default()
    })
}

pub(super) async fn get_object(
    api: &Api,
    request: S3Request<GetObjectInput>,
) -> S3Result<GetObjectOutput> {
    let input = request.input;
    let bucket = api.bucket(&input.bucket)?;
    let opened = bucket.open_data(&input.key).await.map_err(fault)?;
    let (record, mut file) = opened.ok_or_else(|| s3_error!(NoSuchKey))?;
    Conditions {
        matches: input.if_match.as_ref(),
        differs: input.if_none_match.as_ref(),
        modified_since: input.if_modified_since.as_ref(),
        unmodified_since: input.if_unmodified_since.as_ref(),
    }
    .check(&record)?;
    let range = match input.range {
        Some(range) => range.check(record.size)?,
        None => 0..record.size,
    };
    file.seek(SeekFrom::Start(range.start))
        .await
        .map_err(fault)?;
    let length = range.end - range.start;
    let whole = length == record.size;
    let mut output = described!(GetObjectOutput, record);
    output.content_length = Some(size(length)?);
    if input.range.is_some() {
        let last = range.end.saturating_sub(1);
        output.content_range = Some(format!("bytes {}-{last}/{}", range.start, record.size));
    }
    if whole {
        output.checksum_crc32.clone_from(&record.sums.crc32);
        output.checksum_crc32c.clone_from(&record.sums.crc32c);
        output.checksum_crc64nvme.clone_from(&record.sums.crc64nvme);
        output.checksum_sha1.clone_from(&record.sums.sha1);
        output.checksum_sha256.clone_from(&record.sums.sha256);
    }
    // A presigned URL may say how a browser is to take the object.
    output.cache_control = input.response_cache_control.or(output.cache_control);
    output.content_disposition = input
        .response_content_disposition
        .or(output.content_disposition);
    output.content_encoding = input.response_content_encoding.or(output.content_encoding);
    output.content_language = input.response_content_language.or(output.content_language);
    output.content_type = input.response_content_type.or(output.content_type);
    output.expires = input.response_expires.or(output.expires);
    let bytes = ReaderStream::with_capacity(file.take(length), PIECE);
    output.body = Some(StreamingBlob::wrap(bytes));
    Ok(output)
}

#[expect(
    clippy::unused_async,
    reason = "all operations are called alike, by one macro"
)]
pub(super) async fn head_object(
    api: &Api,
    request: S3Request<HeadObjectInput>,
) -> S3Result<HeadObjectOutput> {
    let input = request.input;
    let bucket = api.bucket(&input.bucket)?;
    let record = bucket
        .object(&input.key)
        .ok_or_else(|| s3_error!(NoSuchKey))?;
    Conditions {
        matches: input.if_match.as_ref(),
        differs: input.if_none_match.as_ref(),
        modified_since: input.if_modified_since.as_ref(),
        unmodified_since: input.if_unmodified_since.as_ref(),
    }
    .check(&record)?;
    let mut output = described!(HeadObjectOutput, record);
    output.content_length = Some(size(record.size)?);
    Ok(output)
}

pub(super) async fn delete_object(
    api: &Api,
    request: S3Request<DeleteObjectInput>,
) -> S3Result<DeleteObjectOutput> {
    let input = request.input;
    let bucket = api.bucket(&input.bucket)?;
    if input.if_match.is_some() {
        return Err(options::unsupported("if-match"));
    }
    bucket.delete(&input.key).await.map_err(fault)?;
    Ok(DeleteObjectOutput::default())
}

pub(super) async fn delete_objects(
    api: &Api,
    request: S3Request<DeleteObjectsInput>,
) -> S3Result<DeleteObjectsOutput> {
    let input = request.input;
    let bucket = api.bucket(&input.bucket)?;
    let quiet = input.delete.quiet.unwrap_or(false);
    let mut output = DeleteObjectsOutput::default();
    for object in input.delete.objects {
        let deleted = match options::check_deletion(&object) {
            Ok(()) => bucket.delete(&object.key).await.map_err(fault),
            Err(unsupported) => Err(unsupported),
        };
        match deleted {
            Ok(()) if quiet => {}
            Ok(()) => output.deleted.get_or_insert_default().push(DeletedObject {
                key: Some(object.key),
                ..Default::default()
            }),
            Err(error) => {
                output.errors.get_or_insert_default().push(Error {
                    code: Some(error.code().as_str().to_owned()),
                    key: Some(object.key),
                    message: error.message().map(str::to_owned),
                    version_id: None,
                });
            }
        }
    }
    Ok(output)
}

pub(super) async fn copy_object(
    api: &Api,
    request: S3Request<CopyObjectInput>,
) -> S3Result<CopyObjectOutput> {
    let input = request.input;
    let bucket = api.bucket(&input.bucket)?;
    let CopySource::Bucket { key: source, .. } = &input.copy_source else {
        return Err(s3_error!(NotImplemented));
    };
    let _nothing_else_changes = bucket.changing.lock().await;
    let source = bucket.object(source).ok_or_else(|| s3_error!(NoSuchKey))?;
    Conditions {
        matches: input.copy_source_if_match.as_ref(),
        differs: input.copy_source_if_none_match.as_ref(),
        modified_since: input.copy_source_if_modified_since.as_ref(),
        unmodified_since: input.copy_source_if_unmodified_since.as_ref(),
    }
    .check_copy(&source)?;
    let replace = input
        .metadata_directive
        .as_ref()
        .is_some_and(|directive| directive.as_str() == MetadataDirective::REPLACE);
    if source.key == input.key && !replace {
        return Err(s3_error!(
            InvalidRequest,
            "an object copied to itself must change"
        ));
    }
    let record = Record {
        key: input.key,
        data: Uuid::now_v7(),
        modified: now(),
        about: if replace {
            about!(input)
        } else {
            source.about.clone()
        },
        ..Record::clone(&source)
    };
    let copy = bucket.put_copy(&source, record).await.map_err(fault)?;
    Ok(CopyObjectOutput {
        copy_object_result: Some(CopyObjectResult {
            e_tag: Some(ETag::Strong(copy.etag.clone())),
            last_modified: Some(timestamp(copy.modified)),
            ..Default::default()
        }),
        ..Default::default()
    })
}
