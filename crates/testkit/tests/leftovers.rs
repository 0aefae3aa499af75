//! No program of a test survives it, nor do its control groups.

use std::{
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::{Child, Command, Stdio},
};

use towpath_testkit::{leftovers::Leftovers, servers};

fn sleeper(works_in: &Path, writes_to: Stdio) -> Child {
    Command::new("sleep")
        .arg("600")
        .current_dir(works_in)
        .stdin(Stdio::null())
        .stdout(writes_to)
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts")
}

#[test]
fn what_works_or_writes_in_the_directory_ends_with_the_value_and_nothing_else_does() {
    let [ours, others] = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
    let log = std::fs::File::create(ours.path().join("log")).expect("a file");
    let mut works = sleeper(ours.path(), Stdio::null());
    let mut writes = sleeper(Path::new("/"), log.into());
    let mut stranger = sleeper(others.path(), Stdio::null());

    drop(Leftovers::of(ours.path()));
    for child in [&mut works, &mut writes] {
        let ended = child.wait().expect("it is our child");
        assert_eq!(ended.signal(), Some(9));
    }
    let runs = stranger.try_wait().expect("it is our child").is_none();
    stranger.kill().expect("it runs");
    stranger.wait().expect("it is our child");
    assert!(runs, "another's is left alone");
}

#[test]
fn the_control_groups_of_what_ends_go_with_it() {
    let ours = tempfile::tempdir().expect("a directory");
    // Each controller has a hierarchy of its own, or all are in one.
    let root = Path::new("/sys/fs/cgroup");
    let memory = root.join("memory");
    let root = if memory.is_dir() {
        memory.as_path()
    } else {
        root
    };
    let platform = root.join(format!("towpath-test-{}", std::process::id()));
    let [used, empty] = ["used", "empty"].map(|name| platform.join(name));
    let made = [&platform, &used, &empty]
        .into_iter()
        .try_for_each(std::fs::create_dir);
    if servers::require("cgroups", made.map_err(|error| error.to_string())).is_none() {
        return;
    }
    let mut works = sleeper(ours.path(), Stdio::null());
    std::fs::write(used.join("cgroup.procs"), works.id().to_string()).expect("it joins");

    drop(Leftovers::of(ours.path()));
    works.wait().expect("it is our child");
    assert!(!platform.exists());
}
