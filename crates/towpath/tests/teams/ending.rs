//! The end of a team, and of a namespace: what is lost by it is said before, and what of it hangs on whom.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    command_line::cli,
    site::{
        work,
        world::{LONG, World},
    },
};

#[tokio::test]
async fn the_end_of_a_team_says_first_which_data_goes_with_it() {
    let world = World::new(&[]).await;
    world
        .onboard(json!({ "name": "payments", "environments": ["dev", "prod"] }))
        .await;
    world.ready("payments").await;
    let end = ["team", "offboard", "payments"];
    let said = cli(&world, 3, &end).await;
    assert!(said.contains("--confirm payments"), "{said}");
    assert!(!said.contains("data"), "{said}");
    let misspelt = ["team", "offboard", "payments", "--confirm", "paymnts"];
    let said = cli(&world, 3, &misspelt).await;
    assert!(said.contains("not confirmed by `paymnts`"), "{said}");

    let resources = json!({ "files": { "type": "volume" } });
    for environment in ["payments-dev", "payments-prod"] {
        let score = work::score("hello", &json!({}), &resources);
        let (status, answer) = world.order(environment, score).await;
        assert_eq!(status, 202, "{answer}");
    }
    let dump = async |environment: &str| {
        let path = format!("/v1/environments/{environment}/resources");
        testkit::eventually("its volume is there", LONG, || async {
            let all = world.get(&path).await;
            let name = all["items"][0]["metadata"]["name"].as_str()?;
            Some(format!("towpath resource dump {name} --env {environment}"))
        })
        .await
    };
    let (dev, prod) = (dump("payments-dev").await, dump("payments-prod").await);
    let said = cli(&world, 3, &end).await;
    for what in ["`payments-dev`", &dev, "volume.default#hello.files"] {
        assert!(said.contains(what), "{what}: {said}");
    }
    // What is protected stays, until it is said that it goes too.
    assert!(!said.contains(&prod), "{said}");
    let see = "stays, `payments-prod`: `towpath team offboard payments --include prod`";
    assert!(said.contains(see), "{said}");
    let all = [&end[..], &["--include", "prod"]].concat();
    let said = cli(&world, 3, &all).await;
    assert!(said.contains(&prod) && said.contains(&dev), "{said}");
    assert!(said.contains("--out payments-prod-"), "{said}");
    assert!(!said.contains("stays"), "{said}");

    // The same of one namespace.
    let create = ["namespace", "create", "payments-load", "--team", "payments"];
    cli(&world, 0, &create).await;
    let delete = ["namespace", "delete", "payments-load", "--team", "payments"];
    let said = cli(&world, 3, &delete).await;
    assert!(!said.contains("data"), "{said}");
    let score = work::score("hello", &json!({}), &resources);
    let (status, answer) = world.order("payments-load", score).await;
    assert_eq!(status, 202, "{answer}");
    let load = dump("payments-load").await;
    let said = cli(&world, 3, &delete).await;
    assert!(said.contains(&load) && !said.contains(&dev), "{said}");
    cli(
        &world,
        0,
        &[&delete[..], &["--confirm", "payments-load"]].concat(),
    )
    .await;
}

#[tokio::test]
async fn an_environment_that_was_given_a_protected_role_stays_with_its_namespace() {
    let world = World::new(&[]).await;
    world
        .onboard(json!({ "name": "payments", "environments": ["dev"] }))
        .await;
    world.ready("payments").await;
    let path = "/v1/environments/payments-dev";
    let to_prod = json!({ "role": "prod" });
    let (status, changed) = world.ask(Method::PATCH, path, to_prod).await;
    assert_eq!(status, 200, "{changed}");
    testkit::eventually("its namespace knows", LONG, || async {
        let namespace = world.namespace("payments", "payments-dev").await;
        (namespace["status"]["protected"] == true).then_some(())
    })
    .await;

    let end = "/v1/platforms/teams/payments?confirm=payments";
    let (status, answer) = world.ask(Method::DELETE, end, Value::Null).await;
    assert_eq!(status, 202, "{answer}");
    let stays = testkit::eventually("it says what stays", LONG, || async {
        let team = world.team("payments").await;
        let remaining = team["status"]["remaining"].as_array()?;
        (remaining.len() == 1).then(|| remaining[0].to_string())
    })
    .await;
    let why = "namespace payments-dev is kept with all that is in it: the role of its environment is protected";
    assert!(stays.contains(why), "{stays}");
    let environment = world.get(path).await;
    assert_eq!(environment["spec"]["role"], "prod");
    assert_eq!(environment["metadata"]["deleting"], Value::Null);

    let all = format!("{end}&include=prod");
    let (status, answer) = world.ask(Method::DELETE, &all, Value::Null).await;
    assert_eq!(status, 202, "{answer}");
    testkit::eventually("nothing is left", LONG, || async {
        let (status, _) = world.ask(Method::GET, path, Value::Null).await;
        (status == 404).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_end_of_a_team_says_first_what_people_have_made_in_it() {
    let world = World::new(&["--webhooks-allow", "127.0.0.1/32"]).await;
    world
        .onboard(json!({ "name": "payments", "environments": ["dev", "prod"] }))
        .await;
    world.ready("payments").await;
    // What the platform makes for every team is nobody's to keep.
    let end = ["team", "offboard", "payments"];
    let all = [&end[..], &["--include", "prod"]].concat();
    assert!(!cli(&world, 3, &all).await.contains("people have made"));

    let teams = "/v1/teams/payments";
    let accounts = "/v1/identity/teams/payments/service-accounts";
    let deploys = json!({ "kind": "deploy", "environment": "payments-load" });
    let written = json!({ "value": { "value": "sk-live-1" } });
    let hook = json!({ "types": ["com.example.*"], "url": "http://127.0.0.1:1/" });
    for (method, path, body) in [
        (
            Method::PUT,
            format!("{teams}/secrets/stripe%2Fapi-key"),
            written,
        ),
        (
            Method::PUT,
            format!("{teams}/secrets/drawn"),
            json!({ "generate": 32 }),
        ),
        (Method::PUT, format!("{teams}/subscriptions/board"), hook),
        (
            Method::POST,
            format!("{teams}/namespaces"),
            json!({ "name": "payments-load" }),
        ),
        (Method::PUT, format!("{accounts}/ci"), json!({})),
        (Method::PUT, format!("{accounts}/loads"), deploys),
    ] {
        let (status, answer) = world.ask(method, &path, body).await;
        assert!((200..300).contains(&status), "{path}: {answer}");
    }
    testkit::eventually("whether it is protected is known", LONG, || async {
        let namespace = world.namespace("payments", "payments-load").await;
        (namespace["status"]["protected"] == false).then_some(())
    })
    .await;
    let said = cli(&world, 3, &all).await;
    for what in [
        "secrets `stripe/api-key`",
        "`towpath secret get NAME --team payments --value`",
        "subscriptions `board`",
        "service accounts `ci`, `loads`",
        "namespaces `payments-load`",
        "--confirm payments",
    ] {
        assert!(said.contains(what), "{what}: {said}");
    }
    for what in ["drawn", "deploy-payments-dev", "sk-live-1", "stays"] {
        assert!(!said.contains(what), "{what}: {said}");
    }
    // Secrets go last: they stay with what is protected.
    let said = cli(&world, 3, &end).await;
    assert!(said.contains("stays, `payments-prod`"), "{said}");
    assert!(said.contains("`ci`") && !said.contains("stripe"), "{said}");
    // The same of one namespace: what deploys to it.
    let delete = ["namespace", "delete", "payments-load", "--team", "payments"];
    let said = cli(&world, 3, &delete).await;
    assert!(said.contains("service accounts `loads`"), "{said}");
    assert!(!said.contains("`ci`") && !said.contains("stripe"), "{said}");
}

/// Whoever has written the present value knows it, as long as it is that; what the platform draws they do not.
async fn knows_what_it_wrote(world: &World) {
    let (client, secret) = world.key("payments", "writer").await;
    let token = world.token(&client, &secret).await.unwrap();
    let me = world
        .ask_as(&token, Method::GET, "/v1/whoami", Value::Null)
        .await;
    let me = me.1["subject"].as_str().unwrap().to_owned();
    let known = async || {
        let show = ["team", "departure", "payments", &me, "-o", "json"];
        let said = cli(world, 0, &show).await;
        let said: Value = serde_json::from_str(&said).unwrap();
        let told = said["told"].as_array().unwrap().clone();
        told.iter()
            .map(|one| one["name"].clone())
            .collect::<Vec<_>>()
    };
    let put = async |token: &str, name: &str, body: Value| {
        let path = format!("/v1/teams/payments/secrets/{name}");
        let (status, answer) = world.ask_as(token, Method::PUT, &path, body).await;
        assert_eq!(status, 200, "{answer}");
    };
    put(&token, "drawn", json!({ "generate": 32 })).await;
    assert_eq!(known().await, [""; 0]);
    for value in ["one", "two"] {
        put(&token, "key", json!({ "value": { "value": value } })).await;
        assert_eq!(known().await, ["key"], "{value}");
    }
    // Another's value is not theirs.
    let path = "/v1/teams/payments/secrets/key";
    let body = json!({ "value": { "value": "three" } });
    let (status, answer) = world.ask(Method::PUT, path, body).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(known().await, [""; 0]);
}

#[tokio::test]
async fn what_of_a_team_hangs_on_somebody_its_leads_are_told_and_no_more() {
    let world = World::new(&[]).await;
    let team = [
        "team",
        "onboard",
        "payments",
        "--environment",
        "dev",
        "--no-wait",
    ];
    cli(
        &world,
        0,
        &[&team[..], &["--boundary", "what is paid"]].concat(),
    )
    .await;
    let show = ["team", "departure", "payments", "local:ada"];
    let said = cli(&world, 0, &[&show[..], &["-o", "json"]].concat()).await;
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["seen"], json!([]), "{said}");
    let text = cli(&world, 0, &show).await;
    assert!(text.contains("No key."), "{text}");
    knows_what_it_wrote(&world).await;
    assert!(!text.contains("Ends with"), "{text}");
    let shown = cli(&world, 0, &["team", "show", "payments"]).await;
    assert!(shown.contains("what is paid"), "{shown}");
    let change = ["team", "change", "payments", "--boundary", "what is booked"];
    let shown = cli(&world, 0, &change).await;
    assert!(shown.contains("what is booked"), "{shown}");
    testkit::eventually("what it answers for is declared", LONG, || async {
        let team = world.get("/v1/platforms/teams/payments").await;
        let all = team["status"]["conditions"].as_array()?.clone();
        let declared = all.iter().find(|one| one["type"] == "TopologyDeclared")?;
        (declared["status"] == "True").then_some(())
    })
    .await;
}
