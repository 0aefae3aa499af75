//! GitHub's REST API: teams, memberships, rulesets.

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
use kernel::ErrorKind;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use teams::{model::Step, tool::Wanted};

use crate::{
    reconcile::{SOON, World},
    support::{CREDENTIAL, heal, look, serve, team, tool},
};

/// How it says that its limit of requests is reached.
#[derive(Debug, Clone, Copy)]
enum Limit {
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
struct Org {
    teams: BTreeSet<String>,
    /// Role by login.
    members: BTreeMap<String, String>,
    /// Who has not accepted yet.
    invited: BTreeSet<String>,
    /// People who are in the organization already; others are invited.
    people: BTreeSet<String>,
    owners: BTreeSet<String>,
    rulesets: Vec<Value>,
    /// What is given to the pipelines of each repository.
    secrets: Vec<String>,
    requests: usize,
    /// Those that count against its limit: all but those whose answer has not changed.
    counted: usize,
    limited: Option<Limit>,
    /// Ends of paths that it shows to nobody.
    hidden: Option<&'static str>,
}

type Shared = State<Arc<Mutex<Org>>>;
type Of = Query<BTreeMap<String, String>>;

async fn github() -> (String, Arc<Mutex<Org>>) {
    let org = Arc::new(Mutex::new(Org::default()));
    let router = Router::new()
        .route("/orgs/acme/teams", post(make_team))
        .route("/orgs/acme/teams/{team}", get(show_team))
        .route("/orgs/acme/teams/{team}/members", get(members))
        .route("/orgs/acme/teams/{team}/invitations", get(invitations))
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
    if !org.teams.contains(&team) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let of_role = |login: &&String| {
        let role = if org.owners.contains(*login) {
            "maintainer"
        } else {
            &org.members[*login]
        };
        query["role"] == role
    };
    let all = org.members.keys().filter(of_role);
    let all = all.map(|login| json!({ "login": login })).collect();
    page(
        &here(&headers, "/orgs/acme/teams/payments/members"),
        all,
        &query,
    )
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

#[tokio::test]
async fn a_team_is_made_and_kept_as_its_members_are() {
    let (url, org) = github().await;
    let github = tool("github");
    let config = json!({ "org": "acme", "url": url, "logins": { "ada": "Ada-Lovelace" } });
    for login in ["ada-lovelace", "bob", "cy", "dan", "eve"] {
        org.lock().unwrap().people.insert(login.into());
    }
    let wanted = team(&["ada*", "bob", "cy", "dan", "new"]);
    let healed = heal(github.as_ref(), &config, &wanted).await;
    assert_eq!(
        healed,
        [
            "team: - -> payments",
            "members/ada-lovelace: - -> maintainer",
            "members/bob: - -> member",
            "members/cy: - -> member",
            "members/dan: - -> member",
            "members/new: - -> member",
        ]
    );
    // By hand: somebody too many, one too few, one with too much.
    {
        let mut org = org.lock().unwrap();
        org.members.insert("eve".into(), "member".into());
        org.members.remove("bob");
        org.members.insert("cy".into(), "maintainer".into());
        // Who owns the organization maintains all teams: that cannot be mended, and need not be.
        org.owners.insert("dan".into());
    }
    let healed = heal(github.as_ref(), &config, &wanted).await;
    assert_eq!(
        healed,
        [
            "members/bob: - -> member",
            "members/cy: maintainer -> member",
            "members/eve: member -> -",
        ]
    );
    // Where not all members are known, nobody is taken out.
    let mut partial = team(&["ada*"]);
    partial.complete = false;
    let found = look(github.as_ref(), &config, &partial).await.unwrap();
    assert_eq!(found.repairs, []);
}

#[tokio::test]
async fn the_rule_of_signed_commits_is_made_and_kept() {
    let (url, org) = github().await;
    let github = tool("github");
    org.lock().unwrap().teams.insert("payments".into());
    let config = json!({ "org": "acme", "url": url, "signedCommits": true });
    let wanted = team(&[]);
    let healed = heal(github.as_ref(), &config, &wanted).await;
    let rule = "required on the default branch";
    let what = "repositories/checkout/signed-commits";
    assert_eq!(healed, [format!("{what}: - -> {rule}")]);
    org.lock().unwrap().rulesets[0]["enforcement"] = json!("disabled");
    let healed = heal(github.as_ref(), &config, &wanted).await;
    assert_eq!(healed, [format!("{what}: changed, disabled -> {rule}")]);
    let rulesets = org.lock().unwrap().rulesets.clone();
    assert_eq!(rulesets.len(), 1);
    assert_eq!(
        rulesets[0]["rules"],
        json!([{ "type": "required_signatures" }])
    );
}

#[tokio::test]
async fn a_reached_limit_is_no_answer_and_heeded_for_all_teams() {
    for limit in [Limit::Spent, Limit::Secondary, Limit::Last] {
        let (url, org) = github().await;
        org.lock().unwrap().limited = Some(limit);
        org.lock().unwrap().teams.insert("payments".into());
        let config = json!({ "org": "acme", "url": url });
        let github = tool("github");
        for name in ["payments", "checkout", "search"] {
            let other = Wanted {
                name: name.into(),
                ..team(&["ada"])
            };
            let error = look(github.as_ref(), &config, &other).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Unavailable, "{error:?}");
            assert!(error.message.contains("limit of requests"), "{error:?}");
        }
        // The first was told of it; the others did not have to ask.
        assert_eq!(org.lock().unwrap().requests, 1, "{limit:?}");
    }
}

#[tokio::test]
async fn when_the_limit_has_passed_it_is_asked_again() {
    let (url, org) = github().await;
    org.lock().unwrap().limited = Some(Limit::Wait);
    org.lock().unwrap().teams.insert("payments".into());
    let config = json!({ "org": "acme", "url": url });
    let github = tool("github");
    let wanted = team(&["ada"]);
    assert!(look(github.as_ref(), &config, &wanted).await.is_err());
    org.lock().unwrap().limited = None;
    assert!(look(github.as_ref(), &config, &wanted).await.is_err());
    assert_eq!(org.lock().unwrap().requests, 1);
    testkit::eventually("it is asked again", SOON, async || {
        look(github.as_ref(), &config, &wanted).await.ok()
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_away_is_no_answer() {
    let config = json!({ "org": "acme", "url": "http://127.0.0.1:1" });
    let error = look(tool("github").as_ref(), &config, &team(&["ada"])).await;
    assert_eq!(error.unwrap_err().kind, ErrorKind::Unavailable);
}

#[test]
fn a_configuration_is_checked() {
    let github = tool("github");
    for bad in [
        json!({}),
        json!({ "org": "acme", "orgs": "x" }),
        json!({ "org": "acme", "url": "http://10.0.0.1" }),
    ] {
        assert_eq!(github.check(&bad).len(), 1, "{bad}");
    }
    assert!(github.check(&json!({ "org": "acme" })).is_empty());
}

/// GitHub says 404 of what the credential may not see, too.
#[tokio::test]
async fn what_is_hidden_in_a_team_that_is_there_is_no_answer() {
    let (url, org) = github().await;
    org.lock().unwrap().teams.insert("payments".into());
    let config = json!({ "org": "acme", "url": url, "signedCommits": true });
    for hidden in ["/members", "/invitations", "/repos", "/rulesets"] {
        org.lock().unwrap().hidden = Some(hidden);
        let error = look(tool("github").as_ref(), &config, &team(&[])).await;
        let error = error.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable, "{hidden}: {error:?}");
    }
    org.lock().unwrap().hidden = None;
    assert!(
        look(tool("github").as_ref(), &config, &team(&[]))
            .await
            .is_ok()
    );
}

/// A name that somebody has here is anybody's at GitHub.
#[tokio::test]
async fn who_does_not_log_in_by_github_has_the_login_that_is_configured_or_none() {
    let (url, org) = github().await;
    org.lock().unwrap().teams.insert("payments".into());
    let config = json!({ "org": "acme", "url": url, "logins": { "bob": "bob-at-acme" } });
    let mut wanted = team(&["ada", "bob", "cy"]);
    for member in &mut wanted.members[..2] {
        member.account = None;
    }
    let found = look(tool("github").as_ref(), &config, &wanted)
        .await
        .unwrap();
    let whats: Vec<_> = found.repairs.iter().map(|one| &*one.what).collect();
    assert_eq!(whats, ["members/bob-at-acme", "members/cy"]);
    let message = "`ada` has no known login at GitHub: name it in `config.logins`";
    assert_eq!(found.obstacles, [message]);
}

#[tokio::test]
async fn copies_of_secrets_and_more_than_one_value_are_told() {
    let world = World::new().await;
    let (url, org) = github().await;
    {
        let mut org = org.lock().unwrap();
        org.secrets = vec!["API_KEY".into(), "OTHER".into()];
        org.people = ["ada".into(), "bob".into()].into();
    }
    let new = json!({
        "type": "github",
        "credential": CREDENTIAL,
        "config": {
            "org": "acme", "url": url, "logins": { "ada": "ada", "bob": "bob" }, "auditSecrets": true,
        },
    });
    world.put("code", new).await;
    // It is in step all the same: what people keep there is theirs to mend.
    let status = world.is("payments", "code", Step::InStep).await;
    assert_eq!(
        status.violations,
        [
            "repository `checkout` keeps `API_KEY`, as the team's secret `stripe/api-key` is called: fetch \
             it with `towpath secrets run`, and remove it there",
            "repository `checkout` keeps 3 values (`API_KEY`, `OTHER`, `TOWPATH_TOKEN`): the one by which it \
             reaches the team's secrets is enough",
        ]
    );
    let told = async || -> Vec<Value> {
        let told = world.told().await.into_iter();
        let told = told.filter(|(kind, _)| kind == "violation");
        told.map(|(_, data)| data["violations"].clone()).collect()
    };
    assert_eq!(told().await, [json!(status.violations)]);
    // Mended, and told once.
    org.lock().unwrap().secrets.clear();
    world.sync().await;
    testkit::eventually("it is mended", SOON, async || {
        let status = world.is("payments", "code", Step::InStep).await;
        status.violations.is_empty().then_some(())
    })
    .await;
    assert_eq!(told().await.len(), 2);
    world.driver.shutdown().await;
}

/// What has not changed is not counted: neither of members nor of what is looked at beside them.
#[tokio::test]
async fn a_team_that_is_in_step_costs_nothing_of_the_limit() {
    let (url, org) = github().await;
    let github = tool("github");
    let config = json!({
        "org": "acme", "url": url, "signedCommits": true, "auditSecrets": true,
    });
    let members = json!({ "org": "acme", "url": url });
    for login in ["ada", "bob", "cy", "dan"] {
        org.lock().unwrap().people.insert(login.into());
    }
    // Of more than one page.
    let mut wanted = team(&["ada*", "bob", "cy", "dan"]);
    wanted.secrets = Some(vec!["stripe/api-key".into()]);
    heal(github.as_ref(), &config, &wanted).await;
    // Whoever is looked at again has nothing to mend, and the same violations.
    let before = look(github.as_ref(), &config, &wanted).await.unwrap();
    let costs = async |config: &Value| {
        let (counted, requests) = {
            let org = org.lock().unwrap();
            (org.counted, org.requests)
        };
        let found = look(github.as_ref(), config, &wanted).await.unwrap();
        let org = org.lock().unwrap();
        (found, org.counted - counted, org.requests - requests)
    };
    let (found, counted, _) = costs(&config).await;
    assert_eq!((found, counted), (before, 0));
    // Maintainers, two pages of members, invitations.
    let (found, counted, requests) = costs(&members).await;
    assert_eq!((found.repairs.len(), counted, requests), (0, 0, 4));
    // By hand: that is seen, and costs what has changed, and who may excuse it.
    org.lock()
        .unwrap()
        .members
        .insert("bob".into(), "maintainer".into());
    let (found, counted, _) = costs(&members).await;
    assert_eq!(found.repairs[0].what, "members/bob");
    assert!((1..=4).contains(&counted), "{counted}");
    heal(github.as_ref(), &config, &wanted).await;
    look(github.as_ref(), &config, &wanted).await.unwrap();
    assert_eq!(costs(&members).await.1, 0);
    // Another replica, which knows nothing yet, asks once.
    let other = tool("github");
    let counted = org.lock().unwrap().counted;
    for _ in 0..3 {
        look(other.as_ref(), &members, &wanted).await.unwrap();
    }
    assert_eq!(org.lock().unwrap().counted - counted, 4);
}
