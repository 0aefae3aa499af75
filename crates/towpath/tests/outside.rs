//! What a team's own tools say has happened, to the end of the line: a whole platform, its command line, who
//! follows the log, and a consumer that a starter kit wrote.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod site;

use std::{path::Path, process::Stdio};

use client::{Client, EventQuery};
use kernel::Secret;
use reqwest::Method;
use serde_json::{Value, json};
use site::{
    work::Ended,
    world::{LONG, World},
};
use testkit::eventually;
use tokio::process::{Child, Command};

/// What the team's automation runs at the command line.
async fn cli(world: &World, token: &Path, arguments: &[&str]) -> Ended {
    let mut all = vec!["--token-file", token.to_str().unwrap()];
    all.extend(arguments);
    world.site.cli(&all).await
}

/// A consumer that `towpath new` has written, which is told of `com.example.*` of team `pay`; its port and address.
async fn consumer(world: &World, desk: &Path) -> (Child, testkit::Port, String) {
    let root = desk.join("board");
    let into = root.to_str().unwrap();
    let kit = ["new", "board", "--kit", "python-consumer", "--into", into];
    let ended = world.site.cli(&kit).await;
    assert_eq!(ended.code, 0, "{}", ended.err);
    let port = testkit::free_port();
    let url = format!("http://127.0.0.1:{port}/");
    let path = "/v1/teams/pay/subscriptions/board";
    let body = json!({ "types": ["com.example.*"], "url": url });
    let (status, made) = world.ask(Method::PUT, path, body).await;
    assert_eq!(status, 201, "{made}");
    let running = Command::new("python3")
        .arg("consumer.py")
        .current_dir(&root)
        .env("PORT", port.to_string())
        .env("WEBHOOK_SECRET", made["secret"].as_str().unwrap())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    (running, port, url)
}

#[tokio::test]
async fn what_a_pipeline_publishes_reaches_who_follows_and_who_subscribes() {
    let python = testkit::servers::program("python3");
    if testkit::servers::require("python", python).is_none() {
        return;
    }
    let mut world = World::new(&["--webhooks-allow", "127.0.0.1/32"]).await;
    world
        .onboard(json!({ "name": "pay", "environments": [] }))
        .await;
    world.ready("pay").await;
    let desk = tempfile::tempdir().unwrap();
    let (id, secret) = world.key("pay", "ci").await;
    let token = world.token(&id, &secret).await.unwrap();
    let file = desk.path().join("token");
    std::fs::write(&file, &token).unwrap();
    let (_running, _port, board) = consumer(&world, desk.path()).await;

    let member = Client::new(&world.site.server(), Some(Secret::from(token.as_str()))).unwrap();
    let head = world.get("/v1/events?limit=1000").await["next"]
        .as_i64()
        .unwrap();
    let mut following = member.events(&EventQuery {
        type_prefix: Some("com.example".into()),
        after: Some(head),
        ..EventQuery::default()
    });

    let data = desk.path().join("scan.json");
    std::fs::write(
        &data,
        r#"{"critical": 2, "message": "two\n2026-01-01 + all is well"}"#,
    )
    .unwrap();
    let data = format!("@{}", data.display());
    let publish = [
        "events",
        "publish",
        "--type",
        "com.example.scan.finished",
        "--subject",
        "notes:1.4",
        "--outcome",
        "fail",
        "--source",
        "https://ci.example.com/notes",
        "--id",
        "7",
        "--env",
        "pay-dev",
        "--link",
        "https://ci.example.com/7",
        "--attribute",
        "cluster=eu-1",
        "--payload",
        &data,
    ];
    let ended = cli(&world, &file, &publish).await;
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(
        ended.out.contains("com.example.scan.finished is event"),
        "{}",
        ended.out
    );

    let event = tokio::time::timeout(LONG, following.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    let sent = json!(event);
    for (name, value) in [
        ("type", "com.example.scan.finished"),
        ("source", "https://ci.example.com/notes"),
        ("id", "7"),
        ("subject", "notes:1.4"),
        ("team", "pay"),
        ("actor", "account:pay/ci"),
        ("outcome", "fail"),
        ("environment", "pay-dev"),
        ("links", "https://ci.example.com/7"),
        ("cluster", "eu-1"),
    ] {
        assert_eq!(sent[name], value, "{name}");
    }
    assert_eq!(event.data["critical"], 2);

    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let shown = eventually("the consumer has taken it", LONG, || async {
        let answer = http.get(&board).send().await.ok()?;
        let board: Value = answer.json().await.ok()?;
        board
            .get("outside pay https://ci.example.com/notes notes:1.4")
            .cloned()
    })
    .await;
    assert_eq!(shown, "com.example.scan.finished");

    // Killed or not, what is sent again is the same; and one line tells of it.
    world.restart().await;
    let ended = cli(&world, &file, &publish).await;
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(ended.out.contains("was there already"), "{}", ended.out);
    let ended = cli(&world, &file, &["events", "--type", "com.example"]).await;
    let lines: Vec<_> = ended.out.lines().collect();
    let [line] = lines.as_slice() else {
        panic!("one line, not {lines:?}");
    };
    for words in [
        "! com.example.scan.finished",
        "notes:1.4",
        "from https://ci.example.com/notes  two  by account:pay/ci",
    ] {
        assert!(line.contains(words), "{line}");
    }
}

#[tokio::test]
async fn what_may_not_be_published_is_told_at_the_command_line() {
    let world = World::new(&[]).await;
    let publish = async |arguments: &[&str]| {
        let mut all = vec!["event", "publish"];
        all.extend(arguments);
        let ended = world.site.cli(&all).await;
        (ended.code, ended.err)
    };
    for (arguments, code, words) in [
        (
            &["--type", "dev.towpath.deployment.succeeded"][..],
            3,
            "the platform's own",
        ),
        (
            &["--type", "com.example.done", "--source", "/towpath/1"],
            3,
            "the platform's own",
        ),
        (
            &["--type", "com.example.done", "--team", "none"],
            4,
            "does not exist",
        ),
        (
            &["--type", "com.example.done", "--payload", "{"],
            3,
            "--payload is not JSON",
        ),
        (
            &["--type", "com.example.done", "--payload", "@none.json"],
            4,
            "none.json",
        ),
        (&["--type", "com.example.done", "--id", "7"], 2, "--source"),
        (
            &["--type", "com.example.done", "--outcome", "perhaps"],
            2,
            "pass",
        ),
        (
            &["--type", "com.example.done", "--attribute", "seq=1"],
            3,
            "seq",
        ),
    ] {
        let (found, told) = publish(arguments).await;
        assert_eq!(found, code, "{arguments:?}: {told}");
        assert!(told.contains(words), "{arguments:?}: {told}");
    }
    let (code, told) = publish(&["--type", "com.example.done", "--payload", "null"]).await;
    assert_eq!(code, 0, "{told}");
    let all = world.get("/v1/events?type=com.example").await;
    let all = all["items"].as_array().unwrap();
    assert_eq!(
        (all.len(), &all[0]["team"], &all[0]["source"]),
        (1, &json!(""), &json!("/cli"))
    );
}
