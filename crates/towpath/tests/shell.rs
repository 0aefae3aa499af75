//! The command line in a shell: what is piped into it, what is seen on a terminal, what it completes.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod site;

use std::{
    fs,
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use site::{
    Site,
    work::{self, Ended},
};
use tokio::io::AsyncWriteExt as _;

/// Runs a command of the platform's person with `text` piped into it.
async fn piped(site: &Site, arguments: &[&str], text: &str) -> Ended {
    let mut child = tokio::process::Command::new(env!("CARGO_BIN_EXE_towpath"))
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("TOWPATH_DATA", &site.data)
        .env("TOWPATH_SERVER", site.server())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(text.as_bytes()).await.unwrap();
    drop(stdin);
    child.wait_with_output().await.unwrap().into()
}

fn hello() -> Value {
    work::score(
        "hello",
        &json!({ "START_AFTER": "500" }),
        &json!({ "files": { "type": "s3" } }),
    )
}

#[tokio::test]
async fn what_is_piped_in_is_applied_whatever_it_is() {
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    let _running = site.start().await;
    let role = r#"{ "apiVersion": "towpath.dev/v1", "kind": "EnvironmentRole",
        "metadata": { "name": "trial" }, "spec": {} }"#;
    for text in [role, &hello().to_string()] {
        let ended = piped(&site, &["apply", "-f", "-"], text).await;
        assert_eq!(ended.code, 0, "{ended:?}");
    }
    assert_eq!(site.get("hello.dev.localhost").await.unwrap().0, 200);
    let ended = piped(&site, &["deploy", "-"], &hello().to_string()).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let ended = piped(&site, &["apply", "-f", "-"], "").await;
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.err.contains("there is no document"), "{ended:?}");
}

#[tokio::test]
async fn nothing_is_applied_of_files_with_a_mistake_in_any() {
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    let _running = site.start().await;
    let desk = tempfile::tempdir().unwrap();
    let write = |name: &str, document: &Value| {
        let path = desk.path().join(name);
        fs::write(&path, document.to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let definition = json!({
        "apiVersion": "towpath.dev/v1", "kind": "ResourceDefinition",
        "metadata": { "name": "greeting" },
        "spec": { "type": "greeting", "provisioner": "template", "params": { "outputs": { "word": "hello" } } },
    });
    let definition = write("definitions.yaml", &definition);
    let mut score = hello();
    score["containers"]["main"]["imge"] = "x".into();
    score["containers"]["main"]["files"] = json!({ "/etc/hello": { "source": "away.txt" } });
    let score = write("score.yaml", &score);
    let ended = site.cli(&["apply", "-f", &definition, "-f", &score]).await;
    assert_eq!(ended.code, 3, "{ended:?}");
    for rule in ["score/unknown-field", "score/source"] {
        assert!(ended.err.contains(rule), "{rule}: {ended:?}");
    }
    let found = site.cli(&["get", "definition", "greeting"]).await;
    assert_eq!(found.code, 4, "nothing was sent: {found:?}");
}

/// What a person sees who runs this in a terminal.
fn seen_on_a_terminal(site: &Site, arguments: &[&str]) -> String {
    let words = [&[env!("CARGO_BIN_EXE_towpath")][..], arguments].concat();
    let line = format!("stty cols 120 rows 40; exec {}", words.join(" "));
    let output = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("TERM", "xterm-256color")
        .env("TOWPATH_DATA", &site.data)
        .env("TOWPATH_SERVER", site.server())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let seen = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{seen}");
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_shows_progress_as_it_happens() {
    let script = testkit::servers::program("script");
    if testkit::servers::require("script", script).is_none() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    let _running = site.start().await;
    let desk = tempfile::tempdir().unwrap();
    let score = desk.path().join("score.yaml");
    fs::write(&score, hello().to_string()).unwrap();
    let seen = seen_on_a_terminal(&site, &["deploy", score.to_str().unwrap()]);

    // Drawn over itself: a line for each thing that changes, first with a spinner, then with its mark.
    let is_line = |mark: &str, subject: &str| {
        seen.split(['\r', '\n'])
            .any(|line| line.contains(mark) && line.contains(subject))
    };
    assert!(seen.contains("\u{1b}["), "{seen:?}");
    for subject in ["resource s3.default#hello.files", "workload hello"] {
        assert!(
            is_line("⠁", subject) || is_line("⠋", subject) || is_line("⠙", subject),
            "{subject}: {seen:?}"
        );
        assert!(is_line("✓", subject), "{subject}: {seen:?}");
    }
    assert!(is_line("waiting for", "hello"), "{seen:?}");
    // What lasts is the last that is said.
    let (_, after) = seen.rsplit_once('✓').unwrap();
    let url = format!("http://hello.dev.localhost:{}", site.gateway);
    assert!(after.contains(&url), "{seen:?}");
    assert!(!seen.contains("[ 0."), "no lines of a log: {seen:?}");
}

#[test]
fn every_shell_gets_its_completion() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = Command::new(env!("CARGO_BIN_EXE_towpath"))
            .args(["completion", shell])
            .output()
            .unwrap();
        assert!(output.status.success(), "{shell}: {output:?}");
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(script.contains("service-account"), "{shell}");
        if shell == "bash" {
            let desk = tempfile::tempdir().unwrap();
            let path = desk.path().join("completion");
            fs::write(&path, script).unwrap();
            let read = Command::new("bash").arg("-n").arg(&path).output().unwrap();
            assert!(read.status.success(), "{read:?}");
        }
    }
}
