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

use crate::support::{heal, look, seen, serve, team, tool};

#[derive(Default)]
pub(crate) struct Site {
    pub(crate) projects: BTreeSet<String>,
    /// Whether it answers nothing of use once it has made a project.
    pub(crate) loses_answers: bool,
    /// Accounts by role.
    pub(crate) roles: BTreeMap<String, BTreeSet<String>>,
    hides_roles: bool,
    /// Whom a search finds.
    pub(crate) users: Vec<Value>,
    /// How often somebody was searched for.
    pub(crate) searches: usize,
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
        .route("/rest/api/3/user/search", get(search))
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

/// As Jira searches: for beginnings of names and of addresses, hidden ones too, of those who are active.
async fn search(
    State(site): Shared,
    Query(query): Query<BTreeMap<String, String>>,
) -> Json<Vec<Value>> {
    let mut site = site.lock().unwrap();
    site.searches += 1;
    let found = |user: &&Value| {
        ["displayName", "address"].iter().any(|field| {
            let text = user[*field].as_str().unwrap_or_default();
            text.starts_with(&query["query"])
        })
    };
    let shown = |user: &Value| {
        let mut user = user.clone();
        let address = user["address"].take();
        let hides = user["hides"].take() == true;
        user["emailAddress"] = if hides { json!("") } else { address };
        user
    };
    Json(site.users.iter().filter(found).map(shown).collect())
}

/// Somebody whom Jira knows.
pub(crate) fn user(account: &str, address: &str) -> Value {
    json!({
        "accountId": account, "accountType": "atlassian", "active": true,
        "displayName": account, "address": address,
    })
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
    let message = "`new` has no account at Jira that can be told: have their source tell their address, or \
                   name it in `config.accounts`";
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

#[tokio::test]
async fn joiners_are_found_by_their_address_and_nobody_is_mistaken_for_another() {
    let (url, site) = jira().await;
    let with = |account: &str, address: &str, change: Value| {
        let mut user = user(account, address);
        for (field, value) in change.as_object().unwrap() {
            user[field] = value.clone();
        }
        user
    };
    site.lock().unwrap().users = vec![
        user("acc-ada", "Ada@acme.example"),
        user("acc-adams", "ada@acme.example.org"),
        with("acc-bob", "bob@acme.example", json!({ "hides": true })),
        // Whoever takes somebody's address for a name is not they.
        with(
            "acc-eve",
            "x@y.example",
            json!({ "hides": true, "displayName": "cy@acme.example" }),
        ),
        with(
            "acc-app",
            "dan@acme.example",
            json!({ "accountType": "app" }),
        ),
        user("acc-max", "max@acme.example"),
    ];
    site.lock().unwrap().users[0]["address"] = json!("ada@acme.example");
    let config = json!({
        "url": url, "user": "ops@acme.example", "lead": "acc-lead",
        "accounts": { "max": "acc-max-the-other" },
    });
    let mut wanted = team(&["ada", "bob", "cy", "dan", "max"]);
    for member in &mut wanted.members {
        member.email = Some(format!("{}@acme.example", member.name));
    }
    heal(tool("jira").as_ref(), &config, &wanted).await;
    let roles = site.lock().unwrap().roles["10001"].clone();
    let expected = ["acc-ada", "acc-bob", "acc-max-the-other"].map(str::to_owned);
    assert_eq!(roles, expected.into());
    let found = look(tool("jira").as_ref(), &config, &wanted).await.unwrap();
    let message = |name: &str| {
        format!(
            "`{name}` has no account at Jira that can be told: have Jira know their address, or name it in \
             `config.accounts`"
        )
    };
    assert_eq!(found.obstacles, [message("cy"), message("dan")]);
    assert_eq!(found.accounts["hub:bob"], "acc-bob");
}

#[tokio::test]
async fn of_a_list_that_is_not_whole_only_those_who_have_left_are_taken_out() {
    let (url, site) = jira().await;
    let accounts: BTreeMap<_, _> = ["ada", "bob", "eve"]
        .map(|name| (name, format!("acc-{name}")))
        .into();
    let config = json!({
        "url": url, "user": "ops@acme.example", "lead": "acc-lead", "leads": "Administrators",
        "accounts": accounts,
    });
    heal(
        tool("jira").as_ref(),
        &config,
        &team(&["ada", "bob*", "eve"]),
    )
    .await;
    // Eve is silent.
    let healed = heal(tool("jira").as_ref(), &config, &seen(&["ada"], &[])).await;
    assert!(healed.is_empty(), "{healed:?}");
    let healed = heal(tool("jira").as_ref(), &config, &seen(&["ada"], &["bob"])).await;
    assert_eq!(
        healed,
        [
            "projects/PAYMENTS/roles/Developers/acc-bob: present -> -",
            "projects/PAYMENTS/roles/Administrators/acc-bob: present -> -",
        ]
    );
    let left = ["acc-ada".to_owned(), "acc-eve".to_owned()];
    assert_eq!(site.lock().unwrap().roles["10001"], left.into());
}
