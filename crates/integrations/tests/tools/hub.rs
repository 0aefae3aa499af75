//! GitHub's REST API, as far as it is spoken to: teams, memberships, rulesets, what pipelines keep.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    body::to_bytes,
    extract::{Path, Query, Request, State},
    http::{HeaderMap, Method, StatusCode, Uri, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::{CREDENTIAL, serve};

/// How it says that its limit of requests is reached.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Limit {
    /// None are left until a time.
    Spent,
    /// It refuses, and names no time.
    Secondary,
    /// It refuses for a second.
    Wait,
    /// It answers, for the last time.
    Last,
}

#[derive(Default)]
pub(crate) struct Org {
    pub(crate) teams: BTreeSet<String>,
    /// Role by login.
    pub(crate) members: BTreeMap<String, String>,
    /// Who has not accepted yet.
    pub(crate) invited: BTreeSet<String>,
    /// People who are in the organization already; others are invited.
    pub(crate) people: BTreeSet<String>,
    pub(crate) owners: BTreeSet<String>,
    /// Who is in each of the teams below that of the tests.
    pub(crate) below: BTreeMap<String, BTreeSet<String>>,
    /// Whose logins are.
    pub(crate) ids: BTreeMap<String, u64>,
    pub(crate) rulesets: Vec<Value>,
    /// What is given to the pipelines of each repository.
    pub(crate) secrets: Vec<String>,
    pub(crate) requests: usize,
    /// Those that count against its limit: all but those whose answer has not changed.
    pub(crate) counted: usize,
    pub(crate) limited: Option<Limit>,
    /// Ends of paths that it shows to nobody.
    pub(crate) hidden: Option<&'static str>,
}

type Shared = State<Arc<Mutex<Org>>>;
type Of = Query<BTreeMap<String, String>>;

pub(crate) async fn github() -> (String, Arc<Mutex<Org>>) {
    let org = Arc::new(Mutex::new(Org::default()));
    let router = Router::new()
        .route("/orgs/acme/teams", post(make_team))
        .route("/orgs/acme/teams/{team}", get(show_team))
        .route("/orgs/acme/teams/{team}/members", get(members))
        .route("/orgs/acme/teams/{team}/teams", get(teams_below))
        .route("/orgs/acme/teams/{team}/invitations", get(invitations))
        .route("/users/{login}", get(user))
        .route(
            "/orgs/acme/teams/{team}/memberships/{login}",
            put(join).delete(leave),
        )
        .route("/orgs/acme/teams/{team}/repos", get(repos))
        .route("/orgs/acme/members", get(owners))
        .route("/repos/acme/{repo}/actions/secrets", get(secrets))
        .route(
            "/repos/acme/{repo}/actions/organization-secrets",
            get(shared_secrets),
        )
        .route(
            "/repos/acme/{repo}/rulesets",
            get(rulesets).post(make_ruleset),
        )
        .route(
            "/repos/acme/{repo}/rulesets/{id}",
            get(ruleset).put(change_ruleset),
        )
        .layer(from_fn_with_state(org.clone(), door))
        .with_state(org.clone());
    (serve(router).await, org)
}

/// Who may in, and how often.
async fn door(State(org): Shared, request: Request, next: Next) -> Response {
    let known = request.headers().get(header::IF_NONE_MATCH).cloned();
    assert!(known.is_none() || request.method() == Method::GET);
    let reads = request.method() == Method::GET;
    let answer = let_in(&org, request, next).await;
    if !reads || answer.status() != StatusCode::OK {
        org.lock().unwrap().counted += 1;
        return answer;
    }
    let (mut parts, body) = answer.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let tag = format!("W/\"{:x}\"", Sha256::digest(&body));
    let tag = header::HeaderValue::from_str(&tag).unwrap();
    parts.headers.insert(header::ETAG, tag.clone());
    if known == Some(tag) {
        return (StatusCode::NOT_MODIFIED, parts.headers).into_response();
    }
    org.lock().unwrap().counted += 1;
    Response::from_parts(parts, body.into())
}

async fn let_in(org: &Mutex<Org>, request: Request, next: Next) -> Response {
    let authorization = request.headers()[header::AUTHORIZATION].to_str().unwrap();
    assert_eq!(authorization, format!("Bearer {CREDENTIAL}"));
    assert_eq!(request.headers()["x-github-api-version"], "2022-11-28");
    assert!(request.headers().contains_key(header::USER_AGENT));
    let (limited, hidden) = {
        let mut org = org.lock().unwrap();
        org.requests += 1;
        (org.limited, org.hidden)
    };
    if hidden.is_some_and(|end| request.uri().path().ends_with(end)) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let reset = jiff::Timestamp::now().as_second() + 120;
    let spent = [
        ("x-ratelimit-remaining", "0".to_owned()),
        ("x-ratelimit-reset", reset.to_string()),
    ];
    let secondary = "You have exceeded a secondary rate limit.";
    let code = StatusCode::FORBIDDEN;
    match limited {
        Some(Limit::Spent) => (code, spent, "rate limit exceeded").into_response(),
        Some(Limit::Secondary) => (code, secondary).into_response(),
        Some(Limit::Wait) => (code, [("retry-after", "1")], secondary).into_response(),
        Some(Limit::Last) => (spent, next.run(request).await).into_response(),
        None => next.run(request).await,
    }
}

async fn make_team(State(org): Shared, Json(body): Json<Value>) -> Response {
    let name = body["name"].as_str().unwrap().to_owned();
    assert_eq!(body["privacy"], "closed");
    org.lock().unwrap().teams.insert(name);
    (StatusCode::CREATED, Json(json!({}))).into_response()
}

async fn show_team(State(org): Shared, Path(team): Path<String>) -> Response {
    if org.lock().unwrap().teams.contains(&team) {
        Json(json!({ "slug": team })).into_response()
    } else {
        StatusCode::NOT_FOUND.into_response()
    }
}

/// A page of two, and where the next one is.
fn page(url: &str, all: Vec<Value>, query: &BTreeMap<String, String>) -> Response {
    assert_eq!(query["per_page"], "100");
    let page: usize = query.get("page").map_or(1, |page| page.parse().unwrap());
    let items: Vec<Value> = all.iter().skip((page - 1) * 2).take(2).cloned().collect();
    let mut headers = HeaderMap::new();
    if all.len() > page * 2 {
        let mut query = query.clone();
        query.insert("page".into(), (page + 1).to_string());
        let query: Vec<_> = query.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let link = format!(
            "<{url}?{}>; rel=\"next\", <{url}>; rel=\"last\"",
            query.join("&")
        );
        headers.insert(header::LINK, link.parse().unwrap());
    }
    (headers, Json(Value::Array(items))).into_response()
}

fn here(headers: &HeaderMap, path: &str) -> String {
    format!("http://{}{path}", headers[header::HOST].to_str().unwrap())
}

async fn members(
    State(org): Shared,
    Path(team): Path<String>,
    Query(query): Of,
    headers: HeaderMap,
) -> Response {
    let org = org.lock().unwrap();
    let url = here(&headers, &format!("/orgs/acme/teams/{team}/members"));
    let shown = |login: &String| json!({ "login": login, "id": org.ids.get(login) });
    if let Some(members) = org.below.get(&team) {
        return page(&url, members.iter().map(shown).collect(), &query);
    }
    if !org.teams.contains(&team) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let of_role = |login: &&String| {
        // Who is in it by a team below it alone has no role of their own.
        let own = org.members.get(*login).map_or("member", String::as_str);
        let owns = org.owners.contains(*login);
        let role = if owns { "maintainer" } else { own };
        query["role"] == role
    };
    let all: BTreeSet<&String> = org
        .members
        .keys()
        .chain(org.below.values().flatten())
        .collect();
    let all = all.into_iter().filter(of_role).map(shown).collect();
    page(&url, all, &query)
}

async fn teams_below(State(org): Shared, Path(team): Path<String>, Query(query): Of) -> Response {
    let org = org.lock().unwrap();
    let below: Vec<_> = if org.teams.contains(&team) {
        let slug = |slug: &String| json!({ "slug": slug });
        org.below.keys().map(slug).collect()
    } else {
        vec![]
    };
    page("", below, &query)
}

async fn user(State(org): Shared, Path(login): Path<String>) -> Response {
    let id = org.lock().unwrap().ids.get(&login).copied();
    match id {
        Some(id) => Json(json!({ "id": id, "login": login })).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn invitations(State(org): Shared, Query(query): Of) -> Response {
    let org = org.lock().unwrap();
    let mut all: Vec<Value> = org
        .invited
        .iter()
        .map(|one| json!({ "login": one }))
        .collect();
    all.push(json!({ "login": null, "email": "someone@example.com" }));
    page("", all, &query)
}

async fn owners(State(org): Shared, Query(query): Of) -> Response {
    assert_eq!(query["role"], "admin");
    let org = org.lock().unwrap();
    let all = org
        .owners
        .iter()
        .map(|one| json!({ "login": one }))
        .collect();
    page("", all, &query)
}

async fn join(
    State(org): Shared,
    Path((_, login)): Path<(String, String)>,
    Json(body): Json<Value>,
) -> Json<Value> {
    let mut org = org.lock().unwrap();
    if org.people.contains(&login) {
        org.members
            .insert(login, body["role"].as_str().unwrap().into());
        return Json(json!({ "state": "active" }));
    }
    org.invited.insert(login);
    Json(json!({ "state": "pending" }))
}

async fn leave(State(org): Shared, Path((_, login)): Path<(String, String)>) -> StatusCode {
    let mut org = org.lock().unwrap();
    let was = org.members.remove(&login).is_some() | org.invited.remove(&login);
    if was {
        StatusCode::NO_CONTENT
    } else {
        StatusCode::NOT_FOUND
    }
}

async fn repos(Query(query): Of) -> Response {
    let repo = |name: &str, archived: bool, admin: bool| {
        json!({
            "name": name, "owner": { "login": "acme" }, "archived": archived,
            "permissions": { "admin": admin, "push": true },
        })
    };
    let all = vec![repo("checkout", false, true), repo("old", true, true)];
    page("", [all, vec![]].concat(), &query).into_response()
}

/// Pages of an object, one secret on each.
async fn secrets(State(org): Shared, Query(query): Of, headers: HeaderMap, uri: Uri) -> Response {
    assert_eq!(query["per_page"], "100");
    let all = org.lock().unwrap().secrets.clone();
    let page: usize = query.get("page").map_or(1, |page| page.parse().unwrap());
    let mut links = HeaderMap::new();
    if all.len() > page {
        let url = here(&headers, uri.path());
        let link = format!("<{url}?per_page=100&page={}>; rel=\"next\"", page + 1);
        links.insert(header::LINK, link.parse().unwrap());
    }
    let shown: Vec<_> = all.iter().skip(page - 1).take(1).collect();
    let shown: Vec<_> = shown.iter().map(|name| json!({ "name": name })).collect();
    (
        links,
        Json(json!({ "total_count": all.len(), "secrets": shown })),
    )
        .into_response()
}

async fn shared_secrets() -> Json<Value> {
    Json(json!({ "total_count": 1, "secrets": [{ "name": "TOWPATH_TOKEN" }] }))
}

async fn rulesets(State(org): Shared, Query(query): Of) -> Json<Value> {
    assert_eq!(query["includes_parents"], "false");
    let org = org.lock().unwrap();
    let short = |one: &Value| json!({ "id": one["id"], "name": one["name"] });
    Json(org.rulesets.iter().map(short).collect())
}

async fn make_ruleset(State(org): Shared, Json(mut body): Json<Value>) -> Response {
    let mut org = org.lock().unwrap();
    body["id"] = json!(org.rulesets.len() + 40);
    org.rulesets.push(body.clone());
    (StatusCode::CREATED, Json(body)).into_response()
}

async fn ruleset(State(org): Shared, Path((_, id)): Path<(String, u64)>) -> Json<Value> {
    let org = org.lock().unwrap();
    Json(
        org.rulesets
            .iter()
            .find(|one| one["id"] == id)
            .cloned()
            .unwrap(),
    )
}

async fn change_ruleset(
    State(org): Shared,
    Path((_, id)): Path<(String, u64)>,
    Json(mut body): Json<Value>,
) -> Json<Value> {
    let mut org = org.lock().unwrap();
    body["id"] = json!(id);
    let one = org.rulesets.iter_mut().find(|one| one["id"] == id).unwrap();
    *one = body.clone();
    Json(body)
}
