//! Onboarded, taken in, and gone.

use std::time::Instant;

use reqwest::Method;
use serde_json::{Value, json};
use testkit::eventually;

use crate::site::world::{LONG, World};

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
    let order = serde_json::to_value(crate::site::work::deployment(crate::site::work::score(
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
