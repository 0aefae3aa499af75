//! What only the Docker engine does.

mod support;

use std::time::Duration;

use delivery::engine::{Engine as _, Objection, Phase};
use support::{container, id};
use towpath_engines::docker::DockerEngine;

/// Needs no daemon: nothing is made.
#[tokio::test]
async fn tells_what_it_cannot_honour_before_anything_is_made() {
    let directory = tempfile::tempdir().unwrap();
    let config = support::docker_config(uuid::Uuid::now_v7(), directory.path());
    let engine = DockerEngine::new(config);
    let refused = |container: &str| -> Vec<(String, String)> {
        let refused =
            (engine.check(&support::workload(container)).into_iter()).filter_map(|objection| {
                match objection {
                    Objection::Refuse(problem) => Some((problem.rule, problem.path)),
                    Objection::Warn(_) => None,
                }
            });
        refused.collect()
    };
    assert_eq!(refused(r#"{"image": "busybox:1"}"#), []);
    let image = (
        "engine/image".to_owned(),
        "containers.main.image".to_owned(),
    );
    assert_eq!(refused(r#"{"image": "/bin/busybox"}"#), [image]);
    assert_eq!(
        support::refused_targets(&engine, "busybox:1"),
        support::NO_PLACES
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_comes_later_is_connected_to_and_one_that_goes_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let Some(subject) = support::docker(directory.path()).await else {
        return;
    };
    let _cleaned = support::Cleaned(subject.platform);
    let socket = testkit::servers::docker().unwrap();
    let link = directory.path().join("docker.sock");
    let mut config = support::docker_config(subject.platform, directory.path());
    config.host = Some(format!("unix://{}", link.display()));
    let engine = DockerEngine::new(config);
    let subject = support::Subject {
        engine: std::sync::Arc::new(engine),
        ..subject
    };

    let id = id("later", 1);
    let release = subject.release(&id, &[("main", container("exec sleep 1000"))]);
    let error = subject.engine.apply(&release).await.unwrap_err();
    assert!(error.retry && error.remedy.unwrap().contains("start the Docker daemon"));
    let waits = |subject: &support::Subject| {
        let score = r#"{"apiVersion": "score.dev/v1b1", "metadata": {"name": "it"},
            "containers": {"main": {"image": "busybox:1"}}}"#;
        let objections = subject.engine.check(&serde_json::from_str(score).unwrap());
        let away = |it: &Objection| matches!(it, Objection::Warn(it) if it.rule == "engine/away");
        objections.iter().any(away)
    };
    assert!(waits(&subject));

    std::os::unix::fs::symlink(&socket, &link).unwrap();
    subject.engine.apply(&release).await.unwrap();
    assert!(!waits(&subject));
    let before = subject.ready(&id).await;

    // Away, and a container ends meanwhile: it is started again when the daemon is back.
    std::fs::remove_file(&link).unwrap();
    assert!(subject.engine.list().await.is_err());
    subject.end(&before.containers["main"]);
    tokio::time::sleep(Duration::from_millis(200)).await;
    std::os::unix::fs::symlink(&socket, &link).unwrap();
    subject
        .until(&id, |state| {
            state.phase == Phase::Ready && state.containers["main"].restarts == 1
        })
        .await;
    subject.removed(&id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_cannot_be_pulled_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let Some(mut subject) = support::docker(directory.path()).await else {
        return;
    };
    let _cleaned = support::Cleaned(subject.platform);
    subject.image = "127.0.0.1:1/towpath-test/absent:1".into();
    let id = id("absent", 1);
    let release = subject.release(&id, &[("main", container("true"))]);
    subject.engine.apply(&release).await.unwrap();
    let wanted = "docker pull 127.0.0.1:1/towpath-test/absent:1";
    let state = subject
        .until(&id, |state| state.message.contains(wanted))
        .await;
    assert!(state.message.contains("cannot pull"), "{}", state.message);
    subject.removed(&id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_has_one_network_whoever_asks_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let Some(subject) = support::docker(directory.path()).await else {
        return;
    };
    let _cleaned = support::Cleaned(subject.platform);
    let replica = subject.replica().await;
    let asked = (0..16).map(|i| {
        let engine = if i % 2 == 0 { &subject } else { &replica };
        let engine = std::sync::Arc::clone(&engine.engine);
        tokio::spawn(async move { engine.machine_host("dev").await })
    });
    let asked: Vec<_> = asked.collect();
    for answer in asked {
        answer.await.unwrap().unwrap();
    }
    // Whichever was asked last has seen all of them.
    let host = subject.engine.machine_host("dev").await.unwrap();
    assert_eq!(replica.engine.machine_host("dev").await.unwrap(), host);
    let filter = format!("label=dev.towpath.platform={}", subject.platform);
    let listed = std::process::Command::new("docker")
        .args(["network", "ls", "--quiet", "--filter", &filter])
        .output();
    let listed = String::from_utf8(listed.unwrap().stdout).unwrap();
    assert_eq!(listed.lines().count(), 1, "{listed}");
}
