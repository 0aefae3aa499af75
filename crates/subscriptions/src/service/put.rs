//! Making and changing a subscription, and drawing its secret.

use std::collections::{BTreeMap, BTreeSet};

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

/// The line of a team's subscriptions as they are made, named by the team: of two that were counted beside each
/// other, one is counted anew.
const MADE: &str = "team-subscribed";

/// A subscription as somebody may have it, and as one can be.
struct Wanted<'a> {
    team: &'a str,
    name: Name,
    new: &'a NewSubscription,
    /// Its types, each once.
    types: Vec<Pattern>,
    /// The revision that it must have by now, where that was said.
    revision: Option<i64>,
    /// Whether a secret that is drawn is shown to the caller.
    shown: bool,
}

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
        let wanted = self.wanted(caller, (team, name), &new, revision).await?;
        if let Some(given) = &new.secret {
            sign::key(&Secret::from(given.as_str()))?;
        }
        anew(|| async {
            let mut change = Change::new().by(caller);
            let made = self
                .subscription_into(&mut change, caller, &wanted, 0)
                .await?;
            Ok(Written {
                subscription: self
                    .store
                    .commit(change)
                    .await?
                    .resource(&made.subscription.key())?,
                ..made
            })
        })
        .await
    }

    /// Writes into `change` what a document says of a subscription under this name of `team`, of the platform where
    /// that is empty. `beside` counts those that the change makes already, by team. None: it is as it says. No
    /// document holds a secret: the one that there is stays, and where there was none one is drawn that is shown to
    /// nobody.
    pub async fn subscription_apply(
        &self,
        caller: &Caller,
        (team, name): (&str, &str),
        new: &NewSubscription,
        beside: &mut BTreeMap<String, usize>,
        change: &mut Change,
    ) -> Result<Option<bool>> {
        let wanted = Wanted {
            shown: false,
            ..self.wanted(caller, (team, name), new, None).await?
        };
        if new.secret.is_some() {
            return Err(Error::problems(
                "a document that is applied is kept where others read it",
                vec![
                    Problem::new("subscription/secret", "secret", "it holds no secret").remedy(
                        "leave it out, and draw one for the receiver: `towpath subscription secret NAME`",
                    ),
                ],
            ));
        }
        let before = self.store.get::<Subscription>(team, name).await?;
        // One that a former team has left is told nothing: it is not as it should be, whatever it says.
        self.owner(team, before.as_ref())?;
        if let Some(before) = &before {
            let spec = &before.spec;
            let asked = (&new.description, &wanted.types, &new.url, new.enabled);
            if asked == (&spec.description, &spec.types, &spec.url, spec.enabled)
                && new.after.is_none_or(|after| after == spec.after)
            {
                return Ok(None);
            }
        }
        let made = beside.entry(team.to_owned()).or_default();
        let written = self
            .subscription_into(change, caller, &wanted, *made)
            .await?;
        *made += usize::from(written.is_new);
        Ok(Some(written.is_new))
    }

    /// What `caller` wants, where they may, and it can be.
    async fn wanted<'a>(
        &self,
        caller: &Caller,
        (team, name): (&'a str, &str),
        new: &'a NewSubscription,
        revision: Option<i64>,
    ) -> Result<Wanted<'a>> {
        self.guard
            .require(caller, CHANGE, &target(team, name))
            .await?;
        let name = Name::new(name)?;
        if !team.is_empty() {
            Name::new(team)?;
        }
        Ok(Wanted {
            team,
            name,
            new,
            types: self.checked(new)?,
            revision,
            shown: true,
        })
    }

    /// Writes a subscription into `change`, which makes `beside` others of the same team already.
    async fn subscription_into(
        &self,
        change: &mut Change,
        caller: &Caller,
        wanted: &Wanted<'_>,
        beside: usize,
    ) -> Result<Written> {
        let Wanted {
            team,
            name,
            new,
            types,
            revision,
            shown,
        } = wanted;
        let (team, revision) = (*team, *revision);
        // Read before what is counted.
        let called = format!("the subscriptions of team `{team}`");
        let made = self.store.serial(MADE, team, called).await?;
        let before = self.store.get::<Subscription>(team, name.as_str()).await?;
        let is_new = before.is_none();
        let owner = self.owner(team, before.as_ref())?;
        if is_new {
            self.has_room(team, beside).await?;
        }
        if let (None, Some(revision)) = (&before, revision) {
            return Err(Error::conflict(format!(
                "there is no subscription `{name}` at revision {revision}"
            ))
            .remedy("leave If-Match out to make one")
            .unmatched());
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
        let mut subscription =
            before.unwrap_or_else(|| Resource::new(team, name.as_str(), spec.clone()));
        subscription.meta.require_revision(revision)?;
        subscription.spec = spec;
        if !team.is_empty() {
            let labels = &mut subscription.meta.labels;
            labels.insert(kernel::Meta::TEAM.into(), team.into());
        }
        let given = new.secret.as_deref().map(Secret::from);
        let drawn = match (&given, is_new) {
            (None, true) => Some(sign::draw()?),
            _ => None,
        };
        if let Some(secret) = given.as_ref().or(drawn.as_ref()) {
            self.seal(change, &mut subscription, secret).await?;
            subscription.status.secret_unseen = drawn.is_some() && !*shown;
        }
        change.put(&subscription)?;
        if is_new && !team.is_empty() {
            change.after(&made);
        }
        told(change, caller, &subscription, is_new);
        Ok(Written {
            subscription,
            is_new,
            secret: drawn,
        })
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
            subscription.status.secret_unseen = false;
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

    /// Refuses one more where a team has all that it may have, with those that are made `beside` it.
    async fn has_room(&self, team: &str, beside: usize) -> Result<()> {
        let most = self.settings.per_team;
        let there = self.store.keys(Subscription::KIND, Some(team)).await?;
        if team.is_empty() || there.len() + beside < most {
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
        subscription.status.secret_since = Some(self.now());
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
        for (index, one) in new.types.iter().enumerate() {
            if let Err(near) = one.expect_some(self.settings.words) {
                let message = format!("there are no events of a type `{one}`");
                let remedy = match near {
                    Some(near) => format!("did you mean `{near}`, as in `{near}.*`?"),
                    None => "write a type that docs/events.md names, `deployment.succeeded`, or `deployment.*`".into(),
                };
                problems.push(
                    Problem::new("subscription/types", format!("types[{index}]"), message)
                        .remedy(remedy),
                );
            }
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
                // Which option allows one is known here, and not where it is judged.
                let remedy = match error.remedy {
                    Some(_) => {
                        "give the receiver's public address; a private one must be in a network that the \
                         platform allows, by `towpath up --webhooks-allow CIDR`"
                    }
                    None => {
                        "give the whole address of the receiver: https://hooks.example.com/towpath"
                    }
                };
                bad_url(error.message, remedy);
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
