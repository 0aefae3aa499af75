//! Starts, probes, restarts and their order.

use delivery::engine::{Before, LogQuery, Phase, Probe};

use crate::support::{Subject, container, http_probe, id, port, serves};

pub(crate) async fn what_ends_is_started_again(subject: Subject) {
    let id = id("crashes", 1);
    let release = subject.release(&id, &[("main", container("echo run; exit 3"))]);
    subject.engine.apply(&release).await.expect("applies");
    let state = subject
        .until(&id, |state| {
            assert_ne!(state.phase, Phase::Ready);
            state.containers["main"].restarts >= 2
        })
        .await;
    assert_eq!(
        state.containers["main"].last_exit.as_deref(),
        Some("exit code 3")
    );
    let state = subject
        .until(&id, |state| !state.containers["main"].running)
        .await;
    assert_eq!(state.phase, Phase::Restarting);
    assert!(state.message.contains("exit code 3"), "{}", state.message);
    let runs = subject.lines("crashes", LogQuery::default()).await;
    assert!(runs.len() >= 3, "{runs:?}");
    subject.removed(&id).await;
}

pub(crate) async fn what_is_not_alive_is_started_again(subject: Subject) {
    let id = id("not-alive", 1);
    let mut main = container(&serves("echo run"));
    main.liveness = Some(Probe::Exec {
        command: vec![
            "/bin/busybox".into(),
            "test".into(),
            "-e".into(),
            "www/index.html".into(),
        ],
    });
    main.readiness = http_probe("/index.html");
    let mut release = subject.release(&id, &[("main", main)]);
    // It dies of its own doing: the file that keeps it alive goes after the first start.
    let script =
        serves("echo run; [ -e second ] || (touch second; sleep 2; rm www/index.html) & true");
    release
        .containers
        .get_mut("main")
        .expect("is there")
        .command[3] = script;
    release.ports = port();
    subject.engine.apply(&release).await.expect("applies");
    subject.ready(&id).await;
    let state = subject
        .until(&id, |state| state.containers["main"].restarts >= 1)
        .await;
    let why = state.containers["main"]
        .last_exit
        .clone()
        .expect("has ended");
    assert!(why.starts_with("liveness probe failed"), "{why}");
    subject.ready(&id).await;
    subject.removed(&id).await;
}

pub(crate) async fn gets_ready_and_unready(subject: Subject) {
    let id = id("readiness", 1);
    let mut main = container(&serves("sleep 1"));
    main.readiness = http_probe("/ready");
    let script = main.command[3].replace(
        "exec",
        "(sleep 1; echo yes > www/ready; sleep 2; rm www/ready) & exec",
    );
    main.command[3] = script;
    let mut release = subject.release(&id, &[("main", main)]);
    release.ports = port();
    subject.engine.apply(&release).await.expect("applies");
    let state = subject
        .until(&id, |state| state.message.contains("404"))
        .await;
    assert_eq!(state.phase, Phase::Starting);
    subject.ready(&id).await;
    subject
        .until(&id, |state| state.phase != Phase::Ready)
        .await;
    assert_eq!(subject.state(&id).await.containers["main"].restarts, 0);
    subject.removed(&id).await;
}

pub(crate) async fn starts_in_order(subject: Subject) {
    let id = id("order", 1);
    let mut migrate = container("sleep 1; echo migrated");
    migrate.before.insert("web".into(), Before::Complete);
    let web = container("echo web starts; exec sleep 1000");
    let release = subject.release(&id, &[("migrate", migrate), ("web", web)]);
    subject.engine.apply(&release).await.expect("applies");
    let waits = subject
        .until(&id, |state| state.containers["migrate"].running)
        .await;
    assert!(!waits.containers["web"].running, "{waits:#?}");
    let state = subject.ready(&id).await;
    assert!(!state.containers["migrate"].running && state.containers["web"].running);
    let lines = subject.lines("order", LogQuery::default()).await;
    assert_eq!(
        lines.iter().filter(|line| *line == "migrated").count(),
        1,
        "{lines:?}"
    );
    subject.removed(&id).await;
}

pub(crate) async fn what_cannot_start_says_why(subject: Subject) {
    let id = id("cannot", 1);
    let mut main = container("");
    main.command = vec!["/no/such/program".into()];
    subject
        .engine
        .apply(&subject.release(&id, &[("main", main)]))
        .await
        .expect("applies");
    let state = subject
        .until(&id, |state| {
            assert_ne!(state.phase, Phase::Ready);
            state.phase == Phase::Failed
        })
        .await;
    assert!(
        state.lasting && state.message.contains("/no/such/program"),
        "{state:#?}"
    );
    subject.removed(&id).await;
}
