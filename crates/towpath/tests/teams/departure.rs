//! When somebody leaves a team, what they have seen ends everywhere.

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use crate::{
    command_line::cli,
    person::{PASSWORD, Person},
    site::{
        work,
        world::{LONG, World},
    },
};

const SECRETS: &str = "/v1/teams/payments/secrets";
const DEPLOY: &str = "deploy-credentials%2Fpayments-dev%2Fdeploy-payments-dev";
const ALL: &str = "/v1/environments/payments-dev/resources";
const DEPARTURE: &str = "/v1/teams/payments/departures/local:ada";
const ROTATE: [&str; 5] = ["team", "departure", "payments", "local:ada", "--rotate"];
/// A rule by which nobody gives a resource new credentials.
const HELD: &str = r#"package towpath.authz

deny contains {
	"rule": "acme/held",
	"message": "no resource is rotated today",
	"remedy": "do it tomorrow",
} if {
	input.action == "resource.rotate"
}
"#;

/// The team `payments` with its lead and `ada`, whose token this is.
async fn ada_of_payments(world: &World) -> String {
    for name in ["lea", "ada"] {
        let path = format!("/v1/identity/users/{name}");
        let body = json!({ "spec": {}, "password": PASSWORD });
        let (status, made) = world.ask(Method::PUT, &path, body).await;
        assert_eq!(status, 200, "{made}");
    }
    let members = json!({ "members": ["lea", "ada"] });
    let path = "/v1/identity/groups/payments";
    let (status, made) = world.ask(Method::PUT, path, members).await;
    assert_eq!(status, 200, "{made}");
    world
        .onboard(json!({
            "name": "payments", "environments": ["dev"], "leads": ["local:lea"],
        }))
        .await;
    world.ready("payments").await;
    let person = Person::new();
    let ended = person.login(&world.site.server(), "ada", &[]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    person.tokens(0)["access"].as_str().unwrap().to_owned()
}

async fn put(world: &World, name: &str, body: Value) {
    let path = format!("{SECRETS}/{name}");
    let (status, answer) = world.ask(Method::PUT, &path, body).await;
    assert_eq!(status, 200, "{answer}");
}

/// What somebody is told of a secret.
async fn told(world: &World, token: &str, name: &str) -> String {
    let path = format!("{SECRETS}/{name}/value");
    let (status, answer) = world.ask_as(token, Method::GET, &path, Value::Null).await;
    assert_eq!(status, 200, "{answer}");
    answer["value"].as_str().unwrap().to_owned()
}

async fn leaves(world: &World, name: &str) {
    let path = format!("/v1/platforms/teams/payments/members/{name}");
    let (status, answer) = world.ask(Method::DELETE, &path, Value::Null).await;
    assert!((200..300).contains(&status), "{answer}");
}

/// What is said of a thing in the answer.
fn item<'a>(answer: &'a Value, name: &str) -> &'a Value {
    let mut items = answer["items"].as_array().unwrap().iter();
    let found = items.find(|item| item["name"] == name);
    found.unwrap_or_else(|| panic!("{name} is not in {answer}"))
}

/// Deploys a workload that greets with this.
async fn deploys(world: &World, greeting: &str, resources: &Value) {
    let score = work::score("hello", &json!({ "GREETING": greeting }), resources);
    let (status, answer) = world.order("payments-dev", score).await;
    assert_eq!(status, 202, "{answer}");
}

/// What it greets with, once that is not what it was before.
async fn greeting(world: &World, before: &str) -> String {
    testkit::eventually("it greets with something else", LONG, || async {
        let host = "hello.payments-dev.localhost";
        let (status, text) = world.site.get(host).await.ok()?;
        (status == 200 && text != before).then_some(text)
    })
    .await
}

/// The name of the resource of a type, as soon as it is there.
async fn resource(world: &World, kind: &str) -> String {
    let node = format!("{kind}.");
    testkit::eventually("the resource is there", LONG, || async {
        let found = world.get(ALL).await;
        let ready = found["items"].as_array()?.iter().find(|one| {
            one["spec"]["node"]
                .as_str()
                .is_some_and(|name| name.starts_with(&node))
                && one["status"]["phase"] == "ready"
        })?;
        Some(ready["metadata"]["name"].as_str()?.to_owned())
    })
    .await
}

/// What somebody is told of a resource.
async fn revealed(world: &World, token: &str, name: &str, output: &str) -> String {
    let path = format!("{ALL}/{name}/outputs?reveal={output}");
    let (status, seen) = world.ask_as(token, Method::GET, &path, Value::Null).await;
    assert_eq!(status, 200, "{seen}");
    seen["revealed"][output].as_str().unwrap().to_owned()
}

/// What `ada` still knows.
async fn known(world: &World) -> Vec<String> {
    let known = world.get(DEPARTURE).await;
    let told = known["told"].as_array().unwrap().iter();
    told.map(|one| one["name"].as_str().unwrap().to_owned())
        .collect()
}

/// The command's answer.
async fn rotated(world: &World, code: i32) -> Value {
    let ended = world
        .site
        .cli(&[&ROTATE[..], &["-o", "json"]].concat())
        .await;
    assert_eq!(ended.code, code, "{ended:?}");
    serde_json::from_str(&ended.out).unwrap()
}

#[tokio::test]
async fn a_secret_is_known_for_as_long_as_a_workload_runs_with_it() {
    let mut world = World::new(&[]).await;
    let ada = ada_of_payments(&world).await;
    put(&world, "session-key", json!({ "generate": 32 })).await;
    let key = json!({ "key": { "type": "secret", "params": { "name": "session-key" } } });
    deploys(&world, "${resources.key.value}", &key).await;
    let before = told(&world, &ada, "session-key").await;
    assert_eq!(greeting(&world, "").await, before);

    // It gets a new value, which the workload is not given.
    let held = world.site.data.join("policies/held.rego");
    std::fs::create_dir_all(held.parent().unwrap()).unwrap();
    std::fs::write(&held, HELD).unwrap();
    world.restart().await;
    let answer = rotated(&world, 1).await;
    assert_eq!(
        item(&answer, "session-key")["outcome"],
        "failed",
        "{answer}"
    );
    let path = format!("{SECRETS}/session-key");
    assert_eq!(world.get(&path).await["version"], 2);
    assert_eq!(greeting(&world, "").await, before);
    assert_eq!(known(&world).await, ["session-key"]);

    std::fs::remove_file(&held).unwrap();
    world.restart().await;
    let answer = rotated(&world, 0).await;
    assert_eq!(item(&answer, "session-key")["outcome"], "ended", "{answer}");
    assert_eq!(
        world.get(&path).await["version"],
        2,
        "it is not drawn again"
    );
    let value = async || {
        let found = world.get(&format!("{path}/value")).await;
        found["value"].as_str().unwrap().to_owned()
    };
    assert_eq!(greeting(&world, &before).await, value().await);
    let nothing: [&str; 0] = [];
    assert_eq!(known(&world).await, nothing);

    // The same where somebody else rotates it.
    let before = told(&world, &ada, "session-key").await;
    let (status, answer) = world
        .ask(
            Method::POST,
            "/v1/teams/payments/secret-rotations",
            json!({ "path": "session-key" }),
        )
        .await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(known(&world).await, ["session-key"]);
    let answer = rotated(&world, 0).await;
    assert_eq!(item(&answer, "session-key")["outcome"], "ended", "{answer}");
    assert_eq!(world.get(&path).await["version"], 3);
    assert_eq!(greeting(&world, &before).await, value().await);
    assert_eq!(known(&world).await, nothing);
}

#[tokio::test]
async fn what_a_resource_is_made_of_is_rotated_once_and_a_constant_by_people() {
    let world = World::new(&[]).await;
    let ada = ada_of_payments(&world).await;
    let definition = |name: &str, secrets: Value, resources: Value| {
        json!({
            "apiVersion": "towpath.dev/v1", "kind": "ResourceDefinition",
            "metadata": { "name": name },
            "spec": {
                "type": name, "provisioner": "template",
                "params": { "secrets": secrets }, "resources": resources,
            },
        })
    };
    let documents = json!({ "documents": [
        definition("base", json!({ "token": "{{ credential('base') }}" }), json!({})),
        definition(
            "link",
            json!({ "url": "link-${resources.base.token}" }),
            json!({ "base": { "type": "base" } }),
        ),
        definition("fixed", json!({ "key": "always-the-same" }), json!({})),
    ]});
    let (status, answer) = world.ask(Method::POST, "/v1/apply", documents).await;
    assert_eq!(status, 200, "{answer}");
    let resources = json!({ "link": { "type": "link" }, "fixed": { "type": "fixed" } });
    let greets = "${resources.link.url} ${resources.fixed.key}";
    deploys(&world, greets, &resources).await;
    let before = greeting(&world, "").await;
    let [base, link, fixed] = [
        resource(&world, "base").await,
        resource(&world, "link").await,
        resource(&world, "fixed").await,
    ];
    let token = revealed(&world, &ada, &base, "token").await;
    let url = revealed(&world, &ada, &link, "url").await;
    assert_eq!(url, format!("link-{token}"));
    let key = revealed(&world, &ada, &fixed, "key").await;
    assert_eq!(before, format!("{url} {key}"));

    leaves(&world, "ada").await;
    let no_wait = [&ROTATE[..], &["--no-wait"]].concat();
    for _ in 0..2 {
        cli(&world, 0, &no_wait).await;
    }
    let answer = rotated(&world, 0).await;
    let by_hand = item(&answer, &fixed);
    assert_eq!(by_hand["outcome"], "by-hand", "{answer}");
    let command = format!("towpath resource rotate {fixed} --env payments-dev");
    assert_eq!(by_hand["commands"], json!([command]));
    assert_ne!(greeting(&world, &before).await, before);
    assert_eq!(known(&world).await, [fixed.as_str()]);
    let requested = world.events("resource-instance.rotation-requested").await;
    let times = |name: &str| {
        let subject = format!("ResourceInstance/payments-dev/{name}");
        let of_it = requested.iter().filter(|event| event["subject"] == subject);
        of_it.count()
    };
    assert_eq!([times(&base), times(&link), times(&fixed)], [1, 1, 0]);

    // Rotated all the same, it has the value of before: it has not ended.
    let rotate = [
        "resource",
        "rotate",
        fixed.as_str(),
        "--env",
        "payments-dev",
    ];
    let said = cli(&world, 0, &rotate).await;
    assert!(said.contains("has the credentials of before"), "{said}");
    let told = testkit::eventually("no workload uses the former", LONG, || async {
        let told = world.events("resource-instance.credentials-retired").await;
        let mut told = told.into_iter();
        told.find(|event| {
            event["subject"]
                .as_str()
                .is_some_and(|it| it.ends_with(&fixed))
        })
    })
    .await;
    assert_eq!(told["data"]["ended"], false, "{told}");
    assert_eq!(known(&world).await, [fixed.as_str()]);
    let answer = rotated(&world, 0).await;
    assert_eq!(item(&answer, &fixed)["outcome"], "by-hand", "{answer}");
}

#[tokio::test]
async fn keys_and_drawn_secrets_that_somebody_saw_end_by_one_command() {
    let world = World::new(&[]).await;
    let ada = ada_of_payments(&world).await;
    put(&world, "session-key", json!({ "generate": 32 })).await;
    put(&world, "stripe", json!({ "value": { "value": "sk-1" } })).await;
    let before = told(&world, &ada, "session-key").await;
    assert_eq!(told(&world, &ada, "stripe").await, "sk-1");
    let account = "payments/deploy-payments-dev";
    let deploys = told(&world, &ada, DEPLOY).await;
    let token = world.token(account, &deploys).await.unwrap();
    // A rotation of its own leaves the key that she saw good, and so it is still hers to know.
    let path = json!({ "path": "deploy-credentials" });
    let rotations = "/v1/teams/payments/secret-rotations";
    let (status, answer) = world.ask(Method::POST, rotations, path).await;
    assert_eq!(status, 200, "{answer}");
    testkit::eventually("another key is kept", LONG, || async {
        let info = world.get(&format!("{SECRETS}/{DEPLOY}")).await;
        (info["version"] == 2).then_some(())
    })
    .await;
    assert!(world.token(account, &deploys).await.is_ok());
    assert_eq!(known(&world).await.len(), 3);

    leaves(&world, "ada").await;
    let said = cli(&world, 0, &[&ROTATE[..], &["-o", "json"]].concat()).await;
    let answer: Value = serde_json::from_str(&said).unwrap();
    let deploy = "deploy-credentials/payments-dev/deploy-payments-dev";
    assert_eq!(item(&answer, deploy)["outcome"], "ended", "{answer}");
    assert_eq!(item(&answer, "session-key")["outcome"], "ended");
    let by_hand = item(&answer, "stripe");
    assert_eq!(by_hand["outcome"], "by-hand");
    let command = "towpath secret set stripe --team payments";
    assert_eq!(by_hand["commands"], json!([command]));

    // What she saw is refused, and what took its place works.
    let refused = world.token(account, &deploys).await.unwrap_err();
    assert_eq!(refused["error"], "invalid_client");
    let path = "/v1/environments/payments-dev";
    let (status, answer) = world.ask_as(&token, Method::GET, path, Value::Null).await;
    assert_eq!(status, 401, "{answer}");
    let value = async |name: &str| {
        let found = world.get(&format!("{SECRETS}/{name}/value")).await;
        found["value"].as_str().unwrap().to_owned()
    };
    assert!(world.token(account, &value(DEPLOY).await).await.is_ok());
    assert_ne!(value("session-key").await, before);

    // In the trail, each with the reason; again nothing is rotated twice.
    let reason = json!("departure of local:ada");
    for kind in [
        "member.departure-rotated",
        "deploy-credential.rotation-requested",
        "secret.written",
    ] {
        let events = world.events(kind).await;
        let because = events.iter().filter(|event| event["reason"] == reason);
        assert_eq!(because.count(), 1, "{kind}: {events:?}");
    }
    let version = world.get(&format!("{SECRETS}/session-key")).await["version"].clone();
    let said = cli(&world, 0, &ROTATE).await;
    assert!(
        said.contains(command) && !said.contains("session-key"),
        "{said}"
    );
    let again = world.get(&format!("{SECRETS}/session-key")).await;
    assert_eq!(again["version"], version);
}

#[tokio::test]
async fn the_login_of_a_database_that_somebody_saw_ends_by_one_command() {
    if testkit::servers::postgres().await.is_none() {
        return;
    }
    let world = World::new(&[]).await;
    let ada = ada_of_payments(&world).await;
    let resources = json!({ "db": { "type": "postgres" } });
    deploys(&world, "${resources.db.password}", &resources).await;
    let name = resource(&world, "postgres").await;
    let url = revealed(&world, &ada, &name, "url").await;
    let connected = PgConnection::connect(&url).await.unwrap();
    connected.close().await.unwrap();

    leaves(&world, "ada").await;
    let said = cli(&world, 0, &[&ROTATE[..], &["-o", "json"]].concat()).await;
    let answer: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(item(&answer, &name)["outcome"], "ended", "{answer}");
    assert!(PgConnection::connect(&url).await.is_err(), "it still works");
    let again = cli(&world, 0, &ROTATE).await;
    assert!(again.contains("nothing that is to be rotated"), "{again}");
    let misspelt = ["team", "departure", "payments", "local:adda"];
    let said = cli(&world, 0, &misspelt).await;
    assert!(said.contains("check the subject"), "{said}");
    let requested = world.events("resource-instance.rotation-requested").await;
    assert_eq!(requested.len(), 1, "{requested:?}");
    assert_eq!(requested[0]["reason"], "departure of local:ada");
    let path = "/v1/environments/payments-dev?data=remove";
    let (status, answer) = world.ask(Method::DELETE, path, Value::Null).await;
    assert!((200..300).contains(&status), "{answer}");
    testkit::eventually("the database is gone", LONG, || async {
        let left = world.get(ALL).await;
        let none = left["items"].as_array().is_none_or(Vec::is_empty);
        none.then_some(())
    })
    .await;
}

/// A program that makes a thing with a key, and cannot remove it.
const SHOP: &str = r#"#!/bin/sh
case $(cat) in
	*'"action":"provision"'*) echo '{"outputs":{},"secrets":{"key":"open-sesame"}}' ;;
	*'"action":"presence"'*) echo '{"presence":"present"}' ;;
	*'"action":"remove"'*) echo 'the shop is closed' >&2; exit 3 ;;
esac
"#;

#[tokio::test]
async fn the_login_of_what_was_given_up_is_known_until_somebody_has_seen_to_what_is_left() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::new(&[]).await;
    let ada = ada_of_payments(&world).await;
    let program = world.site.data.join("commands/shop");
    std::fs::create_dir_all(program.parent().unwrap()).unwrap();
    std::fs::write(&program, SHOP).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let documents = json!({ "documents": [{
        "apiVersion": "towpath.dev/v1", "kind": "ResourceDefinition",
        "metadata": { "name": "shop" },
        "spec": {
            "type": "shop", "provisioner": "command",
            "params": { "command": "shop" }, "outputs": ["key"],
        },
    }]});
    let (status, answer) = world.ask(Method::POST, "/v1/apply", documents).await;
    assert_eq!(status, 200, "{answer}");
    let resources = json!({ "shop": { "type": "shop" } });
    deploys(&world, "${resources.shop.key}", &resources).await;
    let name = resource(&world, "shop").await;
    revealed(&world, &ada, &name, "key").await;
    assert_eq!(known(&world).await, [name.as_str()]);

    let path = "/v1/environments/payments-dev/workloads/hello";
    let (status, answer) = world.ask(Method::DELETE, path, Value::Null).await;
    assert_eq!(status, 202, "{answer}");
    let abandon = format!("{ALL}/{name}/abandon");
    let remnant = testkit::eventually("its removal fails, and it is given up", LONG, || async {
        let (status, answer) = world.ask(Method::POST, &abandon, Value::Null).await;
        let remnant = answer["metadata"]["name"].as_str().map(str::to_owned);
        remnant.filter(|_| status == 201)
    })
    .await;
    assert_eq!(known(&world).await, [remnant.as_str()]);

    // Another of its name is not what she was told of.
    deploys(&world, "${resources.shop.key}", &resources).await;
    assert_eq!(resource(&world, "shop").await, name);
    assert_eq!(known(&world).await, [remnant.as_str()]);
    leaves(&world, "ada").await;
    let answer = rotated(&world, 0).await;
    assert_eq!(answer["items"].as_array().unwrap().len(), 1, "{answer}");
    let left = item(&answer, &remnant);
    assert_eq!(
        (&left["kind"], &left["outcome"]),
        (&json!("Remnant"), &json!("by-hand"))
    );
    let reason = left["reason"].as_str().unwrap();
    assert!(
        reason.contains("given up") && reason.contains("(command)"),
        "{reason}"
    );
    let commands = ["get", "delete"].map(|verb| format!("towpath {verb} remnant {remnant}"));
    assert_eq!(left["commands"], json!(commands));
    let requested = world.events("resource-instance.rotation-requested").await;
    assert!(requested.is_empty(), "{requested:?}");

    cli(&world, 0, &["delete", "remnant", remnant.as_str()]).await;
    let nothing: [&str; 0] = [];
    assert_eq!(known(&world).await, nothing);
    let answer = rotated(&world, 0).await;
    assert_eq!(answer["items"], json!([]));
}
