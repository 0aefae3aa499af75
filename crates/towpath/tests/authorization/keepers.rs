//! Whoever keeps another tool in step with teams: told of an event, they fetch what is so by now.

use std::{path::Path, process::Stdio, time::Duration};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
};

use crate::world::World;

const WITHIN: Duration = Duration::from_secs(30);

/// The consumer to begin with (`examples/consumer`), of a team that `towpath up --keepers` names.
#[tokio::test]
async fn a_consumer_fetches_who_is_in_a_team_that_is_not_its_own() {
    let Some(python) = testkit::servers::require("python", testkit::servers::program("python3"))
    else {
        return;
    };
    let world = World::new().await;
    let directory = tempfile::tempdir().unwrap();
    let (account, key) = world.account("board", "watch", &json!({})).await;
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/consumer/consumer.py");
    let mut child = Command::new(python)
        .arg(script)
        .args(["--port", "0", "--database"])
        .arg(directory.path().join("consumer.db"))
        .env("WEBHOOK_SECRET", secret)
        .env("TOWPATH_SERVER", world.site.server())
        .env("TOWPATH_ACCOUNT", account)
        .env("TOWPATH_KEY", key)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines.next_line().await.unwrap().unwrap();
    let url = line.strip_prefix("listening on ").unwrap().to_owned();
    let body = json!({ "types": ["team.*"], "url": url, "secret": secret });
    let path = "/v1/platforms/subscriptions/board";
    world.make(Method::PUT, path, &body).await;
    for name in ["ada", "bob"] {
        let path = format!("/v1/identity/users/{name}");
        world.make(Method::PUT, &path, &json!({ "spec": {} })).await;
    }
    let members = async |expected: &[&str]| {
        let url = format!("{url}members");
        testkit::eventually("it knows who is in the team", WITHIN, || async {
            let answer: Value = reqwest::get(&url).await.unwrap().json().await.unwrap();
            (answer["payments"] == json!(expected)).then_some(())
        })
        .await;
    };
    let member = |name: &str| format!("/v1/platforms/teams/payments/members/{name}");
    for name in ["ada", "bob"] {
        world.make(Method::PUT, &member(name), &Value::Null).await;
    }
    members(&["local:ada", "local:bob"]).await;
    world
        .make(Method::DELETE, &member("ada"), &Value::Null)
        .await;
    members(&["local:bob"]).await;
    child.kill().await.unwrap();
}
