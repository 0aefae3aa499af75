//! Servers of others, as they answer: an issuer of a CI system, GitHub, and a Towpath that is another's
//! upstream.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use axum::{
    Json, Router,
    extract::{Path, Query, Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{rand::SystemRandom, rsa::KeyPair, signature::RSA_PKCS1_SHA256};
use rsa::{
    RsaPrivateKey, pkcs1::EncodeRsaPrivateKey as _, rand_core::OsRng, traits::PublicKeyParts as _,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
};

/// What a server is asked: it answers when this is dropped.
pub(crate) type Question = oneshot::Sender<()>;

/// Whether a server answers at all.
#[derive(Clone, Default)]
pub(crate) struct Down {
    down: Arc<AtomicBool>,
    held: Arc<Mutex<Option<mpsc::UnboundedSender<Question>>>>,
}

impl Down {
    pub(crate) fn set(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    /// What it is asked from now on, so that something else happens before it answers. When this is dropped, it
    /// answers as before.
    pub(crate) fn hold(&self) -> mpsc::UnboundedReceiver<Question> {
        let (held, questions) = mpsc::unbounded_channel();
        *self.held.lock().unwrap() = Some(held);
        questions
    }
}

async fn unless_down(State(down): State<Down>, request: Request, next: Next) -> Response {
    let held = down.held.lock().unwrap().clone();
    if let Some(held) = held {
        let (question, dropped) = oneshot::channel();
        if held.send(question).is_ok() {
            dropped.await.unwrap_err();
        }
    }
    if down.down.load(Ordering::SeqCst) {
        return StatusCode::BAD_GATEWAY.into_response();
    }
    next.run(request).await
}

/// Serves on a port of its own; gives the address, and what turns it off.
pub(crate) async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

pub(crate) fn serve(listener: TcpListener, router: Router) -> Down {
    let down = Down::default();
    let router = router.layer(from_fn_with_state(down.clone(), unless_down));
    tokio::spawn(async move { axum::serve(listener, router).await });
    down
}

/// A key that signs tokens.
pub(crate) struct Signer {
    kid: String,
    pair: KeyPair,
    pub(crate) jwk: Value,
}

impl Signer {
    pub(crate) fn new(kid: &str) -> Self {
        let key = RsaPrivateKey::new(&mut OsRng, 2048).unwrap();
        let jwk = json!({
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid,
            "n": URL_SAFE_NO_PAD.encode(key.n().to_bytes_be()),
            "e": URL_SAFE_NO_PAD.encode(key.e().to_bytes_be()),
        });
        let pair = KeyPair::from_der(key.to_pkcs1_der().unwrap().as_bytes()).unwrap();
        Self {
            kid: kid.into(),
            pair,
            jwk,
        }
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        let head = json!({ "alg": "RS256", "typ": "JWT", "kid": self.kid });
        self.sign_as(&head, claims)
    }

    /// The same under another head, whatever that says.
    pub(crate) fn sign_as(&self, head: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(head), part(claims));
        let mut signature = vec![0; self.pair.public().modulus_len()];
        let random = SystemRandom::new();
        self.pair
            .sign(
                &RSA_PKCS1_SHA256,
                &random,
                message.as_bytes(),
                &mut signature,
            )
            .unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// An issuer of a CI system.
pub(crate) struct Ci {
    pub(crate) url: String,
    pub(crate) down: Down,
    pub(crate) keys: Arc<Mutex<Vec<Value>>>,
    /// How often its keys were asked for.
    pub(crate) asked: Arc<AtomicUsize>,
}

impl Ci {
    pub(crate) async fn start(signer: &Signer) -> Self {
        let (listener, url) = listen().await;
        let keys = Arc::new(Mutex::new(vec![signer.jwk.clone()]));
        let asked = Arc::new(AtomicUsize::new(0));
        let document = json!({ "issuer": url, "jwks_uri": format!("{url}/jwks") });
        let (served, count) = (keys.clone(), asked.clone());
        let router = Router::new()
            .route(
                "/.well-known/openid-configuration",
                get(move || async move { Json(document) }),
            )
            .route(
                "/jwks",
                get(move || async move {
                    count.fetch_add(1, Ordering::SeqCst);
                    Json(json!({ "keys": *served.lock().unwrap() }))
                }),
            );
        let down = serve(listener, router);
        Self {
            url,
            down,
            keys,
            asked,
        }
    }

    pub(crate) fn publish(&self, signer: &Signer) {
        self.keys.lock().unwrap().push(signer.jwk.clone());
    }
}

/// What GitHub knows of one person.
#[derive(Default)]
pub(crate) struct Person {
    /// `(organization, slug)`.
    pub(crate) teams: Vec<(&'static str, String)>,
    pub(crate) revoked: bool,
    /// The ids of teams, by slug; 1 where none is said.
    pub(crate) ids: BTreeMap<String, u64>,
    /// What it answers to `/user/teams` in place of teams.
    pub(crate) limited: bool,
    /// What they are called now, where that is not `octocat`.
    pub(crate) renamed: Option<String>,
}

/// GitHub, as its API is documented.
pub(crate) struct GitHub {
    pub(crate) url: String,
    pub(crate) down: Down,
    pub(crate) person: Arc<Mutex<Person>>,
    pub(crate) organization: Arc<Mutex<Organization>>,
}

/// A team's id and slug, and the ids and logins of its members.
pub(crate) type ListedTeam = (u64, String, Vec<(u64, String)>);

/// What GitHub lists to a token of the organization.
#[derive(Default)]
pub(crate) struct Organization {
    pub(crate) teams: Vec<ListedTeam>,
    /// Pages that were new to whoever asked, and those that were not.
    pub(crate) answered: (usize, usize),
    /// All that it was asked.
    pub(crate) requests: usize,
    /// On a page, where that is not as many as of people's teams.
    pub(crate) page: Option<usize>,
    /// What it answers to everything: a status, and after how many seconds it may be asked again.
    pub(crate) limited: Option<(StatusCode, Option<&'static str>)>,
}

/// The token that the organization gives the platform.
pub(crate) const DIRECTORY_TOKEN: &str = "ghp_a-directory-token";

const CODE: &str = "a-code";
const TOKEN: &str = "gho_a-token";
/// Smaller than GitHub's own, so that there are several pages.
const PAGE: usize = 3;

impl GitHub {
    pub(crate) async fn start() -> Self {
        let (listener, url) = listen().await;
        let person = Arc::new(Mutex::new(Person::default()));
        let router = Router::new()
            .route("/login/oauth/access_token", post(access_token))
            .route("/api/user", get(user))
            .route("/api/user/teams", get(teams))
            .with_state((url.clone(), person.clone()));
        let organization = Arc::new(Mutex::new(Organization::default()));
        let directory = Router::new()
            .route("/api/orgs/epetech/teams", get(all_teams))
            .route("/api/orgs/epetech/teams/{slug}", get(one_team))
            .route("/api/organizations/1/team/{id}/members", get(all_members))
            .layer(from_fn_with_state(
                organization.clone(),
                to_the_organization,
            ))
            .with_state((url.clone(), organization.clone()));
        let down = serve(listener, router.merge(directory));
        Self {
            url,
            down,
            person,
            organization,
        }
    }
}

type Github = State<(String, Arc<Mutex<Person>>)>;

async fn access_token(body: String) -> Json<Value> {
    let form: std::collections::BTreeMap<String, String> =
        url::form_urlencoded::parse(body.as_bytes())
            .into_owned()
            .collect();
    // GitHub answers 200 also where it refuses.
    Json(
        if form["code"] == CODE
            && form["client_secret"] == "a-secret"
            && form["code_verifier"].len() == 43
        {
            json!({ "access_token": TOKEN, "scope": "read:org,read:user", "token_type": "bearer" })
        } else {
            json!({ "error": "bad_verification_code", "error_description": "The code is incorrect or expired." })
        },
    )
}

fn refused(headers: &HeaderMap, person: &Person) -> Option<Response> {
    let known = headers
        .get(header::AUTHORIZATION)
        .is_some_and(|v| v == &format!("Bearer {TOKEN}"));
    let bad = json!({ "message": "Bad credentials", "status": "401" });
    (person.revoked || !known).then(|| (StatusCode::UNAUTHORIZED, Json(bad)).into_response())
}

async fn user(State((_, person)): Github, headers: HeaderMap) -> Response {
    let person = person.lock().unwrap();
    let login = person.renamed.as_deref().unwrap_or("octocat");
    refused(&headers, &person).unwrap_or_else(|| {
        Json(json!({ "id": 583_231, "login": login, "email": null, "name": "Mona" }))
            .into_response()
    })
}

async fn teams(
    State((url, person)): Github,
    Query(query): Query<std::collections::BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let person = person.lock().unwrap();
    if let Some(refused) = refused(&headers, &person) {
        return refused;
    }
    if person.limited {
        let body = json!({ "message": "API rate limit exceeded" });
        return (StatusCode::FORBIDDEN, Json(body)).into_response();
    }
    let page: usize = query.get("page").map_or(1, |page| page.parse().unwrap());
    let all: Vec<_> = person.teams.chunks(PAGE).collect();
    let here: Vec<Value> = all
        .get(page - 1)
        .into_iter()
        .flat_map(|chunk| chunk.iter())
        .map(|(org, slug)| {
            json!({
                "id": person.ids.get(slug).copied().unwrap_or(1),
                "slug": slug, "organization": { "login": org },
            })
        })
        .collect();
    let mut answer = Json(here).into_response();
    if page < all.len() {
        let link = format!(
            "<{url}/api/user/teams?per_page=100&page={}>; rel=\"next\", <{url}/x>; rel=\"last\"",
            page + 1
        );
        answer
            .headers_mut()
            .insert(header::LINK, link.parse().unwrap());
    }
    answer
}

type TheOrganization = State<(String, Arc<Mutex<Organization>>)>;

/// Counts what the organization's token asks, and answers in place of the rest where it is limited.
async fn to_the_organization(
    State(organization): State<Arc<Mutex<Organization>>>,
    request: Request,
    next: Next,
) -> Response {
    let limited = {
        let mut organization = organization.lock().unwrap();
        organization.requests += 1;
        organization.limited
    };
    let known = format!("Bearer {DIRECTORY_TOKEN}");
    let given = request.headers().get(header::AUTHORIZATION);
    if given.is_none_or(|given| given != &known) {
        let bad = json!({ "message": "Bad credentials", "status": "401" });
        return (StatusCode::UNAUTHORIZED, Json(bad)).into_response();
    }
    match limited {
        Some((status, Some(after))) => (status, [(header::RETRY_AFTER, after)]).into_response(),
        Some((status, None)) => status.into_response(),
        None => next.run(request).await,
    }
}

/// A team, with where its members are: by its id, whatever it is called.
fn shown(url: &str, (id, slug, _): &ListedTeam) -> Value {
    let members = format!("{url}/api/organizations/1/team/{id}/members{{/member}}");
    json!({ "id": id, "slug": slug, "name": slug, "members_url": members })
}

async fn one_team(
    State((url, organization)): TheOrganization,
    Path(slug): Path<String>,
) -> Response {
    let organization = organization.lock().unwrap();
    let found = organization.teams.iter().find(|(_, one, _)| *one == slug);
    found.map_or_else(not_found, |team| Json(shown(&url, team)).into_response())
}

fn not_found() -> Response {
    let body = json!({ "message": "Not Found", "status": "404" });
    (StatusCode::NOT_FOUND, Json(body)).into_response()
}

async fn all_teams(
    State((url, organization)): TheOrganization,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let mut organization = organization.lock().unwrap();
    let teams = organization.teams.iter();
    let teams = teams.map(|team| shown(&url, team)).collect();
    let here = format!("{url}/api/orgs/epetech/teams");
    listed(&mut organization, &here, &query, &headers, teams)
}

async fn all_members(
    State((url, organization)): TheOrganization,
    Path(id): Path<u64>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let mut organization = organization.lock().unwrap();
    let found = organization.teams.iter().find(|(one, _, _)| *one == id);
    let Some((_, _, members)) = found else {
        return not_found();
    };
    let member = |(id, login): &(u64, String)| json!({ "id": id, "login": login, "type": "User" });
    let members = members.iter().map(member).collect();
    let here = format!("{url}/api/organizations/1/team/{id}/members");
    listed(&mut organization, &here, &query, &headers, members)
}

/// A page of a list, with an `ETag`; 304 to whoever has it already.
fn listed(
    organization: &mut Organization,
    here: &str,
    query: &BTreeMap<String, String>,
    headers: &HeaderMap,
    all: Vec<Value>,
) -> Response {
    let size = organization.page.unwrap_or(PAGE);
    let page: usize = query.get("page").map_or(1, |page| page.parse().unwrap());
    let items: Vec<_> = all.chunks(size).nth(page - 1).unwrap_or_default().to_vec();
    let items = Value::from(items).to_string();
    let digest = URL_SAFE_NO_PAD.encode(Sha256::digest(&items));
    let etag = format!("\"{page}-{digest}\"");
    let known = headers.get(header::IF_NONE_MATCH);
    if known.is_some_and(|known| known == &etag) {
        organization.answered.1 += 1;
        return StatusCode::NOT_MODIFIED.into_response();
    }
    organization.answered.0 += 1;
    let mut answer = ([(header::ETAG, etag)], items).into_response();
    if page * size < all.len() {
        let link = format!("<{here}?per_page=100&page={}>; rel=\"next\"", page + 1);
        let headers = answer.headers_mut();
        headers.insert(header::LINK, link.parse().unwrap());
    }
    answer
}
