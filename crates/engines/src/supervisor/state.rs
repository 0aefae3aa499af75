//! What a supervision sees, and what that means for the release.

use std::{collections::BTreeMap, net::SocketAddr};

use delivery::engine::{Before, ContainerState, Phase, ReleaseState};

use super::{Exit, Plan, Started};

/// A container as it is seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// What others see of it.
    pub(crate) state: ContainerState,
    /// It has ended with exit code 0, and others wait for that.
    pub(crate) complete: bool,
    /// Why it cannot start at all.
    pub(crate) cannot: Option<String>,
    /// Why it does not run or is not ready.
    pub(crate) why: String,
    /// Its readiness probe has succeeded since it last started. Without one nothing is known of it alone: a container
    /// of a release with ports counts as ready from its start.
    pub(crate) was_ready: bool,
    /// It counts as ready because it was found running, and was not asked since.
    pub(crate) presumed: bool,
    /// How it ends again and again, where that is known to go on.
    pub(crate) lasting: Option<String>,
}

/// A release as it is seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct View {
    /// Its containers.
    pub(crate) containers: BTreeMap<String, Seen>,
    /// Whether something listens on every port, since a container last started.
    pub(crate) served: bool,
    /// Why not.
    pub(crate) unserved: String,
    /// Whether it listens elsewhere, and is known to go on so.
    pub(crate) misplaced: bool,
    /// Whether it was ready at any time: what is wrong after that is not for a deployment to wait for.
    pub(crate) was_ready: bool,
    /// Where its ports are served.
    pub(crate) endpoints: BTreeMap<String, SocketAddr>,
}

impl View {
    /// Nothing seen yet.
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            containers: (plan.containers.keys())
                .map(|name| (name.clone(), Seen::default()))
                .collect(),
            endpoints: plan.endpoints.clone(),
            ..Self::default()
        }
    }

    pub(crate) fn container(&mut self, name: &str) -> &mut Seen {
        self.containers.entry(name.to_owned()).or_default()
    }

    pub(crate) fn started(&mut self, name: &str, started: Started, ready: bool) {
        let seen = self.container(name);
        let same = seen.state.handle.as_deref() == Some(&started.handle) && seen.state.running;
        seen.state.handle = Some(started.handle);
        seen.state.started = Some(started.at);
        seen.state.running = true;
        seen.state.ready = ready || (same && seen.state.ready);
        seen.presumed &= same;
        seen.cannot = None;
        seen.complete = false;
        seen.why.clear();
        if let Some(endpoints) = started.endpoints {
            self.endpoints = endpoints;
        }
        if !same {
            self.served = false;
            self.misplaced = false;
        }
    }

    /// The container was found running: whether it was ready is not known.
    pub(crate) fn found(&mut self, name: &str, found: Started, ready: bool) {
        let seen = self.container(name);
        let known = seen.state.handle.as_deref() == Some(&found.handle) && seen.state.running;
        self.started(name, found, ready);
        if !known {
            self.container(name).presumed = true;
        }
    }

    pub(crate) fn ended(&mut self, name: &str, exit: &Exit) {
        let seen = self.container(name);
        seen.state.running = false;
        seen.state.ready = false;
        seen.state.handle = None;
        seen.state.last_exit = Some(exit.to_string());
        seen.why = exit.to_string();
        seen.cannot = match exit {
            Exit::CannotStart(why) => Some(why.clone()),
            Exit::Unsupervised => Some(exit.to_string()),
            _ => None,
        };
        self.served = false;
        self.misplaced = false;
    }

    /// Whether everything runs, is well and is served.
    pub(crate) fn is_ready(&self, plan: &Plan) -> bool {
        let well = |seen: &Seen| seen.cannot.is_none() && (seen.state.ready || seen.complete);
        self.containers.values().all(well) && (self.served || plan.tcp.is_empty())
    }

    /// Whether `container` has come as far as `wanted`.
    pub(crate) fn reached(&self, container: &str, wanted: Before) -> bool {
        (self.containers.get(container)).is_some_and(|seen| match wanted {
            Before::Started => seen.state.running || seen.complete,
            Before::Healthy => seen.state.ready || seen.complete,
            Before::Complete => seen.complete,
        })
    }

    pub(crate) fn state(&self, plan: &Plan) -> ReleaseState {
        let (phase, message) = self.phase(plan);
        let cannot = phase == Phase::Failed;
        let goes_on = self.misplaced || self.containers.values().any(|it| it.lasting.is_some());
        ReleaseState {
            digest: plan.digest.clone(),
            phase,
            message,
            presumed: self.containers.values().any(|it| it.presumed),
            lasting: !self.was_ready && !self.is_ready(plan) && (cannot || goes_on),
            endpoints: self.endpoints.clone(),
            containers: (self.containers.iter())
                .map(|(name, seen)| (name.clone(), seen.state.clone()))
                .collect(),
        }
    }

    fn phase(&self, plan: &Plan) -> (Phase, String) {
        let told = |(name, why): (&String, &str)| format!("container {name}: {why}");
        let cannot =
            (self.containers.iter()).find_map(|(name, seen)| Some((name, seen.cannot.as_deref()?)));
        if let Some(cannot) = cannot {
            return (Phase::Failed, told(cannot));
        }
        if self.is_ready(plan) {
            return (Phase::Ready, String::new());
        }
        // While it runs once more there would be nothing to say.
        let lasting = (self.containers.iter())
            .filter(|_| !self.was_ready)
            .find_map(|(name, seen)| Some((name, seen.lasting.as_deref()?)));
        if let Some(lasting) = lasting {
            return (Phase::Restarting, told(lasting));
        }
        let unready: Vec<_> = (self.containers.iter())
            .filter(|(_, seen)| !seen.state.ready && !seen.complete)
            .collect();
        let mut reasons: Vec<String> = (unready.iter())
            .filter(|(_, seen)| !seen.why.is_empty())
            .map(|(name, seen)| told((name, &seen.why)))
            .collect();
        if !self.served && !self.unserved.is_empty() {
            reasons.push(self.unserved.clone());
        }
        let restarting = (self.containers.values())
            .any(|seen| !seen.complete && !seen.state.ready && seen.state.last_exit.is_some());
        let phase = if restarting {
            Phase::Restarting
        } else {
            Phase::Starting
        };
        (phase, reasons.join("; "))
    }
}
