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
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use tokio::fs;
use uuid::Uuid;

use super::{
    bucket::{Bucket, BucketRecord, Incoming},
    record::now,
};
use crate::atomic_file;

/// All buckets of one directory.
#[derive(Debug)]
pub(super) struct Store {
    directory: PathBuf,
    buckets: RwLock<HashMap<String, Arc<Bucket>>>,
    /// Held while a bucket is made or removed.
    changing: tokio::sync::Mutex<()>,
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
            changing: tokio::sync::Mutex::default(),
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
        let _one_at_a_time = self.changing.lock().await;
        if self.bucket(name).is_some() {
            return Ok(());
        }
        let place = self.directory.join("buckets").join(name);
        // It can be on the disk only: a call before was given up between the disk and the memory.
        if !place.exists() {
            let staged = self.incoming_path();
            for inner in ["objects", "data", "uploads"] {
                make_directory(&staged.join(inner))?;
            }
            let about = BucketRecord {
                platform,
                created: now(),
            };
            let json = serde_json::to_vec(&about)?;
            atomic_file::write(&staged.join("bucket.json"), &json, 0o600).await?;
            atomic_file::rename(&staged, &place).await?;
        }
        let bucket = Bucket::open(place)?;
        write(&self.buckets).insert(name.to_owned(), Arc::new(bucket));
        Ok(())
    }

    /// Removes the bucket with all that is in it; one that is not there is no error.
    pub(super) async fn remove_bucket(&self, name: &str) -> io::Result<()> {
        let _one_at_a_time = self.changing.lock().await;
        let Some(bucket) = self.bucket(name) else {
            return Ok(());
        };
        let _nothing_changes = bucket.changing.lock().await;
        let away = self.incoming_path();
        match atomic_file::rename(&bucket.directory, &away).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        atomic_file::sync_parent(&bucket.directory).await?;
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

pub(super) fn make_directory(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

pub(super) fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::record::{About, Record, Sums};

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
