//! Automation that hangs on a person: what calls with somebody's login, and what would break if they
//! left. Told is what is known; what cannot be known is said beside it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use kernel::{
    Caller, CallerKind, Change, Key, Kind as _, Query, Record, Result, Secret, Store, Target, anew,
};
use serde::Serialize;

use super::{
    Identity,
    oversight::{PersonalSession, expect_subject},
    registered::PersonalCredential,
    sessions::sessions_of,
    told::caused,
};
use crate::{
    clock::after,
    model::{ServiceAccount, WorkloadTrust},
    state::{Session, SessionUse},
};

/// How often a session that automation calls with is written down anew: a job calls a hundred times.
const AGAIN: Duration = Duration::from_hours(1);

/// Sessions that are remembered as written down, at the most.
const REMEMBERED: usize = 4096;

/// What this cannot tell, for whoever decides by it.
const UNKNOWN: [&str; 3] = [
    "A program that calls with a person's token and does not say so in its User-Agent is not told from \
     the person: towpath does where CI is set, others by `(ci)`.",
    "Copies of tokens and keys that somebody has kept are not known.",
    "What the person has made at other tools is not known, but for the credentials that the register of tools \
     names.",
];

/// When sessions were last written down as automation's, on this replica.
#[derive(Default)]
pub(super) struct Noted(Mutex<HashMap<String, Timestamp>>);

/// Automation that calls with people's logins.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct AutomationReport {
    /// The logins, by person.
    pub items: Vec<PersonalSession>,
    /// People's credentials by which automation reaches other tools.
    pub tools: Vec<PersonalCredential>,
    /// What cannot be told.
    pub unknown: Vec<String>,
}

/// What hangs on one person.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Departure {
    /// Who.
    pub subject: String,
    /// Their logins: they end with them, and so does whatever calls with one.
    pub ends: Vec<PersonalSession>,
    /// Their credentials at other tools, which may end with them, and so does the automation that calls there
    /// with one.
    pub tools: Vec<PersonalCredential>,
    /// Keys that they drew, and have seen: these go on. Rotate them twice.
    pub seen: Vec<SeenKey>,
    /// Secrets that they were told or wrote, of which that value is the present one or is still in use, deploy
    /// credentials' keys with them: these go on. Rotate them.
    pub told: Vec<Told>,
    /// What they made, or were the last to change, and that is still there: it is their team's, and goes
    /// on.
    pub stays: Vec<Made>,
    /// Webhooks that they made: these go on sending, to where they said, signed by a secret that they have
    /// seen.
    pub webhooks: Vec<Webhook>,
    /// What cannot be told.
    pub unknown: Vec<String>,
}

/// A subscription that somebody made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Webhook {
    /// Whose events it sends; empty: the platform's.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub team: String,
    /// Its name.
    pub name: String,
    /// Where it sends them.
    pub url: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

/// The port to what sends events on.
#[async_trait]
pub trait Webhooks: Send + Sync + 'static {
    /// Those that `subject` made, and that are still there.
    async fn made_by(&self, subject: &str) -> Result<Vec<Webhook>>;
}

/// A valid key of a service account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SeenKey {
    /// `TEAM/NAME`.
    pub account: String,
    /// The key's name.
    pub key: String,
    /// When it was drawn.
    #[schema(value_type = String, format = DateTime)]
    pub drawn: Timestamp,
}

/// A value that somebody was told or wrote, and that is still worth something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// What it is of: `TeamSecret`, `ResourceInstance`, or the `Remnant` of one that was given up.
    pub kind: String,
    /// What its name is unique in: a team, an environment.
    pub scope: String,
    /// Its name.
    pub name: String,
    /// Whose it is.
    pub team: String,
    /// When they were told it last, or wrote it.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

/// Something that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Made {
    /// Its kind: `Environment`, `ServiceAccount`, `WorkloadTrust`.
    pub kind: String,
    /// What its name is unique in.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub scope: String,
    /// Its name.
    pub name: String,
    /// Whose it is.
    pub team: String,
    /// When they did it.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

/// Events that say who made a thing that goes on without them.
const MAKING: [&str; 4] = [
    "environment.created",
    "service-account.created",
    "service-account.changed",
    "workload-trust.changed",
];

/// Automation that hangs on people, or on one.
pub(super) fn on_people(subject: &str) -> Target<'_> {
    Target {
        kind: "Automation",
        name: subject,
        ..Target::default()
    }
}

impl Identity {
    /// Notes that automation has called with a token, where that is a person's.
    pub(crate) async fn automation_seen(&self, token: &Secret) {
        if let Err(error) = self.automation_note(token).await {
            tracing::warn!(
                chain = error.chain(),
                "that automation calls with a person's login was not written down"
            );
        }
    }

    async fn automation_note(&self, token: &Secret) -> Result<()> {
        let Ok(verified) = self.verifier.verify(token.text()?).await else {
            return Ok(());
        };
        if verified.caller.kind != CallerKind::Person {
            return Ok(());
        }
        let (sid, now) = (verified.claims.sid, self.clock.now());
        if !self.noted.is_due(&sid, now) {
            return Ok(());
        }
        anew(|| async {
            let Some(session) = self.store.record::<Session>(&sid).await? else {
                return Ok(());
            };
            let known = self.store.record::<SessionUse>(&sid).await?;
            let value = SessionUse { automation: now };
            let used = match known {
                Some(known) => Record { value, ..known },
                None => Record::new(
                    &sid,
                    after(session.value.created, self.settings.lifetimes.session),
                    value,
                ),
            };
            let mut change = Change::new();
            change.keep(&used)?;
            self.store.commit(change).await.map(drop)
        })
        .await
    }

    /// The logins of people that automation calls with.
    pub async fn automation(&self, caller: &Caller) -> Result<AutomationReport> {
        self.may_list(caller, &on_people("")).await?;
        let mut items = self.personal_sessions("").await?;
        items.retain(|session| session.automation.is_some());
        Ok(AutomationReport {
            items,
            tools: self.tools_of(None).await?,
            unknown: unknown(),
        })
    }

    /// Has what is told of a person include the webhooks that they made. Once: what is said first counts.
    pub fn know_webhooks(&self, webhooks: Arc<dyn Webhooks>) {
        // Somebody has said so already.
        let _ = self.webhooks.set(webhooks);
    }

    /// What hangs on one person: what would end with them, and what would not.
    pub async fn departure(&self, caller: &Caller, subject: &str) -> Result<Departure> {
        self.may_list(caller, &on_people(subject)).await?;
        expect_subject(subject)?;
        let mut ends = self.personal_sessions(&sessions_of(subject)).await?;
        ends.retain(|session| session.subject == subject);
        Ok(Departure {
            subject: subject.to_owned(),
            ends,
            tools: self.tools_of(Some(subject)).await?,
            seen: seen(&self.store, subject).await?,
            told: self.told(subject).await?,
            stays: stays(&self.store, subject).await?,
            webhooks: self.webhooks_of(subject).await?,
            unknown: unknown(),
        })
    }

    pub(super) async fn webhooks_of(&self, subject: &str) -> Result<Vec<Webhook>> {
        match self.webhooks.get() {
            Some(webhooks) => webhooks.made_by(subject).await,
            None => Ok(vec![]),
        }
    }
}

impl Noted {
    /// Whether it is time to write the session down; counts it as written.
    fn is_due(&self, sid: &str, now: Timestamp) -> bool {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.get(sid).is_some_and(|at| now < after(*at, AGAIN)) {
            return false;
        }
        if noted.len() >= REMEMBERED {
            noted.clear();
        }
        noted.insert(sid.to_owned(), now);
        true
    }
}

pub(super) fn unknown() -> Vec<String> {
    UNKNOWN.map(str::to_owned).to_vec()
}

/// The valid keys that somebody drew.
pub(super) async fn seen(store: &Store, subject: &str) -> Result<Vec<SeenKey>> {
    let mut drawn = Vec::new();
    caused(store, "service-account.rotated", subject, |event| {
        drawn.extend(event.data["key"].as_str().map(str::to_owned));
    })
    .await?;
    if drawn.is_empty() {
        return Ok(Vec::new());
    }
    let accounts = store.list_all::<ServiceAccount>(&Query::default()).await?;
    let keys = accounts.iter().flat_map(|account| {
        let name = format!("{}/{}", account.meta.scope, account.meta.name);
        let valid = account.status.keys.iter();
        valid.map(move |key| SeenKey {
            account: name.clone(),
            key: key.id.clone(),
            drawn: key.created,
        })
    });
    Ok(keys.filter(|key| drawn.contains(&key.key)).collect())
}

/// What somebody made, or was the last to change, and that is still there.
pub(super) async fn stays(store: &Store, subject: &str) -> Result<Vec<Made>> {
    let mut made: BTreeMap<(String, String, String), Made> = BTreeMap::new();
    for kind in MAKING {
        caused(store, kind, subject, |event| {
            if let Some(key) = event.subject_key() {
                let one = Made {
                    kind: key.kind.clone(),
                    scope: key.scope.clone(),
                    name: key.name.clone(),
                    team: event.team.clone(),
                    at: event.time,
                };
                made.insert((key.kind, key.scope, key.name), one);
            }
        })
        .await?;
    }
    let mut still = Vec::new();
    for one in made.into_values() {
        let key = Key {
            kind: one.kind.clone(),
            scope: one.scope.clone(),
            name: one.name.clone(),
        };
        // One of the same name that was made later is another's, and was said of them.
        let document = store.document(&key).await?;
        let is_it = document.is_some_and(|it| {
            let made_here = [ServiceAccount::KIND, WorkloadTrust::KIND].contains(&it.kind.as_str());
            made_here || it.meta.created <= after(one.at, crate::settings::SKEW)
        });
        if is_it {
            still.push(one);
        }
    }
    Ok(still)
}
