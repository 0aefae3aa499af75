//! The use cases: ask whether the caller may, check, then let the store behind do it.

mod renew;
mod rotate;

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use kernel::{
    Action, Caller, CallerKind, Change, Error, ErrorKind, Guard, Key, Kind as _, Name, NewEvent,
    Outcome, Page, Result, Secret, Store, Target, bytes::fill_random,
};
use serde_json::json;

use crate::{
    api::{PutSecret, SecretsQuery},
    model::{Origin, SecretInfo, SecretName, SecretRef, TeamSecret},
    store::{SecretStore, Value, Write},
};

const READ: Action = Action::see("secret.read");
const WRITE: Action = Action::act("secret.write");
const DELETE: Action = Action::act("secret.delete");
const ROTATE: Action = Action::act("secret.rotate");
/// To be told a value.
const REVEAL: Action = Action::act("secret.reveal");

/// The longest value, in bytes: what still fits into an environment variable, and into Vault.
pub const LONGEST_VALUE: usize = 64 * 1024;

/// Random bytes of a value that the platform draws.
const GENERATED: std::ops::RangeInclusive<usize> = 16..=512;
/// The same where nobody says.
const USUAL: usize = 32;

/// The use cases, and what they work with. One for the whole process.
pub struct Secrets {
    store: Store,
    guard: Guard,
    values: Arc<dyn SecretStore>,
}

impl Secrets {
    /// Wires the use cases to where the values are.
    pub fn new(store: Store, guard: Guard, values: Arc<dyn SecretStore>) -> Self {
        Self {
            store,
            guard,
            values,
        }
    }

    /// Where the values are.
    pub fn values(&self) -> &Arc<dyn SecretStore> {
        &self.values
    }

    /// The platform's store: events, and what makes repeated requests harmless.
    pub fn store(&self) -> &Store {
        &self.store
    }

    async fn require(&self, caller: &Caller, action: Action, secret: &SecretRef) -> Result<()> {
        let target = target(secret.team.as_str(), secret.name.as_str());
        self.guard.require(caller, action, &target).await
    }

    /// Writes a secret's value, or has one drawn. A value that is the newest already is not written
    /// again, nor is one drawn where a drawn one is: the same asked twice is the same as once.
    pub async fn put(
        &self,
        caller: &Caller,
        secret: &SecretRef,
        put: PutSecret,
        expected: Option<u64>,
    ) -> Result<SecretInfo> {
        self.require(caller, WRITE, secret).await?;
        refuse_managed(caller, &secret.name, "written")?;
        let description = put.description;
        let (value, origin) = match (put.value, put.generate) {
            (Some(value), None) => (checked(value.decode()?)?, Origin::Written),
            (None, Some(bytes)) => (draw(bytes)?, Origin::Generated),
            _ => {
                return Err(
                    Error::invalid("a secret is given either `value` or `generate`")
                        .remedy("give the value, or say of how many random bytes to draw one"),
                );
            }
        };
        let before = self.values.info(secret).await?;
        if let Some(before) = before
            && before.origin == origin
            && expected.is_none_or(|expected| expected == before.version)
            && description
                .as_ref()
                .is_none_or(|new| *new == before.description)
        {
            let drawn = origin == Origin::Generated;
            if drawn || self.newest_is(secret, &value).await? {
                return Ok(before);
            }
        }
        let write = Write {
            value,
            description,
            origin,
            expected,
        };
        self.values.put(caller, secret, write).await
    }

    async fn newest_is(&self, secret: &SecretRef, value: &Secret) -> Result<bool> {
        let now = self.values.get(secret, None).await?;
        Ok(now.is_some_and(|now| kernel::secret::same(now.value.expose(), value.expose())))
    }

    /// What is known of a secret.
    pub async fn info(&self, caller: &Caller, secret: &SecretRef) -> Result<SecretInfo> {
        self.require(caller, READ, secret).await?;
        self.known(secret).await
    }

    async fn known(&self, secret: &SecretRef) -> Result<SecretInfo> {
        let found = self.values.info(secret).await?;
        found.ok_or_else(|| not_found(secret))
    }

    /// A page of what is known of a team's secrets, by name.
    pub async fn list(
        &self,
        caller: &Caller,
        team: &str,
        query: &SecretsQuery,
    ) -> Result<Page<SecretInfo>> {
        let limit = match query.limit {
            None | Some(0) => kernel::Query::DEFAULT_LIMIT,
            Some(limit) => limit.min(kernel::Query::MAX_LIMIT),
        };
        let path = query.path.as_deref().unwrap_or_default();
        let mut items = self.below(caller, team, path).await?;
        if let Some(after) = &query.after {
            items.retain(|secret| secret.name > *after);
        }
        let more = items.len() > limit;
        items.truncate(limit);
        let last = items.last().filter(|_| more);
        Ok(Page {
            next: last.map(|last| last.name.clone()),
            items,
        })
    }

    /// All secrets below a path that the caller may see, by name.
    async fn below(&self, caller: &Caller, team: &str, path: &str) -> Result<Vec<SecretInfo>> {
        let team = Name::new(team)?;
        let is_there = self.guard.expect_team(caller, team.as_str()).await;
        let all = target(team.as_str(), "");
        let mut found = Vec::new();
        if self.guard.allows(caller, READ, &all) {
            found = self.values.list(&team).await?;
        }
        // An operator keeps secrets for a team before it is onboarded, and sees them.
        if found.is_empty() {
            is_there?;
        }
        self.guard.require(caller, READ, &all).await?;
        found.retain(|secret| {
            SecretName::new(secret.name.as_str()).is_ok_and(|name| name.is_below(path))
                && self
                    .guard
                    .allows(caller, READ, &target(team.as_str(), &secret.name))
        });
        found.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(found)
    }

    /// A value. That somebody was told it is kept as an event before they are.
    pub async fn reveal(
        &self,
        caller: &Caller,
        secret: &SecretRef,
        version: Option<u64>,
    ) -> Result<Value> {
        self.require(caller, REVEAL, secret).await?;
        let found = self.values.get(secret, version).await?;
        let found = found.ok_or_else(|| match version {
            None => not_found(secret),
            Some(version) => Error::not_found(format!("version {version} of {}", called(secret)))
                .remedy("`towpath secret get` without --value lists the versions that do"),
        })?;
        let mut change = Change::new().by(caller);
        change.event(NewEvent::caused(
            "secret.revealed",
            key(secret),
            secret.team.as_str(),
            caller,
            Some(Outcome::Pass),
            json!({ "version": found.version }),
        ));
        self.store.commit(change).await?;
        Ok(found)
    }

    /// Removes a secret with all its versions.
    pub async fn delete(
        &self,
        caller: &Caller,
        secret: &SecretRef,
        expected: Option<u64>,
    ) -> Result<()> {
        self.require(caller, DELETE, secret).await?;
        refuse_managed(caller, &secret.name, "removed")?;
        if self.values.delete(caller, secret, expected).await? {
            Ok(())
        } else {
            Err(not_found(secret))
        }
    }
}

/// What rules are asked about; all of a team's where the name is empty.
fn target<'a>(team: &'a str, name: &'a str) -> Target<'a> {
    Target {
        kind: TeamSecret::KIND,
        scope: team,
        name,
        team,
        environment: None,
    }
}

/// What events of a secret are about.
pub(crate) fn key(secret: &SecretRef) -> Key {
    Key::of::<TeamSecret>(secret.team.as_str(), secret.name.as_str())
}

fn called(secret: &SecretRef) -> String {
    format!("secret `{}` of team `{}`", secret.name, secret.team)
}

/// There is no such secret.
pub(crate) fn not_found(secret: &SecretRef) -> Error {
    Error::not_found(called(secret)).remedy(format!(
        "`towpath secret list --team {}` lists those that do",
        secret.team
    ))
}

fn refuse_managed(caller: &Caller, name: &SecretName, what: &str) -> Result<()> {
    if !name.is_managed() || caller.kind == CallerKind::System {
        return Ok(());
    }
    Err(Error::conflict(format!(
        "what lies below `{}` is the platform's own, and is not {what} by others",
        SecretName::DEPLOY_CREDENTIALS
    ))
    .remedy("rotate it, or remove the service account whose keys it holds"))
}

fn checked(value: Secret) -> Result<Secret> {
    match value.expose().len() {
        0 => Err(Error::invalid("the value is empty").remedy("to remove a secret, delete it")),
        length if length > LONGEST_VALUE => Err(Error::new(
            ErrorKind::TooLarge,
            format!("the value is {length} bytes long: {LONGEST_VALUE} is the most"),
        )
        .remedy("keep what is larger encrypted in a bucket, and its key here")),
        _ => Ok(value),
    }
}

fn draw(bytes: usize) -> Result<Secret> {
    if !GENERATED.contains(&bytes) {
        return Err(
            Error::invalid(format!("a value of {bytes} random bytes cannot be drawn")).remedy(
                format!("ask for {} to {}", GENERATED.start(), GENERATED.end()),
            ),
        );
    }
    let mut random = vec![0; bytes];
    fill_random(&mut random)?;
    Ok(Secret::from(URL_SAFE_NO_PAD.encode(random)))
}
