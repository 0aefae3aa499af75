//! Tokens checked in full, on every call: signature, algorithm, type, issuer, audience, times, and
//! whether whoever they name still has what they say.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use kernel::{Caller, CallerKind, Error, ErrorKind, Means, Result, Secret, http::Authenticator};
use uuid::Uuid;

use crate::{
    clock::Clock,
    jose::{
        claims::{ACCESS_TOKEN, AccessClaims, ID_TOKEN, IdClaims},
        provider,
    },
    settings::{SKEW, Settings},
    source::local::LOCAL,
    view::{Known, View},
};

/// The longest token that is looked at: room for some hundred teams.
const LONGEST: usize = 64 * 1024;

/// What access tokens are checked by.
pub struct Verifier {
    view: Arc<View>,
    clock: Clock,
    validation: Validation,
    /// `SOURCE:GROUP` each.
    admin_groups: Vec<String>,
}

/// An access token that is good, and whom it makes.
#[derive(Debug, Clone)]
pub struct Verified {
    /// What it says.
    pub claims: AccessClaims,
    /// The caller: a person's groups, an account's team. Which teams are registered, and so whose rights
    /// these give, is not for identity to say. Its correlation is that of nothing yet.
    pub caller: Caller,
}

impl Verifier {
    pub(crate) fn new(settings: &Settings, clock: Clock, view: Arc<View>) -> Result<Self> {
        provider::install()?;
        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_issuer(&[&settings.issuer]);
        validation.set_audience(&[&settings.audience]);
        validation.set_required_spec_claims(&["iss", "sub", "aud", "exp"]);
        // By our own clock, below.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        Ok(Self {
            view,
            clock,
            validation,
            admin_groups: settings.admin_groups.iter().map(|g| of_source(g)).collect(),
        })
    }

    /// Whom `token` makes; `Unauthenticated`, with the reason, where it is not good.
    pub async fn verify(&self, token: &str) -> Result<Verified> {
        let kid = kid_of(token)?;
        // What is forged is refused by the keys that are known: strangers do not make the platform ask its store.
        let known = self.key(&kid).map(|key| self.signed(token, &key));
        let known = known.transpose()?;
        self.view.current().await?;
        // It may have come from another replica meanwhile, or gone.
        let key = self.key(&kid).ok_or_else(forged)?;
        let claims = match known {
            Some(claims) => claims,
            None => self.signed(token, &key)?,
        };
        let now = self.clock.now().as_second();
        let skew = SKEW.as_secs() as i64;
        if claims.exp <= now - skew {
            return Err(refused("the token has expired"));
        }
        if claims.iat > now + skew {
            return Err(refused("the token is from the future: a clock is wrong"));
        }
        let known = self.view.known();
        if known.has_ended(&claims.sid) {
            return Err(refused("the session of this token was ended"));
        }
        let caller = self.caller(&claims, &known)?;
        drop(known);
        Ok(Verified { claims, caller })
    }

    /// The public key of this id, as far as it is known here.
    fn key(&self, kid: &str) -> Option<Arc<DecodingKey>> {
        self.view.known().keys.get(kid).cloned()
    }

    /// Signature, issuer and audience.
    fn signed(&self, token: &str, key: &DecodingKey) -> Result<AccessClaims> {
        decode::<AccessClaims>(token, key, &self.validation)
            .map(|data| data.claims)
            .map_err(|error| {
                use jsonwebtoken::errors::ErrorKind as Jwt;
                match error.kind() {
                    Jwt::InvalidIssuer => refused("the token is of another issuer"),
                    Jwt::InvalidAudience => refused("the token is for another audience"),
                    _ => forged(),
                }
            })
    }

    /// The claims of an ID token of ours, which may have expired: it only says whose session it was.
    pub(crate) fn id_token_hint(&self, token: &str) -> Result<IdClaims> {
        let forged = || refused("the id_token_hint is not one of this platform's");
        let header = decode_header(token).map_err(|_| forged())?;
        if header.typ.as_deref() != Some(ID_TOKEN) || token.len() > LONGEST {
            return Err(forged());
        }
        let kid = header.kid.as_deref().unwrap_or_default();
        let key = self
            .view
            .known()
            .keys
            .get(kid)
            .cloned()
            .ok_or_else(forged)?;
        let mut validation = self.validation.clone();
        // Whichever client it was for.
        validation.validate_aud = false;
        decode::<IdClaims>(token, &key, &validation)
            .map(|data| data.claims)
            .map_err(|_| forged())
    }

    /// Whom the claims make, by what is true now.
    fn caller(&self, claims: &AccessClaims, known: &Known) -> Result<Caller> {
        let signed = Timestamp::from_second(claims.iat)
            .map_err(|_| refused("the token's times are not readable"))?;
        let (source, id) = claims.sub.split_once(':').unwrap_or_default();
        let mut group_ids = BTreeMap::new();
        let mut means = Means::Login(claims.sid.clone());
        let (kind, groups, teams, environment) = match (claims.kind, source) {
            (CallerKind::Person, LOCAL) => {
                let groups = known
                    .local_groups(id)
                    .ok_or_else(|| refused("the token's user may not log in any more"))?;
                (CallerKind::Person, groups, vec![], None)
            }
            (CallerKind::Person, _) => {
                let mut groups = claims.groups.clone();
                groups.retain(|group| !known.is_withdrawn(claims, group, signed));
                group_ids.clone_from(&claims.group_ids);
                group_ids.retain(|name, _| groups.contains(name));
                (CallerKind::Person, groups, vec![], None)
            }
            (_, ACCOUNT) => {
                let account = known
                    .account(id)
                    .ok_or_else(|| refused("the token's service account is gone or disabled"))?;
                means = got_by(&claims.sid, id, account.uid, known)?;
                let teams = vec![account.team.clone()];
                (account.kind, vec![], teams, account.environment.clone())
            }
            _ => return Err(refused("the token names nobody")),
        };
        let operates = |group: &String| self.admin_groups.contains(&format!("{source}:{group}"));
        let admin = kind == CallerKind::Person && groups.iter().any(operates);
        Ok(Caller {
            subject: claims.sub.clone(),
            kind,
            groups,
            group_ids,
            teams,
            leads: vec![],
            environment,
            admin,
            means,
            reason: None,
            correlation: Uuid::nil(),
        })
    }
}

/// The id of the key that an access token says it is signed by; length, algorithm and type are right.
fn kid_of(token: &str) -> Result<String> {
    if token.len() > LONGEST {
        return Err(refused("the token is longer than any of this platform's"));
    }
    let header = decode_header(token).map_err(|_| forged())?;
    let is_access = header.typ.as_deref() == Some(ACCESS_TOKEN);
    if header.alg != Algorithm::RS256 || header.crit.is_some() {
        return Err(forged());
    }
    if !is_access {
        return Err(refused("the token is no access token"));
    }
    Ok(header.kid.unwrap_or_default())
}

fn forged() -> Error {
    refused("the token is not one of this platform's")
}

/// The session that ends with a key of an account: all that its tokens have in common.
pub(crate) fn key_session(key: &str) -> String {
    format!("{KEY}{key}")
}

/// The session of one token that was got by a key: it can end by itself.
pub(crate) fn key_token_session(key: &str) -> String {
    format!("{}.{}", key_session(key), Uuid::now_v7().simple())
}

/// The session of one token that was got by a trust, for an account: of no other trust and no other account,
/// if they are made anew under the same names.
pub(crate) fn trust_token_session(account: Uuid, trust: Uuid) -> String {
    let (account, trust) = (account.simple(), trust.simple());
    format!("{TRUST}{account}.{trust}.{}", Uuid::now_v7().simple())
}

const KEY: &str = "key.";
const TRUST: &str = "trust.";

/// By which means an account got the token of this session; refused where that is gone.
fn got_by(sid: &str, account: &str, uid: Uuid, known: &Known) -> Result<Means> {
    if let Some(rest) = sid.strip_prefix(KEY) {
        let key = rest.split_once('.').map_or(rest, |(key, _)| key);
        if known.has_ended(&key_session(key)) {
            return Err(refused("the key by which the token was got has ended"));
        }
        return Ok(Means::Key(key.into()));
    }
    let mut parts = sid
        .strip_prefix(TRUST)
        .into_iter()
        .flat_map(|s| s.split('.'));
    let mut next = || parts.next().and_then(|part| part.parse::<Uuid>().ok());
    let (of, trust) = (next(), next());
    if of != Some(uid) {
        return Err(refused("the token's service account is gone or disabled"));
    }
    let trust = trust.and_then(|trust| known.trust(trust));
    trust
        .filter(|trust| trust.account == account)
        .map(|trust| Means::Trust(trust.name.clone()))
        .ok_or_else(|| refused("the trust by which the token was got has ended"))
}

/// The `SOURCE:GROUP` that `[SOURCE:]GROUP` names: whoever runs another source says what groups it has, and
/// so gives no power here unless that source is named.
fn of_source(group: &str) -> String {
    if group.contains(':') {
        group.to_owned()
    } else {
        format!("{LOCAL}:{group}")
    }
}

/// What the subjects of service accounts begin with.
pub(crate) const ACCOUNT: &str = "account";

fn refused(why: &str) -> Error {
    Error::new(ErrorKind::Unauthenticated, why)
        .remedy("log in again: `towpath login`; a pipeline asks for a new token")
}

#[async_trait]
impl Authenticator for Verifier {
    async fn authenticate(&self, token: &Secret) -> Result<Caller> {
        let token = token
            .expose_str()
            .ok_or_else(|| refused("the bearer token is not text"))?;
        Ok(self.verify(token).await?.caller)
    }

    async fn changes(&self, place: i64) -> Result<Option<u64>> {
        self.view.changes(place).await.map(Some)
    }
}

/// Takes the local admin's token and access tokens alike.
pub struct Either<A> {
    admin: A,
    verifier: Arc<Verifier>,
}

impl<A: Authenticator> Either<A> {
    /// Access tokens, which have two dots, go to `verifier`; everything else to `admin`.
    pub fn new(admin: A, verifier: Arc<Verifier>) -> Self {
        Self { admin, verifier }
    }
}

#[async_trait]
impl<A: Authenticator> Authenticator for Either<A> {
    async fn authenticate(&self, token: &Secret) -> Result<Caller> {
        let parts = token.expose().split(|byte| *byte == b'.');
        let is_jwt = parts.count() == 3;
        if is_jwt {
            self.verifier.authenticate(token).await
        } else {
            self.admin.authenticate(token).await
        }
    }

    async fn changes(&self, place: i64) -> Result<Option<u64>> {
        self.verifier.changes(place).await
    }
}
