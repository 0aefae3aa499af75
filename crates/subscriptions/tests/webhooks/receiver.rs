//! A receiver of webhooks.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use kernel::Secret;
use serde_json::Value;
use subscriptions::sign;
use testkit::eventually;

use crate::support::SOON;

/// What a receiver does with the next event.
#[derive(Clone, Copy)]
pub(crate) enum Answer {
    Status(u16),
    /// Never.
    Silence,
}

/// What was received.
#[derive(Clone)]
pub(crate) struct Received {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// What it was answered.
    pub(crate) taken: bool,
}

impl Received {
    pub(crate) fn event(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    /// What its event tells of, after what any receiver does first: to verify.
    pub(crate) fn verified(&self, secret: &Secret) -> bool {
        let age = jiff::Timestamp::now().as_second() - self.timestamp();
        (0..60).contains(&age) && self.is_signed_with(secret)
    }

    /// The same, whenever it was sent.
    pub(crate) fn is_signed_with(&self, secret: &Secret) -> bool {
        let (key, timestamp) = (sign::key(secret).unwrap(), self.timestamp());
        let id = self.header("webhook-id");
        let expected = sign::signature(&key, id, timestamp, &self.body);
        let signatures = self.header("webhook-signature");
        signatures.split(' ').any(|one| one == expected)
    }

    fn timestamp(&self) -> i64 {
        self.header("webhook-timestamp").parse().unwrap()
    }
}

#[derive(Clone)]
pub(crate) struct Receiver {
    address: SocketAddr,
    state: Arc<Receiving>,
}

struct Receiving {
    received: Mutex<Vec<Received>>,
    /// What comes next, then always the last.
    answers: Mutex<VecDeque<Answer>>,
}

impl Receiver {
    pub(crate) async fn new(answers: &[Answer]) -> Self {
        let state = Arc::new(Receiving {
            received: Mutex::default(),
            answers: Mutex::new(answers.iter().copied().collect()),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(receive).with_state(state.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, state }
    }

    /// One that takes everything.
    pub(crate) async fn good() -> Self {
        Self::new(&[Answer::Status(204)]).await
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook?canary=1", self.address)
    }

    pub(crate) fn answers_with(&self, answers: &[Answer]) {
        *self.state.answers.lock().unwrap() = answers.iter().copied().collect();
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.state.received.lock().unwrap().clone()
    }

    /// The names of the things that those events are about that were taken.
    pub(crate) fn taken(&self) -> Vec<String> {
        let received = self.received();
        let taken = received.iter().filter(|one| one.taken);
        taken
            .map(|one| {
                one.event()["data"]["name"]
                    .as_str()
                    .unwrap_or("?")
                    .to_owned()
            })
            .collect()
    }

    /// Waits until `count` are taken.
    pub(crate) async fn has_taken(&self, count: usize) -> Vec<String> {
        eventually("events are taken", SOON, async || {
            Some(self.taken()).filter(|taken| taken.len() >= count)
        })
        .await
    }
}

async fn receive(State(state): State<Arc<Receiving>>, headers: HeaderMap, body: Bytes) -> Response {
    let answer = {
        let mut answers = state.answers.lock().unwrap();
        if answers.len() > 1 {
            answers.pop_front().unwrap()
        } else {
            answers[0]
        }
    };
    let taken = matches!(answer, Answer::Status(200..=299));
    let received = Received {
        headers,
        body,
        taken,
    };
    state.received.lock().unwrap().push(received);
    match answer {
        Answer::Status(status) => {
            let location = [(header::LOCATION, "http://127.0.0.1:1/")];
            (StatusCode::from_u16(status).unwrap(), location).into_response()
        }
        Answer::Silence => std::future::pending().await,
    }
}
