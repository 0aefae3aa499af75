//! A platform that is killed at any moment leaves nothing that the next one does not find, and the
//! next one starts nothing twice.

#![allow(clippy::unwrap_used)] // Helpers of tests fail like tests.

mod support;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use delivery::engine::{File, Release};
use kernel::Secret;
use support::{Subject, container, http_probe, id, port, process_of, serves};
use uuid::Uuid;

fn release(subject: &Subject) -> Release {
    let mut web = container(&serves("echo run"));
    web.readiness = http_probe("/");
    web.files = vec![File {
        target: PathBuf::from("/towpath-test-killed/secret"),
        mode: 0o600,
        content: Secret::from("a canary"),
    }];
    let aside = container("echo run; exec sleep 1000");
    let mut release = subject.release(&id("killed", 1), &[("web", web), ("aside", aside)]);
    release.ports = port();
    release
}

/// The file by which the platform that is killed says that all runs.
const ALL_RUNS: &str = "all-runs";

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reached {
    Nothing,
    Part,
    All,
}

impl Reached {
    fn by(directory: &Path) -> Self {
        if directory.join(ALL_RUNS).exists() {
            Self::All
        } else if directory.join("platform/run/dev/killed/1").exists() {
            Self::Part
        } else {
            Self::Nothing
        }
    }
}

/// The platform that is killed: this test program once more, with the variables set.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "is run by the other tests as a process of its own"]
async fn platform() {
    let platform: Uuid = std::env::var("TEST_PLATFORM").unwrap().parse().unwrap();
    let directory = PathBuf::from(std::env::var("TEST_DIRECTORY").unwrap());
    let subject = process_of(platform, &directory).await;
    let release = release(&subject);
    subject.engine.apply(&release).await.unwrap();
    subject.ready(&release.id).await;
    fs::write(directory.join(ALL_RUNS), "").unwrap();
    std::future::pending::<()>().await;
}

/// The processes of each container, from the system's own list.
fn processes(platform: Uuid) -> BTreeMap<String, Vec<u32>> {
    let mut found: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
        let environment = String::from_utf8_lossy(&environment).into_owned();
        let marker = environment
            .split('\0')
            .find(|it| it.contains(&platform.to_string()));
        if let Some(container) = marker.and_then(|marker| marker.rsplit('/').next()) {
            found.entry(container.to_owned()).or_default().push(pid);
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_started_twice_whenever_the_platform_is_killed() {
    use Reached::{All, Nothing, Part};

    let mut met: BTreeMap<Reached, u32> = BTreeMap::new();
    for round in 0..40 {
        let directory = tempfile::tempdir().unwrap();
        let platform = Uuid::now_v7();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "platform"])
            .env("TEST_PLATFORM", platform.to_string())
            .env("TEST_DIRECTORY", directory.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // From before it has begun to after all runs; most often in the midst, each time a little later.
        let wanted = [Nothing, Part, Part, All][round % 4];
        let deadline = Instant::now() + testkit::PATIENCE;
        while Reached::by(directory.path()) < wanted {
            assert!(Instant::now() < deadline, "round {round}: not {wanted:?}");
            thread::sleep(Duration::from_millis(1));
        }
        if wanted == Part {
            thread::sleep(Duration::from_millis(round as u64 / 2));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        *met.entry(Reached::by(directory.path())).or_default() += 1;

        let subject = process_of(platform, directory.path()).await;
        let release = release(&subject);
        subject.engine.apply(&release).await.unwrap();
        let state = subject.ready(&release.id).await;
        let running = processes(platform);
        for (name, container) in &state.containers {
            let handle: u32 = container.handle.as_ref().unwrap().parse().unwrap();
            assert!(
                running[name].contains(&handle),
                "round {round}: {running:?}"
            );
            assert_eq!(container.restarts, 0, "round {round}");
            let lines = subject.logged_by("killed", name, "run").await;
            assert_eq!(lines, ["run"], "round {round}: {name}");
        }
        subject.removed(&release.id).await;
        assert_eq!(processes(platform), BTreeMap::new(), "round {round}");
        let left: Vec<_> = fs::read_dir(directory.path().join("platform/run"))
            .unwrap()
            .collect();
        assert!(left.is_empty(), "round {round}: {left:?}");
    }
    assert_eq!(met.len(), 3, "{met:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_platform_can_be_removed_from_without_knowing_what_ran() {
    let directory = tempfile::tempdir().unwrap();
    let subject = support::process(directory.path()).await;
    let platform = subject.platform;
    let release = release(&subject);
    subject.engine.apply(&release).await.unwrap();
    subject.ready(&release.id).await;
    drop(subject);
    // Even the record is gone.
    fs::remove_dir_all(directory.path().join("platform/run")).unwrap();
    let subject = process_of(platform, directory.path()).await;
    assert_eq!(
        subject.engine.list().await.unwrap(),
        vec![release.id.clone()]
    );
    subject.removed(&release.id).await;
    assert_eq!(processes(platform), BTreeMap::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_removes_control_groups_of_what_is_neither_there_nor_on_record() {
    let directory = tempfile::tempdir().unwrap();
    let subject = support::process(directory.path()).await;
    if !subject.makes_control_groups() {
        return;
    }
    let platform = subject.platform;
    let release = subject.release(&id("killed", 1), &[("main", container("exec sleep 1000"))]);
    subject.engine.apply(&release).await.unwrap();
    let state = subject.ready(&release.id).await;
    let pid = subject.pid(&state.containers["main"]);
    let (group, _) = support::control_group(pid, "memory");
    drop(subject);
    let members = || fs::read_to_string(group.join("cgroup.procs"));

    // It runs, and nobody has it on record.
    let [run, aside] = ["run", "aside"].map(|name| directory.path().join("platform").join(name));
    fs::rename(&run, &aside).unwrap();
    drop(process_of(platform, directory.path()).await);
    assert_eq!(members().unwrap().trim(), pid.to_string());

    // It has ended, and is on record: it is to run again.
    fs::rename(&aside, &run).unwrap();
    let ended = Command::new("kill").args(["-9", &pid.to_string()]).status();
    assert!(ended.unwrap().success());
    testkit::eventually("it has ended", testkit::PATIENCE, || async {
        members().unwrap().is_empty().then_some(())
    })
    .await;
    drop(process_of(platform, directory.path()).await);
    assert!(group.is_dir());

    // Neither. The kernel lets go of a group a moment after its last process has ended.
    fs::remove_dir_all(&run).unwrap();
    testkit::eventually("the groups are gone", testkit::PATIENCE, || async {
        drop(process_of(platform, directory.path()).await);
        (!group.parent().unwrap().exists()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_in_no_file_but_those_of_the_workload() {
    let directory = tempfile::tempdir().unwrap();
    let subject = support::process(directory.path()).await;
    let mut release = release(&subject);
    let web = release.containers.get_mut("web").unwrap();
    web.variables
        .insert("PASSWORD".into(), Secret::from("a bird in a mine"));
    subject.engine.apply(&release).await.unwrap();
    subject.ready(&release.id).await;
    let found = Command::new("grep")
        .args(["-rl", "a bird in a mine"])
        .arg(directory.path())
        .output();
    assert_eq!(String::from_utf8_lossy(&found.unwrap().stdout), "");
    subject.removed(&release.id).await;
    let found = Command::new("grep")
        .args(["-rl", "canary"])
        .arg(directory.path())
        .output();
    assert_eq!(String::from_utf8_lossy(&found.unwrap().stdout), "");
}
