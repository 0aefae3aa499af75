//! Following long work: as it happens on a terminal, in plain lines elsewhere, not at all where
//! programs read.

mod board;

use std::time::{Duration, Instant};

use client::{Client, EventQuery};
use delivery::model::{Deployment, DeploymentPhase};
use kernel::{Event, Resource};
use tokio::sync::mpsc;

use self::board::Board;
use crate::{
    command::deploy::Wait,
    context::Context,
    exit::Exit,
    failure::{Failure, Result},
    render::{self, describe, quantity},
};

/// Between two looks where no event says that something has happened.
const LOOK: Duration = Duration::from_millis(500);

/// The first wait of [`until`]; doubles up to [`LOOK`].
const FIRST_LOOK: Duration = Duration::from_millis(20);

/// How long the events of the end may lag behind the deployment's own word.
const LAST_EVENTS: Duration = Duration::from_millis(300);

/// Events that wait to be shown at the most; the sender then waits.
const EVENTS: usize = 256;

/// Follows `deployment` to its end, and tells how it went.
pub(crate) async fn follow(
    context: &Context,
    client: &Client,
    deployment: Resource<Deployment>,
    wait: &Wait,
) -> Result<()> {
    let name = deployment.meta.name.clone();
    let environment = deployment.meta.scope.clone();
    if let Some(to) = &deployment.spec.rollback_to {
        let workloads = deployment.spec.workloads.keys().map(String::as_str);
        context.say(&returning(&name, workloads, to));
    }
    if wait.no_wait() {
        return context.answer(&deployment.document()?, || {
            format!(
                "deployment {name} to {environment} has begun; see `towpath describe deployment {name} --env {environment}`"
            )
        });
    }
    let begun = Instant::now();
    context.say(&format!("deployment {name} to {environment}"));
    for remark in render::plan::remarks(&deployment.spec.plan) {
        context.say(&remark);
    }
    let mut board = Board::new(context, &deployment.spec.plan);
    let watched = watch(context, client, &deployment, &mut board);
    let ended = match wait.timeout() {
        None => watched.await,
        Some(limit) => match tokio::time::timeout(limit, watched).await {
            Ok(ended) => ended,
            Err(_) => Err(
                not_in_time(&format!("deployment {name}"), limit).remedy(format!(
                    "it goes on; see `towpath describe deployment {name} --env {environment}`"
                )),
            ),
        },
    };
    board.finish();
    tell(context, &ended?, begun.elapsed())
}

/// What a rollback is about: `d-4 returns hello to d-1`.
fn returning<'a>(name: &str, workloads: impl Iterator<Item = &'a str>, to: &str) -> String {
    let workloads: Vec<_> = workloads.collect();
    format!("{name} returns {} to {to}", workloads.join(", "))
}

/// Shows events as they come, until the deployment has ended.
async fn watch(
    context: &Context,
    client: &Client,
    deployment: &Resource<Deployment>,
    board: &mut Board,
) -> Result<Resource<Deployment>> {
    let name = &deployment.meta.name;
    let environment = &deployment.meta.scope;
    let (sender, mut events) = mpsc::channel(EVENTS);
    let stream = client.events(&EventQuery {
        correlation: Some(deployment.spec.correlation),
        after: Some(0),
        ..EventQuery::default()
    });
    let forwarding = tokio::spawn(forward(stream, sender));
    let _stop = AbortOnDrop(forwarding);
    let (mut open, mut end_shown) = (true, false);
    let ended = loop {
        let now = client.deployment(environment, name).await?;
        if now.status.phase.is_final() {
            break now;
        }
        board.waiting(&now.status.waiting_for);
        let more = tokio::time::timeout(LOOK, events.recv());
        if open {
            match more.await {
                Ok(Some(event)) => {
                    end_shown |= is_end(&event);
                    board.event(&event);
                }
                Ok(None) => open = false,
                Err(_) => {}
            }
            while let Ok(event) = events.try_recv() {
                end_shown |= is_end(&event);
                board.event(&event);
            }
        } else {
            // The stream has failed for good: the deployment itself still tells how far it is.
            tokio::time::sleep(LOOK).await;
        }
    };
    // The last event often comes before the look that finds the end: then there is none to wait for.
    if context.is_text() && !end_shown {
        while let Ok(Some(event)) = tokio::time::timeout(LAST_EVENTS, events.recv()).await {
            board.event(&event);
            if is_end(&event) {
                break;
            }
        }
    }
    Ok(ended)
}

/// Whether the event is the deployment's last.
fn is_end(event: &Event) -> bool {
    event
        .kind
        .strip_prefix("dev.towpath.deployment.")
        .is_some_and(|what| matches!(what, "succeeded" | "failed" | "rolled-back" | "superseded"))
}

/// In a task of its own: a connection in the making must not be dropped by a look in between.
async fn forward(mut stream: client::Events<Event>, events: mpsc::Sender<Event>) {
    loop {
        match stream.next().await {
            Ok(Some(event)) => {
                if events.send(event).await.is_err() {
                    return;
                }
            }
            Ok(None) => return,
            Err(error) => {
                tracing::debug!(%error, "the stream of events ended");
                return;
            }
        }
    }
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// How it went: the addresses, or the diagnosis.
fn tell(context: &Context, deployment: &Resource<Deployment>, took: Duration) -> Result<()> {
    let name = &deployment.meta.name;
    let environment = &deployment.meta.scope;
    let took = quantity::took(took);
    let text = || {
        let urls = deployment
            .spec
            .plan
            .workloads
            .values()
            .filter_map(|w| w.url.as_deref());
        let urls = urls.fold(String::new(), |all, url| all + "\n  " + url);
        format!("deployment {name} to {environment} succeeded in {took}{urls}")
    };
    match deployment.status.phase {
        DeploymentPhase::Succeeded => context.answer(&deployment.document()?, text),
        DeploymentPhase::Superseded => {
            if !context.is_text() {
                context.answer(&deployment.document()?, text)?;
            }
            let mut message = format!("deployment {name} to {environment} gave way to a later one");
            if let Some(failure) = &deployment.status.failure {
                let diagnosis = describe::diagnosis(&deployment.status, failure);
                message = format!("{message} after it had failed\n\n{}", diagnosis.trim_end());
            }
            Err(Failure::new(Exit::Conflict, message)
                .remedy(format!("see `towpath get deployments --env {environment}`")))
        }
        _ => {
            if !context.is_text() {
                context.answer(&deployment.document()?, text)?;
            }
            Err(failed(deployment, &took))
        }
    }
}

fn failed(deployment: &Resource<Deployment>, took: &str) -> Failure {
    let name = &deployment.meta.name;
    let environment = &deployment.meta.scope;
    let status = &deployment.status;
    let failure = status.failure.as_ref();
    let end = match status.phase {
        DeploymentPhase::RolledBack if failure.is_some_and(|why| !why.brought_back.is_empty()) => {
            "failed, and the last good release serves again"
        }
        DeploymentPhase::RolledBack => "failed, and the last good release goes on serving",
        _ if failure.is_some_and(|why| why.return_failure.is_some()) => {
            "failed, and so did the return to the last good release"
        }
        _ => "failed",
    };
    let mut message = format!("deployment {name} to {environment} {end} ({took})");
    let mut remedy = format!("see `towpath describe deployment {name} --env {environment}`");
    if let Some(failure) = failure {
        message = format!(
            "{message}\n\n{}",
            describe::diagnosis(status, failure).trim_end()
        );
        if let Some(own) = &failure.remedy {
            remedy.clone_from(own);
        }
    }
    Failure::new(Exit::Failed, message).remedy(remedy)
}

/// Looks again and again until there is an answer, for as long as `wait` allows.
pub(crate) async fn until<T>(
    wait: &Wait,
    task: &str,
    mut look: impl AsyncFnMut() -> client::Result<Option<T>>,
) -> Result<T> {
    let begun = Instant::now();
    let mut pause = FIRST_LOOK;
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if let Some(limit) = wait.timeout()
            && begun.elapsed() + pause > limit
        {
            return Err(not_in_time(task, limit).remedy("it goes on; see `towpath status`"));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LOOK);
    }
}

fn not_in_time(task: &str, limit: Duration) -> Failure {
    let limit = quantity::took(limit);
    Failure::new(Exit::Timeout, format!("{task} was not done within {limit}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rollback_says_what_it_returns_and_to_where() {
        let told = returning("d-4", ["hello", "notes"].into_iter(), "d-1");
        assert_eq!(told, "d-4 returns hello, notes to d-1");
    }
}
