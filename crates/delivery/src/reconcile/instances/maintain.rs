//! Looking after an instance that is as its spec says: what is no longer there is made again, old
//! credentials end, and a server that cannot be asked shows.

use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use kernel::{Next, Outcome, Result};
use serde_json::json;

use super::{
    Pass,
    lookout::{Server, Turn},
};
use crate::{
    model::{ResourceInstance, Workload},
    provisioner::{Presence, ProvisionError, Provisioner, Request},
    reconcile::BACKOFF,
    service::outputs,
};

/// What was seen so lately is not looked for again without a reason.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_mins(1);

/// A lookout notes that it has seen its instance no more often than this: a note is a write.
const NOTE_AGAIN: SignedDuration = SignedDuration::from_mins(5);

/// What of a ready instance cannot be done now.
enum Trouble {
    /// Its server cannot be asked whether it is there.
    Unreachable,
    /// Credentials of earlier rotations cannot be ended.
    Retirement,
}

impl Pass<'_> {
    /// Heals what is no longer there, and ends old credentials that nobody uses any more.
    pub(super) async fn maintain(
        self,
        provisioner: &dyn Provisioner,
        inputs: &outputs::Resolved,
    ) -> Result<Next> {
        if let Some(rest) = self.rest() {
            return Ok(Next::After(rest));
        }
        let status = &self.instance.status;
        let retire =
            status.oldest_rotation < self.instance.spec.rotation && self.users_have_moved().await?;
        let seen_lately = status
            .seen
            .is_some_and(|seen| Timestamp::now().duration_since(seen) <= LOOK_AGAIN);
        let turn = self.lookouts.turn(
            &Server::of(&self.instance),
            &self.instance.key(),
            Instant::now(),
        );
        if !retire && !self.is_in_trouble() {
            match turn {
                Turn::After(rest) => return Ok(Next::After(rest)),
                Turn::Never if seen_lately => return Ok(Next::Idle),
                Turn::Now | Turn::Never => {}
            }
        }
        let request = match self.request(inputs).await? {
            Ok(request) => request,
            Err(error) => return self.troubled(Trouble::Unreachable, error).await,
        };
        match self.presence(provisioner, &request).await {
            Presence::Present => {}
            Presence::Absent => return self.vanished(provisioner, &request, inputs).await,
            Presence::Unknown(error) => return self.troubled(Trouble::Unreachable, error).await,
        }
        if retire && let Err(error) = self.call(provisioner.retire(&request)).await {
            return self.troubled(Trouble::Retirement, error).await;
        }
        self.well(retire).await
    }

    /// Whether the last look at it, ready as it is, did not go well.
    fn is_in_trouble(&self) -> bool {
        self.instance.status.next_try.is_some()
    }

    /// It is there, and nothing is left to be done.
    async fn well(mut self, retired: bool) -> Result<Next> {
        let (server, key) = (Server::of(&self.instance), self.instance.key());
        self.lookouts.report(&server, &key, true, Instant::now());
        let now = Timestamp::now();
        let recovered = self.is_in_trouble();
        let status = &mut self.instance.status;
        let since = status.unreachable.take();
        let noted = status
            .seen
            .is_some_and(|seen| now.duration_since(seen) <= NOTE_AGAIN);
        status.seen = Some(now);
        status.message.clear();
        status.remedy = None;
        status.attempts = 0;
        status.next_try = None;
        let rotation = self.instance.spec.rotation;
        if retired {
            status.oldest_rotation = rotation;
        }
        let next = match self.lookouts.turn(&server, &key, Instant::now()) {
            Turn::After(rest) => Next::After(rest),
            Turn::Now | Turn::Never => Next::Idle,
        };
        let mut change = self.change();
        if recovered || retired {
            change.status(&self.instance)?;
        } else if !noted {
            change.note(&self.instance)?;
        }
        if let Some(since) = since {
            let data = json!({ "since": since });
            change.event(self.event("reachable", Some(Outcome::Pass), data));
        }
        if retired {
            let data = json!({ "rotation": rotation });
            change.event(self.event("credentials-retired", Some(Outcome::Pass), data));
        }
        if !change.is_empty() {
            self.context.store.commit(change).await?;
        }
        Ok(next)
    }

    /// It stays as it is, says what is the matter, and is tried again. Nothing is healed and nothing
    /// removed: what cannot be asked is neither there nor gone.
    async fn troubled(mut self, trouble: Trouble, error: ProvisionError) -> Result<Next> {
        let (server, key) = (Server::of(&self.instance), self.instance.key());
        let now = Timestamp::now();
        let status = &mut self.instance.status;
        let before = (status.unreachable.is_some(), status.message.clone());
        let what = match trouble {
            Trouble::Unreachable => {
                status.unreachable.get_or_insert(now);
                status.message = error.message;
                "unreachable"
            }
            Trouble::Retirement => {
                status.unreachable = None;
                status.message = format!("earlier credentials still work: {}", error.message);
                "retirement-failed"
            }
        };
        status.remedy = error.remedy;
        status.attempts = status.attempts.saturating_add(1);
        let rest = BACKOFF.after(status.attempts);
        status.next_try = now.checked_add(rest).ok();
        let is_news = before != (status.unreachable.is_some(), status.message.clone());
        let data = json!({
            "node": self.instance.spec.node,
            "message": status.message,
            "remedy": status.remedy,
        });
        let mut change = self.change();
        if is_news {
            change.status(&self.instance)?;
            change.event(self.event(what, Some(Outcome::Fail), data));
        } else {
            change.note(&self.instance)?;
        }
        self.context.store.commit(change).await?;
        let answers = matches!(trouble, Trouble::Retirement);
        if self.lookouts.report(&server, &key, answers, Instant::now()) && !answers {
            self.nudge_others_of(&server).await?;
        }
        Ok(Next::After(rest))
    }

    /// Has the other instances on `server` looked at: they cannot be asked after, either.
    async fn nudge_others_of(&self, server: &Server) -> Result<()> {
        let all = self
            .context
            .store
            .list_all::<ResourceInstance>(&kernel::Query::default())
            .await?;
        for other in all {
            if Server::of(&other) == *server && other.meta.uid != self.instance.meta.uid {
                self.context.nudge(other.key());
            }
        }
        Ok(())
    }

    /// Makes again what somebody removed by hand. The drift is recorded before it is healed.
    async fn vanished(
        self,
        provisioner: &dyn Provisioner,
        request: &Request,
        inputs: &outputs::Resolved,
    ) -> Result<Next> {
        let mut change = self.change();
        change.event(self.event(
            "drifted",
            Some(Outcome::Fail),
            json!({
                "message": "it is no longer there, although nobody asked Towpath to remove it",
                "holdsData": self.instance.spec.holds_data,
            }),
        ));
        self.context.store.commit(change).await?;
        let digest = self.instance.status.inputs_digest.clone();
        match self.call(provisioner.provision(request)).await {
            Ok(made) => {
                self.made(outputs::in_confidence(made, inputs), digest)
                    .await
            }
            Err(error) => self.failed(error).await,
        }
    }

    /// Whether every workload that uses it runs with the present credentials.
    async fn users_have_moved(&self) -> Result<bool> {
        for name in &self.instance.status.used_by {
            let Some(workload) = self
                .context
                .store
                .get::<Workload>(&self.instance.meta.scope, name)
                .await?
            else {
                continue;
            };
            let moved = workload.status.active_release == workload.spec.release
                && workload
                    .status
                    .releases
                    .keys()
                    .all(|r| *r == workload.spec.release);
            if !moved {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
