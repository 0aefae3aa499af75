//! Who may what, of every operation of the API, by its own description and for each kind of caller.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod site;

use std::{collections::BTreeMap, time::Duration};

use reqwest::{Method, header};
use serde_json::{Value, json};
use site::{Running, Site, work};

const DESCRIPTION: &str = include_str!("../../../openapi/towpath.json");

/// The callers, in the order of the table's columns: nobody, a pipeline of another team, an agent, a
/// deploy credential and a pipeline of the team, and the local admin. What changes something comes last.
const CALLERS: [&str; 6] = [
    "nobody",
    "stranger",
    "agent",
    "credential",
    "member",
    "admin",
];

/// What each is answered. A conflict is the answer to an `If-Match` that does not: whoever gets it may
/// do what they asked for.
const TABLE: &[(&str, &str)] = &[
    ("GET /healthz", "204 204 204 204 204 204"),
    ("GET /readyz", "204 204 204 204 204 204"),
    ("GET /v1/openapi.json", "200 200 200 200 200 200"),
    ("GET /v1/whoami", "401 200 200 200 200 200"),
    ("GET /v1/events", "401 200 200 200 200 200"),
    ("GET /v1/policies", "401 200 200 200 200 200"),
    ("GET /v1/routes", "401 200 200 200 200 200"),
    ("GET /v1/environment-roles", "401 200 200 200 200 200"),
    ("GET /v1/resource-definitions", "401 200 200 200 200 200"),
    (
        "GET /v1/resource-definitions/{name}",
        "401 200 200 200 200 200",
    ),
    (
        "GET /v1/resource-definitions/{name}/revisions",
        "401 200 200 200 200 200",
    ),
    (
        "DELETE /v1/resource-definitions/{name}",
        "401 403 403 403 403 409",
    ),
    ("POST /v1/apply", "401 403 403 403 403 200"),
    ("POST /v1/explain", "401 404 200 200 200 200"),
    ("GET /v1/environments", "401 200 200 200 200 200"),
    ("POST /v1/environments", "401 403 403 403 201 201"),
    (
        "GET /v1/environments/{environment}",
        "401 404 200 200 200 200",
    ),
    (
        "PATCH /v1/environments/{environment}",
        "401 404 403 403 409 409",
    ),
    (
        "DELETE /v1/environments/{environment}",
        "401 404 403 403 409 409",
    ),
    (
        "GET /v1/environments/{environment}/summary",
        "401 404 200 200 200 200",
    ),
    (
        "GET /v1/environments/{environment}/graph",
        "401 404 200 200 200 200",
    ),
    (
        "DELETE /v1/environments/{environment}/pins",
        "401 404 403 403 409 409",
    ),
    (
        "POST /v1/environments/{environment}/plans",
        "401 404 200 200 200 200",
    ),
    (
        "GET /v1/environments/{environment}/deployments",
        "401 200 200 200 200 200",
    ),
    (
        "POST /v1/environments/{environment}/deployments",
        "401 404 403 202 202 202",
    ),
    (
        "GET /v1/environments/{environment}/deployments/{name}",
        "401 404 200 200 200 200",
    ),
    (
        "POST /v1/environments/{environment}/rollbacks",
        "401 404 403 202 202 202",
    ),
    (
        "GET /v1/environments/{environment}/workloads",
        "401 200 200 200 200 200",
    ),
    (
        "GET /v1/environments/{environment}/workloads/{name}",
        "401 404 200 200 200 200",
    ),
    (
        "DELETE /v1/environments/{environment}/workloads/{name}",
        "401 404 403 403 409 409",
    ),
    (
        "GET /v1/environments/{environment}/workloads/{name}/logs",
        "401 404 200 200 200 200",
    ),
    (
        "GET /v1/environments/{environment}/resources",
        "401 200 200 200 200 200",
    ),
    (
        "GET /v1/environments/{environment}/resources/{name}",
        "401 404 200 200 200 200",
    ),
    (
        "DELETE /v1/environments/{environment}/resources/{name}",
        "401 404 403 403 409 409",
    ),
    (
        "GET /v1/environments/{environment}/resources/{name}/outputs",
        "401 404 200 200 200 200",
    ),
    (
        "POST /v1/environments/{environment}/resources/{name}/rotate",
        "401 404 403 403 202 202",
    ),
    ("GET /v1/identity/clients", "401 403 403 403 403 200"),
    ("GET /v1/identity/clients/{name}", "401 403 403 403 403 404"),
    ("PUT /v1/identity/clients/{name}", "401 403 403 403 403 200"),
    (
        "DELETE /v1/identity/clients/{name}",
        "401 403 403 403 403 409",
    ),
    (
        "POST /v1/identity/clients/{name}/secrets",
        "401 403 403 403 403 409",
    ),
    ("GET /v1/identity/groups", "401 403 403 403 403 200"),
    ("GET /v1/identity/groups/{name}", "401 403 403 403 403 404"),
    ("PUT /v1/identity/groups/{name}", "401 403 403 403 403 200"),
    (
        "DELETE /v1/identity/groups/{name}",
        "401 403 403 403 403 409",
    ),
    ("GET /v1/identity/keys", "401 403 403 403 403 200"),
    (
        "POST /v1/identity/keys/rotations",
        "401 403 403 403 403 200",
    ),
    (
        "GET /v1/identity/teams/{team}/service-accounts",
        "401 403 403 403 200 200",
    ),
    (
        "GET /v1/identity/teams/{team}/service-accounts/{name}",
        "401 403 403 403 404 404",
    ),
    (
        "PUT /v1/identity/teams/{team}/service-accounts/{name}",
        "401 403 403 403 200 200",
    ),
    (
        "DELETE /v1/identity/teams/{team}/service-accounts/{name}",
        "401 403 403 403 409 409",
    ),
    (
        "POST /v1/identity/teams/{team}/service-accounts/{name}/keys",
        "401 403 403 403 201 201",
    ),
    (
        "DELETE /v1/identity/teams/{team}/service-accounts/{name}/keys/{key}",
        "401 403 403 403 404 404",
    ),
    (
        "GET /v1/identity/teams/{team}/workload-trusts",
        "401 403 403 403 200 200",
    ),
    (
        "GET /v1/identity/teams/{team}/workload-trusts/{name}",
        "401 403 403 403 404 404",
    ),
    (
        "PUT /v1/identity/teams/{team}/workload-trusts/{name}",
        "401 403 403 403 422 422",
    ),
    (
        "DELETE /v1/identity/teams/{team}/workload-trusts/{name}",
        "401 403 403 403 404 404",
    ),
    ("GET /v1/identity/upstreams", "401 403 403 403 403 200"),
    (
        "GET /v1/identity/upstreams/{name}",
        "401 403 403 403 403 404",
    ),
    (
        "PUT /v1/identity/upstreams/{name}",
        "401 403 403 403 403 422",
    ),
    (
        "DELETE /v1/identity/upstreams/{name}",
        "401 403 403 403 403 404",
    ),
    ("GET /v1/identity/users", "401 403 403 403 403 200"),
    ("GET /v1/identity/users/{name}", "401 403 403 403 403 404"),
    ("PUT /v1/identity/users/{name}", "401 403 403 403 403 200"),
    (
        "DELETE /v1/identity/users/{name}",
        "401 403 403 403 403 409",
    ),
];

/// A platform with an environment `pay-dev` of team `payments`, in which `hello` runs, and one of team
/// `shop`; and the token of each caller.
struct World {
    site: Site,
    running: Running,
    http: reqwest::Client,
    tokens: BTreeMap<&'static str, String>,
    /// The name of the volume in `pay-dev`.
    volume: String,
    _data: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let site = Site::new(data.path());
        let running = site.start().await;
        let admin = std::fs::read_to_string(data.path().join("admin.token")).unwrap();
        let mut world = Self {
            site,
            running,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            tokens: [("admin", admin.trim().to_owned())].into(),
            volume: String::new(),
            _data: data,
        };
        for (team, name) in [
            ("payments", "pay-dev"),
            ("payments", "pay-other"),
            ("shop", "shop-dev"),
        ] {
            let body = json!({ "name": name, "team": team, "role": "dev" });
            let (status, made) = world
                .ask("admin", Method::POST, "/v1/environments", &body)
                .await;
            assert_eq!(status, 201, "{made}");
        }
        for (caller, team, spec) in [
            ("stranger", "shop", json!({})),
            ("member", "payments", json!({})),
            ("agent", "payments", json!({ "kind": "agent" })),
            (
                "credential",
                "payments",
                json!({ "kind": "deploy", "environment": "pay-dev" }),
            ),
        ] {
            let token = world.account(caller, team, &spec).await;
            world.tokens.insert(caller, token);
        }
        let path = "/v1/environments/pay-dev/deployments";
        let (status, made) = world.ask("admin", Method::POST, path, &order()).await;
        assert_eq!(status, 202, "{made}");
        let client = world.running.client();
        let deployment = client.deployment("pay-dev", "d-1").await.unwrap();
        work::ended(client, &deployment, Duration::from_mins(1)).await;
        let (_, page) = world
            .ask(
                "admin",
                Method::GET,
                "/v1/environments/pay-dev/resources",
                &json!({}),
            )
            .await;
        page["items"][0]["metadata"]["name"]
            .as_str()
            .unwrap()
            .clone_into(&mut world.volume);
        world
    }

    /// A token of a new service account.
    async fn account(&self, name: &str, team: &str, spec: &Value) -> String {
        let path = format!("/v1/identity/teams/{team}/service-accounts/{name}");
        let (status, made) = self.ask("admin", Method::PUT, &path, spec).await;
        assert_eq!(status, 200, "{made}");
        let keys = format!("{path}/keys");
        let (_, key) = self.ask("admin", Method::POST, &keys, &Value::Null).await;
        let (id, secret) = (key["clientId"].as_str(), key["clientSecret"].as_str());
        let body = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}",
            id.unwrap().replace('/', "%2F"),
            secret.unwrap()
        );
        let answer = self
            .http
            .post(format!("{}/oauth/token", self.site.server()))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body)
            .send()
            .await
            .unwrap();
        let answer: Value = answer.json().await.unwrap();
        answer["access_token"]
            .as_str()
            .unwrap_or_else(|| panic!("{answer}"))
            .to_owned()
    }

    /// What a caller is answered. No write names the right revision, where it may name one.
    async fn ask(&self, caller: &str, method: Method, path: &str, body: &Value) -> (u16, Value) {
        let mut request = self
            .http
            .request(method.clone(), format!("{}{path}", self.site.server()));
        if let Some(token) = self.tokens.get(caller) {
            request = request.bearer_auth(token);
        }
        if [Method::DELETE, Method::PATCH].contains(&method) {
            request = request.header(header::IF_MATCH, "\"999999999\"");
        }
        if ![Method::GET, Method::DELETE].contains(&method) && !body.is_null() {
            request = request.json(body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// Everything of a list that a caller gets, page by page.
    async fn all(&self, caller: &str, path: &str) -> Vec<Value> {
        let mut items: Vec<Value> = Vec::new();
        let mut after = String::new();
        loop {
            let (status, page) = self
                .ask(
                    caller,
                    Method::GET,
                    &format!("{path}?limit=2{after}"),
                    &Value::Null,
                )
                .await;
            assert_eq!(status, 200, "{page}");
            let found = page["items"].as_array().unwrap();
            items.extend(found.iter().cloned());
            let Some(next) = page.get("next").filter(|_| !found.is_empty()) else {
                return items;
            };
            let next = next
                .as_str()
                .map_or_else(|| next.to_string(), str::to_owned);
            after = format!("&after={next}");
        }
    }
}

/// A deployment of the test workload, which needs a volume.
fn order() -> Value {
    let resources = json!({ "files": { "type": "volume" } });
    serde_json::to_value(work::deployment(work::score(
        "hello",
        &json!({}),
        &resources,
    )))
    .unwrap()
}

/// The same, for an environment that is there.
fn plain_order() -> Value {
    let mut order = order();
    order["createEnvironment"] = Value::Null;
    order
}

/// What is sent with an operation.
fn body(operation: &str, caller: &str) -> Value {
    match operation {
        "POST /v1/environments" => {
            json!({ "name": format!("made-by-{caller}"), "team": "payments", "role": "dev" })
        }
        "POST /v1/apply" => json!({ "documents": [{
            "apiVersion": "towpath.dev/v1", "kind": "EnvironmentRole",
            "metadata": { "name": "trial" }, "spec": { "description": "for trials" },
        }]}),
        "POST /v1/explain" => json!({ "type": "volume", "environment": "pay-dev" }),
        "POST /v1/environments/{environment}/plans"
        | "POST /v1/environments/{environment}/deployments" => plain_order(),
        "POST /v1/environments/{environment}/rollbacks" => json!({ "to": "d-1" }),
        _ if operation.ends_with("/rotate") || operation.ends_with("/keys") => Value::Null,
        _ => json!({}),
    }
}

#[tokio::test]
async fn every_operation_answers_each_kind_of_caller_as_the_table_says() {
    let table: BTreeMap<&str, &str> = TABLE.iter().copied().collect();
    let description: Value = serde_json::from_str(DESCRIPTION).unwrap();
    let mut operations = Vec::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        for method in ["get", "put", "post", "patch", "delete"] {
            if item.get(method).is_some() {
                operations.push(format!("{} {path}", method.to_uppercase()));
            }
        }
    }
    let missing: Vec<_> = operations
        .iter()
        .filter(|o| !table.contains_key(o.as_str()))
        .collect();
    assert!(missing.is_empty(), "say in TABLE who may: {missing:#?}");
    assert_eq!(
        table.len(),
        operations.len(),
        "TABLE has rows of no operation"
    );

    let world = World::new().await;
    let mut wrong = Vec::new();
    for (operation, expected) in TABLE {
        let (method, path) = operation.split_once(' ').unwrap();
        let method: Method = method.parse().unwrap();
        let name = if path.contains("/workloads/") {
            "hello"
        } else if path.contains("/resources/") {
            &world.volume
        } else if path.contains("/deployments/") {
            "d-1"
        } else if path.contains("/resource-definitions/") {
            "volume-default"
        } else {
            "somebody"
        };
        let path = path
            .replace("{environment}", "pay-dev")
            .replace("{team}", "payments")
            .replace("{name}", name)
            .replace("{key}", "none");
        for (caller, expected) in CALLERS.iter().zip(expected.split(' ')) {
            let body = body(operation, caller);
            let (status, answer) = world.ask(caller, method.clone(), &path, &body).await;
            if status.to_string() != expected {
                wrong.push(format!(
                    "{operation} by {caller}: {status}, not {expected}: {answer}"
                ));
            }
            if status == 403 {
                assert!(
                    answer["remedy"].is_string() || path.contains("/identity/"),
                    "{answer}"
                );
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn what_is_not_for_a_caller_is_as_if_it_were_not_there() {
    let world = World::new().await;
    for below in [
        "",
        "/summary",
        "/graph",
        "/workloads/hello",
        "/deployments/d-1",
        "/workloads",
        "/workloads/hello/logs",
    ] {
        for caller in ["stranger", "credential"] {
            let hidden = if caller == "stranger" {
                "pay-dev"
            } else {
                "pay-other"
            };
            let ask = async |environment: &str| {
                let path = format!("/v1/environments/{environment}{below}");
                let (status, mut answer) =
                    world.ask(caller, Method::GET, &path, &Value::Null).await;
                if let Some(answer) = answer.as_object_mut() {
                    answer.remove("correlation");
                }
                (
                    status,
                    answer.to_string().replace(environment, "ENVIRONMENT"),
                )
            };
            assert_eq!(ask(hidden).await, ask("no-such").await, "{caller} {below}");
        }
    }
    // Nor does a deployment tell, nor a name that is asked for.
    let path = "/v1/environments/pay-dev/deployments";
    let plain = plain_order();
    let (status, _) = world.ask("stranger", Method::POST, path, &plain).await;
    assert_eq!(status, 404);
    let (status, answer) = world.ask("stranger", Method::POST, path, &order()).await;
    assert_eq!(
        (status, &answer["detail"]),
        (409, &json!("the name `pay-dev` is taken"))
    );
}

#[tokio::test]
async fn lists_hold_what_their_reader_may_see_and_nothing_else() {
    let world = World::new().await;
    for (caller, expected) in [
        ("stranger", &["shop-dev"][..]),
        ("credential", &["pay-dev"]),
        ("agent", &["pay-dev", "pay-other"]),
        ("member", &["pay-dev", "pay-other"]),
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
    assert!(!world.all("member", "/v1/routes").await.is_empty());
    let everything = world.all("admin", "/v1/events").await;
    for (caller, team) in [
        ("stranger", "shop"),
        ("member", "payments"),
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

#[tokio::test]
async fn refusals_are_in_the_audit_trail() {
    let world = World::new().await;
    let path = "/v1/environments/pay-dev";
    let (status, _) = world
        .ask("stranger", Method::DELETE, path, &Value::Null)
        .await;
    assert_eq!(status, 404);
    let (status, answer) = world.ask("agent", Method::DELETE, path, &Value::Null).await;
    assert_eq!(status, 403);
    assert_eq!(answer["problems"][0]["rule"], "authz/agent");
    let users = "/v1/identity/users/eve";
    let (status, _) = world.ask("member", Method::PUT, users, &json!({})).await;
    assert_eq!(status, 403);
    let events = world.all("admin", "/v1/events").await;
    let refused: Vec<_> = events
        .iter()
        .filter(|event| event["type"] == "dev.towpath.authorization.refused")
        .map(|event| {
            (
                &event["actor"],
                &event["subject"],
                &event["data"]["action"],
                &event["outcome"],
            )
        })
        .map(|parts| json!([parts.0, parts.1, parts.2, parts.3]))
        .collect();
    assert_eq!(
        refused,
        [
            json!([
                "account:shop/stranger",
                "Environment/pay-dev",
                "environment.delete",
                "fail"
            ]),
            json!([
                "account:payments/agent",
                "Environment/pay-dev",
                "environment.delete",
                "fail"
            ]),
            json!([
                "account:payments/member",
                "LocalUser/eve",
                "identity.change",
                "fail"
            ]),
        ]
    );
}

#[tokio::test]
async fn an_organization_takes_rights_away() {
    let data = tempfile::tempdir().unwrap();
    let policies = data.path().join("policies");
    std::fs::create_dir(&policies).unwrap();
    let rule = r#"package towpath.authz
        allow := true
        deny contains {"rule": "acme/names", "message": "no trials here", "remedy": "use `dev`"} if {
            input.action == "environment.create"
            startswith(input.resource.name, "trial-")
        }"#;
    std::fs::write(policies.join("acme.rego"), rule).unwrap();
    let site = Site::new(data.path());
    let running = site.start().await;
    let make = async |name: &str| {
        let request = delivery::api::NewEnvironment {
            name: name.into(),
            role: Some("dev".into()),
            ..delivery::api::NewEnvironment::default()
        };
        running.client().create_environment(&request).await
    };
    make("dev").await.unwrap();
    let refused = make("trial-1").await.unwrap_err();
    assert!(refused.to_string().contains("no trials here"), "{refused}");
}

#[tokio::test]
async fn a_stream_ends_with_its_readers_rights() {
    let world = World::new().await;
    let mut stream = world
        .http
        .get(format!("{}/v1/events", world.site.server()))
        .bearer_auth(&world.tokens["member"])
        .header(header::ACCEPT, "text/event-stream")
        .send()
        .await
        .unwrap();
    assert_eq!(stream.status(), 200);
    let reading = tokio::spawn(async move { while let Ok(Some(_)) = stream.chunk().await {} });
    let path = "/v1/identity/teams/payments/service-accounts/member";
    let disabled = json!({ "disabled": true });
    let (status, answer) = world.ask("admin", Method::PUT, path, &disabled).await;
    assert_eq!(status, 200, "{answer}");
    // It is asked again when there is something to send.
    let mut round = 0;
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while !reading.is_finished() {
        assert!(std::time::Instant::now() < deadline, "the stream goes on");
        let body = json!({ "name": format!("again-{round}"), "team": "payments", "role": "dev" });
        world
            .ask("admin", Method::POST, "/v1/environments", &body)
            .await;
        round += 1;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
