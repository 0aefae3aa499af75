//! One bucket: its objects on the disk, and their records in memory.

use std::{
    collections::{BTreeMap, HashSet},
    io,
    path::{Path, PathBuf},
    sync::{Arc, RwLock, RwLockReadGuard},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use tokio::fs;
use uuid::Uuid;

use super::{
    record::Record,
    store::{make_directory, read, write},
};
use crate::atomic_file;

/// One bucket.
#[derive(Debug)]
pub(super) struct Bucket {
    pub(super) directory: PathBuf,
    pub(super) about: BucketRecord,
    objects: RwLock<BTreeMap<String, Arc<Record>>>,
    /// Held while a record changes its place: one at a time, so that a condition on the object that
    /// is there still holds when it is replaced.
    pub(super) changing: tokio::sync::Mutex<()>,
}

/// Whose a bucket is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct BucketRecord {
    pub(super) platform: Uuid,
    pub(super) created: Timestamp,
}

/// A file that is being written; it goes when it is dropped before it has found its place.
#[derive(Debug)]
pub(super) struct Incoming(pub(super) PathBuf);

impl Drop for Incoming {
    fn drop(&mut self) {
        // It is gone when it found its place, and swept away at the next start otherwise.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Bucket {
    /// Opens it, and sweeps away what a crash left.
    pub(super) fn open(directory: PathBuf) -> io::Result<Self> {
        let about = read_json(&directory.join("bucket.json"))?;
        let mut objects = BTreeMap::new();
        let mut used = HashSet::new();
        for shard in std::fs::read_dir(directory.join("objects"))? {
            for entry in std::fs::read_dir(shard?.path())? {
                let path = entry?.path();
                if path.extension().is_none_or(|extension| extension != "json") {
                    // Half-written beside its place.
                    std::fs::remove_file(&path)?;
                    continue;
                }
                let record: Record = read_json(&path)?;
                used.insert(record.data.simple().to_string());
                objects.insert(record.key.clone(), Arc::new(record));
            }
        }
        for entry in std::fs::read_dir(directory.join("data"))? {
            let entry = entry?;
            if !used.contains(entry.file_name().to_string_lossy().as_ref()) {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(Self {
            directory,
            about,
            objects: RwLock::new(objects),
            changing: tokio::sync::Mutex::default(),
        })
    }

    /// The object of that key.
    pub(super) fn object(&self, key: &str) -> Option<Arc<Record>> {
        read(&self.objects).get(key).cloned()
    }

    /// The objects in the order of their keys; to be let go of before anything is waited for.
    pub(super) fn objects(&self) -> RwLockReadGuard<'_, BTreeMap<String, Arc<Record>>> {
        read(&self.objects)
    }

    /// Opens the object's bytes.
    pub(super) async fn open_data(&self, key: &str) -> io::Result<Option<(Arc<Record>, fs::File)>> {
        // The file goes when the object is replaced just now: then the new one is looked up.
        for _ in 0..8 {
            let Some(record) = self.object(key) else {
                return Ok(None);
            };
            match fs::File::open(self.data(record.data)).await {
                Ok(file) => return Ok(Some((record, file))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::new(
            io::ErrorKind::NotFound,
            "the object's bytes are gone",
        ))
    }

    /// Puts a whole file in its place as the object's bytes, and then its record. The caller holds
    /// `changing`.
    pub(super) async fn put(&self, bytes: &Incoming, record: Record) -> io::Result<Arc<Record>> {
        let place = self.data(record.data);
        atomic_file::rename(&bytes.0, &place).await?;
        self.put_record(record).await
    }

    /// Puts an object whose bytes are another's. The caller holds `changing`.
    pub(super) async fn put_copy(
        &self,
        source: &Record,
        record: Record,
    ) -> io::Result<Arc<Record>> {
        let place = self.data(record.data);
        fs::hard_link(self.data(source.data), &place).await?;
        atomic_file::sync_parent(&place).await?;
        self.put_record(record).await
    }

    async fn put_record(&self, record: Record) -> io::Result<Arc<Record>> {
        let path = self.record_path(&record.key);
        let json = serde_json::to_vec(&record)?;
        let written = match path.parent().map_or(Ok(()), make_directory) {
            Ok(()) => atomic_file::write(&path, &json, 0o600).await,
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            // Without a record nobody will ever ask for the bytes. One that has found its place, and is
            // perhaps not on the disk yet, may be the object after the next start.
            if !may_name(&path, record.data).await {
                let _ = fs::remove_file(self.data(record.data)).await;
            }
            return Err(error);
        }
        let record = Arc::new(record);
        let before = write(&self.objects).insert(record.key.clone(), Arc::clone(&record));
        if let Some(before) = before {
            self.forget_data(&before).await;
        }
        Ok(record)
    }

    /// Removes the object; one that is not there is no error.
    pub(super) async fn delete(&self, key: &str) -> io::Result<()> {
        let _one_at_a_time = self.changing.lock().await;
        let Some(record) = self.object(key) else {
            return Ok(());
        };
        let path = self.record_path(key);
        match fs::remove_file(&path).await {
            // A removal that was cut short has come as far as this.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed?,
        }
        atomic_file::sync_parent(&path).await?;
        write(&self.objects).remove(key);
        self.forget_data(&record).await;
        Ok(())
    }

    /// Where the parts of the upload are.
    pub(super) fn upload(&self, id: Uuid) -> PathBuf {
        self.uploads().join(id.simple().to_string())
    }

    /// Where all uploads are.
    pub(super) fn uploads(&self) -> PathBuf {
        self.directory.join("uploads")
    }

    async fn forget_data(&self, record: &Record) {
        if let Err(error) = fs::remove_file(self.data(record.data)).await {
            tracing::warn!(%error, "bytes of an old object stay until the next start");
        }
    }

    fn data(&self, data: Uuid) -> PathBuf {
        self.directory.join("data").join(data.simple().to_string())
    }

    fn record_path(&self, key: &str) -> PathBuf {
        let digest = Sha256::digest(key.as_bytes());
        let hex = kernel::bytes::hex(&digest);
        self.directory
            .join("objects")
            .join(&hex[..2])
            .join(format!("{hex}.json"))
    }
}

/// Whether the record at `path` names the bytes `data`, or that cannot be told.
async fn may_name(path: &Path, data: Uuid) -> bool {
    match fs::read(path).await {
        Ok(bytes) => {
            serde_json::from_slice::<Record>(&bytes).is_ok_and(|record| record.data == data)
        }
        Err(error) => !matches!(
            error.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
        ),
    }
}

/// Reads a JSON file; an error names it.
fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
    let explain =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let bytes = std::fs::read(path).map_err(explain)?;
    serde_json::from_slice(&bytes).map_err(|error| explain(error.into()))
}

#[cfg(test)]
mod tests {
    use super::{super::record, *};

    fn bucket(directory: &Path) -> Bucket {
        for part in ["objects", "data", "uploads"] {
            std::fs::create_dir_all(directory.join(part)).expect("a directory");
        }
        let about = BucketRecord {
            platform: Uuid::nil(),
            created: record::now(),
        };
        let about = serde_json::to_vec(&about).expect("it is JSON");
        std::fs::write(directory.join("bucket.json"), about).expect("it is written");
        Bucket::open(directory.to_owned()).expect("a bucket")
    }

    fn record(key: &str) -> Record {
        Record {
            key: key.into(),
            data: Uuid::now_v7(),
            size: 1,
            etag: "e".into(),
            modified: record::now(),
            about: record::About::default(),
            sums: record::Sums::default(),
        }
    }

    async fn put(bucket: &Bucket, record: Record) -> io::Result<Arc<Record>> {
        let incoming = Incoming(bucket.directory.join("incoming"));
        std::fs::write(&incoming.0, "x").expect("it is written");
        bucket.put(&incoming, record).await
    }

    #[tokio::test]
    async fn a_removal_that_was_cut_short_is_made_again() {
        let directory = tempfile::tempdir().expect("a directory");
        let bucket = bucket(directory.path());
        put(&bucket, record("a")).await.expect("it is put");
        std::fs::remove_file(bucket.record_path("a")).expect("it is there");
        bucket.delete("a").await.expect("the rest is removed");
        assert!(bucket.object("a").is_none());
        let left = std::fs::read_dir(directory.path().join("data")).expect("a directory");
        assert_eq!(left.count(), 0);
    }

    /// Whether a rename has reached the disk is not known when its directory could not be written out.
    #[tokio::test]
    async fn bytes_go_only_where_no_record_can_name_them() {
        let directory = tempfile::tempdir().expect("a directory");
        let bucket = bucket(directory.path());
        let first = put(&bucket, record("a")).await.expect("it is put");
        let path = bucket.record_path("a");
        assert!(may_name(&path, first.data).await);
        assert!(!may_name(&path, Uuid::now_v7()).await);
        assert!(!may_name(&bucket.record_path("b"), first.data).await);
        assert!(
            may_name(directory.path(), first.data).await,
            "it cannot be told"
        );

        // The shard cannot be made: there is no record, and the bytes go.
        let other = record("other");
        let shard = bucket.record_path("other");
        let shard = shard.parent().expect("a shard");
        std::fs::write(shard, "in its way").expect("it is written");
        let data = bucket.data(other.data);
        put(&bucket, other).await.expect_err("its place is taken");
        assert!(!data.exists());
    }
}
