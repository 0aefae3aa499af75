//! Terraform Cloud's API, as far as it is spoken to: teams, who is in them, workspaces, and access to these.
//! JSON:API documents, lists in pages of two, ids of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    extract::{Path, Query, Request, State},
    http::{HeaderMap, Method, StatusCode, Uri, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, patch, post},
};
use serde_json::{Value, json};

use crate::support::{CREDENTIAL, serve};

/// An organization.
#[derive(Default)]
pub(crate) struct Cloud {
    /// Names and visibilities, by id.
    pub(crate) teams: BTreeMap<String, (String, String)>,
    /// Addresses of whoever is in the organization, by the id of their membership.
    pub(crate) memberships: BTreeMap<String, String>,
    /// Memberships in each team.
    pub(crate) within: BTreeMap<String, BTreeSet<String>>,
    /// Ids of workspaces, by name.
    pub(crate) workspaces: BTreeMap<String, String>,
    /// What a team may do in a workspace, by the id of that: team, workspace, level.
    pub(crate) access: BTreeMap<String, (String, String, String)>,
    /// What was sent that changes something.
    pub(crate) sent: Vec<String>,
    made: usize,
}

type Shared = State<Arc<Mutex<Cloud>>>;
type Of = Query<BTreeMap<String, String>>;

/// One with a team that owns it, and people.
pub(crate) async fn cloud(people: &[&str]) -> (String, Arc<Mutex<Cloud>>) {
    let mut cloud = Cloud::default();
    let owners = cloud.team("owners");
    for name in people {
        let id = cloud.id("ou");
        cloud.memberships.insert(id, format!("{name}@acme.example"));
    }
    cloud.within.insert(owners, BTreeSet::new());
    let cloud = Arc::new(Mutex::new(cloud));
    let in_teams = "/api/v2/teams/{id}/relationships/organization-memberships";
    let router = Router::new()
        .route(
            "/api/v2/organizations/acme/teams",
            get(teams).post(make_team),
        )
        .route("/api/v2/teams/{id}", get(show_team).patch(change_team))
        .route(in_teams, post(join).delete(leave))
        .route(
            "/api/v2/organizations/acme/organization-memberships",
            get(memberships),
        )
        .route(
            "/api/v2/organizations/acme/workspaces",
            post(make_workspace),
        )
        .route(
            "/api/v2/organizations/acme/workspaces/{name}",
            get(show_workspace),
        )
        .route(
            "/api/v2/team-workspaces",
            get(list_access).post(give_access),
        )
        .route("/api/v2/team-workspaces/{id}", patch(change_access))
        .layer(from_fn_with_state(cloud.clone(), door))
        .with_state(cloud.clone());
    (serve(router).await, cloud)
}

impl Cloud {
    fn id(&mut self, of: &str) -> String {
        self.made += 1;
        format!("{of}-{:04}", self.made)
    }

    /// Makes a team, as people do who are there.
    pub(crate) fn team(&mut self, name: &str) -> String {
        let id = self.id("team");
        let made = (name.to_owned(), "secret".to_owned());
        self.teams.insert(id.clone(), made);
        id
    }

    /// The one team of this name.
    pub(crate) fn named(&self, name: &str) -> String {
        let mut teams = self.teams.iter().filter(|(_, team)| team.0 == name);
        let (id, _) = teams.next().unwrap();
        assert!(teams.next().is_none(), "several teams are called {name}");
        id.clone()
    }

    /// The membership of somebody.
    pub(crate) fn membership(&self, name: &str) -> String {
        let address = format!("{name}@acme.example");
        let mut all = self.memberships.iter();
        let (id, _) = all.find(|(_, email)| **email == address).unwrap();
        id.clone()
    }

    /// Who is in a team, by address.
    pub(crate) fn people(&self, team: &str) -> BTreeSet<String> {
        let within = self.within.get(&self.named(team));
        let within = within.into_iter().flatten();
        within.map(|id| self.memberships[id].clone()).collect()
    }
}

/// Who may in, and with what.
async fn door(State(cloud): Shared, request: Request, next: Next) -> Response {
    let headers = request.headers();
    assert_eq!(
        headers[header::AUTHORIZATION],
        format!("Bearer {CREDENTIAL}").as_str()
    );
    if request.method() != Method::GET {
        assert_eq!(headers[header::CONTENT_TYPE], "application/vnd.api+json");
        let sent = format!("{} {}", request.method(), request.uri().path());
        cloud.lock().unwrap().sent.push(sent);
    }
    next.run(request).await
}

/// A page of two, and where the next one is.
fn page(
    headers: &HeaderMap,
    uri: &Uri,
    mut query: BTreeMap<String, String>,
    all: &[Value],
) -> Value {
    let number: usize = query
        .get("page[number]")
        .map_or(1, |at| at.parse().unwrap());
    let items: Vec<&Value> = all.iter().skip((number - 1) * 2).take(2).collect();
    query.insert("page[number]".into(), (number + 1).to_string());
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(query.iter())
        .finish();
    let host = headers[header::HOST].to_str().unwrap();
    let next = format!("http://{host}{}?{query}", uri.path());
    let next = (all.len() > number * 2).then_some(next);
    json!({
        "data": items,
        "links": { "first": null, "prev": null, "next": next },
        "meta": { "pagination": { "current-page": number, "total-count": all.len() } },
    })
}

/// What is refused, as it says so.
fn refused(status: StatusCode) -> Response {
    let error = json!({ "status": status.as_str(), "title": "it is refused" });
    (status, Json(json!({ "errors": [error] }))).into_response()
}

fn team(id: &str, team: &(String, String)) -> Value {
    json!({
        "id": id, "type": "teams",
        "attributes": { "name": team.0, "visibility": team.1, "users-count": 0 },
        "links": { "self": format!("/api/v2/teams/{id}") },
    })
}

async fn teams(
    State(cloud): Shared,
    Query(query): Of,
    headers: HeaderMap,
    uri: Uri,
) -> Json<Value> {
    let cloud = cloud.lock().unwrap();
    let names: Vec<&str> = query["filter[names]"].split(',').collect();
    let wanted = cloud.teams.iter();
    let wanted = wanted.filter(|(_, team)| names.contains(&team.0.as_str()));
    let all: Vec<Value> = wanted.map(|(id, one)| team(id, one)).collect();
    Json(page(&headers, &uri, query.clone(), &all))
}

async fn make_team(State(cloud): Shared, Json(body): Json<Value>) -> Response {
    let mut cloud = cloud.lock().unwrap();
    assert_eq!(body["data"]["type"], "teams");
    let attributes = &body["data"]["attributes"];
    let name = attributes["name"].as_str().unwrap();
    if cloud.teams.values().any(|team| team.0 == name) {
        return refused(StatusCode::UNPROCESSABLE_ENTITY);
    }
    let id = cloud.team(name);
    let visibility = attributes["visibility"].as_str().unwrap();
    let made = cloud.teams.get_mut(&id).unwrap();
    visibility.clone_into(&mut made.1);
    Json(json!({ "data": team(&id, made) })).into_response()
}

async fn show_team(State(cloud): Shared, Path(id): Path<String>, Query(query): Of) -> Response {
    assert_eq!(query["include"], "organization-memberships");
    let cloud = cloud.lock().unwrap();
    let Some(one) = cloud.teams.get(&id) else {
        return refused(StatusCode::NOT_FOUND);
    };
    let mut answer = json!({ "data": team(&id, one) });
    let within = cloud.within.get(&id).into_iter().flatten();
    let included: Vec<Value> = within
        .map(|id| membership(id, &cloud.memberships[id]))
        .collect();
    // Of nothing there is no list.
    if !included.is_empty() {
        answer["included"] = included.into();
    }
    Json(answer).into_response()
}

async fn change_team(
    State(cloud): Shared,
    Path(id): Path<String>,
    Json(body): Json<Value>,
) -> Response {
    let mut cloud = cloud.lock().unwrap();
    let Some(one) = cloud.teams.get_mut(&id) else {
        return refused(StatusCode::NOT_FOUND);
    };
    let visibility = &body["data"]["attributes"]["visibility"];
    visibility.as_str().unwrap().clone_into(&mut one.1);
    Json(json!({ "data": team(&id, one) })).into_response()
}

fn membership(id: &str, email: &str) -> Value {
    json!({
        "id": id, "type": "organization-memberships",
        "attributes": { "status": "active", "email": email },
    })
}

async fn memberships(
    State(cloud): Shared,
    Query(query): Of,
    headers: HeaderMap,
    uri: Uri,
) -> Json<Value> {
    let cloud = cloud.lock().unwrap();
    let wanted = cloud.memberships.iter();
    let wanted = wanted.filter(|(_, email)| **email == query["filter[email]"]);
    let all: Vec<Value> = wanted.map(|(id, email)| membership(id, email)).collect();
    Json(page(&headers, &uri, query.clone(), &all))
}

/// The memberships that a request names.
fn named(body: &Value) -> Vec<String> {
    let all = body["data"].as_array().unwrap().iter();
    all.map(|one| {
        assert_eq!(one["type"], "organization-memberships");
        one["id"].as_str().unwrap().to_owned()
    })
    .collect()
}

async fn join(State(cloud): Shared, Path(id): Path<String>, Json(body): Json<Value>) -> StatusCode {
    let mut cloud = cloud.lock().unwrap();
    let named = named(&body);
    assert!(named.iter().all(|one| cloud.memberships.contains_key(one)));
    cloud.within.entry(id).or_default().extend(named);
    StatusCode::NO_CONTENT
}

async fn leave(
    State(cloud): Shared,
    Path(id): Path<String>,
    Json(body): Json<Value>,
) -> StatusCode {
    let mut cloud = cloud.lock().unwrap();
    let within = cloud.within.entry(id).or_default();
    for one in named(&body) {
        within.remove(&one);
    }
    StatusCode::NO_CONTENT
}

fn workspace(id: &str, name: &str) -> Value {
    json!({ "data": { "id": id, "type": "workspaces", "attributes": { "name": name } } })
}

async fn make_workspace(State(cloud): Shared, Json(body): Json<Value>) -> Response {
    let mut cloud = cloud.lock().unwrap();
    let name = body["data"]["attributes"]["name"].as_str().unwrap();
    if cloud.workspaces.contains_key(name) {
        return refused(StatusCode::UNPROCESSABLE_ENTITY);
    }
    let id = cloud.id("ws");
    cloud.workspaces.insert(name.to_owned(), id.clone());
    (StatusCode::CREATED, Json(workspace(&id, name))).into_response()
}

async fn show_workspace(State(cloud): Shared, Path(name): Path<String>) -> Response {
    match cloud.lock().unwrap().workspaces.get(&name) {
        Some(id) => Json(workspace(id, &name)).into_response(),
        None => refused(StatusCode::NOT_FOUND),
    }
}

fn access(id: &str, (team, workspace, level): &(String, String, String)) -> Value {
    json!({
        "id": id, "type": "team-workspaces",
        "attributes": { "access": level },
        "relationships": {
            "team": { "data": { "id": team, "type": "teams" } },
            "workspace": { "data": { "id": workspace, "type": "workspaces" } },
        },
    })
}

async fn list_access(
    State(cloud): Shared,
    Query(query): Of,
    headers: HeaderMap,
    uri: Uri,
) -> Json<Value> {
    let cloud = cloud.lock().unwrap();
    let wanted = cloud.access.iter();
    let wanted = wanted.filter(|(_, one)| one.1 == query["filter[workspace][id]"]);
    let all: Vec<Value> = wanted.map(|(id, one)| access(id, one)).collect();
    Json(page(&headers, &uri, query.clone(), &all))
}

async fn give_access(State(cloud): Shared, Json(body): Json<Value>) -> Response {
    let mut cloud = cloud.lock().unwrap();
    let of = |name: &str| {
        let id = &body["data"]["relationships"][name]["data"]["id"];
        id.as_str().unwrap().to_owned()
    };
    let (team, workspace) = (of("team"), of("workspace"));
    assert!(cloud.teams.contains_key(&team));
    let mut all = cloud.access.values();
    if all.any(|one| one.0 == team && one.1 == workspace) {
        return refused(StatusCode::UNPROCESSABLE_ENTITY);
    }
    let level = body["data"]["attributes"]["access"].as_str().unwrap();
    let given = (team, workspace, level.to_owned());
    let id = cloud.id("tws");
    let shown = access(&id, &given);
    cloud.access.insert(id, given);
    Json(json!({ "data": shown })).into_response()
}

async fn change_access(
    State(cloud): Shared,
    Path(id): Path<String>,
    Json(body): Json<Value>,
) -> Response {
    let mut cloud = cloud.lock().unwrap();
    let Some(one) = cloud.access.get_mut(&id) else {
        return refused(StatusCode::NOT_FOUND);
    };
    let level = &body["data"]["attributes"]["access"];
    level.as_str().unwrap().clone_into(&mut one.2);
    Json(json!({ "data": access(&id, one) })).into_response()
}
