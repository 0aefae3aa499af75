//! A provisioner that fails when it is told to, and an engine that runs nothing.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use futures::{StreamExt as _, stream::BoxStream};
use kernel::{Action, Authorizer, Caller, Problem, Ruling, Secret, Target};
use serde_json::{Map, Value, json};
use tokio::sync::{Barrier, broadcast};
use towpath_delivery::{
    Engine, Provisioner, Verifier,
    ending::Ends,
    engine::{
        ContainerState, EngineError, LogLine, LogQuery, Objection, Phase, Release, ReleaseRef,
        ReleaseState,
    },
    provisioner::{Claim, Description, Output, Presence, ProvisionError, Provisioned, Request},
    score::Workload,
    verify::Decision,
};
use uuid::Uuid;

/// Notes what ended with which environment, of which team; fails while it is told to.
#[derive(Default)]
pub struct Accounts {
    pub ended: Mutex<Vec<String>>,
    pub holds_on: Mutex<bool>,
}

#[async_trait]
impl Ends for Accounts {
    async fn end(&self, caller: &Caller, team: &str, name: &str) -> kernel::Result<()> {
        assert_eq!(caller.kind, kernel::CallerKind::System);
        if *self.holds_on.lock().unwrap() {
            return Err(kernel::Error::unavailable("identity is away"));
        }
        self.ended.lock().unwrap().push(format!("{team}/{name}"));
        Ok(())
    }
}

/// Keeps what it is asked to make in a list. Holds data; its `size` cannot change in place. One with a
/// `host` and a `path` wants these of the gateway.
#[derive(Default)]
pub struct Shelf {
    things: Mutex<BTreeMap<Uuid, Value>>,
    /// Every thing that was removed, as it was last made.
    removed: Mutex<Vec<Value>>,
    /// The error of every call, while there is one.
    fault: Mutex<Option<ProvisionError>>,
    /// Every instance that it was asked to remove.
    asked: Mutex<Vec<Uuid>>,
    /// Who makes something waits here for others who do.
    meeting: Mutex<Option<Arc<Barrier>>>,
}

impl Shelf {
    pub fn fails(&self, message: &'static str, retry: bool) {
        let error = if retry {
            ProvisionError::transient(message).remedy("wait")
        } else {
            ProvisionError::permanent(message).remedy("order more")
        };
        *self.fault.lock().unwrap() = Some(error);
    }

    /// Fails for now, and advises nothing.
    pub fn is_silent(&self, message: &'static str) {
        *self.fault.lock().unwrap() = Some(ProvisionError::transient(message));
    }

    /// Makes nothing before it is asked for so many at once.
    pub fn wants_at_once(&self, number: usize) {
        *self.meeting.lock().unwrap() = Some(Arc::new(Barrier::new(number)));
    }

    /// Somebody clears it by hand.
    pub fn burns(&self) {
        self.things.lock().unwrap().clear();
    }

    pub fn mends(&self) {
        *self.fault.lock().unwrap() = None;
    }

    /// The sizes of what is there.
    pub fn sizes(&self) -> Vec<Value> {
        self.things.lock().unwrap().values().cloned().collect()
    }

    pub fn removed(&self) -> Vec<Value> {
        self.removed.lock().unwrap().clone()
    }

    /// The instances that it was asked to remove, whether it could or not.
    pub fn asked_to_remove(&self) -> Vec<Uuid> {
        self.asked.lock().unwrap().clone()
    }

    fn check_fault(&self) -> Result<(), ProvisionError> {
        let fault = self.fault.lock().unwrap().clone();
        fault.map_or(Ok(()), Err)
    }
}

#[async_trait]
impl Provisioner for Shelf {
    fn name(&self) -> &'static str {
        "shelf"
    }

    fn describe(&self) -> Description {
        Description {
            summary: "A thing on a shelf.",
            outputs: &[("key", true), ("size", false)],
            holds_data: true,
            replaced_by: &["size"],
        }
    }

    fn check(&self, _: &Map<String, Value>) -> Vec<Problem> {
        Vec::new()
    }

    fn preview(&self, request: &Request) -> Option<Result<Provisioned, ProvisionError>> {
        let text = |name: &str| Some(request.params.get(name)?.as_str()?.to_owned());
        let claim = Claim {
            host: text("host")?,
            route: Some((text("path")?, "www".to_owned())),
        };
        Some(Ok(Provisioned {
            claims: vec![claim],
            ..Provisioned::default()
        }))
    }

    async fn provision(&self, request: &Request) -> Result<Provisioned, ProvisionError> {
        self.check_fault()?;
        let meeting = self.meeting.lock().unwrap().clone();
        if let Some(meeting) = meeting {
            meeting.wait().await;
        }
        let size = request.params["size"].clone();
        self.things
            .lock()
            .unwrap()
            .insert(request.uid, size.clone());
        Ok(Provisioned {
            outputs: BTreeMap::from([
                ("key".to_owned(), Output::Secret(Secret::from("key"))),
                ("size".to_owned(), Output::Plain(size)),
            ]),
            ..Provisioned::default()
        })
    }

    async fn retire(&self, _: &Request) -> Result<(), ProvisionError> {
        Ok(())
    }

    async fn remove(&self, request: &Request) -> Result<(), ProvisionError> {
        self.asked.lock().unwrap().push(request.uid);
        self.check_fault()?;
        let gone = self.things.lock().unwrap().remove(&request.uid);
        self.removed.lock().unwrap().extend(gone);
        Ok(())
    }

    async fn presence(&self, request: &Request) -> Presence {
        if self.things.lock().unwrap().contains_key(&request.uid) {
            Presence::Present
        } else {
            Presence::Absent
        }
    }

    async fn inventory(&self, _: Uuid) -> Result<Vec<String>, ProvisionError> {
        let things = self.things.lock().unwrap();
        Ok(things.keys().map(ToString::to_string).collect())
    }

    fn listed_as(&self, request: &Request) -> Option<String> {
        Some(request.uid.to_string())
    }
}

/// Runs whatever it is given at once, but for the images `broken`, which cannot start, `slow`, which does not get
/// ready, and `crashing`, which runs for the seventh time.
pub struct Stage {
    runs: Mutex<BTreeMap<ReleaseRef, ReleaseState>>,
    removed: Mutex<Vec<ReleaseRef>>,
    /// Whether nothing is removed.
    pub holds_on: Mutex<bool>,
    /// Whether `slow` gets ready after all.
    pub hurries: Mutex<bool>,
    changes: broadcast::Sender<ReleaseRef>,
}

impl Default for Stage {
    fn default() -> Self {
        Self {
            runs: Mutex::default(),
            removed: Mutex::default(),
            holds_on: Mutex::default(),
            hurries: Mutex::default(),
            changes: broadcast::channel(16).0,
        }
    }
}

impl Stage {
    /// The releases that run, as `WORKLOAD@RELEASE`.
    pub fn runs(&self) -> Vec<String> {
        let runs = self.runs.lock().unwrap();
        runs.keys()
            .map(|id| format!("{}@{}", id.workload, id.release))
            .collect()
    }

    pub fn removed(&self) -> Vec<u64> {
        self.removed
            .lock()
            .unwrap()
            .iter()
            .map(|id| id.release)
            .collect()
    }
}

#[async_trait]
impl Engine for Stage {
    fn name(&self) -> &'static str {
        "stage"
    }

    fn check(&self, _: &Workload) -> Vec<Objection> {
        Vec::new()
    }

    async fn machine_host(&self, _: &str) -> Result<String, EngineError> {
        Ok("127.0.0.1".into())
    }

    async fn apply(&self, release: &Release) -> Result<(), EngineError> {
        let runs = |image| (release.containers.values()).any(|container| container.image == image);
        let (phase, message) = if runs("broken") {
            (Phase::Failed, "container main: exit code 3")
        } else if runs("slow") && !*self.hurries.lock().unwrap() {
            (Phase::Starting, "container main: not ready")
        } else if runs("crashing") {
            (Phase::Restarting, "")
        } else {
            (Phase::Ready, "")
        };
        let endpoint = |name: &String| (name.clone(), SocketAddr::from(([127, 0, 0, 1], 9)));
        let crashing = || ContainerState {
            running: true,
            restarts: 6,
            last_exit: Some("exit code 3".into()),
            ..ContainerState::default()
        };
        let crashed = runs("crashing").then(|| ("main".to_owned(), crashing()));
        let state = ReleaseState {
            lasting: false,
            presumed: false,
            digest: release.digest.clone(),
            phase,
            message: message.into(),
            endpoints: release.ports.keys().map(endpoint).collect(),
            containers: crashed.into_iter().collect(),
        };
        self.runs.lock().unwrap().insert(release.id.clone(), state);
        Ok(())
    }

    async fn observe(&self, id: &ReleaseRef) -> Result<Option<ReleaseState>, EngineError> {
        Ok(self.runs.lock().unwrap().get(id).cloned())
    }

    async fn remove(&self, id: &ReleaseRef, _: Duration) -> Result<(), EngineError> {
        if *self.holds_on.lock().unwrap() {
            return Err(EngineError {
                message: "the stage holds on to it".into(),
                remedy: None,
                retry: true,
            });
        }
        if self.runs.lock().unwrap().remove(id).is_some() {
            self.removed.lock().unwrap().push(id.clone());
        }
        Ok(())
    }

    async fn forget(&self, _: &str, _: &str) -> Result<(), EngineError> {
        Ok(())
    }

    async fn environment_of(
        &self,
        _: SocketAddr,
        _: SocketAddr,
    ) -> Result<Option<String>, EngineError> {
        Ok(None)
    }

    async fn list(&self) -> Result<Vec<ReleaseRef>, EngineError> {
        Ok(self.runs.lock().unwrap().keys().cloned().collect())
    }

    async fn logs(
        &self,
        _: &str,
        _: &str,
        query: LogQuery,
    ) -> Result<BoxStream<'static, LogLine>, EngineError> {
        let line = LogLine {
            release: query.release.unwrap_or_default(),
            container: "main".into(),
            stream: "stderr".into(),
            time: None,
            line: "no such table".into(),
        };
        Ok(futures::stream::iter([line]).boxed())
    }

    fn changes(&self) -> broadcast::Receiver<ReleaseRef> {
        self.changes.subscribe()
    }
}

/// Allows everything.
pub struct Lenient;

#[async_trait]
impl Verifier for Lenient {
    async fn verify(&self, _: &Value) -> kernel::Result<Decision> {
        let allowed = json!({ "allowed": true });
        Ok(serde_json::from_value(allowed).unwrap())
    }

    fn sources(&self) -> Vec<(String, String)> {
        Vec::new()
    }
}

/// Whoever operates the platform may do everything, and nobody else anything.
pub struct Operators;

impl Authorizer for Operators {
    fn decide(&self, caller: &Caller, _: Action, _: &Target<'_>) -> Ruling {
        Ruling {
            allowed: caller.admin,
            ..Ruling::default()
        }
    }

    fn sources(&self) -> Vec<(String, String)> {
        Vec::new()
    }
}
