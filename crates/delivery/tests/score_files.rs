//! Files beside the Score file.

use std::{fs, os::unix::fs::symlink, path::Path};

use kernel::Problem;
use tempfile::TempDir;
use towpath_delivery::score::{self, Document, Limits, Source};

fn document(sources: &[(&str, &str)]) -> Document {
    let mut text =
        "apiVersion: score.dev/v1b1\nmetadata: {name: files}\ncontainers:\n  main:\n    \
                    image: example/main:1\n    files:\n"
            .to_owned();
    for (index, (source, more)) in sources.iter().enumerate() {
        text.push_str(&format!("      /f{index}: {{source: '{source}'{more}}}\n"));
    }
    let source = Source {
        name: "score.yaml".into(),
        bytes: text.into(),
    };
    score::parse(&source, &Limits::default()).unwrap().remove(0)
}

fn inline(base: &Path, sources: &[(&str, &str)]) -> Result<Document, Vec<Problem>> {
    let mut document = document(sources);
    score::inline_sources(&mut document, base, &Limits::default()).map(|()| document)
}

#[test]
fn text_becomes_content_and_bytes_become_base64() {
    let dir = TempDir::new().unwrap();
    fs::create_dir(dir.path().join("conf")).unwrap();
    fs::write(dir.path().join("conf/a.txt"), "name = ${metadata.name}").unwrap();
    fs::write(dir.path().join("b.bin"), b"\xff\0\x01").unwrap();
    fs::write(dir.path().join("run.sh"), "echo ${HOME").unwrap();
    symlink("conf/a.txt", dir.path().join("link")).unwrap();
    let document = inline(
        dir.path(),
        &[
            ("./conf/a.txt", ", mode: '0600'"),
            ("b.bin", ""),
            ("run.sh", ", noExpand: true"),
            ("link", ""),
        ],
    )
    .unwrap();
    let files = &document.workload.containers["main"].files;
    assert!(files.values().all(|file| file.source.is_none()));
    assert_eq!(
        files["/f0"].content.as_deref(),
        Some("name = ${metadata.name}")
    );
    assert_eq!(files["/f0"].mode.as_deref(), Some("0600"));
    assert_eq!(files["/f1"].binary_content.as_deref(), Some("/wAB"));
    assert_eq!(files["/f2"].content.as_deref(), Some("echo ${HOME"));
    assert_eq!(files["/f3"].content, files["/f0"].content);
    let json = serde_json::to_value(&document.workload).unwrap();
    assert_eq!(score::validate(&json).unwrap(), document.workload);
}

#[test]
fn nothing_outside_the_directory_is_read_and_nothing_is_half_done() {
    let dir = TempDir::new().unwrap();
    let base = dir.path().join("app");
    fs::create_dir_all(base.join("sub")).unwrap();
    fs::write(dir.path().join("secret"), "canary-outside").unwrap();
    fs::write(base.join("good"), "good").unwrap();
    fs::write(base.join("large"), vec![b'x'; (1 << 20) + 1]).unwrap();
    fs::write(base.join("open"), "a\n  b ${resources.db").unwrap();
    symlink(dir.path().join("secret"), base.join("absolute-link")).unwrap();
    symlink("../secret", base.join("link")).unwrap();
    symlink("..", base.join("up")).unwrap();
    symlink("loop", base.join("loop")).unwrap();
    for (source, message) in [
        ("../secret", "leads out"),
        ("sub/../../secret", "leads out"),
        ("sub/../good", "leads out"),
        ("/etc/hostname", "leads out"),
        ("link", "leads out"),
        ("absolute-link", "leads out"),
        ("up/secret", "leads out"),
        ("sub", "not a regular file"),
        (".", "not a regular file"),
        ("missing", "cannot be read"),
        ("loop", "cannot be read"),
        ("large", "larger than 1048576"),
        ("open", "open:2:5"),
    ] {
        let sources = [("good", ""), (source, "")];
        let mut broken = document(&sources);
        let before = broken.workload.clone();
        let problems = score::inline_sources(&mut broken, &base, &Limits::default()).unwrap_err();
        assert_eq!(broken.workload, before, "{source}");
        assert_eq!(problems.len(), 1, "{source}");
        let problem = &problems[0];
        assert!(
            problem.message.contains(message),
            "{source}: {}",
            problem.message
        );
        assert!(!format!("{problem:?}").contains("canary"));
        assert_eq!(problem.path, "containers.main.files./f1.source");
        let at = problem.location.as_ref().unwrap();
        assert_eq!((at.line, at.length), (8, source.len() + 2), "{source}");
    }
}

#[test]
fn placeholders_of_files_are_checked_and_all_mistakes_told() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("a"), "${resources.db.host}").unwrap();
    let problems = inline(dir.path(), &[("a", ""), ("a", "")]).unwrap_err();
    assert_eq!(problems.len(), 2);
    assert!(problems[0].message.contains("no resource `db`"));
    assert_eq!(problems[0].location.as_ref().unwrap().line, 7);
    assert!(inline(dir.path(), &[("a", ", noExpand: true")]).is_ok());
    assert_eq!(
        inline(dir.path(), &[("x", ""), ("y", "")])
            .unwrap_err()
            .len(),
        2
    );
}
