//! Input of any kind, by the command line and by the API: a clear error with its documented code, and
//! nothing half-made.

mod site;

use std::{path::Path, time::Duration};

use delivery::model::DeploymentPhase;
use serde_json::{Value, json};
use site::{Site, work};

const LONG: Duration = testkit::PATIENCE;

/// A Score file with these lines below its only container.
fn with_container(lines: &str) -> Vec<u8> {
    let head = "apiVersion: score.dev/v1b1\nmetadata: {name: bad}\ncontainers:\n  main:\n    image: /bin/true\n";
    format!("{head}{lines}").into_bytes()
}

/// Files that must be refused, each with a word that its error must hold.
fn bad_files() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let list = [format!("*a{}", level - 1).as_str(); 9].join(", ");
        bomb = format!("{bomb}a{level}: &a{level} [{list}]\n");
    }
    let name = |length: usize| {
        let name = "n".repeat(length);
        format!("apiVersion: score.dev/v1b1\nmetadata: {{name: {name}}}\ncontainers: {{main: {{image: /bin/true}}}}\n")
            .into_bytes()
    };
    vec![
        (
            "malformed",
            b"apiVersion: [score".to_vec(),
            "malformed.yaml:2:1",
        ),
        ("empty", Vec::new(), "empty.yaml"),
        ("huge", vec![b'#'; 10 << 20], "bytes"),
        ("larger", vec![b'#'; (10 << 20) + 1], "larger than 10 MiB"),
        (
            "deep",
            [b"[".repeat(100_000), b"]".repeat(100_000)].concat(),
            "recursion limit",
        ),
        ("bomb", bomb.into_bytes(), "bomb.yaml"),
        (
            "latin",
            with_container("    variables: {A: \"\u{1}\"}\n")
                .into_iter()
                .map(|b| if b == 1 { 0xff } else { b })
                .collect(),
            "UTF-8",
        ),
        ("long-name", name(64), "name"),
        ("unknown", with_container("    imge: x\n"), "imge"),
        (
            "unknown-resource",
            with_container("    variables: {A: \"${resources.nope.url}\"}\n"),
            "nope",
        ),
        (
            "cyclic",
            with_container(
                "resources:\n  one: {type: dns, params: {a: \"${resources.two.host}\"}}\n  two: {type: dns, params: {a: \"${resources.one.host}\"}}\n",
            ),
            "cycl",
        ),
        (
            "traversal",
            with_container("    files: {a.txt: {source: ../secret}}\n"),
            "leads out",
        ),
        (
            "absolute",
            with_container("    files: {a.txt: {source: /etc/hostname}}\n"),
            "leads out",
        ),
        (
            "symlink",
            with_container("    files: {a.txt: {source: link}}\n"),
            "leads out",
        ),
        (
            "pipe",
            with_container("    files: {a.txt: {source: pipe}}\n"),
            "not a regular file",
        ),
        (
            "target",
            with_container("    files: {../../a.txt: {content: x}}\n"),
            "a.txt",
        ),
    ]
}

/// All documents, and how many events there are.
async fn everything(site: &Site, client: &client::Client) -> (Vec<Value>, usize) {
    let mut all = Vec::new();
    for path in [
        "environments",
        "environment-roles",
        "resource-definitions",
        "routes",
        "environments/dev/deployments",
        "environments/dev/workloads",
        "environments/dev/resources",
    ] {
        all.push(ask(site, "GET", path, None, &[]).await.1);
    }
    // The platform's own go on: it draws keys, looks after what runs, and counts those whom it does not know.
    let events = work::events(client).await;
    let asked_for = events.iter().filter(|e| {
        !kernel::Caller::is_system(&e.actor)
            && e.kind != "dev.towpath.authorization.unauthenticated"
    });
    (all, asked_for.count())
}

async fn ask(
    site: &Site,
    method: &str,
    path: &str,
    body: Option<Vec<u8>>,
    headers: &[(&str, &str)],
) -> (u16, Value) {
    let token = std::fs::read_to_string(site.data.join("admin.token")).expect("the token");
    let http = reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client");
    let url = format!("{}/v1/{path}", site.server());
    let mut request = http.request(method.parse().expect("a method"), url);
    if !headers.iter().any(|(name, _)| *name == "authorization") {
        request = request.bearer_auth(token.trim());
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if let Some(body) = body {
        request = request
            .header("content-type", "application/json")
            .body(body);
    }
    let answer = request.send().await.expect("an answer");
    let status = answer.status().as_u16();
    let text = answer.text().await.expect("a body");
    (
        status,
        serde_json::from_str(&text).unwrap_or(Value::String(text)),
    )
}

async fn good(site: &Site, client: &client::Client) {
    let score = work::score("hello", &json!({}), &json!({}));
    let begun = client
        .deploy("dev", &work::deployment(score))
        .await
        .expect("it is accepted");
    let end = work::ended(client, &begun).await;
    assert_eq!(
        end.status.phase,
        DeploymentPhase::Succeeded,
        "{:?}\n{}",
        end.status.failure,
        site.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_files_are_refused_and_leave_nothing() {
    let data = tempfile::tempdir().expect("a directory");
    let site = Site::new(data.path());
    let running = site.start().await;
    good(&site, running.client()).await;
    let files = tempfile::tempdir().expect("a directory");
    std::fs::write(files.path().join("secret"), "outside").expect("it is written");
    let place = files.path().join("place");
    std::fs::create_dir(&place).expect("it is made");
    std::os::unix::fs::symlink("../secret", place.join("link")).expect("it is made");
    let pipe = std::process::Command::new("mkfifo")
        .arg(place.join("pipe"))
        .status();
    assert!(pipe.expect("mkfifo runs").success());

    let before = everything(&site, running.client()).await;
    let mut wrong = Vec::new();
    for (name, bytes, word) in bad_files() {
        let path = place.join(format!("{name}.yaml"));
        std::fs::write(&path, bytes).expect("it is written");
        for command in ["deploy", "plan"] {
            let arguments = [command, path.to_str().expect("text")];
            let ended = tokio::time::timeout(LONG, site.cli(&arguments));
            let ended = ended.await.expect("it ends in time");
            let good = ended.code == 3
                && ended.err.contains(word)
                && !ended.err.contains("outside")
                && ended.err.len() < 20_000;
            if !good {
                let shown: String = ended.err.chars().take(1000).collect();
                wrong.push(format!("{command} {name}: code {}: {shown}", ended.code));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let missing = site.cli(&["deploy", "/nowhere/score.yaml"]).await;
    assert_eq!(missing.code, 4, "{}", missing.err);
    assert_eq!(everything(&site, running.client()).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_are_refused_and_leave_nothing() {
    let data = tempfile::tempdir().expect("a directory");
    let site = Site::new(data.path());
    let running = site.start().await;
    let client = running.client();
    good(&site, client).await;
    let before = everything(&site, client).await;
    let new = |value: Value| Some(serde_json::to_vec(&value).expect("it is JSON"));

    let deployments = "environments/dev/deployments";
    for (path, body, statuses) in [
        (deployments, Some(b"{".to_vec()), [400, 422]),
        (
            deployments,
            new(json!({ "workloads": {}, "acept": [] })),
            [422, 422],
        ),
        (deployments, new(json!({ "workloads": {} })), [422, 422]),
        (
            deployments,
            new(json!({ "workloads": { "x": { "apiVersion": "score.dev/v1b1" } } })),
            [422, 422],
        ),
        (deployments, Some(b"[".repeat(200_000)), [400, 422]),
        (deployments, Some(vec![b' '; 33 << 20]), [413, 413]),
        (
            "environments",
            new(json!({ "name": "Not A Name" })),
            [422, 422],
        ),
        (
            "environments",
            new(json!({ "name": "n".repeat(64) })),
            [422, 422],
        ),
        ("environments", new(json!({ "name": "dev" })), [409, 409]),
        (
            "environments",
            new(json!({ "name": "ok", "role": "none-such" })),
            [404, 422],
        ),
        (
            "apply",
            new(json!({ "documents": [{ "kind": "Nonsense" }] })),
            [422, 422],
        ),
        ("nowhere", new(json!({})), [404, 404]),
    ] {
        let shown = body
            .as_ref()
            .map(|b| String::from_utf8_lossy(&b[..b.len().min(80)]).into_owned());
        let (status, problem) = ask(&site, "POST", path, body, &[]).await;
        assert!(
            statuses.contains(&status),
            "{path} {shown:?}: {status} {problem}"
        );
        assert!(
            problem["title"].is_string() && problem["type"].is_string(),
            "{path} {shown:?}: {problem}"
        );
    }
    for authorization in ["Bearer wrong", "Basic YTpi", "nonsense", ""] {
        let headers = [("authorization", authorization)];
        let (status, problem) = ask(&site, "GET", "environments", None, &headers).await;
        assert_eq!(status, 401, "{authorization}: {problem}");
    }
    let (status, problem) = ask(
        &site,
        "DELETE",
        "environments/dev",
        None,
        &[("if-match", "\"1\"")],
    )
    .await;
    assert_eq!(status, 412, "{problem}");
    assert_eq!(everything(&site, client).await, before);

    // The same key: the same answer, once. The same key for something else: refused.
    let key = [("idempotency-key", "one-and-only")];
    let deploy = |greeting: &str| {
        let score = work::score("hello", &json!({ "GREETING": greeting }), &json!({}));
        new(json!({ "workloads": { "hello": score } }))
    };
    let first = ask(&site, "POST", deployments, deploy("once"), &key).await;
    assert_eq!(first.0, 202, "{}", first.1);
    let again = ask(&site, "POST", deployments, deploy("once"), &key).await;
    assert_eq!(
        (again.0, &again.1["metadata"]["name"]),
        (202, &first.1["metadata"]["name"])
    );
    let (status, problem) = ask(&site, "POST", deployments, deploy("twice"), &key).await;
    assert!([409, 422].contains(&status), "{status} {problem}");
    let all = ask(&site, "GET", deployments, None, &[]).await.1;
    assert_eq!(all["items"].as_array().map(Vec::len), Some(2), "{all}");

    let wrong = data.path().join("wrong.token");
    std::fs::write(&wrong, "wrong").expect("it is written");
    let ended = site
        .cli(&["status", "--token-file", wrong.to_str().expect("text")])
        .await;
    assert_eq!(ended.code, 5, "{}", ended.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_names_its_holder() {
    let data = tempfile::tempdir().expect("a directory");
    let site = Site::new(data.path());
    let running = site.start().await;
    let client = running.client();
    good(&site, client).await;
    let route = json!({ "host": "hello.dev.localhost", "path": "/", "port": 80 });
    let route = json!({ "entry": { "type": "route", "params": route } });
    let thief = work::deployment(work::score("thief", &json!({}), &route));
    let error = client
        .deploy("dev", &thief)
        .await
        .expect_err("the host is taken");
    let words = serde_json::to_string(error.problem().expect("a refusal")).expect("it is JSON");
    assert!(
        words.contains("held by workload `hello` in environment `dev`"),
        "{words}"
    );
    let nothing = client
        .workload("dev", "thief")
        .await
        .expect_err("it is not made");
    assert!(nothing.is_not_found());
    // Names of another environment are not for the taking at all.
    let error = client
        .deploy("other", &thief)
        .await
        .expect_err("the host is another's");
    assert_eq!(error.problem().expect("a refusal").status, 422);
    let nothing = client
        .environment("other")
        .await
        .expect_err("it is not made");
    assert!(nothing.is_not_found());

    // Ports: each says which, and by what option it is moved. A data directory has one platform.
    let free = "127.0.0.1:0";
    let api = format!("127.0.0.1:{}", site.api);
    let gateway = format!("127.0.0.1:{}", site.gateway);
    let other = tempfile::tempdir().expect("a directory");
    for (listen, gateway, data, words) in [
        (api.as_str(), free, other.path(), [api.as_str(), "--listen"]),
        (
            free,
            gateway.as_str(),
            other.path(),
            [gateway.as_str(), "--gateway-listen"],
        ),
        (free, free, data.path(), ["another", "towpath.db"]),
        (
            api.as_str(),
            gateway.as_str(),
            data.path(),
            ["in use by another Towpath", "towpath down"],
        ),
    ] {
        let ended = up(listen, gateway, data).await;
        assert!(
            [6, 7].contains(&ended.code),
            "{}: {}",
            ended.code,
            ended.err
        );
        for word in words {
            assert!(ended.err.contains(word), "{word}: {}", ended.err);
        }
    }
    client.ready().await.expect("the first one goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_at_the_port_of_s3_is_waited_for_and_the_option_is_named() {
    let data = tempfile::tempdir().expect("a directory");
    let site = Site::new(data.path());
    let stranger = std::net::TcpListener::bind(("127.0.0.1", site.s3)).expect("the port is free");
    let running = site.start().await;
    let client = running.client();
    let bucket = json!({ "photos": { "type": "s3" } });
    let score = work::score("hello", &json!({}), &bucket);
    let begun = client.deploy("dev", &work::deployment(score)).await;
    let begun = begun.expect("it is accepted");
    testkit::eventually("it says what it waits for", LONG, || async {
        let open = client.deployment("dev", &begun.meta.name).await.ok()?;
        let waiting = open.status.waiting_for.join("\n");
        (waiting.contains("--s3-listen") && waiting.contains(&site.s3.to_string())).then_some(())
    })
    .await;
    let log = std::fs::read_to_string(data.path().join("test.log")).expect("it has a log");
    assert!(log.contains("--s3-listen"), "{log}");
    drop(stranger);
    let end = work::ended(client, &begun).await;
    assert_eq!(
        end.status.phase,
        DeploymentPhase::Succeeded,
        "{:?}",
        end.status.failure
    );
}

async fn up(listen: &str, gateway: &str, data: &Path) -> work::Ended {
    let ended = tokio::process::Command::new(env!("CARGO_BIN_EXE_towpath"))
        .args([
            "up",
            "--s3-listen",
            "127.0.0.1:0",
            "--listen",
            listen,
            "--gateway-listen",
            gateway,
        ])
        .arg("--data")
        .arg(data)
        .kill_on_drop(true)
        .output();
    tokio::time::timeout(LONG, ended)
        .await
        .expect("it ends")
        .expect("it starts")
        .into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workload_sees_nothing_of_the_platform() {
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    let running = site.start().await;
    // Its volume and its working directory are below the data directory, and its own all the same.
    let spy = format!(
        "echo kept > files/note; cat {data}/admin.token {data}/*; ls {data}; cat files/note; exec sleep 1000",
        data = data.path().display()
    );
    let score = json!({
        "apiVersion": "score.dev/v1b1",
        "metadata": { "name": "spy" },
        "containers": { "main": {
            "image": "/bin/sh", "args": ["-c", format!("({spy}) 2>&1")],
            "volumes": { "files": { "source": "${resources.files}" } },
        }},
        "resources": { "files": { "type": "volume" } },
    });
    let client = running.client();
    let deployment = client
        .deploy("dev", &work::deployment(score))
        .await
        .unwrap();
    let ended = work::ended(client, &deployment).await;
    assert_eq!(ended.status.phase, DeploymentPhase::Succeeded);
    let logs = testkit::eventually("the workload has looked", LONG, async || {
        let logs = site.cli(&["logs", "spy", "--env", "dev"]).await.out;
        logs.contains("kept").then_some(logs)
    })
    .await;
    let other = site
        .cli(&["logs", "spy", "--env", "dev", "--release", "9"])
        .await;
    assert_eq!(other.code, 4, "{}", other.err);
    assert!(other.err.contains("numbered 1 to 1"), "{}", other.err);
    let token = std::fs::read_to_string(data.path().join("admin.token")).unwrap();
    assert!(!logs.contains(token.trim()), "{logs}");
    assert!(logs.contains("admin.token: No such file"), "{logs}");
    assert!(
        logs.lines().any(|line| line.ends_with("| engine")),
        "{logs}"
    );
}
