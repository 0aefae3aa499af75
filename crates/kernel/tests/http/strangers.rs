//! Calls of whom nobody knows are in the log by reason, and a flood of them does not lengthen it.

use std::sync::Arc;

use async_trait::async_trait;
use axum::{
    Extension, Router,
    body::Body,
    http::{Request, StatusCode, header},
    routing,
};
use kernel::{
    Caller, Error, ErrorKind, Event, EventFilter, Secret, Store,
    http::{Authenticator, Strangers},
};
use tokio_util::sync::CancellationToken;

use crate::support::{get, send, service, store};

async fn who(caller: Caller) -> String {
    caller.subject
}

fn routes(strangers: &Strangers) -> Router {
    let routes = Router::new().route("/who", routing::get(who));
    routes.layer(Extension(strangers.clone()))
}

/// Calls with this token, or with none; the answer's status.
async fn call(service: &Router, token: Option<&str>) -> StatusCode {
    let mut request = Request::builder().uri("/who");
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    send(service, request.body(Body::empty()).unwrap())
        .await
        .status
}

/// What is told, with all that is only counted yet.
async fn told(strangers: Strangers, store: &Store) -> Vec<Event> {
    let stop = CancellationToken::new();
    stop.cancel();
    strangers.keep(store.clone(), stop).await;
    let filter = EventFilter {
        type_prefix: Some(Strangers::EVENT.into()),
        ..EventFilter::default()
    };
    store.events(&filter, 0, 1000).await.unwrap()
}

#[tokio::test]
async fn they_are_told_by_reason_together_and_without_their_tokens() {
    let (store, _directory) = store().await;
    let strangers = Strangers::default();
    let service = service(routes(&strangers));
    for number in 0..100 {
        let forged = format!("forged-{number}");
        for token in [None, Some(forged.as_str())] {
            assert_eq!(call(&service, token).await, StatusCode::UNAUTHORIZED);
        }
    }
    assert_eq!(get(&service, "/who").await.status, StatusCode::OK);
    let mut told = told(strangers, &store).await;
    told.sort_by_key(|event| event.data["reason"].to_string());
    let [forged, absent] = &told[..] else {
        panic!("{told:?}");
    };
    for event in [forged, absent] {
        assert_eq!(event.data["count"], 100);
        assert_eq!(
            (event.actor.as_str(), event.means.as_deref()),
            ("anonymous", Some("nothing"))
        );
        assert!(!format!("{event:?}").contains("forged-"), "{event:?}");
    }
    assert_eq!(forged.data["reason"], "the bearer token is not valid");
    assert_eq!(absent.data["reason"], "the request carries no credentials");
}

/// Has a reason of its own for each token.
struct Wordy;

#[async_trait]
impl Authenticator for Wordy {
    async fn authenticate(&self, token: &Secret) -> kernel::Result<Caller> {
        let why = token.expose_str().unwrap_or_default();
        Err(Error::new(ErrorKind::Unauthenticated, why))
    }
}

#[tokio::test]
async fn however_many_reasons_there_are_the_log_grows_by_a_few_events() {
    let (store, _directory) = store().await;
    let strangers = Strangers::default();
    let wordy: Arc<dyn Authenticator> = Arc::new(Wordy);
    let service = routes(&strangers).layer(Extension(wordy));
    for number in 0..300 {
        let why = format!("reason-{number}");
        for token in [why.as_str(), "reason-0"] {
            let status = call(&service, Some(token)).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED);
        }
    }
    let told = told(strangers, &store).await;
    assert_eq!(told.len(), 33, "{told:?}");
    let count = |reason: &str| {
        let mut of = told.iter().filter(|event| event.data["reason"] == reason);
        of.next().map(|event| event.data["count"].clone())
    };
    assert_eq!(count("reason-0"), Some(301.into()));
    assert_eq!(count("for further reasons"), Some(268.into()));
}
