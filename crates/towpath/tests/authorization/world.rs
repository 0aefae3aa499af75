//! A platform with callers of each kind.

use std::{collections::BTreeMap, time::Duration};

use reqwest::{Method, header};
use serde_json::{Value, json};

use crate::site::{Running, Site, work};

/// A platform with an environment `pay-dev` of team `payments`, in which `hello` runs, and one of team
/// `shop`; and the token of each caller.
pub(crate) struct World {
    pub(crate) site: Site,
    pub(crate) running: Running,
    pub(crate) http: reqwest::Client,
    pub(crate) tokens: BTreeMap<&'static str, String>,
    /// The name of the volume in `pay-dev`.
    pub(crate) volume: String,
    _data: tempfile::TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
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
        for team in ["payments", "shop"] {
            // The environments of these tests are made one by one.
            let leads = if team == "payments" {
                vec!["local:lea"]
            } else {
                vec![]
            };
            let body = json!({ "name": team, "environments": [], "leads": leads });
            let (status, made) = world
                .ask("admin", Method::POST, "/v1/platforms/teams", &body)
                .await;
            assert_eq!(status, 202, "{made}");
        }
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
    pub(crate) async fn account(&self, name: &str, team: &str, spec: &Value) -> String {
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
    pub(crate) async fn ask(
        &self,
        caller: &str,
        method: Method,
        path: &str,
        body: &Value,
    ) -> (u16, Value) {
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
    pub(crate) async fn all(&self, caller: &str, path: &str) -> Vec<Value> {
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
pub(crate) fn order() -> Value {
    let resources = json!({ "files": { "type": "volume" } });
    serde_json::to_value(work::deployment(work::score(
        "hello",
        &json!({}),
        &resources,
    )))
    .unwrap()
}

/// The same, for an environment that is there.
pub(crate) fn plain_order() -> Value {
    let mut order = order();
    order["createEnvironment"] = Value::Null;
    order
}

/// What is sent with an operation.
pub(crate) fn body(operation: &str, caller: &str) -> Value {
    match operation {
        "POST /v1/environments" => {
            json!({ "name": format!("made-by-{caller}"), "team": "payments", "role": "dev" })
        }
        "POST /v1/platforms/teams" => {
            json!({ "name": format!("made-by-{caller}"), "environments": [] })
        }
        "PATCH /v1/platforms/teams/{team}" => json!({ "description": "for tests" }),
        "POST /v1/teams/{team}/namespaces" => json!({ "name": format!("payments-{caller}") }),
        "POST /v1/apply" => json!({ "documents": [{
            "apiVersion": "towpath.dev/v1", "kind": "EnvironmentRole",
            "metadata": { "name": "trial" }, "spec": { "description": "for trials" },
        }]}),
        "POST /v1/explain" => json!({ "type": "volume", "environment": "pay-dev" }),
        "POST /v1/environments/{environment}/plans"
        | "POST /v1/environments/{environment}/deployments" => plain_order(),
        "POST /v1/environments/{environment}/rollbacks" => json!({ "to": "d-1" }),
        "PUT /v1/teams/{team}/secrets/{name}" => json!({ "generate": 32 }),
        "POST /v1/teams/{team}/secret-rotations" => json!({ "path": "somebody" }),
        _ if operation.ends_with("/integrations/{name}") => json!({
            "type": "github", "config": { "org": "acme" }, "enabled": false,
        }),
        _ if operation.ends_with("/subscriptions/{name}") => json!({
            "types": ["nothing.at-all"], "url": "https://hooks.example.com/",
        }),
        _ if operation.ends_with("/rotate") || operation.ends_with("/keys") => Value::Null,
        _ => json!({}),
    }
}
