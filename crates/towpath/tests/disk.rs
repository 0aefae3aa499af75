//! The disk of the data directory is full, read-only or taken away: said at once, with what to do, and
//! nothing is written where nobody finds it again.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod site;

use std::{path::Path, process::Command};

use site::{Site, work::Ended};

/// A small disk of its own; gone with the value.
struct Disk {
    directory: tempfile::TempDir,
}

impl Disk {
    /// None where this user may not mount.
    fn new(options: &str) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "towpath-test"])
            .arg(directory.path())
            .output();
        let found = match mounted {
            Ok(output) if output.status.success() => Ok(Self { directory }),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
            Err(error) => Err(error.to_string()),
        };
        testkit::servers::require("mount", found)
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // What a failed test has left running there would keep it mounted: detached, it goes with it.
        let _ = Command::new("umount")
            .arg("--lazy")
            .arg(self.path())
            .output();
    }
}

/// How `towpath up` ends on `data`, where it must not start.
async fn fails(data: &Path) -> Ended {
    let site = Site::new(data);
    let address = |port: u16| format!("127.0.0.1:{port}");
    let (api, gateway) = (address(site.api), address(site.gateway));
    let ended = site
        .cli(&["up", "--listen", &api, "--gateway-listen", &gateway])
        .await;
    assert_ne!(ended.code, 0, "{ended:?}");
    assert!(!ended.err.contains("panicked"), "{}", ended.err);
    let data = data.to_str().unwrap();
    assert!(ended.err.contains(data), "it says where: {}", ended.err);
    ended
}

#[tokio::test]
async fn a_full_disk_is_said_at_the_start() {
    let Some(disk) = Disk::new("size=512k") else {
        return;
    };
    let filler = std::fs::File::create(disk.path().join("filler")).unwrap();
    // All but a page or two, and then all of it.
    for left in [8 * 1024, 0] {
        let room = rustix::fs::statvfs(disk.path()).unwrap();
        let free = room.f_bavail * room.f_frsize;
        let length = filler.metadata().unwrap().len();
        let more = vec![0; usize::try_from(free.saturating_sub(left)).unwrap()];
        std::os::unix::fs::FileExt::write_all_at(&filler, &more, length).unwrap();
        let ended = fails(disk.path()).await;
        assert!(ended.err.contains("full"), "{}", ended.err);
        assert!(ended.err.contains("make room"), "{}", ended.err);
    }
    // With room again it starts, whatever the failed starts have left.
    filler.set_len(0).unwrap();
    std::fs::remove_file(disk.path().join("filler")).unwrap();
    let bigger = Command::new("mount")
        .args(["-o", "remount,size=64m"])
        .arg(disk.path())
        .status();
    assert!(bigger.unwrap().success());
    let running = Site::new(disk.path()).start().await;
    running.client().ready().await.unwrap();
}

#[tokio::test]
async fn a_read_only_disk_is_said_at_the_start() {
    let Some(disk) = Disk::new("size=1m,ro") else {
        return;
    };
    let ended = fails(disk.path()).await;
    assert!(ended.err.contains("Read-only"), "{}", ended.err);
    assert!(ended.err.contains("writable"), "{}", ended.err);
}

#[tokio::test]
async fn a_store_that_is_taken_away_is_missed_and_found_again() {
    let directory = tempfile::tempdir().unwrap();
    let site = Site::new(directory.path());
    let running = site.start().await;
    let (store, away) = (site.data.join("towpath.db"), site.data.join("away.db"));
    std::fs::rename(&store, &away).unwrap();

    let error = running.client().ready().await.unwrap_err().to_string();
    assert!(error.contains("taken away"), "{error}");
    assert!(error.contains(store.to_str().unwrap()), "{error}");
    let ended = site.cli(&["env", "create", "dev"]).await;
    assert_eq!(ended.code, 7, "{ended:?}");
    assert!(ended.err.contains("taken away"), "{ended:?}");
    assert!(!store.exists(), "nothing is made in its place");

    std::fs::rename(&away, &store).unwrap();
    testkit::eventually("it is ready again", testkit::PATIENCE, || async {
        running.client().ready().await.ok()
    })
    .await;
    let ended = site.cli(&["env", "create", "dev"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
}
