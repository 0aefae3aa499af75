//! Uploads in parts. A part is a file named `NUMBER.MD5`: its name says all that is kept of it.

use std::{collections::BTreeMap, io, path::PathBuf};

use jiff::Timestamp;
use s3s::{S3Result, s3_error};
use serde::{Deserialize, Serialize};
use tokio::{fs, io::AsyncWriteExt};
use uuid::Uuid;

use super::{
    bucket::{Bucket, Incoming},
    fault,
    receive::{Received, create},
    record::{About, now},
    store::make_directory,
};
use crate::atomic_file;

/// The least that a part has, but for the last, as with every S3.
const LEAST: u64 = 5 * 1024 * 1024;
/// The highest number of a part.
const HIGHEST: i32 = 10_000;

/// An upload that is not complete.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Upload {
    pub(super) key: String,
    pub(super) initiated: Timestamp,
    pub(super) about: About,
}

/// A part that has arrived.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) md5: String,
    pub(super) size: u64,
    pub(super) modified: std::time::SystemTime,
    path: PathBuf,
}

/// Begins an upload; gives its id.
pub(super) async fn begin(bucket: &Bucket, key: &str, about: About) -> S3Result<Uuid> {
    let id = Uuid::now_v7();
    let upload = Upload {
        key: key.to_owned(),
        initiated: now(),
        about,
    };
    let directory = bucket.upload(id);
    make_directory(&directory).map_err(fault)?;
    let json = serde_json::to_vec(&upload)
        .map_err(io::Error::from)
        .map_err(fault)?;
    atomic_file::write(&directory.join("upload.json"), &json, 0o600)
        .await
        .map_err(fault)?;
    Ok(id)
}

/// The upload of that id for that key.
pub(super) async fn find(bucket: &Bucket, id: &str, key: &str) -> S3Result<(Uuid, Upload)> {
    let unknown = || s3_error!(NoSuchUpload);
    let id: Uuid = id.parse().map_err(|_| unknown())?;
    let upload = read(bucket, id).await?.ok_or_else(unknown)?;
    if upload.key == key {
        Ok((id, upload))
    } else {
        Err(unknown())
    }
}

/// All uploads of the bucket, by key and id.
pub(super) async fn all(bucket: &Bucket) -> S3Result<Vec<(Uuid, Upload)>> {
    let mut uploads = Vec::new();
    let mut entries = fs::read_dir(bucket.uploads()).await.map_err(fault)?;
    while let Some(entry) = entries.next_entry().await.map_err(fault)? {
        let Ok(id) = entry.file_name().to_string_lossy().parse::<Uuid>() else {
            continue;
        };
        if let Some(upload) = read(bucket, id).await? {
            uploads.push((id, upload));
        }
    }
    uploads.sort_by(|(a, one), (b, other)| (&one.key, a).cmp(&(&other.key, b)));
    Ok(uploads)
}

async fn read(bucket: &Bucket, id: Uuid) -> S3Result<Option<Upload>> {
    match fs::read(bucket.upload(id).join("upload.json")).await {
        Ok(json) => Ok(Some(
            serde_json::from_slice(&json)
                .map_err(io::Error::from)
                .map_err(fault)?,
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(fault(error)),
    }
}

/// Whether a part may have that number.
pub(super) fn check_number(number: i32) -> S3Result<()> {
    if (1..=HIGHEST).contains(&number) {
        Ok(())
    } else {
        Err(s3_error!(
            InvalidArgument,
            "a part's number is from 1 to {}",
            HIGHEST
        ))
    }
}

/// Puts a part in its place; an earlier one of that number goes.
pub(super) async fn put_part(
    bucket: &Bucket,
    id: Uuid,
    number: i32,
    part: &Received,
) -> S3Result<()> {
    let place = bucket.upload(id).join(format!("{number}.{}", part.md5));
    let before = parts(bucket, id).await?.remove(&number);
    match atomic_file::rename(&part.file.0, &place).await {
        // Completed or given up in the meantime.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(s3_error!(NoSuchUpload));
        }
        other => other.map_err(fault)?,
    }
    if let Some(before) = before.filter(|before| before.path != place) {
        fs::remove_file(before.path).await.map_err(fault)?;
    }
    Ok(())
}

/// The parts that have arrived, by number.
pub(super) async fn parts(bucket: &Bucket, id: Uuid) -> S3Result<BTreeMap<i32, Part>> {
    let mut parts = BTreeMap::new();
    let mut entries = match fs::read_dir(bucket.upload(id)).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(s3_error!(NoSuchUpload));
        }
        other => other.map_err(fault)?,
    };
    while let Some(entry) = entries.next_entry().await.map_err(fault)? {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some((Ok(number), md5)) = name.split_once('.').map(|(n, md5)| (n.parse(), md5)) else {
            continue;
        };
        let metadata = entry.metadata().await.map_err(fault)?;
        let part = Part {
            md5: md5.to_owned(),
            size: metadata.len(),
            modified: metadata.modified().map_err(fault)?,
            path: entry.path(),
        };
        // After a crash there can be two of a number: the later one counts.
        match parts.get(&number) {
            Some(Part { modified, .. }) if *modified > part.modified => {}
            _ => {
                parts.insert(number, part);
            }
        }
    }
    Ok(parts)
}

/// Joins the parts that the client lists into `out`; gives size and ETag.
pub(super) async fn join(
    bucket: &Bucket,
    id: Uuid,
    listed: &[(i32, Option<String>)],
    out: &Incoming,
) -> S3Result<(u64, String)> {
    use s3s::crypto::{Checksum, Md5};
    let arrived = parts(bucket, id).await?;
    if listed.is_empty() {
        return Err(s3_error!(
            InvalidRequest,
            "a complete upload lists at least one part"
        ));
    }
    if !listed.windows(2).all(|pair| pair[0].0 < pair[1].0) {
        return Err(s3_error!(InvalidPartOrder));
    }
    let mut whole = Md5::new();
    let mut size = 0;
    let mut file = create(&out.0).await.map_err(fault)?;
    for (i, (number, etag)) in listed.iter().enumerate() {
        let part = arrived
            .get(number)
            .filter(|part| etag.as_ref().is_none_or(|etag| *etag == part.md5))
            .ok_or_else(|| s3_error!(InvalidPart, "part {} has not arrived so", number))?;
        if part.size < LEAST && i + 1 < listed.len() {
            return Err(s3_error!(EntityTooSmall));
        }
        let mut source = fs::File::open(&part.path).await.map_err(fault)?;
        size += tokio::io::copy(&mut source, &mut file)
            .await
            .map_err(fault)?;
        whole.update(&unhex(&part.md5));
    }
    file.flush().await.map_err(fault)?;
    file.sync_all().await.map_err(fault)?;
    let digest: [u8; 16] = whole.finalize();
    Ok((
        size,
        format!("{}-{}", kernel::bytes::hex(&digest), listed.len()),
    ))
}

/// Forgets the upload and its parts.
pub(super) async fn forget(bucket: &Bucket, id: Uuid) -> S3Result<()> {
    match fs::remove_dir_all(bucket.upload(id)).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(fault(error)),
        _ => Ok(()),
    }
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2)
        .filter_map(|i| u8::from_str_radix(text.get(2 * i..2 * i + 2)?, 16).ok())
        .collect()
}
