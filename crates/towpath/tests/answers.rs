//! What commands answer: lists of one shape, no silence over what is not there, and a plan that says what its
//! deployment would be told.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod site;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{Router, http::StatusCode, routing::post};
use kernel::{Caller, Change, EventFilter, Sealer, Store, sealer::PlatformKey};
use serde_json::{Value, json};
use site::{Site, work};
use subscriptions::model::{DeadLetterSpec, Subscription, dead_letter};
use tokio::net::TcpListener;

/// A platform with the team `payments`, and its environment `payments-dev`.
async fn platform(data: &tempfile::TempDir) -> (Site, site::Running) {
    let site = Site::new(data.path());
    let running = site.start().await;
    let team = ["team", "onboard", "payments", "--environment", "dev"];
    let ended = site.cli(&team).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    (site, running)
}

#[tokio::test]
async fn every_list_is_items_in_json() {
    let data = tempfile::tempdir().unwrap();
    let (site, _running) = platform(&data).await;
    for list in [
        &["subscription", "list", "--platform"][..],
        &["subscription", "list", "--team", "payments"],
        &["integration", "list"],
        &["integration", "list", "--team", "payments"],
        &["namespace", "list", "--team", "payments"],
        &["secret", "list", "--team", "payments"],
        &["service-account", "list", "--team", "payments"],
        &["trust", "list", "--team", "payments"],
        &["team", "list"],
        &["env", "list"],
        &["user", "list"],
        &["group", "list"],
        &["client", "list"],
        &["upstream", "list"],
        &["resource", "list", "--env", "payments-dev"],
        &["get", "workloads", "--env", "payments-dev"],
        &["get", "deployments", "--env", "payments-dev"],
        &["get", "environment-roles"],
        &["get", "resource-definitions"],
        &["get", "routes"],
    ] {
        let ended = site.cli(&[list, &["-o", "json"]].concat()).await;
        assert_eq!(ended.code, 0, "{list:?}: {ended:?}");
        let answer: Value = serde_json::from_str(&ended.out).unwrap();
        assert!(answer["items"].is_array(), "{list:?}: {answer}");
    }
}

#[tokio::test]
async fn a_list_of_what_is_not_there_says_so() {
    let data = tempfile::tempdir().unwrap();
    let (site, _running) = platform(&data).await;
    for (list, says) in [
        (
            &["get", "workloads", "--env", "nope"][..],
            "environment `nope` does not exist",
        ),
        (
            &["get", "deployments", "--env", "nope"],
            "environment `nope` does not exist",
        ),
        (
            &["resource", "list", "--env", "nope"],
            "environment `nope` does not exist",
        ),
        (
            &["status", "--env", "nope"],
            "environment `nope` does not exist",
        ),
        (
            &["namespace", "list", "--team", "nope"],
            "team `nope` does not exist",
        ),
        (
            &["secret", "list", "--team", "nope"],
            "team `nope` does not exist",
        ),
        (
            &["subscription", "list", "--team", "nope"],
            "team `nope` does not exist",
        ),
        (
            &["integration", "list", "--team", "nope"],
            "team `nope` does not exist",
        ),
        (
            &["service-account", "list", "--team", "nope"],
            "team `nope` does not exist",
        ),
        (
            &["trust", "list", "--team", "nope"],
            "team `nope` does not exist",
        ),
        (
            &["subscription", "discard", "nope", "one", "--platform"],
            "subscription `nope` does not exist",
        ),
        (
            &["service-account", "create", "ci", "--team", "nope"],
            "team `nope` does not exist",
        ),
    ] {
        let ended = site.cli(list).await;
        assert_eq!(ended.code, 4, "{list:?}: {ended:?}");
        assert!(ended.err.contains(says), "{list:?}: {ended:?}");
        assert_eq!(ended.out, "", "{list:?}");
    }
}

#[tokio::test]
async fn a_role_that_there_is_not_is_refused_and_not_waited_for() {
    let data = tempfile::tempdir().unwrap();
    let (site, _running) = platform(&data).await;
    for command in [
        &[
            "team",
            "onboard",
            "shop",
            "--environment",
            "dev",
            "--environment",
            "stagin",
        ][..],
        &[
            "namespace",
            "create",
            "payments-more",
            "--team",
            "payments",
            "--role",
            "stagin",
        ],
    ] {
        let ended = site.cli(command).await;
        assert_eq!(ended.code, 3, "{command:?}: {ended:?}");
        for word in ["`stagin`", "dev", "qa", "prod"] {
            assert!(ended.err.contains(word), "{command:?}: {ended:?}");
        }
    }
    assert_eq!(site.cli(&["team", "show", "shop"]).await.code, 4);
}

#[tokio::test]
async fn a_plan_asks_what_its_deployment_asks() {
    let data = tempfile::tempdir().unwrap();
    let policies = data.path().join("policies");
    std::fs::create_dir(&policies).unwrap();
    let rule = r#"package towpath.authz
        deny contains {"rule": "acme/freeze", "message": "all is frozen until Monday", "remedy": "ask ops"} if {
            input.action == "deployment.create"
        }"#;
    std::fs::write(policies.join("acme.rego"), rule).unwrap();
    let (site, _running) = platform(&data).await;
    let score = data.path().join("score.yaml");
    let workload = work::score("hello", &json!({}), &json!({}));
    std::fs::write(&score, workload.to_string()).unwrap();
    let score = score.to_str().unwrap();
    let there = ["--env", "payments-dev"];
    // One that is made on the way is asked for as well: to make it is allowed.
    let made = ["--env", "fresh", "--role", "dev"];
    for place in [&there[..], &made] {
        for plan in [&["plan", score][..], &["deploy", score, "--plan"]] {
            let ended = site.cli(&[plan, place].concat()).await;
            assert_eq!(ended.code, 5, "{plan:?} {place:?}: {ended:?}");
            assert!(ended.out.contains("workload hello"), "the plan: {ended:?}");
            assert!(
                ended.out.contains("frozen until Monday [acme/freeze]"),
                "{ended:?}"
            );
            assert!(ended.out.contains("ask ops"), "{ended:?}");
        }
        let ended = site.cli(&[&["deploy", score][..], place].concat()).await;
        assert_eq!(ended.code, 5, "{place:?}: {ended:?}");
        // Its reason is said once.
        let said = ended.err.matches("frozen until Monday").count();
        assert_eq!(said, 1, "{ended:?}");
    }
    // The same is answered to whoever asks by itself.
    for (question, code, says) in [
        (
            &["deployment.create", "Deployment", "--env", "payments-dev"][..],
            5,
            "no\n",
        ),
        (
            &["deployment.plan", "Deployment", "--env", "payments-dev"],
            0,
            "yes\n",
        ),
        (
            &["secret.write", "TeamSecret/x", "--team", "payments"],
            0,
            "yes\n",
        ),
        (&["deployment.dream", "Deployment"], 3, ""),
        (&["deployment.create", "Deployments"], 3, ""),
    ] {
        let ended = site.cli(&[&["can"][..], question].concat()).await;
        assert_eq!((ended.code, ended.out.as_str()), (code, says), "{ended:?}");
    }
    // Who only asked has tried nothing.
    let refused = "dev.towpath.authorization.refused";
    let events = site
        .cli(&["events", "--after", "0", "--type", refused, "-o", "json"])
        .await;
    assert_eq!(events.out.lines().count(), 2, "{events:?}");
    assert_eq!(site.cli(&["env", "describe", "fresh"]).await.code, 4);
}

#[tokio::test]
async fn control_characters_are_shown_and_not_obeyed() {
    let data = tempfile::tempdir().unwrap();
    let (site, _running) = platform(&data).await;
    let clear = "before\u{1b}[2J\u{9b}31mafter";
    let change = ["team", "change", "payments", "--description", clear];
    let ended = site.cli(&change).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let shown = site.cli(&["team", "show", "payments"]).await;
    assert_eq!(shown.code, 0, "{shown:?}");
    let words = "before\\u{1b}[2J\\u{9b}31mafter";
    assert!(shown.out.contains(words), "{shown:?}");
    assert!(!shown.out.contains(['\u{1b}', '\u{9b}']), "{shown:?}");
    let json = site.cli(&["team", "show", "payments", "-o", "json"]).await;
    let team: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(team["spec"]["description"], clear, "{team}");
}

#[tokio::test]
async fn a_file_that_is_too_deep_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    let file = data.path().join("deep.yaml");
    std::fs::write(&file, format!("a: {}", "[".repeat(200_000))).unwrap();
    let ended = site.cli(&["apply", "-f", file.to_str().unwrap()]).await;
    assert_ne!(ended.code, 0, "{ended:?}");
    assert!(ended.err.contains("flatten it"), "{}", ended.err);
}

#[tokio::test]
async fn a_wrong_command_line_is_told_in_the_form_that_it_asks_for() {
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    for (line, says) in [
        (&["fly"][..], "unrecognized subcommand 'fly'"),
        (&["status", "--loud"], "unexpected argument '--loud' found"),
        (
            &["env", "create"],
            "the following required arguments were not provided: <NAME>",
        ),
        (
            &["graph", "--format", "svg"],
            "`--format` draws for people, and `--output` gives the graph to programs: they exclude each other",
        ),
    ] {
        let ended = site.cli(&[line, &["-o", "json"]].concat()).await;
        assert_eq!((ended.code, ended.out.as_str()), (2, ""), "{line:?}");
        let error: Value = serde_json::from_str(&ended.err).unwrap();
        assert_eq!(error["message"], says, "{line:?}");
        assert!(error["remedy"].is_string(), "{line:?}: {error}");
    }
    let ended = site.cli(&["fly"]).await;
    assert!(ended.err.starts_with("error: unrecognized"), "{ended:?}");
    let ended = site.cli(&["env", "--help", "-o", "json"]).await;
    assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{ended:?}");
}

#[tokio::test]
async fn what_the_platform_finds_wrong_is_told_along_with_the_mistakes_of_a_file() {
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    let _running = site.start().await;
    let files = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let file = files.path().join(name);
        std::fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let score = write(
        "score.yaml",
        "apiVersion: score.dev/v1b1\nmetadata: {name: shop}\ncontainers:\n  web: {image: /bin/sh}\n  side: {imge: x}\n\
         resources:\n  thing: {type: curio}\n",
    );
    let deployed = site.cli(&["deploy", &score]).await;
    let applied = site.cli(&["apply", "-f", &score]).await;
    assert_eq!(applied.code, 3, "{applied:?}");
    for says in ["imge", "curio"] {
        assert!(applied.err.contains(says), "{says}: {}", applied.err);
    }
    assert_eq!(applied.err, deployed.err);

    // A misspelt field of a container hides nothing that stands beside it.
    let misspelt = write(
        "misspelt.yaml",
        "apiVersion: score.dev/v1b1\nmetadata: {name: shop}\ncontainers:\n  web:\n    imag: x\n    command: [no-such-program]\n    \
         variables: {DB: \"${resources.db.urll}\"}\n    readinessProbe: {exec: {command: [pg_isredy]}}\nresources:\n  \
         db: {type: postgres}\n",
    );
    let refused = site.cli(&["plan", &misspelt]).await;
    assert_eq!(refused.code, 3, "{refused:?}");
    for says in [
        "`imag` is not a field",
        "no output `urll`",
        "no program no-such-program",
        "no program pg_isredy",
    ] {
        assert!(refused.err.contains(says), "{says}: {}", refused.err);
    }
    assert!(
        !refused.err.contains("stands for an image"),
        "{}",
        refused.err
    );

    // What is applied beside it is not there yet, and nothing is said of its absence.
    let definition = write(
        "curio.yaml",
        "apiVersion: towpath.dev/v1\nkind: ResourceDefinition\nmetadata: {name: curio}\nspec: {type: curio, \
         provisioner: template, params: {outputs: {a: b}}}\n",
    );
    let applied = site.cli(&["apply", "-f", &definition, "-f", &score]).await;
    assert_eq!(applied.code, 3, "{applied:?}");
    assert!(applied.err.contains("imge"), "{}", applied.err);
    assert!(!applied.err.contains("curio"), "{}", applied.err);
}

#[tokio::test]
async fn a_name_that_is_misspelt_makes_no_user() {
    let data = tempfile::tempdir().unwrap();
    let (site, _running) = platform(&data).await;
    for change in [["--disabled", "true"], ["--email", "grace@example.com"]] {
        let ended = site
            .cli(&[&["user", "set", "garce"][..], &change].concat())
            .await;
        assert_eq!((ended.code, ended.out.as_str()), (4, ""), "{ended:?}");
        assert!(ended.err.contains("towpath user list"), "{ended:?}");
    }
    let made = site.cli(&["user", "set", "grace"]).await;
    assert_eq!(made.code, 0, "{made:?}");
    let kept_out = site
        .cli(&["user", "set", "grace", "--disabled", "true"])
        .await;
    assert_eq!(kept_out.code, 0, "{kept_out:?}");
    let users = site.cli(&["user", "list"]).await;
    assert!(!users.out.contains("garce"), "{users:?}");
}

#[tokio::test]
async fn a_wrong_address_is_told_with_the_right_one() {
    let data = tempfile::tempdir().unwrap();
    let (site, _running) = platform(&data).await;
    let gateway = format!("http://127.0.0.1:{}", site.gateway);
    for (line, code, says) in [
        (
            &["status", "--server", gateway.as_str()][..],
            1,
            "which `towpath up` prints",
        ),
        (&["deploy", "nofile.yaml"], 4, "name a file that there is"),
        (&["up", "--listen", "9371"], 2, "127.0.0.1:7070"),
        (
            &["up", "--postgres", "mysql://host/canary"],
            2,
            "`postgres://`",
        ),
        (
            &["subscription", "show", "nope", "--platform"],
            4,
            "`towpath subscription list --platform`",
        ),
    ] {
        let ended = site.cli(line).await;
        assert_eq!(ended.code, code, "{line:?}: {ended:?}");
        assert!(ended.err.contains(says), "{line:?}: {ended:?}");
        assert!(!ended.err.contains("canary"), "{line:?}: {ended:?}");
    }
}

/// Gives the platform's subscription `hook` a dead letter, while the platform is stopped; its event's id.
async fn bury(data: &Path) -> String {
    let key = PlatformKey::from_existing(&data.join("platform.key"), None).await;
    let url = format!("sqlite://{}", data.join("towpath.db").display());
    let store = Store::open(&url, Sealer::new(key.unwrap())).await.unwrap();
    let subscription = store.expect::<Subscription>("", "hook").await.unwrap();
    let events = store.events(&EventFilter::default(), 0, 1).await.unwrap();
    let event = &events[0];
    let spec = DeadLetterSpec {
        seq: event.seq,
        kind: event.kind.clone(),
        subject: event.subject.clone(),
    };
    let letter = dead_letter(&subscription, event.entry(), spec);
    let mut change = Change::new().by(&Caller::local_admin());
    change.create(&letter).unwrap();
    store.commit(change).await.unwrap();
    store.close().await;
    letter.meta.name
}

#[tokio::test]
async fn a_replay_that_is_not_taken_is_sent_once_and_says_why() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = sent.clone();
    let receive = post(move || async move {
        counter.fetch_add(1, Ordering::SeqCst);
        StatusCode::IM_A_TEAPOT
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let router = Router::new().route("/", receive);
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let data = tempfile::tempdir().unwrap();
    let mut site = Site::new(data.path());
    site.options = vec!["--webhooks-allow".into(), "127.0.0.1/32".into()];
    let running = site.start().await;
    let created = site
        .cli(&[
            "subscription",
            "create",
            "hook",
            "--platform",
            "--type",
            "*",
            "--url",
            &url,
            "--disabled",
        ])
        .await;
    assert_eq!(created.code, 0, "{created:?}");
    running.kill();
    let event = bury(data.path()).await;
    let _running = site.start().await;
    let replay = ["subscription", "replay", "hook", &event, "--platform"];
    // Each command is another request, and the tries of one are the same.
    for times in 1..=2 {
        let ended = site.cli(&[&replay[..], &["-o", "json"]].concat()).await;
        assert_eq!(ended.code, 7, "{ended:?}");
        let error: Value = serde_json::from_str(&ended.err).unwrap();
        let [message, remedy] = ["message", "remedy"].map(|name| error[name].as_str().unwrap());
        assert!(message.ends_with("the receiver answered 418"), "{error}");
        assert!(remedy.starts_with("mend the receiver"), "{error}");
        assert_eq!(sent.load(Ordering::SeqCst), times, "{error}");
    }
}
