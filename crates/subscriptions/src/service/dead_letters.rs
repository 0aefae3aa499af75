//! What could not be delivered: seen, sent again, given up.

use kernel::{
    Caller, Change, Document, Error, ErrorKind, EventFilter, Kind, NewEvent, Outcome, Page, Query,
    Resource, Result, anew,
};
use serde_json::json;

use super::{
    Subscriptions,
    access::{self, CHANGE, REPLAY, target},
    send::{Keys, Message, post},
};
use crate::model::{DeadLetter, Failure, Subscription};

impl Subscriptions {
    /// A page of a subscription's dead letters, for whoever may see it.
    pub async fn dead_letter_list(
        &self,
        caller: &Caller,
        team: &str,
        name: &str,
        query: Query,
    ) -> Result<Page<Document>> {
        let subscription = self.subscription_seen(caller, team, name).await?;
        let query = Query {
            scope: Some(subscription.meta.uid.to_string()),
            ..query
        };
        self.store.documents(DeadLetter::KIND, &query).await
    }

    /// Sends a dead letter once more, now. Taken, it is one no longer; `Unavailable` where it is not.
    pub async fn dead_letter_replay(
        &self,
        caller: &Caller,
        team: &str,
        name: &str,
        id: &str,
    ) -> Result<()> {
        self.guard
            .require(caller, REPLAY, &target(team, name))
            .await?;
        let (subscription, letter) = self.dead_letter(team, name, id).await?;
        let filter = EventFilter::default();
        let found = self.store.events(&filter, letter.spec.seq - 1, 1).await?;
        let event = found.into_iter().find(|event| event.seq == letter.spec.seq);
        let event = event.ok_or_else(|| Error::internal("an event has gone from the log", id))?;
        let is_owned = access::is_owned(self.customers(), team, subscription.spec.owner);
        if !is_owned || !access::sees(&self.guard, team, &event)? {
            return Err(
                Error::forbidden("the subscription may no longer see this event")
                    .remedy("discard the dead letter"),
            );
        }
        let since = subscription.status.secret_since;
        let now = self.now();
        let keys = Keys::read(&self.store, subscription.meta.uid, since, now).await?;
        let message = Message::new(&event)?;
        let sent = post(&self.outbound, &subscription.spec.url, &keys, &message, now).await;
        let Err(refusal) = sent else {
            return self
                .dead_letter_end(caller, team, name, id, "subscription.replayed")
                .await;
        };
        anew(|| async {
            let (_, mut letter) = self.dead_letter(team, name, id).await?;
            letter.status.attempts = letter.status.attempts.saturating_add(1);
            letter.status.last = Some(Failure {
                at: self.now(),
                event: event.entry(),
                reason: refusal.reason.clone(),
            });
            let mut change = Change::new().by(caller);
            change.status(&letter)?;
            self.store.commit(change).await.map(drop)
        })
        .await?;
        Err(
            Error::unavailable(format!("the event was not taken: {}", refusal.reason)).remedy(
                "mend the receiver, and replay it again; it stays a dead letter until then",
            ),
        )
    }

    /// Gives a dead letter up.
    pub async fn dead_letter_discard(
        &self,
        caller: &Caller,
        team: &str,
        name: &str,
        id: &str,
    ) -> Result<()> {
        self.guard
            .require(caller, CHANGE, &target(team, name))
            .await?;
        self.dead_letter(team, name, id).await?;
        self.dead_letter_end(caller, team, name, id, "subscription.discarded")
            .await
    }

    /// Removes a dead letter, which somebody else may have done meanwhile.
    async fn dead_letter_end(
        &self,
        caller: &Caller,
        team: &str,
        name: &str,
        id: &str,
        what: &str,
    ) -> Result<()> {
        anew(|| async {
            let (subscription, letter) = match self.dead_letter(team, name, id).await {
                Err(error) if error.kind == ErrorKind::NotFound => return Ok(()),
                found => found?,
            };
            let mut change = Change::new().by(caller);
            change.remove(&letter)?;
            change.event(NewEvent::caused(
                what,
                subscription.key(),
                team,
                caller,
                Some(Outcome::Pass),
                json!({ "event": letter.meta.name, "type": letter.spec.kind }),
            ));
            self.store.commit(change).await.map(drop)
        })
        .await
    }

    async fn dead_letter(
        &self,
        team: &str,
        name: &str,
        id: &str,
    ) -> Result<(Resource<Subscription>, Resource<DeadLetter>)> {
        let subscription = self.store.expect::<Subscription>(team, name).await?;
        let letters = subscription.meta.uid.to_string();
        let letter = self.store.get::<DeadLetter>(&letters, id).await?;
        let letter = letter.ok_or_else(|| {
            let id: String = id.chars().take(64).collect();
            Error::not_found(format!("dead letter `{}`", id.escape_debug())).remedy(format!(
                "`towpath subscription dead-letters {name}` lists those there are"
            ))
        })?;
        Ok((subscription, letter))
    }
}
