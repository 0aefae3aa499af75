//! Who is told of what happens.

use ::subscriptions::{
    api::{DrawnSecret, NewSubscription, WrittenSubscription},
    model::{DeadLetter, Subscription},
};
use kernel::{Page, Resource, http::PageQuery};
use reqwest::Method;

use crate::{Client, Result};

/// Whose subscriptions they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubscriptionsOf {
    /// A team's.
    Team(String),
    /// The platform's own.
    Platform,
}

impl SubscriptionsOf {
    fn path<'a>(&'a self, below: &[&'a str]) -> Vec<&'a str> {
        let base: &[&str] = match self {
            Self::Team(team) => &["teams", team, "subscriptions"],
            Self::Platform => &["platforms", "subscriptions"],
        };
        base.iter().chain(below).copied().collect()
    }
}

impl Client {
    /// `GET subscriptions`
    pub async fn subscriptions(
        &self,
        of: &SubscriptionsOf,
        page: &PageQuery,
    ) -> Result<Page<Resource<Subscription>>> {
        self.call(Method::GET, &of.path(&[]))
            .query(page)
            .page()
            .await
    }

    /// `GET subscriptions/{name}`
    pub async fn subscription(
        &self,
        of: &SubscriptionsOf,
        name: &str,
    ) -> Result<Resource<Subscription>> {
        self.call(Method::GET, &of.path(&[name])).resource().await
    }

    /// `PUT subscriptions/{name}`: makes it, or writes what it should be, at once. With `revision`, only while
    /// it is at that revision.
    ///
    /// # Errors
    /// `Conflict` also where the team has as many as it may, where it would begin elsewhere than it was made to, and
    /// where it was made for a former team of the same name.
    pub async fn put_subscription(
        &self,
        of: &SubscriptionsOf,
        name: &str,
        new: &NewSubscription,
        revision: Option<i64>,
    ) -> Result<WrittenSubscription> {
        self.call(Method::PUT, &of.path(&[name]))
            .if_match(revision)
            .json(new)
            .read()
            .await
    }

    /// `DELETE subscriptions/{name}`, with its dead letters, at once: nothing is sent from now on.
    pub async fn delete_subscription(&self, of: &SubscriptionsOf, name: &str) -> Result<()> {
        self.call(Method::DELETE, &of.path(&[name])).done().await
    }

    /// `POST subscriptions/{name}/secrets`: draws another secret, which is answered this once. What is sent is
    /// signed by both for a day.
    pub async fn draw_subscription_secret(
        &self,
        of: &SubscriptionsOf,
        name: &str,
    ) -> Result<DrawnSecret> {
        self.call(Method::POST, &of.path(&[name, "secrets"]))
            .read()
            .await
    }

    /// `GET subscriptions/{name}/dead-letters`
    pub async fn dead_letters(
        &self,
        of: &SubscriptionsOf,
        name: &str,
        page: &PageQuery,
    ) -> Result<Page<Resource<DeadLetter>>> {
        self.call(Method::GET, &of.path(&[name, "dead-letters"]))
            .query(page)
            .page()
            .await
    }

    /// `POST subscriptions/{name}/dead-letters/{event}/replay`: sends it once more, now; done where the receiver
    /// has taken it.
    ///
    /// # Errors
    /// `Unavailable` where the receiver has not taken it: the dead letter stays. `Forbidden` also where the
    /// subscription may no longer see the event.
    pub async fn replay_dead_letter(
        &self,
        of: &SubscriptionsOf,
        name: &str,
        event: &str,
    ) -> Result<()> {
        let path = of.path(&[name, "dead-letters", event, "replay"]);
        self.call(Method::POST, &path).done().await
    }

    /// `DELETE subscriptions/{name}/dead-letters/{event}`: gives it up, for ever and at once.
    pub async fn discard_dead_letter(
        &self,
        of: &SubscriptionsOf,
        name: &str,
        event: &str,
    ) -> Result<()> {
        let path = of.path(&[name, "dead-letters", event]);
        self.call(Method::DELETE, &path).done().await
    }
}
