//! Teams on a whole platform: onboarded, within their quotas, in step, and gone.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod declared;
mod ending;
mod roles;
#[path = "../site/mod.rs"]
mod site;

use std::time::Instant;

use reqwest::Method;
use serde_json::{Value, json};
use site::world::{LONG, World};
use testkit::eventually;

#[tokio::test]
async fn a_team_of_sixteen_is_onboarded() {
    let world = World::new(&[]).await;
    let names: Vec<String> = (0..16).map(|n| format!("person-{n}")).collect();
    world.people("payments", &names).await;
    let start = Instant::now();
    world
        .onboard(json!({ "name": "payments", "leads": ["local:person-0"] }))
        .await;
    let team = world.ready("payments").await;
    let took = start.elapsed();
    println!("a team of sixteen is onboarded in {took:?}");
    let conditions = team["status"]["conditions"].as_array().unwrap();
    let kinds: Vec<_> = conditions
        .iter()
        .map(|one| {
            (
                one["type"].as_str().unwrap(),
                one["status"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        kinds,
        [
            ("NamespacesReady", "True"),
            ("RoleBindingsReady", "True"),
            ("GatewaysReady", "True"),
            ("IntegrationsReady", "True"),
            ("CredentialsReady", "True"),
            ("GroupFound", "True"),
            ("LeadsInGroup", "True"),
            ("TopologyDeclared", "False"),
        ]
    );
    assert_eq!(
        world.environments().await,
        [
            "payments-dev",
            "payments-preview",
            "payments-prod",
            "payments-qa"
        ]
    );
    let prod = world.namespace("payments", "payments-prod").await;
    assert_eq!(prod["status"]["protected"], true);
    assert_eq!(prod["status"]["hosts"], "*.payments-prod.localhost");
    let accounts = world
        .get("/v1/identity/teams/payments/service-accounts")
        .await;
    assert_eq!(accounts["items"].as_array().unwrap().len(), 4);
    assert_eq!(accounts["items"][0]["spec"]["kind"], "deploy");
    eprintln!("onboarded in {took:?}");
}

#[tokio::test]
async fn a_namespace_keeps_to_its_quota_and_says_when_it_is_nearly_used_up() {
    let world = World::new(&[]).await;
    world
        .onboard(json!({ "name": "payments", "environments": ["dev"] }))
        .await;
    world.ready("payments").await;
    let (status, answer) = world.deploy("payments-dev", "big", "2500m").await;
    assert_eq!(status, 422, "{answer}");
    let problem = &answer["problems"][0];
    assert_eq!(problem["rule"], "namespace/quota");
    assert_eq!(
        problem["message"],
        "namespace `payments-dev` would have 2500m of requests.cpu, and its quota is 2: big asks for 2500m, \
         the other workloads for 0, and 2 is left"
    );
    let (status, answer) = world.deploy("payments-dev", "hello", "1500m").await;
    assert_eq!(status, 202, "{answer}");
    let (status, answer) = world.deploy("payments-dev", "more", "600m").await;
    assert_eq!(status, 422, "{answer}");
    assert!(world.events("namespace.quota-warning").await.is_empty());
    // The same again is no more than there is.
    let (status, answer) = world.deploy("payments-dev", "hello", "1700m").await;
    assert_eq!(status, 202, "{answer}");
    let warned = eventually("the quota's end is near", LONG, || async {
        world.events("namespace.quota-warning").await.pop()
    })
    .await;
    assert_eq!(warned["data"]["parts"], json!(["requests.cpu"]));
    assert_eq!(warned["team"], "payments");
    // The team raises it by itself, up to its allowance.
    let path = "/v1/teams/payments/namespaces/payments-dev";
    let quota = |cpu: u64| {
        json!({ "quota": {
            "requests": { "cpu": cpu, "memory": "2Gi" }, "limits": { "cpu": cpu, "memory": "20Gi" },
        }})
    };
    let (status, answer) = world.ask(Method::PATCH, path, quota(21)).await;
    assert_eq!(status, 409, "{answer}");
    assert_eq!(answer["problems"][0]["rule"], "namespace/allowance");
    let (status, answer) = world.ask(Method::PATCH, path, quota(4)).await;
    assert_eq!(status, 200, "{answer}");
    let (status, answer) = world.deploy("payments-dev", "more", "600m").await;
    assert_eq!(status, 202, "{answer}");
}

#[tokio::test]
async fn what_a_team_has_beside_its_namespaces_keeps_to_its_allowance() {
    let world = World::new(&[]).await;
    let amounts = |cpu: u64| json!({ "cpu": cpu, "memory": "8Gi" });
    let quota = json!({ "requests": amounts(2), "limits": amounts(4) });
    let allowance = json!({
        "namespaces": 3, "quota": { "requests": amounts(20), "limits": amounts(20) },
        "environments": quota,
    });
    world
        .onboard(json!({ "name": "payments", "environments": ["dev"], "allowance": allowance }))
        .await;
    world.ready("payments").await;
    for name in ["pr-1", "pr-2"] {
        let body = json!({ "name": name, "team": "payments", "role": "dev" });
        let (status, made) = world.ask(Method::POST, "/v1/environments", body).await;
        assert_eq!(status, 201, "{made}");
    }
    // The namespace counts for itself.
    let (status, answer) = world.deploy("payments-dev", "hello", "1900m").await;
    assert_eq!(status, 202, "{answer}");
    let (status, answer) = world.deploy("pr-1", "hello", "1500m").await;
    assert_eq!(status, 202, "{answer}");
    assert!(world.events("team.quota-warning").await.is_empty());
    let (status, answer) = world.deploy("pr-2", "hello", "600m").await;
    assert_eq!(status, 422, "{answer}");
    let problem = &answer["problems"][0];
    assert_eq!(problem["rule"], "team/allowance");
    assert_eq!(
        problem["message"],
        "what team `payments` has beside its namespaces would have 2100m of requests.cpu, and its quota is \
         2: hello asks for 600m, the other workloads for 1500m, and 500m is left"
    );
    // The same again is no more than there is, and the end is told of once.
    for _ in 0..2 {
        let (status, answer) = world.deploy("pr-2", "hello", "100m").await;
        assert_eq!(status, 202, "{answer}");
    }
    let warned = world.events("team.quota-warning").await;
    assert_eq!(warned.len(), 1, "{warned:?}");
    assert_eq!(warned[0]["data"]["parts"], json!(["requests.cpu"]));
    assert_eq!(warned[0]["team"], "payments");
    let path = "/v1/environments/pr-1";
    assert_eq!(world.ask(Method::DELETE, path, Value::Null).await.0, 202);
    eventually("what has gone counts no more", LONG, || async {
        let (status, answer) = world.deploy("pr-2", "hello", "600m").await;
        assert!(matches!(status, 202 | 422), "{answer}");
        (status == 202).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_is_there_of_the_team_is_taken_in_and_nobody_elses() {
    let world = World::new(&[]).await;
    for (name, team) in [("payments-dev", "payments"), ("payments-qa", "shop")] {
        let role = name.split_once('-').unwrap().1;
        let body = json!({ "name": name, "team": team, "role": role });
        let (status, made) = world.ask(Method::POST, "/v1/environments", body).await;
        assert_eq!(status, 201, "{made}");
    }
    let before = world.get("/v1/environments/payments-dev").await;
    let all = json!({ "name": "payments", "environments": ["dev", "qa"] });
    let (status, refused) = world.ask(Method::POST, "/v1/platforms/teams", all).await;
    assert_eq!(status, 422, "{refused}");
    assert_eq!(refused["problems"][0]["path"], "environments[1]");
    world
        .onboard(json!({ "name": "payments", "environments": ["dev"] }))
        .await;
    world.ready("payments").await;
    let after = world.get("/v1/environments/payments-dev").await;
    assert_eq!(before["metadata"], after["metadata"]);
    let dev = world.namespace("payments", "payments-dev").await;
    assert_eq!(dev["status"]["environment"], before["metadata"]["uid"]);
    assert_eq!(
        world.get("/v1/environments/payments-qa").await["spec"]["team"],
        "shop"
    );
    // Once the name is free it is the team's.
    let path = "/v1/environments/payments-qa";
    assert_eq!(world.ask(Method::DELETE, path, Value::Null).await.0, 202);
    let all = json!({ "environments": ["dev", "qa"] });
    eventually("the name is free", LONG, || async {
        let team = "/v1/platforms/teams/payments";
        let (status, answer) = world.ask(Method::PATCH, team, all.clone()).await;
        assert!(matches!(status, 200 | 422), "{answer}");
        (status == 200).then_some(())
    })
    .await;
    eventually("it is the team's", LONG, || async {
        (world.get(path).await["spec"]["team"] == "payments").then_some(())
    })
    .await;
}

#[tokio::test]
async fn names_that_begin_with_a_teams_are_that_teams() {
    let world = World::new(&[]).await;
    for team in ["pay", "pay-ments", "shop"] {
        world
            .onboard(json!({ "name": team, "environments": [] }))
            .await;
    }
    let token = async |team: &str| {
        let (client, secret) = world.key(team, "robot").await;
        world.token(&client, &secret).await.unwrap()
    };
    let (pay, payments, shop) = (
        token("pay").await,
        token("pay-ments").await,
        token("shop").await,
    );
    let make = async |token: &str, name: &str| {
        let body = json!({ "name": name, "role": "dev" });
        world
            .ask_as(token, Method::POST, "/v1/environments", body)
            .await
    };
    let (status, refused) = make(&shop, "pay-ments-qa").await;
    assert_eq!(status, 403, "{refused}");
    assert_eq!(
        refused["detail"],
        "environment `pay-ments-qa` cannot be team `shop`'s: names that begin with `pay-ments-` are another \
         team's"
    );
    let remedy = refused["remedy"].as_str().unwrap();
    assert!(remedy.contains("such as `shop-qa`"), "{remedy}");
    assert_eq!(make(&pay, "pay-ments-qa").await.0, 403, "the longest wins");
    for (token, name) in [
        (&payments, "pay-ments-qa"),
        (&pay, "pay-qa"),
        (&shop, "pr-42"),
        (&shop, "pay"),
    ] {
        let (status, made) = make(token, name).await;
        assert_eq!(status, 201, "{made}");
    }
    // A deployment that would make it, and a document, ask the same; what operates the platform may.
    let order = serde_json::to_value(site::work::deployment(site::work::score(
        "hello",
        &json!({}),
        &json!({}),
    )));
    let path = "/v1/environments/pay-ments-pr/deployments";
    let answer = world.ask_as(&shop, Method::POST, path, order.unwrap());
    assert_eq!(answer.await.0, 403);
    let document = json!({
        "apiVersion": "towpath.dev/v1", "kind": "Environment",
        "metadata": { "name": "pay-ments-load" }, "spec": { "team": "shop", "role": "dev" },
    });
    let documents = json!({ "documents": [document] });
    let applied = world.ask_as(&shop, Method::POST, "/v1/apply", documents.clone());
    assert_eq!(applied.await.0, 403);
    let applied = world.ask(Method::POST, "/v1/apply", documents).await;
    assert_eq!(applied.0, 200, "{applied:?}");
}

#[tokio::test]
async fn offboarding_removes_all_but_what_is_protected_and_says_what_stays() {
    let world = World::new(&[]).await;
    world.onboard(json!({ "name": "payments" })).await;
    world.ready("payments").await;
    let (status, made) = world
        .ask(
            Method::POST,
            "/v1/environments",
            json!({ "name": "pr-42", "team": "payments", "role": "dev" }),
        )
        .await;
    assert_eq!(status, 201, "{made}");
    for environment in ["payments-dev", "pr-42"] {
        let (status, answer) = world.deploy(environment, "hello", "100m").await;
        assert_eq!(status, 202, "{answer}");
    }
    let path = "/v1/platforms/teams/payments?confirm=payments";
    let (status, answer) = world.ask(Method::DELETE, path, Value::Null).await;
    assert_eq!(status, 202, "{answer}");
    eventually("all goes but prod", LONG, || async {
        (world.environments().await == ["payments-prod"]).then_some(())
    })
    .await;
    let team = eventually("it says what stays", LONG, || async {
        let team = world.team("payments").await;
        (team["status"]["remaining"].as_array()?.len() == 1).then_some(team)
    })
    .await;
    let kept = team["status"]["remaining"][0].as_str().unwrap();
    assert!(kept.contains("namespace payments-prod is kept"), "{kept}");
    let accounts = world
        .get("/v1/identity/teams/payments/service-accounts")
        .await;
    assert_eq!(accounts["items"], json!([]));
    let (status, answer) = world
        .ask(Method::DELETE, &format!("{path}&include=prod"), Value::Null)
        .await;
    assert_eq!(status, 202, "{answer}");
    eventually("nothing is left", LONG, || async {
        let (status, _) = world
            .ask(Method::GET, "/v1/platforms/teams/payments", Value::Null)
            .await;
        (status == 404 && world.environments().await.is_empty()).then_some(())
    })
    .await;
    assert_eq!(world.events("team.deleted").await.len(), 1);
}

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
    let group = "/v1/identity/groups/payments";
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

#[tokio::test]
async fn the_command_line_knows_teams() {
    let world = World::new(&[]).await;
    let (status, made) = world
        .ask(
            Method::POST,
            "/v1/environments",
            json!({ "name": "shop-dev", "team": "shop", "role": "dev" }),
        )
        .await;
    assert_eq!(status, 201, "{made}");
    let file = world.site.data.join("teams.json");
    let teams = json!({ "teams": [
        { "name": "payments", "idp_group": "acme/payments" },
        { "name": "shop", "environments": ["dev"] },
    ]});
    std::fs::write(&file, teams.to_string()).unwrap();
    let import = ["team", "import", "-f", file.to_str().unwrap()];
    let ended = world.site.cli(&import).await;
    assert_eq!(
        (ended.code, ended.out.as_str()),
        (0, "Team/payments created\nTeam/shop created\n")
    );
    // What is there stays as it is, whatever the file says of it now.
    let teams = json!({ "teams": [
        { "name": "payments", "idp_group": "acme/others" },
        { "name": "shop", "environments": [] },
    ]});
    std::fs::write(&file, teams.to_string()).unwrap();
    let ended = world.site.cli(&import).await;
    assert_eq!(ended.out, "Team/payments unchanged\nTeam/shop unchanged\n");
    let payments = world.get("/v1/platforms/teams/payments").await;
    assert_eq!(payments["spec"]["group"], "acme/payments");
    world.ready("shop").await;
    // What was there is the same as before.
    let after = world.get("/v1/environments/shop-dev").await;
    assert_eq!(after["metadata"]["uid"], made["metadata"]["uid"]);
    world.people("other", &["ada".into()]).await;
    for (arguments, code) in [
        (
            &[
                "team",
                "onboard",
                "search",
                "--lead",
                "local:ada",
                "--environment",
                "dev",
            ][..],
            0,
        ),
        (&["team", "member", "list", "search"], 0),
        (&["team", "member", "add", "search", "nobody-there"], 3),
        (&["team", "sync", "search"], 0),
        (&["team", "list"], 0),
        (
            &["namespace", "create", "search-load", "--team", "search"],
            0,
        ),
        (
            &[
                "namespace",
                "quota",
                "search-dev",
                "--team",
                "search",
                "--cpu",
                "30",
            ],
            3,
        ),
        (
            &[
                "namespace",
                "quota",
                "search-dev",
                "--team",
                "search",
                "--cpu",
                "4",
            ],
            0,
        ),
        (&["namespace", "list", "--team", "search"], 0),
        (
            &["namespace", "delete", "search-load", "--team", "search"],
            3,
        ),
        (
            &[
                "namespace",
                "delete",
                "search-load",
                "--team",
                "search",
                "--confirm",
                "search-load",
            ],
            0,
        ),
        (&["team", "offboard", "search"], 3),
        (&["team", "offboard", "search", "--confirm", "search"], 0),
    ] {
        let ended = world.site.cli(arguments).await;
        assert_eq!(ended.code, code, "{arguments:?}: {ended:?}");
    }
}

#[tokio::test]
async fn deleting_an_environment_that_is_made_anew_ends() {
    let world = World::new(&[]).await;
    world
        .onboard(json!({ "name": "payments", "environments": ["dev"] }))
        .await;
    world.ready("payments").await;
    let (status, answer) = world.deploy("payments-dev", "hello", "100m").await;
    assert_eq!(status, 202, "{answer}");
    let before = world.get("/v1/environments/payments-dev").await;
    let delete = ["env", "delete", "payments-dev", "--with-data"];
    let ended = tokio::time::timeout(LONG, world.site.cli(&delete)).await;
    let ended = ended.expect("it waits for the one that it deletes");
    assert_eq!(ended.code, 0, "{ended:?}");
    eventually("its namespace has another", LONG, || async {
        let now = world.get("/v1/environments/payments-dev").await;
        let uid = &now["metadata"]["uid"];
        (uid.is_string() && *uid != before["metadata"]["uid"]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_member_is_who_they_are_and_not_who_had_their_name() {
    let world = World::new(&[]).await;
    world
        .people("payments", &["ada".into(), "bob".into()])
        .await;
    let (status, _) = world
        .ask(Method::DELETE, "/v1/identity/users/ada", Value::Null)
        .await;
    assert_eq!(status, 204);
    world.people("others", &["ada".into()]).await;
    world
        .onboard(
            json!({ "name": "payments", "environments": [], "leads": ["local:ada", "local:bob"] }),
        )
        .await;
    let members = async || -> Vec<String> {
        let answer = world.get("/v1/platforms/teams/payments/members").await;
        let sources = answer["sources"].as_array().unwrap().clone();
        let members = sources[0]["members"].as_array().unwrap().clone();
        let subject = |member: &Value| member["subject"].as_str().unwrap().to_owned();
        members.iter().map(subject).collect()
    };
    // Whoever leads it had the name before.
    assert_eq!(members().await, ["local:bob"]);
    let member = async |arguments: &[&str]| {
        let command = [&["team", "member"], arguments].concat();
        world.site.cli(&command).await
    };
    let added = member(&["add", "payments", "ada"]).await;
    assert_eq!(added.code, 0, "{added:?}");
    assert_eq!(members().await, ["local:ada.2", "local:bob"]);

    // Who had the name before is nobody now, and takes nobody with them.
    let former = member(&["remove", "payments", "local:ada"]).await;
    assert_eq!(former.code, 4, "{former:?}");
    let former = member(&["add", "payments", "local:ada"]).await;
    assert_eq!(former.code, 3, "{former:?}");
    assert!(former.err.contains("`local:ada.2`"), "{}", former.err);
    assert_eq!(members().await, ["local:ada.2", "local:bob"]);
    // As the list calls them, and as they are told of.
    for who in ["local:ada.2", "ada.2", "ada"] {
        let removed = member(&["remove", "payments", who]).await;
        assert_eq!(removed.code, 0, "{who}: {removed:?}");
        assert_eq!(members().await, ["local:bob"], "{who}");
        let added = member(&["add", "payments", who]).await;
        assert_eq!(added.code, 0, "{who}: {added:?}");
        assert_eq!(members().await, ["local:ada.2", "local:bob"], "{who}");
    }
    for what in ["team.member-added", "team.member-removed"] {
        for event in world.events(what).await {
            assert_eq!(event["data"]["member"], "local:ada.2", "{event}");
        }
    }
    let removed = member(&["remove", "payments", "local:bob"]).await;
    assert_eq!(removed.code, 0, "{removed:?}");
    assert_eq!(members().await, ["local:ada.2"]);
    let nobody = member(&["remove", "payments", "bobb"]).await;
    assert_eq!(nobody.code, 4, "{nobody:?}");
    assert!(
        nobody.err.contains("towpath team member list payments"),
        "{}",
        nobody.err
    );
}

/// What a command that must end with `code` answers.
async fn cli(world: &World, code: i32, arguments: &[&str]) -> String {
    let ended = world.site.cli(arguments).await;
    assert_eq!(
        ended.code, code,
        "{arguments:?}: {}{}",
        ended.out, ended.err
    );
    format!("{}{}", ended.out, ended.err)
}

#[tokio::test]
async fn integrations_are_made_changed_and_removed_by_the_command_line() {
    let world = World::new(&[]).await;
    let place = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = place.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let github = file(
        "github.yaml",
        "type: github\nenabled: false\nconfig:\n  org: acme\n",
    );
    let token = file("token", "canary-token\n");
    let set = ["integration", "set", "github", "-f", &github];
    let said = cli(
        &world,
        0,
        &[&set[..], &["--credential-file", &token]].concat(),
    )
    .await;
    assert!(said.contains("written, with its credential"), "{said}");
    let show = || async {
        let shown = cli(&world, 0, &["integration", "show", "github", "-o", "json"]).await;
        assert!(!shown.contains("canary"), "{shown}");
        serde_json::from_str::<Value>(&shown).unwrap()
    };
    assert_eq!(show().await["spec"]["config"]["org"], "acme");
    cli(
        &world,
        0,
        &["integration", "adopt", "github", "payments", "shop"],
    )
    .await;
    cli(&world, 0, &["integration", "adopt", "github", "payments"]).await;
    cli(&world, 0, &["integration", "enable", "github"]).await;
    let held = show().await;
    assert_eq!(held["spec"]["enabled"], true);
    assert_eq!(held["spec"]["config"]["adopt"], json!(["payments", "shop"]));
    cli(&world, 0, &["integration", "disable", "github"]).await;
    // What it shows is what it takes.
    let shown = file("shown.yaml", &show().await.to_string());
    cli(&world, 0, &["integration", "set", "github", "-f", &shown]).await;
    cli(
        &world,
        0,
        &["integration", "set", "github", "--credential-file", &token],
    )
    .await;
    let told = world.events("integration.changed").await;
    assert_eq!(told.last().unwrap()["data"]["credential"], true);

    // As a document, along with others; a credential is no part of one.
    let document = |more: &str| {
        format!(
            "apiVersion: towpath.dev/v1\nkind: Integration\nmetadata: {{ name: jira }}\nspec:\n  type: github\n  \
             enabled: false\n  config: {{ org: other }}\n{more}"
        )
    };
    let plain = file("jira.yaml", &document(""));
    let said = cli(&world, 0, &["apply", "-f", &plain]).await;
    assert!(said.contains("Integration/jira created"), "{said}");
    let said = cli(&world, 0, &["apply", "-f", &plain]).await;
    assert!(said.contains("Integration/jira unchanged"), "{said}");
    let secret = file("secret.yaml", &document("  credential: canary\n"));
    let said = cli(&world, 3, &["apply", "-f", &secret]).await;
    assert!(
        said.contains("--credential-file") && !said.contains("canary"),
        "{said}"
    );
    let said = cli(&world, 3, &["integration", "set", "jira", "-f", &secret]).await;
    assert!(said.contains("holds no credential"), "{said}");
    cli(&world, 3, &["integration", "set", "other", "-f", &plain]).await;
    let wrong = file("wrong.yaml", "type: magic\nconfig: {}\n");
    let said = cli(&world, 3, &["integration", "set", "magic", "-f", &wrong]).await;
    assert!(said.contains("choose one of"), "{said}");

    let delete = ["integration", "delete", "jira"];
    cli(&world, 2, &delete).await;
    cli(&world, 0, &[&delete[..], &["--confirm", "jira"]].concat()).await;
    cli(&world, 4, &["integration", "show", "jira"]).await;
}

#[tokio::test]
async fn a_team_is_shown_and_changed_with_its_allowance_and_how_it_works_with_others() {
    let world = World::new(&[]).await;
    for team in ["payments", "search"] {
        let environments: &[&str] = if team == "payments" { &["dev"] } else { &[] };
        world
            .onboard(json!({ "name": team, "environments": environments }))
            .await;
    }
    world.ready("payments").await;
    let (status, answer) = world.deploy("payments-dev", "hello", "1700m").await;
    assert_eq!(status, 202, "{answer}");
    let allowance = [
        "--allowance",
        "namespaces=5",
        "--allowance",
        "requests.cpu=40",
    ];
    let change = ["team", "change", "payments", "--type", "platform"];
    cli(&world, 0, &[&change[..], &allowance[..]].concat()).await;
    cli(
        &world,
        2,
        &["team", "change", "payments", "--allowance", "cpu=1"],
    )
    .await;
    let team = world.team("payments").await;
    assert_eq!(team["spec"]["type"], "platform");
    assert_eq!(team["spec"]["allowance"]["namespaces"], 5);
    assert_eq!(team["spec"]["allowance"]["quota"]["requests"]["cpu"], "40");
    assert_eq!(
        team["spec"]["allowance"]["quota"]["limits"]["memory"],
        "200Gi"
    );

    let shown = eventually("the namespace says what is asked for", LONG, || async {
        let shown = cli(&world, 0, &["team", "show", "payments"]).await;
        shown.contains("1700m of 2").then_some(shown)
    })
    .await;
    for part in [
        "requests.cpu",
        "payments-dev",
        "80 % or more of requests.cpu is asked for",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let words = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "standard ones 0 5",
        "requests.cpu 2 40",
        "environments.limits.memory - 200Gi",
    ] {
        assert!(words.contains(part), "{part}: {words}");
    }

    let interaction = |rest: &[&'static str]| [&["team", "interaction"], rest].concat();
    let add = [
        "add",
        "payments",
        "--with",
        "search",
        "--mode",
        "facilitating",
        "--skill",
        "load tests",
        "--for",
        "30d",
    ];
    cli(&world, 0, &interaction(&add)).await;
    let uses = [
        "add",
        "payments",
        "--with",
        "search",
        "--mode",
        "x-as-a-service",
    ];
    cli(&world, 0, &interaction(&uses)).await;
    let again = [
        "add",
        "payments",
        "--with",
        "search",
        "--mode",
        "x-as-a-service",
        "--purpose",
        "full text",
    ];
    let listed = cli(&world, 0, &interaction(&again)).await;
    assert!(listed.contains("full text"), "{listed}");
    let all = world.team("payments").await["spec"]["interactions"].clone();
    assert_eq!(all.as_array().unwrap().len(), 2, "{all}");
    assert!(all[0]["expires"].is_string(), "{all}");
    let end = [
        "end",
        "payments",
        "--with",
        "search",
        "--mode",
        "facilitating",
    ];
    cli(&world, 0, &interaction(&end)).await;
    cli(&world, 4, &interaction(&end)).await;
    cli(
        &world,
        0,
        &interaction(&["end", "payments", "--with", "search"]),
    )
    .await;
    let left = cli(&world, 0, &interaction(&["list", "payments", "-o", "json"])).await;
    assert_eq!(
        serde_json::from_str::<Value>(&left).unwrap(),
        json!({ "items": [] })
    );
}
