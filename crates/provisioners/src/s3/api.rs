//! The S3 operations that there are, and what they have in common. Who may call them was decided
//! before: see `access`.

use std::sync::Arc;

use s3s::{
    S3, S3Request, S3Response, S3Result,
    dto::{self, Timestamp},
    s3_error,
};

use super::{
    access::Gate, bucket::Bucket, buckets, conditions, fault, multipart, objects,
    receive::Received, record::Record, store::Store,
};

/// S3 on the store.
#[derive(Debug, Clone)]
pub(super) struct Api {
    pub(super) store: Arc<Store>,
    pub(super) gate: Gate,
}

impl Api {
    pub(super) fn bucket(&self, name: &str) -> S3Result<Arc<Bucket>> {
        self.store
            .bucket(name)
            .ok_or_else(|| s3_error!(NoSuchBucket))
    }

    /// Puts an object in its place, where the conditions hold at that moment.
    pub(super) async fn put(
        &self,
        bucket: &Bucket,
        received: &Received,
        record: Record,
        if_match: Option<&dto::ETagCondition>,
        if_none_match: Option<&dto::ETagCondition>,
    ) -> S3Result<Arc<Record>> {
        let _nothing_else_changes = bucket.changing.lock().await;
        conditions::check_write(
            bucket.object(&record.key).as_deref(),
            if_match,
            if_none_match,
        )?;
        bucket.put(&received.file, record).await.map_err(fault)
    }
}

pub(super) fn timestamp(time: jiff::Timestamp) -> Timestamp {
    Timestamp::from(std::time::SystemTime::from(time))
}

pub(super) fn size(size: u64) -> S3Result<i64> {
    i64::try_from(size).map_err(|_| s3_error!(EntityTooLarge))
}

/// Each operation is a function of the module that it is listed with; all others of S3 are answered
/// with `NotImplemented`. It runs in a task of its own, so that it comes to its end when the client
/// goes away: half of it would leave memory and disk apart.
macro_rules! operations {
    ($($module:ident { $($name:ident: $input:ident -> $output:ident,)* })*) => {
        #[async_trait::async_trait]
        impl S3 for Api {
            $($(
                async fn $name(
                    &self,
                    request: S3Request<dto::$input>,
                ) -> S3Result<S3Response<dto::$output>> {
                    let api = self.clone();
                    tokio::spawn(async move { $module::$name(&api, request).await })
                        .await
                        .map_err(|error| fault(error.into()))?
                        .map(S3Response::new)
                }
            )*)*
        }
    };
}

operations! {
    buckets {
        list_buckets: ListBucketsInput -> ListBucketsOutput,
        create_bucket: CreateBucketInput -> CreateBucketOutput,
        delete_bucket: DeleteBucketInput -> DeleteBucketOutput,
        head_bucket: HeadBucketInput -> HeadBucketOutput,
        get_bucket_location: GetBucketLocationInput -> GetBucketLocationOutput,
        list_objects: ListObjectsInput -> ListObjectsOutput,
        list_objects_v2: ListObjectsV2Input -> ListObjectsV2Output,
    }
    objects {
        put_object: PutObjectInput -> PutObjectOutput,
        get_object: GetObjectInput -> GetObjectOutput,
        head_object: HeadObjectInput -> HeadObjectOutput,
        delete_object: DeleteObjectInput -> DeleteObjectOutput,
        delete_objects: DeleteObjectsInput -> DeleteObjectsOutput,
        copy_object: CopyObjectInput -> CopyObjectOutput,
    }
    multipart {
        create_multipart_upload: CreateMultipartUploadInput -> CreateMultipartUploadOutput,
        upload_part: UploadPartInput -> UploadPartOutput,
        upload_part_copy: UploadPartCopyInput -> UploadPartCopyOutput,
        complete_multipart_upload: CompleteMultipartUploadInput -> CompleteMultipartUploadOutput,
        abort_multipart_upload: AbortMultipartUploadInput -> AbortMultipartUploadOutput,
        list_parts: ListPartsInput -> ListPartsOutput,
        list_multipart_uploads: ListMultipartUploadsInput -> ListMultipartUploadsOutput,
    }
}
