//! Workload identity: a token of a CI system for one of ours (RFC 8693).

use jiff::Timestamp;
use jsonwebtoken::dangerous::insecure_decode_claims;
use kernel::{
    Caller, Change, Error, Means, Name, NewEvent, Outcome, Query, Resource, Result, Secret, anew,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Identity, TokenAnswer, access::of_team, accounts::account_named, foreign::Expected};
use crate::{
    clock::after,
    model::{ServiceAccount, WorkloadTrust, WorkloadTrustSpec, unmet_rule},
    refusal::{Refusal, RefusalCode},
    settings::SKEW,
    verify::trust_token_session,
};

/// What is exchanged, and what is given.
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

#[derive(Deserialize)]
struct Peek {
    iss: String,
}

/// The claims that say whose token it is: of any issuer, of GitHub Actions, GitLab and CircleCI. The
/// others (branch, audience, actor) anybody's pipeline can have.
const IDENTIFYING: [&str; 12] = [
    "sub",
    "repository",
    "repository_id",
    "repository_owner",
    "repository_owner_id",
    "job_workflow_ref",
    "namespace_id",
    "namespace_path",
    "project_id",
    "project_path",
    "oidc.circleci.com/org-id",
    "oidc.circleci.com/project-id",
];

/// Whether asking for `pattern` in `claim` leaves out other people's tokens.
fn narrows(claim: &str, pattern: &str) -> bool {
    IDENTIFYING.contains(&claim) && pattern.chars().any(|c| !matches!(c, '*' | '/' | ':'))
}

/// Why no token is given for another.
enum Untaken {
    /// Nobody trusts it; what the account's team is told, where there is one.
    Refused(Option<Box<Told>>),
    Failed(Refusal),
}

impl<E: Into<Refusal>> From<E> for Untaken {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// What a team is told of a token that was not taken for its account.
struct Told {
    account: Resource<ServiceAccount>,
    issuer: String,
    reason: String,
}

impl Identity {
    /// Has a team trust tokens of another issuer, or changes which.
    pub async fn trust_put(
        &self,
        caller: &Caller,
        team: &str,
        name: &str,
        spec: WorkloadTrustSpec,
        revision: Option<i64>,
    ) -> Result<Resource<WorkloadTrust>> {
        self.may_change(caller, &of_team::<WorkloadTrust>(team, name))
            .await?;
        let (team, name) = (Name::new(team)?, Name::new(name)?);
        self.trust_check(&spec)?;
        anew(|| async {
            let mut change = Change::new().by(caller);
            let account = &spec.service_account;
            let stood = self.account_stood_for(team.as_str(), account).await?;
            let account = self
                .store
                .expect::<ServiceAccount>(team.as_str(), account)
                .await?;
            change.require(&account)?;
            change.after(&stood);
            let (written, _) = self
                .trust_into(&mut change, caller, (&team, &name), &spec, revision)
                .await?;
            self.store.commit(change).await?.resource(&written.key())
        })
        .await
    }

    /// Refuses what trusts everybody.
    pub(super) fn trust_check(&self, spec: &WorkloadTrustSpec) -> Result<()> {
        self.outbound.check(&spec.issuer)?;
        let mut claims = spec.claims.iter();
        if claims.any(|(claim, pattern)| narrows(claim, pattern)) {
            return Ok(());
        }
        Err(Error::invalid(
            "a trust names at least one claim that says whose token it is, by more than stars",
        )
        .remedy(format!(
            "say which repository or project, by one of {}: everybody's pipelines have tokens of this \
             issuer, and choose their own audience and branch",
            IDENTIFYING.join(", ")
        )))
    }

    /// Writes a trust, by team and name, into `change`; answers it, and whether it is new. Whoever calls has
    /// seen to it that its account is there.
    pub(super) async fn trust_into(
        &self,
        change: &mut Change,
        caller: &Caller,
        (team, name): (&Name, &Name),
        spec: &WorkloadTrustSpec,
        revision: Option<i64>,
    ) -> Result<(Resource<WorkloadTrust>, bool)> {
        let before = self
            .store
            .get::<WorkloadTrust>(team.as_str(), name.as_str())
            .await?;
        let mut trust =
            before.unwrap_or_else(|| Resource::new(team.as_str(), name.as_str(), spec.clone()));
        trust.meta.require_revision(revision)?;
        trust.spec = spec.clone();
        trust.meta.labels.insert("team".into(), team.to_string());
        let is_new = change.put(&trust)?;
        change.event(NewEvent::caused(
            "workload-trust.changed",
            trust.key(),
            team.as_str(),
            caller,
            Some(Outcome::Pass),
            json!({ "issuer": trust.spec.issuer, "serviceAccount": trust.spec.service_account }),
        ));
        Ok((trust, is_new))
    }

    /// Ends a trust, and with it, from the next call on, the tokens that were given for it. A trust that is
    /// made anew under its name is another.
    pub async fn trust_delete(
        &self,
        caller: &Caller,
        team: &str,
        name: &str,
        revision: Option<i64>,
    ) -> Result<()> {
        self.may_change(caller, &of_team::<WorkloadTrust>(team, name))
            .await?;
        anew(|| async {
            let trust = self.store.expect::<WorkloadTrust>(team, name).await?;
            trust.meta.require_revision(revision)?;
            let mut change = Change::new().by(caller);
            change.remove(&trust)?;
            change.event(NewEvent::caused(
                "workload-trust.removed",
                trust.key(),
                team,
                caller,
                Some(Outcome::Pass),
                json!({}),
            ));
            self.store.commit(change).await.map(drop)
        })
        .await?;
        self.view.current().await
    }

    /// A token for the service account `client_id`, for whoever shows a token that its team trusts.
    pub async fn token_exchange(
        &self,
        client_id: &str,
        subject_token: &Secret,
        subject_token_type: &str,
        address: &str,
    ) -> Result<TokenAnswer, Refusal> {
        if ![JWT, ID_TOKEN].contains(&subject_token_type) {
            return Err(Refusal::request(format!(
                "the subject_token_type must be `{JWT}` or `{ID_TOKEN}`"
            )));
        }
        let told = match self.exchanged(client_id, subject_token).await {
            Ok(answer) => return Ok(answer),
            Err(Untaken::Failed(refusal)) => return Err(refusal),
            Err(Untaken::Refused(told)) => told,
        };
        // The one answer to all tokens that are not taken, and for accounts that are not there.
        let refusal = Refusal::grant(format!(
            "`{}` takes no such token; the events of its team say why (`workload.refused`)",
            client_id.escape_debug()
        ));
        let refusal = self.secret_refused(refusal, address).await;
        // Whoever is held up is told of no more.
        if let (RefusalCode::InvalidGrant, Some(told)) = (refusal.code, told) {
            self.exchange_refused(*told).await?;
        }
        Err(refusal)
    }

    async fn exchanged(&self, client_id: &str, token: &Secret) -> Result<TokenAnswer, Untaken> {
        let token = token
            .text()
            .map_err(|_| Refusal::request("the subject_token is not a signed token"))?;
        let claimed: Peek = insecure_decode_claims(token)
            .map_err(|_| Refusal::request("the subject_token is not a signed token"))?;
        let (team, name) = account_named(client_id).ok_or_else(|| {
            Refusal::request("the client_id must name a service account: TEAM/NAME")
        })?;
        let mut trusts = self
            .store
            .list_all::<WorkloadTrust>(&Query::scope(team))
            .await?;
        trusts
            .retain(|trust| trust.spec.issuer == claimed.iss && trust.spec.service_account == name);
        let account = self.store.get::<ServiceAccount>(team, name).await?;
        let account = account.filter(|account| !account.spec.disabled && !trusts.is_empty());
        let Some(account) = account else {
            return Err(Untaken::Refused(None));
        };
        match self.judged(&trusts, &claimed.iss, token).await {
            Ok((trust, claims, end)) => {
                let answer = self.exchange_grant(&account, trust, &claims, end).await?;
                Ok(answer)
            }
            Err(refusal) if refusal.code == RefusalCode::InvalidGrant => {
                Err(Untaken::Refused(Some(Box::new(Told {
                    account,
                    issuer: claimed.iss,
                    reason: refusal.description,
                }))))
            }
            Err(other) => Err(other.into()),
        }
    }

    /// The trust that takes `token`, its claims, and when it ends. Whoever shows a token is told none of why it
    /// is refused: it may be anybody's.
    async fn judged<'t>(
        &self,
        trusts: &'t [Resource<WorkloadTrust>],
        issuer: &str,
        token: &str,
    ) -> Result<(&'t Resource<WorkloadTrust>, Map<String, Value>, Timestamp), Refusal> {
        // None is asked for keys but an issuer that somebody trusts.
        let expected = Expected {
            parameter: "subject_token",
            issuer,
            claims: &["iss", "sub", "aud", "exp"],
        };
        let token = self.foreign_token(&expected, token).await?;
        let end = Timestamp::from_second(token.seconds("exp").unwrap_or_default())
            .map_err(|_| Refusal::grant("the subject_token has no end that there is"))?;
        let mut why = String::new();
        for trust in trusts {
            let audience = trust
                .spec
                .audience
                .as_deref()
                .unwrap_or(&self.settings.issuer);
            if !token.is_for(audience) {
                why = format!("the token is not for the audience `{audience}`");
            } else if let Some(rule) = unmet_rule(&trust.spec.claims, &token.claims) {
                why = format!(
                    "the claim `{rule}` is not as the trust `{}` wants it",
                    trust.meta.name
                );
            } else {
                return Ok((trust, token.claims, end));
            }
        }
        Err(Refusal::grant(why))
    }

    /// Tells the account's team why a token was not taken.
    async fn exchange_refused(&self, told: Told) -> Result<()> {
        let account = &told.account;
        let caller = super::as_account(account, Means::Nothing);
        let mut change = Change::new().by(&caller);
        change.event(NewEvent::caused(
            "workload.refused",
            account.key(),
            &account.meta.scope,
            &caller,
            Some(Outcome::Fail),
            json!({ "issuer": told.issuer, "reason": told.reason }),
        ));
        self.store.commit(change).await.map(drop)
    }

    async fn exchange_grant(
        &self,
        account: &Resource<ServiceAccount>,
        trust: &Resource<WorkloadTrust>,
        claims: &Map<String, Value>,
        end: Timestamp,
    ) -> Result<TokenAnswer, Refusal> {
        let sid = trust_token_session(account.meta.uid, trust.meta.uid);
        let caller = super::as_account(account, Means::Trust(trust.meta.name.clone()));
        let mut change = Change::new().by(&caller);
        change.event(NewEvent::caused(
            "workload.logged-in",
            account.key(),
            &account.meta.scope,
            &caller,
            Some(Outcome::Pass),
            json!({ "trust": trust.meta.name, "issuer": trust.spec.issuer, "workload": claims.get("sub") }),
        ));
        self.store.commit(change).await?;
        // Good for as long as the job's own token, and a moment to use it.
        let until = after(end.max(self.clock.now()), SKEW);
        let answer = self.account_token(account, &sid, Some(until)).await?;
        Ok(TokenAnswer {
            issued_token_type: Some(ACCESS_TOKEN),
            ..answer
        })
    }
}
