//! Operations on buckets, and their listings.

#![expect(
    clippy::unused_async,
    reason = "all operations are called alike, by one macro"
)]

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use s3s::{
    S3Request, S3Result,
    dto::{
        Bucket, CommonPrefix, CreateBucketInput, CreateBucketOutput, DeleteBucketInput,
        DeleteBucketOutput, ETag, EncodingType, GetBucketLocationInput, GetBucketLocationOutput,
        HeadBucketInput, HeadBucketOutput, ListBucketsInput, ListBucketsOutput, ListObjectsInput,
        ListObjectsOutput, ListObjectsV2Input, ListObjectsV2Output, Object, ObjectStorageClass,
    },
    s3_error,
};

use super::{
    api::{Api, size, timestamp},
    listing::{self, Page, Wanted, url_encoded},
};

pub(super) async fn list_buckets(
    api: &Api,
    request: S3Request<ListBucketsInput>,
) -> S3Result<ListBucketsOutput> {
    let own = api.gate.bucket_of(request.credentials.as_ref())?;
    let buckets = api.store.bucket(&own).map(|bucket| Bucket {
        name: Some(own),
        creation_date: Some(timestamp(bucket.about.created)),
        bucket_region: None,
    });
    Ok(ListBucketsOutput {
        buckets: Some(buckets.into_iter().collect()),
        ..Default::default()
    })
}

pub(super) async fn create_bucket(
    _: &Api,
    _: S3Request<CreateBucketInput>,
) -> S3Result<CreateBucketOutput> {
    Err(s3_error!(
        BucketAlreadyOwnedByYou,
        "the platform has made this bucket"
    ))
}

pub(super) async fn delete_bucket(
    _: &Api,
    _: S3Request<DeleteBucketInput>,
) -> S3Result<DeleteBucketOutput> {
    Err(s3_error!(
        AccessDenied,
        "the bucket goes when the platform removes the resource"
    ))
}

pub(super) async fn head_bucket(
    api: &Api,
    request: S3Request<HeadBucketInput>,
) -> S3Result<HeadBucketOutput> {
    api.bucket(&request.input.bucket)?;
    Ok(HeadBucketOutput::default())
}

pub(super) async fn get_bucket_location(
    api: &Api,
    request: S3Request<GetBucketLocationInput>,
) -> S3Result<GetBucketLocationOutput> {
    api.bucket(&request.input.bucket)?;
    Ok(GetBucketLocationOutput::default())
}

/// The second version, which all clients of today use.
pub(super) async fn list_objects_v2(
    api: &Api,
    request: S3Request<ListObjectsV2Input>,
) -> S3Result<ListObjectsV2Output> {
    let input = request.input;
    let token = match &input.continuation_token {
        Some(token) => Some(decode_token(token)?),
        None => None,
    };
    let after = token.as_deref().or(input.start_after.as_deref());
    let wanted = Wanted {
        prefix: input.prefix.as_deref().unwrap_or_default(),
        delimiter: input.delimiter.as_deref().unwrap_or_default(),
        after: after.unwrap_or_default(),
        most: input.max_keys,
    };
    let page = page(api, &input.bucket, &wanted)?;
    let encode = encoder(input.encoding_type.as_ref());
    Ok(ListObjectsV2Output {
        contents: Some(contents(&page, encode)?),
        common_prefixes: Some(common_prefixes(&page, encode)),
        key_count: Some((page.objects.len() + page.prefixes.len()) as i32),
        max_keys: Some(page.most),
        is_truncated: Some(page.next.is_some()),
        next_continuation_token: page.next.map(|next| URL_SAFE_NO_PAD.encode(next)),
        name: Some(input.bucket),
        prefix: input.prefix.as_deref().map(encode),
        delimiter: input.delimiter.as_deref().map(encode),
        start_after: input.start_after.as_deref().map(encode),
        continuation_token: input.continuation_token,
        encoding_type: input.encoding_type,
        ..Default::default()
    })
}

/// The first version, for old clients.
pub(super) async fn list_objects(
    api: &Api,
    request: S3Request<ListObjectsInput>,
) -> S3Result<ListObjectsOutput> {
    let input = request.input;
    let delimiter = input.delimiter.as_deref().unwrap_or_default();
    // A marker that is a common prefix of the page before stands for all that begins with it.
    let marker = match input.marker.as_deref().unwrap_or_default() {
        prefix if !delimiter.is_empty() && prefix.ends_with(delimiter) => listing::behind(prefix),
        key => key.to_owned(),
    };
    let wanted = Wanted {
        prefix: input.prefix.as_deref().unwrap_or_default(),
        delimiter,
        after: &marker,
        most: input.max_keys,
    };
    let page = page(api, &input.bucket, &wanted)?;
    let encode = encoder(input.encoding_type.as_ref());
    let next = page
        .next
        .as_deref()
        .map(|next| encode(next.trim_end_matches(char::MAX)));
    Ok(ListObjectsOutput {
        contents: Some(contents(&page, encode)?),
        common_prefixes: Some(common_prefixes(&page, encode)),
        max_keys: Some(page.most),
        is_truncated: Some(next.is_some()),
        next_marker: next,
        name: Some(input.bucket),
        prefix: input.prefix.as_deref().map(encode),
        delimiter: input.delimiter.as_deref().map(encode),
        marker: input.marker.as_deref().map(encode),
        encoding_type: input.encoding_type,
        ..Default::default()
    })
}

fn page(api: &Api, bucket: &str, wanted: &Wanted<'_>) -> S3Result<Page> {
    let bucket = api.bucket(bucket)?;
    let objects = bucket.objects();
    Ok(listing::list(&objects, wanted))
}

fn decode_token(token: &str) -> S3Result<String> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok();
    bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| s3_error!(InvalidArgument, "the continuation token is not one of ours"))
}

/// Keys as they are, or as `encoding-type=url` wants them.
fn encoder(encoding: Option<&EncodingType>) -> fn(&str) -> String {
    match encoding {
        Some(encoding) if encoding.as_str() == EncodingType::URL => url_encoded,
        _ => str::to_owned,
    }
}

fn contents(page: &Page, encode: fn(&str) -> String) -> S3Result<Vec<Object>> {
    page.objects
        .iter()
        .map(|record| {
            Ok(Object {
                key: Some(encode(&record.key)),
                e_tag: Some(ETag::Strong(record.etag.clone())),
                last_modified: Some(timestamp(record.modified)),
                size: Some(size(record.size)?),
                storage_class: Some(ObjectStorageClass::from_static(
                    ObjectStorageClass::STANDARD,
                )),
                ..Default::default()
            })
        })
        .collect()
}

fn common_prefixes(page: &Page, encode: fn(&str) -> String) -> Vec<CommonPrefix> {
    let prefix = |prefix: &String| CommonPrefix {
        prefix: Some(encode(prefix)),
    };
    page.prefixes.iter().map(prefix).collect()
}
