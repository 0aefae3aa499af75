//! A platform's identity, called without a network; a browser; a program that logs people in.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Extension, Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Request, StatusCode, header},
    middleware::{from_fn, from_fn_with_state},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use identity::{Clock, Either, Identity, Settings};
use jiff::Timestamp;
use kernel::{
    Beginnings, Caller, Guard, Sealer, Secret, Store,
    http::{
        AdminToken, Authenticator, IdempotencyKeys, Rooms, correlate, idempotent, no_such_route,
    },
};
use policy::{Bundle, RegoAuthorizer};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use testkit::Database;
use tower::ServiceExt as _;
use url::form_urlencoded;

pub(crate) const ADMIN: &str = "a-token-that-is-long-enough-for-a-test";
pub(crate) const ISSUER: &str = "http://127.0.0.1:7070";
pub(crate) const PASSWORD: &str = "correct horse battery";
pub(crate) const CALLBACK: &str = "http://127.0.0.1:5555/callback";
pub(crate) const SCOPE: &str = "openid profile email offline_access";

/// A platform's identity, on a clock that the test moves.
pub(crate) struct Site {
    pub(crate) identity: Arc<Identity>,
    pub(crate) clock: Clock,
    pub(crate) router: Router,
    pub(crate) store: Store,
    /// Goes with the site.
    pub(crate) database: Option<Database>,
}

/// Takes each group for a team of the same name: which teams are registered is not for identity to say.
struct EveryGroup<A>(A);

#[async_trait::async_trait]
impl<A: Authenticator> Authenticator for EveryGroup<A> {
    async fn authenticate(&self, token: &Secret) -> kernel::Result<Caller> {
        let mut caller = self.0.authenticate(token).await?;
        caller.teams.extend(caller.groups.iter().cloned());
        Ok(caller)
    }
}

/// Every team is there, since nobody knows when.
struct EveryTeam;

#[async_trait::async_trait]
impl Beginnings for EveryTeam {
    fn of(&self, _: &str) -> Option<Timestamp> {
        None
    }

    async fn is_there(&self, _: &str) -> kernel::Result<bool> {
        Ok(true)
    }
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }

    pub(crate) fn location(&self) -> String {
        let location = self.headers.get(header::LOCATION);
        let location = location.unwrap_or_else(|| panic!("{}: {}", self.status, self.body));
        location.to_str().unwrap().to_owned()
    }

    /// The OAuth error that it is.
    #[track_caller]
    pub(crate) fn error(&self) -> String {
        self.json()["error"]
            .as_str()
            .unwrap_or_else(|| panic!("no error: {}", self.body))
            .to_owned()
    }

    /// Checks that it went well.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert!(self.status.is_success(), "{}: {}", self.status, self.body);
        self
    }
}

pub(crate) fn form(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish()
}

pub(crate) fn settings() -> Settings {
    Settings::new(ISSUER)
}

impl Site {
    pub(crate) async fn new() -> Self {
        Self::with(settings()).await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        let database = Database::of_test().await;
        let store = Store::open(&database.url(), Sealer::generate().unwrap())
            .await
            .unwrap();
        // Ahead of the store's own clock, which dates resources.
        let clock = Clock::manual(Timestamp::now() + Duration::from_secs(60));
        let mut site = Self::on(store, settings, clock).await;
        site.database = Some(database);
        site
    }

    /// Another replica, or one on a store of the test's own.
    pub(crate) async fn on(store: Store, settings: Settings, clock: Clock) -> Self {
        let authorizer = Arc::new(RegoAuthorizer::new(&Bundle::default()).unwrap());
        let guard = Guard::new(store.clone(), authorizer).since(Arc::new(EveryTeam));
        let identity = Identity::start(store.clone(), guard, settings, clock.clone())
            .await
            .unwrap();
        let identity = Arc::new(identity);
        let admin = AdminToken::new(Secret::from(ADMIN));
        let authenticator: Arc<dyn Authenticator> =
            Arc::new(EveryGroup(Either::new(admin, identity.verifier())));
        let keys = IdempotencyKeys {
            store: store.clone(),
            digest_key: Secret::from("of this site"),
        };
        let router = identity::http::routes(identity.clone())
            .route_layer(from_fn_with_state(keys, idempotent))
            .fallback(no_such_route)
            .layer(Extension(authenticator))
            .layer(Extension(Rooms::default()))
            .layer(from_fn(correlate));
        Self {
            identity,
            clock,
            router,
            store,
            database: None,
        }
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, 1 << 24).await.unwrap();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    /// A request to the API with a bearer token.
    pub(crate) async fn api(&self, method: &str, path: &str, token: &str, body: Value) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {token}"));
        let request = match body {
            Value::Null => request.body(Body::empty()),
            body => request
                .header(header::CONTENT_TYPE, "application/json")
                .body(Body::from(body.to_string())),
        };
        self.send(request.unwrap()).await
    }

    pub(crate) async fn admin(&self, method: &str, path: &str, body: Value) -> Answer {
        self.api(method, path, ADMIN, body).await
    }

    pub(crate) async fn whoami(&self, token: &str) -> Answer {
        self.api("GET", "/v1/whoami", token, Value::Null).await
    }

    pub(crate) async fn user(&self, name: &str) {
        let body =
            json!({ "spec": { "email": format!("{name}@example.com") }, "password": PASSWORD });
        self.admin("PUT", &format!("/v1/identity/users/{name}"), body)
            .await
            .ok();
    }

    pub(crate) async fn group(&self, name: &str, members: &[&str]) {
        let body = json!({ "members": members });
        self.admin("PUT", &format!("/v1/identity/groups/{name}"), body)
            .await
            .ok();
    }

    /// A form to one of the standards' endpoints.
    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.post_as(path, fields, None).await
    }

    pub(crate) async fn post_as(
        &self,
        path: &str,
        fields: &[(&str, &str)],
        authorization: Option<&str>,
    ) -> Answer {
        let mut request = Request::builder()
            .method("POST")
            .uri(path)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some(value) = authorization {
            request = request.header(header::AUTHORIZATION, value);
        }
        self.send(request.body(Body::from(form(fields))).unwrap())
            .await
    }

    pub(crate) async fn device_start(&self) -> Value {
        let fields = [("client_id", "towpath-cli"), ("scope", SCOPE)];
        self.post("/oauth/device/code", &fields).await.ok().json()
    }

    pub(crate) async fn device_poll(&self, device: &Value) -> Answer {
        let code = device["device_code"].as_str().unwrap();
        self.post(
            "/oauth/token",
            &[
                ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
                ("device_code", code),
                ("client_id", "towpath-cli"),
            ],
        )
        .await
    }

    /// Logs a local user in by the device grant; gives the token answer.
    pub(crate) async fn login(&self, name: &str) -> Value {
        let device = self.device_start().await;
        let browser = Browser::new(self);
        browser.approve(&device, name).await;
        self.device_poll(&device).await.ok().json()
    }

    pub(crate) async fn refresh(&self, token: &str) -> Answer {
        let fields = [
            ("grant_type", "refresh_token"),
            ("refresh_token", token),
            ("client_id", "towpath-cli"),
        ];
        self.post("/oauth/token", &fields).await
    }
}

pub(crate) fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name]
        .as_str()
        .unwrap_or_else(|| panic!("no {name} in {value}"))
}

/// What a token says, unverified.
pub(crate) fn claims(token: &str) -> Value {
    let body = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body).unwrap()).unwrap()
}

/// A program's PKCE pair: verifier and challenge.
pub(crate) fn pkce() -> (String, String) {
    let verifier = "v".repeat(50);
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&verifier));
    (verifier, challenge)
}

/// A browser: keeps cookies, follows what it is told to.
pub(crate) struct Browser<'s> {
    site: &'s Site,
    cookies: Mutex<BTreeMap<String, String>>,
}

impl<'s> Browser<'s> {
    pub(crate) fn new(site: &'s Site) -> Self {
        Self {
            site,
            cookies: Mutex::default(),
        }
    }

    /// The same browser, closed and opened again somewhere else.
    pub(crate) fn reopened<'t>(&self, site: &'t Site) -> Browser<'t> {
        let mut cookies = self.cookies.lock().unwrap().clone();
        cookies.retain(|name, _| name == "towpath-device");
        Browser {
            site,
            cookies: Mutex::new(cookies),
        }
    }

    fn cookie_header(&self) -> String {
        let cookies = self.cookies.lock().unwrap();
        let pairs: Vec<_> = cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        pairs.join("; ")
    }

    fn take_cookies(&self, answer: &Answer) {
        let mut cookies = self.cookies.lock().unwrap();
        for set in answer.headers.get_all(header::SET_COOKIE) {
            let set = set.to_str().unwrap();
            assert!(
                set.contains("HttpOnly") && set.contains("SameSite=Lax"),
                "{set}"
            );
            let (name, value) = set.split(';').next().unwrap().split_once('=').unwrap();
            if value.is_empty() {
                cookies.remove(name);
            } else {
                cookies.insert(name.into(), value.into());
            }
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        let path = path.strip_prefix(ISSUER).unwrap_or(path);
        let request = Request::builder()
            .uri(path)
            .header(header::COOKIE, self.cookie_header());
        let answer = self.site.send(request.body(Body::empty()).unwrap()).await;
        self.take_cookies(&answer);
        answer
    }

    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let request = Request::builder()
            .method("POST")
            .uri(path)
            .header(header::COOKIE, self.cookie_header())
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let answer = self
            .site
            .send(request.body(Body::from(form(fields))).unwrap())
            .await;
        self.take_cookies(&answer);
        answer
    }

    /// Fills in the login page at `location`; gives the answer.
    pub(crate) async fn log_in(&self, location: &str, name: &str, password: &str) -> Answer {
        let page = self.get(location).await.ok();
        let fields = [
            ("page", field(&page.body, "page")),
            ("csrf", field(&page.body, "csrf")),
            ("username", name.into()),
            ("password", password.into()),
        ];
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        self.post("/login", &fields).await
    }

    /// Approves a device, logging in where that is asked for.
    pub(crate) async fn approve(&self, device: &Value, name: &str) {
        let page = self.device_page(device, name).await;
        assert!(
            page.body.contains(text(device, "user_code")),
            "{}",
            page.body
        );
        let done = self.decide(&page, "approve").await.ok();
        assert!(done.body.contains("Approved"), "{}", done.body);
    }

    pub(crate) async fn device_page(&self, device: &Value, name: &str) -> Answer {
        let mut page = self.get(text(device, "verification_uri_complete")).await;
        if page.status == StatusCode::SEE_OTHER {
            let entered = self.log_in(&page.location(), name, PASSWORD).await;
            page = self.get(&entered.location()).await;
        }
        page.ok()
    }

    pub(crate) async fn decide(&self, page: &Answer, decision: &str) -> Answer {
        let (csrf, code) = (field(&page.body, "csrf"), field(&page.body, "user_code"));
        let fields = [
            ("csrf", csrf.as_str()),
            ("user_code", &code),
            ("decision", decision),
        ];
        self.post("/device", &fields).await
    }

    /// Where the authorization endpoint sends this browser, with these parameters over the usual ones.
    pub(crate) async fn authorize(&self, over: &[(&str, &str)]) -> Answer {
        let (_, challenge) = pkce();
        let mut fields = BTreeMap::from([
            ("client_id", "towpath-cli"),
            ("redirect_uri", CALLBACK),
            ("response_type", "code"),
            ("scope", SCOPE),
            ("state", "a state"),
            ("nonce", "a nonce"),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
        ]);
        fields.extend(over.iter().copied());
        let fields: Vec<_> = fields.into_iter().collect();
        self.get(&format!("/oauth/authorize?{}", form(&fields)))
            .await
    }
}

/// The value of a form's hidden field.
pub(crate) fn field(page: &str, name: &str) -> String {
    let (_, rest) = page
        .split_once(&format!("name=\"{name}\" value=\""))
        .unwrap_or_else(|| panic!("no field {name} in {page}"));
    rest.split('"').next().unwrap().to_owned()
}

/// The parameters of an address.
pub(crate) fn query(location: &str) -> BTreeMap<String, String> {
    let url = url::Url::parse(location).unwrap();
    url.query_pairs().into_owned().collect()
}
