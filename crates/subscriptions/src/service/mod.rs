//! The use cases: authorize, check, write spec and event. The only place, deliveries apart, that changes
//! subscriptions.

pub(crate) mod access;
mod dead_letters;
mod put;
pub(crate) mod send;

use std::sync::Arc;

use jiff::Timestamp;
use kernel::{
    Caller, Change, Document, Error, ErrorKind, Guard, Kind, NewEvent, Outbound, Outcome, Page,
    Query, Resource, Result, Secret, Store, anew,
};
use serde_json::json;

use self::access::{CHANGE, READ, target};
use crate::{
    Settings,
    model::{DeadLetter, Subscription},
    port::Customers,
};

/// The use cases, and what they work with. One for the whole process.
pub struct Subscriptions {
    store: Store,
    guard: Guard,
    customers: Arc<dyn Customers>,
    outbound: Outbound,
    settings: Settings,
}

/// A subscription that was written, with its secret where that was drawn: it is not shown again. It has
/// no `Debug`.
pub struct Written {
    /// The subscription.
    pub subscription: Resource<Subscription>,
    /// Whether it was made now.
    pub is_new: bool,
    /// What its receiver verifies signatures with.
    pub secret: Option<Secret>,
}

impl Subscriptions {
    /// Wires the use cases.
    pub fn new(
        store: Store,
        guard: Guard,
        customers: Arc<dyn Customers>,
        settings: Settings,
    ) -> Result<Self> {
        let outbound = Outbound::new(settings.reach.clone(), settings.patience)?;
        Ok(Self {
            store,
            guard,
            customers,
            outbound,
            settings,
        })
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn guard(&self) -> &Guard {
        &self.guard
    }

    pub(crate) fn customers(&self) -> &dyn Customers {
        self.customers.as_ref()
    }

    pub(crate) fn outbound(&self) -> &Outbound {
        &self.outbound
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Now, by the clock of the settings.
    pub(crate) fn now(&self) -> Timestamp {
        self.settings.clock.now()
    }

    /// A page of a team's subscriptions, or of the platform's, as far as the caller may see them. Their
    /// cursors are as they were noted last.
    pub async fn subscription_list(
        &self,
        caller: &Caller,
        team: &str,
        query: Query,
    ) -> Result<Page<Document>> {
        self.guard.expect_team(caller, team).await?;
        let query = Query {
            scope: Some(team.into()),
            ..query
        };
        let sees = |document: &Document| {
            let target = target(team, &document.meta.name);
            self.guard.allows(caller, READ, &target)
        };
        self.store
            .documents_seen(Subscription::KIND, &query, sees)
            .await
    }

    /// One subscription, as it is now.
    pub async fn subscription_show(
        &self,
        caller: &Caller,
        team: &str,
        name: &str,
    ) -> Result<Document> {
        let mut subscription = self.subscription_seen(caller, team, name).await?;
        let uid = subscription.meta.uid;
        let cursor = self.store.cursor(&Subscription::consumer(uid)).await?;
        let letters = self
            .store
            .keys(DeadLetter::KIND, Some(&uid.to_string()))
            .await?;
        subscription.status.cursor = cursor.max(subscription.spec.after);
        subscription.status.dead_letters = letters.len();
        subscription.document()
    }

    /// The subscription, for one who may see it; else there is none.
    async fn subscription_seen(
        &self,
        caller: &Caller,
        team: &str,
        name: &str,
    ) -> Result<Resource<Subscription>> {
        if !self.guard.allows(caller, READ, &target(team, name)) {
            return Err(Subscription::not_found(team, name));
        }
        self.store.expect(team, name).await
    }

    /// Removes a subscription with its dead letters: nothing is sent any more.
    pub async fn subscription_delete(
        &self,
        caller: &Caller,
        team: &str,
        name: &str,
        revision: Option<i64>,
    ) -> Result<()> {
        self.guard
            .require(caller, CHANGE, &target(team, name))
            .await?;
        let uid = anew(|| async {
            let subscription = self.store.expect::<Subscription>(team, name).await?;
            subscription.meta.require_revision(revision)?;
            let letters = Query::scope(subscription.meta.uid.to_string());
            let mut change = Change::new().by(caller);
            for letter in self.store.list_all::<DeadLetter>(&letters).await? {
                change.remove(&letter)?;
            }
            change.remove(&subscription)?;
            change.event(NewEvent::caused(
                "subscription.removed",
                subscription.key(),
                team,
                caller,
                Some(Outcome::Pass),
                json!({}),
            ));
            self.store.commit(change).await?;
            Ok::<_, Error>(subscription.meta.uid)
        })
        .await?;
        self.store.drop_cursor(&Subscription::consumer(uid)).await
    }

    /// Removes all subscriptions of a team, which is a customer no longer: asked again, it goes on.
    pub async fn remove_all_of(&self, caller: &Caller, team: &str) -> Result<()> {
        for subscription in self.store.keys(Subscription::KIND, Some(team)).await? {
            let gone = self.subscription_delete(caller, team, &subscription.name, None);
            match gone.await {
                // Somebody else was faster.
                Err(error) if error.kind == ErrorKind::NotFound => {}
                gone => gone?,
            }
        }
        Ok(())
    }
}
