//! Who logs in and by what, groups, machines and subscriptions, kept as code: a file of them is applied whole, or
//! not at all.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{command_line::cli, site::world::World};

const DECLARED: &str = "
apiVersion: towpath.dev/v1
kind: WorkloadTrust
metadata: { name: gitlab, team: payments }
spec:
  issuer: https://gitlab.com
  claims: { project_path: acme/payments }
  serviceAccount: ci
---
apiVersion: towpath.dev/v1
kind: ServiceAccount
metadata: { name: ci, team: payments }
spec: { description: builds }
---
apiVersion: towpath.dev/v1
kind: Upstream
metadata: { name: acme }
spec:
  title: Acme
  clientId: towpath
  provider: { type: oidc, issuer: https://login.acme.example }
---
apiVersion: towpath.dev/v1
kind: OidcClient
metadata: { name: wiki }
spec: { redirectUris: [https://wiki.acme.example/callback], confidential: true }
---
apiVersion: towpath.dev/v1
kind: LocalGroup
metadata: { name: watchers }
spec: { members: [bob, ada] }
---
apiVersion: towpath.dev/v1
kind: Subscription
metadata: { name: all }
spec: { types: ['team.*'], url: https://hooks.acme.example/ }
---
apiVersion: towpath.dev/v1
kind: Subscription
metadata: { name: theirs, team: payments }
spec: { types: ['deployment.*'], url: https://hooks.acme.example/ }
";

/// Where each of them is, with what it says.
const PLACES: [(&str, &str, &str); 7] = [
    (
        "/v1/identity/teams/payments/workload-trusts/gitlab",
        "serviceAccount",
        "ci",
    ),
    (
        "/v1/identity/teams/payments/service-accounts/ci",
        "description",
        "builds",
    ),
    ("/v1/identity/upstreams/acme", "title", "Acme"),
    ("/v1/identity/clients/wiki", "confidential", "true"),
    (
        "/v1/identity/groups/watchers",
        "members",
        "[\"ada\",\"bob\"]",
    ),
    ("/v1/platforms/subscriptions/all", "types", "[\"team.*\"]"),
    (
        "/v1/teams/payments/subscriptions/theirs",
        "types",
        "[\"deployment.*\"]",
    ),
];

#[tokio::test]
async fn a_file_of_who_logs_in_is_applied_whole_or_not_at_all() {
    let world = World::new(&[]).await;
    world
        .onboard(json!({ "name": "payments", "environments": [] }))
        .await;
    for name in ["ada", "bob"] {
        let path = format!("/v1/identity/users/{name}");
        let (status, answer) = world.ask(Method::PUT, &path, json!({ "spec": {} })).await;
        assert_eq!(status, 200, "{answer}");
    }
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("identity.yaml");
    let apply = async |text: &str, code: i32| {
        std::fs::write(&file, text).unwrap();
        cli(&world, code, &["apply", "-f", file.to_str().unwrap()]).await
    };
    let there = async || {
        let mut there = Vec::new();
        for (path, field, _) in PLACES {
            let (status, answer) = world.ask(Method::GET, path, Value::Null).await;
            let said = match &answer["spec"][field] {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            there.push(if status == 200 {
                said
            } else {
                status.to_string()
            });
        }
        there
    };
    // One that cannot be so leaves nothing half-made.
    let bad = DECLARED.replace("[bob, ada]", "[bob, nobody]");
    let said = apply(&bad, 3).await;
    assert!(said.contains("there is no user `nobody`"), "{said}");
    assert!(said.contains("identity.yaml:"), "{said}");
    assert_eq!(there().await, ["404"; 7]);

    let said = apply(DECLARED, 0).await;
    assert_eq!(said.matches(" created").count(), 7, "{said}");
    for missing in [
        "towpath upstream set acme --secret-file",
        "towpath client secret wiki",
        "towpath subscription secret all --platform",
        "towpath subscription secret theirs --team payments",
    ] {
        assert!(said.contains(missing), "{missing}: {said}");
    }
    let all = PLACES.map(|(_, _, said)| said.to_owned());
    assert_eq!(there().await, all);

    // Whoever looks is told that its receiver knows no secret, until one is drawn for it.
    let theirs = |word| ["subscription", word, "theirs", "--team", "payments"];
    let said = cli(&world, 0, &theirs("show")).await;
    assert!(said.contains("nobody has seen it"), "{said}");
    cli(&world, 0, &theirs("secret")).await;
    let said = cli(&world, 0, &theirs("show")).await;
    assert!(!said.contains("nobody has seen it"), "{said}");

    // Again changes nothing, and tells of nothing.
    let secret = "/v1/platforms/subscriptions/all";
    let before = world.get(secret).await;
    let said = apply(DECLARED, 0).await;
    assert_eq!(said.matches(" unchanged").count(), 7, "{said}");
    assert_eq!(world.get(secret).await["metadata"], before["metadata"]);
    assert_eq!(world.events("workload-trust.changed").await.len(), 1);

    // What differs is changed, and a secret that there is stays.
    let upstream = json!({
        "spec": {
            "title": "Acme", "clientId": "towpath",
            "provider": { "type": "oidc", "issuer": "https://login.acme.example" },
        },
        "secret": "canary",
    });
    let path = "/v1/identity/upstreams/acme";
    let (status, answer) = world.ask(Method::PUT, path, upstream).await;
    assert_eq!(status, 200, "{answer}");
    let changed = DECLARED
        .replace("title: Acme", "title: The Acme")
        .replace("description: builds", "description: builds and deploys");
    let said = apply(&changed, 0).await;
    assert_eq!(said.matches(" unchanged").count(), 5, "{said}");
    for one in ["Upstream/acme changed", "ServiceAccount/ci changed"] {
        assert!(said.contains(one), "{one}: {said}");
    }
    assert!(!said.contains("towpath upstream set"), "{said}");
    assert_eq!(there().await[2], "The Acme");

    // No document holds a secret, and each says whose it is where that has to be said.
    let secret = changed.replace("url: https", "secret: whsec_canary, url: https");
    let said = apply(&secret, 3).await;
    assert!(said.contains("towpath subscription secret"), "{said}");
    assert!(!said.contains("canary"), "{said}");
    let nobodys = changed.replace("{ name: ci, team: payments }", "{ name: ci }");
    let said = apply(&nobodys, 3).await;
    assert!(said.contains("write `team: TEAM`"), "{said}");
}
