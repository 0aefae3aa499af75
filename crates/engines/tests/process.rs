//! What only the process engine does.

mod support;

use std::path::{Path, PathBuf};

use delivery::engine::{LogQuery, Objection, Phase, Port, ReleaseRef};
use serde_json::{Value, json};
use support::{Subject, container, id, port};

#[tokio::test(flavor = "multi_thread")]
async fn tells_what_it_cannot_honour_before_anything_is_made() {
    let directory = tempfile::tempdir().unwrap();
    let subject = support::process(directory.path()).await;
    let rules = |container: &str| -> Vec<(bool, String, String)> {
        let objections = subject.engine.check(&support::workload(container));
        (objections.into_iter())
            .map(|objection| match objection {
                Objection::Refuse(problem) => (true, problem.rule, problem.path),
                Objection::Warn(problem) => (false, problem.rule, problem.path),
            })
            .collect()
    };
    let objection_at = |refused, rule: &str, field: &str| {
        vec![(
            refused,
            format!("engine/{rule}"),
            format!("containers.main.{field}"),
        )]
    };
    let objection = |refused, rule: &str| objection_at(refused, rule, "image");
    assert_eq!(rules(r#"{"image": "/bin/busybox"}"#), vec![]);
    assert_eq!(rules(r#"{"image": "nginx:1"}"#), objection(true, "program"));
    let file = directory.path().join("file");
    std::fs::write(&file, "no program").unwrap();
    let image = format!(r#"{{"image": "{}"}}"#, file.display());
    assert_eq!(rules(&image), objection(true, "program"));
    let command = format!(r#"{{"image": ".", "command": ["{}"]}}"#, file.display());
    assert_eq!(rules(&command), objection_at(true, "program", "command.0"));
    for container in [&image, &command] {
        let told = subject.engine.check(&support::workload(container));
        let [Objection::Refuse(problem)] = told.as_slice() else {
            panic!("{told:?}");
        };
        let remedy = format!("run `chmod +x {}`", file.display());
        assert_eq!(problem.remedy.as_deref(), Some(remedy.as_str()));
    }
    assert_eq!(
        rules(r#"{"image": "nginx:1", "command": ["sh"]}"#),
        objection(false, "image-unused")
    );
    assert_eq!(
        rules(r#"{"image": ".", "command": ["no-such-program"]}"#),
        objection_at(true, "program", "command.0")
    );
    // It starts in a directory of its own, whatever there is where the platform runs.
    let relative =
        |more: &str| format!(r#"{{"image": "/bin/busybox", "command": ["./Cargo.toml"]{more}}}"#);
    assert_eq!(
        rules(&relative("")),
        objection_at(true, "program", "command.0")
    );
    let brought = relative(r#", "files": {"Cargo.toml": {"content": "x"}}"#);
    assert_eq!(rules(&brought), vec![]);
    let probe = |more: &str, program: &str| {
        format!(
            r#"{{"image": "/bin/busybox", "readinessProbe": {{"exec": {{"command": ["{program}"]}}}}{more}}}"#
        )
    };
    assert_eq!(
        rules(&probe("", "no-such-program")),
        objection_at(true, "program", "readinessProbe.exec.command.0")
    );
    assert_eq!(rules(&probe("", "sh")), vec![]);
    assert_eq!(rules(&probe("", "./made-by-it")), vec![]);
    let own = r#", "variables": {"PATH": "/opt/own"}"#;
    assert_eq!(rules(&probe(own, "no-such-program")), vec![]);
    // That the image is to be given is told of it on every engine.
    assert_eq!(rules(r#"{"image": "."}"#), vec![]);
    assert_eq!(
        support::refused_targets(&*subject.engine, "/bin/busybox"),
        support::NO_PLACES
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_port_that_the_program_is_not_told_is_warned_of() {
    let directory = tempfile::tempdir().unwrap();
    let subject = support::process(directory.path()).await;
    let port = json!({ "port": 80, "targetPort": 8080 });
    let warned = |port: &Value, fixed: Option<&str>, container: Value| {
        let mut workload = json!({
            "apiVersion": "score.dev/v1b1",
            "metadata": { "name": "it" },
            "service": { "ports": { "web-in": port } },
            "containers": { "main": container },
        });
        workload["containers"]["main"]["image"] = json!("/bin/busybox");
        if let Some(fixed) = fixed {
            workload["metadata"]["annotations"] = json!({ "towpath.dev/fixed-port": fixed });
        }
        let workload = serde_json::from_value(workload).unwrap();
        let objections = subject.engine.check(&workload).into_iter();
        let warned = objections.filter_map(|objection| match objection {
            Objection::Warn(problem) if problem.rule == "engine/target-port" => Some(problem),
            _ => None,
        });
        warned.collect::<Vec<_>>()
    };
    let plain = warned(&port, None, json!({}));
    let [problem] = plain.as_slice() else {
        panic!("{plain:?}");
    };
    assert_eq!(problem.path, "service.ports.web-in.targetPort");
    assert!(problem.message.contains("PORT_WEB_IN"), "{problem:?}");
    let remedy = problem.remedy.as_deref().unwrap();
    assert!(remedy.contains("towpath.dev/fixed-port"), "{remedy}");
    // Its own variable is given in place of the engine's.
    let own = json!({ "variables": { "PORT": "8080", "PGPORT": "5432" } });
    assert_eq!(warned(&port, None, own).len(), 1);

    assert_eq!(warned(&port, Some("true"), json!({})), []);
    assert_eq!(warned(&port, Some("false"), json!({})), []);
    assert_eq!(warned(&json!({ "port": 8080 }), None, json!({})), []);
    let same = json!({ "port": 9000, "targetPort": 9000 });
    let script = json!({ "command": ["sh", "server.py"] });
    assert_eq!(warned(&same, None, script).len(), 1);
    let reads = json!({ "args": ["httpd", "-p", "$PORT"] });
    assert_eq!(warned(&port, None, reads), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_below_each_others_directories_leave_nothing_on_the_machine() {
    let directory = tempfile::tempdir().unwrap();
    let subject = support::process(directory.path()).await;
    // A directory of this machine with one below it, as /etc has.
    let machine = tempfile::tempdir().unwrap();
    let outer = machine.path().display().to_string();
    std::fs::create_dir_all(machine.path().join("inner/innermost")).unwrap();
    std::fs::write(machine.path().join("inner/there"), "of the machine\n").unwrap();
    let id = id("below", 1);
    let mut main = container(&format!(
        "cat {outer}/a {outer}/inner/b {outer}/inner/innermost/deep/c {outer}/inner/there \
         {outer}/volume/d; echo done; exec sleep 1000"
    ));
    let file = |target: &str| delivery::engine::File {
        target: format!("{outer}/{target}").into(),
        mode: 0o644,
        content: kernel::Secret::from(format!("file {target}\n")),
    };
    main.files = ["a", "inner/b", "inner/innermost/deep/c", "volume/d"]
        .map(file)
        .into();
    main.volumes = vec![delivery::engine::Mount {
        source: subject.volumes.clone(),
        path: "fixed".into(),
        target: format!("{outer}/volume").into(),
        read_only: true,
    }];
    let release = subject.release(&id, &[("main", main)]);
    subject.engine.apply(&release).await.unwrap();
    let lines = subject.logged("below", "done").await;
    assert_eq!(
        lines,
        [
            "file a",
            "file inner/b",
            "file inner/innermost/deep/c",
            "of the machine",
            "file volume/d",
            "done"
        ]
    );
    subject.removed(&id).await;
    let left: Vec<_> = walk(machine.path());
    assert_eq!(left, ["inner", "inner/innermost", "inner/there"]);
    assert_eq!(walk(&subject.volumes.join("fixed")), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_platform_and_what_runs_beside_are_out_of_reach() {
    let directory = tempfile::tempdir().unwrap();
    let subject = support::process(directory.path()).await;
    let token = directory.path().join("platform/admin.token");
    std::fs::write(&token, "a token").unwrap();
    let token = token.display();
    let other = std::process::id();
    let tries = format!(
        "cat {token}; ls {data}; cat /proc/{other}/root{token}; cat /proc/{other}/environ; \
         umount {data}; kill -0 {other}; echo own > file; cat file; pwd",
        data = directory.path().join("platform").display(),
    );
    // A probe is the workload's program as well.
    let probe = format!("! cat {token} && ! cat /proc/{other}/environ && ! kill -0 {other}");
    let id = id("walls", 1);
    let mut main = container(&format!("({tries}) 2>&1; echo done; exec sleep 1000"));
    main.readiness = Some(delivery::engine::Probe::Exec {
        command: ["sh", "-c", &probe].map(String::from).into(),
    });
    let release = subject.release(&id, &[("main", main)]);
    subject.engine.apply(&release).await.unwrap();
    let lines = subject.logged("walls", "done").await;
    let (own, refused) = (&lines[lines.len() - 3..], &lines[..lines.len() - 3]);
    let work = directory.path().join("platform/run/dev/walls/1/main/work");
    assert_eq!(own, ["own", work.to_str().unwrap(), "done"]);
    // Of the data directory nothing is there but the way to its own working directory.
    assert_eq!(refused.len(), 6, "{refused:#?}");
    assert_eq!(refused[1], "run");
    for (number, why) in [
        (0, "No such file"),
        (2, "Permission denied"),
        (3, "Permission denied"),
        (4, "Operation not permitted"),
        (5, "Operation not permitted"),
    ] {
        assert!(refused[number].contains(why), "{refused:#?}");
    }
    subject.ready(&id).await;
    subject.removed(&id).await;
}

/// All that is below `directory`, sorted.
fn walk(directory: &std::path::Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut next = vec![directory.to_owned()];
    while let Some(path) = next.pop() {
        for entry in std::fs::read_dir(&path).unwrap().flatten() {
            let path = entry.path();
            found.push(path.strip_prefix(directory).unwrap().display().to_string());
            if path.is_dir() {
                next.push(path);
            }
        }
    }
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn says_so_when_a_program_listens_elsewhere() {
    let directory = tempfile::tempdir().unwrap();
    let subject = support::process(directory.path()).await;
    let free = testkit::free_port();
    let other = free.number();
    let id = id("elsewhere", 1);
    let script = format!("exec /bin/busybox httpd -f -p 127.0.0.1:{other}");
    let mut release = subject.release(&id, &[("web", container(&script))]);
    release.ports = port();
    subject.engine.apply(&release).await.unwrap();
    let told = format!("the program listens on {other}");
    let state = subject
        .until(&id, |state| state.message.contains(&told))
        .await;
    assert_eq!(state.phase, Phase::Starting);
    assert!(state.message.contains("PORT"), "{}", state.message);
    subject.removed(&id).await;

    // With fixed ports that is where it is served.
    release.id.release = 2;
    release.fixed_ports = true;
    release.ports.insert(
        "web".into(),
        Port {
            port: 80,
            target: other,
            udp: false,
        },
    );
    subject.engine.apply(&release).await.unwrap();
    let state = subject.ready(&release.id).await;
    assert_eq!(state.endpoints["web"].port(), other);
    subject.removed(&release.id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gives_programs_no_variables_of_the_platform() {
    let directory = tempfile::tempdir().unwrap();
    let subject = support::process(directory.path()).await;
    let id = id("variables", 1);
    let mut release = subject.release(
        &id,
        &[("main", container("env; echo done; exec sleep 1000"))],
    );
    release.ports = port();
    release
        .containers
        .get_mut("main")
        .unwrap()
        .variables
        .insert("PORT".into(), "1".into());
    subject.engine.apply(&release).await.unwrap();
    subject.logged("variables", "done").await;
    let lines = subject.lines("variables", LogQuery::default()).await;
    assert!(
        lines.iter().any(|line| line == "PORT=1"),
        "the workload's own goes first: {lines:?}"
    );
    assert!(
        lines.iter().any(|line| line.starts_with("PORT_WEB=")),
        "{lines:?}"
    );
    assert!(
        !lines.iter().any(|line| line.starts_with("CARGO")),
        "{lines:?}"
    );
    subject.removed(&id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_removed_can_run_again() {
    let directory = tempfile::tempdir().unwrap();
    let subject = support::process(directory.path()).await;
    let id = id("again", 1);
    let release = subject.release(&id, &[("main", container("echo run; exec sleep 1000"))]);
    subject.engine.apply(&release).await.unwrap();
    let first = subject.ready(&id).await;
    subject.removed(&id).await;
    subject.engine.apply(&release).await.unwrap();
    let second = subject.ready(&id).await;
    assert_ne!(
        first.containers["main"].handle,
        second.containers["main"].handle
    );
    subject.removed(&id).await;
}

/// Files that take their time to be written.
const MANY: usize = 10_000;

/// Applies a release of many files; returns when the first are written, with the directory that they are in.
async fn preparing(subject: &Subject, directory: &Path, id: &ReleaseRef) -> PathBuf {
    let mut main = container("exec sleep 1000");
    let file = |number: usize| delivery::engine::File {
        target: number.to_string().into(),
        mode: 0o600,
        content: kernel::Secret::from("a secret"),
    };
    main.files = (0..MANY).map(file).collect();
    let release = subject.release(id, &[("main", main)]);
    subject.engine.apply(&release).await.unwrap();
    let work = directory.join(format!("platform/run/dev/{}/1/main/work", id.workload));
    testkit::eventually("it is prepared", testkit::PATIENCE, async || {
        std::fs::read_dir(&work).ok()?.next().map(drop)
    })
    .await;
    work
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_removed_while_it_is_prepared_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let subject = support::process(directory.path()).await;
    let id = id("unready", 1);
    preparing(&subject, directory.path(), &id).await;
    subject.removed(&id).await;
    assert!(!directory.path().join("platform/run/dev").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_stood_down_prepares_nothing_any_more() {
    let directory = tempfile::tempdir().unwrap();
    let subject = support::process(directory.path()).await;
    let id = id("unready", 1);
    let work = preparing(&subject, directory.path(), &id).await;
    subject.engine.stand_down().await;
    assert_eq!(std::fs::read_dir(&work).unwrap().count(), MANY);
    subject.removed(&id).await;
}
