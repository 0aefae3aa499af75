//! What `scripts/test` skips is said: a test that passes for want of its server is silent under most runners.

use std::{path::Path, process::Command};

/// What is said on a machine with no program at all.
fn said(variables: &[(&str, &str)]) -> String {
    let nothing = tempfile::tempdir().expect("a directory");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/servers");
    let output = Command::new("/bin/bash")
        .arg(script)
        .arg("skipped")
        .env_clear()
        .env("PATH", nothing.path())
        .env("HOME", nothing.path())
        .envs(variables.iter().copied())
        .output()
        .expect("bash runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn each_absent_server_has_its_line() {
    let all = said(&[]);
    for line in [
        "SKIP: node: not installed",
        "SKIP: docker: ",
        "SKIP: kubernetes: TOWPATH_TEST_CLUSTER names no program that starts a cluster",
    ] {
        assert!(
            all.lines().any(|one| one.starts_with(line)),
            "{line}: {all}"
        );
    }
}

#[test]
fn one_that_is_elsewhere_is_not_skipped() {
    let all = said(&[
        ("TOWPATH_TEST_DOCKER_URL", "unix:///elsewhere"),
        ("TOWPATH_TEST_CLUSTER", "/elsewhere"),
    ]);
    assert!(!all.contains("docker"), "{all}");
    assert!(!all.contains("kubernetes"), "{all}");
}
