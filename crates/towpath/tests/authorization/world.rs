//! A platform with callers of each kind.

use std::{collections::BTreeMap, time::Duration};

use delivery::model::DeploymentPhase;
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
    /// The name of the bucket in `pay-dev`.
    pub(crate) bucket: String,
    /// Where events are taken.
    pub(crate) receiver: String,
    /// The name of what may be left of a resource that was given up: see [`World::furnish`].
    pub(crate) remnant: String,
    /// The id of a key of the service account `keyed`: see [`World::furnish`].
    pub(crate) key: String,
    _data: tempfile::TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut site = Site::new(data.path());
        let options = ["--webhooks-allow", "127.0.0.0/8", "--keepers", "watch"];
        site.options.extend(options.map(str::to_owned));
        let running = site.start().await;
        let admin = std::fs::read_to_string(data.path().join("admin.token")).unwrap();
        let mut world = Self {
            site,
            running,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            tokens: [("admin", admin.trim().to_owned())].into(),
            bucket: String::new(),
            receiver: receiver().await,
            remnant: String::new(),
            key: String::new(),
            _data: data,
        };
        for (team, leads) in [
            ("payments", &["local:lea"][..]),
            ("shop", &["local:sol"]),
            ("watch", &[]),
        ] {
            // The environments of these tests are made one by one.
            let body = json!({
                "name": team, "environments": [], "leads": leads,
                "allowance": { "namespaces": 100, "quota": ample() },
            });
            world.make(Method::POST, "/v1/platforms/teams", &body).await;
        }
        for (team, name) in [
            ("payments", "pay-dev"),
            ("payments", "pay-other"),
            ("shop", "shop-dev"),
        ] {
            let body = json!({ "name": name, "team": team, "role": "dev" });
            world.make(Method::POST, "/v1/environments", &body).await;
        }
        let deploys = |environment: &str| json!({ "kind": "deploy", "environment": environment });
        for (caller, team, spec) in [
            ("stranger", "shop", json!({})),
            ("pipeline", "payments", json!({})),
            ("agent", "payments", json!({ "kind": "agent" })),
            ("credential", "payments", deploys("pay-dev")),
            ("other-agent", "shop", json!({ "kind": "agent" })),
            ("other-credential", "shop", deploys("shop-dev")),
            ("keeper", "watch", json!({})),
        ] {
            let (id, secret) = world.account(caller, team, &spec).await;
            let token = world.token(&id, &secret).await;
            world.tokens.insert(caller, token);
        }
        world.deployed("hello").await;
        let resources = world.all("admin", "/v1/environments/pay-dev/resources");
        let bucket = resources.await.remove(0);
        let bucket = bucket["metadata"]["name"].as_str().unwrap();
        bucket.clone_into(&mut world.bucket);
        world
    }

    /// What the admin makes.
    pub(crate) async fn make(&self, method: Method, path: &str, body: &Value) -> Value {
        let (status, made) = self.ask("admin", method.clone(), path, body).await;
        assert!(
            (200..300).contains(&status),
            "{method} {path}: {status}: {made}"
        );
        made
    }

    /// Deploys the test workload to `pay-dev`, by this name, with a bucket.
    pub(crate) async fn deployed(&self, name: &str) {
        let path = "/v1/environments/pay-dev/deployments";
        let made = self.make(Method::POST, path, &plain_order(name)).await;
        let client = self.running.client();
        let number = made["metadata"]["name"].as_str().unwrap();
        let deployment = client.deployment("pay-dev", number).await.unwrap();
        let ended = work::ended(client, &deployment).await;
        assert_eq!(ended.status.phase, DeploymentPhase::Succeeded, "{ended:?}");
    }

    /// The bucket of a workload that was there.
    pub(crate) async fn left_over(&self, name: &str) -> String {
        self.deployed(name).await;
        let path = format!("/v1/environments/pay-dev/workloads/{name}");
        self.make(Method::DELETE, &path, &Value::Null).await;
        let within = Duration::from_mins(1);
        testkit::eventually("the bucket is left over", within, || async {
            let all = self
                .all("admin", "/v1/environments/pay-dev/resources")
                .await;
            let bucket = all.into_iter().find(|bucket| {
                let node = bucket["spec"]["node"].as_str().unwrap();
                node.contains(name)
                    && bucket["status"]["usedBy"]
                        .as_array()
                        .is_none_or(Vec::is_empty)
            })?;
            bucket["metadata"]["name"].as_str().map(str::to_owned)
        })
        .await
    }

    /// What may be left of a thing in an environment of its own, whose removal fails and was given up.
    pub(crate) async fn given_up(&self, environment: &str) -> String {
        let programs = self.site.data.join("commands");
        std::fs::create_dir_all(&programs).unwrap();
        let program = programs.join("broken");
        std::fs::write(
            &program,
            "#!/bin/sh\necho 'the shop is closed' >&2\nexit 3\n",
        )
        .unwrap();
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&program, executable).unwrap();
        let definition = json!({
            "apiVersion": "towpath.dev/v1", "kind": "ResourceDefinition",
            "metadata": { "name": "broken" },
            "spec": { "type": "broken", "provisioner": "command", "params": { "command": "broken" } },
        });
        self.make(
            Method::POST,
            "/v1/apply",
            &json!({ "documents": [definition] }),
        )
        .await;
        let path = format!("/v1/environments/{environment}");
        let body = json!({ "name": environment, "team": "payments", "role": "dev" });
        self.make(Method::POST, "/v1/environments", &body).await;
        let resources = json!({ "thing": { "type": "broken" } });
        let score = work::score("wanting", &json!({}), &resources);
        let mut order = serde_json::to_value(work::deployment(score)).unwrap();
        order["createEnvironment"] = Value::Null;
        self.make(Method::POST, &format!("{path}/deployments"), &order)
            .await;
        let thing = self.all("admin", &format!("{path}/resources")).await;
        let thing = thing[0]["metadata"]["name"].as_str().unwrap();
        let delete = format!("{path}?data=remove");
        self.make(Method::DELETE, &delete, &Value::Null).await;
        let abandon = format!("{path}/resources/{thing}/abandon");
        let within = Duration::from_mins(1);
        testkit::eventually("its removal has failed", within, || async {
            let asked = self.ask("admin", Method::POST, &abandon, &Value::Null);
            (200..300).contains(&asked.await.0).then_some(())
        })
        .await;
        let remnants = self.all("admin", "/v1/remnants").await;
        let mut remnants = remnants.iter();
        let left = remnants.find(|one| one["spec"]["environment"] == environment);
        left.unwrap()["metadata"]["name"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// A new service account: its id and key.
    pub(crate) async fn account(&self, name: &str, team: &str, spec: &Value) -> (String, String) {
        let path = format!("/v1/identity/teams/{team}/service-accounts/{name}");
        self.make(Method::PUT, &path, spec).await;
        let keys = format!("{path}/keys");
        let key = self.make(Method::POST, &keys, &Value::Null).await;
        let text = |name: &str| key[name].as_str().unwrap().to_owned();
        (text("clientId"), text("clientSecret"))
    }

    /// A token for a key.
    async fn token(&self, id: &str, secret: &str) -> String {
        let body = format!(
            "grant_type=client_credentials&client_id={}&client_secret={secret}",
            id.replace('/', "%2F"),
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

    /// What a caller is answered.
    pub(crate) async fn ask(
        &self,
        caller: &str,
        method: Method,
        path: &str,
        body: &Value,
    ) -> (u16, Value) {
        self.ask_why(caller, method, path, body, &[]).await
    }

    /// The same, with these headers.
    pub(crate) async fn ask_why(
        &self,
        caller: &str,
        method: Method,
        path: &str,
        body: &Value,
        headers: &[(&str, &str)],
    ) -> (u16, Value) {
        let mut request = self
            .http
            .request(method.clone(), format!("{}{path}", self.site.server()));
        if let Some(token) = self.tokens.get(caller) {
            request = request.bearer_auth(token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
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
        let joint = if path.contains('?') { '&' } else { '?' };
        loop {
            let (status, page) = self
                .ask(
                    caller,
                    Method::GET,
                    &format!("{path}{joint}limit=2{after}"),
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

/// A deployment of the test workload, which needs a bucket; makes its environment.
pub(crate) fn order(name: &str) -> Value {
    let resources = json!({ "files": { "type": "s3" } });
    let score = work::score(name, &json!({}), &resources);
    serde_json::to_value(work::deployment(score)).unwrap()
}

/// The same, for an environment that is there.
pub(crate) fn plain_order(name: &str) -> Value {
    let mut order = order(name);
    order["createEnvironment"] = Value::Null;
    order
}

/// More than anybody here asks for.
fn ample() -> Value {
    let amounts = json!({ "cpu": "1000", "memory": "1000Gi" });
    json!({ "requests": amounts, "limits": amounts })
}

/// Somebody who takes every event; gives their address.
async fn receiver() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let takes = axum::Router::new().fallback(|| async { axum::http::StatusCode::NO_CONTENT });
    tokio::spawn(async { axum::serve(listener, takes).await });
    url
}
