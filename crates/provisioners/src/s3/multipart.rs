//! Operations on uploads in parts.

use s3s::{
    S3Request, S3Result,
    dto::{
        AbortMultipartUploadInput, AbortMultipartUploadOutput, CompleteMultipartUploadInput,
        CompleteMultipartUploadOutput, CopyPartResult, CopySource, CreateMultipartUploadInput,
        CreateMultipartUploadOutput, ETag, ListMultipartUploadsInput, ListMultipartUploadsOutput,
        ListPartsInput, ListPartsOutput, MultipartUpload, Part, Range, StreamingBlob, Timestamp,
        UploadPartCopyInput, UploadPartCopyOutput, UploadPartInput, UploadPartOutput,
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
    listing::url_encoded,
    receive::{Expected, Received, receive},
    record::{Record, Sums, now},
    uploads,
};

/// The most that a listing holds, as with every S3.
const PAGE: usize = 1000;

pub(super) async fn create_multipart_upload(
    api: &Api,
    request: S3Request<CreateMultipartUploadInput>,
) -> S3Result<CreateMultipartUploadOutput> {
    let input = request.input;
    let bucket = api.bucket(&input.bucket)?;
    let id = uploads::begin(&bucket, &input.key, about!(input)).await?;
    Ok(CreateMultipartUploadOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(id.to_string()),
        checksum_algorithm: input.checksum_algorithm,
        checksum_type: input.checksum_type,
        ..Default::default()
    })
}

pub(super) async fn upload_part(
    api: &Api,
    request: S3Request<UploadPartInput>,
) -> S3Result<UploadPartOutput> {
    let input = request.input;
    let bucket = api.bucket(&input.bucket)?;
    uploads::check_number(input.part_number)?;
    let (id, _) = uploads::find(&bucket, &input.upload_id, &input.key).await?;
    let body = input.body.ok_or_else(|| s3_error!(IncompleteBody))?;
    let expected = expected!(input, request.trailing_headers);
    let received = receive(api.store.incoming(), body, expected).await?;
    uploads::put_part(&bucket, id, input.part_number, &received).await?;
    Ok(UploadPartOutput {
        e_tag: Some(ETag::Strong(received.md5.clone())),
        checksum_crc32: received.sums.crc32.clone(),
        checksum_crc32c: received.sums.crc32c.clone(),
        checksum_crc64nvme: received.sums.crc64nvme.clone(),
        checksum_sha1: received.sums.sha1.clone(),
        checksum_sha256: received.sums.sha256.clone(),
        ..Default::default()
    })
}

pub(super) async fn upload_part_copy(
    api: &Api,
    request: S3Request<UploadPartCopyInput>,
) -> S3Result<UploadPartCopyOutput> {
    let input = request.input;
    let bucket = api.bucket(&input.bucket)?;
    uploads::check_number(input.part_number)?;
    let (id, _) = uploads::find(&bucket, &input.upload_id, &input.key).await?;
    let CopySource::Bucket { key, .. } = &input.copy_source else {
        return Err(s3_error!(NotImplemented));
    };
    let opened = bucket.open_data(key).await.map_err(fault)?;
    let (source, mut file) = opened.ok_or_else(|| s3_error!(NoSuchKey))?;
    Conditions {
        matches: input.copy_source_if_match.as_ref(),
        differs: input.copy_source_if_none_match.as_ref(),
        modified_since: input.copy_source_if_modified_since.as_ref(),
        unmodified_since: input.copy_source_if_unmodified_since.as_ref(),
    }
    .check_copy(&source)?;
    let range = match &input.copy_source_range {
        Some(range) => Range::parse(range)
            .map_err(|_| s3_error!(InvalidArgument, "the range of the copy's source is none"))?
            .check(source.size)?,
        None => 0..source.size,
    };
    file.seek(std::io::SeekFrom::Start(range.start))
        .await
        .map_err(fault)?;
    let bytes = StreamingBlob::wrap(ReaderStream::new(file.take(range.end - range.start)));
    let received = receive(api.store.incoming(), bytes, Expected::default()).await?;
    uploads::put_part(&bucket, id, input.part_number, &received).await?;
    Ok(UploadPartCopyOutput {
        copy_part_result: Some(CopyPartResult {
            e_tag: Some(ETag::Strong(received.md5.clone())),
            last_modified: Some(timestamp(now())),
            ..Default::default()
        }),
        ..Default::default()
    })
}

pub(super) async fn complete_multipart_upload(
    api: &Api,
    request: S3Request<CompleteMultipartUploadInput>,
) -> S3Result<CompleteMultipartUploadOutput> {
    let input = request.input;
    let bucket = api.bucket(&input.bucket)?;
    let (id, upload) = uploads::find(&bucket, &input.upload_id, &input.key).await?;
    let listed: Vec<(i32, Option<String>)> = input
        .multipart_upload
        .and_then(|upload| upload.parts)
        .unwrap_or_default()
        .into_iter()
        .map(|part| {
            Ok((
                part.part_number
                    .ok_or_else(|| s3_error!(InvalidPart, "a part has no number"))?,
                part.e_tag.map(ETag::into_value),
            ))
        })
        .collect::<S3Result<_>>()?;
    let file = api.store.incoming();
    let (size, etag) = uploads::join(&bucket, id, &listed, &file).await?;
    let whole = Received {
        file,
        size,
        md5: etag,
        // Of the whole, the client gave none before it was together.
        sums: Sums::default(),
    };
    let record = Record {
        key: upload.key,
        data: Uuid::now_v7(),
        size,
        etag: whole.md5.clone(),
        modified: now(),
        about: upload.about,
        sums: Sums::default(),
    };
    let (matches, differs) = (input.if_match.as_ref(), input.if_none_match.as_ref());
    let record = api.put(&bucket, &whole, record, matches, differs).await?;
    // The object is there: parts that cannot be removed now are no reason to say otherwise.
    if let Err(error) = uploads::forget(&bucket, id).await {
        tracing::warn!(%error, upload = %id, "parts of a complete upload stay");
    }
    Ok(CompleteMultipartUploadOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        e_tag: Some(ETag::Strong(record.etag.clone())),
        ..Default::default()
    })
}

pub(super) async fn abort_multipart_upload(
    api: &Api,
    request: S3Request<AbortMultipartUploadInput>,
) -> S3Result<AbortMultipartUploadOutput> {
    let input = request.input;
    let bucket = api.bucket(&input.bucket)?;
    let (id, _) = uploads::find(&bucket, &input.upload_id, &input.key).await?;
    uploads::forget(&bucket, id).await?;
    Ok(AbortMultipartUploadOutput::default())
}

pub(super) async fn list_parts(
    api: &Api,
    request: S3Request<ListPartsInput>,
) -> S3Result<ListPartsOutput> {
    let input = request.input;
    let bucket = api.bucket(&input.bucket)?;
    let (id, _) = uploads::find(&bucket, &input.upload_id, &input.key).await?;
    let after = input.part_number_marker.unwrap_or(0);
    let most = page_size(input.max_parts);
    let mut parts = uploads::parts(&bucket, id)
        .await?
        .into_iter()
        .filter(|(number, _)| *number > after)
        .map(|(number, part)| {
            Ok(Part {
                part_number: Some(number),
                e_tag: Some(ETag::Strong(part.md5)),
                size: Some(size(part.size)?),
                last_modified: Some(Timestamp::from(part.modified)),
                ..Default::default()
            })
        })
        .collect::<S3Result<Vec<_>>>()?;
    let truncated = parts.len() > most;
    parts.truncate(most);
    let next = parts
        .last()
        .and_then(|part| part.part_number)
        .filter(|_| truncated);
    Ok(ListPartsOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(input.upload_id),
        max_parts: Some(most as i32),
        part_number_marker: Some(after),
        next_part_number_marker: next,
        is_truncated: Some(truncated),
        parts: Some(parts),
        ..Default::default()
    })
}

pub(super) async fn list_multipart_uploads(
    api: &Api,
    request: S3Request<ListMultipartUploadsInput>,
) -> S3Result<ListMultipartUploadsOutput> {
    let input = request.input;
    if input.delimiter.is_some() {
        return Err(s3_error!(
            NotImplemented,
            "uploads are listed without a delimiter"
        ));
    }
    let bucket = api.bucket(&input.bucket)?;
    let prefix = input.prefix.as_deref().unwrap_or_default();
    let most = page_size(input.max_uploads);
    let key_after = input.key_marker.clone().unwrap_or_default();
    let id_after = input.upload_id_marker.clone().unwrap_or_default();
    let mut uploads = uploads::all(&bucket).await?;
    uploads.retain(|(id, upload)| {
        let later = upload.key > key_after
            || upload.key == key_after && !id_after.is_empty() && id.to_string() > id_after;
        upload.key.starts_with(prefix) && later
    });
    let truncated = uploads.len() > most;
    uploads.truncate(most);
    let last = uploads.last().filter(|_| truncated);
    let encode: fn(&str) -> String = match &input.encoding_type {
        Some(encoding) if encoding.as_str() == "url" => url_encoded,
        _ => str::to_owned,
    };
    Ok(ListMultipartUploadsOutput {
        bucket: Some(input.bucket),
        prefix: input.prefix.as_deref().map(encode),
        key_marker: input.key_marker.as_deref().map(encode),
        upload_id_marker: input.upload_id_marker,
        max_uploads: Some(most as i32),
        is_truncated: Some(truncated),
        next_key_marker: last.map(|(_, upload)| encode(&upload.key)),
        next_upload_id_marker: last.map(|(id, _)| id.to_string()),
        uploads: Some(
            uploads
                .iter()
                .map(|(id, upload)| MultipartUpload {
                    key: Some(encode(&upload.key)),
                    upload_id: Some(id.to_string()),
                    initiated: Some(timestamp(upload.initiated)),
                    ..Default::default()
                })
                .collect(),
        ),
        encoding_type: input.encoding_type,
        ..Default::default()
    })
}

fn page_size(asked: Option<i32>) -> usize {
    asked.map_or(PAGE, |most| {
        usize::try_from(most).unwrap_or(PAGE).clamp(1, PAGE)
    })
}
