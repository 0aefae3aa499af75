//! Environment, files, volumes and limits.

use std::path::PathBuf;

use delivery::engine::{File, LogQuery, Mount, Phase};
use kernel::Secret;

use crate::support::{Subject, container, id};

pub(crate) async fn gives_environment_files_and_working_directory(subject: Subject) {
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

pub(crate) async fn volumes_keep_their_content(subject: Subject) {
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

pub(crate) async fn a_file_in_a_volume_is_there_in_each_release(subject: Subject) {
    let source = subject.volumes.join("with-files");
    std::fs::create_dir_all(&source).expect("makes the volume");
    for release in [1, 2] {
        let id = id("in-volume", release);
        let mut main = container(&format!(
            "cat data/conf.txt data/deep/conf.txt /towpath-data/conf.txt; echo {release} >> data/log; \
             cat data/log; echo done {release}; exec sleep 1000"
        ));
        let file = |target: &str, content: &str| File {
            target: PathBuf::from(target),
            mode: 0o644,
            content: Secret::from(format!("{content} of {release}\n")),
        };
        main.files = vec![
            file("data/conf.txt", "relative"),
            file("./data/deep/conf.txt", "deep"),
            file("/towpath-data/conf.txt", "absolute"),
        ];
        let mount = |target: &str, path: &str| Mount {
            source: source.clone(),
            path: PathBuf::from(path),
            target: PathBuf::from(target),
            read_only: false,
        };
        main.volumes = vec![mount("data", "one"), mount("/towpath-data", "two")];
        subject
            .engine
            .apply(&subject.release(&id, &[("main", main)]))
            .await
            .expect("applies");
        let done = format!("done {release}");
        let query = LogQuery {
            release: Some(release),
            ..LogQuery::default()
        };
        let lines = subject.logged_to("in-volume", query, &done).await;
        let log = ["1", "2"].into_iter().take(release as usize);
        let expected: Vec<String> = ["relative", "deep", "absolute"]
            .map(|content| format!("{content} of {release}"))
            .into_iter()
            .chain(log.map(str::to_owned))
            .chain([done])
            .collect();
        assert_eq!(lines, expected);
        subject.removed(&id).await;
    }
    // What the programs have written is the volume's, beside the files.
    let log = std::fs::read_to_string(source.join("one/log"));
    assert_eq!(log.expect("reads the volume"), "1\n2\n");
}

pub(crate) async fn a_volume_cannot_lead_out_of_itself(subject: Subject) {
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

pub(crate) async fn limits_are_kept(subject: Subject) {
    let id = id("limits", 1);
    let mut greedy = container("echo begins; x=x; while true; do x=$x$x; done");
    greedy.memory_limit_bytes = Some(32 << 20);
    let release = subject.release(&id, &[("greedy", greedy)]);
    subject.engine.apply(&release).await.expect("applies");
    // Where this user may not make control groups, the allocation fails instead: the program's end.
    let limited = subject.makes_control_groups();
    // Docker may learn of the reason after the end, and then says it of the next one.
    let late = limited && subject.engine.name() == "docker";
    let state = subject
        .until(&id, |state| {
            let exit = state.containers["greedy"].last_exit.as_deref();
            let told = exit.is_some_and(|exit| !late || exit == "out of memory");
            told && state.phase == Phase::Restarting
        })
        .await;
    if limited {
        let exit = state.containers["greedy"].last_exit.as_deref();
        assert_eq!(exit, Some("out of memory"));
    }
    subject.removed(&id).await;

    // In a release of its own: what ends and is started again may take others with it.
    let id = crate::support::id("half", 1);
    let mut slow = container("exec sleep 1000");
    slow.cpu_limit_millis = Some(500);
    let release = subject.release(&id, &[("slow", slow)]);
    subject.engine.apply(&release).await.expect("applies");
    let state = subject
        .until(&id, |state| state.containers["slow"].running)
        .await;
    if subject.makes_control_groups() {
        let pid = subject.pid(&state.containers["slow"]);
        // It is told to be running before it is in its group.
        let share = async || cpu_share(pid);
        let share = testkit::eventually("its share has a limit", SOON, share).await;
        assert_eq!(share, (1, 2), "half a core");
    }
    subject.removed(&id).await;
}

/// When a program is where it was started to be.
const SOON: std::time::Duration = std::time::Duration::from_secs(10);

/// Of how much time a process may use how much, as a fraction in lowest terms; none: of all.
fn cpu_share(pid: u32) -> Option<(u64, u64)> {
    let (directory, is_old) = crate::support::control_group(pid, "cpu");
    let read =
        |file: &str| std::fs::read_to_string(directory.join(file)).expect("the kernel says it");
    let text = if is_old {
        format!(
            "{} {}",
            read("cpu.cfs_quota_us").trim(),
            read("cpu.cfs_period_us").trim()
        )
    } else {
        read("cpu.max")
    };
    let (quota, period) = text.split_once(' ')?;
    // `max`, or -1 of the older sort, where there is none.
    let quota = quota.parse::<u64>().ok()?;
    let period: u64 = period.trim().parse().expect("a number");
    let (mut a, mut b) = (quota, period);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    Some((quota / a, period / a))
}

pub(crate) async fn requests_are_kept(subject: Subject) {
    if !subject.makes_control_groups() {
        return;
    }
    let id = id("requests", 1);
    let mut modest = container("exec sleep 1000");
    modest.cpu_request_millis = Some(250);
    modest.memory_request_bytes = Some(16 << 20);
    modest.memory_limit_bytes = Some(32 << 20);
    let release = subject.release(&id, &[("modest", modest)]);
    subject.engine.apply(&release).await.expect("applies");
    let state = subject.ready(&id).await;
    let pid = subject.pid(&state.containers["modest"]);
    let kept = |controller: &str, old: &str, new: &str| {
        let (directory, is_old) = crate::support::control_group(pid, controller);
        let file = directory.join(if is_old { old } else { new });
        let text = std::fs::read_to_string(&file).expect("the kernel says it");
        (text.trim().parse::<u64>().expect("a number"), is_old)
    };
    match kept("cpu", "cpu.shares", "cpu.weight") {
        (shares, true) => assert_eq!(shares, 256),
        // What Docker makes of shares differs from version to version; 100 is what nobody has asked for.
        (weight, false) => assert!((2..100).contains(&weight), "{weight}"),
    }
    let (memory, _) = kept("memory", "memory.soft_limit_in_bytes", "memory.low");
    assert_eq!(memory, 16 << 20);
    subject.removed(&id).await;
}
