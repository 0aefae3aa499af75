//! The life of one container: waits for its predecessors, starts, is probed, ends, starts again.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use delivery::engine::Probe;
use futures::FutureExt as _;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use super::{Exit, Plan, Runtime, View, stray::Stray};
use crate::{
    probe::{Prober, listens},
    timing::{Backoff, Ends, Timing},
};

pub(super) struct Shared<R> {
    pub(super) plan: Arc<Plan>,
    pub(super) runtime: Arc<R>,
    pub(super) prober: Prober,
    pub(super) timing: Timing,
    pub(super) view: watch::Sender<View>,
}

impl<R> Clone for Shared<R> {
    fn clone(&self) -> Self {
        Self {
            plan: Arc::clone(&self.plan),
            runtime: Arc::clone(&self.runtime),
            prober: self.prober.clone(),
            timing: self.timing.clone(),
            view: self.view.clone(),
        }
    }
}

impl<R> Shared<R> {
    /// Changes the view, and tells only where that made a difference.
    /// Whether the container runs, by what was last seen of it.
    fn runs(&self, name: &str) -> bool {
        let view = self.view.borrow();
        view.containers
            .get(name)
            .is_some_and(|seen| seen.state.running)
    }

    fn change(&self, change: impl FnOnce(&mut View)) {
        self.view.send_if_modified(|view| {
            let old = view.clone();
            change(view);
            view.was_ready |= view.is_ready(&self.plan);
            *view != old
        });
    }
}

/// Does `work` for `containers`. Where it panics, they are shown as failed: nobody looks after them any more,
/// and whoever waits for them must not wait for ever.
pub(super) async fn or_broken<R: Runtime>(
    shared: Shared<R>,
    containers: impl IntoIterator<Item = String>,
    work: impl Future<Output = ()>,
) {
    if AssertUnwindSafe(work).catch_unwind().await.is_ok() {
        return;
    }
    tracing::error!(release = %shared.plan.id, "the supervision of a release has broken off");
    shared.change(|view| {
        for name in containers {
            view.ended(&name, &Exit::Unsupervised);
        }
    });
}

/// Supervises the container `name` until it has completed.
pub(super) async fn supervise<R: Runtime>(shared: Shared<R>, name: String) {
    let runtime = &shared.runtime;
    let may_have = shared.plan.completes(&name) || !shared.plan.startable;
    if may_have && runtime.has_completed(&name).await {
        shared.change(|view| view.container(&name).complete = true);
        return;
    }
    let mut backoff = Backoff::new(&shared.timing);
    let mut ends = Ends::new(&shared.timing);
    let mut found = loop {
        match runtime.find(&name).await {
            Ok(found) => break found,
            Err(error) => {
                shared.change(|view| view.container(&name).why = error.message);
                sleep(backoff.after(None)).await;
            }
        }
    };
    if found.is_none() && shared.plan.startable {
        wait_for_predecessors(&shared, &name).await;
    }
    let tell = |text: String| shared.change(|view| view.container(&name).why = text);
    // The supervision before this one has seen it run: it ended between the two.
    let mut restart = found.is_none() && shared.runs(&name);
    if restart {
        shared.change(|view| view.ended(&name, &Exit::Unseen));
    }
    loop {
        let adopted = found.is_some();
        let mut instance = match found.take() {
            Some(instance) => instance,
            None if !shared.plan.startable => {
                shared.change(|view| view.ended(&name, &Exit::Unseen));
                return;
            }
            None => match runtime.start(&name, &tell).await {
                Ok(instance) => instance,
                Err(error) => {
                    let why = match error.remedy {
                        Some(remedy) => format!("{}: {remedy}", error.message),
                        None => error.message,
                    };
                    shared.change(|view| {
                        if error.retry {
                            view.container(&name).why = why;
                        } else {
                            view.ended(&name, &Exit::CannotStart(why));
                        }
                    });
                    sleep(backoff.after(None)).await;
                    continue;
                }
            },
        };
        let started = runtime.started(&instance);
        let unprobed = (shared.plan.containers.get(&name)).is_none_or(|it| it.readiness.is_none());
        // Where there are ports, `View::served` holds the release back until somebody listens.
        let ready = unprobed && (adopted || !shared.plan.tcp.is_empty());
        shared.change(|view| {
            if adopted {
                view.found(&name, started.clone(), ready);
            } else {
                view.started(&name, started.clone(), ready);
            }
            if restart {
                view.container(&name).state.restarts += 1;
            }
        });
        let exit = tokio::select! {
            exit = runtime.wait(&name, &mut instance) => exit,
            why = probe(&shared, &name, &started.handle) => Exit::NotAlive(why),
        };
        if matches!(exit, Exit::NotAlive(_)) {
            runtime.kill(&name, &mut instance).await;
        }
        runtime.clear(&name).await;
        if exit == Exit::Code(0) && shared.plan.completes(&name) {
            while let Err(error) = runtime.completed(&name).await {
                shared.change(|view| view.container(&name).why = error.message);
                sleep(backoff.after(None)).await;
            }
            shared.change(|view| {
                view.ended(&name, &exit);
                view.container(&name).complete = true;
            });
            return;
        }
        tracing::info!(release = %shared.plan.id, container = name, %exit, "container has ended");
        shared.change(|view| {
            view.ended(&name, &exit);
            let seen = view.container(&name);
            let was_ready = std::mem::take(&mut seen.was_ready);
            seen.lasting = ends.again(exit.how(), started.at, was_ready);
        });
        sleep(backoff.after(Some(started.at))).await;
        restart = true;
    }
}

/// Returns once every container that `name` waits for has come far enough.
async fn wait_for_predecessors<R: Runtime>(shared: &Shared<R>, name: &str) {
    let mut view = shared.view.subscribe();
    for (predecessor, wanted) in shared.plan.predecessors(name) {
        shared.change(|view| {
            view.container(name).why = format!("waits for container {predecessor}");
        });
        // The sender lives in `shared`: it cannot be gone.
        let _ = view
            .wait_for(|view| view.reached(&predecessor, wanted))
            .await;
    }
}

/// Probes the running container; returns why when it is no longer alive.
async fn probe<R: Runtime>(shared: &Shared<R>, name: &str, handle: &str) -> String {
    let Some(watched) = shared.plan.containers.get(name) else {
        return std::future::pending().await;
    };
    let readiness = keep_ready(shared, name, handle, watched.readiness.as_ref());
    let liveness = keep_alive(shared, name, handle, watched.liveness.as_ref());
    tokio::select! {
        why = liveness => why,
        never = readiness => match never {},
    }
}

async fn keep_ready<R: Runtime>(
    shared: &Shared<R>,
    name: &str,
    handle: &str,
    probe: Option<&Probe>,
) -> std::convert::Infallible {
    let Some(probe) = probe else {
        sleep(shared.timing.settle).await;
        shared.change(|view| {
            let seen = view.container(name);
            seen.state.ready = true;
            // Of what was adopted nobody has said yet how it is asked.
            seen.presumed &= !shared.plan.startable;
        });
        return std::future::pending().await;
    };
    let mut pace = Pace::new(&shared.timing);
    let mut failures = 0;
    loop {
        let result = ask(shared, name, handle, probe).await;
        match result {
            Ok(()) => {
                failures = 0;
                pace.settled();
                shared.change(|view| {
                    let seen = view.container(name);
                    seen.state.ready = true;
                    seen.presumed = false;
                    seen.was_ready = true;
                    seen.why.clear();
                });
            }
            Err(why) => {
                failures += 1;
                shared.change(|view| {
                    let seen = view.container(name);
                    seen.state.ready = seen.state.ready && failures < shared.timing.failures;
                    if !seen.state.ready {
                        seen.why = format!("not ready: {why}");
                    }
                });
            }
        }
        pace.wait().await;
    }
}

async fn keep_alive<R: Runtime>(
    shared: &Shared<R>,
    name: &str,
    handle: &str,
    probe: Option<&Probe>,
) -> String {
    let Some(probe) = probe else {
        return std::future::pending().await;
    };
    let begun = Instant::now();
    let mut lived = false;
    let mut failures = 0;
    loop {
        match ask(shared, name, handle, probe).await {
            Ok(()) => {
                lived = true;
                failures = 0;
            }
            Err(why) => {
                let held = lived || begun.elapsed() >= shared.timing.start_grace;
                failures += u32::from(held);
                if failures >= shared.timing.failures {
                    return why;
                }
            }
        }
        sleep(shared.timing.probe).await;
    }
}

async fn ask<R: Runtime>(
    shared: &Shared<R>,
    name: &str,
    handle: &str,
    probe: &Probe,
) -> Result<(), String> {
    match probe {
        Probe::Http(probe) => {
            let address = shared.runtime.address(probe.port).await?;
            shared.prober.http(address, probe).await
        }
        Probe::Exec { command } => {
            let answer = shared.runtime.exec(name, handle, command);
            match tokio::time::timeout(shared.timing.probe_timeout, answer).await {
                Ok(result) => result,
                Err(_) => Err("the command does not end in time".into()),
            }
        }
    }
}

/// Keeps `View::served` true to what listens. Only looks after a container has started: a program
/// that gives up its port is for the readiness probe to find.
pub(super) async fn watch_ports<R: Runtime>(shared: Shared<R>) {
    let mut view = shared.view.subscribe();
    if shared.plan.tcp.is_empty() {
        return;
    }
    loop {
        // The sender lives in `shared`: it cannot be gone.
        let waiting = |view: &View| {
            !view.served
                && view
                    .containers
                    .values()
                    .all(|seen| seen.state.running || seen.complete)
        };
        let _ = view.wait_for(waiting).await;
        let mut pace = Pace::new(&shared.timing);
        let begun = Instant::now();
        let mut stray = Stray::new(shared.timing.misplaced);
        while waiting(&view.borrow_and_update()) {
            let endpoints = view.borrow().endpoints.clone();
            let (mut answering, mut missing) = (Vec::new(), Vec::new());
            for (name, address) in endpoints {
                if !shared.plan.tcp.contains(&name) {
                    continue;
                }
                let found = listens(address, shared.timing.probe_timeout).await;
                let there = if found { &mut answering } else { &mut missing };
                there.push((name, address));
            }
            if missing.is_empty() {
                let strangers = shared.runtime.strangers(&answering).await;
                let Some((name, address)) = strangers.first() else {
                    shared.change(|view| {
                        view.served = true;
                        view.unserved.clear();
                        view.misplaced = false;
                    });
                    break;
                };
                let text = format!(
                    "another program listens on port {name} ({address}), and none of this workload: end that \
                     one, or deploy again to be given another port"
                );
                shared.change(|view| {
                    view.unserved = text;
                    // It heals when that one ends.
                    view.misplaced = false;
                });
                pace.wait().await;
                continue;
            }
            // Right after the start, silence is normal, and looking for the reason is not free.
            if begun.elapsed() >= Duration::from_secs(1) {
                let advice = shared.runtime.advice(&missing).await;
                let lasts = stray.lasts(&advice, Instant::now());
                shared.change(|view| {
                    view.unserved = advice.text;
                    view.misplaced = lasts;
                });
            }
            pace.wait().await;
        }
    }
}

/// Quick at first, slower with time, at the steady pace once settled.
struct Pace<'a> {
    timing: &'a Timing,
    next: Duration,
    settled: bool,
}

impl<'a> Pace<'a> {
    fn new(timing: &'a Timing) -> Self {
        Self {
            timing,
            next: timing.first_probe,
            settled: false,
        }
    }

    fn settled(&mut self) {
        self.settled = true;
    }

    async fn wait(&mut self) {
        if self.settled {
            return sleep(self.timing.probe).await;
        }
        sleep(self.next).await;
        // A tenth more each time: a slow start is found a tenth late at the most.
        self.next = (self.next + self.next / 10).min(self.timing.probe);
    }
}
