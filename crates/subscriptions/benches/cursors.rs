//! What the API's callers notice while the cursors of ten thousand subscribers advance: each of them is
//! sent each event as it happens, then what it missed while nothing was delivered, and the API is asked
//! beside that.
//!
//! `cargo bench -p towpath-subscriptions --bench cursors`

use std::{
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use axum::{Extension, Router, extract::State, http::StatusCode, routing::post};
use kernel::{
    Action, Authorizer, Caller, Cause, Change, Guard, Key, NewEvent, Resource, Ruling, Sealer,
    Secret, Store, Target,
    http::{AdminToken, Authenticator},
    outbound::Reach,
};
use serde_json::json;
use subscriptions::{
    Deliveries, Settings, Subscriptions,
    model::{CURSORS, Subscription, SubscriptionSpec},
    pattern::Pattern,
    port::Customers,
    sign,
};
use tokio::{net::TcpListener, runtime::Handle};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Subscribers, all of one team.
const SUBSCRIBERS: usize = 10_000;
/// Events that all of them get while the API is asked.
const EVENTS: usize = 3;
/// What else happened while nothing was delivered: so much that nobody is just a little behind.
const PASSED: usize = 6_000;
/// How often the API is asked, by this many at once.
const ASK_EVERY: Duration = Duration::from_millis(20);
const ASKING: usize = 4;
/// How long it is asked where nothing else goes on.
const QUIET: Duration = Duration::from_secs(10);
/// What the API's slowest hundredth may take.
const LIMIT: Duration = Duration::from_millis(50);

const TOKEN: &str = "a-token-that-is-long-enough-for-a-bench";

/// Everybody may do everything: what rules cost is measured elsewhere.
struct Everything;

impl Authorizer for Everything {
    fn decide(&self, _: &Caller, _: Action, _: &Target<'_>) -> Ruling {
        Ruling {
            allowed: true,
            undecided: false,
            reasons: vec![],
        }
    }

    fn sources(&self) -> Vec<(String, String)> {
        vec![]
    }
}

/// Every team is a customer.
struct All;

#[async_trait]
impl Customers for All {
    async fn current(&self) -> kernel::Result<()> {
        Ok(())
    }

    fn team(&self, _: &str) -> Option<Uuid> {
        Some(Uuid::nil())
    }
}

fn main() -> Result<(), Failed> {
    // Receivers and callers are elsewhere: they share the machine, and not the platform's own threads.
    let elsewhere = || {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
    };
    let (receivers, callers) = (elsewhere()?, elsewhere()?);
    // As the platform has it.
    let apart = elsewhere()?;
    let taken = Arc::new(AtomicUsize::new(0));
    let receiver = Router::new()
        .route("/", post(take))
        .with_state(taken.clone());
    let receiver = receivers.block_on(serve(receiver))?;
    let platform = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    platform.block_on(run(callers.handle(), apart.handle(), &receiver, taken))
}

async fn run(
    callers: &Handle,
    apart: &Handle,
    receiver: &str,
    taken: Arc<AtomicUsize>,
) -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let url = format!("sqlite://{}/store.db", directory.path().display());
    let store = Store::open(&url, Sealer::generate()?).await?;
    subscribe_all(&store, receiver).await?;

    let guard = Guard::new(store.clone(), Arc::new(Everything));
    let settings = Settings {
        reach: Reach::public_and(vec!["127.0.0.0/8".parse()?]),
        ..Settings::default()
    };
    let service = Subscriptions::new(store.clone(), guard.clone(), Arc::new(All), settings)?;
    let service = Arc::new(service);
    let stop = CancellationToken::new();
    let authenticator: Arc<dyn Authenticator> = Arc::new(AdminToken::new(Secret::from(TOKEN)));
    let api = subscriptions::http::routes(service.clone())
        .merge(kernel::http::routes(store.clone(), guard, stop.clone()))
        .layer(Extension(authenticator));
    let api = serve(api).await?;

    let quiet = ask(callers, &api, async { tokio::time::sleep(QUIET).await }).await?;
    let stopping = CancellationToken::new();
    let deliveries = Deliveries::new(service.clone(), "bench").run(stopping.clone());
    let deliveries = apart.spawn(deliveries);
    let began = Instant::now();
    let live = ask(callers, &api, async {
        for event in 1..=EVENTS {
            let seq = happen(&store).await?;
            all_have(&store, &taken, event * SUBSCRIBERS, seq).await?;
        }
        Ok::<_, Failed>(())
    })
    .await?;
    let live_took = began.elapsed();
    stopping.cancel();
    deliveries.await?;

    let mut last = 0;
    for _ in 0..EVENTS {
        pass(&store, PASSED / EVENTS).await?;
        last = happen(&store).await?;
    }
    let deliveries = apart.spawn(Deliveries::new(service, "bench").run(stop.clone()));
    let began = Instant::now();
    let all = all_have(&store, &taken, 2 * EVENTS * SUBSCRIBERS, last);
    let missed = ask(callers, &api, all).await?;
    let missed_took = began.elapsed();
    stop.cancel();
    deliveries.await?;

    let mut out = std::io::stdout().lock();
    writeln!(out, "{SUBSCRIBERS} subscribers, {EVENTS} events to each")?;
    writeln!(
        out,
        "the API with nothing else to do: {}",
        Latencies::of(quiet)
    )?;
    for (when, took, latencies) in [
        ("as they happen", live_took, live),
        ("after an outage", missed_took, missed),
    ] {
        let rate = (EVENTS * SUBSCRIBERS) as f64 / took.as_secs_f64();
        let latencies = Latencies::of(latencies);
        let verdict = if latencies.p99 < LIMIT {
            "within"
        } else {
            "NOT WITHIN"
        };
        writeln!(
            out,
            "{when}: until all cursors were noted {took:.1?} ({rate:.0} deliveries/s); the API beside \
             it {latencies}, {verdict} {LIMIT:?}"
        )?;
    }
    Ok(())
}

async fn take(State(taken): State<Arc<AtomicUsize>>) -> StatusCode {
    taken.fetch_add(1, Relaxed);
    StatusCode::NO_CONTENT
}

async fn serve(router: Router) -> Result<String, Failed> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(format!("http://{address}"))
}

async fn subscribe_all(store: &Store, url: &str) -> Result<(), Failed> {
    let all: Vec<usize> = (0..SUBSCRIBERS).collect();
    for part in all.chunks(500) {
        let mut change = Change::new();
        for number in part {
            let spec = SubscriptionSpec {
                description: String::new(),
                types: vec![Pattern::new("thing.*")?],
                url: format!("{url}/"),
                enabled: true,
                after: 0,
                created_by: "bench".into(),
                owner: None,
            };
            let name = format!("s-{number}");
            let subscription = Resource::<Subscription>::new("pay", name, spec);
            change.create(&subscription)?;
            change.seal(subscription.meta.uid, Subscription::SECRET, sign::draw()?);
        }
        store.commit(change).await?;
    }
    Ok(())
}

/// One event that all want; gives its place in the log.
async fn happen(store: &Store) -> Result<i64, Failed> {
    let mut change = Change::new();
    change.event(event("thing.made"));
    Ok(store.commit(change).await?.head)
}

/// What else happens: nobody wants to hear of it.
async fn pass(store: &Store, count: usize) -> Result<(), Failed> {
    for _ in (0..count).step_by(500) {
        let mut change = Change::new();
        for _ in 0..500 {
            change.event(event("other.made"));
        }
        store.commit(change).await?;
    }
    Ok(())
}

fn event(what: &str) -> NewEvent {
    NewEvent {
        kind: format!("{}{what}", NewEvent::PREFIX),
        subject: Key {
            kind: "Thing".into(),
            scope: String::new(),
            name: "one".into(),
        },
        team: "pay".into(),
        cause: Cause {
            actor: "bench".into(),
            ..Cause::system("test", Uuid::now_v7())
        },
        outcome: None,
        data: json!({ "for": "all" }),
    }
}

/// Waits until `count` events were taken, and the cursors of all are noted at `seq`.
async fn all_have(
    store: &Store,
    taken: &AtomicUsize,
    count: usize,
    seq: i64,
) -> Result<(), Failed> {
    while taken.load(Relaxed) < count || !all_at(store, seq).await? {
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    Ok(())
}

/// Whether all cursors are noted there.
async fn all_at(store: &Store, seq: i64) -> Result<bool, Failed> {
    let cursors = store.cursors(CURSORS).await?;
    // Those who ask the API have made some more.
    let there = cursors.values().filter(|cursor| **cursor >= seq);
    Ok(there.count() >= SUBSCRIBERS)
}

/// Asks the API in turn to read and to write, until `work` has ended; gives what each answer took.
async fn ask<T>(
    callers: &Handle,
    api: &str,
    work: impl Future<Output = T>,
) -> Result<Vec<Duration>, Failed> {
    let stop = CancellationToken::new();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..ASKING {
        tasks.spawn_on(asking(api.to_owned(), number, stop.clone()), callers);
    }
    work.await;
    stop.cancel();
    let mut all = Vec::new();
    while let Some(latencies) = tasks.join_next().await {
        all.extend(latencies??);
    }
    Ok(all)
}

async fn asking(
    api: String,
    number: usize,
    stop: CancellationToken,
) -> Result<Vec<Duration>, Failed> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let subscription = format!("{api}/v1/teams/ask/subscriptions/asked-{number}");
    let events = format!("{api}/v1/events?limit=20&type={}thing", NewEvent::PREFIX);
    let mut latencies = Vec::new();
    let mut ticks = tokio::time::interval(ASK_EVERY * ASKING as u32);
    for round in 0_u64.. {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => break,
        }
        let request = match round % 3 {
            0 => http.put(&subscription).json(&json!({
                "types": ["nothing.at-all"],
                "url": "https://hooks.example.com/",
                "description": round.to_string(),
            })),
            1 => http.get(&subscription),
            _ => http.get(&events),
        };
        let began = Instant::now();
        let answer = request.bearer_auth(TOKEN).send().await?;
        let status = answer.status();
        let body = answer.text().await?;
        latencies.push(began.elapsed());
        if !status.is_success() {
            return Err(format!("the API answered {status}: {body}").into());
        }
    }
    Ok(latencies)
}

struct Latencies {
    asked: usize,
    median: Duration,
    p99: Duration,
}

impl Latencies {
    fn of(mut latencies: Vec<Duration>) -> Self {
        latencies.sort_unstable();
        let at = |share: usize| {
            let place = (latencies.len() * share / 100).min(latencies.len().saturating_sub(1));
            latencies.get(place).copied().unwrap_or_default()
        };
        Self {
            asked: latencies.len(),
            median: at(50),
            p99: at(99),
        }
    }
}

impl std::fmt::Display for Latencies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "median {:.1?}, p99 {:.1?} ({} requests)",
            self.median, self.p99, self.asked
        )
    }
}
