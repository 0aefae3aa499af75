//! Making and changing a subscription, and drawing its secret.

use std::collections::BTreeSet;

use jiff::Timestamp;
use kernel::{
    Caller, Change, Error, Kind as _, Name, NewEvent, Outcome, Problem, Resource, Result, Secret,
    anew, secret::same,
};
use serde_json::json;
use uuid::Uuid;

use super::{
    Subscriptions, Written,
    access::{CHANGE, target},
};
use crate::{
    api::NewSubscription,
    model::{Subscription, SubscriptionSpec},
    pattern::Pattern,
    sign,
};

/// Types of events that one subscription names at the most.
const TYPES: usize = 64;
/// The longest address.
const LONGEST_URL: usize = 2000;

impl Subscriptions {
    /// Makes a subscription of a team, or of the platform where `team` is empty; or writes what one
    /// should be.
    pub async fn subscription_put(
        &self,
        caller: &Caller,
        team: &str,
        name: &str,
        new: NewSubscription,
        revision: Option<i64>,
    ) -> Result<Written> {
        self.guard
            .require(caller, CHANGE, &target(team, name))
            .await?;
        let name = Name::new(name)?;
        if !team.is_empty() {
            Name::new(team)?;
        }
        let types = self.checked(&new)?;
        let given = new.secret.map(Secret::from);
        if let Some(given) = &given {
            sign::key(given)?;
        }
        // One at a time: what is counted is what there is.
        let _making = self.making.lock().await;
        anew(|| async {
            let before = self.store.get::<Subscription>(team, name.as_str()).await?;
            let is_new = before.is_none();
            let owner = self.owner(team, before.as_ref())?;
            if is_new {
                self.has_room(team).await?;
            }
            if let (None, Some(revision)) = (&before, revision) {
                return Err(Error::conflict(format!(
                    "there is no subscription `{name}` at revision {revision}"
                ))
                .remedy("leave If-Match out to make one"));
            }
            let after = match &before {
                Some(before) => before.spec.after,
                None => match new.after {
                    Some(after) => after,
                    None => self.store.head().await?,
                },
            };
            if new.after.is_some_and(|asked| asked != after) {
                return Err(Error::conflict(format!(
                    "subscription `{name}` begins after {after}: where one begins stays as it was made"
                ))
                .remedy("make another subscription that begins elsewhere"));
            }
            let spec = SubscriptionSpec {
                description: new.description.clone(),
                types: types.clone(),
                url: new.url.clone(),
                enabled: new.enabled,
                after,
                created_by: match &before {
                    Some(before) => before.spec.created_by.clone(),
                    None => caller.subject.clone(),
                },
                owner,
            };
            let mut subscription = match before {
                Some(before) => before,
                None => Resource::new(team, name.as_str(), spec.clone()),
            };
            subscription.meta.require_revision(revision)?;
            subscription.spec = spec;
            if !team.is_empty() {
                let labels = &mut subscription.meta.labels;
                labels.insert(kernel::Meta::TEAM.into(), team.into());
            }
            let drawn = match (&given, is_new) {
                (None, true) => Some(sign::draw()?),
                _ => None,
            };
            let mut change = Change::new().by(caller);
            if let Some(secret) = given.as_ref().or(drawn.as_ref()) {
                self.seal(&mut change, &mut subscription, secret).await?;
            }
            if is_new {
                change.create(&subscription)?;
            } else {
                change.spec(&subscription)?;
            }
            told(&mut change, caller, &subscription, is_new);
            Ok(Written {
                subscription: self.store.commit(change).await?.resource(&subscription.key())?,
                is_new,
                secret: drawn,
            })
        })
        .await
    }

    /// Draws another secret, and answers it this once. What is sent is signed by both for a day, so that
    /// receivers may change over in their own time.
    pub async fn subscription_secret(
        &self,
        caller: &Caller,
        team: &str,
        name: &str,
    ) -> Result<Secret> {
        self.guard
            .require(caller, CHANGE, &target(team, name))
            .await?;
        anew(|| async {
            let mut subscription = self.store.expect::<Subscription>(team, name).await?;
            let secret = sign::draw()?;
            let mut change = Change::new().by(caller);
            self.seal(&mut change, &mut subscription, &secret).await?;
            change.status(&subscription)?;
            change.event(NewEvent::caused(
                "subscription.secret-drawn",
                subscription.key(),
                team,
                caller,
                Some(Outcome::Pass),
                json!({}),
            ));
            self.store.commit(change).await?;
            Ok(secret)
        })
        .await
    }

    /// The team that a subscription is written for; none: the platform.
    fn owner(&self, team: &str, before: Option<&Resource<Subscription>>) -> Result<Option<Uuid>> {
        if team.is_empty() {
            return Ok(None);
        }
        let owner = self.customers.team(team).ok_or_else(|| {
            Error::not_found(format!("team `{team}`"))
                .remedy("`towpath team list` lists those that are customers")
        })?;
        match before.filter(|before| before.spec.owner.is_some_and(|other| other != owner)) {
            Some(before) => Err(Error::conflict(format!(
                "subscription `{}` was made for a former team `{team}`, and is told nothing",
                before.meta.name
            ))
            .remedy("delete it, then make it anew")),
            None => Ok(Some(owner)),
        }
    }

    /// Refuses one more where a team has all that it may have.
    async fn has_room(&self, team: &str) -> Result<()> {
        let most = self.settings.per_team;
        if team.is_empty() || self.store.keys(Subscription::KIND, Some(team)).await?.len() < most {
            return Ok(());
        }
        Err(Error::conflict(format!(
            "team `{team}` has {most} subscriptions, and may have no more"
        ))
        .remedy(
            "delete one that is not needed, have one serve several receivers, or ask an operator to raise \
             `towpath up --team-subscriptions`",
        ))
    }

    /// Seals `secret` for the subscription; the one before it stays beside it.
    async fn seal(
        &self,
        change: &mut Change,
        subscription: &mut Resource<Subscription>,
        secret: &Secret,
    ) -> Result<()> {
        let uid = subscription.meta.uid;
        let former = self.store.secret(uid, Subscription::SECRET).await?;
        if let Some(former) = former {
            if same(former.expose(), secret.expose()) {
                return Ok(());
            }
            change.seal(uid, Subscription::FORMER_SECRET, former);
        }
        change.seal(uid, Subscription::SECRET, secret.clone());
        subscription.status.secret_since = Some(Timestamp::now());
        Ok(())
    }

    /// The types, each once; or everything that is wrong.
    fn checked(&self, new: &NewSubscription) -> Result<Vec<Pattern>> {
        let mut problems = Vec::new();
        let types: BTreeSet<&Pattern> = new.types.iter().collect();
        if types.is_empty() || types.len() > TYPES {
            let message = format!("between 1 and {TYPES} types of events are named");
            let remedy = "name those that are wanted; `*` for all";
            problems.push(Problem::new("subscription/types", "types", message).remedy(remedy));
        }
        let mut bad_url = |message: String, remedy: &str| {
            problems.push(Problem::new("subscription/url", "url", message).remedy(remedy));
        };
        match self.outbound.check(&new.url) {
            Ok(url) if !url.username().is_empty() || url.password().is_some() => bad_url(
                "the address has a user or a password in it".into(),
                "leave them out: a receiver knows us by the signature",
            ),
            Ok(_) if new.url.len() > LONGEST_URL => bad_url(
                format!("the address is longer than {LONGEST_URL} bytes"),
                "give a shorter one",
            ),
            Ok(_) => {}
            Err(error) => {
                let remedy = error.remedy.unwrap_or_default();
                bad_url(error.message, &remedy);
            }
        }
        if new.after.is_some_and(|after| after < 0) {
            problems.push(Problem::new(
                "subscription/after",
                "after",
                "it is negative",
            ));
        }
        if problems.is_empty() {
            return Ok(types.into_iter().cloned().collect());
        }
        Err(Error::problems(
            "the subscription is not as it should be",
            problems,
        ))
    }
}

fn told(change: &mut Change, caller: &Caller, subscription: &Resource<Subscription>, is_new: bool) {
    let what = if is_new {
        "subscription.created"
    } else {
        "subscription.changed"
    };
    change.event(NewEvent::caused(
        what,
        subscription.key(),
        &subscription.meta.scope,
        caller,
        Some(Outcome::Pass),
        // The address may have a secret in it.
        json!({ "types": subscription.spec.types, "enabled": subscription.spec.enabled }),
    ));
}
