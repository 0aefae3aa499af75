//! The use cases of the catalog: authorize, check, write. The only place that changes its resources.

use kernel::{
    Action, Applied, ApplyOutcome, Caller, Change, Document, Error, Guard, Key, Kind as _, Name,
    NewEvent, Outcome, Page, Problem, Query, Resource, Result, Store, Target, anew,
    document::{API_VERSION, in_full},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    api::{NewRepository, Repository},
    built_in,
    model::{StarterKit, StarterKitSpec, problems},
    render::{self, Words},
};

const KIT_READ: Action = Action::see("starter-kit.read");
const KIT_CHANGE: Action = Action::act("starter-kit.change");
const KIT_DELETE: Action = Action::act("starter-kit.delete");

/// What the configuration says.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where users, and their pipelines, reach the platform.
    pub server: String,
}

/// A kit, as it is applied.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct KitDocument {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    pub(crate) metadata: KitMeta,
    pub(crate) spec: StarterKitSpec,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KitMeta {
    pub(crate) name: Name,
}

/// The use cases, and what they work with.
pub struct Catalog {
    store: Store,
    guard: Guard,
    settings: Settings,
}

impl Catalog {
    /// Wires the use cases.
    pub fn new(store: Store, guard: Guard, settings: Settings) -> Self {
        Self {
            store,
            guard,
            settings,
        }
    }

    /// Whether a document is of a kind that is taken here.
    pub fn takes(document: &Value) -> bool {
        let text = |name: &str| document.get(name).and_then(Value::as_str);
        (text("apiVersion"), text("kind")) == (Some(API_VERSION), Some(StarterKit::KIND))
    }

    /// Installs the kits that come with the platform. What people have applied under the same name
    /// stays.
    pub async fn install(&self) -> Result<()> {
        let caller = Caller::system("catalog", uuid::Uuid::now_v7());
        // Another replica that starts at the same moment may have made some of them.
        anew(|| self.install_once(&caller)).await
    }

    async fn install_once(&self, caller: &Caller) -> Result<()> {
        let mut change = Change::new().by(caller);
        for (name, spec) in built_in::kits()? {
            let held = self.store.get::<StarterKit>("", &name).await?;
            if held.as_ref().is_none_or(|held| held.status.built_in) {
                write(&mut change, caller, &name, spec, held, true)?;
            }
        }
        if !change.is_empty() {
            self.store.commit(change).await?;
        }
        Ok(())
    }

    /// Writes what `documents` say into `change`, each with where it stands (`documents[0]`).
    pub async fn apply(
        &self,
        caller: &Caller,
        documents: &[(String, Value)],
        change: &mut Change,
    ) -> Result<Vec<Applied>> {
        let (mut read, mut wrong) = (Vec::new(), Vec::new());
        for (place, document) in documents {
            match read_kit(document, place) {
                Ok(kit) => read.push((place, kit)),
                Err(mut found) => wrong.append(&mut found),
            }
        }
        let mut names = std::collections::BTreeSet::new();
        for (place, kit) in &read {
            if !names.insert(kit.metadata.name.to_string()) {
                let message = format!(
                    "starter kit `{}` is in these documents twice",
                    kit.metadata.name
                );
                let at = format!("{place}.metadata.name");
                wrong.push(Problem::new("document/twice", at, message).remedy("keep one of them"));
            }
        }
        if !wrong.is_empty() {
            return Err(Error::problems("the documents cannot be applied", wrong));
        }
        let mut applied = Vec::new();
        for (_, kit) in read {
            let name = kit.metadata.name.to_string();
            self.guard
                .require(caller, KIT_CHANGE, &target(&name))
                .await?;
            let held = self.store.get::<StarterKit>("", &name).await?;
            let outcome = write(change, caller, &name, kit.spec, held, false)?;
            applied.push(Applied::of::<StarterKit>("", &name, outcome));
        }
        Ok(applied)
    }

    /// A page of the kits.
    pub async fn list(&self, caller: &Caller, query: Query) -> Result<Page<Document>> {
        let sees = |document: &Document| {
            self.guard
                .allows(caller, KIT_READ, &target(&document.meta.name))
        };
        self.store
            .documents_seen(StarterKit::KIND, &query, sees)
            .await
    }

    /// One kit.
    pub async fn show(&self, caller: &Caller, name: &str) -> Result<Resource<StarterKit>> {
        if !self.guard.allows(caller, KIT_READ, &target(name)) {
            return Err(StarterKit::not_found("", name));
        }
        self.store.expect::<StarterKit>("", name).await
    }

    /// Takes a kit away. One that came with the platform comes back at its next start.
    pub async fn delete(&self, caller: &Caller, name: &str, revision: Option<i64>) -> Result<()> {
        self.guard
            .require(caller, KIT_DELETE, &target(name))
            .await?;
        anew(|| async {
            let held = self.store.expect::<StarterKit>("", name).await?;
            held.meta.require_revision(revision)?;
            let mut change = Change::new().by(caller);
            change.remove(&held)?;
            change.event(NewEvent::caused(
                "starter-kit.deleted",
                held.key(),
                "",
                caller,
                Some(Outcome::Pass),
                json!({ "builtIn": held.status.built_in }),
            ));
            self.store.commit(change).await.map(drop)
        })
        .await
    }

    /// The files of a new repository. Nothing of it is kept.
    pub async fn repository(
        &self,
        caller: &Caller,
        kit: &str,
        request: NewRepository,
    ) -> Result<Repository> {
        let kit = self.show(caller, kit).await?;
        let name = Name::new(request.name)?;
        let team = request
            .team
            .unwrap_or_else(|| match caller.teams.as_slice() {
                [only] => only.clone(),
                _ => "default".into(),
            });
        let team = Name::new(team)?;
        let unknown = request
            .with
            .iter()
            .filter(|one| !kit.spec.options.contains_key(*one));
        let wrong: Vec<_> = unknown
            .map(|one| {
                let known: Vec<_> = kit.spec.options.keys().map(String::as_str).collect();
                let message = format!("starter kit `{}` has no option `{one}`", kit.meta.name);
                let remedy = match known.as_slice() {
                    [] => "it has none".to_owned(),
                    known => format!("choose of: {}", known.join(", ")),
                };
                Problem::new("kit/option", "with", message).remedy(remedy)
            })
            .collect();
        if !wrong.is_empty() {
            return Err(Error::problems("the repository cannot be made", wrong));
        }
        // The environments of a team bear its name.
        let prefix = match team.as_str() {
            "default" => String::new(),
            team => format!("{team}-"),
        };
        let words = Words {
            name: name.as_str(),
            team: team.as_str(),
            prefix: &prefix,
            server: &self.settings.server,
            with: &request.with,
            values: &kit.spec.values,
        };
        let files = render::files(&kit.spec, &words).map_err(|wrong| {
            let message = format!("starter kit `{}` makes no repository", kit.meta.name);
            Error::problems(message, wrong)
        })?;
        Ok(Repository {
            name: name.to_string(),
            team: team.to_string(),
            files,
        })
    }
}

/// Writes a kit, where it is not as `spec` says; answers what that does.
fn write(
    change: &mut Change,
    caller: &Caller,
    name: &str,
    spec: StarterKitSpec,
    held: Option<Resource<StarterKit>>,
    built_in: bool,
) -> Result<ApplyOutcome> {
    let outcome = match held {
        Some(held) if held.spec == spec => return Ok(ApplyOutcome::Unchanged),
        Some(mut held) => {
            held.spec = spec;
            held.status.built_in = built_in;
            change.spec(&held)?;
            ApplyOutcome::Changed
        }
        None => {
            let mut new = Resource::<StarterKit>::new("", name, spec);
            new.status.built_in = built_in;
            change.create(&new)?;
            ApplyOutcome::Created
        }
    };
    change.event(NewEvent::caused(
        "starter-kit.applied",
        Key::of::<StarterKit>("", name),
        "",
        caller,
        Some(Outcome::Pass),
        json!({ "builtIn": built_in }),
    ));
    Ok(outcome)
}

/// A kit of the platform.
fn target(name: &str) -> Target<'_> {
    Target {
        kind: StarterKit::KIND,
        name,
        ..Target::default()
    }
}

/// Reads one document; else all that is wrong with it.
pub(crate) fn read_kit(document: &Value, place: &str) -> Result<KitDocument, Vec<Problem>> {
    let kit: KitDocument = in_full(document, place)?;
    let place = format!("{place}.spec");
    let mut wrong = problems(&kit.spec, &place);
    wrong.extend(render::problems(&kit.spec, &place));
    if wrong.is_empty() {
        Ok(kit)
    } else {
        Err(wrong)
    }
}
