//! Jira's REST API: projects, and who has which role in them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use kernel::ErrorKind;
use serde_json::{Value, json};

use crate::support::{heal, look, serve, team, tool};

#[derive(Default)]
pub(crate) struct Site {
    pub(crate) projects: BTreeSet<String>,
    /// Whether it answers nothing of use once it has made a project.
    pub(crate) loses_answers: bool,
    /// Accounts by role.
    pub(crate) roles: BTreeMap<String, BTreeSet<String>>,
    hides_roles: bool,
    /// Accounts that it takes into nothing.
    pub(crate) refused: BTreeSet<String>,
    /// Who was to be taken in (`+`) and out (`-`), in order.
    pub(crate) asked: Vec<String>,
}

type Shared = State<Arc<Mutex<Site>>>;

pub(crate) async fn jira() -> (String, Arc<Mutex<Site>>) {
    let site = Arc::new(Mutex::new(Site::default()));
    let role = get(actors).post(add).delete(remove);
    let router = Router::new()
        .route("/rest/api/3/project", post(make))
        .route("/rest/api/3/project/{key}", get(show))
        .route("/rest/api/3/project/{key}/role", get(roles))
        .route("/rest/api/3/project/{key}/role/{role}", role)
        .with_state(site.clone());
    (serve(router).await, site)
}

async fn make(State(site): Shared, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    // `ops@acme.example:canary-token`, as RFC 7617 has it.
    let basic = "Basic b3BzQGFjbWUuZXhhbXBsZTpjYW5hcnktdG9rZW4=";
    assert_eq!(headers[header::AUTHORIZATION], basic);
    assert_eq!(body["leadAccountId"], "acc-lead");
    assert_eq!(body["projectTypeKey"], "software");
    let key = body["key"].as_str().unwrap().to_owned();
    assert!(key.len() <= 10 && key.chars().all(|c| c.is_ascii_uppercase()));
    let mut site = site.lock().unwrap();
    site.projects.insert(key);
    if site.loses_answers {
        return StatusCode::BAD_GATEWAY.into_response();
    }
    (StatusCode::CREATED, Json(json!({ "id": 10000 }))).into_response()
}

async fn show(State(site): Shared, Path(key): Path<String>) -> Response {
    if site.lock().unwrap().projects.contains(&key) {
        return Json(json!({ "key": key })).into_response();
    }
    StatusCode::NOT_FOUND.into_response()
}

async fn roles(State(site): Shared) -> Response {
    if site.lock().unwrap().hides_roles {
        return StatusCode::NOT_FOUND.into_response();
    }
    // The address is another's: it must not be followed.
    Json(json!({
        "Developers": "https://elsewhere.example/rest/api/3/project/PAYMENTS/role/10001",
        "Administrators": "https://elsewhere.example/rest/api/3/project/PAYMENTS/role/10002",
    }))
    .into_response()
}

async fn actors(State(site): Shared, Path((_, role)): Path<(String, String)>) -> Json<Value> {
    let mut site = site.lock().unwrap();
    let mut actors: Vec<Value> = site
        .roles
        .entry(role)
        .or_default()
        .iter()
        .map(|account| {
            json!({
                "type": "atlassian-user-role-actor",
                "actorUser": { "accountId": account },
            })
        })
        .collect();
    actors.push(json!({
        "type": "atlassian-group-role-actor",
        "actorGroup": { "name": "everybody" },
    }));
    Json(json!({ "name": "some role", "actors": actors }))
}

async fn add(
    State(site): Shared,
    Path((_, role)): Path<(String, String)>,
    Json(body): Json<Value>,
) -> Response {
    let account = body["user"][0].as_str().unwrap().to_owned();
    let mut site = site.lock().unwrap();
    site.asked.push(format!("+{account}"));
    if site.refused.contains(&account) {
        return StatusCode::BAD_REQUEST.into_response();
    }
    site.roles.entry(role).or_default().insert(account);
    Json(json!({})).into_response()
}

async fn remove(
    State(site): Shared,
    Path((_, role)): Path<(String, String)>,
    Query(query): Query<BTreeMap<String, String>>,
) -> StatusCode {
    let mut site = site.lock().unwrap();
    site.asked.push(format!("-{}", query["user"]));
    site.roles.entry(role).or_default().remove(&query["user"]);
    StatusCode::NO_CONTENT
}

#[tokio::test]
async fn a_project_is_made_and_its_roles_are_kept() {
    let (url, site) = jira().await;
    let jira = tool("jira");
    let config = json!({
        "url": url,
        "user": "ops@acme.example",
        "lead": "acc-lead",
        "leads": "Administrators",
        "accounts": { "ada": "557058:a-d a", "bob": "acc-bob" },
    });
    let wanted = team(&["ada*", "bob", "new"]);
    let healed = heal(jira.as_ref(), &config, &wanted).await;
    assert_eq!(
        healed,
        [
            "projects/PAYMENTS: - -> payments",
            "projects/PAYMENTS/roles/Developers/557058:a-d a: - -> present",
            "projects/PAYMENTS/roles/Developers/acc-bob: - -> present",
            "projects/PAYMENTS/roles/Administrators/557058:a-d a: - -> present",
        ]
    );
    let found = look(jira.as_ref(), &config, &wanted).await.unwrap();
    let message = "`new` has no account at Jira: name it in `config.accounts`";
    assert_eq!(found.obstacles, [message]);
    {
        let mut site = site.lock().unwrap();
        let developers = site.roles.get_mut("10001").unwrap();
        developers.insert("acc-eve".into());
        developers.remove("acc-bob");
    }
    let healed = heal(jira.as_ref(), &config, &wanted).await;
    assert_eq!(
        healed,
        [
            "projects/PAYMENTS/roles/Developers/acc-bob: - -> present",
            "projects/PAYMENTS/roles/Developers/acc-eve: present -> -",
        ]
    );
}

#[tokio::test]
async fn what_is_hidden_in_a_project_that_is_there_is_no_answer() {
    let (url, site) = jira().await;
    {
        let mut site = site.lock().unwrap();
        site.projects.insert("PAYMENTS".into());
        site.hides_roles = true;
    }
    let config = json!({
        "url": url, "user": "ops@acme.example", "lead": "acc-lead", "accounts": {},
    });
    let error = look(tool("jira").as_ref(), &config, &team(&["ada"])).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error:?}");
}
