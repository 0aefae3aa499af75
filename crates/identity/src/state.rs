//! What identity remembers for a while: sealed records without history. See [`kernel::record`]. Those that
//! hold what opens a door have no `Debug`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kernel::Transient;
pub(crate) use kernel::secret::{digest, random_token};
use serde::{Deserialize, Serialize};

use crate::clock::after;

/// Somebody who has proved who they are, and their teams when that was last asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    /// Who: `SOURCE:ID`, never used again for anybody else.
    pub subject: String,
    /// What people call them.
    pub name: String,
    /// Their address, where the source has one.
    pub email: Option<String>,
    /// The source that knows them: `local`, or an upstream's name.
    pub source: String,
    /// Their groups.
    pub groups: Vec<String>,
    /// The lasting ids of those of them that have one, by name.
    #[serde(default)]
    pub group_ids: BTreeMap<String, String>,
    /// When the source was last asked for the groups.
    pub evaluated: Timestamp,
    /// Where the log ended before the source was asked: all that happened up to there, the answer is newer than.
    #[serde(default)]
    pub log_place: i64,
    /// When they proved who they are.
    pub at: Timestamp,
    /// Of a local user: how often logins were ended before this one.
    #[serde(default)]
    pub logins: u64,
    /// The record of what asks the upstream for their groups again: one for all sessions that began
    /// with this login, because an upstream may give another token at each use.
    pub upstream: Option<String>,
    /// The browser's own session, by the name of its record: it ends them together.
    pub browser: Option<String>,
    /// The session at the upstream that this login came of: the `sid` of its ID token, where it has one.
    #[serde(default)]
    pub upstream_sid: Option<String>,
}

/// What an upstream last said of one of its people, and which of their groups they have left since they were
/// first seen: who is merely not logged in has left nothing. Named by [`Person::name_of`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Person {
    /// Who: `SOURCE:ID`.
    pub subject: String,
    /// What people call them.
    pub name: String,
    /// Their address, where the source has one.
    pub email: Option<String>,
    /// The upstream.
    pub source: String,
    /// Their groups, each with its lasting id where it has one.
    pub groups: BTreeMap<String, Option<String>>,
    /// The groups that they were in, and are told to be out of, in the same way.
    pub left: BTreeMap<String, Option<String>>,
    /// Since when their source does not let them in. That may be no more than a token of its own that has
    /// ended, so that they come back: only after [`Person::RETURNS`] they have left all groups.
    pub refused: Option<Timestamp>,
    /// When the source said so.
    pub heard: Timestamp,
}

impl Person {
    /// Within what time whoever may still log in does so, once their session was refused: a day off is one.
    pub(crate) const RETURNS: std::time::Duration = std::time::Duration::from_hours(24);

    /// Their record's name, with which the names of their sessions begin.
    pub(crate) fn name_of(subject: &str) -> String {
        digest(subject)[..16].to_owned()
    }

    /// What a login tells; `before` is what was known.
    pub(crate) fn of(login: &Login, before: Option<&Self>) -> Self {
        let id = |name: &String| login.group_ids.get(name).cloned();
        let groups = login.groups.iter().map(|name| (name.clone(), id(name)));
        let mut person = Self {
            subject: login.subject.clone(),
            name: login.name.clone(),
            email: login.email.clone(),
            source: login.source.clone(),
            groups: groups.collect(),
            left: BTreeMap::new(),
            refused: None,
            heard: login.evaluated,
        };
        if let Some(before) = before {
            let was_in = before.left.iter().chain(&before.groups);
            let left = was_in.filter(|(name, id)| !is_among(&person.groups, name, id.as_deref()));
            person.left = left.map(|(name, id)| (name.clone(), id.clone())).collect();
        }
        person
    }

    /// Their source does not let them in any more.
    pub(crate) fn refused(self, at: Timestamp) -> Self {
        Self {
            refused: self.refused.or(Some(at)),
            heard: at,
            ..self
        }
    }

    /// Whether they were in this group, and are told to be out of it.
    pub(crate) fn has_left(&self, name: &str, id: Option<&str>, now: Timestamp) -> bool {
        let is_in = is_among(&self.groups, name, id);
        let is_out = self
            .refused
            .is_some_and(|at| after(at, Self::RETURNS) <= now);
        if is_in {
            is_out
        } else {
            is_among(&self.left, name, id)
        }
    }

    /// Whether they were in this group when their source last spoke of them.
    pub(crate) fn is_in(&self, name: &str, id: Option<&str>, now: Timestamp) -> bool {
        is_among(&self.groups, name, id) && !self.has_left(name, id, now)
    }

    /// Whether `other` says the same.
    pub(crate) fn says_as(&self, other: &Self) -> bool {
        let as_then = Self {
            heard: self.heard,
            ..other.clone()
        };
        *self == as_then
    }
}

/// Whether a group is one of these: by the lasting ids where both have one, else by name.
fn is_among(groups: &BTreeMap<String, Option<String>>, name: &str, id: Option<&str>) -> bool {
    groups.iter().any(|(known, of)| match (of.as_deref(), id) {
        (Some(of), Some(id)) => of == id,
        _ => known == name,
    })
}

impl Transient for Person {
    const KIND: &'static str = "person";
}

/// A program's lasting login: what its refresh tokens stand for. Named by its `sid`.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Session {
    pub login: Login,
    pub client_id: String,
    pub scope: String,
    pub created: Timestamp,
    pub last_used: Timestamp,
    /// Whether it is refreshed at all: `offline_access`.
    pub refreshable: bool,
    /// The newest refresh token's number; each is made from `seed` and its number.
    pub counter: u64,
    pub seed: String,
    /// When the newest refresh token took over.
    pub rotated: Timestamp,
}

impl Transient for Session {
    const KIND: &'static str = "session";
}

/// How a session is used, beside its own tokens. Named by its `sid`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SessionUse {
    /// When automation last called with it.
    pub automation: Timestamp,
}

impl Transient for SessionUse {
    const KIND: &'static str = "session-use";
}

/// A session that was ended before its access tokens: kept until they have ended. Named by its `sid`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct EndedSession {
    pub reason: String,
}

impl Transient for EndedSession {
    const KIND: &'static str = "ended-session";
}

/// A device that waits to be approved. Named by the digest of its device code.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct DeviceGrant {
    pub client_id: String,
    pub scope: String,
    pub user_code: String,
    /// When it last asked.
    pub polled: Option<Timestamp>,
    /// Seconds between two polls: grows by each that comes too soon.
    pub interval: u64,
    pub decision: Decision,
}

/// What became of a device's request.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(
    clippy::large_enum_variant,
    reason = "one at a time, and soon serialized"
)]
pub(crate) enum Decision {
    Pending,
    Approved(Login),
    Denied,
}

impl Transient for DeviceGrant {
    const KIND: &'static str = "device-grant";
}

/// Where a user code leads. Named by the code, without its hyphen.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct UserCode {
    pub device: String,
}

impl Transient for UserCode {
    const KIND: &'static str = "user-code";
}

/// An authorization code. Named by its digest.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct AuthorizationCode {
    pub request: AuthorizationRequest,
    pub login: Login,
    /// The session that was made of it: a second use ends that.
    pub used_for: Option<String>,
}

impl Transient for AuthorizationCode {
    const KIND: &'static str = "authorization-code";
}

/// What a program asked the authorization endpoint for, checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AuthorizationRequest {
    pub client_id: String,
    pub redirect_uri: String,
    pub scope: String,
    pub state: Option<String>,
    pub nonce: Option<String>,
    /// S256.
    pub challenge: String,
}

/// A login page that was shown. Named by the digest of what is in its address.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct LoginPage {
    pub then: Then,
    /// The digest of the cookie of the browser that it was shown to.
    pub cookie: String,
    /// In the page's form.
    pub csrf: String,
}

impl Transient for LoginPage {
    const KIND: &'static str = "login-page";
}

/// Where a login leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Then {
    /// Back to the program that asked.
    Authorize(AuthorizationRequest),
    /// To the approval of a device.
    Device { user_code: String },
}

/// Somebody who was sent to an upstream. Named by the digest of the `state` that comes back.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct UpstreamVisit {
    pub page: String,
    pub upstream: String,
    pub nonce: String,
    pub verifier: String,
}

impl Transient for UpstreamVisit {
    const KIND: &'static str = "upstream-visit";
}

/// What asks an upstream for somebody's groups: its access or refresh token. Named at random.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct UpstreamGrant {
    pub token: String,
    /// Until when one refresh alone uses it: an upstream may take a token that is used twice for stolen.
    #[serde(default)]
    pub taken_until: Option<Timestamp>,
}

impl Transient for UpstreamGrant {
    const KIND: &'static str = "upstream-grant";
}

/// A browser in which somebody has logged in. Named by the digest of its cookie.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Browser {
    pub login: Login,
}

impl Transient for Browser {
    const KIND: &'static str = "browser";
}

/// A logout token of an upstream that was heeded: each counts once. Named by the digest of the upstream and of
/// the token's `jti`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct HeededLogout {}

impl Transient for HeededLogout {
    const KIND: &'static str = "heeded-logout";
}

/// Attempts that failed. Named by the digest of what they are counted for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Attempts {
    pub failed: u32,
    /// When the next one may be made.
    pub next: Timestamp,
}

impl Transient for Attempts {
    const KIND: &'static str = "attempts";
}

/// Where the owner of an account has logged in with a password. Named by the digest of account and place.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct KnownPlace {}

impl Transient for KnownPlace {
    const KIND: &'static str = "known-place";
}

/// A member who was taken out of a team whose source cannot be asked at once: kept until every token
/// that still names the team has ended, those too that are signed while the source is away. Over before that in the
/// sessions of whoever is back ([`Login::log_place`]). Named by [`Withdrawal::name`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Withdrawal {
    pub subject: String,
    pub group: String,
    /// Tokens signed later are right again, where their session's source was asked later, too.
    pub at: Timestamp,
    /// Where the log ended after the source had said so: what it is asked later on is newer.
    #[serde(default = "Withdrawal::unplaced")]
    pub log_place: i64,
}

impl Withdrawal {
    /// Of one that was written before places were: nothing is known to be newer.
    pub(crate) fn unplaced() -> i64 {
        i64::MAX
    }

    pub(crate) fn name(subject: &str, group: &str) -> String {
        digest(format!("{subject}\n{group}"))
    }
}

impl Transient for Withdrawal {
    const KIND: &'static str = "withdrawal";
}
