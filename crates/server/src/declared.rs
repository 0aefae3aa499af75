//! Identity's and subscriptions' documents, as delivery's `apply` takes them: who logs in and by what, groups,
//! machines, and who is told of events.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use async_trait::async_trait;
use delivery::{
    api::{Applied, ApplyOutcome},
    documents::Documents,
};
use identity::{
    Identity,
    model::{LocalGroup, OidcClient, ServiceAccount, Upstream, WorkloadTrust},
    service::{Beside, Declared},
};
use kernel::{
    Caller, Change, Error, Key, Kind as _, Name, Problem, Result,
    document::{API_VERSION, Refusals, in_full, refused_at},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use subscriptions::{Subscriptions, api::NewSubscription, model::Subscription};

/// The kinds that are taken. A service account comes before the trusts that stand for it.
const KINDS: [&str; 6] = [
    Upstream::KIND,
    OidcClient::KIND,
    LocalGroup::KIND,
    ServiceAccount::KIND,
    WorkloadTrust::KIND,
    Subscription::KIND,
];

/// The kinds that are a team's. A subscription may be.
const TEAMS: [&str; 2] = [ServiceAccount::KIND, WorkloadTrust::KIND];

/// Documents of identity and of subscriptions.
pub(crate) struct DeclaredDocuments {
    pub(crate) identity: Arc<Identity>,
    pub(crate) subscriptions: Arc<Subscriptions>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Envelope<S> {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    metadata: Meta,
    spec: S,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Meta {
    name: Name,
    /// Whose it is; none: the platform's.
    #[serde(default)]
    team: Option<Name>,
}

/// What a document says.
enum Said {
    Identity(Declared),
    Subscription(NewSubscription),
}

/// A document that was read.
struct Read {
    kind: String,
    team: String,
    name: String,
    said: Said,
}

#[async_trait]
impl Documents for DeclaredDocuments {
    fn kinds(&self) -> Vec<&'static str> {
        KINDS.to_vec()
    }

    fn takes(&self, document: &Value) -> bool {
        let text = |name: &str| document.get(name).and_then(Value::as_str);
        text("apiVersion") == Some(API_VERSION)
            && text("kind").is_some_and(|kind| KINDS.contains(&kind))
    }

    async fn apply(
        &self,
        caller: &Caller,
        documents: &[(String, Value)],
        change: &mut Change,
    ) -> Result<Vec<Applied>> {
        let (mut read, problems) = read_all(documents);
        read.sort_by_key(|(_, one)| KINDS.iter().position(|kind| *kind == one.kind));
        let mut refusals = Refusals::default();
        if !problems.is_empty() {
            refusals.note(Error::problems("the documents cannot be applied", problems))?;
        }
        let mut beside = (Beside::default(), BTreeMap::new());
        let mut answers: Vec<Option<Applied>> = vec![None; documents.len()];
        for (index, one) in read {
            // It may stand for an account that is refused, and is no mistake by itself.
            if one.kind == WorkloadTrust::KIND && !refusals.is_empty() {
                continue;
            }
            match self.one(caller, &one, &mut beside, change).await {
                Ok(applied) => answers[index] = Some(applied),
                Err(error) => refusals.note(refused_at(error, &documents[index].0))?,
            }
        }
        refusals.end()?;
        Ok(answers.into_iter().flatten().collect())
    }
}

impl DeclaredDocuments {
    async fn one(
        &self,
        caller: &Caller,
        read: &Read,
        (accounts, subscriptions): &mut (Beside, BTreeMap<String, usize>),
        change: &mut Change,
    ) -> Result<Applied> {
        let (team, name) = (read.team.as_str(), read.name.as_str());
        let (is_new, missing) = match &read.said {
            Said::Identity(declared) => {
                let applied = self
                    .identity
                    .apply(caller, (team, name), declared, accounts, change)
                    .await?;
                (applied.is_new, applied.missing)
            }
            Said::Subscription(new) => {
                let is_new = self
                    .subscriptions
                    .subscription_apply(caller, (team, name), new, subscriptions, change)
                    .await?;
                let whose = match team {
                    "" => "--platform".to_owned(),
                    team => format!("--team {team}"),
                };
                let missing = (is_new == Some(true)).then(|| {
                    format!(
                        "a secret that its receiver knows: `towpath subscription secret {name} {whose}` draws one"
                    )
                });
                (is_new, missing)
            }
        };
        Ok(Applied {
            kind: read.kind.clone(),
            name: read.name.clone(),
            outcome: match is_new {
                None => ApplyOutcome::Unchanged,
                Some(true) => ApplyOutcome::Created,
                Some(false) => ApplyOutcome::Changed,
            },
            revision: None,
            missing,
            differs: Vec::new(),
            key: Some(Key {
                kind: read.kind.clone(),
                scope: read.team.clone(),
                name: read.name.clone(),
            }),
        })
    }
}

/// The documents that can be read, each with its number, and all that is wrong with them.
fn read_all(documents: &[(String, Value)]) -> (Vec<(usize, Read)>, Vec<Problem>) {
    let (mut read, mut problems, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (index, (place, document)) in documents.iter().enumerate() {
        match read_one(document, place) {
            Ok(one) => {
                let key = (one.kind.clone(), one.team.clone(), one.name.clone());
                if !seen.insert(key) {
                    let why = format!("{} `{}` is in these documents twice", one.kind, one.name);
                    let problem = Problem::new("document/twice", place.clone(), why);
                    problems.push(problem.remedy("leave one of them out"));
                }
                read.push((index, one));
            }
            Err(wrong) => problems.extend(wrong),
        }
    }
    (read, problems)
}

/// What one document says; else all that is wrong with it.
fn read_one(document: &Value, place: &str) -> Result<Read, Vec<Problem>> {
    let kind = document["kind"].as_str().unwrap_or_default();
    let (meta, said) = match kind {
        Upstream::KIND => declared(document, place, Declared::Upstream),
        OidcClient::KIND => declared(document, place, Declared::Client),
        LocalGroup::KIND => declared(document, place, Declared::Group),
        ServiceAccount::KIND => declared(document, place, Declared::Account),
        WorkloadTrust::KIND => declared(document, place, Declared::Trust),
        _ => {
            let read: Envelope<NewSubscription> = in_full(document, place)?;
            Ok((read.metadata, Said::Subscription(read.spec)))
        }
    }?;
    let at = format!("{place}.metadata.team");
    match &meta.team {
        None if TEAMS.contains(&kind) => {
            let problem = Problem::new("document/team", at, "it does not say whose it is");
            return Err(vec![problem.remedy("write `team: TEAM` beside its name")]);
        }
        Some(_) if !TEAMS.contains(&kind) && kind != Subscription::KIND => {
            let problem = Problem::new("document/team", at, "it is the platform's");
            return Err(vec![problem.remedy("leave `team` out")]);
        }
        _ => {}
    }
    Ok(Read {
        kind: kind.to_owned(),
        team: meta.team.map(|team| team.to_string()).unwrap_or_default(),
        name: meta.name.to_string(),
        said,
    })
}

fn declared<S: DeserializeOwned>(
    document: &Value,
    place: &str,
    what: impl FnOnce(S) -> Declared,
) -> Result<(Meta, Said), Vec<Problem>> {
    let read: Envelope<S> = in_full(document, place)?;
    Ok((read.metadata, Said::Identity(what(read.spec))))
}
