//! Service accounts: a team's automation, with keys that overlap when they are rotated.

use std::collections::BTreeMap;

use kernel::{
    Caller, CallerKind, Change, Error, Name, NewEvent, Outcome, Query, Resource, Result, Secret,
    Serial, anew, secret::same,
};
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use super::{ClientCredentials, Identity, TokenAnswer, access::of_team, tokens::Signing};
use crate::{
    clock::after,
    model::{AccountKind, IssuedKey, ServiceAccount, ServiceAccountSpec, WorkloadTrust},
    refusal::{Refusal, RefusalCode},
    state::{digest, random_token},
    verify::{ACCOUNT, key_session, key_token_session},
};

/// The line of those who make a trust that stands for a service account, or remove the account because none
/// does. Named as the account is: `TEAM/NAME`.
const STOOD_FOR: &str = "account-stood-for";

/// What keys begin with, so that scanners of repositories know one.
const PREFIX: &str = "twk_";

/// A key that was drawn, whole, once: it is not kept. It has no `Debug`.
#[derive(Clone, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewKey {
    /// Names it.
    pub id: String,
    /// The `client_id` that goes with it.
    pub client_id: String,
    /// The `client_secret`.
    pub client_secret: String,
    /// The keys that are valid from now on, the newest first.
    pub valid: Vec<String>,
    /// The key that has ended because of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
}

/// The account that a `client_id` names: `TEAM/NAME`.
pub(super) fn account_named(client_id: &str) -> Option<(&str, &str)> {
    client_id
        .split_once('/')
        .filter(|(team, name)| !team.is_empty() && !name.is_empty())
}

fn slot_name(slot: u8) -> String {
    format!("key-{slot}")
}

/// Refuses what cannot be a service account.
pub(super) fn account_check(spec: &ServiceAccountSpec) -> Result<()> {
    let for_one = spec.environment.is_some();
    if for_one != (spec.kind == AccountKind::Deploy) {
        return Err(Error::invalid(
            "an account of kind `deploy`, and no other, names the environment that it deploys to",
        ));
    }
    Ok(())
}

impl Identity {
    /// Makes a service account of a team, or writes what one should be.
    pub async fn account_put(
        &self,
        caller: &Caller,
        team: &str,
        name: &str,
        spec: ServiceAccountSpec,
        revision: Option<i64>,
    ) -> Result<Resource<ServiceAccount>> {
        self.may_change(caller, &of_team::<ServiceAccount>(team, name))
            .await?;
        let (team, name) = (Name::new(team)?, Name::new(name)?);
        account_check(&spec)?;
        anew(|| async {
            let mut change = Change::new().by(caller);
            let (written, _) = self
                .account_into(&mut change, caller, (&team, &name), &spec, revision)
                .await?;
            self.store.commit(change).await?.resource(&written.key())
        })
        .await
    }

    /// Writes a service account, by team and name, into `change`; answers it, and whether it is new.
    pub(super) async fn account_into(
        &self,
        change: &mut Change,
        caller: &Caller,
        (team, name): (&Name, &Name),
        spec: &ServiceAccountSpec,
        revision: Option<i64>,
    ) -> Result<(Resource<ServiceAccount>, bool)> {
        let before = self
            .store
            .get::<ServiceAccount>(team.as_str(), name.as_str())
            .await?;
        let mut account =
            before.unwrap_or_else(|| Resource::new(team.as_str(), name.as_str(), spec.clone()));
        account.meta.require_revision(revision)?;
        if account.spec.kind != spec.kind || account.spec.environment != spec.environment {
            return Err(
                Error::conflict("what an account is for stays as it was made")
                    .remedy("make another account, and remove this one when nothing uses it"),
            );
        }
        account.spec = spec.clone();
        account.meta.labels.insert("team".into(), team.to_string());
        let is_new = change.put(&account)?;
        change.event(NewEvent::caused(
            if is_new {
                "service-account.created"
            } else {
                "service-account.changed"
            },
            account.key(),
            team.as_str(),
            caller,
            Some(Outcome::Pass),
            json!({ "disabled": account.spec.disabled }),
        ));
        Ok((account, is_new))
    }

    /// Removes a service account: its keys and its tokens end at once. Refused while a trust names it.
    pub async fn account_delete(
        &self,
        caller: &Caller,
        team: &str,
        name: &str,
        revision: Option<i64>,
    ) -> Result<()> {
        self.may_change(caller, &of_team::<ServiceAccount>(team, name))
            .await?;
        anew(|| async {
            let stood = self.account_stood_for(team, name).await?;
            let account = self.store.expect::<ServiceAccount>(team, name).await?;
            account.meta.require_revision(revision)?;
            let trusts = self
                .store
                .list_all::<WorkloadTrust>(&Query::scope(team))
                .await?;
            if let Some(trust) = trusts
                .iter()
                .find(|trust| trust.spec.service_account == name)
            {
                return Err(Error::conflict(format!(
                    "the trust `{}` stands for this account",
                    trust.meta.name
                ))
                .remedy("remove the trust first"));
            }
            let mut change = Change::new().by(caller);
            change.remove(&account)?;
            change.after(&stood);
            for key in &account.status.keys {
                self.session_mark_ended(
                    &mut change,
                    caller,
                    team,
                    &key_session(&key.id),
                    "account removed",
                )?;
            }
            change.event(NewEvent::caused(
                "service-account.removed",
                account.key(),
                team,
                caller,
                Some(Outcome::Pass),
                json!({}),
            ));
            self.store.commit(change).await?;
            self.view.current().await
        })
        .await
    }

    /// What whoever decides upon what stands for an account commits after, to be read before all else.
    pub(super) async fn account_stood_for(&self, team: &str, name: &str) -> Result<Serial> {
        let called = format!("what stands for service account `{name}` of team `{team}`");
        self.store
            .serial(STOOD_FOR, &format!("{team}/{name}"), called)
            .await
    }

    /// Draws a key. The one before it stays valid until the next rotation, when it ends with its
    /// tokens: a job that began with it goes on, and whoever keeps keys elsewhere has the time to
    /// store the new one.
    pub async fn account_rotate(&self, caller: &Caller, team: &str, name: &str) -> Result<NewKey> {
        self.may_change(caller, &of_team::<ServiceAccount>(team, name))
            .await?;
        anew(|| self.account_rotate_once(caller, team, name)).await
    }

    /// Draws a key that is no account's yet: for whoever keeps it first, and has it taken in by
    /// [`Identity::account_key_take`]. Its id, and the key.
    pub fn account_key_draw() -> Result<(String, Secret)> {
        let id = Uuid::now_v7().simple().to_string();
        let secret = format!("{PREFIX}{id}_{}", random_token()?);
        Ok((id, Secret::from(secret)))
    }

    /// Makes a key that was drawn before the newest of an account, as [`Identity::account_rotate`] does with
    /// one of its own. The same again changes nothing.
    pub async fn account_key_take(
        &self,
        caller: &Caller,
        team: &str,
        name: &str,
        id: &str,
        key: &Secret,
    ) -> Result<()> {
        self.may_change(caller, &of_team::<ServiceAccount>(team, name))
            .await?;
        anew(|| async {
            let account = self.store.expect::<ServiceAccount>(team, name).await?;
            if account.status.keys.iter().any(|known| known.id == id) {
                return Ok(());
            }
            let secret = key.text()?.to_owned();
            self.account_take(caller, account, id.to_owned(), secret)
                .await
                .map(drop)
        })
        .await
    }

    async fn account_rotate_once(&self, caller: &Caller, team: &str, name: &str) -> Result<NewKey> {
        let account = self.store.expect::<ServiceAccount>(team, name).await?;
        let id = Uuid::now_v7().simple().to_string();
        let secret = format!("{PREFIX}{id}_{}", random_token()?);
        self.account_take(caller, account, id, secret).await
    }

    async fn account_take(
        &self,
        caller: &Caller,
        mut account: Resource<ServiceAccount>,
        id: String,
        secret: String,
    ) -> Result<NewKey> {
        let (team, name) = (account.meta.scope.clone(), account.meta.name.clone());
        let slot = account.status.next_slot();
        let created = self.clock.now();
        let ended = account.status.rotate(IssuedKey {
            id: id.clone(),
            created,
            slot,
        });
        let mut change = Change::new().by(caller);
        change.status(&account)?;
        change.seal(
            account.meta.uid,
            slot_name(slot),
            Secret::from(digest(&secret)),
        );
        if let Some(ended) = &ended {
            let sid = key_session(&ended.id);
            self.session_mark_ended(&mut change, caller, &team, &sid, "key rotated")?;
        }
        let valid: Vec<_> = account
            .status
            .keys
            .iter()
            .map(|key| key.id.clone())
            .collect();
        let ended = ended.map(|key| key.id);
        change.event(NewEvent::caused(
            "service-account.rotated",
            account.key(),
            &team,
            caller,
            Some(Outcome::Pass),
            json!({ "key": id, "ended": ended }),
        ));
        self.store.commit(change).await?;
        self.view.current().await?;
        let client_id = format!("{team}/{name}");
        Ok(NewKey {
            id,
            client_id,
            client_secret: secret,
            valid,
            ended,
        })
    }

    /// Ends one key of an account, and its tokens, at once.
    pub async fn account_key_revoke(
        &self,
        caller: &Caller,
        team: &str,
        name: &str,
        key: &str,
    ) -> Result<()> {
        self.may_change(caller, &of_team::<ServiceAccount>(team, name))
            .await?;
        anew(|| async {
            let mut account = self.store.expect::<ServiceAccount>(team, name).await?;
            let before = account.status.keys.len();
            account.status.keys.retain(|kept| kept.id != key);
            if account.status.keys.len() == before {
                return Err(Error::not_found(format!(
                    "the key `{}`",
                    key.escape_debug()
                )));
            }
            let mut change = Change::new().by(caller);
            change.status(&account)?;
            let sid = key_session(key);
            self.session_mark_ended(&mut change, caller, team, &sid, "key revoked")?;
            change.event(NewEvent::caused(
                "service-account.key-revoked",
                account.key(),
                team,
                caller,
                Some(Outcome::Pass),
                json!({ "key": key }),
            ));
            self.store.commit(change).await?;
            self.view.current().await
        })
        .await
    }

    /// A token for a service account that proves itself by a key (RFC 6749, section 4.4).
    pub async fn client_credentials(
        &self,
        credentials: &ClientCredentials,
        address: &str,
    ) -> Result<TokenAnswer, Refusal> {
        if let Some((account, key)) = self.account_proved(credentials).await? {
            let sid = key_token_session(&key);
            return self.account_token(&account, &sid, None).await;
        }
        Err(self.account_refused(address).await)
    }

    /// What is answered to a key that is none, or none of that account's.
    pub(super) async fn account_refused(&self, address: &str) -> Refusal {
        let refusal = Refusal::new(
            RefusalCode::InvalidClient,
            "the client's id or its secret is wrong",
        );
        self.secret_refused(refusal, address).await
    }

    pub(super) async fn account_proved(
        &self,
        credentials: &ClientCredentials,
    ) -> Result<Option<(Resource<ServiceAccount>, String)>> {
        let Some(secret) = credentials.secret.as_ref().and_then(Secret::expose_str) else {
            return Ok(None);
        };
        let Some((team, name)) = account_named(&credentials.id) else {
            return Ok(None);
        };
        let id = secret
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split('_').next());
        let account = self.store.get::<ServiceAccount>(team, name).await?;
        let (Some(id), Some(account)) = (id, account.filter(|account| !account.spec.disabled))
        else {
            return Ok(None);
        };
        let Some(key) = account.status.keys.iter().find(|key| key.id == id).cloned() else {
            return Ok(None);
        };
        let kept = self
            .store
            .secret(account.meta.uid, &slot_name(key.slot))
            .await?;
        let good = kept
            .as_ref()
            .is_some_and(|kept| same(kept.expose(), digest(secret)));
        Ok(good.then_some((account, key.id)))
    }

    /// Signs a token for an account, of a session of its own; not beyond `until`, where that is said.
    pub(super) async fn account_token(
        &self,
        account: &Resource<ServiceAccount>,
        sid: &str,
        until: Option<jiff::Timestamp>,
    ) -> Result<TokenAnswer, Refusal> {
        let now = self.clock.now();
        let own = after(now, self.settings.lifetimes.access_token);
        let expires = until.map_or(own, |until| until.min(own));
        let id = format!("{}/{}", account.meta.scope, account.meta.name);
        let access_token = self
            .access_token(Signing {
                subject: &format!("{ACCOUNT}:{id}"),
                client_id: &id,
                sid,
                scope: "",
                kind: CallerKind::from(account.spec.kind),
                environment: account.spec.environment.clone(),
                name: None,
                groups: std::slice::from_ref(&account.meta.scope),
                group_ids: BTreeMap::new(),
                expires,
            })
            .await?;
        Ok(TokenAnswer {
            access_token,
            token_type: "Bearer",
            expires_in: u64::try_from(expires.as_second() - now.as_second()).unwrap_or(0),
            id_token: None,
            refresh_token: None,
            scope: String::new(),
            issued_token_type: None,
        })
    }
}
