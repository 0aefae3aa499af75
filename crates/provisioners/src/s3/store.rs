//! Buckets and objects in a directory.
//!
//! ```text
//! incoming/                     half-written files; emptied at the start
//! buckets/BUCKET/bucket.json    whose it is
//! buckets/BUCKET/data/UUID      an object's bytes; never changed once it is there
//! buckets/BUCKET/objects/xx/…   an object's record, named by the SHA-256 of its key
//! buckets/BUCKET/uploads/UUID/  the parts of an upload that is not complete
//! ```
//!
//! No name on the disk is chosen by a client, so that no key can lead out of its bucket. A record
//! that takes its place by a rename is the moment at which an object changes: before it there is the
//! old object, after it the new one. The records are also kept in memory, in the order of their keys,
//! for listings; they take about half a kilobyte each.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::fs;
use uuid::Uuid;

use super::record::Record;
use crate::atomic_file;

/// All buckets of one directory.
#[derive(Debug)]
pub(super) struct Store {
    directory: PathBuf,
    buckets: RwLock<HashMap<String, Arc<Bucket>>>,
}

/// One bucket.
#[derive(Debug)]
pub(super) struct Bucket {
    directory: PathBuf,
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

impl Store {
    /// Opens the directory, which is made where it is missing, and sweeps away what a crash left.
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        let incoming = directory.join("incoming");
        if incoming.exists() {
            std::fs::remove_dir_all(&incoming)?;
        }
        make_directory(&incoming)?;
        make_directory(&directory.join("buckets"))?;
        let mut buckets = HashMap::new();
        for entry in std::fs::read_dir(directory.join("buckets"))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            buckets.insert(name, Arc::new(Bucket::open(entry.path())?));
        }
        Ok(Self {
            directory: directory.to_owned(),
            buckets: RwLock::new(buckets),
        })
    }

    /// The bucket of that name.
    pub(super) fn bucket(&self, name: &str) -> Option<Arc<Bucket>> {
        read(&self.buckets).get(name).cloned()
    }

    /// Names of the platform's buckets.
    pub(super) fn buckets_of(&self, platform: Uuid) -> Vec<String> {
        let mut names: Vec<_> = read(&self.buckets)
            .iter()
            .filter(|(_, bucket)| bucket.about.platform == platform)
            .map(|(name, _)| name.clone())
            .collect();
        names.sort();
        names
    }

    /// Makes the bucket; one that is there stays as it is.
    pub(super) async fn make_bucket(&self, name: &str, platform: Uuid) -> io::Result<()> {
        if self.bucket(name).is_some() {
            return Ok(());
        }
        let about = BucketRecord {
            platform,
            created: super::record::now(),
        };
        let staged = self.incoming_path();
        for inner in ["objects", "data", "uploads"] {
            make_directory(&staged.join(inner))?;
        }
        let json = serde_json::to_vec(&about)?;
        atomic_file::write(&staged.join("bucket.json"), &json, 0o600).await?;
        let place = self.directory.join("buckets").join(name);
        match atomic_file::rename(&staged, &place) {
            Ok(()) => {}
            // Somebody was quicker.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists
                ) =>
            {
                fs::remove_dir_all(&staged).await?;
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        let bucket = Bucket {
            directory: place,
            about,
            objects: RwLock::default(),
            changing: tokio::sync::Mutex::default(),
        };
        write(&self.buckets).insert(name.to_owned(), Arc::new(bucket));
        Ok(())
    }

    /// Removes the bucket with all that is in it; one that is not there is no error.
    pub(super) async fn remove_bucket(&self, name: &str) -> io::Result<()> {
        let Some(bucket) = self.bucket(name) else {
            return Ok(());
        };
        let _nothing_changes = bucket.changing.lock().await;
        let away = self.incoming_path();
        match atomic_file::rename(&bucket.directory, &away) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        atomic_file::sync_parent(&bucket.directory)?;
        write(&self.buckets).remove(name);
        match fs::remove_dir_all(&away).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// A new file to write to.
    pub(super) fn incoming(&self) -> Incoming {
        Incoming(self.incoming_path())
    }

    fn incoming_path(&self) -> PathBuf {
        let name = Uuid::now_v7().simple().to_string();
        self.directory.join("incoming").join(name)
    }
}

impl Bucket {
    fn open(directory: PathBuf) -> io::Result<Self> {
        let about = serde_json::from_slice(&std::fs::read(directory.join("bucket.json"))?)?;
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
                let record: Record = serde_json::from_slice(&std::fs::read(&path)?)?;
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
        atomic_file::rename(&bytes.0, &place)?;
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
        atomic_file::sync_parent(&place)?;
        self.put_record(record).await
    }

    async fn put_record(&self, record: Record) -> io::Result<Arc<Record>> {
        let path = self.record_path(&record.key);
        if let Some(shard) = path.parent() {
            make_directory(shard)?;
        }
        let json = serde_json::to_vec(&record)?;
        if let Err(error) = atomic_file::write(&path, &json, 0o600).await {
            // The bytes have no record: nobody will ever ask for them.
            let _ = fs::remove_file(self.data(record.data)).await;
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
        fs::remove_file(&path).await?;
        atomic_file::sync_parent(&path)?;
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
        let hex = hex(&digest);
        self.directory
            .join("objects")
            .join(&hex[..2])
            .join(format!("{hex}.json"))
    }
}

/// Bytes in hexadecimal, as ETags are written.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

pub(super) fn make_directory(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::record::{About, Sums, now};

    fn files(directory: &Path) -> Vec<PathBuf> {
        let mut all = Vec::new();
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                all.extend(files(&path));
            } else {
                all.push(path);
            }
        }
        all
    }

    #[tokio::test]
    async fn whatever_the_key_its_files_are_in_its_bucket() {
        let outside = tempfile::tempdir().unwrap();
        let store = Store::open(&outside.path().join("s3")).unwrap();
        store.make_bucket("ours", Uuid::nil()).await.unwrap();
        let bucket = store.bucket("ours").unwrap();
        let long = "x/../".repeat(200);
        let keys = [
            "..",
            "../..",
            "../theirs/secret",
            "/etc/passwd",
            "a\0b",
            "a\\..\\b",
            ".",
            &long,
        ];
        for key in keys {
            let file = store.incoming();
            std::fs::write(&file.0, key).unwrap();
            let record = Record {
                key: key.to_owned(),
                data: Uuid::now_v7(),
                size: key.len() as u64,
                etag: String::new(),
                modified: now(),
                about: About::default(),
                sums: Sums::default(),
            };
            bucket.put(&file, record).await.unwrap();
        }
        // One of bytes and one of its record each, and the bucket's own.
        let files = files(outside.path());
        assert_eq!(files.len(), 2 * keys.len() + 1);
        let own = outside.path().join("s3/buckets/ours");
        assert!(files.iter().all(|file| file.starts_with(&own)), "{files:?}");

        // And they are found again.
        let again = Store::open(&outside.path().join("s3")).unwrap();
        let bucket = again.bucket("ours").unwrap();
        for key in keys {
            let (record, _) = bucket.open_data(key).await.unwrap().unwrap();
            assert_eq!(record.key, key);
            bucket.delete(key).await.unwrap();
        }
        again.remove_bucket("ours").await.unwrap();
        assert!(again.bucket("ours").is_none());
        assert!(!own.exists());
    }
}
