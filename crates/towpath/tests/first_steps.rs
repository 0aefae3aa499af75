//! What somebody is told who is new here, and errs: what is wrong, and what to do.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod browser;
mod person;
mod site;

use person::Person;
use serde_json::json;
use site::{Site, work};

/// Says that each of `said` is in what a command wrote.
#[track_caller]
fn tells(ended: &site::work::Ended, code: i32, said: &[&str]) {
    assert_eq!(ended.code, code, "{ended:?}");
    for words in said {
        let told = [&ended.out, &ended.err];
        assert!(
            told.iter().any(|it| it.contains(words)),
            "{words}: {ended:?}"
        );
    }
}

#[tokio::test]
async fn a_command_line_that_is_none_says_what_is_wanted() {
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    for (arguments, wanted) in [
        (&["logs", "app", "--tail", "few"][..], "such as 20"),
        (&["logs", "app", "--tail", "-3"], "such as 20"),
        (&["logs", "app", "--release", "r1"], "such as 20"),
        (&["events", "--after", "now"], "such as 20"),
        (&["events", "--since", "friday"], "2d ago"),
        (&["events", "--correlation", "it"], "towpath events -o json"),
        (
            &["events", "publish", "--type", "a.b", "--time", "noon"],
            "such as 2027-01-31T08:00:00Z",
        ),
        (&["env", "extend", "qa", "--ttl", "8"], "90s, 30m, 8h or 2d"),
        (&["up", "--trusted-proxy", "proxy"], "such as 10.1.0.7"),
        (&["up", "--team-subscriptions", "many"], "such as 20"),
        (&["stauts"], "a similar subcommand exists: 'status'"),
        (&["secret", "run"], "did you mean `towpath secrets run`?"),
        (&["secrets", "list"], "did you mean `towpath secret list`?"),
        (&["env", "fly"], "`towpath env --help` lists the commands"),
        (&["apply", "a.yaml"], "`towpath apply -f a.yaml`"),
        (
            &["env", "create", "--from"],
            "did you mean `--clone-from ENV`?",
        ),
        (
            &["env", "create", "qa", "--clone-from"],
            "as in `towpath env create hotfix --clone-from prod`",
        ),
        (
            &["status", "--loud"],
            "`towpath status --help` shows its options",
        ),
        (&["status", "--server"], "write it as `--server URL`"),
    ] {
        tells(&site.cli(arguments).await, 2, &[wanted]);
    }
    // What variables say needs not be typed.
    let ended = site.cli(&["logs"]).await;
    tells(&ended, 2, &["Usage: towpath logs <WORKLOAD>"]);
    let ended = site.cli(&["logs", "--data", "/nowhere"]).await;
    tells(&ended, 2, &["--data <DIR>"]);
}

#[tokio::test]
async fn a_directory_and_a_tab_are_told_where_they_are() {
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    let directory = data.path().display().to_string();
    let ended = site.cli(&["plan", &directory]).await;
    tells(&ended, 1, &["is a directory", "/score.yaml"]);
    let file = data.path().join("score.yaml");
    let text = "apiVersion: score.dev/v1b1\nmetadata:\n  name: app\n\tlabels: {}\n";
    std::fs::write(&file, text).unwrap();
    let ended = site.cli(&["plan", &file.display().to_string()]).await;
    tells(&ended, 3, &["score.yaml:4:1:", "indent with spaces"]);
}

#[tokio::test]
async fn a_platform_tells_what_there_is_and_each_mistake_once() {
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    let running = site.start().await;
    for name in ["try-1", "try-2"] {
        let ended = site.cli(&["env", "create", name, "--role", "dev"]).await;
        assert_eq!(ended.code, 0, "{ended:?}");
    }
    let others = "--env, or in TOWPATH_ENV: `try-1`, `try-2`";
    tells(&site.cli(&["logs", "app"]).await, 4, &["`dev`", others]);
    tells(
        &site.cli(&["explain", "volume"]).await,
        4,
        &["`dev`", others],
    );
    let ended = site.cli(&["logs", "app", "--env", "try-1"]).await;
    tells(&ended, 4, &["TOWPATH_ENV: `try-2`"]);
    let ended = site.cli(&["status", "--env", "try-1"]).await;
    tells(&ended, 0, &["`towpath deploy score.yaml --env try-1`"]);

    let file = data.path().join("score.yaml");
    let path = file.display().to_string();
    let text = "apiVersion: score.dev/v1b1\nmetadata: { name: app }\n\
                service: { ports: { www: { port: 80 } } }\n\
                containers: { main: { image: /bin/sh } }\n\
                resources:\n  site:\n    type: route\n    params: { path: app, port: 80 }\n";
    std::fs::write(&file, text).unwrap();
    let ended = site.cli(&["plan", &path, "--env", "try-1"]).await;
    tells(&ended, 3, &["needs the parameter `host`", "`/` or `/api`"]);
    assert_eq!(ended.err.matches("`host`").count(), 2, "{ended:?}");

    let documents = data.path().join("documents.yaml");
    let text = "apiVersion: towpath.dev/v1\nkind: Environment\nmetadata: { name: one }\n\
                spec: { role: nosuch }\n---\n\
                apiVersion: towpath.dev/v1\nkind: Team\nmetadata: { name: two }\n\
                spec: { leads: [ada] }\n---\n\
                apiVersion: towpath.dev/v1\nkind: LocalGroup\nmetadata: { name: three }\n\
                spec: { members: [nobody] }\n---\n\
                apiVersion: towpath.dev/v1\nkind: Team\nmetadata: { name: four }\n\
                spec: { lead: [ada] }\n---\n\
                apiVersion: towpath.dev/v1\nkind: Team\nmetadata: { name: five }\n\
                spec: { lead: [ada], description: [x] }\n";
    std::fs::write(&documents, text).unwrap();
    let ended = site
        .cli(&["apply", "-f", &documents.display().to_string()])
        .await;
    let places = ["yaml:4:15:", "yaml:9:17:", "yaml:14:19:", "yaml:19:9:"];
    tells(&ended, 3, &places);
    // Of one document all that is wrong.
    let said = ["yaml:24:9:", "list, expected text"];
    tells(&ended, 3, &said);

    let ended = site
        .cli(&["team", "onboard", "pay", "--lead", "local:nobody"])
        .await;
    let note = "note: there is no user `nobody`";
    tells(&ended, 0, &[note, "`towpath user set nobody`"]);

    let create = async |name: &str, team: &str| {
        let all = ["env", "create", name, "--role", "dev", "--team", team];
        site.cli(&all).await
    };
    let note = "note: no team `ghost` is onboarded";
    tells(&create("try-3", "ghost").await, 0, &[note]);
    let ended = create("pay-try", "pay").await;
    tells(&ended, 0, &[]);
    assert!(!ended.err.contains("note:"), "{ended:?}");
    drop(running);
}

#[tokio::test]
async fn whoever_deploys_to_an_environment_of_others_is_told_where_theirs_are() {
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    let _running = site.start().await;
    person::ada_of_payments(&site).await;
    let made = site.cli(&["env", "create", "try-1", "--role", "dev"]).await;
    assert_eq!(made.code, 0, "{made:?}");
    let ada = Person::new();
    assert_eq!(ada.login(&site.server(), "ada", &[]).await.code, 0);
    let score = ada.home().join("score.yaml");
    let workload = work::score("hello", &json!({}), &json!({}));
    std::fs::write(&score, workload.to_string()).unwrap();
    let score = score.to_str().unwrap();
    for command in ["deploy", "plan"] {
        let ended = ada
            .run(&[command, score, "--env", "try-1", "--role", "dev"])
            .await;
        let said = [
            "the name `try-1` is taken [environment/taken]",
            "it is not one of yours: `towpath env list`",
        ];
        tells(&ended, 6, &said);
    }
}
