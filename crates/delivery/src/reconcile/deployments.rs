//! Watches over a deployment until it has succeeded, or has returned to the last good one.

mod returning;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::StreamExt;
use jiff::{SignedDuration, Timestamp};
use kernel::{
    Cause, Change, Error, Key, Kind, NewEvent, Next, Outcome, Reconciler, Resource, Result,
    reconciler::Context,
};
use serde_json::json;

use super::last_lines;
use crate::{
    engine::{LogQuery, Phase, ReleaseState},
    model::{
        Deployment, DeploymentPhase, Environment, Failure, InstancePhase, NodeId, ResourceInstance,
        Workload, instance_name,
    },
    service::{Delivery, events, outputs},
};

/// When to look again where nothing happens.
const LOOK: Duration = Duration::from_secs(5);

/// So long, or as long as they have at all, deployments have from when this replica begins to reconcile: what the
/// store says of their workloads then is from before, and what got ready since has to be seen first.
const GRACE: Duration = Duration::from_secs(30);

/// Between two writes that tell nothing but what it waits for.
const TOLD: SignedDuration = SignedDuration::from_millis(200);

/// The reconciler of [`Deployment`].
pub struct Deployments(pub Arc<Delivery>);

#[async_trait]
impl Reconciler for Deployments {
    fn name(&self) -> &'static str {
        "deployments"
    }

    fn kind(&self) -> &'static str {
        Deployment::KIND
    }

    fn lane(&self, key: &Key) -> String {
        self.0.owners.of(&key.scope)
    }

    async fn survey(&self, context: &Context) -> Result<()> {
        self.0.owners.read(&context.store).await
    }

    async fn reconcile(&self, context: &Context, key: &Key) -> Result<Next> {
        let Some(deployment) = context
            .store
            .get::<Deployment>(&key.scope, &key.name)
            .await?
        else {
            return Ok(Next::Idle);
        };
        if deployment.status.phase.is_final() {
            return Ok(Next::Idle);
        }
        let environment = context.store.expect::<Environment>("", &key.scope).await?;
        Pass {
            delivery: &self.0,
            context,
            team: environment.spec.team,
            deployment,
        }
        .run()
        .await
    }
}

/// What is known of the whole, from a look at its parts.
enum Verdict {
    /// Still going, in this phase, waiting for these.
    Open(DeploymentPhase, Vec<String>),
    /// Everything is ready.
    Done,
    /// It will not get there.
    Failed(Failure),
    /// None of its workloads are set by it any more.
    Superseded,
}

/// One look at one deployment.
struct Pass<'a> {
    delivery: &'a Delivery,
    context: &'a Context,
    team: String,
    deployment: Resource<Deployment>,
}

impl Pass<'_> {
    async fn run(mut self) -> Result<Next> {
        if let Some(returning) = self.deployment.status.returning.clone() {
            return self.watch_return(&returning).await;
        }
        let now = self.delivery.now();
        let started = *self.deployment.status.started.get_or_insert(now);
        let left = self.left(started, now);
        match self.judge(left.is_zero()).await? {
            Verdict::Open(phase, waiting_for) => {
                let look = self.open(phase, waiting_for).await?;
                Ok(Next::After(left.min(look)))
            }
            Verdict::Done => self.succeed().await,
            Verdict::Failed(failure) => self.fail(failure).await,
            Verdict::Superseded => self.give_way().await,
        }
    }

    /// How much is left `now` of the time of what began when it `started`.
    fn left(&self, started: Timestamp, now: Timestamp) -> Duration {
        let timeout = Duration::from_secs(self.deployment.spec.timeout_seconds);
        let since = self.delivery.term.since(&self.context.fence, now);
        started
            .checked_add(timeout)
            .and_then(|deadline| Ok(deadline.max(since.checked_add(timeout.min(GRACE))?)))
            .map_or(Duration::ZERO, |deadline| {
                Duration::try_from(deadline.duration_since(now)).unwrap_or_default()
            })
    }

    async fn judge(&self, late: bool) -> Result<Verdict> {
        let workloads = self.delivery.workloads_of(&self.deployment).await?;
        if workloads.is_empty() {
            return Ok(Verdict::Superseded);
        }
        let (mut waiting, mut last) = (Vec::new(), None);
        for instance in self.instances(&workloads).await? {
            let Some(reason) = outputs::not_ready(&instance) else {
                continue;
            };
            if instance.status.phase == InstancePhase::Failed
                && instance.status.observed_generation == instance.meta.generation
            {
                return Ok(Verdict::Failed(create_failure(&instance)));
            }
            waiting.push(reason);
            // The one that has something to say explains more than the one that waits for it.
            if last.is_none() || !instance.status.message.is_empty() {
                last = Some(instance);
            }
        }
        if let Some(instance) = last {
            if late {
                return Ok(Verdict::Failed(create_failure(&instance)));
            }
            return Ok(Verdict::Open(DeploymentPhase::Creating, waiting));
        }
        let mut phase = DeploymentPhase::Observing;
        for workload in workloads {
            let status = &workload.status;
            let state = status.releases.get(&workload.spec.release);
            match state.map(|s| s.phase) {
                Some(Phase::Ready) if status.active_release == workload.spec.release => continue,
                Some(Phase::Failed) => {
                    return Ok(Verdict::Failed(self.run_failure(&workload, "deploy").await));
                }
                Some(_) if state.is_some_and(|state| state.lasting) => {
                    return Ok(Verdict::Failed(
                        self.run_failure(&workload, "observe").await,
                    ));
                }
                None | Some(Phase::Stopped) => phase = DeploymentPhase::Deploying,
                Some(_) => {}
            }
            if late {
                return Ok(Verdict::Failed(
                    self.run_failure(&workload, "observe").await,
                ));
            }
            let name = &workload.meta.name;
            waiting.push(match status.message.as_str() {
                "" => format!("workload {name}"),
                message => format!("workload {name}: {message}"),
            });
        }
        Ok(if waiting.is_empty() {
            Verdict::Done
        } else {
            Verdict::Open(phase, waiting)
        })
    }

    /// What `workloads` need: not what was for those alone that a later deployment has taken over.
    async fn instances(
        &self,
        workloads: &[Resource<Workload>],
    ) -> Result<Vec<Resource<ResourceInstance>>> {
        let graph = &self.deployment.spec.graph;
        let needed: BTreeSet<NodeId> = workloads
            .iter()
            .flat_map(|workload| graph.needed_by(&workload.meta.name))
            .collect();
        let mut found = Vec::new();
        for node in &needed {
            let name = instance_name(node);
            found.extend(
                self.context
                    .store
                    .get::<ResourceInstance>(&self.deployment.meta.scope, &name)
                    .await?,
            );
        }
        Ok(found)
    }

    /// Writes how far it is, and says when to look again where nothing happens.
    async fn open(&mut self, phase: DeploymentPhase, waiting_for: Vec<String>) -> Result<Duration> {
        let before = self.deployment.status.phase;
        let phase = if before.may_become(phase) {
            phase
        } else {
            before
        };
        let new = phase != before;
        if !new && self.deployment.status.waiting_for == waiting_for {
            return Ok(LOOK);
        }
        // By the machine's time, which the store dates what it writes by.
        let age = Timestamp::now().duration_since(self.deployment.meta.updated);
        if !new && age < TOLD {
            // What it waits for changes many times in a quick start, and each write would stand before
            // those that bring it on.
            return Ok(Duration::try_from(TOLD - age).unwrap_or_default());
        }
        self.deployment.status.phase = phase;
        self.deployment.status.waiting_for = waiting_for;
        let mut change = self.change();
        change.status(&self.deployment)?;
        if new {
            let what = match phase {
                DeploymentPhase::Creating => "deployment.creating",
                DeploymentPhase::Deploying => "deployment.deploying",
                _ => "deployment.observing",
            };
            change.event(self.event(
                what,
                None,
                json!({
                    "waitingFor": self.deployment.status.waiting_for,
                }),
            ));
        }
        self.context.store.commit(change).await?;
        Ok(LOOK)
    }

    async fn succeed(self) -> Result<Next> {
        let mut change = self.change();
        let released = self.delivery.settle(&mut change, &self.deployment).await?;
        let urls: Vec<_> = self
            .deployment
            .spec
            .plan
            .workloads
            .values()
            .filter_map(|w| w.url.clone())
            .collect();
        // As it was when policy was asked: the environment's may have changed since.
        let role = self.deployment.spec.policy_context["environment"]["role"].clone();
        let next = self
            .end(
                DeploymentPhase::Succeeded,
                change,
                "deployment.succeeded",
                Some(Outcome::Pass),
                json!({ "urls": urls, "role": role }),
            )
            .await?;
        Ok(if released {
            Next::After(Duration::ZERO)
        } else {
            next
        })
    }

    async fn fail(mut self, mut failure: Failure) -> Result<Next> {
        let mut change = self.change();
        let returned = self
            .delivery
            .restore_good(&mut change, &self.deployment)
            .await?;
        let Some(returned) = returned else {
            self.deployment.status.failure = Some(failure);
            return self.end_failed(change).await;
        };
        failure.returned_to = Some(returned.to());
        failure.brought_back.clone_from(&returned.brought_back);
        self.deployment.status.failure = Some(failure);
        if returned.brought_back.is_empty() {
            return self.end_rolled_back(change).await;
        }
        self.begin_return(change, returned).await
    }

    /// It failed, and no last good release serves in its place.
    async fn end_failed(self, change: Change) -> Result<Next> {
        let data = json!({ "failure": self.deployment.status.failure });
        let (phase, what) = (DeploymentPhase::Failed, "deployment.failed");
        self.end(phase, change, what, Some(Outcome::Fail), data)
            .await
    }

    /// It failed, and every workload that it set serves its last good release.
    async fn end_rolled_back(self, change: Change) -> Result<Next> {
        let data = json!({ "failure": self.deployment.status.failure });
        let (phase, what) = (DeploymentPhase::RolledBack, "deployment.rolled-back");
        self.end(phase, change, what, Some(Outcome::Fail), data)
            .await
    }

    async fn give_way(self) -> Result<Next> {
        let change = self.change();
        let (phase, what) = (DeploymentPhase::Superseded, "deployment.superseded");
        let (outcome, data) = match &self.deployment.status.failure {
            Some(failure) => (Some(Outcome::Fail), json!({ "failure": failure })),
            None => (None, json!({})),
        };
        self.end(phase, change, what, outcome, data).await
    }

    async fn end(
        mut self,
        phase: DeploymentPhase,
        mut change: Change,
        what: &str,
        outcome: Option<Outcome>,
        data: serde_json::Value,
    ) -> Result<Next> {
        self.deployment.status.phase = phase;
        self.deployment.status.waiting_for.clear();
        self.deployment.status.returning = None;
        self.deployment.status.finished = Some(self.delivery.now());
        change.status(&self.deployment)?;
        change.event(self.event(what, outcome, data));
        self.context.store.commit(change).await?;
        Ok(Next::Idle)
    }

    /// Step, workload, the system's own words, the last lines of the log, and what to do next.
    async fn run_failure(&self, workload: &Resource<Workload>, step: &str) -> Failure {
        let Resource { meta, spec, status } = workload;
        let state = status.releases.get(&spec.release);
        let said = match state.map(|s| s.message.as_str()).unwrap_or_default() {
            "" => status.message.as_str(),
            message => message,
        };
        let seconds = self.deployment.spec.timeout_seconds;
        let late = format!("it was not ready within {seconds} s");
        // What an engine knows to last, it has told in full.
        let ends = state.filter(|state| step == "observe" && !state.lasting);
        let message = match (said, ends.and_then(ends_of)) {
            ("", None) => late,
            (said, None) => said.to_owned(),
            (said, Some((ends, last))) if said.is_empty() || said == last => {
                format!("{late}: {ends}")
            }
            (said, Some((ends, _))) => format!("{late}: {ends}; {said}"),
        };
        Failure {
            step: step.into(),
            subject: format!("workload {}", meta.name),
            message,
            log: self.last_lines(workload).await,
            remedy: Some(format!(
                "see `towpath logs {} --env {}`, mend the workload and deploy again",
                meta.name, meta.scope
            )),
            returned_to: None,
            brought_back: Vec::new(),
            return_failure: None,
        }
    }

    async fn last_lines(&self, workload: &Resource<Workload>) -> Vec<String> {
        const LINES: usize = 20;
        const PATIENCE: Duration = Duration::from_secs(2);
        let Resource { meta, spec, .. } = workload;
        let query = LogQuery {
            release: Some(spec.release),
            tail: Some(LINES),
            ..LogQuery::default()
        };
        let lines = async {
            let engine = self.delivery.engine_of(&meta.scope).await?;
            let stream = engine.logs(&meta.scope, &meta.name, query).await?;
            Ok::<_, Error>(stream.take(LINES).collect::<Vec<_>>().await)
        };
        // A log that cannot be read must not keep the diagnosis back.
        let lines = tokio::time::timeout(PATIENCE, lines).await;
        let late = |_| {
            let waited = PATIENCE.as_secs();
            Err(Error::unavailable(format!(
                "it did not come within {waited} s"
            )))
        };
        let mut lines = match lines.unwrap_or_else(late) {
            Ok(lines) => lines,
            Err(error) => return vec![format!("(the log could not be read: {error})")],
        };
        let texts = lines.iter().map(|line| line.line.clone()).collect();
        match self.delivery.redact(&meta.scope, &meta.name, texts).await {
            Ok(texts) => {
                for (line, text) in lines.iter_mut().zip(texts) {
                    line.line = text;
                }
                last_lines::told(lines)
            }
            Err(error) => vec![format!("(the log is withheld: {error})")],
        }
    }

    fn change(&self) -> Change {
        events::change("deployments", self.deployment.spec.correlation)
            .fenced(self.context.fence.clone())
    }

    fn event(&self, what: &str, outcome: Option<Outcome>, data: serde_json::Value) -> NewEvent {
        NewEvent {
            kind: format!("{}{what}", NewEvent::PREFIX),
            subject: self.deployment.key(),
            team: self.team.clone(),
            cause: Cause::system("deployments", self.deployment.spec.correlation),
            outcome,
            data,
        }
    }
}

/// How often the container ended that ended most often, and how it did last; and what is said of the last end alone.
/// While it runs once more, nothing else tells of that.
fn ends_of(state: &ReleaseState) -> Option<(String, String)> {
    let again = state
        .containers
        .iter()
        .filter(|(_, seen)| seen.restarts > 0);
    let (name, seen) = again.max_by_key(|(_, seen)| seen.restarts)?;
    let how = seen.last_exit.as_deref()?;
    let times = seen.restarts.saturating_add(u32::from(!seen.running));
    let ends = format!("container {name} ended {times} times, last: {how}");
    Some((ends, format!("container {name}: {how}")))
}

fn create_failure(instance: &Resource<ResourceInstance>) -> Failure {
    let Resource { meta, spec, status } = instance;
    Failure {
        step: "create".into(),
        subject: format!("resource {}", spec.node),
        message: match status.message.as_str() {
            "" => "it was not made in time".into(),
            message => message.to_owned(),
        },
        log: Vec::new(),
        remedy: Some(status.remedy.clone().unwrap_or_else(|| {
            format!(
                "it is tried again by itself: see how by `towpath describe resource {} --env {}`, mend \
                 what it names and deploy again",
                meta.name, meta.scope
            )
        })),
        returned_to: None,
        brought_back: Vec::new(),
        return_failure: None,
    }
}
