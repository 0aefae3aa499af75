//! `/metrics`: how much the platform has to do, and how long that waits, for Prometheus and all that reads
//! its format.
//!
//! Queues are measured by themselves, apart from the work: that they grow is seen before anybody waits.

use std::sync::Arc;

use axum::{Router, extract::State, http::header, response::IntoResponse, routing::get};
use kernel::{
    Caller, Error, Guard, QueueStats, Queues, Result, Store, Target, authorization::Action,
};
use prometheus_client::{
    encoding::text,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};
use publications::{Counts, Publications};
use tokio::sync::watch;

const READ: Action = Action::act("platform.metrics.read");

/// The format of what is answered: OpenMetrics 1.0.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Where the numbers come from.
#[derive(Clone)]
pub(crate) struct Metrics {
    pub(crate) store: Store,
    pub(crate) guard: Guard,
    pub(crate) queues: Queues,
    pub(crate) leads: watch::Receiver<bool>,
    pub(crate) publications: Arc<Publications>,
}

/// The OpenAPI description of the route.
#[derive(utoipa::OpenApi)]
#[openapi(paths(metrics))]
pub(crate) struct ApiDoc;

pub(crate) fn routes(metrics: Metrics) -> Router {
    Router::new()
        .route("/metrics", get(self::metrics))
        .with_state(metrics)
}

/// Queues of reconcilers, which replica reconciles, the length of the event log, and what became of events from
/// outside, of the replica that is asked: OpenMetrics text.
#[utoipa::path(get, path = "/metrics", tag = "platform",
    responses((status = 200, content_type = "application/openmetrics-text", body = String), (status = 403)))]
async fn metrics(State(metrics): State<Metrics>, caller: Caller) -> Result<impl IntoResponse> {
    let about = Target {
        kind: "Metrics",
        ..Target::default()
    };
    metrics.guard.require(&caller, READ, &about).await?;
    let head = metrics.store.head().await?;
    let counts = metrics.publications.counts();
    let text = written(
        &metrics.queues.stats(),
        *metrics.leads.borrow(),
        head,
        counts,
    )?;
    Ok(([(header::CONTENT_TYPE, OPEN_METRICS)], text))
}

/// What a number is about: a reconciler, or an outcome.
type Labels = [(&'static str, &'static str); 1];

fn written(queues: &[QueueStats], leads: bool, head: i64, counts: Counts) -> Result<String> {
    let mut registry = Registry::with_prefix("towpath");
    let (waiting, running) = (
        Family::<Labels, Gauge>::default(),
        Family::<Labels, Gauge>::default(),
    );
    let (runs, errors) = (
        Family::<Labels, Counter>::default(),
        Family::<Labels, Counter>::default(),
    );
    let waited = Family::<Labels, Counter<f64>>::default();
    let longest = Family::<Labels, Gauge<f64, std::sync::atomic::AtomicU64>>::default();
    for queue in queues {
        let labels = [("reconciler", queue.reconciler)];
        waiting.get_or_create(&labels).set(queue.waiting as i64);
        running.get_or_create(&labels).set(queue.running as i64);
        runs.get_or_create(&labels).inc_by(queue.runs);
        errors.get_or_create(&labels).inc_by(queue.errors);
        waited
            .get_or_create(&labels)
            .inc_by(queue.waited.as_secs_f64());
        longest
            .get_or_create(&labels)
            .set(queue.longest_wait.as_secs_f64());
    }
    let (leader, log) = (Gauge::<i64>::default(), Gauge::<i64>::default());
    leader.set(leads.into());
    log.set(head);
    let queue = registry.sub_registry_with_prefix("reconciler");
    queue.register("waiting", "Resources that wait for their turn", waiting);
    queue.register("running", "Resources that are looked at now", running);
    queue.register("runs", "Looks at resources", runs);
    queue.register(
        "errors",
        "Looks at resources that ended with an error",
        errors,
    );
    queue.register_with_unit(
        "waited",
        "Time that resources have waited for their turn",
        Unit::Seconds,
        waited,
    );
    queue.register_with_unit(
        "longest_wait",
        "The longest wait for a turn since the start",
        Unit::Seconds,
        longest,
    );
    registry.register("leader", "Whether this replica reconciles", leader);
    registry.register("event_log_head", "The newest event's place in the log", log);
    let outside = Family::<Labels, Counter>::default();
    for (outcome, count) in [
        ("taken", counts.taken),
        ("known", counts.known),
        ("held-up", counts.held_up),
    ] {
        outside.get_or_create(&[("outcome", outcome)]).inc_by(count);
    }
    registry.register(
        "events_from_outside",
        "Events that were published: taken, there before, or too many",
        outside,
    );
    let mut text = String::new();
    text::encode(&mut text, &registry)
        .map_err(|error| Error::internal("the metrics could not be written", error))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_waits_is_told_apart_from_what_runs() {
        let queue = QueueStats {
            reconciler: "workloads",
            waiting: 7,
            running: 2,
            runs: 40,
            errors: 1,
            waited: Duration::from_millis(2500),
            longest_wait: Duration::from_millis(900),
        };
        let text = written(&[queue], true, 123, Counts::default()).unwrap();
        // Outcomes stand in no order of their own.
        let outside = |line: &&str| line.contains("events_from_outside");
        let (of_outside, rest): (Vec<_>, Vec<_>) = text.lines().partition(|line| outside(line));
        insta::assert_snapshot!(rest.join("\n"));
        assert_eq!(of_outside.len(), 5, "{of_outside:?}");
    }

    #[test]
    fn what_became_of_events_from_outside_is_told_by_outcome() {
        let counts = Counts {
            taken: 3,
            known: 2,
            held_up: 1,
        };
        let text = written(&[], false, 0, counts).unwrap();
        for (outcome, count) in [("taken", 3), ("known", 2), ("held-up", 1)] {
            let line =
                format!("towpath_events_from_outside_total{{outcome=\"{outcome}\"}} {count}");
            assert!(text.contains(&line), "{line}: {text}");
        }
    }
}
