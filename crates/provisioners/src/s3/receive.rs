//! A client's bytes on their way to the disk, held to the checksums that came with them.

use std::{io, path::PathBuf};

use base64::{Engine, engine::general_purpose::STANDARD};
use futures::StreamExt;
use s3s::{
    S3Result, TrailingHeaders,
    checksum::ChecksumHasher,
    crypto::{Checksum, Md5},
    dto::{ChecksumAlgorithm, StreamingBlob},
    s3_error,
};
use tokio::{fs::OpenOptions, io::AsyncWriteExt};

use super::{bucket::Incoming, fault, record::Sums};

/// What the client says that the bytes amount to.
#[derive(Default)]
pub(super) struct Expected {
    pub(super) md5: Option<String>,
    pub(super) algorithm: Option<ChecksumAlgorithm>,
    pub(super) sums: Sums,
    pub(super) trailers: Option<TrailingHeaders>,
}

/// Bytes that are whole and on the disk.
pub(super) struct Received {
    pub(super) file: Incoming,
    pub(super) size: u64,
    /// MD5 in hexadecimal: the ETag of an object that was put at once.
    pub(super) md5: String,
    pub(super) sums: Sums,
}

/// Writes `body` to `file`, and refuses it where it is not what it should be.
pub(super) async fn receive(
    file: Incoming,
    mut body: StreamingBlob,
    expected: Expected,
) -> S3Result<Received> {
    let mut md5 = Md5::new();
    let mut hasher = hasher(&expected);
    let mut out = create(&file.0).await.map_err(fault)?;
    let mut size = 0;
    while let Some(bytes) = body.next().await {
        let bytes = bytes.map_err(|_| s3_error!(IncompleteBody))?;
        md5.update(&bytes);
        hasher.update(&bytes);
        out.write_all(&bytes).await.map_err(fault)?;
        size += bytes.len() as u64;
    }
    out.flush().await.map_err(fault)?;
    out.sync_all().await.map_err(fault)?;
    let md5: [u8; 16] = md5.finalize();
    if let Some(said) = expected.md5 {
        let said = STANDARD
            .decode(said)
            .map_err(|_| s3_error!(InvalidDigest))?;
        if said != md5 {
            return Err(s3_error!(
                BadDigest,
                "the bytes do not have the Content-MD5 that was sent"
            ));
        }
    }
    let sums = Sums::from(hasher.finalize());
    let said = with_trailers(expected.sums, expected.trailers.as_ref());
    for (name, said, sum) in [
        ("CRC32", &said.crc32, &sums.crc32),
        ("CRC32C", &said.crc32c, &sums.crc32c),
        ("CRC64NVME", &said.crc64nvme, &sums.crc64nvme),
        ("SHA1", &said.sha1, &sums.sha1),
        ("SHA256", &said.sha256, &sums.sha256),
    ] {
        if said.is_some() && said != sum {
            return Err(s3_error!(
                BadDigest,
                "the bytes do not have the {} that was sent",
                name
            ));
        }
    }
    Ok(Received {
        file,
        size,
        md5: kernel::bytes::hex(&md5),
        sums,
    })
}

/// A new file that only we can read.
pub(super) async fn create(path: &PathBuf) -> io::Result<tokio::fs::File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .await
}

fn hasher(expected: &Expected) -> ChecksumHasher {
    let mut hasher = ChecksumHasher::default();
    let sums = &expected.sums;
    let trailing = expected.algorithm.as_ref().map(ChecksumAlgorithm::as_str);
    let wanted = |said: &Option<String>, name: &str| said.is_some() || trailing == Some(name);
    if wanted(&sums.crc32, ChecksumAlgorithm::CRC32) {
        hasher.crc32 = Some(Checksum::new());
    }
    if wanted(&sums.crc32c, ChecksumAlgorithm::CRC32C) {
        hasher.crc32c = Some(Checksum::new());
    }
    if wanted(&sums.crc64nvme, ChecksumAlgorithm::CRC64NVME) {
        hasher.crc64nvme = Some(Checksum::new());
    }
    if wanted(&sums.sha1, ChecksumAlgorithm::SHA1) {
        hasher.sha1 = Some(Checksum::new());
    }
    if wanted(&sums.sha256, ChecksumAlgorithm::SHA256) {
        hasher.sha256 = Some(Checksum::new());
    }
    hasher
}

/// What came before the bytes, and what came after them.
fn with_trailers(before: Sums, trailers: Option<&TrailingHeaders>) -> Sums {
    let after = trailers.and_then(TrailingHeaders::take).unwrap_or_default();
    let sum = |before: Option<String>, name: &str| {
        before.or_else(|| Some(after.get(name)?.to_str().ok()?.to_owned()))
    };
    Sums {
        crc32: sum(before.crc32, "x-amz-checksum-crc32"),
        crc32c: sum(before.crc32c, "x-amz-checksum-crc32c"),
        crc64nvme: sum(before.crc64nvme, "x-amz-checksum-crc64nvme"),
        sha1: sum(before.sha1, "x-amz-checksum-sha1"),
        sha256: sum(before.sha256, "x-amz-checksum-sha256"),
    }
}

impl From<s3s::dto::Checksum> for Sums {
    fn from(sums: s3s::dto::Checksum) -> Self {
        Self {
            crc32: sums.checksum_crc32,
            crc32c: sums.checksum_crc32c,
            crc64nvme: sums.checksum_crc64nvme,
            sha1: sums.checksum_sha1,
            sha256: sums.checksum_sha256,
        }
    }
}
