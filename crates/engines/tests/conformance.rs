//! What every engine must do: one suite, run on each.

#![allow(clippy::print_stderr)] // Skips are told.

mod support;

use std::{path::PathBuf, time::Duration};

use delivery::engine::{Before, File, LogQuery, Mount, Phase, Probe};
use futures::StreamExt as _;
use kernel::Secret;
use support::{Subject, container, get, http_probe, id, port, serves};

async fn serves_at_its_endpoint(subject: Subject) {
    let id = id("serves", 1);
    let mut web = container(&serves("true"));
    web.readiness = http_probe("/");
    let mut release = subject.release(&id, &[("web", web)]);
    release.ports = port();
    let mut changes = subject.engine.changes();
    subject.engine.apply(&release).await.expect("applies");
    let state = subject.ready(&id).await;
    assert_eq!(get(state.endpoints["web"], "/").await, "hello");
    assert_eq!(state.digest, release.digest);
    assert!(state.containers["web"].running && state.containers["web"].ready);
    assert_eq!(changes.recv().await.expect("nudges"), id);
    assert_eq!(
        subject.engine.list().await.expect("lists"),
        vec![id.clone()]
    );

    // The same again: nothing happens.
    subject.engine.apply(&release).await.expect("applies");
    let again = subject.state(&id).await;
    assert_eq!(
        again.containers["web"].handle,
        state.containers["web"].handle
    );

    subject.removed(&id).await;
    assert_ne!(get(state.endpoints["web"], "/").await, "hello");
    subject
        .engine
        .remove(&id, Duration::ZERO)
        .await
        .expect("removing what is gone is no error");
}

async fn gives_environment_files_and_working_directory(subject: Subject) {
    let id = id("files", 1);
    let mut main = container(
        "echo var $GREETING; cat /etc/towpath-test/deep/app.conf; stat -c 'mode %a' \
         /etc/towpath-test/deep/app.conf; cat local.conf; ls /etc/hostname /bin/busybox; echo done; \
         exec sleep 1000",
    );
    main.variables
        .insert("GREETING".into(), Secret::from("good day"));
    let file = |target: &str, mode, content: &str| File {
        target: PathBuf::from(target),
        mode,
        content: Secret::from(content),
    };
    main.files = vec![
        file("/etc/towpath-test/deep/app.conf", 0o640, "absolute\n"),
        file("local.conf", 0o644, "relative\n"),
    ];
    subject
        .engine
        .apply(&subject.release(&id, &[("main", main)]))
        .await
        .expect("applies");
    let lines = subject.logged("files", "done").await;
    for wanted in [
        "var good day",
        "absolute",
        "mode 640",
        "relative",
        "/bin/busybox",
    ] {
        assert!(
            lines.iter().any(|line| line == wanted),
            "{wanted} is not in {lines:#?}"
        );
    }
    subject.removed(&id).await;
    assert!(
        !PathBuf::from("/etc/towpath-test").exists(),
        "a file was left on the machine"
    );
}

async fn volumes_keep_their_content(subject: Subject) {
    let source = subject.volumes.join("data");
    std::fs::create_dir_all(&source).expect("makes the volume");
    let mount = |path: &str, target: &str, read_only| Mount {
        source: source.clone(),
        path: PathBuf::from(path),
        target: PathBuf::from(target),
        read_only,
    };
    for release in [1, 2] {
        let id = id("volumes", release);
        let mut main = container(&format!(
            "echo {release} >> /towpath-data/log; cat /towpath-data/log; \
             echo below > /towpath-sub/file; \
             (echo x > /towpath-fixed/no) 2>/dev/null || echo refused; echo done {release}; \
             exec sleep 1000"
        ));
        main.volumes = vec![
            mount("", "/towpath-data", false),
            mount("sub/dir", "/towpath-sub", false),
            mount("", "/towpath-fixed", true),
        ];
        subject
            .engine
            .apply(&subject.release(&id, &[("main", main)]))
            .await
            .expect("applies");
        let lines = subject.logged("volumes", &format!("done {release}")).await;
        assert!(lines.iter().any(|line| line == "refused"), "{lines:#?}");
        subject.removed(&id).await;
    }
    let text = |name: &str| std::fs::read_to_string(source.join(name)).expect("reads the volume");
    assert_eq!(text("log"), "1\n2\n");
    assert_eq!(text("sub/dir/file"), "below\n");
    assert!(!source.join("no").exists());
}

async fn a_volume_cannot_lead_out_of_itself(subject: Subject) {
    let source = subject.volumes.join("leads-out");
    std::fs::create_dir_all(&source).expect("makes the volume");
    std::os::unix::fs::symlink("/", source.join("link")).expect("links");
    let id = id("leads-out", 1);
    let mut main = container("ls /towpath-data; exec sleep 1000");
    main.volumes = vec![Mount {
        source,
        path: PathBuf::from("link"),
        target: PathBuf::from("/towpath-data"),
        read_only: false,
    }];
    subject
        .engine
        .apply(&subject.release(&id, &[("main", main)]))
        .await
        .expect("applies");
    let state = subject
        .until(&id, |state| state.phase == Phase::Failed)
        .await;
    assert!(state.message.contains("/towpath-data"), "{}", state.message);
    subject.removed(&id).await;
}

async fn limits_are_kept(subject: Subject) {
    let id = id("limits", 1);
    let mut greedy = container("echo begins; x=x; while true; do x=$x$x; done");
    greedy.memory_limit_bytes = Some(32 << 20);
    greedy.cpu_limit_millis = Some(500);
    let release = subject.release(&id, &[("greedy", greedy)]);
    subject.engine.apply(&release).await.expect("applies");
    let state = subject
        .until(&id, |state| state.containers["greedy"].last_exit.is_some())
        .await;
    // Where this user may not make control groups, the allocation fails instead: the program's end.
    if subject.warns_of_limits() {
        eprintln!("SKIP: limits by control groups: this user may not make any");
    } else {
        let exit = state.containers["greedy"].last_exit.as_deref();
        assert_eq!(exit, Some("out of memory"));
    }
    assert_eq!(state.phase, Phase::Restarting);
    subject.removed(&id).await;
}

async fn what_ends_is_started_again(subject: Subject) {
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

async fn what_is_not_alive_is_started_again(subject: Subject) {
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

async fn gets_ready_and_unready(subject: Subject) {
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

async fn logs_are_read_and_followed(subject: Subject) {
    let id = id("logs", 1);
    let main = container(
        "for n in 1 2 3 4 5; do echo line $n; done; sleep 0.3; echo oops >&2; sleep 1; echo late; exec sleep 1000",
    );
    subject
        .engine
        .apply(&subject.release(&id, &[("main", main)]))
        .await
        .expect("applies");
    subject.logged("logs", "oops").await;
    let query = LogQuery {
        tail: Some(2),
        follow: true,
        ..LogQuery::default()
    };
    let followed = subject
        .engine
        .logs("dev", "logs", query)
        .await
        .expect("follows");
    let mut lines = Vec::new();
    let until_late = async {
        let mut followed = followed;
        while let Some(line) = followed.next().await {
            let last = line.line == "late";
            lines.push(line);
            if last {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), until_late)
        .await
        .expect("the late line comes");
    assert!(!lines.iter().any(|line| line.line == "line 1"), "{lines:?}");
    let oops = lines
        .iter()
        .find(|line| line.line == "oops")
        .expect("both streams");
    assert_eq!(
        (oops.stream.as_str(), oops.container.as_str(), oops.release),
        ("stderr", "main", 1)
    );
    let none = LogQuery {
        container: Some("other".into()),
        ..LogQuery::default()
    };
    assert!(subject.lines("logs", none).await.is_empty());
    subject.removed(&id).await;
    assert!(
        !subject.lines("logs", LogQuery::default()).await.is_empty()
            || subject.engine.name() == "docker"
    );
    subject.engine.forget("dev", "logs").await.expect("forgets");
    assert!(subject.lines("logs", LogQuery::default()).await.is_empty());
}

async fn two_releases_run_beside_each_other(subject: Subject) {
    let (old, new) = (id("two", 1), id("two", 2));
    for id in [&old, &new] {
        let mut release = subject.release(id, &[("web", container(&serves("true")))]);
        release.ports = port();
        subject.engine.apply(&release).await.expect("applies");
    }
    let (first, second) = (subject.ready(&old).await, subject.ready(&new).await);
    assert_ne!(first.endpoints, second.endpoints);
    subject.removed(&old).await;
    assert_eq!(get(second.endpoints["web"], "/").await, "hello");
    subject.removed(&new).await;
}

async fn starts_in_order(subject: Subject) {
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

async fn what_cannot_start_says_why(subject: Subject) {
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
        state.message.contains("/no/such/program"),
        "{}",
        state.message
    );
    subject.removed(&id).await;
}

async fn nothing_escapes_removal(subject: Subject) {
    let id = id("escapes", 1);
    // Without control groups it is by its environment that a process is known: then it keeps it.
    let cleared = if subject.warns_of_limits() {
        ""
    } else {
        "/bin/busybox env -i"
    };
    let mark = format!("60{}", std::process::id());
    let script = format!(
        "(setsid {cleared} /bin/busybox sh -c 'trap \"\" TERM; echo away; \
         while true; do /bin/busybox sleep {mark}; done' &); \
         trap '' TERM; while true; do sleep {mark}; done"
    );
    let release = subject.release(&id, &[("main", container(&script))]);
    subject.engine.apply(&release).await.expect("applies");
    subject.logged("escapes", "away").await;
    assert!(!support::running(&mark).is_empty());
    subject.removed(&id).await;
    assert_eq!(support::running(&mark), Vec::<String>::new());
}

async fn a_slow_stop_holds_up_no_other(subject: Subject) {
    let (slow, other) = (id("slow", 1), id("other", 1));
    let ignores = container("trap '' TERM; echo on; while true; do sleep 1; done");
    let release = subject.release(&slow, &[("main", ignores)]);
    subject.engine.apply(&release).await.expect("applies");
    subject.logged("slow", "on").await;
    let stop = subject.engine.remove(&slow, Duration::from_secs(20));
    let meanwhile = async {
        // Its stop has begun by then: the first thing that it does.
        tokio::task::yield_now().await;
        let quick = container("echo here; exec sleep 1000");
        let release = subject.release(&other, &[("main", quick)]);
        subject.engine.apply(&release).await.expect("applies");
        subject.logged("other", "here").await;
        let removed = subject.engine.remove(&other, Duration::ZERO);
        removed.await.expect("removes");
    };
    tokio::select! {
        biased;
        stopped = stop => panic!("the other had to wait: {stopped:?}"),
        () = meanwhile => {}
    }
    subject.removed(&slow).await;
}

async fn an_engine_that_starts_again_takes_over(subject: Subject) {
    let id = id("adopted", 1);
    let mut web = container(&serves("echo run"));
    web.readiness = http_probe("/");
    let mut once = container("echo migrated");
    once.before.insert("web".into(), Before::Complete);
    let mut release = subject.release(&id, &[("web", web), ("migrate", once)]);
    release.ports = port();
    subject.engine.apply(&release).await.expect("applies");
    let before = subject.ready(&id).await;

    let subject = subject.again().await;
    let adopted = subject.ready(&id).await;
    assert_eq!(adopted.digest, release.digest);
    subject.engine.apply(&release).await.expect("applies");
    let after = subject.ready(&id).await;
    assert_eq!(after.endpoints, before.endpoints);
    assert_eq!(
        after.containers["web"].handle,
        before.containers["web"].handle
    );
    let lines = subject.lines("adopted", LogQuery::default()).await;
    assert_eq!(lines, ["migrated", "run"], "something was started twice");

    // From now on it is started again when it ends.
    subject.end(&after.containers["web"]);
    let restarted = subject
        .until(&id, |state| state.containers["web"].restarts == 1)
        .await;
    assert!(restarted.containers["web"].last_exit.is_some());
    subject.ready(&id).await;
    subject.removed(&id).await;
}

async fn another_replica_takes_over(first: Subject) {
    let second = first.replica().await;
    let id = id("handed-over", 1);
    let mut release = first.release(&id, &[("web", container(&serves("echo run")))]);
    release.ports = port();
    first.engine.apply(&release).await.expect("applies");
    let before = first.ready(&id).await;
    // Who does not reconcile sees what the other does.
    assert_eq!(second.ready(&id).await.endpoints, before.endpoints);

    first.engine.stand_down().await;
    second.engine.apply(&release).await.expect("applies");
    let after = second.ready(&id).await;
    assert_eq!(
        after.containers["web"].handle,
        before.containers["web"].handle
    );
    // Ended, it is started again by the one alone.
    second.end(&after.containers["web"]);
    second
        .until(&id, |state| state.containers["web"].restarts == 1)
        .await;
    second.ready(&id).await;
    let lines = second.lines("handed-over", LogQuery::default()).await;
    assert_eq!(lines, ["run", "run"]);

    // Taken away by the one, it is gone for the other.
    second.removed(&id).await;
    assert_eq!(first.engine.observe(&id).await.expect("observes"), None);
}

async fn what_is_half_removed_is_found_again(subject: Subject) {
    let id = id("left", 1);
    let release = subject.release(&id, &[("main", container("exec sleep 1000"))]);
    subject.engine.apply(&release).await.expect("applies");
    subject.ready(&id).await;
    let subject = subject.again().await;
    assert_eq!(
        subject.engine.list().await.expect("lists"),
        vec![id.clone()]
    );
    subject.removed(&id).await;
    let subject = subject.again().await;
    assert_eq!(subject.engine.list().await.expect("lists"), Vec::new());
}

async fn containers_of_a_workload_share_localhost(subject: Subject) {
    let id = id("share", 1);
    let web = container(&serves("true"));
    let asks = container(
        "while ! /bin/busybox wget -q -O - http://127.0.0.1:$PORT/; do sleep 0.1; done; exec sleep 1000",
    );
    let mut release = subject.release(&id, &[("web", web), ("asks", asks)]);
    release.ports = port();
    subject.engine.apply(&release).await.expect("applies");
    subject.logged("share", "hello").await;
    let state = subject.ready(&id).await;

    // Also after the one has ended that the other shares with.
    subject.end(&state.containers["asks"]);
    subject
        .until(&id, |state| state.containers["asks"].restarts == 1)
        .await;
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    loop {
        let lines = subject.lines("share", LogQuery::default()).await;
        let state = subject.ready(&id).await;
        let again = lines.iter().filter(|line| *line == "hello").count() >= 2;
        if again && get(state.endpoints["web"], "/").await == "hello" {
            break;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "{state:#?} {lines:#?}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    subject.removed(&id).await;
}

async fn reaches_servers_of_this_machine(subject: Subject) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("listens");
    let server = listener.local_addr().expect("has an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, b"from this machine\n").await;
        }
    });
    let host = subject
        .engine
        .machine_host("dev")
        .await
        .expect("knows the host");
    let id = id("reaches", 1);
    let script = format!(
        "/bin/busybox nc {host} {} </dev/null; exec sleep 1000",
        server.port()
    );
    let mut release = subject.release(&id, &[("main", container(&script))]);
    release.reaches = vec![server];
    subject.engine.apply(&release).await.expect("applies");
    subject.logged("reaches", "from this machine").await;
    subject.removed(&id).await;
}

/// Every test of the suite on every engine.
macro_rules! conformance {
    ($($test:ident),+ $(,)?) => {
        mod process_engine {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $test() {
                    let directory = tempfile::tempdir().expect("a directory");
                    super::$test(super::support::process(directory.path()).await).await;
                }
            )+
        }

        mod docker_engine {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $test() {
                    let directory = tempfile::tempdir().expect("a directory");
                    let Some(subject) = super::support::docker(directory.path()).await else {
                        return;
                    };
                    let _cleaned = super::support::Cleaned(subject.platform);
                    super::$test(subject).await;
                }
            )+
        }
    };
}

conformance!(
    serves_at_its_endpoint,
    gives_environment_files_and_working_directory,
    volumes_keep_their_content,
    a_volume_cannot_lead_out_of_itself,
    limits_are_kept,
    what_ends_is_started_again,
    what_is_not_alive_is_started_again,
    gets_ready_and_unready,
    logs_are_read_and_followed,
    two_releases_run_beside_each_other,
    starts_in_order,
    what_cannot_start_says_why,
    nothing_escapes_removal,
    a_slow_stop_holds_up_no_other,
    an_engine_that_starts_again_takes_over,
    another_replica_takes_over,
    what_is_half_removed_is_found_again,
    containers_of_a_workload_share_localhost,
    reaches_servers_of_this_machine,
);
