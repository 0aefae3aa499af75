//! Lists hold what their reader may see, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use serde_json::{Value, json};

use crate::{DESCRIPTION, trail::came, world::World};

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

/// The team's automation and people, and whoever operates the platform.
const TEAM: [&str; 5] = ["agent", "pipeline", "ada", "lea", "admin"];

/// The same, and the deploy credential of `pay-dev`.
const PLACE: [&str; 6] = ["credential", "agent", "pipeline", "ada", "lea", "admin"];

/// The same but the agent, which sees no identities.
const IDENTITIES: [&str; 4] = ["pipeline", "ada", "lea", "admin"];

/// Whoever sees the team.
const TEAMS: [&str; 7] = ["keeper", "max", "agent", "pipeline", "ada", "lea", "admin"];

const OPERATORS: [&str; 1] = ["admin"];

/// Whatever the admin sees first.
const FIRST: &str = "";

/// The list that is no page.
const MEMBERS: &str = "/v1/platforms/teams/{team}/members";

/// What each list holds, and those of [`EVERYBODY`] who see that.
const LISTS: [(&str, &str, &[&str]); 31] = [
    ("/v1/clusters", FIRST, &EVERYBODY),
    ("/v1/environment-roles", FIRST, &EVERYBODY),
    ("/v1/policies", FIRST, &EVERYBODY),
    ("/v1/resource-definitions", FIRST, &EVERYBODY),
    (
        "/v1/resource-definitions/{name}/revisions",
        FIRST,
        &EVERYBODY,
    ),
    ("/v1/starter-kits", FIRST, &EVERYBODY),
    ("/v1/platforms/tools", "standing", &EVERYBODY),
    ("/v1/environments", "pay-dev", &PLACE),
    ("/v1/environments/{environment}/deployments", FIRST, &PLACE),
    ("/v1/environments/{environment}/resources", FIRST, &PLACE),
    ("/v1/environments/{environment}/workloads", FIRST, &PLACE),
    ("/v1/routes", FIRST, &TEAM),
    ("/v1/teams/{team}/secrets", "payments/standing", &PLACE),
    (
        "/v1/identity/teams/{team}/service-accounts",
        FIRST,
        &IDENTITIES,
    ),
    (
        "/v1/identity/teams/{team}/workload-trusts",
        FIRST,
        &IDENTITIES,
    ),
    ("/v1/identity/sessions", "local:ada", &["ada", "admin"]),
    ("/v1/identity/clients", FIRST, &OPERATORS),
    ("/v1/identity/groups", FIRST, &OPERATORS),
    ("/v1/identity/upstreams", FIRST, &OPERATORS),
    ("/v1/identity/users", FIRST, &OPERATORS),
    ("/v1/platforms/integrations", "standing", &OPERATORS),
    ("/v1/platforms/subscriptions", "standing", &OPERATORS),
    (
        "/v1/platforms/subscriptions/{name}/dead-letters",
        FIRST,
        &OPERATORS,
    ),
    ("/v1/remnants", "REMNANT", &OPERATORS),
    (
        "/v1/platforms/integrations/{name}/teams",
        "payments/kept",
        &TEAM,
    ),
    ("/v1/teams/{team}/integrations", "payments/kept", &TEAM),
    ("/v1/teams/{team}/subscriptions", "payments/standing", &TEAM),
    (
        "/v1/teams/{team}/subscriptions/{name}/dead-letters",
        FIRST,
        &TEAM,
    ),
    (
        "/v1/teams/{team}/namespaces",
        "payments/payments-standing",
        &TEAM,
    ),
    ("/v1/platforms/teams", "payments", &TEAMS),
    (MEMBERS, "local:ada", &TEAMS),
];

/// Lists of which no one thing is looked for here, and why.
const APART: [(&str, &str); 2] = [
    ("/v1/events", "the test above compares all of them"),
    (
        "/v1/identity/automation",
        "it is refused as a whole to all but operators, and nothing is in it here",
    ),
];

/// The lists of the API by its own description, and whether each is asked for page by page.
fn described() -> BTreeMap<String, bool> {
    let description: Value = serde_json::from_str(DESCRIPTION).unwrap();
    let schemas = &description["components"]["schemas"];
    let is_list = |path: &str, get: &Value| {
        let answer = &get["responses"]["200"]["content"]["application/json"]["schema"];
        let name = answer["$ref"]
            .as_str()
            .and_then(|name| name.rsplit('/').next());
        let schema = name.map_or(answer, |name| &schemas[name]);
        path == MEMBERS || schema["properties"]["items"].is_object()
    };
    let is_paged = |get: &Value| {
        let parameters = get["parameters"].as_array();
        let mut parameters = parameters.into_iter().flatten();
        parameters.any(|parameter| parameter["name"] == "limit")
    };
    let all = description["paths"].as_object().unwrap().iter();
    all.filter(|(path, item)| is_list(path, &item["get"]))
        .map(|(path, item)| (path.clone(), is_paged(&item["get"])))
        .collect()
}

#[tokio::test]
async fn what_is_listed_is_for_its_reader_alone() {
    let described = described();
    let known = LISTS.iter().map(|(path, ..)| *path);
    let known: BTreeSet<&str> = known.chain(APART.iter().map(|(path, _)| *path)).collect();
    let lists: BTreeSet<&str> = described.keys().map(String::as_str).collect();
    assert_eq!(known, lists, "say in LISTS who sees what is in it");

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
        let (mut asked, _) = world.asked(&format!("GET {path}"), "admin", false).await;
        if path == "/v1/platforms/integrations/{name}/teams" {
            asked = asked.replace("standing", "kept");
        }
        if described[path] {
            asked.push_str("?limit=1000");
        }
        let what = match what {
            FIRST => {
                let all = names(&world, "admin", &asked).await;
                let first = all.into_iter().next();
                first.unwrap_or_else(|| panic!("nothing is in {path}"))
            }
            what => what.replace("REMNANT", &world.remnant),
        };
        for caller in EVERYBODY {
            let found = names(&world, caller, &asked).await;
            if found.contains(&what) != readers.contains(&caller) {
                wrong.push(format!(
                    "{what} of {path} by {caller} ({}): {found:?}",
                    came(caller).0
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is in a list, as `SCOPE/NAME`, people by their subjects; nothing where it is not there for `caller`.
async fn names(world: &World, caller: &str, path: &str) -> Vec<String> {
    let (status, answer) = world.ask(caller, Method::GET, path, &Value::Null).await;
    if matches!(status, 403 | 404) {
        return Vec::new();
    }
    assert_eq!(status, 200, "{path}: {answer}");
    let people = answer["sources"].as_array().into_iter().flatten();
    let people = people.flat_map(|source| source["members"].as_array().unwrap());
    let items = answer["items"].as_array().into_iter().flatten();
    people.chain(items).map(name).collect()
}

fn name(one: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if let Some(subject) = one["subject"].as_str() {
        return subject.to_owned();
    }
    let (scope, name) = match one.get("metadata") {
        Some(metadata) => (text(&metadata["scope"]), text(&metadata["name"])),
        None => (text(&one["team"]), text(&one["name"])),
    };
    assert!(!name.is_empty(), "{one}");
    match scope.as_str() {
        "" => name,
        scope => format!("{scope}/{name}"),
    }
}
