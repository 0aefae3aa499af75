//! An OpenID provider that a test speaks for: who has come to it, and what it says of them later.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};

use crate::{
    servers::{Down, Signer, listen, serve},
    support::{Answer, Browser, Site, query},
    upstream::{device, visit},
};

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

pub(crate) struct OpenId {
    pub(crate) url: String,
    pub(crate) down: Down,
    pub(crate) keys: Arc<Mutex<Vec<Value>>>,
    tokens: Arc<Tokens>,
}

/// What its token endpoint knows.
struct Tokens {
    signer: Signer,
    /// What the ID token of each says, by the code and the refresh token.
    people: Mutex<BTreeMap<String, Value>>,
    asked: AtomicUsize,
}

async fn token(State(tokens): State<Arc<Tokens>>, body: String) -> Response {
    tokens.asked.fetch_add(1, Ordering::SeqCst);
    let form: BTreeMap<String, String> = url::form_urlencoded::parse(body.as_bytes())
        .into_owned()
        .collect();
    let name = form.get("code").or(form.get("refresh_token")).unwrap();
    let says = tokens.people.lock().unwrap().get(name).cloned();
    let Some(says) = says else {
        let refused = json!({ "error": "invalid_grant" });
        return (StatusCode::BAD_REQUEST, Json(refused)).into_response();
    };
    if let Some(error) = says.get("error") {
        let trouble = json!({ "error": error });
        return (StatusCode::BAD_REQUEST, Json(trouble)).into_response();
    }
    let answer = json!({
        "access_token": "an access token", "token_type": "bearer", "refresh_token": name,
        "id_token": tokens.signer.sign(&says),
    });
    Json(answer).into_response()
}

fn with(mut claims: Value, over: &Value) -> Value {
    for (name, value) in over.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

impl OpenId {
    /// Starts one, by which people log in to `site` as `corp`.
    pub(crate) async fn start(site: &Site) -> Self {
        let (listener, url) = listen().await;
        let signer = Signer::new("one");
        let keys = Arc::new(Mutex::new(vec![signer.jwk.clone()]));
        let tokens = Arc::new(Tokens {
            signer,
            people: Mutex::default(),
            asked: AtomicUsize::new(0),
        });
        let document = json!({
            "issuer": url, "jwks_uri": format!("{url}/jwks"),
            "authorization_endpoint": format!("{url}/authorize"),
            "token_endpoint": format!("{url}/token"),
            "response_types_supported": ["code"], "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "backchannel_logout_supported": true, "backchannel_logout_session_supported": true,
        });
        let served = keys.clone();
        let router = Router::new()
            .route(
                "/.well-known/openid-configuration",
                get(move || async move { Json(document) }),
            )
            .route(
                "/jwks",
                get(move || async move { Json(json!({ "keys": *served.lock().unwrap() })) }),
            )
            .route("/token", post(token))
            .with_state(tokens.clone());
        let down = serve(listener, router);
        let body = json!({
            "spec": {
                "title": "Corp", "clientId": "towpath",
                "provider": { "type": "oidc", "issuer": url },
            },
            "secret": "a-secret",
        });
        site.admin("PUT", "/v1/identity/upstreams/corp", body)
            .await
            .ok();
        Self {
            url,
            down,
            keys,
            tokens,
        }
    }

    /// Has somebody of whom the ID token says this come in by a browser, and to a program; `name` is what the
    /// provider knows that login by.
    pub(crate) async fn log_in(
        &self,
        site: &Site,
        browser: &Browser<'_>,
        name: &str,
        says: Value,
    ) -> Value {
        let sent = query(&visit(browser, "corp").await);
        let now = site.clock.now().as_second();
        let claims = json!({
            "iss": self.url, "aud": "towpath", "iat": now, "exp": now + 3600,
            "nonce": sent["nonce"],
        });
        self.knows(name, with(claims, &says));
        let callback = format!("/login/corp/callback?code={name}&state={}", sent["state"]);
        assert_eq!(browser.get(&callback).await.location(), "/device");
        device(site, browser).await.ok().json()
    }

    fn knows(&self, name: &str, claims: Value) {
        let mut people = self.tokens.people.lock().unwrap();
        people.insert(name.to_owned(), claims);
    }

    /// Says something else of whoever came by that login; null: it knows them no more; an `error`: it cannot tell.
    pub(crate) fn says(&self, name: &str, over: &Value) {
        let mut people = self.tokens.people.lock().unwrap();
        let before = people.remove(name).unwrap();
        if !over.is_null() {
            people.insert(name.to_owned(), with(before, over));
        }
    }

    /// The ID token that it would give for that login now.
    pub(crate) fn id_token(&self, name: &str) -> String {
        let people = self.tokens.people.lock().unwrap();
        self.tokens.signer.sign(&people[name])
    }

    /// How often it was asked for tokens.
    pub(crate) fn asked(&self) -> usize {
        self.tokens.asked.load(Ordering::SeqCst)
    }

    pub(crate) fn signer(&self) -> &Signer {
        &self.tokens.signer
    }

    /// What a logout token of now says, and this over it.
    pub(crate) fn logout_claims(&self, site: &Site, over: &Value) -> Value {
        let now = site.clock.now().as_second();
        let claims = json!({
            "iss": self.url, "aud": "towpath", "iat": now, "exp": now + 120,
            "jti": uuid::Uuid::now_v7(), "events": { EVENT: {} },
        });
        with(claims, over)
    }

    /// A logout token of its own.
    pub(crate) fn logout_token(&self, site: &Site, over: &Value) -> String {
        let head = json!({ "alg": "RS256", "typ": "logout+jwt", "kid": "one" });
        self.signer()
            .sign_as(&head, &self.logout_claims(site, over))
    }
}

/// Posts a logout token, as the provider does.
pub(crate) async fn post_logout(site: &Site, token: &str) -> Answer {
    let fields = [("logout_token", token)];
    site.post("/login/corp/backchannel-logout", &fields).await
}
