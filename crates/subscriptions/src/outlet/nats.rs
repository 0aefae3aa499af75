//! NATS JetStream: the whole log as a stream, in order, each event at least once and, by its id, kept
//! once.

use std::time::Duration;

use async_nats::{
    ConnectOptions, HeaderMap,
    jetstream::{self, stream},
};
use kernel::{
    Backoff, Error, Event, EventFilter, Problem, Result, Secret, Store,
    term::{Tenure, Term},
};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use url::Url;

/// The lease of the one replica that publishes.
pub const LEASE: &str = "outlet/nats";
/// The stream.
const STREAM: &str = "TOWPATH_EVENTS";
/// What its subjects begin with.
const SUBJECTS: &str = "towpath.events";
/// The team of what is no team's: no team can be called so.
const NO_TEAM: &str = "_";
/// Events on their way at once: a round trip is paid once for all.
const TOGETHER: usize = 200;
/// How long the server may take for any one thing.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long what was published is known by its id: longer than a replica takes to begin anew where
/// another ended.
const DEDUPLICATED: Duration = Duration::from_mins(10);
/// The waits where it does not answer.
const AWAY: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));

/// Publishes all events to a JetStream, while this replica holds the lease [`LEASE`].
pub struct NatsOutlet {
    store: Store,
    server: Server,
    tenure: Tenure,
}

/// Where the server is. The URL carries a password, and is not shown.
#[derive(Clone)]
struct Server {
    url: Secret,
    /// The same for people.
    shown: String,
}

impl NatsOutlet {
    /// What is wrong with the address of a server; none where it is as it should be.
    pub fn wrong_url(url: &Secret) -> Option<Problem> {
        let parsed = url.text().ok().and_then(|text| Url::parse(text).ok());
        let good = parsed.is_some_and(|url| {
            matches!(url.scheme(), "nats" | "tls") && url.host_str().is_some_and(|h| !h.is_empty())
        });
        (!good).then(|| {
            let message = "the address of NATS is not a URL of NATS";
            Problem::new("config/nats", "nats", message)
                .remedy("give nats://HOST:4222, or tls://USER:PASSWORD@HOST:4222")
        })
    }

    /// `holder` names this replica, for people.
    pub fn new(store: Store, url: Secret, holder: &str) -> Result<Self> {
        if let Some(problem) = Self::wrong_url(&url) {
            return Err(Error::problems(problem.message.clone(), vec![problem]));
        }
        // Already installed is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let parsed = Url::parse(url.text()?);
        let shown = parsed.map(|url| kernel::outbound::shown(&url));
        Ok(Self {
            server: Server {
                url,
                shown: shown.unwrap_or_default(),
            },
            tenure: Tenure::new(store.clone(), LEASE, holder),
            store,
        })
    }

    /// Another time to live of the lease than the platform's.
    #[must_use]
    pub fn lease_ttl(mut self, ttl: Duration) -> Self {
        self.tenure = self.tenure.lease_ttl(ttl);
        self
    }

    /// Publishes until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let (store, server) = (self.store, self.server);
        let begin = move |term: Term| publish(store.clone(), server.clone(), term);
        self.tenure.run(stop, begin).await;
    }
}

/// One term: connects, publishes, and connects anew where that broke.
async fn publish(store: Store, server: Server, term: Term) {
    let publishing = async {
        let mut failures = 0;
        loop {
            let before = store.cursor(LEASE).await;
            let Err(error) = follow(&store, &server).await else {
                return;
            };
            // What got on in between is no failure in a row.
            let after = store.cursor(LEASE).await;
            let moved = matches!((before, after), (Ok(before), Ok(after)) if after > before);
            failures = if moved { 1 } else { failures + 1 };
            let wait = AWAY.after(failures);
            tracing::warn!(
                server = server.shown,
                error = error.chain(),
                ?wait,
                "events are not published to NATS"
            );
            sleep(wait).await;
        }
    };
    tokio::select! {
        () = term.stop.cancelled() => {}
        () = publishing => {}
    }
}

/// Publishes what is in the log and what comes; ends with the first failure, or with the store.
async fn follow(store: &Store, server: &Server) -> Result<()> {
    let stream = connect(server).await?;
    tracing::info!(
        server = server.shown,
        stream = STREAM,
        "events are published to NATS"
    );
    let mut head = store.subscribe();
    let mut after = store.cursor(LEASE).await?;
    loop {
        head.borrow_and_update();
        let filter = EventFilter::default();
        let events = store.events(&filter, after, TOGETHER).await?;
        let Some(last) = events.last().map(|event| event.seq) else {
            if head.changed().await.is_err() {
                return Ok(());
            }
            continue;
        };
        let mut acknowledgements = Vec::with_capacity(events.len());
        for event in &events {
            acknowledgements.push(in_time(send(&stream, event)).await?);
        }
        // They come in the order of the events: with the last, all are kept.
        for acknowledgement in acknowledgements {
            in_time(async { acknowledgement.await.map_err(refused) }).await?;
        }
        store.set_cursor(LEASE, last).await?;
        after = last;
    }
}

async fn connect(server: &Server) -> Result<jetstream::Context> {
    let url = server.url.text()?;
    let options = ConnectOptions::new()
        .name("towpath")
        .connection_timeout(PATIENCE);
    let connecting = async { options.connect(url).await.map_err(refused) };
    let stream = jetstream::new(in_time(connecting).await?);
    let wanted = stream::Config {
        name: STREAM.into(),
        subjects: vec![format!("{SUBJECTS}.>")],
        duplicate_window: DEDUPLICATED,
        ..stream::Config::default()
    };
    // What an operator has set otherwise stays as it is.
    let making = async {
        stream
            .get_or_create_stream(wanted)
            .await
            .map(drop)
            .map_err(refused)
    };
    in_time(making).await?;
    Ok(stream)
}

async fn send(
    stream: &jetstream::Context,
    event: &Event,
) -> Result<jetstream::context::PublishAckFuture> {
    let body = serde_json::to_vec(event)
        .map_err(|error| Error::internal("an event could not be serialized", error))?;
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Msg-Id", event.entry().to_string());
    headers.insert("Content-Type", "application/cloudevents+json");
    stream
        .publish_with_headers(subject(event), headers, body.into())
        .await
        .map_err(refused)
}

/// Where an event is found. What a type or a team's name may not say in a subject is said by `-`: of both it
/// is checked that they say nothing else.
fn subject(event: &Event) -> String {
    let team = match event.team.as_str() {
        "" => NO_TEAM.to_owned(),
        team => plain(team, false),
    };
    format!("{SUBJECTS}.{team}.{}", plain(&event.kind, true))
}

fn plain(text: &str, dots: bool) -> String {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_') || (dots && c == '.');
    text.chars()
        .map(|c| if good(c) { c } else { '-' })
        .collect()
}

async fn in_time<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(PATIENCE, work)
        .await
        .unwrap_or_else(|_| Err(Error::unavailable("NATS did not answer in time")))
}

fn refused(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::unavailable("NATS did not take it").caused_by(error)
}
