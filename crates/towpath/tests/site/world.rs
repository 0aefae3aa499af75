//! A platform with teams, as a test asks it over HTTP.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use testkit::eventually;

use super::{Running, Site, work};

pub const LONG: Duration = Duration::from_mins(1);

pub struct World {
    pub site: Site,
    running: Option<Running>,
    http: reqwest::Client,
    token: String,
    _data: tempfile::TempDir,
}

impl World {
    pub async fn new(options: &[&str]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut site = Site::new(data.path());
        site.options = options.iter().map(|&option| option.to_owned()).collect();
        let running = site.start().await;
        let token = std::fs::read_to_string(data.path().join("admin.token")).unwrap();
        Self {
            site,
            running: Some(running),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            token: token.trim().to_owned(),
            _data: data,
        }
    }

    /// Kills the platform, and starts it again.
    pub async fn restart(&mut self) {
        if let Some(running) = self.running.take() {
            running.kill();
        }
        self.running = Some(self.site.start().await);
    }

    pub async fn ask(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        self.ask_as(&self.token, method, path, body).await
    }

    /// Asks with this token.
    pub async fn ask_as(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: Value,
    ) -> (u16, Value) {
        let url = format!("http://127.0.0.1:{}{path}", self.site.api);
        let mut request = self.http.request(method, url).bearer_auth(token);
        if !body.is_null() {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    pub async fn get(&self, path: &str) -> Value {
        self.ask(Method::GET, path, Value::Null).await.1
    }

    /// A key of a service account of a team, made where it is not there: the client's id, and the secret.
    pub async fn key(&self, team: &str, name: &str) -> (String, String) {
        let path = format!("/v1/identity/teams/{team}/service-accounts/{name}");
        if self.ask(Method::GET, &path, Value::Null).await.0 == 404 {
            let (status, made) = self.ask(Method::PUT, &path, json!({})).await;
            assert_eq!(status, 200, "{made}");
        }
        let keys = format!("{path}/keys");
        let (status, key) = self.ask(Method::POST, &keys, Value::Null).await;
        assert_eq!(status, 201, "{key}");
        let text = |name: &str| key[name].as_str().unwrap().to_owned();
        (text("clientId"), text("clientSecret"))
    }

    /// What the platform answers who asks for a token with a key.
    pub async fn token(&self, client: &str, secret: &str) -> Result<String, Value> {
        let client = client.replace('/', "%2F");
        let body =
            format!("grant_type=client_credentials&client_id={client}&client_secret={secret}");
        let form = "application/x-www-form-urlencoded";
        let request = self
            .http
            .post(format!("{}/oauth/token", self.site.server()));
        let answer = request.header("content-type", form).body(body).send().await;
        let answer: Value = answer.unwrap().json().await.unwrap();
        let token = answer["access_token"].as_str().map(str::to_owned);
        token.ok_or(answer)
    }

    /// Users with these names, all of them in this group.
    pub async fn people(&self, group: &str, names: &[String]) {
        for name in names {
            let path = format!("/v1/identity/users/{name}");
            let (status, made) = self.ask(Method::PUT, &path, json!({ "spec": {} })).await;
            assert_eq!(status, 200, "{made}");
        }
        let path = format!("/v1/identity/groups/{group}");
        let (status, made) = self
            .ask(Method::PUT, &path, json!({ "members": names }))
            .await;
        assert_eq!(status, 200, "{made}");
    }

    pub async fn onboard(&self, body: Value) -> Value {
        let (status, team) = self.ask(Method::POST, "/v1/platforms/teams", body).await;
        assert_eq!(status, 202, "{team}");
        team
    }

    pub async fn team(&self, name: &str) -> Value {
        self.get(&format!("/v1/platforms/teams/{name}")).await
    }

    /// The team, as soon as it is onboarded.
    pub async fn ready(&self, name: &str) -> Value {
        eventually("the team is onboarded", LONG, || async {
            let team = self.team(name).await;
            (team["status"]["phase"] == "ready").then_some(team)
        })
        .await
    }

    pub async fn namespace(&self, team: &str, name: &str) -> Value {
        self.get(&format!("/v1/teams/{team}/namespaces/{name}"))
            .await
    }

    pub async fn environments(&self) -> Vec<String> {
        let page = self.get("/v1/environments").await;
        let items = page["items"].as_array().unwrap();
        let name = |item: &Value| item["metadata"]["name"].as_str().unwrap().to_owned();
        items.iter().map(name).collect()
    }

    pub async fn events(&self, kind: &str) -> Vec<Value> {
        let page = self
            .get(&format!("/v1/events?limit=1000&type=dev.towpath.{kind}"))
            .await;
        page["items"].as_array().unwrap().clone()
    }

    /// Orders the test workload, which asks for this much CPU.
    pub async fn deploy(&self, environment: &str, name: &str, cpu: &str) -> (u16, Value) {
        let mut score = work::score(name, &json!({}), &json!({}));
        score["containers"]["main"]["resources"] = json!({ "requests": { "cpu": cpu } });
        self.order(environment, score).await
    }

    /// Orders this workload in an environment that is there.
    pub async fn order(&self, environment: &str, score: Value) -> (u16, Value) {
        let mut order = serde_json::to_value(work::deployment(score)).unwrap();
        order["createEnvironment"] = Value::Null;
        let path = format!("/v1/environments/{environment}/deployments");
        self.ask(Method::POST, &path, order).await
    }
}
