//! Told of, and applied as documents.

use reqwest::Method;
use serde_json::{Value, json};
use testkit::eventually;

use crate::site::world::{LONG, World};

#[tokio::test]
async fn a_team_is_told_of_when_something_changes_and_again_and_again() {
    let world = World::new(&["--team-sync", "1s"]).await;
    world.people("payments", &["ada".into()]).await;
    world
        .onboard(json!({ "name": "payments", "environments": [] }))
        .await;
    world.ready("payments").await;
    let told = async || world.events("team.sync").await.len();
    let first = told().await;
    eventually("it is told of again", LONG, || async {
        (told().await >= first + 3).then_some(())
    })
    .await;
    // Renamed at the source: said, and nothing is removed.
    let group = "/v1/identity/groups/payments?confirm=payments";
    assert_eq!(world.ask(Method::DELETE, group, Value::Null).await.0, 204);
    let team = eventually("the group is missed", LONG, || async {
        let team = world.team("payments").await;
        (team["status"]["conditions"][5]["status"] == "False").then_some(team)
    })
    .await;
    let message = team["status"]["conditions"][5]["message"].as_str().unwrap();
    assert!(
        message.contains("was renamed or removed there"),
        "{message}"
    );
    assert_eq!(team["status"]["phase"], "ready");
}

#[tokio::test]
async fn documents_of_teams_are_applied_together_or_not_at_all() {
    let world = World::new(&[]).await;
    let team = json!({
        "apiVersion": "towpath.dev/v1", "kind": "Team",
        "metadata": { "name": "payments" }, "spec": { "environments": ["dev"], "contact": "#pay" },
    });
    let apply = async |documents: Vec<Value>| {
        let body = json!({ "documents": documents });
        world.ask(Method::POST, "/v1/apply", body).await
    };
    let outcomes = |answer: &Value| {
        let items = answer["items"].as_array().unwrap().iter();
        let one = |item: &Value| {
            format!(
                "{} {}",
                item["kind"].as_str().unwrap(),
                item["outcome"].as_str().unwrap()
            )
        };
        items.map(one).collect::<Vec<_>>()
    };
    let (status, answer) = apply(vec![team.clone()]).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(outcomes(&answer), ["Team created"]);
    // The second is beyond what is left: neither is made.
    let (status, answer) = apply(vec![
        request("payments-load", "8"),
        request("payments-more", "12"),
    ])
    .await;
    assert_eq!(status, 409, "{answer}");
    assert_eq!(
        answer["problems"][0]["path"],
        "documents[1].spec.quota.requests.cpu"
    );
    let (status, answer) = apply(vec![request("load", "8")]).await;
    assert_eq!(status, 422, "{answer}");
    world.ready("payments").await;
    let role = json!({
        "apiVersion": "towpath.dev/v1", "kind": "EnvironmentRole",
        "metadata": { "name": "trial" }, "spec": {},
    });
    let all = vec![request("payments-load", "8"), role, team];
    let (status, answer) = apply(all.clone()).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(
        outcomes(&answer),
        [
            "NamespaceRequest created",
            "EnvironmentRole created",
            "Team unchanged"
        ]
    );
    world.ready("payments").await;
    let load = world.namespace("payments", "payments-load").await;
    assert_eq!(load["spec"]["quota"]["requests"]["cpu"], "8");
    assert_eq!(
        load["spec"]["networkPolicies"]["allowIngress"][0]["fromNamespace"],
        "payments-dev"
    );
    let (_, answer) = apply(all).await;
    assert_eq!(
        outcomes(&answer),
        [
            "NamespaceRequest unchanged",
            "EnvironmentRole unchanged",
            "Team unchanged"
        ]
    );
}

/// A request for a namespace, as the team `payments` writes it.
fn request(name: &str, cpu: &str) -> Value {
    json!({
        "apiVersion": "platform.example.com/v1",
        "kind": "NamespaceRequest",
        "metadata": { "name": name },
        "spec": {
            "team": "payments",
            "description": "load tests",
            "quota": {
                "requests": { "cpu": cpu, "memory": "4Gi" },
                "limits": { "cpu": "16", "memory": "8Gi" },
            },
            "networkPolicies": {
                "defaultDeny": true,
                "allowIngress": [{ "fromNamespace": "payments-dev" }],
            },
        },
    })
}

#[tokio::test]
async fn a_request_may_say_a_part_of_a_quota_and_is_told_what_is_missing() {
    let world = World::new(&[]).await;
    world
        .onboard(json!({ "name": "payments", "environments": ["dev"] }))
        .await;
    let file = world.site.data.join("request.yaml");
    let apply = async |quota: Value| {
        let mut part = request("payments-load", "1");
        part["spec"]["quota"] = quota;
        let peers = ["nosuch-dev", "payments-dev"].map(|peer| json!({ "fromNamespace": peer }));
        part["spec"]["networkPolicies"]["allowIngress"] = json!(peers);
        std::fs::write(&file, part.to_string()).unwrap();
        let command = ["apply", "-f", file.to_str().unwrap()];
        world.site.cli(&command).await
    };
    let ended = apply(json!({ "requests": { "cpu": 1 } })).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let wanted = "still wanted: namespace `nosuch-dev`, which";
    assert!(ended.out.contains(wanted), "{ended:?}");
    let quota = world.namespace("payments", "payments-load").await["spec"]["quota"].take();
    let expected = json!({
        "requests": { "cpu": "1", "memory": "2Gi" }, "limits": { "cpu": "10", "memory": "20Gi" },
    });
    assert_eq!(quota, expected);
    for (quota, told) in [
        (
            json!({ "requests": { "cpu": {} } }),
            "write an amount, such as `2` or `500m`",
        ),
        (json!({ "requests": { "gpu": 1 } }), "did you mean `cpu`"),
    ] {
        let ended = apply(quota).await;
        assert_eq!(ended.code, 3, "{ended:?}");
        assert!(ended.err.contains(told), "{told}: {ended:?}");
    }
    // Of an allowance both are wanted, and the one that is not there is named.
    let allowance =
        json!({ "quota": { "requests": { "cpu": 1 }, "limits": { "cpu": 1, "memory": 1 } } });
    let team = json!({
        "apiVersion": "towpath.dev/v1", "kind": "Team",
        "metadata": { "name": "payments" }, "spec": { "allowance": allowance },
    });
    std::fs::write(&file, team.to_string()).unwrap();
    let command = ["apply", "-f", file.to_str().unwrap()];
    let ended = world.site.cli(&command).await;
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(ended.err.contains("missing field `memory`"), "{ended:?}");

    let show = ["namespace", "show", "payments-load", "--team", "payments"];
    let ended = world.site.cli(&show).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let let_in = "its own workloads, and those of nosuch-dev, payments-dev";
    assert!(ended.out.contains(let_in), "{ended:?}");
}

#[tokio::test]
async fn a_request_of_another_version_is_told_its_own() {
    let world = World::new(&[]).await;
    let file = world.site.data.join("request.yaml");
    for version in ["towpath.dev/v1", "platform.example.com/v2"] {
        let mut wrong = request("load", "1");
        wrong["apiVersion"] = json!(version);
        std::fs::write(&file, wrong.to_string()).unwrap();
        let ended = world
            .site
            .cli(&["apply", "-f", file.to_str().unwrap()])
            .await;
        assert_ne!(ended.code, 0, "{ended:?}");
        let told = ended.err.contains("apiVersion: platform.example.com/v1");
        assert!(told, "{version}: {ended:?}");
    }
}

#[tokio::test]
async fn what_the_guides_show_is_applied() {
    let world = World::new(&[]).await;
    world.people("payments", &["ada".into()]).await;
    // Of an allowance, too, what is not said is as it is where nothing is said.
    let search = json!({ "name": "search", "environments": [], "allowance": { "workloads": 5 } });
    let search = world.onboard(search).await;
    assert_eq!(search["spec"]["allowance"]["namespaces"], 3, "{search}");
    let file = world.site.data.join("shown.yaml");
    for (guide, kind) in [
        ("teams", "Team"),
        ("integrations", "Tool"),
        ("subscriptions", "Subscription"),
    ] {
        let path = format!("{}/../../docs/{guide}.md", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        let mark = format!("kind: {kind}\n");
        let shown: Vec<&str> = text
            .split("```yaml\n")
            .skip(1)
            .filter_map(|rest| rest.split("```").next())
            .filter(|block| block.contains(&mark))
            .collect();
        assert_eq!(shown.len(), 1, "docs/{guide}.md");
        std::fs::write(&file, shown[0]).unwrap();
        let apply = ["apply", "-f", file.to_str().unwrap()];
        let ended = world.site.cli(&apply).await;
        assert_eq!(ended.code, 0, "{kind}: {ended:?}");
    }
}

#[tokio::test]
async fn what_applying_would_change_is_said_and_nothing_is_written() {
    let world = World::new(&[]).await;
    world
        .people("watchers", &["ada".into(), "bob".into()])
        .await;
    let document = |kind: &str, name: &str, spec: Value| {
        json!({
            "apiVersion": "towpath.dev/v1", "kind": kind,
            "metadata": { "name": name }, "spec": spec,
        })
    };
    let documents = |word: &str, members: Value| {
        let definition = json!({
            "type": "word", "provisioner": "template", "params": { "outputs": { "word": word } },
        });
        vec![
            document("Team", "payments", json!({ "environments": ["dev"] })),
            document("ResourceDefinition", "word", definition),
            document("LocalGroup", "readers", json!({ "members": members })),
        ]
    };
    let file = world.site.data.join("all.yaml");
    let named = file.to_str().unwrap();
    let apply = async |documents: &Vec<Value>, plan: bool| {
        let all = documents.iter().map(Value::to_string);
        std::fs::write(&file, all.collect::<Vec<_>>().join("\n---\n")).unwrap();
        let mut line = vec!["apply", "-f", named, "-o", "json"];
        line.extend(plan.then_some("--plan"));
        let ended = world.site.cli(&line).await;
        assert_eq!(ended.code, 0, "{ended:?}");
        let answer: Value = serde_json::from_str(&ended.out).unwrap();
        let items = answer["items"].as_array().unwrap().iter();
        let one = |item: &Value| {
            let text = |name: &str| item[name].as_str().unwrap().to_owned();
            (text("kind"), text("outcome"), item["differs"].clone())
        };
        items.map(one).collect::<Vec<_>>()
    };
    let all = |outcome: &str| {
        ["Team", "ResourceDefinition", "LocalGroup"]
            .map(|kind| (kind.to_owned(), outcome.to_owned(), Value::Null))
            .to_vec()
    };
    let first = documents("a", json!(["ada"]));
    for _ in 0..2 {
        assert_eq!(apply(&first, true).await, all("created"));
    }
    let told = world.events("resource-definition.applied").await;
    let of_ours = |event: &Value| event["subject"] == "ResourceDefinition/word";
    assert!(!told.iter().any(of_ours), "nothing has happened: {told:?}");
    let path = "/v1/resource-definitions/word";
    assert_eq!(world.ask(Method::GET, path, Value::Null).await.0, 404);

    assert_eq!(apply(&first, false).await, all("created"));
    assert_eq!(apply(&first, true).await, all("unchanged"));
    let second = documents("b", json!(["ada", "bob"]));
    let mut expected = all("changed");
    expected[0].1 = "unchanged".into();
    expected[1].2 = json!(["spec.params.outputs.word"]);
    expected[2].2 = json!(["spec.members"]);
    assert_eq!(apply(&second, true).await, expected);
    let held = world.get(path).await;
    assert_eq!(held["spec"]["params"]["outputs"]["word"], "a");

    // What could not be applied is no plan either.
    let broken = document("ResourceDefinition", "word", json!({ "type": 7 }));
    std::fs::write(&file, broken.to_string()).unwrap();
    let ended = world.site.cli(&["apply", "-f", named, "--plan"]).await;
    assert_eq!(ended.code, 3, "{ended:?}");
}

#[tokio::test]
async fn where_a_document_would_change_something_is_said_of_what_it_writes() {
    let world = World::new(&[]).await;
    for name in ["payments", "shop"] {
        world
            .onboard(json!({ "name": name, "environments": ["dev"] }))
            .await;
        world.ready(name).await;
    }
    let account = |team: &str, spec: Value| {
        json!({
            "apiVersion": "towpath.dev/v1", "kind": "ServiceAccount",
            "metadata": { "name": "ci", "team": team }, "spec": spec,
        })
    };
    let role = |labels: Value, spec: Value| {
        json!({
            "apiVersion": "towpath.dev/v1", "kind": "EnvironmentRole",
            "metadata": { "name": "trial", "labels": labels }, "spec": spec,
        })
    };
    let ask = async |path: &str, documents: Vec<Value>| {
        let body = json!({ "documents": documents });
        let (status, answer) = world.ask(Method::POST, path, body).await;
        assert_eq!(status, 200, "{answer}");
        let items = answer["items"].as_array().unwrap().clone();
        let differs = items.into_iter().map(|mut item| item["differs"].take());
        differs.collect::<Vec<_>>()
    };
    let before = vec![
        request("payments-load", "4"),
        account("shop", json!({})),
        account("payments", json!({})),
        role(json!({}), json!({})),
    ];
    ask("/v1/apply", before).await;
    let after = vec![
        // A request is for a namespace.
        request("payments-load", "5"),
        // One name, of two teams.
        account("shop", json!({ "disabled": true })),
        account("payments", json!({ "description": "deploys" })),
        role(json!({ "tier": "try" }), json!({ "description": "a try" })),
    ];
    assert_eq!(
        ask("/v1/apply/plan", after).await,
        [
            json!(["spec.quota.requests.cpu"]),
            json!(["spec.disabled"]),
            json!(["spec.description"]),
            json!(["spec.description", "metadata.labels.tier"]),
        ]
    );
    let load = world.namespace("payments", "payments-load").await;
    assert_eq!(load["spec"]["quota"]["requests"]["cpu"], "4");
}
