//! Teams' secrets on a whole platform: for workloads, for programs, and under another key.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod site;

use std::{
    os::unix::{
        fs::{PermissionsExt as _, symlink},
        process::ExitStatusExt as _,
    },
    path::Path,
    process::{Output, Stdio},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrets::{
    api::{Encoded, PutSecret},
    model::SecretRef,
};
use serde_json::json;
use site::{Running, Site, work};
use tokio::io::AsyncWriteExt as _;

const LONG: Duration = Duration::from_mins(1);

async fn put(running: &Running, secret: &SecretRef, value: &str) {
    let put = PutSecret {
        value: Some(Encoded::of(&kernel::Secret::from(value))),
        ..PutSecret::default()
    };
    running
        .client()
        .put_secret(secret, &put, None)
        .await
        .unwrap();
}

/// What the workload answers, once it answers this.
async fn answers(site: &Site, expected: &str) {
    testkit::eventually(&format!("it answers {expected}"), LONG, || async {
        let (_, text) = site.get("hello.dev.localhost").await.ok()?;
        (text == expected).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workload_gets_its_teams_secret_and_the_next_version_with_the_next_deployment() {
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    let running = site.start().await;
    let client = running.client();
    let resources = json!({ "key": { "type": "secret", "params": { "name": "app/greeting" } } });
    let variables = json!({ "GREETING": "${resources.key.value}" });
    let order = || work::deployment(work::score("hello", &variables, &resources));

    let refused = client.deploy("dev", &order()).await.unwrap_err();
    let client::Error::Refused(problem) = refused else {
        panic!("{refused}")
    };
    let shown = format!("{problem:?}");
    assert!(shown.contains("has no secret `app/greeting`"), "{shown}");
    let made = client.environment("dev").await.unwrap_err();
    assert!(made.is_not_found(), "nothing is made: {made}");

    // With it, whoever may deploy to one environment would deploy to all.
    let name = "deploy-credentials/prod/deployer";
    let key = json!({ "key": { "type": "secret", "params": { "name": name } } });
    let steals = work::deployment(work::score("hello", &variables, &key));
    let refused = format!("{:?}", client.deploy("dev", &steals).await.unwrap_err());
    assert!(
        refused.contains("the key of a deploy credential"),
        "{refused}"
    );

    // Whose environment it will be.
    let plain = work::deployment(work::score("hello", &json!({}), &json!({})));
    let first = client.deploy("dev", &plain).await.unwrap();
    work::ended(client, &first).await;
    let team = client.environment("dev").await.unwrap().spec.team;
    let secret = SecretRef::new(&team, "app/greeting").unwrap();
    put(&running, &secret, "canary-one").await;
    let deployment = client.deploy("dev", &order()).await.unwrap();
    work::ended(client, &deployment).await;
    answers(&site, "canary-one").await;

    put(&running, &secret, "canary-two").await;
    let plan = client.plan("dev", &order()).await.unwrap();
    let shown = plan.plan.to_string();
    let told = [
        "secret `app/greeting`: version 1 -> 2",
        "started anew with secret `app/greeting`",
    ];
    assert!(told.iter().all(|it| shown.contains(it)), "{shown}");
    assert!(!plan.plan.is_empty(), "{shown}");
    let deployment = client.deploy("dev", &order()).await.unwrap();
    work::ended(client, &deployment).await;
    answers(&site, "canary-two").await;

    let events = serde_json::to_string(&work::events(client).await).unwrap();
    let resources = client.resources("dev", &Default::default()).await.unwrap();
    let documents: Vec<_> = resources
        .items
        .iter()
        .map(|r| r.document().unwrap())
        .collect();
    let documents = serde_json::to_string(&documents).unwrap();
    let log = std::fs::read_to_string(data.path().join("test.log")).unwrap();
    for (place, text) in [("events", events), ("resources", documents), ("log", log)] {
        assert!(!text.contains("canary"), "in {place}");
    }
    running.kill();
}

/// Runs the command line with a text on standard input.
async fn towpath(site: &Site, arguments: &[&str], input: &str) -> Output {
    let mut child = tokio::process::Command::new(env!("CARGO_BIN_EXE_towpath"))
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("TOWPATH_DATA", &site.data)
        .env("TOWPATH_SERVER", site.server())
        .env("TOWPATH_TEAM", "payments")
        .env("FROM_HERE", "towpath://payments/app/key")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // Who does not read it has no use for it.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    child.wait_with_output().await.unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_and_templates_get_all_or_nothing() {
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    let running = site.start().await;
    let set = towpath(&site, &["secret", "set", "app/key"], "canary-key\n").await;
    assert!(set.status.success(), "{set:?}");
    assert!(!text(&set.stdout).contains("canary"));
    assert!(
        text(&set.stderr).contains("no team `payments` yet"),
        "{set:?}"
    );
    let drawn = towpath(&site, &["secret", "set", "app/drawn", "--generate"], "").await;
    assert!(drawn.status.success(), "{drawn:?}");
    let listed = towpath(&site, &["secret", "list"], "").await;
    assert!(text(&listed.stdout).contains("app/drawn"), "{listed:?}");
    assert!(!text(&listed.stdout).contains("canary"));
    let got = towpath(&site, &["secret", "get", "app/key", "--value"], "").await;
    assert_eq!(text(&got.stdout), "canary-key");
    // Who reads it may be gone already.
    let (unread, writer) = std::io::pipe().unwrap();
    drop(unread);
    let get = ["secret", "get", "app/key", "--value", "--team", "payments"];
    let ended = std::process::Command::new(env!("CARGO_BIN_EXE_towpath"))
        .args(get)
        .env_clear()
        .env("TOWPATH_DATA", &site.data)
        .env("TOWPATH_SERVER", site.server())
        .stdout(writer)
        .output()
        .unwrap();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(text(&ended.stderr), "");
    let rotated = towpath(
        &site,
        &["secret", "rotate", "--path", "app", "-o", "json"],
        "",
    )
    .await;
    let rotated: serde_json::Value = serde_json::from_slice(&rotated.stdout).unwrap();
    assert_eq!(rotated["items"][0]["rotation"], "rotated");
    assert_eq!(rotated["items"][1]["rotation"], "written");

    let file = data.path().join("app.env");
    std::fs::write(
        &file,
        "KEY='towpath://payments/app/key'\nPLAIN=two words # said\n",
    )
    .unwrap();
    let file = file.to_str().unwrap();
    let script = r#"printf %s "$KEY $PLAIN $FROM_HERE"; exit 7"#;
    let run = [
        "secrets",
        "run",
        "--env-file",
        file,
        "--",
        "sh",
        "-c",
        script,
    ];
    let ended = towpath(&site, &run, "").await;
    assert_eq!(ended.status.code(), Some(7), "{ended:?}");
    assert_eq!(text(&ended.stdout), "canary-key two words canary-key");
    let killed = ["secrets", "run", "--", "sh", "-c", "kill -TERM $$"];
    assert_eq!(towpath(&site, &killed, "").await.status.signal(), Some(15));

    let begun = data.path().join("begun");
    std::fs::write(
        file,
        "A=towpath://payments/none\nB=towpath://payments/no/more\n",
    )
    .unwrap();
    let touch = format!("touch {}", begun.display());
    let run = [
        "secrets",
        "run",
        "--env-file",
        file,
        "--",
        "sh",
        "-c",
        &touch,
    ];
    let ended = towpath(&site, &run, "").await;
    assert_eq!(ended.status.code(), Some(4), "{ended:?}");
    let said = text(&ended.stderr);
    assert!(
        said.contains("payments/none") && said.contains("payments/no/more"),
        "{said}"
    );
    assert!(!begun.exists());

    let out = data.path().join("out");
    let inject = ["secrets", "inject", "-i", "-", "-o", out.to_str().unwrap()];
    let template = "a={{ towpath://payments/app/key }} {{ other }}\n";
    let ended = towpath(&site, &inject, template).await;
    assert!(ended.status.success(), "{ended:?}");
    let filled = "a=canary-key {{ other }}\n";
    assert_eq!(std::fs::read_to_string(&out).unwrap(), filled);
    assert_eq!(out.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let ended = towpath(&site, &inject, "{{ towpath://payments/none }}").await;
    assert_eq!(ended.status.code(), Some(4), "{ended:?}");
    assert_eq!(std::fs::read_to_string(&out).unwrap(), filled);
    let link = data.path().join("link");
    symlink(&out, &link).unwrap();
    let inject = ["secrets", "inject", "-i", "-", "-o", link.to_str().unwrap()];
    let ended = towpath(&site, &inject, "{{ towpath://payments/app/key }}").await;
    assert_eq!(ended.status.code(), Some(6), "{ended:?}");
    assert_eq!(std::fs::read_to_string(&out).unwrap(), filled);
    running.kill();
}

async fn value(site: &Site) -> String {
    let got = towpath(site, &["secret", "get", "app/key", "--value"], "").await;
    text(&got.stdout).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_platforms_key_is_changed_and_the_former_one_let_go_of() {
    let data = tempfile::tempdir().unwrap();
    let mut site = Site::new(data.path());
    let running = site.start().await;
    towpath(&site, &["secret", "set", "app/key"], "canary-key").await;
    running.kill();

    let former = data.path().join("former.key");
    std::fs::rename(data.path().join("platform.key"), &former).unwrap();
    site.options = vec!["--former-key-file".into(), former.to_str().unwrap().into()];
    let running = site.start().await;
    assert_eq!(value(&site).await, "canary-key");
    let done = towpath(&site, &["rekey", "-o", "json"], "").await;
    let state: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(state["remaining"], 0, "{done:?}");
    assert_eq!(state["former"], json!([]), "{done:?}");
    running.kill();

    site.options.clear();
    let running = site.start().await;
    assert_eq!(value(&site).await, "canary-key");
    running.kill();
    assert!(!is_text_in(&data.path().join("towpath.db"), "canary-key"));
}

/// Until nothing is sealed by another key than the present one, and none is kept for the next start.
async fn turned(site: &Site, running: &Running) -> kernel::SealedBy {
    let before = site.data.join("platform.key.before");
    testkit::eventually("the change of the key is done", LONG, || async {
        let state = running.client().keys().await.unwrap();
        let done = state.remaining == 0 && state.former.is_empty() && !before.exists();
        done.then_some(state)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_platforms_key_is_changed_while_requests_go_on() {
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    let running = site.start().await;
    let secret = SecretRef::new("payments", "app/key").unwrap();
    put(&running, &secret, "canary-key").await;
    let key = data.path().join("platform.key");
    let mut keys = vec![std::fs::read(&key).unwrap()];

    let (stop, stopped) = tokio::sync::watch::channel(false);
    let client = running.client().clone();
    let load = tokio::spawn(async move {
        let written = SecretRef::new("payments", "app/written").unwrap();
        let mut answered = 0;
        while !*stopped.borrow() {
            client.secret_value(&secret, None).await.unwrap();
            let value = kernel::Secret::from(format!("canary-{answered}"));
            let put = PutSecret {
                value: Some(Encoded::of(&value)),
                ..PutSecret::default()
            };
            client.put_secret(&written, &put, None).await.unwrap();
            client.secret_value(&written, None).await.unwrap();
            answered += 1;
        }
        answered
    });
    for _ in 0..3 {
        let done = towpath(&site, &["rekey", "--new-key", "-o", "json"], "").await;
        let state: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
        assert_eq!(state["remaining"], 0, "{done:?}");
        assert_eq!(state["former"], json!([]), "{done:?}");
        turned(&site, &running).await;
        let now = std::fs::read(&key).unwrap();
        assert!(!keys.contains(&now), "it is another key");
        keys.push(now);
    }
    stop.send(true).unwrap();
    let answered = load.await.unwrap();
    assert!(answered > 3, "{answered} requests are no load");
    running.kill();

    // Kept for older copies of the store, and no start reads them.
    let kept = std::fs::read_dir(data.path()).unwrap().flatten();
    let kept = kept.filter(|entry| {
        let name = entry.file_name();
        name.to_str().unwrap().starts_with("platform.key.former-")
    });
    let mut kept: Vec<_> = kept.map(|e| std::fs::read(e.path()).unwrap()).collect();
    kept.sort();
    let new = keys.pop().unwrap();
    keys.sort();
    assert_eq!(kept, keys);
    let listen = [site.api, site.gateway].map(|port| format!("127.0.0.1:{port}"));
    for old in keys {
        std::fs::write(&key, old).unwrap();
        let up = ["up", "--listen", &listen[0], "--gateway-listen", &listen[1]];
        let ended = site.cli(&up).await;
        assert_ne!(ended.code, 0, "{ended:?}");
        let said = "the platform's key is not the one";
        assert!(ended.err.contains(said), "{}", ended.err);
    }
    std::fs::write(&key, new).unwrap();
    let running = site.start().await;
    assert_eq!(value(&site).await, "canary-key");
    running.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_key_that_is_killed_is_gone_on_with() {
    const KILLS: u32 = 6;
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    let running = site.start().await;
    towpath(&site, &["secret", "set", "app/key"], "canary-key").await;
    let first = running.client().keys().await.unwrap().current;
    running.kill();

    // Between the second name of the present key and the first name of the next one.
    let beside = |what: &str| data.path().join(format!("platform.key{what}"));
    let next = STANDARD.encode(rand::random::<[u8; 32]>());
    std::fs::write(beside(".next"), &next).unwrap();
    let owners = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(beside(".next"), owners).unwrap();
    std::fs::hard_link(beside(""), beside(".before")).unwrap();
    let running = site.start().await;
    let state = turned(&site, &running).await;
    assert_ne!(state.current, first);
    assert_eq!(std::fs::read_to_string(beside("")).unwrap(), next);
    assert_eq!(value(&site).await, "canary-key");
    running.kill();

    for kill in 0..=KILLS {
        let running = site.start().await;
        let client = running.client().clone();
        let before = client.keys().await.unwrap().current;
        let asked = tokio::spawn(async move { client.rekey(true).await.is_ok() });
        let accepted = if kill < KILLS {
            tokio::time::sleep(Duration::from_millis(4) * kill).await;
            running.kill();
            asked.await.unwrap()
        } else {
            // The last one has its answer, however long that takes.
            let answered = asked.await.unwrap();
            assert!(answered);
            running.kill();
            answered
        };
        let running = site.start().await;
        let state = turned(&site, &running).await;
        if accepted {
            assert_ne!(state.current, before, "{kill}: it was taken");
        }
        assert_eq!(value(&site).await, "canary-key", "{kill}: {accepted}");
        running.kill();
    }
}

fn is_text_in(file: &Path, text: &str) -> bool {
    let bytes = std::fs::read(file).unwrap();
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}
