//! What each operation is asked for: things that are there, so that nothing but who asks decides.

use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{World, plain_order};

/// The name of what is there from the start, where nothing else is said.
const STANDING: &str = "standing";

/// The name of a secret that was drawn, and so can be rotated.
const DRAWN: &str = "drawn";

/// The operations whose `PUT` makes what the other operations below the same path are about.
const PUT: [&str; 13] = [
    "/v1/clusters/{name}",
    "/v1/identity/users/{name}",
    "/v1/identity/groups/{name}",
    "/v1/identity/groups/{name}/members/{user}",
    "/v1/identity/clients/{name}",
    "/v1/identity/upstreams/{name}",
    "/v1/identity/teams/{team}/service-accounts/{name}",
    "/v1/identity/teams/{team}/workload-trusts/{name}",
    "/v1/teams/{team}/secrets/{name}",
    "/v1/teams/{team}/subscriptions/{name}",
    "/v1/platforms/subscriptions/{name}",
    "/v1/platforms/integrations/{name}",
    "/v1/platforms/teams/{team}/members/{user}",
];

impl World {
    /// Makes what everybody asks for.
    pub(crate) async fn furnish(&mut self) {
        for path in PUT {
            let body = self.body(&format!("PUT {path}"), STANDING);
            self.make(Method::PUT, &filled(path, STANDING), &body).await;
        }
        let drawn = filled("/v1/teams/{team}/secrets/{name}", DRAWN);
        self.make(Method::PUT, &drawn, &json!({ "generate": 32 }))
            .await;
        self.registered(STANDING).await;
        let (id, secret) = self.account("keyed", "payments", &json!({})).await;
        let namespaces = "/v1/teams/payments/namespaces";
        let body = json!({ "name": "payments-standing" });
        self.make(Method::POST, namespaces, &body).await;
        self.past(&id, &secret).await;
        self.key = self.drawn().await;
        self.remnant = self.given_up("pay-burnt").await;
    }

    /// The path and body with which `caller` asks for `operation`. Whoever `may` take something away gets
    /// one of their own for it; all others ask for what everybody sees.
    pub(crate) async fn asked(&self, operation: &str, caller: &str, may: bool) -> (String, Value) {
        let (method, path) = operation.split_once(' ').unwrap();
        let body = self.body(operation, caller);
        if may && method == "DELETE" {
            return (self.own(path, caller).await, body);
        }
        if path.contains("/dead-letters/") {
            return (self.letter(path).await, body);
        }
        if may && path.ends_with("/rollbacks") {
            // What runs already is not returned to.
            self.deployed("hello").await;
        }
        let name = match path {
            _ if path.contains("/workloads/") => "hello",
            _ if path.contains("/resources/") => &self.bucket,
            _ if path.contains("/deployments/") => "d-1",
            _ if path.contains("/resource-definitions/") => "volume-default",
            _ if path.contains("/environment-roles/") => "qa",
            _ if path.contains("/starter-kits/") => "python-service",
            _ if path.contains("/namespaces/") => "payments-standing",
            _ if path.contains("/keys/") => "keyed",
            _ if path.contains("/remnants/") => &self.remnant,
            _ => STANDING,
        };
        let mut filled = filled(path, name)
            .replace("{key}", &self.key)
            .replace("{revision}", "1");
        if path.ends_with("/difference") {
            filled.push_str("?from=1&to=1");
        }
        if operation == "DELETE /v1/identity/sessions" {
            // One who does not ask: everybody ends their own.
            filled.push_str("?subject=local:out");
        }
        (filled, body)
    }

    /// Makes what `caller` takes away, and gives its path.
    async fn own(&self, path: &str, caller: &str) -> String {
        let name = format!("own-{caller}");
        match path {
            _ if PUT.contains(&path) => {
                let own = filled(path, &name);
                if path.contains("/members/") {
                    let user = format!("/v1/identity/users/{name}");
                    self.make(Method::PUT, &user, &json!({ "spec": {} })).await;
                }
                let body = self.body(&format!("PUT {path}"), caller);
                self.make(Method::PUT, &own, &body).await;
                own
            }
            "/v1/environments/{environment}" => {
                let body = json!({ "name": name, "team": "payments", "role": "dev" });
                self.make(Method::POST, "/v1/environments", &body).await;
                format!("/v1/environments/{name}")
            }
            "/v1/environments/{environment}/workloads/{name}" => {
                self.deployed(&name).await;
                filled(path, &name)
            }
            "/v1/environments/{environment}/resources/{name}" => {
                let left = self.left_over(&format!("left-by-{caller}")).await;
                filled(path, &left) + "?data=remove"
            }
            "/v1/identity/sessions" => {
                self.somebody(&name).await;
                format!("{path}?subject=local:{name}")
            }
            "/v1/identity/sessions/{id}" => {
                self.somebody(&name).await;
                let theirs = format!("/v1/identity/sessions?subject=local:{name}");
                let session = self.all("admin", &theirs).await.remove(0);
                path.replace("{id}", session["id"].as_str().unwrap())
            }
            "/v1/resource-definitions/{name}" => {
                let document = json!({
                    "apiVersion": "towpath.dev/v1", "kind": "ResourceDefinition",
                    "metadata": { "name": name },
                    "spec": { "type": name, "provisioner": "template", "params": { "outputs": { "a": "b" } } },
                });
                let body = json!({ "documents": [document] });
                self.make(Method::POST, "/v1/apply", &body).await;
                filled(path, &name)
            }
            "/v1/environment-roles/{name}" => {
                let document = json!({
                    "apiVersion": "towpath.dev/v1", "kind": "EnvironmentRole",
                    "metadata": { "name": name }, "spec": {},
                });
                let body = json!({ "documents": [document] });
                self.make(Method::POST, "/v1/apply", &body).await;
                filled(path, &name)
            }
            "/v1/starter-kits/{name}" => {
                let document = json!({
                    "apiVersion": "towpath.dev/v1", "kind": "StarterKit",
                    "metadata": { "name": name },
                    "spec": { "description": "", "files": [{ "path": "a", "content": "b" }] },
                });
                let body = json!({ "documents": [document] });
                self.make(Method::POST, "/v1/apply", &body).await;
                filled(path, &name)
            }
            "/v1/platforms/tools/{name}" => {
                self.registered(&name).await;
                filled(path, &name)
            }
            "/v1/platforms/teams/{team}" => {
                let group =
                    json!({ "members": if caller == "lea" { vec!["lea"] } else { vec![] } });
                self.make(Method::PUT, &format!("/v1/identity/groups/{name}"), &group)
                    .await;
                let body = json!({
                    "name": name, "environments": [], "leads": [format!("local:{caller}")],
                });
                self.make(Method::POST, "/v1/platforms/teams", &body).await;
                format!("/v1/platforms/teams/{name}?confirm={name}")
            }
            "/v1/remnants/{name}" => filled(path, &self.given_up(&name).await),
            "/v1/teams/{team}/namespaces/{name}" => {
                let name = format!("payments-{name}");
                let namespaces = "/v1/teams/payments/namespaces";
                self.make(Method::POST, namespaces, &json!({ "name": name }))
                    .await;
                format!("{namespaces}/{name}?confirm={name}")
            }
            _ if path.ends_with("/keys/{key}") => {
                filled(path, "keyed").replace("{key}", &self.drawn().await)
            }
            _ if path.contains("/dead-letters/") => self.letter(path).await,
            "/v1/environments/{environment}/pins" => filled(path, ""),
            _ => panic!("say what {path} takes away"),
        }
    }

    /// Registers a tool, which the team administers.
    async fn registered(&self, name: &str) {
        let document = json!({
            "apiVersion": "towpath.dev/v1", "kind": "Tool", "metadata": { "name": name },
            "spec": {
                "owner": { "team": "payments" }, "authentication": "oidc", "authorization": "claims",
                "api": true,
            },
        });
        let body = json!({ "documents": [document] });
        self.make(Method::POST, "/v1/apply", &body).await;
    }

    /// The path of a dead letter that is still there.
    async fn letter(&self, path: &str) -> String {
        let path = filled(path, STANDING);
        let (list, _) = path.split_once("/{event}").unwrap();
        let letter = self.all("admin", list).await.remove(0);
        path.replace("{event}", letter["metadata"]["name"].as_str().unwrap())
    }

    /// Draws a key of a service account; gives its id.
    async fn drawn(&self) -> String {
        let keys = "/v1/identity/teams/payments/service-accounts/keyed/keys";
        let key = self.make(Method::POST, keys, &Value::Null).await;
        key["id"].as_str().unwrap().to_owned()
    }

    /// What is sent with an operation.
    fn body(&self, operation: &str, caller: &str) -> Value {
        match operation {
            "POST /v1/environments" => {
                json!({ "name": format!("made-by-{caller}"), "team": "payments", "role": "dev" })
            }
            "PATCH /v1/environments/{environment}" => json!({ "labels": { "by": caller } }),
            "POST /v1/platforms/teams" => {
                json!({ "name": format!("made-by-{caller}"), "environments": [] })
            }
            // What changes nothing is everybody's who may see it.
            "PATCH /v1/platforms/teams/{team}" => json!({ "description": format!("by {caller}") }),
            "PATCH /v1/teams/{team}/namespaces/{name}" => {
                json!({ "description": format!("by {caller}") })
            }
            "POST /v1/teams/{team}/namespaces" => json!({ "name": format!("payments-{caller}") }),
            "POST /v1/apply" | "POST /v1/apply/plan" => json!({ "documents": [{
                "apiVersion": "towpath.dev/v1", "kind": "EnvironmentRole",
                "metadata": { "name": "trial" }, "spec": { "description": format!("for {caller}") },
            }]}),
            "POST /v1/starter-kits/{name}/repositories" => json!({ "name": "made" }),
            "POST /v1/events" => json!({
                "specversion": "1.0", "id": caller, "source": "https://ci.acme.example",
                "type": "com.acme.tests.finished", "team": "payments", "environment": "pay-dev",
                "outcome": "pass",
            }),
            "POST /v1/explain" => json!({ "type": "volume", "environment": "pay-dev" }),
            "POST /v1/environments/{environment}/plans"
            | "POST /v1/environments/{environment}/deployments" => plain_order("hello"),
            "POST /v1/environments/{environment}/rollbacks" => json!({ "to": "d-1" }),
            "PUT /v1/teams/{team}/secrets/{name}" => {
                json!({ "value": { "value": format!("of {caller}") } })
            }
            "POST /v1/teams/{team}/secret-rotations" => json!({ "path": DRAWN }),
            "PUT /v1/platforms/integrations/{name}" => json!({
                "type": "github", "config": { "org": "acme" }, "enabled": false,
            }),
            "PUT /v1/clusters/{name}" => json!({ "spec": {
                "endpoint": "https://10.0.0.1:6443", "description": format!("by {caller}"),
            }}),
            "PUT /v1/identity/users/{name}" => json!({ "spec": {} }),
            "PUT /v1/identity/clients/{name}" => json!({ "confidential": true }),
            "PUT /v1/identity/upstreams/{name}" => json!({ "spec": {
                "title": "Acme", "clientId": "towpath",
                "provider": { "type": "oidc", "issuer": "https://login.acme.example" },
            }}),
            "PUT /v1/identity/teams/{team}/workload-trusts/{name}" => json!({
                "issuer": "https://gitlab.com", "serviceAccount": STANDING,
                "claims": { "project_path": "acme/payments" },
            }),
            _ if operation.starts_with("PUT") && operation.contains("/subscriptions/") => json!({
                "types": ["org.nothing.at-all"], "url": self.receiver,
            }),
            _ if operation.contains("/members/")
                || operation.ends_with("/rotate")
                || operation.ends_with("/keys") =>
            {
                Value::Null
            }
            _ => json!({}),
        }
    }
}

fn filled(path: &str, name: &str) -> String {
    path.replace("{environment}", "pay-dev")
        .replace("{team}", "payments")
        .replace("{name}", name)
        .replace("{user}", name)
        .replace("{subject}", "local:ada")
}
