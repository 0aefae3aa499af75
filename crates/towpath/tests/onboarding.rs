//! A team's way through the platform, as `examples/onboarding/run` goes it: onboarded by a manager, a
//! member logs in and deploys, another leaves, a tool is edited by hand, a key is rotated.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A program of the workspace beside the command line.
fn program(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_BIN_EXE_towpath")).with_file_name(name);
    let found = if path.is_file() {
        Ok(path)
    } else {
        Err(format!("it is not built: `cargo build -p {name}`"))
    };
    testkit::servers::require(name, found)
}

#[tokio::test]
async fn a_team_goes_its_way_through_the_platform() {
    let (Some(notes), Some(noticeboard), Some(postgres)) = (
        program("notes"),
        program("noticeboard"),
        testkit::servers::postgres().await,
    ) else {
        return;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/onboarding/run");
    let mut command = Command::new(script);
    let ports = ["API", "GATEWAY", "S3", "BOARD"].map(|name| (name, testkit::free_port()));
    for (name, port) in &ports {
        command.env(name, port.to_string());
    }
    let ended = command
        .env("TOWPATH_BIN", env!("CARGO_BIN_EXE_towpath"))
        .env("NOTES_BIN", notes)
        .env("NOTICEBOARD_BIN", noticeboard)
        .env("TOWPATH_POSTGRES_URL", postgres)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    let complained = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{said}\n{complained}");
    assert!(said.ends_with("== All of it is so.\n"), "{said}");
    assert!(!said.contains("correct horse battery"), "{said}");
}
