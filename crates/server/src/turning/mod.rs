//! The change of the platform's key while it runs.

#[cfg(test)]
mod tests;
mod together;

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use kernel::{
    Error, Result, Sealer, Secret, Store,
    sealer::{KeyId, Kms, PlatformKey},
    store::KeyChange,
};
use secrets::Transit;
use tokio::sync::{Mutex, Notify};
use uuid::Uuid;

use self::together::Standing;

/// What the file beside the key's is called whose key is drawn, and seals nothing yet.
const NEXT: &str = "next";
/// And that with the key of before, by which something may still be sealed.
const BEFORE: &str = "before";
/// That one, while it is written where it cannot be a second name.
const DRAFT: &str = "before-draft";
/// And a second name of the key's file, by which it is seen whether another could take its place.
const TRIAL: &str = "trial";

/// Where the platform's key comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// A file, which the next key can be written to.
    File,
    /// The environment, which a process reads once.
    Environment,
}

/// Changes the platform's key while it runs.
///
/// Where others may have to learn of the next key first, it is announced in the store, and changed by all together
/// (`together`). Else, where the key is in the file of the one process that there is:
///
/// The next key is drawn into a file of its own; the present key's file gets a second name; the first name passes
/// to the next key, in one step; and only then it seals. Whatever is killed or fails when, each key that has sealed
/// something is in a file that the next start reads. From the second name on a change is under way, and is gone
/// on with by whoever comes next: a start, the reconciler, or another request.
pub(crate) struct Turning {
    file: PathBuf,
    transit: Option<Transit>,
    sealer: Sealer,
    source: Source,
    /// Whether other replicas may use the store.
    is_shared: bool,
    /// This process, among them.
    replica: Uuid,
    alone: Mutex<Standing>,
    asked: Notify,
}

impl Turning {
    /// Of the key from `source`, and in `file` where that is one, which `sealer` seals by. Other replicas may use the
    /// store where it `is_shared`.
    pub(crate) fn new(
        file: PathBuf,
        transit: Option<Transit>,
        sealer: Sealer,
        source: Source,
        is_shared: bool,
    ) -> Self {
        let alone = Mutex::new(Standing::of(sealer.current()));
        Self {
            file,
            transit,
            sealer,
            source,
            is_shared,
            replica: Uuid::now_v7(),
            alone,
            asked: Notify::new(),
        }
    }

    /// The key that is to be announced to all replicas: the `given` one, or one that is drawn. None where the key has
    /// changed by this call, since there is nobody to tell.
    pub(crate) async fn next(
        &self,
        store: &Store,
        given: Option<Secret>,
    ) -> Result<Option<PlatformKey>> {
        if let Some(text) = given {
            let key = PlatformKey::read(&text, "the request", self.kms()).await?;
            if self.is_alone() && self.is_under_way() {
                return Err(under_way("the next one is in its file"));
            }
            return Ok(Some(key));
        }
        if self.source == Source::Environment {
            return Err(Error::invalid(
                "the platform's key is given in TOWPATH_PLATFORM_KEY, where the platform cannot write the next one",
            )
            .remedy(
                "put the next one where the next start finds it (head -c 32 /dev/urandom | base64), and give it: \
                 towpath rekey --new-key-file FILE",
            ));
        }
        if !self.is_alone() {
            return PlatformKey::generate().map(Some);
        }
        if let Some(change) = store.key_change().await? {
            return Err(under_way(&format!("the next one is {}", change.key)));
        }
        self.turn().await?;
        self.nudge();
        Ok(None)
    }

    /// Whether nobody else has to know of the next key, and it can be kept.
    fn is_alone(&self) -> bool {
        self.source == Source::File && !self.is_shared
    }

    /// Has the platform seal by another key from now on, which is drawn. Where a change is not yet done, that is
    /// gone on with: no second key is drawn.
    async fn turn(&self) -> Result<()> {
        let _alone = self.alone.lock().await;
        self.seal_by_the_next().await
    }

    /// Goes on with a change that has failed half-way, or that replicas make together; nothing, where none is under way.
    pub(crate) async fn go_on(&self, store: &Store) -> Result<Option<KeyChange>> {
        if self.is_alone() && self.is_under_way() {
            let _alone = self.alone.lock().await;
            if self.is_under_way() {
                self.seal_by_the_next().await?;
            }
        }
        match store.key_change().await? {
            None => Ok(None),
            Some(_) => self.step(store).await,
        }
    }

    /// Whether a key of before may still be needed.
    pub(crate) fn is_under_way(&self) -> bool {
        self.before().exists()
    }

    /// Everything is sealed by `sealed_by`: the next start does not read the key of before. It is not destroyed,
    /// since older copies of the store need it. False where another key seals by now, so that all has to be sealed
    /// anew; fails where the key of before is the one that seals.
    pub(crate) async fn finish(&self, sealed_by: &KeyId) -> Result<bool> {
        let _alone = self.alone.lock().await;
        if self.sealer.current() != *sealed_by {
            return Ok(false);
        }
        if self.is_under_way() {
            let _files = self.files().await?;
            self.let_go(sealed_by).await?;
        }
        Ok(true)
    }

    /// See [`Turning::finish`]. For who is alone with the files.
    async fn let_go(&self, sealed_by: &KeyId) -> Result<()> {
        if !self.is_under_way() {
            return Ok(());
        }
        let before = self.before();
        let key = PlatformKey::from_existing(&before, self.kms()).await?;
        if key.id() == *sealed_by {
            // Of one process alone it is the mark of a change that is gone on with.
            if self.source == Source::File && self.is_shared {
                let present = PlatformKey::from_existing(&self.file, self.kms()).await?;
                if present.id() == key.id() {
                    return removed(&before).map_err(|error| unusable(&before, &error));
                }
            }
            let place = before.display();
            return Err(Error::conflict(format!(
                "the change of the platform's key is not done: {place} holds the key that still seals"
            ))
            .remedy(format!(
                "go on with it by `towpath rekey --new-key`; where that is refused, and the key is kept \
                 elsewhere, move {place} away"
            )));
        }
        let kept = beside(&self.file, &format!("former-{}", key.id()));
        rename(&before, &kept).map_err(|error| unusable(&before, &error))
    }

    /// The steps that are left of a change, from whichever on. For who is alone.
    async fn seal_by_the_next(&self) -> Result<()> {
        let next = self.coming().await?;
        // Nothing is awaited from here on: a request that is broken off leaves nothing half-way.
        if !self.is_under_way() {
            keep(&self.file, fs::hard_link).map_err(|error| unusable(&self.file, &error))?;
        }
        pass_on(&self.file)?;
        self.sealer.turn_to(next);
        Ok(())
    }

    /// The key that seals when the change is done; drawn where there is none yet.
    async fn coming(&self) -> Result<PlatformKey> {
        let next = beside(&self.file, NEXT);
        if self.is_under_way() && !next.exists() {
            let key = PlatformKey::from_existing(&self.file, self.kms()).await?;
            let before = PlatformKey::from_existing(&self.before(), self.kms()).await?;
            // Else the next key was lost before it took the present one's place.
            if key.id() != before.id() {
                return Ok(key);
            }
        }
        PlatformKey::from_file(&next, self.kms()).await
    }

    fn before(&self) -> PathBuf {
        before(&self.file)
    }

    fn kms(&self) -> Option<&dyn Kms> {
        self.transit.as_ref().map(|transit| transit as &dyn Kms)
    }
}

/// The file that the key of before is in, of the key in `file`, while a change is under way.
pub(crate) fn before(file: &Path) -> PathBuf {
    beside(file, BEFORE)
}

/// The file that the next key is in, of the one in `file`.
pub(crate) fn next(file: &Path) -> PathBuf {
    beside(file, NEXT)
}

/// Has the next key take the place of the one in `file`, which is kept as that of before; nothing, where no change is
/// under way.
pub(crate) fn pass_on(file: &Path) -> Result<()> {
    if !before(file).exists() {
        return Ok(());
    }
    let next = beside(file, NEXT);
    let passed = if next.exists() {
        rename(&next, file)
    } else {
        // It has passed, and that may not be written yet.
        synced(directory(file))
    };
    passed.map_err(|error| unusable(file, &error))
}

/// Keeps the key in `file` as that of before: by `link`, as a second name, else as a copy.
fn keep<'p>(
    file: &'p Path,
    link: impl FnOnce(&'p Path, PathBuf) -> io::Result<()>,
) -> io::Result<()> {
    match link(file, before(file)) {
        Ok(()) => Ok(()),
        // Another replica was first: what it has kept is not written over.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        // A file that is mounted by itself: no other could take its place.
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => Err(error),
        // Some file systems have no second names, and say so in several ways. What else hinders one hinders the
        // copy.
        Err(_) => copy(file),
    }
}

/// Fails where no other key could take the place of the one in `file`, which is mounted by itself: there `link` gives it
/// no second name.
fn can_pass_on<'p>(
    file: &'p Path,
    link: impl FnOnce(&'p Path, PathBuf) -> io::Result<()>,
) -> io::Result<()> {
    let trial = beside(file, TRIAL);
    // Of one that was killed here.
    let _ = fs::remove_file(&trial);
    match link(file, trial.clone()) {
        Ok(()) => fs::remove_file(&trial),
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => Err(error),
        // As in `keep`.
        Err(_) => Ok(()),
    }
}

/// Whole or not at all: half a key would be taken for that of before.
fn copy(file: &Path) -> io::Result<()> {
    let draft = beside(file, DRAFT);
    // Of one that was killed here.
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut copied = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(&draft)?;
    io::copy(&mut File::open(file)?, &mut copied)?;
    copied.sync_all()?;
    rename(&draft, &before(file))
}

/// For good: the directory is written, too.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    let directory = directory(to);
    // What came before stands before the name passes on.
    synced(directory)?;
    fs::rename(from, to)?;
    synced(directory)
}

/// For good, too.
fn removed(file: &Path) -> io::Result<()> {
    fs::remove_file(file)?;
    synced(directory(file))
}

fn directory(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn synced(directory: &Path) -> io::Result<()> {
    match File::open(directory)?.sync_all() {
        // Some file systems of a network know no such thing of a directory.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
            ) =>
        {
            Ok(())
        }
        synced => synced,
    }
}

/// A file beside the key's.
fn beside(file: &Path, what: &str) -> PathBuf {
    let mut name: OsString = file.as_os_str().to_owned();
    name.push(format!(".{what}"));
    name.into()
}

fn under_way(how: &str) -> Error {
    Error::conflict(format!(
        "a change of the platform's key is not done: {how}"
    ))
    .remedy(
        "follow it by `towpath rekey --status`; where it is done, `towpath rekey --forget-former` ends it",
    )
}

fn unusable(file: &Path, error: &io::Error) -> Error {
    let file = file.display();
    let remedy = match error.kind() {
        io::ErrorKind::CrossesDevices | io::ErrorKind::ResourceBusy => {
            "mount the directory that it is in, rather than the file alone"
        }
        _ => "its directory must be writable for the user who runs Towpath",
    };
    Error::unavailable(format!(
        "the platform's key in {file} cannot be changed: {error}"
    ))
    .remedy(kernel::error::disk_remedy(error, remedy))
}
