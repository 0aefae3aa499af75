//! The use cases of the fleet: authorize, check, write. The only place that changes its resources.

use std::collections::{BTreeMap, BTreeSet};

use kernel::{
    Action, Applied, ApplyOutcome, Caller, Change, Document, Error, Guard, Key, Kind as _, Name,
    NewEvent, Outcome, Page, Problem, Query, Resource, Result, Serial, Store, Target, anew,
    document::{API_VERSION, in_full},
};
use serde_json::{Value, json};

use crate::{
    api::{ClusterDocument, NewCluster, label_problems},
    model::Cluster,
};

const READ: Action = Action::see("cluster.read");
const CHANGE: Action = Action::act("cluster.change");
const DELETE: Action = Action::act("cluster.delete");

/// The line of those who say which cluster is the default: of two that say it of different clusters at once,
/// one is refused.
const DEFAULT_SAID: &str = "default-cluster-said";

/// A cluster that was written, or was so already.
#[derive(Debug)]
pub struct Written {
    /// The cluster.
    pub cluster: Resource<Cluster>,
    /// Whether it was not there before.
    pub is_new: bool,
}

/// The use cases, and what they work with.
pub struct Fleet {
    store: Store,
    guard: Guard,
}

/// What there is, as it was read.
struct Standing {
    said: Serial,
    clusters: BTreeMap<String, Resource<Cluster>>,
}

impl Fleet {
    /// Wires the use cases.
    pub fn new(store: Store, guard: Guard) -> Self {
        Self { store, guard }
    }

    /// Whether a document is of a kind that is taken here.
    pub fn takes(document: &Value) -> bool {
        let text = |name: &str| document.get(name).and_then(Value::as_str);
        (text("apiVersion"), text("kind")) == (Some(API_VERSION), Some(Cluster::KIND))
    }

    /// Writes what `documents` say into `change`, each with where it stands (`documents[0]`).
    pub async fn cluster_apply(
        &self,
        caller: &Caller,
        documents: &[(String, Value)],
        change: &mut Change,
    ) -> Result<Vec<Applied>> {
        let wanted = read_all(documents)?;
        for (name, _) in &wanted {
            self.guard.require(caller, CHANGE, &target(name)).await?;
        }
        let standing = self.standing().await?;
        write(change, caller, &standing, wanted)
    }

    /// A page of the clusters.
    pub async fn cluster_list(&self, caller: &Caller, query: Query) -> Result<Page<Document>> {
        let sees = |document: &Document| {
            self.guard
                .allows(caller, READ, &target(&document.meta.name))
        };
        self.store.documents_seen(Cluster::KIND, &query, sees).await
    }

    /// One cluster.
    pub async fn cluster_show(&self, caller: &Caller, name: &str) -> Result<Resource<Cluster>> {
        if !self.guard.allows(caller, READ, &target(name)) {
            return Err(Cluster::not_found("", name));
        }
        self.store.expect::<Cluster>("", name).await
    }

    /// Makes a cluster known, or writes what is said of one.
    pub async fn cluster_put(
        &self,
        caller: &Caller,
        name: &str,
        new: NewCluster,
        revision: Option<i64>,
    ) -> Result<Written> {
        self.guard.require(caller, CHANGE, &target(name)).await?;
        let name = Name::new(name)?.to_string();
        let new = checked(new, "").map_err(|wrong| {
            Error::problems(format!("cluster `{name}` is not as it should be"), wrong)
        })?;
        anew(|| async {
            let standing = self.standing().await?;
            match (standing.clusters.get(&name), revision) {
                (Some(held), _) => held.meta.require_revision(revision)?,
                (None, Some(revision)) if revision != 0 => {
                    return Err(Error::conflict(format!(
                        "there is no cluster `{name}` at revision {revision}"
                    ))
                    .remedy("leave If-Match out to make one")
                    .unmatched());
                }
                (None, _) => {}
            }
            let mut change = Change::new().by(caller);
            let wanted = vec![(name.clone(), new.clone())];
            let applied = write(&mut change, caller, &standing, wanted)?;
            let cluster = match standing.clusters.get(&name) {
                Some(held) if change.is_empty() => held.clone(),
                _ => {
                    let committed = self.store.commit(change).await?;
                    committed.resource(&Key::of::<Cluster>("", &*name))?
                }
            };
            Ok(Written {
                cluster,
                is_new: applied
                    .iter()
                    .any(|one| one.outcome == ApplyOutcome::Created),
            })
        })
        .await
    }

    /// Takes a cluster out of the list.
    pub async fn cluster_delete(
        &self,
        caller: &Caller,
        name: &str,
        revision: Option<i64>,
    ) -> Result<()> {
        self.guard.require(caller, DELETE, &target(name)).await?;
        anew(|| async {
            let held = self.store.expect::<Cluster>("", name).await?;
            held.meta.require_revision(revision)?;
            let mut change = Change::new().by(caller);
            change.remove(&held)?;
            change.event(told("cluster.deleted", caller, &held));
            self.store.commit(change).await.map(drop)
        })
        .await
    }

    async fn standing(&self) -> Result<Standing> {
        // Read before the clusters: what is said after it is noticed.
        let called = "which cluster is the default";
        let said = self.store.serial(DEFAULT_SAID, "", called).await?;
        let clusters: Vec<Resource<Cluster>> = self.store.list_all(&Query::default()).await?;
        let named = clusters.into_iter().map(|one| (one.meta.name.clone(), one));
        Ok(Standing {
            said,
            clusters: named.collect(),
        })
    }
}

/// Writes the clusters that are not as they are wanted.
fn write(
    change: &mut Change,
    caller: &Caller,
    standing: &Standing,
    wanted: Vec<(String, NewCluster)>,
) -> Result<Vec<Applied>> {
    one_default(standing, &wanted)?;
    let mut applied = Vec::new();
    let mut is_said = false;
    for (name, new) in wanted {
        let held = standing.clusters.get(&name);
        let is_same =
            held.is_some_and(|held| held.spec == new.spec && held.meta.labels == new.labels);
        let outcome = match held {
            Some(_) if is_same => ApplyOutcome::Unchanged,
            Some(_) => ApplyOutcome::Changed,
            None => ApplyOutcome::Created,
        };
        applied.push(Applied::of::<Cluster>("", &name, outcome));
        if is_same {
            continue;
        }
        is_said |= new.spec.is_default;
        let mut cluster = match held {
            Some(held) => held.clone(),
            None => Resource::new("", name, new.spec.clone()),
        };
        cluster.spec = new.spec;
        cluster.meta.labels = new.labels;
        if held.is_some() {
            change.spec(&cluster)?;
        } else {
            change.create(&cluster)?;
        }
        change.event(told("cluster.applied", caller, &cluster));
    }
    if is_said {
        change.after(&standing.said);
    }
    Ok(applied)
}

/// Refuses two defaults. Which one is meant is said by people: nothing else is changed by the way.
fn one_default(standing: &Standing, wanted: &[(String, NewCluster)]) -> Result<()> {
    let rewritten: BTreeMap<_, _> = wanted
        .iter()
        .map(|(name, new)| (name.as_str(), new.spec.is_default))
        .collect();
    let stays = standing
        .clusters
        .iter()
        .filter(|(name, held)| held.spec.is_default && !rewritten.contains_key(name.as_str()));
    let mut defaults: BTreeSet<&str> = stays.map(|(name, _)| name.as_str()).collect();
    defaults.extend(rewritten.iter().filter(|one| *one.1).map(|one| *one.0));
    if defaults.len() < 2 {
        return Ok(());
    }
    let named: Vec<_> = defaults.iter().map(|name| format!("`{name}`")).collect();
    Err(Error::conflict(format!(
        "one cluster is the default, and not {}",
        named.join(" and ")
    ))
    .remedy(
        "first take it from the one that has it, by `towpath cluster set NAME --no-default`; or apply documents of \
         both together, with `default: true` in one of them",
    ))
}

/// What is said in the log: whoever may redirect people's tokens is seen to.
fn told(what: &'static str, caller: &Caller, cluster: &Resource<Cluster>) -> NewEvent {
    let spec = &cluster.spec;
    NewEvent::caused(
        what,
        cluster.key(),
        "",
        caller,
        Some(Outcome::Pass),
        json!({ "endpoint": spec.endpoint, "roles": spec.roles, "default": spec.is_default }),
    )
}

/// A cluster of the platform.
fn target(name: &str) -> Target<'_> {
    Target {
        kind: Cluster::KIND,
        name,
        ..Target::default()
    }
}

/// The same as it is kept; else all that is wrong with it, which stands at `place`.
fn checked(new: NewCluster, place: &str) -> Result<NewCluster, Vec<Problem>> {
    let below = |what: &str| match place {
        "" => what.to_owned(),
        place => format!("{place}.{what}"),
    };
    let labels = match place {
        "" => "labels".to_owned(),
        place => format!("{place}.metadata.labels"),
    };
    let mut wrong = label_problems(&new.labels, &labels);
    match new.spec.checked(&below("spec")) {
        Ok(spec) if wrong.is_empty() => Ok(NewCluster {
            spec,
            labels: new.labels,
        }),
        Ok(_) => Err(wrong),
        Err(more) => {
            wrong.extend(more);
            Err(wrong)
        }
    }
}

/// What the documents say, by name; else all that is wrong with them.
fn read_all(documents: &[(String, Value)]) -> Result<Vec<(String, NewCluster)>> {
    let (mut read, mut wrong): (Vec<(String, NewCluster)>, Vec<Problem>) = (vec![], vec![]);
    for (place, document) in documents {
        let cluster: ClusterDocument = match in_full(document, place) {
            Ok(cluster) => cluster,
            Err(more) => {
                wrong.extend(more);
                continue;
            }
        };
        let name = cluster.metadata.name.to_string();
        if read.iter().any(|(other, _)| *other == name) {
            let message = format!("cluster `{name}` is in these documents twice");
            let at = format!("{place}.metadata.name");
            wrong.push(Problem::new("document/twice", at, message).remedy("keep one of them"));
        }
        let new = NewCluster {
            spec: cluster.spec,
            labels: cluster.metadata.labels,
        };
        match checked(new, place) {
            Ok(new) => read.push((name, new)),
            Err(more) => wrong.extend(more),
        }
    }
    if wrong.is_empty() {
        return Ok(read);
    }
    Err(Error::problems("the documents cannot be applied", wrong))
}
