//! Programs: what they are told, what they answer, and how they are ended.

mod support;

use std::{path::Path, time::Duration, time::Instant};

use delivery::provisioner::{Presence, Provisioner, Request};
use serde_json::{Value, json};
use support::{is_secret, object, output, request};
use towpath_provisioners::Command;

/// A request that runs `body` as a shell script, with `params` besides.
fn script(body: &str, params: Value) -> Request {
    let mut all = json!({ "command": "/bin/sh" });
    let mut arguments = vec![json!("-c"), json!(body), json!("program")];
    for (name, value) in object(params) {
        match (name.as_str(), value) {
            ("args", Value::Array(more)) => arguments.extend(more),
            (name, value) => all[name] = value,
        }
    }
    all["args"] = Value::Array(arguments);
    request("thing", "notes.thing", all)
}

#[tokio::test]
async fn the_example_makes_rotates_and_removes() {
    let directory = tempfile::tempdir().unwrap();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/provisioner-command");
    let command = Command::new().with_directory(examples.canonicalize().unwrap());
    let params = json!({
        "command": "token-file",
        "params": { "directory": directory.path().to_str().unwrap() },
    });
    assert!(command.check(&object(params.clone())).is_empty());
    let mut request = request("token", "notes.token", params);

    assert_eq!(command.presence(&request).await, Presence::Absent);
    let made = command.provision(&request).await.unwrap();
    assert!(is_secret(&made, "token") && !is_secret(&made, "path"));
    let path = output(&made, "path");
    assert!(
        std::fs::read_to_string(&path)
            .unwrap()
            .contains(&output(&made, "token"))
    );
    assert_eq!(
        command.provision(&request).await.unwrap().outputs,
        made.outputs
    );
    assert_eq!(command.presence(&request).await, Presence::Present);

    request.rotation = 2;
    request.state = made.state.clone();
    let next = command.provision(&request).await.unwrap();
    let both = std::fs::read_to_string(&path).unwrap();
    assert!(both.contains(&output(&made, "token")) && both.contains(&output(&next, "token")));
    command.retire(&request).await.unwrap();
    let one = std::fs::read_to_string(&path).unwrap();
    assert!(!one.contains(&output(&made, "token")) && one.contains(&output(&next, "token")));

    command.remove(&request).await.unwrap();
    assert!(!Path::new(&path).exists());
    assert_eq!(command.presence(&request).await, Presence::Absent);
}

#[tokio::test]
async fn it_is_given_nothing_of_the_platforms_environment() {
    let body = r#"cat > /dev/null; printf '{"outputs":{"env":"%s","args":"%s"}}' "$(env | cut -d= -f1 | sort | tr '\n' ' ')" "$*""#;
    let request = script(body, json!({ "args": ["--one", "$HOME"] }));
    let made = Command::new().provision(&request).await.unwrap();
    assert!(!output(&made, "env").contains("HOME") && !output(&made, "env").contains("CARGO"));
    assert!(output(&made, "env").contains("PATH"));
    assert_eq!(output(&made, "args"), "--one $HOME");
}

#[tokio::test]
async fn one_that_does_not_end_is_ended_with_all_that_it_started() {
    let directory = tempfile::tempdir().unwrap();
    let pid = directory.path().join("pid");
    let body = format!("sleep 300 & echo $! > {}; wait", pid.display());
    let request = script(&body, json!({ "timeout": 1 }));
    let started = Instant::now();
    let error = Command::new().provision(&request).await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(20));
    assert!(
        error.retry && error.message.contains("within 1 s"),
        "{error}"
    );

    ended(&pid).await;
}

#[tokio::test]
async fn what_has_detached_itself_is_ended_too() {
    // One that takes too long, and one that fails at once.
    for (then, said) in [("sleep 300", "within 1 s"), ("exit 3", "failed")] {
        let directory = tempfile::tempdir().unwrap();
        let pid = directory.path().join("pid");
        let place = pid.display();
        let body = format!(
            "setsid sh -c 'sleep 300 & echo $! > {place}.new; mv {place}.new {place}; wait' \\
             </dev/null >/dev/null 2>&1 &
             while [ ! -e {place} ]; do sleep 0.01; done; {then}"
        );
        let request = script(&body, json!({ "timeout": 1 }));
        let error = Command::new().provision(&request).await.unwrap_err();
        assert!(error.retry && error.message.contains(said), "{error}");
        assert!(error.remedy.is_some_and(|it| it.contains("by itself")));
        ended(&pid).await;
    }
}

#[tokio::test]
async fn what_a_run_that_succeeds_leaves_behind_stays() {
    let directory = tempfile::tempdir().unwrap();
    let pid = directory.path().join("pid");
    let body = format!(
        "setsid sleep 300 </dev/null >/dev/null 2>&1 & echo $! > {}; echo '{{}}'",
        pid.display()
    );
    Command::new()
        .provision(&script(&body, json!({})))
        .await
        .unwrap();
    let pid = std::fs::read_to_string(&pid).unwrap();
    let pid = rustix::process::Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
    // It is there to be ended.
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

#[tokio::test]
async fn one_whose_caller_gives_up_is_ended_too() {
    let directory = tempfile::tempdir().unwrap();
    let pid = directory.path().join("pid");
    let body = format!("sleep 300 & echo $! > {}; wait", pid.display());
    let request = script(&body, json!(null));
    let command = Command::new();
    let started = async {
        while !std::fs::read_to_string(&pid).is_ok_and(|text| text.ends_with('\n')) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        _ = command.provision(&request) => panic!("it ended by itself"),
        () = started => {}
    }
    ended(&pid).await;
}

/// Waits until the process of the number in `pid` is gone.
async fn ended(pid: &Path) {
    let child = std::fs::read_to_string(pid).unwrap();
    let status = format!("/proc/{}/stat", child.trim());
    let deadline = Instant::now() + Duration::from_secs(10);
    // Gone, or a zombie whose new parent has not yet looked.
    while std::fs::read_to_string(&status).is_ok_and(|stat| !stat.contains(") Z ")) {
        assert!(Instant::now() < deadline, "the process still runs");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn its_complaint_is_shown_without_secrets() {
    let body = "cat >&2; echo last words >&2; exit 3";
    let mut request = script(
        body,
        json!({ "params": { "database": { "password": "hunter2hunter2" } } }),
    );
    request.rotation = 2;
    let error = Command::new().provision(&request).await.unwrap_err();
    assert!(error.retry);
    assert!(
        error.message.contains("last words") && error.message.contains('3'),
        "{error}"
    );
    assert!(error.message.contains("[params.database.password]"));
    for hidden in [
        "hunter2hunter2",
        request.credential("command").expose(),
        request.credential_of("command", 1).expose(),
    ] {
        assert!(!error.message.contains(hidden));
    }
}

#[tokio::test]
async fn an_answer_that_is_none_is_refused_without_quoting_it() {
    for (body, says) in [
        ("echo 'canary not json'", "no JSON"),
        (r#"echo '{"outputs":{},"canary":1}'"#, "another shape"),
        ("true", "nothing"),
        (
            r#"echo '{"outputs":{"a":1},"secrets":{"a":"canary"}}'"#,
            "both",
        ),
        ("head -c 300000 /dev/zero", "256 KiB"),
        ("exit 78", "78"),
    ] {
        let request = script(&format!("cat > /dev/null; {body}"), json!(null));
        let error = Command::new().provision(&request).await.unwrap_err();
        assert!(error.message.contains(says), "{body}: {error}");
        assert!(!error.message.contains("canary"), "{body}: {error}");
        assert_eq!(error.retry, says == "256 KiB", "{body}");
    }
}

#[tokio::test]
async fn removal_counts_only_when_the_program_says_that_it_is_gone() {
    for presence in ["present", "unknown"] {
        let body = format!(r#"grep -q presence && echo '{{"presence":"{presence}"}}'; true"#);
        let request = script(&body, json!(null));
        assert!(Command::new().remove(&request).await.is_err(), "{presence}");
    }
}

#[test]
fn a_program_is_named_by_an_absolute_path_or_by_its_name_in_the_directory() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("plain"), "").unwrap();
    let command = Command::new().with_directory(directory.path());
    for wrong in [
        "../program",
        "a/b",
        "./x",
        "missing",
        "plain",
        "/nowhere/program",
        "..",
    ] {
        let problems = command.check(&object(json!({ "command": wrong })));
        assert_eq!(problems.len(), 1, "{wrong}");
        assert!(problems[0].remedy.is_some());
    }
    let problems = Command::new().check(&object(json!({ "comand": "/bin/true", "timeout": 0 })));
    let rules: Vec<_> = problems.iter().map(|p| p.rule.as_str()).collect();
    assert_eq!(rules, ["params/unknown", "params/value", "params/missing"]);
}

#[test]
fn a_call_may_take_as_long_as_the_two_runs_of_a_removal() {
    let limit = |params: Value| {
        let limit = Command::new().time_limit(&script("true", params));
        limit.unwrap()
    };
    assert!(limit(json!(null)) > Duration::from_secs(2 * 60));
    let long = limit(json!({ "timeout": 900 }));
    assert!(long > Duration::from_secs(2 * 900) && long < Duration::from_hours(1));
    // By a placeholder comes what it resolves to.
    assert_eq!(limit(json!({ "timeout": "900" })), long);
    assert_eq!(limit(json!({ "timeout": u64::MAX })), Duration::MAX);
}
