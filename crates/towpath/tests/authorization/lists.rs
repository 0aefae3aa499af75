//! Lists hold what their reader may see, and nothing else.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{trail::came, world::World};

#[tokio::test]
async fn lists_hold_what_their_reader_may_see_and_nothing_else() {
    let world = World::new().await;
    for (caller, expected) in [
        ("stranger", &["shop-dev"][..]),
        ("credential", &["pay-dev"]),
        ("agent", &["pay-dev", "pay-other"]),
        ("pipeline", &["pay-dev", "pay-other"]),
        ("admin", &["pay-dev", "pay-other", "shop-dev"]),
    ] {
        let all = world.all(caller, "/v1/environments").await;
        let names: Vec<_> = all
            .iter()
            .map(|e| e["metadata"]["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, expected, "{caller}");
    }
    assert!(world.all("stranger", "/v1/routes").await.is_empty());
    assert!(!world.all("pipeline", "/v1/routes").await.is_empty());
    let everything = world.all("admin", "/v1/events").await;
    for (caller, team) in [
        ("stranger", "shop"),
        ("pipeline", "payments"),
        ("agent", "payments"),
    ] {
        let theirs: Vec<_> = everything
            .iter()
            .filter(|e| e["team"] == team)
            .cloned()
            .collect();
        assert!(!theirs.is_empty());
        assert_eq!(world.all(caller, "/v1/events").await, theirs, "{caller}");
    }
    let followed = world.all("credential", "/v1/events").await;
    assert!(
        followed
            .iter()
            .any(|e| e["type"] == "dev.towpath.deployment.requested")
    );
    for event in followed {
        let subject = event["subject"].as_str().unwrap();
        assert!(
            subject.contains("pay-dev") && event["team"] == "payments",
            "{event}"
        );
    }
}

/// Everybody who may be asked for, but whoever is nobody.
const EVERYBODY: [&str; 13] = [
    "stranger",
    "other-agent",
    "other-credential",
    "sid",
    "sol",
    "keeper",
    "max",
    "credential",
    "agent",
    "pipeline",
    "ada",
    "lea",
    "admin",
];

/// Lists, each with the one thing that is in it and those who may see that.
const LISTS: [(&str, &str, &[&str]); 9] = [
    ("/v1/platforms/integrations", "standing", &["admin"]),
    ("/v1/platforms/subscriptions", "standing", &["admin"]),
    ("/v1/platforms/tools", "standing", &EVERYBODY),
    ("/v1/remnants", "REMNANT", &["admin"]),
    (
        "/v1/platforms/integrations/kept/teams",
        "payments/kept",
        &["agent", "pipeline", "ada", "lea", "admin"],
    ),
    (
        "/v1/teams/payments/integrations",
        "payments/kept",
        &["agent", "pipeline", "ada", "lea", "admin"],
    ),
    (
        "/v1/teams/payments/subscriptions",
        "payments/standing",
        &["agent", "pipeline", "ada", "lea", "admin"],
    ),
    (
        "/v1/teams/payments/namespaces",
        "payments/payments-standing",
        &["agent", "pipeline", "ada", "lea", "admin"],
    ),
    (
        "/v1/platforms/teams",
        "payments",
        &["keeper", "max", "agent", "pipeline", "ada", "lea", "admin"],
    ),
];

#[tokio::test]
async fn what_is_listed_is_for_its_reader_alone() {
    let mut world = World::new().await;
    world.people().await;
    world.furnish().await;
    // A tool that is never there.
    let kept = json!({
        "type": "github", "config": { "org": "acme", "url": "http://127.0.0.1:1" },
        "credential": "none",
    });
    let path = "/v1/platforms/integrations/kept";
    world.make(Method::PUT, path, &kept).await;
    let within = std::time::Duration::from_mins(1);
    testkit::eventually("its state is told", within, || async {
        let all = names(&world, "admin", "/v1/teams/payments/integrations").await;
        all.contains(&"payments/kept".to_owned()).then_some(())
    })
    .await;
    let mut wrong = Vec::new();
    for (path, what, readers) in LISTS {
        let what = what.replace("REMNANT", &world.remnant);
        for caller in EVERYBODY {
            let found = names(&world, caller, path).await;
            if found.contains(&what) != readers.contains(&caller) {
                wrong.push(format!(
                    "{path} by {caller} ({}): {found:?}",
                    came(caller).0
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is in a list, as `SCOPE/NAME`; nothing where it is not there for `caller`.
async fn names(world: &World, caller: &str, path: &str) -> Vec<String> {
    let (status, _) = world.ask(caller, Method::GET, path, &Value::Null).await;
    if matches!(status, 403 | 404) {
        return Vec::new();
    }
    let all = world.all(caller, path).await;
    let name = |one: &Value| {
        let name = one["metadata"]["name"].as_str().unwrap();
        match one["metadata"]["scope"].as_str().unwrap_or_default() {
            "" => name.to_owned(),
            scope => format!("{scope}/{name}"),
        }
    };
    all.iter().map(name).collect()
}
