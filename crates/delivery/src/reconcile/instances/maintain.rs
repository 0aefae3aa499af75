//! Looking after an instance that is as its spec says: what is no longer there is made again, old
//! credentials end, and a server that cannot be asked shows.

use std::time::Duration;

use jiff::SignedDuration;
use kernel::{Change, Next, Outcome, Problem, Result};
use serde_json::json;

use super::{
    Pass,
    lookout::{Server, Turn},
};
use crate::{
    model::{InstancePhase, ResourceInstance, Workload},
    provisioner::{Presence, ProvisionError, Provisioner},
    reconcile::BACKOFF,
    service::{outputs, takeover::release_users},
};

/// What was seen so lately is not looked for again without a reason. A workload in trouble asks every
/// second: what it misses is made again soon, and a server does not notice who asks.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(10);

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
        let now = self.delivery.now();
        let status = &self.instance.status;
        let retire =
            status.oldest_rotation < self.instance.spec.rotation && self.users_have_moved().await?;
        let seen_lately = status
            .seen
            .is_some_and(|seen| now.duration_since(seen) <= LOOK_AGAIN);
        let (server, key) = (Server::of(&self.instance), self.instance.key());
        let turn = self.lookouts.turn(&server, &key, now);
        let lost = self.delivery.lost_route(&self.instance).await?;
        let words = lost.as_ref().map_or("", |lost| lost.message.as_str());
        let is_told = words == status.route_lost && words == status.message;
        if !retire && !self.is_in_trouble() && is_told {
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
            Presence::Changed(why) => return self.changed(why).await,
            Presence::Absent => return self.vanished().await,
            Presence::Unknown(error) => return self.troubled(Trouble::Unreachable, error).await,
        }
        if retire {
            let work = provisioner.retire(&request);
            if let Err(error) = self.call(provisioner, &request, work).await {
                return self.troubled(Trouble::Retirement, error).await;
            }
        }
        self.well(retire, lost).await
    }

    /// Whether the last look at it, ready as it is, did not go well.
    fn is_in_trouble(&self) -> bool {
        self.instance.status.next_try.is_some()
    }

    /// It is there, and nothing is left to be done, but for what people do about a route that is `lost`.
    async fn well(mut self, retired: bool, lost: Option<Problem>) -> Result<Next> {
        let (server, key) = (Server::of(&self.instance), self.instance.key());
        let now = self.delivery.now();
        let is_news = self.lookouts.report(&server, &key, true, now);
        let not_ended = if retired { self.not_ended() } else { None };
        let recovered = self.is_in_trouble();
        let status = &mut self.instance.status;
        let since = status.unreachable.take();
        let noted = status
            .seen
            .is_some_and(|seen| now.duration_since(seen) <= NOTE_AGAIN);
        status.seen = Some(now);
        let (message, remedy) = lost.map(|it| (it.message, it.remedy)).unwrap_or_default();
        let is_lost_anew = status.route_lost != message;
        let says_other = is_lost_anew || status.message != message;
        status.route_lost.clone_from(&message);
        status.message.clone_from(&message);
        status.remedy.clone_from(&remedy);
        status.attempts = 0;
        status.next_try = None;
        let rotation = self.instance.spec.rotation;
        if retired {
            status.oldest_rotation = rotation;
        }
        let next = match self.lookouts.turn(&server, &key, now) {
            Turn::After(rest) => Next::After(rest),
            Turn::Now | Turn::Never => Next::Idle,
        };
        let mut change = self.change();
        if recovered || retired || says_other {
            change.status(&self.instance)?;
        } else if !noted {
            change.note(&self.instance)?;
        }
        if let Some(since) = since {
            let data = json!({ "since": since });
            change.event(self.event("resource-instance.reachable", Some(Outcome::Pass), data));
        }
        if is_lost_anew && !message.is_empty() {
            let node = &self.instance.spec.node;
            let data = json!({ "node": node, "message": message, "remedy": remedy });
            change.event(self.event("resource-instance.route-lost", Some(Outcome::Fail), data));
        }
        if retired {
            let ended = not_ended.is_none();
            let data = json!({ "rotation": rotation, "ended": ended, "message": not_ended });
            change.event(self.event(
                "resource-instance.credentials-retired",
                Some(Outcome::Pass),
                data,
            ));
        }
        if !change.is_empty() {
            self.context.store.commit(change).await?;
        }
        if is_news {
            self.nudge_others_of(&server).await?;
        }
        Ok(next)
    }

    /// Why credentials of before the present rotation stay good though nobody uses them.
    fn not_ended(&self) -> Option<String> {
        let (oldest, present) = (
            self.instance.status.oldest_rotation,
            self.instance.spec.rotation,
        );
        (oldest..present).find_map(|one| self.delivery.not_ended_by_rotation(&self.instance, one))
    }

    /// It stays as it is, says what is the matter, and is tried again. Nothing is healed and nothing
    /// removed: what cannot be asked is neither there nor gone.
    async fn troubled(mut self, trouble: Trouble, error: ProvisionError) -> Result<Next> {
        let (server, key) = (Server::of(&self.instance), self.instance.key());
        let now = self.delivery.now();
        let status = &mut self.instance.status;
        let before = (status.unreachable.is_some(), status.message.clone());
        let what = match trouble {
            Trouble::Unreachable => {
                status.unreachable.get_or_insert(now);
                status.message = error.message;
                "resource-instance.unreachable"
            }
            Trouble::Retirement => {
                status.unreachable = None;
                status.message = format!("earlier credentials still work: {}", error.message);
                "resource-instance.retirement-failed"
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
        } else {
            change.note(&self.instance)?;
        }
        // A server that goes away says so in several ways, one after the other: that it is away is told once.
        let told = matches!(trouble, Trouble::Unreachable) && before.0;
        if is_news && !told {
            change.event(self.event(what, Some(Outcome::Fail), data));
        }
        self.context.store.commit(change).await?;
        let answers = matches!(trouble, Trouble::Retirement);
        if self.lookouts.report(&server, &key, answers, now) {
            self.nudge_others_of(&server).await?;
        }
        Ok(Next::After(rest))
    }

    /// Has the other instances on `server` looked at: what holds for one holds for them.
    pub(super) async fn nudge_others_of(&self, server: &Server) -> Result<()> {
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

    /// Records that somebody removed it by hand: the next look makes it again.
    async fn vanished(mut self) -> Result<Next> {
        self.instance.status.vanished = true;
        self.drifted("it is no longer there, although nobody asked Towpath to remove it".into())
            .await
    }

    /// Records that somebody changed it by hand: the next look brings it to what it should be.
    async fn changed(self, why: String) -> Result<Next> {
        self.drifted(format!(
            "it is no longer as it was made, although nobody asked Towpath to change it: {why}"
        ))
        .await
    }

    async fn drifted(mut self, message: String) -> Result<Next> {
        let status = &mut self.instance.status;
        status.phase = InstancePhase::Pending;
        status.message.clone_from(&message);
        let mut change = self.change();
        change.status(&self.instance)?;
        change.event(self.event(
            "resource-instance.drifted",
            Some(Outcome::Fail),
            json!({ "message": message, "holdsData": self.instance.spec.holds_data }),
        ));
        self.context.store.commit(change).await?;
        Ok(Next::After(Duration::ZERO))
    }

    /// After what held data was made again, empty: those who use it start anew, so that they set up
    /// in it what they need.
    pub(super) async fn roll_users(&self, change: &mut Change) -> Result<()> {
        let (store, correlation) = (&self.context.store, self.instance.spec.correlation);
        let everybody = |_: &str| false;
        let begun = release_users(store, change, &self.instance, correlation, everybody).await?;
        for (workload, release) in begun {
            let mut event = self.event(
                "workload.rolled",
                None,
                json!({
                    "release": release,
                    "message": format!("{} was made again", self.instance.spec.node),
                }),
            );
            event.subject = workload.key();
            change.event(event);
        }
        Ok(())
    }

    /// Whether no workload that uses it runs with earlier credentials.
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
            // A rotation begins a release of each: what is there of it, ready or not, has the present ones.
            let mut releases = workload.status.releases.keys();
            if !releases.all(|release| *release == workload.spec.release) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
